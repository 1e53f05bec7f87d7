/* SPDX-License-Identifier: Apache-2.0 */
/* Makes this machine another one than its siblings, which have the same
 * memory: the kernel's generator, clock, names and addresses.  Each part is
 * tried whatever became of the others. */
#include "agent/agent.h"
#include <asm/ioctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <time.h>

#define UNIQUE_FILE  "/etc/machine-id"
#define UNIQUE_DRAFT "/etc/.machine-id.brood"

enum { UNIQUE_ID = 32 };

struct unique {
	const struct agent_unique *wish;
	struct agent_done *done;
	struct words why; /* in done */
};

/* Only the first failure is told. */
static void unique_fail(struct unique *unique, const char *what, long error)
{
	if (unique->done->why[0])
		return;
	words_add(&unique->why, what);
	if (!error)
		return;
	words_add(&unique->why, ": ");
	words_error(&unique->why, error);
}

static bool unique_is_zero(const uint8_t *bytes, size_t len)
{
	uint8_t all = 0;

	for (size_t i = 0; i < len; i++)
		all |= bytes[i];
	return all == 0;
}

/* The bytes go away: who gets at this machine's memory later shall not know
 * what its keys were made of. */
static void unique_wipe(void *at, size_t len)
{
	memset(at, 0, len);
	__asm__ volatile("" : : "r"(at) : "memory");
}

static void unique_seed(struct unique *unique)
{
	const uint8_t *seed = unique->wish->seed;
	struct {
		int bits, bytes;
		uint8_t seed[sizeof unique->wish->seed];
	} entropy = { 8 * sizeof entropy.seed, sizeof entropy.seed, { 0 } };
	long fd, r;

	if (unique_is_zero(seed, sizeof unique->wish->seed))
		return;
	fd = raw_4(openat, AT_FDCWD, "/dev/urandom", O_RDWR | O_CLOEXEC, 0);
	if (fd < 0) {
		unique_fail(unique, "/dev/urandom", fd);
		return;
	}
	memcpy(entropy.seed, seed, sizeof entropy.seed);
	r = raw_3(ioctl, fd, RNDADDENTROPY, &entropy);
	unique_wipe(&entropy, sizeof entropy);
	/* what is in use now would be so for minutes */
	if (r >= 0)
		r = raw_3(ioctl, fd, RNDRESEEDCRNG, 0);
	raw_1(close, fd);
	if (r < 0)
		unique_fail(unique, "seed the generator", r);
	else
		unique->done->done |= AGENT_SEEDED;
}

static void unique_clock(struct unique *unique)
{
	uint64_t ns = unique->wish->realtime_ns;
	struct timespec t = { ns / 1000000000u, ns % 1000000000u };
	long r;

	if (ns == 0)
		return;
	r = raw_2(clock_settime, CLOCK_REALTIME, &t);
	if (r < 0)
		unique_fail(unique, "set the clock", r);
	else
		unique->done->done |= AGENT_CLOCKED;
}

static bool unique_is_id(const char *id)
{
	for (int i = 0; i < UNIQUE_ID; i++)
		if (!((id[i] >= '0' && id[i] <= '9') ||
		      (id[i] >= 'a' && id[i] <= 'f')))
			return false;
	return id[UNIQUE_ID] == 0;
}

static long unique_write(const char *path, int flags, const char *id)
{
	char line[UNIQUE_ID + 1];
	long fd = raw_4(openat, AT_FDCWD, path,
			O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0444);
	long n;

	if (fd < 0)
		return fd;
	memcpy(line, id, UNIQUE_ID);
	line[UNIQUE_ID] = '\n';
	n = raw_3(write, fd, line, sizeof line);
	raw_1(close, fd);
	return n < 0 ? n : n == sizeof line ? 0 : -ENOSPC;
}

/* Not synced to a disk: a machine that crashes gets its identity anew when
 * it is made again, and the next start of a program must not wait for one.
 * A file that something is mounted on cannot be replaced, but written. */
static long unique_replace(const char *id)
{
	long r;

	raw_1(unlink, UNIQUE_DRAFT);
	r = unique_write(UNIQUE_DRAFT, O_CREAT | O_EXCL, id);
	if (r < 0)
		return r;
	r = raw_2(rename, UNIQUE_DRAFT, UNIQUE_FILE);
	if (r < 0)
		raw_1(unlink, UNIQUE_DRAFT);
	return r == -EBUSY ? unique_write(UNIQUE_FILE, O_TRUNC, id) : r;
}

static void unique_identify(struct unique *unique)
{
	const char *id = unique->wish->machine_id;
	long r;

	if (!id[0])
		return;
	if (!unique_is_id(id)) {
		unique_fail(unique, "this is no machine-id", 0);
		return;
	}
	r = unique_replace(id);
	if (r < 0)
		unique_fail(unique, UNIQUE_FILE, r);
	else
		unique->done->done |= AGENT_IDENTIFIED;
}

static bool unique_is_name(const char *name, size_t room)
{
	size_t len = 0;

	for (; len < room && name[len]; len++)
		if (name[len] <= ' ' || name[len] == '/' || name[len] == 0x7f)
			return false;
	return len < room;
}

static void unique_name(struct unique *unique)
{
	const char *name = unique->wish->host_name;
	long r;

	if (!name[0])
		return;
	if (!unique_is_name(name, sizeof unique->wish->host_name)) {
		unique_fail(unique, "this is no host name", 0);
		return;
	}
	r = raw_2(sethostname, name, strlen(name));
	if (r < 0)
		unique_fail(unique, "set the host name", r);
	else
		unique->done->done |= AGENT_NAMED;
}

static void unique_address(struct unique *unique)
{
	uint32_t count = unique->wish->mac_count;
	char room[100];
	struct words why = { room, room + sizeof room };

	room[0] = 0;
	if (count == 0)
		return;
	if (count > sizeof unique->wish->mac / sizeof *unique->wish->mac)
		unique_fail(unique, "too many addresses", 0);
	else if (!address_set(unique->wish->mac, count, &why))
		unique_fail(unique, room, 0);
	else
		unique->done->done |= AGENT_ADDRESSED;
}

void unique_do(const struct agent_unique *wish, struct agent_done *done)
{
	struct unique unique = {
		.wish = wish,
		.done = done,
		.why = { done->why, done->why + sizeof done->why },
	};

	memset(done, 0, sizeof *done);
	unique_seed(&unique);
	unique_clock(&unique);
	unique_identify(&unique);
	unique_name(&unique);
	unique_address(&unique);
}

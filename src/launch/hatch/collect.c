/* SPDX-License-Identifier: Apache-2.0 */
/* What a launch carries over to the copy: everything of the caller's state
 * that an exec would have kept, but what the copy can see for itself. */
#include "bare/identity.h"
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>

enum {
	COLLECT_POLLED = 256 + 1, /* a shell's table has 256 places */
	COLLECT_ENTRIES = 8192
};

/* An exec would close the ones that close on exec, so they stay here. */
static bool collect_fd(struct wire_launch *launch, int *fds, int *count, int fd)
{
	if (raw_2(fcntl, fd, F_GETFD) & FD_CLOEXEC)
		return true;
	if (launch->fd_count == WIRE_FD_MOST)
		return false;
	launch->fd_number[launch->fd_count++] = fd;
	fds[(*count)++] = fd;
	return true;
}

/* Numbers above the limit stay open when it is lowered, and poll() takes no
 * more of them than it.  But select() looks at none behind the end of the
 * table of descriptors, and refuses one in it that is not open. */
static bool collect_is_table_longer(unsigned most)
{
	uint64_t asked[COLLECT_POLLED / 64 + 2] = { 0 };
	uint64_t at_once[2] = { 0, 0 };

	asked[most / 64] = ~0ull << most % 64;
	asked[most / 64 + 1] = ~0ull;
	return raw_5(select, most + 64, asked, 0, 0, at_once) != 0;
}

/* One call tells which of the first numbers are open.  False: there may be
 * others.  The last one must be closed, since select() does not refuse if all
 * that it was asked about are open. */
static bool collect_poll(struct pollfd *polled, int count)
{
	if (count < 1 || collect_is_table_longer(count - 1))
		return false;
	for (int i = 0; i < count; i++)
		polled[i] = (struct pollfd){ i, 0, 0 };
	return raw_3(poll, polled, count, 0) > 0 &&
	       polled[count - 1].revents & POLLNVAL;
}

static bool collect_polled(struct wire_launch *launch, int *fds, int *count,
			   const struct pollfd *polled, int polled_count)
{
	for (int i = 0; i < polled_count; i++)
		if (!(polled[i].revents & POLLNVAL) &&
		    !collect_fd(launch, fds, count, i))
			return false;
	return true;
}

struct collect_entry {
	uint64_t ino, off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static int collect_number(const char *name)
{
	int value = 0;

	if (*name < '0' || *name > '9')
		return -1;
	while (*name >= '0' && *name <= '9')
		value = value * 10 + *name++ - '0';
	return value;
}

/* The kernel lists them in ascending order, as the wire wants them. */
static bool collect_by_folder(struct wire_launch *launch, int *fds, int *count)
{
	char room[COLLECT_ENTRIES] __attribute__((aligned(8)));
	long folder = raw_4(openat, AT_FDCWD, "/proc/self/fd",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool fits = folder >= 0;
	long n;

	while (fits && (n = raw_3(getdents64, folder, room, sizeof room)) > 0)
		for (long at = 0; fits && at < n;) {
			struct collect_entry *entry = (void *)(room + at);
			int fd = collect_number(entry->name);

			if (fd >= 0 && fd != folder)
				fits = collect_fd(launch, fds, count, fd);
			at += entry->len;
		}
	if (folder >= 0)
		raw_1(close, folder);
	return fits;
}

static bool collect_descriptors(struct starter *starter,
				struct wire_launch *launch, int *fds,
				int *count)
{
	struct pollfd polled[COLLECT_POLLED];
	uint64_t soft = launch->limits[7].soft; /* RLIMIT_NOFILE */
	int most = soft < COLLECT_POLLED ? (int)soft : COLLECT_POLLED;
	bool fits = collect_poll(polled, most)
			    ? collect_polled(launch, fds, count, polled, most)
			    : collect_by_folder(launch, fds, count);

	if (!fits)
		text_reason(starter, "too many descriptors are open", "", "");
	return fits;
}

bool collect_launch(struct starter *starter, struct wire_launch *launch,
		    int *fds, int *fd_count)
{
	long mask = raw_1(umask, 0);

	raw_1(umask, mask);
	memset(launch, 0, sizeof *launch);
	launch->umask = mask;
	launch->nice = 20 - (int32_t)raw_2(getpriority, 0, 0);
	for (int i = 0; i < WIRE_LIMITS; i++)
		raw_4(prlimit64, 0, i, 0, &launch->limits[i]);
	raw_4(rt_sigprocmask, 0, NULL, &launch->signals_blocked, 8);
	identity_say(&launch->identity);
	fds[0] = raw_4(openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC,
		       0);
	if (fds[0] < 0) {
		text_reason(starter, "the working directory cannot be opened",
			    "", "");
		return false;
	}
	*fd_count = 1;
	if (collect_descriptors(starter, launch, fds, fd_count))
		return true;
	raw_1(close, fds[0]);
	return false;
}

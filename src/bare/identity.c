/* SPDX-License-Identifier: Apache-2.0 */
/* Identity of a process, by as few system calls as will do. */
#include "bare/identity.h"
#include "bare/crc.h"
#include "bare/raw.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <string.h>

/* A user may be in thousands of groups, and what counts stands behind them. */
enum { IDENTITY_TEXT = 32 * 1024 };

/* The whole text or a negative errno: a part of it would look like another
 * whole. */
static long identity_read(const char *path, char *text)
{
	long fd = raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long len = 0, n = fd;

	text[0] = 0;
	if (fd < 0)
		return fd;
	while (len < IDENTITY_TEXT &&
	       (n = raw_3(read, fd, text + len, IDENTITY_TEXT - len)) > 0)
		len += n;
	raw_1(close, fd);
	if (n >= 0 && len == IDENTITY_TEXT)
		n = -EFBIG;
	text[n < 0 ? 0 : len] = 0;
	return n < 0 ? n : len;
}

/* ---- paths below /proc/PID ------------------------------------------------ */

struct identity_place {
	char path[64]; /* "/proc/PID/" and what is asked for */
	unsigned len;  /* of the part that stays */
};

static void identity_place(struct identity_place *place, unsigned pid)
{
	char digits[12];
	unsigned at = sizeof digits, len = 6;

	do
		digits[--at] = '0' + pid % 10;
	while (pid /= 10);
	memcpy(place->path, "/proc/", len);
	memcpy(place->path + len, digits + at, sizeof digits - at);
	len += sizeof digits - at;
	place->path[len] = '/';
	place->len = len + 1;
}

static const char *identity_path(struct identity_place *place, const char *name)
{
	memcpy(place->path + place->len, name, strlen(name) + 1);
	return place->path;
}

/* ---- numbers in text ------------------------------------------------------- */

static uint64_t identity_number(const char **at, int base)
{
	uint64_t value = 0;

	while (**at == ' ' || **at == '\t')
		(*at)++;
	for (;; (*at)++) {
		unsigned c = (unsigned char)**at;
		unsigned digit = c - '0' < 10 ? c - '0' : c - 'a' + 10;

		if ((c - '0' >= 10 && c - 'a' >= 6) || (int)digit >= base)
			return value;
		value = value * base + digit;
	}
}

static const char *identity_line(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (; *text; text++) {
		if (strncmp(text, name, len) == 0)
			return text + len;
		text = strchr(text, '\n');
		if (!text)
			break;
	}
	return "";
}

/* ---- what is seen ---------------------------------------------------------- */

/* In the namespace where it lives, the last of its numbers, a process has
 * the number that the kernel told us: so this /proc means the same one. */
static bool identity_is(const char *status, unsigned pid)
{
	const char *at = identity_line(status, "NSpid:");
	uint64_t last = 0;

	if (!*at)
		return true; /* a kernel without such namespaces */
	while (*at == '\t' || *at == ' ')
		last = identity_number(&at, 10);
	return last == pid;
}

/* Later kernels have these and more, Linux 4.10 has them all. */
static bool identity_is_complete(const char *status)
{
	static const char names[][16] = {
		"Uid:",	   "Gid:",    "Groups:", "SigIgn:", "CapInh:",
		"CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:"
	};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!*identity_line(status, names[i]))
			return false;
	return true;
}

static void identity_from_status(struct identity_seen *seen, const char *text)
{
	const char *at = identity_line(text, "Uid:");

	for (int i = 0; i < 4; i++)
		seen->uid[i] = identity_number(&at, 10);
	at = identity_line(text, "Gid:");
	for (int i = 0; i < 4; i++)
		seen->gid[i] = identity_number(&at, 10);
	at = identity_line(text, "Groups:");
	const char *end = strchr(at, '\n');

	seen->groups = crc_hash(2, at, end ? end - at : 0);
	at = identity_line(text, "SigIgn:");
	seen->signals_ignored = identity_number(&at, 16);
	at = identity_line(text, "CapInh:");
	seen->cap_inheritable = identity_number(&at, 16);
	at = identity_line(text, "CapPrm:");
	seen->cap_permitted = identity_number(&at, 16);
	at = identity_line(text, "CapEff:");
	seen->cap_effective = identity_number(&at, 16);
	at = identity_line(text, "CapBnd:");
	seen->cap_bounding = identity_number(&at, 16);
	at = identity_line(text, "CapAmb:");
	seen->cap_ambient = identity_number(&at, 16);
	at = identity_line(text, "NoNewPrivs:");
	seen->no_new_privs = identity_number(&at, 10);
	at = identity_line(text, "Seccomp:");
	seen->seccomp = identity_number(&at, 10);
	at = identity_line(text, "THP_enabled:");
	seen->thp_disable = !identity_number(&at, 10);
}

/* What the links say: to look at what they lead to takes twice as long. */
static bool identity_namespaces(struct identity_place *place, uint64_t *sum)
{
	static const char names[][12] = { "ns/mnt",    "ns/pid", "ns/net",
					  "ns/ipc",    "ns/uts", "ns/user",
					  "ns/cgroup", "ns/time" };

	*sum = 3;
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		char text[64]; /* "mnt:[NUMBER]" */
		long n = raw_3(readlink, identity_path(place, names[i]), text,
			       sizeof text);

		if (n > 0)
			*sum = crc_hash(*sum, text, n);
		else if (n != -ENOENT)
			return false;
	}
	return true;
}

/* A kernel without such a thing has no file, or one that cannot be read. */
static bool identity_hash(struct identity_place *place, const char *name,
			  char *text, uint64_t *sum)
{
	long n = identity_read(identity_path(place, name), text);

	*sum = n < 0 ? 0 : crc_hash(1, text, n);
	return n >= 0 || n == -ENOENT || n == -EINVAL;
}

/* Where its root folder is, by file and by mount. */
static bool identity_root(struct identity_place *place, uint64_t *sum)
{
	struct statx st = { .stx_mnt_id = 0 };

	if (raw_5(statx, AT_FDCWD, identity_path(place, "root"), 0,
		  STATX_INO | STATX_MNT_ID, &st) < 0)
		return false;
	uint64_t part[] = { st.stx_dev_major, st.stx_dev_minor, st.stx_ino,
			    st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0 };

	*sum = crc_hash(4, part, sizeof part);
	return true;
}

static uint32_t identity_core_filter(struct identity_place *place, char *text)
{
	const char *at = text;

	if (identity_read(identity_path(place, "coredump_filter"), text) <= 0)
		return ~0u;
	return identity_number(&at, 16);
}

bool identity_see(int pid, struct identity_seen *seen)
{
	char text[IDENTITY_TEXT];
	struct identity_place place;

	memset(seen, 0, sizeof *seen);
	if (pid <= 0)
		return false;
	identity_place(&place, pid);
	if (identity_read(identity_path(&place, "status"), text) <= 0 ||
	    !identity_is(text, pid) || !identity_is_complete(text))
		return false;
	identity_from_status(seen, text);
	if (!identity_namespaces(&place, &seen->namespaces) ||
	    !identity_root(&place, &seen->root) ||
	    !identity_hash(&place, "cgroup", text, &seen->cgroup) ||
	    !identity_hash(&place, "attr/current", text, &seen->label) ||
	    !identity_hash(&place, "oom_score_adj", text, &seen->oom_score_adj))
		return false;
	seen->core_filter = identity_core_filter(&place, text);
	return true;
}

/* ---- what is said ---------------------------------------------------------- */

static uint64_t identity_affinity(void)
{
	uint64_t mask[128] = { 0 };

	raw_3(sched_getaffinity, 0, sizeof mask, mask);
	return crc_hash(5, mask, sizeof mask);
}

/* Of memory that is yet to come (numactl).  0 where it comes from the node
 * that asks, whether by default or by one of the other two names of that. */
static uint64_t identity_memory_policy(void)
{
	enum { POLICY_PREFERRED = 1, POLICY_LOCAL = 4, NODES = 1024 };
	uint64_t part[1 + NODES / 64] = { 0 }, nodes = 0;
	int32_t mode = 0;

	/* one more than there are: it counts so */
	if (raw_5(get_mempolicy, &mode, part + 1, NODES + 1, 0, 0) < 0)
		return 0;
	for (unsigned i = 1; i < sizeof part / sizeof *part; i++)
		nodes |= part[i];
	if (!nodes &&
	    (!mode || mode == POLICY_PREFERRED || mode == POLICY_LOCAL))
		return 0;
	part[0] = (uint32_t)mode;
	return crc_hash(6, part, sizeof part);
}

void identity_say(struct wire_identity *said)
{
	int32_t priority = 0;

	memset(said, 0, sizeof *said);
	said->affinity = identity_affinity();
	said->memory_policy = identity_memory_policy();
	said->scheduler = raw_1(sched_getscheduler, 0);
	raw_2(sched_getparam, 0, &priority);
	said->scheduler_priority = priority;
	said->io_priority = raw_2(ioprio_get, 1, 0);
	said->personality = raw_1(personality, 0xffffffff);
	said->timer_slack_ns = raw_1(prctl, 30); /* PR_GET_TIMERSLACK */
}

/* ---- comparing ------------------------------------------------------------- */

/* A field and the words for its difference. */
struct identity_field {
	size_t at, len;
	char words[32];
};
#define FIELD(type, member, words_)                                          \
	{ offsetof(struct type, member), sizeof(((struct type *)0)->member), \
	  words_ }

static const char *identity_differs(const void *a, const void *b,
				    const struct identity_field *field,
				    unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (memcmp((const char *)a + field[i].at,
			   (const char *)b + field[i].at, field[i].len) != 0)
			return field[i].words;
	return NULL;
}

const char *identity_said_difference(const struct wire_identity *a,
				     const struct wire_identity *b)
{
	static const struct identity_field fields[] = {
		FIELD(wire_identity, affinity, "the affinity differs"),
		FIELD(wire_identity, memory_policy,
		      "the memory policy differs"),
		FIELD(wire_identity, scheduler, "the scheduler differs"),
		FIELD(wire_identity, scheduler_priority,
		      "the scheduler differs"),
		FIELD(wire_identity, io_priority, "the I/O priority differs"),
		FIELD(wire_identity, personality, "the personality differs"),
		FIELD(wire_identity, timer_slack_ns, "the timer slack differs"),
		FIELD(wire_identity, zero, "it differs"),
	};

	return identity_differs(a, b, fields, sizeof fields / sizeof *fields);
}

const char *identity_seen_difference(const struct identity_seen *a,
				     const struct identity_seen *b)
{
	static const struct identity_field fields[] = {
		FIELD(identity_seen, uid, "the user differs"),
		FIELD(identity_seen, gid, "the group differs"),
		FIELD(identity_seen, groups, "the groups differ"),
		FIELD(identity_seen, cap_effective, "the capabilities differ"),
		FIELD(identity_seen, cap_permitted, "the capabilities differ"),
		FIELD(identity_seen, cap_inheritable,
		      "the capabilities differ"),
		FIELD(identity_seen, cap_bounding, "the capabilities differ"),
		FIELD(identity_seen, cap_ambient, "the capabilities differ"),
		FIELD(identity_seen, root, "the root folder differs"),
		FIELD(identity_seen, cgroup, "the cgroup differs"),
		FIELD(identity_seen, label, "the security label differs"),
		FIELD(identity_seen, namespaces, "the namespaces differ"),
		FIELD(identity_seen, seccomp, "a seccomp filter is active"),
		FIELD(identity_seen, no_new_privs, "no_new_privs is set"),
		FIELD(identity_seen, oom_score_adj, "the OOM score differs"),
		FIELD(identity_seen, thp_disable,
		      "the huge page setting differs"),
	};

	return identity_differs(a, b, fields, sizeof fields / sizeof *fields);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Identity of the calling process, by as few system calls as will do. */
#include "bare/identity.h"
#include "bare/crc.h"
#include "bare/raw.h"
#include <fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <string.h>

enum { IDENTITY_TEXT = 4096 };

static long identity_text(const char *path, char *text)
{
	long fd = raw_4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	long n = -1;

	if (fd >= 0) {
		n = raw_3(read, fd, text, IDENTITY_TEXT - 1);
		raw_1(close, fd);
	}
	text[n > 0 ? n : 0] = 0;
	return n;
}

static uint64_t identity_hash_of(const char *path)
{
	char text[IDENTITY_TEXT];
	long n = identity_text(path, text);

	return n < 0 ? 0 : crc_hash(1, text, n);
}

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

static void identity_from_status(struct wire_identity *identity,
				 uint64_t *ignored)
{
	char text[IDENTITY_TEXT];
	const char *at;

	identity_text("/proc/self/status", text);
	at = identity_line(text, "Uid:");
	for (int i = 0; i < 4; i++)
		identity->uid[i] = identity_number(&at, 10);
	at = identity_line(text, "Gid:");
	for (int i = 0; i < 4; i++)
		identity->gid[i] = identity_number(&at, 10);
	at = identity_line(text, "Groups:");
	const char *end = strchr(at, '\n');

	identity->groups = crc_hash(2, at, end ? end - at : 0);
	at = identity_line(text, "CapInh:");
	identity->cap_inheritable = identity_number(&at, 16);
	at = identity_line(text, "CapPrm:");
	identity->cap_permitted = identity_number(&at, 16);
	at = identity_line(text, "CapEff:");
	identity->cap_effective = identity_number(&at, 16);
	at = identity_line(text, "NoNewPrivs:");
	identity->no_new_privs = identity_number(&at, 10);
	at = identity_line(text, "Seccomp:");
	identity->seccomp = identity_number(&at, 10);
	if (ignored) {
		at = identity_line(text, "SigIgn:");
		*ignored = identity_number(&at, 16);
	}
	at = identity_line(text, "THP_enabled:");
	identity->thp_disable = !identity_number(&at, 10);
}

/* What the links say: to look at what they lead to takes twice as long. */
static uint64_t identity_namespaces(void)
{
	static const char names[][24] = {
		"/proc/self/ns/mnt",	"/proc/self/ns/pid",
		"/proc/self/ns/net",	"/proc/self/ns/ipc",
		"/proc/self/ns/uts",	"/proc/self/ns/user",
		"/proc/self/ns/cgroup", "/proc/self/ns/time",
	};
	uint64_t sum = 3;

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		char text[64]; /* "mnt:[NUMBER]" */
		long n = raw_3(readlink, names[i], text, sizeof text);

		if (n > 0)
			sum = crc_hash(sum, text, n);
	}
	return sum;
}

static uint64_t identity_root(void)
{
	struct statx st;

	if (raw_5(statx, AT_FDCWD, "/", 0, STATX_INO, &st) < 0)
		return 0;
	uint64_t part[] = { st.stx_dev_major, st.stx_dev_minor, st.stx_ino };

	return crc_hash(4, part, sizeof part);
}

static uint64_t identity_affinity(void)
{
	uint64_t mask[128] = { 0 };

	raw_3(sched_getaffinity, 0, sizeof mask, mask);
	return crc_hash(5, mask, sizeof mask);
}

static uint32_t identity_oom(void)
{
	char text[IDENTITY_TEXT];

	identity_text("/proc/self/oom_score_adj", text);
	return crc_hash(6, text, strlen(text));
}

void identity_read(struct wire_identity *identity, uint64_t *ignored)
{
	int32_t priority = 0;

	memset(identity, 0, sizeof *identity);
	identity_from_status(identity, ignored);
	identity->affinity = identity_affinity();
	identity->cgroup = identity_hash_of("/proc/self/cgroup");
	identity->label = identity_hash_of("/proc/self/attr/current");
	identity->namespaces = identity_namespaces();
	identity->root = identity_root();
	identity->scheduler = raw_1(sched_getscheduler, 0);
	raw_2(sched_getparam, 0, &priority);
	identity->scheduler_priority = priority;
	identity->io_priority = raw_2(ioprio_get, 1, 0);
	identity->personality = raw_1(personality, 0xffffffff);
	identity->timer_slack_ns = raw_1(prctl, 30); /* PR_GET_TIMERSLACK */
	identity->oom_score_adj = identity_oom();
}

/* A field and the words for its difference. */
struct identity_field {
	size_t at, len;
	char words[32];
};
#define FIELD(member, words_)                     \
	{ offsetof(struct wire_identity, member), \
	  sizeof(((struct wire_identity *)0)->member), words_ }

const char *identity_difference(const struct wire_identity *a,
				const struct wire_identity *b)
{
	static const struct identity_field fields[] = {
		FIELD(uid, "the user differs"),
		FIELD(gid, "the group differs"),
		FIELD(groups, "the groups differ"),
		FIELD(cap_effective, "the capabilities differ"),
		FIELD(cap_permitted, "the capabilities differ"),
		FIELD(cap_inheritable, "the capabilities differ"),
		FIELD(affinity, "the affinity differs"),
		FIELD(cgroup, "the cgroup differs"),
		FIELD(label, "the security label differs"),
		FIELD(namespaces, "the namespaces differ"),
		FIELD(root, "the root folder differs"),
		FIELD(seccomp, "a seccomp filter is active"),
		FIELD(no_new_privs, "no_new_privs is set"),
		FIELD(scheduler, "the scheduler differs"),
		FIELD(scheduler_priority, "the scheduler differs"),
		FIELD(io_priority, "the I/O priority differs"),
		FIELD(personality, "the personality differs"),
		FIELD(timer_slack_ns, "the timer slack differs"),
		FIELD(oom_score_adj, "the OOM score differs"),
		FIELD(dumpable, "its dumpable state differs"),
		FIELD(thp_disable, "the huge page setting differs"),
	};

	if (memcmp(a, b, sizeof *a) == 0)
		return NULL;
	for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++)
		if (memcmp((const char *)a + fields[i].at,
			   (const char *)b + fields[i].at, fields[i].len) != 0)
			return fields[i].words;
	return "it differs";
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Facts that a program's start depended on, taken again.  Only system calls:
 * the same code runs in the keeper and in the starter. */
#include "bare/fact.h"
#include "bare/crc.h"
#include "bare/image_check.h"
#include "bare/raw.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

enum { FACT_CONTENT_MOST = 64 * 1024, FACT_PART = 4096 };

static uint64_t fact_never_0(uint64_t value)
{
	return value ? value : 1;
}

static uint64_t fact_mix(uint64_t seed, uint64_t value)
{
	return crc_hash(seed, &value, sizeof value);
}

/* ---- files ---------------------------------------------------------------- */

static uint64_t fact_file(const char *path, int flags)
{
	struct statx st;

	if (raw_5(statx, AT_FDCWD, path, flags, STATX_BASIC_STATS, &st) < 0)
		return 0;
	uint64_t part[] = {
		st.stx_dev_major,    st.stx_dev_minor,	   st.stx_ino,
		st.stx_mode,	     st.stx_uid,	   st.stx_gid,
		st.stx_rdev_major,   st.stx_rdev_minor,	   st.stx_size,
		st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec,
	};

	/* A device's times change by being used. */
	if ((st.stx_mode & S_IFMT) == S_IFCHR ||
	    (st.stx_mode & S_IFMT) == S_IFBLK)
		part[8] = part[9] = part[10] = 0;
	return fact_never_0(crc_hash(FACT_FILE, part, sizeof part));
}

/* Of a folder: the names in it, which tell more than its times where the
 * kernel makes both up. */
static uint64_t fact_names(long fd)
{
	char part[FACT_PART] __attribute__((aligned(8)));
	uint64_t sum = FACT_CONTENT;
	long n;

	while ((n = raw_3(getdents64, fd, part, sizeof part)) > 0)
		for (long at = 0; at < n;) {
			const struct linux_dirent64 {
				uint64_t ino, next;
				uint16_t len;
				uint8_t type;
				char name[];
			} *entry = (const void *)(part + at);

			sum = crc_hash(sum, entry->name, strlen(entry->name));
			at += entry->len;
		}
	return sum;
}

static uint64_t fact_content(const char *path)
{
	char part[FACT_PART];
	uint64_t sum = FACT_CONTENT;
	long fd = raw_4(openat, AT_FDCWD, path,
			O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	long n = 0;

	if (fd < 0)
		return 0;
	for (long done = 0; done < FACT_CONTENT_MOST; done += n) {
		n = raw_3(read, fd, part, sizeof part);
		if (n == -EISDIR)
			sum = fact_names(fd);
		if (n <= 0)
			break;
		sum = crc_hash(sum, part, n);
	}
	raw_1(close, fd);
	return n < 0 && n != -EISDIR ? 0 : fact_never_0(sum);
}

static uint64_t fact_link(const char *path)
{
	char target[FACT_PART];
	long n = raw_4(readlinkat, AT_FDCWD, path, target, sizeof target);

	return n < 0 ? 0 : fact_never_0(crc_hash(FACT_LINK, target, n));
}

/* ---- the machine and the process -------------------------------------------- */

static uint64_t fact_uname(void)
{
	char names[6 * 65];

	raw_1(uname, names);
	return crc_hash(FACT_UNAME, names, sizeof names);
}

static uint64_t fact_affinity(bool count)
{
	uint64_t mask[128] = { 0 };
	uint64_t cpus = 0;
	long n = raw_3(sched_getaffinity, 0, sizeof mask, mask);

	if (n < 0)
		return 1;
	for (unsigned i = 0; i < sizeof mask / sizeof *mask; i++)
		for (uint64_t bits = mask[i]; bits; bits &= bits - 1)
			cpus++; /* no popcount: that may be a call */
	return count ? cpus : crc_hash(FACT_AFFINITY, mask, sizeof mask);
}

struct fact_sysinfo {
	long uptime;
	unsigned long loads[3], total, free, shared, buffers, swap_total,
		swap_free;
	unsigned short procs, pad;
	unsigned long high_total, high_free;
	unsigned unit;
	char room[64];
};

static uint64_t fact_memory(void)
{
	struct fact_sysinfo info;

	memset(&info, 0, sizeof info);
	raw_1(sysinfo, &info);
	return fact_mix(fact_mix(FACT_MEMORY_TOTAL, info.total), info.unit);
}

static uint64_t fact_limits(void)
{
	uint64_t sum = FACT_LIMITS, limit[2];

	for (int i = 0; i < 16; i++)
		if (raw_4(prlimit64, 0, i, 0, limit) == 0)
			sum = crc_hash(sum, limit, sizeof limit);
	return sum;
}

static uint64_t fact_credentials(void)
{
	uint32_t id[6], groups[512];
	uint64_t sum = FACT_CREDENTIALS;
	long n;

	raw_3(getresuid, &id[0], &id[1], &id[2]);
	raw_3(getresgid, &id[3], &id[4], &id[5]);
	n = raw_2(getgroups, 512, groups);
	sum = crc_hash(sum, id, sizeof id);
	return n > 0 ? crc_hash(sum, groups, n * sizeof *groups) : sum;
}

static uint64_t fact_cwd(void)
{
	char path[FACT_PART];
	long n = raw_2(getcwd, path, sizeof path);

	return n < 0 ? 1 : crc_hash(FACT_CWD, path, n);
}

static uint64_t fact_umask(void)
{
	long mask = raw_1(umask, 077);

	raw_1(umask, mask);
	return mask + 1;
}

struct fact_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* 32 and 33 belong to the C library, which keeps programs from them:
 * posix_spawn() leaves them ignored in what it starts. */
static uint64_t fact_signals(void)
{
	struct fact_action action;
	uint64_t ignored = 0, blocked = 0;

	for (int i = 1; i < 65; i++)
		if (i != 32 && i != 33 &&
		    raw_4(rt_sigaction, i, 0, &action, 8) == 0 &&
		    action.handler == (void *)1)
			ignored |= 1ull << (i - 1);
	raw_4(rt_sigprocmask, 0, 0, &blocked, 8);
	return fact_mix(fact_mix(FACT_SIGNALS, ignored), blocked);
}

static uint64_t fact_capabilities(void)
{
	struct {
		uint32_t version;
		int32_t pid;
	} head = { 0x20080522, 0 };
	uint32_t data[6] = { 0 };

	raw_2(capget, &head, data);
	return crc_hash(FACT_CAPABILITIES, data, sizeof data);
}

static uint64_t fact_machine(uint32_t which)
{
	int32_t priority = 0;

	switch (which) {
	case FACT_UNAME: return fact_uname();
	case FACT_AFFINITY: return fact_affinity(false);
	case FACT_CPU_COUNT: return fact_affinity(true);
	case FACT_MEMORY_TOTAL: return fact_memory();
	case FACT_LIMITS: return fact_limits();
	case FACT_CREDENTIALS: return fact_credentials();
	case FACT_CWD: return fact_cwd();
	case FACT_UMASK: return fact_umask();
	case FACT_PRIORITY: return raw_2(getpriority, 0, 0);
	case FACT_SIGNALS: return fact_signals();
	case FACT_PERSONALITY: return raw_1(personality, 0xffffffff) + 1;
	case FACT_SCHEDULER:
		raw_2(sched_getparam, 0, &priority);
		return fact_mix(raw_1(sched_getscheduler, 0), priority);
	case FACT_CAPABILITIES: return fact_capabilities();
	}
	return 0;
}

/* Whoever asks learns whether it is open as well: Python has no sys.stdin
 * where it is not. */
static uint64_t fact_terminal(uint32_t fd)
{
	char attributes[64];
	long r = raw_3(ioctl, fd, 0x5401, attributes); /* TCGETS */

	if (r == -EBADF)
		return 0;
	return r == 0 ? 2 : 1;
}

static uint64_t fact_descriptor(uint32_t number)
{
	uint32_t fd = number & 0xffff;
	struct statx st;

	if (number & FACT_DESCRIPTOR_TERMINAL)
		return fact_terminal(fd);
	if (raw_5(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO, &st) <
	    0)
		return 0;
	if (number & FACT_DESCRIPTOR_FORM)
		return (st.stx_mode & S_IFMT) == S_IFREG ? 2 : 1;
	uint64_t part[] = { st.stx_mode & S_IFMT, st.stx_rdev_major,
			    st.stx_rdev_minor, fact_terminal(fd) == 2 };

	return fact_never_0(crc_hash(FACT_DESCRIPTOR, part, sizeof part));
}

uint64_t fact_now(uint32_t kind, uint32_t number, const char *name)
{
	switch (kind) {
	case FACT_FILE: return fact_file(name, 0);
	case FACT_LINK_FILE: return fact_file(name, AT_SYMLINK_NOFOLLOW);
	case FACT_CONTENT: return fact_content(name);
	case FACT_LINK: return fact_link(name);
	case FACT_MACHINE: return fact_never_0(fact_machine(number));
	case FACT_DESCRIPTOR: return fact_descriptor(number);
	}
	return 0;
}

/* ---- comparing -------------------------------------------------------------- */

const char *fact_variable(char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

static const char *fact_words(char *words, unsigned room, const char *name,
			      const char *rest)
{
	size_t a = strlen(name), b = strlen(rest);

	if (room == 0)
		return rest;
	if (b > room - 1)
		b = room - 1;
	if (a > room - 1 - b)
		a = room - 1 - b;
	memcpy(words, name, a);
	memcpy(words + a, rest, b);
	words[a + b] = 0;
	return words;
}

static const char *fact_machine_name(uint32_t which)
{
	static const char names[][28] = {
		"",
		"the system's name",
		"the affinity",
		"the CPU count",
		"the memory size",
		"a limit",
		"the user",
		"the folder",
		"the umask",
		"the priority",
		"the set of signals",
		"the personality",
		"the scheduler",
		"the set of capabilities",
	};

	return which < sizeof names / sizeof *names ? names[which] : "";
}

static const char *fact_descriptor_name(uint32_t number)
{
	static const char names[][3][28] = {
		{ "what stdin is", "what stdout is", "what stderr is" },
		{ "whether stdin is a file", "whether stdout is a file",
		  "whether stderr is a file" },
		{ "whether stdin is a terminal", "whether stdout is a terminal",
		  "whether stderr is a terminal" },
	};
	uint32_t fd = number & 0xffff, about = number >> 16;

	return fd < 3 && about < 3 ? names[about][fd] : "a descriptor";
}

const char *fact_subject(uint32_t kind, uint32_t number)
{
	if (kind == FACT_MACHINE)
		return fact_machine_name(number);
	return kind == FACT_DESCRIPTOR ? fact_descriptor_name(number) : NULL;
}

static bool fact_environment_holds(const struct program_image *image,
				   const struct image_fact *fact,
				   char *const *envp)
{
	const char *now = fact_variable(envp, image_string(image, fact->name));

	if (!now || !fact->text)
		return !now && !fact->text;
	return strcmp(now, image_string(image, fact->text)) == 0;
}

const char *fact_difference(const struct program_image *image,
			    char *const *envp, char *words, unsigned room)
{
	const struct image_fact *fact = image_facts(image);

	for (uint32_t i = 0; i < image->fact_count; i++, fact++) {
		const char *name = image_string(image, fact->name);

		if (fact->kind == FACT_ENVIRONMENT) {
			if (!fact_environment_holds(image, fact, envp))
				return fact_words(words, room, name,
						  " is another");
			continue;
		}
		if (fact_now(fact->kind, fact->number, name) == fact->value)
			continue;
		if (fact->kind == FACT_MACHINE)
			return fact_words(words, room,
					  fact_machine_name(fact->number),
					  " is another");
		if (fact->kind == FACT_DESCRIPTOR)
			name = fact_descriptor_name(fact->number);
		return fact_words(words, room, name, " has changed");
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a stopped program from outside.  A fork copies memory and
 * descriptors but no other thread, timer or lock on memory, and it shares
 * what is mapped shared; an image holds memory alone.  Whatever a program has
 * beyond that is a reason, in words for the person who asked why it starts
 * cold.  All looks are in examine(), in order; the first reason of each way
 * is kept. */
#include "launch/examine.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/maps.h"
#include "base/process.h"
#include "brood/program_image.h"
#include "launch/refer.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	EXAMINE_TEXT_MOST = 256 << 20, /* smaps of a very large program */
	EXAMINE_PAGE = 4096,
	EXAMINE_PART = 256, /* pages read at once */
};

struct exam {
	pid_t pid;
	const struct control_stopped *stopped;
	struct verdict *verdict;
	struct maps maps;
	struct err *err;
};

enum way { WAY_BOTH, WAY_CLONE, WAY_HATCH };

static void refuse(struct exam *exam, enum way way, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void refuse(struct exam *exam, enum way way, const char *format, ...)
{
	struct verdict *verdict = exam->verdict;
	char words[sizeof verdict->no_clone];
	va_list list;

	va_start(list, format);
	vsnprintf(words, sizeof words, format, list);
	va_end(list);
	if (way != WAY_HATCH && !verdict->no_clone[0])
		memcpy(verdict->no_clone, words, sizeof words);
	if (way != WAY_CLONE && !verdict->no_hatch[0])
		memcpy(verdict->no_hatch, words, sizeof words);
}

static int open_proc(const struct exam *exam, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", exam->pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int read_proc(struct exam *exam, pid_t pid, const char *name,
		     struct buf *text)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	return file_read(path, text, EXAMINE_TEXT_MOST, exam->err);
}

/* ---- what was told already ------------------------------------------------ */

static void examine_told(struct exam *exam, const struct witness *witness)
{
	const struct control_stopped *stopped = exam->stopped;

	if (stopped->refused[0])
		refuse(exam, WAY_BOTH, "%.*s", (int)sizeof stopped->refused - 1,
		       stopped->refused);
	if (witness->no_clone[0])
		refuse(exam, WAY_CLONE, "%s", witness->no_clone);
	if (witness->no_hatch[0])
		refuse(exam, WAY_HATCH, "%s", witness->no_hatch);
	if (stopped->deep)
		refuse(exam, WAY_HATCH, "is stopped inside main");
	if (!stopped->resume)
		refuse(exam, WAY_HATCH, "the shim offers no way to resume");
}

/* ---- threads, timers, state ----------------------------------------------- */

static void examine_threads(struct exam *exam)
{
	int count = process_thread_count(exam->pid);

	if (count != 1)
		refuse(exam, WAY_BOTH, "has %d threads at its stop", count);
}

/* The file is missing where the kernel was built without it. */
static void examine_timers(struct exam *exam)
{
	auto_close int fd = open_proc(exam, "timers");
	char first;

	if (fd >= 0 && read(fd, &first, 1) == 1)
		refuse(exam, WAY_BOTH, "has a timer that runs");
}

static uint64_t status_number(const char *status, const char *name, int base)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, base) : 0;
}

static int examine_status(struct exam *exam)
{
	auto_buf struct buf theirs = { 0 }, ours = { 0 };
	int rc;

	if ((rc = read_proc(exam, exam->pid, "status", &theirs)) < 0 ||
	    (rc = read_proc(exam, getpid(), "status", &ours)) < 0)
		return rc;
	const char *it = buf_string(&theirs), *we = buf_string(&ours);
	if (status_number(it, "\nVmLck:", 10))
		refuse(exam, WAY_BOTH, "has locked memory (mlock)");
	if (status_number(it, "\nSeccomp:", 10) !=
		    status_number(we, "\nSeccomp:", 10) ||
	    status_number(it, "\nSeccomp_filters:", 10) !=
		    status_number(we, "\nSeccomp_filters:", 10))
		refuse(exam, WAY_BOTH,
		       "has limited its system calls "
		       "(seccomp)");
	if (status_number(it, "\nNoNewPrivs:", 10) !=
	    status_number(we, "\nNoNewPrivs:", 10))
		refuse(exam, WAY_BOTH, "has set no_new_privs");
	if (status_number(it, "\nSigPnd:", 16) |
	    status_number(it, "\nShdPnd:", 16))
		refuse(exam, WAY_BOTH, "has a signal waiting");
	return 0;
}

/* ---- descriptors ---------------------------------------------------------- */

/* The other end of the control pair is ours: the kernel tells who made it,
 * whatever number the shim has moved it to. */
static bool is_control(int process, int fd)
{
	struct ucred maker = { 0 };
	int domain = 0, type = 0;
	socklen_t len = sizeof domain, maker_len = sizeof maker;
	auto_close int copy = (int)syscall(SYS_pidfd_getfd, process, fd, 0);

	return copy >= 0 &&
	       getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       getsockopt(copy, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       getsockopt(copy, SOL_SOCKET, SO_PEERCRED, &maker, &maker_len) ==
		       0 &&
	       domain == AF_UNIX && type == SOCK_SEQPACKET &&
	       maker.pid == getpid();
}

static void examine_descriptor(struct exam *exam, int dir, int process,
			       const char *name)
{
	char link[PATH_MAX];
	int fd = atoi(name);
	ssize_t len;

	if (fd <= 2)
		return;
	len = readlinkat(dir, name, link, sizeof link - 1);
	if (len < 0)
		return;
	link[len] = 0;
	if (strncmp(link, "socket:", 7) == 0 && is_control(process, fd))
		return;
	refuse(exam, WAY_BOTH, "keeps descriptor %d open: %.100s", fd, link);
}

static int examine_descriptors(struct exam *exam)
{
	char path[64];
	auto_close int process = (int)syscall(SYS_pidfd_open, exam->pid, 0);
	struct dirent *entry;

	snprintf(path, sizeof path, "/proc/%d/fd", exam->pid);
	DIR *dir = opendir(path);
	if (!dir)
		return err_set(exam->err, -errno, "open %s", path);
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			examine_descriptor(exam, dirfd(dir), process,
					   entry->d_name);
	closedir(dir);
	return 0;
}

/* ---- mappings ------------------------------------------------------------- */

static const char *map_name(const struct map *map)
{
	return map->name[0] ? map->name : "memory without a name";
}

static bool is_named_by_kernel(const char *name)
{
	static const char *const names[] = { "[heap]",	   "[stack]",
					     "[vdso]",	   "[vvar]",
					     "[vsyscall]", "[vvar_vclock]" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return strncmp(name, "[anon:", 6) == 0;
}

static void examine_map(struct exam *exam, const struct map *map)
{
	if (map->shared && ((map->prot & PROT_WRITE) || map->deleted))
		refuse(exam, WAY_BOTH, "shares memory: %.100s", map_name(map));
	else if (map->shared && strncmp(map->name, "/dev/", 5) == 0)
		refuse(exam, WAY_BOTH, "maps a device: %.100s", map->name);
	else if (map->deleted)
		refuse(exam, WAY_HATCH, "maps a file that is deleted: %.100s",
		       map->name);
	else if (map->name[0] == '[' && !is_named_by_kernel(map->name))
		refuse(exam, WAY_HATCH, "has memory of an unknown kind: %.60s",
		       map->name);
}

static bool has_map(const struct exam *exam, const char *name, uint64_t at)
{
	for (size_t i = 0; i < exam->maps.count; i++)
		if (strcmp(exam->maps.map[i].name, name) == 0 &&
		    (!at || exam->maps.map[i].start == at))
			return true;
	return false;
}

static void examine_maps(struct exam *exam)
{
	for (size_t i = 0; i < exam->maps.count; i++)
		examine_map(exam, &exam->maps.map[i]);
	if (!has_map(exam, "[vdso]", exam->stopped->vdso) ||
	    !has_map(exam, "[vvar]", 0))
		refuse(exam, WAY_HATCH, "has no vdso");
	if (exam->maps.count > IMAGE_MAPS_MOST)
		refuse(exam, WAY_HATCH, "has %zu mappings, more than %d",
		       exam->maps.count, IMAGE_MAPS_MOST);
}

/* One mapping's VmFlags, two letters each.  Memory that a fork wipes holds
 * the state of random generators: two hatched from one image would agree. */
static void examine_flags(struct exam *exam, uint64_t start, const char *flags,
			  size_t len)
{
	const struct map *map = maps_find(&exam->maps, start);
	bool stack = map && strcmp(map->name, "[stack]") == 0;

	for (size_t i = 0; i + 2 <= len; i += 3) {
		if (memcmp(flags + i, "gd", 2) == 0 && !stack)
			refuse(exam, WAY_HATCH, "has a second growing stack");
		if (memcmp(flags + i, "lo", 2) == 0)
			refuse(exam, WAY_BOTH, "has locked memory (mlock)");
		if (memcmp(flags + i, "wf", 2) == 0)
			refuse(exam, WAY_HATCH,
			       "has memory that each fork "
			       "wipes");
		if (memcmp(flags + i, "dc", 2) == 0 && map &&
		    map->name[0] != '[' && !map->shared)
			refuse(exam, WAY_BOTH,
			       "has memory that no fork "
			       "copies");
	}
}

static int examine_smaps(struct exam *exam)
{
	static const char tag[] = "VmFlags: ";
	auto_buf struct buf text = { 0 };
	uint64_t start = 0;
	int rc = read_proc(exam, exam->pid, "smaps", &text);

	if (rc < 0)
		return rc;
	for (const char *line = buf_string(&text); *line;) {
		size_t len = strcspn(line, "\n");
		if (strncmp(line, tag, sizeof tag - 1) == 0)
			examine_flags(exam, start, line + sizeof tag - 1,
				      len - (sizeof tag - 1));
		else if (isxdigit((unsigned char)*line) &&
			 !isupper((unsigned char)*line))
			start = strtoull(line, NULL, 16);
		line += len + (line[len] == '\n');
	}
	return 0;
}

/* ---- argv ----------------------------------------------------------------- */

/* Whose memory it is: an object's zeroed data follows its file's mapping and
 * has no name of its own. */
static const char *map_owner(const struct exam *exam, size_t i)
{
	const struct map *map = exam->maps.map;

	while (!map[i].name[0] && i > 0 && map[i - 1].end == map[i].start)
		i--;
	return map[i].name;
}

/* glibc, its loader and the shim know argv and are told of the new one. */
static bool knows_argv(const char *owner)
{
	const char *base = file_base(owner);

	return strcmp(owner, "[stack]") == 0 ||
	       strncmp(base, "ld-linux-", 9) == 0 ||
	       strcmp(base, "libc.so.6") == 0 ||
	       strcmp(base, "brood-shim.so") == 0;
}

/* Written memory: present or swapped out, and not a page of the file. */
static bool is_written(uint64_t pagemap)
{
	return (pagemap >> 62 & 3) && !(pagemap >> 61 & 1);
}

/* A structure is reached by the address of its first member, so that nothing
 * refers to the others; one that keeps argv keeps argc or envp beside it. */
static bool stands_by_argc(const struct exam *exam, const uint64_t *word,
			   size_t count, size_t i)
{
	uint64_t argc = exam->stopped->argc;
	uint64_t envp = exam->stopped->argv + (argc + 1) * sizeof *word;

	for (size_t n = i ? i - 1 : i; n <= i + 1 && n < count; n++)
		if (n != i && (word[n] == envp || (uint32_t)word[n] == argc ||
			       word[n] >> 32 == argc))
			return true;
	return false;
}

static bool find_argv(struct exam *exam, int memory, uint64_t at,
		      const uint64_t *word, size_t count, const char *owner)
{
	uint64_t low = exam->stopped->argv;
	uint64_t bytes = exam->stopped->argc * sizeof *word;

	for (size_t i = 0; i < count; i++) {
		if (word[i] - low > bytes)
			continue;
		if (owner[0] == '/' && !stands_by_argc(exam, word, count, i) &&
		    !refer_to(memory, &exam->maps, owner,
			      at + i * sizeof *word))
			continue;
		const struct map *map =
			maps_find(&exam->maps, at + i * sizeof *word);
		refuse(exam, WAY_BOTH,
		       "keeps its arguments (argv) at %.100s+%#lx",
		       owner[0] ? file_base(owner) : "memory without a name",
		       (long)(at + i * sizeof *word - (map ? map->start : 0)));
		return true;
	}
	return false;
}

/* A run of pages of one mapping; only the written ones are read. */
static bool scan_part(struct exam *exam, int memory, int pagemap, uint64_t at,
		      size_t pages, const char *owner)
{
	uint64_t word[EXAMINE_PAGE / sizeof(uint64_t)], entry[EXAMINE_PART];
	ssize_t len = pread(pagemap, entry, pages * sizeof *entry,
			    at / EXAMINE_PAGE * sizeof *entry);

	for (size_t i = 0; i < pages && (ssize_t)(i * sizeof *entry) < len;
	     i++, at += EXAMINE_PAGE)
		if (is_written(entry[i]) &&
		    pread(memory, word, sizeof word, at) == sizeof word &&
		    find_argv(exam, memory, at, word,
			      EXAMINE_PAGE / sizeof *word, owner))
			return true;
	return false;
}

static bool scan_map(struct exam *exam, int memory, int pagemap,
		     const struct map *map, const char *owner)
{
	const uint64_t step = (uint64_t)EXAMINE_PART * EXAMINE_PAGE;

	for (uint64_t at = map->start; at < map->end; at += step) {
		uint64_t left = map->end - at;
		size_t pages = (left < step ? left : step) / EXAMINE_PAGE;
		if (scan_part(exam, memory, pagemap, at, pages, owner))
			return true;
	}
	return false;
}

/* Constructors are given argv.  One that keeps it would have the template's
 * in every copy, whose own arguments lie elsewhere. */
static int examine_argv(struct exam *exam)
{
	auto_close int memory = open_proc(exam, "mem");
	auto_close int pagemap = open_proc(exam, "pagemap");

	if (exam->stopped->deep)
		return 0;
	if (memory < 0 || pagemap < 0)
		return err_set(exam->err, -errno, "read memory of process %d",
			       exam->pid);
	for (size_t i = 0; i < exam->maps.count; i++) {
		const struct map *map = &exam->maps.map[i];
		const char *owner = map_owner(exam, i);
		if (!(map->prot & PROT_READ) || map->shared ||
		    map->start >> 47 || knows_argv(owner))
			continue;
		if (scan_map(exam, memory, pagemap, map, owner))
			return 0;
	}
	return 0;
}

int examine(pid_t pid, const struct control_stopped *stopped,
	    const struct witness *witness, struct verdict *verdict,
	    struct err *err)
{
	struct exam exam = {
		.pid = pid, .stopped = stopped, .verdict = verdict, .err = err
	};
	int rc;

	*verdict = (struct verdict){ 0 };
	if ((rc = maps_read(pid, &exam.maps, err)) < 0)
		return rc;
	examine_told(&exam, witness);
	examine_threads(&exam);
	examine_timers(&exam);
	examine_maps(&exam);
	if ((rc = examine_descriptors(&exam)) >= 0 &&
	    (rc = examine_status(&exam)) >= 0 &&
	    (rc = examine_smaps(&exam)) >= 0)
		rc = examine_argv(&exam);
	maps_fini(&exam.maps);
	verdict->clone = rc >= 0 && !verdict->no_clone[0];
	verdict->hatch = rc >= 0 && !verdict->no_hatch[0];
	return rc < 0 ? rc : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Jailed workers for tests: each does one thing, at either strength, as who
 * runs the test and as nobody, with folders, memory, a socket and /dev/kvm
 * open. */
#pragma once
#include "domain/jail.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* What stands open in every worker here. */
static struct outside {
	int folder, shown, file, outer, memory, pagemap, kvm, socket, spare;
	pid_t parent;
	char path[64];
} outside = { .kvm = -1 };

static struct told { /* shared with the workers */
	int status, error;
	struct jail_told told;
	uint64_t times[16];
} *told;

static inline void make_outside(void)
{
	int ends[2];

	if (told)
		return;
	told = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(outside.path, sizeof outside.path, "/tmp/brood-jail.XXXXXX");
	if (!mkdtemp(outside.path))
		exit(1);
	chmod(outside.path, 0777);
	outside.outer = open(outside.path, O_DIRECTORY | O_CLOEXEC);
	mkdirat(outside.outer, "in", 0777);
	fchmodat(outside.outer, "in", 0777, 0);
	close(openat(outside.outer, "secret", O_CREAT | O_CLOEXEC, 0666));
	outside.folder = openat(outside.outer, "in", O_DIRECTORY | O_CLOEXEC);
	mkdirat(outside.outer, "shown", 0777);
	fchmodat(outside.outer, "shown", 0777, 0);
	outside.shown = openat(outside.outer, "shown", O_DIRECTORY | O_CLOEXEC);
	close(openat(outside.shown, "file", O_CREAT | O_CLOEXEC, 0666));
	outside.file = openat(outside.folder, "file",
			      O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	fchmod(outside.file, 0666);
	outside.memory = memfd_create("jail", MFD_CLOEXEC);
	if (ftruncate(outside.memory, 1 << 16) < 0)
		exit(1);
	outside.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
	outside.socket = ends[0];
	outside.spare = ends[1];
	outside.parent = getpid();
}

static inline void __attribute__((destructor)) drop_outside(void)
{
	char path[80];

	if (!told || getpid() != outside.parent)
		return;
	snprintf(path, sizeof path, "%s/in/file", outside.path);
	unlink(path);
	snprintf(path, sizeof path, "%s/in", outside.path);
	rmdir(path);
	snprintf(path, sizeof path, "%s/shown/file", outside.path);
	unlink(path);
	snprintf(path, sizeof path, "%s/shown", outside.path);
	rmdir(path);
	snprintf(path, sizeof path, "%s/secret", outside.path);
	unlink(path);
	rmdir(outside.path);
}

struct kind {
	const char *name;
	enum jail_strength strength;
	bool nobody, bare;
	uint32_t require;
};
static const struct kind kinds[] = {
	{ "full", JAIL_FULL, .nobody = false },
	{ "quick", JAIL_QUICK, .nobody = false },
	{ "full, nobody", JAIL_FULL, .nobody = true },
	{ "quick, nobody", JAIL_QUICK, .nobody = true },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

typedef int work(void); /* 0, or what is the exit status */

static inline int make_keep(int *keep)
{
	int count = 0;

	keep[count++] = 2;
	keep[count++] = outside.socket;
	keep[count++] = 0;
	keep[count++] = 1;
	keep[count++] = outside.folder;
	keep[count++] = outside.shown;
	keep[count++] = outside.file;
	keep[count++] = outside.memory;
	keep[count++] = outside.pagemap;
	if (outside.kvm >= 0)
		keep[count++] = outside.kvm;
	return count;
}

static inline _Noreturn void be_worker(struct jail_options *options, work *does)
{
	struct err err = { 0 };
	int keep[16];

	/* Each process has its own, hidden from who has changed user. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	outside.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	/* A sanitizer's report would die of the calls that it makes. */
	signal(SIGSEGV, SIG_DFL);
	options->keep = keep;
	options->keep_count = make_keep(keep);
	if (jail_enter(options, &told->told, &err) < 0) {
		fprintf(stderr, "# %s\n", err.text);
		told->error = err.code;
		_exit(111);
	}
	_exit(does());
}

static inline void be_nobody(void)
{
	if ((setgroups(0, NULL) < 0 && errno != EPERM) ||
	    setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(112);
}

static inline int wait_for(pid_t pid)
{
	int status = -1;

	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

/* Who starts a worker as nobody is a process of its own. */
static inline int start(const struct kind *kind, work *does)
{
	struct jail_options options = {
		.strength = kind->strength,
		.kvm = !kind->bare,
		.sockets = !kind->bare,
		.folders = !kind->bare,
		.nofile = 64,
		.fsize = 1 << 20,
		.read_only = &outside.shown,
		.read_only_count = 1,
		.require = kind->require,
	};
	struct err err = { 0 };
	struct jail_told mine = { 0 };
	pid_t starter = kind->nobody ? fork() : 0;
	pid_t pid;

	if (starter > 0) {
		wait_for(starter);
		return told->status;
	}
	told->error = 0;
	told->status = -1;
	if (kind->nobody)
		be_nobody();
	pid = jail_fork(&options, &mine, &err);
	if (pid == 0) {
		told->told = mine;
		be_worker(&options, does);
	}
	if (pid < 0)
		fprintf(stderr, "# %s\n", err.text);
	told->status = wait_for(pid);
	if (kind->nobody)
		_exit(0);
	return told->status;
}

/* A user name space may have no nobody. */
static inline bool can(const struct kind *kind)
{
	static int may = -1;
	pid_t pid;

	if (!kind->nobody)
		return true;
	if (may < 0) {
		pid = fork();
		if (pid == 0) {
			be_nobody();
			_exit(0);
		}
		may = wait_for(pid) == 0;
	}
	return may;
}

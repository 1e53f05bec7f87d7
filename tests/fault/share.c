/* SPDX-License-Identifier: Apache-2.0 */
/* One who takes the lock of a share, adds a version and releases, is killed at
 * each system call, or has one after the other fail, or has it done and be
 * told that it failed.  After each: the next one gets the lock, with a higher
 * number; the chain of versions has no gap and no version twice; and what
 * failed was said, with the path of the share.
 *
 *	share FOLDER	prints TAP */
#include "share/share.h"
#include "base/fd.h"
#include "base/file.h"
#include "share/chain.h"
#include "share/lock.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS_MOST = 2000, TTL_MS = 100, KEPT = 4 };
static const char host_a[] = "0123456789abcdef0123456789abcdef";
static const char host_b[] = "fedcba9876543210fedcba9876543210";
static const char *folder;

/* ---- what is done -----------------------------------------------------------
 */

static int add_version(const struct share *share, struct err *err)
{
	uint64_t last = 0;
	int rc = chain_last(share->root, "v", &last, err);

	if (rc >= 0)
		rc = chain_add(share->root, "v", last + 1, "x", 1, err);
	if (rc >= 0)
		rc = chain_trim(share->root, "v", last + 1, KEPT, err);
	return rc < 0 ? err_wrap(err, "share %s", share->path), rc : 0;
}

static int work(const char *path, const char *host, const char *local,
		int wait_ms, struct err *err)
{
	auto_share struct share share = SHARE_NONE;
	struct share_lock lock = SHARE_LOCK_NONE;
	int rc = share_open(path, host, &share, err), released;

	if (rc < 0)
		return rc;
	share.local = local;
	rc = share_lock_take(&share, wait_ms, NULL, NULL, &lock, err);
	if (rc < 0)
		return rc;
	rc = share_lock_check(&lock, err);
	if (rc >= 0)
		rc = add_version(&share, err);
	released = share_lock_release(&lock, rc < 0 ? NULL : err);
	return rc < 0 ? rc : released;
}

/* ---- traced -----------------------------------------------------------------
 */

static pid_t traced_work(const char *path)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct err err = { 0 };
		int rc;

		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		rc = work(path, host_a, folder, 0, &err);
		if (rc < 0 && !strstr(err.text, folder))
			_exit(3); /* it has to say where */
		_exit(rc < 0);
	}
	waitpid(pid, NULL, 0);
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	return pid;
}

/* To the next call's begin or end; false: it is over, with this status. */
static bool step(pid_t pid, int *status)
{
	do {
		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		if (waitpid(pid, status, 0) < 0 || !WIFSTOPPED(*status))
			return false;
	} while (WSTOPSIG(*status) != (SIGTRAP | 0x80));
	return true;
}

static bool touches_files(const struct user_regs_struct *regs)
{
	switch (regs->orig_rax) {
	case SYS_openat:
	case SYS_read:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_statx:
	case SYS_newfstatat:
	case SYS_fsync:
	case SYS_ftruncate:
	case SYS_linkat:
	case SYS_unlinkat:
	case SYS_getdents64:
	case SYS_fcntl: return true;
	case SYS_close: return false;
	}
	return false;
}

enum fault { KILLED, FAILS, LOST };

/* Lets the call that has begun end so; a lost one is done, and not told. */
static bool spoil(pid_t pid, enum fault fault, int code, int *status)
{
	struct user_regs_struct regs;

	ptrace(PTRACE_GETREGS, pid, NULL, &regs);
	if (fault == FAILS) {
		regs.orig_rax = (unsigned long long)-1;
		ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	}
	if (!step(pid, status))
		return false;
	ptrace(PTRACE_GETREGS, pid, NULL, &regs);
	regs.rax = (unsigned long long)-(long long)code;
	ptrace(PTRACE_SETREGS, pid, NULL, &regs);
	return true;
}

/* Does it to the call of this number among those that touch files.  False:
 * there were not so many.  Its exit status goes to *end, -1 when killed. */
static bool strike(const char *path, enum fault fault, int code, int at,
		   int *end)
{
	pid_t pid = traced_work(path);
	struct user_regs_struct regs;
	int status = 0;
	bool done = false;

	while (step(pid, &status)) {
		ptrace(PTRACE_GETREGS, pid, NULL, &regs);
		if (!done && touches_files(&regs) && at-- == 0) {
			done = true;
			if (fault == KILLED) {
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				break;
			}
			if (!spoil(pid, fault, code, &status))
				break;
		} else if (!step(pid, &status)) {
			break;
		}
	}
	*end = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return done;
}

/* ---- what has become of it ----------------------------------------------------
 */

static void check_versions(const struct share *share, uint64_t before)
{
	uint64_t last = 0;

	CHECK_INT(chain_last(share->root, "v", &last, NULL), 0);
	CHECK(last == before || last == before + 1);
	for (uint64_t n = last; n > 0 && n + 2 > last; n--)
		CHECK_INT(chain_is_there(share->root, "v", n, NULL, NULL), 1);
}

static void check_next(const struct share *share, uint64_t epoch)
{
	struct share_lock lock;
	struct err err = { 0 };

	CHECK_INT(share_lock_take(share, 20000, NULL, NULL, &lock, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK(lock.epoch > epoch);
	CHECK_INT(share_lock_check(&lock, &err), 0);
	CHECK_INT(share_lock_release(&lock, &err), 0);
}

/* What who was killed leaves, which goes by its age otherwise. */
static int remove_drafts(int root, const char *under)
{
	int fd = openat(root, under, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int count = 0;

	while (list && (entry = readdir(list)))
		if (strstr(entry->d_name, ".new."))
			count += unlinkat(fd, entry->d_name, 0) == 0;
	if (list)
		closedir(list);
	return count;
}

/* All that was left undone is done by the next one. */
static void check_clean(const struct share *share, enum fault fault)
{
	struct err err = { 0 };
	uint64_t least, most;
	int drafts = remove_drafts(share->root, ".") +
		     remove_drafts(share->root, "lock/lease");

	CHECK(drafts <= 1);
	CHECK(fault != LOST || drafts == 0);
	CHECK_INT(work(share->path, host_b, NULL, 20000, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(chain_list(share->root, "v", &least, &most, NULL), 0);
	CHECK(most - least + 1 == KEPT);
}

static void everywhere(enum share_backend backend, enum fault fault, int code)
{
	struct share_wish wish = { .backend = backend, .ttl_ms = TTL_MS };
	auto_free char *path = file_format("%s/share", folder);
	auto_share struct share share = SHARE_NONE;
	bool going = true;
	int end = 0, steps = 0;

	CHECK_INT(share_make(path, &wish, NULL), 0);
	CHECK_INT(share_open(path, host_b, &share, NULL), 0);
	share.local = folder;
	for (int i = 0; i < 20; i++) /* that there is something to trim */
		CHECK_INT(work(path, host_b, NULL, 0, NULL), 0);
	while (going && steps < STEPS_MOST && !test_failures) {
		struct share_holder before;
		uint64_t last = 0;

		CHECK_INT(share_lock_look(&share, &before, NULL), 0);
		CHECK_INT(chain_last(share.root, "v", &last, NULL), 0);
		going = strike(path, fault, code, steps, &end);
		CHECK(end == (fault == KILLED && going ? -1 : 0) || end == 1);
		check_versions(&share, last);
		check_next(&share, before.epoch);
		check_clean(&share, fault);
		steps += going;
	}
	CHECK(steps > 20);
	if (test_failures)
		printf("# fault %d, code %d: at step %d, status %d\n", fault,
		       code, steps, end);
	CHECK_INT(end, 0); /* the last one was let alone */
	printf("# %d steps\n", steps);
	share_close(&share);
	file_remove_tree(path, NULL);
}

TEST(leases_killed_anywhere)
{
	everywhere(SHARE_LEASE, KILLED, 0);
}

TEST(ofd_locks_killed_anywhere)
{
	everywhere(SHARE_OFD, KILLED, 0);
}

static void fail_everywhere(enum share_backend backend, enum fault fault)
{
	static const int codes[] = { EIO, ENOSPC, EROFS, EACCES, ESTALE };

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		everywhere(backend, fault, codes[i]);
}

TEST(leases_with_calls_that_fail)
{
	fail_everywhere(SHARE_LEASE, FAILS);
}

TEST(ofd_locks_with_calls_that_fail)
{
	fail_everywhere(SHARE_OFD, FAILS);
}

TEST(leases_with_answers_that_are_lost)
{
	everywhere(SHARE_LEASE, LOST, EIO);
	everywhere(SHARE_LEASE, LOST, EEXIST);
}

TEST(ofd_locks_with_answers_that_are_lost)
{
	everywhere(SHARE_OFD, LOST, EIO);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 100;
	folder = argv[1];
	return test_main(argc - 1, argv + 1);
}

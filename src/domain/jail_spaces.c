/* SPDX-License-Identifier: Apache-2.0 */
/* Name spaces, and the empty root in them.
 *
 * A process does not move into a space of processes: it is born in it.  So
 * the caller's child makes the spaces, and has the worker as its sibling:
 *
 *	caller --fork--> maker --clone(CLONE_PARENT)--> worker, the caller's
 *	   ^---------------'  its number, by a pipe
 *
 * clone, other than fork, does not tell the C library that its thread has
 * another number; the kernel writes it where the library keeps it.  Where that
 * place cannot be asked for, or a space of processes cannot be had, the maker
 * is the worker, without that wall. */
#include "base/fd.h"
#include "domain/jail_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- user, mount ... net ---------------------------------------------------- */

static const struct jail_space {
	uint32_t wall;
	int flag;
} jail_kinds[] = {
	{ JAIL_USER, CLONE_NEWUSER },	  { JAIL_MOUNT, CLONE_NEWNS },
	{ JAIL_PID, CLONE_NEWPID },	  { JAIL_IPC, CLONE_NEWIPC },
	{ JAIL_UTS, CLONE_NEWUTS },	  { JAIL_NET, CLONE_NEWNET },
	{ JAIL_CGROUP, CLONE_NEWCGROUP },
};
enum { JAIL_KINDS = sizeof(jail_kinds) / sizeof(*jail_kinds) };

static int jail_write(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_write_all(fd, text, strlen(text), NULL);
}

static int jail_map(uid_t uid, gid_t gid)
{
	char users[64], groups[64];
	int rc;

	snprintf(users, sizeof(users), "%u %u 1\n", uid, uid);
	snprintf(groups, sizeof(groups), "%u %u 1\n", gid, gid);
	rc = jail_write("/proc/self/setgroups", "deny");
	if (rc >= 0)
		rc = jail_write("/proc/self/gid_map", groups);
	if (rc >= 0)
		rc = jail_write("/proc/self/uid_map", users);
	return rc;
}

/* Who changed user before is hidden, and its maps are root's. */
static int jail_user(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	return jail_map(uid, gid);
}

static int jail_flags(uint32_t spaces)
{
	int flags = 0;

	for (int i = 0; i < JAIL_KINDS; i++)
		if (spaces & jail_kinds[i].wall)
			flags |= jail_kinds[i].flag;
	return flags;
}

void jail_spaces(uint32_t spaces, struct jail_told *told)
{
	uint32_t others = spaces & ~JAIL_USER;
	int rc;

	if (spaces & JAIL_USER) {
		rc = jail_user();
		if (rc < 0)
			jail_missed(told, rc);
		else
			told->walls |= JAIL_USER;
	}
	if (!others)
		return;
	if (unshare(jail_flags(others)) == 0) {
		told->walls |= others;
		return;
	}
	for (int i = 0; i < JAIL_KINDS; i++) {
		if (!(others & jail_kinds[i].wall))
			continue;
		if (unshare(jail_kinds[i].flag) == 0)
			told->walls |= jail_kinds[i].wall;
		else
			jail_missed(told, -errno);
	}
}

/* ---- the root ----------------------------------------------------------- */

/* Of linux/mount.h, which older C libraries' sys/mount.h do not bear. */
enum {
	JAIL_FSOPEN_CLOEXEC = 1,
	JAIL_FSMOUNT_CLOEXEC = 1,
	JAIL_CMD_CREATE = 6,
	JAIL_ATTRIBUTES = 1 | 2 | 4 | 8, /* rdonly nosuid nodev noexec */
	JAIL_MOVE_EMPTY_PATH = 4,
};

static int jail_empty(void)
{
	auto_close int kind = syscall(SYS_fsopen, "tmpfs", JAIL_FSOPEN_CLOEXEC);
	int fd;

	if (kind < 0 ||
	    syscall(SYS_fsconfig, kind, JAIL_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = syscall(SYS_fsmount, kind, JAIL_FSMOUNT_CLOEXEC, JAIL_ATTRIBUTES);
	return fd < 0 ? -errno : fd;
}

/* The new root lies over the old one; then the old one over the new, and is
 * taken away. */
static int jail_pivot(int empty)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    syscall(SYS_move_mount, empty, "", AT_FDCWD, "/",
		    JAIL_MOVE_EMPTY_PATH) < 0 ||
	    fchdir(empty) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

/* Mounts that are not our own stay as they are. */
void jail_root(struct jail_told *told)
{
	auto_close int empty = jail_empty();
	int rc = empty < 0		    ? empty
		 : told->walls & JAIL_MOUNT ? jail_pivot(empty)
					    : -EPERM;

	if (rc >= 0) {
		told->walls |= JAIL_ROOT;
		return;
	}
	jail_missed(told, rc);
	if (empty >= 0 && fchdir(empty) == 0 && chroot(".") == 0 &&
	    chdir("/") == 0)
		told->walls |= JAIL_CHROOT;
}

/* ---- the worker's birth --------------------------------------------------- */

/* Where the C library keeps its thread's number; NULL where nobody tells. */
static pid_t *jail_number(void)
{
	pid_t *number = NULL;

	if (prctl(PR_GET_TID_ADDRESS, &number, 0, 0, 0) < 0 || !number)
		return NULL;
	return *number == gettid() ? number : NULL;
}

/* Returns in the worker. */
static void jail_make(int pipe, struct jail_told *told)
{
	pid_t *number = jail_number();
	long pid = getpid();

	jail_spaces(number ? JAIL_SPACES : JAIL_SPACES & ~JAIL_PID, told);
	if (!number)
		jail_missed(told, -ENOSYS);
	if (told->walls & JAIL_PID)
		pid = syscall(SYS_clone,
			      CLONE_PARENT | CLONE_CHILD_SETTID |
				      CLONE_CHILD_CLEARTID | SIGCHLD,
			      NULL, NULL, number, NULL);
	if (pid == 0)
		return;
	if (pid < 0)
		pid = -errno;
	if (fd_write_all(pipe, &pid, sizeof(pid), NULL) < 0 || pid != getpid())
		_exit(0);
}

static pid_t jail_born(int pipe, pid_t maker, struct err *err)
{
	long pid = 0;
	int rc = fd_read_all(pipe, &pid, sizeof(pid), err);

	if (rc >= 0 && pid == maker)
		return maker;
	while (waitpid(maker, NULL, 0) < 0 && errno == EINTR)
		;
	if (rc < 0)
		return err_set(err, rc, "start a worker");
	return pid < 0 ? err_set(err, pid, "start a worker") : pid;
}

static pid_t jail_fork_full(struct jail_told *told, struct err *err)
{
	auto_close int from = -1;
	auto_close int to = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "start a worker");
	from = ends[0];
	to = ends[1];
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "start a worker");
	if (pid == 0) {
		jail_make(to, told);
		return 0;
	}
	fd_close(&to);
	return jail_born(from, pid, err);
}

pid_t jail_fork(const struct jail_options *options, struct jail_told *told,
		struct err *err)
{
	pid_t pid;

	if (options->strength == JAIL_FULL)
		return jail_fork_full(told, err);
	pid = fork();
	return pid < 0 ? err_set(err, -errno, "start a worker") : pid;
}

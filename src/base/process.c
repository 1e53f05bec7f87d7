/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: started with nothing inherited but what the plan names. */
#include "base/process.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void process_reset_signals(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &plain, NULL); /* refused for KILL and STOP */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- in the child, between fork and exec ------------------------------- */

static bool process_is_kept(const struct process_plan *plan, int fd, int report)
{
	if (fd <= 2 || fd == report)
		return true;
	for (int i = 0; i < plan->keep_count; i++)
		if (plan->keep[i] == fd)
			return true;
	return false;
}

static int process_highest_fd(const struct process_plan *plan, int report)
{
	int high = report > 2 ? report : 2;

	for (int i = 0; i < plan->keep_count; i++)
		if (plan->keep[i] > high)
			high = plan->keep[i];
	return high;
}

static void process_close_others(const struct process_plan *plan, int report)
{
	int high = process_highest_fd(plan, report);

	for (int fd = 3; fd <= high; fd++)
		if (!process_is_kept(plan, fd, report))
			close(fd);
	if (syscall(SYS_close_range, high + 1, ~0u, 0) < 0)
		for (int fd = high + 1; fd < 4096; fd++)
			close(fd);
	for (int i = 0; i < plan->keep_count; i++)
		fcntl(plan->keep[i], F_SETFD, 0);
}

/* The sources may stand in each other's way (2 for 0, 0 for 2), so all are
 * moved up first. */
static int process_place_stdio(const struct process_plan *plan)
{
	int from[3];

	for (int i = 0; i < 3; i++) {
		int fd = plan->fds[i];

		if (fd < 0)
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		from[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
		if (from[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			return -errno;
	return 0;
}

/* What "more" is there for: a signal before the end. */
static int process_limit(int what, uint64_t most, uint64_t more)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) < 0)
		return -errno;
	if (limit.rlim_max > most + more)
		limit.rlim_max = most + more;
	if (limit.rlim_cur > most)
		limit.rlim_cur = most;
	return setrlimit(what, &limit) < 0 ? -errno : 0;
}

static int process_take_limits(const struct process_limits *limits)
{
	int r = process_limit(RLIMIT_CORE, 0, 0);

	if (r >= 0 && limits->memory_bytes)
		r = process_limit(RLIMIT_AS, limits->memory_bytes, 0);
	if (r >= 0 && limits->file_bytes)
		r = process_limit(RLIMIT_FSIZE, limits->file_bytes, 0);
	if (r >= 0 && limits->cpu_s)
		r = process_limit(RLIMIT_CPU, limits->cpu_s, 1);
	if (r >= 0 && limits->nice)
		nice(limits->nice);
	return r;
}

/* Whoever started it may have ended before it could be told of that. */
static int process_bind(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static int process_become(const struct process_plan *plan, int report,
			  pid_t parent)
{
	int r = process_place_stdio(plan);

	if (r < 0)
		return r;
	process_close_others(plan, report);
	process_reset_signals();
	if (plan->new_session)
		setsid();
	else if (plan->new_group)
		setpgid(0, 0);
	if (plan->cwd && chdir(plan->cwd) < 0)
		return -errno;
	if (plan->dies_with_us && (r = process_bind(parent)) < 0)
		return r;
	if (plan->traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		return -errno;
	if (plan->limits && (r = process_take_limits(plan->limits)) < 0)
		return r;
	execve(plan->path, plan->argv, plan->envp ? plan->envp : environ);
	return -errno;
}

/* A pipe end that no kept descriptor and no stdio number collides with. */
static int process_report_pipe(const struct process_plan *plan, int ends[2])
{
	int least = process_highest_fd(plan, -1) + 8;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int r = fd_raise(&ends[1], least);

	if (r < 0) {
		close(ends[0]);
		close(ends[1]);
	}
	/* There is no such number under the limit. */
	return r == -EINVAL ? -EMFILE : r;
}

pid_t process_start(const struct process_plan *plan, struct err *err)
{
	int ends[2], failed = 0;
	int r = process_report_pipe(plan, ends);
	pid_t pid, parent = getpid();

	if (r < 0)
		return err_set(err, r, "pipe");
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		failed = process_become(plan, ends[1], parent);
		if (write(ends[1], &failed, sizeof failed) < 0)
			_exit(126);
		_exit(127);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return err_set(err, -errno, "fork");
	}
	/* A traced child stops inside exec, with the pipe already closed. */
	ssize_t n = read(ends[0], &failed, sizeof failed);

	close(ends[0]);
	if (n != sizeof failed)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err_set(err, failed, "execute %s", plan->path);
}

/* ---- from outside --------------------------------------------------------- */

int process_pidfd(pid_t pid, struct err *err)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? err_set(err, -errno, "pidfd of %d", pid) : fd;
}

static int process_try_wait(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, WNOHANG);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got == pid;
}

int process_wait(pid_t pid, int timeout_ms, int *status)
{
	uint64_t deadline = clock_deadline(timeout_ms);
	auto_close int fd = process_pidfd(pid, NULL);

	for (;;) {
		int r = process_try_wait(pid, status);

		if (r != 0)
			return r < 0 ? r : 0;
		if (clock_left_ms(deadline) == 0)
			return -ETIME;
		if (fd >= 0)
			fd_wait(fd, POLLIN, clock_left_ms(deadline));
		else
			clock_sleep_ms(2);
	}
}

char *process_exe(pid_t pid)
{
	char path[64], name[4096];
	ssize_t n;

	snprintf(path, sizeof path, pid ? "/proc/%d/exe" : "/proc/self/exe",
		 pid);
	n = readlink(path, name, sizeof name - 1);
	if (n <= 0)
		return NULL;
	name[n] = 0;
	return strdup(name);
}

int process_thread_count(pid_t pid)
{
	char path[64];
	struct dirent *entry;
	int count = 0;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *folder = opendir(path);

	if (!folder)
		return -errno;
	while ((entry = readdir(folder)))
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static bool process_is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0;
}

char *process_find_in_path(const char *name, const char *path)
{
	if (strchr(name, '/'))
		return process_is_program(name) ? strdup(name) : NULL;
	for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin";
	     *name;) {
		size_t len = strcspn(at, ":");
		char *full = file_format("%.*s/%s", len ? (int)len : 1,
					 len ? at : ".", name);

		if (!full || process_is_program(full))
			return full;
		free(full);
		if (!at[len])
			break;
		at += len + 1;
	}
	return NULL;
}

bool process_feature(const char *name)
{
	const char *off = getenv("BROOD_WITHOUT");
	size_t len = strlen(name);

	while (off && *off) {
		size_t n = strcspn(off, ",");

		if (n == len && strncmp(off, name, n) == 0)
			return false;
		off += n + (off[n] == ',');
	}
	return true;
}

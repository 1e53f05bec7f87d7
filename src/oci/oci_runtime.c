/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_runtime.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNTIME_ANSWER_MOST = 64 << 20 };

/* Engines may start us without a PATH. */
static const char *runtime_path(void)
{
	const char *path = getenv("PATH");

	return path && *path ? path
			     : "/usr/local/sbin:/usr/local/bin:/usr/sbin:"
			       "/usr/bin:/sbin:/bin";
}

/* We would start ourselves for ever. */
static bool runtime_is_us(const char *path)
{
	struct stat self, other;

	return stat("/proc/self/exe", &self) == 0 && stat(path, &other) == 0 &&
	       self.st_dev == other.st_dev && self.st_ino == other.st_ino;
}

static char *runtime_look(const char *name)
{
	char *path = strchr(name, '/')
			     ? strdup(name)
			     : process_find_in_path(name, runtime_path());

	if (path && access(path, X_OK) == 0 && !runtime_is_us(path))
		return path;
	free(path);
	return NULL;
}

char *oci_runtime_find(struct err *err)
{
	const char *told = secure_getenv("BROOD_OCI_RUNTIME");
	char *path;

	if (told && *told) {
		path = runtime_look(told);
		if (!path)
			err_set(err, -EINVAL,
				"BROOD_OCI_RUNTIME: %s is no other program "
				"that can be run",
				told);
		return path;
	}
	path = runtime_look("runc");
	if (!path)
		path = runtime_look("crun");
	if (!path)
		err_set(err, -EINVAL,
			"no runtime to make containers with: neither runc nor "
			"crun is in PATH, and BROOD_OCI_RUNTIME is not set");
	return path;
}

int oci_runtime_become(const char *runtime, char *const *argv, struct err *err)
{
	execv(runtime, argv);
	return err_set(err, -errno, "start %s", runtime);
}

/* ---- as a child ------------------------------------------------------------------ */

struct runtime_start {
	const char *runtime;
	char *const *argv;
	sigset_t mask;
	pid_t parent;
	int answer; /* -1: none */
	bool quiet;
};

static _Noreturn void runtime_child(const struct runtime_start *start)
{
	int null = start->quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != start->parent)
		_exit(127);
	if ((start->answer >= 0 && dup2(start->answer, STDOUT_FILENO) < 0) ||
	    (null >= 0 && dup2(null, STDERR_FILENO) < 0))
		_exit(127);
	sigprocmask(SIG_SETMASK, &start->mask, NULL);
	execv(start->runtime, start->argv);
	fprintf(stderr, "brood-oci: start %s: %s\n", start->runtime,
		strerror(errno));
	_exit(127);
}

/* A key of the terminal is for the child too, without us. */
static void runtime_hand_on(pid_t child, const siginfo_t *info)
{
	if (info->si_signo != SIGCHLD && info->si_code != SI_KERNEL)
		kill(child, info->si_signo);
}

static int runtime_wait(pid_t child, const sigset_t *all)
{
	siginfo_t info;
	int status;

	for (;;) {
		pid_t ended = waitpid(child, &status, WNOHANG);

		if (ended == child)
			break;
		if (ended < 0 && errno != EINTR)
			return 1;
		if (sigwaitinfo(all, &info) > 0)
			runtime_hand_on(child, &info);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int runtime_read(int fd, struct buf *answer, struct err *err)
{
	return file_read_fd(fd, "the runtime's answer", answer,
			    RUNTIME_ANSWER_MOST, err);
}

/* The child is there: its answer and its end. */
static int runtime_follow(pid_t child, int in, struct buf *answer,
			  const sigset_t *all, struct err *err)
{
	int rc = answer ? runtime_read(in, answer, err) : 0;
	int code;

	fd_close(&in);
	code = runtime_wait(child, all);
	return rc < 0 ? rc : code;
}

int oci_runtime_run(const char *runtime, char *const *argv, struct buf *answer,
		    bool quiet, struct err *err)
{
	struct runtime_start start = { .runtime = runtime,
				       .argv = argv,
				       .parent = getpid(),
				       .quiet = quiet };
	int ends[2] = { -1, -1 }, rc;
	sigset_t all;
	pid_t child;

	if (answer && pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, -errno, "a pipe");
	start.answer = ends[1];
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &start.mask);
	child = fork();
	if (child == 0)
		runtime_child(&start);
	rc = child < 0 ? -errno : 0;
	fd_close(&ends[1]);
	if (rc < 0)
		err_set(err, rc, "start %s", runtime);
	else
		rc = runtime_follow(child, ends[0], answer, &all, err);
	if (child < 0)
		fd_close(&ends[0]);
	sigprocmask(SIG_SETMASK, &start.mask, NULL);
	return rc;
}

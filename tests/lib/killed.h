/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what is left when a process is killed anywhere. */
#pragma once
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int killed_work(const void *data); /* 0: done */

static inline int killed_waited(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return status;
}

/* Threads are traced from their begin, as the process is. */
static inline pid_t killed_traced(killed_work *work, const void *data)
{
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(work(data));
	}
	killed_waited(pid);
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	return pid;
}

/* Kills the process when its threads have begun or ended "steps" system
 * calls; false: it was over before. */
static inline int killed_at(killed_work *work, const void *data, int steps)
{
	pid_t pid = killed_traced(work, data), any;
	int status;

	while ((any = waitpid(-1, &status, __WALL)) > 0) {
		if (any == pid && (WIFEXITED(status) || WIFSIGNALED(status)))
			return 0;
		if (!WIFSTOPPED(status))
			continue;
		if (steps-- == 0)
			break;
		ptrace(PTRACE_SYSCALL, any, NULL, NULL);
	}
	kill(pid, SIGKILL);
	while ((any = waitpid(-1, &status, __WALL)) > 0)
		;
	return 1;
}

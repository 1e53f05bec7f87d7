/* SPDX-License-Identifier: Apache-2.0 */
/* The tracer: runs a program from its exec to its stop, one system call after
 * another.  What each means is told by witness_see.c.
 *
 *	exec .. loader, constructors .. MARK_MAIN .. [main ..] MARK_STOP
 *	        every call counts                    only a clone's
 *
 * Threads and children that the program starts by itself are not followed:
 * they are a reason already, and the program is not used.
 *
 * Invariant: whatever the outcome, the program is not held up: it is let go,
 * or it has ended, or (past the deadline) it runs and is the caller's to
 * kill, which the kernel does if the caller dies. */
#include "launch/witness.h"
#include "base/clock.h"
#include "launch/shim_control.h"
#include "launch/witness_see.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* <sys/ptrace.h> and <linux/ptrace.h> do not go together. */
long ptrace(int request, ...);

enum {
	WITNESS_SPINS = 200,
	WITNESS_NAP_LEAST_NS = 20 * 1000,
	WITNESS_NAP_MOST_NS = 1000 * 1000,
};

struct trace {
	struct sight sight;
	uint64_t deadline;
	uint64_t mask; /* blocked signals at the start */
	bool in_call, mask_checked, done;
};

static int fail_with(struct err *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The words say all: no strerror() behind them. */
static int fail_with(struct err *err, int code, const char *format, ...)
{
	char words[200];
	va_list list;

	va_start(list, format);
	vsnprintf(words, sizeof words, format, list);
	va_end(list);
	err_set(err, -EINVAL, "%s", words);
	if (err)
		err->code = code;
	return code;
}

/* Waits for one process and no longer than allowed, without a signal handler
 * or a thread: most stops come within microseconds, so it first only yields.
 * 1 with a status, 0 past the deadline. */
static int wait_for(pid_t pid, uint64_t deadline, int *status)
{
	struct timespec nap = { 0, WITNESS_NAP_LEAST_NS };

	for (int spins = 0;; spins++) {
		pid_t got = waitpid(pid, status, WNOHANG | __WALL);

		if (got == pid)
			return 1;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (spins < WITNESS_SPINS) {
			sched_yield();
			continue;
		}
		if (clock_left_ms(deadline) == 0)
			return 0;
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < WITNESS_NAP_MOST_NS)
			nap.tv_nsec *= 2;
	}
}

static int fail_ended(int status, struct err *err)
{
	if (WIFSIGNALED(status))
		return fail_with(err, -ECHILD,
				 "ended by signal %d (%s) before its stop",
				 WTERMSIG(status), strsignal(WTERMSIG(status)));
	return fail_with(err, -ECHILD, "ended with status %d before its stop",
			 WEXITSTATUS(status));
}

static int fail_late(const struct trace *trace, struct err *err)
{
	const char *name = see_name(trace->sight.number);

	if (trace->in_call && name)
		return fail_with(err, -ETIME,
				 "did not reach its stop in time: waits in %s",
				 name);
	return fail_with(err, -ETIME, "did not reach its stop in time");
}

/* The stop at exec may still be on its way or be taken note of already. */
static int witness_begin(struct trace *trace, struct err *err)
{
	const long options =
		PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	pid_t pid = trace->sight.pid;
	int status = 0;

	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, options) < 0) {
		int rc = wait_for(pid, trace->deadline, &status);
		if (rc < 0)
			return err_set(err, rc, "wait for process %d", pid);
		if (rc == 0)
			return fail_late(trace, err);
		if (!WIFSTOPPED(status))
			return fail_ended(status, err);
		if (ptrace(PTRACE_SETOPTIONS, pid, NULL, options) < 0)
			return err_set(err, -errno, "trace process %d", pid);
	} else {
		(void)waitpid(pid, &status, WNOHANG | __WALL);
	}
	if (ptrace(PTRACE_GETSIGMASK, pid, sizeof trace->mask, &trace->mask) <
	    0)
		return err_set(err, -errno, "signal mask of process %d", pid);
	return 0;
}

/* A launch sets the mask of its caller: one that constructors leave behind
 * would be lost. */
static void check_mask(struct trace *trace)
{
	uint64_t mask;

	if (trace->mask_checked)
		return;
	trace->mask_checked = true;
	if (ptrace(PTRACE_GETSIGMASK, trace->sight.pid, sizeof mask, &mask) ==
		    0 &&
	    mask != trace->mask)
		see_refuse(&trace->sight, "leaves signals blocked");
}

static void see_mark(struct trace *trace, uint64_t mark)
{
	struct sight *sight = &trace->sight;

	check_mask(trace);
	if (!sight->deep)
		see_end(sight);
	if (mark == SHIM_MARK_MAIN)
		sight->deep = true;
	if (mark == SHIM_MARK_STOP) {
		see_stop(sight);
		trace->done = true;
	}
}

static void enter_call(struct trace *trace,
		       const struct ptrace_syscall_info *info)
{
	struct sight *sight = &trace->sight;

	trace->in_call = true;
	sight->number = info->entry.nr;
	memcpy(sight->arg, info->entry.args, sizeof sight->arg);
	if (info->arch != AUDIT_ARCH_X86_64)
		see_refuse_always(sight, "makes 32-bit system calls");
	else if (sight->number == SYS_prctl && sight->arg[0] == SHIM_MARK)
		see_mark(trace, sight->arg[1]);
	else
		see_entry(sight);
}

static void leave_call(struct trace *trace,
		       const struct ptrace_syscall_info *info)
{
	struct sight *sight = &trace->sight;

	if (!trace->in_call)
		return;
	trace->in_call = false;
	sight->result = info->exit.rval;
	sight->stack = info->stack_pointer;
	/* a call that a signal interrupts is made again */
	if (info->arch == AUDIT_ARCH_X86_64 &&
	    !(sight->result <= -512 && sight->result >= -516))
		see_exit(sight);
}

static int see_call(struct trace *trace, struct err *err)
{
	struct ptrace_syscall_info info = { 0 };
	pid_t pid = trace->sight.pid;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0)
		return err_set(err, -errno, "trace process %d", pid);
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		enter_call(trace, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		leave_call(trace, &info);
	return 0;
}

/* The signal to pass on with the next step: none for our own stops and for
 * those of job control. */
static int signal_of(pid_t pid, int status)
{
	siginfo_t info;

	if (WSTOPSIG(status) == (SIGTRAP | 0x80) || status >> 16)
		return 0;
	if (ptrace(PTRACE_GETSIGINFO, pid, NULL, &info) < 0)
		return 0;
	return WSTOPSIG(status);
}

static int witness_step(struct trace *trace, int *status, struct err *err)
{
	pid_t pid = trace->sight.pid;
	int rc;

	if (ptrace(PTRACE_SYSCALL, pid, NULL, signal_of(pid, *status)) < 0 &&
	    errno != ESRCH)
		return err_set(err, -errno, "trace process %d", pid);
	rc = wait_for(pid, trace->deadline, status);
	if (rc < 0)
		return err_set(err, rc, "wait for process %d", pid);
	if (rc == 0)
		return fail_late(trace, err);
	if (!WIFSTOPPED(*status))
		return fail_ended(*status, err);
	if (WSTOPSIG(*status) == (SIGTRAP | 0x80))
		return see_call(trace, err);
	return 0;
}

/* CLAIM 0.3: the libraries are loaded and their constructors have run, and
 * what that start depended on is known. */
int witness_run(pid_t pid, int timeout_ms, struct witness *witness,
		struct err *err)
{
	struct trace trace = {
		.sight = { .pid = pid, .witness = witness },
		.deadline = clock_deadline(timeout_ms),
	};
	int status = SIGTRAP << 8 | 0x7f | 1 << 16; /* nothing to pass on */
	int rc;

	*witness = (struct witness){ 0 };
	if ((rc = witness_begin(&trace, err)) < 0)
		return rc;
	see_begin(&trace.sight);
	while (!trace.done)
		if ((rc = witness_step(&trace, &status, err)) < 0)
			return rc;
	if (ptrace(PTRACE_DETACH, pid, NULL, 0) < 0)
		return err_set(err, -errno, "let go of process %d", pid);
	return 0;
}

void witness_fini(struct witness *witness)
{
	for (size_t i = 0; i < witness->count; i++)
		free(witness->fact[i].name);
	free(witness->fact);
	*witness = (struct witness){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
/* With the copy until it ends: signals go on to it, its end is ours. */
#include "bare/raw.h"
#include "bare/wire_check.h"
#include "launch/hatch/starter.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

/* PIDFD_GET_INFO, Linux 6.13; its exit status, 6.15. */
struct follow_info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t status;
	uint32_t spare[2];
};
#define FOLLOW_GET_INFO                                             \
	(0xc0000000u | (uint32_t)sizeof(struct follow_info) << 16 | \
	 0xffu << 8 | 11)
enum {
	FOLLOW_EXIT = 1 << 3,
	FOLLOW_STATUS_MS = 2000,
	FOLLOW_LOOK_MS = 1024, /* 1, 2, 4 ... */
};

struct follow {
	int connection; /* -1 once it has ended */
	int pidfd, pid;
	int signals;
	bool ended; /* the pidfd says so */
	bool can_ask, watched;
	uint64_t asked; /* what of the pidfd */
	int look_ms;	/* then it is seen whether the copy stops; 0: no */
};

struct follow_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* Ends as the copy did: a shell sees the same status. */
static _Noreturn void follow_end(int status)
{
	struct follow_action plain = { 0 };
	struct rlimit none = { 0, 0 };
	int number = status & 0x7f;
	uint64_t mask = 0;

	if (number == 0)
		raw_1(exit_group, status >> 8 & 0xff);
	raw_4(prlimit64, 0, RLIMIT_CORE, &none, 0);
	raw_2(prctl, 4, 0); /* PR_SET_DUMPABLE: the core is the copy's */
	raw_4(rt_sigaction, number, &plain, 0, 8);
	raw_4(rt_sigprocmask, 2, &mask, 0, 8);
	raw_2(kill, raw_0(getpid), number);
	raw_1(exit_group, 128 + number);
	__builtin_unreachable();
}

static bool follow_ask_status(struct follow *follow, int *status)
{
	struct follow_info info;

	memset(&info, 0, sizeof info);
	info.mask = follow->asked;
	if (!follow->can_ask ||
	    raw_3(ioctl, follow->pidfd, FOLLOW_GET_INFO, &info) < 0 ||
	    !(info.mask & FOLLOW_EXIT))
		return false;
	*status = info.status;
	return true;
}

/* The socket has something: the status, or its end. */
static bool follow_receive(struct follow *follow, int *status)
{
	struct wire_exited exited;
	long n = raw_6(recvfrom, follow->connection, &exited, sizeof exited,
		       MSG_DONTWAIT, 0, 0);

	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n > 0 && !wire_check(&exited, n, 0, WIRE_EXITED)) {
		*status = exited.status;
		return true;
	}
	raw_1(close, follow->connection);
	follow->connection = -1;
	return false;
}

/* With the value that was queued, which may come only from somebody else. */
static void follow_pass_value(const struct follow *follow,
			      const struct signalfd_siginfo *from)
{
	siginfo_t info;

	memset(&info, 0, sizeof info);
	info.si_signo = (int)from->ssi_signo;
	info.si_code = SI_QUEUE;
	info.si_pid = (pid_t)from->ssi_pid;
	info.si_uid = from->ssi_uid;
	info.si_ptr = (void *)from->ssi_ptr;
	raw_4(pidfd_send_signal, follow->pidfd, info.si_signo, &info, 0);
}

/* What the terminal sends goes to the copy's group, as it would have gone
 * to the program and its children; what a process sends, to the copy.  An
 * alarm is the kernel's, too, but for one process; CONT is for all, as a
 * shell continues all of a job. */
static void follow_pass(const struct follow *follow,
			const struct signalfd_siginfo *from)
{
	int number = (int)from->ssi_signo;

	if (from->ssi_code == SI_QUEUE)
		follow_pass_value(follow, from);
	else if (number == SIGCONT ||
		 (from->ssi_code == SI_KERNEL && number != SIGALRM))
		raw_2(kill, -follow->pid, number);
	else
		raw_4(pidfd_send_signal, follow->pidfd, number, 0, 0);
}

static void follow_stop_self(struct follow *follow)
{
	follow->look_ms = 0;
	raw_2(kill, raw_0(getpid), SIGSTOP);
}

/* The signal itself is not enough where the program leaves it to the kernel:
 * that does nothing in a group without a parent in its session, as the
 * copy's is once its template has ended. */
static void follow_stop(struct follow *follow,
			const struct signalfd_siginfo *from)
{
	bool stops = halt_is_default(follow->pid, (int)from->ssi_signo);

	follow_pass(follow, from);
	follow->look_ms = 1;
	if (!stops)
		return;
	raw_4(pidfd_send_signal, follow->pidfd, SIGSTOP, 0, 0);
	follow_stop_self(follow);
}

/* A program that handles the signal may stop itself a moment later. */
static void follow_look(struct follow *follow)
{
	if (halt_has_come(follow->pid))
		follow_stop_self(follow);
	else if (follow->look_ms < FOLLOW_LOOK_MS)
		follow->look_ms *= 2;
	else
		follow->look_ms = 0;
}

static void follow_signal(struct follow *follow)
{
	struct signalfd_siginfo info;

	if (raw_3(read, follow->signals, &info, sizeof info) != sizeof info)
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU: follow_stop(follow, &info); return;
	case SIGCONT: follow->look_ms = 0; break;
	case SIGCHLD:
		if (info.ssi_code > 0) /* a child of ours */
			return;
	}
	follow_pass(follow, &info);
}

/* Nothing of the caller's may be held open: a pipe has to end when the
 * program closes it, not when we do. */
static void follow_close_others(struct follow *follow)
{
	int *kept[] = { &follow->connection, &follow->pidfd, &follow->signals };
	int next = 0;

	for (int i = 0; i < 3; i++) /* sort by number */
		for (int k = i + 1; k < 3; k++)
			if (*kept[k] < *kept[i]) {
				int *other = kept[i];

				kept[i] = kept[k];
				kept[k] = other;
			}
	for (int i = 0; i < 3; i++) {
		if (*kept[i] > next)
			raw_3(close_range, next, *kept[i] - 1, 0);
		next = *kept[i] + 1;
	}
	raw_3(close_range, next, ~0u, 0);
}

/* The pidfd has something: the copy is dead, or it has been waited for, too.
 * Then what the kernel knows of it changes no more, and the pidfd would be
 * ready for ever. */
static bool follow_hear_end(struct follow *follow, short seen, int *status)
{
	follow->ended = true;
	if (follow_ask_status(follow, status))
		return true;
	if (follow->connection < 0 &&
	    halt_status(follow->pid, follow->pidfd, status))
		return true;
	if (seen & ~POLLIN)
		follow->can_ask = follow->watched = false;
	return false;
}

/* Nobody is left who knows the status of the dead copy.  While the connection
 * lives it will come, however long its parent has other things to do. */
static bool follow_is_lost(const struct follow *follow, bool waited)
{
	return follow->ended && follow->connection < 0 &&
	       (waited || !follow->can_ask);
}

static int follow_patience_ms(const struct follow *follow)
{
	if (follow->ended)
		return follow->connection < 0 ? FOLLOW_STATUS_MS : -1;
	return follow->look_ms ? follow->look_ms : -1;
}

/* One round of waiting; true when the status is known. */
static bool follow_round(struct follow *follow, int *status)
{
	struct pollfd wait[3] = {
		{ follow->watched ? follow->pidfd : -1,
		  follow->ended ? 0 : POLLIN, 0 },
		{ follow->signals, POLLIN, 0 },
		{ follow->connection, POLLIN, 0 },
	};
	long n = raw_3(poll, wait, 3, follow_patience_ms(follow));

	if (wait[0].revents && follow_hear_end(follow, wait[0].revents, status))
		return true;
	if (n == 0 && !follow->ended)
		follow_look(follow);
	if (wait[1].revents & POLLIN)
		follow_signal(follow);
	if (wait[2].revents && follow_receive(follow, status))
		return true;
	if (!follow_is_lost(follow, n == 0))
		return false;
	if (!halt_status(follow->pid, follow->pidfd, status))
		*status = 111 << 8;
	return true;
}

_Noreturn void follow_copy(struct starter *starter, int connection, int pidfd,
			   int pid)
{
	struct follow follow = { .connection = connection,
				 .pidfd = pidfd,
				 .pid = pid,
				 .watched = true };
	uint64_t all = ~0ull;
	int status = 0;

	follow.can_ask = text_feature(starter->envp, "pidfd_info");
	if (text_feature(starter->envp, "pidfd_exit"))
		follow.asked = FOLLOW_EXIT;
	follow.signals = raw_4(signalfd4, -1, &all, 8, SFD_CLOEXEC);
	follow_close_others(&follow);
	while (!follow_round(&follow, &status))
		;
	follow_end(status);
}

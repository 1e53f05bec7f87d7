/* SPDX-License-Identifier: Apache-2.0 */
/* The stop: the program stands still, tells the keeper all about itself that
 * cannot be seen from outside, and waits for the order to serve.  Whoever
 * returns from here is an instance.
 *
 * Text that the program has put into a buffer of stdio is left there.  The
 * template never writes it, since it ends without exit handlers; each
 * instance does, and it is the instance's stdout that it goes to, as in an
 * ordinary run.  A flush here would send it to the template's instead. */
#include "launch/shim/shim.h"
#include <asm/prctl.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* A system call that no kernel knows, for the tracer to see. */
void stop_mark(enum shim_mark mark)
{
	raw_5(prctl, SHIM_MARK, mark, 0, 0, 0);
}

void stop_refuse(const char *reason)
{
	char *room = shim.stopped.refused;

	if (!room[0])
		snprintf(room, sizeof shim.stopped.refused, "%s", reason);
}

static bool stop_has_keeper(void)
{
	int type = 0;
	unsigned len = sizeof type;

	return raw_5(getsockopt, shim.control, SOL_SOCKET, SO_TYPE, &type,
		     &len) == 0 &&
	       type == SOCK_SEQPACKET;
}

/* The template is started with all signals at their default, so that any
 * other disposition is a wish of the program. */
static void stop_read_signals(void)
{
	raw_4(rt_sigprocmask, SIG_BLOCK, NULL, &shim.blocked_before, 8);
	for (int n = 1; n <= 64; n++) {
		struct shim_action action = { 0 };

		if (raw_4(rt_sigaction, n, NULL, &action, 8) < 0 ||
		    action.handler == (uint64_t)SIG_DFL)
			continue;
		if (shim.handler_count == SHIM_HANDLERS_MOST) {
			stop_refuse("it handles too many signals");
			return;
		}
		shim.handler[shim.handler_count].number = n;
		shim.handler[shim.handler_count++].action = action;
	}
}

static uint64_t stop_auxv(uint64_t type)
{
	for (int i = 0; i < shim.auxv_count; i++) {
		if (shim.auxv[i].a_type == type)
			return shim.auxv[i].a_un.a_val;
	}
	return 0;
}

static void stop_describe_thread(struct control_stopped *stopped)
{
	const unsigned *rseq_size = dlsym(RTLD_DEFAULT, "__rseq_size");
	const ptrdiff_t *rseq_offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
	uint64_t len;

	raw_2(arch_prctl, ARCH_GET_FS, &stopped->fs_base);
	raw_5(prctl, PR_GET_TID_ADDRESS, &stopped->tid_address, 0, 0, 0);
	raw_3(get_robust_list, 0, &stopped->robust_list, &len);
	if (rseq_size && rseq_offset && *rseq_size) {
		stopped->rseq = stopped->fs_base + *rseq_offset;
		/* newer libraries tell the used part of an area of 32 */
		stopped->rseq_bytes = *rseq_size < 32 ? 32 : *rseq_size;
		stopped->rseq_signature = 0x53053053;
	}
}

static void stop_describe(bool deep)
{
	struct control_stopped *stopped = &shim.stopped;

	stopped->head.type = CONTROL_STOPPED;
	stopped->head.size = sizeof *stopped;
	stopped->deep = deep;
	stopped->deferred_threads = (uint32_t)shim.thread_count;
	stopped->resume = (uint64_t)shim_resume;
	stopped->main = (uint64_t)shim.main;
	stop_describe_thread(stopped);
	/* Frames below this one are of no use to an image. */
	stopped->stack_pointer = (uint64_t)__builtin_frame_address(0) - 1024;
	stopped->argv = (uint64_t)shim.first_argv;
	stopped->argc = (uint64_t)shim.argc;
	stopped->auxv_program_headers = stop_auxv(AT_PHDR);
	stopped->auxv_program_header_count = stop_auxv(AT_PHNUM);
	stopped->auxv_program_header_bytes = stop_auxv(AT_PHENT);
	stopped->auxv_base = stop_auxv(AT_BASE);
	stopped->auxv_entry = stop_auxv(AT_ENTRY);
	stopped->vdso = stop_auxv(AT_SYSINFO_EHDR);
}

/* Waits for SERVE; anything else, or the end of the pair, ends the process:
 * it has not begun to be anybody's. */
static void stop_wait(struct control_serve *order)
{
	struct control_head *head = &order->head;
	long got = raw_6(recvfrom, shim.control, order, sizeof *order, 0, 0, 0);

	while (got == -EINTR)
		got = raw_6(recvfrom, shim.control, order, sizeof *order, 0, 0,
			    0);
	if (got != (long)sizeof *order || head->type != CONTROL_SERVE ||
	    head->size != sizeof *order)
		raw_1(exit_group, 0);
}

void stop_here(void)
{
	struct control_serve order;
	bool deep = shim.phase == SHIM_INSIDE;
	int saved_errno = errno;

	shim.phase = SHIM_STOPPED;
	stop_mark(SHIM_MARK_STOP);
	if (stop_has_keeper()) {
		stop_read_signals();
		stop_describe(deep);
		if (packet_send(shim.control, &shim.stopped,
				sizeof shim.stopped, NULL, 0, 0) < 0)
			raw_1(exit_group, 0);
		stop_wait(&order);
		serve(&order);
	}
	if (deep) {
		shim.phase = SHIM_RUNNING;
		threads_start();
	}
	errno = saved_errno;
}

SHIM_EXPORT void brood_ready(void);

/* Called by programs that are served with the stop "ready". */
void brood_ready(void)
{
	if (shim.phase == SHIM_INSIDE && shim.stop == SHIM_AT_READY)
		stop_here();
}

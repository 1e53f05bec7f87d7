/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a large address space down takes longer than many programs run, and
 * the end of a process is seen only after it.  A helper that shares nothing
 * but the memory outlives the program for a moment: the program's end is
 * seen at once, and its memory goes behind its back.
 *
 * The helper waits for the word that the kernel clears and wakes when a
 * thread lets go of its memory, by exit or by exec: the program has no
 * descriptor more for it.  It is a child of the template, not of the
 * program.  What a process that shares its memory may not do is done
 * without it: unshare() and setns() end it first.
 *
 * Tearing down holds locks that others wait for, in a virtual machine those
 * of the host's page tables too: the helper lingers until whoever waits for
 * the program's end has probably heard of it. */
#include "launch/shim/shim.h"
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum {
	HOLD_LOOK_S = 30,
	HOLD_RELEASE_TRIES = 1000,
	HOLD_LINGER_MS = 4, /* after the end: it is being told and seen */
};

/* On a stack of its own, beside the running program. */
__attribute__((noinline, used, no_stack_protector)) static void hold_wait(void)
{
	struct timespec look = { HOLD_LOOK_S, 0 };
	struct timespec linger = { 0, HOLD_LINGER_MS * 1000000 };

	raw_3(close_range, 0, ~0u, 0);
	raw_5(prctl, PR_SET_NAME, SHIM_HELPER, 0, 0, 0);
	raw_3(setpriority, PRIO_PROCESS, 0, 19);
	while (*shim.hold_word == shim.hold_for && !shim.hold_over &&
	       raw_2(kill, shim.hold_for, 0) == 0)
		raw_6(futex, shim.hold_word, FUTEX_WAIT, shim.hold_for, &look,
		      0, 0);
	if (!shim.hold_over)
		raw_2(nanosleep, &linger, 0);
	for (;;)
		raw_1(exit, 0);
}

__attribute__((noinline, no_stack_protector)) static long
hold_start(char *stack_top)
{
	long result;
	register int *cleared __asm__("r10") = &shim.hold_pid;
	register long tls __asm__("r8") = 0;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call hold_wait\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)__NR_clone),
			   "D"(CLONE_VM | CLONE_PARENT | CLONE_PARENT_SETTID |
			       CLONE_CHILD_CLEARTID),
			   "S"(stack_top), "d"(&shim.hold_pid), "r"(cleared),
			   "r"(tls)
			 : "rcx", "r11", "memory");
	return result;
}

/* In a copy, while nobody waits for it. */
void hold_memory(void)
{
	int *word = NULL;

	if (raw_5(prctl, PR_GET_TID_ADDRESS, &word, 0, 0, 0) < 0 || !word)
		return;
	shim.hold_word = word;
	shim.hold_for = (int)raw_0(getpid);
	shim.hold_over = 0;
	if (*word == shim.hold_for)
		hold_start(shim.hold_stack + sizeof shim.hold_stack - 64);
}

/* Before the program does what needs its memory to be its own. */
void hold_release(void)
{
	struct timespec moment = { 0, 1000000 };

	if (!shim.hold_word || shim.hold_over ||
	    (int)raw_0(getpid) != shim.hold_for)
		return;
	shim.hold_over = 1;
	raw_6(futex, shim.hold_word, FUTEX_WAKE, 1, 0, 0, 0);
	for (int i = 0; shim.hold_pid && i < HOLD_RELEASE_TRIES; i++)
		raw_2(nanosleep, &moment, 0);
}

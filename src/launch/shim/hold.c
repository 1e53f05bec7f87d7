/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a large address space down takes longer than many programs run, and
 * the end of a process is seen only after it.  A helper that shares nothing
 * but the memory, and waits for the end of a pipe that the program holds,
 * keeps the memory alive a moment longer than the process: its end is seen
 * at once, and the memory goes behind its back. */
#include "launch/shim/shim.h"
#include <fcntl.h>
#include <sched.h>

/* Closes all but the pipe, reads from it until its end, and is gone.  It has
 * a stack only for the byte that never comes. */
__attribute__((noinline, no_stack_protector)) static long
hold_start(int pipe, char *stack_top)
{
	long result;
	register long fd __asm__("r12") = pipe;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%edi, %%edi\n\t"
			 "lea -1(%%r12), %%rsi\n\t"
			 "xor %%edx, %%edx\n\t"
			 "mov %[close_range], %%eax\n\t"
			 "syscall\n\t"
			 "lea 1(%%r12), %%rdi\n\t"
			 "mov $0xffffffff, %%esi\n\t"
			 "xor %%edx, %%edx\n\t"
			 "mov %[close_range], %%eax\n\t"
			 "syscall\n\t"
			 "mov %%r12, %%rdi\n\t"
			 "lea -64(%%rsp), %%rsi\n\t"
			 "mov $1, %%edx\n\t"
			 "xor %%eax, %%eax\n\t"
			 "syscall\n\t"
			 "xor %%edi, %%edi\n\t"
			 "mov %[exit_group], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)__NR_clone), "D"(CLONE_VM | CLONE_PARENT),
			   "S"(stack_top), "d"(0L), "r"(r10), "r"(r8),
			   "r"(fd), [close_range] "i"(__NR_close_range),
			   [exit_group] "i"(__NR_exit_group)
			 : "rcx", "r11", "memory");
	return result;
}

void hold_memory(void)
{
	int pair[2];
	long high;

	if (raw_2(pipe2, pair, O_CLOEXEC) < 0)
		return;
	high = raw_3(fcntl, pair[1], F_DUPFD_CLOEXEC, SHIM_FD_BASE);
	raw_1(close, pair[1]);
	if (high >= 0 &&
	    hold_start(pair[0],
		       shim.hold_stack + sizeof shim.hold_stack - 128) > 0)
		shim.hold_fd = (int)high;
	else if (high >= 0)
		raw_1(close, high);
	raw_1(close, pair[0]);
}

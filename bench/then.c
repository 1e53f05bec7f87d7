/* SPDX-License-Identifier: Apache-2.0 */
/* flags: -static -nostdlib -fno-stack-protector */
/* then PROGRAM: executes it, and nothing else: the least that any program
 * takes which stands in front of another one. */
#include "bare/raw.h"

__attribute__((noreturn)) void then_start(long *stack);

void then_start(long *stack)
{
	char **argv = (char **)(stack + 1);

	if (stack[0] > 1)
		raw_3(execve, (long)argv[1], (long)(argv + 1),
		      (long)(argv + stack[0] + 1));
	raw_1(exit_group, 111);
	__builtin_unreachable();
}

/* The words are where the stack pointer is at the start. */
__asm__(".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call then_start\n");

/* SPDX-License-Identifier: Apache-2.0 */
/* Into the guest, and out of it.
 *
 * Between cpu_process_begin and cpu_process_inside nothing that the CPU has
 * is changed, so that a handler that finds the thread there sends it to
 * cpu_process_leave, as if it had never begun: a kick is either seen by the
 * comparison, or by the handler. */
#include "domain/cpu_process_at.h"

#define LABEL(name)    \
	.globl name;   \
	.hidden name;  \
name:

	.text

/* void cpu_process_enter(struct cpu_process *) */
	.p2align 4
	.type cpu_process_enter, @function
LABEL(cpu_process_enter)
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	pushfq
	sub $8, %rsp
	stmxcsr (%rsp)
	fnstcw 4(%rsp)
	mov %rsp, PROCESS_HOST_STACK(%rdi)
LABEL(cpu_process_begin)
	cmpl $0, PROCESS_KICKED(%rdi)
	jne cpu_process_leave
	mov PROCESS_VECTOR(%rdi), %rcx
	test %rcx, %rcx
	jz 2f
	mov PROCESS_PARTS(%rdi), %eax
	mov PROCESS_PARTS+4(%rdi), %edx
	mov %eax, %esi
	or %edx, %esi
	jz 1f
	xrstor64 (%rcx)
	jmp 3f
1:	fxrstor64 (%rcx)
	jmp 3f
2:	ldmxcsr plain(%rip)
	fldcw plain+4(%rip)
3:	mov %ss, %eax
	push %rax
	push PROCESS_GENERAL+32(%rdi)
	push PROCESS_FLAGS(%rdi)
	mov %cs, %eax
	push %rax
	push PROCESS_RIP(%rdi)
	mov PROCESS_GENERAL(%rdi), %rax
	mov PROCESS_GENERAL+8(%rdi), %rcx
	mov PROCESS_GENERAL+16(%rdi), %rdx
	mov PROCESS_GENERAL+24(%rdi), %rbx
	mov PROCESS_GENERAL+40(%rdi), %rbp
	mov PROCESS_GENERAL+48(%rdi), %rsi
	mov PROCESS_GENERAL+64(%rdi), %r8
	mov PROCESS_GENERAL+72(%rdi), %r9
	mov PROCESS_GENERAL+80(%rdi), %r10
	mov PROCESS_GENERAL+88(%rdi), %r11
	mov PROCESS_GENERAL+96(%rdi), %r12
	mov PROCESS_GENERAL+104(%rdi), %r13
	mov PROCESS_GENERAL+112(%rdi), %r14
	mov PROCESS_GENERAL+120(%rdi), %r15
	mov PROCESS_GENERAL+56(%rdi), %rdi
	iretq
LABEL(cpu_process_inside)
/* rdi: the CPU */
LABEL(cpu_process_leave)
	mov PROCESS_HOST_STACK(%rdi), %rsp
	ldmxcsr (%rsp)
	fldcw 4(%rsp)
	add $8, %rsp
	popfq
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size cpu_process_enter, . - cpu_process_enter

	.section .rodata, "a"
	.balign 8
plain:	/* what the guest has between its bells: MXCSR, control word */
	.long 0x1f80
	.word 0x37f

	.section .note.GNU-stack, "", @progbits

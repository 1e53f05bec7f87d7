/* SPDX-License-Identifier: Apache-2.0 */
/* Where the CPU begins, where it comes back to after traps, and what makes
 * it forget. */
#include "stubs.h"

#define FUNCTION(name)         \
	.globl name;           \
	.hidden name;          \
	.type name, @function; \
	.p2align 4;            \
name:

	.text

FUNCTION(guest_entry)
	xor %ebp, %ebp
	call guest_clear
	call guest_main
	ud2

/* The host has written down where the CPU was.  guest_fault may change that;
 * then the CPU goes on there.  Between this label and guest_fault_end the
 * host sends nobody here. */
FUNCTION(guest_fault_entry)
	and $-16, %rsp
	sub $512, %rsp
	fxsave64 (%rsp)
	call guest_fault
	fxrstor64 (%rsp)
	movabs $STOPPED_VA, %rax
	mov STOPPED_RIP(%rax), %rcx
	mov %rcx, guest_resume(%rip)
	push STOPPED_FLAGS(%rax)
	popfq
	mov STOPPED_RAX+8(%rax), %rcx
	mov STOPPED_RAX+16(%rax), %rdx
	mov STOPPED_RAX+24(%rax), %rbx
	mov STOPPED_RAX+32(%rax), %rsp
	mov STOPPED_RAX+40(%rax), %rbp
	mov STOPPED_RAX+48(%rax), %rsi
	mov STOPPED_RAX+56(%rax), %rdi
	mov STOPPED_RAX+64(%rax), %r8
	mov STOPPED_RAX+72(%rax), %r9
	mov STOPPED_RAX+80(%rax), %r10
	mov STOPPED_RAX+88(%rax), %r11
	mov STOPPED_RAX+96(%rax), %r12
	mov STOPPED_RAX+104(%rax), %r13
	mov STOPPED_RAX+112(%rax), %r14
	mov STOPPED_RAX+120(%rax), %r15
	movl $0, STOPPED_BUSY(%rax)
	mov STOPPED_RAX(%rax), %rax
	jmp *guest_resume(%rip)
	.globl guest_fault_end
	.hidden guest_fault_end
guest_fault_end:

/* The x87's registers keep what they had behind fninit, for who reads them as
 * MMX's. */
FUNCTION(guest_clear)
	fninit
	.irp n, 0,1,2,3,4,5,6,7
	pxor %mm\n, %mm\n
	.endr
	emms
	push $0x1f80
	ldmxcsr (%rsp)
	pop %rax
	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	pxor %xmm\n, %xmm\n
	.endr
	ret

FUNCTION(guest_clear_avx)
	vzeroall
	ret

FUNCTION(guest_clear_avx512)
	vzeroall
	.irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vpxorq %zmm\n, %zmm\n, %zmm\n
	.endr
	.irp n, 0,1,2,3,4,5,6,7
	kxorq %k\n, %k\n, %k\n
	.endr
	ret

	.bss
	.balign 8
guest_resume:
	.quad 0

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: Apache-2.0 */
/* The ways between C and compiled code.  Each has a stack of its own: where
 * C left off is store->thread_stack while code runs, and where code left off
 * is store->native_stack, native_frame and native_pc while C runs. */
#include "jit/offsets.h"

	.text

#define FUNCTION(name)       \
	.globl name;         \
	.hidden name;        \
	.type name, @function; \
	.p2align 4;          \
name:

/* Registers that C keeps, and code may not. */
.macro push_kept
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
.endm
.macro pop_kept
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
.endm

/* Registers that code keeps: what they have must be seen by the collector. */
#define SEEN_BYTES 24
.macro push_seen
	push %rbx
	push %r12
	push %r15
.endm
.macro pop_seen
	pop %r15
	pop %r12
	pop %rbx
.endm

/* enum wasm_trap jit_enter(struct jit_entry *) */
FUNCTION(jit_enter)
	push_kept
	mov ENTRY_CONTEXT(%rdi), %r13
	mov INSTANCE_STORE(%r13), %rbx
	push %rdi
	push STORE_THREAD_STACK(%rbx)
	sub $8, %rsp
	mov %rsp, STORE_THREAD_STACK(%rbx)
	mov ENTRY_STACK(%rdi), %rsp
	xor %ebp, %ebp /* where walks of the stack end */
	mov ENTRY_CODE(%rdi), %rax
	mov ENTRY_GENERAL+8(%rdi), %rsi
	mov ENTRY_GENERAL+16(%rdi), %rdx
	mov ENTRY_GENERAL+24(%rdi), %rcx
	mov ENTRY_GENERAL+32(%rdi), %r8
	mov ENTRY_GENERAL+40(%rdi), %r9
	movups ENTRY_VECTOR(%rdi), %xmm0
	movups ENTRY_VECTOR+16(%rdi), %xmm1
	movups ENTRY_VECTOR+32(%rdi), %xmm2
	movups ENTRY_VECTOR+48(%rdi), %xmm3
	movups ENTRY_VECTOR+64(%rdi), %xmm4
	movups ENTRY_VECTOR+80(%rdi), %xmm5
	movups ENTRY_VECTOR+96(%rdi), %xmm6
	movups ENTRY_VECTOR+112(%rdi), %xmm7
	mov ENTRY_GENERAL(%rdi), %rdi
	call *%rax
	mov STORE_THREAD_STACK(%rbx), %rsp
	mov 16(%rsp), %rdi
	mov %rax, ENTRY_RESULT(%rdi)
	movups %xmm0, ENTRY_VECTOR(%rdi)
	xor %eax, %eax
/* rbx: the store, eax: how it ended */
leave_code:
	mov STORE_THREAD_STACK(%rbx), %rsp
	add $8, %rsp
	pop STORE_THREAD_STACK(%rbx)
	pop %rdi
	pop_kept
	ret

/* Called where code traps: eax which trap, r13 the context. */
FUNCTION(jit_native_trap)
	mov INSTANCE_STORE(%r13), %rbx
	mov (%rsp), %rcx
	mov %rcx, STORE_NATIVE_PC(%rbx)
	mov %rsp, STORE_NATIVE_STACK(%rbx)
	mov %rbp, STORE_NATIVE_FRAME(%rbx)
	mov STORE_THREAD_STACK(%rbx), %rsp
	sub $LANDED_BYTES, %rsp
	mov %r13, %rdi
	mov %eax, %esi
	mov %rsp, %rdx
	call jit_trapped
	test %eax, %eax
	jnz leave_code
	mov LANDED_PC(%rsp), %rcx
	mov LANDED_FRAME(%rsp), %rbp
	mov LANDED_CONTEXT(%rsp), %r13
	mov LANDED_EXCEPTION(%rsp), %rax
	mov INSTANCE_MEMORY_BASE(%r13), %r14
	mov STORE_NATIVE_STACK(%rbx), %rsp
	jmp *%rcx

/* Called for an operation: eax its number, rdx its words, operands from the
 * caller's rsp on.  The collector sees what is pushed here. */
FUNCTION(jit_native_out)
	lea 8(%rsp), %rsi
out:
	push %r14 /* not the base, where another compiler's code calls */
	push_seen
	mov INSTANCE_STORE(%r13), %rbx
	mov %rsp, %r12
	mov SEEN_BYTES+8(%rsp), %rcx
	mov %rcx, STORE_NATIVE_PC(%rbx)
	mov %rsp, STORE_NATIVE_STACK(%rbx)
	mov %rbp, STORE_NATIVE_FRAME(%rbx)
	mov %r13, %rdi
	mov STORE_THREAD_STACK(%rbx), %rsp
	lea jit_outs(%rip), %rcx
	mov %eax, %eax
	call *(%rcx,%rax,8)
	test %eax, %eax
	jnz out_trapped
	cmpq $0, INSTANCE_FUEL(%r13)
	js out_refill
	cmpl $0, STORE_INTERRUPT(%rbx)
	jne out_refill
out_back:
	mov %r12, %rsp
	pop_seen
	pop %r14
	ret
out_refill:
	mov %r13, %rdi
	call jit_refill
	test %eax, %eax
	jz out_back
out_trapped:
	mov %r12, %rsp
	pop_seen
	pop %r14
	jmp jit_native_trap

/* The same as a function of C's convention, with the context in r13: edi the
 * number, rsi the words, rdx where the operands are. */
FUNCTION(jit_native_out_at)
	mov %edi, %eax
	xchg %rsi, %rdx
	jmp out

/* Called as a compiled function is, but r10 has the function, and r13 and r14
 * are kept.  Its frame begins as that of a compiled one: who throws or traps
 * in a function without a frame finds the caller's context there. */
FUNCTION(jit_native_call_other)
	push %rbp
	mov %rsp, %rbp
	push %r13
	push %r14
	mov %r10, %rax
	mov FUNCTION_INSTANCE(%rax), %r11
	test %r11, %r11
	cmovne %r11, %r13
	call *FUNCTION_NATIVE(%rax)
	.globl jit_native_call_other_back
	.hidden jit_native_call_other_back
jit_native_call_other_back:
	lea -16(%rbp), %rsp /* tail calls move it */
	pop %r14
	pop %r13
	pop %rbp
	ret

/* For calls with words on the stack, or more results than one: rdi is a struct
 * jit_block.  A tail call may move rsp, not where the results are.  The frame
 * is as the one before. */
FUNCTION(jit_native_call_block)
	push %rbp
	mov %rsp, %rbp
	push %r13
	push %r14
	push %rdi
	sub $8, %rsp
	sub BLOCK_BYTES(%rdi), %rsp
	mov BLOCK_ARGUMENTS(%rdi), %rcx
	jmp 2f
1:	movups BLOCK_STACK(%rdi,%rcx), %xmm0
	movups %xmm0, (%rsp,%rcx)
2:	sub $16, %rcx
	jns 1b
	mov BLOCK_CONTEXT(%rdi), %r13
	mov INSTANCE_MEMORY_BASE(%r13), %r14
	mov BLOCK_FUNCTION(%rdi), %rax
	mov BLOCK_CODE(%rdi), %r11
	mov BLOCK_GENERAL+8(%rdi), %rsi
	mov BLOCK_GENERAL+16(%rdi), %rdx
	mov BLOCK_GENERAL+24(%rdi), %rcx
	mov BLOCK_GENERAL+32(%rdi), %r8
	mov BLOCK_GENERAL+40(%rdi), %r9
	movups BLOCK_VECTOR(%rdi), %xmm0
	movups BLOCK_VECTOR+16(%rdi), %xmm1
	movups BLOCK_VECTOR+32(%rdi), %xmm2
	movups BLOCK_VECTOR+48(%rdi), %xmm3
	movups BLOCK_VECTOR+64(%rdi), %xmm4
	movups BLOCK_VECTOR+80(%rdi), %xmm5
	movups BLOCK_VECTOR+96(%rdi), %xmm6
	movups BLOCK_VECTOR+112(%rdi), %xmm7
	mov BLOCK_GENERAL(%rdi), %rdi
	call *%r11
	.globl jit_native_call_block_back
	.hidden jit_native_call_block_back
jit_native_call_block_back:
	mov -24(%rbp), %rdi
	mov %rax, BLOCK_RESULT(%rdi)
	movups %xmm0, BLOCK_VECTOR(%rdi)
	lea -32(%rbp), %rsp
	mov BLOCK_BYTES(%rdi), %rcx
	sub %rcx, %rsp
	jmp 2f
1:	movups (%rsp,%rcx), %xmm0
	movups %xmm0, BLOCK_STACK(%rdi,%rcx)
2:	sub $16, %rcx
	cmp BLOCK_ARGUMENTS(%rdi), %rcx
	jge 1b
	lea -16(%rbp), %rsp
	pop %r14
	pop %r13
	pop %rbp
	ret

/* Called as a compiled function is: rax the function, which is a host's or
 * interpreted; r13 is the callee's instance where it has one, else that of
 * who calls, or has called in its place: not always the frame's. */
FUNCTION(jit_native_call_host)
	mov INSTANCE_STORE(%r13), %r11
	mov STORE_NATIVE_BASE(%r11), %r11
	add $(STACK_MARGIN + CALL_BYTES), %r11
	cmp %r11, %rsp
	jb call_too_deep
	push_seen
	sub $ARGUMENTS_BYTES, %rsp
	mov %rdi, ARGUMENTS_GENERAL(%rsp)
	mov %rsi, ARGUMENTS_GENERAL+8(%rsp)
	mov %rdx, ARGUMENTS_GENERAL+16(%rsp)
	mov %rcx, ARGUMENTS_GENERAL+24(%rsp)
	mov %r8, ARGUMENTS_GENERAL+32(%rsp)
	mov %r9, ARGUMENTS_GENERAL+40(%rsp)
	movups %xmm0, ARGUMENTS_VECTOR(%rsp)
	movups %xmm1, ARGUMENTS_VECTOR+16(%rsp)
	movups %xmm2, ARGUMENTS_VECTOR+32(%rsp)
	movups %xmm3, ARGUMENTS_VECTOR+48(%rsp)
	movups %xmm4, ARGUMENTS_VECTOR+64(%rsp)
	movups %xmm5, ARGUMENTS_VECTOR+80(%rsp)
	movups %xmm6, ARGUMENTS_VECTOR+96(%rsp)
	movups %xmm7, ARGUMENTS_VECTOR+112(%rsp)
	mov INSTANCE_STORE(%r13), %rbx
	mov %rsp, %r12
	mov ARGUMENTS_BYTES+SEEN_BYTES(%rsp), %rcx
	mov %rcx, STORE_NATIVE_PC(%rbx)
	mov %rsp, STORE_NATIVE_STACK(%rbx)
	mov %rbp, STORE_NATIVE_FRAME(%rbx)
	mov %rax, %rdi
	mov %r13, %rsi
	mov %rsp, %rdx
	lea ARGUMENTS_BYTES+SEEN_BYTES+8(%rsp), %rcx
	mov STORE_THREAD_STACK(%rbx), %rsp
	call jit_call_out
	test %eax, %eax
	jnz call_trapped
	cmpl $0, STORE_INTERRUPT(%rbx)
	jne call_interrupted
call_back:
	mov %r12, %rsp
	mov ARGUMENTS_RESULT(%rsp), %rax
	movups ARGUMENTS_VECTOR(%rsp), %xmm0
	add $ARGUMENTS_BYTES, %rsp
	pop_seen
	ret
call_interrupted:
	mov %r13, %rdi
	call jit_refill
	test %eax, %eax
	jz call_back
call_trapped:
	mov %r12, %rsp
	add $ARGUMENTS_BYTES, %rsp
	pop_seen
	jmp call_stopped
call_too_deep:
	mov $TRAP_STACK, %eax
/* Of a frame that calls, the context is in it; no frame: C has called. */
call_stopped:
	test %rbp, %rbp
	jz jit_native_trap
	mov -8(%rbp), %r13
	jmp jit_native_trap

	.section .note.GNU-stack, "", @progbits

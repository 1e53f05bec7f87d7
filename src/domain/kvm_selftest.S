/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of ten pages; kvm_guest.h has its layout and what its entries do.
 * No relocation is left to a linker: all addresses are numbers.
 *
 * Its tables have all pages marked as used and written, so that nothing
 * writes to them. */
#include "domain/kvm_guest.h"

#define AT(x) (GUEST_BASE + GUEST_KERNEL + (x))

#define TABLE	   0x27 /* present, writable, of ring 3, used */
#define READ	   0x65 /* a page of ring 3, marked */
#define WRITE	   0x67
#define KERNEL	   0x61
#define KERNEL_RW  0x63
#define LARGE	   0xe7
#define NO_EXECUTE (1 << 63)

	.text
start:

/* ---- tables of pages ------------------------------------------------------ */

	.org 0x0000 + (GUEST_BASE >> 39) * 8
	.quad 0x1000 | TABLE
	.org 0x1000
	.quad 0x2000 | TABLE
	.org 0x2000
	.quad 0x3000 | TABLE
	.quad 0x4000 | TABLE
	.quad GUEST_CODE_GPA | LARGE
	.org 0x3000 + (GUEST_KERNEL >> 12) * 8
	.quad GUEST_KERNEL | KERNEL
	.quad GUEST_KERNEL_STACK | KERNEL_RW | NO_EXECUTE
	.quad GUEST_TEXT | READ
	.quad GUEST_STACK | WRITE | NO_EXECUTE
	.quad GUEST_DATA | WRITE | NO_EXECUTE
	.org 0x3000 + (GUEST_BELL >> 12) * 8
	.quad GUEST_BELL_GPA | WRITE | NO_EXECUTE
	.org 0x4000
.set page, 0
.rept GUEST_HEAP_PAGES
	.quad GUEST_HEAP_GPA + page * 0x1000 | WRITE | NO_EXECUTE
	.set page, page + 1
.endr

/* ---- ring 0 --------------------------------------------------------------- */

	.org GUEST_KERNEL + GUEST_STUBS
.set vector, 0
.rept GUEST_VECTORS
	.balign 16
	out %al, $vector
	.if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17
	add $8, %rsp
	.endif
	iretq
	.set vector, vector + 1
.endr

	.org GUEST_KERNEL + GUEST_LOOP
1:	dec %ecx
	jnz 1b
	out %al, $GUEST_LOOP_PORT
	jmp 1b

	.org GUEST_KERNEL + GUEST_GDT
	.quad 0
	.quad 0x00af9b000000ffff	/* code, ring 0 */
	.quad 0x00cf93000000ffff	/* data, ring 0 */
	.quad 0
	.quad 0x00cff3000000ffff	/* data, ring 3 */
	.quad 0x00affb000000ffff	/* code, ring 3 */
	.word GUEST_TASK_LIMIT, AT(GUEST_TASK) & 0xffff
	.byte AT(GUEST_TASK) >> 16 & 0xff, 0x8b, 0, AT(GUEST_TASK) >> 24 & 0xff
	.quad AT(GUEST_TASK) >> 32

	.org GUEST_KERNEL + GUEST_IDT
.set vector, 0
.rept GUEST_VECTORS
	.word AT(GUEST_STUBS + vector * 16) & 0xffff, 8
	.byte 0
	.if vector == 3 || vector == 4
	.byte 0xee
	.else
	.byte 0x8e
	.endif
	.word AT(GUEST_STUBS) >> 16 & 0xffff
	.quad AT(GUEST_STUBS) >> 32
	.set vector, vector + 1
.endr

	.org GUEST_KERNEL + GUEST_TASK
	.long 0
	.quad GUEST_BASE + GUEST_KERNEL_STACK + 0x1000
	.org GUEST_KERNEL + GUEST_TASK + 0x66
	.word 0x68
	.fill GUEST_PORT / 8, 1, 0xff
	.byte 0xff & ~(1 << (GUEST_PORT % 8))
	.fill 32 - GUEST_PORT / 8, 1, 0xff

/* ---- ring 3 --------------------------------------------------------------- */

.macro entry number
	.org GUEST_TEXT + \number * 128
.endm

	entry GUEST_RING
1:	out %al, $GUEST_PORT
	jmp 1b

	entry GUEST_RING_STORE
1:	mov %eax, (%r14)
	jmp 1b

	entry GUEST_SPIN
1:	jmp 1b

	entry GUEST_UD
	ud2

	entry GUEST_DE
	xor %edx, %edx
	xor %ecx, %ecx
	div %ecx

	entry GUEST_CLI
	cli
	jmp end

	entry GUEST_LOAD
	mov (%rdi), %rax
	mov %rax, (%rbx)
	jmp end

	entry GUEST_WRITE
	mov %rsi, (%rdi)
	jmp end

	entry GUEST_CALL
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	mov %rax, (%rbx)
	jmp end

	entry GUEST_OUT
	mov %edi, %edx
	out %al, %dx
	jmp end

	entry GUEST_IN
	mov %edi, %edx
	in %dx, %al
	jmp end

	entry GUEST_TOUCH
	movabs $GUEST_BASE + GUEST_HEAP, %rax
1:	movb $1, (%rax)
	add $0x1000, %rax
	dec %rdi
	jnz 1b
	jmp end

	entry GUEST_COUNT
1:	lea 1(%rdi, %rdi, 2), %rdi
	mov %rdi, (%rbx)
	call ring
	jmp 1b

	entry GUEST_SSE
	movq %rdi, %xmm1
	punpcklqdq %xmm1, %xmm1
	movdqa %xmm1, %xmm15
	call ring
	movdqu %xmm1, (%rbx)
	movdqu %xmm15, 16(%rbx)
	jmp end

	entry GUEST_AVX
	vmovq %rdi, %xmm1
	vmovddup %xmm1, %xmm1
	vinsertf128 $1, %xmm1, %ymm1, %ymm1
	vmovapd %ymm1, %ymm15
	call ring
	vmovupd %ymm1, (%rbx)
	vmovupd %ymm15, 32(%rbx)
	jmp end

	entry GUEST_AVX2
	vmovq %rdi, %xmm2
	vpbroadcastq %xmm2, %ymm2
	vpaddq %ymm2, %ymm2, %ymm14
	call ring
	vmovdqu %ymm2, (%rbx)
	vmovdqu %ymm14, 32(%rbx)
	jmp end

	entry GUEST_AVX512
	vpbroadcastq %rdi, %zmm17
	vpaddw %zmm17, %zmm17, %zmm18	/* BW */
	vpmullq %ymm17, %ymm17, %ymm19	/* DQ, VL */
	kmovq %rsi, %k2
	call ring
	vmovdqu64 %zmm17, (%rbx)
	vmovdqu64 %zmm18, 64(%rbx)
	vmovdqu64 %ymm19, 128(%rbx)
	kmovq %k2, 192(%rbx)
	jmp end

	entry GUEST_FMA
	vmovq %rdi, %xmm1
	vmovq %rsi, %xmm2
	vmovq %rdi, %xmm3
	vfmadd231sd %xmm1, %xmm2, %xmm3
	vmovq %xmm3, (%rbx)
	jmp end

	entry GUEST_BMI1
	andn %rsi, %rdi, %rax
	mov %rax, (%rbx)
	jmp end

	entry GUEST_BMI2
	pdep %rsi, %rdi, %rax
	mov %rax, (%rbx)
	jmp end

	entry GUEST_LZCNT
	lzcnt %rdi, %rax
	mov %rax, (%rbx)
	jmp end

	entry 30
ring:
	test %r15d, %r15d
	jnz 1f
	out %al, $GUEST_PORT
	ret
1:	mov %eax, (%r14)
	ret

	entry 31
end:
	call ring
	jmp end

	.org GUEST_BYTES

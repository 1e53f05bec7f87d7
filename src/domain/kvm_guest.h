/* SPDX-License-Identifier: Apache-2.0 */
/* The guest that shows what a KVM can do (kvm_selftest.S), as its host and
 * its assembler both have to know it.  It is one piece of memory:
 *
 *	0x0000	tables of pages: 4 levels
 *	0x4000	table of the heap's pages
 *	0x5000	kernel: what traps go to, descriptors, task state; read-only
 *	0x6000	kernel's stack
 *	0x7000	text in ring 3, read-only
 *	0x8000	stack
 *	0x9000	data
 *
 * It lies at guest-physical 0, and at BASE as the guest sees it.  There are
 * also the heap, code in a slot of its own, which the guest's tables would
 * allow it to write, and a page with no memory behind it: the doorbell.
 *
 * An entry is where a run begins: GUEST_ENTRY(n).  rbx is DATA, r14 BELL,
 * r15 0 to ring by the port and 1 to ring by a store, rdi and rsi the
 * entry's own; it writes results to the data, and rings. */
#pragma once

#define GUEST_BASE  0x200000000000
#define GUEST_BYTES 0xa000

#define GUEST_KERNEL	   0x5000
#define GUEST_KERNEL_STACK 0x6000
#define GUEST_TEXT	   0x7000
#define GUEST_STACK	   0x8000
#define GUEST_DATA	   0x9000

/* Behind them as the guest sees it. */
#define GUEST_BELL   0x10000
#define GUEST_ABSENT 0x11000
#define GUEST_HEAP   0x200000
#define GUEST_CODE   0x400000

#define GUEST_BELL_GPA	 0xd0000000
#define GUEST_HEAP_GPA	 0x100000
#define GUEST_HEAP_PAGES 256
#define GUEST_CODE_GPA	 0x800000000
#define GUEST_CODE_BYTES 0x200000

/* In the kernel's page: a stub of 16 bytes for each vector, which rings at
 * the port that has the vector's number; a loop in ring 0. */
#define GUEST_STUBS	 0x000
#define GUEST_LOOP	 0x200
#define GUEST_GDT	 0x240
#define GUEST_IDT	 0x280
#define GUEST_TASK	 0x480
#define GUEST_VECTORS	 32
#define GUEST_GDT_LIMIT	 0x3f
#define GUEST_IDT_LIMIT	 0x1ff
#define GUEST_TASK_LIMIT 0x88 /* with its 256 ports */
#define GUEST_PORT	 0x42 /* the one that is open to ring 3 */
#define GUEST_LOOP_PORT	 0xf0
#define GUEST_ENTRY(n)	 (GUEST_BASE + GUEST_TEXT + (n) * 128)

#define GUEST_RING	 0 /* by the port, again and again */
#define GUEST_RING_STORE 1 /* by a store, again and again */
#define GUEST_SPIN	 2
#define GUEST_UD	 3
#define GUEST_DE	 4
#define GUEST_CLI	 5
#define GUEST_LOAD	 6  /* from rdi, 8 bytes to the data */
#define GUEST_WRITE	 7  /* rsi to where rdi points */
#define GUEST_CALL	 8  /* rdi with rsi as its argument; its result */
#define GUEST_OUT	 9  /* to port rdi */
#define GUEST_IN	 10 /* from port rdi */
#define GUEST_TOUCH	 11 /* rdi pages of the heap */
#define GUEST_COUNT	 12 /* x = 3 * x + 1 from rdi on, a ring after each */
/* These ring, then write the registers that they have set before, and ring.
 * 16: before any ring. */
#define GUEST_SSE    13
#define GUEST_AVX    14
#define GUEST_AVX2   15
#define GUEST_AVX512 16
#define GUEST_FMA    17 /* rdi * rsi + rdi, doubles */
#define GUEST_BMI1   18 /* ~rdi & rsi */
#define GUEST_BMI2   19 /* rdi deposited by mask rsi */
#define GUEST_LZCNT  20 /* of rdi */

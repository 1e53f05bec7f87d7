/* SPDX-License-Identifier: Apache-2.0 */
/* The last 2 KiB of a firmware: does what a kernel's start does, then runs
 * plain instructions in ring 0.  An accelerator is of use when this ends,
 * and soon.
 *
 * It tells where it is by letters at port REPORT (selftest.c has their
 * meanings), and that all went well by GOOD at port EXIT.
 *
 * The code lies at BASE, where nothing can be written; in RAM:
 *
 *	0x1000	tables of pages, 4 levels: the first 2 MiB but the page HOLE
 *	0x5000	global descriptors, once more
 *	0x6000	task state
 *	0x7000	where the stack begins
 *
 * No relocation is left to a linker: addresses are distances from start. */

#define SIZE	0x800
#define BASE	(0x100000 - SIZE)
#define SEGMENT 0xf000
#define AT(x)	(BASE + (x) - start)
#define IN(x)	(BASE - SEGMENT * 16 + (x) - start) /* of SEGMENT */

#define REPORT	0xe9
#define EXIT	0xf4
#define GOOD	0x2a
#define BAD	0x01

#define PAGES	   0x1000
#define LAST_PAGES (PAGES + 0x3000)
#define GDT_RAM	   0x5000
#define TASK	   0x6000
#define STACK	   0x7000
#define HOLE	   0x90000

#define CODE32 0x08
#define DATA   0x10
#define CODE64 0x18
#define TASK64 0x20

#define MSR_APIC_BASE	   0x1b
#define MSR_EFER	   0xc0000080
#define MSR_KERNEL_GS_BASE 0xc0000102

#define ROUNDS 100   /* of 100,000 instructions, a report after each */
#define TURNS  10000 /* of 10 instructions */

.macro report letter
	movb $\letter, %al
	outb %al, $REPORT
.endm

	.text
start:

/* ---- real mode ---------------------------------------------------------- */

	.code16
real:
	cli
	cld
	report 'r'
	lgdtl %cs:IN(gdt_pointer)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE32, $AT(protected)

/* ---- protected mode ----------------------------------------------------- */

	.code32
protected:
	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $STACK, %esp
	report 'p'

	movl $PAGES, %edi
	xorl %eax, %eax
	movl $(STACK - PAGES) / 4, %ecx
	rep stosl
	movl $PAGES + 0x1003, PAGES
	movl $PAGES + 0x2003, PAGES + 0x1000
	movl $PAGES + 0x3003, PAGES + 0x2000
	movl $LAST_PAGES, %edi
	movl $3, %eax
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	cmpl $0x200003, %eax
	jne 1b
	movl $0, LAST_PAGES + HOLE / 0x1000 * 8

	movl %cr4, %eax
	orl $0xa0, %eax		/* PAE, PGE */
	movl %eax, %cr4
	movl $PAGES, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $0x101, %eax	/* SCE, LME */
	wrmsr
	movl %cr0, %eax
	orl $0x80010000, %eax	/* PG, WP */
	movl %eax, %cr0
	ljmpl $CODE64, $AT(long_mode)

/* ---- long mode ---------------------------------------------------------- */

	.code64
long_mode:
	report 'l'
	movl $MSR_EFER, %ecx
	rdmsr
	testl $0x400, %eax	/* LMA */
	jz bad
	movl $0x80000001, %eax
	cpuid
	btl $29, %edx		/* LM */
	jnc bad
	xorl %eax, %eax
	cpuid
	testl %ebx, %ebx	/* of the maker's name */
	jz bad
	movl $MSR_APIC_BASE, %ecx
	rdmsr
	andl $0x900, %eax	/* enabled, of the first processor */
	cmpl $0x900, %eax
	jne bad
	movl $MSR_KERNEL_GS_BASE, %ecx
	movl $TASK, %eax
	xorl %edx, %edx
	wrmsr
	xorl %eax, %eax
	rdmsr
	cmpl $TASK, %eax
	jne bad
	report 'm'

	/* Descriptors in RAM: a task's is marked when it is loaded. */
	movl $AT(gdt), %esi
	movl $GDT_RAM, %edi
	movl $(gdt_end - gdt) / 4, %ecx
	rep movsl
	lgdt AT(gdt_pointer_ram)
	lidt AT(idt_pointer)
	movl $TASK64, %eax
	ltr %ax
	movl $DATA, %eax
	movl %eax, %ss
	movq %cr4, %rax
	movq %rax, %rbx
	andq $~0x80, %rax	/* PGE off and on: all is looked up again */
	movq %rax, %cr4
	movq %rbx, %cr4
	movq %cr3, %rax
	movq %rax, %cr3
	movq %cr0, %rax
	orq $8, %rax		/* TS */
	movq %rax, %cr0
	clts
	movq %cr0, %rax
	testb $8, %al
	jnz bad
	swapgs
	invlpg 0x1000
	report 'c'

	xorl %r15d, %r15d
	int3
	ud2
	movl $HOLE + 8, %ebx
	movq %rbx, (%rbx)
	cmpq %rbx, (%rbx)
	jne bad
	cmpl $7, %r15d
	jne bad
	report 'x'

	movl $ROUNDS, %ebx
	movl $STACK, %esi
2:	movl $TURNS, %ecx
3:	addl %ecx, %eax
	movl %eax, (%rsi)
	addl (%rsi), %edx
	xorl %edx, %r8d
	pushq %rdx
	leal 1(%r8, %rax), %r9d
	popq %r10
	cmpl %r9d, %r10d
	decl %ecx
	jnz 3b
	report '.'
	decl %ebx
	jnz 2b

	movl $GOOD, %eax
	outl %eax, $EXIT
4:	hlt
	jmp 4b

bad:
	report '!'
	movl $BAD, %eax
	outl %eax, $EXIT
	jmp 4b

/* ---- exceptions --------------------------------------------------------- */

on_int3:
	orl $1, %r15d
	iretq
on_ud2:
	orl $2, %r15d
	addq $2, (%rsp)
	iretq
on_hole:
	pushq %rax
	movq %cr2, %rax
	cmpq $HOLE + 8, %rax
	jne bad
	movl $HOLE + 3, LAST_PAGES + HOLE / 0x1000 * 8
	invlpg (%rax)
	orl $4, %r15d
	popq %rax
	addq $8, %rsp		/* the error's code */
	iretq

.macro gate to
	.word IN(\to) & 0xffff, CODE64, 0x8e00, SEGMENT >> 12
	.long 0, 0
.endm
.macro no_gate count
	.fill \count * 2, 8, 0
.endm
	.balign 8, 0
idt:
	no_gate 3
	gate on_int3
	no_gate 2
	gate on_ud2
	no_gate 7
	gate on_hole
idt_end:

/* Marked as used already, since it cannot be written. */
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* CODE32 */
	.quad 0x00cf93000000ffff	/* DATA */
	.quad 0x00af9b000000ffff	/* CODE64 */
	.quad 0x0000890000000067 | TASK << 16, 0
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long AT(gdt)
gdt_pointer_ram:
	.word gdt_end - gdt - 1
	.quad GDT_RAM
idt_pointer:
	.word idt_end - idt - 1
	.quad AT(idt)

/* ---- where a processor begins ------------------------------------------- */

	.org SIZE - 16
	.code16
	ljmp $SEGMENT, $IN(real)
	.org SIZE

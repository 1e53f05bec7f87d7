/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU of KVM's.  It begins in ring 3; ring 0 is left at its first
 * instruction, which tells the host the vector.
 *
 * The descriptors, in a page that ring 3 cannot see:
 *
 *	0x000 GDT   0x100 TSS and its bitmap of ports   0x200 IDT
 *
 * CLAIM 3.2 3.3 3.6 */
#include "domain/cpu.h"
#include "domain/kvm.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CPU_GDT_AT = 0x000,
	CPU_TSS_AT = 0x100,
	CPU_IDT_AT = 0x200,
	CPU_GDT_ENTRIES = 8,
	CPU_TSS_BYTES = 0x68,
	CPU_PORT_BYTES = GUEST_PORT / 8 + 2, /* the last one is all ones */
	CPU_DOUBLE_FAULT = 8,
	CPU_AGAIN_MOST = 64, /* kicks that find ring 0, one after another */
};
_Static_assert(CPU_TSS_AT + CPU_TSS_BYTES + CPU_PORT_BYTES <= CPU_IDT_AT,
	       "the TSS ends before the IDT");

struct cpu_kvm {
	struct cpu cpu; /* first */
	struct kvm *kvm;
	struct kvm_vm vm;
	struct kvm_cpu vcpu;
	uint8_t *system;
	struct kvm_sregs user; /* of ring 3 */
	uint32_t slots;
	int kicked; /* atomic */
	unsigned again;
};

static struct cpu_kvm *cpu_kvm_of(struct cpu *cpu)
{
	return (struct cpu_kvm *)cpu;
}

/* ---- descriptors ---------------------------------------------------------- */

static void cpu_put_gdt(uint64_t *gdt, uint64_t tss)
{
	const uint64_t limit = CPU_TSS_BYTES + CPU_PORT_BYTES - 1;

	gdt[KVM_CODE_0 / 8] = 0x00af9b000000ffff;
	gdt[KVM_DATA_0 / 8] = 0x00cf93000000ffff;
	gdt[KVM_DATA_3 / 8] = 0x00cff3000000ffff;
	gdt[KVM_CODE_3 / 8] = 0x00affb000000ffff;
	gdt[KVM_TASK / 8] = UINT64_C(0x8900) << 32 | limit |
			    (tss & 0xffffff) << 16 | (tss >> 24 & 0xff) << 56;
	gdt[KVM_TASK / 8 + 1] = tss >> 32;
}

/* One port is open to ring 3: its bit alone is zero. */
static void cpu_put_tss(uint8_t *tss)
{
	const uint64_t stack = GUEST_VA + GUEST_KERNEL_STACK_AT + GUEST_PAGE,
		       twice = GUEST_VA + GUEST_DOUBLE_STACK_AT + GUEST_PAGE;
	const uint16_t bitmap = CPU_TSS_BYTES;

	memcpy(tss + 0x04, &stack, sizeof(stack));
	memcpy(tss + 0x24, &twice, sizeof(twice));
	memcpy(tss + 0x66, &bitmap, sizeof(bitmap));
	memset(tss + bitmap, 0xff, CPU_PORT_BYTES);
	tss[bitmap + GUEST_PORT / 8] &= (uint8_t)~(1 << GUEST_PORT % 8);
}

/* Breakpoints alone may be asked for by ring 3 (int3, into). */
static void cpu_put_idt(uint64_t *idt, uint64_t stubs)
{
	for (unsigned i = 0; i < GUEST_VECTORS; i++) {
		uint64_t to = stubs + (uint64_t)i * GUEST_STUB_BYTES;
		uint64_t dpl = i == 3 || i == 4 ? 3 : 0;
		uint64_t stack = i == CPU_DOUBLE_FAULT ? 1 : 0;

		idt[2 * i] = (to & 0xffff) | (uint64_t)KVM_CODE_0 << 16 |
			     stack << 32 | (0x8e | dpl << 5) << 40 |
			     (to >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = to >> 32;
	}
}

static const struct guest_image *cpu_image(const uint8_t *system)
{
	return (const struct guest_image *)(system + GUEST_IMAGE_AT);
}

void cpu_put_descriptors(uint8_t *system)
{
	uint8_t *page = system + GUEST_DESCRIPTORS_AT;

	cpu_put_gdt((uint64_t *)(page + CPU_GDT_AT),
		    GUEST_VA + GUEST_DESCRIPTORS_AT + CPU_TSS_AT);
	cpu_put_tss(page + CPU_TSS_AT);
	cpu_put_idt((uint64_t *)(page + CPU_IDT_AT), cpu_image(system)->stubs);
}

static void cpu_make_user(struct cpu_kvm *cpu)
{
	const uint64_t page = GUEST_VA + GUEST_DESCRIPTORS_AT;
	const struct kvm_tables tables = {
		.gdt = page + CPU_GDT_AT,
		.idt = page + CPU_IDT_AT,
		.tss = page + CPU_TSS_AT,
		.cr3 = GUEST_TABLES_AT,
		.tss_limit = CPU_TSS_BYTES + CPU_PORT_BYTES - 1,
		.gdt_limit = CPU_GDT_ENTRIES * 8 - 1,
		.idt_limit = GUEST_VECTORS * 16 - 1,
	};

	kvm_sregs_user(cpu->kvm, &cpu->user, &tables);
}

/* ---- registers ------------------------------------------------------------ */

static void cpu_kvm_get(const struct kvm_regs *from, struct cpu_registers *to)
{
	*to = (struct cpu_registers){
		.general = { from->rax, from->rcx, from->rdx, from->rbx,
			     from->rsp, from->rbp, from->rsi, from->rdi,
			     from->r8, from->r9, from->r10, from->r11,
			     from->r12, from->r13, from->r14, from->r15 },
		.rip = from->rip,
		.flags = from->rflags,
	};
}

static void cpu_kvm_put(const struct cpu_registers *from, struct kvm_regs *to)
{
	const uint64_t *general = from->general;

	*to = (struct kvm_regs){
		.rax = general[0],
		.rcx = general[1],
		.rdx = general[2],
		.rbx = general[3],
		.rsp = general[4],
		.rbp = general[5],
		.rsi = general[6],
		.rdi = general[7],
		.r8 = general[8],
		.r9 = general[9],
		.r10 = general[10],
		.r11 = general[11],
		.r12 = general[12],
		.r13 = general[13],
		.r14 = general[14],
		.r15 = general[15],
		.rip = from->rip,
	};
	/* What ring 3 may have: the arithmetic's, and direction. */
	to->rflags = (from->flags & 0xcd5) | 0x202;
}

static void cpu_kvm_go(struct cpu *it, const struct cpu_registers *registers)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);
	struct kvm_run *run = cpu->vcpu.run;

	cpu_kvm_put(registers, &run->s.regs.regs);
	run->s.regs.sregs = cpu->user;
	run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

/* ---- stops ---------------------------------------------------------------- */

static void cpu_broken(struct cpu_stop *stop, const char *why, uint64_t number)
{
	stop->event = CPU_BROKEN;
	snprintf(stop->why, sizeof(stop->why), "%s %llx", why,
		 (unsigned long long)number);
}

static bool cpu_pushes_error(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 ||
	       vector == 21;
}

/* What the CPU has pushed, at the top of a page: error, rip, cs, rflags, rsp,
 * ss.  All else is still what ring 3 had. */
static void cpu_trapped(const struct cpu_kvm *cpu, unsigned vector,
			struct cpu_stop *stop)
{
	const struct kvm_sync_regs *now = &cpu->vcpu.run->s.regs;
	const uint64_t *top =
		(const uint64_t *)(cpu->system +
				   (vector == CPU_DOUBLE_FAULT
					    ? GUEST_DOUBLE_STACK_AT
					    : GUEST_KERNEL_STACK_AT) +
				   GUEST_PAGE);

	stop->event = CPU_TRAP;
	stop->vector = vector;
	cpu_kvm_get(&now->regs, &stop->at);
	stop->error = cpu_pushes_error(vector) ? (uint32_t)top[-6] : 0;
	stop->at.rip = top[-5];
	stop->at.flags = top[-3];
	stop->at.general[4] = top[-2];
	stop->address = vector == 14 ? now->sregs.cr2 : 0;
}

static void cpu_left_by_port(struct cpu_kvm *cpu, struct cpu_stop *stop)
{
	const struct kvm_run *run = cpu->vcpu.run;

	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1 ||
	    run->io.count != 1)
		cpu_broken(stop, "a strange access to port", run->io.port);
	else if (run->io.port == GUEST_PORT)
		stop->event = CPU_BELL;
	else if (run->io.port < GUEST_VECTORS)
		cpu_trapped(cpu, run->io.port, stop);
	else
		cpu_broken(stop, "an access to port", run->io.port);
}

/* Nothing is there but the bell. */
static void cpu_left_by_memory(const struct kvm_run *run, struct cpu_stop *stop)
{
	if (run->mmio.is_write && run->mmio.phys_addr == GUEST_BELL_AT &&
	    run->mmio.len == 4)
		stop->event = CPU_BELL;
	else
		cpu_broken(stop, "an access to no memory at",
			   run->mmio.phys_addr);
}

static void cpu_left(struct cpu_kvm *cpu, int reason, struct cpu_stop *stop)
{
	const struct kvm_run *run = cpu->vcpu.run;

	switch (reason) {
	case KVM_EXIT_IO: cpu_left_by_port(cpu, stop); break;
	case KVM_EXIT_MMIO: cpu_left_by_memory(run, stop); break;
	case KVM_EXIT_SHUTDOWN: cpu_broken(stop, "a triple fault", 0); break;
	case KVM_EXIT_INTERNAL_ERROR:
		cpu_broken(stop, "KVM's internal error",
			   run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		cpu_broken(stop, "KVM refuses to enter it:",
			   run->fail_entry.hardware_entry_failure_reason);
		break;
	default: cpu_broken(stop, "KVM's exit", (uint64_t)reason);
	}
}

/* A kick that finds the CPU on its way to a trap comes after the trap.  Ring 0
 * is one instruction; who is found there again and again has other plans.
 * What makes KVM_RUN return is cleared before "kicked" is looked at, and set
 * after it: a kick in between is seen now or ends the next run. */
static bool cpu_take_kick(struct cpu_kvm *cpu, struct cpu_stop *stop)
{
	struct kvm_run *run = cpu->vcpu.run;

	__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST))
		return false;
	if ((run->s.regs.sregs.cs.selector & 3) != 3) {
		if (++cpu->again < CPU_AGAIN_MOST)
			return false;
		cpu_broken(stop, "it stays in ring 0 at", run->s.regs.regs.rip);
		return true;
	}
	__atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
	/* A fault that KVM has still to deliver would come where the CPU is
	 * sent to; what has caused it is done again. */
	memset(&run->s.regs.events, 0, sizeof(run->s.regs.events));
	run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
	stop->event = CPU_KICKED;
	cpu_kvm_get(&run->s.regs.regs, &stop->at);
	return true;
}

/* A page of a file that the file has no more, or that cannot be read: KVM
 * has no fault for the guest, so it gets one of ours.  What reads the image of
 * files is one instruction, whose source is in rsi (guest/copy.S). */
static bool cpu_lost_page(struct cpu_kvm *cpu, struct cpu_stop *stop)
{
	enum { VECTOR_PAGE_FAULT = 14, ERROR_USER = 4, RSI = 6 };

	cpu_kvm_get(&cpu->vcpu.run->s.regs.regs, &stop->at);
	stop->address = stop->at.general[RSI];
	if (stop->address < GUEST_FILES_VA ||
	    stop->address - GUEST_FILES_VA >= GUEST_FILES_MOST)
		return false;
	stop->event = CPU_TRAP;
	stop->vector = VECTOR_PAGE_FAULT;
	stop->error = ERROR_USER;
	return true;
}

static void cpu_kvm_run(struct cpu *it, struct cpu_stop *stop)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);
	struct kvm_run *run = cpu->vcpu.run;
	int reason;

	cpu->again = 0;
	if (__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST))
		run->immediate_exit = 1;
	for (;;) {
		run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
		reason = kvm_run(&cpu->vcpu);
		if (reason >= 0) {
			cpu_left(cpu, reason, stop);
			return;
		}
		if (reason == -EFAULT && cpu_lost_page(cpu, stop))
			return;
		if (reason != -EINTR && reason != -EAGAIN) {
			stop->event = CPU_BROKEN;
			snprintf(stop->why, sizeof(stop->why), "KVM_RUN: %s",
				 strerror(-reason));
			return;
		}
		if (cpu_take_kick(cpu, stop))
			return;
	}
}

static void cpu_kvm_kick(struct cpu *it)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);

	__atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&cpu->vcpu.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/* KVM completes an access by a port when it is run the next time. */
static int cpu_kvm_settle(struct cpu *it, struct cpu_registers *registers,
			  struct err *err)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);
	struct kvm_run *run = cpu->vcpu.run;
	int reason;

	run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run->immediate_exit = 1;
	reason = kvm_run(&cpu->vcpu);
	run->immediate_exit = __atomic_load_n(&cpu->kicked, __ATOMIC_ACQUIRE);
	if (reason != -EINTR)
		return err_set(err, -EPROTO, "a CPU that does not settle: %d",
			       reason);
	cpu_kvm_get(&run->s.regs.regs, registers);
	return 0;
}

/* ---- memory, begin and end ------------------------------------------------ */

static void *cpu_kvm_place(uint64_t virtual)
{
	(void)virtual;
	return NULL;
}

static int cpu_kvm_show(struct cpu *it, const struct cpu_memory *memory,
			struct err *err)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);
	int r = kvm_slot(&cpu->vm, cpu->slots, memory->physical, memory->bytes,
			 memory->at, memory->is_code ? KVM_MEM_READONLY : 0,
			 err);

	if (r >= 0)
		cpu->slots++;
	return r;
}

static int cpu_kvm_hide(struct cpu *it, uint32_t kept, struct err *err)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);
	int r = 0;

	while (r >= 0 && cpu->slots > kept) {
		r = kvm_slot(&cpu->vm, cpu->slots - 1, 0, 0, NULL, 0, err);
		cpu->slots -= r >= 0;
	}
	return r;
}

static void cpu_kvm_close(struct cpu *it)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);

	kvm_cpu_close(&cpu->vcpu);
	kvm_vm_close(&cpu->vm);
	free(cpu);
}

static void cpu_kvm_leave(struct cpu *it)
{
	struct cpu_kvm *cpu = cpu_kvm_of(it);

	if (kvm_leave(&cpu->vm, &cpu->vcpu) < 0)
		cpu_kvm_close(it);
	else
		free(cpu);
}

const struct cpu_kind cpu_kvm_kind = {
	.name = "kvm",
	.place = cpu_kvm_place,
	.show = cpu_kvm_show,
	.hide = cpu_kvm_hide,
	.go = cpu_kvm_go,
	.run = cpu_kvm_run,
	.settle = cpu_kvm_settle,
	.kick = cpu_kvm_kick,
	.close = cpu_kvm_close,
	.leave = cpu_kvm_leave,
};

int cpu_open_kvm(struct cpu **opened, struct kvm *kvm, uint8_t *system,
		 struct err *err)
{
	struct cpu_kvm *cpu = calloc(1, sizeof(*cpu));
	int r;

	if (!cpu)
		return err_set(err, -ENOMEM, "a CPU");
	cpu_kick_install();
	cpu->cpu.kind = &cpu_kvm_kind;
	cpu->kvm = kvm;
	cpu->system = system;
	cpu->vm.fd = cpu->vcpu.fd = -1;
	r = kvm_vm_make(kvm, &cpu->vm, err);
	if (r >= 0)
		r = kvm_cpu_make(kvm, &cpu->vm, &cpu->vcpu, err);
	if (r < 0) {
		cpu_kvm_close(&cpu->cpu);
		return r;
	}
	cpu_make_user(cpu);
	*opened = &cpu->cpu;
	return 0;
}

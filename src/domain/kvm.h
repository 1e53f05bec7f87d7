/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's ioctls, as few as a virtual machine that starts in ring 3 needs:
 *
 *	kvm_open	the device, once a process
 *	kvm_vm_make	a machine: a space of guest-physical addresses
 *	kvm_slot	memory of ours at a guest-physical address
 *	kvm_cpu_make	its one processor, with the page that is shared with it
 *	kvm_run		until it leaves; registers go by the shared page
 *
 * Each ioctl on a processor costs as much as a tenth of a start, so there is
 * none but KVM_RUN: no CPUID (an address has 36 bits then), no interrupt
 * controller, no MSRs, and registers are in run->s.regs, where
 * run->kvm_dirty_regs tells what the next run shall take from there, and
 * run->kvm_valid_regs what it shall leave there.
 *
 * Only where vector registers do not work without them (kvm_selftest.h finds
 * that out) CPUID and XCR0 are set: kvm_use_cpuid, before the first processor.
 *
 * A machine does not survive fork: only the process that made it can run it.
 * All descriptors are CLOEXEC. */
#pragma once
#include "base/err.h"
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm {
	int device;
	size_t run_bytes;
	/* Of a fresh processor: taken from the first that is made, so that
	 * one must not be made beside another. */
	bool has_template;
	struct kvm_sregs template;
	/* Set on each processor that is made; NULL: none, as is usual. */
	struct kvm_cpuid2 *cpuid;
	uint64_t xcr0; /* with it */
};

/* /dev/kvm, or what BROOD_KVM names (for tests).  Fails with -EINVAL where
 * BROOD_WITHOUT=kvm is set, -ENOTTY where the file is no KVM, -EPROTO where
 * the kernel's KVM has not what it has to have. */
int kvm_open(struct kvm *kvm, struct err *err);
void kvm_close(struct kvm *kvm);
#define auto_kvm __attribute__((cleanup(kvm_close)))
/* What to do about a code that kvm_open has failed with; never NULL. */
const char *kvm_advice(int code);
/* Processors that are made from now on get CPUID, OSXSAVE and an XCR0 that
 * allows what this CPU has up to AVX-512. */
int kvm_use_cpuid(struct kvm *kvm, struct err *err);

struct kvm_vm {
	int fd;
};
int kvm_vm_make(const struct kvm *kvm, struct kvm_vm *vm, struct err *err);
void kvm_vm_close(struct kvm_vm *vm); /* fd -1: nothing */
/* bytes 0 takes the slot away.  The memory stays the caller's, and has to
 * stay where it is while the slot is there.  flags: KVM_MEM_READONLY. */
int kvm_slot(const struct kvm_vm *vm, uint32_t slot, uint64_t gpa,
	     uint64_t bytes, void *address, uint32_t flags, struct err *err);

struct kvm_cpu {
	int fd;
	size_t run_bytes;
	struct kvm_run *run;
};
int kvm_cpu_make(struct kvm *kvm, const struct kvm_vm *vm, struct kvm_cpu *cpu,
		 struct err *err);
void kvm_cpu_close(struct kvm_cpu *cpu); /* fd -1: nothing */
/* Until the guest leaves: the reason (KVM_EXIT_...) or negative errno.
 * -EINTR: a signal came, or run->immediate_exit was set, or the kernel wants
 * to be asked once more; who did not wish it runs it again. */
int kvm_run(const struct kvm_cpu *cpu);

/* In place of closing both, before an exit: who waits for this process does
 * not wait for KVM's end of them.  They stay open.  Negative: it cannot be
 * had, and they are to be closed. */
int kvm_leave(const struct kvm_vm *vm, const struct kvm_cpu *cpu);

/* Selectors of the descriptor table that a guest has at kvm_tables.gdt. */
enum kvm_selector {
	KVM_CODE_0 = 0x08,
	KVM_DATA_0 = 0x10,
	KVM_DATA_3 = 0x23,
	KVM_CODE_3 = 0x2b,
	KVM_TASK = 0x30, /* two entries */
};
/* Where they are: guest-virtual addresses, and guest-physical of cr3. */
struct kvm_tables {
	uint64_t gdt, idt, tss, cr3;
	uint32_t tss_limit;
	uint16_t gdt_limit, idt_limit;
};
/* 64-bit code in ring 3.  Some processor has to have been made. */
void kvm_sregs_user(const struct kvm *kvm, struct kvm_sregs *sregs,
		    const struct kvm_tables *tables);

/* KVM patches the kernel's text when the first processor is made and when the
 * last one goes, which takes longer than all else: while there is one that
 * does nothing, others are made and unmade in a half of the time. */
struct kvm_sentinel {
	struct kvm_vm vm;
	struct kvm_cpu cpu;
};
int kvm_sentinel_open(struct kvm *kvm, struct kvm_sentinel *sentinel,
		      struct err *err);
void kvm_sentinel_close(struct kvm_sentinel *sentinel);

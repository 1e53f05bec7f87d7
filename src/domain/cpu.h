/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU of a domain, of one of two kinds: KVM's, or this process itself.
 * It runs the guest in ring 3 until that rings, traps, or is kicked. */
#pragma once
#include "base/err.h"
#include "brood/guest_abi.h"
#include <stdbool.h>
#include <stddef.h>

enum cpu_event {
	CPU_BELL,
	CPU_TRAP,   /* vector, error, address are set, and registers */
	CPU_KICKED, /* registers are set */
	CPU_BROKEN, /* it cannot go on; "why" tells */
};

struct cpu_registers {
	uint64_t general[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15 */
	uint64_t rip, flags;
};

struct cpu_stop {
	enum cpu_event event;
	uint32_t vector, error;
	uint64_t address;
	struct cpu_registers at;
	char why[160];
};

enum cpu_access { CPU_READ = 1 << 0, CPU_WRITE = 1 << 1, CPU_EXECUTE = 1 << 2 };

/* Memory that the guest shall see.  The tables, which say where, are in the
 * system's part; a kind without tables needs to be told. */
struct cpu_memory {
	uint64_t physical, virtual, bytes;
	uint8_t *at;
	bool is_code; /* read-only for the guest, and it may execute it */
	bool is_data; /* with is_code: it may not */
	/* It is mapped where "place" has said, and is to be shown only. */
	bool is_placed;
};

struct cpu;
struct cpu_kind {
	const char *name;
	/* Where the host maps what the guest sees at an address, NULL: at any
	 * place. */
	void *(*place)(uint64_t virtual);
	int (*show)(struct cpu *cpu, const struct cpu_memory *memory,
		    struct err *err);
	/* What the guest may do with the system's part, whole pages of it; by
	 * addresses that "place" gives.  NULL: the tables alone say so. */
	int (*protect)(struct cpu *cpu, uint64_t virtual, uint64_t bytes,
		       unsigned access, struct err *err);
	/* Only what was shown first, so many times, is seen any more. */
	int (*hide)(struct cpu *cpu, uint32_t kept, struct err *err);
	/* After a trap or a kick: the next run begins with these, in ring 3. */
	void (*go)(struct cpu *cpu, const struct cpu_registers *registers);
	void (*run)(struct cpu *cpu, struct cpu_stop *stop);
	/* At a bell: nothing of it is still to be done by the CPU, so that
	 * registers are what the guest goes on with. */
	int (*settle)(struct cpu *cpu, struct cpu_registers *registers,
		      struct err *err);
	/* From any thread and from signal handlers: a run that goes on, or the
	 * next one, ends with CPU_KICKED. */
	void (*kick)(struct cpu *cpu);
	void (*close)(struct cpu *cpu);
	/* The same where the process exits now, and does not wait for it. */
	void (*leave)(struct cpu *cpu);
};

struct cpu {
	const struct cpu_kind *kind;
};

extern const struct cpu_kind cpu_kvm_kind, cpu_process_kind;
/* Into a system's part that has the guest's image: what a CPU of KVM's needs.
 * It is the same in all domains of an image. */
void cpu_put_descriptors(uint8_t *system);
/* A domain's, with the system's part mapped at "system". */
struct kvm;
int cpu_open_kvm(struct cpu **cpu, struct kvm *kvm, uint8_t *system,
		 struct err *err);
/* This process.  The addresses are the guest's, so that there is one at a
 * time.  The guest is not hindered from reading what else the process has;
 * that byte code cannot is the engine's doing, and a jail's. */
int cpu_open_process(struct cpu **cpu, struct err *err);

/* cpu_kick.c: handles SIGRTMIN, which ends runs: a timer's, whose value is
 * the CPU, or any thread's that has set the flag. */
void cpu_kick_install(void);
/* In a handler: what it has interrupted may be a run that is to end. */
void cpu_process_interrupted(void *context);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of this process as a CPU share. */
#pragma once
#include "domain/cpu.h"

struct cpu_process_code {
	uint64_t virtual, bytes;
	uint32_t number; /* of what was shown */
};

struct cpu_process {
	struct cpu cpu; /* first */
	/* What the guest goes on with. */
	struct cpu_registers next;
	uint64_t host_stack;
	uint8_t *vector; /* NULL: nothing that matters */
	uint64_t parts;	 /* of the processor's state, in "vector" */
	int kicked;	 /* atomic */
	int runner;	 /* atomic: the thread in a run, 0: none */
	struct cpu_stop *stop;
	uint8_t *room; /* for "vector" */
	size_t room_bytes;
	struct cpu_process_code *codes;
	uint32_t code_count, shown;
};
static inline struct cpu_process *cpu_process_of(struct cpu *cpu)
{
	return (struct cpu_process *)cpu;
}

/* cpu_process_memory.c */
void *cpu_process_place(uint64_t virtual);
int cpu_process_protect(struct cpu *cpu, uint64_t virtual, uint64_t bytes,
			unsigned access, struct err *err);
int cpu_process_show(struct cpu *cpu, const struct cpu_memory *memory,
		     struct err *err);
int cpu_process_hide(struct cpu *cpu, uint32_t kept, struct err *err);

/* cpu_process_stack.c: what this thread needs to be a CPU */
int cpu_process_stack_have(void);
void cpu_process_stack_drop(void);

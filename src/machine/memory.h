/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's memory: the marker file that its hypervisor maps, and the plan
 * by which the shim puts something else in its place (brood/ram_plan.h). */
#pragma once
#include "base/err.h"
#include "brood/ram_plan.h"
#include "image/tip.h"

struct memory {
	int marker, plan_fd; /* memfds */
	struct ram_plan *plan;
	uint64_t plan_bytes;
};
#define MEMORY_NONE ((struct memory){ .marker = -1, .plan_fd = -1 })

/* tip NULL: zeros; with RAM_FILE in the marker, which others can map.  CLAIM 2.9: the tip's layers, in their order. */
int memory_make(const struct tip *tip, uint64_t ram_bytes,
		enum ram_plan_mode mode, struct memory *memory,
		struct err *err);
void memory_fini(struct memory *memory);
#define auto_memory __attribute__((cleanup(memory_fini)))
/* Before a start again. */
void memory_reset(struct memory *memory);
/* 1: it is put together; 0: not yet, or the shim is not there; else why it
 * failed. */
int memory_state(const struct memory *memory, const struct tip *tip,
		 struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the program asked the kernel for before its stop: every system call
 * from exec on is seen by ptrace, and put into one of three sets: without
 * consequence, a fact to compare at each launch, or a reason not to clone
 * or not to hatch.  A call that the table does not know is a reason. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "brood/program_image.h"
#include <stdbool.h>
#include <sys/types.h>

struct witness_fact {
	uint32_t kind, number;
	char *name; /* owned, NULL for machine facts */
	uint64_t value;
};
struct witness {
	struct witness_fact *fact;
	size_t count, room;
	uint64_t signals_handled; /* handlers that constructors installed */
	char no_clone[160];	  /* the first reason, "" when there is none */
	char no_hatch[160];
};
/* pid is a child that asked to be traced (process_plan.traced) and has
 * stopped at its exec.  Runs it until SHIM_MARK_STOP, then lets it go.
 * -ECHILD when it ended first (the err says how), -ETIME after timeout_ms. */
int witness_run(pid_t pid, int timeout_ms, struct witness *witness,
		struct err *err);
void witness_fini(struct witness *witness);
#define auto_witness __attribute__((cleanup(witness_fini)))

/* SPDX-License-Identifier: Apache-2.0 */
/* What optimises by itself, as a cache's folder knows it: one process at a
 * time, and what it has done (brood/profile_format.h). */
#pragma once
#include "base/err.h"
#include "brood/profile_format.h"
#include <stdbool.h>
#include <stddef.h>

/* The turn, until the descriptor is closed; -EWOULDBLOCK: another has it. */
int cache_optimiser_lock(const char *folder, struct err *err);
bool cache_optimiser_runs(const char *folder);

/* All 0 where there is nothing, or nothing that can be believed. */
void cache_optimiser_read(const char *folder, struct optimiser_state *state);
/* By who has the turn.  Fills in magic, version and sum. */
int cache_optimiser_write(const char *folder, struct optimiser_state *state,
			  struct err *err);
/* NULL: these bytes are a state, copied; else why not. */
const char *cache_optimiser_check(struct optimiser_state *state,
				  const void *bytes, size_t len);

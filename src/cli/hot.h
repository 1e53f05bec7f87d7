/* SPDX-License-Identifier: Apache-2.0 */
/* What is hot is optimised by itself (docs/optimiser.md): when a run's
 * profile says that it pays, a process of its own begins behind it, with a
 * budget for each hour. */
#pragma once
#include "brood/profile_format.h"
#include "cache/cache.h"
#include "vm/vm.h"
#include <stdbool.h>

enum {
	HOT_BUDGET_S = 120, /* of CPU time in an hour */
	HOT_HOUR_S = 3600,
	HOT_TICKS = 1000 / PROFILE_TICK_MS, /* before anything begins */
};

/* What BROOD_OPTIMISE says: seconds of CPU time an hour; 0: nothing begins by
 * itself; < 0: nothing is counted either. */
long hot_budget_s(void);
/* What is left of it. */
long hot_left_ms(const struct optimiser_state *state);
/* Does it pay to optimise what this profile calls hot? */
bool hot_is_due(const struct cache_hot *hot);

/* Of a run: adds what was counted to the module's profile, and begins what
 * that makes due.  Nothing of it fails for the run. */
void hot_note(struct vm *vm, const struct wasm_module *module,
	      const char *place);

/* The work behind it: these keys, then whatever is due in the folder, one
 * after another.  "make" optimises one within so much CPU time, and tells how
 * many functions were made, or why it was not done: its exit code. */
struct hot_made {
	uint32_t functions;
	char why[128];
	char name[64]; /* of the module */
};
typedef int hot_make(void *env, const char *key, long cpu_ms,
		     struct hot_made *made);
int hot_work(const char *folder, char *const *keys, int count, hot_make *make,
	     void *env);

/* SPDX-License-Identifier: Apache-2.0 */
/* Which layer each piece of a memory comes from. */
#pragma once
#include "base/err.h"
#include "image/layer.h"

/* CLAIM 2.9: the layers in their order, each over those before it.  Sets
 * *runs (malloced), sorted, disjoint, together all of the memory. */
int runs_of(const struct layer *layers, uint32_t layer_count,
	    struct tip_run **runs, uint32_t *run_count, struct err *err);
/* The same, however many they are: to be read, not to be mapped. */
int runs_of_any(const struct layer *layers, uint32_t layer_count,
		struct tip_run **runs, uint64_t *run_count, struct err *err);
/* NULL: they can be what runs_of gives for so many layers; else why not. */
const char *runs_check(const struct tip_run *runs, uint32_t run_count,
		       uint64_t ram_bytes, uint32_t layer_count);

/* SPDX-License-Identifier: Apache-2.0 */
/* A chain, made shorter: the same memory in fewer layers and fewer pieces.
 * Layers are never changed: new ones are written, and the old chain stays
 * until nobody names or uses it (image/sweep.h). */
#pragma once
#include "base/err.h"
#include "image/tip.h"

enum {
	FOLD_RUNS = 2000, /* a memory of more pieces takes long to map */
	FOLD_DEPTH = 8,
};
enum fold_how {
	FOLD_DIFFS, /* all differences into one, over the same base */
	FOLD_ALL,   /* everything into a new base */
};
/* Gives new_name (it may be the same) to a tip that is equal to "name" byte
 * for byte, which is looked at before it is published.  Pages that are the
 * base's are left out, and so is what later layers cover. */
int fold_tip(const struct images *images, const char *name,
	     const char *new_name, enum fold_how how, struct err *err);
/* The same for an open tip; *to has no name yet. */
int fold_layers(const struct images *images, const struct tip *from,
		enum fold_how how, struct tip *to, struct err *err);
/* tip_push, but where that makes too many pieces to be mapped the differences
 * become one, and what is between the smallest pieces is copied. */
int fold_push(const struct images *images, struct tip *tip, struct layer *layer,
	      struct err *err);

/* How many of its layers' bytes a tip still shows; a working set, which
 * covers what is the same, is not counted. */
struct fold_counts {
	uint32_t depth;
	uint64_t data_bytes, live_bytes;
	uint64_t live[LAYER_DEPTH_MOST]; /* by layer */
};
int fold_count(const struct tip *tip, struct fold_counts *counts);
/* 1 and why, 0, or -ENOMEM. */
int fold_is_due(const struct tip *tip, const char **why);

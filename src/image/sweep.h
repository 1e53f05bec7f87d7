/* SPDX-License-Identifier: Apache-2.0 */
/* What no tip names goes: layers, states and disks that were folded away, or
 * whose tip was removed or replaced, and what writers that died left over.
 * What somebody uses (it has a lease) stays until the next time. */
#pragma once
#include "base/err.h"
#include "image/images.h"

enum sweep_what {
	SWEEP_GONE,	  /* removed; "dry": it would be, unless it is used */
	SWEEP_USED,	  /* not named, but in use */
	SWEEP_UNREADABLE, /* a tip: "why" tells */
};
typedef void sweep_tell(enum sweep_what what, const char *name, uint64_t bytes,
			const char *why, void *context);
struct sweep_options {
	bool dry;
	/* Layers are removed although a tip cannot be read.  Without, such a
	 * tip keeps all of them: they can be its. */
	bool force;
	sweep_tell *tell; /* NULL: nobody listens */
	void *context;
};
/* Bytes are those that the files take on disk. */
struct sweep_counts {
	uint64_t tips, unreadable;
	uint64_t kept, kept_bytes;
	uint64_t used, used_bytes;
	uint64_t gone, gone_bytes;
	uint64_t records; /* in "seen", of objects that are not there */
};
/* Waits until nobody publishes.  -EBUSY: a tip cannot be read, and nothing
 * was removed. */
int sweep_images(const struct images *images,
		 const struct sweep_options *options,
		 struct sweep_counts *counts, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* Tips and all that they are made of, in one file (brood/bundle_format.h),
 * to and from any descriptor: a pipe too.  CLAIM 2.13
 *
 * Of a bundle nothing is believed: sizes are bounded by what its header says
 * before anything is unpacked, each layer is looked at as a whole before it
 * gets its name, and tips get theirs at the very end, put together anew. */
#pragma once
#include "base/err.h"
#include "base/progress.h"
#include "brood/bundle_format.h"
#include "image/images.h"
#include "image/tip.h"

struct bundle_options {
	const char *name; /* import: of its one tip; NULL: its own */
	bool replace;	  /* import: a tip of that name that is another one */
	struct progress *progress; /* NULL: nobody looks on */
};
struct bundle_counts {
	uint32_t tips, objects;
	uint32_t there; /* objects that were there already */
	uint64_t bytes, packed_bytes;
};

/* One tip, as a bundle tells of it. */
struct bundle_told {
	struct bundle_tip head;
	uint32_t layers[LAYER_DEPTH_MOST], disks[TIP_DISKS_MOST];
	char *words;
};
/* In parts, for what has a place of its own for each object (an OCI layout):
 * the contents are told apart, and a part is what a bundle has of one object.
 * All objects are of one shape. */
enum { BUNDLE_PARTS_MOST = LAYER_DEPTH_MOST + TIP_DISKS_MOST + 1 };
struct bundle_contents {
	struct bundle_header head;
	struct bundle_object objects[BUNDLE_PARTS_MOST];
	struct bundle_told tip;
	uint8_t shape[LAYER_ID];
};
void bundle_contents_fini(struct bundle_contents *contents);
struct bundle_parts {
	void *context;
	/* A descriptor, which stays the callee's, at a part's begin. */
	int (*open)(void *context, uint32_t number, struct err *err);
	/* It has so many bytes, and this SHA-256.  Asked before an object that
	 * was read gets its name.  1: it is there already. */
	int (*close)(void *context, uint32_t number, uint64_t bytes,
		     const uint8_t *sum, struct err *err);
};

/* Everything is leased until it is written. */
int bundle_export(const struct images *images, const char *const *names,
		  int name_count, int fd, const struct bundle_options *options,
		  struct bundle_counts *counts, struct err *err);
/* Of a tip that is open; "contents" then tells of it. */
int bundle_export_parts(const struct tip *tip, const struct bundle_parts *parts,
			struct bundle_contents *contents,
			const struct bundle_options *options,
			struct bundle_counts *counts, struct err *err);
/* Killed, cut off or without room it leaves at most layers that no tip names.
 * "named" hears of each tip once it is published. */
typedef void bundle_named(const char *name, void *context);
int bundle_import(const struct images *images, int fd,
		  const struct bundle_options *options, bundle_named *named,
		  void *context, struct bundle_counts *counts, struct err *err);
/* Parts that are there already are not opened. */
int bundle_import_parts(const struct images *images,
			const struct bundle_contents *contents,
			const struct bundle_parts *parts,
			const struct bundle_options *options,
			struct bundle_counts *counts, struct err *err);

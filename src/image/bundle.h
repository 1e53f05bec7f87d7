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
#include "image/images.h"

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
/* Everything is leased until it is written. */
int bundle_export(const struct images *images, const char *const *names,
		  int name_count, int fd, const struct bundle_options *options,
		  struct bundle_counts *counts, struct err *err);
/* Killed, cut off or without room it leaves at most layers that no tip names.
 * "named" hears of each tip once it is published. */
typedef void bundle_named(const char *name, void *context);
int bundle_import(const struct images *images, int fd,
		  const struct bundle_options *options, bundle_named *named,
		  void *context, struct bundle_counts *counts, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* Loads an application from the shared storage, up to where its program can be
 * executed.  All that touches the share is done by a helper, which is left
 * behind when the share falls silent. */
#pragma once
#include "appliance/context.h"
#include "appliance/record.h"
#include "base/helper.h"

struct loaded {
	struct record record; /* of the version that counts now */
	struct buf text;      /* that it was read from */
	uint64_t version;
	char *root;  /* the folder that the payload is */
	char *facts; /* a JSON object: how it went */
};
void loaded_fini(struct loaded *loaded);
#define auto_loaded __attribute__((cleanup(loaded_fini)))

/* entry NULL: none is looked for, all is loaded.  On failure nothing is left:
 * the lock is let go, or ends with the helper.
 *			CLAIM 4.9 4.10 4.11 4.12 4.13 */
int load_shared(const struct context *context, const char *entry,
		struct loaded *loaded, struct err *err);
/* The version of the context's record, from an image of this host alone, within
 * that time.  source: as in site.h. */
int load_local(const struct context *context, const char *entry,
	       const char *image, const char *source, int left_ms,
	       struct loaded *loaded, struct err *err);

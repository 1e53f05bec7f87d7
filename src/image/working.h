/* SPDX-License-Identifier: Apache-2.0 */
/* Working sets: what a start reads, as one more layer on top.  Its content is
 * the tip's own, but it lies in one piece: it is read in one go where the
 * pages would be gathered from all over the chain. */
#pragma once
#include "base/err.h"
#include "image/pages.h"
#include "image/tip.h"

/* The tip gets a working set of these pages, in place of one that it had. */
int working_publish(const struct images *images, const char *name,
		    const struct ranges *touched, struct layer *layer,
		    struct err *err);
/* Asks for it to be read, and does not wait. */
void working_read_ahead(const struct tip *tip);

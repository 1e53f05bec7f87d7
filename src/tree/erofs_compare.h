/* SPDX-License-Identifier: Apache-2.0 */
/* Is a folder what an image is?  For folders that stand in for a mount. */
#pragma once
#include "base/err.h"
#include "erofs/read.h"
#include <stdbool.h>

/* -EBADMSG names the first difference: a name that is missing or is there
 * without being in the image, another kind, other bytes, a file that cannot
 * be executed or can be, or one that others may write.  tick may be NULL;
 * false gives up. */
int erofs_compare(const struct erofs *erofs, int dir,
		  bool (*tick)(void *context), void *context, struct err *err);

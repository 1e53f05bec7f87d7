/* SPDX-License-Identifier: Apache-2.0 */
/* An image's files into a folder, for who may not mount it. */
#pragma once
#include "base/err.h"
#include "erofs/read.h"

/* dir: an empty folder of the caller's own, which gets the rights and the
 * time of the image's root.  Only for an image that erofs_check let pass.
 * Owners are not kept, nothing is synced, and what was written before an
 * error stays.  tick, called after each part, may be NULL; false gives up
 * (-ECANCELED). */
int erofs_unpack(const struct erofs *erofs, int dir,
		 bool (*tick)(void *context), void *context, struct err *err);

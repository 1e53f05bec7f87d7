/* SPDX-License-Identifier: Apache-2.0 */
/* An image's files into a folder, for who may not mount it. */
#pragma once
#include "base/err.h"
#include "base/progress.h"
#include "erofs/read.h"

/* dir: an empty folder of the caller's own, which gets the rights and the
 * time of the image's root.  Only for an image that erofs_check let pass.
 * Owners are not kept, nothing is synced, and what was written before an
 * error stays.  progress may be NULL. */
int erofs_unpack(const struct erofs *erofs, int dir, struct progress *progress,
		 struct err *err);

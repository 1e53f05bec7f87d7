/* SPDX-License-Identifier: Apache-2.0 */
/* A tar of one file, which root owns and anybody may read and execute.  The
 * same bytes for the same file: it has no time. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum { TAR_NAME_MOST = 99 };

int tar_one(const char *name, const void *data, size_t len, struct buf *out,
	    struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* What was found out with some effort and stays true as long as a key is the
 * same: $XDG_CACHE_HOME/brood/NAME, or /run/brood-memo/NAME of root where no
 * home is known, one JSON object with a checksum.  A file that is damaged, of
 * another key, or that others may write is none. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

bool memo_get(const char *name, const char *key, struct buf *value);
int memo_put(const char *name, const char *key, const char *value,
	     struct err *err);
/* The memo of that name, where there is one, is known as well to any user who
 * has $XDG_CACHE_HOME = folder, and cannot write there. */
int memo_hand_on(const char *name, const char *folder, struct err *err);

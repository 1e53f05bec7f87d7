/* SPDX-License-Identifier: Apache-2.0 */
/* Start paths: what users type leads to the startup binary, and back again.
 * What was there before lies beside it, as .NAME.brood-saved, from before the
 * path is changed until it is back; at each step the path starts one or the
 * other.						CLAIM 4.7 */
#pragma once
#include "base/err.h"
#include <stdbool.h>

/* malloced; NULL where nothing is to be saved.  *is_ours: it leads to that
 * target already. */
char *paths_saved(const char *path, const char *target, bool *is_ours,
		  struct err *err);
/* saved: what paths_saved returned. */
int paths_lead(const char *path, const char *target, const char *saved,
	       struct err *err);
/* Only if it still leads to that target: 0.  1: it was changed since, and
 * stays. */
int paths_restore(const char *path, const char *target, const char *saved,
		  struct err *err);

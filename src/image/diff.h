/* SPDX-License-Identifier: Apache-2.0 */
/* What is different in a memory: the pages of a layer. */
#pragma once
#include "base/err.h"
#include "image/pages.h"

struct diff_counts {
	uint64_t looked, changed, zero; /* pages */
};
/* Looks at the pages in "where" (NULL: all) of "now".  Against "before" those
 * that differ are DATA or ZERO; against nothing (NULL) all pages of the
 * memory are one or the other, those not in "where" ZERO.
 * CLAIM 2.4 2.5 2.6 */
int diff_pages(const struct source *now, const struct source *before,
	       const struct ranges *where, struct pages *pages,
	       struct diff_counts *counts, struct err *err);
/* Where two tips may differ: what their runs take from different places. */
struct tip;
int diff_runs(const struct tip *a, const struct tip *b, struct ranges *where);

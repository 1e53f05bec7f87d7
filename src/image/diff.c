/* SPDX-License-Identifier: Apache-2.0 */
/* Memories, compared page by page. */
#include "image/diff.h"
#include "base/fd.h"
#include "image/tip.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DIFF_PART = 1 << 20 };

struct diff {
	const struct source *now, *before;
	struct pages *pages;
	struct diff_counts *counts;
	uint8_t *new, *old;
};

static void diff_page(struct diff *diff, uint64_t page, const uint8_t *new,
		      const uint8_t *old)
{
	bool zero = pages_is_zero(new);

	diff->counts->looked++;
	if (old && memcmp(new, old, LAYER_PAGE) == 0)
		return;
	diff->pages->state[page] = zero ? PAGE_ZERO : PAGE_DATA;
	diff->counts->changed++;
	diff->counts->zero += zero;
}

static int diff_part(struct diff *diff, uint64_t offset, size_t len,
		     struct err *err)
{
	const struct source *now = diff->now, *before = diff->before;
	int rc = now->read(now->context, offset, diff->new, len, err);

	if (rc >= 0 && before)
		rc = before->read(before->context, offset, diff->old, len, err);
	for (size_t at = 0; rc >= 0 && at < len; at += LAYER_PAGE)
		diff_page(diff, (offset + at) / LAYER_PAGE, diff->new + at,
			  before ? diff->old + at : NULL);
	return rc;
}

int diff_pages(const struct source *now, const struct source *before,
	       const struct ranges *where, struct pages *pages,
	       struct diff_counts *counts, struct err *err)
{
	const struct range all = { 0, pages->count * LAYER_PAGE };
	const struct ranges everywhere = { .range = (struct range *)&all,
					   .count = 1 };
	auto_free uint8_t *new = malloc(DIFF_PART);
	auto_free uint8_t *old = malloc(DIFF_PART);
	struct diff diff = { now, before, pages, counts, new, old };
	int rc = new && old ? 0 : err_set(err, -ENOMEM, "compare memories");

	*counts = (struct diff_counts){ 0 };
	memset(pages->state, before ? PAGE_SAME : PAGE_ZERO, pages->count);
	where = where ? where : &everywhere;
	for (size_t i = 0; rc >= 0 && i < where->count; i++) {
		uint64_t at = where->range[i].offset;
		uint64_t end = at + where->range[i].bytes;

		while (rc >= 0 && at < end) {
			size_t len = end - at < DIFF_PART ? (size_t)(end - at)
							  : DIFF_PART;

			rc = diff_part(&diff, at, len, err);
			at += len;
		}
	}
	return rc;
}

static bool diff_same_place(const struct tip *a, const struct tip_run *x,
			    const struct tip *b, const struct tip_run *y,
			    uint64_t offset)
{
	if (x->layer == TIP_ZERO || y->layer == TIP_ZERO)
		return x->layer == y->layer;
	return memcmp(a->layers[x->layer].head.id, b->layers[y->layer].head.id,
		      LAYER_ID) == 0 &&
	       x->file_at + (offset - x->offset) ==
		       y->file_at + (offset - y->offset);
}

int diff_runs(const struct tip *a, const struct tip *b, struct ranges *where)
{
	uint64_t at = 0, end = a->ram_bytes < b->ram_bytes ? a->ram_bytes
							   : b->ram_bytes;
	uint32_t i = 0, k = 0;
	int rc = 0;

	while (rc >= 0 && at < end) {
		const struct tip_run *x = &a->runs[i], *y = &b->runs[k];
		uint64_t x_end = x->offset + x->bytes,
			 y_end = y->offset + y->bytes;
		uint64_t next = x_end < y_end ? x_end : y_end;

		if (!diff_same_place(a, x, b, y, at))
			rc = ranges_add(where, at, next - at);
		i += next == x_end;
		k += next == y_end;
		at = next;
	}
	/* One may have grown. */
	end = a->ram_bytes > b->ram_bytes ? a->ram_bytes : b->ram_bytes;
	return rc < 0 || at == end ? rc : ranges_add(where, at, end - at);
}

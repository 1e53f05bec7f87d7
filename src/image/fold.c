/* SPDX-License-Identifier: Apache-2.0 */
/* Folding: what a chain comes to is compared with its base, and what is
 * different becomes one layer. */
#include "image/fold.h"
#include "base/log.h"
#include "image/diff.h"
#include "image/runs.h"
#include "image/source.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FOLD_PIECES_MOST = TIP_RUNS_MOST / 3 * 2, /* of the new layer */
	FOLD_GAP = 8,	      /* pages; extents_of fills shorter ones */
	FOLD_BASE_GAP = 1024, /* the same in a base */
	FOLD_MORE = 4,	      /* 1/4 more data for fewer pieces */
};

/* ---- pieces -------------------------------------------------------------- */

static uint64_t fold_run(const struct pages *pages, uint64_t at)
{
	uint64_t end = at;

	while (end < pages->count && pages->state[end] == pages->state[at])
		end++;
	return end - at;
}

/* What is between pieces and no longer than "gap" becomes data, in a base a
 * hole.  How many pages that are; "dry": would be. */
static uint64_t fold_fill(struct pages *pages, bool base, uint64_t gap,
			  bool dry)
{
	uint64_t filled = 0, run;

	for (uint64_t at = 0; at < pages->count; at += run) {
		enum page_state state = pages->state[at];

		run = fold_run(pages, at);
		if (state == PAGE_DATA || run > gap ||
		    (base && state != PAGE_ZERO))
			continue;
		filled += run;
		if (!dry)
			memset(pages->state + at, base ? PAGE_SAME : PAGE_DATA,
			       run);
	}
	return base ? 0 : filled;
}

/* The pieces that a layer of these pages can cut a memory into.  A base is
 * one piece but for its zeros. */
static int fold_pieces(const struct pages *pages, bool base, uint64_t *pieces,
		       uint64_t *data_pages, struct err *err)
{
	auto_extents struct extents extents;
	int rc = extents_of(pages, base ? LAYER_BASE : LAYER_DIFF, 0, &extents,
			    err);

	*pieces = 1;
	for (uint64_t i = 0; i < extents.count; i++)
		if (!base || extents.extent[i].flags & LAYER_ZERO)
			*pieces += 2;
	*data_pages = extents.data_bytes / LAYER_PAGE;
	return rc;
}

/* As few pieces as are mapped fast when that costs little, and never more
 * than can be mapped. */
static int fold_fit(struct pages *pages, bool base, uint64_t want,
		    struct err *err)
{
	uint64_t gap = base ? FOLD_BASE_GAP : FOLD_GAP, most = UINT64_MAX;
	int rc = 0;

	for (; rc >= 0 && gap < 4 * pages->count; gap *= 2) {
		uint64_t pieces, data;

		rc = fold_pieces(pages, base, &pieces, &data, err);
		if (rc < 0 || pieces <= want)
			break;
		if (most == UINT64_MAX)
			most = data + data / FOLD_MORE;
		if (pieces <= FOLD_PIECES_MOST &&
		    data + fold_fill(pages, base, gap, true) > most)
			break;
		fold_fill(pages, base, gap, false);
	}
	return rc;
}

/* ---- layers -------------------------------------------------------------- */

static int fold_write(const struct images *images, const struct tip *from,
		      const struct layer_plan *kind, const struct pages *pages,
		      struct layer *layer, struct err *err)
{
	const struct layer_header *base = &from->layers[0].head;
	const struct source source = source_of_tip(from);
	struct layer_plan plan = *kind;

	plan.ram_bytes = from->ram_bytes;
	plan.shape = from->shape;
	plan.regions = base->regions;
	plan.region_count = base->region_count;
	return layer_write(images, &plan, pages, &source, layer, err);
}

/* The same, as one more layer on top of "to". */
static int fold_add(const struct images *images, const struct tip *from,
		    const struct layer_plan *kind, const struct pages *pages,
		    struct tip *to, struct err *err)
{
	struct layer layer;
	int rc = fold_write(images, from, kind, pages, &layer, err);

	if (rc < 0)
		return rc;
	rc = tip_push(to, &layer, err);
	layer_close(&layer);
	return rc;
}

/* *to is the base alone; puts what is different from it on top. */
static int fold_diffs(const struct images *images, const struct tip *from,
		      struct pages *pages, struct tip *to, struct err *err)
{
	const struct source now = source_of_tip(from),
			    before = source_of_tip(to);
	const struct layer_plan plan = { .kind = LAYER_DIFF,
					 .parent = to->layers[0].head.id };
	uint64_t base = to->run_count;
	uint64_t want = base < FOLD_RUNS / 2 ? FOLD_RUNS - base : FOLD_RUNS / 2;
	auto_ranges struct ranges where = { 0 };
	struct diff_counts counts;
	int rc = diff_runs(from, to, &where);

	if (rc < 0)
		return err_set(err, rc, "compare layers");
	rc = diff_pages(&now, &before, &where, pages, &counts, err);
	if (rc < 0 || !counts.changed)
		return rc;
	rc = fold_fit(pages, false, want, err);
	return rc < 0 ? rc : fold_add(images, from, &plan, pages, to, err);
}

static int fold_all(const struct images *images, const struct tip *from,
		    struct pages *pages, struct tip *to, struct err *err)
{
	const struct source now = source_of_tip(from);
	const struct layer_plan plan = { .kind = LAYER_BASE };
	auto_ranges struct ranges where = { 0 };
	struct diff_counts counts;
	struct layer layer;
	int rc = source_ranges(from, &where);

	if (rc < 0)
		return err_set(err, rc, "look at layers");
	rc = diff_pages(&now, NULL, &where, pages, &counts, err);
	if (rc >= 0)
		rc = fold_fit(pages, true, FOLD_RUNS, err);
	if (rc >= 0)
		rc = fold_write(images, from, &plan, pages, &layer, err);
	if (rc < 0)
		return rc;
	rc = tip_compose(images, (const void *)layer.head.id, 1, to, err);
	layer_close(&layer);
	return rc;
}

static int fold_where(const struct layer *layer, struct ranges *where)
{
	int rc = 0;

	for (uint64_t i = 0; rc >= 0 && i < layer->head.extent_count; i++)
		rc = ranges_add(where, layer->extents[i].offset,
				layer->extents[i].bytes);
	return rc;
}

static void fold_outside(const struct ranges *where, struct pages *pages)
{
	uint64_t at = 0;

	for (size_t i = 0; i < where->count; i++) {
		uint64_t from = where->range[i].offset / LAYER_PAGE;

		memset(pages->state + at, PAGE_SAME, from - at);
		at = from + where->range[i].bytes / LAYER_PAGE;
	}
	memset(pages->state + at, PAGE_SAME, pages->count - at);
}

/* A working set stands on the chain's last layer, which is another one now:
 * it is written again. */
static int fold_working(const struct images *images, const struct tip *from,
			struct pages *pages, struct tip *to, struct err *err)
{
	const struct layer *old = &from->layers[from->layer_count - 1];
	const struct source now = source_of_tip(from);
	const struct layer_plan plan = {
		.kind = LAYER_WORKING,
		.parent = to->layers[to->layer_count - 1].head.id,
		.flags = old->head.extent_count
				 ? old->extents[0].flags & LAYER_HOT
				 : 0,
	};
	auto_ranges struct ranges where = { 0 };
	struct diff_counts counts;
	int rc = fold_where(old, &where);

	if (rc < 0)
		return err_set(err, rc, "look at a working set");
	rc = diff_pages(&now, NULL, &where, pages, &counts, err);
	if (rc < 0)
		return rc;
	fold_outside(&where, pages);
	return fold_add(images, from, &plan, pages, to, err);
}

/* ---- tips ---------------------------------------------------------------- */

/* Before anybody can use it: is it the same? */
static int fold_check(const struct tip *from, const struct tip *to,
		      struct pages *pages, struct err *err)
{
	const struct source a = source_of_tip(from), b = source_of_tip(to);
	auto_ranges struct ranges where = { 0 };
	struct diff_counts counts;
	int rc = diff_runs(from, to, &where);

	if (rc < 0)
		return err_set(err, rc, "compare layers");
	rc = diff_pages(&a, &b, &where, pages, &counts, err);
	if (rc >= 0 && counts.changed)
		rc = err_set(err, -EBADMSG,
			     "%lu pages came out wrong; nothing was changed",
			     (unsigned long)counts.changed);
	return rc;
}

static int fold_take_rest(const struct images *images, const struct tip *from,
			  struct tip *to, struct err *err)
{
	int rc = 0;

	to->words = from->words ? strdup(from->words) : NULL;
	if (from->words && !to->words)
		return err_set(err, -ENOMEM, "the words of a tip");
	if (from->state.fd >= 0)
		rc = layer_open(images, from->state.head.id, &to->state, err);
	for (uint32_t i = 0; rc >= 0 && i < from->disk_count; i++) {
		rc = layer_open(images, from->disks[i].head.id, &to->disks[i],
				err);
		to->disk_count += rc >= 0;
	}
	return rc;
}

static int fold_start(const struct images *images, const struct tip *from,
		      enum fold_how how, struct pages *pages, struct tip *to,
		      struct err *err)
{
	int rc;

	if (how == FOLD_ALL)
		return fold_all(images, from, pages, to, err);
	rc = tip_compose(images, (const void *)from->layers[0].head.id, 1, to,
			 err);
	return rc < 0 ? rc : fold_diffs(images, from, pages, to, err);
}

int fold_layers(const struct images *images, const struct tip *from,
		enum fold_how how, struct tip *to, struct err *err)
{
	struct pages pages;
	int rc;

	*to = TIP_EMPTY;
	rc = pages_init(&pages, from->ram_bytes, err);
	if (rc < 0)
		return rc;
	rc = fold_start(images, from, how, &pages, to, err);
	if (rc >= 0 && from->has_working)
		rc = fold_working(images, from, &pages, to, err);
	if (rc >= 0)
		rc = fold_take_rest(images, from, to, err);
	if (rc >= 0)
		rc = fold_check(from, to, &pages, err);
	pages_fini(&pages);
	if (rc < 0)
		tip_close(to);
	return rc;
}

int fold_tip(const struct images *images, const char *name,
	     const char *new_name, enum fold_how how, struct err *err)
{
	auto_tip struct tip from = TIP_EMPTY, to = TIP_EMPTY;
	int rc = tip_open(images, name, &from, err);

	if (rc < 0)
		return rc;
	rc = fold_layers(images, &from, how, &to, err);
	if (rc < 0)
		return err_wrap(err, "fold %s", name);
	rc = tip_publish_over(images, &to, new_name,
			      strcmp(name, new_name) == 0 ? from.id : NULL,
			      err);
	if (rc >= 0)
		log_event("image.fold",
			  "\"name\":\"%s\",\"layers\":%u,\"before\":%u", name,
			  to.layer_count, from.layer_count);
	return rc;
}

/* "both" are the tip's layers and one more, of more pieces than can be
 * mapped; its layers stay their owners'. */
static int fold_both(const struct images *images, struct tip *both,
		     struct tip *folded, struct err *err)
{
	uint64_t count;
	int rc = runs_of_any(both->layers, both->layer_count, &both->runs,
			     &count, err);

	if (rc < 0)
		return rc;
	both->run_count = (uint32_t)count;
	rc = count > UINT32_MAX
		     ? err_set(err, -E2BIG, "%lu pieces of memory",
			       (unsigned long)count)
		     : fold_layers(images, both, FOLD_DIFFS, folded, err);
	free(both->runs);
	return rc < 0 ? err_wrap(err, "fold %u layers", both->layer_count) : 0;
}

int fold_push(const struct images *images, struct tip *tip, struct layer *layer,
	      struct err *err)
{
	struct tip both, folded;
	int rc = tip_push(tip, layer, err);

	if (rc != -E2BIG || tip->layer_count == LAYER_DEPTH_MOST)
		return rc;
	both = *tip;
	both.layers[both.layer_count++] = *layer;
	both.has_working = layer->head.kind == LAYER_WORKING;
	rc = fold_both(images, &both, &folded, err);
	if (rc < 0)
		return rc;
	memcpy(folded.name, tip->name, sizeof(folded.name));
	tip_close(tip);
	layer_close(layer);
	*tip = folded;
	if (err)
		err_clear(err);
	return 0;
}

/* ---- when ---------------------------------------------------------------- */

int fold_count(const struct tip *tip, struct fold_counts *counts)
{
	auto_ranges struct ranges ranges = { 0 };
	struct tip part = *tip; /* without the working set */
	struct tip_run *runs;
	uint64_t count;
	int rc;

	*counts = (struct fold_counts){ 0 };
	part.layer_count -= tip->has_working;
	rc = runs_of_any(part.layers, part.layer_count, &runs, &count, NULL);
	if (rc < 0)
		return rc;
	part.runs = runs;
	part.run_count = (uint32_t)count;
	rc = source_ranges(&part, &ranges);
	counts->depth = part.layer_count;
	for (uint32_t i = 0; i < part.layer_count; i++)
		counts->data_bytes += part.layers[i].head.data_bytes;
	counts->live_bytes = counts->live[0] = ranges_bytes(&ranges);
	for (uint32_t i = 0; i < part.run_count; i++)
		if (runs[i].layer != TIP_ZERO && runs[i].layer != 0) {
			counts->live[runs[i].layer] += runs[i].bytes;
			counts->live[0] -= runs[i].bytes;
		}
	free(runs);
	return rc;
}

int fold_is_due(const struct tip *tip, const char **why)
{
	struct fold_counts counts;
	int rc = fold_count(tip, &counts);

	*why = NULL;
	if (rc < 0)
		return rc;
	if (tip->run_count > FOLD_RUNS)
		*why = "it has more than 2000 pieces";
	else if (counts.depth > FOLD_DEPTH)
		*why = "it has more than 8 layers";
	else if (counts.data_bytes - counts.live_bytes > counts.live_bytes)
		*why = "more than half of its layers' bytes are covered";
	return *why != NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: layers laid over each other, from the base up.  The cost is that of
 * the extents, whatever the size of the memory. */
#include "image/runs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct run_list {
	struct tip_run *run;
	uint64_t count, room;
};

static bool run_goes_on(const struct tip_run *last, const struct tip_run *next)
{
	if (last->offset + last->bytes != next->offset ||
	    last->layer != next->layer || last->flags != next->flags)
		return false;
	return next->layer == TIP_ZERO ||
	       last->file_at + last->bytes == next->file_at;
}

static int run_add(struct run_list *list, struct tip_run run)
{
	struct tip_run *more;

	if (list->count && run_goes_on(&list->run[list->count - 1], &run)) {
		list->run[list->count - 1].bytes += run.bytes;
		return 0;
	}
	if (list->count == list->room) {
		uint64_t room = list->room ? 2 * list->room : 256;

		more = reallocarray(list->run, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->run = more;
		list->room = room;
	}
	list->run[list->count++] = run;
	return 0;
}

static struct tip_run run_of_extent(const struct layer_extent *extent,
				    uint32_t layer, uint64_t from, uint64_t end)
{
	bool zero = extent->flags & LAYER_ZERO;

	return (struct tip_run){
		.offset = from,
		.bytes = end - from,
		.layer = zero ? TIP_ZERO : layer,
		.file_at = zero ? 0 : extent->file_at + (from - extent->offset),
		.flags = extent->flags & LAYER_HOT,
	};
}

/* What lies between extents of a base is in its file too, as holes. */
static struct tip_run run_of_base(const struct layer *base, uint64_t from,
				  uint64_t end)
{
	return (struct tip_run){ .offset = from,
				 .bytes = end - from,
				 .layer = 0,
				 .file_at = base->head.data_at + from };
}

static int run_start(struct run_list *list, const struct layer *base)
{
	uint64_t from = 0;
	int rc = 0;

	for (uint64_t e = 0; rc >= 0 && e < base->head.extent_count; e++) {
		const struct layer_extent *extent = &base->extents[e];
		uint64_t end = extent->offset + extent->bytes;

		if (from < extent->offset)
			rc = run_add(list,
				     run_of_base(base, from, extent->offset));
		if (rc >= 0)
			rc = run_add(list, run_of_extent(extent, 0,
							 extent->offset, end));
		from = end;
	}
	if (rc >= 0 && from < base->head.ram_bytes)
		rc = run_add(list,
			     run_of_base(base, from, base->head.ram_bytes));
	return rc;
}

/* Adds what the runs below say of [from, stop); *i is the first of them that
 * can say something of it. */
static int run_keep(const struct run_list *below, uint64_t *i, uint64_t from,
		    uint64_t stop, struct run_list *both)
{
	int rc = 0;

	while (rc >= 0 && *i < below->count) {
		struct tip_run run = below->run[*i];
		uint64_t end = run.offset + run.bytes;
		uint64_t begin = run.offset > from ? run.offset : from;
		uint64_t to = end < stop ? end : stop;

		if (begin < to) {
			if (run.layer != TIP_ZERO)
				run.file_at += begin - run.offset;
			run.offset = begin;
			run.bytes = to - begin;
			rc = run_add(both, run);
		}
		if (end > stop)
			break;
		++*i;
	}
	return rc;
}

/* Lays a layer over what is below it. */
static int run_cover(const struct run_list *below, const struct layer *layer,
		     uint32_t index, struct run_list *both)
{
	uint64_t at = 0, i = 0;
	int rc = 0;

	for (uint64_t e = 0; rc >= 0 && e < layer->head.extent_count; e++) {
		const struct layer_extent *extent = &layer->extents[e];

		rc = run_keep(below, &i, at, extent->offset, both);
		at = extent->offset + extent->bytes;
		if (rc >= 0)
			rc = run_add(both, run_of_extent(extent, index,
							 extent->offset, at));
	}
	return rc < 0 ? rc : run_keep(below, &i, at, UINT64_MAX, both);
}

/* A layer may have more memory than those below it, which say that it is
 * zero. */
static int run_grow(struct run_list *list, uint64_t ram_bytes)
{
	const struct tip_run *last = &list->run[list->count - 1];
	uint64_t end = last->offset + last->bytes;

	if (end >= ram_bytes)
		return 0;
	return run_add(list, (struct tip_run){ .offset = end,
					       .bytes = ram_bytes - end,
					       .layer = TIP_ZERO });
}

int runs_of_any(const struct layer *layers, uint32_t layer_count,
		struct tip_run **runs, uint64_t *run_count, struct err *err)
{
	struct run_list now = { 0 };
	int rc = run_start(&now, &layers[0]);

	for (uint32_t i = 1; rc >= 0 && i < layer_count; i++) {
		struct run_list both = { 0 };

		rc = run_grow(&now, layers[i].head.ram_bytes);
		if (rc >= 0)
			rc = run_cover(&now, &layers[i], i, &both);
		free(now.run);
		now = both;
	}
	if (rc < 0) {
		free(now.run);
		return err_set(err, rc, "put layers together");
	}
	*runs = now.run;
	*run_count = now.count;
	return 0;
}

int runs_of(const struct layer *layers, uint32_t layer_count,
	    struct tip_run **runs, uint32_t *run_count, struct err *err)
{
	struct tip_run *found;
	uint64_t count;
	int rc = runs_of_any(layers, layer_count, &found, &count, err);

	if (rc < 0)
		return rc;
	if (count > TIP_RUNS_MOST) {
		free(found);
		err_set(err, -EINVAL,
			"%lu pieces of memory are more than the %d that can "
			"be mapped; \"brood image fold\" makes fewer",
			(unsigned long)count, TIP_RUNS_MOST);
		return -E2BIG;
	}
	*runs = found;
	*run_count = (uint32_t)count;
	return 0;
}

const char *runs_check(const struct tip_run *runs, uint32_t run_count,
		       uint64_t ram_bytes, uint32_t layer_count)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < run_count; i++) {
		const struct tip_run *run = &runs[i];

		if (run->offset != at || !run->bytes ||
		    run->bytes % LAYER_PAGE || run->file_at % LAYER_PAGE ||
		    run->bytes > ram_bytes - at)
			return "its pieces do not make up a memory";
		if (run->layer == TIP_ZERO ? run->file_at != 0
					   : run->layer >= layer_count)
			return "a piece of it is of no layer";
		if (run->flags & ~(uint32_t)LAYER_HOT)
			return "a piece of it has unknown flags";
		at += run->bytes;
	}
	return at == ram_bytes ? NULL : "its pieces do not make up a memory";
}

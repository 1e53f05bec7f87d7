/* SPDX-License-Identifier: Apache-2.0 */
/* Working sets, made and read ahead. */
#include "image/working.h"
#include "image/view.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Pages of zeros come from nowhere, and fast: they are left out. */
static void working_mark(const struct view *view, const struct ranges *touched,
			 struct pages *pages)
{
	for (size_t i = 0; i < touched->count; i++) {
		uint64_t page = touched->range[i].offset / LAYER_PAGE;
		uint64_t end = page + touched->range[i].bytes / LAYER_PAGE;

		for (; page < end && page < pages->count; page++)
			if (!pages_is_zero(view->at + page * LAYER_PAGE))
				pages->state[page] = PAGE_DATA;
	}
}

static int working_write(const struct images *images, const struct tip *tip,
			 const struct ranges *touched, struct layer *layer,
			 struct err *err)
{
	const struct layer_header *top =
		&tip->layers[tip->layer_count - 1].head;
	const struct layer_plan plan = { .kind = LAYER_WORKING,
					 .ram_bytes = tip->ram_bytes,
					 .parent = top->id,
					 .shape = tip->shape,
					 .regions = top->regions,
					 .region_count = top->region_count,
					 .flags = LAYER_HOT };
	auto_pages struct pages pages = { 0 };
	auto_view struct view view = { 0 };
	struct source_memory memory;
	struct source source;
	int rc = pages_init(&pages, tip->ram_bytes, err);

	if (rc >= 0)
		rc = view_open(tip, VIEW_MAP, &view, err);
	if (rc < 0)
		return rc;
	working_mark(&view, touched, &pages);
	memory.at = view.at;
	source = source_of_memory(&memory);
	return layer_write(images, &plan, &pages, &source, layer, err);
}

/* The tip as it is, without a working set that it has. */
static int working_open(const struct images *images, const char *name,
			struct tip *tip, struct err *err)
{
	int rc = tip_open(images, name, tip, err);

	return rc < 0 || !tip->has_working ? rc : tip_pop(tip, err);
}

int working_publish(const struct images *images, const char *name,
		    const struct ranges *touched, struct layer *layer,
		    struct err *err)
{
	auto_tip struct tip tip = TIP_EMPTY;
	struct layer made = LAYER_NONE;
	uint8_t was[LAYER_ID];
	int rc = working_open(images, name, &tip, err);

	memcpy(was, tip.id, LAYER_ID);
	*layer = LAYER_NONE;
	if (rc >= 0)
		rc = working_write(images, &tip, touched, &made, err);
	if (rc >= 0)
		layer->head = made.head;
	if (rc >= 0)
		rc = tip_push(&tip, &made, err);
	layer_close(&made);
	return rc < 0 ? rc : tip_publish_over(images, &tip, name, was, err);
}

void working_read_ahead(const struct tip *tip)
{
	const struct layer *top;

	if (!tip->has_working)
		return;
	top = &tip->layers[tip->layer_count - 1];
	posix_fadvise(top->fd, (off_t)top->head.data_at,
		      (off_t)top->head.data_bytes, POSIX_FADV_WILLNEED);
}

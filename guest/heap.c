/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's blocks.  Those of up to half a page come from lists of their
 * size, larger ones are runs of pages; a run that is given back is joined to
 * its neighbours.  All blocks are zero when they are given out: fresh pages
 * are, and are not touched.
 *
 *	GUEST_HEAP_VA            fresh_at            open_end
 *	| runs, used and free    | fresh pages       | the host is asked
 *
 * Free runs are a list in the order of addresses; each begins in itself. */
#include "guest.h"
#include <string.h>

enum {
	HEAP_SMALL = 2048,
	HEAP_CLASSES = 16,
	HEAP_SLAB = 16384, /* what small blocks are cut from */
	HEAP_STEP = 2 << 20,
	HEAP_FIRST = 3584,
};

struct free_block {
	struct free_block *next;
};
struct free_run {
	struct free_run *next;
	uint64_t bytes;
};

/* The first blocks, which all runs write to, are in a page that is written
 * to anyway (guest.ld). */
static uint8_t heap_first[HEAP_FIRST] __attribute__((aligned(16)));

static struct heap {
	struct free_block *small[HEAP_CLASSES];
	struct free_run *runs;
	uint8_t *slab, *slab_end;
	uint64_t fresh_at, open_end; /* from GUEST_HEAP_VA on */
} heap = { .slab = heap_first, .slab_end = heap_first + HEAP_FIRST };

/* Two classes for each power of two: 16, 24 -> 32, 48, 64, 96, ... */
static unsigned class_of(size_t len, size_t *bytes)
{
	unsigned class = 0;
	size_t size = 16;

	while (size < len) {
		class ++;
		size = class & 1 ? (size_t)16 << (class + 1) / 2
				 : (size_t)24 << class / 2;
	}
	*bytes = size;
	return class;
}

static uint64_t page_up(uint64_t bytes)
{
	return (bytes + GUEST_PAGE - 1) & ~(uint64_t)(GUEST_PAGE - 1);
}

static bool open_more(uint64_t end)
{
	struct guest_call *page = guest_page();

	if (end > GUEST_HEAP_MOST)
		return false;
	end = (end + HEAP_STEP - 1) & ~(uint64_t)(HEAP_STEP - 1);
	page->words[0] = end;
	if (guest_bell(GUEST_BELL_HEAP) < 0)
		return false;
	heap.open_end = end;
	return true;
}

static uint8_t *take_fresh(uint64_t bytes)
{
	uint8_t *block = (uint8_t *)GUEST_HEAP_VA + heap.fresh_at;

	if (bytes > GUEST_HEAP_MOST || (heap.fresh_at + bytes > heap.open_end &&
					!open_more(heap.fresh_at + bytes)))
		return NULL;
	heap.fresh_at += bytes;
	return block;
}

/* The first that is long enough; what is left of it stays. */
static uint8_t *take_run(uint64_t bytes)
{
	struct free_run **link = &heap.runs, *run;

	while ((run = *link) && run->bytes < bytes)
		link = &run->next;
	if (!run)
		return take_fresh(bytes);
	if (run->bytes == bytes) {
		*link = run->next;
	} else {
		struct free_run *rest =
			(struct free_run *)((uint8_t *)run + bytes);

		rest->bytes = run->bytes - bytes;
		rest->next = run->next;
		*link = rest;
	}
	return memset(run, 0, bytes);
}

static bool is_right_before(const struct free_run *run, const void *next)
{
	return (const uint8_t *)run + run->bytes == next;
}

static void give_run(void *block, uint64_t bytes)
{
	struct free_run **link = &heap.runs, *run = block, *before = NULL;

	while (*link && *link < run) {
		before = *link;
		link = &before->next;
	}
	run->bytes = bytes;
	run->next = *link;
	*link = run;
	if (run->next && is_right_before(run, run->next)) {
		run->bytes += run->next->bytes;
		run->next = run->next->next;
	}
	if (before && is_right_before(before, run)) {
		before->bytes += run->bytes;
		before->next = run->next;
	}
}

static void *take_small(unsigned class, size_t bytes)
{
	struct free_block *block = heap.small[class];

	if (block) {
		heap.small[class] = block->next;
		return memset(block, 0, bytes);
	}
	if ((size_t)(heap.slab_end - heap.slab) < bytes) {
		heap.slab = take_run(HEAP_SLAB);
		heap.slab_end = heap.slab ? heap.slab + HEAP_SLAB : NULL;
		if (!heap.slab)
			return NULL;
	}
	heap.slab += bytes;
	return heap.slab - bytes;
}

void *guest_allocate(void *env, size_t len)
{
	size_t bytes;
	unsigned class;

	(void)env;
	if (len > HEAP_SMALL)
		return len > GUEST_HEAP_MOST ? NULL : take_run(page_up(len));
	class = class_of(len, &bytes);
	return take_small(class, bytes);
}

void guest_release(void *env, void *block, size_t len)
{
	size_t bytes;
	unsigned class;

	(void)env;
	if (!block)
		return;
	if (len > HEAP_SMALL) {
		give_run(block, page_up(len));
		return;
	}
	class = class_of(len, &bytes);
	((struct free_block *)block)->next = heap.small[class];
	heap.small[class] = block;
}

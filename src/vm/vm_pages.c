/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of pages: which pages of memories are not zero, and where a file has
 * them.
 *
 *	memory  ....DDDD..DD......................DDD....
 *	            |run    |                     |run|
 *	file        DDDD..DDDDD
 */
#include "vm/vm_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGES_GAP = 16 }; /* pages that do not end a run */

bool vm_pages_are_zero(const uint8_t *bytes, uint64_t len)
{
	return !len ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

int vm_pages_add(struct vm_pages *pages, uint32_t memory, uint64_t page)
{
	struct code_run *last = NULL, *runs;
	uint32_t room = pages->room ? 2 * pages->room : 16;

	if (pages->count)
		last = &pages->runs[pages->count - 1];
	if (last && last->memory == memory &&
	    last->page + last->count == page) {
		last->count++;
		return 0;
	}
	if (pages->count == pages->room) {
		runs = room > pages->room
			       ? reallocarray(pages->runs, room, sizeof(*runs))
			       : NULL;
		if (!runs)
			return -ENOMEM;
		pages->runs = runs;
		pages->room = room;
	}
	pages->runs[pages->count++] = (struct code_run){
		.page = page,
		.count = 1,
		.memory = memory,
	};
	return 0;
}

/* How many of len bytes at "at" are in its page. */
static uint64_t vm_pages_part(uint64_t at, uint64_t len)
{
	uint64_t left = CODE_PAGE - at % CODE_PAGE;

	return len < left ? len : left;
}

int vm_pages_add_bytes(struct vm_pages *pages, uint32_t memory, uint64_t at,
		       const uint8_t *bytes, uint64_t len)
{
	for (uint64_t part; len; at += part, bytes += part, len -= part) {
		part = vm_pages_part(at, len);
		if (!vm_pages_are_zero(bytes, part) &&
		    vm_pages_add(pages, memory, at / CODE_PAGE) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int vm_pages_compare(const void *a, const void *b)
{
	const struct code_run *left = a, *right = b;

	if (left->memory != right->memory)
		return left->memory > right->memory ? 1 : -1;
	return (left->page > right->page) - (left->page < right->page);
}

static void vm_pages_merge(struct vm_pages *pages)
{
	struct code_run *last = pages->runs;

	for (uint32_t i = 1; i < pages->count; i++) {
		const struct code_run *run = &pages->runs[i];
		uint64_t end = run->page + run->count;

		if (run->memory != last->memory ||
		    run->page > last->page + last->count + PAGES_GAP)
			*++last = *run;
		else if (end > last->page + last->count)
			last->count = end - last->page;
	}
	pages->count = (uint32_t)(last - pages->runs) + 1;
}

void vm_pages_settle(struct vm_pages *pages)
{
	pages->page_count = 0;
	if (!pages->count)
		return;
	qsort(pages->runs, pages->count, sizeof(*pages->runs),
	      vm_pages_compare);
	vm_pages_merge(pages);
	for (uint32_t i = 0; i < pages->count; i++) {
		pages->runs[i].file_page = pages->page_count;
		pages->page_count += pages->runs[i].count;
	}
}

void vm_pages_fini(struct vm_pages *pages)
{
	free(pages->runs);
	*pages = (struct vm_pages){ 0 };
}

/* The run that has the page; NULL: none. */
static const struct code_run *vm_pages_find(const struct code_run *runs,
					    uint32_t count, uint32_t memory,
					    uint64_t page)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct code_run *run = &runs[middle];

		if (run->memory < memory ||
		    (run->memory == memory && run->page + run->count <= page))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == count || runs[low].memory != memory || runs[low].page > page)
		return NULL;
	return &runs[low];
}

void vm_pages_put(const struct code_run *runs, uint32_t count, uint8_t *to,
		  uint32_t memory, uint64_t at, const uint8_t *bytes,
		  uint64_t len)
{
	for (uint64_t part; len; at += part, bytes += part, len -= part) {
		uint64_t page = at / CODE_PAGE;
		const struct code_run *run =
			vm_pages_find(runs, count, memory, page);

		part = vm_pages_part(at, len);
		if (run)
			memcpy(to +
				       (run->file_page + page - run->page) *
					       CODE_PAGE +
				       at % CODE_PAGE,
			       bytes, part);
	}
}

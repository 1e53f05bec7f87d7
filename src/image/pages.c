/* SPDX-License-Identifier: Apache-2.0 */
/* Pages to extents.  A run costs 4 us each time it is composed and a page
 * that is read again costs 0.4, so gaps of a few pages are filled, the
 * shortest first, as long as that adds little; and what is zero is not stored
 * when there is enough of it. */
#include "image/pages.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum {
	PAGES_GAP = 4,	       /* pages that are filled at the most, */
	PAGES_FILL = 20,       /* one for so many that changed, */
	PAGES_FREE = 64,       /* and these */
	PAGES_ZERO = 16,       /* a run of zeros that is one */
	PAGES_BASE_ZERO = 512, /* the same in a base, which has holes */
};

/* ---- sources ----------------------------------------------------------- */

static int source_memory_read(const void *context, uint64_t offset, void *to,
			      size_t len, struct err *err)
{
	const struct source_memory *memory = context;

	(void)err;
	memcpy(to, memory->at + offset, len);
	return 0;
}

static int source_process_read(const void *context, uint64_t offset, void *to,
			       size_t len, struct err *err)
{
	const struct source_process *process = context;
	size_t done = 0;

	while (done < len) {
		struct iovec here = { (char *)to + done, len - done };
		struct iovec there = { (void *)(uintptr_t)(process->at +
							   offset + done),
				       len - done };
		ssize_t got =
			process_vm_readv(process->pid, &here, 1, &there, 1, 0);

		if (got <= 0)
			return err_set(err, got ? -errno : -EIO,
				       "read memory of process %d",
				       process->pid);
		done += (size_t)got;
	}
	return 0;
}

struct source source_of_memory(const struct source_memory *memory)
{
	return (struct source){ source_memory_read, memory };
}

struct source source_of_process(const struct source_process *process)
{
	return (struct source){ source_process_read, process };
}

/* ---- pages ------------------------------------------------------------- */

int pages_init(struct pages *pages, uint64_t ram_bytes, struct err *err)
{
	*pages = (struct pages){ .count = ram_bytes / LAYER_PAGE };
	pages->state = calloc(pages->count + 1, 1);
	return pages->state ? 0 : err_set(err, -ENOMEM, "a map of pages");
}

void pages_fini(struct pages *pages)
{
	free(pages->state);
	*pages = (struct pages){ 0 };
}

bool pages_is_zero(const void *page)
{
	static const uint8_t zeros[64];
	const uint8_t *bytes = page;

	return memcmp(bytes, zeros, sizeof(zeros)) == 0 &&
	       memcmp(bytes, bytes + sizeof(zeros),
		      LAYER_PAGE - sizeof(zeros)) == 0;
}

/* ---- ranges ------------------------------------------------------------ */

void ranges_fini(struct ranges *ranges)
{
	free(ranges->range);
	*ranges = (struct ranges){ 0 };
}

int ranges_add(struct ranges *ranges, uint64_t offset, uint64_t bytes)
{
	struct range *last =
		ranges->count ? &ranges->range[ranges->count - 1] : NULL;
	struct range *more;

	if (last && offset <= last->offset + last->bytes) {
		if (offset + bytes > last->offset + last->bytes)
			last->bytes = offset + bytes - last->offset;
		return 0;
	}
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? 2 * ranges->room : 64;

		more = reallocarray(ranges->range, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		ranges->range = more;
		ranges->room = room;
	}
	ranges->range[ranges->count++] = (struct range){ offset, bytes };
	return 0;
}

uint64_t ranges_bytes(const struct ranges *ranges)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < ranges->count; i++)
		bytes += ranges->range[i].bytes;
	return bytes;
}

int ranges_unite(const struct ranges *a, const struct ranges *b,
		 struct ranges *both)
{
	size_t i = 0, k = 0;
	int rc = 0;

	while (rc >= 0 && (i < a->count || k < b->count)) {
		bool first = k == b->count ||
			     (i < a->count &&
			      a->range[i].offset <= b->range[k].offset);
		const struct range *next =
			first ? &a->range[i++] : &b->range[k++];

		rc = ranges_add(both, next->offset, next->bytes);
	}
	return rc;
}

/* ---- extents ----------------------------------------------------------- */

void extents_fini(struct extents *extents)
{
	free(extents->extent);
	*extents = (struct extents){ 0 };
}

static int extents_add(struct extents *extents, uint64_t page, uint64_t count,
		       uint32_t flags)
{
	struct layer_extent *more;

	if (extents->count == extents->room) {
		uint64_t room = extents->room ? 2 * extents->room : 64;

		more = reallocarray(extents->extent, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		extents->extent = more;
		extents->room = room;
	}
	extents->extent[extents->count++] =
		(struct layer_extent){ .offset = page * LAYER_PAGE,
				       .bytes = count * LAYER_PAGE,
				       .flags = flags };
	if (!(flags & LAYER_ZERO))
		extents->data_bytes += count * LAYER_PAGE;
	return 0;
}

static uint64_t run_of(const struct pages *pages, uint64_t at,
		       enum page_state state)
{
	uint64_t end = at;

	while (end < pages->count && pages->state[end] == state)
		end++;
	return end - at;
}

/* The longest gaps that are filled. */
static uint64_t gap_of(const struct pages *pages)
{
	uint64_t filled[PAGES_GAP + 1] = { 0 }, changed = 0, sum = 0, run;
	uint64_t gap = 0;

	for (uint64_t at = 0; at < pages->count; at += run) {
		run = run_of(pages, at, pages->state[at]);
		if (pages->state[at] != PAGE_SAME)
			changed += run;
		else if (at && run <= PAGES_GAP)
			filled[run] += run;
	}
	while (gap < PAGES_GAP &&
	       sum + filled[gap + 1] <= changed / PAGES_FILL + PAGES_FREE)
		sum += filled[++gap];
	return gap;
}

/* The end of what can be one extent of data: zeros of less than a run, and
 * gaps that are not worth two extents, are in it. */
static uint64_t data_end(const struct pages *pages, uint64_t at,
			 uint64_t zero_run, uint64_t gap)
{
	uint64_t end = at, next = at;

	while (next < pages->count) {
		enum page_state state = pages->state[next];
		uint64_t run = run_of(pages, next, state);

		if (state == PAGE_DATA ||
		    (state == PAGE_ZERO && run < zero_run))
			end = next + run;
		else if (state == PAGE_ZERO || run > gap)
			break;
		next += run;
	}
	return end;
}

int extents_of(const struct pages *pages, enum layer_kind kind, uint32_t flags,
	       struct extents *extents, struct err *err)
{
	const bool base = kind == LAYER_BASE;
	const uint64_t zero_run = base ? PAGES_BASE_ZERO : PAGES_ZERO;
	const uint64_t gap = base ? 0 : gap_of(pages);
	/* Zeros in a base that are no run are holes, as what is the same. */
	uint64_t at = 0, run;
	int rc = 0;

	*extents = (struct extents){ 0 };
	while (rc >= 0 && at < pages->count) {
		enum page_state state = pages->state[at];

		run = run_of(pages, at, state);
		if (state == PAGE_ZERO && run >= zero_run) {
			rc = extents_add(extents, at, run, flags | LAYER_ZERO);
		} else if (state == PAGE_DATA ||
			   (state == PAGE_ZERO && !base)) {
			run = base ? run
				   : data_end(pages, at, zero_run, gap) - at;
			rc = extents_add(extents, at, run, flags);
		}
		at += run;
	}
	if (rc < 0)
		err_set(err, rc, "a table of extents");
	return rc;
}

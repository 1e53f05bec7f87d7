/* SPDX-License-Identifier: Apache-2.0 */
/* Regions and parts.  Guest-physical addresses are given out one after the
 * other, in large pages, so that the same opening in the same order gives the
 * same addresses. */
#include "domain/space.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A part is at least as large as a half of what is there, up to this. */
#define SPACE_STEP_MOST	   (UINT64_C(256) << 20)
#define SPACE_LARGE_FROM   (UINT64_C(4) << 20)
#define SPACE_RESERVE_MOST (GUEST_MEMORY_STRIDE - GUEST_MEMORY_GUARD)

static uint64_t space_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) & ~(unit - 1);
}

static int space_make_room(void **array, uint32_t count, uint32_t *room,
			   size_t size, struct err *err)
{
	uint32_t more = *room ? 2 * *room : 8;
	void *new;

	if (count < *room)
		return 0;
	new = reallocarray(*array, more, size);
	if (!new)
		return err_set(err, -ENOMEM, "a domain's memory");
	*array = new;
	*room = more;
	return 0;
}

/* Where there is a choice, so that large pages fit. */
static void *space_reserve_at(void *place, uint64_t length)
{
	return mmap(place, length, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			    (place ? MAP_FIXED_NOREPLACE : 0),
		    -1, 0);
}

static int space_no_place(int error, uint64_t bytes, struct err *err)
{
	if (error == EEXIST)
		return err_set(err, -EBUSY,
			       "a domain's addresses are taken: without KVM "
			       "there is one domain at a time in a process");
	return err_set(err, -error, "reserve %llu bytes of addresses",
		       (unsigned long long)bytes);
}

/* Where the host's addresses are the guest's, nothing else may be in the
 * window. */
static int space_reserve(struct space *space, uint64_t virtual,
			 uint64_t reserve, uint64_t window, struct err *err)
{
	struct space_region *region;
	void *place = space->kind->place(virtual);
	int r = space_make_room((void **)&space->regions, space->region_count,
				&space->region_room, sizeof(*region), err);

	if (r < 0)
		return r;
	region = &space->regions[space->region_count];
	*region =
		(struct space_region){ .virtual = virtual, .reserve = reserve };
	region->length = place ? window : reserve + GUEST_LARGE;
	region->mapped = space_reserve_at(place, region->length);
	if (region->mapped == MAP_FAILED)
		return space_no_place(errno, region->length, err);
	region->at =
		(uint8_t *)space_up((uintptr_t)region->mapped, GUEST_LARGE);
	return (int)space->region_count++;
}

void space_want_large(const struct space_region *region)
{
	if (region->open >= SPACE_LARGE_FROM)
		madvise(region->at, region->open, MADV_HUGEPAGE);
}

/* ---- parts ---------------------------------------------------------------- */

static int space_show(struct space *space, const struct space_part *part,
		      struct err *err)
{
	const struct space_region *region = &space->regions[part->region];
	const struct cpu_memory memory = {
		.physical = part->physical,
		.virtual = region->virtual + part->offset,
		.bytes = part->bytes,
		.at = region->at + part->offset,
	};

	return space->cpu ? space->kind->show(space->cpu, &memory, err) : 0;
}

static int space_add_part(struct space *space, uint32_t number, uint64_t bytes,
			  struct err *err)
{
	struct space_region *region = &space->regions[number];
	struct space_part *part;
	int r = space_make_room((void **)&space->parts, space->part_count,
				&space->part_room, sizeof(*part), err);

	if (r < 0)
		return r;
	if (bytes > GUEST_CODE_AT - space->physical)
		return err_set(err, -ENOMEM, "a domain has 32 GiB at most");
	part = &space->parts[space->part_count];
	*part = (struct space_part){ .physical = space->physical,
				     .bytes = bytes,
				     .offset = region->backed,
				     .region = number };
	r = space_show(space, part, err);
	if (r < 0)
		return r;
	space->part_count++;
	space->physical += space_up(bytes, GUEST_LARGE);
	region->backed += bytes;
	return 0;
}

/* The reservation's end may lie within a large page. */
static int space_back(struct space *space, uint32_t number, uint64_t bytes,
		      struct err *err)
{
	struct space_region *region = &space->regions[number];
	uint64_t more, step = region->backed / 2;

	if (bytes <= region->backed)
		return 0;
	if (step > SPACE_STEP_MOST)
		step = SPACE_STEP_MOST;
	more = space_up(bytes - region->backed, GUEST_LARGE);
	if (more < space_up(step, GUEST_LARGE))
		more = space_up(step, GUEST_LARGE);
	if (more > region->reserve - region->backed)
		more = region->reserve - region->backed;
	return space_add_part(space, number, more, err);
}

/* ---- regions -------------------------------------------------------------- */

static int space_map(struct space *space, uint32_t number, uint64_t from,
		     uint64_t to, struct err *err)
{
	const struct space_region *region = &space->regions[number];
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < space->part_count; i++) {
		const struct space_part *part = &space->parts[i];
		uint64_t begin = part->offset > from ? part->offset : from;
		uint64_t end = part->offset + part->bytes;

		if (end > to)
			end = to;
		if (part->region != number || begin >= end)
			continue;
		r = tables_map(&space->tables, region->virtual + begin,
			       part->physical + begin - part->offset,
			       end - begin, TABLES_WRITE, err);
	}
	return r;
}

/* Nobody reaches these any more, and what was there is gone. */
static int space_shut(const struct space_region *region, uint64_t from,
		      uint64_t to, struct err *err)
{
	uint64_t more = to - from;

	if (more && (madvise(region->at + from, more, MADV_DONTNEED) < 0 ||
		     mprotect(region->at + from, more, PROT_NONE) < 0))
		return err_set(err, -errno, "close a memory of a domain");
	return 0;
}

/* The tables may show some of it when there is none left for the rest. */
static int space_open_more(struct space *space, uint32_t number, uint64_t open,
			   struct err *err)
{
	struct space_region *region = &space->regions[number];
	int r = space_back(space, number, open, err);

	if (r >= 0 && mprotect(region->at + region->open, open - region->open,
			       PROT_READ | PROT_WRITE) < 0)
		r = err_set(err, -errno, "memory for a domain");
	if (r >= 0)
		r = space_map(space, number, region->open, open, err);
	if (r < 0) {
		space_shut(region, region->open, open, NULL);
		return r;
	}
	region->open = open;
	if (number >= SPACE_WINDOWS)
		space_want_large(region);
	return 0;
}

int space_open(struct space *space, uint32_t number, uint64_t bytes,
	       struct err *err)
{
	struct space_region *region = &space->regions[number];
	uint64_t open = space_up(bytes, GUEST_PAGE);
	int r = 0;

	if (bytes > region->reserve)
		return err_set(err, -ENOMEM, "a memory of a domain");
	if (open > region->open)
		r = space_open_more(space, number, open, err);
	if (r < 0)
		return r;
	if (bytes > region->bytes)
		region->bytes = bytes;
	return 0;
}

int space_add(struct space *space, uint64_t reserve, struct err *err)
{
	uint64_t window = space->region_count - SPACE_WINDOWS;

	if (window >= GUEST_MEMORIES_MOST)
		return err_set(err, -ENOMEM, "a domain has %d memories at most",
			       GUEST_MEMORIES_MOST);
	if (reserve > SPACE_RESERVE_MOST)
		reserve = SPACE_RESERVE_MOST;
	return space_reserve(space,
			     GUEST_MEMORY_VA + window * GUEST_MEMORY_STRIDE,
			     space_up(reserve ? reserve : 1, GUEST_PAGE),
			     GUEST_MEMORY_STRIDE, err);
}

void space_drop_last(struct space *space)
{
	const struct space_region *region =
		&space->regions[space->region_count - 1];

	if (region->open || region->backed)
		return;
	munmap(region->mapped, region->length);
	space->region_count--;
}

struct space_region *space_window(const struct space *space, uint64_t window)
{
	if (window >= space->region_count - SPACE_WINDOWS)
		return NULL;
	return &space->regions[SPACE_WINDOWS + window];
}

static int space_show_bytes(struct space *space, const uint8_t *at,
			    uint64_t bytes, unsigned flags, uint64_t *virtual,
			    struct err *err)
{
	struct cpu_memory memory = {
		.physical = GUEST_CODE_AT + space->code,
		.virtual = GUEST_CODE_VA + space->code,
		.bytes = space_up(bytes, GUEST_PAGE),
		.at = (uint8_t *)at,
		.is_code = true,
		.is_data = !(flags & TABLES_EXECUTE),
	};
	uint64_t room = space_up(bytes, GUEST_LARGE);
	int r;

	if (bytes == 0 || room > GUEST_CODE_MOST - space->code)
		return err_set(err, -E2BIG, "code for a domain");
	r = space->kind->show(space->cpu, &memory, err);
	if (r >= 0)
		r = tables_map(&space->tables, memory.virtual, memory.physical,
			       memory.bytes, flags, err);
	if (r < 0)
		return r;
	space->code += room;
	*virtual = memory.virtual;
	return 0;
}

/* CLAIM 3.13: one copy, in each domain that shows it. */
int space_show_code(struct space *space, const uint8_t *at, uint64_t bytes,
		    uint64_t *virtual, struct err *err)
{
	return space_show_bytes(space, at, bytes, TABLES_EXECUTE, virtual, err);
}

int space_show_data(struct space *space, const uint8_t *at, uint64_t bytes,
		    uint64_t *virtual, struct err *err)
{
	return space_show_bytes(space, at, bytes, 0, virtual, err);
}

/* ---- files ---------------------------------------------------------------- */

/* At the guest's address where that is the host's, else where large pages
 * fit. */
static int files_map(struct space *space, int fd, uint64_t bytes,
		     struct err *err)
{
	void *place = space->kind->place(GUEST_FILES_VA);
	uint64_t length = place ? bytes : bytes + GUEST_LARGE;
	uint8_t *at = space_reserve_at(place, length);

	if (at == MAP_FAILED)
		return space_no_place(errno, length, err);
	space->files_at = at;
	space->files_length = length;
	if (mmap((void *)space_up((uintptr_t)at, GUEST_LARGE), bytes, PROT_READ,
		 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return err_set(err, -errno, "map an image of files");
	/* What is not in the page cache yet comes there in large pages, where
	 * the file system can; each is one fault of the guest's. */
	madvise((void *)space_up((uintptr_t)at, GUEST_LARGE), bytes,
		MADV_HUGEPAGE);
	return 0;
}

static void files_unmap(struct space *space)
{
	if (space->files_at)
		munmap(space->files_at, space->files_length);
	space->files_at = NULL;
	space->files = 0;
}

static int files_show(struct space *space, uint64_t bytes, struct err *err)
{
	const struct cpu_memory memory = {
		.physical = GUEST_FILES_AT,
		.virtual = GUEST_FILES_VA,
		.bytes = bytes,
		.at = (uint8_t *)space_up((uintptr_t)space->files_at,
					  GUEST_LARGE),
		.is_code = true,
		.is_data = true,
		.is_placed = true,
	};
	int r = space->kind->show(space->cpu, &memory, err);

	return r < 0 ? r
		     : tables_map(&space->tables, GUEST_FILES_VA,
				  GUEST_FILES_AT, bytes, 0, err);
}

/* CLAIM 4.6 */
int space_show_files(struct space *space, int fd, uint64_t bytes,
		     struct err *err)
{
	int r;

	if (space->files || !bytes || bytes > GUEST_FILES_MOST ||
	    bytes % GUEST_PAGE)
		return err_set(err, -EINVAL, "an image of files of %llu bytes",
			       (unsigned long long)bytes);
	r = files_map(space, fd, bytes, err);
	if (r >= 0)
		r = files_show(space, bytes, err);
	if (r < 0)
		files_unmap(space);
	else
		space->files = bytes;
	return r;
}

/* ---- back ----------------------------------------------------------------- */

static int space_close_region(struct space_region *region,
			      const struct space_region *was, struct err *err)
{
	int r = space_shut(region, was->open, region->open, err);

	if (r < 0)
		return r;
	region->open = was->open;
	region->bytes = was->bytes;
	region->backed = was->backed;
	region->is_dropped = was->is_dropped;
	return 0;
}

/* A CPU may know yet which table was behind an address: a table that was given
 * out is given out again only after a slot has gone, which makes the CPU forget
 * all of them. */
static int space_has_tables(const struct space *space, struct err *err)
{
	const uint32_t most = GUEST_TABLES_BYTES / GUEST_PAGE / 2;

	return space->tables.used > most
		       ? err_set(err, -ENOMEM, "a domain's page tables")
		       : 0;
}

int space_close_again(struct space *space, const struct space_mark *mark,
		      struct err *err)
{
	bool hides = space->part_count > mark->part_count ||
		     space->code > mark->code || space->files != mark->files;
	int r = hides ? space->kind->hide(space->cpu, mark->shown, err)
		      : space_has_tables(space, err);

	for (uint32_t i = 0; r >= 0 && i < mark->region_count; i++)
		r = space_close_region(&space->regions[i], &mark->regions[i],
				       err);
	while (r >= 0 && space->region_count > mark->region_count) {
		struct space_region *region =
			&space->regions[--space->region_count];

		munmap(region->mapped, region->length);
	}
	if (r < 0)
		return r;
	space->part_count = mark->part_count;
	space->physical = mark->physical;
	space->code = mark->code;
	if (space->files != mark->files)
		files_unmap(space);
	if (hides)
		space->tables.used = mark->tables;
	return 0;
}

int space_empty(struct space *space, uint64_t first_bytes, struct err *err)
{
	struct space_region *system = &space->regions[SPACE_SYSTEM];
	int keeps = space->parts[0].bytes == first_bytes;
	int r = space->kind->hide(space->cpu, (uint32_t)keeps, err);

	if (r < 0)
		return r;
	while (space->region_count > SPACE_WINDOWS) {
		struct space_region *region =
			&space->regions[--space->region_count];

		munmap(region->mapped, region->length);
	}
	if (mmap(system->at, system->reserve, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return err_set(err, -errno, "empty a domain");
	system->open = system->bytes = system->backed = 0;
	files_unmap(space);
	space->part_count = 0;
	space->physical = space->code = 0;
	return keeps;
}

int space_show_from(struct space *space, uint32_t first, struct err *err)
{
	int r = 0;

	for (uint32_t i = first; r >= 0 && i < space->part_count; i++)
		r = space_show(space, &space->parts[i], err);
	return r;
}

/* ---- begin and end -------------------------------------------------------- */

/* The system is all open to the host; its tables are made by who makes the
 * image. */
static int space_init_system(struct space *space, struct err *err)
{
	struct space_region *system;
	const uint64_t bytes = GUEST_SYSTEM_BYTES + GUEST_HEAP_MOST;
	int r = space_reserve(space, GUEST_VA, bytes, bytes, err);

	if (r >= 0)
		r = space_add_part(space, SPACE_SYSTEM,
				   GUEST_SYSTEM_BYTES + GUEST_HEAP_FIRST, err);
	if (r < 0)
		return r;
	system = &space->regions[SPACE_SYSTEM];
	if (mprotect(system->at, GUEST_SYSTEM_BYTES, PROT_READ | PROT_WRITE) <
	    0)
		return err_set(err, -errno, "memory for a domain");
	system->open = system->bytes = GUEST_SYSTEM_BYTES;
	tables_init(&space->tables, system->at + GUEST_TABLES_AT);
	return 0;
}

int space_init(struct space *space, const struct cpu_kind *kind,
	       struct err *err)
{
	int r;

	*space = (struct space){ .kind = kind };
	r = space_init_system(space, err);
	if (r < 0)
		space_fini(space);
	return r < 0 ? r : 0;
}

void space_fini(struct space *space)
{
	files_unmap(space);
	for (uint32_t i = 0; i < space->region_count; i++)
		munmap(space->regions[i].mapped, space->regions[i].length);
	space_forget(space);
}

void space_forget(struct space *space)
{
	free(space->regions);
	free(space->parts);
	*space = (struct space){ 0 };
}

int space_attach(struct space *space, struct cpu *cpu, struct err *err)
{
	space->cpu = cpu;
	return space_show_from(space, 0, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping table of an image.
 *
 * A private page that was written, or that has no file, has to be saved; the
 * rest comes from the files themselves, so that it stays shared with
 * everybody.  Each mapping costs a starter about as much as a page fault, so
 * runs with small gaps between them are saved as one, neighbours that
 * continue each other become one, and the read-only data of a library is
 * mapped together with its code (both then executable: the bytes are the
 * same, and none can be written). */
#include "launch/image_plan.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	PAGE = 4096,
	PLAN_GAP_PAGES = 32, /* saved along rather than mapped apart */
	PLAN_PART_PAGES = 8192,
};
#define PAGE_PRESENT (1ull << 63)
#define PAGE_SWAPPED (1ull << 62)
#define PAGE_OF_FILE (1ull << 61)

struct plan_walk {
	struct image_plan *plan;
	const struct map *map;
	int pagemap;
	int source; /* file index, or IMAGE_FROM_NOTHING */
};

void image_plan_fini(struct image_plan *plan)
{
	free(plan->map);
	free(plan->file);
	free(plan->ino);
	*plan = (struct image_plan){ 0 };
}

int image_plan_file(struct image_plan *plan, const char *path, uint64_t ino)
{
	const char **file;
	uint64_t *inos;

	for (size_t i = 0; i < plan->files; i++)
		if (plan->ino[i] == ino && strcmp(plan->file[i], path) == 0)
			return i;
	if (plan->files == IMAGE_FILES_MOST)
		return -E2BIG;
	file = realloc(plan->file, (plan->files + 1) * sizeof *file);
	if (!file)
		return -ENOMEM;
	plan->file = file;
	inos = realloc(plan->ino, (plan->files + 1) * sizeof *inos);
	if (!inos)
		return -ENOMEM;
	plan->ino = inos;
	plan->file[plan->files] = path;
	plan->ino[plan->files] = ino;
	return plan->files++;
}

/* Code and read-only data of one file may be one mapping. */
static bool plan_same_rights(const struct image_map *a,
			     const struct image_map *b)
{
	int both = a->prot | b->prot;

	if (a->prot == b->prot)
		return true;
	return a->file >= 0 && a->prot && b->prot && !(both & PROT_WRITE);
}

static bool plan_continues(const struct image_map *a, const struct image_map *b)
{
	if (a->addr + a->len != b->addr || a->file != b->file ||
	    !plan_same_rights(a, b))
		return false;
	return a->file < 0 || a->at + a->len == b->at;
}

static int plan_add(struct image_plan *plan, struct image_map map)
{
	struct image_map *last =
		plan->count ? &plan->map[plan->count - 1] : NULL;

	if (map.len == 0)
		return 0;
	if (last && plan_continues(last, &map)) {
		last->len += map.len;
		last->prot |= map.prot;
		return 0;
	}
	if (plan->count == plan->room) {
		size_t room = plan->room ? plan->room * 2 : 256;
		struct image_map *grown =
			realloc(plan->map, room * sizeof *grown);

		if (!grown)
			return -ENOMEM;
		plan->map = grown;
		plan->room = room;
	}
	plan->map[plan->count++] = map;
	return 0;
}

/* A run of pages of the walked mapping, saved or as it was mapped. */
static int plan_add_run(struct plan_walk *walk, uint64_t from, uint64_t to,
			bool saved)
{
	struct image_map map = {
		.addr = walk->map->start + from * PAGE,
		.len = (to - from) * PAGE,
		.prot = walk->map->prot,
		.file = saved ? IMAGE_FROM_SAVED : walk->source,
	};

	if (map.file >= 0)
		map.at = walk->map->offset + from * PAGE;
	return plan_add(walk->plan, map);
}

/* Private pages: written ones, and all that have no file. */
static bool plan_is_private(uint64_t entry)
{
	return (entry & (PAGE_PRESENT | PAGE_SWAPPED)) &&
	       !(entry & PAGE_OF_FILE);
}

/* State of the walk through a mapping's pages. */
struct plan_runs {
	uint64_t start; /* of the run being collected */
	uint64_t last;	/* behind its last private page; 0: none yet */
	bool any;
};

static int plan_page(struct plan_walk *walk, struct plan_runs *runs,
		     uint64_t page)
{
	int r = 0;

	if (runs->any && page - runs->last < PLAN_GAP_PAGES) {
		runs->last = page + 1;
		return 0;
	}
	if (runs->any) {
		r = plan_add_run(walk, runs->start, runs->last, true);
		if (r >= 0)
			r = plan_add_run(walk, runs->last, page, false);
	} else {
		/* a small head is saved along */
		uint64_t head = page < PLAN_GAP_PAGES ? 0 : page;

		r = plan_add_run(walk, 0, head, false);
		runs->start = head;
		runs->any = true;
		runs->last = page + 1;
		return r;
	}
	runs->start = page;
	runs->last = page + 1;
	return r;
}

static int plan_finish(struct plan_walk *walk, struct plan_runs *runs,
		       uint64_t pages)
{
	int r;

	if (!runs->any)
		return plan_add_run(walk, 0, pages, false);
	if (pages - runs->last < PLAN_GAP_PAGES)
		runs->last = pages; /* and so is a small tail */
	r = plan_add_run(walk, runs->start, runs->last, true);
	return r < 0 ? r : plan_add_run(walk, runs->last, pages, false);
}

static int plan_walk_pages(struct plan_walk *walk, struct err *err)
{
	uint64_t entry[PLAN_PART_PAGES / 8];
	uint64_t pages = (walk->map->end - walk->map->start) / PAGE;
	uint64_t first = walk->map->start / PAGE;
	struct plan_runs runs = { 0 };
	int r = 0;

	for (uint64_t at = 0; at < pages;) {
		uint64_t n = sizeof entry / sizeof *entry;

		if (n > pages - at)
			n = pages - at;
		r = fd_pread_all(walk->pagemap, entry, n * sizeof *entry,
				 (first + at) * sizeof *entry, err);
		if (r < 0)
			return err_wrap(err, "pagemap");
		for (uint64_t i = 0; i < n && r >= 0; i++)
			if (plan_is_private(entry[i]))
				r = plan_page(walk, &runs, at + i);
		if (r < 0)
			return err_set(err, r, "plan of the image");
		at += n;
	}
	r = plan_finish(walk, &runs, pages);
	return r < 0 ? err_set(err, r, "plan of the image") : 0;
}

static void plan_refuse(struct image_plan *plan, const char *words,
			const char *name)
{
	if (!plan->refused[0])
		snprintf(plan->refused, sizeof plan->refused, "%s%s", words,
			 name);
}

/* Only its used part is saved; the rest is the caller's own stack. */
static int plan_stack(struct plan_walk *walk, uint64_t pointer)
{
	uint64_t low = pointer & ~(uint64_t)(PAGE - 1);

	walk->plan->stack_low = low;
	walk->plan->stack_high = walk->map->end;
	return plan_add_run(walk, (low - walk->map->start) / PAGE,
			    (walk->map->end - walk->map->start) / PAGE, true);
}

/* Parts that the kernel lends to every process. */
static bool plan_kernel_part(struct image_plan *plan, const struct map *map)
{
	uint64_t len = map->end - map->start;

	if (strcmp(map->name, "[vdso]") == 0) {
		plan->vdso = map->start;
		plan->vdso_bytes = len;
	} else if (strcmp(map->name, "[vvar]") == 0) {
		plan->vvar = map->start;
		plan->vvar_bytes = len;
	} else if (strncmp(map->name, "[vvar_", 6) == 0) {
		plan->vvar_clock = map->start;
		plan->vvar_clock_bytes = len;
	} else {
		return strcmp(map->name, "[vsyscall]") == 0;
	}
	return true;
}

static int plan_mapping(struct plan_walk *walk,
			const struct control_stopped *stopped, struct err *err)
{
	struct image_plan *plan = walk->plan;
	const struct map *map = walk->map;

	if (plan_kernel_part(plan, map))
		return 0;
	if (strcmp(map->name, "[heap]") == 0)
		plan->heap_end = map->end;
	if (stopped->stack_pointer >= map->start &&
	    stopped->stack_pointer < map->end)
		return plan_stack(walk, stopped->stack_pointer);
	if (map->shared)
		plan_refuse(plan, "shared memory is mapped: ", map->name);
	if (map->deleted)
		plan_refuse(plan, "a removed file is mapped: ", map->name);
	if (map->ino && map->name[0] != '/')
		plan_refuse(plan,
			    "memory of a kernel object is mapped: ", map->name);
	walk->source = IMAGE_FROM_NOTHING;
	if (map->ino && map->name[0] == '/') {
		walk->source = image_plan_file(plan, map->name, map->ino);
		if (walk->source < 0)
			return err_set(err, walk->source, "files of the image");
	}
	if (map->prot == 0) {
		walk->source = IMAGE_FROM_NOTHING;
		return plan_add_run(walk, 0, (map->end - map->start) / PAGE,
				    false);
	}
	return plan_walk_pages(walk, err);
}

int image_plan_make(pid_t pid, const struct maps *maps,
		    const struct control_stopped *stopped,
		    struct image_plan *plan, struct err *err)
{
	char path[64];
	struct plan_walk walk = { .plan = plan };
	int r = 0;

	*plan = (struct image_plan){ 0 };
	snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
	auto_close int pagemap = open(path, O_RDONLY | O_CLOEXEC);

	if (pagemap < 0)
		return err_set(err, -errno, "open %s", path);
	walk.pagemap = pagemap;
	for (size_t i = 0; i < maps->count && r >= 0; i++) {
		walk.map = &maps->map[i];
		r = plan_mapping(&walk, stopped, err);
	}
	if (plan->count > IMAGE_MAPS_MOST)
		plan_refuse(plan, "its memory is in too many pieces", "");
	if (!plan->stack_high)
		plan_refuse(plan, "its stack was not found", "");
	return r;
}

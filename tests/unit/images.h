/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of images: a folder of one's own, memories that are written page
 * by page, and chains made of them. */
#pragma once
#include "base/fd.h"
#include "base/file.h"
#include "image/diff.h"
#include "image/source.h"
#include "image/tip.h"
#include "test.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t images_shape[LAYER_ID] = { 5, 1, 7 };

struct made_images {
	char folder[64];
	struct images images;
};

static inline struct made_images made_images_new(void)
{
	/* Where a sync costs nothing. */
	struct made_images made = { .folder = "/dev/shm/brood-test-XXXXXX" };
	struct err err = { 0 };
	char path[80];

	CHECK(mkdtemp(made.folder) != NULL);
	snprintf(path, sizeof(path), "%s/images", made.folder);
	CHECK_INT(images_open(&made.images, path, true, &err), 0);
	return made;
}

static inline void made_images_fini(struct made_images *made)
{
	images_close(&made->images);
	file_remove_tree(made->folder, NULL);
}
#define auto_made_images __attribute__((cleanup(made_images_fini)))

/* A memory that is mapped, so that a large one costs nothing. */
struct made_memory {
	uint8_t *at;
	uint64_t bytes;
};

static inline struct made_memory made_memory_new(uint64_t pages)
{
	void *at = mmap(NULL, pages * LAYER_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(at != MAP_FAILED);
	return (struct made_memory){ at, pages * LAYER_PAGE };
}

static inline void made_memory_fini(struct made_memory *memory)
{
	munmap(memory->at, memory->bytes);
}
#define auto_memory __attribute__((cleanup(made_memory_fini)))

static inline struct made_memory made_memory_copy(const struct made_memory *of)
{
	struct made_memory memory = made_memory_new(of->bytes / LAYER_PAGE);

	for (uint64_t at = 0; at < of->bytes; at += LAYER_PAGE)
		if (!pages_is_zero(of->at + at))
			memcpy(memory.at + at, of->at + at, LAYER_PAGE);
	return memory;
}

/* Pages [from, from + count), of bytes that the seed tells; 0: zeros. */
static inline void made_fill(struct made_memory *memory, uint64_t from,
			     uint64_t count, uint64_t seed)
{
	uint64_t *word = (void *)(memory->at + from * LAYER_PAGE);
	uint64_t state = seed * 0x9e3779b97f4a7c15 + from;

	for (uint64_t i = 0; i < count * LAYER_PAGE / 8; i++) {
		state = state * 6364136223846793005 + 1442695040888963407;
		/* half of it can be compressed */
		word[i] = seed ? (i & 1 ? seed : state) : 0;
	}
}

/* A memory at three times: pages filled, changed, cleared. */
static inline void made_step(struct made_memory *memory, int step)
{
	made_fill(memory, 3, 300, 1);
	made_fill(memory, 1200, 500, 2);
	if (step > 0) {
		made_fill(memory, 100, 40, 3);
		made_fill(memory, 1300, 100, 0);
	}
	if (step > 1)
		made_fill(memory, 120, 7, 4);
}

/* A base (before NULL), or what is different from before, on the parent. */
static inline int made_layer(const struct images *images, enum layer_kind kind,
			     const struct made_memory *now,
			     const struct made_memory *before,
			     const uint8_t *parent, struct layer *layer)
{
	const struct layer_region region = { 0, now->bytes, 0 };
	const struct layer_plan plan = { .kind = kind,
					 .ram_bytes = now->bytes,
					 .parent = parent,
					 .shape = images_shape,
					 .regions = &region,
					 .region_count = 1 };
	struct source_memory at = { now->at };
	struct source_memory old = { before ? before->at : NULL };
	struct source source = source_of_memory(&at);
	struct source below = source_of_memory(&old);
	struct diff_counts counts;
	struct err err = { 0 };
	struct pages pages;
	int rc = pages_init(&pages, now->bytes, &err);

	if (rc >= 0)
		rc = diff_pages(&source, before ? &below : NULL, NULL, &pages,
				&counts, &err);
	if (rc >= 0)
		rc = layer_write(images, &plan, &pages, &source, layer, &err);
	pages_fini(&pages);
	if (rc < 0)
		printf("# %s\n", err.text);
	return rc;
}

/* The tip of a base; not published. */
static inline int made_base(const struct images *images,
			    const struct made_memory *now, struct tip *tip)
{
	struct err err = { 0 };
	struct layer layer;
	int rc = made_layer(images, LAYER_BASE, now, NULL, NULL, &layer);

	*tip = TIP_EMPTY;
	if (rc >= 0)
		rc = tip_compose(images, (const void *)layer.head.id, 1, tip,
				 &err);
	layer_close(&layer);
	return rc;
}

/* One more difference on top of a tip. */
static inline int made_push(const struct images *images, struct tip *tip,
			    const struct made_memory *now,
			    const struct made_memory *before)
{
	struct err err = { 0 };
	struct layer layer;
	int rc = made_layer(images, LAYER_DIFF, now, before,
			    tip->layers[tip->layer_count - 1].head.id, &layer);

	if (rc >= 0)
		rc = tip_push(tip, &layer, &err);
	if (rc < 0)
		printf("# %s\n", err.text);
	layer_close(&layer);
	return rc;
}

/* A file of such bytes. */
static inline int made_file(size_t bytes)
{
	int fd = memfd_create("made", MFD_CLOEXEC);
	uint8_t *data = malloc(bytes + 1);

	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i * i >> 3);
	CHECK(fd_write_all(fd, data, bytes, NULL) >= 0);
	free(data);
	return fd;
}

/* A state for a tip that has none, and one more disk. */
static inline int made_state(const struct images *images, struct tip *tip,
			     size_t bytes)
{
	auto_close int fd = made_file(bytes);
	struct err err = { 0 };

	return layer_write_state(images, images_shape, fd, &tip->state, &err);
}

static inline int made_disk(const struct images *images, struct tip *tip,
			    size_t bytes)
{
	auto_close int fd = made_file(bytes);
	struct err err = { 0 };

	return layer_write_disk(images, images_shape, fd,
				&tip->disks[tip->disk_count++], &err);
}

static inline int made_publish(const struct images *images, struct tip *tip,
			       const char *name)
{
	struct err err = { 0 };
	int rc;

	if (!tip->words)
		tip->words = strdup("{\"machine\":\"made\",\"n\":7}");
	rc = tip_publish(images, tip, name, &err);
	if (rc < 0)
		printf("# %s\n", err.text);
	return rc;
}

/* Does the tip of that name have these bytes? */
static inline bool made_is(const struct images *images, const char *name,
			   const struct made_memory *memory)
{
	auto_tip struct tip tip = TIP_EMPTY;
	uint8_t page[LAYER_PAGE];
	struct source source;
	struct err err = { 0 };

	if (tip_open(images, name, &tip, &err) < 0) {
		printf("# %s\n", err.text);
		return false;
	}
	source = source_of_tip(&tip);
	if (tip.ram_bytes != memory->bytes)
		return false;
	for (uint64_t at = 0; at < memory->bytes; at += LAYER_PAGE)
		if (source.read(source.context, at, page, LAYER_PAGE, &err) <
			    0 ||
		    memcmp(page, memory->at + at, LAYER_PAGE) != 0)
			return false;
	return true;
}

/* How many objects there are. */
static inline int made_objects(const struct images *images)
{
	DIR *dir = opendir(images->folder);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += store_is_name(entry->d_name);
	if (dir)
		closedir(dir);
	return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of layers and tips: a folder of images, memories that follow from
 * numbers, and files that are changed and then made to fit again. */
#pragma once
#include "bare/crc.h"
#include "base/fd.h"
#include "base/file.h"
#include "image/chunks.h"
#include "image/diff.h"
#include "image/layer.h"
#include "image/tip.h"
#include "image/view.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define LAYERS_SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LAYERS_SANITISED 1
#endif
#endif

static const uint8_t layers_shape[LAYER_ID] = { 0x5a, 1, 2, 3 };

/* ---- the folder ------------------------------------------------------------
 */

struct here {
	char *folder;
	struct images images;
};

static inline struct here here_open(void)
{
	struct here here = { .folder = strdup("/tmp/brood-test-XXXXXX") };
	struct err err = { 0 };

	CHECK(mkdtemp(here.folder) != NULL);
	if (images_open(&here.images, here.folder, true, &err) < 0) {
		printf("# %s\n", err.text);
		exit(1);
	}
	return here;
}

static inline void here_close(struct here *here)
{
	images_close(&here->images);
	file_remove_tree(here->folder, NULL);
	mem_free(&here->folder);
}
#define auto_here __attribute__((cleanup(here_close)))

/* Names in one of its folders that are drafts. */
static inline int here_litter(const struct here *here, const char *under)
{
	auto_free char *path = file_join(here->folder, under);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += strncmp(entry->d_name, ".new.", 5) == 0 ||
			 file_draft_mark(entry->d_name) != NULL;
	if (dir)
		closedir(dir);
	return count;
}

static inline int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = -1;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static inline int status_of(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- chance ----------------------------------------------------------------
 */

static inline uint64_t chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline uint64_t chance_of(uint64_t *state, uint64_t most)
{
	return chance(state) % most;
}

/* ---- memories --------------------------------------------------------------
 */

struct memory {
	uint8_t *at;
	uint64_t pages;
};

static inline struct memory memory_new(uint64_t pages)
{
	void *at = mmap(NULL, pages * LAYER_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return (struct memory){ at, pages };
}

static inline void memory_fini(struct memory *memory)
{
	if (memory->at)
		munmap(memory->at, memory->pages * LAYER_PAGE);
	*memory = (struct memory){ 0 };
}
#define auto_memory __attribute__((cleanup(memory_fini)))

/* Pages that are not zero, each its own; seed 0: zeros. */
static inline void memory_fill(const struct memory *memory, uint64_t page,
			       uint64_t count, uint64_t seed)
{
	uint8_t *at = memory->at + page * LAYER_PAGE;
	uint64_t state;

	if (!seed) {
		memset(at, 0, count * LAYER_PAGE);
		return;
	}
	for (uint64_t i = 0; i < count; i++) {
		state = seed * 0x9e3779b97f4a7c15 + page + i;
		state |= 1;
		for (int k = 0; k < LAYER_PAGE; k += 8, at += 8) {
			chance(&state);
			memcpy(at, &state, 8);
		}
	}
}

static inline struct memory memory_copy(const struct memory *memory)
{
	struct memory copy = memory_new(memory->pages);

	memcpy(copy.at, memory->at, memory->pages * LAYER_PAGE);
	return copy;
}

/* Random pieces of it become data or zeros. */
static inline void memory_change(const struct memory *memory, uint64_t *state,
				 int pieces)
{
	while (pieces--) {
		uint64_t page = chance_of(state, memory->pages);
		uint64_t most = memory->pages - page;
		uint64_t count = 1 + chance_of(state, 40);

		memory_fill(memory, page, count < most ? count : most,
			    chance_of(state, 3) ? chance(state) : 0);
	}
}

/* ---- layers ----------------------------------------------------------------
 */

/* The difference of "now" to "before", NULL: all of it. */
static inline int here_write(const struct here *here, enum layer_kind kind,
			     const struct memory *now,
			     const struct memory *before, const uint8_t *parent,
			     struct layer *layer, struct err *err)
{
	const struct source_memory now_at = { now->at };
	const struct source_memory before_at = { before ? before->at : NULL };
	const struct source new = source_of_memory(&now_at);
	const struct source old = source_of_memory(&before_at);
	const struct layer_region regions[] = {
		{ 0, now->pages * LAYER_PAGE, 0 },
	};
	const struct layer_plan plan = {
		.kind = kind,
		.ram_bytes = now->pages * LAYER_PAGE,
		.parent = parent,
		.shape = layers_shape,
		.regions = regions,
		.region_count = 1,
		.flags = kind == LAYER_WORKING ? LAYER_HOT : 0,
	};
	auto_pages struct pages pages;
	struct diff_counts counts;
	int rc = pages_init(&pages, plan.ram_bytes, err);

	*layer = LAYER_NONE;
	if (rc >= 0)
		rc = diff_pages(&new, before ? &old : NULL, NULL, &pages,
				&counts, err);
	return rc < 0 ? rc
		      : layer_write(&here->images, &plan, &pages, &new, layer,
				    err);
}

/* The same where nothing may go wrong. */
static inline struct layer here_layer(const struct here *here,
				      enum layer_kind kind,
				      const struct memory *now,
				      const struct memory *before,
				      const uint8_t *parent)
{
	struct layer layer;
	struct err err = { 0 };

	if (here_write(here, kind, now, before, parent, &layer, &err) < 0) {
		printf("# %s\n", err.text);
		test_fail(__FILE__, __LINE__, "a layer is written");
	}
	return layer;
}

/* A state, or a disk. */
static inline struct layer here_file(const struct here *here,
				     enum layer_kind kind, const uint8_t *shape,
				     const void *data, size_t len)
{
	auto_close int fd = memfd_create("state", MFD_CLOEXEC);
	struct layer layer;
	struct err err = { 0 };

	CHECK(fd_write_all(fd, data, len, NULL) >= 0);
	if ((kind == LAYER_DISK ? layer_write_disk : layer_write_state)(
		    &here->images, shape, fd, &layer, &err) < 0) {
		printf("# %s\n", err.text);
		test_fail(__FILE__, __LINE__, "a file is written");
	}
	return layer;
}

/* Opened again, as by who has never seen it; errors name the file. */
static inline int here_open_new(const struct here *here, const char *hex,
				struct err *err)
{
	uint8_t id[LAYER_ID];
	struct layer layer;
	int rc;

	store_from_hex(hex, id);
	store_seen_forget(here->images.root, hex);
	err_clear(err);
	rc = layer_open(&here->images, id, &layer, err);
	if (rc >= 0)
		layer_close(&layer);
	return rc;
}

/* Both ways of looking at it. */
static inline bool here_refuses(const struct here *here, const char *hex,
				const char *words)
{
	struct err err = { 0 };
	bool refused = true;

	for (int way = 0; way < 2; way++) {
		int rc = way ? layer_verify(&here->images, hex, &err)
			     : here_open_new(here, hex, &err);

		if (rc >= 0 || !strstr(err.text, hex) ||
		    (words && !strstr(err.text, words))) {
			printf("# %s: %d %s\n", way ? "verify" : "open", rc,
			       rc < 0 ? err.text : "is accepted");
			refused = false;
		}
	}
	return refused;
}

static inline bool here_accepts(const struct here *here, const char *hex)
{
	struct err err = { 0 };

	if (here_open_new(here, hex, &err) >= 0 &&
	    layer_verify(&here->images, hex, &err) >= 0)
		return true;
	printf("# %s\n", err.text);
	return false;
}

/* Both ways to see it show this memory. */
static inline bool shows(const struct tip *tip, const uint8_t *bytes)
{
	bool same = true;

	for (int mode = VIEW_MAP; mode <= VIEW_COPY; mode++) {
		auto_view struct view view = { 0 };
		struct err err = { 0 };

		if (view_open(tip, (enum view_mode)mode, &view, &err) < 0) {
			printf("# %s\n", err.text);
			return false;
		}
		same &= view.bytes == tip->ram_bytes &&
			memcmp(view.at, bytes, view.bytes) == 0;
		memset(view.at, 0x11, view.bytes); /* it is one's own */
	}
	return same;
}

/* ---- their files -----------------------------------------------------------
 */

static inline char *here_path(const struct here *here, const char *hex)
{
	return file_join(here->folder, hex);
}

static inline void here_load(const struct here *here, const char *hex,
			     struct buf *bytes)
{
	auto_free char *path = here_path(here, hex);

	buf_clear(bytes);
	CHECK_INT(file_read(path, bytes, 64 << 20, NULL), 0);
}

/* In place of what has the name. */
static inline void file_put(const char *path, const void *bytes, size_t len)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	CHECK(fd >= 0 && fd_write_all(fd, bytes, len, NULL) >= 0);
	fd_close(&fd);
}

static inline void here_put(const struct here *here, const char *hex,
			    const void *bytes, size_t len)
{
	auto_free char *path = here_path(here, hex);

	file_put(path, bytes, len);
}

/* Gives a changed file the hashes and the id of what it is now, as far as its
 * tables are within it; "hex" becomes its name. */
static inline void layers_seal(void *bytes, size_t len, char *hex)
{
	struct layer_header *head = bytes;
	const struct layer_extent *extents =
		(const void *)((uint8_t *)bytes + LAYER_PAGE);
	uint64_t room = len > LAYER_PAGE ? len - LAYER_PAGE : 0;
	bool fits = head->extent_count <= room / sizeof(*extents) &&
		    head->hash_count <=
			    (room - head->extent_count * sizeof(*extents)) /
				    SHA256_BYTES;

	if (fits)
		chunks_id(bytes, extents,
			  (const void *)(extents + head->extent_count),
			  head->id);
	head->sum = chunks_header_sum(bytes);
	store_hex(head->id, LAYER_ID, hex);
}

/* The same for a right file whose data were changed. */
static inline void layers_seal_data(void *bytes, size_t len, char *hex)
{
	struct layer_header *head = bytes;
	struct layer_extent *extents =
		(void *)((uint8_t *)bytes + head->extents_at);
	struct chunks chunks;

	chunks_start(&chunks, (void *)((uint8_t *)bytes + head->hashes_at),
		     head->hash_count);
	for (uint64_t i = 0; i < head->extent_count; i++) {
		const uint8_t *data = (uint8_t *)bytes + extents[i].file_at;

		if (extents[i].flags & LAYER_ZERO)
			continue;
		extents[i].sum = crc_of(0, data, extents[i].bytes);
		chunks_add(&chunks, data, extents[i].bytes);
	}
	if (head->kind == LAYER_STATE || head->kind == LAYER_DISK)
		chunks_add(&chunks, (uint8_t *)bytes + head->data_at,
			   head->data_bytes);
	chunks_end(&chunks);
	layers_seal(bytes, len, hex);
}

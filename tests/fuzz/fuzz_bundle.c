/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a bundle: what is imported is right, all else leaves nothing
 * with a name of a tip.  The end is made right first, so that what is behind
 * its checksum is reached too.
 *
 * Or, where the first byte is 'e', any changes of a right one before it is
 * packed: ten bytes each, a place and a value.  Ids and sums are made right
 * again, so that only lies are left. */
#include "bare/crc.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/sha256.h"
#include "brood/bundle_format.h"
#include "fuzz_images.h"
#include "image/bundle.h"
#include "image/chunks.h"
#include "image/source.h"
#include "image/sweep.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- changes ------------------------------------------------------------- */

/* A base of three pages of data and a difference, as they are before they are
 * packed.  Each has a header, its extents and a hash; what is changed lies in
 * these parts. */
enum { RAM = 40 * LAYER_PAGE, EXTENTS = 2, FLAT = 1 << 17 };
struct made {
	struct bundle_header head;
	struct bundle_object object[2];
	struct bundle_tip tip;
	uint32_t layers[2];
	char words[8];
	struct made_layer {
		union {
			struct layer_header head;
			uint8_t page[LAYER_PAGE];
		};
		struct layer_extent extent[EXTENTS];
		uint8_t hash[32];
	} layer[2];
	uint8_t data[2][2 * LAYER_PAGE];
};
enum { TABLES = sizeof(struct made_layer), DATA = 2 * LAYER_PAGE };

static void make_layer(struct made *made, int i)
{
	struct layer_header *head = &made->layer[i].head;
	struct layer_extent *extent = made->layer[i].extent;

	*head = (struct layer_header){
		.magic = LAYER_MAGIC,
		.version = LAYER_VERSION,
		.header_bytes = LAYER_PAGE,
		.page_bytes = LAYER_PAGE,
		.kind = i ? LAYER_DIFF : LAYER_BASE,
		.ram_bytes = RAM,
		.extents_at = LAYER_PAGE,
		.extent_count = EXTENTS,
		.hashes_at = LAYER_PAGE + EXTENTS * sizeof(*extent),
		.hash_count = 1,
		.data_at = i ? 2 * LAYER_PAGE : LAYER_BASE_ALIGN,
		.data_bytes = DATA,
	};
	head->file_bytes = head->data_at + (i ? DATA : RAM);
	memset(made->data[i], 'a' + i, DATA);
	for (int e = 0; e < EXTENTS; e++) {
		extent[e] = (struct layer_extent){
			.offset = (3 + 7u * e + i) * LAYER_PAGE,
			.bytes = LAYER_PAGE,
			.file_at = head->data_at + e * LAYER_PAGE,
		};
		if (!i)
			extent[e].file_at = head->data_at + extent[e].offset;
	}
}

static void make(struct made *made)
{
	memset(made, 0, sizeof(*made));
	made->head = (struct bundle_header){ .magic = BUNDLE_MAGIC,
					     .version = BUNDLE_VERSION,
					     .header_bytes = sizeof(made->head),
					     .ram_bytes = RAM,
					     .data_bytes = 2 * (TABLES + DATA),
					     .object_count = 2,
					     .tip_count = 1 };
	made->tip = (struct bundle_tip){ .name = "made",
					 .layer_count = 2,
					 .state = BUNDLE_NONE,
					 .words_bytes = 8 };
	memcpy(made->words, "{\"a\":12}", 8);
	made->layers[1] = 1;
	for (int i = 0; i < 2; i++) {
		make_layer(made, i);
		made->object[i] = (struct bundle_object){
			.kind = i ? LAYER_DIFF : LAYER_BASE,
			.table_bytes = TABLES,
			.data_bytes = DATA,
		};
	}
}

static void change(struct made *made, const uint8_t *data, size_t size)
{
	for (; size >= 10; data += 10, size -= 10) {
		uint16_t at;

		memcpy(&at, data, sizeof(at));
		memcpy((uint8_t *)made + at % (sizeof(*made) - 8), data + 2, 8);
	}
}

/* All that is a sum of something else. */
static void make_right(struct made *made)
{
	for (int i = 0; i < 2; i++) {
		struct made_layer *layer = &made->layer[i];

		for (int e = 0; e < EXTENTS; e++)
			if (!(layer->extent[e].flags & LAYER_ZERO))
				layer->extent[e].sum =
					crc_of(0,
					       made->data[i] + e * LAYER_PAGE,
					       LAYER_PAGE);
		sha256_of(made->data[i], DATA, layer->hash);
		if (i)
			memcpy(layer->head.parent, made->layer[0].head.id,
			       LAYER_ID);
		if (layer->head.extent_count <= EXTENTS &&
		    layer->head.hash_count <= 1)
			chunks_id(layer->page, layer->extent,
				  (const void *)layer->hash, layer->head.id);
		layer->head.sum = chunks_header_sum(layer->page);
		memcpy(made->object[i].id, layer->head.id, LAYER_ID);
	}
}

static size_t pack(uint8_t *to, const void *from, size_t len)
{
	size_t packed = ZSTD_compress(to + 4, FLAT, from, len, 1);
	uint32_t told = (uint32_t)packed;

	memcpy(to, &told, sizeof(told));
	return packed + 4;
}

static int bundle(const uint8_t *data, size_t size);

static int bundle_of_changes(const uint8_t *data, size_t size)
{
	static const size_t contents = offsetof(struct made, layer);
	struct made *made = malloc(sizeof(*made));
	uint8_t *flat = malloc(4 * FLAT);
	size_t len = contents;
	int fd;

	require(made && flat);
	make(made);
	change(made, data, size);
	make_right(made);
	memcpy(flat, made, contents);
	for (int i = 0; i < 2; i++) {
		len += pack(flat + len, &made->layer[i], TABLES);
		len += pack(flat + len, made->data[i], DATA);
	}
	/* Room for the end, which says that it is to be made. */
	memset(flat + len, 1, sizeof(struct bundle_end));
	fd = bundle(flat, len + sizeof(struct bundle_end));
	free(made);
	free(flat);
	return fd;
}

/* ---- any ----------------------------------------------------------------- */

static int bundle(const uint8_t *data, size_t size)
{
	int fd = memfd_create("bundle", MFD_CLOEXEC);
	struct bundle_end last = { .magic = "" };

	require(fd >= 0);
	if (size >= sizeof(last) && data[size - 1] % 8) {
		size -= sizeof(last);
		memcpy(last.magic, BUNDLE_END_MAGIC, sizeof(last.magic));
		last.bytes = size;
		sha256_of(data, size, last.sum);
	}
	require(fd_write_all(fd, data, size, NULL) >= 0);
	if (last.bytes)
		fd_write_all(fd, &last, sizeof(last), NULL);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* All that was imported can be opened, read, and goes again. */
static int use(const char *name, void *context)
{
	struct tip tip;
	struct source source;
	uint8_t page[LAYER_PAGE];

	(void)context;
	require(tip_open(&images, name, &tip, NULL) >= 0);
	source = source_of_tip(&tip);
	for (uint32_t i = 0; i < tip.run_count; i++)
		require(source.read(source.context, tip.runs[i].offset, page,
				    sizeof(page), NULL) >= 0);
	for (uint32_t i = 0; i < tip.layer_count; i++)
		require(layer_verify(&images, tip.layers[i].hex, NULL) >= 0);
	tip_close(&tip);
	require(tip_remove(&images, name, NULL) >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bundle_options options = { 0 };
	const struct sweep_options sweep = { 0 };
	struct sweep_counts swept;
	struct bundle_counts counts;
	struct err err = { 0 };
	int fd, rc;

	start();
	fd = size && data[0] == 'e' ? bundle_of_changes(data + 1, size - 1)
				    : bundle(data, size);
	rc = bundle_import(&images, fd, &options, NULL, NULL, &counts, &err);
	require((rc < 0) == (err.text[0] != 0));
	if (size == 1 && data[0] == 'e')
		require(rc >= 0 && counts.tips == 1);
	if (rc < 0)
		require(counts.tips == 0);
	require(tip_each(&images, use, NULL, NULL) >= 0);
	require(sweep_images(&images, &sweep, &swept, NULL) >= 0);
	require(swept.kept == 0 && swept.used == 0);
	close(fd);
	return 0;
}

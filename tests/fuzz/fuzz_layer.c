/* SPDX-License-Identifier: Apache-2.0 */
/* Any changes of right layers: what was not sealed again is refused, what was
 * lies within its bounds when it is accepted, and shows the same memory when
 * it is mapped and when it is read.  Input: a byte for the kind and for how
 * much is made to fit (nothing, the header's sum, the id too), a byte for the
 * length, then changes of ten bytes each: a place in header and tables, and a
 * value. */
#include "image/runs.h"
#include "image/view.h"
#include "lib/layers.h"

enum { KINDS = 5, PAGES = 64, HEAD = sizeof(struct layer_header) };
enum { FIT_NOTHING, FIT_SUM, FIT_ID, FITS };

static struct here here;
static struct buf right[KINDS];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
	if (!holds)
		__builtin_trap();
}

static void end(void)
{
	for (int i = 0; i < KINDS; i++)
		buf_fini(&right[i]);
	here_close(&here);
}

/* Layers of each kind. */
static void begin(void)
{
	auto_memory struct memory before = memory_new(PAGES);
	auto_memory struct memory now = memory_new(PAGES);

	here = here_open();
	memory_fill(&before, 2, 10, 1);
	memory_fill(&before, 30, 3, 1);
	memcpy(now.at, before.at, PAGES * LAYER_PAGE);
	memory_fill(&now, 3, 2, 2);
	memory_fill(&now, 40, 4, 2);
	memory_fill(&now, 12, 0, 2);
	memory_fill(&before, 45, 17, 3);
	for (int i = 0; i < KINDS; i++) {
		enum layer_kind kind = (enum layer_kind)(i + 1);
		struct layer layer =
			kind >= LAYER_STATE
				? here_file(&here, kind, layers_shape,
					    before.at, 5 * LAYER_PAGE + i)
				: here_layer(&here, kind, &now,
					     kind == LAYER_BASE ? NULL
								: &before,
					     kind == LAYER_BASE ? NULL
								: layers_shape);

		here_load(&here, layer.hex, &right[i]);
		store_object_remove(here.images.root, layer.hex);
		layer_close(&layer);
	}
	atexit(end);
}

/* The header's used bytes, then what is behind the header. */
static void change(uint8_t *bytes, size_t len, const uint8_t *data, size_t size)
{
	for (; size >= 10; data += 10, size -= 10) {
		uint16_t at;
		size_t place;

		memcpy(&at, data, sizeof(at));
		place = at % 1024;
		place = place < HEAD ? place : LAYER_PAGE + place - HEAD;
		if (place + 8 <= len)
			memcpy(bytes + place, data + 2, 8);
	}
}

/* What the checks see has nothing behind it. */
static void check_alone(const uint8_t *bytes, size_t len)
{
	struct layer_header *head = malloc(LAYER_PAGE);
	struct layer_extent *extents;
	uint64_t stream = 0, from = 0;

	memcpy(head, bytes, LAYER_PAGE);
	if (layer_check_header(head, len) ||
	    head->extent_count > (len - LAYER_PAGE) / sizeof(*extents)) {
		free(head);
		return;
	}
	require(head->data_at <= len &&
		head->data_bytes <= len - head->data_at);
	extents = malloc(head->extent_count * sizeof(*extents) + 1);
	memcpy(extents, bytes + LAYER_PAGE,
	       head->extent_count * sizeof(*extents));
	if (!layer_check_extents(head, extents))
		for (uint64_t i = 0; i < head->extent_count; i++) {
			const struct layer_extent *x = &extents[i];

			require(x->offset >= from && x->bytes);
			from = x->offset + x->bytes;
			require(from > x->offset && from <= head->ram_bytes);
			if (x->flags & LAYER_ZERO)
				continue;
			require(x->file_at >= head->data_at);
			require(x->file_at + x->bytes <= len);
			stream += x->bytes;
			require(stream <= head->data_bytes);
		}
	free(extents);
	free(head);
}

/* A base alone, or what is laid over one without anything in it. */
static void use(struct layer *layer)
{
	static const struct layer empty = { .fd = -1 };
	auto_tip struct tip tip = TIP_EMPTY;
	auto_view struct view map = { 0 };
	auto_view struct view copy = { 0 };
	bool base = layer->head.kind == LAYER_BASE;
	int count = base ? 1 : 2;

	if (layer->head.kind >= LAYER_STATE)
		return;
	tip.ram_bytes = layer->head.ram_bytes;
	tip.layers[0] = empty;
	tip.layers[0].head.ram_bytes = tip.ram_bytes;
	tip.layers[count - 1] = *layer;
	require(runs_of(tip.layers, (uint32_t)count, &tip.runs, &tip.run_count,
			NULL) >= 0);
	require(!runs_check(tip.runs, tip.run_count, tip.ram_bytes,
			    (uint32_t)count));
	/* The base that is none cannot be looked at. */
	for (uint32_t i = 0; !base && i < tip.run_count; i++)
		if (tip.runs[i].layer == 0) {
			tip.runs[i].layer = TIP_ZERO;
			tip.runs[i].file_at = 0;
		}
	if (tip.ram_bytes > 16 << 20)
		return;
	require(view_open(&tip, VIEW_MAP, &map, NULL) >= 0);
	require(view_open(&tip, VIEW_COPY, &copy, NULL) >= 0);
	require(memcmp(map.at, copy.at, tip.ram_bytes) == 0);
}

/* A file with holes where there is nothing. */
static void put(const char *hex, const uint8_t *bytes, size_t len)
{
	auto_free char *path = here_path(&here, hex);
	auto_close int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444);

	require(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	for (size_t at = 0; at < len; at += LAYER_PAGE) {
		size_t part = len - at < LAYER_PAGE ? len - at : LAYER_PAGE;

		if (at < 2 * LAYER_PAGE || part < LAYER_PAGE ||
		    !pages_is_zero(bytes + at))
			require(fd_pwrite_all(fd, bytes + at, part, at, NULL) >=
				0);
	}
}

static void try_file(uint8_t *bytes, size_t len, bool changed)
{
	const struct layer_header *head = (const void *)bytes;
	char hex[STORE_HEX + 1];
	struct err err = { 0 };
	struct layer layer;
	int rc;

	store_hex(head->id, LAYER_ID, hex);
	put(hex, bytes, len);
	rc = layer_open(&here.images, head->id, &layer, &err);
	require(rc >= 0 || strstr(err.text, hex));
	require(rc < 0 || !changed);
	if (rc >= 0) {
		use(&layer);
		layer_close(&layer);
		require(layer_verify(&here.images, hex, &err) >= 0);
	}
	store_object_remove(here.images.root, hex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct buf *whole;
	char hex[STORE_HEX + 1];
	uint8_t *bytes;
	size_t len;
	int fit;

	if (!here.folder)
		begin();
	if (size < 2)
		return 0;
	whole = &right[data[0] % KINDS];
	fit = data[0] / KINDS % FITS;
	len = data[1] % 8 ? whole->len : whole->len * data[1] / 256;
	if (len < LAYER_PAGE)
		len = LAYER_PAGE;
	bytes = malloc(len);
	if (!bytes)
		return 0;
	memcpy(bytes, whole->data, len);
	change(bytes, len, data + 2, size - 2);
	if (fit == FIT_SUM)
		((struct layer_header *)bytes)->sum = chunks_header_sum(bytes);
	else if (fit == FIT_ID)
		layers_seal(bytes, len, hex);
	check_alone(bytes, len);
	try_file(bytes, len,
		 fit != FIT_ID && (len != whole->len ||
				   memcmp(bytes, whole->data, len) != 0));
	free(bytes);
	return 0;
}

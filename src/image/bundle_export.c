/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles, written.  A layer's data are compared with its hashes on their
 * way: what rotted on disk is not carried on. */
#include "base/fd.h"
#include "base/sha256.h"
#include "image/bundle.h"
#include "image/chunks.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { BUNDLE_LEVEL = 3 };

struct bundle_out {
	int fd;
	struct sha256 sha;
	uint64_t bytes, done, total;
	ZSTD_CCtx *zstd;
	uint8_t *raw, *packed;
	size_t filled; /* of raw */
	struct progress *progress;
	/* What is in it. */
	struct tip *tips; /* owned */
	int tip_count;
	const struct layer *layers[BUNDLE_OBJECTS_MOST];
	uint32_t layer_count;
};

/* ---- the stream ---------------------------------------------------------- */

static int bundle_put(struct bundle_out *out, const void *data, size_t len,
		      struct err *err)
{
	int rc = fd_write_all(out->fd, data, len, err);

	sha256_add(&out->sha, data, len);
	out->bytes += len;
	return rc < 0 ? err_wrap(err, "write a bundle") : 0;
}

static int bundle_put_frame(struct bundle_out *out, const void *raw, size_t len,
			    struct err *err)
{
	size_t packed =
		ZSTD_compressCCtx(out->zstd, out->packed, BUNDLE_PACKED_MOST,
				  raw, len, BUNDLE_LEVEL);
	uint32_t told = (uint32_t)packed;
	int rc;

	if (ZSTD_isError(packed))
		return err_set(err, -ENOMEM, "compress: %s",
			       ZSTD_getErrorName(packed));
	rc = bundle_put(out, &told, sizeof(told), err);
	if (rc >= 0)
		rc = bundle_put(out, out->packed, packed, err);
	out->done += len;
	progress_part(out->progress, out->done, out->total);
	return rc;
}

static int bundle_put_tables(struct bundle_out *out, const struct layer *layer,
			     struct err *err)
{
	const uint8_t *at = layer->table;
	uint64_t left = layer->table_bytes;
	int rc = 0;

	while (rc >= 0 && left) {
		size_t len = left < BUNDLE_PART ? (size_t)left : BUNDLE_PART;

		rc = bundle_put_frame(out, at, len, err);
		at += len;
		left -= len;
	}
	return rc;
}

static int bundle_flush(struct bundle_out *out, struct chunks *chunks,
			struct err *err)
{
	size_t len = out->filled;

	out->filled = 0;
	if (!len)
		return 0;
	chunks_add(chunks, out->raw, len);
	return bundle_put_frame(out, out->raw, len, err);
}

/* Adds a piece of a file to the stream of data. */
static int bundle_add(struct bundle_out *out, const struct layer *layer,
		      uint64_t at, uint64_t bytes, struct chunks *chunks,
		      struct err *err)
{
	int rc = 0;

	while (rc >= 0 && bytes) {
		size_t room = BUNDLE_PART - out->filled;
		size_t len = bytes < room ? (size_t)bytes : room;

		rc = fd_pread_all(layer->fd, out->raw + out->filled, len, at,
				  err);
		if (rc < 0)
			return err_wrap(err, "read layer %.16s", layer->hex);
		out->filled += len;
		at += len;
		bytes -= len;
		if (out->filled == BUNDLE_PART)
			rc = bundle_flush(out, chunks, err);
	}
	return rc;
}

static int bundle_add_data(struct bundle_out *out, const struct layer *layer,
			   struct chunks *chunks, struct err *err)
{
	const struct layer_header *head = &layer->head;
	int rc = 0;

	out->filled = 0;
	if (!head->extent_count)
		rc = bundle_add(out, layer, head->data_at, head->data_bytes,
				chunks, err);
	for (uint64_t i = 0; rc >= 0 && i < head->extent_count; i++) {
		const struct layer_extent *extent = &layer->extents[i];

		if (!(extent->flags & LAYER_ZERO))
			rc = bundle_add(out, layer, extent->file_at,
					extent->bytes, chunks, err);
	}
	return rc < 0 ? rc : bundle_flush(out, chunks, err);
}

static int bundle_put_data(struct bundle_out *out, const struct layer *layer,
			   struct err *err)
{
	const struct layer_header *head = &layer->head;
	const void *hashes = layer->extents + head->extent_count;
	auto_free void *found = calloc(head->hash_count + 1, SHA256_BYTES);
	struct chunks chunks;
	int rc;

	if (!found)
		return err_set(err, -ENOMEM, "write a bundle");
	chunks_start(&chunks, found, head->hash_count);
	rc = bundle_add_data(out, layer, &chunks, err);
	chunks_end(&chunks);
	if (rc >= 0 &&
	    memcmp(found, hashes, head->hash_count * SHA256_BYTES) != 0)
		rc = err_set(err, -EBADMSG, "layer %s: its data are damaged",
			     layer->hex);
	return rc;
}

/* ---- the contents -------------------------------------------------------- */

static uint32_t bundle_find(const struct bundle_out *out,
			    const struct layer *layer)
{
	for (uint32_t i = 0; i < out->layer_count; i++)
		if (strcmp(out->layers[i]->hex, layer->hex) == 0)
			return i;
	return BUNDLE_NONE;
}

static int bundle_collect(struct bundle_out *out, const struct layer *layer,
			  struct err *err)
{
	if (bundle_find(out, layer) != BUNDLE_NONE)
		return 0;
	if (out->layer_count == BUNDLE_OBJECTS_MOST)
		return err_set(err, -EINVAL, "more than %d layers in a bundle",
			       BUNDLE_OBJECTS_MOST);
	out->layers[out->layer_count++] = layer;
	out->total += layer->table_bytes + layer->head.data_bytes;
	return 0;
}

/* From the base up: so parents come first. */
static int bundle_collect_tip(struct bundle_out *out, const struct tip *tip,
			      struct err *err)
{
	int rc = 0;

	for (uint32_t i = 0; rc >= 0 && i < tip->layer_count; i++)
		rc = bundle_collect(out, &tip->layers[i], err);
	for (uint32_t i = 0; rc >= 0 && i < tip->disk_count; i++)
		rc = bundle_collect(out, &tip->disks[i], err);
	if (rc >= 0 && tip->state.fd >= 0)
		rc = bundle_collect(out, &tip->state, err);
	return rc;
}

static struct bundle_header bundle_header(const struct bundle_out *out,
					  int tip_count)
{
	return (struct bundle_header){ .magic = BUNDLE_MAGIC,
				       .version = BUNDLE_VERSION,
				       .header_bytes =
					       sizeof(struct bundle_header),
				       .data_bytes = out->total,
				       .object_count = out->layer_count,
				       .tip_count = (uint32_t)tip_count };
}

static struct bundle_object bundle_object(const struct layer *layer)
{
	struct bundle_object object = { .kind = layer->head.kind,
					.table_bytes = layer->table_bytes,
					.data_bytes = layer->head.data_bytes };

	memcpy(object.id, layer->head.id, LAYER_ID);
	return object;
}

static int bundle_put_header(struct bundle_out *out, struct err *err)
{
	struct bundle_header head = bundle_header(out, out->tip_count);
	int rc;

	for (int i = 0; i < out->tip_count; i++)
		if (out->tips[i].ram_bytes > head.ram_bytes)
			head.ram_bytes = out->tips[i].ram_bytes;
	rc = bundle_put(out, &head, sizeof(head), err);
	for (uint32_t i = 0; rc >= 0 && i < out->layer_count; i++) {
		struct bundle_object object = bundle_object(out->layers[i]);

		rc = bundle_put(out, &object, sizeof(object), err);
	}
	return rc;
}

/* Its words stay the tip's. */
static void bundle_tell(const struct bundle_out *out, const struct tip *tip,
			struct bundle_told *told)
{
	*told = (struct bundle_told){
		.head = { .layer_count = tip->layer_count,
			  .disk_count = tip->disk_count,
			  .state = tip->state.fd < 0
					   ? BUNDLE_NONE
					   : bundle_find(out, &tip->state) },
		.words = tip->words ? tip->words : (char[]){ "" },
	};
	told->head.words_bytes = (uint32_t)strlen(told->words);
	memcpy(told->head.name, tip->name, sizeof(tip->name));
	for (uint32_t i = 0; i < tip->layer_count; i++)
		told->layers[i] = bundle_find(out, &tip->layers[i]);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		told->disks[i] = bundle_find(out, &tip->disks[i]);
}

static int bundle_put_tip(struct bundle_out *out, const struct tip *tip,
			  struct err *err)
{
	struct bundle_told told;
	int rc;

	bundle_tell(out, tip, &told);
	rc = bundle_put(out, &told.head, sizeof(told.head), err);
	if (rc >= 0)
		rc = bundle_put(out, told.layers,
				tip->layer_count * sizeof(*told.layers), err);
	if (rc >= 0)
		rc = bundle_put(out, told.disks,
				tip->disk_count * sizeof(*told.disks), err);
	return rc < 0 ? rc
		      : bundle_put(out, told.words, told.head.words_bytes, err);
}

static int bundle_put_end(struct bundle_out *out, struct err *err)
{
	struct bundle_end end = { .bytes = out->bytes };

	memcpy(end.magic, BUNDLE_END_MAGIC, sizeof(end.magic));
	sha256_end(&out->sha, end.sum);
	return bundle_put(out, &end, sizeof(end), err);
}

/* ---- all of it ----------------------------------------------------------- */

static void bundle_close(struct bundle_out *out)
{
	if (!out)
		return;
	for (int i = 0; i < out->tip_count; i++)
		tip_close(&out->tips[i]);
	free(out->tips);
	free(out->raw);
	free(out->packed);
	ZSTD_freeCCtx(out->zstd);
	free(out);
}

static struct bundle_out *bundle_new(const struct bundle_options *options,
				     struct err *err)
{
	struct bundle_out *out = calloc(1, sizeof(*out));

	if (out) {
		out->progress = options->progress;
		out->raw = malloc(BUNDLE_PART);
		out->packed = malloc(BUNDLE_PACKED_MOST);
		out->zstd = ZSTD_createCCtx();
		sha256_start(&out->sha);
	}
	if (!out || !out->raw || !out->packed || !out->zstd)
		err_set(err, -ENOMEM, "write a bundle");
	else
		return out;
	bundle_close(out);
	return NULL;
}

static int bundle_open(struct bundle_out *out, const struct images *images,
		       const char *const *names, int name_count,
		       struct err *err)
{
	int rc = 0;

	if (name_count < 1 || name_count > BUNDLE_TIPS_MOST)
		return err_set(err, -EINVAL, "%d tips in a bundle", name_count);
	out->tips = calloc((size_t)name_count, sizeof(*out->tips));
	if (!out->tips)
		return err_set(err, -ENOMEM, "write a bundle");
	for (int i = 0; i < name_count; i++)
		for (int k = 0; k < i; k++)
			if (strcmp(names[i], names[k]) == 0)
				return err_set(err, -EINVAL,
					       "tip %.64s is named twice",
					       names[i]);
	for (int i = 0; rc >= 0 && i < name_count; i++) {
		rc = tip_open(images, names[i], &out->tips[i], err);
		out->tip_count += rc >= 0;
		if (rc >= 0)
			rc = bundle_collect_tip(out, &out->tips[i], err);
	}
	return rc;
}

static int bundle_put_object(struct bundle_out *out, const struct layer *layer,
			     struct err *err)
{
	int rc = bundle_put_tables(out, layer, err);

	return rc < 0 ? rc : bundle_put_data(out, layer, err);
}

static int bundle_write(struct bundle_out *out, struct err *err)
{
	int rc = bundle_put_header(out, err);

	for (int i = 0; rc >= 0 && i < out->tip_count; i++)
		rc = bundle_put_tip(out, &out->tips[i], err);
	for (uint32_t i = 0; rc >= 0 && i < out->layer_count; i++)
		rc = bundle_put_object(out, out->layers[i], err);
	return rc < 0 ? rc : bundle_put_end(out, err);
}

int bundle_export(const struct images *images, const char *const *names,
		  int name_count, int fd, const struct bundle_options *options,
		  struct bundle_counts *counts, struct err *err)
{
	struct bundle_out *out = bundle_new(options, err);
	int rc;

	*counts = (struct bundle_counts){ 0 };
	if (!out)
		return -ENOMEM;
	out->fd = fd;
	rc = bundle_open(out, images, names, name_count, err);
	if (rc >= 0)
		rc = bundle_write(out, err);
	if (rc >= 0)
		*counts = (struct bundle_counts){
			.tips = (uint32_t)out->tip_count,
			.objects = out->layer_count,
			.bytes = out->total,
			.packed_bytes = out->bytes,
		};
	bundle_close(out);
	return rc;
}

/* ---- in parts ------------------------------------------------------------ */

void bundle_contents_fini(struct bundle_contents *contents)
{
	free(contents->tip.words);
	contents->tip.words = NULL;
}

static int bundle_tell_contents(const struct bundle_out *out,
				const struct tip *tip,
				struct bundle_contents *contents,
				struct err *err)
{
	*contents = (struct bundle_contents){ .head = bundle_header(out, 1) };
	contents->head.ram_bytes = tip->ram_bytes;
	memcpy(contents->shape, tip->shape, LAYER_ID);
	for (uint32_t i = 0; i < out->layer_count; i++)
		contents->objects[i] = bundle_object(out->layers[i]);
	bundle_tell(out, tip, &contents->tip);
	contents->tip.words = strdup(contents->tip.words);
	return contents->tip.words ? 0 : err_set(err, -ENOMEM, "tell of a tip");
}

static int bundle_write_part(struct bundle_out *out, uint32_t number,
			     const struct bundle_parts *parts, struct err *err)
{
	uint8_t sum[SHA256_BYTES];
	int rc;

	out->fd = parts->open(parts->context, number, err);
	if (out->fd < 0)
		return out->fd;
	out->bytes = 0;
	sha256_start(&out->sha);
	rc = bundle_put_object(out, out->layers[number], err);
	if (rc < 0)
		return rc;
	sha256_end(&out->sha, sum);
	return parts->close(parts->context, number, out->bytes, sum, err);
}

int bundle_export_parts(const struct tip *tip, const struct bundle_parts *parts,
			struct bundle_contents *contents,
			const struct bundle_options *options,
			struct bundle_counts *counts, struct err *err)
{
	struct bundle_out *out = bundle_new(options, err);
	int rc;

	*contents = (struct bundle_contents){ 0 };
	*counts = (struct bundle_counts){ .tips = 1 };
	if (!out)
		return -ENOMEM;
	rc = bundle_collect_tip(out, tip, err);
	if (rc >= 0)
		rc = bundle_tell_contents(out, tip, contents, err);
	for (uint32_t i = 0; rc >= 0 && i < out->layer_count; i++) {
		rc = bundle_write_part(out, i, parts, err);
		counts->there += rc > 0;
		counts->packed_bytes += out->bytes;
	}
	counts->objects = out->layer_count;
	counts->bytes = out->total;
	bundle_close(out);
	if (rc < 0)
		bundle_contents_fini(contents);
	return rc < 0 ? rc : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Layers, written: data first, then what tells of them, and last the name. */
#include "bare/crc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "image/chunks.h"
#include "image/layer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAYER_PART = 1 << 20, LAYER_TRIES = 200 };

struct layer_writing {
	const struct images *images;
	struct store_draft draft;
	union { /* the first of them is what starts as zeros */
		uint8_t page[LAYER_PAGE];
		struct layer_header head;
	};
	struct extents extents;
	struct chunks chunks;
	uint8_t *part;
};

static uint64_t layer_up(uint64_t bytes, uint64_t align)
{
	return (bytes + align - 1) / align * align;
}

static void layer_set_header(struct layer_writing *writing,
			     const struct layer_plan *plan, uint64_t data_bytes)
{
	struct layer_header *head = &writing->head;
	bool base = plan->kind == LAYER_BASE;

	memcpy(head->magic, LAYER_MAGIC, sizeof(head->magic));
	head->version = LAYER_VERSION;
	head->header_bytes = head->page_bytes = LAYER_PAGE;
	head->kind = plan->kind;
	head->ram_bytes = plan->ram_bytes;
	head->extents_at = LAYER_PAGE;
	head->extent_count = writing->extents.count;
	head->hashes_at = head->extents_at +
			  head->extent_count * sizeof(struct layer_extent);
	head->hash_count = chunks_of(data_bytes);
	head->data_at =
		layer_up(head->hashes_at + head->hash_count * SHA256_BYTES,
			 base ? LAYER_BASE_ALIGN : LAYER_PAGE);
	head->data_bytes = data_bytes;
	head->file_bytes =
		head->data_at + (base ? plan->ram_bytes : data_bytes);
	if (plan->parent)
		memcpy(head->parent, plan->parent, LAYER_ID);
	memcpy(head->shape, plan->shape, LAYER_ID);
	head->region_count = plan->region_count;
	if (plan->region_count)
		memcpy(head->regions, plan->regions,
		       plan->region_count * sizeof(*plan->regions));
}

static int layer_prepare(struct layer_writing *writing,
			 const struct layer_plan *plan, uint64_t data_bytes,
			 struct err *err)
{
	struct layer_header *head = &writing->head;
	void *hashes;

	if (plan->region_count > LAYER_REGIONS_MOST)
		return err_set(err, -EINVAL, "a memory of more than %d regions",
			       LAYER_REGIONS_MOST);
	layer_set_header(writing, plan, data_bytes);
	hashes = calloc(head->hash_count + 1, SHA256_BYTES);
	writing->part = malloc(LAYER_PART);
	chunks_start(&writing->chunks, hashes, head->hash_count);
	if (!hashes || !writing->part)
		return err_set(err, -ENOMEM, "write a layer");
	if (ftruncate(writing->draft.fd, (off_t)head->file_bytes) < 0)
		return err_set(err, -errno, "write a layer of %lu bytes",
			       (unsigned long)head->file_bytes);
	return 0;
}

static int layer_put(struct layer_writing *writing, uint64_t at, size_t len,
		     struct err *err)
{
	chunks_add(&writing->chunks, writing->part, len);
	return fd_pwrite_all(writing->draft.fd, writing->part, len, at, err);
}

static int layer_put_extent(struct layer_writing *writing,
			    struct layer_extent *extent,
			    const struct source *source, struct err *err)
{
	uint64_t done = 0;
	int rc = 0;

	while (rc >= 0 && done < extent->bytes) {
		uint64_t left = extent->bytes - done;
		size_t len = left < LAYER_PART ? (size_t)left : LAYER_PART;

		rc = source->read(source->context, extent->offset + done,
				  writing->part, len, err);
		if (rc < 0)
			break;
		extent->sum = crc_of(extent->sum, writing->part, len);
		rc = layer_put(writing, extent->file_at + done, len, err);
		done += len;
	}
	return rc;
}

static int layer_put_extents(struct layer_writing *writing,
			     const struct source *source, struct err *err)
{
	const struct layer_header *head = &writing->head;
	uint64_t stream = 0;
	int rc = 0;

	for (uint64_t i = 0; rc >= 0 && i < writing->extents.count; i++) {
		struct layer_extent *extent = &writing->extents.extent[i];

		if (extent->flags & LAYER_ZERO)
			continue;
		extent->file_at =
			head->data_at +
			(head->kind == LAYER_BASE ? extent->offset : stream);
		stream += extent->bytes;
		rc = layer_put_extent(writing, extent, source, err);
	}
	return rc;
}

/* What a reader would refuse gets no name. */
static int layer_check_plan(const struct layer_writing *writing,
			    struct err *err)
{
	const struct layer_header *head = &writing->head;
	const char *why = layer_check_header(head, head->file_bytes);

	if (!why)
		why = layer_check_extents(head, writing->extents.extent);
	return why ? err_set(err, -EINVAL, "write a layer: %s", why) : 0;
}

static int layer_put_tables(struct layer_writing *writing, struct err *err)
{
	struct layer_header *head = &writing->head;
	int fd = writing->draft.fd, rc;

	chunks_end(&writing->chunks);
	chunks_id(writing->page, writing->extents.extent,
		  (const void *)writing->chunks.hashes, head->id);
	head->sum = chunks_header_sum(writing->page);
	rc = layer_check_plan(writing, err);
	if (rc < 0)
		return rc;
	rc = fd_pwrite_all(fd, writing->extents.extent,
			   head->extent_count * sizeof(struct layer_extent),
			   head->extents_at, err);
	if (rc >= 0)
		rc = fd_pwrite_all(fd, writing->chunks.hashes,
				   head->hash_count * SHA256_BYTES,
				   head->hashes_at, err);
	if (rc >= 0)
		rc = fd_pwrite_all(fd, writing->page, LAYER_PAGE, 0, err);
	return rc < 0 ? err_wrap(err, "write a layer") : 0;
}

/* Who comes by now finds it, and it is seen as right by who made it. */
static int layer_name(const struct images *images, struct store_draft *draft,
		      const char *hex, struct err *err)
{
	struct file_stamp stamp;
	struct stat st;
	int rc = store_draft_link(images->root, draft, hex, err);

	if (rc < 0)
		return rc;
	if (fstat(draft->fd, &st) == 0) {
		file_stamp_of(&st, &stamp);
		store_seen_note(images->root, hex, &stamp, "layer");
	}
	return 0;
}

/* What has its name is right, or is damaged and goes; or it goes away while
 * it is looked at. */
static int layer_settle(const struct images *images, const uint8_t id[LAYER_ID],
			const char *hex, struct layer *layer, struct err *err)
{
	int rc = layer_open(images, id, layer, err);

	/* Other failures say nothing of the file. */
	if (rc != -EBADMSG && rc != -EPERM)
		return rc == -ENOENT ? -EAGAIN : rc;
	rc = store_object_remove(images->root, hex);
	if (rc < 0 && rc != -ENOENT && rc != -EBUSY)
		return err_set(err, rc, "replace the damaged layer %s/%s",
			       images->folder, hex);
	return -EAGAIN;
}

/* The descriptor that is kept cannot write. */
int layer_publish(const struct images *images, struct store_draft *draft,
		  const uint8_t id[LAYER_ID], struct layer *layer,
		  struct err *err)
{
	char hex[STORE_HEX + 1];
	int rc = store_draft_sync(draft, err);

	store_hex(id, LAYER_ID, hex);
	if (rc < 0)
		return rc;
	rc = store_object_lease(draft->fd);
	if (rc < 0 && rc != -ENOENT) /* it has no name yet */
		return err_set(err, rc, "lease a new layer");
	for (int again = 0; again < LAYER_TRIES; again++) {
		rc = layer_name(images, draft, hex, err);
		if (rc == -EEXIST)
			rc = layer_settle(images, id, hex, layer, err);
		else if (rc >= 0)
			rc = layer_open(images, id, layer, err);
		if (rc >= 0 && err)
			err_clear(err); /* of what was there before */
		if (rc != -EAGAIN)
			return rc;
		clock_sleep_ms(1);
	}
	return err_set(err, -EBUSY, "replace layer %s/%s, which is damaged",
		       images->folder, hex);
}

static int layer_finish(struct layer_writing *writing, struct layer *layer,
			int rc, struct err *err)
{
	if (rc >= 0)
		rc = layer_put_tables(writing, err);
	if (rc >= 0)
		rc = layer_publish(writing->images, &writing->draft,
				   writing->head.id, layer, err);
	store_draft_close(writing->images->root, &writing->draft);
	extents_fini(&writing->extents);
	free(writing->chunks.hashes);
	free(writing->part);
	if (rc >= 0)
		log_event("image.layer", "\"id\":\"%s\",\"bytes\":%lu",
			  layer->hex, (unsigned long)layer->head.data_bytes);
	return rc;
}

int layer_write(const struct images *images, const struct layer_plan *plan,
		const struct pages *pages, const struct source *source,
		struct layer *layer, struct err *err)
{
	struct layer_writing writing = { .images = images };
	int rc = store_draft_open(images->root, &writing.draft, err);

	*layer = LAYER_NONE;
	if (rc >= 0)
		rc = extents_of(pages, plan->kind, plan->flags,
				&writing.extents, err);
	if (rc >= 0)
		rc = layer_prepare(&writing, plan, writing.extents.data_bytes,
				   err);
	if (rc >= 0)
		rc = layer_put_extents(&writing, source, err);
	return layer_finish(&writing, layer, rc, err);
}

static int layer_put_file(struct layer_writing *writing, int fd,
			  struct err *err)
{
	const struct layer_header *head = &writing->head;
	uint64_t done = 0;
	int rc = 0;

	while (rc >= 0 && done < head->data_bytes) {
		uint64_t left = head->data_bytes - done;
		size_t len = left < LAYER_PART ? (size_t)left : LAYER_PART;

		rc = fd_pread_all(fd, writing->part, len, done, err);
		if (rc >= 0)
			rc = layer_put(writing, head->data_at + done, len, err);
		done += len;
	}
	return rc;
}

static int layer_write_file(const struct images *images, enum layer_kind kind,
			    const uint8_t *shape, int fd, struct layer *layer,
			    struct err *err)
{
	const struct layer_plan plan = { .kind = kind, .shape = shape };
	struct layer_writing writing = { .images = images };
	struct stat st;
	int rc = store_draft_open(images->root, &writing.draft, err);

	*layer = LAYER_NONE;
	if (rc >= 0 && fstat(fd, &st) < 0)
		rc = err_set(err, -errno, "read what is to be kept");
	if (rc >= 0 && !S_ISREG(st.st_mode)) /* it has no length */
		rc = err_set(err, -EINVAL, "what is to be kept is in no file");
	if (rc >= 0)
		rc = layer_prepare(&writing, &plan, (uint64_t)st.st_size, err);
	if (rc >= 0)
		rc = layer_put_file(&writing, fd, err);
	return layer_finish(&writing, layer, rc, err);
}

int layer_write_state(const struct images *images, const uint8_t *shape, int fd,
		      struct layer *layer, struct err *err)
{
	return layer_write_file(images, LAYER_STATE, shape, fd, layer, err);
}

int layer_write_disk(const struct images *images, const uint8_t *shape, int fd,
		     struct layer *layer, struct err *err)
{
	return layer_write_file(images, LAYER_DISK, shape, fd, layer, err);
}

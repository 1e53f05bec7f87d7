/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles, read.  In this order: the contents, with all sizes in bounds and
 * room for them on disk; each object, its header and tables before its data,
 * all of it against its id before it gets a name; the end's checksum; and
 * then the tips, put together from their layers. */
#include "base/fd.h"
#include "base/json.h"
#include "base/sha256.h"
#include "image/bundle.h"
#include "image/chunks.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

struct bundle_in {
	const struct images *images;
	const struct bundle_options *options;
	struct bundle_counts *counts;
	int fd;
	struct sha256 sha;
	uint64_t bytes, done;
	ZSTD_DCtx *zstd;
	uint8_t *raw, *packed;
	struct bundle_header head;
	struct bundle_object *objects;
	struct layer *layers; /* leased until the tips are named */
	struct bundle_told *told;
	struct tip *tips;
	/* In parts: else NULL. */
	const struct bundle_parts *parts;
	const uint8_t *shape; /* of all objects */
};

static const char bundle_other[] = "an object is of another machine";

static int bundle_wrong(const char *why, struct err *err)
{
	return err_set(err, -EBADMSG, "what is imported is wrong: %s", why);
}

/* ---- the stream ---------------------------------------------------------- */

static int bundle_get(struct bundle_in *in, void *to, size_t len,
		      struct err *err)
{
	int rc = fd_read_all(in->fd, to, len, err);

	if (rc == -ENODATA)
		return bundle_wrong("it is cut off", err);
	if (rc < 0)
		return err_wrap(err, "read a bundle");
	sha256_add(&in->sha, to, len);
	in->bytes += len;
	return 0;
}

/* One frame of zstd's that comes to "len" bytes and nothing else. */
static bool bundle_unpack(struct bundle_in *in, size_t packed, size_t len)
{
	uint32_t magic = 0;

	memcpy(&magic, in->packed, packed < sizeof(magic) ? 0 : sizeof(magic));
	return magic == ZSTD_MAGICNUMBER &&
	       ZSTD_findFrameCompressedSize(in->packed, packed) == packed &&
	       ZSTD_getFrameContentSize(in->packed, packed) == len &&
	       ZSTD_decompressDCtx(in->zstd, in->raw, len, in->packed,
				   packed) == len;
}

/* What it comes to is then in in->raw, unless it is not wanted. */
static int bundle_get_frame(struct bundle_in *in, size_t len, bool wanted,
			    struct err *err)
{
	uint32_t packed;
	int rc = bundle_get(in, &packed, sizeof(packed), err);

	if (rc < 0)
		return rc;
	if (packed > BUNDLE_PACKED_MOST)
		return bundle_wrong("a frame of it is too long", err);
	rc = bundle_get(in, in->packed, packed, err);
	if (rc < 0)
		return rc;
	in->done += len;
	progress_part(in->options->progress, in->done, in->head.data_bytes);
	if (wanted && !bundle_unpack(in, packed, len))
		return bundle_wrong("a frame of it is damaged", err);
	return 0;
}

/* ---- the contents -------------------------------------------------------- */

static const char *bundle_check_header(const struct bundle_header *head)
{
	if (memcmp(head->magic, BUNDLE_MAGIC, sizeof(head->magic)) != 0)
		return "it is no bundle";
	if (head->version != BUNDLE_VERSION ||
	    head->header_bytes != sizeof(*head))
		return "it is of another version";
	if (!head->object_count || head->object_count > BUNDLE_OBJECTS_MOST ||
	    !head->tip_count || head->tip_count > BUNDLE_TIPS_MOST)
		return "it has no objects or tips, or too many";
	if (!head->ram_bytes || head->ram_bytes > LAYER_RAM_MOST ||
	    head->ram_bytes % LAYER_PAGE)
		return "its memory has an impossible size";
	return NULL;
}

static bool bundle_is_memory(uint32_t kind)
{
	return kind != LAYER_STATE && kind != LAYER_DISK;
}

/* The most that tables can have: an extent a page, a hash a chunk. */
static const char *bundle_check_object(const struct bundle_header *head,
				       const struct bundle_object *object)
{
	bool memory = bundle_is_memory(object->kind);
	uint64_t pages = memory ? head->ram_bytes / LAYER_PAGE : 0;

	if (object->kind < LAYER_BASE || object->kind > LAYER_DISK ||
	    object->reserved || !layer_is_id(object->id))
		return "an object is of no known kind";
	if (object->data_bytes > (memory ? head->ram_bytes : LAYER_RAM_MOST))
		return "an object has more data than memory";
	if (object->table_bytes < LAYER_PAGE ||
	    object->table_bytes - LAYER_PAGE >
		    pages * sizeof(struct layer_extent) +
			    chunks_of(object->data_bytes) * SHA256_BYTES)
		return "an object's tables have an impossible size";
	return NULL;
}

static int bundle_make_objects(struct bundle_in *in, struct err *err)
{
	size_t count = in->head.object_count;

	in->objects = calloc(count, sizeof(*in->objects));
	in->layers = calloc(count, sizeof(*in->layers));
	for (size_t i = 0; in->layers && i < count; i++)
		in->layers[i] = LAYER_NONE;
	return in->objects && in->layers
		       ? 0
		       : err_set(err, -ENOMEM, "read a bundle");
}

static int bundle_check_objects(const struct bundle_in *in, struct err *err)
{
	uint64_t total = 0;
	const char *why = NULL;

	for (size_t i = 0; !why && i < in->head.object_count; i++) {
		why = bundle_check_object(&in->head, &in->objects[i]);
		/* At most 2^10 of 2^46 and less. */
		total += in->objects[i].table_bytes + in->objects[i].data_bytes;
	}
	if (!why && total != in->head.data_bytes)
		why = "its sizes do not come to its size";
	return why ? bundle_wrong(why, err) : 0;
}

static int bundle_get_objects(struct bundle_in *in, struct err *err)
{
	int rc = bundle_make_objects(in, err);

	if (rc >= 0)
		rc = bundle_get(in, in->objects,
				in->head.object_count * sizeof(*in->objects),
				err);
	return rc < 0 ? rc : bundle_check_objects(in, err);
}

static const char *bundle_check_tip(const struct bundle_in *in,
				    const struct bundle_tip *tip)
{
	if (memchr(tip->name, 0, BUNDLE_NAME) == NULL ||
	    !images_is_name(tip->name))
		return "a tip has an impossible name";
	for (size_t at = strlen(tip->name); at < BUNDLE_NAME; at++)
		if (tip->name[at])
			return "a tip has an impossible name";
	if (!tip->layer_count || tip->layer_count > LAYER_DEPTH_MOST ||
	    tip->disk_count > TIP_DISKS_MOST ||
	    tip->words_bytes > TIP_WORDS_MOST)
		return "a tip has too many layers, disks or words";
	if (tip->state != BUNDLE_NONE && tip->state >= in->head.object_count)
		return "a tip names no object";
	return NULL;
}

static int bundle_check_numbers(const struct bundle_in *in,
				const uint32_t *numbers, uint32_t count,
				struct err *err)
{
	for (uint32_t i = 0; i < count; i++)
		if (numbers[i] >= in->head.object_count)
			return bundle_wrong("a tip names no object", err);
	return 0;
}

static int bundle_get_numbers(struct bundle_in *in, uint32_t *numbers,
			      uint32_t count, struct err *err)
{
	int rc = bundle_get(in, numbers, count * sizeof(*numbers), err);

	return rc < 0 ? rc : bundle_check_numbers(in, numbers, count, err);
}

static int bundle_check_words(const struct bundle_told *told, struct err *err)
{
	return strlen(told->words) == told->head.words_bytes &&
			       json_check(told->words, told->head.words_bytes,
					  NULL) >= 0
		       ? 0
		       : bundle_wrong("the words of a tip are damaged", err);
}

static int bundle_get_tip(struct bundle_in *in, struct bundle_told *told,
			  struct err *err)
{
	const char *why;
	int rc = bundle_get(in, &told->head, sizeof(told->head), err);

	if (rc < 0)
		return rc;
	why = bundle_check_tip(in, &told->head);
	if (why)
		return bundle_wrong(why, err);
	rc = bundle_get_numbers(in, told->layers, told->head.layer_count, err);
	if (rc >= 0)
		rc = bundle_get_numbers(in, told->disks, told->head.disk_count,
					err);
	if (rc < 0)
		return rc;
	told->words = calloc(told->head.words_bytes + 1, 1);
	if (!told->words)
		return err_set(err, -ENOMEM, "read a bundle");
	rc = bundle_get(in, told->words, told->head.words_bytes, err);
	return rc < 0 ? rc : bundle_check_words(told, err);
}

static int bundle_make_tips(struct bundle_in *in, struct err *err)
{
	in->told = calloc(in->head.tip_count, sizeof(*in->told));
	in->tips = calloc(in->head.tip_count, sizeof(*in->tips));
	for (uint32_t i = 0; in->tips && i < in->head.tip_count; i++)
		in->tips[i] = TIP_EMPTY;
	return in->told && in->tips ? 0
				    : err_set(err, -ENOMEM, "read a bundle");
}

static int bundle_get_contents(struct bundle_in *in, struct err *err)
{
	const char *why;
	int rc = bundle_get(in, &in->head, sizeof(in->head), err);

	if (rc < 0)
		return rc;
	why = bundle_check_header(&in->head);
	if (why)
		return bundle_wrong(why, err);
	rc = bundle_get_objects(in, err);
	if (rc >= 0)
		rc = bundle_make_tips(in, err);
	for (uint32_t i = 0; rc >= 0 && i < in->head.tip_count; i++)
		rc = bundle_get_tip(in, &in->told[i], err);
	return rc;
}

/* What was told apart is looked at as what is in a bundle. */
static int bundle_take_contents(struct bundle_in *in,
				const struct bundle_contents *contents,
				struct err *err)
{
	struct bundle_told *told;
	const char *why = bundle_check_header(&contents->head);
	int rc;

	if (!why && (contents->head.object_count > BUNDLE_PARTS_MOST ||
		     contents->head.tip_count != 1))
		why = "it has more than one tip can have";
	if (why)
		return bundle_wrong(why, err);
	in->head = contents->head;
	in->shape = contents->shape;
	rc = bundle_make_objects(in, err);
	if (rc >= 0)
		rc = bundle_make_tips(in, err);
	if (rc < 0)
		return rc;
	memcpy(in->objects, contents->objects,
	       in->head.object_count * sizeof(*in->objects));
	told = in->told;
	*told = contents->tip;
	told->words = strdup(contents->tip.words);
	if (!told->words)
		return err_set(err, -ENOMEM, "read a bundle");
	rc = bundle_check_objects(in, err);
	why = rc < 0 ? NULL : bundle_check_tip(in, &told->head);
	if (why)
		rc = bundle_wrong(why, err);
	if (rc >= 0)
		rc = bundle_check_numbers(in, told->layers,
					  told->head.layer_count, err);
	if (rc >= 0)
		rc = bundle_check_numbers(in, told->disks,
					  told->head.disk_count, err);
	return rc < 0 ? rc : bundle_check_words(told, err);
}

/* ---- names --------------------------------------------------------------- */

static const char *bundle_name(const struct bundle_in *in, uint32_t i)
{
	return in->options->name ? in->options->name : in->told[i].head.name;
}

static bool bundle_is_same(const struct bundle_in *in, uint32_t t,
			   const struct tip *tip, const struct tip_ids *ids)
{
	static const uint8_t none[LAYER_ID];
	const struct bundle_told *told = &in->told[t];
	const uint8_t *state = told->head.state == BUNDLE_NONE
				       ? none
				       : in->objects[told->head.state].id;
	bool same = ids->layer_count == told->head.layer_count &&
		    ids->disk_count == told->head.disk_count &&
		    memcmp(ids->state, state, LAYER_ID) == 0 &&
		    strcmp(tip->words, told->words) == 0;

	for (uint32_t i = 0; same && i < ids->layer_count; i++)
		same = memcmp(ids->layers[i], in->objects[told->layers[i]].id,
			      LAYER_ID) == 0;
	for (uint32_t i = 0; same && i < ids->disk_count; i++)
		same = memcmp(ids->disks[i], in->objects[told->disks[i]].id,
			      LAYER_ID) == 0;
	return same;
}

/* A tip that is there is not lost by an import. */
static int bundle_check_free(const struct bundle_in *in, uint32_t i,
			     struct err *err)
{
	const char *name = bundle_name(in, i);
	struct tip_ids ids;
	struct tip tip;
	bool same;
	int rc;

	for (uint32_t k = 0; k < i; k++)
		if (strcmp(bundle_name(in, k), name) == 0)
			return bundle_wrong("it has several tips of one name",
					    err);
	rc = tip_read(in->images, name, &tip, &ids, NULL);
	same = rc >= 0 && bundle_is_same(in, i, &tip, &ids);
	tip_close(&tip);
	if (rc == -ENOENT || same || in->options->replace)
		return 0;
	return err_set(err, -EEXIST, "import %s into %s", name,
		       in->images->folder);
}

static int bundle_check_names(const struct bundle_in *in, struct err *err)
{
	const char *name = in->options->name;
	int rc = 0;

	if (name && !images_is_name(name))
		return err_set(err, -EINVAL, "%.64s is no name of a tip", name);
	if (name && in->head.tip_count != 1)
		return err_set(err, -EINVAL,
			       "the bundle has %u tips: a name is for one",
			       in->head.tip_count);
	for (uint32_t i = 0; rc >= 0 && i < in->head.tip_count; i++)
		rc = bundle_check_free(in, i, err);
	return rc;
}

/* ---- objects ------------------------------------------------------------- */

/* Those that are right here already are only leased. */
/* "head" is right by itself. */
static const char *bundle_check_told(const struct bundle_in *in, uint32_t i,
				     const struct layer_header *head)
{
	const struct bundle_object *object = &in->objects[i];

	if (head->kind != object->kind ||
	    head->data_bytes != object->data_bytes ||
	    head->hashes_at + head->hash_count * SHA256_BYTES !=
		    object->table_bytes ||
	    memcmp(head->id, object->id, LAYER_ID) != 0 ||
	    head->ram_bytes > in->head.ram_bytes)
		return "an object is not what the contents tell";
	if (in->shape && memcmp(head->shape, in->shape, LAYER_ID) != 0)
		return bundle_other;
	return NULL;
}

static int bundle_find_there(struct bundle_in *in, struct err *err)
{
	uint64_t need = 0, room;
	struct statvfs fs;

	for (uint32_t i = 0; i < in->head.object_count; i++) {
		const struct bundle_object *object = &in->objects[i];
		struct layer *layer = &in->layers[i];
		const char *why = NULL;

		if (layer_open(in->images, object->id, layer, NULL) >= 0) {
			in->counts->there++;
			why = bundle_check_told(in, i, &layer->head);
		} else {
			need += object->table_bytes + object->data_bytes;
		}
		if (why)
			return bundle_wrong(why, err);
	}
	if (fstatvfs(in->images->root, &fs) < 0)
		return 0;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (need > room)
		return err_set(err, -ENOSPC,
			       "import %lu bytes into %s, which has room for "
			       "%lu",
			       (unsigned long)need, in->images->folder,
			       (unsigned long)room);
	return 0;
}

static int bundle_skip(struct bundle_in *in, uint64_t bytes, struct err *err)
{
	int rc = 0;

	while (rc >= 0 && bytes) {
		size_t len = bytes < BUNDLE_PART ? (size_t)bytes : BUNDLE_PART;

		rc = bundle_get_frame(in, len, false, err);
		bytes -= len;
	}
	return rc;
}

static bool bundle_has_parent(const struct bundle_in *in, uint32_t i,
			      const struct layer_header *head)
{
	if (!layer_is_id(head->parent))
		return true;
	while (i--)
		if (memcmp(in->objects[i].id, head->parent, LAYER_ID) == 0)
			return true;
	return false;
}

/* "head" has a page behind it. */
static const char *bundle_check_layer(const struct bundle_in *in, uint32_t i,
				      const struct layer_header *head)
{
	const char *why = layer_check_header(head, head->file_bytes);

	if (!why)
		why = bundle_check_told(in, i, head);
	if (why)
		return why;
	if (!bundle_has_parent(in, i, head))
		return "an object comes before its parent";
	return NULL;
}

struct bundle_writing {
	struct store_draft draft;
	void *table; /* mapped */
	uint64_t table_bytes;
};

static int bundle_get_tables(struct bundle_in *in, uint32_t i,
			     struct bundle_writing *to, struct err *err)
{
	uint64_t bytes = in->objects[i].table_bytes, at = 0;
	int rc = 0;

	while (rc >= 0 && at < bytes) {
		size_t len = bytes - at < BUNDLE_PART ? (size_t)(bytes - at)
						      : BUNDLE_PART;
		const struct layer_header *head = (const void *)in->raw;
		const char *why = NULL;

		rc = bundle_get_frame(in, len, true, err);
		if (rc >= 0 && at == 0)
			why = bundle_check_layer(in, i, head);
		if (why)
			return bundle_wrong(why, err);
		if (rc >= 0 && at == 0 &&
		    ftruncate(to->draft.fd, (off_t)head->file_bytes) < 0)
			return err_set(err, -errno,
				       "write a layer of %lu bytes",
				       (unsigned long)head->file_bytes);
		if (rc >= 0)
			rc = fd_pwrite_all(to->draft.fd, in->raw, len, at, err);
		at += len;
	}
	return rc;
}

static int bundle_map_tables(struct bundle_in *in, uint32_t i,
			     struct bundle_writing *to, struct err *err)
{
	const struct bundle_object *object = &in->objects[i];
	const struct layer_header *head;
	const struct layer_extent *extents;
	uint8_t id[LAYER_ID];
	const char *why;

	to->table_bytes = object->table_bytes;
	to->table = mmap(NULL, to->table_bytes, PROT_READ, MAP_PRIVATE,
			 to->draft.fd, 0);
	if (to->table == MAP_FAILED) {
		to->table = NULL;
		return err_set(err, -errno, "map the tables of a layer");
	}
	head = to->table;
	extents = (const void *)((const uint8_t *)to->table + LAYER_PAGE);
	why = layer_check_extents(head, extents);
	if (!why) {
		chunks_id(to->table, extents,
			  (const void *)(extents + head->extent_count), id);
		if (memcmp(id, object->id, LAYER_ID) != 0)
			why = "an object's tables are damaged";
	}
	return why ? bundle_wrong(why, err) : 0;
}

/* Where the next data go: to the extents' places, or one after the other
 * where there are none. */
struct bundle_cursor {
	const struct layer_header *head;
	const struct layer_extent *extents;
	uint64_t next, at, left;
};

static void bundle_move_on(struct bundle_cursor *cursor)
{
	while (!cursor->left && cursor->next < cursor->head->extent_count) {
		const struct layer_extent *extent =
			&cursor->extents[cursor->next++];

		if (extent->flags & LAYER_ZERO)
			continue;
		cursor->at = extent->file_at;
		cursor->left = extent->bytes;
	}
}

static int bundle_put_part(struct bundle_cursor *cursor, int fd,
			   const uint8_t *from, size_t len, struct err *err)
{
	int rc = 0;

	while (rc >= 0 && len) {
		size_t part;

		bundle_move_on(cursor);
		part = len < cursor->left ? len : (size_t)cursor->left;
		if (!part)
			return bundle_wrong("it has data of no extent", err);
		rc = fd_pwrite_all(fd, from, part, cursor->at, err);
		cursor->at += part;
		cursor->left -= part;
		from += part;
		len -= part;
	}
	return rc < 0 ? err_wrap(err, "write a layer") : 0;
}

static int bundle_get_data(struct bundle_in *in, uint32_t i,
			   struct bundle_writing *to, struct err *err)
{
	const struct layer_header *head = to->table;
	struct bundle_cursor cursor = {
		.head = head,
		.extents =
			(const void *)((const uint8_t *)to->table + LAYER_PAGE),
		.at = head->data_at,
		.left = head->extent_count ? 0 : head->data_bytes,
	};
	uint64_t left = in->objects[i].data_bytes;
	int rc = 0;

	while (rc >= 0 && left) {
		size_t len = left < BUNDLE_PART ? (size_t)left : BUNDLE_PART;

		rc = bundle_get_frame(in, len, true, err);
		if (rc >= 0)
			rc = bundle_put_part(&cursor, to->draft.fd, in->raw,
					     len, err);
		left -= len;
	}
	return rc;
}

static int bundle_name_object(struct bundle_in *in, uint32_t i,
			      struct bundle_writing *to, struct err *err)
{
	const char *why;
	int rc = layer_check_draft(to->draft.fd, in->objects[i].id, &why);

	if (rc == -EBADMSG)
		return bundle_wrong(why, err);
	if (rc < 0)
		return err_set(err, rc, "look at a new layer: %s", why);
	return layer_publish(in->images, &to->draft, in->objects[i].id,
			     &in->layers[i], err);
}

/* Before the object gets its name. */
static int bundle_end_part(struct bundle_in *in, uint32_t i, struct err *err)
{
	uint8_t sum[SHA256_BYTES];

	in->counts->packed_bytes += in->bytes;
	sha256_end(&in->sha, sum);
	return in->parts->close(in->parts->context, i, in->bytes, sum, err);
}

static int bundle_get_new(struct bundle_in *in, uint32_t i, struct err *err)
{
	struct bundle_writing to = { 0 };
	int rc = store_draft_open(in->images->root, &to.draft, err);

	if (rc >= 0)
		rc = bundle_get_tables(in, i, &to, err);
	if (rc >= 0)
		rc = bundle_map_tables(in, i, &to, err);
	if (rc >= 0)
		rc = bundle_get_data(in, i, &to, err);
	if (rc >= 0 && in->parts)
		rc = bundle_end_part(in, i, err);
	if (rc >= 0)
		rc = bundle_name_object(in, i, &to, err);
	if (to.table)
		munmap(to.table, to.table_bytes);
	store_draft_close(in->images->root, &to.draft);
	return rc;
}

static int bundle_get_object(struct bundle_in *in, uint32_t i, struct err *err)
{
	int rc;

	if (in->layers[i].fd < 0)
		return bundle_get_new(in, i, err);
	rc = bundle_skip(in, in->objects[i].table_bytes, err);
	return rc < 0 ? rc : bundle_skip(in, in->objects[i].data_bytes, err);
}

static int bundle_get_part(struct bundle_in *in, uint32_t i, struct err *err)
{
	if (in->layers[i].fd >= 0) {
		in->done +=
			in->objects[i].table_bytes + in->objects[i].data_bytes;
		return 0;
	}
	in->fd = in->parts->open(in->parts->context, i, err);
	if (in->fd < 0)
		return in->fd;
	in->bytes = 0;
	sha256_start(&in->sha);
	return bundle_get_new(in, i, err);
}

/* ---- the end ------------------------------------------------------------- */

/* A file ends there; a pipe can have more that is somebody else's. */
static bool bundle_is_over(const struct bundle_in *in)
{
	struct stat st;
	char byte;

	return fstat(in->fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	       read(in->fd, &byte, 1) == 0;
}

static int bundle_get_end(struct bundle_in *in, struct err *err)
{
	struct sha256 sha = in->sha;
	uint64_t bytes = in->bytes;
	uint8_t sum[SHA256_BYTES];
	struct bundle_end end;
	int rc = bundle_get(in, &end, sizeof(end), err);

	if (rc < 0)
		return rc;
	sha256_end(&sha, sum);
	if (memcmp(end.magic, BUNDLE_END_MAGIC, sizeof(end.magic)) != 0 ||
	    end.bytes != bytes || memcmp(end.sum, sum, sizeof(sum)) != 0)
		return bundle_wrong("it is damaged", err);
	return bundle_is_over(in)
		       ? 0
		       : bundle_wrong("there is more behind its end", err);
}

static int bundle_take_file(struct bundle_in *in, const struct tip *tip,
			    uint32_t number, enum layer_kind kind,
			    struct layer *layer, struct err *err)
{
	const struct layer_header *head = &in->layers[number].head;

	if (head->kind != kind ||
	    memcmp(head->shape, tip->shape, LAYER_ID) != 0)
		return bundle_wrong("a state or disk of a tip is none", err);
	return layer_open(in->images, in->objects[number].id, layer, err);
}

static int bundle_compose(struct bundle_in *in, uint32_t t, struct err *err)
{
	const struct bundle_told *told = &in->told[t];
	uint8_t ids[LAYER_DEPTH_MOST][LAYER_ID];
	struct tip *tip = &in->tips[t];
	int rc;

	for (uint32_t i = 0; i < told->head.layer_count; i++)
		memcpy(ids[i], in->objects[told->layers[i]].id, LAYER_ID);
	rc = tip_compose(in->images, ids, told->head.layer_count, tip, err);
	if (rc >= 0 && told->head.state != BUNDLE_NONE)
		rc = bundle_take_file(in, tip, told->head.state, LAYER_STATE,
				      &tip->state, err);
	for (uint32_t i = 0; rc >= 0 && i < told->head.disk_count; i++) {
		rc = bundle_take_file(in, tip, told->disks[i], LAYER_DISK,
				      &tip->disks[i], err);
		tip->disk_count += rc >= 0;
	}
	if (rc < 0)
		return rc;
	if (in->shape && (tip->ram_bytes != in->head.ram_bytes ||
			  memcmp(tip->shape, in->shape, LAYER_ID) != 0))
		return bundle_wrong(bundle_other, err);
	tip->words = strdup(told->words);
	return tip->words ? 0 : err_set(err, -ENOMEM, "read a bundle");
}

static int bundle_publish(struct bundle_in *in, bundle_named *named,
			  void *context, struct err *err)
{
	int rc = 0;

	for (uint32_t t = 0; rc >= 0 && t < in->head.tip_count; t++)
		rc = bundle_compose(in, t, err);
	for (uint32_t t = 0; rc >= 0 && t < in->head.tip_count; t++) {
		rc = tip_publish(in->images, &in->tips[t], bundle_name(in, t),
				 err);
		if (rc >= 0)
			in->counts->tips++;
		if (rc >= 0 && named)
			named(bundle_name(in, t), context);
	}
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int bundle_prepare(struct bundle_in *in, struct err *err)
{
	int rc = bundle_check_names(in, err);

	return rc < 0 ? rc : bundle_find_there(in, err);
}

static int bundle_read(struct bundle_in *in, bundle_named *named, void *context,
		       struct err *err)
{
	int rc = bundle_get_contents(in, err);

	if (rc >= 0)
		rc = bundle_prepare(in, err);
	for (uint32_t i = 0; rc >= 0 && i < in->head.object_count; i++)
		rc = bundle_get_object(in, i, err);
	if (rc >= 0)
		rc = bundle_get_end(in, err);
	return rc < 0 ? rc : bundle_publish(in, named, context, err);
}

static int bundle_read_parts(struct bundle_in *in,
			     const struct bundle_contents *contents,
			     struct err *err)
{
	int rc = bundle_take_contents(in, contents, err);

	if (rc >= 0)
		rc = bundle_prepare(in, err);
	for (uint32_t i = 0; rc >= 0 && i < in->head.object_count; i++)
		rc = bundle_get_part(in, i, err);
	return rc < 0 ? rc : bundle_publish(in, NULL, NULL, err);
}

static int bundle_begin(struct bundle_in *in, struct err *err)
{
	*in->counts = (struct bundle_counts){ 0 };
	in->zstd = ZSTD_createDCtx();
	in->raw = malloc(BUNDLE_PART);
	in->packed = malloc(BUNDLE_PACKED_MOST);
	sha256_start(&in->sha);
	return in->zstd && in->raw && in->packed
		       ? 0
		       : err_set(err, -ENOMEM, "read a bundle");
}

static void bundle_close(struct bundle_in *in)
{
	for (uint32_t t = 0; in->tips && in->told && t < in->head.tip_count;
	     t++) {
		tip_close(&in->tips[t]);
		free(in->told[t].words);
	}
	for (uint32_t i = 0; in->layers && i < in->head.object_count; i++)
		layer_close(&in->layers[i]);
	free(in->objects);
	free(in->layers);
	free(in->told);
	free(in->tips);
	free(in->raw);
	free(in->packed);
	ZSTD_freeDCtx(in->zstd);
}

int bundle_import(const struct images *images, int fd,
		  const struct bundle_options *options, bundle_named *named,
		  void *context, struct bundle_counts *counts, struct err *err)
{
	struct bundle_in in = {
		.images = images, .options = options, .counts = counts, .fd = fd
	};
	int rc = bundle_begin(&in, err);

	if (rc >= 0)
		rc = bundle_read(&in, named, context, err);
	counts->objects = in.head.object_count;
	counts->bytes = in.done;
	counts->packed_bytes = in.bytes;
	bundle_close(&in);
	return rc;
}

int bundle_import_parts(const struct images *images,
			const struct bundle_contents *contents,
			const struct bundle_parts *parts,
			const struct bundle_options *options,
			struct bundle_counts *counts, struct err *err)
{
	struct bundle_in in = { .images = images,
				.options = options,
				.counts = counts,
				.fd = -1,
				.parts = parts };
	int rc = bundle_begin(&in, err);

	if (rc >= 0)
		rc = bundle_read_parts(&in, contents, err);
	counts->objects = in.head.object_count;
	counts->bytes = in.done;
	bundle_close(&in);
	return rc;
}

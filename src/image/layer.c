/* SPDX-License-Identifier: Apache-2.0 */
/* Layers, opened.  A layer comes from somewhere else: nothing of it is
 * believed before it is checked, in this order: who may write it, its
 * header's sum and bounds, its extents, and (unless this user has seen it
 * before) its id and all of its data. */
#include "image/layer.h"
#include "bare/crc.h"
#include "base/fd.h"
#include "image/chunks.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LAYER_PART = 1 << 20 };
#define LAYER_FILE_MOST (UINT64_C(1) << 44)

/* ---- the form ---------------------------------------------------------- */

static bool layer_is_paged(uint64_t bytes)
{
	return bytes % LAYER_PAGE == 0;
}

bool layer_is_id(const uint8_t id[LAYER_ID])
{
	static const uint8_t none[LAYER_ID];

	return memcmp(id, none, sizeof(none)) != 0;
}

const char *layer_kind_name(uint32_t kind)
{
	static const char *const kinds[] = { "?",	"base",	 "diff",
					     "working", "state", "disk" };

	return kinds[kind < sizeof(kinds) / sizeof(*kinds) ? kind : 0];
}

static bool layer_is_memory(const struct layer_header *head)
{
	return head->kind != LAYER_STATE && head->kind != LAYER_DISK;
}

static const char *layer_check_kind(const struct layer_header *head)
{
	bool child = head->kind == LAYER_DIFF || head->kind == LAYER_WORKING;

	if (head->kind < LAYER_BASE || head->kind > LAYER_DISK)
		return "it is of no known kind";
	if (child != layer_is_id(head->parent))
		return child ? "it has no parent" : "a base has no parent";
	if (!layer_is_memory(head))
		return head->ram_bytes || head->extent_count ||
				       head->region_count ||
				       head->data_bytes > LAYER_FILE_MOST
			       ? "what is no memory has some"
			       : NULL;
	if (!head->ram_bytes || head->ram_bytes > LAYER_RAM_MOST ||
	    !layer_is_paged(head->ram_bytes))
		return "its memory has an impossible size";
	if (head->extent_count > LAYER_EXTENTS_MOST ||
	    head->extent_count > head->ram_bytes / LAYER_PAGE)
		return "it has more extents than pages";
	if (head->data_bytes > head->ram_bytes ||
	    !layer_is_paged(head->data_bytes))
		return "it has more data than memory";
	return NULL;
}

/* Its counts are small by now: nothing here overflows. */
static const char *layer_check_places(const struct layer_header *head,
				      uint64_t file_bytes)
{
	uint64_t data =
		head->kind == LAYER_BASE ? head->ram_bytes : head->data_bytes;
	uint64_t tables;

	if (head->extents_at != LAYER_PAGE ||
	    head->hashes_at !=
		    LAYER_PAGE +
			    head->extent_count * sizeof(struct layer_extent) ||
	    head->hash_count != chunks_of(head->data_bytes))
		return "its tables are not where they have to be";
	tables = head->hashes_at + head->hash_count * SHA256_BYTES;
	if (head->data_at < tables || !layer_is_paged(head->data_at) ||
	    head->data_at - tables > 2 * LAYER_BASE_ALIGN ||
	    (head->kind == LAYER_BASE && head->data_at % LAYER_BASE_ALIGN))
		return "its data are not where they have to be";
	if (head->file_bytes != head->data_at + data)
		return "its length is not what its tables come to";
	if (head->file_bytes != file_bytes)
		return "it is cut off, or too long";
	return NULL;
}

static const char *layer_check_regions(const struct layer_header *head)
{
	if (head->region_count > LAYER_REGIONS_MOST)
		return "it has too many regions";
	for (uint32_t i = 0; i < head->region_count; i++) {
		const struct layer_region *region = &head->regions[i];

		if (!layer_is_paged(region->offset) ||
		    !layer_is_paged(region->bytes) ||
		    !layer_is_paged(region->guest_address) ||
		    region->guest_address > UINT64_MAX - region->bytes ||
		    region->offset > head->ram_bytes ||
		    region->bytes > head->ram_bytes - region->offset)
			return "a region is out of its memory";
	}
	return NULL;
}

static const char *layer_check_reserved(const struct layer_header *head)
{
	const uint8_t *at = (const void *)&head->regions[head->region_count];
	const uint8_t *end = (const uint8_t *)head + LAYER_PAGE;

	while (at < end)
		if (*at++)
			return "its reserved bytes are not zero";
	return NULL;
}

/* "head" has LAYER_PAGE bytes behind it. */
const char *layer_check_header(const struct layer_header *head,
			       uint64_t file_bytes)
{
	const char *why;

	if (memcmp(head->magic, LAYER_MAGIC, sizeof(head->magic)) != 0)
		return "it is no layer";
	if (head->version != LAYER_VERSION ||
	    head->header_bytes != LAYER_PAGE || head->page_bytes != LAYER_PAGE)
		return "it is a layer of another version";
	if (head->sum != chunks_header_sum(head))
		return "its header is damaged";
	why = layer_check_kind(head);
	if (!why)
		why = layer_check_regions(head);
	if (!why)
		why = layer_check_reserved(head);
	return why ? why : layer_check_places(head, file_bytes);
}

static const char *layer_check_extent(const struct layer_header *head,
				      const struct layer_extent *extent,
				      uint64_t from, uint64_t stream)
{
	uint64_t file_at = head->kind == LAYER_BASE
				   ? head->data_at + extent->offset
				   : head->data_at + stream;

	if (extent->offset < from)
		return "its extents are not sorted, or overlap";
	if (!layer_is_paged(extent->offset) || !layer_is_paged(extent->bytes) ||
	    !extent->bytes)
		return "an extent is not made of pages";
	if (extent->offset > head->ram_bytes ||
	    extent->bytes > head->ram_bytes - extent->offset)
		return "an extent is out of its memory";
	if (extent->flags & ~(uint32_t)(LAYER_ZERO | LAYER_HOT))
		return "an extent has unknown flags";
	if (extent->flags & LAYER_ZERO)
		return extent->file_at || extent->sum
			       ? "an extent of zeros has data"
			       : NULL;
	if (extent->file_at != file_at ||
	    extent->bytes > head->data_bytes - stream)
		return "an extent's data are not where they have to be";
	return NULL;
}

const char *layer_check_extents(const struct layer_header *head,
				const struct layer_extent *extents)
{
	uint64_t from = 0, stream = 0;

	for (uint64_t i = 0; i < head->extent_count; i++) {
		const struct layer_extent *extent = &extents[i];
		const char *why =
			layer_check_extent(head, extent, from, stream);

		if (why)
			return why;
		from = extent->offset + extent->bytes;
		if (!(extent->flags & LAYER_ZERO))
			stream += extent->bytes;
	}
	if (layer_is_memory(head) && stream != head->data_bytes)
		return "it has data that no extent tells of";
	return NULL;
}

/* ---- the content --------------------------------------------------------- */

struct layer_reading {
	const struct layer *layer;
	struct chunks chunks;
	uint8_t *part;
	const char *why;
};

/* Some of the data; adds to a sum over it.  Only a failed read is an error:
 * then errno tells. */
static int layer_read(struct layer_reading *reading, uint64_t at,
		      uint64_t bytes, uint32_t *sum)
{
	while (bytes) {
		size_t len = bytes < LAYER_PART ? (size_t)bytes : LAYER_PART;
		int rc = fd_pread_all(reading->layer->fd, reading->part, len,
				      at, NULL);

		if (rc < 0)
			return rc;
		chunks_add(&reading->chunks, reading->part, len);
		*sum = crc_of(*sum, reading->part, len);
		at += len;
		bytes -= len;
	}
	return 0;
}

/* What no hash is of has to be zero: a base's is mapped with it. */
static int layer_read_gap(struct layer_reading *reading, uint64_t at,
			  uint64_t end)
{
	int fd = reading->layer->fd;

	while (at < end && !reading->why) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		uint8_t page[LAYER_PAGE];
		int rc;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		at = (uint64_t)data / LAYER_PAGE * LAYER_PAGE;
		if (at >= end)
			return 0;
		rc = fd_pread_all(fd, page, sizeof(page), at, NULL);
		if (rc < 0)
			return rc;
		if (!pages_is_zero(page))
			reading->why = "it has bytes outside of its extents";
		at += sizeof(page);
	}
	return 0;
}

/* Between the tables and the data. */
static int layer_read_padding(struct layer_reading *reading)
{
	const struct layer *layer = reading->layer;
	const uint8_t *table = layer->table;
	uint64_t at = layer->table_bytes;

	for (; !layer_is_paged(at); at++)
		if (table[at])
			reading->why = "it has bytes outside of its extents";
	return layer_read_gap(reading, at, layer->head.data_at);
}

/* In a base, runs of zeros are gaps too. */
static int layer_read_extents(struct layer_reading *reading)
{
	const struct layer_header *head = &reading->layer->head;
	uint64_t from = 0;
	int rc = 0;

	for (uint64_t i = 0; rc >= 0 && i < head->extent_count; i++) {
		const struct layer_extent *extent = &reading->layer->extents[i];
		uint32_t sum = 0;

		if (extent->flags & LAYER_ZERO)
			continue;
		if (head->kind == LAYER_BASE)
			rc = layer_read_gap(reading, head->data_at + from,
					    head->data_at + extent->offset);
		from = extent->offset + extent->bytes;
		if (rc >= 0)
			rc = layer_read(reading, extent->file_at, extent->bytes,
					&sum);
		if (rc >= 0 && sum != extent->sum)
			reading->why = "its data are damaged";
	}
	if (rc >= 0 && head->kind == LAYER_BASE)
		rc = layer_read_gap(reading, head->data_at + from,
				    head->file_bytes);
	return rc;
}

/* Against the hashes and the id. */
static int layer_check_data(const struct layer *layer, const char **why)
{
	const struct layer_header *head = &layer->head;
	const uint8_t(*hashes)[SHA256_BYTES] =
		(const void *)(layer->extents + head->extent_count);
	struct layer_reading reading = { .layer = layer };
	auto_free uint8_t *part = malloc(LAYER_PART);
	auto_free void *found = calloc(head->hash_count + 1, SHA256_BYTES);
	uint8_t id[LAYER_ID];
	uint32_t sum = 0;
	int rc;

	if (!part || !found)
		return -ENOMEM;
	reading.part = part;
	chunks_start(&reading.chunks, found, head->hash_count);
	chunks_id(layer->table, layer->extents, hashes, id);
	if (memcmp(id, head->id, sizeof(id)) != 0) {
		*why = "its tables are damaged";
		return 0;
	}
	rc = layer_is_memory(head) ? layer_read_extents(&reading)
				   : layer_read(&reading, head->data_at,
						head->data_bytes, &sum);
	chunks_end(&reading.chunks);
	if (rc >= 0)
		rc = layer_read_padding(&reading);
	*why = reading.why;
	if (rc >= 0 && !*why &&
	    memcmp(found, hashes, head->hash_count * SHA256_BYTES) != 0)
		*why = "its data are damaged";
	return rc;
}

/* ---- open ---------------------------------------------------------------- */

static int layer_wrong(const struct images *images, const char *hex, int code,
		       const char *why, struct err *err)
{
	return err_set(err, code, "layer %s/%s: %s", images->folder, hex, why);
}

/* The page of the header, with the tables behind it. */
static int layer_map(struct layer *layer, uint64_t file_bytes, const char **why)
{
	_Alignas(struct layer_header) uint8_t page[LAYER_PAGE];

	if (file_bytes < LAYER_PAGE) {
		*why = "it is cut off, or no layer";
		return -EBADMSG;
	}
	if (fd_pread_all(layer->fd, page, sizeof(page), 0, NULL) < 0) {
		*why = "it cannot be read";
		return -EIO;
	}
	*why = layer_check_header((const void *)page, file_bytes);
	if (*why)
		return -EBADMSG;
	memcpy(&layer->head, page, sizeof(layer->head));
	layer->table_bytes =
		layer->head.hashes_at + layer->head.hash_count * SHA256_BYTES;
	layer->table = mmap(NULL, layer->table_bytes, PROT_READ, MAP_PRIVATE,
			    layer->fd, 0);
	if (layer->table == MAP_FAILED) {
		layer->table = NULL;
		*why = "it cannot be mapped";
		return -errno;
	}
	layer->extents =
		(const void *)((const uint8_t *)layer->table + LAYER_PAGE);
	*why = layer_check_extents(&layer->head, layer->extents);
	return *why ? -EBADMSG : 0;
}

static int layer_open_file(const struct images *images, const char *hex,
			   struct layer *layer, struct file_stamp *stamp,
			   const char **why)
{
	struct stat st;
	int rc;

	*layer = LAYER_NONE;
	memcpy(layer->hex, hex, sizeof(layer->hex));
	layer->fd =
		images->is_given
			? store_object_open_given(images->root, hex, &st, why)
			: store_object_open(images->root, hex, false, &st, why);
	if (layer->fd < 0) {
		rc = layer->fd;
		*why = *why ? *why : "there is none";
		return rc;
	}
	rc = store_object_lease_named(images->root, hex, layer->fd);
	if (rc < 0) {
		*why = "it is being removed";
		return rc;
	}
	file_stamp_of(&st, stamp);
	rc = layer_map(layer, (uint64_t)st.st_size, why);
	if (rc >= 0) {
		char name[STORE_HEX + 1];

		store_hex(layer->head.id, LAYER_ID, name);
		*why = strcmp(name, hex) == 0 ? NULL : "it has another id";
		rc = *why ? -EBADMSG : 0;
	}
	return rc;
}

static bool layer_is_known(const struct images *images, const char *hex,
			   const struct file_stamp *stamp)
{
	return images->is_given || store_seen(images->root, hex, stamp);
}

static int layer_open_hex(const struct images *images, const char *hex,
			  bool again, struct layer *layer, struct err *err)
{
	const char *why = NULL;
	struct file_stamp stamp;
	int rc = layer_open_file(images, hex, layer, &stamp, &why);

	if (rc >= 0 && (again || !layer_is_known(images, hex, &stamp))) {
		rc = layer_check_data(layer, &why);
		if (rc < 0)
			why = "it cannot be read";
		else if (why)
			rc = -EBADMSG;
		else
			store_seen_note(images->root, hex, &stamp, "layer");
	}
	if (rc >= 0)
		return 0;
	layer_close(layer);
	if (rc == -EBADMSG)
		store_seen_forget(images->root, hex);
	return layer_wrong(images, hex, rc, why, err);
}

int layer_open(const struct images *images, const uint8_t id[LAYER_ID],
	       struct layer *layer, struct err *err)
{
	char hex[STORE_HEX + 1];

	store_hex(id, LAYER_ID, hex);
	return layer_open_hex(images, hex, false, layer, err);
}

int layer_check_draft(int fd, const uint8_t id[LAYER_ID], const char **why)
{
	struct layer layer = LAYER_NONE;
	struct stat st;
	int rc = 0;

	*why = "it cannot be read";
	layer.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (layer.fd < 0 || fstat(layer.fd, &st) < 0)
		rc = -errno;
	else
		rc = layer_map(&layer, (uint64_t)st.st_size, why);
	if (rc >= 0) {
		*why = NULL;
		if (memcmp(layer.head.id, id, LAYER_ID) != 0)
			*why = "it has another id";
		else
			rc = layer_check_data(&layer, why);
		if (rc >= 0 && *why)
			rc = -EBADMSG;
	}
	layer_close(&layer);
	return rc;
}

int layer_verify(const struct images *images, const char *hex, struct err *err)
{
	struct layer layer;
	int rc;

	if (!store_is_name(hex))
		return err_set(err, -EINVAL,
			       "%.64s is no name of a layer: 64 digits", hex);
	rc = layer_open_hex(images, hex, true, &layer, err);
	if (rc >= 0)
		layer_close(&layer);
	return rc;
}

void layer_close(struct layer *layer)
{
	if (layer->table)
		munmap(layer->table, layer->table_bytes);
	fd_close(&layer->fd);
	*layer = LAYER_NONE;
}

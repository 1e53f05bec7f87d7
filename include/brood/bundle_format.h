/* SPDX-License-Identifier: Apache-2.0 */
/* Images in one file, to be carried to another store: a stream that is
 * written and read from its begin to its end.
 *
 *	struct bundle_header
 *	struct bundle_object objects[object_count]
 *	for each of tip_count:
 *		struct bundle_tip
 *		uint32_t layers[layer_count]	numbers of objects
 *		uint32_t disks[disk_count]
 *		char words[words_bytes]
 *	for each object, in their order:
 *		frames of its first table_bytes (header and tables)
 *		frames of its data, data_bytes
 *	struct bundle_end
 *
 * A layer's file is its tables and the data of its extents (or, of a state
 * and a disk, all data), as they follow each other; the rest of it is zeros.
 * So the tables tell where the data go, and holes take no room here.
 *
 * Both are cut into pieces of BUNDLE_PART bytes, the last one being what is
 * left.  Each is a frame: a uint32_t that says how long it is, and one zstd
 * frame (RFC 8878) that tells its content's size and needs no other frame.
 * How long a piece is is known before it is unpacked.
 *
 * An object whose parent is in the file comes after it.  All is little
 * endian; what is reserved is 0. */
#pragma once
#include "brood/layer_format.h"
#include <stdint.h>

#define BUNDLE_MAGIC	 "\177BROODB" /* and its end, 8 bytes */
#define BUNDLE_END_MAGIC "BROODEND"   /* 8 bytes */
enum {
	BUNDLE_VERSION = 1,
	BUNDLE_PART = 1 << 20,
	/* what zstd makes at most of a part */
	BUNDLE_PACKED_MOST = BUNDLE_PART + (BUNDLE_PART >> 8),
	BUNDLE_OBJECTS_MOST = 1024,
	BUNDLE_TIPS_MOST = 64,
	BUNDLE_NAME = 72,
};
#define BUNDLE_NONE UINT32_MAX

struct bundle_header {
	char magic[8];
	uint32_t version, header_bytes;
	uint64_t ram_bytes;  /* of the largest memory */
	uint64_t data_bytes; /* of all objects, with their tables */
	uint32_t object_count, tip_count;
};
_Static_assert(sizeof(struct bundle_header) == 40, "part of the format");

struct bundle_object {
	uint32_t kind; /* enum layer_kind */
	uint32_t reserved;
	uint64_t table_bytes, data_bytes;
	uint8_t id[LAYER_ID];
};
_Static_assert(sizeof(struct bundle_object) == 56, "part of the format");

struct bundle_tip {
	char name[BUNDLE_NAME]; /* zeros behind it */
	uint32_t layer_count;	/* from the base up */
	uint32_t disk_count;
	uint32_t state; /* BUNDLE_NONE */
	uint32_t words_bytes;
};
_Static_assert(sizeof(struct bundle_tip) == 88, "part of the format");

struct bundle_end {
	char magic[8];
	uint64_t bytes;	 /* all that is before this */
	uint8_t sum[32]; /* SHA-256 of them */
};
_Static_assert(sizeof(struct bundle_end) == 48, "part of the format");

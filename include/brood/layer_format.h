/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of machines on disk: layers, and tips that put them together.
 *
 * A layer is an immutable file that is named by its id:
 *
 *	struct layer_header, 4096 bytes
 *	struct layer_extent extents[extent_count]
 *	uint8_t hashes[hash_count][32]
 *	padding
 *	data, from data_at on
 *
 * A base says all of a memory, the other kinds what is different from their
 * parent.  Extents are sorted and disjoint.  The data of those that are not
 * ZERO follow each other in the extents' order; that stream, cut into pieces
 * of LAYER_CHUNK, is what the hashes are of.  A base's data lie at data_at +
 * offset, with holes where nothing is: so it is mapped as one piece.
 *
 * id = SHA-256 over the header (its id and sum as zero), the extents and the
 * hashes.  The parent's id is in the header: so a tip's id fixes the whole
 * chain below it.
 *
 * A state is an object of the same envelope without extents: its data are
 * what a hypervisor wrote of its devices.  So is a disk: its data are what a
 * machine wrote over another disk.
 *
 * A tip is the point of commitment: it names a state and the layers from the
 * base up, and holds what they come to, so that a start reads nothing else:
 *
 *	struct tip_header
 *	uint8_t layers[layer_count][32]
 *	uint8_t disks[disk_count][32]
 *	struct tip_run runs[run_count]
 *	char words[words_bytes]		JSON: what machine this is
 *
 * All is little endian; what is reserved is 0. */
#pragma once
#include <stdint.h>

#define LAYER_MAGIC "\177BROODL" /* and its end, 8 bytes */
#define TIP_MAGIC   "\177BROODT"
enum {
	LAYER_VERSION = 1,
	LAYER_PAGE = 4096,
	LAYER_ID = 32,
	LAYER_CHUNK = 65536,
	LAYER_DEPTH_MOST = 64, /* layers of a chain, the base counted */
	LAYER_REGIONS_MOST = 8,
	LAYER_BASE_ALIGN = 2 << 20, /* of a base's data */
	TIP_DISKS_MOST = 32,
	TIP_RUNS_MOST = 30000,
	TIP_WORDS_MOST = 65536,
};
#define LAYER_RAM_MOST	   (UINT64_C(1) << 46)
#define LAYER_EXTENTS_MOST (UINT64_C(1) << 26)

enum layer_kind {
	LAYER_BASE = 1,
	LAYER_DIFF = 2,
	LAYER_WORKING = 3, /* what a start reads, over its tip's last layer */
	LAYER_STATE = 4,
	LAYER_DISK = 5,
};

enum layer_flag {
	LAYER_ZERO = 1 << 0, /* zeros, no data */
	LAYER_HOT = 1 << 1,  /* read ahead */
};

/* Where a piece of the memory is seen by the guest. */
struct layer_region {
	uint64_t guest_address, bytes, offset;
};

struct layer_header {
	char magic[8];
	uint32_t version, header_bytes; /* LAYER_PAGE */
	uint32_t kind, page_bytes;	/* LAYER_PAGE */
	uint64_t ram_bytes;
	uint64_t extents_at, extent_count;
	uint64_t hashes_at, hash_count;
	uint64_t data_at, data_bytes; /* of the stream */
	uint64_t file_bytes;
	uint8_t parent[LAYER_ID]; /* zeros: none */
	uint8_t shape[LAYER_ID];
	uint8_t id[LAYER_ID];
	uint32_t sum; /* CRC-32C of the 4096 bytes, this field as zero */
	uint32_t region_count;
	struct layer_region regions[LAYER_REGIONS_MOST];
};
_Static_assert(sizeof(struct layer_header) == 384, "part of the format");

struct layer_extent {
	uint64_t offset, bytes; /* of the memory */
	uint64_t file_at;	/* 0 for ZERO */
	uint32_t flags;
	uint32_t sum; /* CRC-32C of its data */
};
_Static_assert(sizeof(struct layer_extent) == 32, "part of the format");

struct tip_header {
	char magic[8];
	uint32_t version, header_bytes;
	uint64_t ram_bytes;
	uint32_t layer_count, run_count;
	uint32_t words_bytes;
	/* The last of the layers is a working set: what it holds is the same
	 * as without it. */
	uint32_t has_working;
	uint32_t disk_count, reserved;
	uint64_t file_bytes;
	uint8_t shape[LAYER_ID];
	uint8_t state[LAYER_ID]; /* zeros: none */
	uint8_t id[LAYER_ID];	 /* SHA-256 of the file, this as zero */
};
_Static_assert(sizeof(struct tip_header) == 152, "part of the format");

/* A piece of the memory that comes from one layer; sorted, disjoint, and
 * together all of it. */
struct tip_run {
	uint64_t offset, bytes;
	uint64_t file_at;
	uint32_t layer; /* among the tip's; TIP_ZERO: from none */
	uint32_t flags; /* of the extent */
};
_Static_assert(sizeof(struct tip_run) == 32, "part of the format");
#define TIP_ZERO UINT32_MAX

/* SPDX-License-Identifier: Apache-2.0 */
/* What a domain is besides its memory: the state of a tip (layer_format.h)
 * whose memory is a domain's.
 *
 *	struct domain_state
 *	struct domain_state_region regions[region_count]
 *	struct domain_state_part parts[part_count]
 *	struct domain_state_code codes[code_count]
 *	uint8_t wasi[wasi_bytes]	the guest's open files, as vm/wasi.h says
 *
 * The memory's offsets are guest-physical addresses.  A part is a piece of
 * them that a region has at an offset; together parts make up the memory, in
 * their order.  Code is not in the memory: it is an object of the code cache,
 * named by its key and checksum, or a disk of the tip, by its number.  An image
 * of files is named by its bytes' SHA-256 and has to be given again.
 *
 * All is little endian; what is reserved is 0. */
#pragma once
#include <stdint.h>

#define DOMAIN_STATE_MAGIC "\177BROODV" /* and its end, 8 bytes */
enum {
	DOMAIN_STATE_VERSION = 2,
	DOMAIN_STATE_HASH = 32,
	DOMAIN_REGIONS_MOST = 1026,
	DOMAIN_PARTS_MOST = 16384,
	DOMAIN_CODES_MOST = 1024,
};

/* Where it stopped. */
enum domain_point {
	DOMAIN_POINT_FRESH = 1, /* booted, no store */
	DOMAIN_POINT_IDLE = 2,	/* a command is done */
	DOMAIN_POINT_CALL = 3,	/* in a call of an export, at a bell */
};

struct domain_state {
	char magic[8];
	uint32_t version, header_bytes;
	uint8_t guest[DOMAIN_STATE_HASH]; /* of the guest's image */
	uint32_t point, features;
	uint32_t region_count, part_count, code_count;
	uint32_t tables; /* page tables in use */
	uint64_t wasi_bytes;
	uint64_t physical, code_bytes; /* in use */
	uint64_t memory_bytes, stack_bytes;
	uint32_t has_fuel;
	uint32_t module, instance; /* of the program's first module */
	uint32_t reserved;
	uint64_t files_bytes; /* of an image of files; 0: it has none */
	uint8_t files[DOMAIN_STATE_HASH];
	uint64_t general[16], rip, flags;
	uint64_t file_bytes;
};
_Static_assert(sizeof(struct domain_state) == 320, "part of the format");

struct domain_state_region {
	uint64_t reserve, open, bytes, backed;
	uint32_t is_dropped, reserved;
};
struct domain_state_part {
	uint64_t physical, bytes, offset;
	uint32_t region, reserved;
};
struct domain_state_code {
	uint8_t key[DOMAIN_STATE_HASH], sum[DOMAIN_STATE_HASH];
	uint64_t virtual, bytes;
	uint64_t module_at, module_bytes;
	uint32_t has_code;
	uint32_t disk; /* UINT32_MAX: in the code cache */
};
_Static_assert(sizeof(struct domain_state_region) == 40 &&
		       sizeof(struct domain_state_part) == 32 &&
		       sizeof(struct domain_state_code) == 104,
	       "part of the format");

/* SPDX-License-Identifier: Apache-2.0 */
/* EROFS as it lies on storage, as far as it is used here: blocks of 4 KiB,
 * plain files, nothing compressed and nothing inline.  All numbers are
 * little-endian.
 *
 *	0	nothing (room for what boots a disk)
 *	1024	struct erofs_super; its checksum covers it and the rest of its
 *		block
 *	4096	inodes; a node's number (nid) says where its inode lies:
 *		meta_block * 4096 + nid * 32
 *	...	data of folders, links and files, each from a block's begin,
 *		in blocks that follow one another
 *
 * A folder's data are blocks of their own: entries, then their names in the
 * same order, with no 0 between them; what is left behind the last name is 0.
 * The first entry's name_at so says how many entries there are.  Names are
 * sorted as bytes through all blocks; "." and ".." are among them. */
#pragma once
#include <stdint.h>

enum {
	EROFS_SUPER_AT = 1024,
	EROFS_BLOCK_BITS = 12,
	EROFS_BLOCK = 1 << EROFS_BLOCK_BITS,
	EROFS_SLOT = 32, /* a nid counts these */
	EROFS_NAME_MOST = 255,
};
#define EROFS_MAGIC 0xE0F5E1E2u

/* Readers may ignore these ... */
enum { EROFS_HAS_SUM = 1, EROFS_HAS_MTIME = 2 };
/* ... and must know those; this one only says how compressed data lie. */
enum { EROFS_NEEDS_ZERO_PADDING = 1 };

struct erofs_super {
	uint32_t magic;
	uint32_t sum; /* CRC-32C, begun with ~0, counted with a 0 here */
	uint32_t may_know;
	uint8_t block_bits;
	uint8_t more_slots;
	uint16_t root_nid;
	uint64_t inodes;
	uint64_t built_s;
	uint32_t built_ns;
	uint32_t blocks;
	uint32_t meta_block;
	uint32_t xattr_block;
	uint8_t uuid[16];
	uint8_t name[16];
	uint32_t must_know;
	uint16_t compressions;
	uint16_t devices;
	uint16_t device_slot;
	uint8_t folder_bits;
	uint8_t xattr_prefixes;
	uint32_t xattr_prefix_at;
	uint64_t packed_nid;
	uint8_t xattr_filter;
	uint8_t reserved[23];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_super) == 128, "the superblock");

/* The lowest bit of "format" tells the two inodes apart, the next three how
 * the data lie; the rest is of later kinds. */
enum { EROFS_COMPACT = 0, EROFS_EXTENDED = 1, EROFS_FLAT_PLAIN = 0 };

struct erofs_inode_compact {
	uint16_t format;
	uint16_t xattrs;
	uint16_t mode;
	uint16_t links;
	uint32_t size;
	uint32_t reserved;
	uint32_t place; /* of data: its first block; of a device: its number */
	uint32_t inode;
	uint16_t uid, gid;
	uint32_t reserved2;
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_inode_compact) == 32, "a compact inode");

struct erofs_inode {
	uint16_t format;
	uint16_t xattrs;
	uint16_t mode;
	uint16_t reserved;
	uint64_t size;
	uint32_t place;
	uint32_t inode;
	uint32_t uid, gid;
	uint64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t links;
	uint8_t reserved2[16];
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_inode) == 64, "an extended inode");

struct erofs_dirent {
	uint64_t nid;
	uint16_t name_at; /* from the block's begin */
	uint8_t kind;
	uint8_t reserved;
} __attribute__((packed));
_Static_assert(sizeof(struct erofs_dirent) == 12, "a folder's entry");

enum erofs_kind {
	EROFS_KIND_UNKNOWN,
	EROFS_KIND_FILE,
	EROFS_KIND_FOLDER,
	EROFS_KIND_CHARACTERS,
	EROFS_KIND_BLOCKS,
	EROFS_KIND_FIFO,
	EROFS_KIND_SOCKET,
	EROFS_KIND_LINK,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the archive that a kernel unpacks as its first file system ("newc").
 * Each entry is
 *
 *	"070701"	magic
 *	13 x 8 digits	of base 16: inode, mode, uid, gid, links, mtime, bytes,
 *			major, minor, device major and minor, name's bytes, 0
 *	name, 0		then 0 to a multiple of 4
 *	data		then 0 to a multiple of 4
 *
 * and the last one is "TRAILER!!!".  Everything belongs to root, times are 0
 * and inodes are counted: what goes in decides all that comes out. */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CPIO_ROOM = 65536 };

struct cpio {
	int fd;	       /* not owned */
	uint64_t done; /* bytes so far */
	uint32_t inode;
	uint64_t left; /* of the data of the entry that has begun */
	size_t len;    /* of room, not yet written */
	char room[CPIO_ROOM];
};

void cpio_init(struct cpio *cpio, int fd);
/* An entry and the length of its data; names have no / in front.  A file or
 * a link has "bytes" of data, which follow by cpio_data or cpio_copy. */
int cpio_entry(struct cpio *cpio, const char *name, mode_t mode, dev_t device,
	       uint64_t bytes, struct err *err);
int cpio_data(struct cpio *cpio, const void *data, size_t len, struct err *err);
/* All data of the entry from a file, which must be exactly as long. */
int cpio_copy(struct cpio *cpio, int fd, const char *path, struct err *err);
int cpio_end(struct cpio *cpio, struct err *err);

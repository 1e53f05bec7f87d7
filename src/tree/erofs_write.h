/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a tree as an EROFS image (erofs/format.h).  The same tree gives the
 * same bytes: everything belongs to root, and the image's UUID is the first
 * half of the SHA-256 of the image with zeros for UUID and checksum. */
#pragma once
#include "base/err.h"
#include "base/progress.h"
#include "tree/tree.h"
#include <stdint.h>

struct erofs_write_plan {
	const struct timespec *mtime; /* of all nodes; NULL: each its own */
};

struct erofs_written {
	uint64_t image_bytes;
	uint64_t files, folders, links;
	uint64_t bytes;	 /* of files and links */
	uint64_t shared; /* of these, what others have too: not written */
	uint8_t uuid[16];
};

/* fd: an empty file, which is not synced.  tree: closed.  progress may be
 * NULL. */
int erofs_write(int fd, const struct tree *tree,
		const struct erofs_write_plan *plan,
		struct erofs_written *written, struct progress *progress,
		struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image layouts: folders that podman, containerd, skopeo and registries
 * take artifacts from, and put them in.
 *
 *	oci-layout		{"imageLayoutVersion":"1.0.0"}
 *	index.json		names, and the manifest of each
 *	blobs/sha256/HEX	manifests, configs and layers, by their digests
 *
 * Written in this order: blobs, oci-layout, index.json, each published whole.
 * So whatever is killed leaves what the index told before, or nothing that is
 * a layout yet.  One writer at a time: it has a lock on the folder.
 *
 * Of what is read nothing is believed: no link is followed, a blob's size and
 * digest are those that it was named with, or it is refused. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/progress.h"
#include <stddef.h>
#include <stdint.h>

enum {
	LAYOUT_HEX = 64,
	LAYOUT_JSON_MOST = 1 << 20, /* of an index or a manifest */
};

struct layout {
	char *path;
	int fd, blobs; /* the folders DIR and DIR/blobs/sha256 */
};
#define LAYOUT_NONE ((struct layout){ .fd = -1, .blobs = -1 })
struct layout_blob {
	char hex[LAYOUT_HEX + 1];
	uint64_t bytes;
};

int layout_open(const char *path, struct layout *layout, struct err *err);
/* To be written: made where there is none, locked, and rid of what writers
 * left that were killed.  A folder of anything else is refused. */
int layout_make(const char *path, struct layout *layout, struct err *err);
void layout_close(struct layout *layout);
#define auto_layout __attribute__((cleanup(layout_close)))

/* Is it one object of JSON, whoever wrote it? */
int layout_check_json(const struct buf *text, const char *what,
		      struct err *err);
/* A file of JSON in DIR; -ENOENT. */
int layout_json(const struct layout *layout, const char *name, struct buf *text,
		struct err *err);
/* Published over what has the name now; the blobs have to be there before. */
int layout_publish(const struct layout *layout, const char *name,
		   const struct buf *text, struct err *err);

int layout_put(const struct layout *layout, const void *data, size_t len,
	       struct layout_blob *blob, struct err *err);
/* The first bytes of a file whose digest is known; -EBADMSG: it is not that
 * one any more. */
int layout_put_fd(const struct layout *layout, int fd,
		  const struct layout_blob *blob, struct progress *progress,
		  struct err *err);
/* One whose digest is known when it is written, through draft->fd.  sum: of
 * all that was written.  1: the blob is there already, and right. */
int layout_draft_open(const struct layout *layout, struct file_draft *draft,
		      struct err *err);
int layout_draft_put(const struct layout *layout, struct file_draft *draft,
		     const uint8_t *sum, uint64_t bytes,
		     struct layout_blob *blob, struct err *err);

/* To be read by the caller, who then has to look at its digest: a file that
 * has its size. */
int layout_open_blob(const struct layout *layout,
		     const struct layout_blob *blob, const char *what,
		     struct err *err);
/* Is that the digest of what was read? */
int layout_check_sum(const struct layout_blob *blob, const char *what,
		     const uint8_t *sum, struct err *err);
/* what: for errors, as in "the config". */
int layout_get(const struct layout *layout, const struct layout_blob *blob,
	       const char *what, uint64_t most, struct buf *to,
	       struct err *err);
int layout_get_fd(const struct layout *layout, const struct layout_blob *blob,
		  const char *what, int to, struct progress *progress,
		  struct err *err);
/* Of JSON: an object with "digest" and "size". */
int layout_blob_read(const char *text, const char *what,
		     struct layout_blob *blob, struct err *err);

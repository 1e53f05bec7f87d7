/* SPDX-License-Identifier: Apache-2.0 */
/* One pass from the first byte to the last, counting the UUID on the way;
 * then the first block once more, with it. */
#include "tree/erofs_write.h"
#include "base/fd.h"
#include "base/sha256.h"
#include "erofs/read.h"
#include "tree/erofs_layout.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EROFS_WRITE_ROOM = 1 << 20 };

struct erofs_writer {
	int fd;
	const struct erofs_write_plan *plan;
	struct erofs_layout layout;
	struct progress *progress;
	struct sha256 sha;
	char *room;
	size_t len;
	uint64_t at; /* where the room's begin belongs */
};

/* ---- bytes ------------------------------------------------------------------ */

static int erofs_write_flush(struct erofs_writer *writer, struct err *err)
{
	size_t len = writer->len;
	int r = fd_pwrite_all(writer->fd, writer->room, len, writer->at, err);

	if (r < 0)
		return r;
	sha256_add(&writer->sha, writer->room, len);
	writer->at += len;
	writer->len = 0;
	progress_part(writer->progress, writer->at,
		      writer->layout.blocks * EROFS_BLOCK);
	return 0;
}

static int erofs_write_used(struct erofs_writer *writer, size_t len,
			    struct err *err)
{
	writer->len += len;
	return writer->len == EROFS_WRITE_ROOM ? erofs_write_flush(writer, err)
					       : 0;
}

/* data: NULL for zeros. */
static int erofs_write_bytes(struct erofs_writer *writer, const void *data,
			     uint64_t len, struct err *err)
{
	const char *from = data;
	int r = 0;

	while (len && r >= 0) {
		size_t n = EROFS_WRITE_ROOM - writer->len;

		n = n < len ? n : len;
		if (from)
			memcpy(writer->room + writer->len, from, n);
		else
			memset(writer->room + writer->len, 0, n);
		from = from ? from + n : NULL;
		len -= n;
		r = erofs_write_used(writer, n, err);
	}
	return r;
}

/* Zeros up to a block. */
static int erofs_write_to(struct erofs_writer *writer, uint64_t block,
			  struct err *err)
{
	uint64_t now = writer->at + writer->len;

	return erofs_write_bytes(writer, NULL, block * EROFS_BLOCK - now, err);
}

/* ---- what is in it ------------------------------------------------------------ */

static struct erofs_super erofs_write_super(const struct erofs_writer *writer)
{
	return (struct erofs_super){
		.magic = EROFS_MAGIC,
		.may_know = EROFS_HAS_SUM | EROFS_HAS_MTIME,
		.block_bits = EROFS_BLOCK_BITS,
		.root_nid = (uint16_t)erofs_layout_nid(0),
		.inodes = writer->layout.count,
		.blocks = (uint32_t)writer->layout.blocks,
	};
}

static int erofs_write_first(struct erofs_writer *writer, struct err *err)
{
	struct erofs_super super = erofs_write_super(writer);
	int r = erofs_write_bytes(writer, NULL, EROFS_SUPER_AT, err);

	if (r >= 0)
		r = erofs_write_bytes(writer, &super, sizeof super, err);
	return r;
}

static int erofs_write_inode(struct erofs_writer *writer, size_t index,
			     struct err *err)
{
	const struct erofs_item *item = &writer->layout.item[index];
	const struct timespec *mtime =
		writer->plan->mtime ? writer->plan->mtime : &item->mtime;
	struct erofs_inode inode = {
		.format = EROFS_EXTENDED | EROFS_FLAT_PLAIN << 1,
		.mode = (uint16_t)item->mode,
		.size = item->size,
		.place = (uint32_t)item->block,
		.inode = (uint32_t)index + 1,
		.mtime_s = (uint64_t)mtime->tv_sec,
		.mtime_ns = (uint32_t)mtime->tv_nsec,
		.links = S_ISDIR(item->mode) ? 2 + item->folders : 1,
	};

	return erofs_write_bytes(writer, &inode, sizeof inode, err);
}

static int erofs_write_copy(struct erofs_writer *writer,
			    const struct erofs_item *item, struct err *err)
{
	auto_close int fd = erofs_layout_source(item, err);

	if (fd < 0)
		return fd;
	for (uint64_t left = item->size; left;) {
		size_t n = EROFS_WRITE_ROOM - writer->len;
		int r;

		n = n < left ? n : left;
		r = fd_read_all(fd, writer->room + writer->len, n, err);
		if (r < 0)
			return err_wrap(err, "read %s", item->node->source);
		r = erofs_write_used(writer, n, err);
		if (r < 0)
			return r;
		left -= n;
	}
	if (!erofs_layout_is_same(item, fd))
		return err_set(err, -EINVAL, "%s changed while it was read",
			       item->node->source);
	return 0;
}

static int erofs_write_data(struct erofs_writer *writer, mode_t kind,
			    struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < writer->layout.count && r >= 0; i++) {
		const struct erofs_item *item = &writer->layout.item[i];

		if ((item->mode & S_IFMT) != kind || item->same != i ||
		    item->size == 0)
			continue;
		r = erofs_write_to(writer, item->block, err);
		if (r >= 0 && item->node->source)
			r = erofs_write_copy(writer, item, err);
		else if (r >= 0)
			r = erofs_write_bytes(writer, item->node->data.data,
					      item->size, err);
	}
	return r;
}

static int erofs_write_once(struct erofs_writer *writer, struct err *err)
{
	struct erofs_layout *layout = &writer->layout;
	int r = erofs_write_first(writer, err);

	if (r >= 0)
		r = erofs_write_to(writer, layout->inode_block, err);
	for (size_t i = 0; i < layout->count && r >= 0; i++)
		r = erofs_write_inode(writer, i, err);
	if (r >= 0)
		r = erofs_write_to(writer, layout->folder_block, err);
	if (r >= 0)
		r = erofs_write_bytes(writer, layout->folders.data,
				      layout->folders.len, err);
	if (r >= 0)
		r = erofs_write_data(writer, S_IFLNK, err);
	if (r >= 0)
		r = erofs_write_data(writer, S_IFREG, err);
	if (r >= 0)
		r = erofs_write_to(writer, layout->blocks, err);
	return r < 0 ? r : erofs_write_flush(writer, err);
}

/* ---- the end ---------------------------------------------------------------- */

static int erofs_write_named(struct erofs_writer *writer, uint8_t uuid[16],
			     struct err *err)
{
	struct erofs_super super = erofs_write_super(writer);
	char block[EROFS_BLOCK] = { 0 };
	uint8_t sum[SHA256_BYTES];

	sha256_end(&writer->sha, sum);
	memcpy(uuid, sum, sizeof super.uuid);
	memcpy(super.uuid, sum, sizeof super.uuid);
	memcpy(block + EROFS_SUPER_AT, &super, sizeof super);
	super.sum = erofs_sum(~0u, block + EROFS_SUPER_AT,
			      EROFS_BLOCK - EROFS_SUPER_AT);
	memcpy(block + EROFS_SUPER_AT, &super, sizeof super);
	return fd_pwrite_all(writer->fd, block, sizeof block, 0, err);
}

static void erofs_write_count(const struct erofs_layout *layout,
			      struct erofs_written *written)
{
	*written = (struct erofs_written){
		.image_bytes = layout->blocks * EROFS_BLOCK,
		.bytes = layout->bytes,
		.shared = layout->shared,
	};
	for (size_t i = 0; i < layout->count; i++)
		if (S_ISDIR(layout->item[i].mode))
			written->folders++;
		else if (S_ISLNK(layout->item[i].mode))
			written->links++;
		else
			written->files++;
}

int erofs_write(int fd, const struct tree *tree,
		const struct erofs_write_plan *plan,
		struct erofs_written *written, struct progress *progress,
		struct err *err)
{
	auto_free char *room = malloc(EROFS_WRITE_ROOM);
	struct erofs_writer writer = {
		.fd = fd,
		.plan = plan,
		.progress = progress,
		.room = room,
	};
	int r = room ? erofs_layout_open(&writer.layout, tree, progress, err)
		     : err_set(err, -ENOMEM, "write an image");

	sha256_start(&writer.sha);
	if (r >= 0)
		r = erofs_write_once(&writer, err);
	if (r >= 0) {
		erofs_write_count(&writer.layout, written);
		r = erofs_write_named(&writer, written->uuid, err);
	}
	erofs_layout_close(&writer.layout);
	return r;
}

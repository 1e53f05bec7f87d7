/* SPDX-License-Identifier: Apache-2.0 */
/* Where everything lies in an image that is to be written: items, one for
 * each node of a tree and one for its root, in the tree's order.
 *
 *	block 0		the superblock
 *	inode_block	an inode of 64 bytes for each item
 *	folder_block	the folders' data, as "folders" has them
 *	data_block	links, then files, each from a block's begin
 *	blocks		the end, at a multiple of 2 MiB
 *
 * Files and links with the same bytes lie there once. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/progress.h"
#include "tree/tree.h"

struct erofs_item {
	const struct tree_node *node; /* NULL: the root */
	mode_t mode;
	struct timespec mtime;
	size_t above; /* the folder that it is in; the root's is the root */
	size_t child, children; /* of a folder: in erofs_layout.child */
	uint32_t folders;	/* how many of them are folders */
	uint64_t size, block;
	size_t same; /* the item whose data it has: itself, or one before */
	struct file_stamp stamp; /* of its source */
	uint8_t sum[32];	 /* of its data, where others are as long */
};

struct erofs_layout {
	struct erofs_item *item;
	size_t count;
	size_t *child;
	struct buf folders;
	uint64_t inode_block, folder_block, data_block, blocks;
	uint64_t bytes, shared; /* of files and links; of them not written */
};

/* The tree, which has to be closed, stays in use. */
int erofs_layout_open(struct erofs_layout *layout, const struct tree *tree,
		      struct progress *progress, struct err *err);
void erofs_layout_close(struct erofs_layout *layout);
uint64_t erofs_layout_nid(size_t item);
/* Opens an item's source, which must be what it was. */
int erofs_layout_source(const struct erofs_item *item, struct err *err);
bool erofs_layout_is_same(const struct erofs_item *item, int fd);
/* Finds items with the same bytes; erofs_share.c. */
int erofs_share(struct erofs_layout *layout, struct progress *progress,
		struct err *err);

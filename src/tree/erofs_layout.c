/* SPDX-License-Identifier: Apache-2.0 */
/* All places are known before the first byte is written, so that an image is
 * written from its begin to its end. */
#include "tree/erofs_layout.h"
#include "base/fd.h"
#include "erofs/format.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	EROFS_LINK_MOST = 4095,
	EROFS_END_BLOCKS = (2 << 20) / EROFS_BLOCK,
	EROFS_INODES_A_BLOCK = EROFS_BLOCK / sizeof(struct erofs_inode),
	EROFS_ENTRIES_A_BLOCK = EROFS_BLOCK / sizeof(struct erofs_dirent),
};

/* The place itself, in slots from the image's begin: nothing is number 0,
 * which some programs take for no file at all. */
uint64_t erofs_layout_nid(size_t item)
{
	return EROFS_BLOCK / EROFS_SLOT +
	       item * (sizeof(struct erofs_inode) / EROFS_SLOT);
}

static uint64_t erofs_blocks_of(uint64_t bytes)
{
	return bytes / EROFS_BLOCK + (bytes % EROFS_BLOCK != 0);
}

/* ---- sources ---------------------------------------------------------------- */

bool erofs_layout_is_same(const struct erofs_item *item, int fd)
{
	struct file_stamp now;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	file_stamp_of(&st, &now);
	return memcmp(&now, &item->stamp, sizeof now) == 0;
}

int erofs_layout_source(const struct erofs_item *item, struct err *err)
{
	auto_close int fd =
		open(item->node->source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, -errno, "open %s", item->node->source);
	if (!erofs_layout_is_same(item, fd))
		return err_set(err, -EINVAL, "%s changed while it was read",
			       item->node->source);
	return steal_fd(&fd);
}

static int erofs_layout_stat(struct erofs_item *item, struct err *err)
{
	struct stat st;

	if (stat(item->node->source, &st) < 0)
		return err_set(err, -errno, "%s", item->node->source);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no file any more",
			       item->node->source);
	file_stamp_of(&st, &item->stamp);
	item->size = (uint64_t)st.st_size;
	return 0;
}

/* ---- items ------------------------------------------------------------------ */

static int erofs_layout_kind(struct erofs_item *item, struct err *err)
{
	if (S_ISDIR(item->mode))
		return 0;
	if (S_ISREG(item->mode) && item->node->source)
		return erofs_layout_stat(item, err);
	item->size = item->node->data.len;
	if (S_ISREG(item->mode))
		return 0;
	if (!S_ISLNK(item->mode))
		return err_set(err, -EINVAL,
			       "/%s is neither a file, a folder nor a link",
			       item->node->name);
	if (item->size == 0 || item->size > EROFS_LINK_MOST)
		return err_set(err, -EINVAL, "/%s: a link of %llu bytes",
			       item->node->name,
			       (unsigned long long)item->size);
	return 0;
}

static const char *erofs_layout_base(const struct erofs_item *item)
{
	const char *slash = strrchr(item->node->name, '/');

	return slash ? slash + 1 : item->node->name;
}

static int erofs_layout_item(struct erofs_layout *layout,
			     const struct tree *tree, size_t i, struct err *err)
{
	const struct tree_node *node = &tree->node[i - 1];
	struct erofs_item *item = &layout->item[i];
	size_t above;

	*item = (struct erofs_item){
		.node = node,
		.mode = node->mode,
		.mtime = node->mtime,
		.same = i,
	};
	above = (size_t)(erofs_layout_base(item) - node->name);
	if (above)
		item->above = (size_t)(tree_find(tree, node->name, above - 1) -
				       tree->node) +
			      1;
	if (strlen(node->name + above) > EROFS_NAME_MOST)
		return err_set(err, -ENAMETOOLONG, "/%s", node->name);
	layout->item[item->above].children++;
	layout->item[item->above].folders += S_ISDIR(item->mode);
	return erofs_layout_kind(item, err);
}

static int erofs_layout_items(struct erofs_layout *layout,
			      const struct tree *tree, struct err *err)
{
	int r = 0;

	layout->count = tree->count + 1;
	layout->item = calloc(layout->count, sizeof *layout->item);
	layout->child = calloc(layout->count, sizeof *layout->child);
	if (!layout->item || !layout->child)
		return err_set(err, -ENOMEM, "lay out an image");
	layout->item[0].mode = tree->root_mode;
	layout->item[0].mtime = tree->root_mtime;
	for (size_t i = 1; i < layout->count && r >= 0; i++)
		r = erofs_layout_item(layout, tree, i, err);
	return r;
}

/* Names of one folder are in order in the tree too, where all have the same
 * in front. */
static void erofs_layout_children(struct erofs_layout *layout)
{
	size_t at = 0;

	for (size_t i = 0; i < layout->count; i++) {
		layout->item[i].child = at;
		at += layout->item[i].children;
		layout->item[i].children = 0;
	}
	for (size_t i = 1; i < layout->count; i++) {
		struct erofs_item *above = &layout->item[layout->item[i].above];

		layout->child[above->child + above->children++] = i;
	}
}

/* ---- folders ---------------------------------------------------------------- */

struct erofs_folder {
	struct erofs_layout *layout;
	const char *name[EROFS_ENTRIES_A_BLOCK];
	size_t item[EROFS_ENTRIES_A_BLOCK];
	size_t count, names_len;
};

static uint8_t erofs_folder_kind(mode_t mode)
{
	if (S_ISDIR(mode))
		return EROFS_KIND_FOLDER;
	return S_ISLNK(mode) ? EROFS_KIND_LINK : EROFS_KIND_FILE;
}

/* Returns the bytes of the block that are used. */
static size_t erofs_folder_flush(struct erofs_folder *folder)
{
	struct buf *to = &folder->layout->folders;
	size_t name_at = folder->count * sizeof(struct erofs_dirent);
	size_t used = name_at + folder->names_len;
	char *block = buf_room(to, EROFS_BLOCK);

	if (!block)
		return 0;
	memset(block, 0, EROFS_BLOCK);
	for (size_t i = 0; i < folder->count; i++) {
		size_t len = strlen(folder->name[i]);
		size_t item = folder->item[i];
		struct erofs_dirent entry = {
			.nid = erofs_layout_nid(item),
			.name_at = (uint16_t)name_at,
			.kind = erofs_folder_kind(
				folder->layout->item[item].mode),
		};

		memcpy(block + i * sizeof entry, &entry, sizeof entry);
		memcpy(block + name_at, folder->name[i], len);
		name_at += len;
	}
	buf_used(to, EROFS_BLOCK);
	folder->count = folder->names_len = 0;
	return used;
}

static void erofs_folder_add(struct erofs_folder *folder, const char *name,
			     size_t item)
{
	size_t len = strlen(name);

	if ((folder->count + 1) * sizeof(struct erofs_dirent) +
		    folder->names_len + len >
	    EROFS_BLOCK)
		erofs_folder_flush(folder);
	folder->name[folder->count] = name;
	folder->item[folder->count++] = item;
	folder->names_len += len;
}

/* The two that every folder has lie where they belong by their bytes. */
static void erofs_layout_folder(struct erofs_layout *layout, size_t index)
{
	struct erofs_folder folder = { .layout = layout };
	struct erofs_item *item = &layout->item[index];
	static const char *const dots[] = { ".", ".." };
	const size_t dot_items[] = { index, item->above };
	size_t before = layout->folders.len, dot = 0;

	for (size_t i = 0; i < item->children; i++) {
		size_t child = layout->child[item->child + i];
		const char *name = erofs_layout_base(&layout->item[child]);

		for (; dot < 2 && strcmp(dots[dot], name) < 0; dot++)
			erofs_folder_add(&folder, dots[dot], dot_items[dot]);
		erofs_folder_add(&folder, name, child);
	}
	for (; dot < 2; dot++)
		erofs_folder_add(&folder, dots[dot], dot_items[dot]);
	item->block = before / EROFS_BLOCK;
	item->size = erofs_folder_flush(&folder);
	item->size += layout->folders.len - EROFS_BLOCK - before;
}

static int erofs_layout_folders(struct erofs_layout *layout, struct err *err)
{
	for (size_t i = 0; i < layout->count; i++)
		if (S_ISDIR(layout->item[i].mode))
			erofs_layout_folder(layout, i);
	return layout->folders.failed
		       ? err_set(err, -ENOMEM, "lay out an image")
		       : 0;
}

/* ---- places ----------------------------------------------------------------- */

static uint64_t erofs_layout_data(struct erofs_layout *layout, mode_t kind,
				  uint64_t block)
{
	for (size_t i = 0; i < layout->count; i++) {
		struct erofs_item *item = &layout->item[i];

		if ((item->mode & S_IFMT) != kind)
			continue;
		layout->bytes += item->size;
		if (item->same != i || item->size == 0) {
			layout->shared += item->size;
			continue;
		}
		item->block = block;
		block += erofs_blocks_of(item->size);
	}
	return block;
}

static int erofs_layout_places(struct erofs_layout *layout, struct err *err)
{
	uint64_t inodes = layout->count / EROFS_INODES_A_BLOCK +
			  (layout->count % EROFS_INODES_A_BLOCK != 0);
	uint64_t block;

	layout->inode_block = 1;
	layout->folder_block = 1 + inodes;
	layout->data_block =
		layout->folder_block + layout->folders.len / EROFS_BLOCK;
	block = erofs_layout_data(layout, S_IFLNK, layout->data_block);
	block = erofs_layout_data(layout, S_IFREG, block);
	layout->blocks = (block + EROFS_END_BLOCKS - 1) / EROFS_END_BLOCKS *
			 EROFS_END_BLOCKS;
	if (layout->blocks > UINT32_MAX)
		return err_set(err, -EFBIG, "an image of so many files");
	for (size_t i = 0; i < layout->count; i++) {
		struct erofs_item *item = &layout->item[i];

		if (S_ISDIR(item->mode))
			item->block += layout->folder_block;
		else
			item->block = layout->item[item->same].block;
	}
	return 0;
}

int erofs_layout_open(struct erofs_layout *layout, const struct tree *tree,
		      struct progress *progress, struct err *err)
{
	int r;

	*layout = (struct erofs_layout){ 0 };
	r = erofs_layout_items(layout, tree, err);
	if (r >= 0)
		r = erofs_share(layout, progress, err);
	if (r < 0)
		return r;
	erofs_layout_children(layout);
	r = erofs_layout_folders(layout, err);
	return r < 0 ? r : erofs_layout_places(layout, err);
}

void erofs_layout_close(struct erofs_layout *layout)
{
	free(layout->item);
	free(layout->child);
	buf_fini(&layout->folders);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Every offset is checked where it is used, against what it is an offset
 * in. */
#include "erofs/read.h"
#include <string.h>

static int erofs_fail(const char **why, int code, const char *words)
{
	if (why)
		*why = words;
	return code;
}

uint32_t erofs_sum(uint32_t sum, const void *data, size_t len)
{
	/* of all numbers of four bits, by the polynomial 0x82f63b78 */
	static const uint32_t step[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *at = data;

	while (len--) {
		sum ^= *at++;
		sum = sum >> 4 ^ step[sum & 15];
		sum = sum >> 4 ^ step[sum & 15];
	}
	return sum;
}

/* Within the source, while it is not known how long the image is. */
static int erofs_get(const struct erofs_source *source, uint64_t at, void *to,
		     uint64_t len)
{
	if (at > source->len || len > source->len - at)
		return EROFS_BROKEN;
	return len == 0 || source->read(source->context, at, to, len) >= 0
		       ? 0
		       : EROFS_IO;
}

static int erofs_get_told(const struct erofs_source *source, uint64_t at,
			  void *to, uint64_t len, const char **why)
{
	int r = erofs_get(source, at, to, len);

	if (r == EROFS_IO)
		return erofs_fail(why, r, "it cannot be read");
	return r < 0 ? erofs_fail(why, r, "it is cut short") : 0;
}

/* ---- the image -------------------------------------------------------------- */

static int erofs_check_sum(const struct erofs_source *source,
			   const struct erofs_super *super, const char **why)
{
	struct erofs_super blank = *super;
	uint8_t part[256];
	uint64_t at = EROFS_SUPER_AT + sizeof blank;
	uint32_t sum;

	blank.sum = 0;
	sum = erofs_sum(~0u, &blank, sizeof blank);
	while (at < EROFS_BLOCK) {
		uint64_t n = EROFS_BLOCK - at;
		int r;

		n = n < sizeof part ? n : sizeof part;
		r = erofs_get_told(source, at, part, n, why);
		if (r < 0)
			return r;
		sum = erofs_sum(sum, part, n);
		at += n;
	}
	return sum == super->sum
		       ? 0
		       : erofs_fail(why, EROFS_BROKEN,
				    "the checksum of its superblock is wrong");
}

static int erofs_check_kind(const struct erofs_super *super, const char **why)
{
	const char *words = NULL;

	if (super->magic != EROFS_MAGIC)
		return erofs_fail(why, EROFS_BROKEN, "it is no EROFS image");
	if (super->block_bits != EROFS_BLOCK_BITS || super->folder_bits)
		words = "its blocks are not of 4 KiB";
	else if (super->must_know & ~EROFS_NEEDS_ZERO_PADDING)
		words = "it uses what is not known here (compression, chunks, "
			"devices)";
	else if (super->devices || super->more_slots || super->xattr_prefixes)
		words = "it uses more devices or attributes";
	else if (!(super->may_know & EROFS_HAS_SUM))
		words = "its superblock has no checksum";
	return words ? erofs_fail(why, EROFS_FOREIGN, words) : 0;
}

int erofs_open(const struct erofs_source *source, struct erofs *erofs,
	       const char **why)
{
	struct erofs_super super;
	int r = erofs_get_told(source, EROFS_SUPER_AT, &super, sizeof super,
			       why);

	if (r >= 0)
		r = erofs_check_kind(&super, why);
	if (r >= 0)
		r = erofs_check_sum(source, &super, why);
	if (r < 0)
		return r;
	*erofs = (struct erofs){
		.source = *source,
		.len = (uint64_t)super.blocks << EROFS_BLOCK_BITS,
		.meta_at = (uint64_t)super.meta_block << EROFS_BLOCK_BITS,
		.root_nid = super.root_nid,
		.inodes = super.inodes,
		.built_s = super.built_s,
		.built_ns = super.built_ns,
	};
	memcpy(erofs->uuid, super.uuid, sizeof erofs->uuid);
	if (erofs->len > source->len)
		return erofs_fail(why, EROFS_BROKEN, "it is cut short");
	return 0;
}

/* ---- nodes ------------------------------------------------------------------ */

static int erofs_get_inode(const struct erofs *erofs, uint64_t nid,
			   struct erofs_inode *inode, const char **why)
{
	struct erofs_inode_compact compact;
	uint64_t most = erofs->len / EROFS_SLOT, at;
	int r;

	if (erofs->meta_at > erofs->len || nid >= most ||
	    nid * EROFS_SLOT > erofs->len - erofs->meta_at)
		return erofs_fail(why, EROFS_BROKEN,
				  "its inode lies outside the image");
	at = erofs->meta_at + nid * EROFS_SLOT;
	r = erofs_get_told(&erofs->source, at, &compact, sizeof compact, why);
	if (r < 0)
		return r;
	if (compact.format >> 4 || compact.xattrs ||
	    (compact.format >> 1 & 7) != EROFS_FLAT_PLAIN)
		return erofs_fail(why, EROFS_FOREIGN,
				  "it is not plain: compressed, in chunks, "
				  "inline, or with attributes");
	if (compact.format == EROFS_EXTENDED)
		return erofs_get_told(&erofs->source, at, inode, sizeof *inode,
				      why);
	*inode = (struct erofs_inode){
		.mode = compact.mode,
		.size = compact.size,
		.place = compact.place,
		.uid = compact.uid,
		.gid = compact.gid,
		.links = compact.links,
		.mtime_s = erofs->built_s,
		.mtime_ns = erofs->built_ns,
	};
	return 0;
}

static bool erofs_has_data(uint32_t mode)
{
	uint32_t kind = mode & EROFS_S_KIND;

	return kind == EROFS_S_FILE || kind == EROFS_S_FOLDER ||
	       kind == EROFS_S_LINK;
}

int erofs_node(const struct erofs *erofs, uint64_t nid, struct erofs_node *node,
	       const char **why)
{
	struct erofs_inode inode;
	int r = erofs_get_inode(erofs, nid, &inode, why);

	if (r < 0)
		return r;
	*node = (struct erofs_node){
		.nid = nid,
		.mode = inode.mode,
		.links = inode.links,
		.uid = inode.uid,
		.gid = inode.gid,
		.mtime_s = inode.mtime_s,
		.mtime_ns = inode.mtime_ns,
	};
	if (!erofs_has_data(node->mode)) {
		node->device = inode.place;
		return 0;
	}
	node->size = inode.size;
	if (!node->size)
		return 0;
	node->data_at = (uint64_t)inode.place << EROFS_BLOCK_BITS;
	if (node->data_at > erofs->len ||
	    node->size > erofs->len - node->data_at)
		return erofs_fail(why, EROFS_BROKEN,
				  "its data lie outside the image");
	return 0;
}

int64_t erofs_read(const struct erofs *erofs, const struct erofs_node *node,
		   uint64_t at, void *to, uint64_t len)
{
	int r;

	if ((node->mode & EROFS_S_KIND) == EROFS_S_FOLDER ||
	    !erofs_has_data(node->mode))
		return EROFS_KIND;
	if (at >= node->size)
		return 0;
	len = len < node->size - at ? len : node->size - at;
	r = erofs_get(&erofs->source, node->data_at + at, to, len);
	return r < 0 ? r : (int64_t)len;
}

/* ---- folders ---------------------------------------------------------------- */

struct erofs_folder_block {
	uint64_t at; /* in the image */
	uint32_t len, count;
};

static int erofs_broken_folder(const char **why)
{
	return erofs_fail(why, EROFS_BROKEN, "its entries are no folder's");
}

static int erofs_folder_block(const struct erofs *erofs,
			      const struct erofs_node *folder, uint64_t index,
			      struct erofs_folder_block *block,
			      const char **why)
{
	uint64_t left = folder->size - index * EROFS_BLOCK;
	struct erofs_dirent first;
	int r;

	block->at = folder->data_at + index * EROFS_BLOCK;
	block->len = left < EROFS_BLOCK ? left : EROFS_BLOCK;
	if (block->len < sizeof first)
		return erofs_broken_folder(why);
	r = erofs_get_told(&erofs->source, block->at, &first, sizeof first,
			   why);
	if (r < 0)
		return r;
	block->count = first.name_at / sizeof first;
	if (first.name_at % sizeof first || first.name_at == 0 ||
	    first.name_at >= block->len)
		return erofs_broken_folder(why);
	return 0;
}

/* Only the last name of a block may end before what is behind it. */
static size_t erofs_name_end(const char *name, size_t len)
{
	size_t end = 0;

	while (end < len && name[end])
		end++;
	return end;
}

/* The entry's name, its length and its node. */
static int erofs_block_entry(const struct erofs *erofs,
			     const struct erofs_folder_block *block,
			     uint32_t index, struct erofs_entry *entry,
			     const char **why)
{
	struct erofs_dirent pair[2];
	bool last = index + 1 == block->count;
	uint32_t begin, end, n;
	int r = erofs_get_told(&erofs->source, block->at + index * sizeof *pair,
			       pair, last ? sizeof *pair : sizeof pair, why);

	if (r < 0)
		return r;
	begin = pair[0].name_at;
	end = last ? block->len : pair[1].name_at;
	if (begin < block->count * sizeof *pair || begin >= end ||
	    end > block->len)
		return erofs_broken_folder(why);
	n = end - begin;
	if (n > EROFS_NAME_MOST && !last)
		return erofs_broken_folder(why);
	n = n < sizeof entry->name ? n : sizeof entry->name;
	r = erofs_get_told(&erofs->source, block->at + begin, entry->name, n,
			   why);
	if (r < 0)
		return r;
	entry->len = erofs_name_end(entry->name, n);
	if (entry->len == 0 || entry->len > EROFS_NAME_MOST ||
	    (entry->len < n && !last))
		return erofs_broken_folder(why);
	entry->name[entry->len] = 0;
	entry->nid = pair[0].nid;
	entry->kind = pair[0].kind;
	return 0;
}

static bool erofs_has_slash(const struct erofs_entry *entry)
{
	for (size_t i = 0; i < entry->len; i++)
		if (entry->name[i] == '/')
			return true;
	return false;
}

static bool erofs_is_folder(const struct erofs_node *node)
{
	return (node->mode & EROFS_S_KIND) == EROFS_S_FOLDER;
}

int erofs_entry(const struct erofs *erofs, const struct erofs_node *folder,
		uint64_t cookie, struct erofs_entry *entry, const char **why)
{
	uint64_t index = cookie / EROFS_BLOCK;
	uint32_t in_block = cookie % EROFS_BLOCK;
	struct erofs_folder_block block;
	int r;

	if (!erofs_is_folder(folder))
		return erofs_fail(why, EROFS_KIND, "it is no folder");
	if (cookie >= folder->size)
		return 0;
	r = erofs_folder_block(erofs, folder, index, &block, why);
	if (r < 0)
		return r;
	if (in_block % sizeof(struct erofs_dirent) ||
	    in_block / sizeof(struct erofs_dirent) >= block.count)
		return erofs_fail(why, EROFS_MISSING, "no entry lies there");
	in_block /= sizeof(struct erofs_dirent);
	r = erofs_block_entry(erofs, &block, in_block, entry, why);
	if (r < 0)
		return r;
	if (erofs_has_slash(entry))
		return erofs_fail(why, EROFS_BROKEN, "a name in it has a /");
	entry->cookie = cookie;
	entry->next = in_block + 1 < block.count
			      ? cookie + sizeof(struct erofs_dirent)
			      : (index + 1) * EROFS_BLOCK;
	return 1;
}

int erofs_list_from(const struct erofs *erofs, const struct erofs_node *folder,
		    uint64_t cookie, erofs_visit *visit, void *context,
		    const char **why)
{
	struct erofs_entry entry;
	int r;

	while ((r = erofs_entry(erofs, folder, cookie, &entry, why)) > 0) {
		r = visit(context, &entry);
		if (r)
			return r;
		cookie = entry.next;
	}
	return r;
}

int erofs_list(const struct erofs *erofs, const struct erofs_node *folder,
	       erofs_visit *visit, void *context, const char **why)
{
	return erofs_list_from(erofs, folder, 0, visit, context, why);
}

/* As names are sorted: by bytes, the shorter one first. */
static int erofs_compare(const char *name, size_t len,
			 const struct erofs_entry *entry)
{
	size_t both = len < entry->len ? len : entry->len;
	int order = memcmp(name, entry->name, both);

	if (order)
		return order;
	return (len > entry->len) - (len < entry->len);
}

/* The last block whose first name is not behind the one that is sought. */
static int erofs_find_block(const struct erofs *erofs,
			    const struct erofs_node *folder, const char *name,
			    size_t len, struct erofs_folder_block *found)
{
	uint64_t low = 0, high = folder->size / EROFS_BLOCK +
				 (folder->size % EROFS_BLOCK != 0);
	struct erofs_folder_block block;
	struct erofs_entry entry;

	found->count = 0;
	while (low < high) {
		uint64_t at = low + (high - low) / 2;
		int r = erofs_folder_block(erofs, folder, at, &block, NULL);

		if (r >= 0)
			r = erofs_block_entry(erofs, &block, 0, &entry, NULL);
		if (r < 0)
			return r;
		if (erofs_compare(name, len, &entry) < 0) {
			high = at;
		} else {
			*found = block;
			low = at + 1;
		}
	}
	return 0;
}

int erofs_find(const struct erofs *erofs, const struct erofs_node *folder,
	       const char *name, size_t len, uint64_t *nid)
{
	struct erofs_folder_block block;
	struct erofs_entry entry;
	uint32_t low = 0, high;
	int r;

	if (!erofs_is_folder(folder))
		return EROFS_KIND;
	r = erofs_find_block(erofs, folder, name, len, &block);
	if (r < 0)
		return r;
	for (high = block.count; low < high;) {
		uint32_t at = low + (high - low) / 2;
		int order;

		r = erofs_block_entry(erofs, &block, at, &entry, NULL);
		if (r < 0)
			return r;
		order = erofs_compare(name, len, &entry);
		if (order == 0) {
			*nid = entry.nid;
			return 0;
		}
		if (order < 0)
			high = at;
		else
			low = at + 1;
	}
	return EROFS_MISSING;
}

int erofs_path(const struct erofs *erofs, const char *path,
	       struct erofs_node *node, const char **why)
{
	int r = erofs_node(erofs, erofs->root_nid, node, why);

	while (r >= 0 && *path) {
		size_t len = 0;
		uint64_t nid;

		while (path[len] && path[len] != '/')
			len++;
		if (len) {
			r = erofs_find(erofs, node, path, len, &nid);
			r = r < 0 ? erofs_fail(why, r, "no such name")
				  : erofs_node(erofs, nid, node, why);
		}
		path += len + (path[len] == '/');
	}
	return r;
}

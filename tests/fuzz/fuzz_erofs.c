/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image: opened, looked through, and read as who did not look
 * through it would.  The superblock's checksum is made right first, so that
 * what is behind it is reached. */
#include "erofs/check.h"
#include "erofs/source.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk {
	const struct erofs *erofs;
	const struct erofs_node *folder;
	int left, depth;
};

static void walk_folder(const struct erofs *erofs,
			const struct erofs_node *folder, int depth, int *left);

static int walk_entry(void *context, const struct erofs_entry *entry)
{
	struct walk *walk = context;
	struct erofs_node node;
	const char *why = NULL;
	uint64_t nid;
	char part[100];

	if (strlen(entry->name) != entry->len || entry->len == 0 ||
	    entry->next <= entry->cookie)
		__builtin_trap();
	erofs_find(walk->erofs, walk->folder, entry->name, entry->len, &nid);
	if (--walk->left < 0)
		return 1;
	if (erofs_node(walk->erofs, entry->nid, &node, &why) < 0) {
		if (!why)
			__builtin_trap();
		return 0;
	}
	erofs_read(walk->erofs, &node, node.size / 2, part, sizeof part);
	walk_folder(walk->erofs, &node, walk->depth + 1, &walk->left);
	return walk->left < 0;
}

static void walk_folder(const struct erofs *erofs,
			const struct erofs_node *folder, int depth, int *left)
{
	struct walk walk = { erofs, folder, *left, depth };
	struct erofs_entry entry;

	if (depth < 8)
		erofs_list(erofs, folder, walk_entry, &walk, NULL);
	for (uint64_t at = 0; at < folder->size && at < 9000; at += 997)
		erofs_entry(erofs, folder, at, &entry, NULL);
	*left = walk.left;
}

static void use(const struct erofs *erofs)
{
	const struct erofs_limits limits = { .nodes_most = 10000 };
	struct erofs_totals totals;
	struct erofs_node root;
	char why[EROFS_WHY];
	int left = 2000;

	if (erofs_check(erofs, &limits, &totals, why) < 0 && !why[0])
		__builtin_trap();
	if (erofs_node(erofs, erofs->root_nid, &root, NULL) >= 0)
		walk_folder(erofs, &root, 0, &left);
	erofs_path(erofs, "a/sub/../up/x", &root, NULL);
}

static void make_right(uint8_t *copy, size_t size)
{
	struct erofs_super super;

	memcpy(&super, copy + EROFS_SUPER_AT, sizeof super);
	if (super.blocks > size / EROFS_BLOCK)
		super.blocks = (uint32_t)(size / EROFS_BLOCK);
	super.sum = 0;
	memcpy(copy + EROFS_SUPER_AT, &super, sizeof super);
	super.sum = erofs_sum(~0u, copy + EROFS_SUPER_AT,
			      EROFS_BLOCK - EROFS_SUPER_AT);
	memcpy(copy + EROFS_SUPER_AT, &super, sizeof super);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct erofs_source source;
	struct erofs erofs;
	const char *why = NULL;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (size >= EROFS_BLOCK)
		make_right(copy, size);
	source = erofs_source_memory(copy, size);
	if (erofs_open(&source, &erofs, &why) >= 0)
		use(&erofs);
	else if (!why)
		__builtin_trap();
	free(copy);
	return 0;
}

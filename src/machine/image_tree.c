/* SPDX-License-Identifier: Apache-2.0 */
/* The names of an image, collected in any order, sorted at the end. */
#include "machine/image_tree.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { IMAGE_TREE_NAME = 1024, IMAGE_TREE_MOST = 1 << 20 };

static void image_tree_drop(struct image_node *node)
{
	free(node->name);
	free(node->source);
	buf_fini(&node->data);
}

void image_tree_fini(struct image_tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		image_tree_drop(&tree->node[i]);
	free(tree->node);
	*tree = (struct image_tree){ 0 };
}

/* ---- names ------------------------------------------------------------------ */

/* after: what may stand behind the folder's name */
static bool image_tree_is_under_usr(const char *name, char after)
{
	static const char *const first[] = { "bin", "sbin", "lib", "lib64" };

	for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
		size_t len = strlen(first[i]);

		if (strncmp(name, first[i], len) == 0 && name[len] == after)
			return true;
	}
	return false;
}

/* Parts without "." and empty ones; "" for the root. */
static int image_tree_clean(const char *path, struct buf *name)
{
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len == 2 && strncmp(path, "..", 2) == 0)
			return -EINVAL;
		if (len && !(len == 1 && *path == '.')) {
			if (name->len)
				buf_text(name, "/");
			buf_add(name, path, len);
		}
		path += len + (path[len] == '/');
	}
	return name->failed ? -ENOMEM : 0;
}

char *image_tree_name(const char *path, struct err *err)
{
	auto_buf struct buf name = { 0 };
	char *full;
	int r = image_tree_clean(path, &name);

	if (r == -EINVAL)
		err_set(err, r, "%s: \"..\" does not lead anywhere", path);
	else if (r < 0)
		err_set(err, r, "name %s", path);
	else if (name.len > IMAGE_TREE_NAME)
		err_set(err, r = -EINVAL, "%.80s...: too long a name", path);
	if (r < 0)
		return NULL;
	full = image_tree_is_under_usr(buf_string(&name), '/')
		       ? file_join("usr", buf_string(&name))
		       : strdup(buf_string(&name));
	if (!full)
		err_set(err, -ENOMEM, "name %s", path);
	return full;
}

/* ---- adding ----------------------------------------------------------------- */

static struct image_node *image_tree_more(struct image_tree *tree)
{
	struct image_node *more;
	size_t room = tree->room ? 2 * tree->room : 64;

	if (tree->count < tree->room)
		return &tree->node[tree->count];
	if (room > IMAGE_TREE_MOST)
		return NULL;
	more = reallocarray(tree->node, room, sizeof *more);
	if (!more)
		return NULL;
	tree->node = more;
	tree->room = room;
	return &tree->node[tree->count];
}

/* Takes name; source is copied. */
static int image_tree_add(struct image_tree *tree, char *name, mode_t mode,
			  const char *source, struct err *err)
{
	struct image_node *node = name ? image_tree_more(tree) : NULL;
	char *copy = source ? strdup(source) : NULL;

	if (!node || (source && !copy)) {
		free(name);
		free(copy);
		return name ? err_set(err, -ENOMEM, "remember a name")
			    : -EINVAL;
	}
	*node = (struct image_node){
		.name = name,
		.mode = mode,
		.source = copy,
		.order = ++tree->order,
	};
	tree->count++;
	return 0;
}

int image_tree_folder(struct image_tree *tree, const char *path, mode_t rights,
		      struct err *err)
{
	char *name = image_tree_name(path, err);

	/* such a one as itself, not the link that it is in the machine */
	if (name && image_tree_is_under_usr(name, 0)) {
		auto_free char *link = name;

		name = file_join("usr", link);
	}
	return image_tree_add(tree, name, S_IFDIR | (rights & 07777), NULL,
			      err);
}

int image_tree_file(struct image_tree *tree, const char *path, mode_t rights,
		    const char *source, struct err *err)
{
	return image_tree_add(tree, image_tree_name(path, err),
			      S_IFREG | (rights & 07777), source, err);
}

static int image_tree_filled(struct image_tree *tree, const char *path,
			     mode_t mode, const void *data, size_t len,
			     struct err *err)
{
	int r = image_tree_add(tree, image_tree_name(path, err), mode, NULL,
			       err);
	struct image_node *node;

	if (r < 0)
		return r;
	node = &tree->node[tree->count - 1];
	buf_add(&node->data, data, len);
	return node->data.failed ? err_set(err, -ENOMEM, "remember %s", path)
				 : 0;
}

int image_tree_data(struct image_tree *tree, const char *path, mode_t rights,
		    const void *data, size_t len, struct err *err)
{
	return image_tree_filled(tree, path, S_IFREG | (rights & 07777), data,
				 len, err);
}

int image_tree_link(struct image_tree *tree, const char *path,
		    const char *target, struct err *err)
{
	return image_tree_filled(tree, path, S_IFLNK | 0777, target,
				 strlen(target), err);
}

int image_tree_node(struct image_tree *tree, const char *path, mode_t mode,
		    dev_t device, struct err *err)
{
	int r = image_tree_add(tree, image_tree_name(path, err), mode, NULL,
			       err);

	if (r >= 0)
		tree->node[tree->count - 1].device = device;
	return r;
}

/* ---- closing ---------------------------------------------------------------- */

/* The folders above each name, as such that give way to any other. */
static int image_tree_add_folders(struct image_tree *tree, struct err *err)
{
	size_t given = tree->count;

	for (size_t i = 0; i < given; i++)
		for (size_t at = 0;; at++) {
			const char *name = tree->node[i].name;
			int r;

			at += strcspn(name + at, "/");
			if (!name[at])
				break;
			r = image_tree_add(tree, strndup(name, at),
					   S_IFDIR | 0755, NULL, err);
			if (r < 0)
				return r;
			tree->node[tree->count - 1].order = 0;
		}
	return 0;
}

static int image_tree_order(const void *a, const void *b)
{
	const struct image_node *left = a, *right = b;
	int r = strcmp(left->name, right->name);

	if (r)
		return r;
	return (left->order > right->order) - (left->order < right->order);
}

/* Of those with the same name the last one stays; the root needs no name. */
static void image_tree_unite(struct image_tree *tree)
{
	size_t kept = 0;

	for (size_t i = 0; i < tree->count; i++) {
		struct image_node *node = &tree->node[i];

		if (!node->name[0] || (i + 1 < tree->count &&
				       strcmp(node->name, node[1].name) == 0))
			image_tree_drop(node);
		else
			tree->node[kept++] = *node;
	}
	tree->count = kept;
}

static int image_tree_named(const void *name, const void *node)
{
	return strcmp(name, ((const struct image_node *)node)->name);
}

static int image_tree_check(const struct image_tree *tree, struct err *err)
{
	for (size_t i = 0; i < tree->count; i++) {
		const char *name = tree->node[i].name;
		const char *slash = strrchr(name, '/');
		auto_free char *above =
			slash ? strndup(name, slash - name) : NULL;
		const struct image_node *folder;

		if (!slash)
			continue;
		if (!above)
			return err_set(err, -ENOMEM, "look at %s", name);
		folder = bsearch(above, tree->node, tree->count,
				 sizeof *tree->node, image_tree_named);
		if (!folder || !S_ISDIR(folder->mode))
			return err_set(err, -EINVAL,
				       "/%s is no folder in the machine, so "
				       "/%s cannot be in it",
				       above, name);
	}
	return 0;
}

int image_tree_close(struct image_tree *tree, struct err *err)
{
	int r = image_tree_add_folders(tree, err);

	if (r < 0)
		return r;
	if (tree->count)
		qsort(tree->node, tree->count, sizeof *tree->node,
		      image_tree_order);
	image_tree_unite(tree);
	return image_tree_check(tree, err);
}

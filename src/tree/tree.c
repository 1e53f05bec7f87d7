/* SPDX-License-Identifier: Apache-2.0 */
/* Names, collected in any order, sorted at the end. */
#include "tree/tree.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TREE_NAME = 1024, TREE_MOST = 1 << 20 };

static void tree_drop(struct tree_node *node)
{
	free(node->name);
	free(node->source);
	buf_fini(&node->data);
}

void tree_fini(struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++)
		tree_drop(&tree->node[i]);
	free(tree->node);
	*tree = (struct tree){ 0 };
}

/* ---- names ------------------------------------------------------------------ */

/* after: what may stand behind the folder's name */
static bool tree_is_under_usr(const char *name, char after)
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
static int tree_clean(const char *path, struct buf *name)
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

char *tree_name(const struct tree *tree, const char *path, struct err *err)
{
	auto_buf struct buf name = { 0 };
	char *full;
	int r = tree_clean(path, &name);

	if (r == -EINVAL)
		err_set(err, r, "%s: \"..\" does not lead anywhere", path);
	else if (r < 0)
		err_set(err, r, "name %s", path);
	else if (name.len > TREE_NAME)
		err_set(err, r = -EINVAL, "%.80s...: too long a name", path);
	if (r < 0)
		return NULL;
	full = tree->usr_links && tree_is_under_usr(buf_string(&name), '/')
		       ? file_join("usr", buf_string(&name))
		       : strdup(buf_string(&name));
	if (!full)
		err_set(err, -ENOMEM, "name %s", path);
	return full;
}

/* ---- adding ----------------------------------------------------------------- */

static struct tree_node *tree_more(struct tree *tree)
{
	struct tree_node *more;
	size_t room = tree->room ? 2 * tree->room : 64;

	if (tree->count < tree->room)
		return &tree->node[tree->count];
	if (room > TREE_MOST)
		return NULL;
	more = reallocarray(tree->node, room, sizeof *more);
	if (!more)
		return NULL;
	tree->node = more;
	tree->room = room;
	return &tree->node[tree->count];
}

/* Takes name; source is copied. */
static int tree_add(struct tree *tree, char *name, mode_t mode,
		    const char *source, struct err *err)
{
	struct tree_node *node = name ? tree_more(tree) : NULL;
	char *copy = source ? strdup(source) : NULL;

	if (node && !name[0] && !S_ISDIR(mode)) {
		free(name);
		free(copy);
		return err_set(err, -EINVAL, "/ is a folder and nothing else");
	}
	if (!node || (source && !copy)) {
		free(name);
		free(copy);
		return name ? err_set(err, -ENOMEM, "remember a name")
			    : -EINVAL;
	}
	*node = (struct tree_node){
		.name = name,
		.mode = mode,
		.source = copy,
		.order = ++tree->order,
	};
	tree->count++;
	return 0;
}

int tree_folder(struct tree *tree, const char *path, mode_t rights,
		struct err *err)
{
	char *name = tree_name(tree, path, err);

	/* such a one as itself, not the link that it is in the machine */
	if (name && tree->usr_links && tree_is_under_usr(name, 0)) {
		auto_free char *link = name;

		name = file_join("usr", link);
	}
	return tree_add(tree, name, S_IFDIR | (rights & 07777), NULL, err);
}

int tree_file(struct tree *tree, const char *path, mode_t rights,
	      const char *source, struct err *err)
{
	return tree_add(tree, tree_name(tree, path, err),
			S_IFREG | (rights & 07777), source, err);
}

static int tree_filled(struct tree *tree, const char *path, mode_t mode,
		       const void *data, size_t len, struct err *err)
{
	int r = tree_add(tree, tree_name(tree, path, err), mode, NULL, err);
	struct tree_node *node;

	if (r < 0)
		return r;
	node = &tree->node[tree->count - 1];
	buf_add(&node->data, data, len);
	return node->data.failed ? err_set(err, -ENOMEM, "remember %s", path)
				 : 0;
}

int tree_data(struct tree *tree, const char *path, mode_t rights,
	      const void *data, size_t len, struct err *err)
{
	return tree_filled(tree, path, S_IFREG | (rights & 07777), data, len,
			   err);
}

int tree_link(struct tree *tree, const char *path, const char *target,
	      struct err *err)
{
	return tree_filled(tree, path, S_IFLNK | 0777, target, strlen(target),
			   err);
}

int tree_node(struct tree *tree, const char *path, mode_t mode, dev_t device,
	      struct err *err)
{
	int r = tree_add(tree, tree_name(tree, path, err), mode, NULL, err);

	if (r >= 0)
		tree->node[tree->count - 1].device = device;
	return r;
}

void tree_set_mtime(struct tree *tree, struct timespec mtime)
{
	if (tree->count)
		tree->node[tree->count - 1].mtime = mtime;
}

/* ---- closing ---------------------------------------------------------------- */

/* Whether the name before this one already told of this one's folder. */
static bool tree_is_told(const struct tree *tree, size_t i, size_t len)
{
	const char *before = i ? tree->node[i - 1].name : "";

	return strncmp(before, tree->node[i].name, len) == 0 &&
	       before[len] == '/';
}

/* The folders above each name, as such that give way to any other. */
static int tree_add_folders(struct tree *tree, struct err *err)
{
	size_t given = tree->count;

	for (size_t i = 0; i < given; i++)
		for (size_t at = 0;; at++) {
			const char *name = tree->node[i].name;
			int r;

			at += strcspn(name + at, "/");
			if (!name[at])
				break;
			if (tree_is_told(tree, i, at))
				continue;
			r = tree_add(tree, strndup(name, at), S_IFDIR | 0755,
				     NULL, err);
			if (r < 0)
				return r;
			tree->node[tree->count - 1].order = 0;
		}
	return 0;
}

static int tree_order(const void *a, const void *b)
{
	const struct tree_node *left = a, *right = b;
	int r = strcmp(left->name, right->name);

	if (r)
		return r;
	return (left->order > right->order) - (left->order < right->order);
}

static void tree_take_root(struct tree *tree, const struct tree_node *node)
{
	if (node->order == 0)
		return;
	tree->root_mode = node->mode;
	tree->root_mtime = node->mtime;
}

/* Of those with the same name the last one stays; the root needs no name. */
static void tree_unite(struct tree *tree)
{
	size_t kept = 0;

	tree->root_mode = S_IFDIR | 0755;
	for (size_t i = 0; i < tree->count; i++) {
		struct tree_node *node = &tree->node[i];

		if (!node->name[0])
			tree_take_root(tree, node);
		if (!node->name[0] || (i + 1 < tree->count &&
				       strcmp(node->name, node[1].name) == 0))
			tree_drop(node);
		else
			tree->node[kept++] = *node;
	}
	tree->count = kept;
}

struct tree_sought {
	const char *name;
	size_t len;
};

static int tree_named(const void *key, const void *node)
{
	const struct tree_sought *sought = key;
	const char *name = ((const struct tree_node *)node)->name;
	int order = strncmp(sought->name, name, sought->len);

	return order || !name[sought->len] ? order : -1;
}

const struct tree_node *tree_find(const struct tree *tree, const char *name,
				  size_t len)
{
	const struct tree_sought sought = { name, len };

	return tree->count ? bsearch(&sought, tree->node, tree->count,
				     sizeof *tree->node, tree_named)
			   : NULL;
}

static int tree_check(const struct tree *tree, struct err *err)
{
	for (size_t i = 0; i < tree->count; i++) {
		const char *name = tree->node[i].name;
		const char *slash = strrchr(name, '/');
		size_t len = slash ? slash - name : 0;
		const struct tree_node *folder =
			slash ? tree_find(tree, name, len) : NULL;

		if (slash && (!folder || !S_ISDIR(folder->mode)))
			return err_set(err, -EINVAL,
				       "/%.*s is no folder there, so /%s "
				       "cannot be in it",
				       (int)len, name, name);
	}
	return 0;
}

int tree_close(struct tree *tree, struct err *err)
{
	int r = tree_add_folders(tree, err);

	if (r < 0)
		return r;
	if (tree->count)
		qsort(tree->node, tree->count, sizeof *tree->node, tree_order);
	tree_unite(tree);
	return tree_check(tree, err);
}

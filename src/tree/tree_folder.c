/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of this system, as it is. */
#include "base/fd.h"
#include "base/file.h"
#include "tree/tree.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { TREE_FOLDER_DEPTH = 128 };

struct tree_folder_walk {
	struct tree *tree;
	char *attributed; /* the first file with what is not kept */
	size_t attributed_count;
};

/* A label is the system's, not the file's; it says nothing elsewhere. */
static bool tree_folder_has_attributes(const char *path)
{
	char names[4096];
	ssize_t len = llistxattr(path, names, sizeof names);

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1)
		if (strcmp(names + at, "security.selinux") != 0)
			return true;
	return len < 0 && errno == ERANGE;
}

static int tree_folder_look(struct tree_folder_walk *walk, const char *path,
			    struct err *err)
{
	if (!tree_folder_has_attributes(path))
		return 0;
	if (walk->attributed_count++ == 0)
		walk->attributed = strdup(path);
	return walk->attributed ? 0 : err_set(err, -ENOMEM, "look at %s", path);
}

static int tree_folder_link(struct tree *tree, const char *path,
			    const char *place, struct err *err)
{
	char text[4096];
	ssize_t n = readlink(path, text, sizeof text);

	if (n < 0 || (size_t)n == sizeof text)
		return err_set(err, n < 0 ? -errno : -ENAMETOOLONG,
			       "read the link %s", path);
	text[n] = 0;
	return tree_link(tree, place, text, err);
}

static const char *tree_folder_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO: return "a fifo";
	case S_IFSOCK: return "a socket";
	case S_IFCHR:
	case S_IFBLK: return "a device";
	}
	return "of no known kind";
}

static int tree_folder_put(struct tree *tree, const char *path,
			   const struct stat *st, const char *place,
			   struct err *err)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR: return tree_folder(tree, place, st->st_mode, err);
	case S_IFREG: return tree_file(tree, place, st->st_mode, path, err);
	case S_IFLNK: return tree_folder_link(tree, path, place, err);
	}
	return err_set(err, -EINVAL, "%s is %s, which cannot be taken along",
		       path, tree_folder_kind(st->st_mode));
}

static int tree_folder_walk(struct tree_folder_walk *walk, const char *path,
			    const char *place, int depth, struct err *err);

static int tree_folder_below(struct tree_folder_walk *walk, const char *path,
			     const char *place, int depth, struct err *err)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!folder)
		return err_set(err, -errno, "read %s", path);
	while (r >= 0 && (errno = 0, entry = readdir(folder))) {
		const char *name = entry->d_name;
		auto_free char *below = file_join(path, name);
		auto_free char *there = file_join(place, name);

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		r = below && there ? tree_folder_walk(walk, below, there,
						      depth + 1, err)
				   : err_set(err, -ENOMEM, "read %s", path);
	}
	if (r >= 0 && errno)
		r = err_set(err, -errno, "read %s", path);
	closedir(folder);
	return r;
}

static int tree_folder_walk(struct tree_folder_walk *walk, const char *path,
			    const char *place, int depth, struct err *err)
{
	struct stat st;
	int r;

	if (depth > TREE_FOLDER_DEPTH)
		return err_set(err, -ELOOP, "%s", path);
	if (lstat(path, &st) < 0)
		return err_set(err, -errno, "read %s", path);
	r = tree_folder_put(walk->tree, path, &st, place, err);
	if (r < 0)
		return r;
	tree_set_mtime(walk->tree, st.st_mtim);
	r = tree_folder_look(walk, path, err);
	return r >= 0 && S_ISDIR(st.st_mode)
		       ? tree_folder_below(walk, path, place, depth, err)
		       : r;
}

static void tree_folder_note(const struct tree_folder_walk *walk,
			     struct buf *notes)
{
	if (!walk->attributed || !notes)
		return;
	buf_format(notes, "%s", walk->attributed);
	if (walk->attributed_count > 1)
		buf_format(notes, " and %zu more", walk->attributed_count - 1);
	buf_text(notes, ": capabilities or other attributes are not kept\n");
}

int tree_add_folder(struct tree *tree, const char *path, const char *to,
		    struct buf *notes, struct err *err)
{
	struct tree_folder_walk walk = { .tree = tree };
	auto_free char *root = realpath(path, NULL);
	struct stat st;
	int r;

	if (!root || stat(root, &st) < 0)
		return err_set(err, -errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "%s", path);
	r = tree_folder_walk(&walk, root, to, 0, err);
	tree_folder_note(&walk, notes);
	free(walk.attributed);
	return r;
}

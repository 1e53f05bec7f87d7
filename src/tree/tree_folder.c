/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of this system, as it is. */
#include "base/fd.h"
#include "base/file.h"
#include "tree/tree.h"
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

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

static int tree_folder_put(struct tree *tree, const FTSENT *entry,
			   const char *place, struct err *err)
{
	mode_t mode = entry->fts_statp->st_mode;
	const char *path = entry->fts_path;

	switch (entry->fts_info) {
	case FTS_D: return tree_folder(tree, place, mode, err);
	case FTS_F: return tree_file(tree, place, mode, path, err);
	case FTS_SL:
	case FTS_SLNONE: return tree_folder_link(tree, path, place, err);
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS: return err_set(err, -entry->fts_errno, "read %s", path);
	}
	return err_set(err, -EINVAL, "%s is %s, which cannot be taken along",
		       path, tree_folder_kind(mode));
}

static int tree_folder_entry(struct tree_folder_walk *walk, const FTSENT *entry,
			     const char *place, struct err *err)
{
	int r;

	if (entry->fts_info == FTS_DP)
		return 0;
	r = tree_folder_put(walk->tree, entry, place, err);
	if (r < 0)
		return r;
	tree_set_mtime(walk->tree, entry->fts_statp->st_mtim);
	return tree_folder_look(walk, entry->fts_path, err);
}

static int tree_folder_walk(struct tree_folder_walk *walk, FTS *fts,
			    size_t root_len, const char *to, struct err *err)
{
	FTSENT *entry;
	int r = 0;

	while (r >= 0 && (errno = 0, entry = fts_read(fts))) {
		auto_free char *place =
			file_format("%s/%s", to, entry->fts_path + root_len);

		r = place ? tree_folder_entry(walk, entry, place, err)
			  : err_set(err, -ENOMEM, "read %s", entry->fts_path);
	}
	return r >= 0 && errno ? err_set(err, -errno, "read a folder") : r;
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
	char *const roots[] = { root, NULL };
	struct stat st;
	FTS *fts;
	int r;

	if (!root || stat(root, &st) < 0)
		return err_set(err, -errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "%s", path);
	fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!fts)
		return err_set(err, -errno, "read %s", path);
	r = tree_folder_walk(&walk, fts, strlen(root), to, err);
	fts_close(fts);
	tree_folder_note(&walk, notes);
	free(walk.attributed);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tree/erofs_compare.h"
#include "base/fd.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPARE_PART = 1 << 18, COMPARE_DEPTH = 64, COMPARE_PATH = 4096 };

struct compare {
	const struct erofs *erofs;
	bool (*tick)(void *context);
	void *context;
	struct err *err;
	char path[COMPARE_PATH]; /* for words */
	size_t path_len;
	uint8_t *ours, *theirs; /* of a file */
	int depth, rc;
};

struct compare_folder {
	struct compare *compare;
	int fd;
	uint64_t names;
};

static int compare_differs(struct compare *compare, const char *how)
{
	compare->rc = err_set(compare->err, -EBADMSG, "%s %s",
			      *compare->path ? compare->path : "/", how);
	return 1;
}

static int compare_fails(struct compare *compare, int code)
{
	compare->rc = err_set(compare->err, code, "compare %s", compare->path);
	return 1;
}

static int compare_bytes(struct compare *compare, const struct erofs_node *node,
			 int fd)
{
	for (uint64_t at = 0; at < node->size;) {
		int64_t len = erofs_read(compare->erofs, node, at,
					 compare->ours, COMPARE_PART);

		if (len <= 0 || fd_pread_all(fd, compare->theirs, (size_t)len,
					     at, NULL) < 0)
			return compare_fails(compare, -EIO);
		if (memcmp(compare->ours, compare->theirs, (size_t)len) != 0)
			return compare_differs(compare, "has other bytes");
		at += (uint64_t)len;
		if (compare->tick && !compare->tick(compare->context))
			return compare_fails(compare, -ECANCELED);
	}
	return 0;
}

static int compare_file(struct compare *compare, const struct erofs_node *node,
			int fd, const struct stat *st)
{
	if ((uint64_t)st->st_size != node->size)
		return compare_differs(compare, "has another length");
	if ((st->st_mode ^ node->mode) & 06111)
		return compare_differs(compare, "has other rights");
	return compare_bytes(compare, node, fd);
}

static int compare_link(struct compare *compare, const struct erofs_node *node,
			int fd, const char *name)
{
	ssize_t len =
		readlinkat(fd, name, (char *)compare->theirs, COMPARE_PART);

	if (len < 0)
		return compare_fails(compare, -errno);
	if ((uint64_t)len != node->size ||
	    erofs_read(compare->erofs, node, 0, compare->ours, node->size) !=
		    len ||
	    memcmp(compare->ours, compare->theirs, (size_t)len) != 0)
		return compare_differs(compare, "leads elsewhere");
	return 0;
}

static int compare_folder(struct compare *compare,
			  const struct erofs_node *node, int fd);

static int compare_node(struct compare *compare, const struct erofs_node *node,
			int folder, const char *name)
{
	uint32_t kind = node->mode & EROFS_S_KIND;
	auto_close int fd = -1;
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? compare_differs(compare, "is missing")
				       : compare_fails(compare, -errno);
	if ((st.st_mode & S_IFMT) != kind)
		return compare_differs(compare, "is of another kind");
	if (kind == EROFS_S_LINK)
		return compare_link(compare, node, folder, name);
	if (st.st_mode & 022)
		return compare_differs(compare, "can be written by others");
	fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return compare_fails(compare, -errno);
	if (kind == EROFS_S_FILE)
		return compare_file(compare, node, fd, &st);
	if (kind != EROFS_S_FOLDER)
		return compare_differs(compare, "is of a kind not known");
	return compare_folder(compare, node, fd);
}

static int compare_entry(void *context, const struct erofs_entry *entry)
{
	struct compare_folder *at = context;
	struct compare *compare = at->compare;
	size_t len = compare->path_len;
	struct erofs_node node;
	int rc;

	if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
		return 0;
	at->names++;
	if (erofs_node(compare->erofs, entry->nid, &node, NULL) < 0)
		return compare_fails(compare, -EIO);
	if (len + entry->len + 2 > sizeof compare->path)
		return compare_fails(compare, -ENAMETOOLONG);
	compare->path_len +=
		(size_t)snprintf(compare->path + len,
				 sizeof compare->path - len, "%s%s",
				 len ? "/" : "", entry->name);
	rc = compare_node(compare, &node, at->fd, entry->name);
	if (rc == 0)
		compare->path[compare->path_len = len] = 0;
	return rc;
}

/* How many names there are. */
static int64_t compare_count(int fd)
{
	auto_close int copy =
		openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = copy < 0 ? NULL : fdopendir(copy);
	int64_t count = -2; /* itself and its parent */

	if (!folder)
		return -EIO;
	copy = -1;
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static int compare_folder(struct compare *compare,
			  const struct erofs_node *node, int fd)
{
	struct compare_folder at = { compare, fd, 0 };
	int rc;

	if (++compare->depth > COMPARE_DEPTH)
		return compare_fails(compare, -ELOOP);
	rc = erofs_list(compare->erofs, node, compare_entry, &at, NULL);
	compare->depth--;
	if (rc)
		return rc > 0 ? rc : compare_fails(compare, -EIO);
	if (compare_count(fd) != (int64_t)at.names)
		return compare_differs(compare, "has other names in it");
	return 0;
}

int erofs_compare(const struct erofs *erofs, int dir,
		  bool (*tick)(void *context), void *context, struct err *err)
{
	struct compare compare = {
		.erofs = erofs, .tick = tick, .context = context, .err = err
	};
	struct erofs_node root;

	compare.ours = malloc(COMPARE_PART);
	compare.theirs = malloc(COMPARE_PART);
	if (!compare.ours || !compare.theirs)
		compare_fails(&compare, -ENOMEM);
	else if (erofs_node(erofs, erofs->root_nid, &root, NULL) < 0)
		compare_fails(&compare, -EIO);
	else
		compare_folder(&compare, &root, dir);
	free(compare.ours);
	free(compare.theirs);
	return compare.rc;
}

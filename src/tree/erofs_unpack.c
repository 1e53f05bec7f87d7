/* SPDX-License-Identifier: Apache-2.0 */
/* Folder by folder, each by its descriptor; nothing is followed, nothing is
 * written over.  A folder's rights come last: they may forbid to write. */
#include "tree/erofs_unpack.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	UNPACK_PART = 1 << 20,
	UNPACK_DEPTH = 64,
	UNPACK_LINK = 4096,
};

struct unpack {
	const struct erofs *erofs;
	bool (*tick)(void *context);
	void *context;
	struct err *err;
	char *part;
};

struct unpack_folder {
	struct unpack *unpack;
	struct erofs_node node;
	int fd;
	int depth;
	int failed; /* what a visit failed with */
};

static int unpack_folder(struct unpack_folder *folder);

static void unpack_times(const struct erofs_node *node,
			 struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){
		.tv_sec = (time_t)node->mtime_s,
		.tv_nsec = node->mtime_ns < 1000000000 ? node->mtime_ns : 0,
	};
}

static int unpack_finish(struct unpack *unpack, int fd, const char *name,
			 const struct erofs_node *node)
{
	struct timespec times[2];

	unpack_times(node, times);
	if (fchmod(fd, node->mode & 01777) < 0 || futimens(fd, times) < 0)
		return err_set(unpack->err, -errno, "set up %s", name);
	return 0;
}

static int unpack_read(struct unpack *unpack, const struct erofs_node *node,
		       uint64_t at, uint64_t len, const char *name)
{
	int64_t n = erofs_read(unpack->erofs, node, at, unpack->part, len);

	return n == (int64_t)len ? 0
				 : err_set(unpack->err, -EIO,
					   "read %s from the image", name);
}

static int unpack_file(struct unpack *unpack, int dir, const char *name,
		       const struct erofs_node *node)
{
	auto_close int fd =
		openat(dir, name,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0600);

	if (fd < 0)
		return err_set(unpack->err, -errno, "make %s", name);
	for (uint64_t at = 0; at < node->size;) {
		uint64_t n = node->size - at;
		int r;

		n = n < UNPACK_PART ? n : UNPACK_PART;
		r = unpack_read(unpack, node, at, n, name);
		if (r >= 0)
			r = fd_write_all(fd, unpack->part, n, unpack->err);
		if (r < 0)
			return r;
		at += n;
		if (unpack->tick && !unpack->tick(unpack->context))
			return err_set(unpack->err, -ECANCELED, "unpack");
	}
	return unpack_finish(unpack, fd, name, node);
}

static int unpack_link(struct unpack *unpack, int dir, const char *name,
		       const struct erofs_node *node)
{
	struct timespec times[2];
	int r = node->size < UNPACK_LINK
			? unpack_read(unpack, node, 0, node->size, name)
			: err_set(unpack->err, -ENAMETOOLONG, "link %s", name);

	if (r < 0)
		return r;
	unpack->part[node->size] = 0;
	unpack_times(node, times);
	if (symlinkat(unpack->part, dir, name) < 0 ||
	    utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(unpack->err, -errno, "make the link %s", name);
	return 0;
}

static int unpack_into(struct unpack_folder *above, const char *name,
		       const struct erofs_node *node)
{
	struct unpack *unpack = above->unpack;
	auto_close int fd = -1;
	struct unpack_folder folder = {
		.unpack = unpack,
		.node = *node,
		.depth = above->depth + 1,
	};
	int r;

	if (folder.depth > UNPACK_DEPTH)
		return err_set(unpack->err, -ELOOP, "folder %s", name);
	if (mkdirat(above->fd, name, 0700) < 0)
		return err_set(unpack->err, -errno, "make folder %s", name);
	fd = openat(above->fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(unpack->err, -errno, "open folder %s", name);
	folder.fd = fd;
	r = unpack_folder(&folder);
	return r < 0 ? r : unpack_finish(unpack, fd, name, node);
}

static int unpack_node(struct unpack_folder *folder,
		       const struct erofs_entry *entry)
{
	struct unpack *unpack = folder->unpack;
	const char *why = "", *name = entry->name;
	struct erofs_node node;

	if (erofs_node(unpack->erofs, entry->nid, &node, &why) < 0)
		return err_set(unpack->err, -EINVAL, "%s: %s", name, why);
	switch (node.mode & EROFS_S_KIND) {
	case EROFS_S_FILE: return unpack_file(unpack, folder->fd, name, &node);
	case EROFS_S_LINK: return unpack_link(unpack, folder->fd, name, &node);
	case EROFS_S_FOLDER: return unpack_into(folder, name, &node);
	}
	return err_set(unpack->err, -EINVAL,
		       "%s is neither a file, a folder nor a link", name);
}

static int unpack_visit(void *context, const struct erofs_entry *entry)
{
	struct unpack_folder *folder = context;

	if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
		return 0;
	folder->failed = unpack_node(folder, entry);
	return folder->failed < 0;
}

static int unpack_folder(struct unpack_folder *folder)
{
	struct unpack *unpack = folder->unpack;
	const char *why = "";
	int r = erofs_list(unpack->erofs, &folder->node, unpack_visit, folder,
			   &why);

	if (r < 0)
		return err_set(unpack->err, -EINVAL, "a folder: %s", why);
	return folder->failed;
}

int erofs_unpack(const struct erofs *erofs, int dir,
		 bool (*tick)(void *context), void *context, struct err *err)
{
	auto_free char *part = malloc(UNPACK_PART);
	struct unpack unpack = {
		.erofs = erofs,
		.tick = tick,
		.context = context,
		.err = err,
		.part = part,
	};
	struct unpack_folder root = { .unpack = &unpack, .fd = dir };
	const char *why = "";
	int r;

	if (!part)
		return err_set(err, -ENOMEM, "unpack an image");
	if (erofs_node(erofs, erofs->root_nid, &root.node, &why) < 0)
		return err_set(err, -EINVAL, "the image's root: %s", why);
	r = unpack_folder(&root);
	return r < 0 ? r : unpack_finish(&unpack, dir, "the root", &root.node);
}

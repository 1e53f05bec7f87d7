/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: opened when they can be trusted, leased, removed. */
#include "base/fd.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int store_object_open_given(int root, const char *hex, struct stat *st,
			    const char **why)
{
	auto_close int fd = openat(
		root, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	*why = NULL;
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 && errno != ELOOP) {
		*why = "it cannot be opened";
		return -errno;
	}
	if (fd < 0)
		*why = "it is a link";
	else if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		*why = "it is not a regular file";
	return *why ? -EPERM : steal_fd(&fd);
}

int store_object_open(int root, const char *hex, bool system, struct stat *st,
		      const char **why)
{
	auto_close int fd = store_object_open_given(root, hex, st, why);

	if (fd < 0)
		return fd;
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		*why = "others may write it";
	else if (!store_trusts(st, system))
		*why = "it belongs to another user";
	return *why ? -EPERM : steal_fd(&fd);
}

/* Locks of the whole file belong to the open file and go with its last
 * descriptor, in whichever process that is. */
int store_object_lease(int fd)
{
	struct stat st;

	/* Alone it is locked only by who removes it. */
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -ENOENT : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_nlink ? 0 : -ENOENT;
}

static bool store_is_named(int root, const char *hex, const struct stat *ours)
{
	struct stat named;

	return fstatat(root, hex, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       named.st_dev == ours->st_dev && named.st_ino == ours->st_ino;
}

int store_object_lease_named(int root, const char *hex, int fd)
{
	int rc = store_object_lease(fd);
	struct stat st;

	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		return -errno;
	return store_is_named(root, hex, &st) ? 0 : -ENOENT;
}

/* A link, a socket, or what this user may not read, is in nobody's use; no
 * room for one more descriptor says nothing. */
static bool store_is_usable(int code)
{
	return code != ELOOP && code != EACCES && code != ENXIO;
}

int store_object_remove(int root, const char *hex)
{
	for (;;) {
		auto_close int fd =
			openat(root, hex,
			       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		struct stat st = { 0 };

		if (fd < 0 && store_is_usable(errno))
			return -errno;
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (fd >= 0 && fstat(fd, &st) < 0)
			return -errno;
		/* Removed and made anew before it was locked: the one that
		 * has the name now may be in use. */
		if (fd >= 0 && !store_is_named(root, hex, &st))
			continue;
		store_seen_forget(root, hex);
		return unlinkat(root, hex,
				S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0
			       ? -errno
			       : 0;
	}
}

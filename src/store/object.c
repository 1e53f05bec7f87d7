/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: opened when they can be trusted, leased, removed. */
#include "base/fd.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int store_object_open(int root, const char *hex, bool system, struct stat *st,
		      const char **why)
{
	auto_close int fd = openat(
		root, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	*why = NULL;
	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		*why = errno == ELOOP ? "it is a link" : "it cannot be opened";
	else if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))
		*why = "it is not a regular file";
	else if (st->st_mode & (S_IWGRP | S_IWOTH))
		*why = "others may write it";
	else if (!store_trusts(st, system))
		*why = "it belongs to another user";
	return *why ? -1 : steal_fd(&fd);
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

int store_object_remove(int root, const char *hex)
{
	auto_close int fd = openat(
		root, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	/* What cannot be opened is nobody's. */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	store_seen_forget(root, hex);
	return unlinkat(root, hex, 0) < 0 ? -errno : 0;
}

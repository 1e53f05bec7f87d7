/* SPDX-License-Identifier: Apache-2.0 */
/* An archive for a kernel, written in one pass. */
#include "tree/cpio.h"
#include "base/fd.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { CPIO_HEAD = 110, CPIO_NAME_MOST = 4096, CPIO_BLOCK = 512 };

void cpio_init(struct cpio *cpio, int fd)
{
	cpio->fd = fd;
	cpio->done = 0;
	cpio->inode = 0;
	cpio->left = 0;
	cpio->len = 0;
}

static int cpio_flush(struct cpio *cpio, struct err *err)
{
	size_t len = cpio->len;

	cpio->len = 0;
	return fd_write_all(cpio->fd, cpio->room, len, err);
}

static int cpio_put(struct cpio *cpio, const void *data, size_t len,
		    struct err *err)
{
	const char *at = data;

	cpio->done += len;
	while (len) {
		size_t n = CPIO_ROOM - cpio->len;
		int r;

		n = n < len ? n : len;
		memcpy(cpio->room + cpio->len, at, n);
		cpio->len += n;
		at += n;
		len -= n;
		r = cpio->len == CPIO_ROOM ? cpio_flush(cpio, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int cpio_pad(struct cpio *cpio, size_t to, struct err *err)
{
	static const char zero[CPIO_BLOCK];

	return cpio_put(cpio, zero, -cpio->done & (to - 1), err);
}

int cpio_entry(struct cpio *cpio, const char *name, mode_t mode, dev_t device,
	       uint64_t bytes, struct err *err)
{
	size_t name_len = strlen(name) + 1;
	char head[CPIO_HEAD + 1];
	int r;

	if (bytes > UINT32_MAX)
		return err_set(err, -EFBIG, "%s", name);
	if (name_len > CPIO_NAME_MOST)
		return err_set(err, -ENAMETOOLONG, "%.100s...", name);
	snprintf(head, sizeof head,
		 "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		 cpio->inode++, mode, 0, 0, S_ISDIR(mode) ? 2 : 1, 0,
		 (unsigned)bytes, 0, 0, major(device), minor(device),
		 (unsigned)name_len, 0);
	r = cpio_put(cpio, head, CPIO_HEAD, err);
	if (r >= 0)
		r = cpio_put(cpio, name, name_len, err);
	cpio->left = bytes;
	return r < 0 ? r : cpio_pad(cpio, 4, err);
}

int cpio_data(struct cpio *cpio, const void *data, size_t len, struct err *err)
{
	int r;

	if (len > cpio->left)
		return err_set(err, -EINVAL, "more data than told");
	cpio->left -= len;
	r = cpio_put(cpio, data, len, err);
	return r < 0 || cpio->left ? r : cpio_pad(cpio, 4, err);
}

int cpio_copy(struct cpio *cpio, int fd, const char *path, struct err *err)
{
	char part[16384];
	int r = 0;

	for (;;) {
		ssize_t n = read(fd, part, sizeof part);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read %s", path);
		if ((uint64_t)n > cpio->left || (n == 0 && cpio->left))
			return err_set(err, -EINVAL,
				       "%s changed while it was read", path);
		if (n == 0)
			return r;
		r = cpio_data(cpio, part, n, err);
		if (r < 0)
			return r;
	}
}

int cpio_end(struct cpio *cpio, struct err *err)
{
	int r;

	cpio->inode = 0;
	r = cpio_entry(cpio, "TRAILER!!!", 0, 0, 0, err);
	if (r >= 0)
		r = cpio_pad(cpio, CPIO_BLOCK, err);
	return r < 0 ? r : cpio_flush(cpio, err);
}

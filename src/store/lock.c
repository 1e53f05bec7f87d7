/* SPDX-License-Identifier: Apache-2.0 */
/* The folder's lock file: each byte is a lock of its own. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int store_lock_open(int root, struct err *err)
{
	int fd = openat(root, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			0600);

	return fd < 0 ? err_set(err, -errno, "open the folder's lock") : fd;
}

static int store_lock(int fd, off_t at, int type, int command)
{
	struct flock byte = { .l_type = (short)type,
			      .l_whence = SEEK_SET,
			      .l_start = at,
			      .l_len = 1 };
	int rc;

	do {
		rc = fcntl(fd, command, &byte);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	return command == F_OFD_GETLK && byte.l_type != F_UNLCK ? -EWOULDBLOCK
								: 0;
}

int store_lock_byte(int fd, off_t at)
{
	return store_lock(fd, at, F_WRLCK, F_OFD_SETLK);
}

int store_lock_wait(int fd, off_t at, bool shared)
{
	return store_lock(fd, at, shared ? F_RDLCK : F_WRLCK, F_OFD_SETLKW);
}

bool store_lock_held(int fd, off_t at)
{
	return store_lock(fd, at, F_WRLCK, F_OFD_GETLK) != 0;
}

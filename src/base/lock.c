/* SPDX-License-Identifier: Apache-2.0 */
/* Open-file-description locks: they belong to the descriptor, not to the
 * process, so that a fork or a close elsewhere cannot let go of them. */
#include "base/lock.h"
#include "base/clock.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

bool lock_is_at(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

static int lock_wait(int fd, const char *path, uint64_t deadline,
		     struct err *err)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	while (fcntl(fd, F_OFD_SETLK, &all) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_set(err, -errno, "lock %s", path);
		if (clock_left_ms(deadline) == 0)
			return err_set(err, -EWOULDBLOCK, "lock %s", path);
		clock_sleep_ms(5);
	}
	return 0;
}

/* The lock of a file that was removed meanwhile excludes nobody. */
int lock_take(const char *path, int wait_ms, struct err *err)
{
	uint64_t deadline = clock_deadline(wait_ms);

	for (;;) {
		auto_close int fd = open(
			path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		int rc;

		if (fd < 0)
			return err_set(err, -errno, "open lock %s", path);
		if ((rc = lock_wait(fd, path, deadline, err)) < 0)
			return rc;
		if (lock_is_at(fd, path))
			return steal_fd(&fd);
	}
}

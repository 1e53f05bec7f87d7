/* SPDX-License-Identifier: Apache-2.0 */
/* Open-file-description locks: they belong to the descriptor, not to the
 * process, so that a fork or a close elsewhere cannot let go of them. */
#include "base/lock.h"
#include "base/clock.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>

int lock_take(const char *path, int wait_ms, struct err *err)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	uint64_t deadline = clock_deadline(wait_ms);
	auto_close int fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(err, -errno, "open lock %s", path);
	for (;;) {
		if (fcntl(fd, F_OFD_SETLK, &all) == 0)
			return steal_fd(&fd);
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return err_set(err, -errno, "lock %s", path);
		if (clock_left_ms(deadline) == 0)
			return err_set(err, -EWOULDBLOCK, "lock %s", path);
		clock_sleep_ms(5);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The folder's lock file: each byte is a lock of its own, let go by close or
 * by death. */
#include "base/fd.h"
#include "cache/cache_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int cache_lock_open(int root, struct err *err)
{
	int fd = openat(root, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			0600);

	return fd < 0 ? err_set(err, -errno, "open the cache's lock") : fd;
}

int cache_lock_byte(int fd, off_t at)
{
	struct flock byte = { .l_type = F_WRLCK,
			      .l_whence = SEEK_SET,
			      .l_start = at,
			      .l_len = 1 };

	return fcntl(fd, F_OFD_SETLK, &byte) < 0 ? -errno : 0;
}

off_t cache_lock_place(const uint8_t key[CODE_KEY_BYTES])
{
	return 1 + ((off_t)key[0] << 24 | (off_t)key[1] << 16 |
		    (off_t)key[2] << 8 | key[3]);
}

int cache_compiling(const char *folder, char (*begin)[9], int most)
{
	auto_close int root = cache_place_open(folder, false, NULL);
	auto_close int fd = root < 0
				    ? -1
				    : openat(root, "lock",
					     O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct flock held = { .l_start = 1 };
	int count = 0;

	while (fd >= 0) {
		held = (struct flock){ .l_type = F_WRLCK,
				       .l_whence = SEEK_SET,
				       .l_start = held.l_start };
		if (fcntl(fd, F_OFD_GETLK, &held) < 0 || held.l_type == F_UNLCK)
			break;
		if (count < most) {
			uint32_t key = (uint32_t)(held.l_start - 1);
			uint8_t bytes[4] = { key >> 24, key >> 16, key >> 8,
					     key };

			cache_key_hex(bytes, 4, begin[count]);
		}
		count++;
		held.l_start++;
	}
	return count;
}

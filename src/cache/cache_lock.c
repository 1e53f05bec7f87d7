/* SPDX-License-Identifier: Apache-2.0 */
/* Which byte of the folder's lock file is whose. */
#include "base/fd.h"
#include "cache/cache_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

off_t cache_lock_place(const uint8_t key[CODE_KEY_BYTES])
{
	return 1 + ((off_t)key[0] << 24 | (off_t)key[1] << 16 |
		    (off_t)key[2] << 8 | key[3]);
}

int cache_compiling(const char *folder, char (*begin)[9], int most)
{
	auto_close int root = store_folder_open(folder, false, NULL);
	auto_close int fd = root < 0
				    ? -1
				    : openat(root, "lock",
					     O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct flock held = { .l_start = 1 };
	const off_t end = held.l_start + CACHE_LOCK_PLACES;
	int count = 0;

	while (fd >= 0 && held.l_start < end) {
		held = (struct flock){ .l_type = F_WRLCK,
				       .l_whence = SEEK_SET,
				       .l_start = held.l_start,
				       .l_len = end - held.l_start };
		if (fcntl(fd, F_OFD_GETLK, &held) < 0 || held.l_type == F_UNLCK)
			break;
		if (count < most) {
			uint32_t key = (uint32_t)(held.l_start - 1);
			uint8_t bytes[4] = { key >> 24, key >> 16, key >> 8,
					     key };

			store_hex(bytes, 4, begin[count]);
		}
		count++;
		held.l_start++;
	}
	return count;
}

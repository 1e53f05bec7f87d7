/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a folder, "." and ".." among them.  A cookie is the host's
 * own position behind an entry, so that nothing has to be kept between two
 * calls, and a guest that comes back with an older one goes on from there.
 * What does not fit is cut off, as is told by a full buffer; the guest asks
 * again with the last whole entry's cookie. */
#include "vm/wasi_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct wasi_readdir {
	int folder;
	uint8_t *to; /* the guest's buffer ... */
	uint32_t room, used;
};

static uint8_t wasi_readdir_type(int folder, const struct dirent64 *entry)
{
	struct stat stat;

	if (entry->d_type != DT_UNKNOWN)
		return wasi_table_type(DTTOIF(entry->d_type), -1);
	if (fstatat(folder, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return WASI_UNKNOWN;
	return wasi_table_type(stat.st_mode, -1);
}

static void wasi_readdir_put(struct wasi_readdir *reading, const void *from,
			     uint32_t len)
{
	uint32_t left = reading->room - reading->used;

	if (len > left)
		len = left;
	memcpy(reading->to + reading->used, from, len);
	reading->used += len;
}

static void wasi_readdir_entry(struct wasi_readdir *reading,
			       const struct dirent64 *entry)
{
	struct wasi_dirent to = {
		.next = entry->d_off,
		.ino = entry->d_ino,
		.name_len = strlen(entry->d_name),
		.type = wasi_readdir_type(reading->folder, entry),
	};

	wasi_readdir_put(reading, &to, sizeof to);
	wasi_readdir_put(reading, entry->d_name, to.name_len);
}

/* One turn of the host's call: its bytes, 0 at the end, -errno. */
static ssize_t wasi_readdir_some(struct wasi_readdir *reading)
{
	_Alignas(struct dirent64) char bytes[8192];
	ssize_t len = getdents64(reading->folder, bytes, sizeof bytes);

	if (len < 0)
		return -errno;
	for (ssize_t at = 0; at < len && reading->used < reading->room;) {
		const struct dirent64 *entry = (const void *)(bytes + at);

		wasi_readdir_entry(reading, entry);
		at += entry->d_reclen;
	}
	return len;
}

int wasi_fd_readdir(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_readdir reading = { .room = a[2].i32 };
	struct wasi_fd *fd;
	int e = wasi_table_get(call->wasi, a[0].i32, WASI_RIGHT_FD_READDIR,
			       &fd);
	ssize_t len = 1;

	if (e)
		return e;
	reading.folder = fd->host;
	reading.to = wasi_guest(call, a[1].i32, reading.room);
	if (!reading.to || !wasi_guest(call, a[4].i32, sizeof(uint32_t)))
		return WASI_EFAULT;
	if (lseek(fd->host, a[3].i64, SEEK_SET) < 0)
		return wasi_errno(errno);
	while (len > 0 && reading.used < reading.room)
		len = wasi_readdir_some(&reading);
	if (len < 0 && !reading.used)
		return wasi_errno(-len);
	return wasi_guest_put_u32(call, a[4].i32, reading.used);
}

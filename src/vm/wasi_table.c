/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's descriptors: numbers of its own, each with the rights that the
 * guest has there.  What a guest opens gets no right that its folder does not
 * hand on, nor one that makes no sense for its kind. */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int wasi_table_get(const struct wasi *wasi, uint32_t fd, uint64_t rights,
		   struct wasi_fd **entry)
{
	if (fd >= wasi->fd_room || wasi->fds[fd].host < 0)
		return WASI_EBADF;
	*entry = &wasi->fds[fd];
	return rights & ~(*entry)->rights ? WASI_ENOTCAPABLE : 0;
}

static int wasi_table_option(int host, int name)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return getsockopt(host, SOL_SOCKET, name, &value, &len) < 0 ? 0 : value;
}

enum wasi_filetype wasi_table_type(mode_t mode, int host)
{
	switch (mode & S_IFMT) {
	case S_IFBLK: return WASI_BLOCK_DEVICE;
	case S_IFCHR: return WASI_CHARACTER_DEVICE;
	case S_IFDIR: return WASI_DIRECTORY;
	case S_IFREG: return WASI_REGULAR_FILE;
	case S_IFLNK: return WASI_SYMBOLIC_LINK;
	case S_IFSOCK:
		return host >= 0 && wasi_table_option(host, SO_TYPE) ==
					       SOCK_DGRAM
			       ? WASI_SOCKET_DGRAM
			       : WASI_SOCKET_STREAM;
	}
	return WASI_UNKNOWN;
}

static uint64_t wasi_table_rights(const struct wasi_fd *entry)
{
	switch (entry->type) {
	case WASI_REGULAR_FILE:
	case WASI_BLOCK_DEVICE: return WASI_RIGHTS_FILE;
	case WASI_CHARACTER_DEVICE:
		return isatty(entry->host) ? WASI_RIGHTS_STREAM
					   : WASI_RIGHTS_FILE;
	case WASI_DIRECTORY: return WASI_RIGHTS_FOLDER;
	case WASI_SOCKET_STREAM:
	case WASI_SOCKET_DGRAM:
		return wasi_table_option(entry->host, SO_ACCEPTCONN)
			       ? WASI_RIGHTS_SOCKET | WASI_RIGHT_SOCK_ACCEPT
			       : WASI_RIGHTS_SOCKET;
	case WASI_UNKNOWN:
	case WASI_SYMBOLIC_LINK: break;
	}
	return WASI_RIGHTS_STREAM;
}

static uint64_t wasi_table_lost(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE |
		       WASI_RIGHT_FD_FILESTAT_SET_SIZE;
	case O_WRONLY: return WASI_RIGHT_FD_READ;
	}
	return 0;
}

static uint16_t wasi_table_flags(int flags)
{
	return (flags & O_APPEND ? WASI_APPEND : 0) |
	       (flags & O_NONBLOCK ? WASI_NONBLOCK : 0) |
	       ((flags & O_SYNC) == O_SYNC ? WASI_SYNC
		: flags & O_DSYNC	   ? WASI_DSYNC
					   : 0);
}

int wasi_table_describe(struct wasi_fd *entry)
{
	int flags = fcntl(entry->host, F_GETFL);
	struct stat stat;

	if (flags < 0 || fstat(entry->host, &stat) < 0)
		return -errno;
	entry->type = wasi_table_type(stat.st_mode, entry->host);
	entry->flags = wasi_table_flags(flags);
	entry->rights = wasi_table_rights(entry);
	entry->inheriting = 0;
	if (entry->type == WASI_DIRECTORY)
		entry->inheriting = WASI_RIGHTS_FOLDER | WASI_RIGHTS_FILE |
				    WASI_RIGHTS_SOCKET;
	else
		entry->rights &= ~wasi_table_lost(flags);
	if (entry->rights & WASI_RIGHT_SOCK_ACCEPT)
		entry->inheriting = WASI_RIGHTS_SOCKET;
	return 0;
}

static int wasi_table_grow(struct wasi *wasi)
{
	uint32_t room = wasi->fd_room ? 2 * wasi->fd_room : 16;
	struct wasi_fd *fds;

	if (room > WASI_FDS_MOST)
		return WASI_EMFILE;
	fds = realloc(wasi->fds, room * sizeof *fds);
	if (!fds)
		return WASI_ENOMEM;
	for (uint32_t i = wasi->fd_room; i < room; i++)
		fds[i] = (struct wasi_fd){ .host = -1 };
	wasi->fds = fds;
	wasi->fd_room = room;
	return 0;
}

static bool wasi_table_is_taken(const struct wasi *wasi, uint32_t fd)
{
	return wasi->fds[fd].host >= 0 || wasi_is_image(wasi, fd);
}

int wasi_table_add(struct wasi *wasi, const struct wasi_fd *entry,
		   uint32_t least, uint32_t *fd)
{
	uint32_t i = least;
	int e = 0;

	while (i < wasi->fd_room && wasi_table_is_taken(wasi, i))
		i++;
	if (wasi_is_image(wasi, i))
		i++;
	if (i >= wasi->fd_room)
		e = wasi_table_grow(wasi);
	if (e) {
		close(entry->host);
		return e;
	}
	wasi->fds[i] = *entry;
	*fd = i;
	return 0;
}

void wasi_table_drop(struct wasi_fd *entry)
{
	if (entry->host >= 0)
		close(entry->host);
	*entry = (struct wasi_fd){ .host = -1 };
}

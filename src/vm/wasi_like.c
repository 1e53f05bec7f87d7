/* SPDX-License-Identifier: Apache-2.0 */
/* WASI for the next guest of a process that can open nothing any more: its
 * folders and sockets are another one's, opened before. */
#include "base/fd.h"
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct wasi_grant *like_grant(const struct wasi *wasi, uint32_t fd)
{
	const struct wasi_grant *grant =
		fd < wasi->grant_room ? &wasi->grants[fd] : NULL;

	return grant && wasi->fds[fd].host >= 0 &&
			       (grant->kind == WASI_GRANT_FOLDER ||
				grant->kind == WASI_GRANT_SOCKET)
		       ? grant
		       : NULL;
}

size_t wasi_granted(const struct wasi *wasi, struct wasi_granted *granted,
		    size_t room)
{
	size_t count = 0;

	for (uint32_t i = 0; i < wasi->fd_room; i++) {
		const struct wasi_grant *grant = like_grant(wasi, i);

		if (!grant)
			continue;
		if (count < room)
			granted[count] = (struct wasi_granted){
				.host = wasi->fds[i].host,
				.is_folder = grant->kind == WASI_GRANT_FOLDER,
				.read_only = !(grant->rights &
					       WASI_RIGHT_PATH_CREATE_FILE),
			};
		count++;
	}
	return count;
}

uint32_t wasi_image_number(const struct wasi *wasi)
{
	return wasi->image_fd;
}

bool wasi_walks(const struct wasi *wasi)
{
	return !wasi->has_openat2;
}

/* Under the number that it has there. */
static int like_copy(struct wasi *wasi, const struct wasi *like, uint32_t fd,
		     const struct wasi_grant *from, struct err *err)
{
	struct wasi_fd entry = like->fds[fd];
	struct wasi_grant grant = *from;
	int r;

	entry.host = fcntl(entry.host, F_DUPFD_CLOEXEC, 3);
	if (entry.host < 0)
		return err_set(err, -errno, "a granted descriptor");
	if (grant.folder && !(grant.folder = strdup(grant.folder))) {
		close(entry.host);
		return err_set(err, -ENOMEM, "a granted folder");
	}
	entry.folder = grant.folder;
	r = wasi_grant_add(wasi, &entry, &grant, fd, "a granted descriptor",
			   err);
	if (r < 0)
		free(grant.folder);
	return r;
}

int wasi_grant_like(struct wasi *wasi, const struct wasi *like, struct err *err)
{
	int r = like->image_fd
			? wasi_grant_image(wasi, like->image_fd,
					   like->grants[like->image_fd].folder,
					   err)
			: 0;

	for (uint32_t i = 0; r >= 0 && i < like->fd_room; i++) {
		const struct wasi_grant *grant = like_grant(like, i);

		if (grant)
			r = like_copy(wasi, like, i, grant, err);
	}
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A guest whose descriptors are kept, and a second one that gets them: both
 * with the folder of tests/lib/guest.h, and pipes as standard streams. */
#pragma once
#include "base/buf.h"
#include "lib/guest.h"
#include "vm/wasi_state.h"

struct granted { /* what a guest is granted besides its folder */
	int stdio[3];
	const char *name; /* of the folder */
	bool read_only;
};

static struct granted granted_as_usual(void)
{
	return (struct granted){ { -1, -1, -1 }, "/", false };
}

/* A new guest, with the old one's memory and folder. */
static void guest_again(struct guest *guest, const struct granted *granted)
{
	char inner[80];
	struct wasi_folder folder = { inner, granted->name,
				      granted->read_only };
	struct wasi_options options = { .folders = &folder, .folder_count = 1 };

	snprintf(inner, sizeof inner, "%s/in", guest->folder);
	memcpy(options.stdio, granted->stdio, sizeof options.stdio);
	wasi_close(guest->wasi);
	if (wasi_open(&guest->wasi, &options, NULL) < 0)
		exit(1);
}

static void seal_state(void *bytes, size_t len)
{
	struct wasi_state head;

	if (len < sizeof head)
		return;
	memcpy(&head, bytes, sizeof head);
	head.sum = wasi_state_sum(bytes, len);
	memcpy(bytes, &head, sizeof head);
}

static bool is_beneath(const struct guest *guest, int host)
{
	char link[32], path[256], folder[80];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", host);
	snprintf(folder, sizeof folder, "%s/in", guest->folder);
	len = readlink(link, path, sizeof path - 1);
	path[len < 0 ? 0 : len] = 0;
	return strncmp(path, folder, strlen(folder)) == 0 &&
	       (!path[strlen(folder)] || path[strlen(folder)] == '/');
}

/* What a restored guest has open is what it was granted, once, or lies beneath
 * and has no right that is not handed on. */
static bool is_within_grants(const struct guest *guest)
{
	const struct wasi *wasi = guest->wasi;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < wasi->fd_room; i++) {
		const struct wasi_fd *fd = &wasi->fds[i];
		const struct wasi_grant *grant =
			&wasi->grants[fd->grant ? fd->grant - 1 : 3];

		if (fd->host < 0)
			continue;
		if (fd->grant) {
			if (seen & 1ull << fd->grant ||
			    fd->rights & ~grant->rights ||
			    fd->inheriting & ~grant->inheriting)
				return false;
			seen |= 1ull << fd->grant;
		} else if (!is_beneath(guest, fd->host) ||
			   (fd->rights | fd->inheriting) & ~grant->inheriting) {
			return false;
		}
		if (fd->flags & ~WASI_FDFLAGS ||
		    !(fcntl(fd->host, F_GETFD) & FD_CLOEXEC))
			return false;
	}
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a path below a folder, name by name, for kernels and sandboxes
 * without openat2.  No link is ever followed by the kernel: folders are
 * opened with O_NOFOLLOW, and the text of a link takes the link's place in
 * the path.  The folders on the way stay open, so that ".." leads back to
 * where we came from and never above the first one, whatever others rename
 * meanwhile.
 *
 *	folders[0] is the caller's; folders[depth] is where we are
 *	rest is what of the path is still to go
 */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	WASI_WALK_DEPTH = 128,
	WASI_WALK_LINKS = 40,
	WASI_WALK_ON = INT_MIN, /* there is more to go */
};

struct wasi_walk {
	int folders[WASI_WALK_DEPTH];
	int depth, links;
	int flags;
	mode_t mode;
	char *rest;
	char text[2 * PATH_MAX];
	char name[NAME_MAX + 1];
};

static void wasi_walk_back(struct wasi_walk *walk)
{
	if (walk->depth > 0)
		close(walk->folders[walk->depth--]);
}

/* Takes host. */
static int wasi_walk_enter(struct wasi_walk *walk, int host)
{
	if (walk->depth + 1 == WASI_WALK_DEPTH) {
		close(host);
		return -ENAMETOOLONG;
	}
	walk->folders[++walk->depth] = host;
	return 0;
}

/* The next name; 0 at the end. */
static int wasi_walk_next(struct wasi_walk *walk)
{
	size_t len;

	walk->rest += strspn(walk->rest, "/");
	len = strcspn(walk->rest, "/");
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(walk->name, walk->rest, len);
	walk->name[len] = 0;
	walk->rest += len;
	return len > 0;
}

/* The link's text goes in front of what is left. */
static int wasi_walk_link(struct wasi_walk *walk)
{
	char text[PATH_MAX];
	size_t left = strlen(walk->rest);
	ssize_t len = readlinkat(walk->folders[walk->depth], walk->name, text,
				 sizeof text);

	if (len < 0)
		return -errno;
	if (++walk->links > WASI_WALK_LINKS)
		return -ELOOP;
	if (len == 0)
		return -ENOENT;
	if (text[0] == '/')
		return -EXDEV;
	if (len + left >= sizeof walk->text)
		return -ENAMETOOLONG;
	memmove(walk->text + len, walk->rest, left + 1);
	memcpy(walk->text, text, len);
	walk->rest = walk->text;
	return 0;
}

/* A name on the way: a folder, or a link to one. */
static int wasi_walk_through(struct wasi_walk *walk)
{
	int host = openat(walk->folders[walk->depth], walk->name,
			  O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat stat = { 0 };

	if (host < 0)
		return -errno;
	if (fstat(host, &stat) == 0 && S_ISDIR(stat.st_mode))
		return wasi_walk_enter(walk, host);
	close(host);
	return S_ISLNK(stat.st_mode) ? wasi_walk_link(walk) : -ENOTDIR;
}

static bool wasi_walk_is_link(const struct wasi_walk *walk)
{
	struct stat stat;

	return fstatat(walk->folders[walk->depth], walk->name, &stat,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISLNK(stat.st_mode);
}

/* The last name; where it was a link, there is more to go. */
static int wasi_walk_last(struct wasi_walk *walk)
{
	bool follow = !(walk->flags & O_NOFOLLOW) &&
		      (walk->flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	struct stat stat;
	int host, r;

	if (follow && wasi_walk_is_link(walk)) {
		r = wasi_walk_link(walk);
		return r < 0 ? r : WASI_WALK_ON;
	}
	host = openat(walk->folders[walk->depth], walk->name,
		      walk->flags | O_NOFOLLOW, walk->mode);
	if (host < 0)
		return -errno;
	/* It has become a link since we looked, and O_PATH opened that. */
	if (follow && fstat(host, &stat) == 0 && S_ISLNK(stat.st_mode)) {
		close(host);
		return -ELOOP;
	}
	return host;
}

/* The path ends in a folder that is open already. */
static int wasi_walk_here(struct wasi_walk *walk)
{
	int host;

	if (walk->flags & O_CREAT)
		return walk->flags & O_EXCL ? -EEXIST : -EISDIR;
	host = openat(walk->folders[walk->depth], ".", walk->flags);
	return host < 0 ? -errno : host;
}

static int wasi_walk_step(struct wasi_walk *walk)
{
	int r = wasi_walk_next(walk);

	if (r < 0)
		return r;
	if (r == 0)
		return wasi_walk_here(walk);
	if (strcmp(walk->name, ".") == 0)
		return WASI_WALK_ON;
	if (strcmp(walk->name, "..") == 0) {
		if (walk->depth == 0)
			return -EXDEV;
		wasi_walk_back(walk);
		return WASI_WALK_ON;
	}
	if (!*walk->rest)
		return wasi_walk_last(walk);
	r = wasi_walk_through(walk);
	return r < 0 ? r : WASI_WALK_ON;
}

int wasi_walk_open(int folder, const char *path, int flags, mode_t mode)
{
	struct wasi_walk walk = { .folders = { folder },
				  .flags = flags,
				  .mode = mode };
	int host;

	if (!*path)
		return -ENOENT;
	if (*path == '/')
		return -EXDEV;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	walk.rest = strcpy(walk.text, path);
	do
		host = wasi_walk_step(&walk);
	while (host == WASI_WALK_ON);
	while (walk.depth > 0)
		wasi_walk_back(&walk);
	return host;
}

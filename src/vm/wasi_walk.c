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

/* Takes host, a folder. */
static int wasi_walk_enter(struct wasi_walk *walk, int host)
{
	if (walk->depth + 1 == WASI_WALK_DEPTH) {
		close(host);
		return -ENAMETOOLONG;
	}
	walk->folders[++walk->depth] = host;
	return WASI_WALK_ON;
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

/* What stands behind the name, be it a link. */
static int wasi_walk_look(const struct wasi_walk *walk, mode_t *kind)
{
	int host = openat(walk->folders[walk->depth], walk->name,
			  O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat stat;

	if (host < 0)
		return -errno;
	if (fstat(host, &stat) < 0) {
		close(host);
		return -EIO;
	}
	*kind = stat.st_mode & S_IFMT;
	return host;
}

/* The link's text goes in front of what is left.  Takes host, the link. */
static int wasi_walk_link(struct wasi_walk *walk, int host)
{
	char text[PATH_MAX];
	size_t left = strlen(walk->rest);
	ssize_t len = readlinkat(host, "", text, sizeof text);

	close(host);
	if (len <= 0)
		return -ENOENT;
	if (++walk->links > WASI_WALK_LINKS)
		return -ELOOP;
	if (text[0] == '/')
		return -EXDEV;
	if (len + left >= sizeof walk->text)
		return -ENAMETOOLONG;
	memmove(walk->text + len, walk->rest, left + 1);
	memcpy(walk->text, text, len);
	walk->rest = walk->text;
	return WASI_WALK_ON;
}

/* A name on the way: a folder, or a link to one. */
static int wasi_walk_through(struct wasi_walk *walk)
{
	mode_t kind;
	int host = wasi_walk_look(walk, &kind);

	if (host < 0)
		return host;
	if (kind == S_IFDIR)
		return wasi_walk_enter(walk, host);
	if (kind == S_IFLNK)
		return wasi_walk_link(walk, host);
	close(host);
	return -ENOTDIR;
}

/* O_PATH opens what has become a link since we looked, too. */
static int wasi_walk_no_link(int host)
{
	struct stat stat;

	if (fstat(host, &stat) == 0 && !S_ISLNK(stat.st_mode))
		return host;
	close(host);
	return -ELOOP;
}

/* The last name, whose link is followed or not. */
static int wasi_walk_last(struct wasi_walk *walk)
{
	bool follow = !(walk->flags & O_NOFOLLOW) &&
		      (walk->flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	mode_t kind;
	int host;

	if (follow) {
		host = wasi_walk_look(walk, &kind);
		if (host >= 0 && kind == S_IFLNK)
			return wasi_walk_link(walk, host);
		if (host >= 0)
			close(host);
	}
	host = openat(walk->folders[walk->depth], walk->name,
		      walk->flags | O_NOFOLLOW, walk->mode);
	if (host < 0)
		return -errno;
	return follow ? wasi_walk_no_link(host) : host;
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
	return *walk->rest ? wasi_walk_through(walk) : wasi_walk_last(walk);
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

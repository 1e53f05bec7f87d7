/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that this user has found right.  A checksum over a large object
 * costs as long as all of its start, so it is computed when a file is mapped
 * for the first time, and the file's stamp is kept: as long as that is the
 * same, nobody has written there.  In which days an object was used is kept
 * beside it, so that the object's own times never change. */
#include "cache/cache_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CACHE_DAY = 24 * 60 * 60 };

static void cache_seen_path(const struct cache_item *item,
			    char path[CACHE_LINK])
{
	snprintf(path, CACHE_LINK, "seen/%s%s", item->hex,
		 item->found_system ? ".s" : "");
}

static void cache_seen_stamp(const struct file_stamp *stamp,
			     char text[CACHE_LINK])
{
	snprintf(text, CACHE_LINK, "%lx.%lx.%lx.%lx.%lx", stamp->dev,
		 stamp->ino, stamp->size, stamp->mtime_ns, stamp->ctime_ns);
}

/* By an object of this process, where there is no folder to keep it in. */
static bool cache_seen_here(const struct cache_item *item)
{
	for (const struct cache_item *other = item->cache->items; other;
	     other = other->next)
		if (other != item && other->state == CACHE_MAPPED &&
		    memcmp(&other->found, &item->found, sizeof(item->found)) ==
			    0)
			return true;
	return false;
}

bool cache_seen(const struct cache_item *item)
{
	char path[CACHE_LINK], want[CACHE_LINK], text[CACHE_LINK];
	size_t stamp_len;
	ssize_t len = -1;

	cache_seen_path(item, path);
	cache_seen_stamp(&item->found, want);
	stamp_len = strlen(want);
	if (item->cache->root >= 0)
		len = readlinkat(item->cache->root, path, text, sizeof(text));
	if (len > (ssize_t)stamp_len && text[stamp_len] == ' ' &&
	    memcmp(text, want, stamp_len) == 0)
		return true;
	return cache_seen_here(item);
}

/* Nothing depends on it but the time of the next start. */
void cache_seen_note(const struct cache_item *item)
{
	char path[CACHE_LINK], text[CACHE_LINK];
	int root = item->cache->root;
	size_t len;

	if (root < 0)
		return;
	cache_seen_path(item, path);
	cache_seen_stamp(&item->found, text);
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, " %s", item->name);
	unlinkat(root, path, 0);
	if (symlinkat(text, root, path) < 0 && errno == ENOENT &&
	    mkdirat(root, "seen", 0700) == 0)
		(void)!symlinkat(text, root, path);
}

/* At most once a day: a write for each start would be one too many. */
void cache_seen_use(const struct cache_item *item)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW },
						{ .tv_nsec = UTIME_NOW } };
	int root = item->cache->root;
	char path[CACHE_LINK];
	struct stat st;

	cache_seen_path(item, path);
	if (root < 0 || fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (st.st_mtime + CACHE_DAY < time(NULL))
		utimensat(root, path, now, AT_SYMLINK_NOFOLLOW);
}

bool cache_seen_read(int root, const char *hex, struct cache_seen *seen)
{
	char path[CACHE_LINK], text[CACHE_LINK];
	struct stat st;
	ssize_t len;
	char *name;

	*seen = (struct cache_seen){ 0 };
	snprintf(path, sizeof(path), "seen/%s", hex);
	len = readlinkat(root, path, text, sizeof(text) - 1);
	if (len < 0 || fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	text[len] = 0;
	name = strchr(text, ' ');
	snprintf(seen->name, sizeof(seen->name), "%.63s", name ? name + 1 : "");
	seen->used_s = st.st_mtime;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is old goes.  After a publish, and when the user asks: objects that
 * nothing has used for long, then those used longest ago, until the rest is
 * as small as it may be; and what is left over from writers that died.
 *
 * One process does it at a time, the others go on.  An object that is mapped
 * can go too: who maps it keeps it until it is unmapped. */
#include "base/fd.h"
#include "base/log.h"
#include "cache/cache_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CACHE_SWEEP_S = 60,
	CACHE_LINKS_MOST = 4096,
	CACHE_LINK_AGE_S = CACHE_AGE_DAYS * 24 * 60 * 60,
};

struct cache_row {
	char hex[CACHE_HEX + 1];
	char name[CACHE_NAME];
	uint64_t bytes;
	int64_t made_s, used_s;
};
struct cache_rows {
	struct cache_row *row;
	size_t count, room;
	uint64_t bytes;
};

static struct cache_row *cache_sweep_room(struct cache_rows *rows)
{
	struct cache_row *more;

	if (rows->count < rows->room)
		return &rows->row[rows->count++];
	rows->room = rows->room ? 2 * rows->room : 64;
	more = reallocarray(rows->row, rows->room, sizeof(*more));
	if (!more)
		return NULL;
	rows->row = more;
	return &rows->row[rows->count++];
}

static int cache_sweep_add(struct cache_rows *rows, int root, const char *hex)
{
	struct store_seen seen;
	struct cache_row *row;
	struct stat st;

	if (fstatat(root, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	row = cache_sweep_room(rows);
	if (!row)
		return -ENOMEM;
	store_seen_read(root, hex, &seen);
	memcpy(row->hex, hex, sizeof(row->hex));
	memcpy(row->name, seen.text, sizeof(row->name));
	row->bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	row->made_s = st.st_mtime;
	row->used_s = seen.used_s > st.st_mtime ? seen.used_s : st.st_mtime;
	rows->bytes += row->bytes;
	return 0;
}

static bool cache_sweep_is_system(const char *hex)
{
	auto_free char *path = file_join(cache_system_folder(), hex);

	return path && access(path, F_OK) == 0;
}

/* A profile whose object went goes too.  false: the name is another's. */
static bool cache_sweep_profile(int root, const char *name, bool dry)
{
	char hex[CACHE_HEX + 1], own[CACHE_PROFILE_NAME];

	snprintf(hex, sizeof(hex), "%.64s", name);
	cache_profile_name(hex, own);
	if (!store_is_name(hex) || strcmp(name, own) != 0)
		return false;
	if (!dry && faccessat(root, hex, F_OK, 0) < 0 && errno == ENOENT &&
	    !cache_sweep_is_system(hex))
		unlinkat(root, name, 0);
	return true;
}

static int cache_sweep_read(int root, struct cache_rows *rows, bool dry)
{
	DIR *dir = store_folder_list(root, ".");
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return -errno;
	while (rc >= 0 && (entry = readdir(dir)))
		if (store_is_name(entry->d_name))
			rc = cache_sweep_add(rows, root, entry->d_name);
		else if (!cache_sweep_profile(root, entry->d_name, dry))
			store_draft_sweep(root, entry->d_name);
	closedir(dir);
	return rc;
}

/* The system's objects are not looked for: their records age. */
static bool cache_sweep_has_object(int root, const char *name)
{
	return !store_is_name(name) || faccessat(root, name, F_OK, 0) == 0;
}

/* Records that nothing needs: of objects that went, and old ones. */
static void cache_sweep_links(int root, const char *folder, bool objects)
{
	DIR *dir = store_folder_list(root, folder);
	struct dirent *entry;
	size_t count = 0;
	struct stat st;

	while (dir && (entry = readdir(dir))) {
		int fd = dirfd(dir);

		if (entry->d_name[0] == '.' ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (++count > CACHE_LINKS_MOST ||
		    st.st_mtime + CACHE_LINK_AGE_S < time(NULL) ||
		    (objects && !cache_sweep_has_object(root, entry->d_name)))
			unlinkat(fd, entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

static int cache_sweep_order(const void *a, const void *b)
{
	const struct cache_row *left = a, *right = b;

	return (left->used_s > right->used_s) - (left->used_s < right->used_s);
}

static void cache_sweep_remove(int root, const struct cache_row *row)
{
	char profile[CACHE_PROFILE_NAME];

	unlinkat(root, row->hex, 0);
	cache_profile_name(row->hex, profile);
	unlinkat(root, profile, 0);
	store_seen_forget(root, row->hex);
	log_event("cache.evict", "\"key\":\"%s\",\"bytes\":%lu", row->hex,
		  (unsigned long)row->bytes);
}

static void cache_sweep_tell(const struct cache_row *row,
			     const struct cache_prune *prune)
{
	struct cache_entry entry = { .bytes = row->bytes,
				     .made_s = row->made_s,
				     .used_s = row->used_s };

	memcpy(entry.key, row->hex, sizeof(entry.key));
	memcpy(entry.name, row->name, sizeof(entry.name));
	if (prune->tell)
		prune->tell(&entry, prune->context);
}

/* Oldest first, but never the one that was just made. */
static int cache_sweep_rows(int root, struct cache_rows *rows,
			    const struct cache_prune *prune, const char *but)
{
	int64_t now = time(NULL);
	uint64_t left = rows->bytes;
	int gone = 0;

	if (rows->count)
		qsort(rows->row, rows->count, sizeof(*rows->row),
		      cache_sweep_order);
	for (size_t i = 0; i < rows->count; i++) {
		const struct cache_row *row = &rows->row[i];

		if (left <= prune->most_bytes &&
		    now - row->used_s <= prune->age_s)
			break;
		if (but && strcmp(but, row->hex) == 0)
			continue;
		cache_sweep_tell(row, prune);
		if (!prune->dry)
			cache_sweep_remove(root, row);
		left -= row->bytes;
		gone++;
	}
	return gone;
}

static int cache_sweep_all(int root, const struct cache_prune *prune,
			   const char *but, struct err *err)
{
	struct cache_rows rows = { 0 };
	int rc = cache_sweep_read(root, &rows, prune->dry);

	if (rc >= 0)
		rc = cache_sweep_rows(root, &rows, prune, but);
	else
		err_set(err, rc, "look through the code cache");
	free(rows.row);
	if (rc < 0 || prune->dry)
		return rc;
	cache_sweep_links(root, "seen", true);
	cache_sweep_links(root, "index", false);
	return rc;
}

/* Kept in the lock file, under the lock of its first byte. */
struct cache_swept {
	int64_t at_s;	/* when the folder was looked through last */
	uint64_t since; /* bytes published from then on */
};

/* Looking costs as much as there are objects: it is done when something can
 * have become too much, or too old. */
static bool cache_sweep_is_due(const struct cache *cache, int lock,
			       uint64_t bytes)
{
	struct cache_swept swept = { 0 };
	int64_t now = time(NULL);
	bool due;

	if (fd_pread_all(lock, &swept, sizeof(swept), 0, NULL) < 0)
		swept = (struct cache_swept){ 0 };
	swept.since += bytes;
	due = swept.since >= cache->most_bytes / 16 || swept.at_s > now ||
	      swept.at_s + CACHE_SWEEP_S < now;
	if (due)
		swept = (struct cache_swept){ .at_s = now };
	fd_pwrite_all(lock, &swept, sizeof(swept), 0, NULL);
	return due;
}

void cache_sweep(struct cache *cache, const char *but, uint64_t bytes)
{
	const struct cache_prune prune = {
		.most_bytes = cache->most_bytes,
		.age_s = CACHE_LINK_AGE_S,
	};
	auto_close int lock = store_lock_open(cache->root, NULL);

	if (lock >= 0 && store_lock_byte(lock, 0) == 0 &&
	    cache_sweep_is_due(cache, lock, bytes))
		cache_sweep_all(cache->root, &prune, but, NULL);
}

int cache_prune(const char *folder, const struct cache_prune *prune,
		struct err *err)
{
	auto_close int root = store_folder_open(folder, false, NULL);
	auto_close int lock = -1;

	if (root == -ENOENT)
		return 0;
	if (root < 0)
		return store_folder_open(folder, false, err);
	if (prune->dry)
		return cache_sweep_all(root, prune, NULL, err);
	lock = store_lock_open(root, err);
	if (lock < 0)
		return lock;
	if (store_lock_byte(lock, 0) < 0)
		return err_set(err, -EBUSY, "another looks through the cache");
	return cache_sweep_all(root, prune, NULL, err);
}

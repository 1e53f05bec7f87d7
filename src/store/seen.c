/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that this user has found right.  A checksum over a large object
 * costs as long as all of its use, so it is computed when a file is met for
 * the first time, and the file's stamp is kept: as long as that is the same,
 * nobody has written there.  In which days an object was used is kept beside
 * it, so that the object's own times never change. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STORE_DAY = 24 * 60 * 60 };

static void store_seen_path(const char *key, char path[STORE_TEXT])
{
	snprintf(path, STORE_TEXT, "seen/%s", key);
}

void store_stamp_text(const struct file_stamp *stamp, char text[STORE_TEXT])
{
	snprintf(text, STORE_TEXT, "%lx.%lx.%lx.%lx.%lx", stamp->dev,
		 stamp->ino, stamp->size, stamp->mtime_ns, stamp->ctime_ns);
}

bool store_seen(int root, const char *key, const struct file_stamp *stamp)
{
	char path[STORE_TEXT], want[STORE_TEXT], text[STORE_TEXT];
	size_t stamp_len;
	ssize_t len;

	store_seen_path(key, path);
	store_stamp_text(stamp, want);
	stamp_len = strlen(want);
	len = readlinkat(root, path, text, sizeof(text));
	return len > (ssize_t)stamp_len && text[stamp_len] == ' ' &&
	       memcmp(text, want, stamp_len) == 0;
}

/* Nothing depends on it but the time of the next use. */
void store_seen_note(int root, const char *key, const struct file_stamp *stamp,
		     const char *words)
{
	char path[STORE_TEXT], text[STORE_TEXT];
	size_t len;

	store_seen_path(key, path);
	store_stamp_text(stamp, text);
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, " %s", words);
	unlinkat(root, path, 0);
	if (symlinkat(text, root, path) < 0 && errno == ENOENT &&
	    mkdirat(root, "seen", 0700) == 0)
		(void)!symlinkat(text, root, path);
}

/* At most once a day: a write for each start would be one too many. */
void store_seen_use(int root, const char *key)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW },
						{ .tv_nsec = UTIME_NOW } };
	char path[STORE_TEXT];
	struct stat st;

	store_seen_path(key, path);
	if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (st.st_mtime + STORE_DAY < time(NULL))
		utimensat(root, path, now, AT_SYMLINK_NOFOLLOW);
}

bool store_seen_read(int root, const char *key, struct store_seen *seen)
{
	char path[STORE_TEXT], text[STORE_TEXT];
	struct stat st;
	ssize_t len;
	char *words;

	*seen = (struct store_seen){ 0 };
	store_seen_path(key, path);
	len = readlinkat(root, path, text, sizeof(text) - 1);
	if (len < 0 || fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	text[len] = 0;
	words = strchr(text, ' ');
	snprintf(seen->text, sizeof(seen->text), "%.63s",
		 words ? words + 1 : "");
	seen->used_s = st.st_mtime;
	return true;
}

void store_seen_forget(int root, const char *key)
{
	char path[STORE_TEXT];

	store_seen_path(key, path);
	unlinkat(root, path, 0);
}

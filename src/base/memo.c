/* SPDX-License-Identifier: Apache-2.0 */
/* Memos: read with distrust, published whole. */
#include "base/memo.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMO_MOST = 16384 };

static char *memo_folder(void)
{
	const char *cache = secure_getenv("XDG_CACHE_HOME");
	const char *home = secure_getenv("HOME");

	if (cache && cache[0] == '/')
		return file_join(cache, "brood");
	if (home && home[0] == '/')
		return file_join(home, ".cache/brood");
	/* Root's services may have none. */
	return geteuid() == 0 ? strdup("/run/brood-memo") : NULL;
}

static void memo_sum(const char *key, const char *value, char sum[17])
{
	auto_buf struct buf text = { 0 };

	buf_add(&text, key, strlen(key) + 1);
	buf_text(&text, value);
	hash_hex(hash64(buf_string(&text), text.len), sum);
}

static int memo_read(const char *path, char text[MEMO_MOST])
{
	auto_close int fd = file_open_trusted(path, NULL);
	ssize_t len;

	if (fd < 0)
		return fd;
	len = pread(fd, text, MEMO_MOST - 1, 0);
	if (len < 0)
		return -errno;
	text[len] = 0;
	return json_check(text, len, NULL);
}

bool memo_get(const char *name, const char *key, struct buf *value)
{
	auto_free char *folder = memo_folder();
	auto_free char *path = folder ? file_join(folder, name) : NULL;
	auto_free char *found = NULL, *was = NULL, *told = NULL;
	char text[MEMO_MOST], sum[17];

	if (!path || memo_read(path, text) < 0)
		return false;
	was = json_get_text(text, "key");
	found = json_get_text(text, "value");
	told = json_get_text(text, "sum");
	if (!was || !found || !told || strcmp(was, key) != 0)
		return false;
	memo_sum(key, found, sum);
	if (strcmp(sum, told) != 0)
		return false;
	buf_text(value, found);
	return !value->failed;
}

static void memo_write(struct buf *out, const char *key, const char *value)
{
	struct json json;
	char sum[17];

	memo_sum(key, value, sum);
	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "key", key);
	json_text(&json, "value", value);
	json_text(&json, "sum", sum);
	json_close(&json);
	buf_text(out, "\n");
}

int memo_put(const char *name, const char *key, const char *value,
	     struct err *err)
{
	auto_free char *folder = memo_folder();
	auto_free char *path = folder ? file_join(folder, name) : NULL;
	auto_buf struct buf out = { 0 };
	int r;

	if (!path)
		return err_set(err, -EINVAL,
			       "neither HOME nor XDG_CACHE_HOME is set");
	memo_write(&out, key, value);
	if (out.failed || out.len >= MEMO_MOST)
		return err_set(err, -EFBIG, "write %s", path);
	r = file_make_dirs(folder, 0700, err);
	return r < 0 ? r : file_publish(path, out.data, out.len, 0600, err);
}

static bool memo_is(const char *path, const char *text)
{
	char there[MEMO_MOST];

	return memo_read(path, there) >= 0 && strcmp(there, text) == 0;
}

/* Whatever the umask is. */
static int memo_open_to_all(const char *path, mode_t mode, struct err *err)
{
	return chmod(path, mode) < 0
		       ? err_set(err, -errno, "open %s to all", path)
		       : 0;
}

static int memo_write_for(const char *folder, const char *theirs,
			  const char *to, const char *text, struct err *err)
{
	int r = file_make_dirs(theirs, 0755, err);

	if (r >= 0)
		r = memo_open_to_all(folder, 0755, err);
	if (r >= 0)
		r = memo_open_to_all(theirs, 0755, err);
	if (r >= 0)
		r = file_publish(to, text, strlen(text), 0644, err);
	return r < 0 ? r : memo_open_to_all(to, 0644, err);
}

int memo_hand_on(const char *name, const char *folder, struct err *err)
{
	auto_free char *own = memo_folder();
	auto_free char *from = own ? file_join(own, name) : NULL;
	auto_free char *theirs = file_join(folder, "brood");
	auto_free char *to = theirs ? file_join(theirs, name) : NULL;
	char text[MEMO_MOST];

	if (!to)
		return err_set(err, -ENOMEM, "hand %s on", name);
	if (!from || memo_read(from, text) < 0 || memo_is(to, text))
		return 0;
	return memo_write_for(folder, theirs, to, text, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of an OCI image layout, and the blobs in it. */
#include "layout/layout.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LAYOUT_PART = 64 * 1024 };

static const char layout_version[] = "1.0.0";

/* ---- the folder ----------------------------------------------------------- */

static int layout_folder_at(int at, const char *name)
{
	return openat(at, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int layout_open_blobs(struct layout *layout, struct err *err)
{
	auto_close int blobs = layout_folder_at(layout->fd, "blobs");

	if (blobs >= 0)
		layout->blobs = layout_folder_at(blobs, "sha256");
	return layout->blobs < 0 ? err_set(err, -errno, "open %s/blobs/sha256",
					   layout->path)
				 : 0;
}

static int layout_check_version(const struct layout *layout, struct err *err)
{
	auto_buf struct buf text = { 0 };
	auto_free char *version = NULL;
	int rc = layout_json(layout, "oci-layout", &text, err);

	if (rc < 0)
		return rc;
	version = json_get_text(buf_string(&text), "imageLayoutVersion");
	if (!version || strcmp(version, layout_version) != 0)
		return err_set(err, -EINVAL,
			       "%s is no OCI layout of version %s",
			       layout->path, layout_version);
	return 0;
}

static int layout_open_folder(const char *path, struct layout *layout,
			      struct err *err)
{
	*layout = LAYOUT_NONE;
	layout->path = strdup(path);
	if (!layout->path)
		return err_set(err, -ENOMEM, "open %s", path);
	layout->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return layout->fd < 0 ? err_set(err, -errno, "open %s", path) : 0;
}

int layout_open(const char *path, struct layout *layout, struct err *err)
{
	int rc = layout_open_folder(path, layout, err);

	if (rc >= 0)
		rc = layout_check_version(layout, err);
	if (rc >= 0)
		rc = layout_open_blobs(layout, err);
	if (rc < 0)
		layout_close(layout);
	return rc;
}

/* What a writer may find before there is a layout: nothing, or what was left
 * by one that was killed. */
static bool layout_is_start(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	       strcmp(name, "blobs") == 0 || file_draft_mark(name);
}

static int layout_check_start(const struct layout *layout, struct err *err)
{
	struct dirent *entry;
	DIR *list = opendir(layout->path);
	int rc = 0;

	if (!list)
		return err_set(err, -errno, "open %s", layout->path);
	while (rc == 0 && (entry = readdir(list)))
		if (!layout_is_start(entry->d_name))
			rc = err_set(err, -EINVAL,
				     "%s is no OCI layout, and not empty: it "
				     "has %s",
				     layout->path, entry->d_name);
	closedir(list);
	return rc;
}

static int layout_check_old(const struct layout *layout, struct err *err)
{
	if (faccessat(layout->fd, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return layout_check_version(layout, err);
	return layout_check_start(layout, err);
}

static int layout_make_blobs(struct layout *layout, struct err *err)
{
	auto_close int blobs = -1;

	if (mkdirat(layout->fd, "blobs", 0777) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/blobs", layout->path);
	blobs = layout_folder_at(layout->fd, "blobs");
	if (blobs < 0)
		return err_set(err, -errno, "open %s/blobs", layout->path);
	if (mkdirat(blobs, "sha256", 0777) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/blobs/sha256",
			       layout->path);
	if (fsync(blobs) < 0 || fsync(layout->fd) < 0)
		return err_set(err, -errno, "sync %s", layout->path);
	return layout_open_blobs(layout, err);
}

static char *layout_blob_path(const struct layout *layout, const char *hex)
{
	return file_format("%s/blobs/sha256/%s", layout->path, hex);
}

static void layout_sweep(const struct layout *layout)
{
	auto_free char *blobs = layout_blob_path(layout, "");

	file_sweep_drafts(layout->path);
	if (blobs)
		file_sweep_drafts(blobs);
}

int layout_make(const char *path, struct layout *layout, struct err *err)
{
	int rc = file_make_dirs(path, 0777, err);

	*layout = LAYOUT_NONE;
	if (rc >= 0)
		rc = layout_open_folder(path, layout, err);
	if (rc >= 0 && flock(layout->fd, LOCK_EX) < 0)
		rc = err_set(err, -errno, "lock %s", path);
	if (rc >= 0)
		rc = layout_check_old(layout, err);
	if (rc >= 0)
		rc = layout_make_blobs(layout, err);
	if (rc >= 0)
		layout_sweep(layout);
	else
		layout_close(layout);
	return rc;
}

void layout_close(struct layout *layout)
{
	fd_close(&layout->blobs);
	fd_close(&layout->fd);
	mem_free(&layout->path);
}

/* ---- files of JSON ---------------------------------------------------------- */

int layout_check_json(const struct buf *text, const char *what, struct err *err)
{
	const char *at = buf_string(text);
	int rc = json_check(at, text->len, err);

	if (rc < 0)
		return err_wrap(err, "%s", what);
	/* Those who read on go by where the text ends. */
	if (strlen(at) != text->len || at[strspn(at, " \t\r\n")] != '{')
		return err_set(err, -EINVAL, "%s is no JSON object", what);
	return 0;
}

int layout_json(const struct layout *layout, const char *name, struct buf *text,
		struct err *err)
{
	auto_close int fd =
		openat(layout->fd, name,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_free char *path = file_join(layout->path, name);
	struct stat st;
	int rc;

	if (!path)
		return err_set(err, -ENOMEM, "open %s", name);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is no file", path);
	rc = file_read_fd(fd, path, text, LAYOUT_JSON_MOST, err);
	return rc < 0 ? rc : layout_check_json(text, path, err);
}

static int layout_mark(const struct layout *layout, struct err *err)
{
	auto_free char *path = file_join(layout->path, "oci-layout");
	auto_free char *text = file_format("{\"imageLayoutVersion\":\"%s\"}\n",
					   layout_version);

	if (!path || !text)
		return err_set(err, -ENOMEM, "write %s", layout->path);
	if (access(path, F_OK) == 0)
		return 0;
	return file_publish(path, text, strlen(text), 0666, err);
}

int layout_publish(const struct layout *layout, const char *name,
		   const struct buf *text, struct err *err)
{
	auto_free char *path = file_join(layout->path, name);
	int rc;

	if (!path || text->failed)
		return err_set(err, -ENOMEM, "write %s", name);
	if (text->len > LAYOUT_JSON_MOST)
		return err_set(err, -EFBIG, "write %s", path);
	rc = layout_mark(layout, err);
	return rc < 0 ? rc
		      : file_publish(path, text->data, text->len, 0666, err);
}

/* ---- blobs -------------------------------------------------------------------- */

static void layout_hex(const uint8_t sum[SHA256_BYTES], char *hex)
{
	for (int i = 0; i < SHA256_BYTES; i++)
		sprintf(hex + 2 * i, "%02x", sum[i]);
}

/* to: -1 to look alone.  A file that is cut meanwhile is -ENODATA. */
static int layout_stream(int from, int to, uint64_t bytes,
			 struct progress *progress, char *hex, struct err *err)
{
	uint8_t part[LAYOUT_PART], sum[SHA256_BYTES];
	struct sha256 sha;
	uint64_t at = 0;

	sha256_start(&sha);
	while (at < bytes) {
		size_t len =
			bytes - at < sizeof part ? bytes - at : sizeof part;
		int rc = fd_pread_all(from, part, len, at, err);

		if (rc >= 0 && to >= 0)
			rc = fd_write_all(to, part, len, err);
		if (rc < 0)
			return rc;
		sha256_add(&sha, part, len);
		at += len;
		progress_part(progress, at, bytes);
	}
	sha256_end(&sha, sum);
	layout_hex(sum, hex);
	return 0;
}

int layout_open_blob(const struct layout *layout,
		     const struct layout_blob *blob, const char *what,
		     struct err *err)
{
	struct stat st;
	auto_close int fd =
		openat(layout->blobs, blob->hex,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, -errno, "%s: blob %s", what, blob->hex);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: blob %s is no file", what,
			       blob->hex);
	if ((uint64_t)st.st_size != blob->bytes)
		return err_set(err, -EINVAL,
			       "%s: blob %s has %lu bytes, and should have %lu",
			       what, blob->hex, (unsigned long)st.st_size,
			       (unsigned long)blob->bytes);
	return steal_fd(&fd);
}

static int layout_check_hex(const struct layout_blob *blob, const char *what,
			    const char *hex, struct err *err)
{
	return strcmp(hex, blob->hex) == 0
		       ? 0
		       : err_set(err, -EBADMSG,
				 "%s: blob %s has another digest: damaged",
				 what, blob->hex);
}

int layout_check_sum(const struct layout_blob *blob, const char *what,
		     const uint8_t *sum, struct err *err)
{
	char hex[LAYOUT_HEX + 1];

	layout_hex(sum, hex);
	return layout_check_hex(blob, what, hex, err);
}

int layout_get_fd(const struct layout *layout, const struct layout_blob *blob,
		  const char *what, int to, struct progress *progress,
		  struct err *err)
{
	auto_close int fd = layout_open_blob(layout, blob, what, err);
	char hex[LAYOUT_HEX + 1];
	int rc;

	if (fd < 0)
		return fd;
	rc = layout_stream(fd, to, blob->bytes, progress, hex, err);
	if (rc < 0)
		return err_wrap(err, "%s: blob %s", what, blob->hex);
	return layout_check_hex(blob, what, hex, err);
}

int layout_get(const struct layout *layout, const struct layout_blob *blob,
	       const char *what, uint64_t most, struct buf *to, struct err *err)
{
	auto_close int fd = -1;
	uint8_t sum[SHA256_BYTES];
	char *room;
	int rc;

	if (blob->bytes > most)
		return err_set(err, -EFBIG, "%s: %lu bytes", what,
			       (unsigned long)blob->bytes);
	fd = layout_open_blob(layout, blob, what, err);
	if (fd < 0)
		return fd;
	room = buf_room(to, blob->bytes);
	if (!room)
		return err_set(err, -ENOMEM, "%s", what);
	rc = fd_pread_all(fd, room, blob->bytes, 0, err);
	if (rc < 0)
		return err_wrap(err, "%s: blob %s", what, blob->hex);
	sha256_of(room, blob->bytes, sum);
	rc = layout_check_sum(blob, what, sum, err);
	if (rc >= 0)
		buf_used(to, blob->bytes);
	return rc;
}

static bool layout_has(const struct layout *layout,
		       const struct layout_blob *blob)
{
	return layout_get_fd(layout, blob, "", -1, NULL, NULL) >= 0;
}

int layout_put_fd(const struct layout *layout, int fd,
		  const struct layout_blob *blob, struct progress *progress,
		  struct err *err)
{
	auto_free char *path = layout_blob_path(layout, blob->hex);
	char hex[LAYOUT_HEX + 1];
	struct file_draft draft;
	int rc;

	if (!path)
		return err_set(err, -ENOMEM, "write a blob");
	if (layout_has(layout, blob))
		return 0;
	rc = file_draft_open(&draft, path, 0666, err);
	if (rc >= 0)
		rc = layout_stream(fd, draft.fd, blob->bytes, progress, hex,
				   err);
	if (rc >= 0 && strcmp(hex, blob->hex) != 0)
		rc = err_set(err, -EBADMSG, "it changed meanwhile");
	if (rc >= 0)
		rc = file_draft_publish(&draft, err);
	file_draft_close(&draft);
	return rc < 0 ? err_wrap(err, "write %s", path) : 0;
}

int layout_draft_open(const struct layout *layout, struct file_draft *draft,
		      struct err *err)
{
	auto_free char *path = layout_blob_path(layout, "new");

	*draft = (struct file_draft){ .fd = -1 };
	return path ? file_draft_open(draft, path, 0666, err)
		    : err_set(err, -ENOMEM, "write a blob");
}

int layout_draft_put(const struct layout *layout, struct file_draft *draft,
		     const uint8_t *sum, uint64_t bytes,
		     struct layout_blob *blob, struct err *err)
{
	int rc;

	layout_hex(sum, blob->hex);
	blob->bytes = bytes;
	if (layout_has(layout, blob))
		return 1;
	free(draft->path);
	draft->path = layout_blob_path(layout, blob->hex);
	if (!draft->path)
		return err_set(err, -ENOMEM, "write a blob");
	rc = file_draft_publish(draft, err);
	return rc < 0 ? err_wrap(err, "write %s", draft->path) : 0;
}

int layout_put(const struct layout *layout, const void *data, size_t len,
	       struct layout_blob *blob, struct err *err)
{
	uint8_t sum[SHA256_BYTES];
	auto_free char *path = NULL;

	sha256_of(data, len, sum);
	layout_hex(sum, blob->hex);
	blob->bytes = len;
	if (layout_has(layout, blob))
		return 0;
	path = layout_blob_path(layout, blob->hex);
	return path ? file_publish(path, data, len, 0666, err)
		    : err_set(err, -ENOMEM, "write a blob");
}

/* ---- descriptors ---------------------------------------------------------------- */

static bool layout_is_digest(const char *text)
{
	return strncmp(text, "sha256:", 7) == 0 &&
	       strlen(text + 7) == LAYOUT_HEX &&
	       strspn(text + 7, "0123456789abcdef") == LAYOUT_HEX;
}

int layout_blob_read(const char *text, const char *what,
		     struct layout_blob *blob, struct err *err)
{
	auto_free char *digest = json_get_text(text, "digest");
	int64_t bytes = json_get_number(text, "size", -1);

	if (!digest || !layout_is_digest(digest))
		return err_set(err, -EINVAL, "%s has no digest sha256:HEX",
			       what);
	if (bytes < 0)
		return err_set(err, -EINVAL, "%s has no size", what);
	memcpy(blob->hex, digest + 7, sizeof blob->hex);
	blob->bytes = bytes;
	return 0;
}

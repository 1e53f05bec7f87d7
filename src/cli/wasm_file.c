/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of modules. */
#include "cli/wasm_file.h"
#include "base/fd.h"
#include "wat/wat.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_PART = 64 * 1024 };
#define FILE_MOST (UINT64_C(4) << 30)

/* What is read at a time; a regular file is read at once. */
static int wasm_file_part(int fd, const char *path, size_t *part,
			  struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat %s", path);
	*part = FILE_PART;
	if (S_ISREG(st.st_mode) && (size_t)st.st_size >= *part)
		*part = (size_t)st.st_size + 1;
	return *part > FILE_MOST ? err_set(err, -EFBIG, "read %s", path) : 0;
}

static int wasm_file_read_fd(int fd, const char *path, struct buf *bytes,
			     struct err *err)
{
	size_t part = FILE_PART;
	ssize_t got = 1;

	if (wasm_file_part(fd, path, &part, err) < 0)
		return err ? err->code : -EIO;
	while (got) {
		char *room = buf_room(bytes, part);

		if (!room)
			return err_set(err, -ENOMEM, "read %s", path);
		got = read(fd, room, part);
		if (got < 0 && errno != EINTR)
			return err_set(err, -errno, "read %s", path);
		if (got > 0)
			buf_used(bytes, (size_t)got);
		if (bytes->len > FILE_MOST)
			return err_set(err, -EFBIG, "read %s", path);
		part = FILE_PART;
	}
	return 0;
}

int wasm_file_read(const char *path, struct buf *bytes, struct err *err)
{
	auto_close int fd = -1;

	if (strcmp(path, "-") == 0)
		return wasm_file_read_fd(STDIN_FILENO, "standard input", bytes,
					 err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	return wasm_file_read_fd(fd, path, bytes, err);
}

static int wasm_file_read_kept(const char *path, struct buf *bytes,
			       struct wasm_file *file, struct err *err)
{
	struct stat st;
	int rc;

	file->fd = -1;
	if (strcmp(path, "-") == 0)
		return wasm_file_read(path, bytes, err);
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return err_set(err, -errno, "open %s", path);
	if (fstat(file->fd, &st) == 0)
		file_stamp_of(&st, &file->stamp);
	rc = wasm_file_read_fd(file->fd, path, bytes, err);
	if (rc < 0)
		fd_close(&file->fd);
	return rc;
}

static bool wasm_file_is_binary(const struct buf *bytes)
{
	return bytes->len >= 4 && memcmp(bytes->data, "\0asm", 4) == 0;
}

/* Text begins with a parenthesis or a comment. */
static bool wasm_file_is_text(const struct buf *bytes)
{
	const char *text = buf_string(bytes);
	size_t at = strspn(text, " \t\r\n");

	return bytes->len &&
	       (text[at] == '(' || strncmp(text + at, ";;", 2) == 0);
}

int wasm_file_read_from(const char *path, struct buf *bytes,
			struct wasm_file *file, struct err *err)
{
	auto_buf struct buf text = { 0 };
	const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
	int result = wasm_file_read_kept(path, bytes, file, err);

	if (result < 0 || wasm_file_is_binary(bytes))
		return result;
	fd_close(&file->fd);
	if (!wasm_file_is_text(bytes))
		return err_set(err, -EBADMSG,
			       "%s: neither a WebAssembly module nor the text "
			       "of one",
			       name);
	text = *bytes;
	*bytes = (struct buf){ 0 };
	return wat_to_binary(name, text.data, text.len, bytes, err);
}

int wasm_file_read_module(const char *path, struct buf *bytes, struct err *err)
{
	struct wasm_file file;
	int result = wasm_file_read_from(path, bytes, &file, err);

	fd_close(&file.fd);
	return result;
}

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

/* Blank so far, or half a comment's start. */
static bool wasm_file_is_open(const struct buf *bytes)
{
	const char *text = buf_string(bytes);
	size_t at = strspn(text, " \t\r\n");

	return at == bytes->len || (at + 1 == bytes->len && text[at] == ';');
}

/* Could the first bytes of a file be those of a module?  What comes from a
 * pipe or a device may have no end. */
static int wasm_file_judge(const char *path, const struct buf *bytes,
			   struct err *err)
{
	static const uint8_t component[] = { 0, 'a', 's', 'm', 13, 0, 1, 0 };

	if (bytes->len >= sizeof component &&
	    memcmp(bytes->data, component, sizeof component) == 0)
		return err_set(err, -EBADMSG,
			       "%s: a component: brood runs core modules; "
			       "build it for WASI preview 1 (Rust: "
			       "wasm32-wasip1), or take its core module out "
			       "(wasm-tools component unbundle)",
			       path);
	if (wasm_file_is_binary(bytes) || wasm_file_is_text(bytes))
		return 0;
	return err_set(err, -EBADMSG,
		       "%s: neither a WebAssembly module nor the text of one",
		       path);
}

/* How much a regular file has; 0 for what is none. */
static int wasm_file_size(int fd, const char *path, size_t *size,
			  struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat %s", path);
	*size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 0;
	return *size >= FILE_MOST ? err_set(err, -EFBIG, "read %s", path) : 0;
}

/* Until "least" bytes are there or the file ends; it may be some more. */
static int wasm_file_read_to(int fd, const char *path, size_t least,
			     struct buf *bytes, struct err *err)
{
	while (bytes->len < least) {
		size_t part = least - bytes->len;
		char *room = buf_room(bytes, part);
		ssize_t got;

		if (!room)
			return err_set(err, -ENOMEM, "read %s", path);
		got = read(fd, room, part);
		if (got < 0 && errno != EINTR)
			return err_set(err, -errno, "read %s", path);
		if (got == 0)
			return 0;
		if (got > 0)
			buf_used(bytes, (size_t)got);
	}
	return 1;
}

static int wasm_file_read_rest(int fd, const char *path, size_t size,
			       struct buf *bytes, struct err *err)
{
	int more = 1;

	while (more > 0) {
		size_t least =
			bytes->len < size ? size + 1 : bytes->len + FILE_PART;

		more = wasm_file_read_to(fd, path, least, bytes, err);
		if (more > 0 && bytes->len > FILE_MOST)
			return err_set(err, -EFBIG, "read %s", path);
	}
	return more;
}

static int wasm_file_read_fd(int fd, const char *path, struct buf *bytes,
			     struct err *err)
{
	size_t size = 0, first = 8, most;
	int more = wasm_file_size(fd, path, &size, err);

	most = size > FILE_PART ? size : FILE_PART;
	if (more < 0)
		return more;
	if (size > FILE_PART && !buf_room(bytes, size + 1))
		return err_set(err, -ENOMEM, "read %s", path);
	more = wasm_file_read_to(fd, path, first, bytes, err);
	/* A text may have a long way to its first sign. */
	while (more > 0 && first < most && wasm_file_is_open(bytes)) {
		first *= 2;
		more = wasm_file_read_to(fd, path, first, bytes, err);
	}
	if (more < 0)
		return more;
	if (wasm_file_judge(path, bytes, err) < 0)
		return err ? err->code : -EBADMSG;
	return more ? wasm_file_read_rest(fd, path, size, bytes, err) : 0;
}

int wasm_file_open(const char *path, struct wasm_file *file, struct err *err)
{
	struct stat st;

	file->fd = -1;
	if (strcmp(path, "-") == 0)
		return 0;
	file->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0)
		return err_set(err, -errno, "open %s", path);
	/* Where standard input is closed, the file must not become it. */
	if (file->fd <= STDERR_FILENO &&
	    fd_raise(&file->fd, STDERR_FILENO + 1) < 0)
		return err_set(err, -errno, "open %s", path);
	if (fstat(file->fd, &st) == 0)
		file_stamp_of(&st, &file->stamp);
	return 0;
}

int wasm_file_read_from(const char *path, struct buf *bytes,
			struct wasm_file *file, struct err *err)
{
	auto_buf struct buf text = { 0 };
	bool is_input = file->fd < 0;
	const char *name = is_input ? "standard input" : path;
	int result = wasm_file_read_fd(is_input ? STDIN_FILENO : file->fd, name,
				       bytes, err);

	if (result >= 0 && wasm_file_is_binary(bytes))
		return result;
	fd_close(&file->fd);
	if (result < 0)
		return result;
	text = *bytes;
	*bytes = (struct buf){ 0 };
	return wat_to_binary(name, text.data, text.len, bytes, err);
}

int wasm_file_read_module(const char *path, struct buf *bytes, struct err *err)
{
	struct wasm_file file;
	int result = wasm_file_open(path, &file, err);

	if (result >= 0)
		result = wasm_file_read_from(path, bytes, &file, err);
	fd_close(&file.fd);
	return result;
}

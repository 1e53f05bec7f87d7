/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest has open, kept for a snapshot of it.  Of what was granted only
 * that is kept by which it differs from the grant; a file or folder that the
 * guest has opened is a path beneath a granted one, where it is looked for. */
#include "vm/wasi_state.h"
#include "base/buf.h"
#include "base/hash.h"
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *wasi_state_name(const char *path, struct buf *text)
{
	buf_clear(text);
	vm_describe_name((struct wasm_name){ .text = path,
					     .len = (uint32_t)strlen(path) },
			 text);
	return buf_string(text);
}

void wasi_state_stat(struct wasi_state_fd *to, const struct stat *stat)
{
	to->dev = stat->st_dev;
	to->ino = stat->st_ino;
	to->bytes = stat->st_size;
	to->mtime_s = stat->st_mtim.tv_sec;
	to->mtime_ns = stat->st_mtim.tv_nsec;
}

uint64_t wasi_state_sum(const void *bytes, size_t len)
{
	size_t from = offsetof(struct wasi_state, sum) + sizeof(uint64_t);

	return hash64((const uint8_t *)bytes + from, len - from);
}

struct wasi_saving {
	const struct wasi *wasi;
	struct buf grants, fds, text;
	struct wasi_state head;
};

static void wasi_saving_fini(struct wasi_saving *saving)
{
	buf_fini(&saving->grants);
	buf_fini(&saving->fds);
	buf_fini(&saving->text);
}

static int wasi_saving_refuse(uint32_t fd, const char *path, const char *why,
			      struct err *err)
{
	auto_buf struct buf text = { 0 };

	return err_set(err, -EINVAL,
		       "descriptor %u%s%.150s %s: a warm state cannot have it",
		       fd, *path ? ", " : "", wasi_state_name(path, &text),
		       why);
}

static void wasi_saving_grants(struct wasi_saving *saving)
{
	const struct wasi *wasi = saving->wasi;

	for (uint32_t i = 0; i < wasi->grant_room; i++) {
		const struct wasi_grant *grant = &wasi->grants[i];
		struct wasi_state_grant to = { .fd = i, .kind = grant->kind };

		if (grant->kind == WASI_NOT_GRANTED)
			continue;
		if (grant->folder) {
			to.text_bytes = strlen(grant->folder);
			buf_add(&saving->text, grant->folder, to.text_bytes);
		}
		buf_add(&saving->grants, &to, sizeof to);
		saving->head.grant_count++;
	}
}

static void wasi_saving_granted(const struct wasi_saving *saving,
				const struct wasi_fd *fd,
				struct wasi_state_fd *to)
{
	const struct wasi_grant *grant = &saving->wasi->grants[fd->grant - 1];

	to->kind = WASI_STATE_GRANTED;
	to->grant = fd->grant - 1;
	to->changed = fd->flags ^ grant->flags;
	to->flags = fd->flags & to->changed;
	to->rights = grant->rights & ~fd->rights;
	to->inheriting = grant->inheriting & ~fd->inheriting;
}

/* Where the kernel knows it; "" where it does not. */
static void wasi_saving_path(int host, char path[PATH_MAX])
{
	char name[32];
	ssize_t len;

	snprintf(name, sizeof name, "/proc/self/fd/%d", host);
	len = readlink(name, path, PATH_MAX - 1);
	path[len > 0 ? len : 0] = 0;
}

/* Where in the path its rest below the folder begins; 0: it is not there. */
static size_t wasi_saving_below(const char *folder, const char *path)
{
	size_t len = strlen(folder);

	if (len && folder[len - 1] == '/')
		len--;
	if (!*folder || strncmp(path, folder, len) != 0)
		return 0;
	if (path[len] == '/')
		return len + 1;
	return path[len] ? 0 : len;
}

/* The innermost granted folder above the path that hands on the rights. */
static const char *wasi_saving_folder(const struct wasi *wasi,
				      const struct wasi_fd *fd,
				      const char *path, uint32_t *which)
{
	char folder[PATH_MAX];
	size_t best = 0;

	for (uint32_t i = 0; i < wasi->fd_room; i++) {
		const struct wasi_fd *from = &wasi->fds[i];
		const struct wasi_grant *grant;
		size_t at;

		if (from->host < 0 || !from->folder)
			continue;
		grant = &wasi->grants[from->grant - 1];
		if ((fd->rights | fd->inheriting) & ~grant->inheriting)
			continue;
		wasi_saving_path(from->host, folder);
		at = wasi_saving_below(folder, path);
		if (at > best) {
			best = at;
			*which = i;
		}
	}
	if (!best)
		return NULL;
	return path[best] ? path + best : ".";
}

/* Is it that file which is found by the path? */
static bool wasi_saving_is_there(const struct wasi *wasi, int folder,
				 const char *path, const struct stat *stat)
{
	struct stat found;
	int host, r;

	if (wasi_beneath_open(wasi, folder, path, O_PATH | O_NOFOLLOW, 0,
			      &host))
		return false;
	r = fstat(host, &found);
	close(host);
	return r == 0 && found.st_dev == stat->st_dev &&
	       found.st_ino == stat->st_ino;
}

static int wasi_saving_place(struct wasi_saving *saving,
			     const struct wasi_fd *fd, const char *path,
			     const struct stat *stat, struct wasi_state_fd *to,
			     struct err *err)
{
	const struct wasi *wasi = saving->wasi;
	uint32_t folder = 0;
	const char *rest = wasi_saving_folder(wasi, fd, path, &folder);

	if (!*path)
		return wasi_saving_refuse(to->fd, path,
					  "has a path that /proc does not tell",
					  err);
	if (!rest)
		return wasi_saving_refuse(to->fd, path,
					  "is beneath no granted folder", err);
	if (!wasi_saving_is_there(wasi, wasi->fds[folder].host, rest, stat))
		return wasi_saving_refuse(to->fd, path, "is not there any more",
					  err);
	to->grant = wasi->fds[folder].grant - 1;
	to->text_bytes = strlen(rest);
	buf_add(&saving->text, rest, to->text_bytes);
	return 0;
}

static int wasi_saving_opened(struct wasi_saving *saving,
			      const struct wasi_fd *fd,
			      struct wasi_state_fd *to, struct err *err)
{
	int flags = fcntl(fd->host, F_GETFL);
	off_t offset = lseek(fd->host, 0, SEEK_CUR);
	char path[PATH_MAX];
	struct stat stat;

	wasi_saving_path(fd->host, path);
	if (fd->type != WASI_REGULAR_FILE && fd->type != WASI_DIRECTORY)
		return wasi_saving_refuse(
			to->fd, path, "is no file and was not granted", err);
	if (flags < 0 || offset < 0 || fstat(fd->host, &stat) < 0)
		return err_set(err, -errno, "descriptor %u", to->fd);
	if ((flags & O_ACCMODE) != O_RDONLY)
		return wasi_saving_refuse(to->fd, path, "is open for writing",
					  err);
	to->kind = fd->type == WASI_DIRECTORY ? WASI_STATE_FOLDER
					      : WASI_STATE_FILE;
	to->flags = fd->flags;
	to->rights = fd->rights;
	to->inheriting = fd->inheriting;
	to->offset = offset;
	wasi_state_stat(to, &stat);
	return wasi_saving_place(saving, fd, path, &stat, to, err);
}

static int wasi_saving_fds(struct wasi_saving *saving, struct err *err)
{
	const struct wasi *wasi = saving->wasi;

	for (uint32_t i = 0; i < wasi->fd_room; i++) {
		const struct wasi_fd *fd = &wasi->fds[i];
		struct wasi_state_fd to = { .fd = i };
		int r = 0;

		if (fd->host < 0)
			continue;
		if (fd->grant)
			wasi_saving_granted(saving, fd, &to);
		else
			r = wasi_saving_opened(saving, fd, &to, err);
		if (r < 0)
			return r;
		buf_add(&saving->fds, &to, sizeof to);
		saving->head.fd_count++;
	}
	return 0;
}

static int wasi_saving_write(struct wasi_saving *saving, struct buf *out,
			     struct err *err)
{
	const struct buf *parts[] = { &saving->grants, &saving->fds,
				      &saving->text };
	struct wasi_state *head = &saving->head;
	size_t begin = out->len;
	bool failed = false;

	memcpy(head->magic, WASI_STATE_MAGIC, sizeof head->magic);
	head->version = WASI_STATE_VERSION;
	head->header_bytes = sizeof *head;
	head->text_bytes = saving->text.len;
	buf_add(out, head, sizeof *head);
	for (int i = 0; i < 3; i++) {
		failed |= parts[i]->failed;
		if (parts[i]->len)
			buf_add(out, parts[i]->data, parts[i]->len);
	}
	if (failed || out->failed)
		return err_set(err, -ENOMEM, "a warm state of WASI");
	head->sum = wasi_state_sum(out->data + begin, out->len - begin);
	memcpy(out->data + begin, head, sizeof *head);
	return 0;
}

int wasi_state_save(const struct wasi *wasi, struct buf *out, struct err *err)
{
	struct wasi_saving saving = { .wasi = wasi };
	int r;

	wasi_saving_grants(&saving);
	r = wasi_saving_fds(&saving, err);
	if (r >= 0)
		r = wasi_saving_write(&saving, out, err);
	wasi_saving_fini(&saving);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Files: whole reads, atomic publishing, trust by owner and mode. */
#include "base/file.h"
#include "base/fd.h"
#include "base/process.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *file_format(const char *format, ...)
{
	va_list list;
	char *text = NULL;

	va_start(list, format);
	if (vasprintf(&text, format, list) < 0)
		text = NULL;
	va_end(list);
	return text;
}

char *file_join(const char *dir, const char *name)
{
	return file_format("%s/%s", dir, name);
}

const char *file_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static char *file_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, slash - path);
}

/* ---- publishing ------------------------------------------------------- */

static const char file_draft_word[] = ".draft.";

const char *file_draft_mark(const char *name)
{
	const char *word = strstr(name, file_draft_word);

	return word ? word + sizeof file_draft_word - 1 : NULL;
}

/* Or a zombie: it writes no more. */
static bool file_writer_is_gone(long pid)
{
	char path[64], byte;

	snprintf(path, sizeof path, "/proc/%ld/exe", pid);
	return readlink(path, &byte, 1) < 0 && errno == ENOENT &&
	       access("/proc/self/exe", F_OK) == 0;
}

void file_sweep_drafts(const char *folder)
{
	DIR *list = opendir(folder);
	struct dirent *entry;

	while (list && (entry = readdir(list))) {
		const char *mark = file_draft_mark(entry->d_name);
		long pid = mark ? strtol(mark, NULL, 10) : 0;

		if (pid > 0 && file_writer_is_gone(pid))
			unlinkat(dirfd(list), entry->d_name, 0);
	}
	if (list)
		closedir(list);
}

static char *file_draft_hidden(const struct file_draft *draft)
{
	return file_format("%s%s%d.%lx", draft->path, file_draft_word, getpid(),
			   (unsigned long)(uintptr_t)draft);
}

static int file_draft_named(struct file_draft *draft, mode_t mode,
			    struct err *err)
{
	draft->hidden = file_draft_hidden(draft);
	if (!draft->hidden)
		return err_set(err, -ENOMEM, "write %s", draft->path);
	unlink(draft->hidden);
	draft->fd =
		open(draft->hidden,
		     O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	return draft->fd < 0 ? err_set(err, -errno, "make %s", draft->hidden)
			     : 0;
}

int file_draft_open(struct file_draft *draft, const char *path, mode_t mode,
		    struct err *err)
{
	auto_free char *folder = file_folder(path);

	*draft = (struct file_draft){ .fd = -1, .path = strdup(path) };
	if (!draft->path || !folder)
		return err_set(err, -ENOMEM, "write %s", path);
	if (process_feature("o_tmpfile"))
		draft->fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
	if (draft->fd >= 0)
		return 0;
	return file_draft_named(draft, mode, err);
}

/* An unnamed file can be linked under a new name only, so it gets a hidden
 * one first. */
static int file_draft_name(struct file_draft *draft, struct err *err)
{
	char from[64];

	if (draft->hidden)
		return 0;
	draft->hidden = file_draft_hidden(draft);
	if (!draft->hidden)
		return err_set(err, -ENOMEM, "publish %s", draft->path);
	snprintf(from, sizeof from, "/proc/self/fd/%d", draft->fd);
	unlink(draft->hidden);
	if (linkat(AT_FDCWD, from, AT_FDCWD, draft->hidden, AT_SYMLINK_FOLLOW) <
	    0) {
		int code = -errno;

		mem_free(&draft->hidden);
		return err_set(err, code, "link %s", draft->path);
	}
	return 0;
}

static int file_sync_folder(const char *path, struct err *err)
{
	auto_free char *folder = file_folder(path);
	auto_close int fd = -1;

	if (!folder)
		return err_set(err, -ENOMEM, "sync %s", path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return err_set(err, -errno, "sync %s", folder);
	return 0;
}

static int file_draft_rename(struct file_draft *draft, struct err *err)
{
	int r = file_draft_name(draft, err);

	if (r < 0)
		return r;
	if (rename(draft->hidden, draft->path) < 0)
		return err_set(err, -errno, "publish %s", draft->path);
	mem_free(&draft->hidden);
	return 0;
}

int file_draft_publish(struct file_draft *draft, struct err *err)
{
	int r;

	if (fsync(draft->fd) < 0)
		return err_set(err, -errno, "sync %s", draft->path);
	r = file_draft_rename(draft, err);
	return r < 0 ? r : file_sync_folder(draft->path, err);
}

void file_draft_close(struct file_draft *draft)
{
	if (draft->hidden)
		unlink(draft->hidden);
	fd_close(&draft->fd);
	mem_free(&draft->hidden);
	mem_free(&draft->path);
}

static int file_put(const char *path, const void *data, size_t len, mode_t mode,
		    bool sync, struct err *err)
{
	struct file_draft draft;
	int r = file_draft_open(&draft, path, mode, err);

	if (r >= 0 && fd_write_all(draft.fd, data, len, err) < 0)
		r = err_wrap(err, "write %s", path);
	if (r >= 0)
		r = sync ? file_draft_publish(&draft, err)
			 : file_draft_rename(&draft, err);
	file_draft_close(&draft);
	return r;
}

int file_publish(const char *path, const void *data, size_t len, mode_t mode,
		 struct err *err)
{
	return file_put(path, data, len, mode, true, err);
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode,
		 struct err *err)
{
	return file_put(path, data, len, mode, false, err);
}

/* ---- reading ------------------------------------------------------------ */

int file_read_fd(int fd, const char *path, struct buf *to, size_t most,
		 struct err *err)
{
	char part[16384];
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, part, sizeof part);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "read %s", path);
		if (n == 0)
			break;
		len += n;
		if (len > most)
			return err_set(err, -EFBIG, "read %s", path);
		buf_add(to, part, n);
	}
	buf_add(to, "", 0);
	return to->failed ? err_set(err, -ENOMEM, "read %s", path) : 0;
}

int file_read(const char *path, struct buf *to, size_t most, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	return file_read_fd(fd, path, to, most, err);
}

int file_open_trusted(const char *path, struct err *err)
{
	struct stat st;
	auto_close int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(err, -EINVAL, "%s belongs to user %u", path,
			       st.st_uid);
	if (st.st_mode & S_IWGRP)
		return err_set(err, -EINVAL, "%s can be written by its group",
			       path);
	if (st.st_mode & S_IWOTH)
		return err_set(err, -EINVAL, "%s can be written by anybody",
			       path);
	return steal_fd(&fd);
}

/* ---- folders ------------------------------------------------------------ */

int file_make_dirs(const char *path, mode_t mode, struct err *err)
{
	auto_free char *part = strdup(path);

	if (!part)
		return err_set(err, -ENOMEM, "make folder %s", path);
	for (char *slash = part + 1; *part; slash++) {
		slash = strchrnul(slash, '/');
		char kept = *slash;

		*slash = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return err_set(err, -errno, "make folder %s", part);
		*slash = kept;
		if (!kept)
			break;
	}
	return 0;
}

int file_private_dir(const char *path, struct err *err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make folder %s", path);
	if (lstat(path, &st) < 0)
		return err_set(err, -errno, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -EINVAL, "%s is not a folder", path);
	if (st.st_uid != geteuid())
		return err_set(err, -EINVAL, "%s belongs to user %u", path,
			       st.st_uid);
	if ((st.st_mode & 0077) && chmod(path, 0700) < 0)
		return err_set(err, -errno, "%s is open to others", path);
	return 0;
}

static int file_remove_at(int dir, const char *name, const char *path,
			  int depth, struct err *err);

static int file_empty_folder(int fd, const char *path, int depth,
			     struct err *err)
{
	DIR *folder = fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!folder) {
		close(fd);
		return err_set(err, -ENOMEM, "open %s", path);
	}
	while (r >= 0 && (entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			r = file_remove_at(dirfd(folder), entry->d_name, path,
					   depth + 1, err);
	closedir(folder);
	return r;
}

static int file_remove_at(int dir, const char *name, const char *path,
			  int depth, struct err *err)
{
	int fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if ((errno != EISDIR && errno != EPERM) || depth > 64)
		return err_set(err, -errno, "remove %s in %s", name, path);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open %s in %s", name, path);
	int r = file_empty_folder(fd, path, depth, err);

	if (r >= 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
		r = err_set(err, -errno, "remove %s in %s", name, path);
	return r;
}

int file_remove_tree(const char *path, struct err *err)
{
	return file_remove_at(AT_FDCWD, path, path, 0, err);
}

/* ---- stamps ------------------------------------------------------------- */

void file_stamp_of(const struct stat *st, struct file_stamp *stamp)
{
	stamp->dev = st->st_dev;
	stamp->ino = st->st_ino;
	stamp->size = st->st_size;
	stamp->mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u +
			  st->st_mtim.tv_nsec;
	stamp->ctime_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000u +
			  st->st_ctim.tv_nsec;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders: read whole, published whole, trusted by owner and mode.
 *
 * Publishing: an unnamed (or, where that is missing, a hidden) file in the
 * same folder, fsync, link + rename over the name, fsync of the folder.  A
 * reader sees the old file or the new one, never a part. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct file_draft {
	int fd;	      /* written by the caller */
	char *path;   /* the name that it shall have */
	char *hidden; /* its name now, NULL while it has none */
};
int file_draft_open(struct file_draft *draft, const char *path, mode_t mode,
		    struct err *err);
int file_draft_publish(struct file_draft *draft, struct err *err);
void file_draft_close(struct file_draft *draft); /* drops what is unpublished */
/* In a name that a draft has for a moment: the number of its process, with
 * more behind it; NULL in any other name. */
const char *file_draft_mark(const char *name);
/* Those in a folder of this host whose processes are gone. */
void file_sweep_drafts(const char *folder);

int file_publish(const char *path, const void *data, size_t len, mode_t mode,
		 struct err *err);
/* The same without a sync, for what means nothing after a crash. */
int file_replace(const char *path, const void *data, size_t len, mode_t mode,
		 struct err *err);
/* Reads the whole file, at most "most" bytes (more is -EFBIG); the buffer
 * gets a 0 byte behind it that its length does not count. */
int file_read(const char *path, struct buf *to, size_t most, struct err *err);
/* From where it is on; pipes too.  path: for errors. */
int file_read_fd(int fd, const char *path, struct buf *to, size_t most,
		 struct err *err);
int file_make_dirs(const char *path, mode_t mode, struct err *err); /* -p */
/* A folder of the caller's own: owned by the effective user, mode 0700,
 * not a link; made when missing. */
int file_private_dir(const char *path, struct err *err);
/* Opened read-only, regular, owned by root or the caller, writable by its
 * owner alone; checked on the descriptor. */
int file_open_trusted(const char *path, struct err *err);
int file_remove_tree(const char *path, struct err *err);
char *file_join(const char *dir, const char *name); /* malloced */
char *file_format(const char *format, ...)
	__attribute__((format(printf, 1, 2))); /* malloced */
const char *file_base(const char *path);

/* What tells one version of a file from the next. */
struct file_stamp {
	uint64_t dev, ino, size, mtime_ns, ctime_ns;
};
void file_stamp_of(const struct stat *st, struct file_stamp *stamp);

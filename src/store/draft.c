/* SPDX-License-Identifier: Apache-2.0 */
/* New objects: an unnamed file is written, synced, and linked to its name.
 * Where the system has no unnamed files, or they cannot be named, a hidden
 * one takes their place. */
#include "base/fd.h"
#include "base/process.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { STORE_LITTER_S = 60 };

static void store_hidden_name(struct store_draft *draft)
{
	snprintf(draft->name, sizeof(draft->name), ".new.%d.%lx", getpid(),
		 (unsigned long)(uintptr_t)draft);
}

static int store_draft_named(int root, struct store_draft *draft,
			     struct err *err)
{
	store_hidden_name(draft);
	unlinkat(root, draft->name, 0);
	draft->fd = openat(root, draft->name,
			   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			   0400);
	if (draft->fd < 0) {
		draft->name[0] = 0;
		return err_set(err, -errno, "make a new file");
	}
	store_lock_byte(draft->fd, 0);
	return 0;
}

int store_draft_open(int root, struct store_draft *draft, struct err *err)
{
	*draft = (struct store_draft){ .fd = -1 };
	if (process_feature("o_tmpfile"))
		draft->fd =
			openat(root, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0400);
	return draft->fd >= 0 ? 0 : store_draft_named(root, draft, err);
}

int store_draft_sync(struct store_draft *draft, struct err *err)
{
	if (fchmod(draft->fd, 0444) < 0 || fsync(draft->fd) < 0)
		return err_set(err, -errno, "sync a new file");
	return 0;
}

static int store_link_fd(int root, int fd, const char *hex)
{
	char from[64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, from, root, hex, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	/* Without /proc this is for those who may open any file. */
	return linkat(fd, "", root, hex, AT_EMPTY_PATH) == 0 ? 0 : -errno;
}

/* Where the kernel copies nothing from one file system to the other, we do. */
static ssize_t store_copy_part(int from, int to, off_t at, off_t len)
{
	char part[65536];
	off_t in = at, out = at;
	ssize_t done = copy_file_range(from, &in, to, &out, (size_t)len, 0);

	if (done >= 0 || (errno != EXDEV && errno != EOPNOTSUPP &&
			  errno != ENOSYS && errno != EINVAL))
		return done;
	if (len > (off_t)sizeof part)
		len = sizeof part;
	done = pread(from, part, (size_t)len, at);
	return done > 0 ? pwrite(to, part, (size_t)done, at) : done;
}

/* What is data in it; holes stay holes. */
static int store_copy(int from, int to, struct err *err)
{
	off_t end = lseek(from, 0, SEEK_END), at = 0, hole;

	if (end < 0 || ftruncate(to, end) < 0)
		return err_set(err, -errno, "copy a new file");
	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		hole = lseek(from, at, SEEK_HOLE);
		if (hole < 0)
			break;
		while (at < hole) {
			ssize_t done = store_copy_part(from, to, at, hole - at);

			if (done <= 0)
				return err_set(err, done ? -errno : -EIO,
					       "copy a new file");
			at += done;
		}
	}
	return errno == ENXIO ? 0 : err_set(err, -errno, "copy a new file");
}

/* The unnamed file cannot be named here.  If it was leased, so is the one that
 * takes its place. */
static int store_draft_rename(int root, struct store_draft *draft,
			      struct err *err)
{
	auto_close int unnamed = steal_fd(&draft->fd);
	int rc = store_draft_named(root, draft, err);

	if (rc >= 0 && flock(draft->fd, LOCK_SH | LOCK_NB) < 0)
		rc = err_set(err, -errno, "lease a new file");
	if (rc >= 0)
		rc = store_copy(unnamed, draft->fd, err);
	return rc < 0 ? rc : store_draft_sync(draft, err);
}

int store_draft_link(int root, struct store_draft *draft, const char *hex,
		     struct err *err)
{
	int rc = -ENOENT;

	if (!draft->name[0])
		rc = store_link_fd(root, draft->fd, hex);
	if (!draft->name[0] && (rc == -ENOENT || rc == -EOPNOTSUPP)) {
		rc = store_draft_rename(root, draft, err);
		if (rc < 0)
			return rc;
	}
	if (draft->name[0]) {
		rc = linkat(root, draft->name, root, hex, 0) == 0 ? 0 : -errno;
		if (rc == 0) {
			unlinkat(root, draft->name, 0);
			draft->name[0] = 0;
		}
	}
	if (rc < 0 && rc != -EEXIST)
		return err_set(err, rc, "name a new file");
	if (rc == 0 && fsync(root) < 0 && errno != EINVAL)
		return err_set(err, -errno, "sync the folder");
	return rc;
}

static int store_bring_copy(int root, const char *hex, int fd, struct err *err)
{
	struct store_draft draft;
	int rc = store_draft_open(root, &draft, err);

	if (rc >= 0)
		rc = store_copy(fd, draft.fd, err);
	if (rc >= 0)
		rc = store_draft_sync(&draft, err);
	if (rc >= 0)
		rc = store_draft_link(root, &draft, hex, err);
	store_draft_close(root, &draft);
	return rc == -EEXIST ? 0 : rc;
}

/* What cannot be linked - another file system, another's file - is copied. */
int store_object_bring(int root, const char *hex, int fd, struct err *err)
{
	int rc = store_link_fd(root, fd, hex);

	return rc == 0 || rc == -EEXIST ? 1
					: store_bring_copy(root, hex, fd, err);
}

/* A link replaces nothing, so an unnamed file gets a hidden name first. */
static int store_draft_hide(int root, struct store_draft *draft,
			    struct err *err)
{
	int rc;

	if (draft->name[0])
		return 0;
	store_hidden_name(draft);
	unlinkat(root, draft->name, 0);
	store_lock_byte(draft->fd, 0);
	rc = store_link_fd(root, draft->fd, draft->name);
	if (rc == 0)
		return 0;
	draft->name[0] = 0;
	if (rc == -ENOENT || rc == -EOPNOTSUPP)
		return store_draft_rename(root, draft, err);
	return err_set(err, rc, "name a new file");
}

int store_draft_put(int root, struct store_draft *draft, const char *name,
		    struct err *err)
{
	int rc = store_draft_hide(root, draft, err);

	if (rc < 0)
		return rc;
	if (renameat(root, draft->name, root, name) < 0)
		return err_set(err, -errno, "name a new file");
	draft->name[0] = 0;
	return 0;
}

int store_draft_replace(int root, struct store_draft *draft, const char *name,
			struct err *err)
{
	int rc = store_draft_put(root, draft, name, err);

	if (rc < 0)
		return rc;
	if (fsync(root) < 0 && errno != EINVAL)
		return err_set(err, -errno, "sync the folder");
	return 0;
}

void store_draft_close(int root, struct store_draft *draft)
{
	if (draft->name[0])
		unlinkat(root, draft->name, 0);
	fd_close(&draft->fd);
}

/* Its writer has made it read-only, so who sweeps cannot lock it. */
void store_draft_sweep(int root, const char *name)
{
	auto_close int fd = -1;
	struct stat st;

	if (strncmp(name, ".new.", 5) != 0)
		return;
	fd = openat(root, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno != ELOOP)
		return;
	if (fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_mtime + STORE_LITTER_S > time(NULL))
		return;
	if (fd < 0 || !store_lock_held(fd, 0))
		unlinkat(root, name, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/versions.h"
#include "appliance/lines.h"
#include "base/fd.h"
#include "base/file.h"
#include "share/chain.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { VERSIONS_DAY_S = 24 * 3600 };
static const char versions_prefix[] = "v";

int versions_open(const char *path, const char *id, const char *host,
		  const char *local, const char *words, struct share *share,
		  struct err *err)
{
	int rc = share_open(path, host, share, err);

	if (rc < 0)
		return rc;
	share->local = local;
	share->words = words;
	if (!id || strcmp(share->id, id) == 0)
		return 0;
	return err_set(err, -EINVAL, "%s is another share than at the install",
		       path);
}

/* apps/NAME; -ENOENT and no words where there is none. */
static int versions_folder(const struct share *share, const char *name,
			   bool make, struct err *err)
{
	auto_free char *path = file_format("apps/%s", name);
	int fd;

	if (!path)
		return err_set(err, -ENOMEM, "open %s", name);
	if (make && mkdirat(share->root, path, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/%s", share->path, path);
	fd = openat(share->root, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	return fd < 0 ? err_set(err, -errno, "open %s/%s", share->path, path)
		      : fd;
}

int versions_get(const struct share *share, const char *name, uint64_t number,
		 struct buf *text, struct err *err)
{
	auto_close int folder = versions_folder(share, name, false, err);
	int rc;

	if (folder < 0)
		return folder == -ENOENT ? err_set(err, folder,
						   "%s has no application %s",
						   share->path, name)
					 : folder;
	rc = chain_read(folder, versions_prefix, number, text, LINES_BYTES_MOST,
			err);
	return rc < 0 ? err_wrap(err, "%s/apps/%s", share->path, name) : 0;
}

int versions_last(const struct share *share, const char *name, struct buf *text,
		  uint64_t *number, struct err *err)
{
	auto_close int folder = versions_folder(share, name, false, err);
	int rc;

	*number = 0;
	if (folder < 0)
		return folder == -ENOENT ? 0 : folder;
	rc = chain_last(folder, versions_prefix, number, err);
	if (rc >= 0 && *number)
		rc = chain_read(folder, versions_prefix, *number, text,
				LINES_BYTES_MOST, err);
	return rc < 0 ? err_wrap(err, "%s/apps/%s", share->path, name) : 0;
}

int versions_add(const struct share *share, const char *name, uint64_t number,
		 const struct buf *text, struct err *err)
{
	auto_close int folder = versions_folder(share, name, true, err);
	int rc;

	if (folder < 0)
		return folder == -ENOENT ? err_set(err, folder, "make %s/apps",
						   share->path)
					 : folder;
	rc = chain_add(folder, versions_prefix, number, buf_string(text),
		       text->len, err);
	return rc < 0 ? err_wrap(err, "%s/apps/%s", share->path, name) : 0;
}

/* ---- payloads ------------------------------------------------------------------ */

char *versions_payload(const struct share *share, const char *hex,
		       struct err *err)
{
	char *path = file_format("%s/payloads/%s.erofs", share->path, hex);

	if (!path)
		err_set(err, -ENOMEM, "find the payload");
	return path;
}

int versions_publish(const struct share *share, int image, const char *hex,
		     uint64_t bytes, const char *stamp, payload_tick *tick,
		     void *context, struct err *err)
{
	auto_free char *path = versions_payload(share, hex, err);
	struct file_draft draft;
	int rc;

	if (!path)
		return -ENOMEM;
	rc = payload_verify(path, hex, bytes, stamp, tick, context, err);
	if (rc >= 0)
		return 1;
	if (rc != -ENOENT && rc != -EBADMSG)
		return rc;
	rc = file_draft_open(&draft, path, 0444, err);
	if (rc >= 0) {
		rc = payload_copy(image, draft.fd, hex, bytes, tick, context,
				  err);
		if (rc < 0)
			err_wrap(err, "write %s", path);
	}
	if (rc >= 0)
		rc = file_draft_publish(&draft, err);
	file_draft_close(&draft);
	return rc < 0 ? rc : 0;
}

/* ---- hosts -------------------------------------------------------------------- */

/* hosts/HOST itself: where a link leads nothing is made, nor taken away. */
static int versions_host(const struct share *share, bool make, struct err *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "hosts/%s", share->host);
	if (make && mkdirat(share->root, path, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/%s", share->path, path);
	fd = openat(share->root, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set(err, -errno, "open %s/%s", share->path, path)
		      : fd;
}

static int versions_make_use(const struct share *share, const char *hex,
			     struct err *err)
{
	auto_close int folder = versions_host(share, true, err);
	auto_close int fd = -1;

	if (folder < 0)
		return folder;
	fd = openat(folder, hex, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    0644);
	return fd < 0 ? err_set(err, -errno, "make %s/hosts/%s/%s", share->path,
				share->host, hex)
		      : 0;
}

/* At most once a day: a write for each start would be one too many. */
int versions_use(const struct share *share, const char *hex, struct err *err)
{
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW },
						{ .tv_nsec = UTIME_NOW } };
	char path[128];
	struct stat st;

	snprintf(path, sizeof path, "hosts/%s/%s", share->host, hex);
	if (fstatat(share->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? versions_make_use(share, hex, err)
				       : err_set(err, -errno, "look at %s/%s",
						 share->path, path);
	if (st.st_mtime + VERSIONS_DAY_S < time(NULL) &&
	    utimensat(share->root, path, now, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, -errno, "note %s/%s", share->path, path);
	return 0;
}

void versions_leave(const struct share *share, const char *hex)
{
	auto_close int folder = versions_host(share, false, NULL);

	if (folder >= 0)
		unlinkat(folder, hex, 0);
}

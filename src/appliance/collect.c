/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/collect.h"
#include "appliance/lines.h"
#include "appliance/versions.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/helper.h"
#include "share/lock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COLLECT_VERSIONS = 2 };

struct collect {
	const struct publish_wish *wish;
	int64_t grace_ms;
	struct helper *helper;
	struct share share;
	struct share_lock lock;
	struct buf kept; /* digests, a line each */
	int64_t now_ms;	 /* by the share's clock */
	struct collected done;
};

static bool collect_waits(void *context)
{
	struct collect *collect = context;

	return helper_tick(collect->helper, "waiting for the share's lock");
}

static int collect_goes_on(struct collect *collect, struct err *err)
{
	int rc = share_lock_beat(&collect->lock, err);

	if (rc >= 0 && !helper_tick(collect->helper, "collecting"))
		rc = err_set(err, -ECANCELED, "collect");
	return rc < 0 ? rc : 0;
}

static int64_t collect_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 +
	       st->st_mtim.tv_nsec / 1000000;
}

/* A file that is written now has the time that the share's other files are
 * compared with: hosts need not agree on it. */
static int collect_clock(struct collect *collect, struct err *err)
{
	auto_close int fd =
		openat(collect->share.root, "hosts/.clock",
		       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		       0644);
	struct stat st;

	if (fd < 0 || write(fd, "0\n", 2) != 2 || fsync(fd) < 0 ||
	    fstat(fd, &st) < 0)
		return err_set(err, -errno, "write %s/hosts/.clock",
			       collect->share.path);
	collect->now_ms = collect_ms(&st);
	return 0;
}

/* ---- folders ------------------------------------------------------------------- */

typedef int collect_visit(struct collect *collect, int folder, const char *name,
			  struct err *err);

/* Each name but hidden ones (unless asked for); a folder that is not there is
 * empty. */
static int collect_each(struct collect *collect, const char *path, bool hidden,
			collect_visit *visit, struct err *err)
{
	int fd = openat(collect->share.root, path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (!folder)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "open %s/%s",
						 collect->share.path, path);
	while (rc >= 0 && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 ||
		    (*entry->d_name == '.') != hidden)
			continue;
		rc = collect_goes_on(collect, err);
		if (rc >= 0)
			rc = visit(collect, dirfd(folder), entry->d_name, err);
	}
	closedir(folder);
	return rc;
}

static bool collect_is_young(const struct collect *collect, int folder,
			     const char *name, struct stat *st)
{
	return fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) < 0 ||
	       collect->now_ms - collect_ms(st) < collect->grace_ms;
}

/* ---- kept ---------------------------------------------------------------------- */

static void collect_keep(struct collect *collect, const char *hex)
{
	buf_format(&collect->kept, "%s\n", hex);
}

static bool collect_is_kept(const struct collect *collect, const char *name)
{
	char line[RECORD_HEX + 2];

	snprintf(line, sizeof line, "%.*s\n", RECORD_HEX, name);
	return strstr(buf_string(&collect->kept), line) != NULL;
}

/* An application whose records cannot be read is no reason to lose what it
 * starts: nothing is collected then. */
static int collect_app(struct collect *collect, int folder, const char *name,
		       struct err *err)
{
	uint64_t last = 0;
	int rc = 0;

	(void)folder;
	if (!record_is_name(name))
		return 0;
	for (uint64_t at = 0, i = 0; rc >= 0 && i < COLLECT_VERSIONS; i++) {
		auto_buf struct buf text = { 0 };
		auto_record struct record record = { 0 };

		if (i == 0)
			rc = versions_last(&collect->share, name, &text, &last,
					   err);
		else
			rc = versions_get(&collect->share, name, at, &text,
					  err);
		if (rc < 0 || !last)
			break;
		at = (i ? at : last) - 1;
		rc = record_read(buf_string(&text), text.len, &record, err);
		if (rc >= 0)
			collect_keep(collect, record.payload);
		if (!at)
			break;
	}
	if (rc == -ENOENT) /* trimmed by an earlier collection */
		rc = 0;
	return rc < 0 ? err_wrap(err, "application %s", name) : 0;
}

static int collect_use(struct collect *collect, int folder, const char *name,
		       struct err *err)
{
	struct stat st;

	(void)err;
	if (!record_is_payload(name))
		return 0;
	if (collect_is_young(collect, folder, name, &st))
		collect_keep(collect, name);
	else
		unlinkat(folder, name, 0);
	return 0;
}

static int collect_host(struct collect *collect, int folder, const char *name,
			struct err *err)
{
	auto_free char *path = file_format("hosts/%s", name);

	(void)folder;
	if (!share_is_id(name))
		return 0;
	return path ? collect_each(collect, path, false, collect_use, err)
		    : err_set(err, -ENOMEM, "collect");
}

/* ---- taken away ----------------------------------------------------------------- */

static int collect_tree(struct collect *collect, const char *name,
			struct err *err)
{
	auto_free char *path =
		file_format("%s/payloads/%s", collect->share.path, name);

	return path ? file_remove_tree(path, err)
		    : err_set(err, -ENOMEM, "collect");
}

/* In two steps: under its name it is whole, or not there. */
static int collect_unpacked(struct collect *collect, int folder,
			    const char *name, struct err *err)
{
	auto_free char *gone = file_format(".draft.%s", name);

	if (!gone)
		return err_set(err, -ENOMEM, "collect");
	if (renameat(folder, name, folder, gone) < 0)
		return err_set(err, -errno, "remove %s", name);
	return collect_tree(collect, gone, err);
}

static int collect_payload(struct collect *collect, int folder,
			   const char *name, struct err *err)
{
	struct stat st;
	int rc;

	if (strlen(name) <= RECORD_HEX || name[RECORD_HEX] != '.' ||
	    collect_is_kept(collect, name) ||
	    collect_is_young(collect, folder, name, &st))
		return 0;
	/* Who was away for long knows no more what is kept. */
	rc = share_lock_check(&collect->lock, err);
	if (rc < 0)
		return rc;
	if (S_ISDIR(st.st_mode))
		return collect_unpacked(collect, folder, name, err);
	if (unlinkat(folder, name, 0) < 0)
		return err_set(err, -errno, "remove %s", name);
	collect->done.payloads++;
	collect->done.bytes += (uint64_t)st.st_size;
	return 0;
}

/* Of a payload, or of a file of a chain; by their age, for whoever writes one
 * may be on another host, and needs no lock for it. */
static int collect_draft(struct collect *collect, int folder, const char *name,
			 struct err *err)
{
	struct stat st;
	int rc;

	(void)err;
	if ((!strstr(name, ".draft.") && !strstr(name, ".new.")) ||
	    collect_is_young(collect, folder, name, &st))
		return 0;
	rc = S_ISDIR(st.st_mode) ? collect_tree(collect, name, NULL)
				 : unlinkat(folder, name, 0);
	collect->done.drafts += rc >= 0;
	return 0;
}

static int collect_app_drafts(struct collect *collect, int folder,
			      const char *name, struct err *err)
{
	auto_free char *path = file_format("apps/%s", name);

	(void)folder;
	if (!record_is_name(name))
		return 0;
	return path ? collect_each(collect, path, false, collect_draft, err)
		    : err_set(err, -ENOMEM, "collect");
}

static int collect_drafts(struct collect *collect, struct err *err)
{
	int rc = collect_each(collect, ".", false, collect_draft, err);

	if (rc >= 0)
		rc = collect_each(collect, "payloads", true, collect_draft,
				  err);
	if (rc >= 0)
		rc = collect_each(collect, "payloads", false, collect_draft,
				  err);
	if (rc >= 0)
		rc = collect_each(collect, "apps", false, collect_app_drafts,
				  err);
	return rc;
}

/* ---- the collection on one screen --------------------------------------------------- */

static int collect_steps(struct collect *collect, struct err *err)
{
	int rc = collect_clock(collect, err);

	if (rc >= 0)
		rc = collect_each(collect, "apps", false, collect_app, err);
	if (rc >= 0)
		rc = collect_each(collect, "hosts", false, collect_host, err);
	if (rc >= 0 && collect->kept.failed)
		rc = err_set(err, -ENOMEM, "collect");
	if (rc >= 0)
		rc = collect_drafts(collect, err);
	if (rc >= 0)
		rc = collect_each(collect, "payloads", false, collect_payload,
				  err);
	return rc;
}

static int collect_work(struct helper *helper, void *context,
			struct buf *answer, struct err *err)
{
	struct collect *collect = context;
	const struct publish_wish *wish = collect->wish;
	int rc;

	collect->helper = helper;
	helper_tick(helper, "opening the share");
	rc = versions_open(wish->share, wish->share_id, wish->host, wish->local,
			   "collect", &collect->share, err);
	if (rc < 0)
		return rc;
	rc = share_lock_take(&collect->share, wish->wait_ms, collect_waits,
			     collect, &collect->lock, err);
	if (rc >= 0) {
		rc = collect_steps(collect, err);
		share_lock_release(&collect->lock, NULL);
	}
	buf_fini(&collect->kept);
	share_close(&collect->share);
	buf_add(answer, &collect->done, sizeof collect->done);
	return rc;
}

int collect_share(const struct publish_wish *wish, int64_t grace_ms,
		  struct collected *collected, struct err *err)
{
	struct collect collect = { .wish = wish,
				   .grace_ms = grace_ms,
				   .share = SHARE_NONE,
				   .lock = SHARE_LOCK_NONE };
	const struct helper_limits limits = { .total_ms = -1,
					      .silent_ms = wish->answer_ms };
	auto_buf struct buf answer = { 0 };
	int rc = helper_run(&limits, collect_work, &collect, &answer, err);

	*collected = (struct collected){ 0 };
	if (rc >= 0 && answer.len == sizeof *collected)
		memcpy(collected, answer.data, sizeof *collected);
	return rc;
}

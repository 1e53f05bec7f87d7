/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/site.h"
#include "appliance/mount.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "erofs/read.h"
#include "erofs/source.h"
#include "tree/erofs_compare.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	SITE_HEX = 32,
	SITE_LOCK_MS = 20000,
	SITE_TICK_MS = 50,
	SITE_USED_S = 60
};
static const char site_stamped[] = ".ok", site_locks[] = ".lock";

void site_fini(struct site *site)
{
	free(site->root);
	*site = (struct site){ 0 };
}

/* ---- memory devices ------------------------------------------------------------- */

static bool site_uuid(const char *path, uint64_t bytes, uint8_t uuid[16])
{
	auto_close int fd = payload_open(path, bytes, NULL);
	struct erofs_source source;
	struct erofs erofs;

	if (fd < 0 || erofs_source_file(fd, &source) < 0 ||
	    erofs_open(&source, &erofs, NULL) < 0)
		return false;
	memcpy(uuid, erofs.uuid, sizeof erofs.uuid);
	return true;
}

/* The device that has this payload, as its superblock says; whether it does
 * is found out by its digest. */
static bool site_device(const struct site_wish *wish, const char *image,
			char path[32])
{
	uint8_t want[16], uuid[16];
	struct stat st;

	if (stat("/dev/pmem0", &st) < 0 || !site_uuid(image, wish->bytes, want))
		return false;
	for (int i = 0; i < 16; i++) {
		snprintf(path, 32, "/dev/pmem%d", i);
		if (site_uuid(path, wish->bytes, uuid) &&
		    memcmp(uuid, want, sizeof uuid) == 0)
			return true;
	}
	return false;
}

/* ---- ways ---------------------------------------------------------------------- */

static int site_verify(const struct site_wish *wish, const char *image,
		       const char *stamp, struct site *site, struct err *err)
{
	int rc = payload_verify(image, wish->hex, wish->bytes, stamp,
				wish->tick, wish->context, err);

	/* Once it was hashed, its stamp is of that. */
	if (rc == 0)
		site->verified = "digest";
	else if (!site->verified)
		site->verified = "stamp";
	return rc;
}

static int site_mount(const char *image, const char *at, struct err *err)
{
	if (mkdir(at, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s", at);
	return mount_image(image, at, err);
}

/* A file that had to be hashed again is another one than the one that was
 * mounted, or was written to: what is mounted may have pages of before, or a
 * server that is gone.  1: it is mounted, and the file is the same. */
static int site_look(const struct site_wish *wish, const char *image,
		     const char *stamp, struct site *site, struct err *err)
{
	int rc;

	if (!mount_is(site->root))
		return 0;
	site->way = "found";
	rc = site_verify(wish, image, stamp, site, err);
	return rc == 0 ? mount_detach(site->root, err) : rc;
}

/* By who knows that nobody else is at it. */
static int site_make(const struct site_wish *wish, const char *image,
		     const char *stamp, struct site *site, struct err *err)
{
	char device[32];
	int rc = site_look(wish, image, stamp, site, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	site->is_new = true;
	if (wish->shared && site_device(wish, image, device)) {
		site->way = "device";
		rc = site_verify(wish, device, NULL, site, NULL);
		if (rc >= 0 && site_mount(device, site->root, NULL) >= 0)
			return site_verify(wish, image, stamp, site, err);
	}
	site->way = "mount";
	rc = site_verify(wish, image, stamp, site, err);
	return rc < 0 ? rc : site_mount(image, site->root, err);
}

static bool site_may_not_mount(int rc)
{
	return rc == -EPERM || rc == -EACCES || rc == -ENODEV || rc == -EROFS ||
	       rc == -ENOENT;
}

static int site_compare(const struct site_wish *wish, const char *image,
			const char *tree)
{
	auto_close int fd = payload_open(image, wish->bytes, NULL);
	auto_close int dir = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct erofs_source source;
	struct erofs erofs;

	if (fd < 0 || dir < 0 || erofs_source_file(fd, &source) < 0 ||
	    erofs_open(&source, &erofs, NULL) < 0)
		return -EIO;
	return erofs_compare(&erofs, dir, wish->tick, wish->context, NULL);
}

/* What was found right of a folder: that of the image that it was compared
 * with, and which folder it was. */
static bool site_tree_stamp(const char *stamp, const struct stat *st,
			    struct buf *text)
{
	struct file_stamp folder;

	if (file_read(stamp, text, 4096, NULL) < 0)
		return false;
	file_stamp_of(st, &folder);
	buf_format(text, "%lx.%lx.%lx.%lx\n", (unsigned long)folder.dev,
		   (unsigned long)folder.ino, (unsigned long)folder.mtime_ns,
		   (unsigned long)folder.ctime_ns);
	return !text->failed;
}

/* Compared when this host meets it for the first time since it was booted:
 * that the image is right says nothing of what lies beside it. */
static int site_tree(const struct site_wish *wish, const char *image,
		     const char *stamp, const char *tree, struct site *site)
{
	auto_free char *path = file_format("%s.tree", stamp);
	auto_buf struct buf now = { 0 }, found = { 0 };
	bool stamped;
	struct stat st;
	int rc;

	if (!path || lstat(tree, &st) < 0 || !S_ISDIR(st.st_mode))
		return -ENOENT;
	stamped = site_tree_stamp(stamp, &st, &now);
	site->is_new = !stamped || file_read(path, &found, 4096, NULL) < 0 ||
		       strcmp(buf_string(&found), buf_string(&now)) != 0;
	if (!site->is_new)
		return 0;
	site->verified = "digest";
	rc = site_compare(wish, image, tree);
	if (rc >= 0 && stamped)
		file_replace(path, buf_string(&now), now.len, 0644, NULL);
	return rc;
}

/* The same, unpacked: HEX.tree beside HEX.erofs. */
static int site_folder(const struct site_wish *wish, const char *image,
		       const char *stamp, struct site *site)
{
	size_t len = strlen(image) - strlen(".erofs");
	char *tree = file_format("%.*s.tree", (int)len, image);
	int rc = tree ? site_verify(wish, image, stamp, site, NULL) : -ENOMEM;

	if (rc >= 0)
		rc = site_tree(wish, image, stamp, tree, site);
	if (rc < 0) {
		free(tree);
		return rc;
	}
	free(site->root);
	site->root = tree;
	site->way = "folder";
	return 0;
}

/* ---- found or made --------------------------------------------------------------- */

/* Who listens is told that we wait: the other one may have much to read. */
static int site_lock(const struct site_wish *wish, const char *path,
		     struct err *err)
{
	uint64_t deadline = clock_deadline(SITE_LOCK_MS);
	int lock;

	for (;;) {
		lock = lock_take(path, SITE_TICK_MS, err);
		if (lock != -EWOULDBLOCK || clock_left_ms(deadline) == 0)
			return lock;
		if (wish->tick && !wish->tick(wish->context))
			return err_set(err, -ECANCELED, "wait for %s", path);
	}
}

static int site_locked(const struct site_wish *wish, const char *image,
		       const char *stamp, struct site *site, struct err *err)
{
	auto_free char *path = file_format("%s%s", site->root, site_locks);
	auto_close int lock = -1;

	if (!path)
		return err_set(err, -ENOMEM, "mount %s", image);
	lock = site_lock(wish, path, err);
	return lock < 0 ? lock : site_make(wish, image, stamp, site, err);
}

static bool site_is_used(const char *stamp, int seconds)
{
	time_t now = time(NULL);
	struct stat st;

	return stat(stamp, &st) == 0 && st.st_mtime <= now &&
	       now - st.st_mtime < seconds;
}

/* Mounts and stamps are believed: nobody else may have made them.  It may lie
 * in a folder that all users can write. */
static int site_trusts(const char *mounts, struct err *err)
{
	struct stat st;

	if (lstat(mounts, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "look at %s", mounts);
	if (!S_ISDIR(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))
		return err_set(err, -EINVAL,
			       "%s is no folder that this user or root alone "
			       "can write",
			       mounts);
	return 0;
}

/* Most starts find it, and need no lock for that.  1: so it is. */
static int site_found(const struct site_wish *wish, const char *image,
		      const char *stamp, struct site *site, struct err *err)
{
	int rc = mount_is(site->root)
			 ? payload_is_known(image, wish->hex, wish->bytes,
					    stamp, err)
			 : 0;

	if (rc > 0) {
		site->way = "found";
		site->verified = "stamp";
		if (!site_is_used(stamp, SITE_USED_S / 2))
			utimensat(AT_FDCWD, stamp, NULL, 0);
	}
	return rc;
}

char *site_stamp(const char *mounts, const char *hex, const char *source)
{
	return file_format("%s/%.*s-%s%s", mounts, SITE_HEX, hex, source,
			   site_stamped);
}

int site_find(const struct site_wish *wish, const char *image,
	      struct site *site, struct err *err)
{
	char *root = file_format("%s/%.*s-%s", wish->mounts, SITE_HEX,
				 wish->hex, wish->source);
	auto_free char *stamp =
		site_stamp(wish->mounts, wish->hex, wish->source);
	struct err mount_err = { 0 };
	int rc;

	*site = (struct site){ .root = root };
	if (!stamp || !site->root)
		return err_set(err, -ENOMEM, "find %s", image);
	rc = site_trusts(wish->mounts, err);
	if (rc >= 0)
		rc = site_found(wish, image, stamp, site, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = wish->found_only
		     ? err_set(&mount_err, -EPERM,
			       "%s is not loaded on this host: \"brood app "
			       "load\" does so, as root",
			       image)
		     : file_make_dirs(wish->mounts, 0755, &mount_err);
	if (rc >= 0)
		rc = site_locked(wish, image, stamp, site, &mount_err);
	if (rc < 0 && site_may_not_mount(rc) &&
	    site_folder(wish, image, stamp, site) >= 0)
		return 0;
	if (rc < 0 && err)
		*err = mount_err;
	return rc;
}

/* ---- taken away ------------------------------------------------------------------ */

static bool site_is_kept(const char *name, const char *const *kept)
{
	for (; *kept; kept++)
		if (strncmp(name, *kept, SITE_HEX) == 0)
			return true;
	return false;
}

static bool site_is_one(const char *name)
{
	return strspn(name, "0123456789abcdef") == SITE_HEX &&
	       name[SITE_HEX] == '-';
}

/* name: of the folder, or of something beside it.  What somebody is at
 * stays. */
static void site_sweep_one(int folder, const char *mounts, const char *name,
			   int unused_s)
{
	int len = (int)strcspn(name, ".");
	auto_free char *root = file_format("%s/%.*s", mounts, len, name);
	auto_free char *path =
		root ? file_format("%s%s", root, site_locks) : NULL;
	auto_free char *stamp =
		root ? file_format("%s%s", root, site_stamped) : NULL;
	auto_close int lock = -1;

	if (!path || !stamp)
		return;
	lock = lock_take(path, 0, NULL);
	if (lock < 0 || site_is_used(stamp, unused_s))
		return;
	if (mount_is(root) && mount_end(root, NULL) < 0)
		return;
	rmdir(root);
	if (name[len])
		unlinkat(folder, name, 0);
	unlink(path);
}

int site_sweep(const char *mounts, const char *const *kept, struct err *err)
{
	struct dirent *entry;
	DIR *folder = opendir(mounts);

	if (!folder)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "open %s", mounts);
	file_sweep_drafts(mounts);
	while ((entry = readdir(folder)))
		if (site_is_one(entry->d_name) &&
		    !site_is_kept(entry->d_name, kept))
			site_sweep_one(dirfd(folder), mounts, entry->d_name,
				       SITE_USED_S);
	closedir(folder);
	return 0;
}

void site_drop(const char *mounts, const char *hex)
{
	DIR *folder = opendir(mounts);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (site_is_one(entry->d_name) &&
		    strncmp(entry->d_name, hex, SITE_HEX) == 0)
			site_sweep_one(dirfd(folder), mounts, entry->d_name, 0);
	if (folder)
		closedir(folder);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/place.h"
#include "appliance/mount.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "erofs/read.h"
#include "tree/unpack.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLACE_HEX = 32, PLACE_LOCK_MS = 20000 };

void place_fini(struct place *place)
{
	free(place->root);
	*place = (struct place){ 0 };
}

/* ---- memory devices ------------------------------------------------------------- */

static int place_read(void *context, uint64_t at, void *to, uint64_t len)
{
	return fd_pread_all(*(int *)context, to, len, at, NULL);
}

static bool place_uuid(const char *path, uint64_t bytes, uint8_t uuid[16])
{
	auto_close int fd = payload_open(path, bytes, NULL);
	const struct erofs_source source = { place_read, &fd, bytes };
	struct erofs erofs;

	if (fd < 0 || erofs_open(&source, &erofs, NULL) < 0)
		return false;
	memcpy(uuid, erofs.uuid, sizeof erofs.uuid);
	return true;
}

/* The device that has this payload, as its superblock says; whether it does
 * is found out by its digest. */
static bool place_device(const struct place_wish *wish, const char *image,
			 char path[32])
{
	uint8_t want[16], uuid[16];
	struct stat st;

	if (stat("/dev/pmem0", &st) < 0 ||
	    !place_uuid(image, wish->bytes, want))
		return false;
	for (int i = 0; i < 16; i++) {
		snprintf(path, 32, "/dev/pmem%d", i);
		if (place_uuid(path, wish->bytes, uuid) &&
		    memcmp(uuid, want, sizeof uuid) == 0)
			return true;
	}
	return false;
}

/* ---- ways ---------------------------------------------------------------------- */

static int place_verify(const struct place_wish *wish, const char *image,
			const char *stamp, struct place *place, struct err *err)
{
	int rc = payload_verify(image, wish->hex, wish->bytes, stamp,
				wish->tick, wish->context, err);

	place->verified = rc > 0 ? "stamp" : "digest";
	return rc;
}

static int place_mount(const char *image, const char *at, struct err *err)
{
	if (mkdir(at, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s", at);
	return mount_image(image, at, err);
}

/* By who knows that nobody else is at it. */
static int place_make(const struct place_wish *wish, const char *image,
		      const char *stamp, struct place *place, struct err *err)
{
	char device[32];
	int rc;

	if (mount_is(place->root)) {
		place->way = "found";
		return place_verify(wish, image, stamp, place, err);
	}
	place->is_new = true;
	if (wish->shared && place_device(wish, image, device)) {
		place->way = "device";
		rc = place_verify(wish, device, NULL, place, NULL);
		if (rc >= 0 && place_mount(device, place->root, NULL) >= 0)
			return place_verify(wish, image, stamp, place, err);
	}
	place->way = "mount";
	rc = place_verify(wish, image, stamp, place, err);
	return rc < 0 ? rc : place_mount(image, place->root, err);
}

static bool place_may_not_mount(int rc)
{
	return rc == -EPERM || rc == -EACCES || rc == -ENODEV ||
	       rc == -EROFS || rc == -ENOENT;
}

/* The same, unpacked: HEX.tree beside HEX.erofs. */
static int place_folder(const struct place_wish *wish, const char *image,
			const char *stamp, struct place *place)
{
	size_t len = strlen(image) - strlen(".erofs");
	char *tree = file_format("%.*s.tree", (int)len, image);
	struct stat st;
	int rc;

	if (!tree || stat(tree, &st) < 0 || !S_ISDIR(st.st_mode)) {
		free(tree);
		return -ENOENT;
	}
	rc = place_verify(wish, image, stamp, place, NULL);
	if (rc == 0)
		rc = unpack_compare(image, tree, NULL);
	if (rc < 0) {
		free(tree);
		return rc;
	}
	free(place->root);
	place->root = tree;
	place->way = "folder";
	return 0;
}

/* ---- found or made --------------------------------------------------------------- */

static int place_locked(const struct place_wish *wish, const char *image,
			const char *stamp, struct place *place, struct err *err)
{
	auto_free char *path = file_join(wish->mounts, ".lock");
	auto_close int lock = -1;

	if (!path)
		return err_set(err, -ENOMEM, "mount %s", image);
	lock = lock_take(path, PLACE_LOCK_MS, err);
	return lock < 0 ? lock : place_make(wish, image, stamp, place, err);
}

int place_find(const struct place_wish *wish, const char *image,
	       struct place *place, struct err *err)
{
	auto_free char *stamp = file_format("%s/%.*s.%s", wish->mounts,
					    PLACE_HEX, wish->hex, wish->stamp);
	struct err mount_err = { 0 };
	int rc;

	*place = (struct place){ .root = file_format("%s/%.*s", wish->mounts,
						     PLACE_HEX, wish->hex) };
	if (!stamp || !place->root)
		return err_set(err, -ENOMEM, "find %s", image);
	/* Most starts find it, and need no lock for that. */
	if (mount_is(place->root)) {
		place->way = "found";
		return place_verify(wish, image, stamp, place, err);
	}
	rc = file_make_dirs(wish->mounts, 0755, &mount_err);
	if (rc >= 0)
		rc = place_locked(wish, image, stamp, place, &mount_err);
	if (rc < 0 && wish->shared && place_may_not_mount(rc) &&
	    place_folder(wish, image, stamp, place) >= 0)
		return 0;
	if (rc < 0 && err)
		*err = mount_err;
	return rc;
}

/* ---- taken away ------------------------------------------------------------------ */

static bool place_is_kept(const char *name, const char *const *kept)
{
	for (; *kept; kept++)
		if (strncmp(name, *kept, PLACE_HEX) == 0)
			return true;
	return false;
}

static void place_sweep_one(int folder, const char *mounts, const char *name,
			    const char *const *kept)
{
	auto_free char *path = file_join(mounts, name);

	if (*name == '.' || !path || place_is_kept(name, kept))
		return;
	if (strlen(name) > PLACE_HEX) {
		auto_free char *place =
			file_format("%s/%.*s", mounts, PLACE_HEX, name);

		if (place && !mount_is(place))
			unlinkat(folder, name, 0);
		return;
	}
	if (mount_is(path) && mount_end(path, NULL) < 0)
		return;
	unlinkat(folder, name, AT_REMOVEDIR);
}

int place_sweep(const char *mounts, const char *const *kept, struct err *err)
{
	auto_free char *path = file_join(mounts, ".lock");
	auto_close int lock = -1;
	struct dirent *entry;
	DIR *folder;

	folder = path ? opendir(mounts) : NULL;
	if (!folder)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "open %s",
						 mounts);
	lock = lock_take(path, PLACE_LOCK_MS, err);
	while (lock >= 0 && (entry = readdir(folder)))
		place_sweep_one(dirfd(folder), mounts, entry->d_name, kept);
	closedir(folder);
	return lock < 0 ? lock : 0;
}

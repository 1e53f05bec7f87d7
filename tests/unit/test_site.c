/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads as folders: made once, found again, never with other bytes. */
#include "appliance/mount.h"
#include "appliance/site.h"
#include "erofs/source.h"
#include "lib/apps.h"
#include "tree/erofs_unpack.h"
#include <sys/stat.h>

static struct apps_image image;
static int ticks, ticks_most;
static bool found_only;

static bool tick(void *context)
{
	(void)context;
	return ++ticks < ticks_most;
}

static void start(void)
{
	apps_start();
	apps_image("#!/bin/sh\n", &image);
	ticks = 0;
	ticks_most = 1000;
	found_only = false;
}

static int find(struct site *site, struct err *err)
{
	const struct site_wish wish = {
		.mounts = apps_in("mounts"),
		.hex = image.hex,
		.bytes = image.bytes,
		.source = "share",
		.tick = tick,
		.found_only = found_only,
	};

	return site_find(&wish, image.path, site, err);
}

static void found(const char *way, const char *verified)
{
	auto_free char *path = NULL;
	struct err err = { 0 };
	struct site site;

	CHECK(find(&site, &err) >= 0);
	CHECK_TEXT(err.text, "");
	CHECK_TEXT(site.way, way);
	CHECK_TEXT(site.verified, verified);
	if (strcmp(way, "folder") != 0)
		CHECK_INT(site.is_new, strcmp(way, "mount") == 0);
	path = file_format("%s/bin/tool", site.root);
	apps_has(path, "#!/bin/sh\n");
	site_fini(&site);
}

static void refused(int rc, const char *words)
{
	struct err err = { 0 };
	struct site site;

	CHECK_INT(find(&site, &err), rc);
	CHECK(strstr(err.text, words));
	if (!strstr(err.text, words))
		printf("# %s\n", err.text);
	site_fini(&site);
}

static void sweep_now(const char *kept)
{
	const char *const list[] = { kept, NULL };

	CHECK_INT(site_sweep(apps_in("mounts"), list, NULL), 0);
}

/* When nobody has used it for long. */
static void sweep(const char *kept)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1 },
					      { .tv_sec = 1 } };

	utimensat(AT_FDCWD, apps_in("mounts/%.32s-share.ok", image.hex),
		  long_ago, 0);
	sweep_now(kept);
}

static char *root(void)
{
	return apps_in("mounts/%.32s-share", image.hex);
}

static bool may_mount(void)
{
	return geteuid() == 0 && process_feature("erofs");
}

static void unpack(void)
{
	struct erofs_source source;
	struct erofs erofs;
	char *tree = apps_in("%s.tree", image.hex);
	auto_close int fd = open(image.path, O_RDONLY | O_CLOEXEC);
	auto_close int dir = -1;

	CHECK_INT(mkdir(tree, 0755), 0);
	dir = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(erofs_source_file(fd, &source), 0);
	CHECK_INT(erofs_open(&source, &erofs, NULL), 0);
	CHECK_INT(erofs_unpack(&erofs, dir, NULL, NULL, NULL), 0);
}

/* ---- mounted ---------------------------------------------------------------------- */

TEST(mounted_once_and_found_again)
{
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	if (!may_mount())
		SKIP("only root mounts");
	start();
	found("mount", "digest");
	found("found", "stamp");
	/* It was hashed once. */
	CHECK_INT(ticks, image.bytes >> 20);
	CHECK_INT(utimensat(AT_FDCWD, image.path, times, 0), 0);
	/* Another file than the one that was mounted. */
	found("mount", "digest");
	found("found", "stamp");
	sweep("");
	CHECK(!apps_is_there(root()));
	apps_end();
}

TEST(a_stamp_is_for_one_file)
{
	char other[RECORD_HEX + 1];

	if (!may_mount())
		SKIP("only root mounts");
	start();
	found("mount", "digest");
	/* Another digest with the same first half has the same place. */
	memcpy(other, image.hex, sizeof other);
	image.hex[RECORD_HEX - 1] ^= 1;
	refused(-EBADMSG, "is damaged: its digest is ");
	memcpy(image.hex, other, sizeof other);
	CHECK_INT(file_replace(apps_in("mounts/%.32s-share.ok", image.hex), "x",
			       1, 0644, NULL),
		  0);
	found("mount", "digest");
	sweep("");
	apps_end();
}

TEST(what_is_swept_and_what_is_not)
{
	int file;

	if (!may_mount())
		SKIP("only root mounts");
	start();
	found("mount", "digest");
	sweep(image.hex);
	CHECK(mount_is(root()));
	file = open(apps_in("mounts/%.32s-share/bin/tool", image.hex),
		    O_RDONLY | O_CLOEXEC);
	CHECK(file >= 0);
	sweep("");
	CHECK(mount_is(root()));
	close(file);
	found("found", "stamp");
	sweep_now("");
	CHECK(mount_is(root()));
	sweep("");
	CHECK(!apps_is_there(root()));
	CHECK(!apps_is_there(apps_in("mounts/%.32s-share.ok", image.hex)));
	CHECK(!apps_is_there(apps_in("mounts/%.32s-share.lock", image.hex)));
	CHECK_INT(file_remove_tree(apps_in("mounts"), NULL), 0);
	sweep("");
	apps_end();
}

TEST(what_may_only_be_found_is_not_made)
{
	if (!may_mount())
		SKIP("only root mounts");
	start();
	found_only = true;
	refused(-EPERM, "is not loaded on this host");
	CHECK(!apps_is_there(apps_in("mounts")));
	found_only = false;
	found("mount", "digest");
	found_only = true;
	found("found", "stamp");
	sweep("");
	apps_end();
}

/* ---- refused ---------------------------------------------------------------------- */

TEST(other_bytes_are_refused)
{
	auto_close int fd = -1;

	start();
	fd = open(image.path, O_WRONLY | O_CLOEXEC);
	CHECK(pwrite(fd, "x", 1, (off_t)image.bytes - 1) == 1);
	refused(-EBADMSG, "is damaged: its digest is ");
	CHECK(!mount_is(root()));
	CHECK(!apps_is_there(apps_in("mounts/%.32s-share.ok", image.hex)));
	CHECK_INT(ftruncate(fd, (off_t)image.bytes - 1), 0);
	refused(-EBADMSG, "bytes of ");
	CHECK_INT(unlink(image.path), 0);
	refused(-ENOENT, "open ");
	CHECK_INT(mkfifo(image.path, 0644), 0);
	refused(-EINVAL, "is no image");
	apps_end();
}

TEST(folders_of_others_are_not_believed)
{
	start();
	CHECK_INT(mkdir(apps_in("mounts"), 0755), 0);
	CHECK_INT(chmod(apps_in("mounts"), 0775), 0);
	refused(-EINVAL, "is no folder that this user or root alone can write");
	CHECK_INT(chmod(apps_in("mounts"), 0757), 0);
	refused(-EINVAL, "is no folder that this user or root alone can write");
	CHECK_INT(rmdir(apps_in("mounts")), 0);
	CHECK_INT(symlink("/run", apps_in("mounts")), 0);
	refused(-EINVAL, "is no folder that this user or root alone can write");
	CHECK_INT(unlink(apps_in("mounts")), 0);
	if (geteuid() == 0) {
		CHECK_INT(mkdir(apps_in("mounts"), 0755), 0);
		CHECK_INT(chown(apps_in("mounts"), 65534, 0), 0);
		refused(-EINVAL,
			"is no folder that this user or root alone can write");
	}
	apps_end();
}

TEST(who_waits_may_give_up)
{
	start();
	ticks_most = 1;
	refused(-ECANCELED, "hash ");
	CHECK(!mount_is(root()));
	apps_end();
}

/* ---- unpacked --------------------------------------------------------------------- */

TEST(a_folder_stands_in_for_a_mount)
{
	start();
	setenv("BROOD_WITHOUT", "erofs", 1);
	refused(-ENODEV, "this kernel has no EROFS");
	unpack();
	found("folder", "digest");
	found("folder", "stamp");
	CHECK_INT(unlink(apps_in("mounts/%.32s-share.ok", image.hex)), 0);
	found("folder", "digest");
	unsetenv("BROOD_WITHOUT");
	apps_end();
}

TEST(a_folder_with_other_files_does_not)
{
	start();
	setenv("BROOD_WITHOUT", "erofs", 1);
	unpack();
	found("folder", "digest");
	CHECK_INT(rename(apps_in("%s.tree", image.hex), apps_in("old")), 0);
	refused(-ENODEV, "this kernel has no EROFS");
	unpack();
	apps_put(apps_in("%s.tree/bin/tool", image.hex), "#!/bin/ls\n", 0755);
	refused(-ENODEV, "this kernel has no EROFS");
	unsetenv("BROOD_WITHOUT");
	apps_end();
}

TEST(who_may_not_mount_finds_the_folder)
{
	struct err err = { 0 };
	struct site site;

	if (geteuid() != 0)
		SKIP("it needs root to become another one");
	unsetenv("TMPDIR"); /* nobody may look into that of the tests */
	start();
	unpack();
	CHECK_INT(chmod(apps_folder, 0755), 0);
	CHECK_INT(mkdir(apps_in("mounts"), 0755), 0);
	CHECK_INT(chown(apps_in("mounts"), 65534, 65534), 0);
	CHECK_INT(seteuid(65534), 0);
	CHECK_INT(find(&site, &err), 0);
	CHECK_TEXT(site.way, "folder");
	CHECK_TEXT(err.text, "");
	site_fini(&site);
	CHECK_INT(seteuid(0), 0);
	apps_end();
}

TEST_MAIN

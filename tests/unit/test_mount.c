/* SPDX-License-Identifier: Apache-2.0 */
/* Images mounted as they are, and through a loop device. */
#include "appliance/mount.h"
#include "lib/apps.h"

static char *at(void)
{
	char *path = apps_in("at");

	CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
	return path;
}

static bool may_mount(void)
{
	return geteuid() == 0 && process_feature("erofs");
}

/* The device that is mounted there, from the kernel's own list. */
static bool is_loop(const char *path)
{
	auto_buf struct buf mounts = { 0 };
	auto_buf struct buf line = { 0 };
	const char *found;

	CHECK(file_read("/proc/self/mounts", &mounts, 1 << 20, NULL) >= 0);
	buf_format(&line, " %s erofs ", path);
	found = strstr(buf_string(&mounts), buf_string(&line));
	while (found && found > mounts.data && found[-1] != '\n')
		found--;
	return found && strncmp(found, "/dev/loop", 9) == 0;
}

static void mounted(const char *image, bool by_loop)
{
	struct err err = { 0 };
	int file, rc = mount_image(image, at(), &err);

	CHECK_INT(rc, 0);
	CHECK_TEXT(err.text, "");
	if (rc < 0)
		return;
	CHECK(mount_is(at()));
	CHECK_INT(is_loop(at()), by_loop);
	apps_has(apps_in("at/bin/link"), "#!/bin/sh\n");
	CHECK(open(apps_in("at/new"), O_WRONLY | O_CREAT, 0600) < 0);
	CHECK_INT(errno, EROFS);
	file = open(apps_in("at/share/words"), O_RDONLY | O_CLOEXEC);
	CHECK_INT(mount_end(at(), &err), -EBUSY);
	close(file);
	CHECK_INT(mount_end(at(), NULL), 0);
	CHECK(!mount_is(at()));
}

TEST(an_image_is_mounted_as_it_is)
{
	struct apps_image image;

	if (!may_mount())
		SKIP("only root mounts");
	apps_start();
	apps_image("#!/bin/sh\n", &image);
	if (mount_image(image.path, at(), NULL) < 0 || is_loop(at())) {
		mount_end(at(), NULL);
		apps_end();
		SKIP("this kernel mounts no files as they are");
	}
	CHECK_INT(mount_end(at(), NULL), 0);
	mounted(image.path, false);
	apps_end();
}

TEST(an_image_is_mounted_through_a_loop_device)
{
	struct apps_image image;

	if (!may_mount() || access("/dev/loop-control", R_OK) < 0)
		SKIP("it needs root and loop devices");
	apps_start();
	apps_image("#!/bin/sh\n", &image);
	setenv("BROOD_WITHOUT", "erofs_file", 1);
	mounted(image.path, true);
	/* The device has gone with the mount: the next one works, too. */
	mounted(image.path, true);
	unsetenv("BROOD_WITHOUT");
	apps_end();
}

TEST(what_cannot_be_mounted)
{
	struct apps_image image;
	struct err err = { 0 };

	apps_start();
	apps_image("#!/bin/sh\n", &image);
	CHECK_INT(mount_image(apps_in("nothing"), at(), &err), -ENOENT);
	CHECK(strstr(err.text, "look at "));
	setenv("BROOD_WITHOUT", "erofs", 1);
	CHECK_INT(mount_image(image.path, at(), &err), -ENODEV);
	CHECK(strstr(err.text, "this kernel has no EROFS"));
	unsetenv("BROOD_WITHOUT");
	apps_put(apps_in("text"), "no image\n", 0644);
	CHECK(mount_image(apps_in("text"), at(), &err) < 0);
	CHECK(mount_image(apps_folder, at(), &err) < 0);
	CHECK(mount_image(image.path, apps_in("nowhere"), &err) < 0);
	CHECK(!mount_is(at()));
	CHECK(!mount_is(apps_in("nowhere")));
	CHECK(mount_end(at(), &err) < 0);
	CHECK(strstr(err.text, "unmount "));
	apps_end();
}

TEST_MAIN

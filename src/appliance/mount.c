/* SPDX-License-Identifier: Apache-2.0 */
/* From Linux 6.12 on a file can be mounted as it is; before that a loop device
 * stands in between, which goes with the mount. */
#include "appliance/mount.h"
#include "base/fd.h"
#include "base/process.h"
#include "erofs/format.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MOUNT_LOOP_TRIES = 64 };

static const unsigned long mount_flags = MS_RDONLY | MS_NODEV | MS_NOSUID;

/* 0, or -errno: with the best of the options that are known here. */
static int mount_with(const char *from, const char *at,
		      const char *const *options)
{
	for (;; options++) {
		if (mount(from, at, "erofs", mount_flags, *options) == 0)
			return 0;
		/* Not known here, or not for this file. */
		if (!*options || (errno != EINVAL && errno != ENOTBLK))
			return -errno;
	}
}

/* ---- loop devices -------------------------------------------------------------- */

/* The device, configured; it clears itself when nobody uses it.  *path is its
 * name. */
static int mount_loop_take(int file, char path[32])
{
	struct loop_config config = {
		.fd = (unsigned)file,
		.info = { .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR |
				      LO_FLAGS_DIRECT_IO },
	};
	auto_close int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	for (int i = 0; control >= 0 && i < MOUNT_LOOP_TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		auto_close int loop = -1;

		if (number < 0)
			return -errno;
		snprintf(path, 32, "/dev/loop%d", number);
		loop = open(path, O_RDONLY | O_CLOEXEC);
		if (loop < 0)
			return -errno;
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			return steal_fd(&loop);
		if (errno == EINVAL &&
		    config.info.lo_flags & LO_FLAGS_DIRECT_IO)
			config.info.lo_flags &= ~(unsigned)LO_FLAGS_DIRECT_IO;
		else if (errno != EBUSY) /* another one was faster */
			return -errno;
	}
	return control < 0 ? -errno : -EBUSY;
}

static int mount_by_loop(const char *image, const char *at)
{
	static const char *const options[] = { NULL };
	auto_close int file = open(image, O_RDONLY | O_CLOEXEC);
	auto_close int loop = -1;
	char path[32];

	if (file < 0)
		return -errno;
	loop = mount_loop_take(file, path);
	return loop < 0 ? loop : mount_with(path, at, options);
}

/* ---- which way ----------------------------------------------------------------- */

static int mount_file(const char *image, const char *at)
{
	static const char *const options[] = { "directio", NULL };
	int rc = -ENOTBLK;

	if (process_feature("erofs_file"))
		rc = mount_with(image, at, options);
	return rc == -ENOTBLK ? mount_by_loop(image, at) : rc;
}

static int mount_device(const char *image, const char *at)
{
	static const char *const options[] = { "dax=always", NULL };

	return mount_with(image, at, options);
}

int mount_image(const char *image, const char *at, struct err *err)
{
	struct stat st;
	int rc;

	if (stat(image, &st) < 0)
		return err_set(err, -errno, "look at %s", image);
	rc = process_feature("erofs") ? 0 : -ENODEV;
	if (!rc)
		rc = S_ISBLK(st.st_mode) ? mount_device(image, at)
					 : mount_file(image, at);
	if (rc == -ENODEV)
		return err_set(err, rc, "mount %s: this kernel has no EROFS",
			       image);
	return rc < 0 ? err_set(err, rc, "mount %s", image) : 0;
}

bool mount_is(const char *at)
{
	struct statfs here;

	return statfs(at, &here) == 0 && here.f_type == EROFS_MAGIC;
}

int mount_end(const char *at, struct err *err)
{
	return umount2(at, UMOUNT_NOFOLLOW) < 0
		       ? err_set(err, -errno, "unmount %s", at)
		       : 0;
}

int mount_detach(const char *at, struct err *err)
{
	return umount2(at, UMOUNT_NOFOLLOW | MNT_DETACH) < 0
		       ? err_set(err, -errno, "unmount %s", at)
		       : 0;
}

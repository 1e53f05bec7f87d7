/* SPDX-License-Identifier: Apache-2.0 */
/* Where images are. */
#include "image/images.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES_NAME_MOST = 64 };

char *images_folder(const char *folder, struct err *err)
{
	const char *told = folder ? folder : secure_getenv("BROOD_IMAGES");
	const char *data = secure_getenv("XDG_DATA_HOME");
	const char *home = secure_getenv("HOME");
	char *path = NULL;

	if (told && *told)
		path = strdup(told);
	else if (data && data[0] == '/')
		path = file_join(data, "brood/images");
	else if (home && home[0] == '/')
		path = file_join(home, ".local/share/brood/images");
	else
		err_set(err, -EINVAL,
			"neither HOME nor XDG_DATA_HOME is set; --store names "
			"a folder");
	if (!path && err && !err->code)
		err_set(err, -ENOMEM, "name of a folder");
	return path;
}

static int images_open_tips(struct images *images, bool make, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	struct stat st;

	if (make && mkdirat(images->root, "tips", 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/tips", images->folder);
	images->tips = openat(images->root, "tips", flags);
	/* Only what is not there is none: who took a failure for an empty
	 * folder would remove all layers. */
	if (images->tips < 0 && errno == ENOENT && !make)
		return 0;
	if (images->tips < 0 || fstat(images->tips, &st) < 0)
		return err_set(err, -errno, "open %s/tips", images->folder);
	if (!store_trusts(&st, false))
		return err_set(err, -EPERM,
			       "%s/tips can be written by others (user %u, "
			       "mode %o)",
			       images->folder, st.st_uid, st.st_mode & 07777);
	return 0;
}

int images_open(struct images *images, const char *folder, bool make,
		struct err *err)
{
	int rc;

	*images = (struct images){ .root = -1, .tips = -1 };
	if (err)
		err_clear(err);
	images->folder = images_folder(folder, err);
	if (!images->folder)
		return err && err->code ? err->code : -ENOMEM;
	rc = images->root =
		make ? store_folder_make(images->folder, 0700, err)
		     : store_folder_open(images->folder, false, err);
	if (rc >= 0)
		rc = images_open_tips(images, make, err);
	if (rc < 0)
		images_close(images);
	return rc < 0 ? rc : 0;
}

int images_open_given(struct images *images, const char *folder,
		      struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int rc;

	*images = IMAGES_NONE;
	images->is_given = true;
	images->folder = strdup(folder);
	images->root = open(folder, flags);
	images->tips = images->root < 0 ? -1
					: openat(images->root, "tips",
						 flags | O_NOFOLLOW);
	if (images->folder && images->tips >= 0)
		return 0;
	rc = err_set(err, images->folder ? -errno : -ENOMEM, "open %s", folder);
	images_close(images);
	return rc;
}

static void images_made_path(const uint8_t id[STORE_ID_BYTES],
			     char path[8 + STORE_HEX])
{
	memcpy(path, "made/", 5);
	store_hex(id, STORE_ID_BYTES, path + 5);
}

int images_note_made(const struct images *images,
		     const uint8_t id[STORE_ID_BYTES], struct err *err)
{
	char path[8 + STORE_HEX];
	auto_close int fd = -1;

	images_made_path(id, path);
	if (mkdirat(images->root, "made", 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "make %s/made", images->folder);
	fd = openat(images->root, path,
		    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0400);
	return fd < 0 ? err_set(err, -errno, "write %s/%s", images->folder,
				path)
		      : 0;
}

bool images_is_made(const struct images *images,
		    const uint8_t id[STORE_ID_BYTES])
{
	char path[8 + STORE_HEX];
	struct stat st;

	images_made_path(id, path);
	return fstatat(images->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

void images_close(struct images *images)
{
	fd_close(&images->root);
	fd_close(&images->tips);
	mem_free(&images->folder);
}

bool images_is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len && len <= IMAGES_NAME_MOST && !name[len] && name[0] != '.' &&
	       name[0] != '-';
}

int images_lock(const struct images *images, bool shared, struct err *err)
{
	auto_close int fd = store_lock_open(images->root, err);
	int rc;

	if (fd < 0)
		return fd;
	rc = store_lock_wait(fd, 0, shared);
	if (rc < 0)
		return err_set(err, rc, "lock %s", images->folder);
	return steal_fd(&fd);
}

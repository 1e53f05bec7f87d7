/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/paths.h"
#include "base/fd.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool paths_is_link_to(const char *path, const char *target)
{
	char text[PATH_MAX];
	ssize_t len = readlink(path, text, sizeof text - 1);

	if (len < 0)
		return false;
	text[len] = 0;
	return strcmp(text, target) == 0;
}

/* What is beside a path, under a hidden name made of its own. */
static char *paths_beside(const char *path, const char *word)
{
	const char *name = file_base(path);

	return file_format("%.*s.%s.%s", (int)(name - path), path, name, word);
}

char *paths_saved(const char *path, const char *target, bool *is_ours,
		  struct err *err)
{
	char *saved = paths_beside(path, "brood-saved");
	struct stat st;

	*is_ours = paths_is_link_to(path, target);
	if (!saved) {
		err_set(err, -ENOMEM, "look at %s", path);
		return NULL;
	}
	/* Without hard links the path is away for a moment, and was saved. */
	if (lstat(*is_ours ? saved : path, &st) == 0 ||
	    (errno == ENOENT && lstat(saved, &st) == 0))
		return saved;
	mem_free(&saved);
	return NULL;
}

/* A link to nowhere, where applications have their entries: target is such a
 * one, APPS/NAME/bin/ENTRY. */
static bool paths_is_left(const char *path, const char *target)
{
	char text[PATH_MAX];
	ssize_t len = readlink(path, text, sizeof text - 1);
	const char *apps = target + strlen(target);
	struct stat st;

	if (len < 0 || stat(path, &st) == 0)
		return false;
	text[len] = 0;
	for (int parts = 0; apps > target && parts < 3;)
		parts += *--apps == '/';
	return strncmp(text, target, (size_t)(apps - target)) == 0;
}

/* Both names are there at once, so that the path never is not. */
static int paths_save(const char *path, const char *target, const char *saved,
		      struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT && lstat(saved, &st) == 0
			       ? 0
			       : err_set(err, -errno, "look at %s", path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, -EINVAL, "%s is a folder, no start path",
			       path);
	/* Of an application that is no more: what was there before it is what
	 * comes back. */
	if (paths_is_left(path, target) && lstat(saved, &st) == 0)
		return 0;
	/* Of an install that was cut off before it changed the path. */
	unlink(saved);
	if (link(path, saved) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
		return err_set(err, -errno, "save %s as %s", path, saved);
	return rename(path, saved) < 0
		       ? err_set(err, -errno, "save %s as %s", path, saved)
		       : 0;
}

int paths_lead(const char *path, const char *target, const char *saved,
	       struct err *err)
{
	auto_free char *fresh = paths_beside(path, "brood-new");
	int rc = 0;

	if (!fresh)
		return err_set(err, -ENOMEM, "make %s", path);
	if (paths_is_link_to(path, target))
		return 0;
	if (saved)
		rc = paths_save(path, target, saved, err);
	unlink(fresh);
	if (rc >= 0 && symlink(target, fresh) < 0)
		rc = err_set(err, -errno, "make %s", fresh);
	if (rc >= 0 && rename(fresh, path) < 0) {
		rc = err_set(err, -errno, "make %s", path);
		unlink(fresh);
	}
	return rc;
}

int paths_restore(const char *path, const char *target, const char *saved,
		  struct err *err)
{
	if (!paths_is_link_to(path, target)) {
		struct stat st;

		if (lstat(path, &st) == 0 || !saved)
			return 1;
	}
	if (saved && rename(saved, path) == 0)
		return 0;
	if (saved && errno != ENOENT)
		return err_set(err, -errno, "put %s back to %s", saved, path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "remove %s", path);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where a VM's cache is.  The system's folder is root's and looked at first;
 * its own is named by the VM, the environment, or found below the user's
 * cache folder.  A folder is opened once, judged by its descriptor, and all
 * names below are reached from there, one step each: nobody else can put a
 * link in between. */
#include "base/fd.h"
#include "cache/cache_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *cache_system_folder(void)
{
	const char *told = secure_getenv("BROOD_SYSTEM_CACHE");

	return told && *told ? told : "/var/cache/brood/code";
}

static const char *cache_place_told(const struct cache_options *options)
{
	const char *told = options ? options->place : NULL;

	if (!told || !*told)
		told = secure_getenv("BROOD_CACHE");
	return told && *told ? told : NULL;
}

char *cache_folder(const struct cache_options *options, struct err *err)
{
	const char *told = cache_place_told(options);
	const char *cache = secure_getenv("XDG_CACHE_HOME");
	const char *home = secure_getenv("HOME");
	char *folder = NULL;

	if (told && strcmp(told, "off") == 0) {
		err_set(err, -EINVAL, "it is switched off");
		return NULL;
	}
	if (told)
		folder = strdup(told);
	else if (cache && cache[0] == '/')
		folder = file_join(cache, "brood/code");
	else if (home && home[0] == '/')
		folder = file_join(home, ".cache/brood/code");
	else
		err_set(err, -EINVAL, "neither HOME nor XDG_CACHE_HOME is set");
	if (!folder && err && !err->code)
		err_set(err, -ENOMEM, "name of a folder");
	return folder;
}

bool cache_place_trusts(const struct stat *st, bool system)
{
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return false;
	return st->st_uid == 0 || (!system && st->st_uid == geteuid());
}

int cache_place_open(const char *folder, bool system, struct err *err)
{
	auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "open %s", folder);
	if (!cache_place_trusts(&st, system))
		return err_set(err, -EPERM,
			       "%s can be written by others (user %u, mode %o)",
			       folder, st.st_uid, st.st_mode & 07777);
	return steal_fd(&fd);
}

int cache_place_make(const char *folder, struct err *err)
{
	int fd = cache_place_open(folder, false, err), rc;

	if (fd >= 0 || fd != -ENOENT)
		return fd;
	rc = file_make_dirs(folder, 0700, err);
	return rc < 0 ? rc : cache_place_open(folder, false, err);
}

int cache_place_use(struct cache *cache, bool make, struct err *err)
{
	if (cache->root >= 0)
		return 0;
	cache->root = make ? cache_place_make(cache->folder, err)
			   : cache_place_open(cache->folder, false, err);
	if (cache->root < 0) {
		int code = cache->root;

		cache->root = -1;
		return code;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where a VM's cache is.  The system's folder is root's and looked at first;
 * its own is named by the VM, the environment, or found below the user's
 * cache folder. */
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

/* The system's is for all to read. */
static mode_t cache_place_mode(const char *folder)
{
	return geteuid() == 0 && strcmp(folder, cache_system_folder()) == 0
		       ? 0755
		       : 0700;
}

int cache_place_use(struct cache *cache, bool make, struct err *err)
{
	if (cache->root >= 0)
		return 0;
	cache->root =
		make ? store_folder_make(cache->folder,
					 cache_place_mode(cache->folder), err)
		     : store_folder_open(cache->folder, false, err);
	if (cache->root < 0) {
		int code = cache->root;

		cache->root = -1;
		return code;
	}
	return 0;
}

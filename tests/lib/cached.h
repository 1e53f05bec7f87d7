/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the code cache: a folder of one's own, and a module that is
 * "compiled" by hand. */
#pragma once
#include "base/fd.h"
#include "base/file.h"
#include "lib/code.h"
#include "test.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define CACHED_SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CACHED_SANITISED 1
#endif
#endif

static inline char *cached_folder(void)
{
	char *folder = strdup("/tmp/brood-test-XXXXXX");

	CHECK(mkdtemp(folder) != NULL);
	setenv("BROOD_SYSTEM_CACHE", "/nowhere", 1);
	unsetenv("BROOD_CACHE");
	unsetenv("BROOD_CACHE_SIZE");
	setenv("XDG_CACHE_HOME", folder, 1);
	return folder;
}

static inline void cached_folder_fini(char **folder)
{
	file_remove_tree(*folder, NULL);
	free(*folder);
}
#define auto_folder __attribute__((cleanup(cached_folder_fini)))

/* A module, and what its code is: all derived from the seed. */
struct cached {
	uint32_t seed, functions, landings, options, features;
	struct cache_request request;
};

static inline struct cached cached_module(uint32_t seed)
{
	return (struct cached){
		.seed = seed,
		.functions = 100,
		.landings = 7,
		.request = { .fd = -1, .name = "/x/made.wasm" },
	};
}

static inline enum cache_result cached_get(struct cache *cache,
					   const struct cached *made,
					   struct cache_object **object)
{
	struct cache_request request = made->request;

	if (!request.bytes) {
		request.bytes = &made->seed;
		request.len = sizeof(made->seed);
	}
	request.options = made->options;
	request.features = made->features;
	return cache_get(cache, &request, object);
}

/* Compiles it into the object and begins to publish. */
static inline int cached_make(const struct cached *made,
			      struct cache_object *object, struct err *err)
{
	int rc = cache_reserve(
		object, code_made_bytes(made->functions, made->landings), err);

	if (rc < 0)
		return rc;
	code_made_write(object->image, made->functions, made->landings,
			made->seed, made->options, made->features);
	rc = cache_seal(object, err);
	if (rc >= 0)
		cache_publish(object);
	return rc;
}

static inline int cached_is_right(const struct cached *made,
				  const struct cache_object *object)
{
	return code_made_call(object->image, 0) == made->seed &&
	       code_made_call(object->image, made->functions - 1) ==
		       made->seed + made->functions - 1;
}

/* A whole VM: opens, gets or makes, calls, closes.  What cache_get said, or
 * -1 where the code was not right. */
static inline int cached_run(const struct cached *made)
{
	struct cache_object *object;
	struct err err = { 0 };
	struct cache *cache;
	int result;

	if (cache_open(&cache, NULL, &err) < 0)
		return -1;
	result = cached_get(cache, made, &object);
	if (result != CACHE_HIT && cached_make(made, object, &err) < 0)
		result = -1;
	if (result >= 0 && !cached_is_right(made, object))
		result = -1;
	cache_close(cache);
	return result;
}

/* The path of the one object in the folder; NULL: none, or several. */
static inline char *cached_object(const char *folder)
{
	auto_free char *code = file_join(folder, "brood/code");
	DIR *dir = opendir(code);
	char *found = NULL;
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		if (strlen(entry->d_name) == 64) {
			free(found);
			found = file_join(code, entry->d_name);
			count++;
		}
	if (dir)
		closedir(dir);
	if (count == 1)
		return found;
	free(found);
	return NULL;
}

/* Names in the folder that are none of the cache's lasting ones. */
static inline int cached_litter(const char *folder)
{
	auto_free char *code = file_join(folder, "brood/code");
	DIR *dir = opendir(code);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] == '.' &&
			 strcmp(entry->d_name, ".") &&
			 strcmp(entry->d_name, "..");
	if (dir)
		closedir(dir);
	return count;
}

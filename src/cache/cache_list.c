/* SPDX-License-Identifier: Apache-2.0 */
/* A cache as its owner looks at it: what is there, who uses it, and whether
 * it is still what it was. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/maps.h"
#include "cache/cache_internal.h"
#include "cache/code_header.h"
#include "cache/profile.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Files whose text a process has mapped, once for each process. */
struct cache_use {
	uint64_t dev, ino;
};
struct cache_uses {
	struct cache_use *use;
	size_t count, room;
};

static void cache_list_use(struct cache_uses *uses, size_t from,
			   const struct map *map)
{
	struct cache_use *more;

	for (size_t i = from; i < uses->count; i++)
		if (uses->use[i].ino == map->ino &&
		    uses->use[i].dev == map->dev)
			return;
	if (uses->count == uses->room) {
		uses->room = uses->room ? 2 * uses->room : 256;
		more = reallocarray(uses->use, uses->room, sizeof(*more));
		if (!more) {
			uses->room = uses->count;
			return;
		}
		uses->use = more;
	}
	uses->use[uses->count++] =
		(struct cache_use){ .dev = map->dev, .ino = map->ino };
}

/* The name of an object in the maps: its last part is a key. */
static bool cache_list_is_object(const struct map *map)
{
	return map->ino && (map->prot & PROT_EXEC) &&
	       store_is_name(file_base(map->name));
}

static void cache_list_process(pid_t pid, struct cache_uses *uses)
{
	auto_maps struct maps maps = { 0 };
	size_t from = uses->count;

	if (maps_read(pid, &maps, NULL) < 0)
		return;
	for (size_t i = 0; i < maps.count; i++)
		if (cache_list_is_object(&maps.map[i]))
			cache_list_use(uses, from, &maps.map[i]);
}

static void cache_list_uses(struct cache_uses *uses)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			cache_list_process((pid_t)atoi(entry->d_name), uses);
	if (proc)
		closedir(proc);
}

/* ---- one entry ------------------------------------------------------------ */

/* The file, trusted and mapped read-only; else NULL and why. */
static uint8_t *cache_list_map(int root, const char *hex, bool system,
			       uint64_t *len, const char **why)
{
	struct stat st;
	auto_close int fd = store_object_open(root, hex, system, &st, why);
	void *image;

	if (fd < 0) {
		*why = *why ? *why : "there is none";
		return NULL;
	}
	*len = (uint64_t)st.st_size;
	*why = "it is too short for a code object";
	if (*len < sizeof(struct code_header))
		return NULL;
	image = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
	*why = image == MAP_FAILED ? "it cannot be mapped" : NULL;
	return *why ? NULL : image;
}

static const char *cache_list_check(const uint8_t *image, uint64_t len,
				    const char *hex)
{
	const struct code_header *head = (const void *)image;
	const char *why = code_header_check(image, len, len);
	char key[CACHE_HEX + 1];

	if (why)
		return why;
	store_hex(head->key, CODE_KEY_BYTES, key);
	return strcmp(key, hex) == 0 ? NULL : "it has another key";
}

static void cache_list_hot(struct cache_entry *entry, int root,
			   const uint8_t *image)
{
	const struct code_header *head = &entry->head;
	struct cache_profile profile;

	entry->profile_wrong = cache_profile_load(root, entry->key, &profile);
	if (!entry->profile_wrong && profile.total &&
	    profile.function_count != head->function_count)
		entry->profile_wrong = "it is of another module";
	if (!entry->profile_wrong && profile.total)
		cache_profile_tell(
			&profile,
			head->optimised_at ? image + head->optimised_at : NULL,
			&entry->hot, NULL);
	cache_profile_fini(&profile);
}

static void cache_list_head(struct cache_entry *entry, int root)
{
	uint64_t len = 0;
	uint8_t *image = cache_list_map(root, entry->key, entry->system, &len,
					&entry->wrong);

	if (!image)
		return;
	entry->wrong = cache_list_check(image, len, entry->key);
	if (!entry->wrong) {
		memcpy(&entry->head, image, sizeof(entry->head));
		cache_list_hot(entry, root, image);
	}
	munmap(image, len);
}

static int cache_list_entry(int root, const char *hex, bool system,
			    const struct cache_uses *uses,
			    struct cache_entry *entry)
{
	struct store_seen seen;
	struct stat st;

	*entry = (struct cache_entry){ .system = system };
	if (fstatat(root, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	memcpy(entry->key, hex, sizeof(entry->key));
	store_seen_read(root, hex, &seen);
	memcpy(entry->name, seen.text, sizeof(entry->name));
	entry->bytes = (uint64_t)st.st_size;
	entry->made_s = st.st_mtime;
	entry->used_s = seen.used_s > st.st_mtime ? seen.used_s : st.st_mtime;
	for (size_t i = 0; i < uses->count; i++)
		entry->users += uses->use[i].ino == st.st_ino &&
				uses->use[i].dev == st.st_dev;
	cache_list_head(entry, root);
	return 0;
}

static bool cache_list_is_system(const char *folder)
{
	return strcmp(folder, cache_system_folder()) == 0;
}

int cache_each(const char *folder, cache_visit *visit, void *context,
	       struct err *err)
{
	bool system = cache_list_is_system(folder);
	int root = store_folder_open(folder, system, err), rc = 0;
	struct cache_uses uses = { 0 };
	struct cache_entry entry;
	struct dirent *name;
	DIR *dir;

	if (root < 0)
		return root == -ENOENT ? 0 : root;
	dir = fdopendir(root);
	if (!dir) {
		close(root);
		return err_set(err, -ENOMEM, "look into %s", folder);
	}
	cache_list_uses(&uses);
	while (rc == 0 && (name = readdir(dir)))
		if (store_is_name(name->d_name) &&
		    cache_list_entry(root, name->d_name, system, &uses,
				     &entry) == 0)
			rc = visit(&entry, context);
	closedir(dir);
	free(uses.use);
	return rc;
}

const char *cache_verify(const char *folder, const char *key)
{
	bool system = cache_list_is_system(folder);
	auto_close int root = store_folder_open(folder, system, NULL);
	const char *why = "the cache cannot be opened";
	uint64_t len = 0;
	uint8_t *image;

	if (!store_is_name(key))
		return "it is no key";
	image = root < 0 ? NULL : cache_list_map(root, key, system, &len, &why);
	if (!image)
		return why;
	why = cache_list_check(image, len, key);
	if (!why)
		why = cache_file_verify(image, len);
	munmap(image, len);
	return why;
}

int cache_remove(const char *folder, const char *key, struct err *err)
{
	auto_close int root = store_folder_open(folder, false, err);
	char profile[CACHE_PROFILE_NAME];

	if (root < 0)
		return root;
	if (!store_is_name(key))
		return err_set(err, -EINVAL, "%s is no key", key);
	store_seen_forget(root, key);
	cache_profile_name(key, profile);
	unlinkat(root, profile, 0);
	if (unlinkat(root, key, 0) < 0)
		return err_set(err, -errno, "remove %.16s", key);
	return 0;
}

/* The mapping may be changed by nobody but its owner; what is taken is a copy
 * of what was verified. */
static const char *cache_list_module(const uint8_t *image, uint64_t len,
				     const char *key, struct buf *bytes)
{
	const struct code_header *head = (const void *)image;
	const char *why = cache_list_check(image, len, key);

	if (!why)
		why = cache_file_verify(image, len);
	if (why)
		return why;
	if (!head->module_bytes)
		return "it has no module";
	buf_add(bytes, image + head->module_at, head->module_bytes);
	return bytes->failed ? "there is no memory for its module" : NULL;
}

int cache_module(const char *folder, const char *key, struct buf *bytes,
		 char name[64], struct err *err)
{
	bool system = cache_list_is_system(folder);
	auto_close int root = store_folder_open(folder, system, err);
	struct store_seen seen;
	const char *why;
	uint64_t len = 0;
	uint8_t *image;

	if (root < 0)
		return root;
	if (!store_is_name(key))
		return err_set(err, -EINVAL, "%.64s is no key", key);
	store_seen_read(root, key, &seen);
	memcpy(name, seen.text, sizeof(seen.text));
	image = cache_list_map(root, key, system, &len, &why);
	if (image) {
		why = cache_list_module(image, len, key, bytes);
		munmap(image, len);
	}
	return why ? err_set(err, -EBADMSG, "object %.16s: %s", key, why) : 0;
}

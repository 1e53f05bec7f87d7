/* SPDX-License-Identifier: Apache-2.0 */
/* The code cache: what is compiled once is mapped from then on, by key. */
#include "base/clock.h"
#include "base/maps.h"
#include "cache/code_header.h"
#include "lib/cached.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

static struct cache *opened(const char *place)
{
	struct cache_options options = { .place = place };
	struct err err = { 0 };
	struct cache *cache;

	CHECK_INT(cache_open(&cache, &options, &err), 0);
	CHECK_TEXT(err.text, "");
	return cache;
}

/* What the mapping at an address is, "r-xp" and so on. */
static int rights_at(const void *at, bool *from_file)
{
	auto_maps struct maps maps = { 0 };
	const struct map *map;

	CHECK_INT(maps_read(0, &maps, NULL), 0);
	map = maps_find(&maps, (uint64_t)(uintptr_t)at);
	CHECK(map != NULL);
	if (!map)
		return -1;
	*from_file = map->ino != 0;
	return map->prot;
}

TEST(made_once_and_mapped) /* CLAIM 1.4 1.6 1.7 1.9 1.11 */
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(42);
	struct cache *first = opened(NULL), *second;
	struct cache_object *object;
	const struct code_header *head;
	struct cache_counts counts;
	struct err err = { 0 };
	bool file;

	CHECK_INT(cached_get(first, &made, &object), CACHE_ABSENT);
	CHECK(object->image == NULL && object->why[0]);
	CHECK_INT(cached_make(&made, object, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK(cached_is_right(&made, object));
	CHECK_INT(rights_at(object->image, &file), PROT_READ);
	CHECK(!file);
	CHECK_INT(cache_published(object, &err), 0);
	CHECK_TEXT(err.text, "");
	cache_counts(first, &counts);
	CHECK_INT(counts.published, 1);
	CHECK_INT(counts.results[CACHE_ABSENT], 1);
	second = opened(NULL);
	CHECK_INT(cached_get(second, &made, &object), CACHE_HIT);
	CHECK_INT(rights_at(object->image, &file), PROT_READ);
	CHECK(file);
	head = (const void *)object->image;
	CHECK_INT(rights_at(object->image + head->text_at, &file),
		  PROT_READ | PROT_EXEC);
	CHECK(file);
	CHECK(cached_is_right(&made, object));
	cache_counts(second, &counts);
	CHECK_INT(counts.results[CACHE_HIT], 1);
	CHECK_INT(counts.verified, 0); /* its creator has */
	cache_close(first);
	CHECK(cached_is_right(&made, object));
	cache_close(second);
	CHECK_INT(cached_litter(folder), 0);
}

TEST(own_range) /* CLAIM 1.1 1.2 1.8 */
{
	auto_folder char *folder = cached_folder();
	struct cache_options options = { .range_bytes = 1 << 20 };
	struct cached made = cached_module(1), more = cached_module(2);
	struct cache_object *a, *b, *c;
	struct err err = { 0 };
	struct cache *cache;
	uint8_t *place;
	bool file;

	CHECK_INT(cache_open(&cache, &options, &err), 0);
	cached_get(cache, &made, &a);
	cached_get(cache, &more, &b);
	CHECK_INT(cached_make(&made, a, &err), 0);
	CHECK_INT(cached_make(&more, b, &err), 0);
	CHECK(cached_is_right(&made, a) && cached_is_right(&more, b));
	CHECK(b->image > a->image && b->image < a->image + (1 << 20));
	CHECK_INT(rights_at(a->image + a->len, &file), PROT_NONE);
	place = a->image;
	cache_drop(a);
	CHECK_INT(rights_at(place, &file), PROT_NONE);
	/* Its place is free again. */
	CHECK_INT(cached_get(cache, &made, &c), CACHE_HIT);
	CHECK(c->image == place);
	CHECK(cached_is_right(&made, c) && cached_is_right(&more, b));
	/* Too large for what is left. */
	more.seed = 3;
	more.functions = 65536;
	cached_get(cache, &more, &a);
	CHECK_INT(cached_make(&more, a, &err), -ENOMEM);
	cache_drop(a);
	cache_close(cache);
}

TEST(keys_differ) /* CLAIM 1.10 */
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(5), other = made;

	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	other.seed = 6;
	CHECK_INT(cached_run(&other), CACHE_ABSENT);
	other = made;
	other.options = CODE_CHECKED;
	CHECK_INT(cached_run(&other), CACHE_ABSENT);
	other = made;
	other.features = CODE_AVX2;
	CHECK_INT(cached_run(&other), CACHE_ABSENT);
	CHECK_INT(cached_run(&other), CACHE_HIT);
	/* Tail calls are found by the compiler, not asked for. */
	other.options = CODE_TAILS;
	CHECK_INT(cached_run(&other), CACHE_HIT);
}

TEST(places) /* CLAIM 1.3 */
{
	auto_folder char *folder = cached_folder();
	auto_free char *own = file_join(folder, "own");
	struct cached made = cached_module(8);
	struct cache_object *object;
	struct err err = { 0 };
	struct cache *cache = opened("off");

	CHECK_INT(cached_get(cache, &made, &object), CACHE_OFF);
	CHECK_INT(cached_make(&made, object, &err), 0);
	CHECK(cached_is_right(&made, object));
	CHECK(cache_published(object, &err) < 0);
	cache_close(cache);
	setenv("BROOD_CACHE", "off", 1);
	CHECK_INT(cached_run(&made), CACHE_OFF);
	setenv("BROOD_CACHE", own, 1);
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	unsetenv("BROOD_CACHE");
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	cache = opened(own);
	CHECK_INT(cached_get(cache, &made, &object), CACHE_HIT);
	cache_close(cache);
	/* A folder that cannot be made: the run goes on, and says so. */
	cache = opened("/proc/nowhere/at/all");
	CHECK_INT(cached_get(cache, &made, &object), CACHE_ABSENT);
	CHECK_INT(cached_make(&made, object, &err), 0);
	CHECK(cached_is_right(&made, object));
	CHECK(cache_published(object, &err) < 0);
	CHECK(err.text[0]);
	cache_close(cache);
}

TEST(system_folder)
{
	auto_folder char *folder = cached_folder();
	auto_free char *system = file_join(folder, "system");
	struct cached made = cached_module(9);
	struct cache_counts counts;
	struct cache_object *object;
	struct cache *cache;
	struct err err = { 0 };

	if (geteuid() != 0)
		SKIP("not root");
	cache = opened(system);
	cached_get(cache, &made, &object);
	CHECK_INT(cached_make(&made, object, &err), 0);
	cache_close(cache);
	setenv("BROOD_SYSTEM_CACHE", system, 1);
	cache = opened(NULL);
	CHECK_INT(cached_get(cache, &made, &object), CACHE_HIT);
	cache_counts(cache, &counts);
	CHECK_INT(counts.verified, 1);
	/* In a process once, even where nothing can be kept. */
	CHECK_INT(cached_get(cache, &made, &object), CACHE_HIT);
	cache_counts(cache, &counts);
	CHECK_INT(counts.verified, 1);
	cache_close(cache);
}

/* ---- the index ------------------------------------------------------------ */

static void written(const char *path, uint8_t *bytes, size_t len, int byte)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	memset(bytes, byte, len);
	CHECK(fd >= 0 && fd_write_all(fd, bytes, len, NULL) >= 0);
	fd_close(&fd);
}

/* One run of the module in a file: how many times it was hashed. */
static int hashed(const char *path, struct cached *made, int result)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct cache *cache = opened(NULL);
	struct cache_object *object;
	struct cache_counts counts;
	struct err err = { 0 };
	struct stat st;

	CHECK(fstat(fd, &st) == 0);
	made->request.fd = fd;
	file_stamp_of(&st, &made->request.stamp);
	CHECK_INT(cached_get(cache, made, &object), result);
	if (!object->image)
		CHECK_INT(cached_make(made, object, &err), 0);
	CHECK(cached_is_right(made, object));
	cache_counts(cache, &counts);
	cache_close(cache);
	return (int)counts.hashed;
}

TEST(index)
{
	auto_folder char *folder = cached_folder();
	auto_free char *path = file_join(folder, "module");
	struct cached made = cached_module(10), other = cached_module(11);
	enum { LEN = 100000 };
	uint8_t *bytes = malloc(LEN);

	made.request.bytes = other.request.bytes = bytes;
	made.request.len = other.request.len = LEN;
	written(path, bytes, LEN, 1);
	/* Just written: the times tell nothing yet. */
	CHECK_INT(hashed(path, &made, CACHE_ABSENT), 1);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 1);
	clock_sleep_ms(2100);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 1);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 0);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 0);
	/* Other bytes of the same length, at once. */
	written(path, bytes, LEN, 2);
	CHECK_INT(hashed(path, &other, CACHE_ABSENT), 1);
	CHECK_INT(hashed(path, &other, CACHE_HIT), 1);
	written(path, bytes, LEN, 1);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 1);
	/* One that others may write is read each time. */
	CHECK(chmod(path, 0666) == 0);
	clock_sleep_ms(2100);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 1);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 1);
	free(bytes);
}

TEST(index_that_lies)
{
	auto_folder char *folder = cached_folder();
	auto_free char *path = file_join(folder, "module");
	auto_free char *index = file_join(folder, "brood/code/index");
	auto_free char *record = NULL;
	struct cached made = cached_module(12);
	enum { LEN = 70000 };
	uint8_t *bytes = malloc(LEN);
	struct dirent *entry;
	DIR *dir;

	made.request.bytes = bytes;
	made.request.len = LEN;
	written(path, bytes, LEN, 3);
	clock_sleep_ms(2100);
	CHECK_INT(hashed(path, &made, CACHE_ABSENT), 1);
	CHECK_INT(hashed(path, &made, CACHE_HIT), 0);
	dir = opendir(index);
	CHECK(dir != NULL);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			record = file_join(index, entry->d_name);
	closedir(dir);
	CHECK(record != NULL);
	for (int torn = 0; torn < 2; torn++) {
		unlink(record);
		CHECK(symlink(torn ? "0123"
				   : "00000000000000000000000000000000"
				     "00000000000000000000000000000000",
			      record) == 0);
		CHECK_INT(hashed(path, &made, CACHE_HIT), 1);
		CHECK_INT(hashed(path, &made, CACHE_HIT), 0);
	}
	free(bytes);
}

TEST(small_addresses)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(13);
	struct rlimit before, limit;

#ifdef CACHED_SANITISED
	SKIP("the sanitizer needs addresses");
#endif
	CHECK(getrlimit(RLIMIT_AS, &before) == 0);
	limit = (struct rlimit){ 128 << 20, before.rlim_max };
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	CHECK(setrlimit(RLIMIT_AS, &before) == 0);
}

TEST(seal_refuses)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(14);
	struct cache *cache = opened(NULL);
	struct cache_object *object;
	struct err err = { 0 };
	uint64_t len = code_made_bytes(made.functions, made.landings);

	cached_get(cache, &made, &object);
	CHECK_INT(cache_seal(object, &err), -EINVAL);
	CHECK_INT(cache_reserve(object, 100, &err), -ENOMEM);
	CHECK_INT(cache_reserve(object, len, &err), 0);
	CHECK_INT(cache_reserve(object, len, &err), -EINVAL);
	CHECK_INT(cache_seal(object, &err), -EBADMSG);
	cache_publish(object);
	CHECK(cache_published(object, &err) < 0);
	cache_close(cache);
	CHECK(cached_object(folder) == NULL);
}

TEST_MAIN

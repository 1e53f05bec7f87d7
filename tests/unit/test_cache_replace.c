/* SPDX-License-Identifier: Apache-2.0 */
/* A better object takes the name of one that is there: while that is mapped,
 * by one process at a time, killed anywhere, in the right folder. */
#include "lib/cached.h"
#include "lib/killed.h"
#include <errno.h>

static struct cache *opened(const char *place)
{
	struct cache_options options = { .place = place };
	struct err err = { 0 };
	struct cache *cache;

	CHECK_INT(cache_open(&cache, &options, &err), 0);
	return cache;
}

/* How many of the object's functions are optimised. */
static uint32_t worth(const struct cache_object *object)
{
	return ((const struct code_header *)object->image)->optimised_count;
}

static void better(struct code_header *head, uint32_t count)
{
	uint8_t *bits = (uint8_t *)head + head->runs_at;

	head->optimised_at = head->runs_at;
	head->optimised_count = count;
	for (uint32_t i = 0; i < count; i++)
		bits[i / 8] |= 1u << i % 8;
}

/* Makes it and begins to publish it. */
static int improve(const struct cached *made, struct cache_object *object,
		   uint32_t count, struct err *err)
{
	int rc = cache_reserve(
		object, code_made_bytes(made->functions, made->landings), err);

	if (rc < 0)
		return rc;
	code_made_write(object->image, made->functions, made->landings,
			made->seed, made->options, made->features);
	better((struct code_header *)object->image, count);
	rc = cache_seal(object, err);
	if (rc >= 0)
		cache_publish(object);
	return rc;
}

/* One run that makes it better. */
static int improving_run(const void *data)
{
	const struct cached *made = data;
	struct cache *cache = opened(NULL);
	struct cache_object *old, *object;
	struct err err = { 0 };
	int rc = -1;

	if (cached_get(cache, made, &old) == CACHE_HIT &&
	    cache_replace(old, &object, &err) == 0)
		rc = improve(made, object, 5, &err);
	cache_close(cache);
	return rc < 0;
}

/* One that only looks: the worth, or -1. */
static int found(const struct cached *made, uint64_t *verified)
{
	struct cache *cache = opened(NULL);
	struct cache_counts counts;
	struct cache_object *object;
	int count = -1;

	if (cached_get(cache, made, &object) == CACHE_HIT &&
	    cached_is_right(made, object))
		count = (int)worth(object);
	cache_counts(cache, &counts);
	*verified = counts.verified;
	cache_close(cache);
	return count;
}

TEST(replaced_while_mapped)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	auto_free char *path = NULL;
	struct cached made = cached_module(1);
	struct cache_object *old, *object;
	struct cache_counts counts;
	struct err err = { 0 };
	struct cache *cache;
	uint64_t verified;

	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	cache = opened(NULL);
	CHECK_INT(cached_get(cache, &made, &old), CACHE_HIT);
	CHECK_INT(cache_replace(old, &object, &err), 0);
	CHECK(object != old && object->result == CACHE_ABSENT);
	CHECK(memcmp(object->key, old->key, sizeof(old->key)) == 0);
	CHECK_INT(improve(&made, object, 5, &err), 0);
	CHECK_INT(cache_published(object, &err), 0);
	CHECK_TEXT(err.text, "");
	cache_counts(cache, &counts);
	CHECK_INT(counts.published, 1);
	path = cached_object(folder);
	CHECK(path && !cache_verify(code, file_base(path)));
	CHECK_INT(cached_litter(folder), 0);
	CHECK_INT(found(&made, &verified), 5);
	CHECK_INT(verified, 0);
	CHECK(cached_is_right(&made, old) && worth(old) == 0);
	cache_close(cache);
}

/* Also of what this process has just made itself. */
TEST(replaced_at_once)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(2);
	struct cache *cache = opened(NULL);
	struct cache_object *old, *object;
	struct err err = { 0 };
	uint64_t verified;

	CHECK_INT(cached_get(cache, &made, &old), CACHE_ABSENT);
	CHECK_INT(cached_make(&made, old, &err), 0);
	CHECK_INT(cache_replace(old, &object, &err), 0);
	CHECK_INT(improve(&made, object, 7, &err), 0);
	CHECK_INT(cache_published(object, &err), 0);
	CHECK_INT(cache_published(old, &err), 0);
	CHECK_INT(found(&made, &verified), 7);
	cache_close(cache);
}

TEST(one_at_a_time)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	struct cached made = cached_module(3);
	struct cache *cache, *other;
	struct cache_object *old, *object, *late, *latest;
	struct err err = { 0 };
	char begin[1][9];

	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	cache = opened(NULL);
	other = opened(NULL);
	CHECK_INT(cached_get(cache, &made, &old), CACHE_HIT);
	CHECK_INT(cached_get(other, &made, &late), CACHE_HIT);
	CHECK_INT(cache_replace(old, &object, &err), 0);
	CHECK_INT(cache_replace(late, &latest, &err), -EWOULDBLOCK);
	CHECK(latest == NULL && err.text[0]);
	/* Nobody is held up, and it is no compiling. */
	CHECK_INT(cache_compiling(code, begin, 1), 0);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	cache_drop(object);
	err = (struct err){ 0 };
	CHECK_INT(cache_replace(late, &latest, &err), 0);
	CHECK_INT(improve(&made, latest, 5, &err), 0);
	CHECK_INT(cache_published(latest, &err), 0);
	/* Who still has the old one is told that there is a better. */
	CHECK_INT(cache_replace(old, &object, &err), 0);
	CHECK_INT(object->result, CACHE_HIT);
	CHECK_INT(worth(object), 5);
	CHECK_INT(cache_replace(object, &latest, &err), 0);
	CHECK_INT(latest->result, CACHE_ABSENT);
	cache_close(cache);
	cache_close(other);
}

/* It was removed meanwhile, and another compiles it anew: the better one is
 * what stays, whoever is first. */
TEST(evicted_meanwhile)
{
	auto_folder char *folder = cached_folder();
	auto_free char *path = NULL;
	struct cached made = cached_module(4);
	struct cache *cache, *other;
	struct cache_object *old, *object, *anew;
	struct err err = { 0 };
	uint64_t verified;

	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	path = cached_object(folder);
	cache = opened(NULL);
	other = opened(NULL);
	CHECK_INT(cached_get(cache, &made, &old), CACHE_HIT);
	CHECK_INT(cache_replace(old, &object, &err), 0);
	CHECK(unlink(path) == 0);
	CHECK_INT(cached_get(other, &made, &anew), CACHE_ABSENT);
	CHECK_INT(improve(&made, object, 5, &err), 0);
	CHECK_INT(cached_make(&made, anew, &err), 0);
	CHECK_INT(cache_published(anew, &err), 0);
	CHECK_INT(cache_published(object, &err), 0);
	CHECK_INT(found(&made, &verified), 5);
	cache_close(cache);
	cache_close(other);
}

TEST(off)
{
	struct cached made = cached_module(5);
	struct cache *cache = opened("off");
	struct cache_object *old, *object;
	struct err err = { 0 };

	CHECK_INT(cached_get(cache, &made, &old), CACHE_OFF);
	CHECK_INT(cache_replace(old, &object, &err), -ENOENT);
	CHECK(object == NULL && err.text[0]);
	cache_close(cache);
}

/* The own folder gets what is better than the system's, and is asked for it
 * first; where it is wrong there the system's still is right. */
TEST(system_folder)
{
	auto_folder char *folder = cached_folder();
	auto_free char *system = file_join(folder, "system");
	auto_free char *path = NULL;
	struct cached made = cached_module(6);
	struct cache *cache;
	struct cache_object *object;
	struct err err = { 0 };
	uint64_t verified;

	if (geteuid() != 0)
		SKIP("not root");
	cache = opened(system);
	cached_get(cache, &made, &object);
	CHECK_INT(cached_make(&made, object, &err), 0);
	cache_close(cache);
	setenv("BROOD_SYSTEM_CACHE", system, 1);
	CHECK_INT(found(&made, &verified), 0);
	CHECK_INT(improving_run(&made), 0);
	path = cached_object(folder);
	CHECK(path != NULL);
	CHECK_INT(found(&made, &verified), 5);
	CHECK_INT(verified, 0);
	CHECK(truncate(path, 4096) == 0);
	CHECK_INT(found(&made, &verified), 0);
	CHECK_INT(improving_run(&made), 0);
	CHECK_INT(found(&made, &verified), 5);
}

/* ---- killed --------------------------------------------------------------- */

static int left_old, left_new, left_named;

/* What is there after a kill is the old one or the new one, and right. */
static void look_after(const char *folder, const struct cached *made, int step)
{
	auto_free char *path = cached_object(folder);
	auto_free char *code = file_join(folder, "brood/code");
	const char *wrong = path ? cache_verify(code, file_base(path)) : "gone";
	uint64_t verified;
	int count = found(made, &verified);

	if (wrong)
		printf("# killed at step %d: %s\n", step, wrong);
	CHECK(!wrong);
	CHECK(count == 0 || count == 5);
	left_old += count == 0;
	left_new += count == 5;
	left_named += cached_litter(folder);
	if (count == 0)
		CHECK_INT(improving_run(made), 0);
	CHECK_INT(found(made, &verified), 5);
}

static void kill_everywhere(const char *without)
{
	struct cached made = cached_module(7);
	bool going = true;
	int step;

	left_old = left_new = left_named = 0;
	if (without)
		setenv("BROOD_WITHOUT", without, 1);
	for (step = 0; going && step < 1000; step++) {
		auto_folder char *folder = cached_folder();

		CHECK_INT(cached_run(&made), CACHE_ABSENT);
		going = killed_at(improving_run, &made, step);
		look_after(folder, &made, step);
	}
	unsetenv("BROOD_WITHOUT");
	CHECK(step > 60 && step < 1000);
	CHECK(left_old > 20 && left_new > 5 && left_named > 0);
	printf("# killed at %d steps: %d old, %d new, %d with a draft\n",
	       step - 1, left_old, left_new, left_named);
}

TEST(killed_at_each_step)
{
#ifdef CACHED_SANITISED
	SKIP("the sanitizer has threads and traces of its own");
#endif
	kill_everywhere(NULL);
}

TEST(killed_at_each_step_with_named_drafts)
{
#ifdef CACHED_SANITISED
	SKIP("the sanitizer has threads and traces of its own");
#endif
	kill_everywhere("o_tmpfile");
}

TEST_MAIN

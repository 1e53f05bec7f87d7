/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles: what is read is one or is refused, whatever the bytes; runs that
 * end at once lose nothing; killed anywhere, a writer leaves the old one or
 * the new one; and a profile goes with its object. */
#include "base/buf.h"
#include "base/sha256.h"
#include "brood/profile_format.h"
#include "cache/optimiser.h"
#include "cache/profile.h"
#include "lib/cached.h"
#include "lib/killed.h"
#include <errno.h>
#include <fcntl.h>

enum { FUNCTIONS = 100 }; /* of cached_module */

static const uint8_t key[CODE_KEY_BYTES] = { 7, 8, 9 };
static struct err err;

static void sample(uint32_t ticks[FUNCTIONS])
{
	memset(ticks, 0, FUNCTIONS * sizeof(*ticks));
	ticks[3] = 900;
	ticks[40] = 85;
	ticks[41] = 5;
	ticks[99] = 10;
}

static struct cache_profile sampled(void)
{
	struct cache_profile profile = { 0 };
	uint32_t ticks[FUNCTIONS];

	sample(ticks);
	CHECK_INT(cache_profile_merge(&profile, ticks, FUNCTIONS, &err), 0);
	return profile;
}

/* ---- bytes ---------------------------------------------------------------- */

TEST(what_is_written_is_read)
{
	struct cache_profile made = sampled(), profile;
	auto_buf struct buf bytes = { 0 };

	made.tried = 17;
	cache_profile_write(&made, key, &bytes);
	CHECK_TEXT(cache_profile_read(&profile, bytes.data, bytes.len, key)
			   ? "wrong"
			   : "right",
		   "right");
	CHECK_INT(profile.total, 1000);
	CHECK_INT(profile.tried, 17);
	CHECK_INT(profile.count, 4);
	CHECK_INT(profile.function_count, FUNCTIONS);
	CHECK_INT(profile.rows[1].function, 40);
	CHECK_INT(profile.rows[1].ticks, 85);
	cache_profile_fini(&profile);
	cache_profile_fini(&made);
}

static int is_read(const void *bytes, size_t len)
{
	struct cache_profile profile;
	const char *why = cache_profile_read(&profile, bytes, len, key);

	if (why)
		CHECK(!profile.rows && !profile.count && !profile.total);
	cache_profile_fini(&profile);
	return !why;
}

TEST(each_changed_bit_is_refused)
{
	struct cache_profile made = sampled();
	auto_buf struct buf bytes = { 0 };
	int accepted = 0;

	cache_profile_write(&made, key, &bytes);
	cache_profile_fini(&made);
	CHECK(is_read(bytes.data, bytes.len));
	for (size_t bit = 0; bit < bytes.len * 8; bit++) {
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
		accepted += is_read(bytes.data, bytes.len);
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t len = 0; len < bytes.len; len++)
		accepted += is_read(bytes.data, len);
	buf_add(&bytes, "\0\0\0\0\0\0\0", 8);
	accepted += is_read(bytes.data, bytes.len);
	CHECK_INT(accepted, 0);
}

/* One whose checksum is right. */
struct forged {
	struct profile_header head;
	struct profile_row rows[3];
};

static struct forged forged(void)
{
	struct forged made = {
		.head = { .magic = PROFILE_MAGIC,
			  .version = PROFILE_VERSION,
			  .row_count = 3,
			  .function_count = 50,
			  .total = 60 },
		.rows = { { 1, 10 }, { 2, 20 }, { 49, 30 } },
	};

	memcpy(made.head.key, key, sizeof(key));
	return made;
}

static int is_believed(struct forged made)
{
	memset(made.head.sum, 0, sizeof(made.head.sum));
	sha256_of(&made, sizeof(made), made.head.sum);
	return is_read(&made, sizeof(made));
}

TEST(what_a_right_checksum_does_not_make_right)
{
	struct forged made = forged();

	CHECK(is_believed(made));
	made.head.version++;
	CHECK(!is_believed(made));
	made = forged();
	made.head.key[31]++;
	CHECK(!is_believed(made));
	made = forged();
	made.head.reserved = 1;
	CHECK(!is_believed(made));
	made = forged();
	made.head.total++;
	CHECK(!is_believed(made));
	made = forged();
	made.rows[2].function = 50;
	CHECK(!is_believed(made));
	made = forged();
	made.rows[1].function = 1;
	CHECK(!is_believed(made));
	made = forged();
	made.rows[1].function = 0;
	CHECK(!is_believed(made));
	made = forged();
	made.rows[1].ticks = 0;
	made.head.total = 40;
	CHECK(!is_believed(made));
	for (uint32_t i = 0; i < 32; i++) {
		made = forged();
		made.head.row_count = 1u << i;
		CHECK(!is_believed(made));
	}
	made = forged();
	made.head.row_count = UINT32_MAX;
	CHECK(!is_believed(made));
}

/* ---- merging -------------------------------------------------------------- */

TEST(sums_and_halves)
{
	struct cache_profile profile = sampled();
	uint32_t ticks[FUNCTIONS];

	sample(ticks);
	ticks[0] = 1;
	profile.tried = 500;
	CHECK_INT(cache_profile_merge(&profile, ticks, FUNCTIONS, &err), 0);
	CHECK_INT(profile.total, 2001);
	CHECK_INT(profile.count, 5);
	CHECK_INT(profile.rows[0].ticks, 1);
	CHECK_INT(profile.rows[1].ticks, 1800);
	CHECK_INT(cache_profile_merge(&profile, ticks, FUNCTIONS + 1, &err),
		  -EINVAL);
	CHECK_INT(profile.total, 2001);
	memset(ticks, 0, sizeof(ticks));
	ticks[7] = CACHE_PROFILE_MOST;
	CHECK_INT(cache_profile_merge(&profile, ticks, FUNCTIONS, &err), 0);
	CHECK(profile.total <= CACHE_PROFILE_MOST);
	CHECK_INT(profile.tried, 250);
	CHECK_INT(profile.count, 5); /* the one tick is gone */
	CHECK_INT(profile.rows[0].function, 3);
	CHECK_INT(profile.rows[0].ticks, 900);
	memset(ticks, 255, sizeof(ticks));
	CHECK_INT(cache_profile_merge(&profile, ticks, FUNCTIONS, &err), 0);
	CHECK(profile.total <= CACHE_PROFILE_MOST && profile.total);
	CHECK_INT(profile.count, FUNCTIONS);
	cache_profile_fini(&profile);
}

TEST(what_is_hot)
{
	struct cache_profile profile = sampled(), none = { 0 };
	uint8_t optimised[16] = { 0 };
	struct cache_hot told;

	optimised[5] = 1; /* function 40 */
	CHECK_INT(cache_profile_tell(&profile, optimised, &told, &err), 0);
	CHECK_INT(told.functions, 2); /* 98.5 % */
	CHECK_INT(told.optimised, 1);
	CHECK_INT(told.ticks, 985);
	CHECK_INT(told.left, 900);
	CHECK_INT(cache_profile_tell(&profile, NULL, &told, &err), 0);
	CHECK_INT(told.left, 985);
	CHECK_INT(cache_profile_tell(&none, NULL, &told, &err), 0);
	CHECK_INT(told.functions, 0);
	cache_profile_fini(&profile);
}

/* ---- files ---------------------------------------------------------------- */

static struct cache *opened(void)
{
	struct cache *cache;

	CHECK_INT(cache_open(&cache, NULL, &err), 0);
	return cache;
}

/* Of a module that is published, if it was not. */
static struct cache_object *object_of(struct cache *cache,
				      const struct cached *made)
{
	struct cache_object *object;

	if (cached_get(cache, made, &object) != CACHE_HIT)
		CHECK_INT(cached_make(made, object, &err), 0);
	CHECK_INT(cache_published(object, &err), 0);
	return object;
}

static int add(struct cache_object *object, uint64_t *total)
{
	struct cache_profile profile;
	uint32_t ticks[FUNCTIONS];
	int rc;

	sample(ticks);
	rc = cache_profile_add(object, ticks, FUNCTIONS, &profile, &err);
	*total = profile.total;
	cache_profile_fini(&profile);
	return rc;
}

static uint64_t total_of(const struct cache_object *object)
{
	struct cache_profile profile;
	uint64_t total =
		cache_profile_get(object, &profile) < 0 ? 0 : profile.total;

	cache_profile_fini(&profile);
	return total;
}

static char *profile_path(const char *folder)
{
	auto_free char *path = cached_object(folder);

	return path ? file_format("%s.profile", path) : NULL;
}

TEST(runs_add_up)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	struct cached made = cached_module(1);
	struct cache *cache = opened();
	struct cache_object *object = object_of(cache, &made);
	auto_free char *path = profile_path(folder);
	char hex[65] = "";
	uint64_t total;

	CHECK_INT(total_of(object), 0);
	CHECK_INT(add(object, &total), 0);
	CHECK_INT(add(object, &total), 0);
	CHECK_INT(total, 2000);
	CHECK_INT(total_of(object), 2000);
	CHECK_INT(cached_litter(folder), 0);
	for (int i = 0; i < CODE_KEY_BYTES; i++)
		sprintf(hex + 2 * i, "%02x", object->key[i]);
	CHECK_INT(cache_profile_try(code, hex, &err), 0);
	CHECK_INT(total_of(object), 2000);
	/* One that is broken begins anew. */
	CHECK(truncate(path, 120) == 0);
	CHECK_INT(total_of(object), 0);
	CHECK_INT(add(object, &total), 0);
	CHECK_INT(total, 1000);
	/* So does a link, which is not followed, and one of others. */
	CHECK(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
	CHECK_INT(add(object, &total), 0);
	CHECK_INT(total, 1000);
	CHECK(chmod(path, 0666) == 0);
	CHECK_INT(total_of(object), 0);
	CHECK_INT(add(object, &total), 0);
	CHECK_INT(total, 1000);
	/* Nothing is begun for an object that went. */
	CHECK_INT(cache_remove(code, hex, &err), 0);
	CHECK(access(path, F_OK) < 0);
	CHECK_INT(add(object, &total), -ENOENT);
	CHECK(access(path, F_OK) < 0);
	cache_close(cache);
}

static int look(const struct cache_entry *entry, void *context)
{
	*(struct cache_entry *)context = *entry;
	return 0;
}

TEST(lists_and_prunes)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	const struct cache_prune all = { .age_s = 1000 };
	const struct cache_prune none = { .most_bytes = UINT64_MAX,
					  .age_s = 1000 };
	struct cached made = cached_module(2);
	struct cache *cache = opened();
	struct cache_object *object = object_of(cache, &made);
	auto_free char *path = profile_path(folder);
	auto_free char *orphan =
		file_join(code, "00000000000000000000000000000000"
				"00000000000000000000000000000000.profile");
	struct cache_entry entry = { 0 };
	uint64_t total;

	CHECK_INT(add(object, &total), 0);
	CHECK_INT(file_replace(orphan, "x", 1, 0600, &err), 0);
	CHECK_INT(cache_each(code, look, &entry, &err), 0);
	CHECK(!entry.wrong && !entry.profile_wrong);
	CHECK_INT(entry.hot.functions, 2);
	CHECK_INT(entry.hot.total, 1000);
	CHECK_INT(cache_prune(code, &none, &err), 0);
	CHECK(access(path, F_OK) == 0);
	CHECK(access(orphan, F_OK) < 0);
	CHECK(truncate(path, 50) == 0);
	CHECK_INT(cache_each(code, look, &entry, &err), 0);
	CHECK(!entry.wrong && entry.profile_wrong);
	CHECK_INT(entry.hot.total, 0);
	CHECK_INT(cache_prune(code, &all, &err), 1);
	CHECK(access(path, F_OK) < 0);
	cache_close(cache);
}

/* How many of its runs could not be added. */
static int adding(const struct cached *made, int times)
{
	struct cache *cache = opened();
	struct cache_object *object = object_of(cache, made);
	uint64_t total;
	int lost = 0;

	for (int i = 0; i < times; i++)
		lost += add(object, &total) < 0;
	cache_close(cache);
	return lost;
}

TEST(many_at_once)
{
	enum { PROCESSES = 4, TIMES = 25 };
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(3);
	struct cache *cache = opened();
	struct cache_object *object = object_of(cache, &made);
	pid_t pids[PROCESSES];
	int lost = 0, status;

	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(adding(&made, TIMES));
	}
	for (int i = 0; i < PROCESSES; i++) {
		CHECK(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK(WIFEXITED(status));
		lost += WEXITSTATUS(status);
	}
	CHECK_INT(total_of(object), 1000 * (PROCESSES * TIMES - lost));
	CHECK_INT(cached_litter(folder), 0);
	cache_close(cache);
}

static int adding_run(const void *made)
{
	return adding(made, 1);
}

static void kill_everywhere(void)
{
	struct cached made = cached_module(4);
	int step, old = 0, new = 0;
	bool going = true;

	for (step = 0; going && step < 1000; step++) {
		auto_folder char *folder = cached_folder();
		struct cache *cache = opened();
		struct cache_object *object = object_of(cache, &made);
		uint64_t total;

		CHECK_INT(add(object, &total), 0);
		going = killed_at(adding_run, &made, step);
		total = total_of(object);
		CHECK(total == 1000 || total == 2000);
		old += total == 1000;
		new += total == 2000;
		CHECK_INT(add(object, &total), 0);
		cache_close(cache);
	}
	CHECK(step > 30 && step < 1000);
	CHECK(old > 20 && new > 2);
	printf("# killed at %d steps: %d old, %d new\n", step - 1, old, new);
}

TEST(killed_at_each_step)
{
#ifdef CACHED_SANITISED
	SKIP("the sanitizer has threads and traces of its own");
#endif
	kill_everywhere();
}

/* Who has the lock may have been stopped: nobody waits for long. */
TEST(a_lock_that_is_held)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	auto_free char *lock = file_join(code, "lock");
	struct cached made = cached_module(5);
	struct cache *cache = opened();
	struct cache_object *object = object_of(cache, &made);
	auto_close int fd = open(lock, O_RDWR | O_CLOEXEC);
	struct flock all = { .l_type = F_WRLCK };
	uint64_t total;

	CHECK(fcntl(fd, F_OFD_SETLK, &all) == 0);
	CHECK(add(object, &total) < 0);
	CHECK_INT(total, 0);
	all.l_type = F_UNLCK;
	CHECK(fcntl(fd, F_OFD_SETLK, &all) == 0);
	CHECK_INT(add(object, &total), 0);
	cache_close(cache);
}

/* ---- what optimises by itself --------------------------------------------- */

TEST(a_turn_and_a_state)
{
	auto_folder char *folder = cached_folder();
	auto_free char *file = file_join(folder, "optimiser");
	struct optimiser_state state = { .spent_ms = 5, .name = "m" }, read;
	int first, accepted = 0;
	uint8_t bytes[sizeof(state)];

	cache_optimiser_read(folder, &read);
	CHECK_INT(read.spent_ms, 0);
	CHECK(!cache_optimiser_runs(folder));
	first = cache_optimiser_lock(folder, &err);
	CHECK(first >= 0);
	CHECK(cache_optimiser_runs(folder));
	CHECK_INT(cache_optimiser_lock(folder, &err), -EWOULDBLOCK);
	CHECK_INT(cache_optimiser_write(folder, &state, &err), 0);
	close(first);
	CHECK(!cache_optimiser_runs(folder));
	cache_optimiser_read(folder, &read);
	CHECK_INT(read.spent_ms, 5);
	CHECK_TEXT(read.name, "m");
	for (size_t bit = 0; bit < sizeof(state) * 8; bit++) {
		memcpy(bytes, &state, sizeof(state));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		accepted += !cache_optimiser_check(&read, bytes, sizeof(bytes));
	}
	CHECK_INT(accepted, 0);
	memset(state.words, 'x', sizeof(state.words)); /* without an end */
	CHECK_INT(cache_optimiser_write(folder, &state, &err), 0);
	cache_optimiser_read(folder, &read);
	CHECK_INT(read.spent_ms, 0);
	CHECK(truncate(file, 10) == 0 || errno);
	cache_optimiser_read(folder, &read);
	CHECK_INT(read.spent_ms, 0);
}

TEST_MAIN

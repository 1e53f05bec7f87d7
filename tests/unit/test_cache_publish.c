/* SPDX-License-Identifier: Apache-2.0 */
/* Files of code come into being whole or not at all: killed anywhere, on a
 * full disk, by two hundred at once; and they go when they are old. */
#include "base/clock.h"
#include "lib/cached.h"
#include "lib/killed.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

/* ---- killed --------------------------------------------------------------- */

static int whole_run(const void *made)
{
	return cached_run(made) < 0;
}

static int left_whole, left_none, left_named;

/* What is there after a kill is right, or is not there. */
static void look_after(const char *folder, const struct cached *made, int step)
{
	auto_free char *path = cached_object(folder);
	auto_free char *code = file_join(folder, "brood/code");
	const char *wrong = path ? cache_verify(code, file_base(path)) : NULL;
	int result;

	if (wrong)
		printf("# killed at step %d: %s\n", step, wrong);
	CHECK(!wrong);
	left_whole += path != NULL;
	left_none += path == NULL;
	left_named += cached_litter(folder);
	result = cached_run(made);
	CHECK_INT(result, path ? CACHE_HIT : CACHE_ABSENT);
	CHECK_INT(cached_run(made), CACHE_HIT);
}

static void kill_everywhere(const char *without)
{
	struct cached made = cached_module(30);
	bool going = true;
	int step;

	left_whole = left_none = left_named = 0;
	if (without)
		setenv("BROOD_WITHOUT", without, 1);
	for (step = 0; going && step < 1000; step++) {
		auto_folder char *folder = cached_folder();

		going = killed_at(whole_run, &made, step);
		look_after(folder, &made, step);
	}
	unsetenv("BROOD_WITHOUT");
	CHECK(step > 60 && step < 1000);
	CHECK(left_whole > 5 && left_none > 20);
	printf("# killed at %d steps: %d whole, %d none, %d with a draft\n",
	       step - 1, left_whole, left_none, left_named);
}

TEST(killed_at_each_step)
{
#ifdef CACHED_SANITISED
	SKIP("the sanitizer has threads and traces of its own");
#endif
	kill_everywhere(NULL);
	CHECK_INT(left_named, 0);
}

TEST(killed_at_each_step_with_named_drafts)
{
#ifdef CACHED_SANITISED
	SKIP("the sanitizer has threads and traces of its own");
#endif
	kill_everywhere("o_tmpfile");
	CHECK(left_named > 0);
}

/* As if the folder had not been looked through for long. */
static void forget_sweep(const char *folder)
{
	auto_free char *lock = file_join(folder, "brood/code/lock");

	CHECK(truncate(lock, 0) == 0);
}

/* Drafts of dead writers go with the next publish, those of living stay. */
TEST(drafts_are_swept)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	auto_free char *dead = file_join(code, ".new.1.a");
	auto_free char *living = file_join(code, ".new.1.b");
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	struct cached made = cached_module(31), more = cached_module(32);
	int fds[2];

	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	fds[0] = open(dead, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fds[1] = open(living, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fcntl(fds[1], F_OFD_SETLK, &lock) == 0);
	forget_sweep(folder);
	CHECK_INT(cached_run(&more), CACHE_ABSENT);
	CHECK(access(dead, F_OK) == 0); /* too young */
	CHECK(futimens(fds[0], old) == 0 && futimens(fds[1], old) == 0);
	more.seed++;
	forget_sweep(folder);
	CHECK_INT(cached_run(&more), CACHE_ABSENT);
	CHECK(access(dead, F_OK) < 0 && access(living, F_OK) == 0);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* ---- at once -------------------------------------------------------------- */

enum { STARTERS = 200 };

struct tally {
	int go, right, compiled, hits;
};

static void starter(const struct cached *made, struct tally *tally)
{
	struct cache_object *object;
	struct err err = { 0 };
	struct cache *cache;

	while (!__atomic_load_n(&tally->go, __ATOMIC_ACQUIRE))
		clock_sleep_ms(1);
	if (cache_open(&cache, NULL, &err) < 0)
		_exit(1);
	if (cached_get(cache, made, &object) != CACHE_HIT) {
		clock_sleep_ms(20); /* as if it were much work */
		if (cached_make(made, object, &err) < 0)
			_exit(2);
		__atomic_add_fetch(&tally->compiled, 1, __ATOMIC_RELAXED);
	} else {
		__atomic_add_fetch(&tally->hits, 1, __ATOMIC_RELAXED);
	}
	if (cached_is_right(made, object))
		__atomic_add_fetch(&tally->right, 1, __ATOMIC_RELAXED);
	cache_close(cache);
	_exit(0);
}

static void many_at_once(void)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(33);
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	auto_free char *path = NULL;
	pid_t pid[STARTERS];

	for (int i = 0; i < STARTERS; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			starter(&made, tally);
	}
	__atomic_store_n(&tally->go, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < STARTERS; i++)
		CHECK_INT(killed_waited(pid[i]), 0);
	CHECK_INT(tally->right, STARTERS);
	CHECK_INT(tally->compiled + tally->hits, STARTERS);
	printf("# of %d starters %d compiled\n", STARTERS, tally->compiled);
	path = cached_object(folder);
	CHECK(path != NULL);
	CHECK_INT(cached_litter(folder), 0);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	munmap(tally, sizeof(*tally));
}

TEST(two_hundred_at_once)
{
	many_at_once();
}

TEST(two_hundred_at_once_with_named_drafts)
{
	setenv("BROOD_WITHOUT", "o_tmpfile", 1);
	many_at_once();
	unsetenv("BROOD_WITHOUT");
}

/* Who waits for another's compiling does not wait for ever. */
TEST(stuck_compiler)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(34);
	struct cache_object *object;
	char begin[2][9] = { "", "" };
	struct err err = { 0 };
	struct cache *cache;
	auto_free char *code = file_join(folder, "brood/code");
	auto_free char *path = NULL;
	uint64_t began = clock_ns();

	CHECK_INT(cache_open(&cache, NULL, &err), 0);
	CHECK_INT(cached_get(cache, &made, &object), CACHE_ABSENT);
	CHECK_INT(cache_compiling(code, begin, 2), 1);
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK(clock_ns() - began < 1000000000u);
	CHECK(cached_object(folder) == NULL);
	CHECK_INT(cached_make(&made, object, &err), 0);
	CHECK_INT(cache_published(object, &err), 0);
	CHECK_INT(cache_compiling(code, begin, 2), 0);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	path = cached_object(folder);
	CHECK(path && strncmp(file_base(path), begin[0], 8) == 0);
	cache_close(cache);
}

/* ---- no room -------------------------------------------------------------- */

/* The run is right and the error is told; nothing is left. */
static void no_room(const char *folder, const struct cached *made, int code)
{
	struct cache_object *object;
	struct err err = { 0 };
	struct cache *cache;

	CHECK_INT(cache_open(&cache, NULL, &err), 0);
	CHECK_INT(cached_get(cache, made, &object), CACHE_ABSENT);
	CHECK_INT(cached_make(made, object, &err), 0);
	CHECK(cached_is_right(made, object));
	CHECK_INT(cache_published(object, &err), code);
	CHECK(err.text[0]);
	CHECK(cached_is_right(made, object));
	cache_close(cache);
	CHECK(cached_object(folder) == NULL);
	CHECK_INT(cached_litter(folder), 0);
}

static void full_disk(const char *without)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(35);

	made.functions = 20000; /* half a megabyte */
	if (without)
		setenv("BROOD_WITHOUT", without, 1);
	if (mount("none", folder, "tmpfs", 0, "size=256k,mode=0700") == 0) {
		no_room(folder, &made, -ENOSPC);
		made.functions = 100;
		CHECK_INT(cached_run(&made), CACHE_ABSENT);
		CHECK_INT(cached_run(&made), CACHE_HIT);
		CHECK(umount(folder) == 0);
	} else {
		test_skipped = "no mount here";
	}
	unsetenv("BROOD_WITHOUT");
}

TEST(full_disk)
{
	full_disk(NULL);
}

TEST(full_disk_with_named_drafts)
{
	full_disk("o_tmpfile");
}

TEST(file_size_limit)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(36);
	struct rlimit before, limit;

	CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
	limit = (struct rlimit){ 4096, before.rlim_max };
	CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	no_room(folder, &made, -EFBIG);
	CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
}

TEST(folder_that_forbids_to_execute)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(37);
	struct cache_object *object;
	struct err err = { 0 };
	struct cache *cache;

	if (mount("none", folder, "tmpfs", MS_NOEXEC, "mode=0700") != 0)
		SKIP("no mount here");
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(cache_open(&cache, NULL, &err), 0);
	CHECK_INT(cached_get(cache, &made, &object), CACHE_UNMAPPED);
	CHECK(object->why[0]);
	CHECK_INT(cached_make(&made, object, &err), 0);
	CHECK(cached_is_right(&made, object));
	cache_close(cache);
	CHECK(umount(folder) == 0);
}

/* ---- eviction ------------------------------------------------------------- */

/* Sets when an object was made and used last, days ago. */
static void age(const char *path, int days)
{
	auto_free char *folder = strdup(path);
	auto_free char *seen = NULL;
	struct timespec then[2] = { 0 };

	then[0].tv_sec = then[1].tv_sec = time(NULL) - days * 86400l;
	*strrchr(folder, '/') = 0;
	seen = file_format("%s/seen/%s", folder, file_base(path));
	CHECK(utimensat(AT_FDCWD, path, then, 0) == 0);
	CHECK(utimensat(AT_FDCWD, seen, then, AT_SYMLINK_NOFOLLOW) == 0);
}

static int objects(const char *code)
{
	DIR *dir = opendir(code);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		count += strlen(entry->d_name) == 64;
	if (dir)
		closedir(dir);
	return count;
}

TEST(old_ones_go)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	struct cached a = cached_module(40), b = cached_module(41),
		      c = cached_module(42);
	auto_free char *path = NULL;

	CHECK_INT(cached_run(&a), CACHE_ABSENT);
	path = cached_object(folder);
	age(path, 91);
	/* A use makes it young again: its time is written once a day. */
	CHECK_INT(cached_run(&a), CACHE_HIT);
	forget_sweep(folder);
	CHECK_INT(cached_run(&b), CACHE_ABSENT);
	CHECK_INT(cached_run(&a), CACHE_HIT);
	age(path, 91);
	/* Looked through a moment ago. */
	CHECK_INT(cached_run(&c), CACHE_ABSENT);
	CHECK(access(path, F_OK) == 0);
	forget_sweep(folder);
	c.seed++;
	CHECK_INT(cached_run(&c), CACHE_ABSENT);
	CHECK(access(path, F_OK) < 0);
	CHECK_INT(objects(code), 3);
	CHECK_INT(cached_run(&b), CACHE_HIT);
}

TEST(the_longest_unused_go)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	struct cached made = cached_module(50);
	auto_free char *first = NULL;

	setenv("BROOD_CACHE_SIZE", "64k", 1); /* eight objects */
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	first = cached_object(folder);
	age(first, 3);
	for (int i = 0; i < 7; i++) {
		made.seed++;
		CHECK_INT(cached_run(&made), CACHE_ABSENT);
	}
	CHECK_INT(objects(code), 8);
	made.seed++;
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(objects(code), 8);
	CHECK(access(first, F_OK) < 0);
	/* The one just made stays, though it alone is too much. */
	setenv("BROOD_CACHE_SIZE", "4k", 1);
	made.seed++;
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(objects(code), 1);
	CHECK_INT(cached_run(&made), CACHE_HIT);
}

struct told {
	int count;
	char name[64];
};

static void tell(const struct cache_entry *entry, void *context)
{
	struct told *told = context;

	told->count++;
	snprintf(told->name, sizeof(told->name), "%s", entry->name);
}

static int count_entry(const struct cache_entry *entry, void *context)
{
	int *users = context;

	CHECK_TEXT(entry->name, "made.wasm");
	CHECK(!entry->wrong && entry->bytes == 8192);
	CHECK_INT(entry->head.function_count, 100);
	*users += (int)entry->users;
	return 0;
}

TEST(listed_and_pruned)
{
	auto_folder char *folder = cached_folder();
	auto_free char *code = file_join(folder, "brood/code");
	struct cached made = cached_module(60);
	struct told told = { 0 };
	struct cache_prune prune = { .most_bytes = 0,
				     .age_s = 1 << 30,
				     .dry = true,
				     .tell = tell,
				     .context = &told };
	struct cache_object *object;
	struct err err = { 0 };
	struct cache *cache;
	int users = 0;

	CHECK_INT(cache_each(code, count_entry, &users, &err), 0);
	CHECK_INT(cache_prune(code, &prune, &err), 0);
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK_INT(cache_open(&cache, NULL, &err), 0);
	CHECK_INT(cached_get(cache, &made, &object), CACHE_HIT);
	CHECK_INT(cache_each(code, count_entry, &users, &err), 0);
	CHECK_INT(users, 1);
	CHECK_INT(cache_prune(code, &prune, &err), 1);
	CHECK_INT(told.count, 1);
	CHECK_TEXT(told.name, "made.wasm");
	CHECK_INT(objects(code), 1);
	prune.dry = false;
	CHECK_INT(cache_prune(code, &prune, &err), 1);
	CHECK_INT(objects(code), 0);
	CHECK(cached_is_right(&made, object));
	cache_close(cache);
}

TEST_MAIN

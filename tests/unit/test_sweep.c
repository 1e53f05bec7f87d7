/* SPDX-License-Identifier: Apache-2.0 */
/* What no tip names goes, and nothing else. */
#include "image/sweep.h"
#include "images.h"
#include <errno.h>
#include <sys/wait.h>

enum { PAGES = 64 };

struct told {
	int gone, used, unreadable;
	char why[256];
};

static void listen(enum sweep_what what, const char *name, uint64_t bytes,
		   const char *why, void *context)
{
	struct told *told = context;

	(void)bytes;
	told->gone += what == SWEEP_GONE;
	told->used += what == SWEEP_USED;
	told->unreadable += what == SWEEP_UNREADABLE;
	if (why)
		snprintf(told->why, sizeof(told->why), "%s: %s", name, why);
}

static int sweep(const struct images *images, bool dry, bool force,
		 struct sweep_counts *counts)
{
	struct told told = { 0 };
	const struct sweep_options options = {
		.dry = dry, .force = force, .tell = listen, .context = &told
	};
	struct err err = { 0 };
	int rc = sweep_images(images, &options, counts, &err);

	CHECK_INT(told.gone, counts->gone);
	CHECK_INT(told.used, counts->used);
	CHECK_INT(told.unreadable, counts->unreadable);
	CHECK((rc < 0) == (err.text[0] != 0));
	CHECK_INT(err.code, rc);
	return rc;
}

/* A tip of a base, a difference, a state and a disk, all from the seed. */
static void make(const struct images *images, const char *name, uint64_t seed)
{
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_memory struct made_memory before = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;

	made_fill(&memory, 0, 10, seed);
	made_fill(&before, 0, 10, seed);
	CHECK_INT(made_base(images, &memory, &tip), 0);
	made_fill(&memory, 5, 3, seed + 1);
	CHECK_INT(made_push(images, &tip, &memory, &before), 0);
	CHECK_INT(made_state(images, &tip, 100 * seed), 0);
	CHECK_INT(made_disk(images, &tip, 1000 * seed), 0);
	CHECK_INT(made_publish(images, &tip, name), 0);
}

static int records(const struct images *images)
{
	char path[128];
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/seen", images->folder);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		count += store_is_name(entry->d_name);
	if (dir)
		closedir(dir);
	return count;
}

TEST(an_empty_folder)
{
	auto_made_images struct made_images made = made_images_new();
	struct sweep_counts counts;

	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK_INT(counts.kept + counts.gone + counts.tips, 0);
}

TEST(what_is_named_stays)
{
	auto_made_images struct made_images made = made_images_new();
	struct sweep_counts counts;
	struct err err = { 0 };

	make(&made.images, "a", 1);
	make(&made.images, "b", 2);
	make(&made.images, "c", 1); /* shares all */
	CHECK_INT(made_objects(&made.images), 8);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK_INT(counts.tips, 3);
	CHECK_INT(counts.kept, 8);
	CHECK(counts.kept_bytes > 0);
	CHECK_INT(counts.gone, 0);
	CHECK_INT(tip_remove(&made.images, "a", &err), 0);
	CHECK_INT(tip_remove(&made.images, "b", &err), 0);
	CHECK_INT(sweep(&made.images, true, false, &counts), 0);
	CHECK_INT(counts.gone, 4);
	CHECK_INT(made_objects(&made.images), 8);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK_INT(counts.gone, 4);
	CHECK(counts.gone_bytes > 0);
	CHECK_INT(counts.kept, 4);
	CHECK_INT(made_objects(&made.images), 4);
	CHECK_INT(records(&made.images), 4);
	auto_tip struct tip tip = TIP_EMPTY;
	CHECK_INT(tip_open(&made.images, "c", &tip, &err), 0);
}

TEST(what_is_used_stays)
{
	auto_made_images struct made_images made = made_images_new();
	struct tip tip = TIP_EMPTY;
	struct sweep_counts counts;
	struct err err = { 0 };

	make(&made.images, "a", 1);
	CHECK_INT(tip_open(&made.images, "a", &tip, &err), 0);
	CHECK_INT(tip_remove(&made.images, "a", &err), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK_INT(counts.used, 4);
	CHECK_INT(counts.gone, 0);
	/* It can still get a name. */
	CHECK_INT(tip_publish(&made.images, &tip, "again", &err), 0);
	tip_close(&tip);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK_INT(counts.kept, 4);
	CHECK_INT(tip_remove(&made.images, "again", &err), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK_INT(counts.gone, 4);
}

static void damage(const struct images *images, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/tips/%s", images->folder, name);
	CHECK_INT(chmod(path, 0644), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(pwrite(fd, "x", 1, 200) == 1);
	close(fd);
}

TEST(a_tip_that_cannot_be_read_keeps_all)
{
	auto_made_images struct made_images made = made_images_new();
	struct sweep_counts counts;
	struct err err = { 0 };

	make(&made.images, "a", 1);
	make(&made.images, "b", 2);
	make(&made.images, "c", 3);
	CHECK_INT(tip_remove(&made.images, "c", &err), 0);
	damage(&made.images, "b");
	CHECK_INT(sweep(&made.images, false, false, &counts), -EBUSY);
	CHECK_INT(counts.unreadable, 1);
	CHECK_INT(made_objects(&made.images), 12);
	CHECK_INT(sweep(&made.images, true, false, &counts), -EBUSY);
	CHECK_INT(sweep(&made.images, false, true, &counts), 0);
	CHECK_INT(counts.gone, 8);
	CHECK_INT(counts.kept, 4);
	CHECK_INT(made_objects(&made.images), 4);
}

TEST(a_tip_that_others_may_write_keeps_all)
{
	auto_made_images struct made_images made = made_images_new();
	struct sweep_counts counts;
	char path[128];

	make(&made.images, "a", 1);
	snprintf(path, sizeof(path), "%s/tips/a", made.images.folder);
	CHECK_INT(chmod(path, 0666), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), -EBUSY);
	CHECK_INT(made_objects(&made.images), 4);
}

TEST(a_tip_that_was_renamed_keeps_all)
{
	auto_made_images struct made_images made = made_images_new();
	char path[128], to[128];
	struct sweep_counts counts;

	make(&made.images, "a", 1);
	snprintf(path, sizeof(path), "%s/tips/a", made.images.folder);
	snprintf(to, sizeof(to), "%s/tips/a b", made.images.folder);
	CHECK_INT(rename(path, to), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), -EBUSY);
	CHECK_INT(made_objects(&made.images), 4);
	/* A folder and a link in a tip's place are no reason to lose any. */
	CHECK_INT(unlink(to), 0);
	CHECK_INT(mkdir(path, 0700), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), -EBUSY);
	CHECK_INT(rmdir(path), 0);
	CHECK_INT(symlink("/etc/passwd", path), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), -EBUSY);
	CHECK_INT(made_objects(&made.images), 4);
}

static void old(const char *path)
{
	static const struct timespec times[2] = { { .tv_sec = 1000 },
						  { .tv_sec = 1000 } };

	CHECK_INT(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void put(const char *folder, const char *name, char *path, size_t room)
{
	int fd;

	snprintf(path, room, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	CHECK(fd >= 0);
	close(fd);
	old(path);
}

TEST(litter_of_dead_writers_goes)
{
	auto_made_images struct made_images made = made_images_new();
	const char *folder = made.images.folder;
	char layer[128], tip[128], record[256];
	struct sweep_counts counts;
	auto_close int held = -1;

	make(&made.images, "a", 1);
	put(folder, ".new.1234.abc", layer, sizeof(layer));
	put(folder, "tips/.new.1234.abc", tip, sizeof(tip));
	snprintf(record, sizeof(record), "%s/seen/%064d", folder, 7);
	CHECK_INT(symlink("1.2.3.4.5 layer", record), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK(access(layer, F_OK) < 0);
	CHECK(access(tip, F_OK) < 0);
	CHECK(faccessat(AT_FDCWD, record, F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	CHECK_INT(counts.records, 1);
	/* One whose writer lives is locked. */
	put(folder, ".new.1234.abc", layer, sizeof(layer));
	CHECK_INT(chmod(layer, 0600), 0);
	held = open(layer, O_RDWR | O_CLOEXEC);
	CHECK_INT(store_lock_byte(held, 0), 0);
	CHECK_INT(sweep(&made.images, false, false, &counts), 0);
	CHECK(access(layer, F_OK) == 0);
}

/* A layer is written anew while what has its name goes. */
TEST(written_while_it_goes)
{
	auto_made_images struct made_images made = made_images_new();
	pid_t pid = fork();

	if (pid == 0) {
		const struct sweep_options options = { 0 };
		struct sweep_counts counts;

		for (int i = 0; i < 200; i++)
			sweep_images(&made.images, &options, &counts, NULL);
		_exit(0);
	}
	for (int i = 0; i < 60; i++) {
		auto_memory struct made_memory memory = made_memory_new(PAGES);
		auto_tip struct tip tip = TIP_EMPTY;
		struct err err = { 0 };

		made_fill(&memory, 0, 10, 1);
		CHECK_INT(made_base(&made.images, &memory, &tip), 0);
		CHECK_INT(made_publish(&made.images, &tip, "a"), 0);
		CHECK(made_is(&made.images, "a", &memory));
		CHECK_INT(tip_remove(&made.images, "a", &err), 0);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
}

TEST_MAIN

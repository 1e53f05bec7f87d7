/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of machines: names, the dead, many at once, and work that was cut
 * off.  A child that holds the lock stands for a QEMU. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "machine/half.h"
#include "machine/place.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *home;

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");

	home = file_format("%s/place.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(home) != NULL);
	CHECK(setenv("XDG_RUNTIME_DIR", home, 1) == 0);
}

static void finish(void)
{
	file_remove_tree(home, NULL);
	mem_free(&home);
}

/* A process that holds the place as a QEMU does. */
static pid_t hold(struct place *place)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	fd_close(&place->lock);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static int count_visit(const struct place *place, void *context)
{
	int *count = context;

	CHECK(place->folder && place->name[0]);
	++*count;
	return 0;
}

static int count(void)
{
	int n = 0;

	CHECK_INT(place_each(count_visit, &n, NULL), 0);
	return n;
}

/* What is in the folder of all machines, its lock aside. */
static int folders(void)
{
	auto_free char *path = file_format("%s/brood/machines", home);
	DIR *dir = opendir(path);
	int n = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

TEST(made_and_found)
{
	struct place place, found;
	struct err err = { 0 };
	struct stat st;
	pid_t pid;

	begin();
	CHECK_INT(place_find("a", &found, &err), -ENOENT);
	CHECK(strstr(err.text, "no machine a runs") != NULL);
	CHECK_INT(count(), 0);
	CHECK_INT(place_make("a", &place, NULL), 0);
	CHECK(place.lock >= 0);
	CHECK(stat(place.folder, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK_INT(place_make("a", &found, &err), -EEXIST);
	CHECK(strstr(err.text, "runs already") != NULL);
	pid = hold(&place);
	CHECK_INT(place_find("a", &found, NULL), 0);
	CHECK_TEXT(found.name, "a");
	CHECK_INT(found.lock, -1);
	place_fini(&found);
	CHECK_INT(count(), 1);
	CHECK_INT(place_wait_gone(&place, 20), -ETIME);
	end(pid);
	CHECK_INT(place_wait_gone(&place, 1000), 0);
	CHECK_INT(folders(), 1);
	CHECK_INT(count(), 0);
	CHECK_INT(folders(), 0);
	place_fini(&place);
	finish();
}

TEST(names)
{
	static const char *const wrong[] = { "",    ".a",  "-a",   "a/b", "..",
					     "a b", "a\n", "\377", "a:b" };
	char longest[67];
	struct place place;

	begin();
	memset(longest, 'x', sizeof(longest));
	longest[65] = 0;
	CHECK(place_make(longest, &place, NULL) < 0);
	CHECK(place_find(longest, &place, NULL) < 0);
	longest[64] = 0;
	CHECK_INT(place_make(longest, &place, NULL), 0);
	CHECK_TEXT(place.name, longest);
	place_remove(&place);
	place_fini(&place);
	for (size_t i = 1; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct err err = { 0 };

		CHECK(place_make(wrong[i], &place, &err) < 0);
		CHECK(place_find(wrong[i], &place, &err) < 0);
		CHECK(err.text[0] != 0);
	}
	CHECK_INT(folders(), 0);
	finish();
}

TEST(numbers)
{
	struct place place[4];
	static const char *const names[] = { "x-1", "x-2", "vm-1", "x-1" };

	begin();
	CHECK_INT(place_make("x-", &place[0], NULL), 0);
	CHECK_INT(place_make("x-", &place[1], NULL), 0);
	CHECK_INT(place_make(NULL, &place[2], NULL), 0);
	place_remove(&place[0]);
	CHECK_INT(place_make("x-", &place[3], NULL), 0);
	for (int i = 0; i < 4; i++) {
		CHECK_TEXT(place[i].name, names[i]);
		place_fini(&place[i]);
	}
	finish();
}

/* A folder that is a file, a lock that is a folder, nobody's things. */
TEST(strange_things)
{
	auto_free char *root = NULL;
	auto_free char *file = NULL;
	auto_free char *folder = NULL;
	auto_free char *lock = NULL;
	struct place place;
	int fd;

	begin();
	CHECK_INT(place_make("a", &place, NULL), 0);
	place_remove(&place);
	place_fini(&place);
	root = file_format("%s/brood/machines", home);
	file = file_join(root, "file");
	folder = file_join(root, "folder");
	lock = file_join(folder, "lock");
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	close(fd);
	CHECK(mkdir(folder, 0700) == 0 && mkdir(lock, 0700) == 0);
	CHECK_INT(count(), 0);
	CHECK(place_find("file", &place, NULL) < 0);
	CHECK(place_make("file", &place, NULL) < 0);
	CHECK(place_make("folder", &place, NULL) < 0);
	CHECK_INT(place_make("b", &place, NULL), 0);
	place_remove(&place);
	place_fini(&place);
	CHECK(rmdir(lock) == 0 && unlink(file) == 0);
	CHECK_INT(count(), 0);
	CHECK_INT(folders(), 0);
	finish();
}

/* A folder that has no lock is what a maker leaves that was killed before it
 * made one, or a remover that was killed behind that.  Whoever comes by, by
 * whichever way, finds no machine and leaves no folder. */
TEST(folder_without_lock)
{
	struct place place;
	struct err err = { 0 };

	begin();
	for (int way = 0; way < 3; way++) {
		auto_free char *more = NULL;
		auto_free char *lock = NULL;

		CHECK_INT(place_make("a", &place, NULL), 0);
		more = place_path(&place, "machine");
		lock = place_path(&place, "lock");
		CHECK_INT(file_publish(more, "{}", 2, 0600, NULL), 0);
		CHECK(unlink(lock) == 0);
		place_fini(&place);
		CHECK_INT(folders(), 1);
		if (way == 0) {
			CHECK_INT(count(), 0);
		} else if (way == 1) {
			CHECK_INT(place_find("a", &place, &err), -ENOENT);
			CHECK(strstr(err.text, "no machine a runs") != NULL);
		} else {
			CHECK_INT(place_make("a", &place, NULL), 0);
			place_remove(&place);
			place_fini(&place);
		}
		CHECK_INT(folders(), 0);
	}
	finish();
}

/* ---- many at once --------------------------------------------------------- */

/* Makes, holds for a moment, dies with its folder there; counts how often. */
static void race_make(const char *winners)
{
	uint64_t end_at = clock_deadline(400);

	while (clock_left_ms(end_at)) {
		struct place place, found;

		if (place_make("one", &place, NULL) >= 0) {
			auto_free char *mark = file_join(place.folder, "mark");
			int fd = open(mark,
				      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				      0600);
			int log =
				open(winners, O_WRONLY | O_APPEND | O_CLOEXEC);

			/* Nobody else is in, and nobody removes it. */
			(void)!write(log, fd >= 0 ? "+" : "2", 1);
			clock_sleep_ms(1);
			(void)!write(log, access(mark, F_OK) == 0 ? "." : "-",
				     1);
			close(log);
			close(fd);
			place_fini(&place); /* as if killed */
		}
		if (place_find("one", &found, NULL) >= 0)
			place_fini(&found);
		place_each(count_visit, &(int){ 0 }, NULL);
	}
}

TEST(many_at_once)
{
	auto_free char *winners = NULL;
	auto_buf struct buf log = { 0 };
	pid_t pids[5];
	int fd;

	begin();
	winners = file_join(home, "winners");
	fd = open(winners, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	for (int i = 0; i < 5; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			race_make(winners);
			_exit(0);
		}
	}
	for (int i = 0; i < 5; i++)
		CHECK(waitpid(pids[i], NULL, 0) == pids[i]);
	CHECK_INT(file_read(winners, &log, 1 << 20, NULL), 0);
	CHECK(log.len > 10);
	CHECK(strspn(buf_string(&log), "+.") == log.len);
	count();
	CHECK_INT(folders(), 0);
	finish();
}

/* ---- work that was cut off -------------------------------------------------- */

TEST(half_of_one)
{
	struct place place, found;
	struct half half;
	pid_t pid;

	begin();
	CHECK_INT(place_make("a", &place, NULL), 0);
	pid = hold(&place);
	CHECK_INT(half_begin(&place, HALF_END, 0, &half, NULL), 0);
	half_tell(&half, HALF_END, pid);
	/* As long as somebody is at work on it, it is left alone. */
	CHECK_INT(place_find("a", &found, NULL), 0);
	place_fini(&found);
	CHECK_INT(count(), 1);
	half_drop(&half); /* killed */
	CHECK_INT(half_begin(&place, HALF_GO_ON, 0, &half, NULL), -EINVAL);
	CHECK_INT(place_find("a", &found, NULL), -ENOENT);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK_INT(folders(), 0);
	place_fini(&place);
	finish();
}

TEST(whole_again)
{
	struct place place, found;
	struct half half;
	pid_t pid;

	begin();
	CHECK_INT(place_make("a", &place, NULL), 0);
	pid = hold(&place);
	CHECK_INT(half_begin(&place, HALF_END, pid, &half, NULL), 0);
	half_end(&half);
	CHECK_INT(half.fd, -1);
	CHECK_INT(count(), 1);
	/* Nothing is known of what it was. */
	CHECK_INT(half_begin(&place, HALF_END, pid, &half, NULL), 0);
	CHECK(ftruncate(half.fd, 0) == 0);
	half_drop(&half);
	CHECK_INT(place_find("a", &found, NULL), 0);
	place_fini(&found);
	/* One that was stopped: nobody takes orders, so it waits for better
	 * times. */
	CHECK_INT(half_begin(&place, HALF_GO_ON, pid, &half, NULL), 0);
	half_drop(&half);
	CHECK_INT(half_begin(&place, HALF_GO_ON, pid, &half, NULL), 0);
	half_end(&half);
	CHECK_INT(count(), 1);
	end(pid);
	CHECK_INT(count(), 0);
	place_fini(&place);
	finish();
}

TEST(taken_over_from_a_killed_maker)
{
	struct place place, again;
	struct half half;
	pid_t pid;

	begin();
	CHECK_INT(place_make("a", &place, NULL), 0);
	pid = hold(&place);
	CHECK_INT(half_begin(&place, HALF_END, pid, &half, NULL), 0);
	half_drop(&half);
	CHECK_INT(place_make("a", &again, NULL), 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	place_remove(&again);
	place_fini(&again);
	place_fini(&place);
	CHECK_INT(folders(), 0);
	finish();
}

TEST_MAIN

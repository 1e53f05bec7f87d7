/* SPDX-License-Identifier: Apache-2.0 */
/* Objects on disk, whatever they hold: drafts that are swept or not, names
 * that are given and taken, and who uses what. */
#include "base/fd.h"
#include "base/process.h"
#include "store/store.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char hex[] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct here {
	char *folder;
	int root;
};

static struct here here_open(void)
{
	struct here here = { .folder = strdup("/tmp/brood-test-XXXXXX") };

	CHECK(mkdtemp(here.folder) != NULL);
	here.root = store_folder_open(here.folder, false, NULL);
	CHECK(here.root >= 0);
	return here;
}

static void here_close(struct here *here)
{
	fd_close(&here->root);
	file_remove_tree(here->folder, NULL);
	mem_free(&here->folder);
}
#define auto_here __attribute__((cleanup(here_close)))

static int entries(const struct here *here)
{
	DIR *dir = opendir(here->folder);
	int count = -2;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static bool is_there(const struct here *here, const char *name)
{
	return faccessat(here->root, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_old(const struct here *here, const char *name)
{
	const struct timespec old[2] = { { .tv_sec = 1000 },
					 { .tv_sec = 1000 } };

	CHECK(utimensat(here->root, name, old, AT_SYMLINK_NOFOLLOW) == 0);
}

static void put(const struct here *here, const char *name, const char *text)
{
	auto_close int fd =
		openat(here->root, name,
		       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);

	CHECK(fd_write_all(fd, text, strlen(text), NULL) >= 0);
}

static void check_text(const struct here *here, const char *name,
		       const char *text)
{
	auto_free char *path = file_join(here->folder, name);
	auto_buf struct buf bytes = { 0 };

	CHECK_INT(file_read(path, &bytes, 100, NULL), 0);
	CHECK_TEXT(buf_string(&bytes), text);
}

/* Runs it as a user that permissions bind. */
static int as_nobody(const struct here *here, void (*what)(struct here *))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct here own = *here;

		if (geteuid() == 0 && (chown(here->folder, 12345, 12345) < 0 ||
				       setgid(12345) < 0 || setuid(12345) < 0))
			_exit(77);
		test_failures = 0;
		what(&own);
		fflush(stdout);
		_exit(test_failures != 0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void sweep(struct here *here)
{
	struct store_draft living;
	char name[sizeof(living.name)];

	setenv("BROOD_WITHOUT", "o_tmpfile", 1);
	CHECK_INT(store_draft_open(here->root, &living, NULL), 0);
	unsetenv("BROOD_WITHOUT");
	memcpy(name, living.name, sizeof(name));
	put(here, ".new.1.dead", "dead");
	put(here, "new.1.dead", "none");
	put(here, hex, "none");
	store_draft_sweep(here->root, ".new.1.dead");
	CHECK(is_there(here, ".new.1.dead")); /* too young */
	make_old(here, ".new.1.dead");
	make_old(here, "new.1.dead");
	make_old(here, hex);
	make_old(here, name);
	store_draft_sweep(here->root, ".new.1.dead");
	store_draft_sweep(here->root, "new.1.dead");
	store_draft_sweep(here->root, hex);
	store_draft_sweep(here->root, name);
	store_draft_sweep(here->root, ".new.1.none");
	CHECK(!is_there(here, ".new.1.dead"));
	CHECK(is_there(here, "new.1.dead") && is_there(here, hex));
	CHECK(is_there(here, name));
	CHECK_INT(store_draft_sync(&living, NULL), 0);
	make_old(here, name);
	store_draft_sweep(here->root, name);
	CHECK(is_there(here, name));
	fd_close(&living.fd); /* as its death does */
	store_draft_sweep(here->root, name);
	CHECK(!is_there(here, name));
	CHECK(symlinkat("/etc/passwd", here->root, ".new.1.link") == 0);
	make_old(here, ".new.1.link");
	store_draft_sweep(here->root, ".new.1.link");
	CHECK(!is_there(here, ".new.1.link"));
}

TEST(drafts_are_swept)
{
	auto_here struct here here = here_open();

	sweep(&here);
}

TEST(drafts_are_swept_by_any_user)
{
	auto_here struct here here = here_open();

	CHECK_INT(as_nobody(&here, sweep), 0);
}

/* That no descriptor is left says nothing of who writes. */
TEST(drafts_stay_where_descriptors_are_short)
{
	auto_here struct here here = here_open();
	struct store_draft living;
	struct rlimit before, limit;

	setenv("BROOD_WITHOUT", "o_tmpfile", 1);
	CHECK_INT(store_draft_open(here.root, &living, NULL), 0);
	unsetenv("BROOD_WITHOUT");
	make_old(&here, living.name);
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	limit = (struct rlimit){ 0, before.rlim_max };
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	store_draft_sweep(here.root, living.name);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	CHECK(is_there(&here, living.name));
	store_draft_close(here.root, &living);
	CHECK_INT(entries(&here), 0);
}

/* ---- names -----------------------------------------------------------------
 */

static int draft_of(const struct here *here, const char *text,
		    struct store_draft *draft)
{
	int rc = store_draft_open(here->root, draft, NULL);

	if (rc >= 0)
		rc = fd_write_all(draft->fd, text, strlen(text), NULL);
	return rc < 0 ? rc : store_draft_sync(draft, NULL);
}

static void link_and_replace(struct here *here)
{
	struct store_draft draft;
	struct stat st;

	CHECK_INT(draft_of(here, "one", &draft), 0);
	CHECK_INT(store_draft_link(here->root, &draft, hex, NULL), 0);
	CHECK(fstat(draft.fd, &st) == 0 && st.st_nlink == 1);
	CHECK_INT(st.st_mode & 07777, 0444);
	store_draft_close(here->root, &draft);
	check_text(here, hex, "one");
	CHECK_INT(draft_of(here, "two", &draft), 0);
	CHECK_INT(store_draft_link(here->root, &draft, hex, NULL), -EEXIST);
	check_text(here, hex, "one");
	CHECK_INT(store_draft_replace(here->root, &draft, hex, NULL), 0);
	CHECK(fstat(draft.fd, &st) == 0 && st.st_nlink == 1);
	store_draft_close(here->root, &draft);
	check_text(here, hex, "two");
	CHECK_INT(draft_of(here, "three", &draft), 0);
	CHECK_INT(store_draft_replace(here->root, &draft, "other", NULL), 0);
	store_draft_close(here->root, &draft);
	check_text(here, "other", "three");
	CHECK_INT(draft_of(here, "four", &draft), 0);
	store_draft_close(here->root, &draft);
	/* What cannot be replaced leaves nothing either. */
	CHECK(mkdirat(here->root, "folder", 0700) == 0);
	CHECK_INT(draft_of(here, "five", &draft), 0);
	CHECK(store_draft_replace(here->root, &draft, "folder", NULL) < 0);
	store_draft_close(here->root, &draft);
	CHECK_INT(entries(here), 3);
}

TEST(names_are_given)
{
	auto_here struct here here = here_open();

	link_and_replace(&here);
}

TEST(names_are_given_to_named_drafts)
{
	auto_here struct here here = here_open();

	setenv("BROOD_WITHOUT", "o_tmpfile", 1);
	link_and_replace(&here);
	unsetenv("BROOD_WITHOUT");
}

TEST(names_are_given_by_any_user)
{
	auto_here struct here here = here_open();

	CHECK_INT(as_nobody(&here, link_and_replace), 0);
}

/* ---- use -------------------------------------------------------------------
 */

TEST(removed_when_nobody_uses_it)
{
	auto_here struct here here = here_open();
	auto_close int fd = -1;
	struct stat st;
	const char *why;

	put(&here, hex, "x");
	fd = store_object_open(here.root, hex, false, &st, &why);
	CHECK(fd >= 0 && store_object_lease(fd) == 0);
	CHECK_INT(store_object_remove(here.root, hex), -EBUSY);
	CHECK(is_there(&here, hex));
	fd_close(&fd);
	CHECK_INT(store_object_remove(here.root, hex), 0);
	CHECK_INT(store_object_remove(here.root, hex), -ENOENT);
	CHECK_INT(store_object_open(here.root, hex, false, &st, &why), -ENOENT);
	CHECK(!why);
	CHECK(symlinkat("/etc/passwd", here.root, hex) == 0);
	CHECK_INT(store_object_open(here.root, hex, false, &st, &why), -EPERM);
	CHECK_TEXT(why, "it is a link");
	CHECK_INT(store_object_remove(here.root, hex), 0);
	CHECK(mkdirat(here.root, hex, 0700) == 0);
	CHECK_INT(store_object_remove(here.root, hex), 0);
	CHECK(mknodat(here.root, hex, S_IFIFO | 0400, 0) == 0);
	CHECK_INT(store_object_remove(here.root, hex), 0);
	CHECK(mknodat(here.root, hex, S_IFSOCK | 0400, 0) == 0);
	CHECK_INT(store_object_remove(here.root, hex), 0);
	CHECK_INT(entries(&here), 0);
}

static void check_brought(const struct here *from, const struct here *to,
			  nlink_t links)
{
	auto_close int fd = -1, there = -1;
	struct stat st;
	const char *why;
	char text[2];

	put(from, hex, "x");
	fd = store_object_open(from->root, hex, false, &st, &why);
	CHECK(fd >= 0 && store_object_lease_named(from->root, hex, fd) == 0);
	CHECK_INT(store_object_bring(to->root, hex, fd, NULL), links - 1);
	/* It is there, and that is no error. */
	CHECK_INT(store_object_bring(to->root, hex, fd, NULL), 1);
	there = store_object_open(to->root, hex, false, &st, &why);
	CHECK_INT(st.st_nlink, links);
	CHECK_INT(st.st_mode & 0222, 0);
	CHECK(there >= 0 && read(there, text, 2) == 1 && text[0] == 'x');
	CHECK_INT(entries(to), 1);
	CHECK_INT(unlinkat(from->root, hex, 0), 0);
	/* Another folder has it still. */
	CHECK_INT(store_object_lease_named(from->root, hex, fd), -ENOENT);
	CHECK(is_there(to, hex));
}

TEST(brought_to_another_folder)
{
	auto_here struct here from = here_open(), to = here_open();

	check_brought(&from, &to, 2);
}

TEST(copied_to_another_file_system)
{
	auto_here struct here from = here_open();
	auto_here struct here to = { strdup("/dev/shm/brood-test-XXXXXX"), -1 };
	struct stat here, there;

	CHECK(mkdtemp(to.folder) != NULL);
	to.root = store_folder_open(to.folder, false, NULL);
	CHECK(fstat(from.root, &here) == 0 && fstat(to.root, &there) == 0);
	check_brought(&from, &to, here.st_dev == there.st_dev ? 2 : 1);
}

TEST(given_by_whoever)
{
	auto_here struct here here = here_open();
	auto_close int fd = -1;
	struct stat st;
	const char *why;

	put(&here, hex, "x");
	CHECK_INT(fchmodat(here.root, hex, 0666, 0), 0);
	CHECK_INT(store_object_open(here.root, hex, false, &st, &why), -EPERM);
	CHECK_TEXT(why, "others may write it");
	fd = store_object_open_given(here.root, hex, &st, &why);
	CHECK(fd >= 0 && !why);
	unlinkat(here.root, hex, 0);
	CHECK(symlinkat("/etc/passwd", here.root, hex) == 0);
	CHECK_INT(store_object_open_given(here.root, hex, &st, &why), -EPERM);
}

/* Two removers and one who makes it anew: what is leased keeps its name. */
static void remover(const struct here *here)
{
	for (;;)
		store_object_remove(here->root, hex);
}

TEST(removers_race)
{
	auto_here struct here here = here_open();
	pid_t pid[3];
	int lost = 0;

	fflush(stdout);
	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			remover(&here);
	}
	for (int i = 0; i < 3000 && !lost; i++) {
		struct store_draft draft;

		CHECK_INT(store_draft_open(here.root, &draft, NULL), 0);
		CHECK_INT(store_object_lease(draft.fd), -ENOENT);
		CHECK(fchmod(draft.fd, 0444) == 0);
		if (store_draft_link(here.root, &draft, hex, NULL) == 0) {
			for (int k = 0; k < 30; k++)
				lost += !is_there(&here, hex);
		}
		store_draft_close(here.root, &draft);
	}
	CHECK_INT(lost, 0);
	for (int i = 0; i < 3; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
}

TEST_MAIN

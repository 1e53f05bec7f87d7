/* SPDX-License-Identifier: Apache-2.0 */
/* Start paths: led to a target and back, from each state that an install that
 * was cut off leaves behind. */
#include "appliance/paths.h"
#include "base/fd.h"
#include "base/file.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[100], saved[100];
static const char target[] = "/apps/app/bin/tool";
static const char other[] = "/apps/other/bin/tool";

static void start(void)
{
	snprintf(folder, sizeof folder, "%s/paths.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/tool", folder);
	snprintf(saved, sizeof saved, "%s/.tool.brood-saved", folder);
}

static void end(void)
{
	CHECK_INT(file_remove_tree(folder, NULL), 0);
}

static void put(const char *at, const char *text)
{
	CHECK_INT(file_replace(at, text, strlen(text), 0755, NULL), 0);
}

static void has(const char *at, const char *text)
{
	auto_buf struct buf is = { 0 };

	CHECK(file_read(at, &is, 100, NULL) >= 0);
	CHECK_TEXT(buf_string(&is), text);
}

static void leads(const char *at, const char *to)
{
	char text[200] = "";

	CHECK(readlink(at, text, sizeof text - 1) > 0);
	CHECK_TEXT(text, to);
}

static bool is_there(const char *at)
{
	struct stat st;

	return lstat(at, &st) == 0;
}

/* As an install does it. */
static int lead(bool was_ours)
{
	struct err err = { 0 };
	bool is_ours;
	auto_free char *keep = paths_saved(path, target, &is_ours, &err);
	int rc = paths_lead(path, target, keep, &err);

	CHECK_INT(is_ours, was_ours);
	if (keep)
		CHECK_TEXT(keep, saved);
	if (rc < 0)
		printf("# %s\n", err.text);
	return rc;
}

static char *keep(void)
{
	bool is_ours;

	return paths_saved(path, target, &is_ours, NULL);
}

static int restore(void)
{
	auto_free char *from = keep();

	return paths_restore(path, target, from, NULL);
}

TEST(where_nothing_was)
{
	start();
	CHECK_INT(lead(false), 0);
	leads(path, target);
	CHECK(!is_there(saved));
	CHECK_INT(lead(true), 0);
	CHECK(!is_there(saved));
	CHECK_INT(restore(), 0);
	CHECK(!is_there(path));
	CHECK_INT(paths_restore(path, target, NULL, NULL), 1);
	end();
}

TEST(a_file_comes_back_as_it_was)
{
	struct stat before, after;

	start();
	put(path, "old");
	CHECK_INT(stat(path, &before), 0);
	CHECK_INT(lead(false), 0);
	leads(path, target);
	has(saved, "old");
	CHECK_INT(lead(true), 0);
	has(saved, "old");
	CHECK_INT(restore(), 0);
	has(path, "old");
	CHECK_INT(stat(path, &after), 0);
	CHECK_INT(after.st_ino, before.st_ino);
	CHECK_INT(after.st_mode, before.st_mode);
	CHECK(!is_there(saved));
	end();
}

static void link_comes_back(const char *to)
{
	start();
	CHECK_INT(symlink(to, path), 0);
	CHECK_INT(lead(false), 0);
	leads(path, target);
	leads(saved, to);
	CHECK_INT(lead(true), 0);
	CHECK_INT(restore(), 0);
	leads(path, to);
	CHECK(!is_there(saved));
	end();
}

TEST(a_link_comes_back_as_it_was)
{
	link_comes_back("/bin/sh");
	link_comes_back("folder/tool");
	link_comes_back("/nowhere/at/all");
}

TEST(a_folder_is_no_start_path)
{
	start();
	CHECK_INT(mkdir(path, 0755), 0);
	CHECK_INT(lead(false), -EINVAL);
	CHECK(!is_there(saved));
	CHECK_INT(rmdir(path), 0);
	end();
}

TEST(what_was_changed_since_stays)
{
	start();
	put(path, "old");
	CHECK_INT(lead(false), 0);
	put(path, "new");
	CHECK_INT(paths_restore(path, target, saved, NULL), 1);
	has(path, "new");
	has(saved, "old");
	/* An install takes it as what was there before. */
	CHECK_INT(lead(false), 0);
	has(saved, "new");
	CHECK_INT(restore(), 0);
	has(path, "new");
	end();
}

TEST(what_was_removed_since_comes_back)
{
	start();
	put(path, "old");
	CHECK_INT(lead(false), 0);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(paths_restore(path, target, saved, NULL), 0);
	has(path, "old");
	end();
}

TEST(saved_ones_that_are_gone)
{
	start();
	put(path, "old");
	CHECK_INT(lead(false), 0);
	CHECK_INT(unlink(saved), 0);
	CHECK_INT(paths_restore(path, target, saved, NULL), 0);
	CHECK(!is_there(path));
	end();
}

/* ---- an install that was cut off ------------------------------------------------ */

TEST(cut_off_when_it_was_saved)
{
	start();
	put(path, "old");
	CHECK_INT(link(path, saved), 0);
	has(path, "old");
	CHECK_INT(lead(false), 0);
	CHECK_INT(restore(), 0);
	has(path, "old");
	end();
}

TEST(cut_off_when_the_link_was_made)
{
	char fresh[120];

	start();
	put(path, "old");
	CHECK_INT(link(path, saved), 0);
	snprintf(fresh, sizeof fresh, "%s/.tool.brood-new", folder);
	CHECK_INT(symlink("/elsewhere", fresh), 0);
	CHECK_INT(lead(false), 0);
	leads(path, target);
	CHECK(!is_there(fresh));
	CHECK_INT(restore(), 0);
	has(path, "old");
	end();
}

TEST(cut_off_where_it_was_moved)
{
	start();
	put(saved, "old");
	CHECK_INT(lead(false), 0);
	leads(path, target);
	has(saved, "old");
	CHECK_INT(restore(), 0);
	has(path, "old");
	end();
}

TEST(an_uninstall_that_was_cut_off)
{
	start();
	put(path, "old");
	CHECK_INT(lead(false), 0);
	CHECK_INT(paths_restore(path, target, saved, NULL), 0);
	CHECK_INT(paths_restore(path, target, saved, NULL), 1);
	has(path, "old");
	end();
}

TEST(of_an_application_that_is_no_more)
{
	start();
	put(saved, "old");
	CHECK_INT(symlink(other, path), 0);
	CHECK_INT(lead(false), 0);
	has(saved, "old");
	CHECK_INT(restore(), 0);
	has(path, "old");
	end();
}

/* ---- without hard links ----------------------------------------------------------- */

/* Nobody may link a file of root's, but may rename it in a folder of their
 * own. */
TEST(hard_links_are_not_needed)
{
	auto_buf struct buf protected = { 0 };

	if (geteuid() != 0 ||
	    file_read("/proc/sys/fs/protected_hardlinks", &protected, 9, NULL) <
		    0 ||
	    *buf_string(&protected) != '1')
		SKIP("it needs root and fs.protected_hardlinks");
	unsetenv("TMPDIR"); /* nobody may look into that of the tests */
	start();
	put(path, "old");
	CHECK_INT(chown(folder, 65534, 65534), 0);
	CHECK_INT(seteuid(65534), 0);
	CHECK(link(path, saved) < 0 && errno == EPERM);
	CHECK_INT(lead(false), 0);
	leads(path, target);
	has(saved, "old");
	CHECK_INT(restore(), 0);
	has(path, "old");
	CHECK_INT(seteuid(0), 0);
	end();
}

TEST(a_folder_that_cannot_be_written)
{
	bool is_ours;

	CHECK(!paths_saved("/proc/tool", target, &is_ours, NULL));
	CHECK(paths_lead("/proc/tool", target, NULL, NULL) < 0);
	CHECK(!paths_saved("/nowhere/tool", target, &is_ours, NULL));
	CHECK_INT(paths_lead("/nowhere/tool", target, NULL, NULL), -ENOENT);
}

TEST_MAIN

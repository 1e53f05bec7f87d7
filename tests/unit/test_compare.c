/* SPDX-License-Identifier: Apache-2.0 */
/* Is a folder what an image is?  Each difference is named. */
#include "erofs/source.h"
#include "lib/apps.h"
#include "tree/erofs_compare.h"
#include "tree/erofs_unpack.h"

static struct apps_image image;
static struct erofs erofs;
static struct erofs_source source;
static int fd;

static void start(void)
{
	int dir;

	apps_start();
	apps_image("#!/bin/sh\n", &image);
	fd = open(image.path, O_RDONLY | O_CLOEXEC);
	CHECK_INT(erofs_source_file(fd, &source), 0);
	CHECK_INT(erofs_open(&source, &erofs, NULL), 0);
	CHECK_INT(mkdir(apps_in("tree"), 0755), 0);
	dir = open(apps_in("tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(erofs_unpack(&erofs, dir, NULL, NULL, NULL), 0);
	close(dir);
}

static void end(void)
{
	close(fd);
	apps_end();
}

static int compare(bool (*tick)(void *context), struct err *err)
{
	auto_close int dir =
		open(apps_in("tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return erofs_compare(&erofs, dir, tick, NULL, err);
}

static void same(void)
{
	struct err err = { 0 };

	CHECK_INT(compare(NULL, &err), 0);
	CHECK_TEXT(err.text, "");
}

static void differs(const char *name)
{
	struct err err = { 0 };

	CHECK_INT(compare(NULL, &err), -EBADMSG);
	CHECK(strstr(err.text, name));
	printf("# %s\n", err.text);
}

TEST(what_was_unpacked_is_the_same)
{
	start();
	same();
	end();
}

TEST(other_bytes)
{
	start();
	apps_put(apps_in("tree/bin/tool"), "#!/bin/sH\n", 0755);
	differs("bin/tool");
	apps_put(apps_in("tree/bin/tool"), "#!/bin/sh", 0755);
	differs("bin/tool");
	apps_put(apps_in("tree/bin/tool"), "#!/bin/sh\nx", 0755);
	differs("bin/tool");
	apps_put(apps_in("tree/bin/tool"), "#!/bin/sh\n", 0755);
	same();
	end();
}

TEST(a_name_too_few_and_one_too_many)
{
	start();
	CHECK_INT(unlink(apps_in("tree/share/words")), 0);
	differs("words");
	apps_put(apps_in("tree/share/words"), "words\n", 0644);
	same();
	apps_put(apps_in("tree/share/more"), "", 0644);
	differs("share has other names in it");
	CHECK_INT(unlink(apps_in("tree/share/more")), 0);
	apps_put(apps_in("tree/empty/.hidden"), "", 0644);
	differs("empty has other names in it");
	CHECK_INT(unlink(apps_in("tree/empty/.hidden")), 0);
	CHECK_INT(rmdir(apps_in("tree/empty")), 0);
	differs("empty");
	end();
}

TEST(links)
{
	char *path = apps_in("tree/bin/link");

	start();
	path = apps_in("tree/bin/link");
	CHECK_INT(unlink(path), 0);
	CHECK_INT(symlink("/bin/sh", path), 0);
	differs("bin/link");
	CHECK_INT(unlink(path), 0);
	CHECK_INT(symlink("tool2", path), 0);
	differs("bin/link");
	CHECK_INT(unlink(path), 0);
	CHECK_INT(symlink("fool", path), 0);
	differs("bin/link");
	CHECK_INT(unlink(path), 0);
	apps_put(path, "#!/bin/sh\n", 0755);
	differs("bin/link");
	CHECK_INT(unlink(path), 0);
	CHECK_INT(symlink("tool", path), 0);
	same();
	end();
}

TEST(other_kinds)
{
	start();
	CHECK_INT(unlink(apps_in("tree/share/words")), 0);
	CHECK_INT(mkfifo(apps_in("tree/share/words"), 0644), 0);
	differs("words");
	CHECK_INT(unlink(apps_in("tree/share/words")), 0);
	CHECK_INT(mkdir(apps_in("tree/share/words"), 0755), 0);
	differs("words");
	CHECK_INT(rmdir(apps_in("tree/share/words")), 0);
	CHECK_INT(symlink("words", apps_in("tree/share/words")), 0);
	differs("words");
	CHECK_INT(unlink(apps_in("tree/share/words")), 0);
	apps_put(apps_in("tree/share/words"), "words\n", 0644);
	/* A folder that leads elsewhere. */
	CHECK_INT(rename(apps_in("tree/share"), apps_in("moved")), 0);
	CHECK_INT(symlink("../moved", apps_in("tree/share")), 0);
	differs("share");
	end();
}

TEST(rights)
{
	start();
	CHECK_INT(chmod(apps_in("tree/bin/tool"), 0644), 0);
	differs("bin/tool");
	CHECK_INT(chmod(apps_in("tree/bin/tool"), 0777), 0);
	differs("bin/tool");
	CHECK_INT(chmod(apps_in("tree/bin/tool"), 0755), 0);
	CHECK_INT(chmod(apps_in("tree/share/words"), 0755), 0);
	differs("words");
	CHECK_INT(chmod(apps_in("tree/share/words"), 0644), 0);
	same();
	CHECK_INT(chmod(apps_in("tree/bin/tool"), 04755), 0);
	differs("bin/tool");
	CHECK_INT(chmod(apps_in("tree/bin/tool"), 0755), 0);
	CHECK_INT(chmod(apps_in("tree/bin"), 0777), 0);
	differs("bin");
	CHECK_INT(chmod(apps_in("tree/bin"), 0755), 0);
	same();
	end();
}

static bool gives_up(void *context)
{
	(void)context;
	return false;
}

TEST(who_waits_may_give_up)
{
	struct err err = { 0 };

	start();
	CHECK(compare(gives_up, &err) < 0);
	end();
}

TEST_MAIN

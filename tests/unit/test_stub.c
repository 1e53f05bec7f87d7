/* SPDX-License-Identifier: Apache-2.0 */
/* Stubs in a folder: put, found again, never confused with other files. */
#include "base/fd.h"
#include "base/file.h"
#include "lib/stub.h"
#include "test.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
	char dir[64], other[80], starter[80];
};

static void place_make(struct place *place)
{
	strcpy(place->dir, "/tmp/brood-stub.XXXXXX");
	if (!mkdtemp(place->dir))
		abort();
	snprintf(place->other, sizeof(place->other), "%s/other", place->dir);
	snprintf(place->starter, sizeof(place->starter), "%s/starter",
		 place->dir);
	file_make_dirs(place->other, 0755, NULL);
	file_publish(place->starter, "starter", 7, 0755, NULL);
}

static void place_end(struct place *place)
{
	file_remove_tree(place->dir, NULL);
}

static int count_one(const char *dir, const char *name, void *context)
{
	(void)dir;
	(void)name;
	++*(int *)context;
	return 0;
}

TEST(put_and_remove)
{
	struct place place;
	int count = 0;

	place_make(&place);
	CHECK_INT(stub_put(place.dir, "a", place.starter, "/e/a", "/p", NULL),
		  0);
	CHECK_INT(stub_put(place.dir, "b", place.starter, "/e/b", "/p", NULL),
		  0);
	CHECK(stub_is(place.dir, "a"));
	CHECK_INT(stub_each(place.dir, count_one, &count, NULL), 0);
	CHECK_INT(count, 2);
	CHECK_INT(stub_put(place.dir, "a", place.starter, "/e/c", "/p", NULL),
		  0);
	CHECK_INT(stub_remove(place.dir, "a", NULL), 0);
	CHECK(!stub_is(place.dir, "a"));
	CHECK_INT(stub_remove(place.dir, "a", NULL), -ENOENT);
	CHECK_INT(access(place.starter, X_OK), 0);
	place_end(&place);
}

TEST(no_folder_has_no_stubs)
{
	int count = 0;

	CHECK_INT(stub_each("/no/such/folder", count_one, &count, NULL), 0);
	CHECK_INT(count, 0);
	CHECK(!stub_is("/no/such/folder", "a"));
}

TEST(other_files_stay)
{
	struct place place;
	struct err err = { 0 };

	place_make(&place);
	CHECK_INT(stub_put(place.dir, "starter", place.starter, "/e", "/p",
			   &err),
		  -EEXIST);
	CHECK(strstr(err.text, "not a stub") != NULL);
	CHECK_INT(stub_remove(place.dir, "starter", NULL), -ENOENT);
	CHECK_INT(access(place.starter, X_OK), 0);
	place_end(&place);
}

TEST(program_behind_a_stub)
{
	auto_free char *before = strdup(getenv("PATH") ? getenv("PATH") : "");
	auto_free char *path = NULL, *program = NULL, *found = NULL;
	struct place place;

	place_make(&place);
	path = file_format("%s::%s", place.dir, place.other);
	program = file_format("%s/tool", place.other);
	file_publish(program, "x", 1, 0755, NULL);
	CHECK_INT(stub_put(place.dir, "tool", place.starter, "/e", "/p", NULL),
		  0);
	setenv("PATH", path, 1);
	found = stub_real_program("tool", NULL);
	setenv("PATH", before, 1);
	CHECK(found != NULL);
	CHECK_TEXT(found ? found : "", program);
	place_end(&place);
}

TEST(no_such_program)
{
	struct err err = { 0 };

	CHECK(stub_real_program("no-such-program-here", &err) == NULL);
	CHECK_INT(err.code, -ENOENT);
	CHECK(stub_real_program("", &err) == NULL);
}

TEST_MAIN

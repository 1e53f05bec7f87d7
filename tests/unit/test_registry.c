/* SPDX-License-Identifier: Apache-2.0 */
/* Folders, entries and names of templates, in a cache of the test's own. */
#include "bare/image_check.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/lock.h"
#include "launch/entry.h"
#include "launch/registry.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

static char *test_folder(void)
{
	char *folder = strdup("/tmp/brood-test-XXXXXX");
	auto_free char *cache = NULL;
	auto_free char *runtime = NULL;

	CHECK(mkdtemp(folder) != NULL);
	cache = file_join(folder, "cache");
	runtime = file_join(folder, "run");
	CHECK(mkdir(runtime, 0700) == 0);
	setenv("XDG_CACHE_HOME", cache, 1);
	setenv("XDG_RUNTIME_DIR", runtime, 1);
	return folder;
}

static void test_folder_fini(char **folder)
{
	file_remove_tree(*folder, NULL);
	free(*folder);
}
#define auto_folder __attribute__((cleanup(test_folder_fini)))

static void fill(struct spec *spec, const char *program, const char *name)
{
	struct err err = { 0 };

	spec_init(spec);
	CHECK_INT(spec_set_program(spec, program, &err), 0);
	spec->name = name ? strdup(name) : NULL;
}

static void load(const char *path, struct start_entry *entry)
{
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };

	memset(entry, 0, sizeof(*entry));
	CHECK_INT(file_read(path, &text, 1 << 20, &err), 0);
	CHECK_INT(text.len, sizeof(*entry));
	if (text.len == sizeof(*entry))
		memcpy(entry, text.data, sizeof(*entry));
}

TEST(keys)
{
	auto_spec struct spec a, b, c, d;
	static char *const words[] = { (char *)"-x" };
	char ka[20], kb[20], kc[20], kd[20];
	struct err err = { 0 };

	fill(&a, "/bin/sh", NULL);
	fill(&b, "/bin/sh", NULL);
	CHECK_INT(spec_set_arguments(&b, 1, words, &err), 0);
	fill(&c, "/bin/sh", "shell");
	fill(&d, "/bin/sh", "shell");
	CHECK_INT(spec_set_arguments(&d, 1, words, &err), 0);
	CHECK_INT(registry_key(&a, ka), 0);
	CHECK_INT(registry_key(&b, kb), 0);
	CHECK_INT(registry_key(&c, kc), 0);
	CHECK_INT(registry_key(&d, kd), 0);
	CHECK_INT(strlen(ka), 16);
	CHECK_TEXT(ka, kb); /* its launches bring their own arguments */
	CHECK(strcmp(ka, kc) != 0);
	CHECK(strcmp(kc, kd) != 0);
	CHECK_INT(spec_set_stop(&a, "stdin", &err), 0);
	CHECK_INT(registry_key(&a, kb), 0);
	CHECK(strcmp(ka, kb) != 0);
}

TEST(entered_and_found)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 }, found = { 0 };
	auto_spec struct spec spec, again;
	struct start_entry entry;
	struct err err = { 0 };
	struct stat st;

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(registry_find("sh", &found, &err), 0);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(registry_find("sh", &found, &err), 1);
	CHECK_TEXT(found.key, place.key);
	registry_place_fini(&found);
	CHECK_INT(registry_find("/bin/sh", &found, &err), 1);
	registry_place_fini(&found);
	CHECK_INT(registry_find(place.key, &found, &err), 1);
	load(place.entry, &entry);
	CHECK(entry_check(&entry, sizeof(entry)) == NULL);
	CHECK_TEXT(entry.program, spec.program);
	CHECK_TEXT(entry.keeper, "/opt/brood");
	CHECK_TEXT(entry.live, place.live);
	CHECK_TEXT(entry.key, place.key);
	CHECK_INT(entry.flags, 0);
	CHECK_INT(entry.base_argc, 0);
	CHECK(strlen(place.live) <= 107);
	CHECK(stat(place.state, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(stat(place.sockets, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(stat(place.entry, &st) == 0 && (st.st_mode & 0777) == 0600);
	spec_init(&again);
	CHECK_INT(registry_read_spec(&place, &again, &err), 0);
	CHECK_TEXT(again.program, spec.program);
	CHECK_INT(registry_remove(&place, &err), 0);
	CHECK(access(place.state, F_OK) < 0 && access(place.sockets, F_OK) < 0);
	registry_place_fini(&found);
	CHECK_INT(registry_find("sh", &found, &err), 0);
}

TEST(names)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place one = { 0 }, two = { 0 },
					 found = { 0 };
	static char *const words[] = { (char *)"-c", (char *)"exit 3" };
	auto_spec struct spec a, b, bad;
	struct start_entry entry;
	struct err err = { 0 };

	fill(&a, "/bin/sh", "mine");
	CHECK_INT(spec_set_arguments(&a, 2, words, &err), 0);
	CHECK_INT(registry_enter(&a, "/opt/brood", &one, &err), 0);
	CHECK_INT(registry_find("mine", &found, &err), 1);
	CHECK_TEXT(found.key, one.key);
	load(one.entry, &entry);
	CHECK_INT(entry.base_argc, 3);
	CHECK(!memcmp(entry.base_argv, "/bin/sh\0-c\0exit 3", 18));
	CHECK_INT(entry.base_bytes, 18);
	/* The name means another program now: the first one goes. */
	fill(&b, "/bin/ls", "mine");
	CHECK_INT(registry_enter(&b, "/opt/brood", &two, &err), 0);
	CHECK(access(one.entry, F_OK) < 0);
	registry_place_fini(&found);
	CHECK_INT(registry_find("mine", &found, &err), 1);
	CHECK_TEXT(found.key, two.key);
	CHECK_INT(registry_remove(&two, &err), 0);
	registry_place_fini(&found);
	CHECK_INT(registry_find("mine", &found, &err), 0);
	fill(&bad, "/bin/ls", "../mine");
	CHECK_INT(registry_enter(&bad, "/opt/brood", &found, &err), -EINVAL);
	CHECK(found.state == NULL);
}

TEST(deep_entries_carry_their_arguments)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	auto_spec struct spec spec;
	struct start_entry entry;
	struct err err = { 0 };

	fill(&spec, "/bin/sh", NULL);
	spec.pool = 0;
	spec.hold = true;
	CHECK_INT(spec_set_stop(&spec, "stdin", &err), 0);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	load(place.entry, &entry);
	CHECK_INT(entry.flags, ENTRY_DEEP);
	CHECK_INT(entry.base_argc, 1);
}

/* A keeper would not read it. */
TEST(what_cannot_be_read_is_not_written)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 }, found = { 0 };
	auto_spec struct spec spec;
	struct err err = { 0 };

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(spec_add_variable(&spec, "LD_PRELOAD=x", &err), -EINVAL);
	CHECK_INT(spec_add_variable(&spec, "A=b", &err), 0);
	spec.pool = 100;
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), -EINVAL);
	CHECK(strstr(err.text, "pool") != NULL);
	CHECK_INT(registry_find("sh", &found, &err), 0);
	CHECK(access(getenv("XDG_CACHE_HOME"), F_OK) < 0);
	spec.pool = 1;
	spec.idle_ms = LONG_MAX;
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), -EINVAL);
	spec.idle_ms = 1;
	spec.environment[0][1] = ' ';
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), -EINVAL);
	spec.environment[0][1] = '=';
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
}

TEST(too_long_arguments)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	auto_free char *word = malloc(9000);
	auto_spec struct spec spec;
	struct err err = { 0 };

	memset(word, 'x', 8999);
	word[8999] = 0;
	fill(&spec, "/bin/sh", "long");
	CHECK_INT(spec_set_arguments(&spec, 1, &word, &err), 0);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), -E2BIG);
	CHECK(strstr(err.text, "8192") != NULL);
}

TEST(demand_is_switched)
{
	static const struct file_stamp refused = { 6, 7, 8, 9, 10 };
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	auto_spec struct spec spec;
	struct start_entry entry;
	struct err err = { 0 };

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	CHECK_INT(entry_update(&place, &refused, &err), 0);
	load(place.entry, &entry);
	CHECK(entry_check(&entry, sizeof(entry)) == NULL);
	CHECK_INT(entry.flags, ENTRY_NO_DEMAND);
	CHECK_INT(entry.refused.ino, 7);
	CHECK_INT(entry.refused.ctime_ns, 10);
	CHECK_INT(entry_update(&place, NULL, &err), 0);
	load(place.entry, &entry);
	CHECK_INT(entry.flags, 0);
	CHECK_INT(entry.refused.ino, 0);
}

TEST(damaged_entry_is_not_used)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	auto_spec struct spec spec;
	struct err err = { 0 };
	int fd;

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	fd = open(place.entry, O_WRONLY | O_CLOEXEC);
	CHECK(pwrite(fd, "X", 1, 200) == 1);
	close(fd);
	CHECK_INT(entry_update(&place, NULL, &err), -EINVAL);
	CHECK(strstr(err.text, "entry") != NULL);
}

TEST(entry_keeps_its_sockets)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 }, later = { 0 };
	auto_spec struct spec spec;
	struct err err = { 0 };

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	unsetenv("XDG_RUNTIME_DIR");
	CHECK_INT(registry_place(place.key, false, &later, &err), 0);
	CHECK_TEXT(later.live, place.live);
	registry_place_fini(&later);
	CHECK_INT(file_remove_tree(place.sockets, &err), 0);
	CHECK_INT(registry_place(place.key, false, &later, &err), 0);
	CHECK(!strncmp(later.live, "/tmp/brood-", 11));
}

/* As a keeper does whose starter had another environment. */
TEST(found_by_its_folder)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 }, later = { 0 };
	auto_free char *other = file_join(folder, "other");
	auto_spec struct spec spec, again;
	struct err err = { 0 };

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	unsetenv("XDG_RUNTIME_DIR");
	setenv("XDG_CACHE_HOME", other, 1);
	CHECK_INT(registry_place_at(place.state, &later, &err), 0);
	CHECK_TEXT(later.key, place.key);
	CHECK_TEXT(later.entry, place.entry);
	CHECK_TEXT(later.control, place.control);
	spec_init(&again);
	CHECK_INT(registry_read_spec(&later, &again, &err), 0);
	CHECK_INT(registry_place_make(&later, &err), 0);
	CHECK(access(other, F_OK) < 0);
	registry_place_fini(&later);
	CHECK_INT(registry_place_at(folder, &later, &err), -EINVAL);
	CHECK_INT(registry_place_at("programs/0123456789abcdef", &later, &err),
		  -EINVAL);
	CHECK_INT(registry_place_at("/0123456789abcdef", &later, &err),
		  -EINVAL);
	CHECK_INT(registry_place_at("", &later, &err), -EINVAL);
}

TEST(long_and_foreign_runtime_folders)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	char longest[200];
	struct err err = { 0 };
	static const char key[] = "0123456789abcdef";

	snprintf(longest, sizeof(longest), "%s/run/%080d", folder, 0);
	CHECK(mkdir(longest, 0700) == 0);
	setenv("XDG_RUNTIME_DIR", longest, 1);
	CHECK_INT(registry_place(key, false, &place, &err), 0);
	CHECK(!strncmp(place.live, "/tmp/brood-", 11));
	registry_place_fini(&place);
	CHECK(chmod(longest, 0777) == 0);
	snprintf(longest, sizeof(longest), "%s/run", folder);
	setenv("XDG_RUNTIME_DIR", longest, 1);
	CHECK_INT(registry_place(key, false, &place, &err), 0);
	CHECK(!strncmp(place.live, longest, strlen(longest)));
	registry_place_fini(&place);
	CHECK(chmod(longest, 0777) == 0); /* anybody's */
	CHECK_INT(registry_place(key, false, &place, &err), 0);
	CHECK(!strncmp(place.live, "/tmp/brood-", 11));
	registry_place_fini(&place);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	CHECK_INT(registry_place(key, false, &place, &err), 0);
	CHECK(!strncmp(place.live, "/tmp/brood-", 11));
}

TEST(without_a_home)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	auto_free char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
	char want[100];
	struct err err = { 0 };

	unsetenv("XDG_CACHE_HOME");
	unsetenv("HOME");
	CHECK_INT(registry_place("0123456789abcdef", false, &place, &err), 0);
	snprintf(want, sizeof(want), "/tmp/brood-%u/cache/programs/",
		 (unsigned)geteuid());
	CHECK(!strncmp(place.state, want, strlen(want)));
	registry_place_fini(&place);
	setenv("HOME", folder, 1);
	CHECK_INT(registry_place("0123456789abcdef", false, &place, &err), 0);
	snprintf(want, sizeof(want), "%s/.cache/brood/programs/", folder);
	CHECK(!strncmp(place.state, want, strlen(want)));
	if (home)
		setenv("HOME", home, 1);
}

TEST(wrong_keys)
{
	auto_place struct registry_place place = { 0 };
	struct err err = { 0 };

	CHECK_INT(registry_place("", false, &place, &err), -EINVAL);
	CHECK_INT(registry_place("../../../../etc/", false, &place, &err),
		  -EINVAL);
	CHECK_INT(registry_place("0123456789ABCDEF", false, &place, &err),
		  -EINVAL);
	CHECK_INT(registry_place("0123456789abcdef0", false, &place, &err),
		  -EINVAL);
}

TEST(foreign_spec_is_refused)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place one = { 0 }, two = { 0 };
	auto_spec struct spec a, b, read;
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };

	fill(&a, "/bin/sh", NULL);
	fill(&b, "/bin/ls", NULL);
	CHECK_INT(registry_enter(&a, "/opt/brood", &one, &err), 0);
	CHECK_INT(registry_enter(&b, "/opt/brood", &two, &err), 0);
	CHECK_INT(file_read(one.spec, &text, 1 << 20, &err), 0);
	CHECK_INT(file_publish(two.spec, text.data, text.len, 0600, &err), 0);
	spec_init(&read);
	CHECK_INT(registry_read_spec(&two, &read, &err), -EINVAL);
	CHECK(strstr(err.text, one.key) != NULL);
	CHECK(chmod(one.spec, 0666) == 0);
	spec_fini(&read);
	spec_init(&read);
	CHECK(registry_read_spec(&one, &read, &err) < 0);
}

static int count_place(const struct registry_place *place, void *context)
{
	int *count = context;

	(*count)++;
	return place->entry ? 0 : -EINVAL;
}

TEST(each)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place one = { 0 }, two = { 0 };
	auto_free char *junk = NULL;
	auto_spec struct spec a, b;
	struct err err = { 0 };
	int count = 0;

	CHECK_INT(registry_each(count_place, &count, &err), 0);
	CHECK_INT(count, 0);
	fill(&a, "/bin/sh", NULL);
	fill(&b, "/bin/ls", "list");
	CHECK_INT(registry_enter(&a, "/opt/brood", &one, &err), 0);
	CHECK_INT(registry_enter(&b, "/opt/brood", &two, &err), 0);
	junk = file_format("%s/../junk", one.state);
	CHECK(mkdir(junk, 0700) == 0);
	CHECK_INT(registry_each(count_place, &count, &err), 0);
	CHECK_INT(count, 2);
}

TEST(kept_while_locked)
{
	auto_folder char *folder = test_folder();
	auto_place struct registry_place place = { 0 };
	auto_spec struct spec spec;
	struct err err = { 0 };
	int fd;

	fill(&spec, "/bin/sh", NULL);
	CHECK_INT(registry_enter(&spec, "/opt/brood", &place, &err), 0);
	CHECK(!registry_is_kept(&place));
	fd = lock_take(place.lock, 0, &err);
	CHECK(fd >= 0);
	CHECK(registry_is_kept(&place));
	close(fd);
	CHECK(!registry_is_kept(&place));
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is wrong with an object: it is not run, the module is compiled
 * again, and the next start finds a right one. */
#include "base/clock.h"
#include "base/sha256.h"
#include "cache/code_header.h"
#include "lib/cached.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>

struct object {
	char *path;
	const char *key; /* the path's last part */
	char *folder;	 /* of the objects */
	struct buf bytes;
};

static struct object kept(const char *folder, const struct cached *made)
{
	struct object object = { .path = NULL };

	CHECK_INT(cached_run(made), CACHE_ABSENT);
	object.path = cached_object(folder);
	CHECK(object.path != NULL);
	if (!object.path)
		exit(1);
	object.key = file_base(object.path);
	object.folder = file_join(folder, "brood/code");
	CHECK_INT(file_read(object.path, &object.bytes, 1 << 24, NULL), 0);
	return object;
}

static void object_fini(struct object *object)
{
	free(object->path);
	free(object->folder);
	buf_fini(&object->bytes);
}
#define auto_object __attribute__((cleanup(object_fini)))

/* Another file under the same name. */
static void put(const struct object *object, const void *bytes, size_t len)
{
	int fd;

	unlink(object->path);
	fd = open(object->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	CHECK(fd >= 0 && fd_write_all(fd, bytes, len, NULL) >= 0);
	fd_close(&fd);
}

/* A miss that heals: the next one is a hit. */
static void heals(const struct cached *made, int result, const char *words)
{
	int first = cached_run(made), second = cached_run(made);

	if (first != result || second != CACHE_HIT)
		printf("# %s: %d, then %d\n", words, first, second);
	CHECK_INT(first, result);
	CHECK_INT(second, CACHE_HIT);
}

TEST(cut_off) /* CLAIM 1.10 */
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(20);
	auto_object struct object object = kept(folder, &made);
	const struct code_header *head = (const void *)object.bytes.data;
	size_t text = head->text_at, len = object.bytes.len;
	const size_t lens[] = { 0,    1,	7,	 sizeof(*head) - 1,
				168,  169,	1000,	 text - 1,
				text, text + 1, len - 1, len - CODE_PAGE };

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		char words[32];

		snprintf(words, sizeof(words), "%zu bytes", lens[i]);
		put(&object, object.bytes.data, lens[i]);
		CHECK(cache_verify(object.folder, object.key) != NULL);
		heals(&made, CACHE_BROKEN, words);
	}
	/* A page more than it says. */
	buf_add(&object.bytes, object.bytes.data, CODE_PAGE);
	put(&object, object.bytes.data, object.bytes.len);
	heals(&made, CACHE_BROKEN, "a page too many");
}

/* CLAIM 1.10: every bit of header and tables; each is a miss, by the whole
 * way through a file. */
TEST(flipped_header_and_tables)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(21);
	auto_object struct object object = kept(folder, &made);
	const struct code_header *head = (const void *)object.bytes.data;
	size_t tables = head->landings_at +
			head->landing_count * sizeof(struct code_landing);
	int missed = 0, verified = 0;

	for (size_t at = 0; at < tables; at++) {
		object.bytes.data[at] ^= 1 << at % 8;
		put(&object, object.bytes.data, object.bytes.len);
		verified += cache_verify(object.folder, object.key) == NULL;
		missed += cached_run(&made) != CACHE_BROKEN;
		object.bytes.data[at] ^= 1 << at % 8;
	}
	CHECK_INT(missed, 0);
	CHECK_INT(verified, 0);
	printf("# %zu bytes, one bit of each\n", tables);
	CHECK_INT(cached_run(&made), CACHE_HIT);
}

TEST(flipped_anywhere)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(22);
	uint64_t state = 88172645463325252u;
	int verified = 0, ran = 0;

	made.functions = 5000;
	auto_object struct object object = kept(folder, &made);

	for (int i = 0; i < 1000; i++) {
		size_t at;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		at = state % object.bytes.len;
		object.bytes.data[at] ^= 1 << (state >> 40) % 8;
		put(&object, object.bytes.data, object.bytes.len);
		verified += cache_verify(object.folder, object.key) == NULL;
		if (i % 10 == 0)
			ran += cached_run(&made) != CACHE_BROKEN;
		object.bytes.data[at] ^= 1 << (state >> 40) % 8;
	}
	CHECK_INT(verified, 0);
	CHECK_INT(ran, 0);
}

/* In place, which nobody does: the file that was seen right is another. */
TEST(written_over)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(23);
	auto_object struct object object = kept(folder, &made);
	char byte = (char)(object.bytes.data[object.bytes.len - 1] ^ 1);
	int fd;

	CHECK_INT(cached_run(&made), CACHE_HIT);
	clock_sleep_ms(20);
	CHECK(chmod(object.path, 0644) == 0);
	fd = open(object.path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 &&
	      fd_pwrite_all(fd, &byte, 1, object.bytes.len - 1, NULL) >= 0);
	fd_close(&fd);
	heals(&made, CACHE_BROKEN, "written over");
}

/* Right checksum, wrong content: by who can compute it. */
TEST(other_versions_and_keys)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(24);
	auto_object struct object object = kept(folder, &made);
	struct code_header *head = (void *)object.bytes.data;
	const struct code_header good = *head;

	for (int i = 0; i < 7; i++) {
		*head = good;
		switch (i) {
		case 0: head->version--; break;
		case 1: head->version++; break;
		case 2: head->header_bytes += 8; break;
		case 3: head->key[31] ^= 1; break;
		case 4: head->options = CODE_CHECKED; break;
		case 5: head->features = CODE_AVX512; break;
		case 6: head->optimised_at = 8; break;
		}
		memset(head->sum, 0, sizeof(head->sum));
		sha256_of(head, object.bytes.len, head->sum);
		put(&object, head, object.bytes.len);
		heals(&made, CACHE_BROKEN, "another version or key");
	}
	/* The same done with nothing changed is a right one. */
	*head = good;
	memset(head->sum, 0, sizeof(head->sum));
	sha256_of(head, object.bytes.len, head->sum);
	put(&object, head, object.bytes.len);
	CHECK_INT(cached_run(&made), CACHE_HIT);
}

TEST(tables_that_lie)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(25);
	auto_object struct object object = kept(folder, &made);
	struct code_header *head = (void *)object.bytes.data;
	struct code_function *function =
		(void *)(object.bytes.data + head->functions_at);
	struct code_landing *landing =
		(void *)(object.bytes.data + head->landings_at);

	CHECK(code_header_check_tables(head) == NULL);
	function[3].at += 1000000;
	CHECK(code_header_check_tables(head) != NULL);
	function[3].at = 0;
	CHECK(code_header_check_tables(head) != NULL);
	function[3].at = 48;
	function[3].landing = 1;
	CHECK(code_header_check_tables(head) != NULL);
	function[3].landing = 0;
	function[100].landing = 6;
	CHECK(code_header_check_tables(head) != NULL);
	function[100].landing = 7;
	landing[2].to = (uint32_t)head->text_bytes + 1;
	CHECK(code_header_check_tables(head) != NULL);
	landing[2].to = landing[2].from - 1;
	CHECK(code_header_check_tables(head) != NULL);
	landing[2].to = landing[2].from;
	landing[6].target = (uint32_t)head->text_bytes;
	CHECK(code_header_check_tables(head) != NULL);
	landing[6].target = 0;
	CHECK(code_header_check_tables(head) == NULL);
}

TEST(others_could_write_it)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(26);
	auto_object struct object object = kept(folder, &made);

	CHECK(chmod(object.path, 0464) == 0);
	heals(&made, CACHE_UNTRUSTED, "written by its group");
	CHECK(chmod(object.path, 0446) == 0);
	CHECK(cache_verify(object.folder, object.key) != NULL);
	heals(&made, CACHE_UNTRUSTED, "written by anybody");
	if (geteuid() == 0) {
		CHECK(chown(object.path, 65534, 65534) == 0);
		heals(&made, CACHE_UNTRUSTED, "another owner");
	}
	CHECK(chmod(object.folder, 0777) == 0);
	CHECK_INT(cached_run(&made), CACHE_OFF);
	CHECK(chmod(object.folder, 0700) == 0);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	if (geteuid() == 0) {
		CHECK(chown(object.folder, 65534, 65534) == 0);
		CHECK_INT(cached_run(&made), CACHE_OFF);
		CHECK(chown(object.folder, 0, 0) == 0);
	}
	CHECK_INT(cached_run(&made), CACHE_HIT);
}

TEST(not_a_file)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(27);
	auto_object struct object object = kept(folder, &made);
	auto_free char *aside = file_join(folder, "aside");

	CHECK(rename(object.path, aside) == 0);
	CHECK(symlink(aside, object.path) == 0);
	CHECK(cache_verify(object.folder, object.key) != NULL);
	heals(&made, CACHE_UNTRUSTED, "a link");
	unlink(object.path);
	CHECK(symlink("/nowhere", object.path) == 0);
	heals(&made, CACHE_UNTRUSTED, "a link to nowhere");
	unlink(object.path);
	CHECK(mkfifo(object.path, 0400) == 0);
	heals(&made, CACHE_UNTRUSTED, "a pipe");
	unlink(object.path);
	CHECK(mkdir(object.path, 0500) == 0);
	heals(&made, CACHE_UNTRUSTED, "a folder");
}

/* The cache's own folder may be reached by a link; what is in it not. */
TEST(links_to_folders)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(28);
	auto_object struct object object = kept(folder, &made);
	auto_free char *brood = file_join(folder, "brood");
	auto_free char *aside = file_join(folder, "aside");
	auto_free char *seen = file_join(object.folder, "seen");
	auto_free char *lock = file_join(object.folder, "lock");

	CHECK(rename(brood, aside) == 0);
	CHECK(symlink(aside, brood) == 0);
	CHECK_INT(cached_run(&made), CACHE_HIT);
	/* The lock a link: nothing is written through it. */
	unlink(lock);
	CHECK(symlink("/tmp/brood-nowhere", lock) == 0);
	unlink(object.path);
	CHECK_INT(cached_run(&made), CACHE_ABSENT);
	CHECK(access("/tmp/brood-nowhere", F_OK) < 0);
	CHECK(cached_object(folder) == NULL);
	unlink(lock);
	heals(&made, CACHE_ABSENT, "the lock is a file again");
	file_remove_tree(seen, NULL);
	CHECK_INT(cached_run(&made), CACHE_HIT);
}

/* Removed and made anew while it is mapped: who maps it goes on. */
TEST(replaced_while_mapped)
{
	auto_folder char *folder = cached_folder();
	struct cached made = cached_module(29);
	auto_object struct object object = kept(folder, &made);
	struct cache_object *mapped;
	struct err err = { 0 };
	struct cache *cache;

	CHECK_INT(cache_open(&cache, NULL, &err), 0);
	CHECK_INT(cached_get(cache, &made, &mapped), CACHE_HIT);
	for (int i = 0; i < 20; i++) {
		unlink(object.path);
		CHECK_INT(cached_run(&made), CACHE_ABSENT);
		CHECK(cached_is_right(&made, mapped));
	}
	CHECK_INT(cache_remove(object.folder, object.key, &err), 0);
	CHECK_INT(cache_remove(object.folder, object.key, &err), -ENOENT);
	CHECK(cached_is_right(&made, mapped));
	cache_close(cache);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* A tip in parts: carried whole, only what is missing is read, and whatever
 * the contents or the parts are, nothing wrong gets a name. */
#include "base/json.h"
#include "image/bundle.h"
#include "image/contents.h"
#include "images.h"
#include <errno.h>

enum { PAGES = 2048 };

/* What a carrier has: the contents as text, and each part. */
struct carried {
	struct bundle_contents contents;
	struct buf text;
	int fd[BUNDLE_PARTS_MOST];
	uint64_t bytes[BUNDLE_PARTS_MOST];
	uint8_t sum[BUNDLE_PARTS_MOST][32];
	int opened;
	bool believes; /* without a look at the sums */
};
static void carried_fini(struct carried *carried)
{
	for (int i = 0; i < BUNDLE_PARTS_MOST; i++)
		if (carried->fd[i] > 0)
			close(carried->fd[i]);
	bundle_contents_fini(&carried->contents);
	buf_fini(&carried->text);
}
#define auto_carried __attribute__((cleanup(carried_fini)))

static int put_open(void *context, uint32_t number, struct err *err)
{
	struct carried *carried = context;

	(void)err;
	carried->fd[number] = memfd_create("part", MFD_CLOEXEC);
	return carried->fd[number];
}

static int put_close(void *context, uint32_t number, uint64_t bytes,
		     const uint8_t *sum, struct err *err)
{
	struct carried *carried = context;
	struct stat st;

	(void)err;
	carried->bytes[number] = bytes;
	memcpy(carried->sum[number], sum, 32);
	return fstat(carried->fd[number], &st) == 0 &&
			       (uint64_t)st.st_size == bytes
		       ? 0
		       : -EIO;
}

static int get_open(void *context, uint32_t number, struct err *err)
{
	struct carried *carried = context;

	carried->opened++;
	if (carried->fd[number] <= 0)
		return err_set(err, -ENOENT, "a part");
	lseek(carried->fd[number], 0, SEEK_SET);
	return carried->fd[number];
}

static int get_close(void *context, uint32_t number, uint64_t bytes,
		     const uint8_t *sum, struct err *err)
{
	const struct carried *carried = context;

	return carried->believes || (bytes == carried->bytes[number] &&
				     memcmp(sum, carried->sum[number], 32) == 0)
		       ? 0
		       : err_set(err, -EBADMSG, "another sum");
}

/* "one" is a base and a difference, "two" one more, with a state and the same
 * disk twice. */
static void make(const struct images *images)
{
	auto_memory struct made_memory memory = made_memory_new(PAGES);
	auto_memory struct made_memory before = made_memory_new(PAGES);
	auto_tip struct tip tip = TIP_EMPTY;

	made_step(&memory, 0);
	made_step(&before, 0);
	CHECK_INT(made_base(images, &memory, &tip), 0);
	made_step(&memory, 1);
	CHECK_INT(made_push(images, &tip, &memory, &before), 0);
	CHECK_INT(made_publish(images, &tip, "one"), 0);
	made_step(&before, 1);
	made_step(&memory, 2);
	CHECK_INT(made_push(images, &tip, &memory, &before), 0);
	CHECK_INT(made_state(images, &tip, 12345), 0);
	CHECK_INT(made_disk(images, &tip, 70000), 0);
	CHECK_INT(made_disk(images, &tip, 70000), 0);
	CHECK_INT(made_publish(images, &tip, "two"), 0);
}

static void export(const struct images *images, const char *name,
		   struct carried *carried)
{
	const struct bundle_parts parts = { carried, put_open, put_close };
	const struct bundle_options options = { 0 };
	auto_tip struct tip tip = TIP_EMPTY;
	struct bundle_counts counts;
	struct err err = { 0 };

	*carried = (struct carried){ 0 };
	CHECK_INT(tip_open(images, name, &tip, &err), 0);
	CHECK_INT(bundle_export_parts(&tip, &parts, &carried->contents,
				      &options, &counts, &err),
		  0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(counts.objects, carried->contents.head.object_count);
	contents_write(&carried->contents, &carried->text);
	CHECK(!carried->text.failed);
}

/* By the text alone, as who imports it has it. */
static int import(const struct images *images, struct carried *carried,
		  const char *text, struct bundle_counts *counts,
		  struct err *err)
{
	const struct bundle_parts parts = { carried, get_open, get_close };
	const struct bundle_options options = { .replace = true };
	struct bundle_contents contents;
	int rc;

	err_clear(err);
	carried->opened = 0;
	if (json_check(text, strlen(text), err) < 0)
		return -EINVAL;
	rc = contents_read(text, &contents, err);
	if (rc < 0)
		return rc;
	rc = bundle_import_parts(images, &contents, &parts, &options, counts,
				 err);
	bundle_contents_fini(&contents);
	return rc;
}

static bool is_right(const struct images *images, const char *name, int step)
{
	auto_memory struct made_memory memory = made_memory_new(PAGES);

	made_step(&memory, step);
	return made_is(images, name, &memory);
}

static bool is_same(const struct images *a, const struct images *b,
		    const char *name)
{
	struct tip_ids ids;
	struct tip one, two;
	bool same = tip_read(a, name, &one, &ids, NULL) >= 0;

	same = tip_read(b, name, &two, &ids, NULL) >= 0 && same &&
	       memcmp(one.id, two.id, LAYER_ID) == 0;
	tip_close(&one);
	tip_close(&two);
	return same;
}

static int count_tip(const char *name, void *context)
{
	(void)name;
	++*(int *)context;
	return 0;
}

static int tips(const struct images *images)
{
	int count = 0;

	CHECK_INT(tip_each(images, count_tip, &count, NULL), 0);
	return count;
}

TEST(carried_in_parts)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	auto_carried struct carried one = { 0 }, two = { 0 };
	struct bundle_counts counts;
	struct err err = { 0 };

	make(&from.images);
	export(&from.images, "one", &one);
	export(&from.images, "two", &two);
	CHECK_INT(two.contents.head.object_count, 5);
	CHECK_INT(two.contents.tip.disks[0], two.contents.tip.disks[1]);
	/* What they share is the same bytes. */
	CHECK(memcmp(one.sum[0], two.sum[0], 32) == 0);
	CHECK(memcmp(one.sum[1], two.sum[1], 32) == 0);
	CHECK_INT(import(&to.images, &one, one.text.data, &counts, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(one.opened, 2);
	CHECK_INT(counts.packed_bytes, one.bytes[0] + one.bytes[1]);
	CHECK(is_right(&to.images, "one", 1));
	CHECK_INT(import(&to.images, &two, two.text.data, &counts, &err), 0);
	CHECK_INT(two.opened, 3);
	CHECK_INT(counts.there, 2);
	CHECK(is_right(&to.images, "two", 2));
	CHECK(is_same(&from.images, &to.images, "one"));
	CHECK(is_same(&from.images, &to.images, "two"));
	CHECK_INT(import(&to.images, &two, two.text.data, &counts, &err), 0);
	CHECK_INT(two.opened, 0);
	CHECK_INT(counts.packed_bytes, 0);
}

TEST(contents_come_back)
{
	auto_made_images struct made_images from = made_images_new();
	auto_carried struct carried two = { 0 };
	auto_buf struct buf again = { 0 };
	struct bundle_contents read;
	struct err err = { 0 };

	make(&from.images);
	export(&from.images, "two", &two);
	CHECK_INT(contents_read(two.text.data, &read, &err), 0);
	CHECK(memcmp(&read.head, &two.contents.head, sizeof(read.head)) == 0);
	CHECK(memcmp(read.objects, two.contents.objects,
		     sizeof(read.objects)) == 0);
	CHECK(memcmp(&read.tip.head, &two.contents.tip.head,
		     sizeof(read.tip.head)) == 0);
	contents_write(&read, &again);
	CHECK_TEXT(again.data, two.text.data);
	bundle_contents_fini(&read);
}

/* ---- contents that lie ----------------------------------------------------- */

/* "text" with the first "from" as "to"; malloced. */
static char *with(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);

	CHECK(at != NULL);
	return at ? file_format("%.*s%s%s", (int)(at - text), text, to,
				at + strlen(from))
		  : strdup("");
}

static void refused(const struct images *images, struct carried *carried,
		    const char *from, const char *to, const char *words)
{
	auto_free char *text = with(carried->text.data, from, to);
	struct bundle_counts counts;
	struct err err = { 0 };
	int rc = import(images, carried, text, &counts, &err);

	CHECK(rc < 0);
	CHECK_INT(tips(images), 0);
	if (!strstr(err.text, words))
		CHECK_TEXT(err.text, words);
}

TEST(contents_that_lie)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	auto_carried struct carried two = { 0 };
	auto_buf struct buf many = { 0 };
	auto_free char *words = calloc(1, TIP_WORDS_MOST + 16);
	const struct images *images = &to.images;
	char id[2][STORE_HEX + 1], memory[40], data[40];

	make(&from.images);
	export(&from.images, "two", &two);
	for (int i = 0; i < 2; i++)
		store_hex(two.contents.objects[i].id, LAYER_ID, id[i]);
	refused(images, &two, "\"version\":1", "\"version\":2",
		"another version");
	refused(images, &two, "\"name\":\"two\"", "\"name\":\"../two\"",
		"no name of a tip");
	refused(images, &two, "\"name\":\"two\"", "\"name\":7",
		"no name of a tip");
	refused(images, &two, "\"shape\":\"05", "\"shape\":\"x5",
		"tells of no machine");
	refused(images, &two, "\"shape\":\"05", "\"shape\":\"06",
		"of another machine");
	snprintf(memory, sizeof(memory), "\"memory\":%d", PAGES * LAYER_PAGE);
	refused(images, &two, memory, "\"memory\":-4096", "impossible size");
	refused(images, &two, memory, "\"memory\":4095", "impossible size");
	refused(images, &two, memory, "\"memory\":4096",
		"more data than memory");
	refused(images, &two, memory, "\"memory\":9223372036854775807",
		"impossible size");
	refused(images, &two, memory, "\"memory\":70368744177664",
		"of another machine");
	refused(images, &two, "\"kind\":\"base\"", "\"kind\":\"bass\"",
		"no known kind");
	refused(images, &two, "\"kind\":\"base\"", "\"kind\":\"state\"",
		"impossible size");
	refused(images, &two, "\"kind\":\"base\"", "\"kind\":\"diff\"",
		"not what the contents tell");
	refused(images, &two, id[0], "..", "has no id");
	refused(images, &two, id[0], id[1], "not what the contents tell");
	snprintf(data, sizeof(data), "\"data_bytes\":%lu",
		 (unsigned long)two.contents.objects[0].data_bytes);
	refused(images, &two, data, "\"data_bytes\":-1",
		"more data than memory");
	refused(images, &two, data, "\"data_bytes\":\"7\"",
		"more data than memory");
	refused(images, &two, data, "\"data_bytes\":4096",
		"not what the contents tell");
	snprintf(data, sizeof(data), "\"table_bytes\":%lu",
		 (unsigned long)two.contents.objects[0].table_bytes);
	refused(images, &two, data, "\"table_bytes\":0", "impossible size");
	refused(images, &two, data, "\"table_bytes\":8000000000000000000",
		"impossible size");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[]",
		"too many layers");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":7",
		"a list is missing");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[0,1,5]",
		"names no object");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[0,1,-2]",
		"an object that is none");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[0,1,[]]",
		"an object that is none");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[0,2,1]",
		"is a difference to");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[1,2]",
		"is no base");
	refused(images, &two, "\"layers\":[0,1,2]", "\"layers\":[0,0]",
		"difference");
	refused(images, &two, "\"disks\":[3,3]", "\"disks\":[4]", "is none");
	refused(images, &two, "\"state\":4", "\"state\":3", "is none");
	refused(images, &two, "\"state\":4", "\"state\":4294967295",
		"an object that is none");
	refused(images, &two, "\"state\":4", "\"state\":null",
		"an object that is none");
	refused(images, &two, "\"words\":", "\"word\":", "no words");
	memset(words, ' ', TIP_WORDS_MOST + 15);
	memcpy(words, "\"words\":[", 9);
	refused(images, &two, "\"words\":{", words, "malformed");
	words[TIP_WORDS_MOST + 14] = ']';
	strcpy(words + TIP_WORDS_MOST + 13, "],");
	{
		auto_free char *long_words = file_format("%s\"w\":{", words);

		refused(images, &two, "\"words\":{", long_words, "too many");
	}
	buf_text(&many, "\"layers\":[0");
	for (int i = 0; i < LAYER_DEPTH_MOST; i++)
		buf_text(&many, ",0");
	buf_text(&many, "]");
	refused(images, &two, "\"layers\":[0,1,2]", many.data,
		"more than a tip can have");
	buf_clear(&many);
	buf_text(&many, "\"objects\":[{}");
	for (int i = 0; i < BUNDLE_PARTS_MOST; i++)
		buf_format(&many, ",{\"id\":\"%s\"}", id[0]);
	buf_text(&many, "],\"was\":[");
	refused(images, &two, "\"objects\":[", many.data, "has no id");
	many.data[12] = ' ';
	many.data[13] = ' ';
	many.data[14] = ' ';
	many.data[11] = ' ';
	refused(images, &two, "\"objects\":[", buf_string(&many), "");
}

/* A layer of another machine that is there already is none of this one's. */
TEST(another_shape_that_is_there)
{
	auto_made_images struct made_images from = made_images_new();
	auto_carried struct carried two = { 0 };
	auto_free char *text = NULL;
	struct bundle_counts counts;
	struct err err = { 0 };

	make(&from.images);
	export(&from.images, "two", &two);
	CHECK_INT(tip_remove(&from.images, "two", &err), 0);
	text = with(two.text.data, "\"shape\":\"05", "\"shape\":\"06");
	CHECK(import(&from.images, &two, text, &counts, &err) < 0);
	CHECK(strstr(err.text, "of another machine"));
	CHECK_INT(tips(&from.images), 1);
}

/* ---- parts that are not what they were ---------------------------------------- */

static bool all_right(const struct images *images)
{
	DIR *dir = opendir(images->folder);
	struct dirent *entry;
	bool right = true;

	while (dir && (entry = readdir(dir)))
		if (store_is_name(entry->d_name))
			right &= layer_verify(images, entry->d_name, NULL) >= 0;
	closedir(dir);
	return right;
}

static void must_fail(const struct images *images, struct carried *carried,
		      const char *what, uint64_t where)
{
	struct bundle_counts counts;
	struct err err = { 0 };
	int rc = import(images, carried, carried->text.data, &counts, &err);

	if (rc >= 0 || !err.text[0] || tips(images) != 0) {
		CHECK(!"it was taken");
		printf("# %s %lu: %d %s\n", what, (unsigned long)where, rc,
		       err.text);
	}
}

static void damage(const struct images *images, struct carried *carried,
		   int part)
{
	int fd = carried->fd[part];
	uint64_t bytes = carried->bytes[part];
	uint8_t byte;

	for (uint64_t at = 0; at < bytes; at += bytes / 7 + 1) {
		CHECK(pread(fd, &byte, 1, at) == 1);
		byte ^= 1;
		CHECK(pwrite(fd, &byte, 1, at) == 1);
		must_fail(images, carried, "flipped", at);
		byte ^= 1;
		CHECK(pwrite(fd, &byte, 1, at) == 1);
	}
	CHECK(pwrite(fd, "x", 1, bytes) == 1);
	carried->believes = false;
	/* The frames end where they end: who has the sums sees more. */
	carried->bytes[part]++;
	must_fail(images, carried, "more behind", part);
	carried->bytes[part]--;
	carried->sum[part][5] ^= 1;
	must_fail(images, carried, "another sum", part);
	carried->sum[part][5] ^= 1;
	carried->believes = true;
	for (uint64_t len = 0; len < bytes; len += bytes / 5 + 1) {
		auto_free uint8_t *rest = malloc(bytes);

		CHECK_INT(fd_pread_all(fd, rest, bytes, 0, NULL), 0);
		CHECK_INT(ftruncate(fd, len), 0);
		must_fail(images, carried, "cut at", len);
		CHECK_INT(fd_pwrite_all(fd, rest, bytes, 0, NULL), 0);
	}
}

TEST(parts_that_are_damaged)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	auto_carried struct carried two = { 0 };
	struct bundle_counts counts;
	struct err err = { 0 };

	make(&from.images);
	export(&from.images, "two", &two);
	two.believes = true;
	for (int part = 0; part < 5; part++) {
		damage(&to.images, &two, part);
		/* What was whole of it stays, for the next time. */
		CHECK(all_right(&to.images));
	}
	CHECK(made_objects(&to.images) > 0);
	CHECK_INT(import(&to.images, &two, two.text.data, &counts, &err), 0);
	CHECK(is_right(&to.images, "two", 2));
}

TEST(parts_that_are_others)
{
	auto_made_images struct made_images from = made_images_new();
	auto_made_images struct made_images to = made_images_new();
	auto_carried struct carried two = { 0 };

	make(&from.images);
	export(&from.images, "two", &two);
	two.believes = true;
	for (int part = 0; part < 5; part++) {
		int fd = two.fd[part];

		two.fd[part] = two.fd[(part + 1) % 5];
		must_fail(&to.images, &two, "another part", part);
		two.fd[part] = -1;
		must_fail(&to.images, &two, "no part", part);
		two.fd[part] = fd;
	}
}

TEST_MAIN

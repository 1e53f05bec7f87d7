/* SPDX-License-Identifier: Apache-2.0 */
/* Files of keywords and values: written, read, and refused as a whole. */
#include "appliance/lines.h"
#include "base/sha256.h"
#include "test.h"
#include <errno.h>

static const char head[] = "brood-test 1";

struct seen {
	int count;
	struct buf all;
};

static int see(const char *key, char *value, void *context, struct err *err)
{
	struct seen *seen = context;

	if (strcmp(key, "bad") == 0)
		return err_set(err, -EINVAL, "bad %s", value);
	seen->count++;
	buf_format(&seen->all, "%s=%s;", key, value);
	return 0;
}

static int look(const char *text, size_t len, struct seen *seen,
		struct err *err)
{
	char *copy = malloc(len + 1);
	int rc;

	memcpy(copy, text, len);
	copy[len] = 0;
	rc = lines_read(copy, len, head, see, seen, err);
	free(copy);
	return rc;
}

static void refused(const char *text, size_t len, const char *words)
{
	struct seen seen = { 0 };
	struct err err = { 0 };

	CHECK_INT(look(text, len, &seen, &err), -EINVAL);
	CHECK_TEXT(err.text, words);
	buf_fini(&seen.all);
}

/* The checksum that a text by hand needs. */
static void finish(struct buf *text)
{
	CHECK_INT(lines_end(text, NULL), 0);
}

TEST(what_is_put_is_read)
{
	auto_buf struct buf out = { 0 };
	struct seen seen = { 0 };
	struct err err = { 0 };

	lines_start(&out, head);
	CHECK_INT(lines_put(&out, &err, "name", "%s %d", "a b", 7), 0);
	CHECK_INT(lines_put(&out, &err, "empty", "%s", ""), 0);
	CHECK_INT(lines_put(&out, &err, "utf", "%s", "gr\xc3\xbc\xc3\x9f"), 0);
	CHECK_INT(lines_end(&out, &err), 0);
	CHECK_INT(look(out.data, out.len, &seen, &err), 0);
	CHECK_INT(seen.count, 3);
	CHECK_TEXT(buf_string(&seen.all),
		   "name=a b 7;empty=;utf=gr\xc3\xbc\xc3\x9f;");
	CHECK_TEXT(err.text, "");
	buf_fini(&seen.all);
}

TEST(a_value_is_one_line)
{
	static const char *const bad[] = { "a\nb", "\r", "\x7f", "\x1b[1m" };
	auto_buf struct buf out = { 0 };
	char large[LINES_VALUE_MOST + 2];
	struct err err = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_INT(lines_put(&out, &err, "key", "%s", bad[i]), -EINVAL);
	CHECK_TEXT(err.text, "key: too long, or with characters that are none");
	memset(large, 'x', sizeof large);
	large[LINES_VALUE_MOST + 1] = 0;
	CHECK_INT(lines_put(&out, &err, "key", "%s", large), -EINVAL);
	CHECK_INT(out.len, 0);
	large[LINES_VALUE_MOST] = 0;
	CHECK_INT(lines_put(&out, &err, "key", "%s", large), 0);
}

TEST(all_of_it_has_a_size)
{
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	char large[LINES_VALUE_MOST + 1];

	memset(large, 'x', sizeof large);
	large[LINES_VALUE_MOST] = 0;
	lines_start(&out, head);
	for (int i = 0; i < 17; i++)
		lines_put(&out, NULL, "key", "%s", large);
	CHECK_INT(lines_end(&out, &err), -EINVAL);
	CHECK_TEXT(err.text, "more than 65536 bytes");
	refused(out.data, out.len,
		"is damaged: its checksum is not that of its lines");
}

TEST(each_cut_and_each_changed_byte_is_seen)
{
	auto_buf struct buf out = { 0 };

	lines_start(&out, head);
	lines_put(&out, NULL, "name", "value");
	finish(&out);
	for (size_t len = 0; len < out.len; len++) {
		struct seen seen = { 0 };

		CHECK_INT(look(out.data, len, &seen, NULL), -EINVAL);
		CHECK_INT(seen.count, 0);
	}
	for (size_t at = 0; at < out.len; at++) {
		struct seen seen = { 0 };

		out.data[at] ^= 1;
		CHECK_INT(look(out.data, out.len, &seen, NULL), -EINVAL);
		CHECK_INT(seen.count, 0);
		out.data[at] ^= 1;
	}
}

TEST(each_refusal_has_its_words)
{
	auto_buf struct buf out = { 0 };

	refused("", 0, "does not begin with \"brood-test 1\"");
	refused("brood-test 1", 12, "does not begin with \"brood-test 1\"");
	refused("brood-test 10\n", 14, "does not begin with \"brood-test 1\"");
	refused("brood-test 1\n", 13,
		"is damaged: its checksum is not that of its lines");
	buf_text(&out, "brood-test 1\nword\n");
	finish(&out);
	refused(out.data, out.len, "a line without key and value");
	buf_clear(&out);
	buf_text(&out, "brood-test 1\n value\n");
	finish(&out);
	refused(out.data, out.len, "a line without key and value");
	buf_clear(&out);
	buf_add(&out, "brood-test 1\nkey a\0b\n", 21);
	finish(&out);
	refused(out.data, out.len, "a line without key and value");
	buf_clear(&out);
	buf_text(&out, "brood-test 1\nbad apple\n");
	finish(&out);
	refused(out.data, out.len, "bad apple");
}

TEST(nothing_but_a_head_is_fine)
{
	auto_buf struct buf out = { 0 };
	struct seen seen = { 0 };

	lines_start(&out, head);
	finish(&out);
	CHECK_INT(look(out.data, out.len, &seen, NULL), 0);
	CHECK_INT(seen.count, 0);
}

TEST(numbers)
{
	static const char *const bad[] = { "",	  " 1",	 "1 ", "+1", "-1",
					   "0x1", "1.0", "a",  "101" };
	uint64_t number = 0;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!lines_number(bad[i], 100, &number));
	CHECK(lines_number("100", 100, &number) && number == 100);
	CHECK(lines_number("0", 0, &number) && number == 0);
	CHECK(!lines_number("1", 0, &number));
	CHECK(lines_number("0007", 7, &number) && number == 7);
	CHECK(lines_number("18446744073709551615", UINT64_MAX, &number) &&
	      number == UINT64_MAX);
	CHECK(!lines_number("18446744073709551616", UINT64_MAX, &number));
	CHECK(!lines_number("99999999999999999999999", UINT64_MAX, &number));
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as strangers write it: what is taken, what is refused, what a path
 * leads to. */
#include "base/fd.h"
#include "base/json.h"
#include "test.h"
#include <errno.h>

static int check(const char *text)
{
	return json_check(text, strlen(text), NULL);
}

static void check_text(const char *text, const char *path, const char *want)
{
	auto_free char *got = json_get_text(text, path);

	CHECK_TEXT(got, want);
}

static void check_value(const char *text, const char *path, const char *want)
{
	size_t len = 0;
	const char *at = json_get_value(text, path, &len);
	auto_free char *got = at ? strndup(at, len) : NULL;

	if (want)
		CHECK_TEXT(got, want);
	else
		CHECK(!got);
}

TEST(well_formed)
{
	CHECK_INT(check("{}"), 0);
	CHECK_INT(check(" [1, -2.5e+3, \"\\u00e9\", null, true, {\"a\": []}] "),
		  0);
	CHECK_INT(check(""), -EPROTO);
	CHECK_INT(check("{"), -EPROTO);
	CHECK_INT(check("{}{}"), -EPROTO);
	CHECK_INT(check("{\"a\" 1}"), -EPROTO);
	CHECK_INT(check("[1,]"), -EPROTO);
	CHECK_INT(check("\"\\u12\""), -EPROTO);
	CHECK_INT(check("\"\\x\""), -EPROTO);
	CHECK_INT(check("\"a\nb\""), -EPROTO);
	CHECK_INT(check("01"), -EPROTO);
	CHECK_INT(json_check("[\0]", 3, NULL), -EPROTO);
}

TEST(depth)
{
	char deep[256];

	memset(deep, '[', 128);
	memset(deep + 128, ']', 128);
	CHECK_INT(json_check(deep, sizeof(deep), NULL), -EPROTO);
	CHECK_INT(json_check(deep + 96, 64, NULL), 0);
}

TEST(values)
{
	static const char text[] =
		"{\"return\": {\"status\": \"running\", \"n\": [1, {\"x\":2} ]}, "
		"\"none\":null, \"e\" : {} }";

	check_value(text, "return.status", "\"running\"");
	check_value(text, "return.n", "[1, {\"x\":2} ]");
	check_value(text, "return.n.1", "{\"x\":2}");
	check_value(text, "return.n.1.x", "2");
	check_value(text, "none", "null");
	check_value(text, "e", "{}");
	check_value(text, "e.x", NULL);
	check_value(text, "return.n.2", NULL);
	check_value(text, "return.n.x", NULL);
	check_value(text, "return.status.x", NULL);
	check_value(text, "missing", NULL);
	check_value(" 17 ", "", "17");
	check_value("{\"a\":[[}", "a", NULL);
}

TEST(escapes)
{
	check_text("{\"a\":\"\\u00e9\\n\\/\"}", "a", "\xc3\xa9\n/");
	check_text("{\"a\":\"\\u20ac\"}", "a", "\xe2\x82\xac");
	check_text("{\"a\":\"\\ud83d\\ude00!\"}", "a", "\xf0\x9f\x98\x80!");
	check_text("{\"a\":\"\\ud83d!\"}", "a", "\xef\xbf\xbd!");
	check_text("{\"a\":\"\\ude00\\ud83d\"}", "a",
		   "\xef\xbf\xbd\xef\xbf\xbd");
	check_text("{\"a\":\"\\ud83d\\u0041\"}", "a",
		   "\xef\xbf\xbd"
		   "A");
}

TEST(written_values)
{
	auto_buf struct buf out = { 0 }, bad = { 0 };
	struct json json;

	json_start(&json, &out);
	json_open(&json, NULL);
	json_text(&json, "execute", "stop");
	json_value(&json, "arguments", "{\"a\": [1]}");
	json_number(&json, "id", 7);
	json_close(&json);
	CHECK_TEXT(
		buf_string(&out),
		"{\"execute\":\"stop\",\"arguments\":{\"a\": [1]},\"id\":7}");
	json_start(&json, &bad);
	json_value(&json, NULL, "{}, {}");
	CHECK(bad.failed);
}

TEST(items_one_after_the_other)
{
	static const char list[] = " [ 1 ,{\"a\":[2]}, \"x,]\" ] ,9";
	const char *at;
	size_t len;

	at = json_first(list + 1, &len);
	CHECK(at && len == 1 && *at == '1');
	at = json_next(at, &len);
	CHECK(at && len == 9 && at[len - 1] == '}');
	at = json_next(at, &len);
	CHECK(at && len == 5 && *at == '"');
	CHECK(!json_next(at, &len));
	CHECK(!json_first("[]", &len));
	CHECK(!json_first("[ ", &len));
	CHECK(!json_first("{}", &len));
	CHECK(!json_first("", &len));
}

TEST(members_with_dots)
{
	static const char text[] = "{\"a\":{\"b\":1,\"b.c\":\"x\"},\"d.e\":2}";
	const char *at;
	size_t len;

	at = json_get_member(text, "a", "b.c", &len);
	CHECK(at && len == 3 && memcmp(at, "\"x\"", 3) == 0);
	at = json_get_member(text, "", "d.e", &len);
	CHECK(at && len == 1 && *at == '2');
	CHECK(!json_get_member(text, "a", "c", &len));
	CHECK(!json_get_member(text, "a.b", "c", &len));
	CHECK(!json_get_member("[1]", "", "a", &len));
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what a version is, and each line that none may have. */
#include "appliance/lines.h"
#include "appliance/record.h"
#include "test.h"
#include <errno.h>

#define HEX  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GOOD "name app\npayload " HEX " 4096\nentry app\npath bin/app\n"

static int look(const char *lines, struct record *record, struct err *err)
{
	auto_buf struct buf text = { 0 };

	lines_start(&text, RECORD_HEAD);
	buf_text(&text, lines);
	CHECK_INT(lines_end(&text, NULL), 0);
	return record_read(text.data, text.len, record, err);
}

static void refused(const char *lines, const char *words)
{
	struct record record;
	struct err err = { 0 };

	CHECK_INT(look(lines, &record, &err), -EINVAL);
	CHECK_TEXT(err.text, words);
	CHECK(!record.text);
}

TEST(all_that_a_record_may_have)
{
	auto_record struct record record = { 0 };
	const struct record_entry *entry;
	struct err err = { 0 };

	CHECK_INT(look("name python\nrelease 3.11 (x)\n"
		       "payload " HEX " 17592186044416\n"
		       "entry a\nkind program\npath usr/bin/a\n"
		       "loader lib64/ld.so\nlibraries usr/lib:lib\n"
		       "argument -B\nargument \nwarm yes\n"
		       "entry b\nkind wasm\npath b.wasm\n"
		       "entry c\nkind domain\npath c.wasm\n"
		       "entry d\nkind machine\npath images\n"
		       "environment A=${app}/x\nenvironment B_1=\n"
		       "writable cache\nport 1\nport 65535\n",
		       &record, &err),
		  0);
	CHECK_TEXT(err.text, "");
	CHECK_TEXT(record.name, "python");
	CHECK_TEXT(record.release, "3.11 (x)");
	CHECK_TEXT(record.payload, HEX);
	CHECK(record.payload_bytes == (uint64_t)1 << 44);
	CHECK_INT(record.entry_count, 4);
	entry = record_find(&record, NULL);
	CHECK_TEXT(entry->name, "a");
	CHECK_TEXT(entry->path, "usr/bin/a");
	CHECK_TEXT(entry->loader, "lib64/ld.so");
	CHECK_TEXT(entry->libraries, "usr/lib:lib");
	CHECK_INT(entry->argument_count, 2);
	CHECK_TEXT(entry->argument[1], "");
	CHECK(entry->warm);
	CHECK_INT(record_find(&record, "d")->kind, RECORD_MACHINE);
	CHECK(!record_find(&record, "d")->warm);
	CHECK(!record_find(&record, "e"));
	CHECK_INT(record.environment_count, 2);
	CHECK_INT(record.writable_count, 1);
	CHECK_INT(record.port[1], 65535);
}

TEST(the_least)
{
	auto_record struct record record = { 0 };

	CHECK_INT(look(GOOD, &record, NULL), 0);
	CHECK_TEXT(record.release, "");
	CHECK_INT(record.entry[0].kind, RECORD_PROGRAM);
}

TEST(what_is_missing_is_told)
{
	refused("", "name, payload or entry is missing");
	refused("name app\npayload " HEX " 1\n",
		"name, payload or entry is missing");
	refused("payload " HEX " 1\nentry a\npath b\n",
		"name, payload or entry is missing");
	refused("name app\nentry a\npath b\n",
		"name, payload or entry is missing");
	refused("name app\npayload " HEX " 1\nentry a\n",
		"entry a has no path");
	refused(GOOD "entry b\n", "entry b has no path");
}

TEST(each_line_that_is_wrong_is_told)
{
	static const char *const bad[] = {
		"name app",	     "name .x",		 "payload " HEX " 4096",
		"entry app",	     "entry a/b",	 "entry -x",
		"kind program2",     "path /abs",	 "path bin/app",
		"loader /x",	     "loader a/../b",	 "libraries a::b",
		"libraries :a",	     "libraries a:",	 "libraries /a",
		"libraries a:../b",  "warm no",		 "environment =x",
		"environment A B=c", "environment 1A=b", "environment A",
		"writable ..",	     "writable a/b",	 "port 0",
		"port 65536",	     "port -1",		 "port x",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		auto_buf struct buf lines = { 0 };
		auto_buf struct buf words = { 0 };

		buf_format(&lines, GOOD "%s\n", bad[i]);
		buf_format(&words, "\"%.67s\" is wrong", bad[i]);
		/* Only as much as fits is told of a long one. */
		if (strlen(bad[i]) > 60)
			continue;
		refused(buf_string(&lines), buf_string(&words));
	}
	refused(GOOD "colour red\n", "\"colour\" is not known");
	refused(GOOD "end x\n", "\"end\" is not known");
}

TEST(a_payload_has_digest_and_length)
{
	static const char *const bad[] = {
		HEX,	   HEX " 0", HEX " x", "0 1", HEX " 17592186044417",
		HEX "0 1", " 1"
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		auto_buf struct buf lines = { 0 };
		struct record record;

		buf_format(&lines, "name app\npayload %s\nentry a\npath b\n",
			   bad[i]);
		CHECK_INT(look(buf_string(&lines), &record, NULL), -EINVAL);
	}
	refused("name app\npayload "
		"0123456789ABCDEF0123456789abcdef0123456789abcdef"
		"0123456789abcdef 1\n",
		"\"payload 0123456789ABCDEF0123456789abcdef0123456789abcdef"
		"0123456789ab\" is wrong");
}

TEST(entries_come_before_their_lines)
{
	static const char *const keys[] = { "kind program", "path a",
					    "loader a",	    "libraries a",
					    "argument a",   "warm yes" };

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		auto_buf struct buf lines = { 0 };
		auto_buf struct buf words = { 0 };

		buf_format(&lines, "%s\n" GOOD, keys[i]);
		buf_format(&words, "\"%s\" is wrong", keys[i]);
		refused(buf_string(&lines), buf_string(&words));
	}
}

static void too_many(const char *line, int most)
{
	auto_buf struct buf lines = { 0 };
	auto_record struct record record = { 0 };

	buf_text(&lines, GOOD);
	for (int i = 0; i < most; i++)
		buf_format(&lines, line, i);
	CHECK_INT(look(buf_string(&lines), &record, NULL), 0);
	record_fini(&record);
	buf_format(&lines, line, most);
	CHECK_INT(look(buf_string(&lines), &record, NULL), -EINVAL);
}

TEST(there_are_only_so_many)
{
	too_many("entry e%1$d\npath e%1$d\n", RECORD_ENTRIES - 1);
	too_many("argument a%d\n", RECORD_WORDS);
	too_many("environment A%d=b\n", RECORD_WORDS);
	too_many("writable w%d\n", RECORD_WORDS);
	too_many("port 1%d\n", RECORD_WORDS);
}

TEST(names)
{
	char large[RECORD_NAME_MOST + 2];

	CHECK(record_is_name("a"));
	CHECK(record_is_name("python3.11"));
	CHECK(record_is_name("g++_x-Y"));
	CHECK(!record_is_name(""));
	CHECK(!record_is_name("."));
	CHECK(!record_is_name(".."));
	CHECK(!record_is_name(".a"));
	CHECK(!record_is_name("-a"));
	CHECK(!record_is_name("a b"));
	CHECK(!record_is_name("a/b"));
	CHECK(!record_is_name("a\n"));
	CHECK(!record_is_name("\xc3\xbc"));
	memset(large, 'a', sizeof large);
	large[RECORD_NAME_MOST + 1] = 0;
	CHECK(!record_is_name(large));
	large[RECORD_NAME_MOST] = 0;
	CHECK(record_is_name(large));
}

TEST(paths_inside)
{
	CHECK(record_is_inside("a"));
	CHECK(record_is_inside("a/b.c/..d/.../e"));
	CHECK(!record_is_inside(""));
	CHECK(!record_is_inside("/a"));
	CHECK(!record_is_inside("a/"));
	CHECK(!record_is_inside("a//b"));
	CHECK(!record_is_inside("./a"));
	CHECK(!record_is_inside("a/."));
	CHECK(!record_is_inside("../a"));
	CHECK(!record_is_inside("a/.."));
	CHECK(!record_is_inside("a/../b"));
}

TEST_MAIN

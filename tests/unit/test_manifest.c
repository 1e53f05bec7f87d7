/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: what is written becomes a record, and nothing is passed over. */
#include "appliance/manifest.h"
#include "test.h"
#include <errno.h>

#define HEX   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEAD  "{\"format\":\"brood-appliance\",\"version\":1,"
#define ENTRY "{\"name\":\"a\",\"path\":\"bin/a\"}"
#define GOOD  HEAD "\"name\":\"app\",\"entries\":[" ENTRY "]"

static int look(const char *text, size_t len, struct record *record,
		struct err *err)
{
	auto_buf struct buf lines = { 0 };
	int rc = manifest_record(text, len, HEX, 4096, &lines, err);

	return rc < 0 ? rc : record_read(lines.data, lines.len, record, err);
}

static void refused(const char *text, const char *words)
{
	auto_record struct record record = { 0 };
	struct err err = { 0 };

	CHECK(look(text, strlen(text), &record, &err) < 0);
	CHECK_TEXT(err.text, words);
}

TEST(what_is_written_is_read)
{
	static const char *const arguments[] = { "-B", "\"q\" \\ \xc3\xbc",
						 "" };
	static const char *const environment[] = { "A=${app}/x" };
	static const char *const writable[] = { "cache", "log" };
	static const long ports[] = { 80, 65535 };
	const struct manifest_entry entries[] = {
		{ .name = "tool",
		  .kind = "program",
		  .path = "usr/bin/tool",
		  .loader = "lib64/ld.so",
		  .libraries = "usr/lib:lib",
		  .arguments = arguments,
		  .argument_count = 3,
		  .warm = true },
		{ .name = "mod", .kind = "wasm", .path = "mod.wasm" },
	};
	const struct manifest manifest = {
		.name = "app",
		.release = "1.0",
		.entry = entries,
		.entry_count = 2,
		.environment = environment,
		.environment_count = 1,
		.writable = writable,
		.writable_count = 2,
		.port = ports,
		.port_count = 2,
	};
	auto_record struct record record = { 0 };
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };

	manifest_write(&manifest, &text);
	CHECK_INT(look(text.data, text.len, &record, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_TEXT(record.name, "app");
	CHECK_TEXT(record.release, "1.0");
	CHECK_TEXT(record.payload, HEX);
	CHECK_INT(record.payload_bytes, 4096);
	CHECK_INT(record.entry_count, 2);
	CHECK_TEXT(record.entry[0].loader, "lib64/ld.so");
	CHECK_TEXT(record.entry[0].libraries, "usr/lib:lib");
	CHECK_INT(record.entry[0].argument_count, 3);
	CHECK_TEXT(record.entry[0].argument[1], "\"q\" \\ \xc3\xbc");
	CHECK_TEXT(record.entry[0].argument[2], "");
	CHECK(record.entry[0].warm);
	CHECK_INT(record.entry[1].kind, RECORD_WASM);
	CHECK(!record.entry[1].warm);
	CHECK_TEXT(record.environment[0], "A=${app}/x");
	CHECK_TEXT(record.writable[1], "log");
	CHECK_INT(record.port[1], 65535);
}

TEST(the_least)
{
	auto_record struct record record = { 0 };
	struct err err = { 0 };

	CHECK_INT(look(GOOD "}", strlen(GOOD "}"), &record, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(record.entry[0].kind, RECORD_PROGRAM);
	CHECK_TEXT(record.release, "");
}

TEST(what_is_no_manifest)
{
	auto_buf struct buf deep = { 0 };
	auto_buf struct buf large = { 0 };

	refused("", "JSON: malformed at byte 0");
	refused("#!/bin/sh\n", "JSON: malformed at byte 0");
	refused("{}", "is no manifest of an appliance");
	refused("[]", "is no manifest of an appliance");
	refused("7", "is no manifest of an appliance");
	refused("{\"format\":\"brood-appliance\"}", "has version -1, not 1");
	refused("{\"format\":\"brood-appliance\",\"version\":2}",
		"has version 2, not 1");
	refused("{\"format\":\"brood\",\"version\":1}",
		"is no manifest of an appliance");
	for (int i = 0; i < 30000; i++)
		buf_text(&deep, "[");
	for (int i = 0; i < 30000; i++)
		buf_text(&deep, "]");
	CHECK(look(deep.data, deep.len, NULL, NULL) < 0);
	buf_text(&large, GOOD "}");
	while (large.len <= MANIFEST_MOST)
		buf_text(&large, "    ");
	refused(buf_string(&large), "is longer than 65536 bytes");
	/* Behind a 0 nothing is read. */
	CHECK(look(GOOD "}\0{", sizeof GOOD "}\0{" - 1, NULL, NULL) < 0);
}

TEST(what_is_missing)
{
	refused(HEAD "\"entries\":[" ENTRY "]}",
		"name, payload or entry is missing");
	refused(HEAD "\"name\":\"app\"}", "name, payload or entry is missing");
	refused(HEAD "\"name\":\"app\",\"entries\":[]}",
		"name, payload or entry is missing");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\"}]}",
		"entry a has no path");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"path\":\"a\"}]}",
		"entries.0 has no name");
	refused(HEAD "\"name\":\"app\",\"entries\":[" ENTRY ",{}]}",
		"entries.1 has no name");
	refused(HEAD "\"name\":\"app\",\"entries\":[" ENTRY ",7]}",
		"entries.1 has no name");
}

TEST(what_is_of_another_kind)
{
	refused(HEAD "\"name\":7,\"entries\":[" ENTRY "]}", "name is no text");
	refused(GOOD ",\"release\":[]}", "release is no text");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":null}]}",
		"entries.0.name is no text");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\","
		     "\"path\":{}}]}",
		"entries.0.path is no text");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\","
		     "\"path\":\"a\",\"arguments\":[\"x\",1]}]}",
		"entries.0.arguments.1 is no text");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\","
		     "\"path\":\"a\",\"libraries\":[1]}]}",
		"entries.0.libraries.0 is no text");
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\","
		     "\"path\":\"a\",\"warm\":\"yes\"}]}",
		"entries.0.warm is neither true nor false");
	refused(GOOD ",\"environment\":[\"A=b\",false]}",
		"environment.1 is no text");
	refused(GOOD ",\"ports\":[80,\"x\"]}", "\"port \"x\"\" is wrong");
	refused(GOOD ",\"ports\":[80.5]}", "\"port 80.5\" is wrong");
	refused(GOOD ",\"ports\":[true]}", "\"port true\" is wrong");
	refused(GOOD ",\"ports\":[-1]}", "\"port -1\" is wrong");
	refused(GOOD ",\"ports\":[65536]}", "\"port 65536\" is wrong");
}

static void name_refused(const char *name, const char *words)
{
	auto_buf struct buf text = { 0 };

	buf_format(&text, HEAD "\"name\":\"%s\",\"entries\":[" ENTRY "]}",
		   name);
	refused(buf_string(&text), words);
}

static void path_refused(const char *path, const char *words)
{
	auto_buf struct buf text = { 0 };

	buf_format(&text,
		   HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\","
			"\"path\":\"%s\"}]}",
		   path);
	refused(buf_string(&text), words);
}

TEST(names_and_paths)
{
	name_refused("../../etc", "\"name ../../etc\" is wrong");
	name_refused("a/b", "\"name a/b\" is wrong");
	name_refused("", "\"name \" is wrong");
	name_refused(".host", "\"name .host\" is wrong");
	name_refused("a\\nb",
		     "name: too long, or with characters that are none");
	name_refused("a\\u001b[0m",
		     "name: too long, or with characters that are none");
	name_refused("a\\u0000b", "name is no text");
	path_refused("/bin/sh", "\"path /bin/sh\" is wrong");
	path_refused("../bin/sh", "\"path ../bin/sh\" is wrong");
	path_refused("a/../../b", "\"path a/../../b\" is wrong");
	path_refused("a\\nargument x",
		     "path: too long, or with characters that are none");
}

TEST(kinds_that_are_none)
{
	refused(HEAD "\"name\":\"app\",\"entries\":[{\"name\":\"a\","
		     "\"kind\":\"kernel\",\"path\":\"a\"}]}",
		"\"kind kernel\" is wrong");
}

static void entries(int count, struct buf *text)
{
	buf_text(text, HEAD "\"name\":\"app\",\"entries\":[");
	for (int i = 0; i < count; i++)
		buf_format(text, "%s{\"name\":\"e%d\",\"path\":\"a\"}",
			   i ? "," : "", i);
	buf_text(text, "]}");
}

TEST(so_many_entries)
{
	auto_record struct record record = { 0 };
	auto_buf struct buf most = { 0 }, more = { 0 };

	entries(RECORD_ENTRIES, &most);
	CHECK_INT(look(most.data, most.len, &record, NULL), 0);
	CHECK_INT(record.entry_count, RECORD_ENTRIES);
	entries(RECORD_ENTRIES + 1, &more);
	refused(buf_string(&more), "more than 32 entries");
	refused(HEAD "\"name\":\"app\",\"entries\":[" ENTRY "," ENTRY "]}",
		"\"entry a\" is wrong");
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* What a program needs beside its payload. */
#include "appliance/need.h"
#include "lib/apps.h"
#include <stdlib.h>

static const struct context context = { .answer_ms = 5000,
					.deadline_ms = 20000 };
static struct record_entry entry;

static void start(void)
{
	apps_start();
	entry = (struct record_entry){ .name = "tool", .path = "tool" };
	CHECK_INT(mkdir(apps_in("root"), 0755), 0);
}

static int in_order(const void *one, const void *other)
{
	return strcmp(*(char *const *)one, *(char *const *)other);
}

/* "|NAME", or "|NAME=PLACE", of each. */
static void say_folders(const char *at, struct buf *said)
{
	char *word[16];
	size_t count = 0;

	for (; at && *at && count < 16; at += strlen(at) + 1) {
		const char *name = at;

		at += strlen(at) + 1;
		word[count++] = strcmp(name, at) == 0
					? file_format("|%s", name)
					: file_format("|%s=%s", name, at);
	}
	qsort(word, count, sizeof *word, in_order);
	for (size_t i = 0; i < count; i++) {
		buf_text(said, word[i]);
		free(word[i]);
	}
}

/* The interpreter, "+" where the payload has it, and the folders. */
static void needs(const char *wanted)
{
	auto_buf struct buf said = { 0 };
	struct err err = { 0 };
	struct need need;

	if (need_read(&context, apps_in("root"), &entry, 20000, &need, &err) <
	    0)
		buf_text(&said, err.text);
	buf_format(&said, "%s%s", need.interpreter ? need.interpreter : "",
		   need.has_it ? "+" : "");
	say_folders(need.folders, &said);
	CHECK_TEXT(buf_string(&said), wanted);
	need_fini(&need);
}

static void linked(const char *to, const char *name)
{
	const char *path = apps_in("root/%s", name);

	unlink(path);
	CHECK_INT(symlink(to, path), 0);
}

TEST(a_script)
{
	start();
	apps_put(apps_in("root/tool"), "#!/bin/sh -e\necho\n", 0755);
	needs("/bin/sh");
	apps_put(apps_in("root/tool"), "#! \t/bin/sh", 0755);
	needs("/bin/sh");
	apps_put(apps_in("root/tool"), "#!", 0755);
	needs("");
	apps_put(apps_in("root/tool"), "x", 0755);
	needs("");
	apps_end();
}

TEST(what_the_payload_has)
{
	start();
	apps_put(apps_in("root/tool"), "#!/lib64/ld -e\n", 0755);
	CHECK_INT(mkdir(apps_in("root/usr"), 0755), 0);
	needs("/lib64/ld|usr");
	CHECK_INT(mkdir(apps_in("root/usr/lib64"), 0755), 0);
	needs("/lib64/ld|lib64=usr/lib64|usr");
	apps_put(apps_in("root/usr/lib64/ld"), "x", 0755);
	needs("/lib64/ld+|lib64=usr/lib64|usr");
	/* With the link that systems have it is one of its own. */
	linked("usr/lib64", "lib64");
	needs("/lib64/ld+|lib64=usr/lib64|usr");
	CHECK_INT(rename(apps_in("root/usr"), apps_in("root/other")), 0);
	needs("/lib64/ld|other");
	/* Those of ours, and files, are none. */
	CHECK_INT(mkdir(apps_in("root/.brood"), 0755), 0);
	apps_put(apps_in("root/file"), "x", 0644);
	needs("/lib64/ld|other");
	entry.loader = "lib64/ld";
	needs("|other");
	apps_end();
}

/* On this host these are folders. */
TEST(links_that_lead_out)
{
	static const char *const out[] = { "/etc",
					   "/",
					   "../../..",
					   "usr/..",
					   "usr/../../root/usr",
					   "/proc/self/root" };

	start();
	apps_put(apps_in("root/tool"), "#!/lib64/ld -e\n", 0755);
	CHECK_INT(mkdir(apps_in("root/usr"), 0755), 0);
	for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
		linked(out[i], "lib64");
		needs("/lib64/ld|usr");
	}
	/* Nor does usr/NAME lead out, or usr. */
	linked("../../..", "usr/lib64");
	needs("/lib64/ld|usr");
	linked("/etc", "usr/lib64");
	needs("/lib64/ld|usr");
	CHECK_INT(unlink(apps_in("root/usr/lib64")), 0);
	CHECK_INT(rmdir(apps_in("root/usr")), 0);
	CHECK_INT(unlink(apps_in("root/lib64")), 0);
	linked("/usr", "usr");
	apps_put(apps_in("root/tool"), "#!/usr/bin/env\n", 0755);
	needs("/usr/bin/env");
	linked("..", "usr");
	needs("/usr/bin/env");
	apps_end();
}

TEST(links_within)
{
	start();
	apps_put(apps_in("root/tool"), "#!/lib64/ld -e\n", 0755);
	CHECK_INT(mkdir(apps_in("root/usr"), 0755), 0);
	CHECK_INT(mkdir(apps_in("root/usr/lib"), 0755), 0);
	linked("usr/lib", "lib");
	linked("lib", "usr/lib64");
	needs("/lib64/ld|lib64=usr/lib|lib=usr/lib|usr");
	/* The file itself may be a link from the container's root. */
	apps_put(apps_in("root/usr/lib/ld.2"), "x", 0755);
	linked("/lib/ld.2", "usr/lib/ld");
	needs("/lib64/ld+|lib64=usr/lib|lib=usr/lib|usr");
	linked("/dev/null", "usr/lib/ld");
	needs("/lib64/ld|lib64=usr/lib|lib=usr/lib|usr");
	apps_end();
}

TEST(an_entry_that_is_no_file)
{
	static const enum record_kind kinds[] = { RECORD_PROGRAM, RECORD_WASM };

	start();
	apps_put(apps_in("outside"), "#!/bin/sh\n", 0755);
	apps_put(apps_in("root/file"), "#!/bin/sh\n", 0755);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		entry.kind = kinds[i];
		linked("file", "tool");
		needs(entry.kind == RECORD_PROGRAM ? "/bin/sh" : "");
		linked("/dev/null", "tool");
		needs("tool leads out of its payload");
		linked("../outside", "tool");
		needs("tool leads out of its payload");
		linked(apps_in("root/file"), "tool");
		needs("tool leads out of its payload");
		CHECK_INT(unlink(apps_in("root/tool")), 0);
		CHECK_INT(mkfifo(apps_in("root/tool"), 0644), 0);
		needs("tool is no file");
		CHECK_INT(unlink(apps_in("root/tool")), 0);
	}
	apps_end();
}

TEST(a_program)
{
	auto_buf struct buf self = { 0 };

	start();
	CHECK(file_read("/proc/self/exe", &self, (size_t)1 << 30, NULL) >= 0);
	CHECK_INT(file_replace(apps_in("root/tool"), self.data, self.len, 0755,
			       NULL),
		  0);
	needs("/lib64/ld-linux-x86-64.so.2");
	self.data[4] = 0;
	CHECK_INT(file_replace(apps_in("root/tool"), self.data, self.len, 0755,
			       NULL),
		  0);
	needs("");
	apps_end();
}

TEST(byte_code)
{
	start();
	entry.kind = RECORD_WASM;
	apps_put(apps_in("root/tool"), "any bytes", 0644);
	needs("");
	apps_end();
}

TEST(what_is_not_there)
{
	struct err err = { 0 };
	struct need need;

	start();
	CHECK(need_read(&context, apps_in("root"), &entry, 20000, &need, &err) <
	      0);
	CHECK(strstr(err.text, "tool: No such file") != NULL);
	err_clear(&err);
	need_fini(&need);
	apps_end();
}

TEST_MAIN

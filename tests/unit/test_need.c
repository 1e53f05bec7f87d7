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
	for (const char *at = need.folders; at && *at; at += strlen(at) + 1)
		buf_format(&said, "|%s", at);
	CHECK_TEXT(buf_string(&said), wanted);
	need_fini(&need);
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
	needs("/lib64/ld|usr|usr/lib64");
	apps_put(apps_in("root/usr/lib64/ld"), "x", 0755);
	needs("/lib64/ld+|usr|usr/lib64");
	/* With the link that systems have it is one of its own. */
	CHECK_INT(symlink("usr/lib64", apps_in("root/lib64")), 0);
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
	CHECK_INT(need_read(&context, apps_in("root"), &entry, 0, &need, &err),
		  -ETIME);
	need_fini(&need);
	apps_end();
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts: written and read, refused, and found by the path of a start. */
#include "appliance/context.h"
#include "appliance/lines.h"
#include "base/fd.h"
#include "base/file.h"
#include "test.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD                                                             \
	"name app\nshare /s\nshare-id 1\nhost 2\nmounts /m\nwait-ms 1\n" \
	"answer-ms 2\ndeadline-ms 3\nrejoin-ms 4\n"

static char folder[64];

static char *in(const char *name)
{
	static char path[4][4096];
	static int next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
	return path[next];
}

static void put(const char *name, const char *text, size_t len)
{
	CHECK_INT(file_replace(in(name), text, len, 0644, NULL), 0);
}

static void start(void)
{
	snprintf(folder, sizeof folder, "%s/context.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	CHECK(mkdtemp(folder) != NULL);
}

static void end(void)
{
	CHECK_INT(file_remove_tree(folder, NULL), 0);
}

static void put_lines(const char *lines)
{
	auto_buf struct buf text = { 0 };

	lines_start(&text, CONTEXT_HEAD);
	buf_text(&text, lines);
	CHECK_INT(lines_end(&text, NULL), 0);
	put("context", text.data, text.len);
}

static void refused(const char *lines, const char *words)
{
	struct context context;
	auto_buf struct buf whole = { 0 };
	struct err err = { 0 };

	put_lines(lines);
	buf_format(&whole, "%s/context: %s", folder, words);
	CHECK_INT(context_read(folder, &context, &err), -EINVAL);
	CHECK_TEXT(err.text, buf_string(&whole));
	CHECK(!context.text && !context.folder);
}

TEST(what_is_written_is_read)
{
	const struct context made = {
		.name = "app",
		.share = "/share with spaces",
		.share_id = "id",
		.host = "host",
		.mounts = "/mounts",
		.copy = "/copy",
		.brood = "/usr/bin/brood",
		.wait_ms = 1,
		.answer_ms = 2,
		.deadline_ms = 3,
		.rejoin_ms = 0,
		.path = { { "a", "/bin/a b", "/bin/.a b.brood-saved" },
			  { "b", "/bin/b", NULL } },
		.path_count = 2,
	};
	auto_context struct context context = { 0 };
	auto_buf struct buf text = { 0 };
	struct helper_limits limits;
	struct err err = { 0 };

	start();
	CHECK_INT(context_write(&made, &text, &err), 0);
	put("context", text.data, text.len);
	CHECK_INT(context_read(folder, &context, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_TEXT(context.folder, folder);
	CHECK_TEXT(context.name, "app");
	CHECK_TEXT(context.share, "/share with spaces");
	CHECK_TEXT(context.copy, "/copy");
	CHECK(!context.appliance && !context.hatch);
	CHECK_TEXT(context.brood, "/usr/bin/brood");
	CHECK_INT(context.rejoin_ms, 0);
	CHECK_INT(context.path_count, 2);
	CHECK_TEXT(context.path[0].path, "/bin/a b");
	CHECK_TEXT(context.path[0].saved, "/bin/.a b.brood-saved");
	CHECK_TEXT(context.path[1].entry, "b");
	CHECK(!context.path[1].saved);
	context_limits(&context, &limits);
	CHECK_INT(limits.total_ms, 3);
	CHECK_INT(limits.silent_ms, 2);
	end();
}

TEST(a_path_of_two_lines_is_not_written)
{
	struct context context = { .name = "a", .share = "/a\nshare /b" };
	auto_buf struct buf text = { 0 };
	struct err err = { 0 };

	CHECK_INT(context_write(&context, &text, &err), -EINVAL);
	CHECK_TEXT(err.text,
		   "share: too long, or with characters that are none");
}

TEST(what_is_missing_is_told)
{
	start();
	refused("name app\nshare /s\nmounts /m\nhost h\n",
		"name, share or host is missing");
	refused("share /s\nmounts /m\nhost h\nshare-id i\n",
		"name, share or host is missing");
	refused("name ..\nshare /s\nmounts /m\nhost h\nshare-id i\n",
		"name, share or host is missing");
	refused("name app\nshare s\nmounts /m\nhost h\nshare-id i\n",
		"share or mounts is no absolute path");
	refused("name app\nshare /s\nhost h\nshare-id i\n",
		"share or mounts is no absolute path");
	end();
}

TEST(each_line_that_is_wrong_is_told)
{
	auto_buf struct buf many = { 0 };

	start();
	refused(GOOD "colour red\n", "\"colour\" is not known");
	refused(GOOD "wait-ms x\n", "\"wait-ms\" is not known");
	refused(GOOD "wait-ms 2147483648\n", "\"wait-ms\" is not known");
	refused(GOOD "path a\n", "\"path a\" is wrong");
	refused(GOOD "path a b\n", "\"path a b\" is wrong");
	refused(GOOD "path ../x /b\n", "\"path ../x\" is wrong");
	refused(GOOD "saved /x\n", "\"saved\" is not known");
	refused(GOOD "path a /b\nsaved x\n", "\"saved\" is not known");
	buf_text(&many, GOOD);
	for (int i = 0; i <= CONTEXT_PATHS; i++)
		buf_format(&many, "path e%d /x\n", i);
	refused(buf_string(&many), "\"path e32 /x\" is wrong");
	end();
}

TEST(files_of_others_are_not_read)
{
	struct context context;
	struct err err = { 0 };

	start();
	CHECK_INT(context_read(folder, &context, &err), -ENOENT);
	put_lines(GOOD);
	CHECK_INT(chmod(in("context"), 0664), 0);
	CHECK_INT(context_read(folder, &context, &err), -EINVAL);
	CHECK(strstr(err.text, "can be written by its group"));
	CHECK_INT(chmod(in("context"), 0646), 0);
	CHECK_INT(context_read(folder, &context, &err), -EINVAL);
	CHECK(strstr(err.text, "can be written by anybody"));
	CHECK_INT(rename(in("context"), in("other")), 0);
	CHECK_INT(chmod(in("other"), 0644), 0);
	CHECK_INT(symlink("other", in("context")), 0);
	CHECK_INT(context_read(folder, &context, &err), -ELOOP);
	CHECK_INT(unlink(in("context")), 0);
	CHECK_INT(mkfifo(in("context"), 0644), 0);
	CHECK_INT(context_read(folder, &context, &err), -EINVAL);
	end();
}

TEST(an_empty_one_and_a_huge_one)
{
	struct context context;
	struct err err = { 0 };
	char *huge = calloc(1, LINES_BYTES_MOST + 2);

	start();
	put("context", "", 0);
	CHECK_INT(context_read(folder, &context, &err), -EINVAL);
	CHECK(strstr(err.text, "is empty") || strstr(err.text, "begin"));
	memcpy(huge, CONTEXT_HEAD "\n", sizeof CONTEXT_HEAD);
	put("context", huge, LINES_BYTES_MOST + 2);
	CHECK_INT(context_read(folder, &context, &err), -EINVAL);
	CHECK(strstr(err.text, "is damaged"));
	free(huge);
	end();
}

TEST(its_record)
{
	struct context context = { .folder = folder };
	struct record record;
	struct err err = { 0 };

	start();
	CHECK_INT(context_record(&context, &record, &err), -ENOENT);
	put("record", "x", 1);
	CHECK_INT(context_record(&context, &record, &err), -EINVAL);
	CHECK(strstr(err.text, "/record: does not begin with"));
	end();
}

/* ---- found by the path of a start ---------------------------------------------- */

static void app(void)
{
	CHECK_INT(mkdir(in("apps"), 0755), 0);
	CHECK_INT(mkdir(in("apps/app"), 0755), 0);
	CHECK_INT(mkdir(in("apps/app/bin"), 0755), 0);
	CHECK_INT(symlink("../../.start/x", in("apps/app/bin/tool")), 0);
	put("apps/app/context", "", 0);
}

static void found(const char *path)
{
	auto_free char *at = NULL;
	auto_free char *entry = NULL;
	struct err err = { 0 };

	CHECK_INT(context_of(path, &at, &entry, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_TEXT(entry, "tool");
	CHECK(at && strcmp(at + strlen(at) - 8, "apps/app") == 0);
}

static void not_found(const char *path)
{
	auto_free char *at = NULL;
	auto_free char *entry = NULL;
	struct err err = { 0 };

	CHECK_INT(context_of(path, &at, &entry, &err), -EINVAL);
	CHECK(strstr(err.text, "leads to no installed application"));
	CHECK(!at && !entry);
}

TEST(chains_of_links_are_gone_along)
{
	char name[32], to[32];

	start();
	app();
	found(in("apps/app/bin/tool"));
	CHECK_INT(symlink(in("apps/app/bin/tool"), in("absolute")), 0);
	found(in("absolute"));
	CHECK_INT(symlink("apps/app/bin/tool", in("relative")), 0);
	found(in("relative"));
	CHECK_INT(symlink("../relative", in("apps/up")), 0);
	found(in("apps/up"));
	CHECK_INT(symlink("apps/up", in("link0")), 0);
	for (int i = 1; i < 20; i++) {
		snprintf(name, sizeof name, "link%d", i);
		snprintf(to, sizeof to, "link%d", i - 1);
		CHECK_INT(symlink(to, in(name)), 0);
	}
	found(in("link12"));
	not_found(in("link13"));
	end();
}

TEST(a_relative_path_is_one_from_here)
{
	char *here = getcwd(NULL, 0);

	start();
	app();
	CHECK_INT(symlink("apps/app/bin/tool", in("relative")), 0);
	CHECK_INT(chdir(folder), 0);
	found("relative");
	found("./relative");
	found("apps/app/bin/tool");
	CHECK_INT(chdir(here), 0);
	free(here);
	end();
}

TEST(what_leads_to_none)
{
	start();
	app();
	not_found("");
	not_found("/");
	not_found("/bin/sh");
	not_found(in("nothing"));
	CHECK_INT(symlink("loop", in("loop")), 0);
	not_found(in("loop"));
	CHECK_INT(symlink("two", in("one")), 0);
	CHECK_INT(symlink("one", in("two")), 0);
	not_found(in("one"));
	CHECK_INT(symlink("nowhere/bin/tool", in("dangling")), 0);
	not_found(in("dangling"));
	CHECK_INT(unlink(in("apps/app/context")), 0);
	not_found(in("apps/app/bin/tool"));
	end();
}

/* ---- state and places ------------------------------------------------------------ */

TEST(state_comes_and_goes)
{
	struct context context = { .folder = folder };
	struct context_state state;
	char large[2000];

	start();
	context_state(&context, &state);
	CHECK(!state.independent);
	CHECK_INT(context_set_state(&context, "the share: is silent", NULL), 0);
	context_state(&context, &state);
	CHECK(state.independent);
	CHECK(state.since_s > 1600000000);
	CHECK_TEXT(state.reason, "the share: is silent");
	CHECK_INT(context_set_state(&context, "", NULL), 0);
	context_state(&context, &state);
	CHECK(state.independent);
	CHECK_TEXT(state.reason, "");
	CHECK_INT(context_set_state(&context, NULL, NULL), 0);
	CHECK_INT(context_set_state(&context, NULL, NULL), 0);
	context_state(&context, &state);
	CHECK(!state.independent);
	put("state", "dependent", 9);
	context_state(&context, &state);
	CHECK(!state.independent);
	memset(large, 'x', sizeof large);
	memcpy(large, "independent 7 ", 14);
	put("state", large, 1000);
	context_state(&context, &state);
	CHECK(state.independent);
	CHECK_INT(state.since_s, 7);
	CHECK_INT(strlen(state.reason), sizeof state.reason - 1);
	put("state", "independent 7 a\033[2J\tb\177\nc", 22);
	context_state(&context, &state);
	CHECK_TEXT(state.reason, "a?[2J?b?");
	put("state", "independent -9223372036854775808 a", 34);
	context_state(&context, &state);
	CHECK(!state.independent);
	end();
}

TEST(where_contexts_are)
{
	struct err err = { 0 };
	char *text;

	setenv("BROOD_APPS", "/apps", 1);
	text = context_root(&err);
	CHECK_TEXT(text, "/apps");
	free(text);
	text = context_mounts("/apps", &err);
	CHECK_TEXT(text, "/apps/.mounts");
	free(text);
	text = context_folder("/apps", "app", &err);
	CHECK_TEXT(text, "/apps/app");
	free(text);
	CHECK(!context_folder("/apps", "../app", &err));
	CHECK_TEXT(err.text, "\"../app\" is no name of an application");
	unsetenv("BROOD_APPS");
}

TEST(what_this_host_calls_itself)
{
	char first[33], again[33];
	struct err err = { 0 };

	start();
	CHECK_INT(context_host(folder, first, &err), 0);
	CHECK_INT(strspn(first, "0123456789abcdef"), 32);
	CHECK_INT(context_host(folder, again, &err), 0);
	CHECK_TEXT(again, first);
	put(".host", "x", 1);
	CHECK_INT(context_host(folder, again, &err), -EINVAL);
	CHECK(strstr(err.text, "is damaged; remove it"));
	put(".host", "0123456789abcdef0123456789abcdef\n", 33);
	CHECK_INT(context_host(folder, again, &err), -EFBIG);
	end();
}

TEST_MAIN

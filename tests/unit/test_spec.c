/* SPDX-License-Identifier: Apache-2.0 */
/* The spec file: what is written is read again, and nothing that somebody
 * else could have put there is taken. */
#include "launch/spec.h"
#include "test.h"
#include <errno.h>
#include <unistd.h>

/* A spec file from lines that end with '|' in place of the 0 byte. */
static int parse(const char *text, struct spec *spec, struct err *err)
{
	size_t len = strlen(text);
	char *copy = strdup(text);
	int rc;

	for (size_t i = 0; i < len; i++)
		if (copy[i] == '|')
			copy[i] = 0;
	spec_init(spec);
	rc = spec_parse(spec, copy, len, err);
	free(copy);
	return rc;
}

static void check_refused(const char *text, const char *why)
{
	auto_spec struct spec spec;
	struct err err = { 0 };
	int rc = parse(text, &spec, &err);

	if (rc >= 0 || !strstr(err.text, why)) {
		printf("#   \"%s\": %d \"%s\", wanted \"%s\"\n", text, rc,
		       err.text, why);
		CHECK(!"refused with its reason");
	}
}

#define GOOD "brood-spec=1|program=/bin/true|argument=true|stop=main|"

TEST(defaults)
{
	auto_spec struct spec spec;

	spec_init(&spec);
	CHECK_INT(spec.pool, -1);
	CHECK_INT(spec.idle_ms, 600000);
	CHECK_INT(spec.ready_ms, 20000);
	CHECK_INT(spec.refresh_ms, 0);
	CHECK_INT(spec.refresh_launches, 0);
	CHECK_INT(spec.stop, SPEC_STOP_MAIN);
}

TEST(program_is_made_whole)
{
	auto_spec struct spec spec;
	struct err err = { 0 };

	spec_init(&spec);
	CHECK_INT(spec_set_program(&spec, "sh", &err), 0);
	CHECK(spec.program && spec.program[0] == '/');
	CHECK_TEXT(spec.argv[0], "sh");
	CHECK_INT(spec.argc, 1);
	CHECK_INT(spec_set_program(&spec, "/no/such/program", &err), -ENOENT);
	CHECK_INT(spec_set_program(&spec, "no-such-program-xyz", &err),
		  -ENOENT);
	CHECK_INT(spec_set_program(&spec, "", &err), -EINVAL);
}

TEST(stops)
{
	auto_spec struct spec spec;
	auto_buf struct buf room = { 0 };
	struct err err = { 0 };
	char here[1024], want[1100];

	spec_init(&spec);
	CHECK_INT(spec_set_stop(&spec, "stdin", &err), 0);
	CHECK_TEXT(spec_stop_words(&spec, &room), "stdin");
	CHECK_INT(spec_set_stop(&spec, "ready", &err), 0);
	CHECK_TEXT(spec_stop_words(&spec, &room), "ready");
	CHECK_INT(spec_set_stop(&spec, "open:/etc/passwd", &err), 0);
	CHECK_TEXT(spec_stop_words(&spec, &room), "open:/etc/passwd");
	CHECK_INT(spec_set_stop(&spec, "open:x.py", &err), 0);
	CHECK(getcwd(here, sizeof(here)) != NULL);
	snprintf(want, sizeof(want), "open:%s/x.py", here);
	CHECK_TEXT(spec_stop_words(&spec, &room), want);
	CHECK_INT(spec_set_stop(&spec, "open:", &err), -EINVAL);
	CHECK_INT(spec_set_stop(&spec, "later", &err), -EINVAL);
	CHECK_INT(spec_set_stop(&spec, "main", &err), 0);
	CHECK_TEXT(spec_stop_words(&spec, &room), "main");
}

TEST(written_and_read)
{
	static char *const words[] = { (char *)"-c", (char *)"a=b\nc",
				       (char *)"" };
	auto_spec struct spec spec, copy;
	auto_buf struct buf text = { 0 }, again = { 0 };
	struct err err = { 0 };

	spec_init(&spec);
	spec_init(&copy);
	CHECK_INT(spec_set_program(&spec, "/bin/sh", &err), 0);
	CHECK_INT(spec_set_arguments(&spec, 3, words, &err), 0);
	CHECK_INT(spec_set_stop(&spec, "open:/x y", &err), 0);
	CHECK_INT(spec_add_variable(&spec, "A=b=c", &err), 0);
	spec.name = strdup("shell");
	spec.pool = 7;
	spec.refresh_ms = 1234;
	spec.refresh_launches = 99;
	spec.idle_ms = 0;
	spec.hold = true;
	CHECK_INT(spec_write(&spec, &text), 0);
	CHECK_INT(spec_parse(&copy, text.data, text.len, &err), 0);
	CHECK_TEXT(copy.name, "shell");
	CHECK_TEXT(copy.argv[2], "a=b\nc");
	CHECK_TEXT(copy.argv[3], "");
	CHECK_INT(copy.argc, 4);
	CHECK(copy.argv[4] == NULL);
	CHECK_INT(copy.pool, 7);
	CHECK_TEXT(copy.environment[0], "A=b=c");
	CHECK(copy.hold);
	CHECK_INT(spec_write(&copy, &again), 0);
	CHECK_INT(again.len, text.len);
	CHECK(!memcmp(again.data, text.data, text.len));
}

TEST(hostile_files)
{
	check_refused("", "version");
	check_refused("brood-spec=2|program=/bin/true|", "version");
	check_refused("program=/bin/true|brood-spec=1|", "version");
	check_refused(GOOD "pool=1", "end");
	check_refused("brood-spec=1|", "no program");
	check_refused("brood-spec=1|program=/bin/true|", "argument");
	check_refused("brood-spec=1|program=true|argument=x|", "whole path");
	check_refused(GOOD "program=/bin/false|", "twice");
	check_refused(GOOD "stop=main|", "twice");
	check_refused(GOOD "stop=open:x|", "twice");
	check_refused("brood-spec=1|stop=open:x|", "whole path");
	check_refused(GOOD "|", "unknown");
	check_refused(GOOD "what=1|", "unknown");
	check_refused(GOOD "poo=1|", "unknown");
	check_refused(GOOD "=1|", "unknown");
	check_refused(GOOD "pool=-2|", "not in");
	check_refused(GOOD "pool=65|", "not in");
	check_refused(GOOD "pool=|", "not in");
	check_refused(GOOD "pool= 1|", "not in");
	check_refused(GOOD "pool=1x|", "not in");
	check_refused(GOOD "pool=99999999999999999999|", "not in");
	check_refused(GOOD "ready_ms=0|", "not in");
	check_refused(GOOD "hold=2|", "0 or 1");
	check_refused(GOOD "name=a/b|", "path");
	check_refused(GOOD "name=..|", "begins");
	check_refused(GOOD "name=-x|", "begins");
	check_refused(GOOD "name=|", "letters");
	check_refused(GOOD "name=a b|", "space");
	check_refused(GOOD "environment=X|", "NAME=VALUE");
	check_refused(GOOD "environment==X|", "NAME=VALUE");
	check_refused(GOOD "environment=LD_PRELOAD=/x|", "set by the keeper");
	check_refused(GOOD "environment=BROOD_SHIM=3:main|",
		      "set by the keeper");
}

TEST(every_cut_is_refused_or_whole)
{
	static const char good[] = "brood-spec=1\0program=/bin/true\0"
				   "argument=true\0stop=main\0pool=3";
	int fine = 0;

	for (size_t len = 0; len <= sizeof(good); len++) {
		auto_spec struct spec spec;
		struct err err = { 0 };
		int rc;

		spec_init(&spec);
		rc = spec_parse(&spec, good, len, &err);
		CHECK(rc >= 0 || err.text[0]);
		fine += rc >= 0;
	}
	/* After the argument, the stop and the pool. */
	CHECK_INT(fine, 3);
}

TEST(too_many_arguments)
{
	auto_buf struct buf text = { 0 };
	auto_spec struct spec spec;
	struct err err = { 0 };

	buf_add(&text, "brood-spec=1\0program=/bin/true", 31);
	for (int i = 0; i < 1025; i++)
		buf_add(&text, "argument=x", 11);
	spec_init(&spec);
	CHECK_INT(spec_parse(&spec, text.data, text.len, &err), -E2BIG);
}

TEST_MAIN

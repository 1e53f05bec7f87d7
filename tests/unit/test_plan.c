/* SPDX-License-Identifier: Apache-2.0 */
/* Programs, words and environment of a start, as a script sees them that
 * stands in for what would be started. */
#include "appliance/plan.h"
#include "launch/key.h"
#include "lib/apps.h"
#include <sys/wait.h>

static const char script[] = "#!/bin/sh\n"
			     "for word; do printf '[%s]' \"$word\"; done\n"
			     "printf '|%s|%s' \"$A\" \"$LD_LIBRARY_PATH\"\n"
			     "exit 3\n";
static char brood[512], hatch[512];
static struct context context;
static struct record record;
static struct record_entry entry[1];

static void start(void)
{
	apps_start();
	snprintf(brood, sizeof brood, "%s", apps_in("brood"));
	snprintf(hatch, sizeof hatch, "%s", apps_in("hatch"));
	context = (struct context){ .folder = apps_folder,
				    .name = "app",
				    .brood = brood,
				    .hatch = hatch };
	record = (struct record){ .name = "app",
				  .entry = entry,
				  .entry_count = 1 };
	*entry = (struct record_entry){ .name = "tool", .path = "tool" };
	apps_put(brood, script, 0755);
	apps_put(hatch, script, 0755);
	CHECK_INT(mkdir(apps_in("root"), 0755), 0);
	apps_put(apps_in("root/tool"), script, 0755);
	apps_put(apps_in("root/loader"), script, 0755);
	setenv("XDG_CACHE_HOME", apps_in("cache"), 1);
	unsetenv("LD_LIBRARY_PATH");
	unsetenv("A");
}

/* What the script says; where R and F stand for the root and the folder. */
static void becomes(const char *text)
{
	char *const argv[] = { (char *)"typed", (char *)"x", (char *)"y z",
			       NULL };
	auto_buf struct buf said = { 0 }, wanted = { 0 };
	char root[512];
	int status, ends[2];
	pid_t pid;

	snprintf(root, sizeof root, "%s", apps_in("root"));
	CHECK_INT(pipe(ends), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct err err = { 0 };

		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		plan_become(&context, &record, entry, root, argv, &err);
		printf("failed: %s", err.text);
		fflush(stdout);
		_exit(4);
	}
	close(ends[1]);
	for (ssize_t len;
	     (len = read(ends[0], buf_room(&said, 4096), 4096)) > 0;)
		buf_used(&said, (size_t)len);
	close(ends[0]);
	waitpid(pid, &status, 0);
	for (; *text; text++) {
		if (*text == 'R')
			buf_text(&wanted, root);
		else if (*text == 'F')
			buf_text(&wanted, apps_folder);
		else
			buf_add(&wanted, text, 1);
	}
	CHECK_TEXT(buf_string(&said), buf_string(&wanted));
	CHECK_INT(WEXITSTATUS(status), *buf_string(&wanted) == 'f' ? 4 : 3);
}

TEST(a_program)
{
	start();
	becomes("[x][y z]||");
	entry->argument[0] = "first";
	entry->argument[1] = "";
	entry->argument_count = 2;
	becomes("[first][][x][y z]||");
	apps_end();
}

TEST(its_environment)
{
	start();
	record.environment[0] =
		"A=${app}:${data}:${settings}:${other}:$app:${app";
	record.environment_count = 1;
	becomes("[x][y z]|R:F/data:F/settings:${other}:$app:${app|");
	setenv("A", "before", 1);
	record.environment[0] = "A=";
	becomes("[x][y z]||");
	record.environment_count = 0;
	becomes("[x][y z]|before|");
	apps_end();
}

TEST(its_libraries)
{
	start();
	entry->libraries = "usr/lib:lib";
	becomes("[x][y z]||R/usr/lib:R/lib");
	setenv("LD_LIBRARY_PATH", "/mine", 1);
	becomes("[x][y z]||R/usr/lib:R/lib:/mine");
	unsetenv("LD_LIBRARY_PATH");
	apps_end();
}

TEST(its_own_loader)
{
	start();
	entry->loader = "loader";
	entry->argument[0] = "-B";
	entry->argument_count = 1;
	becomes("[--argv0][R/tool][R/tool][-B][x][y z]||");
	entry->libraries = "lib";
	/* Children find what the host has. */
	becomes("[--argv0][R/tool][--library-path][R/lib][R/tool][-B][x]"
		"[y z]||");
	entry->loader = "nothing";
	becomes("failed: start R/nothing: No such file or directory");
	apps_end();
}

TEST(byte_code)
{
	start();
	entry->kind = RECORD_WASM;
	entry->argument[0] = "--dir=/x";
	entry->argument_count = 1;
	becomes("[run][--in][process][--dir=/x][R/tool][x][y z]||");
	entry->kind = RECORD_DOMAIN;
	becomes("[run][--in][domain][--dir=/x][R/tool][x][y z]||");
	entry->kind = RECORD_MACHINE;
	entry->argument[0] = "tip";
	becomes("[machine][start][--store][R/tool][tip][x][y z]||");
	context.brood = NULL;
	becomes("failed: entry tool needs the command \"brood\", which this "
		"host did not have at the install");
	apps_end();
}

TEST(warm_starts)
{
	char key[17], program[512];
	const struct key_parts parts = { .program = program };

	start();
	entry->warm = true;
	becomes("[launch][R/tool][x][y z]||");
	snprintf(program, sizeof program, "%s", apps_in("root/tool"));
	CHECK_INT(key_make(&parts, key), 0);
	CHECK_INT(file_make_dirs(apps_in("cache/brood/programs/%s", key), 0755,
				 NULL),
		  0);
	apps_put(apps_in("cache/brood/programs/%s/entry", key), "", 0644);
	auto_buf struct buf wanted = { 0 };
	buf_format(&wanted,
		   "[--entry][F/cache/brood/programs/%s/entry][--program]"
		   "[R/tool][--][R/tool][x][y z]||",
		   key);
	becomes(buf_string(&wanted));
	/* Without Brood on the host it is an ordinary start. */
	context.hatch = NULL;
	becomes("[x][y z]||");
	apps_end();
}

/* For what is started instead. */
TEST(a_start_that_fails_leaves_the_environment_as_it_was)
{
	char *const argv[] = { (char *)"typed", NULL };
	struct err err = { 0 };

	start();
	setenv("A", "before", 1);
	setenv("LD_LIBRARY_PATH", "/mine", 1);
	record.environment[0] = "A=after";
	record.environment[1] = "B=new";
	record.environment_count = 2;
	entry->path = "nothing";
	entry->libraries = "lib";
	CHECK(plan_become(&context, &record, entry, apps_in("root"), argv,
			  &err) < 0);
	CHECK_TEXT(getenv("A"), "before");
	CHECK_TEXT(getenv("LD_LIBRARY_PATH"), "/mine");
	CHECK(!getenv("B"));
	entry->libraries = NULL;
	unsetenv("LD_LIBRARY_PATH");
	unsetenv("A");
	apps_end();
}

static void tells(const char *libraries, const char *wanted)
{
	const struct context inside = { .folder = (char *)"/F", .name = "app" };
	auto_told struct plan_told told;
	auto_buf struct buf said = { 0 };
	struct err err = { 0 };

	plan_tell(&inside, &record, entry, "/R", libraries, &told, &err);
	CHECK_TEXT(err.text, "");
	for (char **word = told.word; word && *word; word++)
		buf_format(&said, "[%s]", *word);
	for (char **word = told.variable; word && *word; word++)
		buf_format(&said, "|%s", *word);
	CHECK_TEXT(buf_string(&said), wanted);
}

TEST(told_for_another_root)
{
	start();
	setenv("A", "mine", 1);
	setenv("LD_LIBRARY_PATH", "/mine", 1);
	tells(NULL, "[/R/tool]");
	record.environment[0] = "A=${app}:${data}:${settings}";
	record.environment_count = 1;
	entry->argument[0] = "-B";
	entry->argument_count = 1;
	tells(NULL, "[/R/tool][-B]|A=/R:/F/data:/F/settings");
	entry->libraries = "lib";
	tells(NULL, "[/R/tool][-B]|A=/R:/F/data:/F/settings"
		    "|LD_LIBRARY_PATH=/R/lib");
	tells("/old", "[/R/tool][-B]|A=/R:/F/data:/F/settings"
		      "|LD_LIBRARY_PATH=/R/lib:/old");
	record.environment[1] = "LD_LIBRARY_PATH=/its";
	record.environment_count = 2;
	tells("/old", "[/R/tool][-B]|A=/R:/F/data:/F/settings"
		      "|LD_LIBRARY_PATH=/R/lib:/its");
	record.environment_count = 1;
	entry->loader = "loader";
	tells(NULL, "[/R/loader][--argv0][/R/tool][--library-path][/R/lib]"
		    "[/R/tool][-B]|A=/R:/F/data:/F/settings");
	entry->warm = true; /* there is no template */
	entry->loader = entry->libraries = NULL;
	tells(NULL, "[/R/tool][-B]|A=/R:/F/data:/F/settings");
	/* Who asks stays who it is. */
	CHECK_TEXT(getenv("A"), "mine");
	CHECK_TEXT(getenv("LD_LIBRARY_PATH"), "/mine");
	unsetenv("LD_LIBRARY_PATH");
	unsetenv("A");
	apps_end();
}

TEST(what_cannot_be_executed)
{
	start();
	entry->path = "nothing";
	becomes("failed: start R/nothing: No such file or directory");
	apps_put(apps_in("root/plain"), "x", 0644);
	entry->path = "plain";
	becomes("failed: start R/plain: Permission denied");
	apps_end();
}

TEST_MAIN

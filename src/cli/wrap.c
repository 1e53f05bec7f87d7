/* SPDX-License-Identifier: Apache-2.0 */
/* brood wrap and unwrap: stubs in a folder of PATH, so that the usual
 * command starts the program warm. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/cli.h"
#include "launch/elf.h"
#include "lib/stub.h"
#include "lib/where.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wrap_options {
	const char *dir;
	bool all;
};

static const struct args_option wrap_options[] = {
	{ .name = "--dir",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct wrap_options, dir),
	  .help = "folder for the stubs ($XDG_DATA_HOME/brood/bin)" },
	{ .name = NULL }
};

const struct args_verb wrap_args = {
	.name = "wrap",
	.synopsis = "[--dir DIR] PROGRAM...",
	.summary = "start programs warm by their own names",
	.text = "Puts a stub for each PROGRAM into a folder. With that folder "
		"in front in PATH, shells, make and scripts that run the "
		"program by name start it warm; nothing else changes. Files "
		"that are not stubs are never replaced.\n\n"
		"PROGRAM is a name in PATH or a path.",
	.options = wrap_options,
	.least = 1,
	.most = -1,
};

static const struct args_option unwrap_options[] = {
	{ .name = "--dir",
	  .value = "DIR",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct wrap_options, dir),
	  .help = "folder of the stubs ($XDG_DATA_HOME/brood/bin)" },
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct wrap_options, all),
	  .help = "every stub in the folder" },
	{ .name = NULL }
};

const struct args_verb unwrap_args = {
	.name = "unwrap",
	.synopsis = "[--dir DIR] PROGRAM... | --all",
	.summary = "take stubs away again",
	.text = "Removes stubs that \"brood wrap\" has made, and nothing else. "
		"The templates end by themselves when nothing is launched; "
		"\"brood stop --forget\" ends and forgets them at once.",
	.options = unwrap_options,
	.most = -1,
};

/* Absolute: it goes into PATH. */
static char *wrap_dir(const char *given, bool make, struct err *err)
{
	auto_free char *dir = given ? strdup(given) : stub_default_dir(err);
	char *real;

	if (!dir)
		return NULL;
	if (make && file_make_dirs(dir, 0755, err) < 0)
		return NULL;
	real = realpath(dir, NULL);
	if (!real)
		err_set(err, -errno, "%s", dir);
	return real;
}

/* Absolute, but with its links: by them many programs know what they are. */
static char *wrap_program(const char *word, struct err *err)
{
	char *program = stub_real_program(word, err);
	auto_free char *here = NULL;
	auto_free char *relative = NULL;

	if (!program || program[0] == '/')
		return program;
	relative = program;
	here = getcwd(NULL, 0);
	if (!here)
		err_set(err, -errno, "the current folder");
	return here ? file_join(here, relative) : NULL;
}

/* What the user has set for this program by "serve" stays. */
static int wrap_keep_known(const char *brood, struct registry_place *place,
			   struct err *err)
{
	auto_spec struct spec spec;
	int result;

	spec_init(&spec);
	result = registry_read_spec(place, &spec, err);
	if (result < 0 || spec.asked)
		return result;
	registry_place_fini(place);
	spec.asked = 1;
	return registry_enter(&spec, brood, place, err);
}

static int wrap_enter(const char *program, struct registry_place *place,
		      struct err *err)
{
	auto_spec struct spec spec = { 0 };
	auto_free char *brood = where_is("brood", err);
	struct elf_facts facts;
	int result;

	if (!brood)
		return -ENOENT;
	spec_init(&spec);
	result = spec_set_program(&spec, program, err);
	if (result >= 0)
		result = elf_check(spec.program, &facts, err);
	if (result < 0)
		return result;
	if (registry_find(spec.program, place, NULL) > 0 &&
	    wrap_keep_known(brood, place, NULL) >= 0)
		return 0;
	registry_place_fini(place);
	spec.asked = 1;
	return registry_enter(&spec, brood, place, err);
}

static int wrap_one(const char *word, const char *dir, const char *starter,
		    struct err *err)
{
	auto_place struct registry_place place = { 0 };
	auto_free char *program = wrap_program(word, err);
	int result;

	if (!program)
		return -ENOENT;
	result = wrap_enter(program, &place, err);
	if (result < 0)
		return result;
	return stub_put(dir, file_base(word), starter, place.entry, program,
			err);
}

/* Is dir in PATH, and does nothing in front of it have the name? */
static bool wrap_is_found(const char *dir, const char *name)
{
	auto_free char *path = strdup(getenv("PATH") ? getenv("PATH") : "");
	char *save = NULL;

	for (char *part = path ? strtok_r(path, ":", &save) : NULL; part;
	     part = strtok_r(NULL, ":", &save)) {
		auto_free char *real = realpath(part, NULL);
		auto_free char *file = file_join(part, name);

		if (real && strcmp(real, dir) == 0)
			return true;
		if (file && access(file, X_OK) == 0)
			return false;
	}
	return false;
}

static void wrap_say_path(const char *dir)
{
	printf("to use it, put this in your shell's profile:\n"
	       "  export PATH=\"%s:$PATH\"\n",
	       dir);
}

static int wrap_all(int count, char **words, const char *dir,
		    const char *starter)
{
	bool found = true;
	int code = 0;

	for (int i = 0; i < count; i++) {
		struct err err = { 0 };

		if (wrap_one(words[i], dir, starter, &err) < 0) {
			code = cli_fail(&err, "it is not wrapped");
			continue;
		}
		printf("wrapped %s\n", file_base(words[i]));
		found = found && wrap_is_found(dir, file_base(words[i]));
	}
	if (!found)
		wrap_say_path(dir);
	return code;
}

int wrap_run(int argc, char **argv)
{
	struct wrap_options options = { 0 };
	auto_free char *dir = NULL, *starter = NULL;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&wrap_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	starter = where_is("brood-hatch", &err);
	dir = starter ? wrap_dir(options.dir, true, &err) : NULL;
	if (!dir)
		return cli_fail(&err, NULL);
	return wrap_all(count, operands, dir, starter);
}

static int unwrap_one(const char *dir, const char *name, void *context)
{
	int *code = context;
	struct err err = { 0 };

	if (stub_remove(dir, file_base(name), &err) < 0)
		*code = cli_fail(&err, "it is left alone");
	return 0;
}

static int unwrap_words(const struct wrap_options *options, int count,
			char **words, const char *dir)
{
	struct err err = { 0 };
	int code = 0;

	if (options->all && stub_each(dir, unwrap_one, &code, &err) < 0)
		return cli_fail(&err, NULL);
	for (int i = 0; i < count; i++)
		unwrap_one(dir, words[i], &code);
	return code;
}

int unwrap_run(int argc, char **argv)
{
	struct wrap_options options = { 0 };
	auto_free char *dir = NULL;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&unwrap_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	if (options.all ? count : !count)
		return cli_wrong("unwrap takes names or --all; see \"brood "
				 "unwrap --help\"");
	dir = wrap_dir(options.dir, false, &err);
	if (!dir && err.code == -ENOENT && options.all)
		return 0;
	if (!dir)
		return cli_fail(&err, NULL);
	return unwrap_words(&options, count, operands, dir);
}

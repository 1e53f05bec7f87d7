/* SPDX-License-Identifier: Apache-2.0 */
/* brood keep FOLDER: the keeper itself, as a starter or "brood serve" starts
 * it in the background; everything else it knows from the stored spec.  It is
 * told the folder, since who started it may have another HOME than who made
 * the template, or none. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/cli.h"
#include "launch/keeper.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

struct keep_options {
	long ready_fd;
};

static const struct args_option keep_options[] = {
	{ .name = "--ready-fd",
	  .value = "FD",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct keep_options, ready_fd),
	  .help = "gets one line when the template serves or has failed" },
	{ .name = NULL }
};

const struct args_verb keep_args = {
	.name = "keep",
	.synopsis = "[--ready-fd FD] FOLDER|KEY",
	.summary = "keep the template of this folder (internal)",
	.text = "Runs the keeper of a template that has an entry, in the "
		"foreground. Started by the first launch; for a service of "
		"your own use \"brood serve --foreground\".",
	.options = keep_options,
	.least = 1,
	.most = 1,
};

/* Who waits for the first line shall not wait for nothing. */
static void keep_tell(int ready_fd, const struct err *err)
{
	auto_free char *line = file_format("%s\n", err->text);

	if (ready_fd >= 0 && line)
		fd_write_all(ready_fd, line, strlen(line), NULL);
}

/* Folders are made for a template only that there is. */
static int keep_find(const char *word, struct registry_place *place,
		     struct spec *spec, struct err *err)
{
	int result = word[0] == '/' ? registry_place_at(word, place, err)
				    : registry_place(word, false, place, err);

	if (result >= 0)
		result = registry_read_spec(place, spec, err);
	return result < 0 ? result : registry_place_make(place, err);
}

static int keep_template(const char *word, int ready_fd, struct err *err)
{
	auto_place struct registry_place place = { 0 };
	auto_spec struct spec spec;
	int result;

	spec_init(&spec);
	result = keep_find(word, &place, &spec, err);
	if (result >= 0)
		return keeper_run(&place, &spec, ready_fd, err);
	keep_tell(ready_fd, err);
	return result;
}

int keep_run(int argc, char **argv)
{
	struct keep_options options = { .ready_fd = -1 };
	struct err err = { 0 };
	char **operands;
	int count, code, result;

	if (cli_parse(&keep_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	result = keep_template(operands[0], (int)options.ready_fd, &err);
	/* Two starters may ask at once: the second keeper is not needed. */
	if (result == -EALREADY || result >= 0)
		return 0;
	return cli_fail(&err, NULL);
}

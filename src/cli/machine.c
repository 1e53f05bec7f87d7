/* SPDX-License-Identifier: Apache-2.0 */
/* brood machine: the way to its own verbs. */
#include "cli/cli.h"
#include <string.h>

static const struct args_option machine_no_options[] = { { .name = NULL } };

const struct args_verb machine_args = {
	.name = "machine",
	.synopsis = "image [OPTIONS]",
	.summary = "virtual machines of an operating system",
	.text = "image makes a small first file system for a machine; "
		"\"brood machine image --help\" tells more.",
	.options = machine_no_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

struct machine_verb {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct machine_verb machine_verbs[] = {
	{ "image", machine_image_run },
	{ NULL, NULL },
};

int machine_run(int argc, char **argv)
{
	const struct machine_verb *verb = machine_verbs;
	char **operands;
	int count, code;

	if (cli_parse(&machine_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	while (verb->name && strcmp(verb->name, operands[0]) != 0)
		verb++;
	if (!verb->name)
		return cli_wrong("no \"machine %s\"; there is image",
				 operands[0]);
	return verb->run(count, operands);
}

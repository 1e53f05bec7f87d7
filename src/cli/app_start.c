/* SPDX-License-Identifier: Apache-2.0 */
/* brood app start: an application by its name, as its start path does it. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/app.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const struct args_option start_options[] = { { .name = NULL } };

const struct args_verb app_start_args = {
	.name = "app start",
	.synopsis = "NAME[/ENTRY] [ARG...]",
	.summary = "start an installed application",
	.text = "The same as its start path does: the startup binary loads the "
		"shared application and becomes it.",
	.options = start_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

int app_start_run(int argc, char **argv)
{
	auto_context struct context context = { 0 };
	auto_record struct record record = { 0 };
	auto_free char *name = NULL;
	auto_free char *path = NULL;
	const char *entry;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_start_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	entry = strchr(operands[0], '/');
	name = strndup(operands[0], strcspn(operands[0], "/"));
	if (!name || app_context(name, &context, &err) < 0 ||
	    context_record(&context, &record, &err) < 0)
		return cli_fail(&err, "\"brood app ls\" lists what is "
				      "installed");
	path = file_format("%s/bin/%s", context.folder,
			   entry ? entry + 1 : record.entry[0].name);
	if (!path)
		return CLI_SYSTEM;
	execve(path, operands, environ);
	err_set(&err, -errno, "start %s", path);
	return cli_fail(&err, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* brood refresh: the next generation of a template takes over, at other
 * addresses; the one before ends after it. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/cli.h"
#include "domain/server_place.h"
#include "launch/keeper.h"
#include <errno.h>

enum { REFRESH_WAIT_MS = 60000 };

struct refresh_options {
	bool all;
};

static const struct args_option refresh_options[] = {
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct refresh_options, all),
	  .help = "every template that is kept now" },
	{ .name = NULL }
};

const struct args_verb refresh_args = {
	.name = "refresh",
	.synopsis = "NAME|PROGRAM... | --all",
	.summary = "replace templates by new ones at new addresses",
	.text = "Executes the program anew, waits until the new template says "
		"over its own socket that it serves, moves the public name to "
		"it, and only then ends the old one. A new template that does "
		"not get ready leaves the old one serving. No launch is lost.\n\n"
		"A module that is served in domains is read again, and new "
		"workers take its launches.",
	.options = refresh_options,
	.most = -1,
};

static int refresh_ask(const struct registry_place *place, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	auto_free char *why = NULL;
	int result =
		keeper_ask(place, "refresh", REFRESH_WAIT_MS, &answer, err);

	if (result < 0)
		return result;
	why = json_get_text(buf_string(&answer), "error");
	return why ? err_set(err, -EPROTO, "refresh: %s", why) : 0;
}

static int refresh_one(const struct registry_place *place, void *context)
{
	const struct refresh_options *options = context;
	struct err err = { 0 };
	int result = refresh_ask(place, &err);

	if (result >= 0 || (result == -ECONNREFUSED && options->all))
		return 0;
	if (result != -ECONNREFUSED)
		return cli_fail(&err, "see \"brood ps\"");
	err_set(&err, -EPROTO, "it is not kept now, so there is nothing old");
	return cli_fail(&err, "its next launch makes a new template");
}

static int refresh_served(const struct server_place *place, void *context)
{
	auto_buf struct buf answer = { 0 };
	auto_free char *why = NULL;
	struct err err = { 0 };
	int result =
		server_ask(place, "refresh", REFRESH_WAIT_MS, &answer, &err);

	(void)context;
	if (result >= 0)
		why = json_get_text(buf_string(&answer), "error");
	if (why)
		result = err_set(&err, -EPROTO, "refresh: %s", why);
	return result < 0 ? cli_fail(&err, "see \"brood ps\"") : 0;
}

int refresh_run(int argc, char **argv)
{
	struct refresh_options options = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&refresh_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	return cli_for_words(count, operands, options.all, refresh_one,
			     refresh_served, &options);
}

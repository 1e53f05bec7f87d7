/* SPDX-License-Identifier: Apache-2.0 */
/* brood stop: ends templates; what they have started goes on. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/cli.h"
#include "domain/server_place.h"
#include "launch/keeper.h"
#include <errno.h>
#include <stdio.h>

enum { STOP_WAIT_MS = 15000 };

struct stop_options {
	bool all, forget;
};

static const struct args_option stop_options[] = {
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct stop_options, all),
	  .help = "every template of this user" },
	{ .name = "--forget",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct stop_options, forget),
	  .help = "remove its image and its entry as well" },
	{ .name = NULL }
};

const struct args_verb stop_args = {
	.name = "stop",
	.synopsis = "NAME|PROGRAM... | --all",
	.summary = "end templates; their instances go on",
	.text = "Ends the keeper of a template and the template itself. "
		"Instances that run are left alone. The entry stays: the next "
		"launch may hatch from the image at once and starts the "
		"template again. With --forget nothing of it stays.\n\n"
		"What is served in domains takes no more launches; its server "
		"and workers end when those that run have ended.",
	.options = stop_options,
	.most = -1,
};

static int stop_ask(const struct registry_place *place, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	auto_free char *why = NULL;
	int result = keeper_ask(place, "stop", STOP_WAIT_MS, &answer, err);

	if (result == -ECONNREFUSED)
		return 0;
	if (result < 0)
		return result;
	why = json_get_text(buf_string(&answer), "error");
	return why ? err_set(err, -EPROTO, "%s", why) : 0;
}

static int stop_one(const struct registry_place *place, void *context)
{
	const struct stop_options *options = context;
	struct err err = { 0 };
	int result = stop_ask(place, &err);

	if (result >= 0 && options->forget)
		result = registry_remove(place, &err);
	if (result < 0)
		return cli_fail(&err, "see \"brood ps\"");
	return 0;
}

/* Nothing of it is kept but in caches. */
static int stop_served(const struct server_place *place, void *context)
{
	auto_buf struct buf answer = { 0 };
	struct err err = { 0 };
	int result = server_ask(place, "stop", STOP_WAIT_MS, &answer, &err);

	(void)context;
	return result < 0 && result != -ECONNREFUSED
		       ? cli_fail(&err, "see \"brood ps\"")
		       : 0;
}

int stop_run(int argc, char **argv)
{
	struct stop_options options = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&stop_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	return cli_for_words(count, operands, options.all, stop_one,
			     stop_served, &options);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* brood app load, rejoin and rollback: what the share has, on this host. */
#include "appliance/load.h"
#include "base/fd.h"
#include "cli/app.h"

/* Loads what the share has, and keeps its record. */
static int load_take_shared(const struct context *context, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 };
	struct err why = { 0 };
	int rc = load_shared(context, NULL, &loaded, err);

	if (rc < 0)
		return rc;
	context_set_state(context, NULL, &why);
	return install_refresh(context, &loaded, err);
}

static const struct args_option load_no_options[] = { { .name = NULL } };

const struct args_verb app_rejoin_args = {
	.name = "app rejoin",
	.synopsis = "NAME...",
	.summary = "try the share again for an independent application",
	.text = "An application whose share failed goes on from what its host "
		"has. This loads the shared one again and, when that works, "
		"makes it the one that starts; the host's own record, and a "
		"copy that is kept, become what the share has now.",
	.options = load_no_options,
	.least = 1,
	.most = -1,
};

int app_rejoin_run(int argc, char **argv)
{
	char **operands;
	int count, code;

	if (cli_parse(&app_rejoin_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	for (int i = 0; i < count; i++) {
		auto_context struct context context = { 0 };
		auto_buf struct buf line = { 0 };
		struct err err = { 0 };

		if (app_context(operands[i], &context, &err) < 0 ||
		    load_take_shared(&context, &err) < 0)
			return cli_fail(&err, NULL);
		buf_format(&line, "%s is shared\n", operands[i]);
		code = cli_print(buf_string(&line));
	}
	return code;
}

/* ---- load ------------------------------------------------------------------------------ */

struct load_words {
	bool all;
};

static const struct args_option load_options[] = {
	{ .name = "--all",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct load_words, all),
	  .help = "every installed application" },
	{ .name = NULL }
};

const struct args_verb app_load_args = {
	.name = "app load",
	.synopsis = "NAME... | --all",
	.summary = "make ready what starts would load",
	.text = "Verifies and mounts the version that the share has now, and "
		"the copy where one is kept. The first start after a boot or "
		"an upgrade does the same; but users other than the one that "
		"installed start only what is loaded, and a large payload "
		"takes its time. packaging/brood-apps.service does it at each "
		"boot.",
	.options = load_options,
	.most = -1,
};

/* One that cannot be loaded is no reason not to load the others. */
static int load_visit(const struct context *context, const char *folder,
		      const struct err *damaged, void *more)
{
	struct err err = *damaged;
	int *code = more;

	(void)folder;
	if (!err.code)
		install_load(context, &err);
	if (err.code) {
		if (context->name)
			err_wrap(&err, "%s", context->name);
		*code = cli_fail(&err, NULL);
	}
	return 0;
}

int app_load_run(int argc, char **argv)
{
	struct load_words words = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_load_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.all == (count > 0))
		return cli_wrong("names of applications, or --all");
	if (words.all && app_each(load_visit, &code, &err) < 0)
		return cli_fail(&err, NULL);
	for (int i = 0; i < count; i++) {
		auto_context struct context context = { 0 };

		if (app_context(operands[i], &context, &err) < 0)
			return cli_fail(&err, "\"brood app ls\" lists what is "
					      "installed");
		load_visit(&context, context.folder, &err, &code);
	}
	return code;
}

struct rollback_words {
	long to;
};

static const struct args_option rollback_options[] = {
	{ .name = "--to",
	  .value = "NUMBER",
	  .kind = ARGS_NUMBER,
	  .offset = offsetof(struct rollback_words, to),
	  .help = "which version (the last one with another payload)" },
	{ .name = NULL }
};

const struct args_verb app_rollback_args = {
	.name = "app rollback",
	.synopsis = "[--to NUMBER] NAME",
	.summary = "take an earlier version of an application again",
	.text = "Makes an earlier version the newest on the share: the next "
		"start on each host takes it. \"app show\" lists the versions.",
	.options = rollback_options,
	.least = 1,
	.most = 1,
};

int app_rollback_run(int argc, char **argv)
{
	auto_context struct context context = { 0 };
	auto_published struct published published = { 0 };
	struct rollback_words words = { 0 };
	auto_buf struct buf line = { 0 };
	struct publish_wish wish;
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_rollback_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (words.to < 0)
		return cli_wrong("versions are numbered from 1 on");
	if (app_context(operands[0], &context, &err) < 0)
		return cli_fail(&err, NULL);
	app_publish_wish(&context, &wish);
	if (publish_rollback(&wish, context.name, (uint64_t)words.to,
			     &published, &err) < 0)
		return cli_fail(&err, NULL);
	if (load_take_shared(&context, &err) < 0)
		cli_fail(&err, "the version counts all the same");
	buf_format(&line, "%s is version %lu now\n", context.name,
		   (unsigned long)published.version);
	return cli_print(buf_string(&line));
}

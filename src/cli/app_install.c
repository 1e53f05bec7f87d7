/* SPDX-License-Identifier: Apache-2.0 */
/* brood app install, upgrade, rollback, rejoin and uninstall: what changes
 * which version is started here, and from where. */
#include "appliance/load.h"
#include "base/fd.h"
#include "base/file.h"
#include "cli/app.h"
#include "lib/where.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- install and upgrade ------------------------------------------------------------ */

/* Of this host alone; good for a first trial, and said to be. */
static char *install_usual_share(struct err *err)
{
	auto_free char *root = context_root(err);
	char *share = NULL;

	if (root)
		share = file_format("%.*s/share",
				    (int)(file_base(root) - root - 1), root);
	if (root && !share)
		err_set(err, -ENOMEM, "find the share");
	return share;
}

static int install_here(const struct wish_words *words, const char *appliance,
			bool upgrade)
{
	auto_free char *hatch = where_is("brood-hatch", NULL);
	auto_free char *start = where_is("brood-start", NULL);
	auto_free char *brood = where_is("brood", NULL);
	auto_installed struct installed installed = { 0 };
	auto_free char *usual = NULL;
	auto_buf struct buf out = { 0 };
	struct install_wish wish;
	struct progress progress;
	struct err err = { 0 };
	int rc;

	if (wish_fill(words, appliance, upgrade, &wish, &err) < 0)
		return cli_wrong("%s", err.text);
	wish.usual_share = usual = install_usual_share(&err);
	if (!usual)
		return cli_fail(&err, NULL);
	wish.hatch = hatch;
	wish.start = start;
	wish.brood = brood;
	progress_start(&progress, upgrade ? "upgrading" : "installing");
	rc = install_appliance(&wish, &progress, &installed, &err);
	progress_end(&progress);
	if (rc < 0)
		return cli_fail(&err, NULL);
	if (installed.share_is_usual)
		buf_format(&installed.notes,
			   "shared with nobody: --share names a folder that "
			   "other hosts have too\n");
	wish_tell(&installed, words->json, &out);
	return cli_print(buf_string(&out));
}

static int install_where(const struct wish_words *words, const char *appliance,
			 bool upgrade, int argc, char **argv)
{
	if (!words->machine)
		return install_here(words, appliance, upgrade);
	if (!words->device)
		return cli_wrong("--device tells where machine %s has the "
				 "appliance, such as /dev/pmem0",
				 words->machine);
	return app_install_in(words, appliance, argc, argv);
}

static int install_run(const struct args_verb *verb, int argc, char **argv,
		       bool upgrade)
{
	struct wish_words words = WISH_WORDS;
	char **given = calloc((size_t)argc + 1, sizeof *given);
	char **operands;
	int count, code;

	if (!given)
		return CLI_SYSTEM;
	memcpy(given, argv, (size_t)argc * sizeof *given);
	if (cli_parse(verb, argc, argv, &words, &operands, &count, &code) >= 0)
		code = install_where(&words, operands[0], upgrade, argc, given);
	free(given);
	return code;
}

int app_install_run(int argc, char **argv)
{
	return install_run(&wish_install_args, argc, argv, false);
}

int app_upgrade_run(int argc, char **argv)
{
	return install_run(&wish_upgrade_args, argc, argv, true);
}

/* ---- uninstall ----------------------------------------------------------------------- */

struct uninstall_words {
	bool purge;
};

static const struct args_option uninstall_options[] = {
	{ .name = "--purge",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct uninstall_words, purge),
	  .help = "what the application has written here goes, too" },
	{ .name = NULL }
};

const struct args_verb app_uninstall_args = {
	.name = "app uninstall",
	.synopsis = "[--purge] NAME...",
	.summary = "take an application's context away",
	.text = "Start paths are again what they were before the install. "
		"What the application has written is kept, unless --purge is "
		"given. The payload stays on the share, for other hosts; "
		"\"app gc\" removes it when nobody starts it any more. What "
		"runs goes on.",
	.options = uninstall_options,
	.least = 1,
	.most = -1,
};

int app_uninstall_run(int argc, char **argv)
{
	struct uninstall_words words = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_uninstall_args, argc, argv, &words, &operands,
		      &count, &code) < 0)
		return code;
	for (int i = 0; i < count; i++) {
		auto_buf struct buf notes = { 0 };
		struct err err = { 0 };

		if (install_remove(operands[i], words.purge, &notes, &err) < 0)
			return cli_fail(&err, "\"brood app ls\" lists what is "
					      "installed");
		code = cli_print(buf_string(&notes));
	}
	return code;
}

/* ---- what the share has now ------------------------------------------------------------ */

/* Loads what the share has, and keeps its record. */
static int install_take_shared(const struct context *context, struct err *err)
{
	auto_loaded struct loaded loaded = { 0 };
	struct err why = { 0 };
	int rc = load_shared(context, NULL, &loaded, err);

	if (rc < 0)
		return rc;
	context_set_state(context, NULL, &why);
	return install_refresh(context, &loaded, err);
}

static const struct args_option install_no_options[] = { { .name = NULL } };

const struct args_verb app_rejoin_args = {
	.name = "app rejoin",
	.synopsis = "NAME...",
	.summary = "try the share again for an independent application",
	.text = "An application whose share failed goes on from what its host "
		"has. This loads the shared one again and, when that works, "
		"makes it the one that starts; the host's own record, and a "
		"copy that is kept, become what the share has now.",
	.options = install_no_options,
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
		    install_take_shared(&context, &err) < 0)
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
	if (install_take_shared(&context, &err) < 0)
		cli_fail(&err, "the version counts all the same");
	buf_format(&line, "%s is version %lu now\n", context.name,
		   (unsigned long)published.version);
	return cli_print(buf_string(&line));
}

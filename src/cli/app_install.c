/* SPDX-License-Identifier: Apache-2.0 */
/* brood app install and upgrade: an appliance becomes context on this host,
 * or in a machine of ours. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/app.h"
#include "lib/where.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

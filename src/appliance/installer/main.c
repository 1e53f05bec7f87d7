/* SPDX-License-Identifier: Apache-2.0 */
/* The universal software installer, as each appliance has it: a static
 * program that needs nothing of Brood on the host.  It runs wherever the
 * appliance and the share can be reached, in a machine too.	CLAIM 4.6 */
#include "appliance/wish.h"
#include "base/fd.h"
#include "base/process.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INSTALLER_USAGE = 100, INSTALLER_SYSTEM = 111 };

struct remove_words {
	bool purge;
};
static const struct args_option remove_options[] = {
	{ .name = "--purge",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct remove_words, purge),
	  .help = "what the application has written goes, too" },
	{ .name = NULL }
};
static const struct args_verb remove_args = {
	.name = "uninstall",
	.synopsis = "[--purge] NAME",
	.summary = "take an application's context away",
	.text = "Start paths are again what they were before the install.",
	.options = remove_options,
	.least = 1,
	.most = 1,
};

static int installer_fail(const struct err *err, int code)
{
	fprintf(stderr, "installer: %s\n", err->text);
	return code;
}

static int installer_say(const struct buf *out)
{
	return fd_write_all(1, buf_string(out), out->len, NULL) < 0
		       ? INSTALLER_SYSTEM
		       : 0;
}

static int installer_help(const struct args_verb *verb)
{
	auto_buf struct buf out = { 0 };

	args_help(verb, "installer", &out);
	return installer_say(&out);
}

static int installer_install(int argc, char **argv, bool upgrade)
{
	const struct args_verb *verb =
		upgrade ? &wish_upgrade_args : &wish_install_args;
	auto_installed struct installed installed = { 0 };
	auto_free char *brood = process_find_in_path("brood", getenv("PATH"));
	auto_buf struct buf out = { 0 };
	struct wish_words words = WISH_WORDS;
	struct install_wish wish;
	struct err err = { 0 };
	char **operands;
	int count;

	if (args_parse(verb, argc, argv, &words, &operands, &count, &err) < 0 ||
	    wish_fill(&words, operands[0], upgrade, &wish, &err) < 0)
		return installer_fail(&err, INSTALLER_USAGE);
	wish.usual_share = "/var/lib/brood/share";
	wish.brood = brood;
	if (install_appliance(&wish, NULL, &installed, &err) < 0)
		return installer_fail(&err, INSTALLER_SYSTEM);
	wish_tell(&installed, words.json, &out);
	return installer_say(&out);
}

static int installer_remove(int argc, char **argv)
{
	struct remove_words words = { 0 };
	auto_buf struct buf notes = { 0 };
	struct err err = { 0 };
	char **operands;
	int count;

	if (args_parse(&remove_args, argc, argv, &words, &operands, &count,
		       &err) < 0)
		return installer_fail(&err, INSTALLER_USAGE);
	if (install_remove(operands[0], words.purge, &notes, &err) < 0)
		return installer_fail(&err, INSTALLER_SYSTEM);
	return installer_say(&notes);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	bool help = argc > 2 && strcmp(argv[2], "--help") == 0;

	umask(022); /* what is installed is for others, too */
	if (strcmp(verb, "install") == 0)
		return help ? installer_help(&wish_install_args)
			    : installer_install(argc - 1, argv + 1, false);
	if (strcmp(verb, "upgrade") == 0)
		return help ? installer_help(&wish_upgrade_args)
			    : installer_install(argc - 1, argv + 1, true);
	if (strcmp(verb, "uninstall") == 0)
		return help ? installer_help(&remove_args)
			    : installer_remove(argc - 1, argv + 1);
	fputs("usage: installer install|upgrade [OPTIONS] APPLIANCE\n"
	      "       installer uninstall [--purge] NAME\n"
	      "\"installer install --help\" tells more\n",
	      stderr);
	return INSTALLER_USAGE;
}

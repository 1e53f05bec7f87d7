/* SPDX-License-Identifier: Apache-2.0 */
/* brood app uninstall: start paths are what they were. */
#include "cli/app.h"

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

/* SPDX-License-Identifier: Apache-2.0 */
/* brood app show and verify: one application, told and read whole. */
#include "appliance/inspect.h"
#include "cli/app.h"

struct show_words {
	bool json;
};
static const struct args_option show_options[] = {
	{ .name = "--json",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct show_words, json),
	  .help = "tell it as JSON" },
	{ .name = NULL }
};

const struct args_verb app_show_args = {
	.name = "app show",
	.synopsis = "[--json] NAME",
	.summary = "tell all of an installed application",
	.text = "Its context, start paths, limits, versions on the share, who "
		"holds the share's lock, and from what it could go on without "
		"the share.",
	.options = show_options,
	.least = 1,
	.most = 1,
};

const struct args_verb app_verify_args = {
	.name = "app verify",
	.synopsis = "[--json] NAME...",
	.summary = "read every byte of an application",
	.text = "Hashes the payload on the share, and the copy that is kept "
		"here, whatever was found before; looks whether start paths "
		"still lead to the startup binary. Exits with 111 and tells "
		"what is wrong.",
	.options = show_options,
	.least = 1,
	.most = -1,
};

int app_show_run(int argc, char **argv)
{
	auto_context struct context context = { 0 };
	struct show_words words = { 0 };
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code;

	if (cli_parse(&app_show_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	if (app_context(operands[0], &context, &err) < 0 ||
	    inspect_show(&context, words.json, &out, &err) < 0)
		return cli_fail(&err, "\"brood app ls\" lists what is "
				      "installed");
	return cli_print(buf_string(&out));
}

int app_verify_run(int argc, char **argv)
{
	struct show_words words = { 0 };
	char **operands;
	int count, code, worst = 0;

	if (cli_parse(&app_verify_args, argc, argv, &words, &operands, &count,
		      &code) < 0)
		return code;
	for (int i = 0; i < count; i++) {
		auto_context struct context context = { 0 };
		auto_buf struct buf out = { 0 };
		struct err err = { 0 };
		int rc = app_context(operands[i], &context, &err);

		if (rc >= 0)
			rc = inspect_verify(&context, words.json, &out, &err);
		if (rc < 0)
			worst = cli_fail(&err, NULL);
		cli_print(buf_string(&out));
	}
	return worst;
}

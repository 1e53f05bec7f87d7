/* SPDX-License-Identifier: Apache-2.0 */
/* The command: its list of verbs, and the way to one of them. */
#include "base/buf.h"
#include "cli/cli.h"
#include <string.h>

/* clang-format off */
const struct cli_verb cli_verbs[] = {
	{ &serve_args,	     serve_run,	      false },
	{ &launch_args,	     launch_run,      false },
	{ &ps_args,	     ps_run,	      false },
	{ &top_args,	     top_run,	      false },
	{ &stop_args,	     stop_run,	      false },
	{ &refresh_args,     refresh_run,     false },
	{ &wrap_args,	     wrap_run,	      false },
	{ &unwrap_args,	     unwrap_run,      false },
	{ &run_args,	     run_run,	      false },
	{ &wasm_args,	     wasm_run,	      false },
	{ &compile_args,    compile_run,     false },
	{ &cache_args,	     cache_run,	      false },
	{ &machine_args,     machine_run,     false },
	{ &app_args,	     app_run,	      false },
	{ &image_args,	     image_run,	      false },
	{ &node_args,	     node_run,	      false },
	{ &doctor_args,	     doctor_run,      false },
	{ &man_args,	     man_run,	      false },
	{ &completions_args, completions_run, false },
	{ &version_args,     version_run,     false },
	{ &keep_args,	     keep_run,	      true },
	{ NULL,		     NULL,	      true },
};
/* clang-format on */

static const struct args_option main_no_options[] = { { .name = NULL } };

const struct args_verb version_args = {
	.name = "version",
	.synopsis = "",
	.summary = "tell the version",
	.text = "Prints the version of Brood, one line.",
	.options = main_no_options,
};

int version_run(int argc, char **argv)
{
	char **operands;
	int count, code;

	if (cli_parse(&version_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	return cli_print("brood " BROOD_VERSION "\n");
}

static int main_help(void)
{
	auto_buf struct buf text = { 0 };

	buf_text(
		&text,
		"brood starts things warm and shares their memory: programs, "
		"WebAssembly, machines.\n\n"
		"  brood launch clang -c hello.c   start it warm\n"
		"  brood wrap clang                the same, by its own name\n"
		"  brood ps                        what is kept warm\n"
		"  brood run app.wasm              run WebAssembly\n"
		"  brood machine start ready       a machine, without a boot\n\n"
		"verbs (\"brood VERB --help\" tells more):\n");
	for (const struct cli_verb *verb = cli_verbs; verb->args; verb++)
		if (!verb->hidden)
			buf_format(&text, "  %-12s %s\n", verb->args->name,
				   verb->args->summary);
	buf_text(&text, "\nNothing has to be set up: the first launch of a "
			"program makes its template.\n");
	return cli_print(buf_string(&text));
}

static int main_help_of(int argc, char **argv)
{
	const struct cli_verb *verb;
	char *words[] = { NULL, (char *)"--help", NULL };

	if (argc < 2)
		return main_help();
	verb = cli_find_verb(argv[1]);
	if (!verb)
		return cli_wrong("no verb \"%s\"; \"brood --help\" lists them",
				 argv[1]);
	words[0] = argv[1];
	return verb->run(2, words);
}

static int main_unknown(const char *word)
{
	for (const struct cli_verb *verb = cli_verbs; verb->args; verb++)
		if (!verb->hidden && strncmp(verb->args->name, word, 2) == 0)
			return cli_wrong("no verb \"%s\"; did you mean "
					 "\"brood %s\"?",
					 word, verb->args->name);
	return cli_wrong("no verb \"%s\"; \"brood --help\" lists them", word);
}

static bool main_is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
	const struct cli_verb *verb;

	if (argc < 2) {
		main_help();
		return CLI_USAGE;
	}
	if (main_is_help(argv[1]))
		return main_help();
	if (strcmp(argv[1], "help") == 0)
		return main_help_of(argc - 1, argv + 1);
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char *)"version";
	verb = cli_find_verb(argv[1]);
	if (!verb)
		return main_unknown(argv[1]);
	return verb->run(argc - 1, argv + 1);
}

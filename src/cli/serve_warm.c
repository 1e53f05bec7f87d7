/* SPDX-License-Identifier: Apache-2.0 */
/* brood serve --in domain --until: first "brood run --until --save" makes a
 * tip of the served name, then it is served. */
#include "cli/cli.h"
#include "cli/serve.h"
#include "image/images.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The words of a command, and what the numbers among them are. */
struct warm_words {
	char **word;
	int count, room;
	char numbers[2][32];
};

static bool warm_add(struct warm_words *words, const char *word)
{
	if (words->count + 1 >= words->room) {
		int room = words->room ? 2 * words->room : 32;
		char **more =
			reallocarray(words->word, (size_t)room, sizeof(*more));

		if (!more)
			return false;
		words->word = more;
		words->room = room;
	}
	words->word[words->count++] = (char *)word;
	words->word[words->count] = NULL;
	return true;
}

static bool warm_add_pair(struct warm_words *words, const char *option,
			  const char *value)
{
	return !value || (warm_add(words, option) && warm_add(words, value));
}

static bool warm_add_list(struct warm_words *words, const char *option,
			  const struct args_list *list)
{
	bool fits = true;

	for (int i = 0; fits && i < list->count; i++)
		fits = warm_add_pair(words, option, list->item[i]);
	return fits;
}

static bool warm_add_number(struct warm_words *words, const char *option,
			    long value, char text[32])
{
	snprintf(text, 32, "%ld", value);
	return !value || warm_add_pair(words, option, text);
}

static bool warm_make_words(struct warm_words *words,
			    const struct serve_options *options,
			    const struct serve_words *given)
{
	bool fits =
		warm_add(words, "run") &&
		warm_add_pair(words, "--until", options->until) &&
		warm_add_pair(words, "--save", given->name) &&
		warm_add_pair(words, "--cache", options->cache) &&
		warm_add_list(words, "--dir", &options->folders) &&
		warm_add_list(words, "--dir-ro", &options->read_only) &&
		warm_add_pair(words, "--image", options->image) &&
		warm_add_list(words, "--env", &options->env) &&
		warm_add_number(words, "--fuel", options->fuel,
				words->numbers[0]) &&
		warm_add_number(words, "--max-memory", options->max_memory,
				words->numbers[1]) &&
		(!options->require_kvm || warm_add(words, "--require-kvm")) &&
		warm_add(words, "--") && warm_add(words, given->program);

	for (int i = 0; fits && i < given->arguments; i++)
		fits = warm_add(words, given->argument[i]);
	return fits;
}

/* In a process of its own, which ends with all that it has opened. */
static int warm_run(struct warm_words *words)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		int code = run_run(words->count, words->word);

		fflush(NULL);
		_exit(code);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return CLI_SYSTEM;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int serve_warm(const struct serve_options *options,
	       const struct serve_words *given)
{
	struct warm_words words = { 0 };
	struct serve_options then = *options;
	struct serve_words name = { .program = given->name };
	int code;

	if (!given->name || !images_is_name(given->name))
		return cli_wrong("--until keeps a warm state under the name "
				 "that is served: brood serve --in domain "
				 "--until POINT NAME -- FILE.wasm [ARG...]");
	if (options->from || options->listen.count)
		return cli_wrong("--until cannot be had with --from or "
				 "--listen");
	code = warm_make_words(&words, options, given) ? warm_run(&words)
						       : CLI_SYSTEM;
	free(words.word);
	if (code)
		return code;
	then.until = NULL;
	then.from = given->name;
	return serve_in_domain(&then, &name);
}

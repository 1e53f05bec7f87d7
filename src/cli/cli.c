/* SPDX-License-Identifier: Apache-2.0 */
/* What all verbs do alike: parse their words, tell a failure in one line,
 * and find the templates that the user named. */
#include "cli/cli.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "domain/server_place.h"
#include "lib/start.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLI_COLUMNS = 78, CLI_DAY_S = 86400 };

const struct cli_verb *cli_find_verb(const char *name)
{
	for (const struct cli_verb *verb = cli_verbs; verb->args; verb++)
		if (strcmp(verb->args->name, name) == 0)
			return verb;
	return NULL;
}

int cli_print(const char *text)
{
	struct err err = { 0 };

	if (fd_write_all(STDOUT_FILENO, text, strlen(text), &err) < 0)
		return cli_fail(&err, NULL);
	return 0;
}

const char *cli_report_path(const char *given)
{
	const char *path = given ? given : getenv("BROOD_REPORT");

	return path && *path ? path : NULL;
}

void cli_report(const char *path, struct buf *line)
{
	auto_close int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return;
	buf_text(line, "\n");
	fd_write_all(fd, buf_string(line), line->len, NULL);
}

void cli_size(uint64_t bytes, char text[16])
{
	static const char units[] = "BkMGT";
	int unit = 0;
	double size = (double)bytes;

	while (size >= 1000 && unit < 4) {
		size /= 1024;
		unit++;
	}
	snprintf(text, 16, unit && size < 10 ? "%.1f%c" : "%.0f%c", size,
		 units[unit]);
}

void cli_age(int64_t since_s, char text[24])
{
	int64_t s = (int64_t)(clock_wall_ns() / 1000000000u) - since_s;

	if (s < 0)
		s = 0;
	if (s < 120)
		snprintf(text, 24, "%lds", (long)s);
	else if (s < 7200)
		snprintf(text, 24, "%ldm", (long)(s / 60));
	else if (s < 2 * CLI_DAY_S)
		snprintf(text, 24, "%ldh", (long)(s / 3600));
	else
		snprintf(text, 24, "%ldd", (long)(s / CLI_DAY_S));
}

void cli_plain(char *text)
{
	unsigned char *at = (unsigned char *)text;

	for (; *at; at++) {
		/* Also those that UTF-8 has, U+0080 to U+009F. */
		bool two = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;

		if (two)
			*at++ = '?';
		if (two || *at < ' ' || *at == 0x7f)
			*at = '?';
	}
}

int cli_fail(const struct err *err, const char *next)
{
	struct err plain = *err;

	cli_plain(plain.text);
	fprintf(stderr, "brood: %s%s%s\n", plain.text, next ? "; " : "",
		next ? next : "");
	return CLI_SYSTEM;
}

int cli_wrong(const char *format, ...)
{
	va_list list;

	fputs("brood: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	return CLI_USAGE;
}

/* Does the option in word take the next word as its value? */
static bool cli_takes_next(const struct args_verb *verb, const char *word)
{
	const struct args_option *option = verb->options;

	if (strchr(word, '='))
		return false;
	for (; option && option->name; option++)
		if (strcmp(option->name, word) == 0)
			return option->value != NULL;
	return false;
}

/* --help counts only among the verb's own words: behind the first operand
 * of a launch it belongs to the program. */
static bool cli_asks_help(const struct args_verb *verb, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return true;
		if (strcmp(word, "--") == 0)
			return false;
		if (word[0] != '-' && verb->stop_early)
			return false;
		if (cli_takes_next(verb, word))
			i++;
	}
	return false;
}

/* How much of line fits: all of it, or up to a space. */
static size_t cli_fitting(const char *line, size_t len)
{
	size_t at = CLI_COLUMNS;

	if (len <= CLI_COLUMNS)
		return len;
	while (at > 0 && line[at] != ' ')
		at--;
	return at > 0 ? at : len;
}

static void cli_fold(const char *text, struct buf *out)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		size_t part = cli_fitting(text, len);

		buf_add(out, text, part);
		buf_text(out, "\n");
		text += part;
		if (*text)
			text++;
	}
}

static int cli_help(const struct args_verb *verb)
{
	auto_buf struct buf text = { 0 }, folded = { 0 };

	args_help(verb, "brood", &text);
	cli_fold(buf_string(&text), &folded);
	return cli_print(buf_string(&folded));
}

/* A "--" in front of the first operand ends the options and no more. */
static int cli_drop_dashes(const struct args_verb *verb, char ***operands,
			   int *count, struct err *err)
{
	if (!verb->stop_early || *count == 0 ||
	    strcmp((*operands)[0], "--") != 0)
		return 0;
	++*operands;
	--*count;
	if (*count >= verb->least)
		return 0;
	return err_set(err, -EINVAL, "too few words");
}

int cli_parse(const struct args_verb *verb, int argc, char **argv,
	      void *options, char ***operands, int *operand_count,
	      int *exit_code)
{
	struct err err = { 0 };
	int result;

	if (cli_asks_help(verb, argc, argv)) {
		*exit_code = cli_help(verb);
		return -ECANCELED;
	}
	result = args_parse(verb, argc, argv, options, operands, operand_count,
			    &err);
	if (result >= 0)
		result = cli_drop_dashes(verb, operands, operand_count, &err);
	*exit_code = 0;
	if (result >= 0)
		return 0;
	*exit_code =
		cli_wrong("%s; see \"brood %s --help\"", err.text, verb->name);
	return -EINVAL;
}

static int cli_look(const char *root, const char *name,
		    struct server_place *place)
{
	if (server_place_find(root, name, place, NULL) < 0)
		return 0;
	if (access(place->live, F_OK) == 0)
		return 1;
	server_place_fini(place);
	return 0;
}

int cli_find_served(const char *word, struct server_place *place,
		    struct err *err)
{
	auto_free char *root = NULL;
	auto_free char *file = NULL;
	int r = registry_runtime(&root, false, err);

	*place = (struct server_place){ 0 };
	if (r < 0)
		return r;
	if (!strchr(word, '/') && cli_look(root, word, place))
		return 1;
	file = realpath(word, NULL);
	return file ? cli_look(root, file, place) : 0;
}

/* Of a word that may name both. */
struct cli_words {
	cli_each *each;
	cli_each_served *served;
	void *context;
	int worst;
};

static int cli_for_word(const char *word, const struct cli_words *with)
{
	auto_server_place struct server_place served = { 0 };
	auto_place struct registry_place place = { 0 };
	struct err err = { 0 };
	int found = cli_find_served(word, &served, &err);

	if (found > 0)
		return with->served(&served, with->context);
	found = start_find_place(word, &place, &err);
	if (found < 0)
		return cli_fail(&err, NULL);
	if (found > 0)
		return with->each(&place, with->context);
	fprintf(stderr,
		"brood: no template of %s; \"brood ps\" lists what there is\n",
		word);
	return CLI_SYSTEM;
}

static int cli_visit(const struct registry_place *place, void *context)
{
	struct cli_words *all = context;
	int code = all->each(place, all->context);

	if (code > all->worst)
		all->worst = code;
	return 0;
}

static int cli_visit_served(const struct server_place *place, void *context)
{
	struct cli_words *all = context;
	int code = all->served(place, all->context);

	if (code > all->worst)
		all->worst = code;
	return 0;
}

static int cli_for_all(struct cli_words *with)
{
	auto_free char *root = NULL;
	struct err err = { 0 };

	if (registry_each(cli_visit, with, &err) < 0 ||
	    registry_runtime(&root, false, &err) < 0)
		return cli_fail(&err, NULL);
	server_place_each(root, cli_visit_served, with);
	return with->worst;
}

int cli_for_words(int count, char *const *words, bool all, cli_each *each,
		  cli_each_served *served, void *context)
{
	struct cli_words with = { .each = each,
				  .served = served,
				  .context = context };

	if (all && count)
		return cli_wrong("--all and names together; give one of them");
	if (!all && !count)
		return cli_wrong("no name given; name templates, or --all");
	if (all)
		return cli_for_all(&with);
	for (int i = 0; i < count; i++) {
		int code = cli_for_word(words[i], &with);

		if (code > with.worst)
			with.worst = code;
	}
	return with.worst;
}

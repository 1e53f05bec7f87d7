/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options: parsed, shown, completed, printed as a man page. */
#include "base/args.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- parsing -------------------------------------------------------------- */

/* How many letters have to change to make one word of the other. */
static int args_distance(const char *a, const char *b)
{
	int row[64], columns = strlen(b);

	if (columns > 62)
		return 99;
	for (int j = 0; j <= columns; j++)
		row[j] = j;
	for (int i = 1; a[i - 1]; i++) {
		int corner = row[0];

		row[0] = i;
		for (int j = 1; j <= columns; j++) {
			int least = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			if (row[j] + 1 < least)
				least = row[j] + 1;
			if (row[j - 1] + 1 < least)
				least = row[j - 1] + 1;
			row[j] = least;
		}
	}
	return row[columns];
}

static int args_unknown(const struct args_verb *verb, const char *word,
			struct err *err)
{
	const char *nearest = NULL;
	int least = 4;

	for (const struct args_option *o = verb->options; o && o->name; o++) {
		int distance = args_distance(word, o->name);

		if (distance < least) {
			least = distance;
			nearest = o->name;
		}
	}
	if (nearest)
		return err_set(err, -EINVAL,
			       "unknown option %s; did you mean %s?", word,
			       nearest);
	return err_set(err, -EINVAL, "unknown option %s; see brood %s --help",
		       word, verb->name);
}

static const struct args_option *args_find(const struct args_verb *verb,
					   const char *word, size_t len)
{
	for (const struct args_option *o = verb->options; o && o->name; o++)
		if (strlen(o->name) == len && strncmp(o->name, word, len) == 0)
			return o;
	return NULL;
}

static bool args_is_one_of(const char *words, const char *value)
{
	size_t len = strlen(value);

	while (*words) {
		size_t n = strcspn(words, "|");

		if (n == len && strncmp(words, value, n) == 0)
			return true;
		words += n + (words[n] == '|');
	}
	return false;
}

static bool args_scale(const char *unit, const char *const *units,
		       const long *factors, long *value)
{
	for (int i = 0; units[i]; i++)
		if (strcmp(unit, units[i]) == 0)
			return !__builtin_mul_overflow(*value, factors[i],
						       value);
	return false;
}

static int args_number(const struct args_option *option, const char *text,
		       long *value, struct err *err)
{
	static const char *const sizes[] = { "", "k", "M", "G", NULL };
	static const long bytes[] = { 1, 1 << 10, 1 << 20, 1 << 30 };
	static const char *const times[] = {
		"", "ms", "s", "m", "h", "d", NULL
	};
	static const long ms[] = { 1000, 1, 1000, 60000, 3600000, 86400000 };
	bool is_time = option->kind == ARGS_MS;
	char *unit;

	errno = 0;
	*value = strtol(text, &unit, 10);
	if (errno || unit == text || *value < 0 ||
	    !args_scale(unit, is_time ? times : sizes, is_time ? ms : bytes,
			value))
		return err_set(
			err, -EINVAL, "%s %s: not %s", option->name, text,
			is_time ? "a time such as 5s or 200ms" : "a number");
	return 0;
}

static int args_store(const struct args_option *option, const char *value,
		      void *options, struct err *err)
{
	void *place = (char *)options + option->offset;
	struct args_list *list = place;

	if (option->words && !args_is_one_of(option->words, value) &&
	    (option->kind != ARGS_MAYBE || *value))
		return err_set(err, -EINVAL, "%s %s: not one of %s",
			       option->name, value, option->words);
	switch (option->kind) {
	case ARGS_FLAG: *(bool *)place = true; return 0;
	case ARGS_MAYBE:
	case ARGS_TEXT: *(const char **)place = value; return 0;
	case ARGS_NUMBER:
	case ARGS_MS: return args_number(option, value, place, err);
	case ARGS_LIST:
		if (list->count == 32)
			return err_set(err, -EINVAL, "%s: given too often",
				       option->name);
		list->item[list->count++] = value;
		return 0;
	}
	return 0;
}

/* Takes the option at argv[*at]; *at is left at its last word. */
static int args_take(const struct args_verb *verb, int argc, char **argv,
		     int *at, void *options, struct err *err)
{
	const char *word = argv[*at], *value = NULL;
	size_t len = strcspn(word, "=");
	const struct args_option *option = args_find(verb, word, len);

	if (!option)
		return args_unknown(verb, word, err);
	if (option->kind == ARGS_FLAG) {
		if (word[len])
			return err_set(err, -EINVAL, "%s takes no value",
				       option->name);
	} else if (word[len]) {
		value = word + len + 1;
	} else if (option->kind == ARGS_MAYBE) {
		value = "";
	} else if (*at + 1 < argc) {
		value = argv[++*at];
	} else {
		return err_set(err, -EINVAL, "%s needs a value: %s",
			       option->name, option->value);
	}
	return args_store(option, value, options, err);
}

static int args_count(const struct args_verb *verb, int count, struct err *err)
{
	if (count < verb->least)
		return err_set(err, -EINVAL,
			       "too few words; usage: brood %s %s", verb->name,
			       verb->synopsis);
	if (verb->most >= 0 && count > verb->most)
		return err_set(err, -EINVAL,
			       "too many words; usage: brood %s %s", verb->name,
			       verb->synopsis);
	return 0;
}

int args_parse(const struct args_verb *verb, int argc, char **argv,
	       void *options, char ***operands, int *operand_count,
	       struct err *err)
{
	int kept = 1, at = 1;

	for (; at < argc; at++) {
		if (strcmp(argv[at], "--") == 0 && !verb->stop_early) {
			at++;
			break;
		}
		if (argv[at][0] == '-' && argv[at][1] &&
		    strcmp(argv[at], "--") != 0) {
			int r = args_take(verb, argc, argv, &at, options, err);

			if (r < 0)
				return r;
		} else if (verb->stop_early) {
			break;
		} else {
			argv[kept++] = argv[at];
		}
	}
	if (verb->stop_early) {
		/* "--" before the first operand only ends the options; one
		 * behind it (serve NAME -- PROGRAM) is the verb's matter. */
		*operands = argv + at;
		*operand_count = argc - at;
		return args_count(verb, *operand_count, err);
	}
	while (at < argc)
		argv[kept++] = argv[at++];
	argv[kept] = NULL;
	*operands = argv + 1;
	*operand_count = kept - 1;
	return args_count(verb, *operand_count, err);
}

/* ---- showing -------------------------------------------------------------- */

enum { ARGS_INDENT = 28, ARGS_WIDTH = 78 };

/* Words from a column on, in lines of their own where there is no more room. */
static void args_put_words(struct buf *out, const char *text, int column)
{
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (column > ARGS_INDENT && column + 1 + len > ARGS_WIDTH) {
			buf_format(out, "\n%*s", ARGS_INDENT, "");
			column = ARGS_INDENT;
		} else if (column > ARGS_INDENT) {
			buf_text(out, " ");
			column++;
		}
		buf_add(out, text, (size_t)len);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	buf_text(out, "\n");
}

/* Of one that may be without, the value has its own "[=". */
static const char *args_before_value(const struct args_option *option)
{
	return option->value && option->kind != ARGS_MAYBE ? " " : "";
}

static void args_put_option(struct buf *out, const struct args_option *option)
{
	size_t before = out->len;
	int used;

	buf_format(out, "  %s%s%s", option->name, args_before_value(option),
		   option->value ? option->value : "");
	used = (int)(out->len - before);
	if (used + 2 > ARGS_INDENT)
		buf_format(out, "\n%*s", ARGS_INDENT, "");
	else
		buf_format(out, "%*s", ARGS_INDENT - used, "");
	args_put_words(out, option->help, ARGS_INDENT);
}

void args_help(const struct args_verb *verb, const char *program,
	       struct buf *out)
{
	buf_format(out, "usage: %s %s %s\n\n%s\n", program, verb->name,
		   verb->synopsis, verb->summary);
	if (verb->text)
		buf_format(out, "\n%s\n", verb->text);
	if (verb->options && verb->options->name)
		buf_text(out, "\nOptions:\n");
	for (const struct args_option *o = verb->options; o && o->name; o++)
		args_put_option(out, o);
}

/* Text in roff: hyphens and backslashes escaped, no request by accident. */
static void args_roff(struct buf *out, const char *text)
{
	bool start = true;

	for (; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			buf_text(out, "\\&");
		if (*text == '\\')
			buf_text(out, "\\e");
		else if (*text == '-')
			buf_text(out, "\\-");
		else if (*text == '\n' && text[1] == '\n')
			buf_text(out, "\n.PP"), start = true;
		else
			buf_add(out, text, 1);
		start = *text == '\n';
	}
}

void args_man(const struct args_verb *verb, const char *program,
	      struct buf *out)
{
	buf_format(out, ".TH %s\\-%s 1 2026-11-24 %s\n.SH NAME\n", program,
		   verb->name, program);
	buf_format(out, "%s\\-%s \\- ", program, verb->name);
	args_roff(out, verb->summary);
	buf_format(out, "\n.SH SYNOPSIS\n.B %s %s\n", program, verb->name);
	args_roff(out, verb->synopsis);
	buf_text(out, "\n.SH DESCRIPTION\n");
	args_roff(out, verb->text ? verb->text : verb->summary);
	if (verb->options && verb->options->name)
		buf_text(out, "\n.SH OPTIONS");
	for (const struct args_option *o = verb->options; o && o->name; o++) {
		buf_text(out, "\n.TP\n.B ");
		args_roff(out, o->name);
		if (o->value)
			buf_format(out, "%s\\fI%s\\fR", args_before_value(o),
				   o->value);
		buf_text(out, "\n");
		args_roff(out, o->help);
	}
	buf_text(out, "\n.SH EXIT STATUS\n0; of a started program, its own;\n"
		      "100 wrong usage; 111 the system refused.\n");
}

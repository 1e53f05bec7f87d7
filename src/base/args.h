/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a verb: one table gives parsing, --help, shell completion
 * and the man page, so that they cannot disagree. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

enum args_kind {
	ARGS_FLAG,   /* bool * */
	ARGS_TEXT,   /* const char ** */
	ARGS_NUMBER, /* long *, decimal, k/M/G accepted */
	ARGS_MS,     /* long *, "5s", "200ms", "2m", "1h"; a bare number: s */
	ARGS_LIST,   /* struct args_list *, may be given again */
	ARGS_MAYBE,  /* const char **, "" without "=VALUE" */
};
struct args_list {
	const char *item[32];
	int count;
};
struct args_option {
	const char *name;  /* "--refresh" */
	const char *value; /* "SECONDS", NULL for flags */
	enum args_kind kind;
	size_t offset;	   /* into the verb's options struct */
	const char *help;  /* one line */
	const char *words; /* "auto|clone|hatch|exec": checked, completed */
};
struct args_verb {
	const char *name;     /* "serve" */
	const char *synopsis; /* "[OPTIONS] [NAME] -- PROGRAM [ARG...]" */
	const char *summary;  /* one line */
	const char *text;     /* paragraphs of the man page and --help */
	const struct args_option *options; /* ends with a NULL name */
	int least, most;		   /* operands; most < 0: any number */
	bool stop_early; /* options end at the first operand */
};
/* Parses argv[1..]; fills options; *operands points at the first operand
 * (argv is permuted only when !stop_early).  A wrong use is -EINVAL and an
 * err that names the word and what would be right. */
int args_parse(const struct args_verb *verb, int argc, char **argv,
	       void *options, char ***operands, int *operand_count,
	       struct err *err);
void args_help(const struct args_verb *verb, const char *program,
	       struct buf *out);
void args_man(const struct args_verb *verb, const char *program,
	      struct buf *out); /* roff, section 1 */
/* args_complete.c: a script for "bash", "zsh" or "fish"; -EINVAL: another. */
int args_complete(const struct args_verb *const *verbs, const char *program,
		  const char *shell, struct buf *out);

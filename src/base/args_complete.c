/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts by which shells complete verbs, options and their words, written
 * from the tables that also parse them.  Each has all of it in it: a shell
 * never starts the program to complete its name.
 *
 * Help goes into single quotes, which hold everything but themselves (and, in
 * fish, backslashes). */
#include "base/args.h"
#include <errno.h>
#include <string.h>

static const struct args_option complete_none = { .name = NULL };

static const struct args_option *complete_first(const struct args_verb *verb)
{
	return verb->options ? verb->options : &complete_none;
}

/* "auto|clone" as words of a list. */
static void complete_words(const char *words, struct buf *out)
{
	for (; *words; words++)
		buf_add(out, *words == '|' ? " " : words, 1);
}

static void complete_quoted(const char *text, const char *quote,
			    struct buf *out)
{
	for (; *text; text++) {
		if (*text == '\'')
			buf_text(out, quote);
		else if (*text == '\\' && *quote == '\\')
			buf_text(out, "\\\\");
		else
			buf_add(out, text, 1);
	}
}

/* ---- bash ------------------------------------------------------------------- */

static void complete_bash_values(const struct args_verb *verb, struct buf *out)
{
	for (const struct args_option *o = complete_first(verb); o->name; o++) {
		if (!o->words || o->kind == ARGS_MAYBE)
			continue;
		buf_format(out, "\t%s:%s) words='", verb->name, o->name);
		complete_words(o->words, out);
		buf_text(out, "' ;;\n");
	}
}

static void complete_bash_verb(const struct args_verb *verb, struct buf *out)
{
	complete_bash_values(verb, out);
	buf_format(out, "\t%s:*) words='--help", verb->name);
	for (const struct args_option *o = complete_first(verb); o->name; o++)
		buf_format(out, " %s", o->name);
	buf_text(out, "' ;;\n");
}

static void complete_bash(const struct args_verb *const *verbs,
			  const char *program, struct buf *out)
{
	buf_format(out,
		   "# bash completion of %s\n_%s() {\n"
		   "\tlocal words='' cur=${COMP_WORDS[COMP_CWORD]}\n"
		   "\tlocal verb=${COMP_WORDS[1]}\n"
		   "\t[ \"$COMP_CWORD\" != 1 ] || verb=''\n"
		   "\tcase $verb:${COMP_WORDS[COMP_CWORD - 1]} in\n"
		   "\t:*) words='",
		   program, program);
	for (int i = 0; verbs[i]; i++)
		buf_format(out, "%s%s", i ? " " : "", verbs[i]->name);
	buf_text(out, "' ;;\n");
	for (int i = 0; verbs[i]; i++)
		complete_bash_verb(verbs[i], out);
	buf_format(out,
		   "\tesac\n"
		   "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
		   "\"$cur\")\n}\ncomplete -o default -F _%s %s\n",
		   program, program);
}

/* ---- zsh -------------------------------------------------------------------- */

static void complete_zsh_put(const char *name, const char *help,
			     struct buf *out)
{
	buf_format(out, "\t\t\t'%s:", name);
	complete_quoted(help, "'\\''", out);
	buf_text(out, "'\n");
}

static void complete_zsh_verb(const struct args_verb *verb, struct buf *out)
{
	for (const struct args_option *o = complete_first(verb); o->name; o++) {
		if (!o->words || o->kind == ARGS_MAYBE)
			continue;
		buf_format(out, "\t%s:%s) compadd ", verb->name, o->name);
		complete_words(o->words, out);
		buf_text(out, "; return ;;\n");
	}
	buf_format(out, "\t%s:*)\n\t\tgiven=(\n", verb->name);
	complete_zsh_put("--help", "all options and what they do", out);
	for (const struct args_option *o = complete_first(verb); o->name; o++)
		complete_zsh_put(o->name, o->help, out);
	buf_text(out, "\t\t) ;;\n");
}

/* A file in fpath is the function itself; a script that is sourced makes it
 * known. */
static void complete_zsh(const struct args_verb *const *verbs,
			 const char *program, struct buf *out)
{
	buf_format(out,
		   "#compdef %s\n_%s() {\n"
		   "\tlocal -a given\n"
		   "\tlocal verb=$words[2]\n"
		   "\t(( CURRENT > 2 )) || verb=''\n"
		   "\tcase $verb:$words[CURRENT-1] in\n"
		   "\t:*)\n\t\tgiven=(\n",
		   program, program);
	for (int i = 0; verbs[i]; i++)
		complete_zsh_put(verbs[i]->name, verbs[i]->summary, out);
	buf_text(out, "\t\t)\n\t\t_describe verb given\n\t\treturn ;;\n");
	for (int i = 0; verbs[i]; i++)
		complete_zsh_verb(verbs[i], out);
	buf_format(out,
		   "\tesac\n"
		   "\tif [[ $PREFIX == -* ]]; then\n"
		   "\t\t_describe -o option given\n"
		   "\telse\n"
		   "\t\t_default\n"
		   "\tfi\n}\n"
		   "if [[ $funcstack[1] == _%s ]]; then\n"
		   "\t_%s \"$@\"\n"
		   "else\n"
		   "\tcompdef _%s %s\n"
		   "fi\n",
		   program, program, program, program);
}

/* ---- fish ------------------------------------------------------------------- */

static void complete_fish_help(const char *help, struct buf *out)
{
	buf_text(out, " -d '");
	complete_quoted(help, "\\'", out);
	buf_text(out, "'\n");
}

static void complete_fish_verb(const struct args_verb *verb,
			       const char *program, struct buf *out)
{
	for (const struct args_option *o = complete_first(verb); o->name; o++) {
		bool has_value = o->value && o->kind != ARGS_MAYBE;

		bool is_long = o->name[1] == '-';

		buf_format(out, "complete -c %s -n '__%s_verb %s' -%s %s",
			   program, program, verb->name, is_long ? "l" : "s",
			   o->name + (is_long ? 2 : 1));
		if (has_value && o->words) {
			buf_text(out, " -x -a '");
			complete_words(o->words, out);
			buf_text(out, "'");
		} else if (has_value) {
			buf_text(out, " -r");
		}
		complete_fish_help(o->help, out);
	}
}

static void complete_fish(const struct args_verb *const *verbs,
			  const char *program, struct buf *out)
{
	buf_format(out,
		   "# fish completion of %s\n"
		   "function __%s_verb\n"
		   "\tset -l words (commandline -opc)\n"
		   "\ttest \"$words[2]\" = \"$argv[1]\"\n"
		   "end\n"
		   "complete -c %s -l help -d 'all options and what they do'\n",
		   program, program, program);
	for (int i = 0; verbs[i]; i++) {
		buf_format(out, "complete -c %s -n '__%s_verb \"\"' -f -a %s",
			   program, program, verbs[i]->name);
		complete_fish_help(verbs[i]->summary, out);
	}
	for (int i = 0; verbs[i]; i++)
		complete_fish_verb(verbs[i], program, out);
}

int args_complete(const struct args_verb *const *verbs, const char *program,
		  const char *shell, struct buf *out)
{
	if (strcmp(shell, "bash") == 0)
		complete_bash(verbs, program, out);
	else if (strcmp(shell, "zsh") == 0)
		complete_zsh(verbs, program, out);
	else if (strcmp(shell, "fish") == 0)
		complete_fish(verbs, program, out);
	else
		return -EINVAL;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* brood man and brood completions: written from the verbs' own tables. */
#include "base/buf.h"
#include "base/process.h"
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct args_option man_no_options[] = { { .name = NULL } };

const struct args_verb man_args = {
	.name = "man",
	.synopsis = "[VERB]",
	.summary = "show the manual page of a verb",
	.text = "Shows the page on a terminal; elsewhere it writes its source, "
		"as \"make install\" does. Without VERB it is the page of "
		"brood itself.",
	.options = man_no_options,
	.most = 1,
};

const struct args_verb completions_args = {
	.name = "completions",
	.synopsis = "[bash|zsh|fish]",
	.summary = "write the shell's completions",
	.text = "Writes a script for the shell, bash if none is named, that "
		"completes verbs, options and their words. To use it at once, "
		"in bash or zsh:\n\n"
		"  source <(brood completions zsh)\n\n"
		"and in fish:\n\n"
		"  brood completions fish | source",
	.options = man_no_options,
	.most = 1,
};

static void man_overview(struct buf *out)
{
	buf_text(out, ".TH BROOD 1 2026-11-24 \"brood " BROOD_VERSION "\"\n"
		      ".SH NAME\nbrood \\- start programs from warm templates\n"
		      ".SH SYNOPSIS\n.B brood\n.I VERB\n[\\fIWORD\\fR...]\n"
		      ".SH DESCRIPTION\n"
		      "A template is a program that has been started up to its "
		      "main and kept there. An instance is a copy of it that "
		      "shares its pages: a fork of the template, or the "
		      "template's image mapped by the caller's own process. "
		      "Programs are not changed. Nothing has to be set up: the "
		      "first launch of a program makes its template.\n"
		      ".SH VERBS\n");
	for (const struct cli_verb *verb = cli_verbs; verb->args; verb++)
		if (!verb->hidden)
			buf_format(out,
				   ".TP\n.B %s\n%s; see\n.BR brood\\-%s (1)\n",
				   verb->args->name, verb->args->summary,
				   verb->args->name);
	buf_text(
		out,
		".SH FILES\n.TP\n.I $XDG_CACHE_HOME/brood/programs\n"
		"entries and images of the templates; they age out, see\n"
		".BR brood\\-ps (1)\n.TP\n"
		".I $XDG_CACHE_HOME/brood/code\ncompiled byte code; see\n"
		".BR brood\\-cache (1)\n.TP\n"
		".I $XDG_CACHE_HOME/brood/accel, qemu\n"
		"what was found out about KVM and QEMU\n.TP\n"
		".I $XDG_RUNTIME_DIR/brood\nsockets of living templates\n"
		".TP\n.I $XDG_DATA_HOME/brood/bin\nstubs of wrapped programs\n"
		".SH ENVIRONMENT\n.TP\n.B BROOD_REPORT\n"
		"a file to which each launch appends one JSON line\n.TP\n"
		".B BROOD_CACHE\nthe folder of compiled byte code, or off\n"
		".TP\n.B BROOD_CACHE_SIZE\nwhat it may have, such as 500M\n"
		".TP\n.B BROOD_OPTIMISE\nseconds of CPU time that may be used "
		"in an hour to optimise what is hot (120); 0: nothing begins by "
		"itself; off: nothing is counted either\n"
		".TP\n"
		".B BROOD_VIA\nthe way to try: auto, clone, hatch or exec\n"
		".TP\n.B BROOD_QEMU\n"
		"the QEMU to use instead of qemu\\-system\\-x86_64 in PATH\n"
		".TP\n.B BROOD_VIRTIOFSD\nthe daemon for shares by virtiofs\n"
		".TP\n.B BROOD_VERBOSE\nif set, each launch tells its way on "
		"standard error\n.TP\n"
		".B BROOD_SHIM_PATH\nthe folder of brood\\-shim.so and "
		"brood\\-hatch, if they are not beside brood\n"
		".SH \"EXIT STATUS\"\n0; the program's own; 100 a wrong use; "
		"111 the system or the state did not allow it.\n");
}

/* Where man(1) cannot show it, the source is better than nothing. */
static int man_show(const struct buf *page)
{
	FILE *viewer;
	int status;

	viewer = popen("man -l -", "we");
	if (!viewer)
		return cli_print(buf_string(page));
	fwrite(buf_string(page), 1, page->len, viewer);
	status = pclose(viewer);
	return status == 0 ? 0 : cli_print(buf_string(page));
}

int man_run(int argc, char **argv)
{
	auto_buf struct buf page = { 0 };
	const struct cli_verb *verb = NULL;
	char **operands;
	int count, code;

	if (cli_parse(&man_args, argc, argv, NULL, &operands, &count, &code) <
	    0)
		return code;
	if (count)
		verb = cli_find_verb(operands[0]);
	if (count && !verb)
		return cli_wrong("no verb \"%s\"; \"brood --help\" lists them",
				 operands[0]);
	if (verb)
		args_man(verb->args, "brood", &page);
	else
		man_overview(&page);
	return isatty(STDOUT_FILENO) ? man_show(&page)
				     : cli_print(buf_string(&page));
}

int completions_run(int argc, char **argv)
{
	const struct args_verb *verbs[32] = { NULL };
	auto_buf struct buf script = { 0 };
	char **operands;
	int count, code, n = 0;

	if (cli_parse(&completions_args, argc, argv, NULL, &operands, &count,
		      &code) < 0)
		return code;
	for (const struct cli_verb *verb = cli_verbs; verb->args; verb++)
		if (!verb->hidden && n < 31)
			verbs[n++] = verb->args;
	if (args_complete(verbs, "brood", count ? operands[0] : "bash",
			  &script) < 0)
		return cli_wrong("no completions for \"%s\"; there are bash, "
				 "zsh and fish",
				 operands[0]);
	return cli_print(buf_string(&script));
}

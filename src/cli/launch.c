/* SPDX-License-Identifier: Apache-2.0 */
/* brood launch: becomes the starter with the program's entry; where there
 * can be no template it becomes the program itself. */
#include "cli/launch.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/cli.h"
#include "lib/start.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct args_option launch_options[] = {
	{ .name = "--via",
	  .value = "WAY",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct launch_options, via),
	  .help = "the way to try: auto, clone, hatch or exec",
	  .words = "auto|clone|hatch|exec" },
	{ .name = "--in",
	  .value = "PLACE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct launch_options, in),
	  .help = "domain: where PROGRAM is a module that is not served, as "
		  "\"brood run --in domain\"",
	  .words = "process|domain" },
	{ .name = "--env",
	  .value = "NAME[=VALUE]",
	  .kind = ARGS_LIST,
	  .offset = offsetof(struct launch_options, environment),
	  .help = "in a domain: a further variable" },
	{ .name = "--timeout",
	  .value = "TIME",
	  .kind = ARGS_MS,
	  .offset = offsetof(struct launch_options, timeout_ms),
	  .help = "in a domain: end it after this time" },
	{ .name = "--report",
	  .value = "FILE",
	  .kind = ARGS_TEXT,
	  .offset = offsetof(struct launch_options, report),
	  .help = "append one JSON line on the way taken" },
	{ .name = "--verbose",
	  .kind = ARGS_FLAG,
	  .offset = offsetof(struct launch_options, verbose),
	  .help = "tell on stderr why a way was not taken" },
	{ .name = NULL }
};

const struct args_verb launch_args = {
	.name = "launch",
	.synopsis = "[OPTIONS] NAME|PROGRAM [ARG...]",
	.summary = "start an instance, warm where that can be",
	.text = "Starts the program with the caller's standard input and "
		"output, working directory, environment, limits and signals, "
		"and ends as it ends. The first launch of a program starts "
		"it the ordinary way and makes its template meanwhile.\n\n"
		"The result is that of an ordinary start. Where anything that "
		"the program's start depends on is different from when the "
		"template was made, or there is no template, or no way "
		"allows it, the program is executed the ordinary way; "
		"--verbose tells why.\n\n"
		"Of a template that stops inside main (\"brood serve "
		"--until\") an instance goes on from there: with the "
		"template's arguments and environment, which the program has "
		"read already, and with all else of the caller.\n\n"
		"What \"brood serve --in domain\" serves, by its name or its "
		"file, runs in a domain that waits: with the caller's "
		"standard input, output and error, the arguments, and the "
		"variables of --env; all else was granted when it was "
		"served. It ends when the caller does. Its exit codes are "
		"those of \"brood run\".\n\n"
		"Exit codes: the program's own; 126 it may not be executed; "
		"127 there is no such program; 100 a wrong use.",
	.options = launch_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

/* The starter writes this line for all its ways; here it is written for the
 * programs that it never sees. */
static void launch_report(const char *path, const struct start *start)
{
	auto_buf struct buf line = { 0 };
	auto_close int fd = -1;
	struct json json;

	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	json_start(&json, &line);
	json_open(&json, NULL);
	json_text(&json, "way", "exec");
	json_text(&json, "program", start->program);
	json_text(&json, "reason", start->why);
	json_text(&json, "mode", "cold");
	json_number(&json, "pid", getpid());
	json_close(&json);
	buf_text(&line, "\n");
	fd_write_all(fd, buf_string(&line), line.len, NULL);
}

static void launch_tell_cold(const struct launch_options *options,
			     const struct start *start)
{
	const char *report = options->report;

	if (!report)
		report = getenv("BROOD_REPORT");
	if (options->verbose || getenv("BROOD_VERBOSE"))
		fprintf(stderr, "brood: started cold: %s\n", start->why);
	if (report && *report)
		launch_report(report, start);
}

/* As shells tell it. */
static int launch_not_started(const char *word, int code)
{
	fprintf(stderr, "brood: %s: %s\n", word,
		code == -ENOENT && !strchr(word, '/') ? "command not found"
						      : strerror(-code));
	return code == -ENOENT ? CLI_NOT_FOUND : CLI_NOT_EXECUTABLE;
}

int launch_run(int argc, char **argv)
{
	struct launch_options options = { 0 };
	auto_start struct start start = { 0 };
	struct start_wish wish = { 0 };
	struct err err = { 0 };
	char **operands;
	int count, code, result;

	if (cli_parse(&launch_args, argc, argv, &options, &operands, &count,
		      &code) < 0)
		return code;
	if (launch_in_domain(&options, operands, count, &code))
		return code;
	wish = (struct start_wish){ .word = operands[0],
				    .argv = operands,
				    .via = options.via,
				    .report = options.report,
				    .verbose = options.verbose };
	result = start_find(&wish, &start, &err);
	if (result == -ENOENT || result == -EACCES || result == -ENOTDIR)
		return launch_not_started(operands[0], result);
	if (result < 0)
		return cli_fail(&err, "\"brood doctor\" may tell why");
	if (!start.warm)
		launch_tell_cold(&options, &start);
	execv(start.path, start.argv);
	return launch_not_started(operands[0], -errno);
}

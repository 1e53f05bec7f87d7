/* SPDX-License-Identifier: Apache-2.0 */
/* The command "brood": one file a verb.  A verb is a table (options, words
 * for --help, man page and completion) and a function; cli_verbs in main.c
 * is the one list of them.
 *
 * Exit codes: 0; the started program's own; 100 a wrong use; 111 the system
 * or the state did not allow it.  Messages are one line on stderr that
 * begins with "brood: " and ends with what to do next. */
#pragma once
#include "base/args.h"
#include "base/err.h"
#include "launch/registry.h"
#include <stdbool.h>
#include <stdint.h>

/* How a module's run ends: the time is over, no fuel is left, a trap. */
enum { CLI_TIMEOUT = 124, CLI_FUEL = 125, CLI_TRAP = 134 };

enum {
	CLI_USAGE = 100,
	CLI_SYSTEM = 111,
	CLI_NOT_EXECUTABLE = 126,
	CLI_NOT_FOUND = 127
};

#ifndef BROOD_VERSION
#define BROOD_VERSION "0.1.0"
#endif

struct cli_verb {
	const struct args_verb *args;
	/* argv[0] is the verb's name; returns the exit code */
	int (*run)(int argc, char **argv);
	bool hidden; /* not in the help for people */
};
extern const struct cli_verb cli_verbs[]; /* ends with args == NULL */
const struct cli_verb *cli_find_verb(const char *name);

/* Parses a verb's words.  0: go on; else *exit_code is to be returned
 * (--help was given, or a wrong use was told). */
int cli_parse(const struct args_verb *verb, int argc, char **argv,
	      void *options, char ***operands, int *operand_count,
	      int *exit_code);
/* Words of guests and of imported files may not steer the terminal. */
void cli_plain(char *text);
/* "brood: TEXT" on stderr; they return the exit code. */
int cli_fail(const struct err *err, const char *next);
int cli_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
int cli_print(const char *text); /* to stdout, whole, 0 or CLI_SYSTEM */
void cli_size(uint64_t bytes, char text[16]); /* "1.2M" */
void cli_age(int64_t since_s, char text[24]); /* since 1970: "3h" */

/* What --report or BROOD_REPORT names, or NULL; and appending a line to it:
 * where that cannot be, nothing is said. */
struct buf;
const char *cli_report_path(const char *given);
void cli_report(const char *path, struct buf *line);

/* Runs "each" on the templates that the words name, or on all of them, and
 * "served" on what is served in domains.  The exit code is the worst one. */
typedef int cli_each(const struct registry_place *place, void *context);
struct server_place;
typedef int cli_each_served(const struct server_place *place, void *context);
int cli_for_words(int count, char *const *words, bool all, cli_each *each,
		  cli_each_served *served, void *context);
/* What is served in domains by this name, or file.  1 found, 0 none. */
int cli_find_served(const char *word, struct server_place *place,
		    struct err *err);

#define CLI_VERB(verb)                             \
	extern const struct args_verb verb##_args; \
	int verb##_run(int argc, char **argv)
CLI_VERB(serve);
CLI_VERB(keep);
CLI_VERB(launch);
CLI_VERB(ps);
CLI_VERB(top);
CLI_VERB(stop);
CLI_VERB(refresh);
CLI_VERB(wrap);
CLI_VERB(unwrap);
CLI_VERB(run);
CLI_VERB(wasm);
CLI_VERB(compile);
CLI_VERB(cache);
CLI_VERB(machine);
CLI_VERB(machine_image); /* behind "machine" */
CLI_VERB(image);
CLI_VERB(app);
CLI_VERB(node);
CLI_VERB(doctor);
CLI_VERB(man);
CLI_VERB(completions);
CLI_VERB(version);

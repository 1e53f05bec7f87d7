/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a runtime's command line, as engines write them:
 *
 *	brood-oci [GLOBAL OPTION...] COMMAND [OPTION...] [ID] [WORD...]
 *
 * They are looked at, not judged: what is not known here may be known to the
 * runtime that they are handed to.  An option has one dash or two, and its
 * value behind it or behind a "=".  Of commands but exec, options may stand
 * behind the ID too. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

struct oci_words {
	int count;
	char **word;	     /* the caller's argv, [0] is the program */
	const char *command; /* NULL: there is none */
	int command_at;
	const char *id; /* NULL: there is none */
	int id_at;
	const char *root, *log, *log_format; /* NULL: not given */
	const char *format;
	const char *bundle, *process;
	/* The words that these values are in, 0: not given.  Where the option
	 * and "=" are in it too, they are its begin. */
	int bundle_at, process_at;
	const char *cwd; /* of exec */
	bool help, version;
	bool detach;	/* run does not wait for the end */
	bool json;	/* the log is */
	bool json_list; /* list --format json */
};

void oci_words_read(struct oci_words *words, int argc, char **argv);
/* The words with one of them changed, for another program: malloced, the
 * texts are the old ones'.  at 0: none is.  "value" stands where the option's
 * value was; the changed word is *own. */
char **oci_words_change(const struct oci_words *words, const char *program,
			int at, const char *value, char **own);
/* Two words more in such a copy, at a place: malloced anew; NULL without
 * memory, and it stays as it was. */
char **oci_words_insert(char **argv, int count, int at, const char *first,
			const char *second);
/* A name that engines give: it becomes one of a folder. */
int oci_words_check_id(const char *id, struct err *err);

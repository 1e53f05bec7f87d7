/* SPDX-License-Identifier: Apache-2.0 */
/* From a word that somebody typed to the command that starts an instance:
 * the starter with the entry of a template, or, where no template can be,
 * the program itself with the reason in words. */
#pragma once
#include "base/err.h"
#include "launch/registry.h"
#include <stdbool.h>

struct start_wish {
	const char *word;   /* template's name, program's name or path */
	char *const *argv;  /* of the instance, argv[0] included */
	const char *via;    /* NULL: auto */
	const char *report; /* NULL: none */
	bool verbose;
};
struct start {
	char *path;  /* to be executed */
	char **argv; /* words[0..]; the array is owned, most words are not */
	char *entry, *program;
	bool plain; /* the entry is the program's own */
	bool warm;
	char why[252]; /* not warm: the reason */
};
/* 0, or -ENOENT when there is no such program, -EACCES when it may not be
 * executed.  The wish must outlive the start. */
int start_find(const struct start_wish *wish, struct start *start,
	       struct err *err);
void start_fini(struct start *start);
#define auto_start __attribute__((cleanup(start_fini)))

/* registry_find, and where the word is a name whose place in PATH is taken
 * by a stub of ours, the program behind the stub.  1 found, 0 none. */
int start_find_place(const char *word, struct registry_place *place,
		     struct err *err);

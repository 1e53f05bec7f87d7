/* SPDX-License-Identifier: Apache-2.0 */
/* Stubs: small programs that stand in a folder of PATH under the names of
 * wrapped programs, so that the user types the same command as before.
 *
 *	DIR/clang		the starter, under the program's name
 *	DIR/.brood/clang	link to the entry of the program's template
 *	DIR/.brood/.clang	link to the program, as PATH has it: the
 *				argv[0] of a start through the stub
 *
 * The starter reads the link that has its own name.  A file is a stub of
 * ours when that link exists; any other file is never touched. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

/* $XDG_DATA_HOME/brood/bin, malloced */
char *stub_default_dir(struct err *err);
bool stub_is(const char *dir, const char *name);
/* The program that word stands for, as PATH has it without the folders in
 * which the name is a stub.  A word with a "/" is taken as it is.
 * Malloced; NULL is -ENOENT in err. */
char *stub_real_program(const char *word, struct err *err);

/* Puts a stub in place; replaces one of ours, refuses any other file
 * (-EEXIST). */
int stub_put(const char *dir, const char *name, const char *starter,
	     const char *entry, const char *program, struct err *err);
int stub_remove(const char *dir, const char *name, struct err *err);
/* Calls visit for the name of each stub in dir; the first result that is
 * not 0 ends it and is returned. */
int stub_each(const char *dir,
	      int (*visit)(const char *dir, const char *name, void *context),
	      void *context, struct err *err);

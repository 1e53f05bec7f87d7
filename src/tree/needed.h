/* SPDX-License-Identifier: Apache-2.0 */
/* Files of this system into a tree, with what they do not run without: the
 * targets of links, a program's interpreter, shared libraries and those that
 * they need. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "tree/tree.h"
#include <stdbool.h>

struct needed {
	struct tree *tree; /* not owned */
	/* Leaves out the loader and the C library with what belongs to it: of
	 * them a system has its own, which fit its kernel and each other. */
	bool without_libc;
	char **seen; /* links and ELF files, sorted */
	size_t seen_count, seen_room;
	char **folder; /* of libraries, as the system's loader has them */
	size_t folder_count, folder_room;
	struct buf notes; /* lines: what is not there, and not asked for */
};

void needed_init(struct needed *needed, struct tree *tree);
void needed_fini(struct needed *needed);
/* path: absolute.  A file, a link with its targets, or a folder with all
 * that is in it.  to: its place in the tree, NULL for the same. */
int needed_add(struct needed *needed, const char *path, const char *to,
	       struct err *err);

/* What an ELF file says, all strings within "data": false when it is none
 * of x86-64, or a broken one.  Any bytes are fine. */
struct needed_elf {
	const char *interpreter; /* NULL: none */
	const char *run_path;	 /* NULL: none */
	const char *needs[256];
	int count;
};
/* Whether a library's name or path is of the C library's family. */
bool needed_is_libc(const char *path);
bool needed_elf_read(const void *data, size_t len, struct needed_elf *elf);

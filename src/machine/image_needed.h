/* SPDX-License-Identifier: Apache-2.0 */
/* Files of this system into an image, with what they do not run without: the
 * targets of links, a program's interpreter, shared libraries and those that
 * they need. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "machine/image_tree.h"
#include <stdbool.h>

struct image_needed {
	struct image_tree *tree; /* not owned */
	char **seen;		 /* links and ELF files, sorted */
	size_t seen_count, seen_room;
	char **folder; /* of libraries, as the system's loader has them */
	size_t folder_count, folder_room;
	struct buf notes; /* lines: what is not there, and not asked for */
};

void image_needed_init(struct image_needed *needed, struct image_tree *tree);
void image_needed_fini(struct image_needed *needed);
/* path: absolute.  A file, a link with its targets, or a folder with all
 * that is in it.  to: its place in the machine, NULL for the same. */
int image_needed_add(struct image_needed *needed, const char *path,
		     const char *to, struct err *err);

/* What an ELF file says, all strings within "data": false when it is none
 * of x86-64, or a broken one.  Any bytes are fine. */
struct image_elf {
	const char *interpreter; /* NULL: none */
	const char *run_path;	 /* NULL: none */
	const char *needs[256];
	int count;
};
bool image_elf_read(const void *data, size_t len, struct image_elf *elf);

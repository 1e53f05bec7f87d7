/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of one template: a small file that tells a starter all that it
 * needs to start an instance, in one read.  It holds absolute paths.
 *
 * Each string ends with a 0 byte; "sum" is image_sum() of the struct,
 * the field itself as 0.  An entry is trusted as an image is, by owner and
 * mode. */
#pragma once
#include "brood/program_image.h"
#include <stdint.h>

#define ENTRY_MAGIC   0x59525445444f4f52ull
#define ENTRY_VERSION 2

enum entry_flags {
	ENTRY_DEEP = 2,	     /* stopped inside main: clone only, and only
			      * where no further arguments are given */
	ENTRY_NO_DEMAND = 4, /* start no keeper by yourself, as long as the
			      * program is the one of "refused" */
};

struct start_entry {
	uint64_t magic;
	uint32_t version, struct_bytes;
	uint32_t sum, flags;
	uint32_t base_argc; /* strings in base_argv; 0: argv as given */
	uint32_t base_bytes;
	char program[1024]; /* executed when nothing warm serves */
	char image[1024];
	char live[108];	      /* public name of the serving copy's socket */
	char control[108];    /* the keeper's socket */
	char keeper[1024];    /* program "brood", run as: keeper keep FOLDER */
	char key[32];	      /* the folder's name */
	char status[1024];    /* FOLDER/status: how the keeper stands */
	char base_argv[8192]; /* named templates: argv in front of the
				* user's own arguments */
	struct image_file refused; /* the program as it was; no path */
};

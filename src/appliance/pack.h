/* SPDX-License-Identifier: Apache-2.0 */
/* Makes an appliance: one image of an application, its manifest, and the two
 * programs that go with it.  The same inputs give the same bytes. */
#pragma once
#include "base/args.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/progress.h"
#include <stdbool.h>
#include <stdint.h>

struct pack_wish {
	const char *what; /* a folder, a program's path, or its name */
	const char *as;	  /* a file, a block device, or a folder (ends in /) */
	const char *name, *release; /* NULL: the program's; "" */
	const char *kind;	    /* of the entries; NULL: by what they are */
	const struct args_list *entries; /* NAME[=PATH] */
	const struct args_list *with;	 /* PATH[=TO]: taken along */
	const struct args_list *arguments, *environment, *writable, *ports;
	bool own_libc; /* with the C library: runs where there is another */
	bool warm;
	const char *installer, *start; /* the programs that go with it */
};
struct packed {
	char name[64], hex[65];
	uint64_t bytes, files, content;
	struct buf entries; /* names, a line each */
	struct buf notes;
};
void packed_fini(struct packed *packed);
int pack_appliance(const struct pack_wish *wish, struct progress *progress,
		   struct packed *packed, struct err *err);

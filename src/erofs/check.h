/* SPDX-License-Identifier: Apache-2.0 */
/* Looks through a whole image before anything of it is used: every folder,
 * node and link, not the data of files.  What it lets pass holds nothing but
 * files, folders and links that stay within; each folder has one parent, and
 * its names are sorted and there once. */
#pragma once
#include "erofs/read.h"

/* 0 in each: what stands behind it. */
struct erofs_limits {
	uint64_t nodes_most; /* 1 << 20 */
	uint64_t bytes_most; /* of all files together; 1 << 40 */
	uint32_t depth_most; /* 64 */
	bool allow_absolute; /* links may begin with a / */
};

struct erofs_totals {
	uint64_t files, folders, links; /* names, the root too */
	uint64_t bytes;			/* of files */
};

enum { EROFS_WHY = 512 };

/* An error of enum erofs_code comes with one line in "why": the path and the
 * cause.  What is allowed by the format and not here is EROFS_FOREIGN. */
int erofs_check(const struct erofs *erofs, const struct erofs_limits *limits,
		struct erofs_totals *totals, char why[EROFS_WHY]);

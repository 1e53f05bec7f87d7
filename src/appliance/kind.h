/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of entry: what differs between them is in one table. */
#pragma once
#include "appliance/check.h"
#include "appliance/plan.h"
#include "appliance/record.h"
#include <stdbool.h>

struct kind {
	const char *name;
	bool is_folder; /* what its path is; else a file */
	bool is_listed; /* a loader can be asked for its libraries */
	/* Can the opened path be it? */
	int (*check)(int fd, const char *path, const struct stat *st,
		     struct err *err);
	/* Program and words of a start. */
	int (*plan)(struct plan *plan, struct err *err);
};
extern const struct kind kinds[RECORD_KINDS];

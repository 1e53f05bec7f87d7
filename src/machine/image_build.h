/* SPDX-License-Identifier: Apache-2.0 */
/* A first file system for a machine: a static busybox, the agent, an init
 * that starts both, and what the user wants in it.
 *
 *	/init		mounts, loads modules, says "brood: machine ready"
 *	/etc/inittab	the agent, and a shell on the first serial port
 *	/etc/brood	start: run by init if it is there; modules; release
 *	/bin, /sbin	busybox's names (made at the start), the agent
 *
 * The same inputs give the same bytes. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/progress.h"
#include <stdint.h>

struct image_plan {
	const char *output;
	const char *agent;
	const char *kernel; /* NULL: the newest in /boot */
	const char
		*compression; /* "zstd", "gzip", "none"; NULL: what is there */
	const char *const *with; /* PATH or PATH=TO */
	int with_count;
	const char *const *modules;
	int module_count;
};
struct image_built {
	uint64_t bytes, unpacked; /* of the file, of what is in it */
	uint64_t entries;
	const char *compression;
	char release[65];   /* "": no module was wanted */
	struct buf modules; /* lines */
	struct buf notes;   /* lines: what the user should know */
};

int image_build(const struct image_plan *plan, struct image_built *built,
		struct progress *progress, struct err *err);
void image_built_fini(struct image_built *built);

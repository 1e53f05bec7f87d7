/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping table of a process, read from /proc/PID/maps, and what its
 * pages are made of, from /proc/PID/pagemap and smaps_rollup. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct map {
	uint64_t start, end, offset;
	uint64_t dev, ino; /* dev as st_dev; 0 for memory without a file */
	int prot;	   /* PROT_* */
	bool shared;
	bool deleted;	  /* the kernel says that the file has no name now */
	const char *name; /* "" when it has none; points into the table */
};
struct maps {
	struct map *map;
	size_t count;
	char *text; /* owned, behind the names */
};
int maps_read(pid_t pid, struct maps *maps, struct err *err); /* 0: self */
int maps_parse(const char *text, size_t len, struct maps *maps,
	       struct err *err);
void maps_fini(struct maps *maps);
#define auto_maps __attribute__((cleanup(maps_fini)))
const struct map *maps_find(const struct maps *maps, uint64_t addr);

/* Memory of a process as the kernel sums it up, in KiB. */
struct maps_memory {
	uint64_t rss, pss, shared, private_clean, private_dirty;
};
int maps_memory(pid_t pid, struct maps_memory *memory, struct err *err);

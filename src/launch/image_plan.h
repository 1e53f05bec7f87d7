/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory of a stopped program an image saves, and which is mapped from
 * the files that it came from. */
#pragma once
#include "base/maps.h"
#include "brood/program_image.h"
#include "launch/shim_control.h"
#include <stddef.h>

struct image_plan {
	struct image_map *map; /* at: offset in its file; of saved ones 0 */
	size_t count, room;
	const char **file; /* path of each file, into maps */
	uint64_t *ino;
	size_t files;
	uint64_t vdso, vdso_bytes, vvar, vvar_bytes, vvar_clock,
		vvar_clock_bytes;
	uint64_t stack_low, stack_high, heap_end;
	char refused[160]; /* why this memory cannot be an image, "" */
};
/* maps must live as long as the plan. */
int image_plan_make(pid_t pid, const struct maps *maps,
		    const struct control_stopped *stopped,
		    struct image_plan *plan, struct err *err);
void image_plan_fini(struct image_plan *plan);
/* Index of the file of that name, made when it is new. */
int image_plan_file(struct image_plan *plan, const char *path, uint64_t ino);

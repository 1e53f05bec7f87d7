/* SPDX-License-Identifier: Apache-2.0 */
/* A variable of an object is reached by its address: relative to the
 * instruction, absolute in 32 bits in programs that cannot move, or through
 * a pointer in its data.  Where nothing refers to a word of an object's data
 * it is padding, or part of something larger that was copied with garbage
 * from the stack.
 *
 * The search takes every four bytes of code for a possible displacement, so
 * it finds references that are none, but misses none of these kinds. */
#include "launch/refer.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { REFER_PART = 1 << 20, REFER_OVERLAP = 8 };

/* An immediate may follow the displacement, 1, 2 or 4 bytes long. */
static bool refer_is_displacement(uint64_t behind, int32_t displacement,
				  uint64_t target)
{
	uint64_t rest = target - (behind + (int64_t)displacement);

	return rest == 0 || rest == 1 || rest == 2 || rest == 4;
}

static bool refer_in_code(const char *part, size_t len, uint64_t at,
			  uint64_t target)
{
	for (size_t i = 0; i + 4 <= len; i++) {
		int32_t word;

		memcpy(&word, part + i, sizeof word);
		if (refer_is_displacement(at + i + 4, word, target))
			return true;
		if (target >> 32 == 0 && (uint32_t)word == target)
			return true;
	}
	return false;
}

static bool refer_in_data(const char *part, size_t len, uint64_t target)
{
	for (size_t i = 0; i + 8 <= len; i += 8)
		if (memcmp(part + i, &target, sizeof target) == 0)
			return true;
	return false;
}

static bool refer_in_map(int memory, const struct map *map, char *part,
			 uint64_t target)
{
	bool code = map->prot & PROT_EXEC;

	for (uint64_t at = map->start; at < map->end;
	     at += REFER_PART - REFER_OVERLAP) {
		size_t len =
			map->end - at < REFER_PART ? map->end - at : REFER_PART;
		ssize_t n = pread(memory, part, len, at);

		if (n <= 0)
			continue;
		if (code ? refer_in_code(part, n, at, target)
			 : refer_in_data(part, n, target))
			return true;
	}
	return false;
}

bool refer_to(int memory, const struct maps *maps, const char *owner,
	      uint64_t target)
{
	char *part = malloc(REFER_PART);
	bool found = part == NULL; /* unsure: then it counts */

	for (size_t i = 0; i < maps->count && !found; i++)
		if (strcmp(maps->map[i].name, owner) == 0 &&
		    (maps->map[i].prot & PROT_READ))
			found = refer_in_map(memory, &maps->map[i], part,
					     target);
	free(part);
	return found;
}

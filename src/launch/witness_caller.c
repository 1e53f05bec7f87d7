/* SPDX-License-Identifier: Apache-2.0 */
/* A static stream of libLLVM asks at its start what stderr is and where it
 * stands, for the case that somebody seeks in it.  Nobody can: it is given
 * out as llvm::errs(), a stream that only writes.  As a fact it would start
 * every compiler cold whose messages go to a file, as under "make >log 2>&1".
 *
 * The library is the one that called lseek() or fstat(): in the C library
 * these have no frame, so their return address is on top of the stack.  Were
 * that otherwise, no library would be found, and the question be a fact. */
#include "launch/witness_caller.h"
#include "base/file.h"
#include "base/maps.h"
#include <string.h>
#include <unistd.h>

static bool caller_is_in(const struct sight *sight, uint64_t address,
			 const char *library)
{
	auto_maps struct maps maps = { 0 };
	const struct map *map;

	if (maps_read(sight->pid, &maps, NULL) < 0)
		return false;
	map = maps_find(&maps, address);
	return map && !strncmp(file_base(map->name), library, strlen(library));
}

bool caller_asks_idly(const struct sight *sight, int fd)
{
	uint64_t back;

	return fd == STDERR_FILENO &&
	       see_bytes(sight, sight->stack, &back, sizeof back) &&
	       caller_is_in(sight, back, "libLLVM");
}

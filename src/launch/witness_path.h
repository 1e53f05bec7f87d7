/* SPDX-License-Identifier: Apache-2.0 */
/* What a system call on a path says about the start of a program.  Private
 * to witness*.c. */
#pragma once
#include "launch/witness_see.h"

enum path_look {
	PATH_FILE,     /* stat, access: follows links */
	PATH_ITSELF,   /* lstat */
	PATH_READLINK, /* what a link holds */
	PATH_OPEN,     /* its bytes are going to be read */
};

void path_begin(struct sight *sight);
bool path_is_at_start(const struct sight *sight);
/* The entries of an open folder are read. */
void path_listed(struct sight *sight, int fd);
/* fd: AT_FDCWD or the folder that a relative path starts from; at: of the
 * path in the program; flags: of an open, else 0. */
void path_seen(struct sight *sight, int fd, uint64_t at, enum path_look look,
	       uint64_t flags);

/* SPDX-License-Identifier: Apache-2.0 */
/* Who asked?  Some libraries are known to put a question at their start whose
 * answer can change nothing.  Private to witness*.c. */
#pragma once
#include "launch/witness_see.h"

/* lseek() or fstat() on stderr, at its exit: by a library that does not use
 * the answer. */
bool caller_asks_idly(const struct sight *sight, int fd);

/* SPDX-License-Identifier: Apache-2.0 */
/* Modules of loops over memory, as compilers write them: by index or by
 * pointer, up or down, one turn or several written out as one; some of whose
 * lines overlap, leave the memory, or wrap.  Exports are as generate.h says,
 * and no float is a NaN. */
#pragma once
#include "base/buf.h"
#include <stdint.h>

/* Its text too, where "text" is not NULL. */
void generate_loops(uint64_t number, struct buf *binary, struct buf *text);

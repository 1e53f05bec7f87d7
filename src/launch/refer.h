/* SPDX-License-Identifier: Apache-2.0 */
/* Does code or data of an object refer to an address in it? */
#pragma once
#include "base/maps.h"
#include <stdbool.h>

/* memory: /proc/PID/mem.  Looks through all mappings whose name is owner. */
bool refer_to(int memory, const struct maps *maps, const char *owner,
	      uint64_t target);

/* SPDX-License-Identifier: Apache-2.0 */
/* Is this packet one of the protocol's, whole and in bounds? */
#pragma once
#include "brood/wire.h"
#include <stddef.h>

/* NULL when packet (len bytes came, with fd_count descriptors) is a well
 * formed one of the given type, else words for what is wrong. */
const char *wire_check(const void *packet, size_t len, int fd_count,
		       enum wire_type type);
/* Strings of a launch: argc + envc of them, ending exactly at len. */
const char *wire_check_strings(const char *strings, size_t len, uint32_t argc,
			       uint32_t envc);

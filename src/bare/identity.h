/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is towards the kernel, in the parts that a clone cannot
 * take over from its caller. */
#pragma once
#include "brood/wire.h"

/* ignored: the ignored signals as well, from the same file; may be NULL. */
void identity_read(struct wire_identity *identity, uint64_t *ignored);
/* NULL when they agree, else the words for the first part that differs:
 * "the cgroup differs". */
const char *identity_difference(const struct wire_identity *a,
				const struct wire_identity *b);

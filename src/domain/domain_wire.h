/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the launch protocol of domains, checked and made. */
#pragma once
#include "brood/domain_wire.h"
#include <stddef.h>

/* NULL: the packet is one of this type, in form; else why not. */
const char *domain_wire_check(const void *packet, size_t len, int fd_count,
			      enum domain_wire_type type);
/* How many of 0, 1 and 2 come with it. */
int domain_wire_fds(uint32_t stdio);
/* A head for a packet of so many bytes. */
struct domain_wire_head domain_wire_head(enum domain_wire_type type,
					 size_t size);
/* Where each string begins, into [argc + envc]; the packet was checked. */
void domain_wire_strings(struct domain_wire_launch *launch, char **strings);

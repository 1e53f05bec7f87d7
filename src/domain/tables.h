/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's page tables: pages in its memory that ring 3 cannot see.
 *
 *  1. Accessed and dirty are set in each entry from the begin: a CPU that
 *     walks writes nothing, so that clones share the tables.
 *  2. Something present is never made absent here.  What was absent needs no
 *     flush.
 *  3. Entries are read back: each place that they name is checked to be a
 *     table before it is touched.
 *
 * CLAIM 3.6 3.12 */
#pragma once
#include "base/err.h"
#include "brood/guest_abi.h"

enum tables_flag {
	TABLES_WRITE = 1 << 0,
	TABLES_EXECUTE = 1 << 1,
	TABLES_KERNEL = 1 << 2, /* not for ring 3 */
};

struct tables {
	uint8_t *memory; /* where GUEST_TABLES_AT is seen */
	uint32_t used;	 /* tables; the first is the root */
};

/* The memory is zero. */
void tables_init(struct tables *tables, uint8_t *memory);
/* All are multiples of a page; what is mapped already stays as it is.  Large
 * pages are taken where both addresses allow it.  -ENOMEM: there is no table
 * left. */
int tables_map(struct tables *tables, uint64_t virtual, uint64_t physical,
	       uint64_t bytes, unsigned flags, struct err *err);
/* For tests: where the address is found, UINT64_MAX: nowhere. */
uint64_t tables_find(const struct tables *tables, uint64_t virtual,
		     uint64_t *entry);

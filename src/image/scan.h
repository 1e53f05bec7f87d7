/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of a private mapping a process has of its own, and which it
 * has touched.  Its page tables tell, at a cost of a millisecond at any size
 * where the kernel has PAGEMAP_SCAN (6.7). */
#pragma once
#include "base/err.h"
#include "image/pages.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum scan_what {
	SCAN_PRIVATE, /* written: in memory, or swapped out */
	SCAN_TOUCHED, /* read or written, and still in its page tables */
};
/* Offsets count from "at". */
int scan_process(pid_t pid, uint64_t at, uint64_t bytes, enum scan_what what,
		 struct ranges *found, struct err *err);
/* The same of this process, by its /proc/self/pagemap, opened before. */
int scan_own(int pagemap, const void *at, uint64_t bytes, enum scan_what what,
	     struct ranges *found, struct err *err);
/* Does the kernel have PAGEMAP_SCAN? */
bool scan_is_quick(void);

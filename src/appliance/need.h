/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry needs beside its payload, for who starts it in another file
 * system than this host's. */
#pragma once
#include "appliance/context.h"
#include "appliance/record.h"

/* *interpreter: the C library's loader, or that of the script, by its path:
 * malloced; NULL: none, or the payload's own.  Of byte code nothing is needed,
 * and all of it is read, so that it is in memory.  The payload may lie on a
 * share that hangs: a helper reads, as the context's limits are, and no longer
 * than that time. */
int need_read(const struct context *context, const char *root,
	      const struct record_entry *entry, int left_ms, char **interpreter,
	      struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry needs beside its payload, for who starts it in another file
 * system than this host's. */
#pragma once
#include "appliance/context.h"
#include "appliance/record.h"

struct need {
	/* The C library's loader, or that of the script, by its path; NULL:
	 * none, or the payload's own. */
	char *interpreter;
	bool has_it; /* the payload has it at that path */
	/* The payload's folders: two words for each, with a 0 behind them, an
	 * empty one ends them: NAME, as which a program's children look for it
	 * below /, and where it is in the payload, without links.  They are two
	 * where the payload has a link, or usr/NAME alone, as systems have it.
	 * What leads out of the payload is none of its folders. */
	char *folders;
};
/* Of byte code nothing is needed, and all of it is read, so that it is in
 * memory.  The payload may lie on a share that hangs: a helper reads, as the
 * context's limits are, and no longer than that time. */
int need_read(const struct context *context, const char *root,
	      const struct record_entry *entry, int left_ms, struct need *need,
	      struct err *err);
void need_fini(struct need *need);

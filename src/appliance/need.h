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
	/* The payload's folders, each with a 0 behind it, an empty one ends
	 * them: a program's children look for what they need below /.  One
	 * that is usr/NAME is NAME there, too, as systems have it. */
	char *folders;
};
/* Of byte code nothing is needed, and all of it is read, so that it is in
 * memory.  The payload may lie on a share that hangs: a helper reads, as the
 * context's limits are, and no longer than that time. */
int need_read(const struct context *context, const char *root,
	      const struct record_entry *entry, int left_ms, struct need *need,
	      struct err *err);
void need_fini(struct need *need);

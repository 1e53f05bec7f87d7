/* SPDX-License-Identifier: Apache-2.0 */
/* The context of an install, written whole under another name and then given
 * its own: a start sees the one before, this one, or none. */
#pragma once
#include "appliance/appliance.h"
#include "appliance/install.h"

/* What the steps of an install hand on. */
struct install {
	const struct install_wish *wish; /* wished, filled */
	struct install_wish wished;
	struct context before; /* usual limits where there was none */
	struct installed *installed;
	struct appliance appliance;
	struct published published;
	struct record record; /* what counts on the share */
	char *root, *mounts, *share, *bin, *folder;
	char host[33];
	/* of each entry */
	char *path[RECORD_ENTRIES], *target[RECORD_ENTRIES],
		*saved[RECORD_ENTRIES];
};

int install_no_memory(struct err *err);
/* One at a time on this host: the descriptor that holds the lock. */
int install_lock(const char *root, struct err *err);
/* CLAIM 4.5.  Sets folder's content; install->folder is known before. */
int install_context(struct install *install, struct err *err);
/* The folder goes; what the application wrote stays under .data.NAME, unless
 * purge says otherwise. */
int install_drop_context(const struct context *context, bool purge,
			 struct buf *notes, struct err *err);
/* What was left by those that were cut off.  Returns 1 where that was an
 * uninstall that had but to tidy up. */
int install_sweep(const char *root, const char *name, struct err *err);

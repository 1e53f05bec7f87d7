/* SPDX-License-Identifier: Apache-2.0 */
/* The daemons that serve a machine's virtiofs shares, one each.
 *
 *  1. A daemon has one line, and ends when that closes.  The line is made
 *     before the daemon, and its other end goes to the hypervisor alone: so
 *     whoever is killed when, the daemon ends.
 *  2. It holds the lock of the file "daemonN" in the machine's folder, where
 *     its process is told: one that does not end is killed by who removes the
 *     folder, and no other process is ever mistaken for it. */
#pragma once
#include "base/err.h"
#include "machine/lent.h"

/* The one that BROOD_VIRTIOFSD names, one in PATH, or where systems keep it;
 * malloced. */
int virtiofsd_find(char **path, struct err *err);
/* Those of all virtiofs shares: each item's line and process are set.
 * dies_with_us: they are killed when the thread that starts them ends. */
int virtiofsd_start(const char *folder, struct lent *lent, bool dies_with_us,
		    struct err *err);
/* Fails with a daemon's last words where one of them, started here, has
 * ended. */
int virtiofsd_check(const char *folder, const struct lent *lent,
		    struct err *err);
/* After virtiofsd_start here; their lines are closed. */
void virtiofsd_reap(struct lent *lent);
bool virtiofsd_lives(const char *folder, int number);
/* Of a machine that is gone: waits for its daemons, and kills what stays. */
void virtiofsd_end_all(const char *folder);

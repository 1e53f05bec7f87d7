/* SPDX-License-Identifier: Apache-2.0 */
/* Do file locks of one host exclude the other on this storage?  Nobody can
 * tell from one host: a lock that does not pass is granted to both.  So the
 * probe runs on two at the same time, and what was found is kept:
 *
 *	probe/here.<id>		who is here, and how far it is
 *	probe/claim.<id>	who goes with it
 *	probe/lock.<id>		what both lock
 *	probe.proven		{"format":"brood-probe","version":1,
 *				 "types":["nfs4"]}
 *
 * types: the kinds of file system by which hosts were seen to exclude each
 * other there; a host that has the folder by another one proves nothing by
 * that file. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

enum { PROBE_WAIT_MS = 30 * 1000 };

/* Called at each look; false gives up (-ECANCELED). */
typedef bool probe_tick(void *ctx);

/* 2: two hosts exclude each other.  1: two processes of this host do, on a
 * file system that no other host has.  Both are proven from then on.
 * -EPROTO: they do not, and nothing is proven any more.  -ETIME: nobody else
 * came, or it went away.  tick may be NULL. */
int probe_run(const char *path, int wait_ms, probe_tick *tick, void *ctx,
	      struct err *err);
/* Is it proven for the file system that this host has there?  1, 0. */
int probe_is_proven(int root, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* The server of one program: starts its workers, replaces those that end, and
 * answers for them.  Launches do not pass through it: workers take them from
 * the socket that it has made.
 *
 *	live	<- starters		workers accept, in their jails
 *	control <- ps, stop, refresh	the server answers
 *
 *  1. Who connects to "live" finds a worker that can take a launch: where fewer
 *     can than shall, because they are full or end, more are started, up to
 *     SERVER_WORKERS, or SERVER_ALONE.
 *  2. A refresh opens the program anew and makes workers of it on a socket of
 *     their own; only when those take launches it gets the name, and the
 *     workers before end when nothing runs in them any more.
 *  3. A worker that ends takes nothing with it but its launches, whose callers
 *     see their connections end.
 *  4. The server's end is that of its workers. */
#pragma once
#include "domain/server_place.h"
#include "domain/worker.h"

/* Of a generation; without KVM each has one domain. */
enum { SERVER_WORKERS = 8, SERVER_ALONE = 32 };

struct server_plan {
	const struct server_place *place;
	const char *name;    /* NULL: by its path */
	const char *program; /* the path */
	uint32_t waiting;    /* domains that wait */
	int64_t idle_ms;     /* 0: it never ends by itself */
	/* Opens the program, as it is now, for the workers of a generation;
	 * listener, generation and waiting are the server's business. */
	int (*open)(void *env, struct worker_plan *plan, struct err *err);
	/* Of two that are open, the newer one or the older one is not used any
	 * more; of one, that one. */
	void (*drop)(void *env, bool newer);
	void (*ready)(void *env); /* launches are taken */
	void *env;
};
/* Until it is told to stop, by a word, a signal, or for idleness. */
int server_run(const struct server_plan *plan, const char *root,
	       struct err *err);

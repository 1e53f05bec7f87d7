/* SPDX-License-Identifier: Apache-2.0 */
/* Where a served program's sockets are: a folder of the user's own, below the
 * one for sockets of all that lives.
 *
 *	ROOT/domain-HASH/	HASH of the name that it is launched by
 *		lock		held by the server as long as it lives
 *		live		where launches are taken
 *		control		"status", "stop", "refresh": a JSON object each
 *
 * What a killed server leaves is removed by the next one, of any name. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

struct server_place {
	char *folder, *lock, *live, *control;
};
/* Of a name, or of a program's absolute path; paths only. */
int server_place_find(const char *root, const char *name,
		      struct server_place *place, struct err *err);
void server_place_fini(struct server_place *place);
#define auto_server_place __attribute__((cleanup(server_place_fini)))
bool server_place_is_kept(const struct server_place *place);
/* Each that is kept now; stops at a result that is not 0. */
typedef int server_place_visit(const struct server_place *place, void *context);
int server_place_each(const char *root, server_place_visit *visit,
		      void *context);
/* Makes the folder and takes the lock: the descriptor that holds it.  -EALREADY
 * where another server lives there.  What killed ones left is removed. */
int server_place_take(const char *root, const struct server_place *place,
		      struct err *err);
/* Removes all of it; the caller holds the lock. */
void server_place_leave(const struct server_place *place);
/* A word to the server, its answer; -ECONNREFUSED: there is none. */
int server_ask(const struct server_place *place, const char *word,
	       int timeout_ms, struct buf *answer, struct err *err);

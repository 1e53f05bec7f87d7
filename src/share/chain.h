/* SPDX-License-Identifier: Apache-2.0 */
/* A chain: files PREFIX.<N> in a folder that hosts share, each whole and never
 * changed, numbered without gaps; old ones are trimmed.  To add number N is a
 * compare-and-swap: who thought N - 1 to be the last while another one added
 * N gets -EEXIST, and who was away for so long that N has been trimmed again
 * gets -ESTALE.
 *
 * 1. An entry appears whole: link(2) of a finished file.  The answer EEXIST is
 *    trusted; after any other failure the number of links decides.
 * 2. An entry is deleted only when all before it are.  So if N - 1 is there
 *    after N was added, N never was there before.
 * 3. What exists is found out by open.  A listing or the file PREFIX.hint
 *    tells where to begin to look, never what is.
 *
 * Errors name the files; the caller puts the folder in front. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHAIN_PREFIX_MOST = 64, CHAIN_NAME_ROOM = CHAIN_PREFIX_MOST + 48 };

/* The last number; 0 where there is none at all. */
int chain_last(int dir, const char *prefix, uint64_t *last, struct err *err);
/* n is the last number and 1.  -EEXIST: another one was first.  -ESTALE: the
 * chain has left that number behind.  What was added survives a crash. */
int chain_add(int dir, const char *prefix, uint64_t n, const void *data,
	      size_t len, struct err *err);
int chain_read(int dir, const char *prefix, uint64_t n, struct buf *to,
	       size_t most, struct err *err); /* -ENOENT, -EFBIG */
/* Deletes old entries, the lowest first, and keeps the "keep" last ones (2 at
 * least).  One call deletes some dozens at most. */
int chain_trim(int dir, const char *prefix, uint64_t last, uint64_t keep,
	       struct err *err);
/* The number in a name of this chain's. */
bool chain_number(const char *prefix, const char *name, uint64_t *n);

/* A file of any name, whole and synced, unless there is one: -EEXIST. */
int chain_put(int dir, const char *name, const void *data, size_t len,
	      struct err *err);

/* ---- for who does more between the steps ---------------------------------- */

struct chain_draft {
	int fd;
	char name[CHAIN_NAME_ROOM];
};
/* A finished file under a name of its own, "PREFIX.new.<tag>"; what other
 * hosts read of it is what was written.  synced: survives a crash. */
int chain_draft_open(int dir, const char *prefix, const char *tag,
		     const void *data, size_t len, bool synced,
		     struct chain_draft *draft, struct err *err);
int chain_draft_link(int dir, const struct chain_draft *draft,
		     const char *prefix, uint64_t n, struct err *err);
/* Drops its own name and the descriptor. */
void chain_draft_close(int dir, struct chain_draft *draft);

/* Which file a name led to, as its server had it at that moment. */
struct chain_seen {
	uint64_t dev, ino;
	uint64_t links;
	bool is_file;
};
int chain_see(int fd, struct chain_seen *seen); /* -ENOENT */
/* For reading; -ENOENT.  seen may be NULL. */
int chain_open(int dir, const char *prefix, uint64_t n, struct chain_seen *seen,
	       struct err *err);
/* The last one: -ENOENT and *last = 0 where there is none, -EAGAIN when it
 * moved all the while. */
int chain_last_open(int dir, const char *prefix, uint64_t *last,
		    struct chain_seen *seen, struct err *err);
/* Is entry n there, by a fresh open, and the very file that was seen before
 * (and is open still; NULL: any)?  1, 0, or an error. */
int chain_is_there(int dir, const char *prefix, uint64_t n,
		   const struct chain_seen *before, struct err *err);
/* The lowest and the highest number that a listing shows (0, 0: none). */
int chain_list(int dir, const char *prefix, uint64_t *least, uint64_t *most,
	       struct err *err);
/* Takes back an entry that turned out to stand where no entry is any more. */
void chain_drop(int dir, const char *prefix, uint64_t n);
void chain_hint(int dir, const char *prefix, uint64_t n);
/* Writes through to the server; no word on its disk. */
int chain_flush(int fd);

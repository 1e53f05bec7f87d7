/* SPDX-License-Identifier: Apache-2.0 */
/* What the two kinds of lock have in common: the record of a holder.
 *
 *	at  0	"brood-lock 1 "
 *	   13	'H' held, 'F' free
 *	   14	' ' and 16 hex digits: the beat
 *	   31	' ' and 16 hex digits: the epoch
 *	   48	' ' and 16 hex digits: since when (ms)
 *	   65	' ' and 32 hex digits: the nonce, new for each holder
 *	   98	' ' and 32 hex digits: the host
 *	  131	' ', words, '\n'
 *
 * State and beat are rewritten in place, by the holder alone, so that a late
 * write can never bring a file back that was deleted meanwhile.  Who reads a
 * half written beat sees a change, which is all that a beat tells. */
#pragma once
#include "share/lock.h"
#include <stddef.h>

enum {
	LOCK_STATE_AT = 13,
	LOCK_STATE_LEN = 18, /* with the beat */
	LOCK_RECORD_MOST = 264,
};

struct lock_record {
	char text[LOCK_RECORD_MOST + 1];
	size_t len;
};

/* What "lock" has become, as the holder that share->words tells. */
void lock_record_make(const struct share *share, const struct share_lock *lock,
		      bool held, struct lock_record *record);
/* False: that is no record (of this epoch, unless it is 0).  What it says
 * then is that somebody unknown holds the lock. */
bool lock_record_parse(const char *data, size_t len, uint64_t epoch,
		       struct share_holder *holder);
/* At most so much as a record has; the rest is not looked at. */
int lock_record_load(int fd, struct lock_record *record);
/* In place. */
int lock_record_write_state(int fd, bool held, uint64_t beat);

/* What a waiter saw last, and how long it has been so. */
struct lock_watch {
	uint64_t epoch;
	struct lock_record record;
	uint64_t seen_ns, still_ns;
	bool is_dead;  /* did not stir for the TTL */
	uint64_t most; /* the highest epoch that this very wait has seen */
	struct share_holder holder;
};

/* One kind of lock.  All return negative errors. */
struct lock_kind {
	const char *folder;	   /* where it lies in a share */
	bool (*is_used)(int root); /* did it ever have a holder? */
	/* Makes what it needs, unless it is there. */
	int (*make)(int root, struct err *err);
	/* 1: taken; 0: held by what the watch tells. */
	int (*try)(struct share_lock *lock, struct lock_watch *watch,
		   struct err *err);
	int (*look)(int folder, struct share_holder *holder, struct err *err);
	int (*beat)(struct share_lock *lock);
	/* -ESTALE: lost; without words. */
	int (*check)(const struct share_lock *lock, struct err *err);
	int (*release)(struct share_lock *lock);
};
extern const struct lock_kind lock_ofd, lock_lease;
const struct lock_kind *lock_kind_of(enum share_backend backend);
int lock_folder(const struct share *share, struct err *err);
/* -ENOENT, in words. */
int lock_is_removed(const char *name, struct err *err);
/* Has it been unchanged for the TTL?  To be told each look. */
void lock_watch_see(struct lock_watch *watch, uint64_t epoch,
		    const struct lock_record *record, long ttl_ms);

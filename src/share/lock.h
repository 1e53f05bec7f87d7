/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of a share: one holder among all hosts.  docs/why/lock.md tells
 * why it is as it is.
 *
 *	ofd	an open-file-description lock of one file: where the storage
 *		is known to pass such locks on to other hosts
 *	lease	a chain of epochs: e.<N> is written by its holder, again and
 *		again; who waits and sees it unchanged for the TTL of the share
 *		takes e.<N+1> instead
 *
 * A holder that was paused may come back and find that it holds no more.
 * share_lock_check sees that, but no check can exclude a pause right behind
 * it: what is done under the lock has to be committed by chain_add, which
 * then fails.
 *
 * Nothing here waits in the kernel for a lock, but any system call on storage
 * whose server is gone may never return: that is for a process beside
 * (base/helper.h), which may be killed at any step.
 *
 * Nobody may fork and leave the child alone while a lock is held: the child
 * would keep the descriptors, and with them what is locked by them. */
#pragma once
#include "base/err.h"
#include "share/share.h"
#include <stdbool.h>
#include <stdint.h>

enum { SHARE_WORDS_MOST = 127 };

struct share_holder {
	bool held;
	uint64_t epoch;
	uint64_t beat;	/* changes as long as the holder lives */
	uint64_t since; /* wall time in ms on the holder's clock, 0 unknown */
	char host[SHARE_ID_CHARS + 1]; /* "" unknown */
	char nonce[SHARE_ID_CHARS + 1];
	char words[SHARE_WORDS_MOST + 1];
};

struct share_lock {
	const struct share *share;
	int fd;		/* of e.<N>, or of the file that is locked */
	int folder;	/* lock/ */
	int queue;	/* among those of this host; -1 without one */
	uint64_t epoch; /* grows from holder to holder */
	uint64_t beat, beat_ns;
	bool was_held; /* by another one, when it was asked for */
	char nonce[SHARE_ID_CHARS + 1];
};
#define SHARE_LOCK_NONE \
	((struct share_lock){ .fd = -1, .folder = -1, .queue = -1 })

/* Called at each look of who waits; false gives up (-ECANCELED). */
typedef bool share_lock_tick(void *ctx);

/* Is there a lock, and whose?  A holder that died is one for its TTL. */
int share_lock_look(const struct share *share, struct share_holder *holder,
		    struct err *err);
/* wait_ms: 0 tries once, < 0 waits without end.  tick may be NULL.
 * -EWOULDBLOCK names the holder.  The share has to outlive the lock. */
int share_lock_take(const struct share *share, int wait_ms,
		    share_lock_tick *tick, void *ctx, struct share_lock *lock,
		    struct err *err);
/* To be called often, at least each TTL/4; writes when TTL/3 has passed since
 * it last did.  -ESTALE: another one has broken the lock. */
int share_lock_beat(struct share_lock *lock, struct err *err);
/* Before a commit: -ESTALE when it is known not to be held any more. */
int share_lock_check(const struct share_lock *lock, struct err *err);
/* Also of one that is not held, and of one that was broken. */
int share_lock_release(struct share_lock *lock, struct err *err);

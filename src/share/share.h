/* SPDX-License-Identifier: Apache-2.0 */
/* Storage that several hosts use at once: a folder, on a disk of this host or
 * behind 9p, virtiofs or NFS.
 *
 *	brood.json	what it is; written once, never changed
 *	lock/		the lock (share/lock.h)
 *	payloads/	applications, by digest
 *	apps/		their versions, by number (share/chain.h)
 *	hosts/		who uses what
 *	probe.proven	what is known of locks there (share/probe.h)
 *
 * A share says itself which lock it has.  Who would use another one is
 * refused: two kinds of lock exclude nobody. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

enum share_backend { SHARE_OFD, SHARE_LEASE };
enum {
	SHARE_ID_CHARS = 32, /* ids and hosts: so many hex digits */
	SHARE_TTL_LEAST_MS = 100,
	SHARE_TTL_MOST_MS = 3600 * 1000,
	SHARE_TTL_USUAL_MS = 10 * 1000,
};

struct share_wish {
	enum share_backend backend;
	long ttl_ms;   /* 0: the usual one, or what one that is there has */
	bool any_lock; /* one that is there may have the other kind */
	/* OFD locks only where they were seen to exclude other hosts
	 * (share/probe.h). */
	bool needs_proof;
};

struct share {
	int root;
	char *path;
	enum share_backend backend;
	long ttl_ms; /* a holder that does not stir so long is broken */
	char id[SHARE_ID_CHARS + 1];
	char host[SHARE_ID_CHARS + 1];
	/* Set by the caller after the opening, and the caller's. */
	const char *local; /* a folder of this host alone, for queues; NULL */
	const char *words; /* what a holder says of itself; NULL */
};
#define SHARE_NONE ((struct share){ .root = -1 })

/* Makes the folder a share, with all folders above it.  One that is a share
 * already is accepted if it is as wished, and what its lock lacks is made
 * anew; any other is -EEXIST;
 * one whose locks are not proven, and have to be, is -EPROTO.  Two makers at once agree or one is refused. */
int share_make(const char *path, const struct share_wish *wish,
	       struct err *err);
/* Refuses, in words, what is no share or one of another kind.  host: the
 * identity of the caller's host. */
int share_open(const char *path, const char *host, struct share *share,
	       struct err *err);
void share_close(struct share *share); /* accepts one that is closed */
#define auto_share __attribute__((cleanup(share_close)))

const char *share_backend_name(enum share_backend backend); /* "ofd", "lease" */
int share_backend_of(const char *name);			    /* -EINVAL */
bool share_is_id(const char *text);
int share_new_id(char id[SHARE_ID_CHARS + 1], struct err *err);

/* What is in a brood.json, from any bytes. */
struct share_facts {
	enum share_backend backend;
	long ttl_ms;
	char id[SHARE_ID_CHARS + 1];
};
int share_facts_read(const char *text, unsigned long len,
		     struct share_facts *facts, struct err *err);

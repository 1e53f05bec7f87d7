/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: a jailed process with domains of one program that wait, and
 * threads that run them.						CLAIM 3.11
 *
 *	server			listens, starts workers, replaces them
 *	  worker		a process in a jail; at most 32 VMs
 *	    runner ...		a thread and its domain: takes a launch from
 *				the socket, runs it to its end, answers, resets
 *	    reaper		closes domains that are used up
 *	    main		starts runners when too few wait; ends the runs
 *				whose callers have gone
 *
 *  1. A domain belongs to one thread from its making to its end.
 *  2. One launch at a time is in a domain, and none finds anything of the one
 *     before: reset, or closed and made anew.
 *  3. What a worker may do was opened before: KVM, the layers' files, the
 *     granted folders and sockets, its two sockets.
 *  4. Without KVM a domain is a process: a worker has one, and one runner, and
 *     ends when it is used up.
 *  5. A worker that is killed loses what ran in it, and nothing else.  One
 *     whose server has ended ends. */
#pragma once
#include "domain/ground.h"
#include "domain/ready.h"
#include <sys/types.h>

enum {
	WORKER_VMS = 32,
	/* One VM is the sentinel, one may be with the reaper. */
	WORKER_RUNNERS = WORKER_VMS - 2,
	WORKER_USES = 4096, /* of a domain, then it is closed */
	/* Tenants of a shared domain, then it is reset: what the guest has of
	 * them is gone only then. */
	WORKER_TENANTS = 64,
};

struct worker_plan {
	struct ready *ready;
	const struct wasi *like; /* its folders and sockets */
	int listener;
	uint64_t generation;
	char *const *arguments; /* in front of each launch's */
	size_t argument_count;
	char *const *environment; /* likewise */
	size_t environment_count;
	int64_t timeout_ms; /* the most that a launch may take; 0: no limit */
	uint32_t waiting;   /* domains that wait; 0: none is made ahead */
	/* One domain for all launches, one after the other, each in an
	 * instance of its own: weaker walls, and no reset between them. */
	bool is_shared;
};

/* Shared with the worker, which writes it; whoever reads it believes no more
 * of it than that the worker says so. */
struct worker_page {
	uint32_t walls; /* enum jail_wall */
	uint32_t runners, waiting, running, domains;
	uint64_t launches, resets, discarded, gone;
	uint64_t used_ns;	      /* something ran, CLOCK_MONOTONIC */
	uint64_t own_kib, shared_kib; /* since it was asked the last time */
};

/* Over its channel, a byte a packet. */
enum worker_word {
	WORKER_DRAIN = 'D', /* take no more launches, end when none runs */
	WORKER_WEIGH = 'W', /* fill own_kib and shared_kib, and answer so */
	WORKER_FULL = 'F',  /* from the worker: all of its runners run */
	WORKER_ENDS = 'E',  /* likewise: it takes no more, and shall not */
};

struct worker {
	pid_t pid; /* 0: there is none */
	int channel;
	struct worker_page *page;
	uint64_t born_ns;
	bool is_draining;
};
static inline bool worker_is_alone(const struct ready *ready)
{
	return !ready->options.ground->has_kvm;
}
/* So many launches run in it at once. */
static inline uint32_t worker_most(const struct worker_plan *plan)
{
	return worker_is_alone(plan->ready) || plan->is_shared ? 1
							       : WORKER_RUNNERS;
}
/* Returns when it takes launches.  The ready has been started from once. */
int worker_start(struct worker *worker, const struct worker_plan *plan,
		 struct err *err);
/* It has ended, or is killed. */
void worker_close(struct worker *worker);
int worker_say(struct worker *worker, enum worker_word word);

/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is towards the kernel, in the parts that a clone cannot
 * take over from its caller.  What the process has to ask for itself, by
 * calls of a tenth of a microsecond, it says; what /proc shows of it, which
 * takes thirty times as long, the server sees for itself, on another CPU at
 * the same time - and need not believe anybody. */
#pragma once
#include "brood/wire.h"
#include <stdbool.h>

struct identity_seen {
	uint32_t uid[4], gid[4]; /* real, effective, saved, fs */
	uint64_t groups;	 /* hash of the supplementary groups */
	uint64_t cap_effective, cap_permitted, cap_inheritable;
	uint64_t cap_bounding, cap_ambient;
	uint64_t cgroup;     /* hash of /proc/PID/cgroup */
	uint64_t label;	     /* hash of /proc/PID/attr/current */
	uint64_t namespaces; /* hash of the links in /proc/PID/ns */
	uint64_t root;	     /* device, inode and mount of its "/", mixed */
	uint64_t oom_score_adj;
	uint32_t seccomp, no_new_privs;
	uint32_t thp_disable;
	/* From the same files; these can be taken over. */
	uint32_t core_filter;	  /* ~0: unknown */
	uint64_t signals_ignored; /* bit n-1 for signal n */
};

/* Of the calling process. */
void identity_say(struct wire_identity *said);
/* false: process pid cannot be looked at with the caller's rights, or not
 * wholly, or its number means another process in this /proc. */
bool identity_see(int pid, struct identity_seen *seen);
/* NULL when they agree, else the words for the first part that differs:
 * "the cgroup differs". */
const char *identity_said_difference(const struct wire_identity *a,
				     const struct wire_identity *b);
const char *identity_seen_difference(const struct identity_seen *a,
				     const struct identity_seen *b);

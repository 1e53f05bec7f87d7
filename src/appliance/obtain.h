/* SPDX-License-Identifier: Apache-2.0 */
/* What a start starts: the share's version of an application or, when the
 * share fails, what this host has alone.  Who asks becomes the program, or
 * hands it to a container.			CLAIM 4.8 4.12 4.13 4.14 */
#pragma once
#include "appliance/context.h"
#include "appliance/load.h"

/* full: a program of this host, and nothing is loaded; else NULL.  What is
 * loaded may be taken over, and {0} left.  < 0: it cannot be started, and what
 * comes next is tried; but for -E2BIG, the caller's words and those of the
 * entry, where nothing else can help. */
typedef int obtain_use(void *user, struct loaded *loaded, const char *full,
		       struct err *err);
/* The share has failed, and there is something to go on from: once, as late as
 * can be, for it may yet become that there is nothing. */
typedef void obtain_tell(void *user, const struct err *failed);

struct obtain {
	const struct context *context;
	const char *entry;
	uint64_t began_ns; /* clock_ns() */
	bool payload_only; /* a program of this host's own will not do */
	obtain_use *use;
	obtain_tell *tell;
	void *user;
	struct context_state state; /* obtain's own */
};
/* A line for it goes to the file that BROOD_REPORT names. */
int obtain(struct obtain *obtain, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* brood serve: its words, for its two places. */
#pragma once
#include "base/args.h"
#include <stdbool.h>

enum { SERVE_UNSET = -2 };

struct serve_options {
	const char *until, *in, *from, *cache, *isolation;
	long refresh_ms, refresh_launches, pool, idle_ms, ready_ms;
	long fuel, timeout_ms, max_memory;
	bool hold, no_hold, detach, foreground, explain, json, require_kvm;
	const char *image;
	struct args_list env, folders, read_only, listen;
};

/* Shape of the operands: [NAME --] PROGRAM [ARG...].  A "--" in front of
 * PROGRAM was taken by the parser and says that no NAME comes. */
struct serve_words {
	const char *name, *program;
	char *const *argument;
	int arguments;
};

/* The exit code. */
/* --until: a warm state under the served name, and that is served. */
int serve_warm(const struct serve_options *options,
	       const struct serve_words *given);
int serve_in_domain(const struct serve_options *options,
		    const struct serve_words *words);

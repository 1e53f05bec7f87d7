/* SPDX-License-Identifier: Apache-2.0 */
/* brood launch: its words. */
#pragma once
#include "base/args.h"
#include <stdbool.h>

struct launch_options {
	const char *via, *report, *in;
	bool verbose;
	struct args_list environment;
	long timeout_ms;
};

/* Is it something for a domain?  Then it has run, and *code is how. */
bool launch_in_domain(const struct launch_options *options, char **words,
		      int count, int *code);

/* SPDX-License-Identifier: Apache-2.0 */
/* A progress line on stderr, only when that is a terminal: drawn at most
 * ten times a second, wiped at the end. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;
	uint64_t done, total; /* total 0: unknown, a count is shown */
	uint64_t started_ns, drawn_ns;
	bool shown, allowed;
};
void progress_start(struct progress *progress, const char *what,
		    uint64_t total);
void progress_step(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress);

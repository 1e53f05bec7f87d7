/* SPDX-License-Identifier: Apache-2.0 */
/* A line for somebody who waits, on stderr and only when that is a terminal:
 * what is waited for, and for how long by now.  What is over at once shows
 * nothing, and at the end the line is wiped. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { PROGRESS_TICK_MS = 250 };

struct progress {
	const char *what;
	uint64_t started_ns, shown_ns;
	bool shown, allowed;
};
void progress_start(struct progress *progress, const char *what);
/* How long to wait before the next tick, of at most ms (-1: no limit). */
int progress_wait_ms(const struct progress *progress, int ms);
/* Shows the time.  In both NULL is nobody who looks on. */
void progress_tick(struct progress *progress);
/* A bar of how much is done. */
void progress_part(struct progress *progress, uint64_t done, uint64_t total);
void progress_end(struct progress *progress);

/* SPDX-License-Identifier: Apache-2.0 */
/* A progress line, on a terminal only. */
#include "base/progress.h"
#include "base/clock.h"
#include <stdio.h>
#include <unistd.h>

void progress_start(struct progress *progress, const char *what)
{
	*progress = (struct progress){ .what = what,
				       .started_ns = clock_ns(),
				       .allowed = isatty(2) == 1 };
}

int progress_wait_ms(const struct progress *progress, int ms)
{
	if (!progress || !progress->allowed)
		return ms;
	return ms < 0 || ms > PROGRESS_TICK_MS ? PROGRESS_TICK_MS : ms;
}

void progress_tick(struct progress *progress)
{
	uint64_t ms;

	if (!progress || !progress->allowed)
		return;
	ms = (clock_ns() - progress->started_ns) / 1000000;
	progress->shown = true;
	fprintf(stderr, "\r%s: %lu.%lu s\033[K", progress->what,
		(unsigned long)ms / 1000, (unsigned long)ms % 1000 / 100);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A progress line, on a terminal only. */
#include "base/progress.h"
#include "base/clock.h"
#include <stdio.h>
#include <unistd.h>

enum { PROGRESS_WIDTH = 30, PROGRESS_EVERY_NS = 100000000 };

void progress_start(struct progress *progress, const char *what, uint64_t total)
{
	*progress = (struct progress){ .what = what,
				       .total = total,
				       .started_ns = clock_ns(),
				       .allowed = isatty(2) == 1 };
}

static void progress_draw(struct progress *progress)
{
	char bar[PROGRESS_WIDTH + 1];
	uint64_t full = 0;

	if (!progress->total) {
		fprintf(stderr, "\r%s %lu\033[K", progress->what,
			progress->done);
		return;
	}
	full = progress->done >= progress->total
		       ? PROGRESS_WIDTH
		       : progress->done * PROGRESS_WIDTH / progress->total;
	for (unsigned i = 0; i < PROGRESS_WIDTH; i++)
		bar[i] = i < full ? '#' : '.';
	bar[PROGRESS_WIDTH] = 0;
	fprintf(stderr, "\r%s [%s] %lu%%\033[K", progress->what, bar,
		progress->done * 100 / progress->total);
}

void progress_step(struct progress *progress, uint64_t done)
{
	uint64_t now = clock_ns();

	progress->done = done;
	if (!progress->allowed || now - progress->drawn_ns < PROGRESS_EVERY_NS)
		return;
	progress->drawn_ns = now;
	progress->shown = true;
	progress_draw(progress);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fprintf(stderr, "\r\033[K");
	progress->shown = false;
}

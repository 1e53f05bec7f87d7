/* SPDX-License-Identifier: Apache-2.0 */
/* A progress line, on a terminal only. */
#include "base/progress.h"
#include "base/clock.h"
#include <stdio.h>
#include <unistd.h>

enum { PROGRESS_BAR = 32 };

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

void progress_part(struct progress *progress, uint64_t done, uint64_t total)
{
	const uint64_t tick_ns = PROGRESS_TICK_MS * UINT64_C(1000000);
	uint64_t now = progress && progress->allowed ? clock_ns() : 0;
	double part = total ? (double)done / (double)total : 1;
	char bar[PROGRESS_BAR + 1];

	if (!now || now - progress->started_ns < tick_ns ||
	    now - progress->shown_ns < tick_ns)
		return;
	for (int i = 0; i < PROGRESS_BAR; i++)
		bar[i] = i < part * PROGRESS_BAR ? '#' : '.';
	bar[PROGRESS_BAR] = 0;
	progress->shown_ns = now;
	progress->shown = true;
	fprintf(stderr, "\r%s: [%s] %3.0f %%\033[K", progress->what, bar,
		part * 100);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}

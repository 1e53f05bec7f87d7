/* SPDX-License-Identifier: Apache-2.0 */
/* What domain_floor and domain_us share: the clock, and samples that are made
 * in turn with another process.  Told "turns", a process says "ready", then
 * makes a sample for each byte that it is sent, and says what it is at once;
 * else it makes all, and says them last. */
#ifndef TURNS_H
#define TURNS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct turns {
	double *samples;
	int count;
	bool in_turns;
};

static inline double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}

static inline void turns_say(const double *samples, int count)
{
	for (int i = 0; i < count; i++)
		printf("%.3f\n", samples[i]);
	fflush(stdout);
}

/* Shall there be sample number "i"? */
static inline bool turns_next(const struct turns *turns, int i)
{
	char byte;

	if (!turns->in_turns)
		return i < turns->count;
	if (i == 0) {
		puts("ready");
		fflush(stdout);
	} else {
		turns_say(&turns->samples[i - 1], 1);
	}
	return i < turns->count && read(0, &byte, 1) == 1;
}

static inline void turns_end(const struct turns *turns)
{
	if (!turns->in_turns)
		turns_say(turns->samples, turns->count);
}

#endif

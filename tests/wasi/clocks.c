/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks go forward, and sleeping takes its time.
 * node: sleeps whole milliseconds, rounded down */
#include "tell.h"
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static int64_t between(struct timespec a, struct timespec b)
{
	return (b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec;
}

static void look(const char *name, clockid_t clock)
{
	struct timespec step = { 0 }, a = { 0 }, b = { 0 };
	volatile unsigned turns = 3000000;

	printf("%s: %s", name, clock_getres(clock, &step) ? "?" : "has steps");
	printf(" of %s",
	       step.tv_sec == 0 && step.tv_nsec > 0 ? "under 1 s" : "?");
	clock_gettime(clock, &a);
	while (turns)
		turns--;
	clock_gettime(clock, &b);
	printf(", %s\n", between(a, b) > 0 ? "goes forward" : "stands");
}

static void sleeping(int64_t ms)
{
	struct timespec time = { 0, ms * 1000000 }, a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&time, NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("slept %s\n", between(a, b) >= ms * 1000000 ? "enough" : "less");
}

int main(void)
{
	__wasi_timestamp_t got;

	look("realtime", CLOCK_REALTIME);
	look("monotonic", CLOCK_MONOTONIC);
	printf("year %s\n", time(NULL) > 1700000000 ? "fine" : "wrong");
	sleeping(5);
	sleeping(60);
	TELL_WASI(__wasi_clock_time_get(99, 0, &got));
	TELL_WASI(__wasi_clock_res_get(99, &got));
	return 0;
}

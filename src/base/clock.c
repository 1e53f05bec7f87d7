/* SPDX-License-Identifier: Apache-2.0 */
/* Time: monotonic for measuring and deadlines, wall time for people. */
#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <time.h>

static uint64_t clock_read(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

uint64_t clock_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

void clock_sleep_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

uint64_t clock_deadline(int ms)
{
	return ms < 0 ? UINT64_MAX : clock_ns() + (uint64_t)ms * 1000000u;
}

int clock_left_ms(uint64_t deadline)
{
	uint64_t now = clock_ns(), left;

	if (deadline == UINT64_MAX)
		return -1;
	if (now >= deadline)
		return 0;
	left = (deadline - now + 999999u) / 1000000u;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for clocks and descriptors.
 * input: ready
 * node: waits for ever where no time is to be waited */
#include "tell.h"
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static __wasi_subscription_t clock_in(uint64_t userdata, uint64_t ns)
{
	__wasi_subscription_t sub = { .userdata = userdata };

	sub.u.tag = __WASI_EVENTTYPE_CLOCK;
	sub.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
	sub.u.u.clock.timeout = ns;
	return sub;
}

static __wasi_subscription_t reading(uint64_t userdata, int fd)
{
	__wasi_subscription_t sub = { .userdata = userdata };

	sub.u.tag = __WASI_EVENTTYPE_FD_READ;
	sub.u.u.fd_read.file_descriptor = fd;
	return sub;
}

static void wait_for(const __wasi_subscription_t *subs, size_t count)
{
	__wasi_event_t events[4];
	__wasi_size_t got = 0;
	uint64_t start = now();
	int e = __wasi_poll_oneoff(subs, events, count, &got);
	uint64_t ms = (now() - start) / 1000000;

	printf("%s, %s:", tell_name(e),
	       ms < 15	   ? "at once"
	       : ms < 1500 ? "soon"
			   : "late");
	for (size_t i = 0; !e && i < got; i++)
		printf(" %llu %s type %d", events[i].userdata,
		       tell_name(events[i].error), events[i].type);
	puts("");
}

int main(void)
{
	__wasi_subscription_t subs[4];
	struct pollfd fds[1] = { { .fd = 0, .events = POLLIN } };
	char text[16] = { 0 };

	subs[0] = clock_in(1, 20000000);
	wait_for(subs, 1);
	subs[0] = clock_in(1, 0);
	wait_for(subs, 1);
	subs[0] = clock_in(1, UINT64_MAX);
	subs[1] = clock_in(2, 30000000);
	wait_for(subs, 2);
	subs[0] = clock_in(1, now() + 30000000);
	subs[0].u.u.clock.flags =
		__WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
	wait_for(subs, 1);
	subs[0].u.u.clock.timeout = 1;
	wait_for(subs, 1);
	subs[0] = clock_in(1, 10000000000);
	subs[1] = reading(2, 0);
	wait_for(subs, 2);
	subs[1] = reading(2, 77);
	wait_for(subs, 2);
	wait_for(subs, 0);
	printf("poll %d\n", poll(fds, 1, 1000));
	printf("read %zd %s\n", read(0, text, 5), text);
	return 0;
}

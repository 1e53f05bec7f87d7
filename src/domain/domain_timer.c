/* SPDX-License-Identifier: Apache-2.0 */
/* A run's time: timers of the thread that runs it, whose signal kicks the
 * CPU; who runs it from another thread gets other ones.  They come again until
 * they are stopped: a guest may be where it cannot be sent away. */
#include "domain/internal.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static const int64_t timer_again_ns[DOMAIN_TIMERS] = {
	[DOMAIN_TIMER_DEADLINE] = 2000000,
	[DOMAIN_TIMER_WRITES] = 5000000,
};

static int timer_make(const struct domain *domain, struct domain_timer *timer,
		      struct err *err)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGRTMIN,
				  .sigev_value.sival_ptr = domain->cpu };

	cpu_kick_install();
	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer->id) < 0)
		return err_set(err, -errno, "a timer for a domain");
	timer->thread = gettid();
	return 0;
}

/* 0: it is silent. */
int domain_timer_set(struct domain *domain, int which, int64_t at_ns,
		     struct err *err)
{
	struct domain_timer *timer = &domain->timers[which];
	struct itimerspec when = {
		.it_value = { at_ns / 1000000000, at_ns % 1000000000 },
		.it_interval = { 0, at_ns ? timer_again_ns[which] : 0 },
	};

	/* A thread's own; a fork has none. */
	if (timer->thread && timer->thread != gettid())
		domain_timers_close(domain);
	if (!at_ns && !timer->thread)
		return 0;
	if (!timer->thread && timer_make(domain, timer, err) < 0)
		return -EAGAIN;
	if (timer_settime(timer->id, TIMER_ABSTIME, &when, NULL) < 0)
		return err_set(err, -errno, "set a domain's timer");
	return 0;
}

/* Their signal may be on the way still, and names a CPU that will be gone. */
void domain_timers_close(struct domain *domain)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t timers, before;
	bool is_any = false;

	for (int i = 0; i < DOMAIN_TIMERS; i++)
		is_any |= domain->timers[i].thread != 0;
	if (!is_any)
		return;
	sigemptyset(&timers);
	sigaddset(&timers, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &timers, &before);
	for (int i = 0; i < DOMAIN_TIMERS; i++)
		if (domain->timers[i].thread)
			timer_delete(domain->timers[i].id);
	while (sigtimedwait(&timers, NULL, &at_once) >= 0 || errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	memset(domain->timers, 0, sizeof(domain->timers));
}

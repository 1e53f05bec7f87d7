/* SPDX-License-Identifier: Apache-2.0 */
/* A run's time: a timer of the thread that runs it, whose signal kicks the
 * CPU; who runs it from another thread gets another one.  It comes again until the run has ended: a guest may be where it
 * cannot be sent away. */
#include "domain/internal.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { TIMER_AGAIN_NS = 2000000 };

static int timer_make(struct domain *domain, struct err *err)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGRTMIN,
				  .sigev_value.sival_ptr = domain->cpu };

	cpu_kick_install();
	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &domain->timer) < 0)
		return err_set(err, -errno, "a timer for a domain");
	domain->has_timer = true;
	domain->timer_thread = gettid();
	return 0;
}

/* 0: it is silent. */
int domain_timer_set(struct domain *domain, int64_t at_ns, struct err *err)
{
	struct itimerspec when = {
		.it_value = { at_ns / 1000000000, at_ns % 1000000000 },
		.it_interval = { 0, at_ns ? TIMER_AGAIN_NS : 0 },
	};

	/* A thread's own; a fork has none. */
	if (domain->has_timer && domain->timer_thread != gettid())
		domain_timer_close(domain);
	if (!at_ns && !domain->has_timer)
		return 0;
	if (!domain->has_timer && timer_make(domain, err) < 0)
		return -EAGAIN;
	if (timer_settime(domain->timer, TIMER_ABSTIME, &when, NULL) < 0)
		return err_set(err, -errno, "set a domain's timer");
	return 0;
}

/* Its signal may be on the way still, and names a CPU that will be gone. */
void domain_timer_close(struct domain *domain)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t timers, before;

	if (!domain->has_timer)
		return;
	sigemptyset(&timers);
	sigaddset(&timers, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &timers, &before);
	timer_delete(domain->timer);
	while (sigtimedwait(&timers, NULL, &at_once) >= 0 || errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	domain->has_timer = false;
}

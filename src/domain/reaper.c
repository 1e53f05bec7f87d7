/* SPDX-License-Identifier: Apache-2.0 */
/* One domain waits at most: a worker has a limit of VMs. */
#include "domain/reaper.h"
#include "domain/internal.h"
#include <errno.h>

static struct domain *reaper_next(struct reaper *reaper)
{
	struct domain *domain;

	pthread_mutex_lock(&reaper->lock);
	while (!reaper->waiting && !reaper->is_ending)
		pthread_cond_wait(&reaper->changed, &reaper->lock);
	domain = reaper->waiting;
	reaper->waiting = NULL;
	pthread_mutex_unlock(&reaper->lock);
	return domain;
}

static void *reaper_main(void *env)
{
	struct domain *domain;

	while ((domain = reaper_next(env)))
		domain_close(domain);
	return NULL;
}

int reaper_open(struct reaper *reaper, struct err *err)
{
	int e;

	*reaper = (struct reaper){ .lock = PTHREAD_MUTEX_INITIALIZER,
				   .changed = PTHREAD_COND_INITIALIZER };
	e = pthread_create(&reaper->thread, NULL, reaper_main, reaper);
	if (e)
		return err_set(err, -e, "a thread for used domains");
	reaper->is_started = true;
	return 0;
}

void reaper_take(struct reaper *reaper, struct domain *domain)
{
	/* The timer's signals come to its thread. */
	domain_timers_close(domain);
	pthread_mutex_lock(&reaper->lock);
	if (!reaper->waiting) {
		reaper->waiting = domain;
		domain = NULL;
		pthread_cond_signal(&reaper->changed);
	}
	pthread_mutex_unlock(&reaper->lock);
	domain_close(domain);
}

void reaper_close(struct reaper *reaper)
{
	if (!reaper->is_started)
		return;
	pthread_mutex_lock(&reaper->lock);
	reaper->is_ending = true;
	pthread_cond_signal(&reaper->changed);
	pthread_mutex_unlock(&reaper->lock);
	pthread_join(reaper->thread, NULL);
	reaper->is_started = false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's first thread: makes runners when too few wait, ends the runs of
 * callers that have gone, and listens to the server.  It runs no guest. */
#include "base/clock.h"
#include "base/fd.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include "domain/worker_internal.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	HIVE_EVENTS = 16,
	HIVE_SHORT_MS = 1,  /* so long a shortage is borne while some wait */
	HIVE_AGAIN_MS = 10, /* what may have missed a word is told again */
	HIVE_STACK = 1024 * 1024,
	HIVE_ROLLUP_MOST = 4096,
};

/* ---- runners -------------------------------------------------------------- */

static struct runner *hive_free(struct hive *hive)
{
	for (uint32_t i = 0; i < WORKER_RUNNERS; i++)
		if (hive->runners[i].state == RUNNER_NONE)
			return &hive->runners[i];
	return NULL;
}

static bool hive_start_thread(struct runner *runner)
{
	pthread_attr_t how;
	bool is_started;

	if (pthread_attr_init(&how))
		return false;
	pthread_attr_setstacksize(&how, HIVE_STACK);
	pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
	is_started =
		!pthread_create(&runner->thread, &how, runner_main, runner);
	pthread_attr_destroy(&how);
	return is_started;
}

/* The lock is held. */
static bool hive_add(struct hive *hive)
{
	struct runner *runner = hive_free(hive);
	uint32_t turn;

	if (!runner || hive->runner_count >= hive->most)
		return false;
	turn = runner->turn;
	*runner = (struct runner){
		.hive = hive,
		.number = (uint32_t)(runner - hive->runners),
		.state = RUNNER_MAKES,
		.turn = turn,
		.domain = hive->alone,
	};
	if (!hive_start_thread(runner)) {
		runner->state = RUNNER_NONE;
		return false;
	}
	hive->alone = NULL;
	hive->making++;
	hive->runner_count++;
	return true;
}

static uint32_t hive_missing(const struct hive *hive)
{
	uint32_t least = hive->plan->waiting ? hive->plan->waiting : 1;
	uint32_t have = hive->waiting + hive->making;

	return hive->is_draining || have >= least ? 0 : least - have;
}

static void hive_tell_full(struct hive *hive, bool is_full)
{
	const char word = WORKER_FULL;

	if (is_full && !hive->is_full)
		fd_send(hive->channel, &word, 1, NULL, 0, NULL);
	hive->is_full = is_full;
}

/* How long until the next look, -1: never.  A CPU that is busy with what was
 * launched is let alone for a moment, as long as somebody waits. */
static int hive_fill(struct hive *hive, bool is_second)
{
	int wait_ms = -1;

	pthread_mutex_lock(&hive->lock);
	while (hive_missing(hive)) {
		if (hive->waiting && !is_second) {
			wait_ms = HIVE_SHORT_MS;
			break;
		}
		if (!hive_add(hive))
			break;
	}
	hive_tell_full(hive, hive->running >= hive->most);
	pthread_mutex_unlock(&hive->lock);
	return wait_ms;
}

/* ---- ends ----------------------------------------------------------------- */

static void hive_hang_up(struct hive *hive, uint64_t event)
{
	uint32_t number = (uint32_t)event >> 8;
	struct runner *runner = &hive->runners[number];

	if (number >= WORKER_RUNNERS)
		return;
	pthread_mutex_lock(&hive->lock);
	if (runner->running && runner->turn == event >> 32)
		runner->is_gone = true;
	pthread_mutex_unlock(&hive->lock);
}

/* A run may just have begun, and a thread be about to wait: it is told again
 * until it has ended. */
static bool hive_end_runs(struct hive *hive)
{
	bool any = false;

	pthread_mutex_lock(&hive->lock);
	for (uint32_t i = 0; i < WORKER_RUNNERS; i++) {
		struct runner *runner = &hive->runners[i];

		if (runner->running && runner->is_gone) {
			domain_end(runner->running);
			pthread_kill(runner->thread, SIGRTMIN);
			any = true;
		}
		if (hive->is_draining && runner->state == RUNNER_WAITS) {
			pthread_kill(runner->thread, SIGUSR1);
			any = true;
		}
	}
	pthread_mutex_unlock(&hive->lock);
	return any;
}

/* ---- the server's words --------------------------------------------------- */

static uint64_t hive_sum(const char *text, const char *const *names)
{
	uint64_t sum = 0;

	for (; *names; names++) {
		const char *at = strstr(text, *names);

		if (at)
			sum += strtoull(at + strlen(*names), NULL, 10);
	}
	return sum;
}

static void hive_weigh(struct hive *hive)
{
	static const char *const own[] = { "Private_Clean:", "Private_Dirty:",
					   NULL };
	static const char *const shared[] = { "Shared_Clean:", "Shared_Dirty:",
					      NULL };
	const char word = WORKER_WEIGH;
	char text[HIVE_ROLLUP_MOST + 1];
	ssize_t len = hive->rollup < 0
			      ? -1
			      : pread(hive->rollup, text, HIVE_ROLLUP_MOST, 0);

	text[len < 0 ? 0 : len] = 0;
	hive->page->own_kib = hive_sum(text, own);
	hive->page->shared_kib = hive_sum(text, shared);
	fd_send(hive->channel, &word, 1, NULL, 0, NULL);
}

/* False: there is no server any more. */
static bool hive_hear(struct hive *hive)
{
	char word;

	if (fd_receive(hive->channel, &word, 1, NULL, 0, NULL, NULL) <= 0)
		return false;
	if (word == WORKER_WEIGH)
		hive_weigh(hive);
	if (word != WORKER_DRAIN)
		return true;
	pthread_mutex_lock(&hive->lock);
	__atomic_store_n(&hive->is_draining, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&hive->lock);
	return true;
}

/* ---- the loop ------------------------------------------------------------- */

static bool hive_take(struct hive *hive, const struct epoll_event *events,
		      int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t event = events[i].data.u64, woken;

		switch (event & 0xff) {
		case HIVE_CHANNEL:
			if (!hive_hear(hive))
				return false;
			break;
		case HIVE_WAKE:
			if (read(hive->wake, &woken, sizeof(woken)) < 0)
				break;
			break;
		case HIVE_RUN: hive_hang_up(hive, event); break;
		}
	}
	return true;
}

static bool hive_is_over(struct hive *hive)
{
	bool is_over;

	pthread_mutex_lock(&hive->lock);
	is_over = hive->is_draining && !hive->runner_count;
	pthread_mutex_unlock(&hive->lock);
	return is_over;
}

void hive_loop(struct hive *hive)
{
	struct epoll_event events[HIVE_EVENTS];
	bool is_second = false;
	int wait_ms, count;

	do {
		wait_ms = hive_fill(hive, is_second);
		is_second = wait_ms >= 0;
		if (hive_end_runs(hive) && wait_ms < 0)
			wait_ms = HIVE_AGAIN_MS;
		if (hive_is_over(hive))
			return;
		count = epoll_wait(hive->epoll, events, HIVE_EVENTS, wait_ms);
		is_second &= count == 0;
	} while (hive_take(hive, events, count));
}

static int hive_listen(struct hive *hive, int fd, uint32_t kind,
		       struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN,
				     .data.u64 = hive_event(kind, 0, 0) };

	return epoll_ctl(hive->epoll, EPOLL_CTL_ADD, fd, &event) < 0
		       ? err_set(err, -errno, "a worker's events")
		       : 0;
}

/* What threads would make at once is made once, and each step of a launch was
 * done in the jail before anybody asks for it. */
static int hive_try(struct hive *hive, struct err *err)
{
	struct ready *ready = hive->plan->ready;
	struct domain_outcome outcome;
	struct domain *domain;
	int r;

	if (!ready->has_snapshot)
		return 0;
	if (hive->alone)
		return ready_reset(ready, hive->alone, hive->pagemap, NULL, 0,
				   err);
	r = ready_start(ready, NULL, 0, &domain, &outcome, err);
	if (r < 0)
		return r;
	r = ready_reset(ready, domain, hive->pagemap, NULL, 0, err);
	domain_close(domain);
	return r;
}

int hive_open(struct hive *hive, struct err *err)
{
	struct ground *ground = hive->plan->ready->options.ground;
	int r = hive_listen(hive, hive->channel, HIVE_CHANNEL, err);

	cpu_kick_install();
	if (r >= 0)
		r = hive_listen(hive, hive->wake, HIVE_WAKE, err);
	if (r >= 0 && ground->has_kvm)
		r = kvm_sentinel_open(&ground->kvm, &hive->sentinel, err);
	if (r >= 0)
		r = hive_try(hive, err);
	return r < 0 ? r : reaper_open(&hive->reaper, err);
}

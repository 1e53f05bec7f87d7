/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled code does not look at the clock.  One thread of the process sleeps
 * until the next deadline of any run, and then stops that run's thread, again
 * and again until the run is over: a signal may find it on its way to compiled
 * code, and not yet there.  The thread is there from the first deadline on,
 * and once more in a child that forks. */
#include "base/clock.h"
#include "vm/vm_internal.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { AGAIN_NS = 10000000 }; /* a run that has not ended yet */

static struct vm_alarm {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct vm_run *runs;
	bool has_thread;
} vm_alarm = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Rings for those whose time is over.  When to look again, 0: never. */
static int64_t vm_alarm_ring(int64_t now)
{
	int64_t next = 0;

	for (struct vm_run *run = vm_alarm.runs; run; run = run->next) {
		int64_t at = run->deadline_ns;

		if (at <= now) {
			__atomic_fetch_or(&run->store->interrupt, WASM_ASK,
					  __ATOMIC_RELAXED);
			vm_stop(run->thread);
			at = now + AGAIN_NS;
		}
		if (!next || at < next)
			next = at;
	}
	return next;
}

static void *vm_alarm_work(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&vm_alarm.lock);
	for (;;) {
		int64_t next = vm_alarm_ring((int64_t)clock_ns());
		struct timespec at = { next / 1000000000, next % 1000000000 };

		if (next)
			pthread_cond_timedwait(&vm_alarm.changed,
					       &vm_alarm.lock, &at);
		else
			pthread_cond_wait(&vm_alarm.changed, &vm_alarm.lock);
	}
	return NULL;
}

/* It takes no signal that is meant for the program. */
static bool vm_alarm_start(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	bool is_there;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	is_there =
		pthread_create(&thread, &attributes, vm_alarm_work, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return is_there;
}

/* In a child of fork the thread is gone, and so are other threads' runs. */
static void vm_alarm_in_child(void)
{
	pthread_mutex_init(&vm_alarm.lock, NULL);
	vm_alarm.has_thread = false;
	vm_alarm.runs = NULL;
	for (struct vm_run *run = vm_running; run; run = run->outer)
		run->link = NULL;
}

static void vm_alarm_prepare(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&vm_alarm.changed, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_atfork(NULL, NULL, vm_alarm_in_child);
}

/* Who has the signal blocked could not be stopped by it. */
static void vm_alarm_unblock(struct vm_run *run)
{
	sigset_t urgent, before;

	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	run->urgent_blocked =
		pthread_sigmask(SIG_UNBLOCK, &urgent, &before) == 0 &&
		sigismember(&before, SIGURG) == 1;
}

static void vm_alarm_block_again(const struct vm_run *run)
{
	sigset_t urgent;

	if (!run->urgent_blocked)
		return;
	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	pthread_sigmask(SIG_BLOCK, &urgent, NULL);
}

void vm_alarm_set(struct vm_run *run)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, vm_alarm_prepare);
	vm_alarm_unblock(run);
	vm_stop_install();
	pthread_mutex_lock(&vm_alarm.lock);
	if (!vm_alarm.has_thread)
		vm_alarm.has_thread = vm_alarm_start();
	run->next = vm_alarm.runs;
	run->link = &vm_alarm.runs;
	if (run->next)
		run->next->link = &run->next;
	vm_alarm.runs = run;
	pthread_cond_signal(&vm_alarm.changed);
	pthread_mutex_unlock(&vm_alarm.lock);
}

void vm_alarm_clear(struct vm_run *run)
{
	pthread_mutex_lock(&vm_alarm.lock);
	if (run->link) {
		*run->link = run->next;
		if (run->next)
			run->next->link = run->link;
	}
	run->link = NULL;
	__atomic_fetch_and(&run->store->interrupt, ~(uint32_t)WASM_ASK,
			   __ATOMIC_RELAXED);
	pthread_mutex_unlock(&vm_alarm.lock);
	vm_alarm_block_again(run);
}

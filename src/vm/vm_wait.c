/* SPDX-License-Identifier: Apache-2.0 */
/* memory.atomic.wait and notify: who waits for an address stands in a queue
 * of this process, in the order of arrival.
 *
 * A waiter leaves its futex at times to look for a deadline or interruption.
 * It stays in the queue meanwhile, so that no notification is lost and each
 * is counted once.  (Waiting for the memory's own word would lose those that
 * come between two looks, and could not compare 64 bits.) */
#include "base/clock.h"
#include "vm/vm_internal.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_OK,
	WAIT_NOT_EQUAL,
	WAIT_TIMED_OUT,
	WAIT_LOOK_NS = 20 * 1000 * 1000, /* from look to look */
	WAIT_QUEUES = 64,
};

struct vm_waiter {
	void *at;
	uint32_t woken; /* the futex */
	struct vm_waiter *next;
};

struct vm_queue {
	pthread_mutex_t mutex;
	struct vm_waiter *first;
};

/* Queues by address; their only state is who waits now. */
static struct vm_queue vm_queues[WAIT_QUEUES] = {
	[0 ... WAIT_QUEUES - 1] = { .mutex = PTHREAD_MUTEX_INITIALIZER }
};

static struct vm_queue *vm_queue_of(const void *at)
{
	uint64_t mixed = (uint64_t)(uintptr_t)at * 0x9e3779b97f4a7c15;

	return &vm_queues[mixed >> 58];
}

void vm_queues_fork_begin(void)
{
	for (int i = 0; i < WAIT_QUEUES; i++)
		pthread_mutex_lock(&vm_queues[i].mutex);
}

void vm_queues_fork_parent(void)
{
	for (int i = 0; i < WAIT_QUEUES; i++)
		pthread_mutex_unlock(&vm_queues[i].mutex);
}

/* Those who waited are in the parent. */
void vm_queues_fork_child(void)
{
	for (int i = 0; i < WAIT_QUEUES; i++)
		vm_queues[i] =
			(struct vm_queue){ .mutex = PTHREAD_MUTEX_INITIALIZER };
}

static bool vm_wait_equal(void *at, unsigned bits, uint64_t expected)
{
	if (bits == 32)
		return __atomic_load_n((uint32_t *)at, __ATOMIC_SEQ_CST) ==
		       (uint32_t)expected;
	return __atomic_load_n((uint64_t *)at, __ATOMIC_SEQ_CST) == expected;
}

static void vm_queue_add(struct vm_queue *queue, struct vm_waiter *waiter)
{
	struct vm_waiter **link = &queue->first;

	while (*link)
		link = &(*link)->next;
	*link = waiter;
}

static bool vm_queue_remove(struct vm_queue *queue, struct vm_waiter *waiter)
{
	struct vm_waiter **link = &queue->first;

	while (*link && *link != waiter)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = waiter->next;
	return true;
}

static void vm_wait_look(uint32_t *word, int64_t ns)
{
	struct timespec time = { .tv_sec = ns / 1000000000,
				 .tv_nsec = ns % 1000000000 };

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0);
}

/* Until when at the most, 0 for ever: the timeout's end or the deadline. */
static int64_t vm_wait_end(const struct wasm_store *store, int64_t timeout_ns)
{
	const struct vm_run *run = vm_run_of(store);
	int64_t now = (int64_t)clock_ns(), end = run ? run->deadline_ns : 0;
	int64_t own;

	if (timeout_ns < 0 || __builtin_add_overflow(now, timeout_ns, &own))
		return end;
	return !end || own < end ? own : end;
}

static bool vm_wait_woken(const struct vm_waiter *waiter)
{
	return __atomic_load_n(&waiter->woken, __ATOMIC_ACQUIRE);
}

static void vm_wait_sleep(const struct wasm_store *store,
			  struct vm_waiter *waiter, int64_t end)
{
	int64_t left = WAIT_LOOK_NS;

	while (!vm_wait_woken(waiter) && !(store->interrupt & WASM_INTERRUPT)) {
		if (end) {
			left = end - (int64_t)clock_ns();
			if (left <= 0)
				return;
			if (left > WAIT_LOOK_NS)
				left = WAIT_LOOK_NS;
		}
		vm_wait_look(&waiter->woken, left);
	}
}

uint32_t vm_wait(void *env, struct wasm_store *store, void *at, unsigned bits,
		 uint64_t expected, int64_t timeout_ns)
{
	int64_t end = vm_wait_end(store, timeout_ns);
	struct vm_queue *queue = vm_queue_of(at);
	struct vm_waiter waiter = { .at = at };
	bool still;

	(void)env;
	pthread_mutex_lock(&queue->mutex);
	still = vm_wait_equal(at, bits, expected);
	if (still)
		vm_queue_add(queue, &waiter);
	pthread_mutex_unlock(&queue->mutex);
	if (!still)
		return WAIT_NOT_EQUAL;
	vm_wait_sleep(store, &waiter, end);
	pthread_mutex_lock(&queue->mutex);
	still = vm_queue_remove(queue, &waiter);
	pthread_mutex_unlock(&queue->mutex);
	return still ? WAIT_TIMED_OUT : WAIT_OK;
}

/* A waiter goes only after it had the mutex, so its word is still there. */
uint32_t vm_notify(void *env, void *at, uint32_t count)
{
	struct vm_queue *queue = vm_queue_of(at);
	struct vm_waiter **link = &queue->first;
	uint32_t woken = 0;

	(void)env;
	pthread_mutex_lock(&queue->mutex);
	while (*link && woken < count) {
		struct vm_waiter *waiter = *link;

		if (waiter->at != at) {
			link = &waiter->next;
			continue;
		}
		*link = waiter->next;
		__atomic_store_n(&waiter->woken, 1, __ATOMIC_RELEASE);
		syscall(SYS_futex, &waiter->woken, FUTEX_WAKE_PRIVATE, INT_MAX,
			NULL, NULL, 0);
		woken++;
	}
	pthread_mutex_unlock(&queue->mutex);
	return woken;
}

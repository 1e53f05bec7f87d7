/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of a process: where the engine's blocks come from, its lock, and
 * what ends a run that lasts too long. */
#include "base/clock.h"
#include "jit/run.h"
#include "vm/vm_internal.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* From here on a block is pages of its own, which cost nothing until they
 * are touched, however often blocks come and go; malloc's own threshold
 * moves. */
enum { VM_MAPPED_FROM = 128 * 1024 };

static void *vm_allocate(void *env, size_t len)
{
	void *block;

	(void)env;
	if (len < VM_MAPPED_FROM)
		return calloc(1, len ? len : 1);
	block = vm_keep_take(len, len);
	if (block)
		return block;
	block = mmap(NULL, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return block == MAP_FAILED ? NULL : block;
}

static void vm_release(void *env, void *block, size_t len)
{
	(void)env;
	if (block && len >= VM_MAPPED_FROM)
		vm_keep_give(block, len, len, false);
	else
		free(block);
}

/* One for the process: it is held for as long as a function is translated or
 * a type is entered.  Recursive, because a hook may be called under it.  A
 * fork waits for it, so that the child finds all that it guards whole; the
 * child's is a new one, since the old one belongs to a thread of another
 * number. */
static pthread_mutex_t vm_mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void vm_lock(void *env)
{
	(void)env;
	pthread_mutex_lock(&vm_mutex);
}

void vm_unlock(void *env)
{
	(void)env;
	pthread_mutex_unlock(&vm_mutex);
}

static void vm_fork_begin(void)
{
	vm_lock(NULL);
	vm_queues_fork_begin();
}

static void vm_fork_parent(void)
{
	vm_queues_fork_parent();
	vm_unlock(NULL);
}

static void vm_fork_child(void)
{
	vm_queues_fork_child();
	vm_mutex = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}

static void vm_fork_register(void)
{
	pthread_atfork(vm_fork_begin, vm_fork_parent, vm_fork_child);
}

void vm_fork_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, vm_fork_register);
}

const struct vm_run *vm_run_of(const struct wasm_store *store)
{
	const struct vm_run *run = vm_running;

	while (run && run->store != store)
		run = run->outer;
	return run;
}

/* The interruption is taken once: it ends one run, not all that follow. */
static int vm_poll(void *env, struct wasm_store *store)
{
	const struct vm_run *run = vm_run_of(store);

	(void)env;
	if (__atomic_exchange_n(&store->interrupt, 0, __ATOMIC_RELAXED) &
	    WASM_INTERRUPT)
		return WASM_TRAP_interrupted;
	if (run && run->deadline_ns && (int64_t)clock_ns() >= run->deadline_ns)
		return WASM_TRAP_deadline;
	return WASM_OK;
}

void vm_enter(struct vm_run *run, struct wasm_store *store, int64_t deadline_ns)
{
	run->store = store;
	run->deadline_ns = deadline_ns;
	run->outer = vm_running;
	/* The handler of a fault sees the whole of it or nothing. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	vm_running = run;
	run->thread = gettid();
	__atomic_store_n(&store->thread, run->thread, __ATOMIC_RELAXED);
	if (deadline_ns)
		vm_alarm_set(run);
}

void vm_leave(struct vm_run *run)
{
	struct wasm_store *store = run->store;

	if (run->deadline_ns)
		vm_alarm_clear(run);
	vm_running = run->outer;
	if (!vm_run_of(store))
		__atomic_store_n(&store->thread, 0, __ATOMIC_RELAXED);
}

static bool vm_has_noticed(const struct wasm_store *store)
{
	return !(store->interrupt & WASM_INTERRUPT);
}

/* A signal may find the thread on its way to compiled code. */
void vm_interrupt(struct wasm_store *store)
{
	enum { TRIES = 100 };

	vm_stop_install();
	__atomic_fetch_or(&store->interrupt, WASM_INTERRUPT, __ATOMIC_RELAXED);
	for (int i = 0; i < TRIES && !vm_has_noticed(store); i++) {
		int thread = __atomic_load_n(&store->thread, __ATOMIC_RELAXED);

		if (!thread)
			return;
		vm_stop(thread);
		clock_sleep_ms(1);
	}
}

const struct wasm_host vm_host = {
	.allocate = vm_allocate,
	.release = vm_release,
	.memory_make = vm_memory_make,
	.memory_grow = vm_memory_grow,
	.memory_drop = vm_memory_drop,
	.lock = vm_lock,
	.unlock = vm_unlock,
	.poll = vm_poll,
	.wait = vm_wait,
	.notify = vm_notify,
	.bind = vm_code_bind,
	.native_call = (const void *)jit_native_call_host,
};

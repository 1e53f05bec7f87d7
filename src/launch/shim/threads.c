/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that constructors start cannot be copied by fork, nor be part of
 * an image.  They are put off: pthread_create before the stop fills a place
 * in a queue, and every copy starts them right before its main.  Where an
 * atfork handler starts the same routine again (as QEMU's RCU does) the newer
 * one wins.  The id that the program was given is the address of its place;
 * functions that may get such an id before main, or after it from a copy of
 * the variable, translate it here. */
#undef _FORTIFY_SOURCE
#include "launch/shim/shim.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

static bool threads_put_off(void)
{
	return shim.phase == SHIM_BEFORE || shim.phase == SHIM_STOPPED;
}

static struct shim_thread *threads_place(pthread_t id)
{
	uintptr_t at = (uintptr_t)id, first = (uintptr_t)shim.thread;

	if (at < first || at >= first + sizeof shim.thread)
		return NULL;
	return &shim.thread[(at - first) / sizeof *shim.thread];
}

/* The attributes by value: the caller destroys its own. */
static void threads_copy_attr(pthread_attr_t *to, const pthread_attr_t *from)
{
	int number;
	size_t size;
	void *stack;
	struct sched_param param;

	pthread_attr_init(to);
	if (!pthread_attr_getdetachstate(from, &number))
		pthread_attr_setdetachstate(to, number);
	if (!pthread_attr_getguardsize(from, &size))
		pthread_attr_setguardsize(to, size);
	if (!pthread_attr_getinheritsched(from, &number))
		pthread_attr_setinheritsched(to, number);
	if (!pthread_attr_getschedpolicy(from, &number))
		pthread_attr_setschedpolicy(to, number);
	if (!pthread_attr_getschedparam(from, &param))
		pthread_attr_setschedparam(to, &param);
	if (!pthread_attr_getstack(from, &stack, &size) && size) {
		/* glibc tells "not set" as the end of a stack at 0 */
		if (stack && (uintptr_t)stack + size != 0)
			pthread_attr_setstack(to, stack, size);
		else
			pthread_attr_setstacksize(to, size);
	}
}

static bool threads_on_stack(const void *variable)
{
	const char *here = __builtin_frame_address(0);
	const char *at = variable;

	return at > here - 65536 && at < here + (1 << 20);
}

/* The mask that the new thread inherits.  In a copy all signals are blocked
 * by us; there the mask is that of the thread which is started again. */
static uint64_t threads_mask(shim_thread_fn *routine)
{
	uint64_t blocked = 0;

	if (shim.phase == SHIM_BEFORE) {
		raw_4(rt_sigprocmask, SIG_BLOCK, NULL, &blocked, 8);
		return blocked;
	}
	for (int i = shim.thread_count - 2; i >= 0; i--) {
		if (shim.thread[i].routine == routine)
			return shim.thread[i].blocked;
	}
	return shim.blocked_before;
}

static int threads_queue(pthread_t *out, const pthread_attr_t *attr,
			 shim_thread_fn *routine, void *argument)
{
	struct shim_thread *thread;

	if (shim.thread_count == SHIM_THREADS_MOST) {
		stop_refuse("constructors start too many threads");
		return EAGAIN;
	}
	thread = &shim.thread[shim.thread_count++];
	memset(thread, 0, sizeof *thread);
	thread->out = threads_on_stack(out) ? NULL : out;
	thread->has_attr = attr != NULL;
	if (attr)
		threads_copy_attr(&thread->attr, attr);
	thread->routine = routine;
	thread->argument = argument;
	thread->forks = shim.forks;
	thread->blocked = threads_mask(routine);
	*out = (pthread_t)thread;
	return 0;
}

static bool threads_superseded(const struct shim_thread *thread)
{
	const struct shim_thread *end = shim.thread + shim.thread_count;

	for (const struct shim_thread *t = thread + 1; t < end; t++) {
		if (t->forks > thread->forks && t->routine == thread->routine)
			return true;
	}
	return false;
}

static void threads_start_one(struct shim_thread *thread)
{
	uint64_t before;

	raw_4(rt_sigprocmask, SIG_BLOCK, &thread->blocked, &before, 8);
	if (pthread_create(&thread->id, thread->has_attr ? &thread->attr : NULL,
			   thread->routine, thread->argument) == 0) {
		thread->started = true;
		if (thread->named)
			pthread_setname_np(thread->id, thread->name);
		if (thread->detach)
			pthread_detach(thread->id);
		/* written back where the program still has our word there */
		if (thread->out && *thread->out == (pthread_t)thread)
			*thread->out = thread->id;
	}
	raw_4(rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
}

void threads_start(void)
{
	for (int i = 0; i < shim.thread_count; i++) {
		if (!threads_superseded(&shim.thread[i]))
			threads_start_one(&shim.thread[i]);
	}
}

SHIM_EXPORT int pthread_create(pthread_t *out, const pthread_attr_t *attr,
			       shim_thread_fn *routine, void *argument)
{
	if (threads_put_off())
		return threads_queue(out, attr, routine, argument);
	return shim_real()->pthread_create(out, attr, routine, argument);
}

SHIM_EXPORT int pthread_detach(pthread_t id)
{
	struct shim_thread *thread = threads_place(id);

	if (thread && !thread->started) {
		thread->detach = true;
		return 0;
	}
	return shim_real()->pthread_detach(thread ? thread->id : id);
}

SHIM_EXPORT int pthread_setname_np(pthread_t id, const char *name)
{
	struct shim_thread *thread = threads_place(id);

	if (thread && !thread->started) {
		if (strlen(name) >= sizeof thread->name)
			return ERANGE;
		strcpy(thread->name, name);
		thread->named = true;
		return 0;
	}
	return shim_real()->pthread_setname_np(thread ? thread->id : id, name);
}

SHIM_EXPORT int pthread_join(pthread_t id, void **result)
{
	struct shim_thread *thread = threads_place(id);

	if (thread && !thread->started) {
		stop_refuse("a constructor waits for a thread");
		return ESRCH;
	}
	return shim_real()->pthread_join(thread ? thread->id : id, result);
}

SHIM_EXPORT int pthread_kill(pthread_t id, int signal)
{
	struct shim_thread *thread = threads_place(id);

	if (thread && !thread->started) {
		stop_refuse("a constructor signals a thread");
		return ESRCH;
	}
	return shim_real()->pthread_kill(thread ? thread->id : id, signal);
}

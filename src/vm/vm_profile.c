/* SPDX-License-Identifier: Apache-2.0 */
/* Where compiled code spends its time.  A timer of the CPU time of the thread
 * that runs the VM sends it SIGPROF; the handler finds the function whose code
 * was interrupted, and counts.
 *
 *  1. The timer is made when the thread begins its first call, and goes with
 *     the VM.  A child of fork has none; exec ends it, and takes what it has
 *     sent along.
 *  2. The first tick comes after VM_PROFILE_FIRST_MS: a short run has none.
 *  3. The handler looks at what its own thread runs, and at counters that
 *     were there before the code could run.  Now and then it calls "due",
 *     which may do anything, for it was compiled code that was interrupted:
 *     no function of C's is in its middle but those that have called it.
 *  4. A tick is counted for the VM whose timer sent it, when that is the one
 *     which runs; time in the host, in other VMs, or outside is nobody's.
 *  5. SIGURG waits until the handler is back: what it stops is compiled code
 *     at the place where that was.
 *
 * A CPU's timers are as fine as the kernel's ticks are: what was missed since
 * the last signal counts with it. */
#include "vm/vm_profile.h"
#include "base/signal.h"
#include "vm/vm_internal.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum {
	VM_PROFILE_MARK = 0x62726f64, /* upper half of what timers send */
	VM_PROFILE_DUE = 10000 / PROFILE_TICK_MS,
	VM_PROFILE_FIRST_DUE = 2000 / PROFILE_TICK_MS,
};

struct vm_profile_code {
	struct vm_profile_code *next;
	const struct wasm_module *module;
	struct cache_object *object;
	const uint8_t *text;
	const struct code_function *functions;
	uint32_t count;
	uint32_t ticks[]; /* by own function */
};
struct vm_profile {
	uint32_t number; /* what its timer sends */
	uint32_t since;	 /* ticks, that nobody was told of */
	void (*due)(void *env);
	void *env;
	struct vm_profile_code *codes;
	timer_t timer;
	pid_t process, thread; /* whose the timer is; 0: there is none */
};

/* ---- ticks ---------------------------------------------------------------- */

/* The last function that begins at "at" or before it; the first may not. */
static uint32_t vm_profile_find(const struct vm_profile_code *code, uint32_t at)
{
	uint32_t low = 0, high = code->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (code->functions[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Was it compiled code? */
static bool vm_profile_count(const struct vm_profile *profile, uint64_t pc,
			     uint32_t ticks)
{
	struct vm_profile_code *code = profile->codes;

	for (; code; code = code->next) {
		uint64_t at = pc - (uintptr_t)code->text;

		if (at < code->functions[0].at ||
		    at >= code->functions[code->count].at)
			continue;
		code->ticks[vm_profile_find(code, (uint32_t)at)] += ticks;
		return true;
	}
	return false;
}

static void vm_profile_tick(struct vm_profile *profile, uint64_t pc,
			    uint32_t ticks)
{
	int error = errno;

	if (!vm_profile_count(profile, pc, ticks))
		return;
	profile->since += ticks;
	if (profile->since < VM_PROFILE_DUE || !profile->due)
		return;
	profile->since = 0;
	profile->due(profile->env);
	errno = error;
}

static struct vm_profile *vm_profile_of_run(const struct vm_run *run)
{
	const struct vm_code_options *options =
		run ? run->store->code_data : NULL;

	return options ? options->profile : NULL;
}

static struct sigaction vm_profile_before;

/* One that comes when its VM has gone is passed over. */
static void vm_profile_handle(int number, siginfo_t *info, void *context)
{
	const ucontext_t *here = context;
	uint64_t sent = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
	struct vm_profile *profile = vm_profile_of_run(vm_running);

	if (info->si_code != SI_TIMER || sent >> 32 != VM_PROFILE_MARK) {
		signal_hand_on(&vm_profile_before, number, info, context);
		return;
	}
	if (profile && profile->number == (uint32_t)sent)
		vm_profile_tick(profile,
				(uint64_t)here->uc_mcontext.gregs[REG_RIP],
				1 + (uint32_t)info->si_overrun);
}

static void vm_profile_set(void)
{
	struct sigaction action = { .sa_sigaction = vm_profile_handle,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK |
						SA_RESTART };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGURG);
	sigaction(SIGPROF, NULL, &vm_profile_before);
	sigaction(SIGPROF, &action, NULL);
}

/* ---- the timer ------------------------------------------------------------ */

static void vm_profile_stop(struct vm_profile *profile)
{
	if (profile->thread && profile->process == getpid())
		timer_delete(profile->timer);
	profile->thread = 0;
}

static void vm_profile_start(struct vm_profile *profile, pid_t thread)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct itimerspec times = {
		.it_value = { .tv_nsec = VM_PROFILE_FIRST_MS * 1000000 },
		.it_interval = { .tv_nsec = PROFILE_TICK_MS * 1000000 },
	};
	uint64_t sent = (uint64_t)VM_PROFILE_MARK << 32 | profile->number;
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGPROF,
		.sigev_value.sival_ptr = (void *)(uintptr_t)sent,
	};

	pthread_once(&once, vm_profile_set);
	event._sigev_un._tid = thread;
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &profile->timer) < 0)
		return;
	profile->process = getpid();
	profile->thread = thread;
	timer_settime(profile->timer, 0, &times, NULL);
}

void vm_profile_begin(struct vm_profile *profile, pid_t thread)
{
	if (!profile->codes || profile->thread == thread)
		return;
	vm_profile_stop(profile);
	vm_profile_start(profile, thread);
}

/* ---- what is counted ------------------------------------------------------ */

struct vm_profile *vm_profile_open(const struct vm_options *options)
{
	static uint32_t numbers;
	struct vm_profile *profile = calloc(1, sizeof(*profile));

	if (!profile)
		return NULL;
	profile->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
	profile->since = VM_PROFILE_DUE - VM_PROFILE_FIRST_DUE;
	profile->due = options->profile_due;
	profile->env = options->profile_env;
	return profile;
}

void vm_profile_close(struct vm_profile *profile)
{
	struct vm_profile_code *code, *next;

	if (!profile)
		return;
	vm_profile_stop(profile);
	for (code = profile->codes; code; code = next) {
		next = code->next;
		free(code);
	}
	free(profile);
}

static struct vm_profile_code *
vm_profile_find_code(const struct vm_profile *profile,
		     const struct wasm_module *module)
{
	struct vm_profile_code *code = profile->codes;

	while (code && code->module != module)
		code = code->next;
	return code;
}

/* Code that the cache cannot keep a better one of is passed over: of a memory
 * without a guard, with tail calls or fuel; and where all is optimised. */
static bool vm_profile_pays(const struct jit_code *code)
{
	const struct code_header *header = code->header;

	return !header->options && header->function_count &&
	       header->optimised_count < header->function_count;
}

void vm_profile_add(struct vm_profile *profile, const struct jit_code *code,
		    struct cache_object *object)
{
	uint32_t count = code->header->function_count;
	struct vm_profile_code *made;

	if (!object || !vm_profile_pays(code) ||
	    vm_profile_find_code(profile, code->module))
		return;
	made = calloc(1, sizeof(*made) + count * sizeof(*made->ticks));
	if (!made)
		return;
	made->module = code->module;
	made->object = object;
	made->text = code->text;
	made->functions = code->functions;
	made->count = count;
	made->next = profile->codes;
	/* The handler of this thread sees the whole of it or nothing. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	profile->codes = made;
}

bool vm_profile_told(const struct vm *vm, const struct wasm_module *module,
		     struct vm_profile_told *told)
{
	const struct vm_profile *profile = vm->options.code.profile;
	const struct vm_profile_code *code =
		profile ? vm_profile_find_code(profile, module) : NULL;

	*told = (struct vm_profile_told){ 0 };
	if (!code)
		return false;
	told->object = code->object;
	told->function_count = code->count;
	told->ticks = code->ticks;
	for (uint32_t i = 0; i < code->count; i++)
		told->total += code->ticks[i];
	return told->total > 0;
}

void vm_profile_forget(const struct vm *vm, const struct wasm_module *module)
{
	const struct vm_profile *profile = vm->options.code.profile;
	struct vm_profile_code *code =
		profile ? vm_profile_find_code(profile, module) : NULL;

	if (code)
		memset(code->ticks, 0, code->count * sizeof(*code->ticks));
}

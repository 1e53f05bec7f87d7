/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread needs that is a CPU, until it ends or closes that: a stack for
 * handlers, since the guest's own is the guest's, and may be used up; and
 * the signals, which are not to be blocked.  An alternate stack that is there
 * and large enough stays. */
#include "domain/cpu_process.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

enum { STACK_MORE = 0x8000, STACK_BYTES = 0x20000 };

struct stack {
	void *at; /* NULL: the one that was there */
	stack_t before;
	sigset_t blocked; /* what was, of the CPU's signals */
	bool is_there;
};
static __thread struct stack stack __attribute__((tls_model("initial-exec")));
static pthread_key_t stack_key;
static bool stack_has_key;

static void stack_end(void *unused)
{
	(void)unused;
	cpu_process_stack_drop();
}

static void stack_make_key(void)
{
	stack_has_key = pthread_key_create(&stack_key, stack_end) == 0;
}

static int stack_make(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	stack_t new = { .ss_size = STACK_BYTES };
	void *at;

	pthread_once(&once, stack_make_key);
	at = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (!stack_has_key || at == MAP_FAILED)
		return -ENOMEM;
	new.ss_sp = at;
	if (pthread_setspecific(stack_key, &stack) != 0 ||
	    sigaltstack(&new, NULL) < 0) {
		munmap(at, STACK_BYTES);
		return -ENOMEM;
	}
	stack.at = at;
	return 0;
}

static int stack_unblock(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS,	 SIGFPE,
				       SIGILL,	SIGTRAP, 0 };
	sigset_t before, needed;

	sigemptyset(&needed);
	sigaddset(&needed, SIGRTMIN);
	for (const int *signal = signals; *signal; signal++)
		sigaddset(&needed, *signal);
	if (pthread_sigmask(SIG_UNBLOCK, &needed, &before) != 0)
		return -EINVAL;
	sigandset(&stack.blocked, &needed, &before);
	return 0;
}

int cpu_process_stack_have(void)
{
	size_t least = getauxval(AT_MINSIGSTKSZ) + STACK_MORE;
	int r = 0;

	if (stack.is_there)
		return 0;
	if (sigaltstack(NULL, &stack.before) < 0)
		return -errno;
	if (stack.before.ss_flags & SS_DISABLE || stack.before.ss_size < least)
		r = stack_make();
	if (r >= 0)
		r = stack_unblock();
	stack.is_there = r >= 0;
	return r;
}

void cpu_process_stack_drop(void)
{
	if (stack.is_there)
		pthread_sigmask(SIG_BLOCK, &stack.blocked, NULL);
	if (stack.at) {
		sigaltstack(&stack.before, NULL);
		munmap(stack.at, STACK_BYTES);
		pthread_setspecific(stack_key, NULL);
	}
	stack = (struct stack){ 0 };
}

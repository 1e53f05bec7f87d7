/* SPDX-License-Identifier: Apache-2.0 */
/* Faults in guarded memories become traps.
 *
 * One handler for the process, set once, for SIGSEGV and SIGBUS.  A fault is
 * ours when this thread runs a store (vm_enter), the address lies in a
 * guarded memory that an instance of that store has, and the interpreter
 * knows the instruction.  Everything else goes to the handler that was there
 * before.
 *
 * Running code is not on the native stack more than any C function, so the
 * handler needs no stack of its own; it uses the thread's where it has one. */
#include "base/signal.h"
#include "jit/jit.h"
#include "vm/vm_internal.h"
#include "wasm/interp.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* Of the process, not of its threads' callers: a handler is found by nothing
 * else.  initial-exec: reading it in the handler must not allocate. */
__thread struct vm_run *vm_running __attribute__((tls_model("initial-exec")));

static struct sigaction vm_fault_before[2]; /* SIGSEGV, SIGBUS */

static struct sigaction *vm_fault_earlier(int number)
{
	return &vm_fault_before[number == SIGBUS];
}

/* The order of wasm_interp_fault. */
static const int vm_fault_registers[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15
};

/* The thread goes on with a trap: of its own, a fault, or of others. */
static bool vm_fault_take(struct wasm_store *store, mcontext_t *context,
			  enum wasm_trap trap)
{
	uint64_t registers[16];
	uint64_t rip = (uint64_t)context->gregs[REG_RIP];

	for (int i = 0; i < 16; i++)
		registers[i] = (uint64_t)context->gregs[vm_fault_registers[i]];
	if (!(trap == WASM_TRAP_memory_bounds &&
	      wasm_interp_fault(store, registers, &rip)) &&
	    !jit_stop(store, registers, &rip, trap))
		return false;
	for (int i = 0; i < 16; i++)
		context->gregs[vm_fault_registers[i]] = (greg_t)registers[i];
	context->gregs[REG_RIP] = (greg_t)rip;
	return true;
}

static void vm_fault_handle(int number, siginfo_t *info, void *context)
{
	ucontext_t *here = context;

	/* The innermost run alone can be the one that faults. */
	if (vm_running && info->si_code > 0 &&
	    wasm_store_guards(vm_running->store, (uintptr_t)info->si_addr) &&
	    vm_fault_take(vm_running->store, &here->uc_mcontext,
			  WASM_TRAP_memory_bounds))
		return;
	signal_hand_on(vm_fault_earlier(number), number, info, context);
}

static void vm_fault_set(void)
{
	signal_take(SIGSEGV, vm_fault_handle, vm_fault_earlier(SIGSEGV));
	signal_take(SIGBUS, vm_fault_handle, vm_fault_earlier(SIGBUS));
}

/* Stopping.  Compiled code looks at nothing; who wants it to end sends its
 * thread a signal, and when that finds it there, the host is asked.  Where it
 * finds other code, that looks when it goes back.  SIGURG does nothing to who
 * does not expect it. */

static struct sigaction vm_stop_before;

static void vm_stop_handle(int number, siginfo_t *info, void *context)
{
	ucontext_t *here = context;
	uint64_t rip = (uint64_t)here->uc_mcontext.gregs[REG_RIP];
	int error = errno;
	enum wasm_trap trap;

	if (vm_running && jit_is_code(vm_running->store, rip)) {
		trap = wasm_interp_poll(vm_running->store);
		if (trap)
			vm_fault_take(vm_running->store, &here->uc_mcontext,
				      trap);
	}
	errno = error;
	if (vm_stop_before.sa_handler == SIG_DFL ||
	    vm_stop_before.sa_handler == SIG_IGN)
		return;
	if (vm_stop_before.sa_flags & SA_SIGINFO)
		vm_stop_before.sa_sigaction(number, info, context);
	else
		vm_stop_before.sa_handler(number);
}

static void vm_stop_set(void)
{
	struct sigaction action = { .sa_sigaction = vm_stop_handle,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK |
						SA_RESTART };

	sigemptyset(&action.sa_mask);
	sigaction(SIGURG, NULL, &vm_stop_before);
	sigaction(SIGURG, &action, NULL);
}

void vm_stop_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, vm_stop_set);
}

void vm_stop(pid_t thread)
{
	syscall(SYS_tgkill, getpid(), thread, SIGURG);
}

void vm_fault_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, vm_fault_set);
}

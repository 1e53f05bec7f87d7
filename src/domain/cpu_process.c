/* SPDX-License-Identifier: Apache-2.0 */
/* This process as the CPU of a domain, where there is no KVM.
 *
 * The guest runs on its own stack, at its own addresses, in the thread that
 * calls.  What would leave a virtual machine is a signal here: "out" faults,
 * as do traps.  The handler writes down where the guest was and sends the
 * thread back into cpu_process_enter, as a fault of the engine's own becomes a
 * trap in vm_fault.c; what is not the guest's goes to who had the signal
 * before.
 *
 *  1. "next" and "vector" are what the guest goes on with.  They change in a
 *     handler that has found the thread in the guest, and in go().
 *  2. At a bell the guest is in a call, which may lose the vector registers;
 *     at traps and kicks all of the processor's state is kept.
 *  3. A kick sets the flag, then interrupts the thread that runs, if one does
 *     and is another.  A run names its thread, then looks at the flag. */
#include "domain/cpu_process.h"
#include "base/signal.h"
#include "domain/cpu_process_at.h"
#include <cpuid.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define AT(field, at)                                               \
	_Static_assert(offsetof(struct cpu_process, field) == (at), \
		       "cpu_process_at.h: " #field)
AT(next.general, PROCESS_GENERAL);
AT(next.rip, PROCESS_RIP);
AT(next.flags, PROCESS_FLAGS);
AT(host_stack, PROCESS_HOST_STACK);
AT(vector, PROCESS_VECTOR);
AT(parts, PROCESS_PARTS);
AT(kicked, PROCESS_KICKED);

enum {
	FX_BYTES = 512,	   /* of FXSAVE */
	FX_TELLS_AT = 464, /* struct _fpx_sw_bytes */
	STATE_ALIGN = 64,
	STATE_PKRU = 1 << 9, /* is the host's */
	VECTOR_PROTECTION = 13,
	VECTOR_PAGE_FAULT = 14,
	ERROR_FETCH = 1 << 4,
	FLAGS_USER = 0xcd5, /* the arithmetic's, and direction */
	FLAGS_SET = 0x202,
};

void cpu_process_enter(struct cpu_process *cpu);
extern const uint8_t cpu_process_begin[], cpu_process_inside[],
	cpu_process_leave[];

/* Of the process, not of its threads' callers: a handler is found by nothing
 * else.  initial-exec: reading it in the handler must not allocate. */
static __thread struct cpu_process *cpu_running
	__attribute__((tls_model("initial-exec")));

static const int cpu_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
enum { CPU_SIGNALS = sizeof(cpu_signals) / sizeof(*cpu_signals) };
static struct sigaction cpu_before[CPU_SIGNALS];

/* ---- in handlers ---------------------------------------------------------- */

static const int cpu_order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX,
				   REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				   REG_R8,  REG_R9,  REG_R10, REG_R11,
				   REG_R12, REG_R13, REG_R14, REG_R15 };

static bool is_within(uint64_t at, uint64_t begin, uint64_t bytes)
{
	return at >= begin && at - begin < bytes;
}

static bool is_guest_code(uint64_t rip)
{
	return is_within(rip, GUEST_VA + GUEST_IMAGE_AT, GUEST_IMAGE_MOST) ||
	       is_within(rip, GUEST_CODE_VA, GUEST_CODE_MOST);
}

/* Also where it has gone to what is no code. */
static bool is_guest(const greg_t *at)
{
	if (is_guest_code((uint64_t)at[REG_RIP]))
		return true;
	return at[REG_TRAPNO] == VECTOR_PAGE_FAULT &&
	       at[REG_ERR] & ERROR_FETCH && at[REG_CR2] == at[REG_RIP] &&
	       is_within((uint64_t)at[REG_RSP], GUEST_VA,
			 GUEST_MEMORY_VA - GUEST_VA);
}

static bool is_entering(const greg_t *at)
{
	return is_within((uint64_t)at[REG_RIP], (uint64_t)cpu_process_begin,
			 (uint64_t)(cpu_process_inside - cpu_process_begin));
}

static bool is_bell(const greg_t *at)
{
	const uint8_t *code = (const uint8_t *)at[REG_RIP];

	return at[REG_TRAPNO] == VECTOR_PROTECTION && code[0] == 0xe6 &&
	       code[1] == GUEST_PORT;
}

/* The processor's state as the kernel has put it on the stack, which is as
 * XSAVE does it, or FXSAVE. */
static void cpu_keep_vector(struct cpu_process *cpu, const void *state)
{
	struct _fpx_sw_bytes tells;
	size_t bytes = FX_BYTES;

	cpu->vector = NULL;
	if (!state)
		return;
	memcpy(&tells, (const uint8_t *)state + FX_TELLS_AT, sizeof(tells));
	cpu->parts = 0;
	if (tells.magic1 == FP_XSTATE_MAGIC1 &&
	    tells.xstate_size <= cpu->room_bytes) {
		bytes = tells.xstate_size;
		cpu->parts = tells.xstate_bv & ~(uint64_t)STATE_PKRU;
	}
	memcpy(cpu->room, state, bytes);
	cpu->vector = cpu->room;
}

static void cpu_keep(struct cpu_process *cpu, const greg_t *at)
{
	for (int i = 0; i < 16; i++)
		cpu->next.general[i] = (uint64_t)at[cpu_order[i]];
	cpu->next.rip = (uint64_t)at[REG_RIP];
	cpu->next.flags = ((uint64_t)at[REG_EFL] & FLAGS_USER) | FLAGS_SET;
}

static void cpu_send_back(struct cpu_process *cpu, greg_t *at)
{
	at[REG_RIP] = (greg_t)cpu_process_leave;
	at[REG_RDI] = (greg_t)cpu;
	at[REG_RSP] = (greg_t)cpu->host_stack;
}

static void cpu_take(struct cpu_process *cpu, ucontext_t *here)
{
	greg_t *at = here->uc_mcontext.gregs;
	struct cpu_stop *stop = cpu->stop;

	cpu_keep(cpu, at);
	if (is_bell(at)) {
		stop->event = CPU_BELL;
		cpu->next.rip += 2;
		cpu->vector = NULL;
	} else {
		stop->event = CPU_TRAP;
		stop->vector = (uint32_t)at[REG_TRAPNO];
		stop->error = (uint32_t)at[REG_ERR];
		stop->address = stop->vector == VECTOR_PAGE_FAULT
					? (uint64_t)at[REG_CR2]
					: 0;
		cpu_keep_vector(cpu, here->uc_mcontext.fpregs);
	}
	cpu_send_back(cpu, at);
}

static struct sigaction *cpu_earlier(int number)
{
	int i = 0;

	while (cpu_signals[i] != number)
		i++;
	return &cpu_before[i];
}

static void cpu_fault(int number, siginfo_t *info, void *context)
{
	ucontext_t *here = context;

	if (cpu_running && info->si_code > 0 &&
	    is_guest(here->uc_mcontext.gregs))
		cpu_take(cpu_running, here);
	else
		signal_hand_on(cpu_earlier(number), number, info, context);
}

/* Anywhere else the flag is looked at before the guest goes on. */
void cpu_process_interrupted(void *context)
{
	struct cpu_process *cpu = cpu_running;
	ucontext_t *here = context;
	greg_t *at = here->uc_mcontext.gregs;

	if (!cpu || !__atomic_load_n(&cpu->kicked, __ATOMIC_SEQ_CST))
		return;
	if (is_guest_code((uint64_t)at[REG_RIP])) {
		cpu_keep(cpu, at);
		cpu_keep_vector(cpu, here->uc_mcontext.fpregs);
	} else if (!is_entering(at)) {
		return;
	}
	cpu->stop->event = CPU_KICKED;
	cpu_send_back(cpu, at);
}

static void cpu_install(void)
{
	for (int i = 0; i < CPU_SIGNALS; i++)
		signal_take(cpu_signals[i], cpu_fault, &cpu_before[i]);
}

/* ---- runs ----------------------------------------------------------------- */

static void cpu_process_go(struct cpu *it, const struct cpu_registers *to)
{
	struct cpu_process *cpu = cpu_process_of(it);

	cpu->next = *to;
	cpu->next.flags = (to->flags & FLAGS_USER) | FLAGS_SET;
}

static void cpu_process_run(struct cpu *it, struct cpu_stop *stop)
{
	struct cpu_process *cpu = cpu_process_of(it);
	int r = cpu_process_stack_have();

	if (r < 0) {
		stop->event = CPU_BROKEN;
		snprintf(stop->why, sizeof(stop->why),
			 "a thread that cannot take signals: %s", strerror(-r));
		return;
	}
	*stop = (struct cpu_stop){ .event = CPU_KICKED };
	cpu->stop = stop;
	cpu_running = cpu;
	__atomic_store_n(&cpu->runner, gettid(), __ATOMIC_SEQ_CST);
	cpu_process_enter(cpu);
	__atomic_store_n(&cpu->runner, 0, __ATOMIC_SEQ_CST);
	cpu_running = NULL;
	if (stop->event == CPU_KICKED)
		__atomic_store_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST);
	stop->at = cpu->next;
}

static int cpu_process_settle(struct cpu *it, struct cpu_registers *registers,
			      struct err *err)
{
	(void)err;
	*registers = cpu_process_of(it)->next;
	return 0;
}

static void cpu_process_kick(struct cpu *it)
{
	struct cpu_process *cpu = cpu_process_of(it);
	int runner;

	__atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
	runner = __atomic_load_n(&cpu->runner, __ATOMIC_SEQ_CST);
	if (runner && runner != gettid())
		syscall(SYS_tgkill, getpid(), runner, SIGRTMIN);
}

/* ---- begin and end -------------------------------------------------------- */

static void cpu_process_close(struct cpu *it)
{
	struct cpu_process *cpu = cpu_process_of(it);

	cpu_process_hide(it, 0, NULL);
	free(cpu->codes);
	cpu_process_stack_drop();
	free(cpu->room);
	free(cpu);
}

const struct cpu_kind cpu_process_kind = {
	.name = "process",
	.place = cpu_process_place,
	.show = cpu_process_show,
	.hide = cpu_process_hide,
	.protect = cpu_process_protect,
	.go = cpu_process_go,
	.run = cpu_process_run,
	.settle = cpu_process_settle,
	.kick = cpu_process_kick,
	.close = cpu_process_close,
	.leave = cpu_process_close,
};

/* What XSAVE needs for all that the system has switched on. */
static size_t cpu_state_bytes(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid_count(0xd, 0, &a, &b, &c, &d) || b < FX_BYTES)
		b = FX_BYTES;
	return ((size_t)b + STATE_ALIGN - 1) & ~(size_t)(STATE_ALIGN - 1);
}

int cpu_open_process(struct cpu **opened, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct cpu_process *cpu = calloc(1, sizeof(*cpu));

	if (cpu) {
		cpu->room_bytes = cpu_state_bytes();
		cpu->room = aligned_alloc(STATE_ALIGN, cpu->room_bytes);
	}
	if (!cpu || !cpu->room) {
		free(cpu);
		return err_set(err, -ENOMEM, "a CPU");
	}
	cpu->cpu.kind = &cpu_process_kind;
	pthread_once(&once, cpu_install);
	cpu_kick_install();
	*opened = &cpu->cpu;
	return 0;
}

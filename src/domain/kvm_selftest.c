/* SPDX-License-Identifier: Apache-2.0 */
/* The trial of a KVM.  It is made in a child: a signal of its own ends a guest
 * that does not end, and no bug of a kernel's KVM can hold up more than the
 * child. */
#include "domain/kvm_selftest.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/process.h"
#include "domain/kvm.h"
#include "domain/kvm_guest.h"
#include "jit/jit.h"
#include <brood/code_format.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const unsigned char trial_guest[] = {
#include "domain/kvm_selftest.inc"
};
_Static_assert(sizeof(trial_guest) == GUEST_BYTES, "as kvm_guest.h says");

enum {
	TRIAL_LIMIT_MS = 5000,	  /* of the child */
	TRIAL_RUN_NS = 100000000, /* of one run, the processor's time */
	TRIAL_STOP_NS = 200000,
	TRIAL_ROUNDS = 9,
	TRIAL_TOUCHED = 64,
	TRIAL_LOOP = 150,
	TRIAL_NATIVE_NS = 50, /* an instruction, when it is not emulated */
	TRIAL_SYSTEM_SLOT = 0,
	TRIAL_HEAP_SLOT,
	TRIAL_CODE_SLOT,
	TRIAL_HEAP_BYTES = GUEST_HEAP_PAGES * 4096,
	TRIAL_CODE_BYTES = 4096,
};
#define TRIAL_PATTERN UINT64_C(0x0123456789abcdef)

struct trial {
	struct kvm kvm;
	struct kvm_sentinel sentinel;
	struct kvm_vm vm;
	struct kvm_cpu cpu;
	struct kvm_sregs user;
	unsigned char *system, *heap, *code;
	timer_t work, stop; /* of the processor's time, and of the clock */
	bool by_store;	    /* how it rings */
	struct kvm_facts *facts;
};

uint64_t kvm_selftest_hash(void)
{
	return hash64(trial_guest, sizeof(trial_guest));
}

/* ---- runs ----------------------------------------------------------------- */

static void trial_alarm(int number, siginfo_t *info, void *unused)
{
	struct kvm_run *run = info->si_value.sival_ptr;

	(void)number;
	(void)unused;
	if (info->si_code == SI_TIMER)
		run->immediate_exit = 1;
}

static int trial_timer(struct trial *trial, clockid_t clock, timer_t *timer)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGALRM,
				  .sigev_value.sival_ptr = trial->cpu.run };

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	return timer_create(clock, &event, timer) < 0 ? -errno : 0;
}

static void trial_set(timer_t timer, long ns)
{
	const struct itimerspec at = { .it_value.tv_nsec = ns };

	timer_settime(timer, 0, &at, NULL);
}

/* Until it leaves, or the alarm has rung: -EINTR. */
static int trial_go(struct trial *trial)
{
	volatile struct kvm_run *run = trial->cpu.run;
	int r;

	trial_set(trial->work, TRIAL_RUN_NS);
	do
		r = kvm_run(&trial->cpu);
	while ((r == -EINTR || r == -EAGAIN) && !run->immediate_exit);
	trial_set(trial->work, 0);
	run->immediate_exit = 0;
	return r;
}

static void trial_enter_at(struct trial *trial, uint64_t rip, uint64_t rdi,
			   uint64_t rsi)
{
	struct kvm_run *run = trial->cpu.run;

	run->s.regs.regs = (struct kvm_regs){
		.rip = rip,
		.rsp = GUEST_BASE + GUEST_STACK + 0x1000 - 16,
		.rflags = 0x202,
		.rbx = GUEST_BASE + GUEST_DATA,
		.r14 = GUEST_BASE + GUEST_BELL,
		.r15 = trial->by_store,
		.rdi = rdi,
		.rsi = rsi,
	};
	run->s.regs.sregs = trial->user;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run->kvm_valid_regs = KVM_SYNC_X86_SREGS;
}

static int trial_run(struct trial *trial, int entry, uint64_t rdi, uint64_t rsi)
{
	trial_enter_at(trial, GUEST_ENTRY(entry), rdi, rsi);
	return trial_go(trial);
}

static bool trial_is_out(const struct trial *trial, int reason, int port)
{
	const struct kvm_run *run = trial->cpu.run;

	return reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
	       run->io.size == 1 && run->io.port == port;
}

static bool trial_is_store(const struct trial *trial, int reason)
{
	const struct kvm_run *run = trial->cpu.run;

	return reason == KVM_EXIT_MMIO && run->mmio.is_write &&
	       run->mmio.phys_addr == GUEST_BELL_GPA && run->mmio.len == 4;
}

static bool trial_rings(const struct trial *trial, int reason)
{
	return trial->by_store ? trial_is_store(trial, reason)
			       : trial_is_out(trial, reason, GUEST_PORT);
}

static bool trial_does(struct trial *trial, int entry, uint64_t rdi,
		       uint64_t rsi)
{
	return trial_rings(trial, trial_run(trial, entry, rdi, rsi));
}

static bool trial_traps(struct trial *trial, int entry, uint64_t rdi,
			uint64_t rsi, int vector)
{
	return trial_is_out(trial, trial_run(trial, entry, rdi, rsi), vector);
}

static bool trial_faults_at(struct trial *trial, int entry, uint64_t address)
{
	return trial_traps(trial, entry, address, 0, 14) &&
	       trial->cpu.run->s.regs.sregs.cr2 == address;
}

static bool trial_data_is(const struct trial *trial, int at, uint64_t value,
			  int count)
{
	const unsigned char *data = trial->system + GUEST_DATA + at;
	uint64_t found;

	for (int i = 0; i < count; i++) {
		memcpy(&found, data + i * sizeof(found), sizeof(found));
		if (found != value)
			return false;
	}
	return true;
}

/* ---- what a domain relies on ---------------------------------------------- */

static bool trial_bell_port(struct trial *trial)
{
	const struct kvm_run *run = trial->cpu.run;
	bool rings = trial_is_out(trial, trial_run(trial, GUEST_RING, 0, 0),
				  GUEST_PORT) &&
		     run->s.regs.sregs.cs.selector == KVM_CODE_3;

	return rings && trial_is_out(trial, trial_go(trial), GUEST_PORT);
}

static bool trial_bell_store(struct trial *trial)
{
	const struct kvm_run *run = trial->cpu.run;
	bool rings = trial_is_store(trial,
				    trial_run(trial, GUEST_RING_STORE, 0, 0)) &&
		     run->s.regs.sregs.cs.selector == KVM_CODE_3;

	return rings && trial_is_store(trial, trial_go(trial));
}

static bool trial_starts(struct trial *trial)
{
	trial->facts->bell_port = trial_bell_port(trial);
	trial->facts->bell_store = trial_bell_store(trial);
	trial->by_store = !trial->facts->bell_port;
	return trial->facts->bell_port || trial->facts->bell_store;
}

static bool trial_undefined(struct trial *trial)
{
	return trial_traps(trial, GUEST_UD, 0, 0, 6);
}

static bool trial_divides(struct trial *trial)
{
	return trial_traps(trial, GUEST_DE, 0, 0, 0);
}

static bool trial_protects(struct trial *trial)
{
	return trial_traps(trial, GUEST_CLI, 0, 0, 13) &&
	       trial_traps(trial, GUEST_LOAD, 1ul << 63, 0, 13);
}

static bool trial_absent(struct trial *trial)
{
	return trial_faults_at(trial, GUEST_LOAD,
			       GUEST_BASE + GUEST_ABSENT + 8);
}

static bool trial_ports(struct trial *trial)
{
	static const int ports[] = { GUEST_PORT - 1, GUEST_PORT + 1, 14,
				     0x80,	     0x3f8,	     0xffff };
	const unsigned count = sizeof(ports) / sizeof(*ports);
	bool closed = true;

	for (unsigned i = 0; i < count && closed; i++)
		closed = trial_traps(trial, GUEST_OUT, ports[i], 0, 13) &&
			 trial_traps(trial, GUEST_IN, ports[i], 0, 13);
	return closed;
}

static bool trial_kernel(struct trial *trial)
{
	return trial_faults_at(trial, GUEST_LOAD, GUEST_BASE + GUEST_KERNEL) &&
	       trial_faults_at(trial, GUEST_CALL, GUEST_BASE + GUEST_KERNEL) &&
	       trial_faults_at(trial, GUEST_WRITE,
			       GUEST_BASE + GUEST_KERNEL_STACK);
}

static bool trial_text(struct trial *trial)
{
	return trial_faults_at(trial, GUEST_WRITE, GUEST_BASE + GUEST_TEXT);
}

static bool trial_no_execute(struct trial *trial)
{
	return trial_faults_at(trial, GUEST_CALL, GUEST_BASE + GUEST_HEAP);
}

static bool trial_code(struct trial *trial)
{
	return trial_does(trial, GUEST_CALL, GUEST_BASE + GUEST_CODE, 100) &&
	       trial_data_is(trial, 0, 142, 1);
}

/* The guest's own tables would let it: the slot does not. */
static bool trial_code_stays(struct trial *trial)
{
	const uint64_t at = GUEST_BASE + GUEST_CODE + 64;
	int r = trial_run(trial, GUEST_WRITE, at, TRIAL_PATTERN);
	uint64_t found;

	memcpy(&found, trial->code + 64, sizeof(found));
	return found == 0 && !trial_rings(trial, r) &&
	       (r == KVM_EXIT_MMIO || trial_is_out(trial, r, 14));
}

static bool trial_memory(struct trial *trial)
{
	return trial_does(trial, GUEST_WRITE, GUEST_BASE + GUEST_HEAP + 4096,
			  TRIAL_PATTERN) &&
	       trial_does(trial, GUEST_LOAD, GUEST_BASE + GUEST_HEAP + 4096,
			  0) &&
	       trial_data_is(trial, 0, TRIAL_PATTERN, 1);
}

/* Who stops a guest that is about to begin is not lost, and nor is it. */
static bool trial_cancels(struct trial *trial)
{
	struct kvm_run *run = trial->cpu.run;
	bool stopped;

	trial_enter_at(trial, GUEST_ENTRY(GUEST_SPIN), 0, 0);
	run->immediate_exit = 1;
	stopped = kvm_run(&trial->cpu) == -EINTR;
	run->immediate_exit = 0;
	trial_set(trial->stop, TRIAL_STOP_NS);
	stopped = stopped && trial_go(trial) == -EINTR;
	trial_set(trial->stop, 0);
	return stopped &&
	       trial_does(trial, GUEST_LOAD, GUEST_BASE + GUEST_HEAP, 0);
}

static void trial_clobber(void)
{
	asm volatile("pcmpeqd %%xmm1, %%xmm1\n\t"
		     "pcmpeqd %%xmm15, %%xmm15"
		     :
		     :
		     : "xmm1", "xmm15");
	if (jit_cpu_features() & CODE_AVX)
		asm volatile("vzeroall"
			     :
			     :
			     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			       "xmm12", "xmm13", "xmm14", "xmm15");
	/* Registers that no compiled code of ours keeps something in. */
	if (jit_cpu_features() & CODE_AVX512)
		asm volatile("vpxorq %zmm17, %zmm17, %zmm17\n\t"
			     "vmovdqa64 %zmm17, %zmm18\n\t"
			     "vmovdqa64 %zmm17, %zmm19\n\t"
			     "kxorw %k2, %k2, %k2");
}

/* Set, then we ring and use the same registers, then written. */
static bool trial_keeps(struct trial *trial, int entry)
{
	if (!trial_does(trial, entry, TRIAL_PATTERN, ~TRIAL_PATTERN))
		return false;
	trial_clobber();
	return trial_rings(trial, trial_go(trial));
}

static bool trial_sse(struct trial *trial)
{
	return trial_keeps(trial, GUEST_SSE) &&
	       trial_data_is(trial, 0, TRIAL_PATTERN, 4);
}

static const struct {
	bool (*holds)(struct trial *trial);
	const char *if_not;
} trial_needs[] = {
	{ trial_starts, "code in ring 3 does not reach its host" },
	{ trial_undefined, "an undefined instruction does not trap" },
	{ trial_divides, "a division by zero does not trap" },
	{ trial_protects, "what is forbidden to ring 3 does not trap" },
	{ trial_absent, "a page that is absent does not trap at its address" },
	{ trial_ports, "ports that are closed to ring 3 are not" },
	{ trial_kernel, "ring 3 reaches pages of ring 0" },
	{ trial_text, "pages are written that are read-only" },
	{ trial_no_execute, "pages are executed that are not executable" },
	{ trial_code, "code in a slot of its own does not run" },
	{ trial_code_stays, "a slot is written that is read-only" },
	{ trial_memory, "memory does not keep what is written" },
	{ trial_cancels, "a run cannot be stopped" },
	{ trial_sse, "SSE registers are not kept over an exit" },
};

/* ---- what it may have, and what it takes ---------------------------------- */

static bool trial_avx(struct trial *trial)
{
	return trial_keeps(trial, GUEST_AVX) &&
	       trial_data_is(trial, 0, TRIAL_PATTERN, 8);
}

static bool trial_avx2(struct trial *trial)
{
	return trial_keeps(trial, GUEST_AVX2) &&
	       trial_data_is(trial, 0, TRIAL_PATTERN, 4) &&
	       trial_data_is(trial, 32, 2 * TRIAL_PATTERN, 4);
}

static bool trial_avx512(struct trial *trial)
{
	/* In words of 16 bits, no carry goes to the next. */
	const uint64_t doubled = (TRIAL_PATTERN << 1) & 0xfffefffefffefffe;

	return trial_keeps(trial, GUEST_AVX512) &&
	       trial_data_is(trial, 0, TRIAL_PATTERN, 8) &&
	       trial_data_is(trial, 64, doubled, 8) &&
	       trial_data_is(trial, 128, TRIAL_PATTERN * TRIAL_PATTERN, 4) &&
	       trial_data_is(trial, 192, ~TRIAL_PATTERN, 1);
}

static bool trial_fma(struct trial *trial)
{
	const double values[] = { 3, 7, 3 * 7 + 3 };
	uint64_t bits[3];

	memcpy(bits, values, sizeof(bits));
	return trial_does(trial, GUEST_FMA, bits[0], bits[1]) &&
	       trial_data_is(trial, 0, bits[2], 1);
}

static bool trial_bmi1(struct trial *trial)
{
	return trial_does(trial, GUEST_BMI1, 0xff00, 0xfff0) &&
	       trial_data_is(trial, 0, 0x00f0, 1);
}

static bool trial_bmi2(struct trial *trial)
{
	return trial_does(trial, GUEST_BMI2, 5, 0xf000) &&
	       trial_data_is(trial, 0, 0x5000, 1);
}

static bool trial_lzcnt(struct trial *trial)
{
	return trial_does(trial, GUEST_LZCNT, 1, 0) &&
	       trial_data_is(trial, 0, 63, 1);
}

static const struct {
	bool (*works)(struct trial *trial);
	uint32_t feature;
} trial_features[] = {
	{ trial_avx, CODE_AVX },     { trial_avx2, CODE_AVX2 },
	{ trial_bmi1, CODE_BMI1 },   { trial_bmi2, CODE_BMI2 },
	{ trial_fma, CODE_FMA },     { trial_avx512, CODE_AVX512 },
	{ trial_lzcnt, CODE_LZCNT },
};

static uint32_t trial_find_features(struct trial *trial)
{
	const unsigned count = sizeof(trial_features) / sizeof(*trial_features);
	uint32_t host = jit_cpu_features(), found = 0;

	for (unsigned i = 0; i < count; i++)
		if (host & trial_features[i].feature &&
		    trial_features[i].works(trial))
			found |= trial_features[i].feature;
	return found;
}

static int trial_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t trial_round(struct trial *trial, int entry)
{
	uint32_t took[TRIAL_ROUNDS];

	trial_run(trial, entry, 0, 0);
	trial->cpu.run->kvm_valid_regs = 0;
	trial_set(trial->work, TRIAL_RUN_NS);
	for (int i = 0; i < TRIAL_ROUNDS; i++) {
		uint64_t start = clock_ns();

		kvm_run(&trial->cpu);
		took[i] = (uint32_t)(clock_ns() - start);
	}
	trial_set(trial->work, 0);
	trial->cpu.run->immediate_exit = 0;
	qsort(took, TRIAL_ROUNDS, sizeof(*took), trial_compare);
	return took[TRIAL_ROUNDS / 2];
}

static uint64_t trial_loop(struct trial *trial, int turns)
{
	struct kvm_sregs *sregs = &trial->cpu.run->s.regs.sregs;
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 3; i++) {
		uint64_t start;
		int r;

		trial_enter_at(trial, GUEST_BASE + GUEST_KERNEL + GUEST_LOOP, 0,
			       0);
		trial->cpu.run->s.regs.regs.rcx = turns;
		trial->cpu.run->s.regs.regs.rsp =
			GUEST_BASE + GUEST_KERNEL_STACK + 0x1000;
		sregs->cs.selector = KVM_CODE_0;
		sregs->ss.selector = KVM_DATA_0;
		sregs->cs.dpl = sregs->ss.dpl = 0;
		start = clock_ns();
		r = trial_go(trial);
		start = clock_ns() - start;
		if (!trial_is_out(trial, r, GUEST_LOOP_PORT))
			return 0;
		best = start < best ? start : best;
	}
	return best;
}

/* A loop's turn is two instructions. */
static void trial_ring0(struct trial *trial)
{
	uint64_t one = trial_loop(trial, 1),
		 all = trial_loop(trial, TRIAL_LOOP);
	uint64_t more = all > one ? all - one : 0;

	trial->facts->native_ring0 =
		one && all && more < 2 * TRIAL_LOOP * TRIAL_NATIVE_NS;
	trial->facts->ring0_ns = (uint32_t)(more / (2 * TRIAL_LOOP));
}

static void trial_measure(struct trial *trial)
{
	struct kvm_facts *facts = trial->facts;
	uint64_t start, took, bell;

	facts->port_ns = facts->bell_port ? trial_round(trial, GUEST_RING) : 0;
	facts->store_ns =
		facts->bell_store ? trial_round(trial, GUEST_RING_STORE) : 0;
	bell = facts->bell_port ? facts->port_ns : facts->store_ns;
	madvise(trial->heap, TRIAL_HEAP_BYTES, MADV_DONTNEED);
	start = clock_ns();
	trial_does(trial, GUEST_TOUCH, TRIAL_TOUCHED, 0);
	took = clock_ns() - start;
	facts->page_ns =
		(uint32_t)((took > bell ? took - bell : 0) / TRIAL_TOUCHED);
	trial_ring0(trial);
}

/* ---- the trial ------------------------------------------------------------ */

static unsigned char *trial_map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static int trial_memory_make(struct trial *trial, struct err *err)
{
	static const unsigned char code[] = { 0x48, 0x8d, 0x47, 42, 0xc3 };

	trial->system = trial_map(GUEST_BYTES);
	trial->heap = trial_map(TRIAL_HEAP_BYTES);
	trial->code = trial_map(TRIAL_CODE_BYTES);
	if (!trial->system || !trial->heap || !trial->code)
		return err_set(err, -ENOMEM, "memory for a guest");
	madvise(trial->heap, TRIAL_HEAP_BYTES, MADV_NOHUGEPAGE);
	memcpy(trial->system, trial_guest, GUEST_BYTES);
	memcpy(trial->code, code, sizeof(code)); /* lea 42(%rdi), %rax; ret */
	return 0;
}

static int trial_slots(struct trial *trial, struct err *err)
{
	int r = kvm_slot(&trial->vm, TRIAL_SYSTEM_SLOT, 0, GUEST_BYTES,
			 trial->system, 0, err);

	if (r >= 0)
		r = kvm_slot(&trial->vm, TRIAL_HEAP_SLOT, GUEST_HEAP_GPA,
			     TRIAL_HEAP_BYTES, trial->heap, 0, err);
	if (r >= 0)
		r = kvm_slot(&trial->vm, TRIAL_CODE_SLOT, GUEST_CODE_GPA,
			     TRIAL_CODE_BYTES, trial->code, KVM_MEM_READONLY,
			     err);
	return r;
}

static int trial_vm_make(struct trial *trial, struct err *err)
{
	uint64_t start = clock_ns();
	int r = kvm_vm_make(&trial->kvm, &trial->vm, err);

	trial->facts->vm_ns = (uint32_t)(clock_ns() - start);
	if (r >= 0)
		r = trial_slots(trial, err);
	start = clock_ns();
	if (r >= 0)
		r = kvm_cpu_make(&trial->kvm, &trial->vm, &trial->cpu, err);
	trial->facts->cpu_ns = (uint32_t)(clock_ns() - start);
	return r;
}

static void trial_user(struct trial *trial)
{
	const struct kvm_tables tables = {
		.gdt = GUEST_BASE + GUEST_KERNEL + GUEST_GDT,
		.idt = GUEST_BASE + GUEST_KERNEL + GUEST_IDT,
		.tss = GUEST_BASE + GUEST_KERNEL + GUEST_TASK,
		.gdt_limit = GUEST_GDT_LIMIT,
		.idt_limit = GUEST_IDT_LIMIT,
		.tss_limit = GUEST_TASK_LIMIT,
	};

	kvm_sregs_user(&trial->kvm, &trial->user, &tables);
}

static int trial_open(struct trial *trial, bool cpuid, struct err *err)
{
	int r = kvm_open(&trial->kvm, err);

	if (r >= 0 && cpuid)
		r = kvm_use_cpuid(&trial->kvm, err);
	if (r >= 0)
		r = kvm_sentinel_open(&trial->kvm, &trial->sentinel, err);
	if (r >= 0)
		r = trial_memory_make(trial, err);
	if (r >= 0)
		r = trial_vm_make(trial, err);
	if (r < 0)
		return r;
	trial_user(trial);
	r = trial_timer(trial, CLOCK_THREAD_CPUTIME_ID, &trial->work);
	if (r >= 0)
		r = trial_timer(trial, CLOCK_MONOTONIC, &trial->stop);
	return r < 0 ? err_set(err, r, "timer") : 0;
}

static void trial_look(struct trial *trial)
{
	const unsigned needs = sizeof(trial_needs) / sizeof(*trial_needs);
	struct kvm_facts *facts = trial->facts;
	uint64_t start = clock_ns();

	trial_run(trial, GUEST_RING, 0, 0);
	facts->first_ns = (uint32_t)(clock_ns() - start);
	for (unsigned i = 0; i < needs; i++) {
		if (trial_needs[i].holds(trial))
			continue;
		snprintf(facts->why, sizeof(facts->why), "%s",
			 trial_needs[i].if_not);
		return;
	}
	facts->usable = true;
	facts->features = trial_find_features(trial);
	trial_measure(trial);
}

/* ---- its child ------------------------------------------------------------ */

struct trial_outcome {
	bool done;
	int code;
	struct err err;
	struct kvm_facts facts;
};

static void trial_prepare_child(pid_t parent)
{
	struct sigaction action = { .sa_sigaction = trial_alarm,
				    .sa_flags = SA_SIGINFO };
	sigset_t all;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
}

/* What it has open ends with it. */
static void trial_child(bool cpuid, pid_t parent, struct trial_outcome *outcome)
{
	struct trial trial = { .facts = &outcome->facts };

	trial_prepare_child(parent);
	outcome->code = trial_open(&trial, cpuid, &outcome->err);
	if (outcome->code >= 0)
		trial_look(&trial);
	outcome->facts.needs_cpuid = cpuid;
	__atomic_store_n(&outcome->done, true, __ATOMIC_RELEASE);
	_exit(0);
}

static int trial_wait(pid_t pid, struct trial_outcome *outcome, struct err *err)
{
	int status = 0, r = process_wait(pid, TRIAL_LIMIT_MS, &status);

	if (r == -ETIME) {
		kill(pid, SIGKILL);
		process_wait(pid, TRIAL_LIMIT_MS, &status);
	}
	if (!__atomic_load_n(&outcome->done, __ATOMIC_ACQUIRE))
		return err_set(err, r == -ETIME ? -ETIME : -ECHILD,
			       "KVM's self-test");
	return 0;
}

int kvm_selftest_run_with(bool cpuid, struct kvm_facts *facts, struct err *err)
{
	struct trial_outcome *outcome =
		mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid, parent = getpid();
	int r;

	*facts = (struct kvm_facts){ 0 };
	if (outcome == MAP_FAILED)
		return err_set(err, -errno, "memory for KVM's self-test");
	pid = fork();
	if (pid == 0)
		trial_child(cpuid, parent, outcome);
	r = pid < 0 ? err_set(err, -errno, "fork")
		    : trial_wait(pid, outcome, err);
	if (r >= 0 && outcome->code < 0) {
		r = outcome->code;
		if (err)
			*err = outcome->err;
	}
	if (r >= 0)
		*facts = outcome->facts;
	munmap(outcome, sizeof(*outcome));
	return r;
}

/* ---- with CPUID or without ------------------------------------------------ */

int kvm_selftest_run(struct kvm_facts *facts, struct err *err)
{
	struct kvm_facts more;
	int r = kvm_selftest_run_with(false, facts, err);

	if (r < 0 || !(jit_cpu_features() & CODE_AVX) ||
	    (facts->usable && facts->features & CODE_AVX))
		return r;
	/* Without it, all works but vectors: with it, vectors may. */
	if (kvm_selftest_run_with(true, &more, NULL) >= 0 && more.usable &&
	    (!facts->usable || more.features & ~facts->features))
		*facts = more;
	return 0;
}

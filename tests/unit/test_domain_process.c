/* SPDX-License-Identifier: Apache-2.0 */
/* This process as a CPU: what it keeps over kicks, that none is lost, whose a
 * fault is, and what it leaves behind. */
#include "base/clock.h"
#include "base/file.h"
#include "base/maps.h"
#include "domain/cpu.h"
#include "domain/jail.h"
#include "lib/made_domain.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODULE                                                               \
	"(module (memory 1 10)"                                              \
	" (func (export \"add\") (param i32 i32) (result i32)"               \
	"  (i32.add (local.get 0) (local.get 1)))"                           \
	" (func (export \"get\") (param i32) (result i32)"                   \
	"  (i32.load (local.get 0)))"                                        \
	" (func (export \"grow\") (param i32) (result i32)"                  \
	"  (memory.grow (local.get 0)))"                                     \
	" (func (export \"spin\") (result i32) (loop (br 0)) (i32.const 0))" \
	" (func (export \"mix\") (param i32) (result i32) (local v128)"      \
	"  (local.set 1 (i32x4.splat (i32.const 12345)))"                    \
	"  (loop (local.set 1 (i32x4.add (local.get 1)"                      \
	"    (i32x4.mul (local.get 1) (i32x4.splat (local.get 0)))))"        \
	"   (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"  \
	"  (i32x4.extract_lane 3 (local.get 1))))"

/* ---- whose a fault is ------------------------------------------------------- */

static sigjmp_buf fault_back;
static volatile int fault_count;

static void on_fault(int number)
{
	(void)number;
	fault_count++;
	siglongjmp(fault_back, 1);
}

/* UBSan would say it before the processor does. */
static void fault(void)
{
	__asm__ volatile("mov %%eax, (%0)" : : "r"(8UL) : "memory");
}

/* In a process of its own, where nobody has taken the signals yet. */
static int foreign_child(void)
{
	const struct sigaction action = { .sa_handler = on_fault };
	struct run run;

	alarm(20);
	sigaction(SIGSEGV, &action, NULL);
	ground_use(false);
	if (!run_open(&run, MODULE, VM_COMPILED, (struct domain_options){ 0 }))
		return 2;
	if (!run_traps(&run, "get", 1, 65536, 0, WASM_TRAP_memory_bounds))
		return 3;
	if (sigsetjmp(fault_back, 1) == 0)
		fault();
	if (fault_count != 1)
		return 4;
	if (!run_traps(&run, "get", 1, 65536, 0, WASM_TRAP_memory_bounds))
		return 5;
	if (sigsetjmp(fault_back, 1) == 0)
		raise(SIGSEGV);
	run_close(&run);
	return fault_count == 2 ? 0 : 6;
}

/* The default action is still taken. */
static int default_child(void)
{
	struct run run;

	alarm(20);
	signal(SIGSEGV, SIG_DFL);
	ground_use(false);
	if (!run_open(&run, MODULE, VM_COMPILED, (struct domain_options){ 0 }))
		return 0;
	fault();
	return 0;
}

static int in_a_child(int (*what)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(what());
	waitpid(pid, &status, 0);
	return status;
}

/* The first test: this process has taken no signals yet. */
TEST(a_foreign_fault_goes_on)
{
	int status = in_a_child(foreign_child);

	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	status = in_a_child(default_child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* ---- code of the tests' own ------------------------------------------------- */

/* Guests: of bells, of nothing, and of all registers. */
__asm__(".section .rodata\n"
	"code_bells: 1: inc %rax\n out %al, $0x40\n jmp 1b\n"
	"code_spin: 1: jmp 1b\n"
	"code_wild: xor %eax, %eax\n jmp *%rax\n"
	"code_faults: mov (%rdi), %rax\n"
	"code_divides: xor %ecx, %ecx\n mov $1, %eax\n cltd\n idiv %ecx\n"
	"code_invalid: ud2\n"
	"code_forbidden: hlt\n"
	"code_breaks: int3\n"
	".macro mixes move, reg, add, xor\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	" \\move 64*\\n(%rsi), %\\reg\\n\n .endr\n"
	" fld1\n ldmxcsr 1024(%rsi)\n"
	"1: \\add\n \\xor\n"
	" imul $0x12345, %rax, %rax\n adc %rcx, %rax\n"
	" add %rax, %r15\n xor %r15, %r8\n dec %rcx\n jnz 1b\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	" \\move %\\reg\\n, 64*\\n(%rdi)\n .endr\n"
	" fstpl 1024(%rdi)\n stmxcsr 1032(%rdi)\n .endm\n"
	"code_sse: mixes movdqu, xmm, \"paddd %xmm1, %xmm0\","
	" \"pxor %xmm0, %xmm2\"\n out %al, $0x40\n"
	"code_avx: mixes vmovdqu, ymm, \"vpaddd %ymm1, %ymm0, %ymm0\","
	" \"vpxor %ymm0, %ymm2, %ymm2\"\n out %al, $0x40\n"
	"code_avx512: mov $0x1234, %r10d\n kmovw %r10d, %k3\n"
	" vpternlogd $255, %zmm31, %zmm31, %zmm31\n"
	" mixes vmovdqu32, zmm, \"vpaddd %zmm1, %zmm0, %zmm0\","
	" \"vpxord %zmm0, %zmm2, %zmm2\"\n"
	" kmovw %k3, %r10d\n vmovdqu32 %zmm31, 960(%rdi)\n out %al, $0x40\n"
	"code_end:\n .text\n");
extern const uint8_t code_bells[], code_spin[], code_wild[], code_faults[],
	code_divides[], code_invalid[], code_forbidden[], code_breaks[],
	code_sse[], code_avx[], code_avx512[], code_end[];

struct bare {
	struct cpu *cpu;
	uint8_t *code;
	struct cpu_registers at;
	uint8_t stack[4096];
};

static void bare_open(struct bare *bare, const uint8_t *entry)
{
	struct cpu_memory code = { .virtual = GUEST_CODE_VA,
				   .bytes = GUEST_PAGE,
				   .is_code = true };

	*bare = (struct bare){ 0 };
	bare->code = code.at = mmap(NULL, GUEST_PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(bare->code, code_bells, (size_t)(code_end - code_bells));
	CHECK_INT(cpu_open_process(&bare->cpu, &failure), 0);
	CHECK_INT(bare->cpu->kind->show(bare->cpu, &code, &failure), 0);
	bare->at.rip = GUEST_CODE_VA + (uint64_t)(entry - code_bells);
	bare->at.general[4] = (uint64_t)(bare->stack + sizeof(bare->stack));
	bare->cpu->kind->go(bare->cpu, &bare->at);
}

static void bare_close(struct bare *bare)
{
	bare->cpu->kind->close(bare->cpu);
	munmap(bare->code, GUEST_PAGE);
}

static void bare_run(struct bare *bare, struct cpu_stop *stop)
{
	bare->cpu->kind->run(bare->cpu, stop);
}

/* ---- kicks ------------------------------------------------------------------ */

/* Kicks again and again, each time when the last one was answered. */
struct kicker {
	struct cpu *cpu;
	pthread_t thread;
	uint32_t answered, sent; /* atomic */
	bool stop;		 /* atomic */
	unsigned pause_us;
};

static void *kicker_main(void *of)
{
	struct kicker *kicker = of;

	while (!__atomic_load_n(&kicker->stop, __ATOMIC_SEQ_CST)) {
		if (__atomic_load_n(&kicker->answered, __ATOMIC_SEQ_CST) <
		    kicker->sent) {
			sched_yield();
			continue;
		}
		if (kicker->pause_us)
			usleep(kicker->pause_us);
		__atomic_add_fetch(&kicker->sent, 1, __ATOMIC_SEQ_CST);
		kicker->cpu->kind->kick(kicker->cpu);
	}
	return NULL;
}

static void kicker_start(struct kicker *kicker, struct cpu *cpu,
			 unsigned pause_us)
{
	*kicker = (struct kicker){ .cpu = cpu, .pause_us = pause_us };
	pthread_create(&kicker->thread, NULL, kicker_main, kicker);
}

static void kicker_answer(struct kicker *kicker)
{
	__atomic_add_fetch(&kicker->answered, 1, __ATOMIC_SEQ_CST);
}

static void kicker_stop(struct kicker *kicker)
{
	__atomic_store_n(&kicker->stop, true, __ATOMIC_SEQ_CST);
	pthread_join(kicker->thread, NULL);
}

/* A kick that was lost would be waited for until the alarm. */
TEST(no_kick_is_lost)
{
	struct kicker kicker;
	struct cpu_stop stop;
	struct bare bare;

	bare_open(&bare, code_spin);
	bare.cpu->kind->kick(bare.cpu);
	bare_run(&bare, &stop);
	CHECK_INT(stop.event, CPU_KICKED);
	CHECK(stop.at.rip == bare.at.rip);
	alarm(60);
	kicker_start(&kicker, bare.cpu, 0);
	for (int i = 0; i < 3000; i++) {
		bare_run(&bare, &stop);
		if (stop.event != CPU_KICKED || stop.at.rip != bare.at.rip)
			break;
		kicker_answer(&kicker);
	}
	alarm(0);
	CHECK_INT(stop.event, CPU_KICKED);
	CHECK(stop.at.rip == bare.at.rip);
	kicker_stop(&kicker);
	bare_close(&bare);
}

static void timer_start(timer_t *timer, struct cpu *cpu, long interval_ns)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGRTMIN,
				  .sigev_value.sival_ptr = cpu };
	struct itimerspec when = { .it_value.tv_nsec = interval_ns,
				   .it_interval.tv_nsec = interval_ns };

	CHECK_INT(timer_create(CLOCK_MONOTONIC, &event, timer), 0);
	timer_settime(*timer, 0, &when, NULL);
}

/* Wherever a signal comes, no bell is rung twice and none is left out. */
TEST(bells_among_kicks)
{
	uint64_t bells = 0, kicks = 0, end;
	struct cpu_stop stop;
	struct bare bare;
	timer_t timer;

	bare_open(&bare, code_bells);
	timer_start(&timer, bare.cpu, 30000);
	end = clock_ns() + 300000000;
	while (clock_ns() < end) {
		bare_run(&bare, &stop);
		if (stop.event == CPU_BELL)
			bells++;
		else if (stop.event == CPU_KICKED)
			kicks++;
		else
			break;
		if (stop.at.general[0] - bells > 1 ||
		    (stop.event == CPU_BELL && stop.at.general[0] != bells))
			break;
	}
	timer_delete(timer);
	CHECK(clock_ns() >= end);
	CHECK(bells > 100 && kicks > 10);
	printf("# %llu bells, %llu kicks\n", (unsigned long long)bells,
	       (unsigned long long)kicks);
	bare_close(&bare);
}

struct mixed {
	uint8_t vectors[16][64];
	double real;
	uint32_t mxcsr, reserved;
	struct cpu_registers at;
	uint32_t kicks;
};

static void forget_vectors(const uint8_t *code)
{
	if (code == code_avx512)
		__asm__ volatile("vpxord %%zmm31, %%zmm31, %%zmm31\n"
				 "kxorw %%k3, %%k3, %%k3"
				 :
				 :
				 : "memory");
	if (code != code_sse)
		__asm__ volatile("vzeroall" ::: "memory");
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm1, %%xmm1\n"
			 "fninit"
			 :
			 :
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			   "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
			   "xmm12", "xmm13", "xmm14", "xmm15", "st", "memory");
}

static void mix(struct mixed *mixed, const uint8_t *code, bool kick)
{
	static uint8_t from[16 * 64 + 16];
	struct kicker kicker;
	struct cpu_stop stop;
	struct bare bare;

	*mixed = (struct mixed){ 0 };
	for (int i = 0; i < 16 * 64; i++)
		from[i] = (uint8_t)(i * 37 + 11);
	memcpy(from + 1024, &(uint32_t){ 0x7f80 }, 4); /* rounds to zero */
	bare_open(&bare, code);
	for (unsigned i = 0; i < 16; i++)
		if (i != 4)
			bare.at.general[i] = 0x0123456789abcdef * (i + 1);
	bare.at.general[1] = 20000000;
	bare.at.general[6] = (uint64_t)from;
	bare.at.general[7] = (uint64_t)mixed;
	bare.cpu->kind->go(bare.cpu, &bare.at);
	if (kick)
		kicker_start(&kicker, bare.cpu, 100);
	for (;;) {
		bare_run(&bare, &stop);
		if (stop.event != CPU_KICKED)
			break;
		mixed->kicks++;
		forget_vectors(code);
		kicker_answer(&kicker);
	}
	if (kick)
		kicker_stop(&kicker);
	CHECK_INT(stop.event, CPU_BELL);
	mixed->at = stop.at;
	mixed->at.general[4] = 0;
	mixed->at.general[7] = 0;
	bare_close(&bare);
}

/* How many kicks come depends on what else the machine does. */
static void check_mixed(const uint8_t *code)
{
	struct mixed plain, kicked;
	uint32_t host, kicks = 0;

	mix(&plain, code, false);
	for (int i = 0; i < 50 && kicks < 20; i++) {
		mix(&kicked, code, true);
		kicks += kicked.kicks;
		CHECK(memcmp(plain.vectors, kicked.vectors,
			     sizeof(plain.vectors)) == 0);
		CHECK(memcmp(&plain.at, &kicked.at, sizeof(plain.at)) == 0);
		CHECK(kicked.real == 1.0);
		CHECK_INT(kicked.mxcsr & 0xffc0, 0x7f80);
	}
	CHECK(kicks >= 20);
	__asm__("stmxcsr %0" : "=m"(host));
	CHECK_INT(host & 0xffc0, 0x1f80);
}

TEST(kicked_with_all_registers)
{
	check_mixed(code_sse);
	if (__builtin_cpu_supports("avx2"))
		check_mixed(code_avx);
	else
		printf("# no AVX2 here\n");
	if (__builtin_cpu_supports("avx512f"))
		check_mixed(code_avx512);
	else
		printf("# no AVX-512 here\n");
}

/* The engine's own vectors, compiled and not. */
static void check_module(enum vm_via via)
{
	struct domain_counts counts;
	struct kicker kicker;
	struct run run;
	uint32_t wanted;

	ground_use(false);
	CHECK(run_open(&run, MODULE, via, (struct domain_options){ 0 }));
	CHECK_INT(run_call(&run, "mix", 1, 3000000, 0), 0);
	wanted = run.values.values[0].i32;
	kicker_start(&kicker, run.domain->cpu, 100);
	/* Nobody else answers. */
	for (int i = 0; i < 20; i++) {
		kicker_answer(&kicker);
		CHECK(run_is(&run, "mix", 1, 3000000, 0, wanted));
		CHECK(run_traps(&run, "get", 1, 65536, 0,
				WASM_TRAP_memory_bounds));
	}
	kicker_stop(&kicker);
	domain_counts(run.domain, &counts);
	CHECK(counts.kicks > 0);
	run_close(&run);
}

TEST(kicked_modules)
{
	check_module(VM_COMPILED);
	check_module(VM_INTERPRETED);
}

/* ---- faults ----------------------------------------------------------------- */

static void check_trap(const uint8_t *entry, unsigned vector, uint64_t address)
{
	struct cpu_stop stop;
	struct bare bare;

	bare_open(&bare, entry);
	bare.at.general[7] = address;
	bare.cpu->kind->go(bare.cpu, &bare.at);
	bare_run(&bare, &stop);
	CHECK_INT(stop.event, CPU_TRAP);
	CHECK_INT(stop.vector, vector);
	CHECK(stop.address == address);
	bare_close(&bare);
}

TEST(traps_have_their_vectors)
{
	check_trap(code_faults, 14, 0x123456789000);
	check_trap(code_divides, 0, 0);
	check_trap(code_invalid, 6, 0);
	check_trap(code_forbidden, 13, 0);
	check_trap(code_breaks, 3, 0);
}

/* It is known as the guest's by its stack, which lies in the guest's part. */
TEST(a_wild_jump_is_the_guests)
{
	struct cpu_stop stop;
	struct bare bare;

	bare_open(&bare, code_wild);
	bare.at.general[4] = GUEST_VA + GUEST_STACK_AT;
	bare.cpu->kind->go(bare.cpu, &bare.at);
	bare_run(&bare, &stop);
	CHECK_INT(stop.event, CPU_TRAP);
	CHECK_INT(stop.vector, 14);
	CHECK(stop.at.rip == 0);
	bare_close(&bare);
}

/* Processes that copy one which has a domain have it too. */
#ifdef __SANITIZE_ADDRESS__
static const bool is_sanitised = true;
#else
static const bool is_sanitised;
#endif

static struct run fork_run;

static bool ends_in_time(struct run *run)
{
	bool ends;

	domain_set_deadline(run->domain, (int64_t)clock_ns() + 10000000);
	ends = run_traps(run, "spin", 0, 0, 0, WASM_TRAP_deadline);
	domain_set_deadline(run->domain, 0);
	return ends;
}

static int fork_child(void)
{
	alarm(20);
	if (!run_is(&fork_run, "add", 2, 40, 2, 42))
		return 2;
	if (!run_traps(&fork_run, "get", 1, 65536, 0, WASM_TRAP_memory_bounds))
		return 3;
	if (!ends_in_time(&fork_run))
		return 4;
	run_close(&fork_run);
	return 0;
}

/* Traps of an engine in this process, among those of a domain. */
TEST(an_engine_beside_it)
{
	struct kicker kicker;
	struct run run;

	ground_use(false);
	CHECK(run_open(&run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	kicker_start(&kicker, run.domain->cpu, 100);
	for (int i = 0; i < 10; i++) {
		struct wasm_instance *instance;
		struct wasm_extern get;
		union wasm_value value = { .i64 = 65536 };

		CHECK_INT(vm_instantiate(&run.vm, run.program.module, &instance,
					 &failure),
			  0);
		CHECK(wasm_instance_export(instance, "get", 3, &get));
		CHECK_INT(vm_call(&run.vm, get.function, &value, &value),
			  WASM_TRAP_memory_bounds);
		CHECK(run_traps(&run, "get", 1, 65536, 0,
				WASM_TRAP_memory_bounds));
	}
	kicker_stop(&kicker);
	run_close(&run);
}

TEST(a_fork_has_it_too)
{
	int status;

	ground_use(false);
	CHECK(run_open(&fork_run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	CHECK(ends_in_time(&fork_run));
	status = in_a_child(fork_child);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	CHECK_INT(fork_child(), 0);
	alarm(0);
}

static void *blocked_main(void *unused)
{
	sigset_t all, after;
	struct run run;

	(void)unused;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	CHECK(run_open(&run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	CHECK(run_traps(&run, "get", 1, 65536, 0, WASM_TRAP_memory_bounds));
	domain_set_deadline(run.domain, (int64_t)clock_ns() + 20000000);
	CHECK(run_traps(&run, "spin", 0, 0, 0, WASM_TRAP_deadline));
	run_close(&run);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	CHECK(sigismember(&after, SIGSEGV) && sigismember(&after, SIGRTMIN));
	return NULL;
}

TEST(a_thread_that_blocks_all_signals)
{
	pthread_t thread;

	ground_use(false);
	pthread_create(&thread, NULL, blocked_main, NULL);
	pthread_join(thread, NULL);
}

/* What is made before is all that it needs. */
static int jailed_child(void)
{
	static const int keep[] = { 0, 1, 2 };
	const struct jail_options options = { .strength = JAIL_QUICK,
					      .keep = keep,
					      .keep_count = 3,
					      .require = JAIL_SECCOMP };
	struct jail_told told = { 0 };

	if (!run_is(&fork_run, "add", 2, 40, 2, 42))
		return 2;
	alarm(20);
	if (jail_enter(&options, &told, &failure) < 0)
		return 77;
	if (!run_is(&fork_run, "add", 2, 40, 2, 42))
		return 3;
	if (!run_is(&fork_run, "grow", 1, 5, 0, 1))
		return 4;
	if (!run_traps(&fork_run, "get", 1, 65536 * 6, 0,
		       WASM_TRAP_memory_bounds))
		return 5;
	return ends_in_time(&fork_run) ? 0 : 6;
}

TEST(it_runs_in_a_jail)
{
	int status;

	if (is_sanitised)
		SKIP("a sanitizer calls what a jail forbids");
	ground_use(false);
	CHECK(run_open(&fork_run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	status = in_a_child(jailed_child);
	run_close(&fork_run);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("there is no jail here");
	CHECK_INT(status, 0);
}

/* ---- begin and end ---------------------------------------------------------- */

TEST(one_at_a_time)
{
	struct domain_options options = { 0 };
	struct domain *second;
	struct run run;

	ground_use(false);
	CHECK(run_open(&run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	CHECK_TEXT(domain_isolation(run.domain), "process");
	options.ground = ground;
	CHECK_INT(domain_open(&second, &options, &failure), -EBUSY);
	CHECK(strstr(failure.text, "one domain at a time"));
	CHECK(run_is(&run, "add", 2, 40, 2, 42));
	run_close(&run);
}

TEST(both_kinds_in_turn)
{
	struct run run;

	if (!ground_use(true))
		SKIP(failure.text);
	for (int i = 0; i < 6; i++) {
		ground_use(i % 2);
		CHECK(run_open(&run, MODULE, VM_COMPILED,
			       (struct domain_options){ 0 }));
		CHECK_TEXT(domain_isolation(run.domain),
			   i % 2 ? "kvm" : "process");
		CHECK(run_is(&run, "add", 2, 40, 2, 42));
		CHECK(run_traps(&run, "get", 1, 65536, 0,
				WASM_TRAP_memory_bounds));
		run_close(&run);
	}
}

static size_t mappings(char *text, size_t room)
{
	size_t len = 0;
	ssize_t got;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	while (len < room && (got = read(fd, text + len, room - len)) > 0)
		len += (size_t)got;
	close(fd);
	return len;
}

static void *use_one(void *unused)
{
	struct run run;

	(void)unused;
	CHECK(run_open(&run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	CHECK(run_traps(&run, "get", 1, 65536, 0, WASM_TRAP_memory_bounds));
	run_close(&run);
	return NULL;
}

TEST(all_mappings_are_given_back)
{
	static char before[1 << 20], after[1 << 20];
	stack_t stack_before, stack_after;
	pthread_t thread;
	size_t len, end;

	ground_use(false);
	for (int i = 0; i < 3; i++) {
		use_one(NULL);
		pthread_create(&thread, NULL, use_one, NULL);
		pthread_join(thread, NULL);
	}
	sigaltstack(NULL, &stack_before);
	len = mappings(before, sizeof(before));
	use_one(NULL);
	pthread_create(&thread, NULL, use_one, NULL);
	pthread_join(thread, NULL);
	end = mappings(after, sizeof(after));
	sigaltstack(NULL, &stack_after);
	CHECK(stack_before.ss_sp == stack_after.ss_sp);
	CHECK_INT(stack_before.ss_flags, stack_after.ss_flags);
	/* The sanitizer has an allocator of its own. */
	CHECK(is_sanitised || (end == len && memcmp(before, after, len) == 0));
	CHECK(!memmem(after, end, "\n2000", 5));
}

/* Code that is kept is the file's own pages, in this process as in others. */
TEST(code_is_shared)
{
	char folder[] = "/tmp/brood-test-XXXXXX";
	auto_maps struct maps maps = { 0 };
	const struct map *map;
	struct run run;

	ground_use(false);
	made_cache.place = mkdtemp(folder);
	CHECK(run_open(&run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	run_close(&run);
	CHECK(run_open(&run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	CHECK_INT(run.program.way, VM_BY_MAPPED);
	CHECK_INT(maps_read(0, &maps, &failure), 0);
	map = maps_find(&maps, GUEST_CODE_VA);
	CHECK(map && map->ino && strstr(map->name, folder));
	CHECK_INT(map->prot, PROT_READ | PROT_EXEC);
	CHECK(run_is(&run, "add", 2, 40, 2, 42));
	run_close(&run);
	made_cache.place = "off";
	file_remove_tree(folder, NULL);
}

/* A thread that only ran it has to give its stack back too. */
static struct run thread_run;

static void *thread_main(void *unused)
{
	(void)unused;
	CHECK(run_is(&thread_run, "add", 2, 40, 2, 42));
	CHECK(run_traps(&thread_run, "get", 1, 65536, 0,
			WASM_TRAP_memory_bounds));
	CHECK(ends_in_time(&thread_run));
	return NULL;
}

TEST(threads_in_turn)
{
	pthread_t thread;

	ground_use(false);
	CHECK(run_open(&thread_run, MODULE, VM_COMPILED,
		       (struct domain_options){ 0 }));
	for (int i = 0; i < 4; i++) {
		pthread_create(&thread, NULL, thread_main, NULL);
		pthread_join(thread, NULL);
		CHECK(run_is(&thread_run, "add", 2, 1, 2, 3));
		CHECK(ends_in_time(&thread_run));
	}
	run_close(&thread_run);
}

TEST_MAIN

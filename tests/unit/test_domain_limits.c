/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of domains: runaways are stopped, what a tenant leaves in a CPU's
 * registers is nobody's, memory and calls that fail are one line and leave
 * nothing behind.
 *
 * CLAIM 3.11 3.12 */
#include "domain/program.h"
#include "jit/jit.h"
#include "lib/hostile.h"
#include "test.h"
#include "wat/wat.h"
#include <errno.h>
#include <immintrin.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static struct ground ground;
static bool ground_is_open;
static struct err failure;

static bool domain_is_there(void)
{
	if (!ground_is_open)
		ground_is_open = ground_open(&ground, true, &failure) >= 0;
	return ground_is_open;
}

static bool open_one(struct hostile *it)
{
	if (hostile_open(it, &ground, NULL, &failure) >= 0)
		return true;
	test_fail(__FILE__, __LINE__, failure.text);
	return false;
}

/* ---- byte code -------------------------------------------------------------
 */

struct run {
	struct vm vm;
	struct program program;
	struct domain *domain;
	struct domain_outcome outcome;
	uint32_t instance;
};

static bool run_open(struct run *run, const char *text, enum vm_via via)
{
	auto_buf struct buf bytes = { 0 };
	static const struct cache_options off = { .place = "off" };
	const struct domain_options options = { .ground = &ground };
	struct vm_options vm = { .code.via = via,
				 .code.without_features =
					 jit_features() & ~ground.features,
				 .cache = &off };
	struct wasm_module *loaded;
	uint32_t module;

	*run = (struct run){ 0 };
	if (wat_to_binary("test", text, strlen(text), &bytes, &failure) >= 0 &&
	    vm_init(&run->vm, &vm, &failure) >= 0 &&
	    vm_load(&run->vm, bytes.data, bytes.len, &loaded, &failure) >= 0 &&
	    program_open(&run->program, &run->vm, loaded, &failure) >= 0 &&
	    domain_open(&run->domain, &options, &failure) >= 0 &&
	    domain_load(run->domain, &run->program.code, &module, &failure) >=
		    0 &&
	    domain_instantiate(run->domain, module, &run->instance,
			       &run->outcome, &failure) >= 0)
		return true;
	test_fail(__FILE__, __LINE__, failure.text);
	return false;
}

static void run_close(struct run *run)
{
	domain_close(run->domain);
	program_close(&run->program);
	vm_fini(&run->vm);
}

static int run_call(struct run *run, const char *name)
{
	return domain_call(run->domain, run->instance, name, strlen(name), NULL,
			   0, NULL, &run->outcome, &failure);
}

/* ---- runaways --------------------------------------------------------------
 */

enum { KILLS_MOST = 1000 };
struct kills {
	int64_t late[KILLS_MOST];
	int count, stopped;
};

/* HOSTILE_KILLS=100: for figures. */
static int kills_wanted(int few)
{
	const char *word = getenv("HOSTILE_KILLS");
	int wanted = word ? atoi(word) : few;

	return wanted < KILLS_MOST ? wanted : KILLS_MOST;
}

static int compare_late(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void kills_tell(struct kills *kills, const char *what)
{
	qsort(kills->late, (size_t)kills->count, sizeof *kills->late,
	      compare_late);
	printf("# %s: %d of %d stopped; late by p50 %.3f, p99 %.3f ms\n", what,
	       kills->stopped, kills->count,
	       (double)kills->late[kills->count / 2] / 1e6,
	       (double)kills->late[(kills->count * 99 - 1) / 100] / 1e6);
	CHECK_INT(kills->stopped, kills->count);
	CHECK(kills->late[kills->count - 1] < 10000 * MS);
}

static void kills_add(struct kills *kills, int64_t deadline_ns, bool stopped)
{
	kills->late[kills->count++] = (int64_t)clock_ns() - deadline_ns;
	kills->stopped += stopped;
}

static void check_byte_code(enum vm_via via, const char *what)
{
	struct kills kills = { 0 };
	struct run run;

	if (!run_open(&run,
		      "(module (func (export \"spin\") (loop (br 0)))"
		      " (func (export \"fine\")))",
		      via))
		return;
	for (int i = kills_wanted(100); i; i--) {
		int64_t deadline = (int64_t)clock_ns() + 5 * MS;
		int r;

		domain_set_deadline(run.domain, deadline);
		r = run_call(&run, "spin");
		kills_add(&kills, deadline,
			  r == 0 && run.outcome.trap == WASM_TRAP_deadline);
	}
	kills_tell(&kills, what);
	domain_set_deadline(run.domain, 0);
	CHECK_INT(run_call(&run, "fine"), 0);
	CHECK_INT(run.outcome.trap, 0);
	run_close(&run);
}

TEST(runaway_byte_code)
{
	if (!domain_is_there())
		SKIP(failure.text);
	check_byte_code(VM_COMPILED, "compiled");
	check_byte_code(VM_INTERPRETED, "interpreted");
}

CODE(away_loop, "1: jmp 1b\n");
CODE(away_pause, "1: pause\njmp 1b\n");
/* The fault entry, overwritten, comes here again: it says that it is done,
 * and faults. */
CODE(away_faults, "movabs $" CALL_VA ", %rax\n"
		  "movl $0, " CALL_BUSY "(%rax)\n"
		  "xor %eax, %eax\nmov (%rax), %eax\n");
CODE(away_bells, "movabs $" CALL_VA ", %rbp\n"
		 "1: movl $11, " CALL_BELL "(%rbp)\n" RING "jmp 1b\n");
CODE(away_heap, "movabs $" CALL_VA ", %rbp\n"
		"1: movl $6, " CALL_BELL "(%rbp)\n" RING "jmp 1b\n");
CODE(away_sleep, "movabs $" CALL_VA ", %rbp\n"
		 "1: movl $7, " CALL_BELL "(%rbp)\n"
		 "movq $-1, " CALL_WORDS "(%rbp)\n" RING "jmp 1b\n");
CODE(away_wasi, "movabs $" CALL_VA ", %rbp\n"
		"1: movl $2, " CALL_BELL "(%rbp)\n"
		"movq $33, " CALL_WORDS "(%rbp)\n"
		"movq $0, " CALL_WORDS "+16(%rbp)\n" RING "jmp 1b\n");
CODE(away_division, "1: xor %ecx, %ecx\njmp 1b\n");

static void put_fault_entry(struct hostile *it)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	uint8_t *entry = space_system(&it->domain->space) +
			 (image->fault_entry - GUEST_VA);

	memcpy(entry, "\x48\xb8", 2); /* movabs, jmp *%rax */
	memcpy(entry + 2, &it->at, 8);
	memcpy(entry + 10, "\xff\xe0", 2);
}

static void check_away(const char *what, const uint8_t *code, size_t len,
		       bool faults)
{
	struct kills kills = { 0 };
	const struct wasi_options options = { .stdio = { -1, -1, -1 } };
	struct wasi *wasi;
	struct hostile it;

	if (!open_one(&it))
		return;
	CHECK(wasi_open(&wasi, &options, &failure) >= 0);
	domain_set_wasi(it.domain, wasi);
	CHECK(space_add(&it.domain->space, 65536, NULL) >= 0);
	if (faults)
		put_fault_entry(&it);
	hostile_put(&it, code, len);
	for (int i = kills_wanted(10); i; i--) {
		int r = hostile_run(&it, 5 * MS, &failure);

		kills_add(&kills, it.domain->deadline_ns,
			  r == -ETIME && it.domain->is_broken);
		if (r != -ETIME)
			printf("# %d: %s\n", r, failure.text);
	}
	kills_tell(&kills, what);
	CHECK_TEXT(it.domain->why, "its time is over");
	hostile_close(&it);
	wasi_close(wasi);
}
#define AWAY(name, faults) \
	check_away(#name, away_##name, CODE_BYTES(away_##name), faults)

TEST(runaway_guests)
{
	if (!domain_is_there())
		SKIP(failure.text);
	AWAY(loop, false);
	AWAY(pause, false);
	AWAY(faults, true);
	AWAY(bells, false);
	AWAY(heap, false);
	AWAY(sleep, false);
	AWAY(wasi, false);
}

/* A domain that another thread has opened, and used with a deadline. */
static void *use_elsewhere(void *of)
{
	struct hostile *it = of;

	hostile_put(it, away_loop, CODE_BYTES(away_loop));
	return (void *)(intptr_t)hostile_run(it, 5 * MS, &failure);
}

TEST(runaway_in_another_thread)
{
	struct hostile it;
	pthread_t thread;
	void *result;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	for (int i = 0; i < 3; i++) {
		CHECK_INT((intptr_t)use_elsewhere(&it), -ETIME);
		pthread_create(&thread, NULL, use_elsewhere, &it);
		pthread_join(thread, &result);
		CHECK_INT((intptr_t)result, -ETIME);
	}
	hostile_close(&it);
}

/* From another thread, at any time: none is lost, and none comes twice for
 * ever. */
struct kicker {
	pthread_t thread;
	struct cpu *cpu;
	bool is_over; /* atomic */
};

static void *kick(void *of)
{
	struct kicker *kicker = of;

	while (!__atomic_load_n(&kicker->is_over, __ATOMIC_RELAXED))
		kicker->cpu->kind->kick(kicker->cpu);
	return NULL;
}

CODE(ring_always, "1: " RING "jmp 1b\n");

TEST(kicks)
{
	struct kicker kicker = { 0 };
	struct cpu_stop stop;
	struct hostile it;
	unsigned kicked = 0, rung = 0;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	hostile_put(&it, ring_always, CODE_BYTES(ring_always));
	hostile_begin(&it, 0);
	kicker.cpu = it.domain->cpu;
	pthread_create(&kicker.thread, NULL, kick, &kicker);
	for (int i = 0; i < 20000; i++) {
		kicker.cpu->kind->run(kicker.cpu, &stop);
		kicked += stop.event == CPU_KICKED;
		rung += stop.event == CPU_BELL;
	}
	__atomic_store_n(&kicker.is_over, true, __ATOMIC_RELAXED);
	pthread_join(kicker.thread, NULL);
	CHECK_INT(kicked + rung, 20000);
	CHECK(kicked);
	printf("# %u kicks, %u bells\n", kicked, rung);
	hostile_close(&it);
}

/* A deadline that comes while a fault is on its way: one of them, and the
 * domain goes on. */
TEST(deadlines_meet_traps)
{
	struct run run;
	unsigned traps = 0, ends = 0;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!run_open(&run,
		      "(module (memory 1) (func (export \"out\")"
		      " (drop (i32.load (i32.const 100000)))))",
		      VM_COMPILED))
		return;
	for (int i = 0; i < 3000; i++) {
		domain_set_deadline(run.domain,
				    (int64_t)clock_ns() + i * 100 % 250000);
		if (run_call(&run, "out") < 0) {
			test_fail(__FILE__, __LINE__, failure.text);
			break;
		}
		traps += run.outcome.trap == WASM_TRAP_memory_bounds;
		ends += run.outcome.trap == WASM_TRAP_deadline;
	}
	CHECK_INT(traps + ends, 3000);
	printf("# %u traps, %u deadlines\n", traps, ends);
	run_close(&run);
}

/* ---- registers -------------------------------------------------------------
 */

#define EACH_OF_16(text) \
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" text "\n.endr\n"
#define EACH_OF_32(text)                                                 \
	EACH_OF_16(text)                                                 \
	".irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" text \
	"\n.endr\n"
#define EACH_MASK(text) ".irp n, 0,1,2,3,4,5,6,7\n" text "\n.endr\n"
/* Rounding up, all exceptions masked; the x87's: down, 24 bits. */
#define ODD_CONTROL                                             \
	"pushq $0x5f80\nldmxcsr (%rsp)\nmovl $0x047f, (%rsp)\n" \
	"fninit\nfldcw (%rsp)\nfldpi\npop %rax\n"

/* rbx: 64 bytes for each register. */
CODE(fill_sse, EACH_OF_16("movups (%rbx), %xmm\\n") ODD_CONTROL RING);
CODE(fill_avx, EACH_OF_16("vmovups (%rbx), %ymm\\n") ODD_CONTROL RING);
CODE(fill_avx512, EACH_OF_32("vmovups (%rbx), %zmm\\n")
			  EACH_MASK("kmovq (%rbx), %k\\n") ODD_CONTROL RING);
CODE(tell_sse, "fnstcw 2060(%rbx)\nstmxcsr 2056(%rbx)\n" EACH_OF_16(
		       "movups %xmm\\n, 64*\\n(%rbx)") RING);
CODE(tell_avx, "fnstcw 2060(%rbx)\nstmxcsr 2056(%rbx)\n" EACH_OF_16(
		       "vmovups %ymm\\n, 64*\\n(%rbx)") RING);
CODE(tell_avx512, "fnstcw 2060(%rbx)\nstmxcsr 2056(%rbx)\n" EACH_OF_32(
			  "vmovups %zmm\\n, 64*\\n(%rbx)")
			  EACH_MASK("kmovq %k\\n, 2064+8*\\n(%rbx)") RING);

CODE(fill_mmx, ".irp n, 0,1,2,3,4,5,6,7\nmovq (%rbx), %mm\\n\n.endr\n"
	       "ldmxcsr 64(%rbx)\n" RING);
CODE(tell_mmx, "fnstcw 2060(%rbx)\nstmxcsr 2056(%rbx)\n"
	       ".irp n, 0,1,2,3,4,5,6,7\nmovq %mm\\n, 64*\\n(%rbx)\n"
	       ".endr\n" RING);

enum vectors { VECTORS_SSE, VECTORS_AVX, VECTORS_AVX512, VECTORS_MMX };
static const struct {
	const char *name;
	const uint8_t *fill, *fill_end, *tell, *tell_end;
} vector_codes[] = {
	{ "sse", fill_sse, fill_sse_end, tell_sse, tell_sse_end },
	{ "avx", fill_avx, fill_avx_end, tell_avx, tell_avx_end },
	{ "avx512", fill_avx512, fill_avx512_end, tell_avx512,
	  tell_avx512_end },
	{ "mmx", fill_mmx, fill_mmx_end, tell_mmx, tell_mmx_end },
};
enum { VECTORS_BYTES = 2064 + 64, SECRET = 0xa5 };

/* Its vectors are SECRET; false: this CPU has no such registers for it. */
static bool fill_vectors(struct hostile *it, enum vectors kind)
{
	const uint32_t odd = 0x5f80;
	struct cpu_stop stop;

	memset(space_data(&it->domain->space), SECRET, 64);
	memcpy(space_data(&it->domain->space) + 64, &odd, sizeof odd);
	hostile_put(it, vector_codes[kind].fill,
		    (size_t)(vector_codes[kind].fill_end -
			     vector_codes[kind].fill));
	hostile_reset(it);
	it->registers.general[3] = GUEST_DATA_VA;
	hostile_once(it, 1000 * MS, &stop);
	return stop.event == CPU_BELL;
}

static bool tell_vectors(struct hostile *it, enum vectors kind)
{
	uint8_t *data = space_data(&it->domain->space);
	struct cpu_stop stop;

	memset(data, 0, VECTORS_BYTES);
	hostile_put(it, vector_codes[kind].tell,
		    (size_t)(vector_codes[kind].tell_end -
			     vector_codes[kind].tell));
	hostile_reset(it);
	it->registers.general[3] = GUEST_DATA_VA;
	hostile_once(it, 1000 * MS, &stop);
	return stop.event == CPU_BELL;
}

static unsigned secrets(const struct hostile *it)
{
	const uint8_t *data = space_data(&it->domain->space);
	unsigned count = 0;

	for (int i = 0; i < VECTORS_BYTES; i++)
		count += data[i] == SECRET;
	return count;
}

static bool is_odd_control(const struct hostile *it)
{
	const uint8_t *data = space_data(&it->domain->space);
	uint32_t mxcsr;
	uint16_t word;

	memcpy(&mxcsr, data + 2056, 4);
	memcpy(&word, data + 2060, 2);
	return (mxcsr & 0xffc0) != 0x1f80 || word != 0x37f;
}

/* The bell that the next tenant's command comes back from is the guest's: it
 * rings with a secret in its registers, and the host renews it meanwhile. */
static void check_new_tenant(enum vectors kind)
{
	struct cpu_registers at_bell;
	struct hostile it;
	struct cpu_stop stop;

	if (!open_one(&it))
		return;
	/* Where the guest waits for commands. */
	CHECK(it.domain->cpu->kind->settle(it.domain->cpu, &at_bell,
					   &failure) >= 0);
	if (!fill_vectors(&it, kind)) {
		printf("# no %s\n", vector_codes[kind].name);
		hostile_close(&it);
		return;
	}
	CHECK(tell_vectors(&it, kind));
	CHECK(secrets(&it) >= 8 * 8);
	CHECK(is_odd_control(&it));
	domain_renew(it.domain);
	it.registers = at_bell;
	space_call(&it.domain->space)->command = GUEST_COMMAND_NONE;
	hostile_once(&it, 1000 * MS, &stop);
	CHECK_INT(stop.event, CPU_BELL);
	CHECK(tell_vectors(&it, kind));
	CHECK_INT(secrets(&it), 0);
	CHECK(!is_odd_control(&it));
	hostile_close(&it);
}

TEST(new_tenants_see_nothing)
{
	if (!domain_is_there())
		SKIP(failure.text);
	for (int kind = VECTORS_SSE; kind <= VECTORS_MMX; kind++)
		check_new_tenant((enum vectors)kind);
}

/* What a domain has, of which the guest has not been told: nobody clears it. */
TEST(no_vectors_besides)
{
	struct hostile it;
	uint32_t features;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	features = space_call(&it.domain->space)->features;
	CHECK(fill_vectors(&it, VECTORS_AVX) == !!(features & CODE_AVX));
	CHECK(fill_vectors(&it, VECTORS_AVX512) == !!(features & CODE_AVX512));
	hostile_close(&it);
}

TEST(neighbours_see_nothing)
{
	struct hostile one, other;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&one) || !open_one(&other))
		return;
	for (int kind = VECTORS_SSE; kind <= VECTORS_MMX; kind++) {
		if (!fill_vectors(&one, (enum vectors)kind))
			continue;
		CHECK(tell_vectors(&other, (enum vectors)kind));
		CHECK_INT(secrets(&other), 0);
		CHECK(!is_odd_control(&other));
		CHECK(tell_vectors(&one, (enum vectors)kind));
		CHECK(secrets(&one) >= 8 * 8);
	}
	hostile_close(&one);
	hostile_close(&other);
}

/* Control words that are not the usual ones, and vectors that are live. */
TEST(the_host_keeps_its_own)
{
	const uint16_t odd = 0x0b7f;
	struct hostile it;
	uint32_t mxcsr;
	uint16_t word;

	if (!domain_is_there())
		SKIP(failure.text);
	if (!open_one(&it))
		return;
	_mm_setcsr(0x7f80);
	__asm__ volatile("fldcw %0" : : "m"(odd));
	for (int kind = VECTORS_SSE; kind <= VECTORS_MMX; kind++)
		fill_vectors(&it, (enum vectors)kind);
	mxcsr = _mm_getcsr();
	__asm__ volatile("fnstcw %0" : "=m"(word));
	_mm_setcsr(0x1f80);
	__asm__ volatile("fninit");
	CHECK_INT(mxcsr & 0xffc0, 0x7f80);
	CHECK_INT(word, odd);
	hostile_close(&it);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of domains: runaways are stopped, what a tenant leaves in a CPU's
 * registers is nobody's, memory and calls that fail are one line and leave
 * nothing behind.
 *
 * CLAIM 3.11 3.12 */
#include "base/clock.h"
#include "base/file.h"
#include "domain/program.h"
#include "domain/ready.h"
#include "jit/jit.h"
#include "lib/hostile.h"
#include "test.h"
#include "wat/wat.h"
#include <errno.h>
#include <immintrin.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS INT64_C(1000000)

/* ---- calls that fail -------------------------------------------------------
 */

/* The n-th call from now on fails; what the library calls comes here. */
static struct {
	int64_t at; /* 0: none */
	int64_t calls;
	int code;
} failing;

static bool fails_now(void)
{
	failing.calls++;
	if (failing.at == 0 || --failing.at > 0)
		return false;
	errno = failing.code;
	return true;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	uintptr_t argument;

	va_start(list, request);
	argument = va_arg(list, uintptr_t);
	va_end(list);
	return fails_now() ? -1
			   : (int)syscall(SYS_ioctl, fd, request, argument);
}

void *mmap(void *at, size_t len, int rights, int flags, int fd, off_t offset)
{
	return fails_now() ? MAP_FAILED
			   : (void *)syscall(SYS_mmap, at, len, rights, flags,
					     fd, offset);
}

int mprotect(void *at, size_t len, int rights)
{
	return fails_now() ? -1 : (int)syscall(SYS_mprotect, at, len, rights);
}

ssize_t getrandom(void *to, size_t len, unsigned flags)
{
	return fails_now() ? -1 : syscall(SYS_getrandom, to, len, flags);
}

#ifndef __SANITIZE_ADDRESS__
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

void *calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __libc_calloc(count, size);
}

void *reallocarray(void *block, size_t count, size_t size)
{
	return fails_now() ? NULL : __libc_realloc(block, count * size);
}
#endif

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

static void check_kicks(void)
{
	struct kicker kicker = { 0 };
	struct cpu_stop stop;
	struct hostile it;
	unsigned kicked = 0, rung = 0;

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

TEST(kicks)
{
	if (!domain_is_there())
		SKIP(failure.text);
	check_kicks();
}

/* Where the port does not work. */
TEST(bells_by_store)
{
	bool before;

	if (!domain_is_there())
		SKIP(failure.text);
	before = ground.bell_is_store;
	ground.bell_is_store = true;
	check_kicks();
	check_byte_code(VM_COMPILED, "compiled, by stores");
	AWAY(bells, false);
	AWAY(wasi, false);
	ground.bell_is_store = before;
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

/* ---- the next tenant -------------------------------------------------------
 */

CODE(overwrite, "mov %rbx, %rdi\nmov $0xa5, %al\nrep stosb\n" RING);

/* All that ring 3 may write. */
static void overwrite_all(struct hostile *it)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	const struct space *space = &it->domain->space;
	const struct {
		uint64_t at, bytes;
	} places[] = {
		{ GUEST_CALL_AT, GUEST_CALL_BYTES },
		{ GUEST_RING_AT, GUEST_RING_BYTES },
		{ GUEST_STACK_AT, GUEST_STACK_BYTES },
		{ GUEST_TRAP_STACK_AT, GUEST_TRAP_STACK_BYTES },
		{ GUEST_IMAGE_AT + image->data_at,
		  image->end_at - image->data_at },
		{ GUEST_SYSTEM_BYTES,
		  space->regions[SPACE_SYSTEM].open - GUEST_SYSTEM_BYTES },
	};
	struct cpu_stop stop;

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		hostile_put(it, overwrite, CODE_BYTES(overwrite));
		hostile_reset(it);
		it->registers.general[1] = places[i].bytes;
		it->registers.general[3] = GUEST_VA + places[i].at;
		it->registers.general[15] = ground.bell_is_store;
		hostile_once(it, 0, &stop);
		CHECK_INT(stop.event, CPU_BELL);
	}
}

/* The longest row of what the tenant wrote, in all that the guest sees. */
static unsigned longest_row(const struct domain *domain)
{
	const struct space_region *region =
		&domain->space.regions[SPACE_SYSTEM];
	unsigned row = 0, most = 0;

	for (uint64_t i = 0; i < region->open; i++) {
		row = region->at[i] == SECRET ? row + 1 : 0;
		if (row > most)
			most = row;
	}
	return most;
}

static void check_reset(struct run *run, struct snapshot *snapshot, int pagemap,
			enum vectors kind)
{
	const struct domain_options options = { .ground = &ground };
	struct run used = { .instance = run->instance };
	struct hostile it;

	CHECK(snapshot_start(&used.domain, &options, snapshot,
			     &run->program.code, &failure) >= 0);
	CHECK_INT(hostile_enter(&it, used.domain, &failure), 0);
	overwrite_all(&it);
	if (fill_vectors(&it, kind)) {
		CHECK(longest_row(used.domain) > 4096);
		CHECK(snapshot_reset(snapshot, used.domain, pagemap,
				     &failure) >= 0);
		CHECK(longest_row(used.domain) < 8);
		CHECK_INT(run_call(&used, "fine"), 0);
		CHECK_INT(used.outcome.trap, 0);
		munmap(it.code, HOSTILE_CODE);
		CHECK_INT(hostile_enter(&it, used.domain, &failure), 0);
		CHECK(tell_vectors(&it, kind));
		CHECK_INT(secrets(&it), 0);
		CHECK(!is_odd_control(&it));
	}
	hostile_close(&it);
}

TEST(reset_after_a_hostile_tenant)
{
	struct snapshot snapshot = { 0 };
	struct tip tip = TIP_EMPTY;
	struct images images;
	char folder[] = "/tmp/brood-test-XXXXXX";
	struct run run;
	int pagemap;

	if (!domain_is_there())
		SKIP(failure.text);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	CHECK(mkdtemp(folder) &&
	      images_open(&images, folder, true, &failure) >= 0);
	CHECK(run_open(&run, "(module (memory 1) (func (export \"fine\")))",
		       VM_COMPILED));
	CHECK(snapshot_take(run.domain, &images, &tip, NULL, &failure) >= 0 &&
	      snapshot_open(&snapshot, &tip, &failure) >= 0);
	for (int kind = VECTORS_SSE; kind <= VECTORS_MMX; kind++)
		check_reset(&run, &snapshot, pagemap, (enum vectors)kind);
	snapshot_close(&snapshot);
	images_close(&images);
	file_remove_tree(folder, NULL);
	close(pagemap);
	run_close(&run);
}

/* ---- many, much, and not enough --------------------------------------------
 */

static bool is_one_line(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < ' ')
			return false;
	return true;
}

TEST(two_hundred)
{
	enum { MANY = 200 };
	static struct hostile all[MANY];
	struct held held;
	int count = 0;

	if (!domain_is_there())
		SKIP(failure.text);
	held = held_now();
	while (count < MANY && open_one(&all[count]))
		count++;
	CHECK_INT(count, MANY);
	for (int i = 0; i < count; i++) {
		hostile_put(&all[i], ring_always, CODE_BYTES(ring_always));
		CHECK_INT(hostile_run(&all[i], 0, &failure), 0);
	}
	for (int i = 0; i < count; i++)
		hostile_close(&all[i]);
	CHECK(held_is(&held));
}

#define GROWS                                                            \
	"(module (memory 1)"                                             \
	" (func (export \"all\") (drop (memory.grow (i32.const 65535)))" \
	"  (i32.store8 (i32.const -1) (i32.const 7))"                    \
	"  (if (i32.ne (i32.load8_u (i32.const -1)) (i32.const 7))"      \
	"   (then unreachable)))"                                        \
	" (func (export \"steps\") (local i32)"                          \
	"  (loop (drop (memory.grow (i32.const 64)))"                    \
	"   (i32.store8 (i32.const 4194300) (i32.const 7))"              \
	"   (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0)"      \
	"    (i32.const 1))) (i32.const 1023))))"                        \
	"  (if (i32.ne (memory.size) (i32.const 65473))"                 \
	"   (then unreachable)))"                                        \
	" (func (export \"more\")"                                       \
	"  (if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1))"  \
	"   (then unreachable))))"

static void check_growth(enum vm_via via, const char *name)
{
	struct run run;

	if (!run_open(&run, GROWS, via))
		return;
	CHECK_INT(run_call(&run, name), 0);
	CHECK_INT(run.outcome.trap, 0);
	CHECK_INT(run_call(&run, "more"), 0);
	CHECK_INT(run.outcome.trap, 0);
	run_close(&run);
}

TEST(four_gibibytes)
{
	struct held held;

	if (!domain_is_there())
		SKIP(failure.text);
	held = held_now();
	check_growth(VM_COMPILED, "all");
	check_growth(VM_COMPILED, "steps");
	check_growth(VM_INTERPRETED, "all");
	CHECK(held_is(&held));
}

/* In a child: how far it comes with so many addresses; 0: all the way. */
static int open_within(uint64_t bytes)
{
	struct rlimit limit = { bytes, bytes };
	struct hostile it;

	failure = (struct err){ 0 };
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return 3;
	if (hostile_open(&it, &ground, NULL, &failure) >= 0) {
		hostile_close(&it);
		return 0;
	}
	return failure.code < 0 && is_one_line(failure.text) ? 1 : 2;
}

TEST(few_addresses)
{
	uint64_t mib = 1 << 20;
	unsigned failed = 0, opened = 0;

	if (!domain_is_there())
		SKIP(failure.text);
#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer has all addresses");
#endif
	for (uint64_t bytes = 4 * mib; bytes < 16384 * mib;
	     bytes += bytes / 8) {
		int status = 0;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (child == 0)
			_exit(open_within(bytes));
		waitpid(child, &status, 0);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		failed += status != 0;
		opened += status == 0;
	}
	CHECK(failed && opened);
}

/* A whole life: whatever fails, it is told in a line, and is gone after. */
static int live(void)
{
	static const char text[] =
		"(module (memory 1) (func (export \"f\")"
		" (if (i32.ne (memory.grow (i32.const 100)) (i32.const 1))"
		"  (then unreachable))))";
	static struct err err;
	const struct domain_options options = { .ground = &ground };
	struct domain_outcome outcome = { 0 };
	struct domain_code code = { .image = NULL };
	auto_buf struct buf bytes = { 0 };
	struct domain *domain = NULL;
	uint8_t *pages;
	uint32_t module, instance;
	int64_t at = failing.at;
	int r;

	failing.at = 0;
	err = (struct err){ 0 };
	if (wat_to_binary("f", text, strlen(text), &bytes, &err) < 0)
		abort();
	pages = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(pages, bytes.data, bytes.len);
	code = (struct domain_code){ .image = pages,
				     .len = 4096,
				     .module_bytes = bytes.len };
	failing.at = at;
	r = domain_open(&domain, &options, &err);
	if (r >= 0) {
		domain_set_deadline(domain, (int64_t)clock_ns() + 5000 * MS);
		r = domain_load(domain, &code, &module, &err);
	}
	if (r >= 0)
		r = domain_instantiate(domain, module, &instance, &outcome,
				       &err);
	if (r >= 0 && !outcome.trap)
		r = domain_call(domain, instance, "f", 1, NULL, 0, NULL,
				&outcome, &err);
	failing.at = 0;
	CHECK(r >= 0 || is_one_line(err.text));
	if (r < 0 && getenv("HOSTILE_TELL"))
		printf("# %s\n", err.text);
	domain_close(domain);
	munmap(pages, 4096);
	return r < 0 ? r : (int)outcome.trap;
}

/* The same of a program that is kept, or was before. */
static struct {
	struct run run;
	char folder[32];
	bool was_kept;
	int pagemap;
} kept;

static int live_ready(struct ready *ready, struct err *err)
{
	struct domain_outcome outcome = { 0 };
	struct domain *domain = NULL;
	int r = ready_start(ready, NULL, (int64_t)clock_ns() + 5000 * MS,
			    &domain, &outcome, err);

	CHECK(r >= 0 || !domain);
	if (r >= 0 && !outcome.trap)
		r = ready_run(ready, domain, &outcome, err);
	if (r >= 0 && !outcome.trap && kept.was_kept)
		r = ready_reset(ready, domain, kept.pagemap, NULL, 0, err);
	domain_close(domain);
	return r < 0 ? r : (int)outcome.trap;
}

static int live_kept(void)
{
	static struct err err;
	const struct domain_options options = { .ground = &ground };
	struct ready ready;
	int64_t at = failing.at;
	int r;

	failing.at = 0;
	if (!kept.was_kept)
		file_remove_tree(kept.folder, NULL);
	err = (struct err){ 0 };
	CHECK(ready_open(&ready, &options, &kept.run.program, kept.folder,
			 &err) >= 0);
	failing.at = at;
	r = live_ready(&ready, &err);
	failing.at = 0;
	CHECK(r >= 0 || is_one_line(err.text));
	ready_close(&ready);
	return r;
}

typedef int life(void);

static int fail_each(life *live_once, int64_t calls)
{
	const struct held held = held_now();
	int failed = 0;

	for (int64_t n = 1; n <= calls; n++) {
		failing.at = n;
		failed += live_once() != 0;
		CHECK(held_is(&held));
	}
	CHECK_INT(live_once(), 0);
	return failed;
}

/* The first turn is for what the C library keeps. */
static void check_failing(life *live_once, int code)
{
	int64_t calls;
	size_t blocks;

	failing.code = code;
	failing.calls = 0;
	CHECK_INT(live_once(), 0);
	calls = failing.calls;
	CHECK(fail_each(live_once, calls) > 10);
	printf("# %lld calls\n", (long long)calls);
	blocks = mallinfo2().uordblks;
	CHECK(fail_each(live_once, calls) > 10);
#ifndef __SANITIZE_ADDRESS__
	CHECK_INT(mallinfo2().uordblks, blocks);
#endif
	(void)blocks;
}

TEST(each_call_fails)
{
	if (!domain_is_there())
		SKIP(failure.text);
	check_failing(live, ENOMEM);
	check_failing(live, EFAULT);
}

TEST(each_call_fails_of_what_is_kept)
{
	static const int codes[] = { ENOMEM, EAGAIN };

	if (!domain_is_there())
		SKIP(failure.text);
	strcpy(kept.folder, "/tmp/brood-test-XXXXXX");
	CHECK(mkdtemp(kept.folder) != NULL);
	CHECK(run_open(&kept.run,
		       "(module (memory 1) (func (export \"_start\")))",
		       VM_COMPILED));
	kept.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 4; i++) {
		kept.was_kept = i & 1;
		check_failing(live_kept, codes[i / 2]);
	}
	close(kept.pagemap);
	run_close(&kept.run);
	file_remove_tree(kept.folder, NULL);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* The process around the engine: faults that are ours and that are not,
 * memories, images, calls back and forth, threads, ends of a run. */
#include "base/clock.h"
#include "lib/made_vm.h"
#include "wasm/heap.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITISED 1
#endif
#endif
#ifndef SANITISED
#define SANITISED 0
#endif

#define MEMORY_TEXT                                                   \
	"(module (memory (export \"m\") 1 65536)"                     \
	"  (func (export \"get\") (param i32) (result i32)"           \
	"    (i32.load (local.get 0)))"                               \
	"  (func (export \"far\") (param i32) (result i32)"           \
	"    (i32.load offset=0xffffffff (local.get 0)))"             \
	"  (func (export \"set\") (param i32 i32) (result i32)"       \
	"    (i32.store8 (local.get 0) (local.get 1)) (local.get 1))" \
	"  (func (export \"grow\") (param i32) (result i32)"          \
	"    (memory.grow (local.get 0))))"

/* Faults that are not ours.  These come first: in their children the handler
 * is not set yet. */

static sigjmp_buf fault_back;
static volatile int *fault_traps; /* of ours that children have seen */

static void fault_exit_plain(int number)
{
	_exit(number == SIGSEGV && *fault_traps ? 41 : 40);
}

static void fault_exit_info(int number, siginfo_t *info, void *context)
{
	_exit(number == SIGSEGV && context && info->si_addr == (void *)8 ? 42
									 : 40);
}

static void fault_jump(int number)
{
	(void)number;
	siglongjmp(fault_back, 1);
}

static void fault_now(void)
{
	int *volatile nowhere = (int *)8;

	*nowhere = 1;
}

static void fault_set(void (*plain)(int),
		      void (*info)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_flags = flags };

	if (info)
		action.sa_sigaction = info;
	else
		action.sa_handler = plain;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* A trap of ours works first, so that the handler is known to be there. */
static bool fault_ours(void)
{
	struct made made;
	bool fine = made_open(&made, NULL, MEMORY_TEXT) &&
		    made_call(&made, "get", 65536, 0, NULL) ==
			    WASM_TRAP_memory_bounds;

	made_close(&made);
	*fault_traps += fine;
	return fine;
}

static int in_child(void (*run)(void))
{
	int status = 0;
	pid_t pid;

	if (!fault_traps)
		fault_traps = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*fault_traps = 0;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		run();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void child_plain(void)
{
	fault_set(fault_exit_plain, NULL, 0);
	if (!fault_ours())
		_exit(1);
	fault_now();
}

static void child_info(void)
{
	fault_set(NULL, fault_exit_info, SA_SIGINFO);
	if (!fault_ours())
		_exit(1);
	fault_now();
}

static void child_default(void)
{
	fault_set(SIG_DFL, NULL, 0);
	if (!fault_ours())
		_exit(1);
	fault_now();
}

static void child_sent(void)
{
	fault_set(SIG_DFL, NULL, 0);
	if (!fault_ours())
		_exit(1);
	raise(SIGSEGV);
}

static void child_ignored(void)
{
	fault_set(SIG_IGN, NULL, 0);
	if (!fault_ours())
		_exit(1);
	raise(SIGSEGV);
	_exit(43);
}

/* Many times, and a trap of ours in between. */
static void child_jump(void)
{
	volatile int jumps = 0;

	fault_set(fault_jump, NULL, SA_NODEFER);
	if (!fault_ours())
		_exit(1);
	if (sigsetjmp(fault_back, 1))
		jumps++;
	if (jumps < 3)
		fault_now();
	_exit(fault_ours() ? 44 : 1);
}

static void child_reset(void)
{
	fault_set(fault_jump, NULL, SA_NODEFER | SA_RESETHAND);
	if (!fault_ours())
		_exit(1);
	if (sigsetjmp(fault_back, 1) == 0)
		fault_now();
	fault_now();
}

/* Native code of a host's function that reads behind a guest's memory. */
static enum wasm_trap read_behind(struct wasm_store *store,
				  struct wasm_function *self,
				  struct wasm_instance *caller,
				  union wasm_value *slots)
{
	volatile uint8_t *base = caller->memories[0]->base;

	(void)store;
	(void)self;
	slots[0].i64 = base[caller->memories[0]->bytes];
	return WASM_OK;
}

static void child_host(void)
{
	struct made made = { 0 };

	fault_set(fault_exit_plain, NULL, 0);
	if (vm_init(&made.vm, NULL, NULL) < 0 ||
	    vm_define_function(&made.vm, "h", "f", ">i", read_behind, NULL,
			       NULL) < 0 ||
	    made_load(&made,
		      "(module (import \"h\" \"f\" (func (result i32)))"
		      "(memory 1) (export \"f\" (func 0))"
		      "(func (export \"g\") (result i32) (call 0)))") < 0 ||
	    made_instantiate(&made) != 0)
		_exit(1);
	*fault_traps = 1;
	made_call(&made, "g", 0, 0, NULL);
}

TEST(faults_go_to_who_was_there)
{
	CHECK_INT(WEXITSTATUS(in_child(child_plain)), 41);
	CHECK_INT(WEXITSTATUS(in_child(child_info)), 42);
	CHECK_INT(WEXITSTATUS(in_child(child_ignored)), 43);
	CHECK_INT(WEXITSTATUS(in_child(child_jump)), 44);
	CHECK_INT(WEXITSTATUS(in_child(child_host)), 41);
}

TEST(faults_of_nobody_end_the_process)
{
	void (*const children[])(void) = { child_default, child_sent,
					   child_reset };

	for (int i = 0; i < 3; i++) {
		int status = in_child(children[i]);

		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
		CHECK_INT(*fault_traps, 1);
	}
}

/* Memories. */

TEST(a_trap_is_exact_and_repeatable)
{
	struct made made;
	uint32_t value = 7;

	CHECK(made_open(&made, NULL, MEMORY_TEXT));
	for (int i = 0; i < 1000; i++) {
		CHECK_INT(made_call(&made, "get", 65533, 0, NULL),
			  WASM_TRAP_memory_bounds);
		CHECK_INT(made_call(&made, "get", UINT32_MAX, 0, NULL),
			  WASM_TRAP_memory_bounds);
		CHECK_INT(made_call(&made, "far", UINT32_MAX, 0, NULL),
			  WASM_TRAP_memory_bounds);
		CHECK_INT(made_call(&made, "get", 65532, 0, &value), WASM_OK);
		CHECK_INT(value, 0);
	}
	made_close(&made);
}

static uint64_t resident_pages(void)
{
	unsigned long all = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file || fscanf(file, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return resident;
}

static int count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	int count = 0, c;

	while (file && (c = fgetc(file)) != EOF)
		count += c == '\n';
	if (file)
		fclose(file);
	return count;
}

TEST(four_gigabytes_cost_what_is_touched)
{
	uint64_t before = resident_pages();
	struct made made;
	uint32_t value;

	CHECK(made_open(&made, NULL, MEMORY_TEXT));
	CHECK_INT(made_call(&made, "grow", 65535, 0, &value), WASM_OK);
	CHECK_INT(value, 1);
	CHECK_INT(made_call(&made, "set", UINT32_MAX, 9, NULL), WASM_OK);
	CHECK_INT(made_call(&made, "get", UINT32_MAX - 3, 0, &value), WASM_OK);
	CHECK_INT(value, 9u << 24);
	CHECK_INT(made_call(&made, "get", UINT32_MAX - 2, 0, NULL),
		  WASM_TRAP_memory_bounds);
	CHECK_INT(made_call(&made, "grow", 1, 0, &value), WASM_OK);
	CHECK_INT(value, UINT32_MAX);
	CHECK(resident_pages() < before + 4096);
	made_close(&made);
}

static void child_narrow(void)
{
	struct rlimit few = { UINT64_C(3) << 30, UINT64_C(3) << 30 };
	struct made made;
	uint32_t value = 0;

	setrlimit(RLIMIT_AS, &few);
	if (!made_open(&made, NULL, MEMORY_TEXT))
		_exit(1);
	if (made.instance->memories[0]->guarded)
		_exit(2);
	if (made_call(&made, "get", 65533, 0, NULL) != WASM_TRAP_memory_bounds)
		_exit(3);
	if (made_call(&made, "far", 5, 0, NULL) != WASM_TRAP_memory_bounds)
		_exit(4);
	if (made_call(&made, "grow", 9, 0, &value) != WASM_OK || value != 1)
		_exit(5);
	if (made_call(&made, "set", 655359, 1, &value) != WASM_OK || value != 1)
		_exit(6);
	if (made_call(&made, "grow", 65000, 0, &value) != WASM_OK ||
	    value != UINT32_MAX)
		_exit(7);
	made_close(&made);
	_exit(45);
}

TEST(few_addresses_are_checked_addresses)
{
	if (SANITISED)
		SKIP("a sanitizer needs addresses itself");
	CHECK_INT(WEXITSTATUS(in_child(child_narrow)), 45);
}

TEST(a_limit_of_the_store_holds)
{
	struct vm_options options = { .store = { .memory_bytes = 1 << 20 } };
	struct made made;
	uint32_t value;

	CHECK(made_open(&made, &options, MEMORY_TEXT));
	CHECK_INT(made_call(&made, "grow", 16, 0, &value), WASM_OK);
	CHECK_INT(value, UINT32_MAX);
	CHECK_INT(made_call(&made, "grow", 15, 0, &value), WASM_OK);
	CHECK_INT(value, 1);
	made_close(&made);
}

/* Tables. */

TEST(ten_million_items)
{
	struct made made;
	uint32_t value;

	CHECK(made_open(
		&made, NULL,
		"(module (table $t 10000000 funcref) (elem declare func $f)"
		"  (func $f (export \"f\") (param i32) (result i32)"
		"    (table.set $t (local.get 0) (ref.func $f))"
		"    (ref.is_null (table.get $t (local.get 0))))"
		"  (func (export \"grow\") (param i32) (result i32)"
		"    (table.grow $t (ref.null func) (local.get 0))))"));
	CHECK_INT(made_call(&made, "f", 9999999, 0, &value), WASM_OK);
	CHECK_INT(value, 0);
	CHECK_INT(made_call(&made, "f", 10000000, 0, NULL),
		  WASM_TRAP_table_bounds);
	CHECK_INT(made_call(&made, "grow", 1, 0, &value), WASM_OK);
	CHECK_INT(value, UINT32_MAX);
	made_close(&made);
}

/* Images. */

/* Data of 1 MiB at the beginning, and a bit at 3.9 GiB. */
static char *image_text(void)
{
	struct buf text = { 0 };

	buf_text(&text, "(module (memory 65000)"
			"(func (export \"get\") (param i32) (result i32)"
			"  (i32.load8_u (local.get 0)))"
			"(func (export \"set\") (param i32 i32) (result i32)"
			"  (i32.store8 (local.get 0) (local.get 1))"
			"  (i32.const 0))"
			"(data (i32.const 4187593113) \"end\")"
			"(data (i32.const 5) \"");
	for (int i = 0; i < 1 << 18; i++)
		buf_text(&text, "data");
	buf_text(&text, "\")(data (i32.const 7) \"DATA\"))");
	return buf_steal(&text);
}

static void check_image(struct made *made)
{
	static const struct {
		uint32_t at, value;
	} wanted[] = { { 4, 0 },
		       { 5, 'd' },
		       { 7, 'D' },
		       { 10, 'A' },
		       { 11, 't' },
		       { (1 << 20) + 4, 'a' },
		       { (1 << 20) + 5, 0 },
		       { 4187593112, 0 },
		       { 4187593113, 'e' },
		       { 4187593115, 'd' },
		       { 4187593116, 0 } };
	uint32_t value;

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		CHECK_INT(made_call(made, "get", wanted[i].at, 0, &value),
			  WASM_OK);
		CHECK_INT(value, wanted[i].value);
	}
}

TEST(instances_share_an_image_and_nothing_else)
{
	char *text = image_text();
	struct wasm_instance *first, *second;
	uint64_t before;
	struct made made;
	uint32_t value;

	CHECK(made_open(&made, NULL, text));
	CHECK(made.module->host_data != NULL);
	first = made.instance;
	check_image(&made);
	CHECK_INT(made_call(&made, "set", 5, 'X', NULL), WASM_OK);
	before = resident_pages();
	for (int i = 0; i < 100; i++)
		CHECK_INT(made_instantiate(&made), 0);
	CHECK(resident_pages() < before + 2000);
	check_image(&made);
	second = made.instance;
	made.instance = first;
	CHECK_INT(made_call(&made, "get", 5, 0, &value), WASM_OK);
	CHECK_INT(value, 'X');
	CHECK_INT(made_call(&made, "get", 65000u << 16, 0, NULL),
		  WASM_TRAP_memory_bounds);
	made.instance = second;
	made_close(&made);
	free(text);
}

static long page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Page faults of 200 instances that touch nothing. */
static long cost_of(const char *text)
{
	struct made made;
	long before;

	CHECK(made_open(&made, NULL, text));
	CHECK_INT(made_instantiate(&made), 0);
	before = page_faults();
	for (int i = 0; i < 200; i++)
		CHECK_INT(made_instantiate(&made), 0);
	before = page_faults() - before;
	made_close(&made);
	return before;
}

TEST(an_instance_costs_the_same_whatever_its_memory)
{
	long small = cost_of("(module (memory 1))");
	char *text = image_text();

	CHECK(cost_of("(module (memory 65536))") < small + 400);
	CHECK(cost_of(text) < small + 1200);
	free(text);
}

/* What is in memory when a segment does not fit is what came before it. */
TEST(segments_that_do_not_fit)
{
	struct made made = { 0 };

	CHECK_INT(vm_init(&made.vm, NULL, NULL), 0);
	CHECK_INT(made_load(&made, "(module (memory 1) (data (i32.const 65535)"
				   " \"ab\"))"),
		  0);
	CHECK_INT(made_instantiate(&made), WASM_TRAP_memory_bounds);
	made_close(&made);
}

/* Calls back and forth. */

static enum wasm_trap call_back(struct wasm_store *store,
				struct wasm_function *self,
				struct wasm_instance *caller,
				union wasm_value *slots)
{
	struct made *made = ((struct wasm_host_function *)self)->env;
	union wasm_value result = { 0 };
	enum wasm_trap trap;

	(void)store;
	(void)caller;
	trap = vm_call(&made->vm, made_find(made, "sum"), slots, &result);
	slots[0] = result;
	return trap;
}

static bool open_back(struct made *made)
{
	*made = (struct made){ 0 };
	return vm_init(&made->vm, NULL, &made_err) == 0 &&
	       vm_define_function(&made->vm, "h", "back", "i>i", call_back,
				  made, &made_err) == 0 &&
	       made_load(made,
			 "(module"
			 "  (import \"h\" \"back\" (func $b (param i32)"
			 "    (result i32)))"
			 "  (memory 1)"
			 "  (func (export \"sum\") (param i32) (result i32)"
			 "    (if (result i32) (local.get 0)"
			 "      (then (i32.add (local.get 0) (call $b"
			 "        (i32.sub (local.get 0) (i32.const 1)))))"
			 "      (else (i32.load (i32.const 0)))))"
			 "  (func (export \"poke\") (param i32) (result i32)"
			 "    (i32.store (i32.const 0) (local.get 0))"
			 "    (i32.const 0)))") == 0 &&
	       made_instantiate(made) == 0;
}

TEST(host_and_code_call_each_other)
{
	struct made made;
	uint32_t value;

	CHECK(open_back(&made));
	CHECK_INT(made_call(&made, "sum", 100, 0, &value), WASM_OK);
	CHECK_INT(value, 5050);
	CHECK_INT(made_call(&made, "poke", 1000, 0, NULL), WASM_OK);
	CHECK_INT(made_call(&made, "sum", 4, 0, &value), WASM_OK);
	CHECK_INT(value, 1010);
	made_close(&made);
}

/* Without an end: a trap, on whatever stack the end is reached first. */
TEST(calls_back_and_forth_have_an_end)
{
	struct made made;
	uint32_t value;

	CHECK(open_back(&made));
	CHECK_INT(made_call(&made, "sum", UINT32_MAX, 0, NULL),
		  WASM_TRAP_stack);
	CHECK_INT(made_call(&made, "sum", 10, 0, &value), WASM_OK);
	CHECK_INT(value, 55);
	made_close(&made);
}

TEST(tail_calls_go_on_for_ever)
{
	struct made made;
	uint32_t value;

	CHECK(made_open(&made, NULL,
			"(module (func $f (export \"f\") (param i32)"
			"  (result i32) (if (i32.eqz (local.get 0))"
			"    (then (return (i32.const 7))))"
			"  (return_call $f (i32.sub (local.get 0)"
			"    (i32.const 1)))))"));
	CHECK_INT(made_call(&made, "f", 10000000, 0, &value), WASM_OK);
	CHECK_INT(value, 7);
	made_close(&made);
}

static enum wasm_trap refuse(struct wasm_store *store,
			     struct wasm_function *self,
			     struct wasm_instance *caller,
			     union wasm_value *slots)
{
	(void)self;
	(void)caller;
	(void)slots;
	strcpy(store->message, "not on a Sunday");
	return WASM_TRAP_host;
}

TEST(a_host_may_trap)
{
	auto_buf struct buf text = { 0 };
	struct made made = { 0 };

	CHECK_INT(vm_init(&made.vm, NULL, NULL), 0);
	CHECK_INT(vm_define_function(&made.vm, "h", "f", "", refuse, NULL,
				     NULL),
		  0);
	CHECK_INT(made_load(&made, "(module (import \"h\" \"f\" (func $f))"
				   "(func $inner (call $f))"
				   "(func $outer (export \"g\")"
				   " (call $inner)))"),
		  0);
	CHECK_INT(made_instantiate(&made), 0);
	CHECK_INT(made_call(&made, "g", 0, 0, NULL), WASM_TRAP_host);
	vm_describe_trap(&made.vm, WASM_TRAP_host, &text);
	CHECK(strstr(buf_string(&text), "trap: not on a Sunday\n"));
	CHECK(strstr(buf_string(&text), "function 1 \"inner\" at 0x"));
	CHECK(strstr(buf_string(&text), "function 2 \"outer\" at 0x"));
	made_close(&made);
}

TEST(a_trap_tells_its_functions)
{
	auto_buf struct buf text = { 0 };
	struct made made;

	CHECK(made_open(&made, NULL,
			"(module (memory 1)"
			"  (func $load (param i32) (result i32)"
			"    (i32.load (local.get 0)))"
			"  (func (export \"f\") (param i32) (result i32)"
			"    (call $load (local.get 0)) (i32.const 1) i32.add)"
			"  (func $down (export \"down\") (result i32)"
			"    (call $down) (i32.const 1) i32.add))"));
	CHECK_INT(made_call(&made, "f", 70000, 0, NULL),
		  WASM_TRAP_memory_bounds);
	vm_describe_trap(&made.vm, WASM_TRAP_memory_bounds, &text);
	CHECK(strncmp(buf_string(&text),
		      "trap: out of bounds memory access\n"
		      "  0: function 0 \"load\" at 0x",
		      61) == 0);
	CHECK(strstr(buf_string(&text), "\n  1: function 1 \"f\" at 0x"));
	CHECK_INT(made_call(&made, "down", 0, 0, NULL), WASM_TRAP_stack);
	buf_clear(&text);
	vm_describe_trap(&made.vm, WASM_TRAP_stack, &text);
	CHECK(strstr(buf_string(&text), "\n  63: function 2 \"down\" at 0x"));
	CHECK(strstr(buf_string(&text), " more\n"));
	made_close(&made);
}

/* Linking. */

static void check_link(const char *import, const char *wanted)
{
	auto_buf struct buf text = { 0 };
	struct made made = { 0 };

	CHECK_INT(vm_init(&made.vm, NULL, NULL), 0);
	CHECK_INT(vm_define_function(&made.vm, "h", "f", "il>d", refuse, NULL,
				     NULL),
		  0);
	buf_format(&text, "(module %s)", import);
	CHECK_INT(made_load(&made, buf_string(&text)), 0);
	CHECK(made_instantiate(&made) < 0);
	CHECK_TEXT(made_err.text, wanted);
	made_close(&made);
}

TEST(what_does_not_fit_is_told)
{
	check_link("(import \"h\" \"g\" (func))",
		   "import \"h\" \"g\": unknown import");
	check_link("(import \"h\\0a\" \"\" (func))",
		   "import \"h\\0a\" \"\": unknown import");
	check_link("(import \"h\" \"f\" (func (param i32) (result i32 f32)))",
		   "import \"h\" \"f\": incompatible import type: function "
		   "(i32) -> (i32, f32) wanted, function (i32, i64) -> f64 "
		   "given");
	check_link("(import \"h\" \"f\" (memory 1 2))",
		   "import \"h\" \"f\": incompatible import type: memory 1 2 "
		   "wanted, function (i32, i64) -> f64 given");
	check_link("(import \"h\" \"f\" (global (mut i64)))",
		   "import \"h\" \"f\": incompatible import type: global "
		   "(mut i64) wanted, function (i32, i64) -> f64 given");
}

TEST(a_name_is_the_last_one_defined)
{
	struct made made, other = { 0 };
	uint32_t value;

	CHECK(made_open(&made, NULL,
			"(module (func (export \"f\") (result i32)"
			" (i32.const 1)))"));
	other.vm = made.vm;
	CHECK_INT(vm_define_instance(&other.vm, "m", made.instance, NULL), 0);
	CHECK_INT(made_load(&other, "(module (func (export \"f\") (result i32)"
				    " (i32.const 2)))"),
		  0);
	CHECK_INT(made_instantiate(&other), 0);
	CHECK_INT(vm_define_instance(&other.vm, "m", other.instance, NULL), 0);
	CHECK_INT(made_load(&other,
			    "(module (import \"m\" \"f\" (func (result i32)))"
			    "(export \"g\" (func 0)))"),
		  0);
	CHECK_INT(made_instantiate(&other), 0);
	CHECK_INT(made_call(&other, "g", 0, 0, &value), WASM_OK);
	CHECK_INT(value, 2);
	made_close(&other);
}

/* Ends. */

#define LOOP_TEXT                                                  \
	"(module (func (export \"loop\") (param i32) (result i32)" \
	"  (loop $l (if (i32.eqz (local.get 0)) (then (return"     \
	"    (i32.const 1)))) (local.set 0 (i32.sub (local.get 0)" \
	"    (i32.const 1))) (br $l)) (i32.const 0))"              \
	"  (func (export \"for_ever\") (result i32) (loop (br 0))" \
	"    (i32.const 0)))"

TEST(a_deadline_ends_a_run)
{
	struct vm_options options = { .timeout_ns = 50000000 };
	struct made made;
	uint64_t start, took;
	uint32_t value;

	CHECK(made_open(&made, &options, LOOP_TEXT));
	start = clock_ns();
	CHECK_INT(made_call(&made, "for_ever", 0, 0, NULL), WASM_TRAP_deadline);
	took = clock_ns() - start;
	CHECK(took >= 50000000 && took < 2000000000);
	CHECK_INT(made.vm.deadline_ns, 0);
	CHECK_INT(made_call(&made, "loop", 5, 0, &value), WASM_OK);
	CHECK_INT(value, 1);
	made_close(&made);
}

TEST(fuel_ends_a_run)
{
	struct vm_options options = { .store = { .fuel = 100000 } };
	struct made made;

	CHECK(made_open(&made, &options, LOOP_TEXT));
	CHECK_INT(made_call(&made, "loop", 1000, 0, NULL), WASM_OK);
	CHECK_INT(made_call(&made, "for_ever", 0, 0, NULL), WASM_TRAP_fuel);
	CHECK_INT(made_call(&made, "loop", 1000, 0, NULL), WASM_TRAP_fuel);
	made.vm.store->fuel_left = 10000;
	CHECK_INT(made_call(&made, "loop", 1000, 0, NULL), WASM_OK);
	made_close(&made);
}

static void *interrupt_soon(void *store)
{
	clock_sleep_ms(30);
	vm_interrupt(store);
	return NULL;
}

TEST(an_interruption_ends_one_run)
{
	struct made made;
	pthread_t thread;

	CHECK(made_open(&made, NULL, LOOP_TEXT));
	pthread_create(&thread, NULL, interrupt_soon, made.vm.store);
	CHECK_INT(made_call(&made, "for_ever", 0, 0, NULL),
		  WASM_TRAP_interrupted);
	pthread_join(thread, NULL);
	CHECK_INT(made_call(&made, "loop", 1000000, 0, NULL), WASM_OK);
	made_close(&made);
}

/* Waiting. */

struct waiting {
	uint64_t word;
	uint32_t result;
	int64_t timeout_ns;
};

static void *wait_for_word(void *argument)
{
	struct waiting *waiting = argument;
	struct wasm_store store = { .interrupt = 0 };

	waiting->result = vm_host.wait(NULL, &store, &waiting->word, 64,
				       UINT64_C(1) << 40, waiting->timeout_ns);
	return NULL;
}

TEST(waiting_compares_all_its_bits)
{
	struct waiting waiting = { .word = UINT64_C(1) << 41,
				   .timeout_ns = -1 };

	wait_for_word(&waiting);
	CHECK_INT(waiting.result, 1);
	waiting = (struct waiting){ .word = UINT64_C(1) << 40,
				    .timeout_ns = 1000000 };
	wait_for_word(&waiting);
	CHECK_INT(waiting.result, 2);
	CHECK_INT(vm_host.notify(NULL, &waiting.word, 5), 0);
}

TEST(each_notification_wakes_and_counts)
{
	struct waiting waiting = { .word = UINT64_C(1) << 40,
				   .timeout_ns = -1 };
	pthread_t threads[5];
	uint32_t woken = 0;

	for (int i = 0; i < 5; i++)
		pthread_create(&threads[i], NULL, wait_for_word, &waiting);
	clock_sleep_ms(50);
	CHECK_INT(vm_host.notify(NULL, &waiting.word, 2), 2);
	for (int i = 0; woken < 3 && i < 1000; i++) {
		woken += vm_host.notify(NULL, &waiting.word, UINT32_MAX);
		clock_sleep_ms(1);
	}
	CHECK_INT(woken, 3);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(waiting.result, 0);
}

TEST(a_deadline_ends_waiting)
{
	struct vm_options options = { .timeout_ns = 50000000 };
	uint64_t start;
	struct made made;

	CHECK(made_open(&made, &options,
			"(module (memory 1 1 shared)"
			"  (func (export \"wait\") (result i32)"
			"    (loop (drop (memory.atomic.wait32 (i32.const 0)"
			"      (i32.const 0) (i64.const -1))) (br 0))"
			"    (i32.const 0)))"));
	start = clock_ns();
	CHECK_INT(made_call(&made, "wait", 0, 0, NULL), WASM_TRAP_deadline);
	CHECK(clock_ns() - start < 2000000000);
	made_close(&made);
}

/* Not "timed out" first: the guest learns nothing of the host's time. */
TEST(a_deadline_that_ends_waiting_is_a_trap)
{
	struct vm_options options = { .timeout_ns = 50000000 };
	uint32_t value = 7;
	struct made made;

	CHECK(made_open(&made, &options,
			"(module (memory 1 1 shared)"
			"  (func (export \"wait\") (param i64)"
			"    (drop (memory.atomic.wait64 (i32.const 0)"
			"      (i64.const 0) (local.get 0)))"
			"    (i32.store (i32.const 8) (i32.const 1)))"
			"  (func (export \"get\") (result i32)"
			"    (i32.load (i32.const 8))))"));
	CHECK_INT(made_call(&made, "wait", UINT32_MAX, 0, NULL),
		  WASM_TRAP_deadline);
	CHECK_INT(made_call(&made, "get", 0, 0, &value), WASM_OK);
	CHECK_INT(value, 0);
	CHECK_INT(made_call(&made, "wait", 1000, 0, NULL), WASM_OK);
	CHECK_INT(made_call(&made, "get", 0, 0, &value), WASM_OK);
	CHECK_INT(value, 1);
	made_close(&made);
}

/* Many. */

#define SMALL_TEXT                                                       \
	"(module (memory 1) (table 2 funcref) (elem (i32.const 0) $add)" \
	"  (global $g (mut i32) (i32.const 3))"                          \
	"  (func $add (export \"add\") (param i32 i32) (result i32)"     \
	"    (i32.store (i32.const 100) (local.get 0))"                  \
	"    (i32.add (i32.load (i32.const 100)) (local.get 1)))"        \
	"  (func (export \"bad\") (result i32)"                          \
	"    (i32.load (i32.const 65536))))"

static void *many_instances(void *fine)
{
	struct made made;
	uint32_t value = 0;
	bool good = made_open(&made, NULL, SMALL_TEXT);

	for (uint32_t i = 0; good && i < 1000; i++)
		good = made_instantiate(&made) == 0 &&
		       made_call(&made, "add", i, 2, &value) == WASM_OK &&
		       value == i + 2 &&
		       made_call(&made, "bad", 0, 0, NULL) ==
			       WASM_TRAP_memory_bounds;
	made_close(&made);
	*(bool *)fine = good;
	return NULL;
}

TEST(threads_with_a_vm_each)
{
	pthread_t threads[8];
	bool fine[8] = { 0 };

	for (int i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, many_instances, &fine[i]);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		CHECK(fine[i]);
	}
}

static bool one_of_many(struct wasm_types *types, struct wasm_module *module)
{
	struct wasm_store *store = wasm_store_make(&vm_host, types, NULL);
	union wasm_value arguments[2] = { { .i64 = 4 }, { .i64 = 5 } };
	union wasm_value results[2] = { 0 };
	struct wasm_instance *instance = NULL;
	struct wasm_error error = { 0 };
	struct wasm_extern found;
	struct vm_run run;
	bool fine;

	if (!store)
		return false;
	vm_enter(&run, store, 0);
	fine = wasm_instantiate(store, module, NULL, &instance, &error) == 0 &&
	       wasm_instance_export(instance, "add", 3, &found) &&
	       wasm_call(store, found.function, arguments, results) ==
		       WASM_OK &&
	       results[0].i32 == 9 &&
	       wasm_instance_export(instance, "bad", 3, &found) &&
	       wasm_call(store, found.function, NULL, results) ==
		       WASM_TRAP_memory_bounds;
	vm_leave(&run);
	wasm_store_free(store);
	return fine;
}

/* A module and its types outlive ten thousand stores. */
TEST(ten_thousand_instances_leave_nothing)
{
	struct made made;
	uint64_t before = 0;
	int maps = 0;
	bool fine = true;

	CHECK(made_open(&made, NULL, SMALL_TEXT));
	for (int i = 0; fine && i < 10000; i++) {
		fine = one_of_many(made.vm.types, made.module);
		if (i == 500) {
			before = resident_pages();
			maps = count_maps();
		}
	}
	CHECK(fine);
	CHECK(count_maps() <= maps + 4);
	/* A sanitizer keeps freed blocks for a while. */
	CHECK(SANITISED || resident_pages() < before + 256);
	made_close(&made);
}

TEST(a_thousand_vms_leave_nothing)
{
	struct made made;
	uint64_t before = 0;
	int maps = 0;

	for (int i = 0; i < 1000; i++) {
		CHECK(made_open(&made, NULL, SMALL_TEXT));
		made_close(&made);
		if (i == 100) {
			before = resident_pages();
			maps = count_maps();
		}
	}
	CHECK(count_maps() <= maps + 4);
	CHECK(SANITISED || resident_pages() < before + 256);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler at its limits: large modules at a cost that is proportional,
 * memory that fails, images with a byte changed, threads that want the same
 * code at once, runs that are ended, and pages that are never both written
 * and run. */
#include "base/clock.h"
#include "base/maps.h"
#include "jit/jit.h"
#include "lib/cached.h"
#include "lib/made_vm.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#define SUMS                                                                \
	"(module (memory 1) (tag $t (param i32))"                           \
	"(table 1 funcref) (elem (i32.const 0) $add)"                       \
	"(type $two (func (param i32 i32) (result i32)))"                   \
	"(func $add (export \"add\") (type $two) (i32.add (local.get 0)"    \
	"  (local.get 1)))"                                                 \
	"(func (export \"catch\") (type $two) (block $h (result i32)"       \
	"  (try_table (catch $t $h) (throw $t (call_indirect (type $two)"   \
	"    (local.get 0) (local.get 1) (i32.const 0)))) (i32.const 0)))"  \
	"(func (export \"bad\") (result i32) (i32.load (i32.const 65533)))" \
	"(func (export \"ever\") (loop (br 0)))"                            \
	"(func (export \"calls\") (loop (drop (call $add (i32.const 1)"     \
	"  (i32.const 2))) (br 0)))"                                        \
	"(func (export \"long\") (local f64) (loop (br_if 0 (f64.lt"        \
	"  (local.tee 0 (f64.add (local.get 0) (f64.const 1)))"             \
	"  (f64.const 1e300))))))"

static const struct vm_options compiled = { .code.via = VM_COMPILED };

/* Is every page of the process either written or run? */
static bool is_either(void)
{
	auto_maps struct maps maps = { 0 };
	struct err err = { 0 };
	bool either = true;

	CHECK_INT(maps_read(0, &maps, &err), 0);
	CHECK(maps.count > 5);
	for (size_t i = 0; i < maps.count; i++)
		either = either &&
			 (~maps.map[i].prot & (PROT_WRITE | PROT_EXEC));
	return either;
}

TEST(no_page_is_written_and_run)
{
	struct made made;
	uint32_t value;

	CHECK(made_open(&made, &compiled, SUMS));
	CHECK(made.instance->native != NULL);
	CHECK(is_either());
	CHECK_INT(made_call(&made, "catch", 3, 4, &value), WASM_OK);
	CHECK_INT(value, 7);
	CHECK(is_either());
	made_close(&made);
	CHECK(is_either());
}

/* The same when code is written for the cache, and when it is mapped. */
TEST(no_page_of_the_cache_is_written_and_run)
{
	auto_folder char *folder = cached_folder();
	struct cache_options cache = { 0 };
	struct vm_options options = compiled;
	struct made made;
	uint32_t value = 0;

	options.cache = &cache;
	for (int i = 0; i < 2; i++) {
		struct cache_counts counts;

		CHECK(made_open(&made, &options, SUMS));
		CHECK(is_either());
		CHECK_INT(made_call(&made, "catch", 3, 4, &value), WASM_OK);
		CHECK_INT(value, 7);
		CHECK(is_either());
		cache_counts(made.vm.options.code.cache, &counts);
		CHECK_INT(counts.results[CACHE_HIT], i);
		made_close(&made);
	}
}

/* Ends of a run, in loops that do nothing else. */

static void *interrupt_soon(void *store)
{
	clock_sleep_ms(20);
	vm_interrupt(store);
	return NULL;
}

TEST(tight_loops_end)
{
	static const char *const names[] = { "ever", "calls", "long" };
	struct vm_options options = compiled;
	struct made made;
	pthread_t thread;
	uint32_t value;

	options.timeout_ns = 20000000;
	for (int i = 0; i < 6; i++) {
		enum wasm_trap wanted =
			i % 2 ? WASM_TRAP_interrupted : WASM_TRAP_deadline;

		options.timeout_ns = i % 2 ? 0 : 20000000;
		CHECK(made_open(&made, &options, SUMS));
		if (i % 2)
			pthread_create(&thread, NULL, interrupt_soon,
				       made.vm.store);
		CHECK_INT(made_call(&made, names[i / 2], 0, 0, NULL), wanted);
		if (i % 2)
			pthread_join(thread, NULL);
		CHECK(made.vm.store->trace_count >= 1);
		CHECK_INT(made_call(&made, "add", 3, 4, &value), WASM_OK);
		CHECK_INT(value, 7);
		made_close(&made);
	}
}

TEST(a_deadline_with_its_signal_blocked)
{
	struct vm_options options = compiled;
	struct made made;
	sigset_t urgent, before, after;

	sigemptyset(&urgent);
	sigaddset(&urgent, SIGURG);
	pthread_sigmask(SIG_BLOCK, &urgent, &before);
	options.timeout_ns = 20000000;
	CHECK(made_open(&made, &options, SUMS));
	CHECK_INT(made_call(&made, "ever", 0, 0, NULL), WASM_TRAP_deadline);
	made_close(&made);
	pthread_sigmask(SIG_SETMASK, &before, &after);
	CHECK(sigismember(&after, SIGURG) == 1);
}

/* Code that is hardly ever in its own instructions: what it throws is
 * compared with a hundred thousand tags. */
TEST(throws_end)
{
	auto_buf struct buf text = { 0 };
	struct vm_options options = compiled;
	uint64_t start = clock_ns();
	struct made made;

	buf_text(&text, "(module (tag $t) (tag $other) (func (export \"ever\")"
			" (loop $l (block $h (try_table");
	for (int i = 0; i < 100000; i++)
		buf_text(&text, " (catch $other $h)");
	buf_text(&text, " (catch_all $h) (throw $t))) (br $l))))");
	options.timeout_ns = 20000000;
	CHECK(made_open(&made, &options, buf_string(&text)));
	CHECK_INT(made_call(&made, "ever", 0, 0, NULL), WASM_TRAP_deadline);
	CHECK_INT(made.vm.store->trace_count, 1);
	CHECK(!made.vm.store->exception);
	CHECK(clock_ns() - start < UINT64_C(20000000000));
	made_close(&made);
}

/* Memory that fails */

struct failing {
	struct wasm_host hooks;
	int64_t fail_at, calls;
	size_t largest; /* that was asked for at once */
};
static struct failing failing;

static void *failing_allocate(void *env, size_t len)
{
	(void)env;
	failing.calls++;
	if (len > failing.largest)
		failing.largest = len;
	if (failing.fail_at > 0 && --failing.fail_at == 0)
		return NULL;
	return vm_host.allocate(NULL, len);
}

/* Compiles, instantiates and runs; true: all of it went well.  Whatever
 * failed, what is said to have gone well has. */
static bool whole_life(enum vm_via via, bool *is_compiled)
{
	struct vm_options options = { .code.via = via, .host = &failing.hooks };
	struct made made = { 0 };
	union wasm_value slots[2] = { { .i64 = 3 }, { .i64 = 4 } };
	struct wasm_function *function;
	enum wasm_trap trap = WASM_OK;
	bool fine;

	failing.hooks = vm_host;
	failing.hooks.allocate = failing_allocate;
	failing.calls = 0;
	*is_compiled = false;
	fine = vm_init(&made.vm, &options, &made_err) == 0 &&
	       made_load(&made, SUMS) == 0 && made_instantiate(&made) == 0;
	if (fine) {
		*is_compiled = made.instance->native != NULL;
		CHECK(*is_compiled || via == VM_AUTO);
		function = made_find(&made, "catch");
		fine = function != NULL;
	}
	if (fine)
		trap = vm_call(&made.vm, function, slots, slots);
	if (fine && !trap)
		CHECK_INT(slots[0].i32, 7);
	made_close(&made);
	return fine && !trap;
}

TEST(whatever_fails_all_is_well)
{
	static const enum vm_via vias[] = { VM_AUTO, VM_COMPILED };
	unsigned interpreted = 0, failed = 0;
	bool is_compiled;

	for (int i = 0; i < 2; i++) {
		int64_t calls;

		failing.fail_at = 0;
		CHECK(whole_life(vias[i], &is_compiled) && is_compiled);
		calls = failing.calls;
		CHECK(calls > 20 && calls < 2000);
		for (int64_t n = 1; n <= calls; n++) {
			failing.fail_at = n;
			if (!whole_life(vias[i], &is_compiled))
				failed++;
			else if (!is_compiled)
				interpreted++;
		}
	}
	CHECK(failed > 20);
	CHECK(interpreted > 5);
}

/* Traces.  A frame's place is found by compiling its function anew. */

static const char deep[] =
	"(module (func $here (param i32) (if (local.get 0)"
	"  (then (if (i32.and (local.get 0) (i32.const 1))"
	"   (then (call $here (i32.sub (local.get 0) (i32.const 1))))"
	"   (else (call $here (i32.sub (local.get 0) (i32.const 1)))))))"
	" unreachable)"
	"(func (export \"trap\") (call $here (i32.const 50)))"
	"(func $ever (export \"ever\") (call $ever)))";

static void trace_of(const struct vm_options *options, const char *name,
		     struct wasm_store *store)
{
	struct made made;

	CHECK(made_open(&made, options, deep));
	CHECK_INT(made_call(&made, name, 0, 0, NULL) != WASM_OK, 1);
	*store = *made.vm.store;
	for (uint32_t i = 0; i < store->trace_count; i++)
		CHECK(store->trace[i].offset > 8 &&
		      store->trace[i].offset < made.module->len);
	made_close(&made);
}

TEST(a_trace_costs_a_compilation_of_each_function)
{
	static const struct vm_options interpreted = { .code.via =
							       VM_INTERPRETED };
	struct vm_options options = { .code.via = VM_COMPILED,
				      .host = &failing.hooks };
	struct wasm_store wanted, store;

	failing.hooks = vm_host;
	failing.hooks.allocate = failing_allocate;
	failing.fail_at = 0;
	failing.calls = 0;
	trace_of(&interpreted, "trap", &wanted);
	trace_of(&options, "trap", &store);
	CHECK(failing.calls < 200);
	CHECK_INT(store.trace_count, 52);
	CHECK_INT(store.trace_count, wanted.trace_count);
	for (uint32_t i = 0; i < store.trace_count; i++) {
		CHECK_INT(store.trace[i].function, wanted.trace[i].function);
		CHECK_INT(store.trace[i].offset, wanted.trace[i].offset);
	}
}

/* A function that traps before its first operation has a place, too. */
TEST(a_trace_of_what_has_not_begun)
{
	struct vm_options options = compiled;
	struct wasm_store store;

	trace_of(&options, "ever", &store);
	CHECK_INT(store.trace_count, WASM_TRACE_MOST);
	options.store.fuel = 1000;
	trace_of(&options, "ever", &store);
	CHECK_INT(store.trace_count, WASM_TRACE_MOST);
}

/* Images with a change */

struct image {
	struct made made;
	uint8_t *bytes;
	uint64_t len;
};

static void image_make(struct image *image)
{
	static const struct jit_options options = { 0 };
	struct wasm_error error = { 0 };
	struct jit_compiler *compiler;
	struct jit_link link = { .compilers = &compiler, .count = 1 };
	const struct wasm_module *module;

	CHECK(made_open(&image->made, NULL, SUMS));
	module = image->made.module;
	compiler = jit_compiler_new(module, &options);
	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		CHECK_INT(jit_compile(compiler, i, &error), 0);
	image->len = jit_image_bytes(&link);
	image->bytes = aligned_alloc(CODE_PAGE, image->len);
	memset(image->bytes, 0, image->len);
	CHECK_INT(jit_image_write(&link, image->bytes), 0);
	jit_compiler_free(compiler);
}

/* Does all that the tables name lie in the image? */
static bool holds(const struct jit_code *code, const struct image *image)
{
	const struct code_header *header = code->header;
	uint32_t count =
		code->module->function_count - code->module->imported_functions;
	const uint8_t *end = image->bytes + image->len;
	bool fine = code->text + header->text_bytes <= end &&
		    (const uint8_t *)(code->functions + count + 1) <= end &&
		    (const uint8_t *)(code->landings + header->landing_count) <=
			    end;

	for (uint32_t i = 0; fine && i < count; i++) {
		const struct code_function *function = &code->functions[i];

		fine = function->at <= function[1].at &&
		       function[1].at <= header->text_bytes &&
		       function->landing <= function[1].landing &&
		       function[1].landing <= header->landing_count;
	}
	for (uint32_t i = 0; fine && i < header->landing_count; i++)
		fine = code->landings[i].target < header->text_bytes &&
		       (code->landings[i].tag == CODE_CATCH_ALL ||
			code->landings[i].tag < code->module->tag_count);
	return fine;
}

/* Key, sum and options are for others to know; tables may begin later. */
static bool must_refuse(uint64_t at)
{
	static const struct {
		uint64_t at, end;
	} fields[] = {
#define FIELD(name)                            \
	{ offsetof(struct code_header, name),  \
	  offsetof(struct code_header, name) + \
		  sizeof(((struct code_header *)0)->name) }
		FIELD(magic),	      FIELD(version),
		FIELD(header_bytes),  FIELD(function_count),
		FIELD(landing_count), FIELD(functions_at),
		FIELD(text_at),	      FIELD(file_bytes),
		FIELD(module_bytes),  FIELD(optimised_at),
#undef FIELD
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (at >= fields[i].at && at < fields[i].end)
			return true;
	return false;
}

TEST(any_change_of_header_and_tables)
{
	static const uint8_t changes[] = { 1, 2, 4, 8, 0x10, 0x80, 0xff };
	struct image image;
	const struct code_header *header;
	struct wasm_error error;
	struct jit_code code;
	uint64_t tables, refused = 0, taken = 0;

	image_make(&image);
	header = (const struct code_header *)image.bytes;
	CHECK_INT(header->landing_count, 1);
	tables = header->landings_at + sizeof(struct code_landing);
	for (uint64_t at = 0; at < tables; at++)
		for (size_t i = 0; i < sizeof(changes); i++) {
			bool opened;

			image.bytes[at] ^= changes[i];
			opened = jit_code_open(&code, image.made.module,
					       image.bytes, image.len,
					       &error) == 0;
			CHECK(!opened || holds(&code, &image));
			CHECK(!opened || !must_refuse(at));
			jit_code_close(&code);
			taken += opened;
			refused += !opened;
			image.bytes[at] ^= changes[i];
		}
	CHECK(taken > 100 && refused > 100);
	for (uint64_t len = 0; len < image.len; len += 7)
		CHECK(jit_code_open(&code, image.made.module, image.bytes, len,
				    &error) < 0);
	free(image.bytes);
	made_close(&image.made);
}

/* Threads */

struct shared {
	struct wasm_types *types;
	struct wasm_module *module;
	pthread_barrier_t barrier;
};

static void *use_shared(void *data)
{
	struct shared *shared = data;
	union wasm_value slots[2] = { { .i64 = 3 }, { .i64 = 4 } };
	struct wasm_store *store =
		wasm_store_make(&vm_host, shared->types, NULL);
	struct wasm_instance *instance = NULL;
	struct wasm_error error = { 0 };
	struct wasm_extern found;
	struct vm_run run;
	bool fine;

	store->code_data = &compiled.code;
	pthread_barrier_wait(&shared->barrier);
	vm_enter(&run, store, 0);
	fine = wasm_instantiate(store, shared->module, NULL, &instance,
				&error) == 0 &&
	       instance->native &&
	       wasm_instance_export(instance, "catch", 5, &found) &&
	       wasm_call(store, found.function, slots, slots) == WASM_OK &&
	       slots[0].i32 == 7;
	vm_leave(&run);
	wasm_store_free(store);
	return fine ? data : NULL;
}

TEST(threads_that_want_the_same_code)
{
	enum { THREADS = 4 };

	for (int i = 0; i < 20; i++) {
		struct shared shared;
		struct made made = { 0 };
		pthread_t threads[THREADS];
		void *result;

		CHECK_INT(vm_init(&made.vm, &compiled, &made_err), 0);
		CHECK_INT(made_load(&made, SUMS), 0);
		shared.types = made.vm.types;
		shared.module = made.module;
		pthread_barrier_init(&shared.barrier, NULL, THREADS);
		for (int k = 0; k < THREADS; k++)
			pthread_create(&threads[k], NULL, use_shared, &shared);
		for (int k = 0; k < THREADS; k++) {
			pthread_join(threads[k], &result);
			CHECK(result != NULL);
		}
		pthread_barrier_destroy(&shared.barrier);
		made_close(&made);
	}
}

/* Large modules.  What is made of "parts" parts, of twice as many is twice as
 * much, in bytes of code and in bytes that the compiler asked for. */

struct cost {
	uint64_t image, calls;
};

static void repeat(struct buf *text, const char *what, unsigned count)
{
	while (count--)
		buf_text(text, what);
}

static void large_put(struct buf *text, int kind, unsigned parts)
{
	buf_text(text, "(module (memory 1)");
	switch (kind) {
	case 0: /* functions with many locals */
		for (unsigned i = 0; i < parts / 100; i++) {
			buf_text(text, "(func (result i32) (local");
			repeat(text, " i32", 20000);
			buf_text(text, ") (local.set 19999 (i32.const 1))"
				       " (local.get 19999))");
		}
		break;
	case 1: /* a long function */
		buf_text(text, "(func (param i32 i64) (result i32)");
		repeat(text,
		       "(local.set 0 (i32.add (local.get 0) (i32.load"
		       " (local.get 0)))) (local.set 1 (i64.mul (local.get 1)"
		       " (i64.extend_i32_u (local.get 0))))",
		       parts * 10);
		buf_text(text, "(local.get 0))");
		break;
	case 2: /* many functions */
		buf_text(text, "(func $f (param i32) (result i32)"
			       " (local.get 0))");
		repeat(text,
		       "(func (param i32) (result i32) (i32.add (i32.const 1)"
		       " (call $f (local.get 0))))",
		       parts * 5);
		break;
	case 3: /* blocks in each other, with branches out of all */
		buf_text(text, "(func (param i32)");
		for (unsigned i = 0; i < parts / 4; i++)
			buf_format(text, " block local.get 0 br_if %u", i / 2);
		repeat(text, " end", parts / 4);
		buf_text(text, ")");
		break;
	case 4: /* many values at once */
		buf_text(text, "(func (param i32) (result i32)");
		repeat(text, " local.get 0 i32.clz", parts);
		repeat(text, " i32.add", parts - 1);
		buf_text(text, ")");
		break;
	case 5: /* tables of branches among many labels */
		buf_text(text, "(func (param i32) (result i32)");
		repeat(text, " block (result i32)", parts);
		buf_text(text, " i32.const 1");
		repeat(text,
		       " block local.get 0 br_if 0 i32.const 7"
		       " local.get 0 br_table 1 1 2 end",
		       parts / 10);
		repeat(text, " end", parts);
		buf_text(text, ")");
		break;
	case 6: /* calls of two bytes that move two thousand values */
		buf_text(text, "(func $f (param");
		repeat(text, " i32", 1000);
		buf_text(text, ") (result");
		repeat(text, " i32", 1000);
		buf_text(text, ") unreachable) (func");
		repeat(text, " i32.const 1", 1000);
		repeat(text, " call $f", parts);
		buf_text(text, " unreachable)");
		break;
	case 7: /* registers in use far below those that are asked for */
		buf_text(text, "(func (param i32) (local i32)");
		repeat(text, " local.get 0 i32.clz local.get 1", 8);
		repeat(text, " i32.const 7", parts);
		repeat(text,
		       " local.get 0 local.get 0 i32.div_u"
		       " local.get 0 local.get 0 i32.div_u drop drop"
		       " local.get 0 local.set 1",
		       parts);
		repeat(text, " drop", parts + 16);
		buf_text(text, ")");
		break;
	}
	buf_text(text, "(func (export \"well\") (result i32)"
		       " (i32.const 5)))");
}

static struct cost cost_of(int kind, unsigned parts)
{
	auto_buf struct buf text = { 0 };
	struct vm_options options = { .code.via = VM_COMPILED,
				      .host = &failing.hooks };
	struct made made = { 0 };
	struct cost cost = { 0 };
	struct cache_object *object;
	uint32_t value = 0;
	uint64_t calls;

	failing.hooks = vm_host;
	failing.hooks.allocate = failing_allocate;
	failing.fail_at = 0;
	large_put(&text, kind, parts);
	CHECK_INT(vm_init(&made.vm, &options, &made_err), 0);
	CHECK_INT(made_load(&made, buf_string(&text)), 0);
	calls = (uint64_t)failing.calls;
	(void)vm_compile(&made.vm, made.module, &object, &made_err);
	cost.calls = (uint64_t)failing.calls - calls;
	CHECK_INT(made_instantiate(&made), 0);
	CHECK(made.instance && made.instance->native);
	if (made.instance && made.instance->native) {
		const struct code_header *const *header =
			(const void *)((const char *)made.instance->native +
				       offsetof(struct jit_code, header));

		cost.image = (*header)->text_bytes;
		CHECK_INT(made_call(&made, "well", 0, 0, &value), WASM_OK);
		CHECK_INT(value, 5);
	}
	made_close(&made);
	return cost;
}

TEST(large_modules_cost_what_they_are)
{
	for (int kind = 0; kind < 5; kind++) {
		uint64_t start = clock_ns(), middle;
		struct cost one = cost_of(kind, 10000), two;

		middle = clock_ns();
		two = cost_of(kind, 20000);
		printf("# kind %d: %lu and %lu bytes of code, %lu and %lu ms\n",
		       kind, (unsigned long)one.image, (unsigned long)two.image,
		       (unsigned long)(middle - start) / 1000000,
		       (unsigned long)(clock_ns() - middle) / 1000000);
		CHECK(two.image <= 2 * one.image + one.image / 4 + 4096);
		CHECK(two.calls <= 2 * one.calls + 40);
	}
}

/* What looks at all values, or labels, for each of them takes minutes here,
 * and is ended by who runs the tests. */
TEST(tables_of_branches_among_a_million_labels)
{
	struct cost cost = cost_of(5, 500000);

	CHECK(cost.image > 500000 && cost.image < 32000000);
}

TEST(a_million_values_at_once)
{
	struct cost cost = cost_of(4, 1000000);

	CHECK(cost.image > 16000000 && cost.image < 32000000);
}

TEST(registers_below_many_values)
{
	struct cost cost = cost_of(7, 300000);

	CHECK(cost.image > 500000 && cost.image < 64000000);
}

TEST(code_is_in_proportion_to_the_module)
{
	auto_buf struct buf text = { 0 };
	struct vm_options options = { .host = &failing.hooks };
	struct made made;
	uint32_t value = 0;

	failing.hooks = vm_host;
	failing.hooks.allocate = failing_allocate;
	failing.largest = 0;
	large_put(&text, 6, 20000);
	CHECK(made_open(&made, &options, buf_string(&text)));
	CHECK(made.instance && !made.instance->native);
	CHECK(failing.largest < 1 << 26);
	CHECK_INT(made_call(&made, "well", 0, 0, &value), WASM_OK);
	CHECK_INT(value, 5);
	made_close(&made);
}

TEST_MAIN

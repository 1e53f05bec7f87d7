/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled code against the interpreter: scenes of modules that call each
 * other and the host are played with each of them compiled or not, and must
 * give the same results, the same traps and the same traces.
 *
 * test_aotc.c includes this, and plays the scenes with optimised parts too:
 * where in a function such code was is not known, and what is put in place
 * of a call has no frame, so that traces are left out. */
#include "jit/jit.h"
#include "lib/made_vm.h"
#include "wasm/heap.h"

enum { PARTS = 3, FRAMES_TOLD = 40 };

struct scene {
	const char *parts[PARTS + 1]; /* modules "0", "1", ...: their texts */
	bool is_deep; /* a stack's end is not at the same depth */
	/* A host is called in a frame's place: only the interpreter has that
	 * frame still. */
	bool has_tails;
	bool has_references; /* of functions: told as set or not */
	bool stressed;
	bool is_large;	   /* and so played in fewer ways */
	bool is_stateless; /* memories and globals may differ */
};

struct way {
	unsigned compiled; /* a bit for each part */
	uint32_t without, without_features;
	/* Optimised of those compiled, and which functions: 0, all. */
	unsigned optimised;
	uint64_t seed;
	bool traceless;
};

#ifdef SCENES_OPTIMISED
static const char *scene_cache(const struct way *way);
static void scene_optimise(const struct vm *vm, const char *source,
			   const struct way *way);
static void scene_close(void);
static void scene_define(struct vm *vm);
static void scene_state(struct buf *text);
#else
static void scene_state(struct buf *text)
{
	(void)text;
}

static void scene_define(struct vm *vm)
{
	(void)vm;
}

static const char *scene_cache(const struct way *way)
{
	(void)way;
	return NULL;
}

static void scene_optimise(const struct vm *vm, const char *source,
			   const struct way *way)
{
	(void)vm;
	(void)source;
	(void)way;
}

static void scene_close(void)
{
}
#endif

static struct wasm_instance *instances[PARTS];

/* The host */

static enum wasm_trap host_trap(struct wasm_store *store,
				struct wasm_function *self,
				struct wasm_instance *caller,
				union wasm_value *slots)
{
	(void)self;
	(void)caller;
	(void)slots;
	strcpy(store->message, "so it said");
	return WASM_TRAP_host;
}

/* The first tag of part 0, with what was given. */
static enum wasm_trap host_throw(struct wasm_store *store,
				 struct wasm_function *self,
				 struct wasm_instance *caller,
				 union wasm_value *slots)
{
	struct wasm_exception *exception;

	(void)self;
	(void)caller;
	exception = wasm_heap_exception(store, instances[0]->tags[0]);
	if (!exception)
		return WASM_TRAP_host;
	exception->values[0] = slots[0];
	store->exception = (wasm_ref)exception;
	return WASM_TRAP_thrown;
}

static enum wasm_trap host_apply(struct wasm_store *store,
				 struct wasm_function *self,
				 struct wasm_instance *caller,
				 union wasm_value *slots)
{
	(void)self;
	(void)caller;
	return wasm_call(store, (struct wasm_function *)slots[0].ref, NULL,
			 NULL);
}

static enum wasm_trap host_attempt(struct wasm_store *store,
				   struct wasm_function *self,
				   struct wasm_instance *caller,
				   union wasm_value *slots)
{
	enum wasm_trap trap = host_apply(store, self, caller, slots);

	store->exception = 0;
	slots[0].i64 = trap;
	return WASM_OK;
}

static enum wasm_trap host_collect(struct wasm_store *store,
				   struct wasm_function *self,
				   struct wasm_instance *caller,
				   union wasm_value *slots)
{
	(void)self;
	(void)caller;
	(void)slots;
	wasm_heap_collect(store);
	return WASM_OK;
}

/* Which part calls? */
static enum wasm_trap host_who(struct wasm_store *store,
			       struct wasm_function *self,
			       struct wasm_instance *caller,
			       union wasm_value *slots)
{
	(void)store;
	(void)self;
	slots[0].i64 = 99;
	for (unsigned i = 0; i < PARTS; i++)
		if (instances[i] && instances[i] == caller)
			slots[0].i64 = i;
	return WASM_OK;
}

static const struct {
	const char *name, *signature;
	wasm_host_call *call;
} hosts[] = {
	{ "trap", "", host_trap },	 { "throw", "i", host_throw },
	{ "apply", "r", host_apply },	 { "attempt", "r>i", host_attempt },
	{ "collect", "", host_collect }, { "who", ">i", host_who },
};

static void define_hosts(struct vm *vm)
{
	for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
		CHECK_INT(vm_define_function(vm, "h", hosts[i].name,
					     hosts[i].signature, hosts[i].call,
					     NULL, &made_err),
			  0);
}

/* What is told of a call */

static unsigned part_of(const struct wasm_instance *instance)
{
	for (unsigned i = 0; i < PARTS; i++)
		if (instance && instances[i] == instance)
			return i;
	return 99;
}

static void tell_trace(const struct wasm_store *store, bool is_deep,
		       struct buf *text)
{
	uint32_t count = store->trace_count;

	if (is_deep && count > 8)
		count = 8;
	if (!is_deep)
		buf_format(text, "%u frames", store->trace_total);
	for (uint32_t i = 0; i < count && i < FRAMES_TOLD; i++)
		buf_format(text, " %u.%u@%x", part_of(store->trace[i].instance),
			   store->trace[i].function, store->trace[i].offset);
}

static void tell_call(struct vm *vm, struct wasm_function *function,
		      const struct scene *scene, const struct way *way,
		      struct buf *text)
{
	const struct wasm_deftype *type =
		wasm_types_get(vm->types, function->type);
	union wasm_value results[64] = { 0 };
	enum wasm_trap trap = vm_call(vm, function, NULL, results);

	if (trap) {
		buf_format(text, " trap: %s: ", wasm_trap_text(trap));
		if (!scene->has_tails && !way->traceless)
			tell_trace(vm->store, scene->is_deep, text);
	}
	for (uint32_t i = 0; !trap && i < type->result_count; i++)
		if (scene->has_references && type->results[i] == WASM_FUNCREF)
			buf_text(text, results[i].i64 ? " f" : " null");
		else
			buf_format(text, " %lx.%lx",
				   (unsigned long)results[i].words[0],
				   (unsigned long)results[i].words[1]);
	if (!scene->is_stateless && !scene->is_deep)
		scene_state(text);
	buf_text(text, "\n");
	vm->store->exception = 0;
	CHECK(!vm->store->native_stack && !vm->store->depth);
}

static bool has_no_parameters(struct vm *vm, struct wasm_function *function)
{
	return !wasm_types_get(vm->types, function->type)->param_count;
}

/* Each exported function without parameters, of each part. */
static void tell_part(struct vm *vm, unsigned part, const struct scene *scene,
		      const struct way *way, struct buf *text)
{
	struct wasm_instance *instance = instances[part];
	const struct wasm_module *module = instance->module;

	for (uint32_t i = 0; i < module->export_count; i++) {
		const struct wasm_export *export = &module->exports[i];
		struct wasm_extern found;

		if (export->kind != WASM_EXTERN_FUNCTION)
			continue;
		found = wasm_instance_extern(instance, export->kind,
					     export->index);
		if (!has_no_parameters(vm, found.function))
			continue;
		buf_format(text, "%u.%.*s", part, (int)export->name.len,
			   export->name.text);
		tell_call(vm, found.function, scene, way, text);
	}
}

static bool add_part(struct made *made, unsigned part, const char *source,
		     const struct way *way)
{
	char name[2] = { (char)('0' + part), 0 };

	made->vm.options.code.via =
		way->compiled >> part & 1 ? VM_COMPILED : VM_INTERPRETED;
	if (way->optimised >> part & 1)
		scene_optimise(&made->vm, source, way);
	if (made_load(made, source) < 0 || made_instantiate(made) != 0 ||
	    vm_define_instance(&made->vm, name, made->instance, &made_err) <
		    0) {
		printf("# part %u: %s\n", part, made_err.text);
		return false;
	}
	instances[part] = made->instance;
	CHECK((made->instance->native != NULL) == (way->compiled >> part & 1));
	return true;
}

static void play(const struct scene *scene, const struct way *way,
		 struct buf *text)
{
	struct cache_options cache = { .place = scene_cache(way) };
	struct vm_options options = {
		.code = { .without = way->without,
			  .without_features = way->without_features },
		.cache = cache.place ? &cache : NULL,
		.timeout_ns = 20000000000,
		.store = { .stack_bytes = 1 << 20 },
	};
	struct made made = { 0 };
	unsigned count = 0;
	bool fine;

	memset(instances, 0, sizeof(instances));
	CHECK_INT(vm_init(&made.vm, &options, &made_err), 0);
	define_hosts(&made.vm);
	scene_define(&made.vm);
	do
		fine = add_part(&made, count, scene->parts[count], way);
	while (fine && scene->parts[++count]);
	CHECK(fine);
	if (scene->stressed)
		wasm_heap_stress(made.vm.store);
	for (unsigned i = 0; fine && i < count; i++)
		tell_part(&made.vm, i, scene, way, text);
	made_close(&made);
	scene_close();
}

static void compare(const struct scene *scene, const struct way *way,
		    const struct buf *expected)
{
	auto_buf struct buf text = { 0 };
	const char *a = buf_string((struct buf *)expected), *b;

	play(scene, way, &text);
	b = buf_string(&text);
	if (strcmp(a, b) == 0)
		return;
	test_fail(__FILE__, __LINE__, "a scene differs");
	printf("# compiled %x without %x %x optimised %x seed %lu\n",
	       way->compiled, way->without, way->without_features,
	       way->optimised, (unsigned long)way->seed);
	while (*a || *b) {
		size_t m = strcspn(a, "\n"), n = strcspn(b, "\n");

		if (m != n || memcmp(a, b, m) != 0)
			printf("#   %.*s\n#   %.*s (compiled)\n", (int)m, a,
			       (int)n, b);
		a += m + (a[m] == '\n');
		b += n + (b[n] == '\n');
	}
}

/* "wanted": words that what the interpreter gives must have, in order. */
static void check_scene(const struct scene *scene, const char *const *wanted)
{
	static const struct way ways[] = {
#ifdef SCENES_OPTIMISED
		{ .compiled = 7, .optimised = 7, .traceless = true },
		{ .compiled = 7, .optimised = 7, .seed = 1, .traceless = true },
		{ .compiled = 7, .optimised = 7, .seed = 2, .traceless = true },
		{ .compiled = 7, .optimised = 7, .seed = 3, .traceless = true },
		{ .compiled = 7, .optimised = 7, .seed = 4, .traceless = true },
		{ .compiled = 7, .optimised = 1, .traceless = true },
		{ .compiled = 7, .optimised = 2, .traceless = true },
		{ .compiled = 1, .optimised = 1, .traceless = true },
		{ .compiled = 2, .optimised = 2, .traceless = true },
		{ .compiled = 6, .optimised = 4, .traceless = true },
		{ .compiled = 5, .optimised = 5, .seed = 5, .traceless = true },
#else
		{ .compiled = 7 },
		{ .compiled = 7, .without = JIT_WITHOUT_HOMES },
		{ .compiled = 7, .without = JIT_WITHOUT_HAND },
		{ .compiled = 7,
		  .without = JIT_WITHOUT_POOL,
		  .without_features = UINT32_MAX },
		{ .compiled = 7, .without = 127 },
		{ .compiled = 1 },
		{ .compiled = 2 },
		{ .compiled = 3 },
		{ .compiled = 4 },
		{ .compiled = 5 },
		{ .compiled = 6 },
#endif
	};
	const size_t count = scene->is_large ? 3 : sizeof(ways) / sizeof(*ways);
	const struct way interpreted = { .traceless = ways[0].traceless };
	auto_buf struct buf expected = { 0 };
	const char *at;

	play(scene, &(struct way){ 0 }, &expected);
	at = buf_string(&expected);
	for (; *wanted; wanted++) {
		const char *found = strstr(at, *wanted);

		if (!found) {
			test_fail(__FILE__, __LINE__, *wanted);
			printf("# is not in\n%s", at);
			break;
		}
		at = found + strlen(*wanted);
	}
	if (interpreted.traceless) {
		buf_clear(&expected);
		play(scene, &interpreted, &expected);
	}
	for (size_t i = 0; i < count; i++)
		compare(scene, &ways[i], &expected);
}
#define WANT(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Traps.  Each is reached through frames with values in all places. */

#define UNDER(name, callee)                                                \
	"(func (export \"" name "\") (result i64) (local i64 f64)"         \
	" (local.set 0 (i64.const 5)) (local.set 1 (f64.const 2))"         \
	" (i64.add (local.get 0) (i64.add (i64.extend_i32_u (call " callee \
	" (i32.const 0))) (i64.trunc_f64_s (local.get 1)))))"
#define DEEP "(param i32) (result i32)"

static const char trapping[] =
	"(module (import \"h\" \"trap\" (func $trap))"
	"(type $none (func)) (type $other (func (param f32)))"
	"(type $array (array (mut i32))) (type $s (struct (field i32)))"
	"(import \"h\" \"throw\" (func $throw (param i32)))"
	"(import \"h\" \"apply\" (func $apply (param funcref)))"
	"(memory 1) (table $t 4 funcref) (tag $tag (param i32))"
	"(elem (table $t) (i32.const 1) func $f_unreachable)"
	"(func $deep0 (export \"unreachable\")" DEEP " unreachable)"
	"(func $f_unreachable " DEEP " (i32.add (i32.const 1)"
	"  (call $deep0 (local.get 0))))"
	"(func $f_div " DEEP " (i32.div_s (i32.const 7) (local.get 0)))"
	"(func $f_over " DEEP " (i32.div_s (i32.const 0x80000000)"
	"  (i32.sub (local.get 0) (i32.const 1))))"
	"(func $f_rem " DEEP " (i32.wrap_i64 (i64.rem_u (i64.const 7)"
	"  (i64.extend_i32_u (local.get 0)))))"
	"(func $f_load " DEEP " (i32.load (i32.sub (local.get 0)"
	"  (i32.const 4))))"
	"(func $f_load_far " DEEP " (i32.load16_s offset=0xfffffffe"
	"  (local.get 0)))"
	"(func $f_load_folded " DEEP " (i32.add (local.get 0)"
	"  (i32.load offset=65533 (local.get 0))))"
	"(func $f_load_wide " DEEP " (i32.wrap_i64 (i64.add (i64.const 7)"
	"  (i64.extend_i32_u (i32.load offset=65533 (local.get 0))))))"
	"(func $f_load_compared " DEEP " (i32.lt_s (local.get 0)"
	"  (i32.load offset=65533 (local.get 0))))"
	"(func $f_load_float " DEEP " (i32.trunc_sat_f64_s (f64.mul"
	"  (f64.const 2) (f64.load offset=65532 (local.get 0)))))"
	"(func $f_load_vector " DEEP " (i32x4.extract_lane 1 (i32x4.add"
	"  (v128.const i32x4 1 2 3 4) (v128.load offset=65525"
	"  (local.get 0)))))"
	"(func $f_store " DEEP " (i64.store offset=65529 (local.get 0)"
	"  (i64.const 1)) (i32.const 1))"
	"(func $f_trunc " DEEP " (i32.trunc_f32_u (f32.const nan)))"
	"(func $f_trunc2 " DEEP " (i32.trunc_f64_s (f64.const 1e10)))"
	"(func $f_null " DEEP " (call_indirect $t (type $none) (i32.const 0))"
	"  (i32.const 0))"
	"(func $f_undefined " DEEP " (call_indirect $t (type $none)"
	"  (i32.const 4)) (i32.const 0))"
	"(func $f_type " DEEP " (call_indirect $t (type $other)"
	"  (f32.const 0) (i32.const 1)) (i32.const 0))"
	"(func $f_ref " DEEP " (call_ref $none (ref.null $none)) (i32.const 0))"
	"(func $f_table " DEEP " (ref.is_null (table.get $t (i32.const 9))))"
	"(func $f_fill " DEEP " (memory.fill (i32.const 65530) (i32.const 1)"
	"  (i32.const 7)) (i32.const 0))"
	"(func $f_array " DEEP " (array.get $array (array.new_default $array"
	"  (i32.const 3)) (i32.const 3)))"
	"(func $f_struct " DEEP " (struct.get $s 0 (ref.null $s)))"
	"(func $f_cast " DEEP " (struct.get $s 0 (ref.cast (ref $s)"
	"  (ref.i31 (local.get 0)))))"
	"(func $f_throw " DEEP " (throw $tag (i32.const 1)))"
	"(func $f_atomic " DEEP " (i32.atomic.load (i32.const 2)))"
	"(func $f_simd " DEEP " (i32x4.extract_lane 0 (v128.load64_splat"
	"  (i32.const 65529))))"
	"(func $f_host " DEEP " (call $trap) (i32.const 0))"
	"(func $f_host_throws " DEEP " (call $throw (i32.const 3))"
	"  (i32.const 0))"
	"(func $none (drop (call $f_load (i32.const 0)))) (elem declare func"
	"  $none)"
	"(func $f_nested " DEEP " (call $apply (ref.func $none))"
	"  (i32.const 0))"
	"(func $f_loop " DEEP " (block (loop (br_if 1 (i32.eq (local.get 0)"
	"  (i32.const 9))) (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
	"  (drop (i32.div_u (i32.const 1) (i32.sub (local.get 0)"
	"  (i32.const 7)))) (br 0))) (i32.const 0))"
/* clang-format off */
#define EACH(X)                                                          \
	X("unreachable") X("div") X("over") X("rem") X("load")           \
	X("load_far") X("load_folded") X("load_wide") X("load_compared") X("load_float") X("load_vector") X("store") X("trunc") X("trunc2") \
	X("null") X("undefined") X("type") X("ref") X("table") X("fill") \
	X("array") X("struct") X("cast") X("throw") X("atomic")          \
	X("simd") X("host") X("host_throws") X("nested") X("loop")
#define EXPORT(n) UNDER("in_" n, "$f_" n) "(export \"" n "2\" (func $f_" n "))"
	EACH(EXPORT) ")";

#define IMPORT(n) "(import \"0\" \"" n "2\" (func $f_" n " " DEEP "))"
#define CALLER(n) UNDER("from_" n, "$f_" n)
#define TRAPPING_FROM "(module " EACH(IMPORT) EACH(CALLER) ")"
/* clang-format on */

TEST(traps_are_traced_alike)
{
	const struct scene scene = { .parts = { trapping, TRAPPING_FROM,
						TRAPPING_FROM },
				     .is_deep = false };

	check_scene(&scene,
		    WANT("0.in_unreachable trap: unreachable: 3 frames",
			 "0.in_nested trap: out of bounds memory access: ",
			 "1.from_host trap: ",
			 "2.from_loop trap: integer "
			 "divide by zero: 2 frames"));
}

/* A stack's end: in a frame's begin, with arguments of all kinds, in other
 * instances, in a nested run. */
static const char endless[] =
	"(module (import \"h\" \"apply\" (func $apply (param funcref)))"
	"(table 1 funcref)"
	"(func $down (export \"down\") (call $down))"
	"(func $wide (param i64 f64 i64 i64 i64 i64 i64 i64 i64 v128)"
	"  (result i64 i64) (call $wide (local.get 0) (local.get 1)"
	"   (local.get 2) (local.get 3) (local.get 4) (local.get 5)"
	"   (local.get 6) (local.get 7) (local.get 8) (local.get 9))"
	"   i64.add (i64.const 3))"
	"(func (export \"wide\") (result i64 i64) (call $wide (i64.const 0)"
	"  (f64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)"
	"  (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)"
	"  (v128.const i64x2 1 2)))"
	"(func $under (drop (call $under_more (i32.const 1))))"
	"(func $under_more (param i32) (result i32)"
	"  (i32.add (i32.const 1) (call $under_more (i32.add (local.get 0)"
	"  (i32.const 1)))))"
	"(func (export \"nested\") (call $apply (ref.func $under)))"
	"(func $indirect (export \"indirect\") (table.set (i32.const 0)"
	"  (ref.func $indirect)) (call_indirect (i32.const 0)))"
	"(elem declare func $under $indirect)"
	"(func (export \"well\") (result i32) (i32.const 1)))";

TEST(a_stack_has_an_end)
{
	const struct scene scene = { .parts = { endless }, .is_deep = true };
	struct way way = { .compiled = 7 };
	auto_buf struct buf text = { 0 };
	const char *at;
	unsigned ends = 0;

	play(&scene, &way, &text);
	at = buf_string(&text);
	while ((at = strstr(at, "call stack exhausted"))) {
		at++;
		ends++;
	}
	CHECK_INT(ends, 4);
	CHECK(strstr(buf_string(&text), "0.well 1.0\n"));
}

/* Exceptions */

static const char thrower[] =
	"(module (import \"h\" \"trap\" (func $trap))"
	"(import \"h\" \"throw\" (func $throw (param i32)))"
	"(import \"h\" \"apply\" (func $apply (param funcref)))"
	"(tag $e (export \"e\") (param i32))"
	"(tag $many (export \"many\") (param i32 i64 f32 f64 v128))"
	"(tag $none (export \"none\"))"
	"(func (export \"throw\") (param i32) (throw $e (local.get 0)))"
	"(func (export \"throw_none\") (param i32) (throw $none))"
	"(func (export \"throw_many\") (param i32) (throw $many (local.get 0)"
	"  (i64.const -2) (f32.const 3) (f64.const 4)"
	"  (v128.const i64x2 5 -6)))"
	"(func (export \"throw_host\") (param i32) (call $throw"
	"  (local.get 0)))"
	"(func (export \"throw_tail\") (param i32) (return_call $throw"
	"  (local.get 0)))"
	"(global $n (mut i32) (i32.const 0))"
	"(func $apply_host (call $throw (global.get $n)))"
	"(elem declare func $apply_host)"
	"(func (export \"throw_nested\") (param i32)"
	"  (global.set $n (local.get 0)) (call $apply (ref.func $apply_host)))"
	"(func (export \"throw_nested_tail\") (param i32)"
	"  (global.set $n (local.get 0))"
	"  (return_call $apply (ref.func $apply_host)))"
	"(func (export \"trap_tail\") (param i32) (return_call $trap)))";

/* clang-format off */
#define THROWS(X)                                                    \
	X("throw") X("throw_none") X("throw_many") X("throw_host")   \
	X("throw_tail") X("throw_nested") X("throw_nested_tail")     \
	X("trap_tail")
#define IMPORT_THROW(n) "(import \"0\" \"" n "\" (func $" n " (param i32)))"
#define CATCH(n)                                                             \
	"(func (export \"" n "_one\") (result i32 i64) (local i64)"          \
	"  (local.set 0 (i64.const 77))"                                     \
	"  (block $h (result i32) (try_table (result i32) (catch $e $h)"     \
	"    (local.set 0 (i64.const 78)) (call $" n " (i32.const 6))"       \
	"    (i32.const 1))) (local.get 0))"                                 \
	"(func (export \"" n "_all\") (result i32) (block $h"                \
	"  (try_table (catch_all $h) (call $mid_" n " (i32.const 6)))"       \
	"  (return (i32.const 1))) (i32.const 2))"                           \
	"(func $mid_" n " (param i32) (local f64) (local.set 1"              \
	"  (f64.const 3)) (call $" n " (i32.add (local.get 0)"               \
	"  (i32.const 1))) (drop (f64.add (local.get 1) (f64.const 1))))"    \
	"(func (export \"" n "_many\") (result i32 i64 f32 f64 v128)"        \
	"  (block $h (result i32 i64 f32 f64 v128)"                          \
	"    (try_table (catch $many $h)"                                    \
	"    (call $mid_" n " (i32.const 9))) (return (i32.const 0)"         \
	"    (i64.const 0) (f32.const 0) (f64.const 0)"                      \
	"    (v128.const i64x2 0 0))))"                                      \
	"(func (export \"" n "_ref\") (result i32 i32) (local $x exnref)"    \
	"  (block $again (result i32)"                                       \
	"    (block $h (result i32 exnref)"                                  \
	"      (try_table (catch_ref $e $h)"                                 \
	"        (call $mid_" n " (i32.const 12)))"                          \
	"      (return (i32.const 3) (i32.const 4)))"                        \
	"    (local.set $x) (drop) (call $collect)"                          \
	"    (try_table (catch $e $again) (throw_ref (local.get $x)))"       \
	"    unreachable) (i32.const 8))"                                    \
	"(func (export \"" n "_outer\") (result i32) (block $h (result i32)" \
	"  (try_table (catch $e $h) (block $no (try_table (catch $none $no)" \
	"    (call $mid_" n " (i32.const 20)))))"                            \
	"  (i32.const 0)))"
#define CATCHER                                                          \
	"(module (import \"0\" \"e\" (tag $e (param i32)))"              \
	"(import \"0\" \"none\" (tag $none))"                            \
	"(import \"0\" \"many\" (tag $many (param i32 i64 f32 f64"       \
	"  v128)))" THROWS(IMPORT_THROW)                                 \
	"(import \"h\" \"collect\" (func $collect))" THROWS(CATCH) ")"
/* clang-format on */

TEST(exceptions_go_through_all)
{
	struct scene scene = { .parts = { thrower, CATCHER, CATCHER },
			       .has_tails = true };

	check_scene(&scene, WANT("1.throw_one 6.0 4e.0", "1.throw_all 2.0",
				 "1.throw_ref d.0 8.0", "1.throw_none_all 2.0",
				 "1.throw_many_many a.0 fffffffffffffffe.0",
				 "1.throw_host_one 6.0 4e.0",
				 "1.throw_tail_one 6.0 4e.0",
				 "1.throw_nested_tail_ref d.0 8.0",
				 "1.trap_tail_all trap: "));
	scene.stressed = true;
	check_scene(&scene, WANT("1.throw_ref d.0 8.0"));
}

TEST(a_tail_call_of_a_host_leaves_its_caller)
{
	const struct scene scene = {
		.parts = { "(module (import \"h\" \"who\" (func $who (result i32)))"
			   "(import \"h\" \"apply\" (func $apply (param funcref)))"
			   "(tag $t) (func (export \"who\") (result i32)"
			   "  (return_call $who))"
			   "(func (export \"tail\") (param funcref)"
			   "  (return_call $apply (local.get 0))))",
			   "(module (import \"0\" \"who\" (func $who (result i32)))"
			   "(import \"0\" \"tail\" (func $tail (param funcref)))"
			   "(memory 1) (tag $t) (tag $u)"
			   "(func $f (throw $u)) (func $g (drop (i32.load"
			   "  (i32.const 65536)))) (elem declare func $f $g)"
			   "(func $in (param funcref) (call $tail (local.get 0)))"
			   "(func (export \"own\") (result i32) (call $who)"
			   "  (i32.store (i32.const 8) (i32.const 3))"
			   "  (i32.add (i32.load (i32.const 8))))"
			   "(func (export \"caught\") (result i32) (block $h"
			   "  (block $no (try_table (catch $t $no) (catch $u $h)"
			   "    (call $tail (ref.func $f))))"
			   "  (return (i32.const 1))) (i32.const 2))"
			   "(func (export \"deeper\") (result i32) (block $h"
			   "  (block $no (try_table (catch $t $no) (catch $u $h)"
			   "    (call $in (ref.func $f))))"
			   "  (return (i32.const 1))) (i32.const 2))"
			   "(func (export \"trap\") (call $in (ref.func $g))))" },
		.has_tails = true,
	};

	check_scene(&scene, WANT("1.own 3.0", "1.caught 2.0", "1.deeper 2.0",
				 "1.trap trap: out of bounds memory access: "));
}

/* Two instances of one module: each catches what is its own. */
TEST(tags_of_instances_differ)
{
	static const char module[] =
		"(module (type $f (func))"
		"(import \"h\" \"apply\" (func $apply (param funcref)))"
		"(tag $t)"
		"(table (export \"table\") 2 funcref)"
		"(func (export \"throw\") (throw $t))"
		"(func (export \"tail\") (param funcref)"
		"  (return_call $apply (local.get 0)))"
		"(func (export \"try\") (param funcref) (result i32)"
		"  (block $h (try_table (catch $t $h)"
		"    (call_ref $f (ref.cast (ref $f) (local.get 0))))"
		"    (return (i32.const 1))) (i32.const 2)))";
	static const char user[] =
		"(module"
		"(import \"0\" \"throw\" (func $throw0))"
		"(import \"1\" \"throw\" (func $throw1))"
		"(import \"0\" \"tail\" (func $tail0 (param funcref)))"
		"(import \"1\" \"tail\" (func $tail1 (param funcref)))"
		"(import \"0\" \"try\" (func $try0 (param funcref)"
		"  (result i32)))"
		"(import \"1\" \"try\" (func $try1 (param funcref)"
		"  (result i32)))"
		"(func $t00 (return_call $tail0 (ref.func $throw0)))"
		"(func $t01 (return_call $tail0 (ref.func $throw1)))"
		"(func $t10 (return_call $tail1 (ref.func $throw0)))"
		"(func $t11 (return_call $tail1 (ref.func $throw1)))"
		"(elem declare func $throw0 $throw1 $t00 $t01 $t10 $t11)"
		"(func (export \"000\") (result i32) (call $try0"
		"  (ref.func $t00)))"
		"(func (export \"001\") (result i32) (call $try0"
		"  (ref.func $t01)))"
		"(func (export \"010\") (result i32) (call $try0"
		"  (ref.func $t10)))"
		"(func (export \"011\") (result i32) (call $try0"
		"  (ref.func $t11)))"
		"(func (export \"100\") (result i32) (call $try1"
		"  (ref.func $t00)))"
		"(func (export \"101\") (result i32) (call $try1"
		"  (ref.func $t01)))"
		"(func (export \"110\") (result i32) (call $try1"
		"  (ref.func $t10)))"
		"(func (export \"111\") (result i32) (call $try1"
		"  (ref.func $t11))))";
	const struct scene scene = { .parts = { module, module, user },
				     .has_tails = true };

	check_scene(&scene, WANT("2.000 2.0", "2.001 trap: ", "2.010 2.0",
				 "2.011 trap: ", "2.100 trap: ", "2.101 2.0",
				 "2.110 trap: ", "2.111 2.0"));
}

/* Values of each kind and number, into code, out of it, and through. */

static const char *const kinds[] = { "i32", "i64",  "f32",
				     "f64", "v128", "funcref" };
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

static const char *kind_at(unsigned i, unsigned seed)
{
	return kinds[(i * 7 + i * i * seed + seed) % KINDS];
}

static void kinds_put(struct buf *text, const char *word, unsigned count,
		      unsigned seed)
{
	if (count)
		buf_format(text, " (%s", word);
	for (unsigned i = 0; i < count; i++)
		buf_format(text, " %s", kind_at(i, seed));
	if (count)
		buf_text(text, ")");
}

static void constant_put(struct buf *text, unsigned i, unsigned seed)
{
	const char *kind = kind_at(i, seed);

	if (kind == kinds[4])
		buf_format(text, " (v128.const i64x2 %u %d)", i + 3,
			   -(int)i - 9);
	else if (kind == kinds[5])
		buf_format(text,
			   i & 1 ? " (ref.func $self)" : " (ref.null func)");
	else
		buf_format(text, " (%s.const %d)", kind, 17 - 5 * (int)i);
}

/* Part 0 takes so many and gives so many, the last of what it got first; part
 * 1 calls it in each way; and "mixed" hosts take and give what they can. */
static void callee_put(struct buf *text, unsigned params, unsigned results,
		       unsigned seed)
{
	buf_text(text, "(module (memory 1) (elem declare func $self)"
		       "(func $self (export \"take\")");
	kinds_put(text, "param", params, seed);
	kinds_put(text, "result", results, seed + 1);
	for (unsigned i = 0; i < results; i++) {
		unsigned from = params;

		while (from > 0 &&
		       kind_at(from - 1, seed) != kind_at(i, seed + 1))
			from--;
		if (from && kind_at(i, seed + 1) != kinds[5])
			buf_format(text, " (local.get %u)", from - 1);
		else if (kind_at(i, seed + 1) == kinds[5])
			buf_text(text, " (ref.null func)");
		else
			constant_put(text, i, seed + 1);
	}
	buf_text(text, "))");
}

static void arguments_put(struct buf *text, unsigned params, unsigned seed)
{
	for (unsigned i = 0; i < params; i++)
		constant_put(text, i, seed);
}

static void caller_put(struct buf *text, unsigned params, unsigned results,
		       unsigned seed)
{
	buf_text(text, "(module (type $t (func");
	kinds_put(text, "param", params, seed);
	kinds_put(text, "result", results, seed + 1);
	buf_text(text, ")) (import \"0\" \"take\" (func $take (type $t)))"
		       "(table funcref (elem $take $own))"
		       "(func $self) (elem declare func $self $take)"
		       "(func $own (type $t)");
	for (unsigned i = 0; i < params; i++)
		buf_format(text, " (local.get %u)", i);
	buf_text(text, " (call $take))");
	for (unsigned way = 0; way < 6; way++) {
		buf_format(text, "(func (export \"w%u\")", way);
		kinds_put(text, "result", results, seed + 1);
		arguments_put(text, params, seed);
		switch (way) {
		case 0: buf_text(text, " (call $take))"); break;
		case 1: buf_text(text, " (return_call $take))"); break;
		case 2: buf_text(text, " (call $own))"); break;
		case 3: buf_text(text, " (return_call $own))"); break;
		case 4:
			buf_text(text, " (call_indirect (type $t)"
				       " (i32.const 0)))");
			break;
		case 5:
			buf_text(text, " (return_call_ref $t"
				       " (ref.func $take)))");
			break;
		}
	}
	buf_text(text, ")");
}

TEST(values_of_all_kinds_and_numbers)
{
	static const unsigned counts[] = { 0, 1, 2, 5, 9, 20 };
	enum { COUNTS = sizeof(counts) / sizeof(*counts) };

	for (unsigned i = 0; i < COUNTS * COUNTS; i++) {
		unsigned params = counts[i / COUNTS],
			 results = counts[i % COUNTS];
		auto_buf struct buf callee = { 0 }, caller = { 0 };
		struct scene scene = { .has_tails = true };

		callee_put(&callee, params, results, i);
		caller_put(&caller, params, results, i);
		scene.parts[0] = buf_string(&callee);
		scene.parts[1] = buf_string(&caller);
		scene.parts[2] = scene.parts[1];
		scene.has_references = true;
		check_scene(&scene, WANT("1.w0", "1.w5", "2.w5"));
	}
}

/* Tail calls between functions of few arguments and of many, of one instance
 * and of two, a million of them. */
TEST(a_million_tail_calls)
{
	static const char base[] =
		"(module (type $many (func (param i32 i64 i64 i64 i64 i64 i64"
		"  i64 v128 f64) (result i32 i64 v128)))"
		"(type $few (func (param i32) (result i32 i64 v128)))"
		"(table (export \"table\") 2 funcref)"
		"(func $few (export \"few\") (type $few)"
		"  (if (i32.eqz (local.get 0)) (then (return (i32.const 1)"
		"    (i64.const 2) (v128.const i64x2 3 4))))"
		"  (return_call_indirect (type $many) (i32.sub (local.get 0)"
		"    (i32.const 1)) (i64.const 1) (i64.const 2) (i64.const 3)"
		"    (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)"
		"    (v128.const i64x2 8 9) (f64.const 10) (i32.const 1)))"
		"(elem (i32.const 0) func $few))";
	static const char other[] =
		"(module (import \"0\" \"table\" (table 2 funcref))"
		"(type $many (func (param i32 i64 i64 i64 i64 i64 i64"
		"  i64 v128 f64) (result i32 i64 v128)))"
		"(type $few (func (param i32) (result i32 i64 v128)))"
		"(func $many (type $many)"
		"  (if (i64.ne (i64.const 7) (local.get 7)) (then"
		"    (unreachable)))"
		"  (if (i32.and (local.get 0) (i32.const 1)) (then"
		"    (return_call $many (i32.sub (local.get 0) (i32.const 1))"
		"      (local.get 1) (local.get 2) (local.get 3) (local.get 4)"
		"      (local.get 5) (local.get 6) (local.get 7) (local.get 8)"
		"      (local.get 9))))"
		"  (return_call_indirect (type $few) (local.get 0)"
		"    (i32.const 0)))"
		"(elem (i32.const 1) func $many)"
		"(func (export \"run\") (result i32 i64 v128)"
		"  (call_indirect (type $few) (i32.const 1000000)"
		"    (i32.const 0)))"
		"(func (export \"tail\") (result i32 i64 v128)"
		"  (return_call_indirect (type $few) (i32.const 1000000)"
		"    (i32.const 0))))";
	static const struct way ways[] = { { .compiled = 3 },
					   { .compiled = 3,
					     .without = JIT_WITHOUT_POOL,
					     .without_features = 1 },
					   { .compiled = 3, .without = 127 } };
	const struct scene scene = { .parts = { base, other },
				     .is_stateless = true };
	auto_buf struct buf expected = { 0 };

	play(&scene, &(struct way){ 0 }, &expected);
	CHECK_TEXT(buf_string(&expected), "1.run 1.0 2.0 3.4\n"
					  "1.tail 1.0 2.0 3.4\n");
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		compare(&scene, &ways[i], &expected);
}

/* Host and code call each other until it is too deep: with compiled and with
 * interpreted parts the same number of times. */
static const char again[] =
	"(module (import \"h\" \"apply\" (func $apply (param funcref)))"
	"(import \"h\" \"attempt\" (func $attempt (param funcref)"
	"  (result i32)))"
	"(global $n (mut i32) (i32.const 0))"
	"(func $again (global.set $n (i32.add (global.get $n)"
	"  (i32.const 1))) (call $apply (ref.func $again)))"
	"(elem declare func $again $deep)"
	"(func (export \"depth\") (result i32 i32)"
	"  (call $attempt (ref.func $again)) (global.get $n))"
	"(func $down (param i64 i64) (result i64) (i64.add (local.get 1)"
	"  (call $down (local.get 1) (local.get 0))))"
	"(func $deep (drop (call $down (i64.const 1) (i64.const 2))))"
	"(func (export \"deep\") (result i32 i32)"
	"  (call $attempt (ref.func $deep)) (call $attempt (ref.func $deep)))"
	"(func (export \"well\") (result i64 i64 i64) (i64.const 1)"
	"  (i64.const 2) (i64.const 3)))";
static const char again_from[] =
	"(module (import \"h\" \"apply\" (func $apply (param funcref)))"
	"(import \"0\" \"depth\" (func $depth (result i32 i32)))"
	"(import \"0\" \"deep\" (func $deep (result i32 i32)))"
	"(import \"0\" \"well\" (func $well (result i64 i64 i64)))"
	"(func $run (call $depth) (drop) (drop) (call $deep) (drop) (drop))"
	"(elem declare func $run)"
	"(func (export \"run\") (result i64 i64 i64) (call $apply"
	"  (ref.func $run)) (call $apply (ref.func $run)) (call $well)))";

TEST(hosts_and_code_in_each_other)
{
	const struct scene scene = { .is_stateless = true,
				     .parts = { again, again_from, again_from },
				     .is_deep = true };

	check_scene(&scene, WANT("0.depth a.0 ", "0.deep a.0 a.0",
				 "1.run 1.0 2.0 3.0"));
}

/* Objects that only compiled frames and registers know. */
TEST(collections_see_compiled_frames)
{
	static const char part[] =
		"(module (type $s (struct (field (mut i64)) (field (mut"
		"  (ref null $s)))))"
		"(type $v (func (param (ref $s) (ref $s)) (result i64)))"
		"(import \"h\" \"collect\" (func $collect))"
		"(func $new (param i64) (result (ref $s)) (struct.new $s"
		"  (local.get 0) (ref.null $s)))"
		"(func $sum (param (ref $s) (ref $s)) (result i64)"
		"  (call $collect) (drop (call $new (i64.const 1000)))"
		"  (i64.add (struct.get $s 0 (local.get 0))"
		"    (struct.get $s 0 (local.get 1))))"
		"(func $many (param (ref $s) (ref $s) (ref $s) (ref $s)"
		"  (ref $s) (ref $s) (ref $s) (ref $s) (ref $s)) (result i64)"
		"  (call $collect) (i64.sub (call $sum (local.get 8)"
		"  (local.get 0)) (call $sum (local.get 4) (local.get 6))))"
		"(func (export \"kept\") (result i64) (local $a (ref null $s))"
		"  (local $n i32) (local $r i64)"
		"  (loop $l (local.set $a (call $new (i64.extend_i32_u"
		"    (local.get $n)))) (struct.set $s 1 (ref.as_non_null"
		"    (local.get $a)) (call $new (i64.const 7)))"
		"    (call $collect)"
		"    (local.set $r (i64.add (local.get $r) (call $sum"
		"      (ref.as_non_null (local.get $a)) (ref.as_non_null"
		"      (struct.get $s 1 (local.get $a))))))"
		"    (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n)"
		"      (i32.const 1))) (i32.const 20)))) (local.get $r))"
		"(func (export \"stacked\") (result i64) (call $many"
		"  (call $new (i64.const 1)) (call $new (i64.const 2))"
		"  (call $new (i64.const 3)) (call $new (i64.const 4))"
		"  (call $new (i64.const 50)) (call $new (i64.const 6))"
		"  (call $new (i64.const 70)) (call $new (i64.const 8))"
		"  (call $new (i64.const 900)))))";
	const struct scene scene = { .parts = { part, part, part },
				     .stressed = true };

	check_scene(&scene, WANT("0.kept 14a.0", "0.stacked 30d.0"));
}

/* A result that goes to a local whose old value is on the stack still. */
TEST(old_values_are_kept_out_of_the_way)
{
	static const char part[] =
		"(module (type $a (array (mut i16)))"
		"(type $s (struct (field (mut i32)) (field f64)))"
		"(func $get (param $x i32) (param $a (ref $a)) (param $s"
		"  (ref $s)) (result i32 i32 i32 i32) (local $y i32)"
		"  (local.get $x) (local.set $x (array.get_u $a (ref.as_non_null"
		"    (local.get $a)) (i32.add (local.get $x) (i32.const 1))))"
		"  (local.get $x) (local.set $x (struct.get $s 0"
		"    (ref.as_non_null (local.get $s))))"
		"  (local.get $x) (local.set $x (array.len (ref.as_non_null"
		"    (local.get $a)))) (local.get $x))"
		"(func (export \"objects\") (result i32 i32 i32 i32)"
		"  (call $get (i32.const 0) (array.new_fixed $a 2 (i32.const 7)"
		"  (i32.const 8)) (struct.new $s (i32.const 9) (f64.const 1))))"
		"(func $lane (param $v v128) (param $n i64) (result v128 v128)"
		"  (local $w v128) (local.set $w (i64x2.replace_lane 0"
		"    (local.get $v) (i64.add (local.get $n) (i64.const 1))))"
		"  (local.set $v (i32x4.add (local.get $v) (local.get $w)))"
		"  (i64x2.replace_lane 1 (local.get $w) (i64.add (local.get $n)"
		"    (i64.const 5))) (local.get $v))"
		"(func (export \"lanes\") (result v128 v128) (call $lane"
		"  (v128.const i64x2 3 4) (i64.const 10))))";
	const struct scene scene = { .parts = { part, part, part } };

	check_scene(&scene,
		    WANT("0.objects 0.0 8.0 9.0 2.0", "0.lanes b.f e.8"));
}

/* Fuel */

static const char burning[] =
	"(module (import \"h\" \"apply\" (func $apply (param funcref)))"
	"(global $n (mut i32) (i32.const 0))"
	"(func $f (param i32) (result i32) (local.get 0))"
	"(func $loop (export \"loop\") (param i32) (result i32)"
	"  (loop $l (if (i32.eqz (local.get 0)) (then (return"
	"    (i32.const 1)))) (local.set 0 (i32.sub (call $f"
	"    (local.get 0)) (i32.const 1))) (br $l)) (i32.const 0))"
	"(func $again (drop (call $loop (global.get $n))))"
	"(elem declare func $again)"
	"(func (export \"nested\") (param i32) (result i32)"
	"  (global.set $n (local.get 0)) (call $apply (ref.func $again))"
	"  (call $loop (local.get 0)))"
	"(func (export \"ever\") (result i32) (loop (br 0)) (i32.const 0)))";

/* How much a call uses; -1: it did not end well. */
static int64_t fuel_of(enum vm_via via, const char *name, uint32_t n)
{
	enum { FUEL = 1 << 30 };
	struct vm_options options = { .store.fuel = FUEL, .code.via = via };
	struct made made = { 0 };
	int64_t used = -1;

	CHECK_INT(vm_init(&made.vm, &options, &made_err), 0);
	define_hosts(&made.vm);
	CHECK(made_load(&made, burning) == 0 && made_instantiate(&made) == 0);
	used = made.vm.store->fuel_left;
	if (made_call(&made, name, n, 0, NULL) == WASM_OK)
		used -= made.vm.store->fuel_left;
	made_close(&made);
	return used;
}

TEST(fuel_is_neither_lost_nor_made)
{
	static const char *const names[] = { "loop", "nested" };

	for (int i = 0; i < 2; i++) {
		int64_t few = fuel_of(VM_COMPILED, names[i], 1000);
		int64_t many = fuel_of(VM_COMPILED, names[i], 1001000);
		int64_t same = fuel_of(VM_INTERPRETED, names[i], 1000);
		int64_t more = fuel_of(VM_INTERPRETED, names[i], 1001000);

		CHECK(few >= 2000 && llabs(few - same) < 8);
		CHECK(many >= 2002000 && llabs(many - more) < 8);
	}
}

/* What a caller's instance has in hand is there for those that it calls,
 * compiled or not, through each other and through the host. */
TEST(fuel_is_shared_among_instances)
{
	static const char spends[] =
		"(module (func (export \"spend\") (param i32)"
		"  (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0)"
		"  (i32.const 1)))))))";
	static const char asks[] =
		"(module (import \"h\" \"apply\" (func $apply"
		"  (param funcref)))"
		"(import \"0\" \"spend\" (func $spend (param i32)))"
		"(func $f (call $spend (i32.const 300)))"
		"(elem declare func $f)"
		"(func (export \"ask\") (call $spend (i32.const 300))"
		"  (call $apply (ref.func $f)) (call $f)))";
	static const char all[] =
		"(module (import \"1\" \"ask\" (func $ask)) (func"
		"  (export \"all\") (param i32) (result i32) (call $ask)"
		"  (call $ask) (i32.const 0)))";
	static const char *const parts[] = { spends, asks, all };
	int64_t used[8];

	for (unsigned compiled = 0; compiled < 8; compiled++) {
		struct vm_options options = { .store.fuel = 4000 };
		struct way way = { .compiled = compiled };
		struct made made = { 0 };

		CHECK_INT(vm_init(&made.vm, &options, &made_err), 0);
		define_hosts(&made.vm);
		for (unsigned i = 0; i < PARTS; i++)
			CHECK(add_part(&made, i, parts[i], &way));
		CHECK_INT(made_call(&made, "all", 0, 0, NULL), WASM_OK);
		used[compiled] = 4000 - made.vm.store->fuel_left;
		CHECK(llabs(used[compiled] - used[0]) < 24);
		CHECK(used[compiled] > 1800 && used[compiled] < 2000);
		/* What is left is all that there is. */
		CHECK_INT(made_call(&made, "all", 0, 0, NULL), WASM_OK);
		CHECK_INT(made_call(&made, "all", 0, 0, NULL), WASM_TRAP_fuel);
		CHECK_INT(made.vm.store->fuel_left, 0);
		made_close(&made);
	}
}

TEST(fuel_ends_compiled_code_where_it_is_used_up)
{
	struct vm_options options = { .code.via = VM_COMPILED };
	struct made made;

	for (int64_t fuel = 1; fuel < 1000000; fuel += fuel / 3 + 1) {
		options.store.fuel = fuel;
		CHECK(made_open(&made, &options,
				"(module (func (export \"ever\") (result i32)"
				"  (loop (br 0)) (i32.const 0)))"));
		CHECK_INT(made_call(&made, "ever", 0, 0, NULL), WASM_TRAP_fuel);
		CHECK_INT(made.vm.store->fuel_left, 0);
		CHECK_INT(made.vm.store->trace_count, 1);
		CHECK_INT(made.vm.store->trace[0].function, 0);
		made_close(&made);
	}
}

#ifndef SCENES_OPTIMISED
TEST_MAIN
#endif

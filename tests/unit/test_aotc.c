/* SPDX-License-Identifier: Apache-2.0 */
/* Optimised code against the interpreter: the scenes of test_jit.c, and more
 * of calls in all shapes, of traps and what they leave, of floats, and of runs
 * that are stopped.  Each is played with all functions of its parts optimised,
 * and with halves of them. */
#ifndef HAVE_AOTC
#include "test.h"

TEST(optimised_code)
{
	SKIP("there is no brood-aotc: it needs llvm-19-dev and clang-19");
}
#else
#define SCENES_OPTIMISED
#include "test_jit.c"

#include "base/clock.h"
#include "optimise/optimise.h"
#include <pthread.h>
#include <unistd.h>

/* ---- optimised parts ----------------------------------------------------------- */

static uint64_t scene_hash; /* of what hosts were given */
static char scene_folder[64];
static struct optimise_sum scene_sum;

static const char *scene_cache(const struct way *way)
{
	scene_hash = 1;
	scene_folder[0] = 0;
	if (!way->optimised)
		return NULL;
	strcpy(scene_folder, "/dev/shm/brood-aotc.XXXXXX");
	CHECK(mkdtemp(scene_folder));
	return scene_folder;
}

static void scene_close(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r %s", scene_folder);
	if (scene_folder[0])
		CHECK_INT(system(command), 0);
}

static void scene_optimise(const struct vm *vm, const char *source,
			   const struct way *way)
{
	auto_buf struct buf bytes = { 0 };
	struct vm_code_options code = { .via = VM_COMPILED };
	struct optimise *optimise;
	int made;

	(void)vm;
	CHECK_INT(optimise_open(&optimise, scene_folder, way->seed, &code,
				&made_err),
		  0);
	CHECK_INT(wat_to_binary("scene", source, strlen(source), &bytes,
				&made_err),
		  0);
	scene_sum.why_left = 0;
	made = optimise_module(optimise, bytes.data, bytes.len, &scene_sum,
			       &made_err);
	CHECK(made >= 0);
	if (made < 0)
		printf("# %s\n", made_err.text);
	optimise_close(optimise);
}

/* What memories and globals have now: also behind a trap. */
static void scene_state(struct buf *text)
{
	uint64_t hash = scene_hash;

	for (unsigned i = 0; i < PARTS && instances[i]; i++) {
		const struct wasm_module *module = instances[i]->module;

		for (uint32_t j = 0; j < module->memory_count; j++) {
			const struct wasm_memory *memory =
				instances[i]->memories[j];

			for (uint64_t k = 0; k < memory->bytes; k += 8) {
				uint64_t word;

				memcpy(&word, memory->base + k, sizeof(word));
				if (word)
					hash = (hash ^ (word + k)) *
					       UINT64_C(0x9e3779b97f4a7c15);
				hash ^= hash >> 29;
			}
		}
		for (uint32_t j = 0; j < module->global_count; j++) {
			const struct wasm_global *global =
				wasm_instance_extern(instances[i],
						     WASM_EXTERN_GLOBAL, j)
					.global;

			if (!wasm_type_is_ref(global->type))
				hash = hash * 31 + global->value.words[0];
		}
	}
	buf_format(text, " state %lx", (unsigned long)hash);
}

/* ---- calls in all shapes ------------------------------------------------------- */

static const struct {
	const char *name, *signature;
} shapes[] = {
	{ "none", "" },
	{ "one", ">i" },
	{ "i6", "iiiiii>i" },
	{ "i7", "iiiiiii>i" },
	{ "i9", "iliiliili>l" },
	{ "mixed6", "ilfdil>l" },
	{ "mixed7", "fildlif>d" },
	{ "mixed16", "ilfdilfdilfdilfd>f" },
	{ "f9", "fffffffff>f" },
	{ "fd12", "fdfdfdfdfdff>d" },
	{ "v1", "v>v" },
	{ "v9", "vvvvvvvvv>v" },
	{ "v10i", "fvvvvvvvvfvdvi>i" },
	{ "all", "vifdlvfdivfdlvii>v" },
	{ "two", "i>il" },
	{ "two_i8", "iiiiiiii>li" },
	{ "five", "ilfdv>vdfli" },
	{ "five_many", "vvvvvvvvviiiiiii>ilfdv" },
	{ "twelve", "l>iiiiiilllldf" },
};
enum { SHAPES = sizeof(shapes) / sizeof(*shapes) };

static uint64_t mix_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
	return hash ^ hash >> 29;
}

static union wasm_value host_value(wasm_type type, uint64_t hash)
{
	union wasm_value value = { 0 };

	switch (type) {
	case WASM_I32: value.i64 = (uint32_t)hash; break;
	case WASM_F32: value.f32 = (float)(uint16_t)hash; break;
	case WASM_F64: value.f64 = (double)(uint32_t)hash; break;
	case WASM_V128: value.words[1] = ~hash; /* fallthrough */
	default: value.words[0] = hash;
	}
	return value;
}

/* Whatever it is given counts, and comes back. */
static enum wasm_trap host_shape(struct wasm_store *store,
				 struct wasm_function *self,
				 struct wasm_instance *caller,
				 union wasm_value *slots)
{
	const struct wasm_deftype *type =
		wasm_types_get(store->types, self->type);

	scene_hash = mix_word(scene_hash, part_of(caller));
	for (uint32_t i = 0; i < type->param_count; i++) {
		bool is_short = type->params[i] == WASM_I32 ||
				type->params[i] == WASM_F32;

		scene_hash = mix_word(scene_hash,
				      is_short ? slots[i].i32 : slots[i].i64);
		if (type->params[i] == WASM_V128)
			scene_hash = mix_word(scene_hash, slots[i].words[1]);
	}
	for (uint32_t i = 0; i < type->result_count; i++)
		slots[i] =
			host_value(type->results[i], mix_word(scene_hash, i));
	return WASM_OK;
}

static void scene_define(struct vm *vm)
{
	for (int i = 0; i < SHAPES; i++)
		CHECK_INT(vm_define_function(vm, "h", shapes[i].name,
					     shapes[i].signature, host_shape,
					     NULL, &made_err),
			  0);
}

static const char *letter_type(char letter)
{
	switch (letter) {
	case 'i': return "i32";
	case 'l': return "i64";
	case 'f': return "f32";
	case 'd': return "f64";
	}
	return "v128";
}

static void put_type(struct buf *text, const char *signature)
{
	for (; *signature && *signature != '>'; signature++)
		buf_format(text, " (param %s)", letter_type(*signature));
	for (signature += *signature == '>'; *signature; signature++)
		buf_format(text, " (result %s)", letter_type(*signature));
}

/* Nobody knows them while it compiles; no NaN is among them. */
static void put_value(struct buf *text, char letter, int at)
{
	switch (letter) {
	case 'i': buf_text(text, " (i32.load"); break;
	case 'l': buf_text(text, " (i64.load"); break;
	case 'f': buf_text(text, " (f32.convert_i32_s (i32.load"); break;
	case 'd': buf_text(text, " (f64.convert_i32_u (i32.load"); break;
	default: buf_text(text, " (v128.load");
	}
	buf_format(text, " offset=%d (global.get $zero))%s", at,
		   letter == 'f' || letter == 'd' ? ")" : "");
}

static void put_arguments(struct buf *text, const char *signature)
{
	for (int at = 0; *signature && *signature != '>'; at += 4)
		put_value(text, *signature++, at);
}

/* Keeps what it is given in memory, calls the host with it, and something
 * else with most registers in use. */
static void put_own(struct buf *text, const char *name, const char *signature)
{
	buf_format(text, " (func $own_%s (export \"%s\") (type $%s)", name,
		   name, name);
	for (int i = 0; signature[i] && signature[i] != '>'; i++)
		buf_format(text,
			   " (%s.store offset=%d (global.get $zero)"
			   " (local.get %d))",
			   letter_type(signature[i]), 2048 + 16 * i, i);
	buf_text(text, " (call $count)");
	for (int i = 0; signature[i] && signature[i] != '>'; i++)
		buf_format(text, " (local.get %d)", i);
	buf_format(text, " (call $h_%s))", name);
}

/* "how" with the arguments and "last" behind them, as a function. */
static void put_test(struct buf *text, const char *how, int shape,
		     const char *last)
{
	const char *signature = shapes[shape].signature;
	const char *results = strchr(signature, '>');

	buf_format(text, " (func (export \"%s_%s\")", how, shapes[shape].name);
	put_type(text, results ? results : ">");
	put_arguments(text, signature);
	buf_format(text, " %s", last);
	buf_text(text, ")");
}

static void put_tests(struct buf *text, int shape, bool has_other)
{
	const char *name = shapes[shape].name;
	int callees = has_other ? 3 : 2;
	static const char *const whose[] = { "own", "h", "o" };
	char last[200];

	for (int i = 0; i < callees; i++) {
		snprintf(last, sizeof(last), "(call $%s_%s)", whose[i], name);
		put_test(text, whose[i], shape, last);
		snprintf(last, sizeof(last),
			 "(i32.const %d) (call_indirect (type $%s))",
			 shape * callees + i, name);
		snprintf(last + 150, 50, "by_table_%s", whose[i]);
		put_test(text, last + 150, shape, last);
		snprintf(last, sizeof(last), "(ref.func $%s_%s) (call_ref $%s)",
			 whose[i], name, name);
		snprintf(last + 150, 50, "by_ref_%s", whose[i]);
		put_test(text, last + 150, shape, last);
	}
	/* A wrong type, and none. */
	snprintf(last, sizeof(last),
		 "(i32.const %d) (call_indirect (type $%s))",
		 (shape + 1) % SHAPES * callees, name);
	put_test(text, "wrong", shape, last);
	snprintf(last, sizeof(last),
		 "(i32.const %d) (call_indirect (type $%s))", SHAPES * callees,
		 name);
	put_test(text, "null", shape, last);
	snprintf(last, sizeof(last),
		 "(i32.load offset=40 (global.get $zero))"
		 " (call_indirect (type $%s))",
		 name);
	put_test(text, "outside", shape, last);
}

static void put_module(struct buf *text, bool has_other)
{
	int callees = has_other ? 3 : 2;

	buf_text(text, "(module (type $ff (func))");
	for (int i = 0; i < SHAPES; i++) {
		buf_format(text, " (type $%s (func", shapes[i].name);
		put_type(text, shapes[i].signature);
		buf_text(text, "))");
	}
	for (int i = 0; i < SHAPES; i++) {
		buf_format(text,
			   " (import \"h\" \"%s\" (func $h_%s (type $%s)))",
			   shapes[i].name, shapes[i].name, shapes[i].name);
		if (has_other)
			buf_format(text,
				   " (import \"0\" \"%s\""
				   " (func $o_%s (type $%s)))",
				   shapes[i].name, shapes[i].name,
				   shapes[i].name);
	}
	buf_format(text,
		   " (memory 1) (global $zero (mut i32) (i32.const 0))"
		   " (global $n (mut i64) (i64.const 1)) (table %d funcref)"
		   " (data (i32.const 0) \"",
		   SHAPES * callees + 1);
	for (int i = 0; i < 160; i++)
		buf_format(text, "\\%02x", (i * 73 + 41 + (i >> 3)) & 255);
	buf_text(text, "\") (func $count (global.set $n (i64.mul (i64.const 3)"
		       " (global.get $n)))) (elem (i32.const 0) func");
	for (int i = 0; i < SHAPES; i++)
		buf_format(text,
			   has_other ? " $own_%s $h_%s $o_%s"
				     : " $own_%s $h_%s",
			   shapes[i].name, shapes[i].name, shapes[i].name);
	buf_text(text, ")");
	for (int i = 0; i < SHAPES; i++) {
		put_own(text, shapes[i].name, shapes[i].signature);
		put_tests(text, i, has_other);
	}
	buf_text(text, ")");
}

TEST(calls_of_all_shapes)
{
	auto_buf struct buf base = { 0 }, other = { 0 };

	put_module(&base, false);
	put_module(&other, true);
	const struct scene scene = { .parts = { buf_string(&base),
						buf_string(&other) },
				     .is_large = true };

	check_scene(&scene,
		    WANT("0.own_none", "0.wrong_none trap: indirect call type",
			 "0.null_none trap: uninitialized element",
			 "0.outside_none trap: undefined element",
			 "1.o_twelve"));
}

/* ---- how deep ------------------------------------------------------------------ */

TEST(recursion_in_all_shapes)
{
	static const char text[] =
		"(module (type $many (func (param i32 i64 i64 i64 i64 i64 i64"
		"   f64 v128) (result i32)))"
		" (type $pair (func (param i32) (result i32 i64)))"
		" (type $plain (func (param i32) (result i32)))"
		" (table 4 funcref) (elem (i32.const 0) $many $pair $plain)"
		" (memory 1) (global $n (mut i32) (i32.const 1200))"
		" (func $many (type $many)"
		"  (if (result i32) (i32.eqz (local.get 0))"
		"   (then (i32.wrap_i64 (local.get 6)))"
		"   (else (i32.add (i32.const 1) (call_indirect (type $many)"
		"    (i32.sub (local.get 0) (i32.const 1)) (local.get 1)"
		"    (local.get 2) (local.get 3) (local.get 4) (local.get 5)"
		"    (i64.add (local.get 6) (i64.const 1)) (local.get 7)"
		"    (local.get 8) (i32.const 0))))))"
		" (func $pair (type $pair) (local i32 i64)"
		"  (if (i32.eqz (local.get 0))"
		"   (then (return (i32.const 5) (i64.const 6))))"
		"  (call $pair (i32.sub (local.get 0) (i32.const 1)))"
		"  (local.set 2) (local.set 1)"
		"  (i32.add (local.get 1) (i32.const 1))"
		"  (i64.add (local.get 2) (i64.const 3)))"
		" (func $pair2 (type $pair) (local i32 i64)"
		"  (if (i32.eqz (local.get 0))"
		"   (then (return (i32.const 5) (i64.const 6))))"
		"  (call_indirect (type $pair) (i32.sub (local.get 0)"
		"    (i32.const 1)) (i32.const 3))"
		"  (local.set 2) (local.set 1)"
		"  (i32.add (local.get 1) (i32.const 1))"
		"  (i64.add (local.get 2) (i64.const 3)))"
		" (elem (i32.const 3) $pair2)"
		" (func $plain (type $plain) (if (result i32)"
		"  (i32.eqz (local.get 0)) (then (i32.const 0)) (else"
		"   (i32.add (i32.const 1) (call_indirect (type $plain)"
		"    (i32.sub (local.get 0) (i32.const 1)) (i32.const 2))))))"
		" (func $even (param i32) (result i32) (if (result i32)"
		"  (i32.eqz (local.get 0)) (then (i32.const 1)) (else"
		"  (call $odd (i32.sub (local.get 0) (i32.const 1))))))"
		" (func $odd (param i32) (result i32) (if (result i32)"
		"  (i32.eqz (local.get 0)) (then (i32.const 0)) (else"
		"  (call $even (i32.sub (local.get 0) (i32.const 1))))))"
		" (func (export \"many\") (result i32) (call $many"
		"  (global.get $n) (i64.const 1) (i64.const 2) (i64.const 3)"
		"  (i64.const 4) (i64.const 5) (i64.const 6) (f64.const 7)"
		"  (v128.const i64x2 8 9)))"
		" (func (export \"pair\") (result i32 i64)"
		"  (call $pair (global.get $n)))"
		" (func (export \"pair2\") (result i32 i64)"
		"  (call $pair2 (global.get $n)))"
		" (func (export \"plain\") (result i32)"
		"  (call $plain (global.get $n)))"
		" (func (export \"even\") (result i32)"
		"  (call $even (global.get $n))))";
	static const char forever[] =
		"(module (global $g (mut i32) (i32.const 0)) (memory 1)"
		" (table 2 funcref) (elem (i32.const 0) $table)"
		" (type $t (func))"
		" (func $self (export \"self\") (call $self))"
		" (func $one (export \"one\") (call $two))"
		" (func $two (call $three)) (func $three (call $one))"
		" (func $value (export \"value\") (result i32)"
		"  (i32.add (i32.const 1) (call $value)))"
		" (func $pair (export \"pair\") (result i32 i32) (call $pair))"
		" (func $table (export \"table\") (type $t)"
		"  (call_indirect (type $t) (i32.const 0)))"
		" (func $large (export \"large\") (result i64)"
		"  (i64.add (call $large) (i64.mul (call $large)"
		"   (call $large))))"
		" (func $wide (param v128 v128 v128 v128 v128 v128 v128 v128"
		"  v128 v128) (call $wide (local.get 9) (local.get 8)"
		"  (local.get 7) (local.get 6) (local.get 5) (local.get 4)"
		"  (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"
		" (func (export \"wide\") (call $wide (v128.const i64x2 0 1)"
		"  (v128.const i64x2 0 1) (v128.const i64x2 0 1)"
		"  (v128.const i64x2 0 1) (v128.const i64x2 0 1)"
		"  (v128.const i64x2 0 1) (v128.const i64x2 0 1)"
		"  (v128.const i64x2 0 1) (v128.const i64x2 0 1)"
		"  (v128.const i64x2 0 1)))"
		" (func (export \"after\") (result i32) (global.get $g)))";
	const struct scene scene = { .parts = { text } };
	const struct scene endless_scene = { .parts = { forever },
					     .is_deep = true };

	check_scene(&scene,
		    WANT("0.many 966.0", "0.pair 4b5.0 e16.0",
			 "0.pair2 4b5.0 e16.0", "0.plain 4b0.0", "0.even 1.0"));
	check_scene(&endless_scene,
		    WANT("0.self trap: call stack exhausted",
			 "0.one trap: call stack", "0.value trap: call stack",
			 "0.pair trap: call stack", "0.table trap: call stack",
			 "0.large trap: call stack", "0.wide trap: call stack",
			 "0.after 0.0"));
}

/* ---- traps and what they leave --------------------------------------------------- */

/* Before each trap something is stored, behind it something else. */
/* clang-format off */
#define LEAVES(name, trapping)                                              \
	"(func (export \"" name "\") (result i64)"                          \
	" (i32.store (i32.const 8) (i32.add (i32.const 1)"                  \
	"  (i32.load (i32.const 8))))"                                      \
	" (global.set $g (i64.add (global.get $g) (i64.const 5)))"          \
	" (v128.store (i32.const 32) (v128.load (i32.const 0))) " trapping \
	" (i32.store (i32.const 12) (i32.const 77))"                        \
	" (global.set $g (i64.const -1)) (i64.const 3))"
#define ZERO "(i32.load (i32.const 100))"

TEST(a_trap_leaves_what_was_before_it)
{
	static const char text[] =
		"(module (memory 1) (memory $m2 1) (table $t 4 funcref)"
		" (global $g (mut i64) (i64.const 0)) (type $n (func))"
		" (data (i32.const 0) \"abcdefgh\") (type $i (func (param i32)))"
		" (elem (table $t) (i32.const 1) func $n) (func $n (type $n))"
		" (elem $e func $n)"
		LEAVES("unreachable", "(unreachable)")
		LEAVES("maybe", "(if (i32.eqz " ZERO ") (then unreachable))")
		LEAVES("div", "(drop (i32.div_u (i32.const 1) " ZERO "))")
		LEAVES("div_const", "(drop (i32.div_s (i32.const 1) (i32.const 0)))")
		LEAVES("over", "(drop (i32.div_s (i32.const 0x80000000)"
			"(i32.sub " ZERO " (i32.const 1))))")
		LEAVES("rem", "(drop (i64.rem_s (i64.const 1)"
			" (i64.extend_i32_u " ZERO ")))")
		LEAVES("trunc", "(drop (i32.trunc_f32_s (f32.div (f32.const 0)"
			" (f32.convert_i32_s " ZERO "))))")
		LEAVES("trunc_far", "(drop (i64.trunc_f64_u (f64.mul (f64.const 1e300)"
			" (f64.convert_i32_s (i32.sub " ZERO " (i32.const 1))))))")
		LEAVES("dead_load", "(drop (i32.load (i32.const 65533)))")
		LEAVES("far_load", "(drop (i32.load offset=0xffffffff"
			" (i32.sub " ZERO " (i32.const 1))))")
		LEAVES("dead_wide", "(drop (v128.load (i32.const 65521)))")
		LEAVES("dead_float", "(drop (f64.load (i32.const 65529)))")
		LEAVES("store", "(i64.store (i32.const 65530) (i64.const -1))")
		LEAVES("second", "(drop (i32.load $m2 (i32.const 65533)))")
		LEAVES("second_store", "(i32.store8 $m2 (i32.const 65536) (i32.const 1))")
		LEAVES("fill", "(memory.fill (i32.const 65500) (i32.const 1) (i32.const 100))")
		LEAVES("copy", "(memory.copy (i32.const 0) (i32.const 65500) (i32.const 100))")
		LEAVES("unaligned", "(drop (i32.atomic.load (i32.add " ZERO " (i32.const 2))))")
		LEAVES("unaligned_add", "(drop (i64.atomic.rmw.add (i32.const 4)"
			" (i64.const 1)))")
		LEAVES("unaligned_16", "(i32.atomic.store16 (i32.const 3) (i32.const 1))")
		LEAVES("far_atomic", "(drop (i32.atomic.rmw.cmpxchg (i32.const 65536)"
			" (i32.const 1) (i32.const 2)))")
		LEAVES("null", "(call_indirect $t (type $n) " ZERO ")")
		LEAVES("type", "(call_indirect $t (type $i) (i32.const 7) (i32.const 1))")
		LEAVES("outside", "(call_indirect $t (type $n) (i32.const 4))")
		LEAVES("null_ref", "(call_ref $n (ref.null $n))")
		LEAVES("as_non_null", "(drop (ref.as_non_null (table.get $t " ZERO ")))")
		LEAVES("table", "(table.set $t (i32.const 4) (ref.null func))")
		LEAVES("table_init", "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2))")
		/* The first of two. */
		LEAVES("two", "(drop (i32.add (i32.load (i32.const 65536))"
			" (i32.div_u (i32.const 1) " ZERO ")))")
		LEAVES("two_turned", "(drop (i32.add (i32.div_u (i32.const 1) " ZERO
			") (i32.load (i32.const 65536))))")
		LEAVES("two_stores", "(i32.store (i32.load (i32.const 65536))"
			" (i32.rem_u (i32.const 1) " ZERO "))")
		LEAVES("in_loop", "(i32.store (i32.const 200) (i32.const 0))"
			"(loop $l (i32.store (i32.const 200) (i32.add (i32.const 1)"
			"  (i32.load (i32.const 200))))"
			" (i32.store (i32.mul (i32.const 8192) (i32.load (i32.const 200)))"
			"  (i32.const 9)) (br $l))")
		LEAVES("in_callee", "(call $callee (i32.const 9))")
		" (func $callee (param i32) (i32.store (i32.const 300)"
		"  (i32.add (local.get 0) (i32.load (i32.const 300))))"
		"  (global.set $g (i64.mul (global.get $g) (i64.const 3)))"
		"  (drop (i32.div_u (i32.const 5) " ZERO "))"
		"  (i32.store (i32.const 304) (i32.const 1))))";
	const struct scene scene = { .parts = { text } };

	check_scene(&scene,
		    WANT("0.unreachable trap: unreachable", "0.dead_load trap: "
			 "out of bounds memory", "0.unaligned trap: unaligned",
			 "0.two trap: out of bounds", "0.two_turned trap: integer "
			 "divide", "0.in_callee trap: integer divide"));
}

/* clang-format on */

/* ---- floats ------------------------------------------------------------------------ */

/* Of a signalling NaN each operation makes a quiet one, whatever is known of
 * the other operand: 1 where it has. */
/* clang-format off */
#define S32 "(f32.load (i32.const 0))"
#define S64 "(f64.load (i32.const 8))"
#define Q32(name, value)                                              \
	"(func (export \"" name "\") (result i32) (local f32 f64 i32)" \
	" (i32.eq (i32.const 0x7fc00000) (i32.and"                    \
	"  (i32.const 0x7fc00000) (i32.reinterpret_f32 " value "))))"
#define Q64(name, value)                                               \
	"(func (export \"" name "\") (result i32) (local f32 f64 i32)"  \
	" (i64.eq (i64.const 0x7ff8000000000000) (i64.and"             \
	"  (i64.const 0x7ff8000000000000) (i64.reinterpret_f64 " value \
	"))))"
#define QV(name, value)                                                     \
	"(func (export \"" name "\") (result i32) (local v128)"             \
	" (i32.eq (i32.const 0x7fc00000) (i32.and (i32.const 0x7fc00000)"   \
	"  (i32x4.extract_lane 1 " value "))))"
#define QW(name, value)                                                     \
	"(func (export \"" name "\") (result i32) (local v128)"             \
	" (i64.eq (i64.const 0x7ff8000000000000)"                           \
	"  (i64.and (i64.const 0x7ff8000000000000)"                         \
	"  (i64x2.extract_lane 1 " value "))))"
#define ALL32(X, a)                                                         \
	X("add0" a, "(f32.add " S32 a ")") X("radd" a, "(f32.add " a S32 ")") \
	X("sub" a, "(f32.sub " S32 a ")") X("rsub" a, "(f32.sub " a S32 ")")  \
	X("mul" a, "(f32.mul " S32 a ")") X("rmul" a, "(f32.mul " a S32 ")")  \
	X("div" a, "(f32.div " S32 a ")") X("rdiv" a, "(f32.div " a S32 ")")  \
	X("min" a, "(f32.min " S32 a ")") X("rmin" a, "(f32.min " a S32 ")")  \
	X("max" a, "(f32.max " S32 a ")") X("rmax" a, "(f32.max " a S32 ")")
#define ALL64(X, a)                                                         \
	X("add64" a, "(f64.add " S64 a ")") X("radd64" a, "(f64.add " a S64 ")") \
	X("sub64" a, "(f64.sub " S64 a ")") X("rsub64" a, "(f64.sub " a S64 ")") \
	X("mul64" a, "(f64.mul " S64 a ")") X("rmul64" a, "(f64.mul " a S64 ")") \
	X("div64" a, "(f64.div " S64 a ")") X("rdiv64" a, "(f64.div " a S64 ")") \
	X("min64" a, "(f64.min " S64 a ")") X("rmin64" a, "(f64.min " a S64 ")") \
	X("max64" a, "(f64.max " S64 a ")") X("rmax64" a, "(f64.max " a S64 ")")
#define SV "(v128.load (i32.const 16))"
#define SW "(v128.load (i32.const 32))"
#define ALLV(a)                                                               \
	QV("v.add" a, "(f32x4.add " SV a ")") QV("v.radd" a, "(f32x4.add " a SV ")") \
	QV("v.sub" a, "(f32x4.sub " SV a ")") QV("v.rsub" a, "(f32x4.sub " a SV ")") \
	QV("v.mul" a, "(f32x4.mul " SV a ")") QV("v.rmul" a, "(f32x4.mul " a SV ")") \
	QV("v.div" a, "(f32x4.div " SV a ")") QV("v.min" a, "(f32x4.min " SV a ")")  \
	QV("v.max" a, "(f32x4.max " SV a ")")                                 \
	QW("w.add" a, "(f64x2.add " SW a ")") QW("w.radd" a, "(f64x2.add " a SW ")") \
	QW("w.sub" a, "(f64x2.sub " SW a ")") QW("w.rsub" a, "(f64x2.sub " a SW ")") \
	QW("w.mul" a, "(f64x2.mul " SW a ")") QW("w.rmul" a, "(f64x2.mul " a SW ")") \
	QW("w.div" a, "(f64x2.div " SW a ")") QW("w.min" a, "(f64x2.min " SW a ")")  \
	QW("w.max" a, "(f64x2.max " SW a ")")
#define WITH32(a) ALL32(Q32, a)
#define WITH64(a) ALL64(Q64, a)
#define QUIET_UNARY(u)                                                  \
	Q32(u, "(f32." u " " S32 ")") Q64(u "64", "(f64." u " " S64 ")") \
	QV(u "v", "(f32x4." u " " SV ")") QW(u "w", "(f64x2." u " " SW ")")

TEST(nans_become_quiet)
{
	static const char scalars[] =
		"(module (memory 1) (data (i32.const 0)"
		" \"\\01\\00\\a0\\7f\\00\\00\\00\\00\\01\\00\\00\\00\\00\\00\\f4\\7f\")"
		" (data (i32.const 16) \"\\00\\00\\a0\\7f\\00\\00\\a0\\7f\\00\\00\\a0\\7f\\00\\00\\a0\\7f\")"
		" (data (i32.const 32) \"\\00\\00\\00\\00\\00\\00\\f4\\7f\\00\\00\\00\\00\\00\\00\\f4\\7f\")"
		WITH32("(f32.const 0)") WITH32("(f32.const -0)")
		WITH32("(f32.const 1)") WITH32("(f32.const -1)")
		WITH32("(f32.const 0.5)") WITH32("(f32.const inf)")
		WITH32("(local.get 0)") WITH32("(f32.neg (local.get 0))")
		WITH32("(f32.copysign (local.get 0) (f32.const -2))")
		WITH32("(f32.convert_i32_s (i32.const 1))")
		WITH32("(f32.convert_i32_u (local.get 2))")
		WITH32("(f32.neg (f32.convert_i64_u (i64.const 0)))")
		WITH32("(f32.add (f32.const 0.5) (f32.const 0.5))")
		WITH32("(f32.sub (f32.const 0.5) (f32.const 0.5))")
		WITH32("(f32.mul (f32.const -0.5) (f32.const 2))")
		WITH32("(f32.reinterpret_i32 (i32.const 0x80000000))")
		WITH32("(f32.reinterpret_i32 (i32.shl (i32.const 1) (i32.const 31)))")
		WITH32("(f32.demote_f64 (f64.const 1))")
		WITH32("(f32.demote_f64 (local.get 1))")
		WITH32("(f32.floor (f32.const 0.25))")
		WITH32("(f32.ceil (f32.const -0.25))")
		WITH32("(f32.sqrt (f32.const 1))")
		WITH32("(f32.min (f32.const 1) (f32.const 2))")
		WITH32("(f32x4.extract_lane 0 (v128.const f32x4 1 0 0 0))")
		WITH32("(select (f32.const -1) (f32.const 1) (local.get 2))")
		WITH64("(f64.const 0)") WITH64("(f64.const -0)")
		WITH64("(f64.const 1)") WITH64("(f64.const -1)")
		WITH64("(f64.const 2)") WITH64("(local.get 1)")
		WITH64("(f64.neg (local.get 1))")
		WITH64("(f64.promote_f32 (f32.const 1))")
		WITH64("(f64.promote_f32 (local.get 0))")
		WITH64("(f64.convert_i32_s (i32.const -1))")
		WITH64("(f64.add (f64.const 0.5) (f64.const 0.5))")
		WITH64("(f64.reinterpret_i64 (i64.shl (i64.const 1) (i64.const 63)))")
		WITH64("(f64x2.extract_lane 1 (v128.const f64x2 0 -0))")
		QUIET_UNARY("ceil") QUIET_UNARY("floor") QUIET_UNARY("trunc")
		QUIET_UNARY("nearest") QUIET_UNARY("sqrt")
		Q32("demote", "(f32.demote_f64 " S64 ")")
		Q64("promote", "(f64.promote_f32 " S32 ")")
		Q32("there", "(f32.demote_f64 (f64.promote_f32 " S32 "))")
		Q64("back", "(f64.promote_f32 (f32.demote_f64 " S64 "))")
		Q32("lanes", "(f32.demote_f64 (f64x2.extract_lane 0"
			" (f64x2.promote_low_f32x4 " SV ")))")
		Q32("lane", "(f32.sub (f32x4.extract_lane 2 " SV ") (f32.const 0))")
		Q32("twice", "(f32.mul (f32.mul " S32 " (f32.const 0.5)) (f32.const 2))")
		")";
	static const char vectors[] =
		"(module (memory 1) (data (i32.const 16)"
		" \"\\00\\00\\a0\\7f\\00\\00\\a0\\7f\\00\\00\\a0\\7f\\00\\00\\a0\\7f\")"
		" (data (i32.const 32) \"\\00\\00\\00\\00\\00\\00\\f4\\7f\\00\\00\\00\\00\\00\\00\\f4\\7f\")"
		ALLV("(v128.const i64x2 0 0)") ALLV("(local.get 0)")
		ALLV("(v128.const f32x4 1 1 1 1)") ALLV("(v128.const f64x2 1 1)")
		ALLV("(v128.const f32x4 -0 -0 -0 -0)") ALLV("(v128.const f64x2 -0 -0)")
		ALLV("(v128.const f32x4 3 0 3 4)") ALLV("(v128.const f64x2 3 0)")
		ALLV("(f32x4.splat (f32.const 1))") ALLV("(f64x2.splat (f64.const -1))")
		ALLV("(i32x4.splat (i32.const 0x3f800000))")
		ALLV("(i32x4.shl (i32x4.splat (i32.const 1)) (i32.const 31))")
		ALLV("(i64x2.shl (i64x2.splat (i64.const 1)) (i32.const 63))")
		ALLV("(f32x4.convert_i32x4_s (i32x4.splat (i32.const 1)))")
		ALLV("(v128.xor (local.get 0) (local.get 0))")
		QV("there", "(i8x16.shuffle 0 1 2 3 0 1 2 3 0 1 2 3 0 1 2 3"
			" (f32x4.demote_f64x2_zero (f64x2.promote_low_f32x4 " SV "))"
			" (local.get 0))")
		")";
	const struct scene scene = { .parts = { scalars }, .is_large = true };
	const struct scene lanes = { .parts = { vectors }, .is_large = true };

	check_scene(&scene, WANT("1.0 state", "0.twice 1.0"));
	check_scene(&lanes, WANT("1.0 state", "0.there 1.0"));
}

/* clang-format on */

/* ---- control, memories, tables, references --------------------------------------- */

#define FROM(place) "(i32.add (global.get $z) (i32.const " place "))"
#define END(bytes)  "(i32.sub " FROM("65536") " (i32.const " bytes "))"
#define BULK(bytes)                                                                                                                                                               \
	" (func (export \"copy" bytes "\")"                                                                                                                                       \
	"  (memory.copy " FROM("103") FROM(                                                                                                                                       \
		"100") "(i32.const " bytes "))"                                                                                                                                   \
		       "  (memory.copy " FROM("140") FROM(                                                                                                                        \
			       "145") "(i32.const " bytes "))"                                                                                                                    \
				      "  (memory.copy " END(bytes) FROM(                                                                                                          \
					      "90") "(i32.const " bytes "))"                                                                                                      \
						    "  (memory.copy " FROM("1000") END(                                                                                           \
							    bytes) "(i32.const " bytes                                                                                            \
								   ")))"                                                                                                          \
								   " (func (export \"fill" bytes                                                                                  \
								   "\") (param $v i32)"                                                                                           \
								   "  (memory.fill " FROM(                                                                                        \
									   "2001") "(local.get $v) (i32.const " bytes                                                             \
										   "))"                                                                                           \
										   "  (memory.fill " END(                                                                         \
											   bytes) "(i32.const 0x1fe) (i32.const " bytes                                           \
												  ")))"                                                                           \
												  " (func (export \"to" bytes                                                     \
												  "\") (memory.copy (i32.add (i32.const 1)"                                       \
												  "  " END(bytes) ")" FROM(                                                       \
													  "90") "(i32.const " bytes                                               \
														")))"                                                             \
														" (func (export \"from" bytes                                     \
														"\") (memory.copy " FROM("3000") "  (i32.add (i32.const 1) " END( \
															bytes) ") (i32.const " bytes                              \
															       ")))"                                              \
															       " (func (export \"past" bytes                      \
															       "\") (memory.fill (i32.add (i32.const 1)"          \
															       "  " END(                                          \
																       bytes) ") (i32.const 7) (i32.const " bytes \
																	      ")))"

static const char *const places[] = {
	"(module (memory 1 20) (global $g (mut i32) (i32.const 0))"
	" (func $grow (result i32) (memory.grow (i32.const 1)))"
	" (func (export \"grow\") (result i32 i32 i32)"
	"  (i32.store (i32.const 65532) (i32.const 11))"
	"  (drop (call $grow)) (i32.store (i32.const 65536) (i32.const 12))"
	"  (drop (memory.grow (i32.const 2)))"
	"  (i32.store offset=65536 (i32.const 65536) (i32.const 13))"
	"  (i32.load (i32.const 65532)) (i32.load (i32.const 131072))"
	"  (memory.size))"
	" (func (export \"in_loop\") (result i32) (local i32 i32)"
	"  (loop $l (local.set 1 (i32.add (local.get 1)"
	"    (i32.load (i32.mul (i32.sub (memory.size) (i32.const 1))"
	"     (i32.const 65536)))))"
	"   (i32.store (i32.mul (memory.size) (i32.const 65536))"
	"    (i32.const 1)) (drop (memory.grow (i32.const 1)))"
	"   (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
	"   (br_if $l (i32.lt_u (local.get 0) (i32.const 5))))"
	"  (local.get 1))"
	" (func (export \"too_much\") (result i32)"
	"  (memory.grow (i32.const 100))))",
	/* Few bytes, whose number is known: lines that overlap, the memory's end,
	 * and one byte more. */
	"(module (memory 1) (global $z (mut i32) (i32.const 0))"
	" (data (i32.const 90) \"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
	"NOPQRSTUVWXYZ.,;:!?()[]{}+-*/=<>0123456789abcdefghijklmnopqrstuvwxyz\")" BULK(
		"0") BULK("1") BULK("2") BULK("3") BULK("4") BULK("7") BULK("8")
		BULK("9") BULK("15") BULK("16") BULK("17") BULK("31") BULK("32")
			BULK("63") BULK("64") BULK("100") BULK("127")
				BULK("128") BULK("129") ")",
	/* Several memories, one of 64 bits; addresses that overflow. */
	"(module (memory $a i64 1 4) (memory $b 1) (memory $c i64 1)"
	" (global $z (mut i64) (i64.const 0)) (data (memory $b) (i32.const 0) \"abcdefgh\")"
	" (func (export \"copy\") (result i64)"
	"  (i64.store $a (i64.const 8) (i64.load $b (i32.const 0)))"
	"  (memory.copy $c $a (i64.const 16) (i64.const 8) (i64.const 8))"
	"  (i64.load $c offset=16 (global.get $z)))"
	" (func (export \"far\") (result i64) (i64.store (i64.const 0)"
	"  (i64.const 5)) (i64.load offset=0xfffffffffffffff8"
	"   (i64.add (global.get $z) (i64.const 16))))"
	" (func (export \"wrap\") (result i32) (i32.load8_u offset=1"
	"  (i64.sub (global.get $z) (i64.const 1))))"
	" (func (export \"high\") (result i32) (i32.load"
	"  (i64.add (global.get $z) (i64.const 0x100000000))))"
	" (func (export \"edge\") (result i64) (i64.load"
	"  (i64.add (global.get $z) (i64.const 65528))))"
	" (func (export \"over\") (result i64) (i64.load $c"
	"  (i64.add (global.get $z) (i64.const 65529))))"
	" (func (export \"grown\") (result i64 i64)"
	"  (memory.grow $a (i64.const 1)) (i64.store $a (i64.const 65536)"
	"  (i64.const 9)) (i64.load $a (i64.const 65536))))",
	"(module (memory 1 1 shared) (func $at (param i32) (result i32)"
	"  (local.get 0))"
	" (func (export \"rmw\") (result i64 i32 i32)"
	"  (i64.store (i32.const 8) (i64.const 0x123456789))"
	"  (i64.atomic.rmw.add (call $at (i32.const 8)) (i64.const 5))"
	"  (i32.atomic.rmw8.xchg_u (call $at (i32.const 9)) (i32.const 300))"
	"  (i32.atomic.rmw.cmpxchg (call $at (i32.const 8))"
	"   (i32.const 0x23456789) (i32.const 7)))"
	" (func (export \"un8\") (result i32)"
	"  (i32.atomic.load8_u (call $at (i32.const 3))))"
	" (func (export \"un16\") (result i32)"
	"  (i32.atomic.load16_u (call $at (i32.const 3))))"
	" (func (export \"un32\") (i32.atomic.store offset=2"
	"  (call $at (i32.const 4)) (i32.const 1)))"
	" (func (export \"un_far\") (i32.atomic.store"
	"  (call $at (i32.const 65537)) (i32.const 1)))"
	" (func (export \"notify\") (result i32)"
	"  (memory.atomic.notify (call $at (i32.const 8)) (i32.const 1)))"
	" (func (export \"wait\") (result i32) (memory.atomic.wait32"
	"  (call $at (i32.const 8)) (i32.const 99999) (i64.const 5)))"
	" (func (export \"un_wait\") (result i32) (memory.atomic.wait64"
	"  (call $at (i32.const 4)) (i64.const 9) (i64.const 5)))"
	" (func (export \"fence\") (atomic.fence)))",
	/* Branches that bring values, to blocks of many results. */
	"(module (memory 1)"
	" (func $pick (param i32) (result i64 f64 i32)"
	"  (block $a (result i64 f64 i32) (block $b (result i64 f64 i32)"
	"   (block $c (result i64 f64 i32)"
	"    (i64.const 1) (f64.const 2) (i32.const 3) (local.get 0)"
	"    (br_table $a $b $c $b $a $a $c))"
	"    (drop) (drop) (drop) (i64.const 4) (f64.const 5) (i32.const 6))"
	"   (i32.add (i32.const 1))))"
	" (func (export \"tables\") (result i64) (local i32 i64)"
	"  (loop $l (call $pick (local.get 0))"
	"   (i64.extend_i32_u) (local.get 1) (i64.add) (local.set 1)"
	"   (i64.trunc_sat_f64_s) (i64.add) (local.get 1) (i64.const 31)"
	"   (i64.mul) (i64.add) (local.set 1)"
	"   (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
	"   (br_if $l (i32.lt_s (local.get 0) (i32.const 10))))"
	"  (local.get 1))"
	" (func (export \"huge\") (result i64 f64 i32) (call $pick"
	"  (i32.sub (i32.load (i32.const 0)) (i32.const 1))))"
	" (func (export \"loop\") (result i32) (local i32 i32)"
	"  (i32.const 1) (i32.const 10)"
	"  (loop $l (param i32 i32) (result i32) (local.set 1) (local.set 0)"
	"   (i32.mul (local.get 0) (i32.const 3))"
	"   (i32.sub (local.get 1) (i32.const 1))"
	"   (br_if $l (local.get 1)) (drop)))"
	" (func (export \"if\") (result i32 i64) (i32.const 5) (i64.const 6)"
	"  (if (param i32 i64) (result i32 i64) (i32.load (i32.const 0))"
	"   (then (drop) (i64.const 1)) (else (i64.const 3) (i64.mul))))"
	" (func (export \"dead\") (result i32) (block $b (result i32)"
	"  (br $b (i32.const 4)) (if (result i32) (then (i32.const 1))"
	"   (else (unreachable)))) (block (br 0) (loop (br 0)))"
	"  (return) (block (result i32) (i32.const 9))))",
	/* References in calls, with a collection in between. */
	"(module (import \"h\" \"collect\" (func $collect))"
	" (type $s (struct (field (mut i64)))) (table $t 8 anyref)"
	" (type $two (func (param (ref null $s) (ref null $s))"
	"   (result (ref null $s) (ref null $s))))"
	" (func $make (param i64) (result (ref null $s))"
	"  (struct.new $s (local.get 0)))"
	" (func $get (param (ref null $s)) (result i64)"
	"  (struct.get $s 0 (local.get 0)))"
	" (func $hold (param i64) (result (ref null $s))"
	"  (local (ref null $s) (ref null $s))"
	"  (local.set 1 (call $make (local.get 0)))"
	"  (call $collect) (drop (call $make (i64.const 99)))"
	"  (local.set 2 (call $make (i64.const 7))) (call $collect)"
	"  (if (i64.eqz (local.get 0)) (then (local.set 1 (local.get 2))))"
	"  (call $turn (local.get 1) (local.get 2)) (drop) (drop)"
	"  (drop (call $make (i64.const 98))) (call $collect)"
	"  (local.get 1))"
	" (func $turn (type $two) (call $collect)"
	"  (drop (call $make (i64.const 97))) (local.get 1) (local.get 0))"
	" (func $deep (param i64 (ref null $s)) (result i64)"
	"  (local (ref null $s)) (if (i64.eqz (local.get 0))"
	"   (then (call $collect) (return (call $get (local.get 1)))))"
	"  (local.set 2 (call $make (local.get 0)))"
	"  (i64.add (call $deep (i64.sub (local.get 0) (i64.const 1))"
	"   (local.get 2)) (i64.add (call $get (local.get 2))"
	"    (select (i64.const 0) (call $get (local.get 1))"
	"     (ref.is_null (local.get 1))))))"
	" (func (export \"held\") (result i64) (call $get (call $hold"
	"  (i64.const 5))))"
	" (func (export \"other\") (result i64) (call $get (call $hold"
	"  (i64.const 0))))"
	" (func (export \"turned\") (result i64 i64)"
	"  (call $turn (call $make (i64.const 1)) (call $make (i64.const 2)))"
	"  (call $collect) (call $pair))"
	" (func $pair (param (ref null $s) (ref null $s)) (result i64 i64)"
	"  (call $get (local.get 0)) (call $get (local.get 1)))"
	" (func (export \"deep\") (result i64) (call $deep (i64.const 60)"
	"  (call $make (i64.const 1000))))"
	" (func (export \"table\") (result i64) (local i32)"
	"  (loop $l (table.set $t (local.get 0) (call $make"
	"    (i64.extend_i32_u (local.get 0)))) (call $collect)"
	"   (local.set 0 (i32.add (local.get 0) (i32.const 1)))"
	"   (br_if $l (i32.lt_u (local.get 0) (i32.const 8))))"
	"  (call $from (table.get $t (i32.const 6))))"
	" (func $from (param anyref) (result i64) (struct.get $s 0"
	"  (ref.cast (ref $s) (local.get 0))))"
	" (func (export \"null\") (result i64) (call $get (ref.null $s)))"
	" (func (export \"on_null\") (result i32) (block $n"
	"  (drop (br_on_null $n (call $hold (i64.const 3))))"
	"  (return (i32.const 2))) (i32.const 3)))",
};

TEST(memories_branches_and_references)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct scene scene = { .parts = { places[i] } };

		check_scene(&scene, WANT("state"));
		scene.stressed = true;
		check_scene(&scene, WANT("state"));
	}
}

/* NaNs by lanes that are not loaded, and by what a loop stores and loads again;
 * a division that a loop would not come to; numbers that are on a line in one
 * way of looking at them. */
static const char *const found[] = {
	"(module (memory 1)"
	" (func (export \"f\") (result i32)"
	" (v128.store (i32.const 64) (v128.const i32x4 0x7f800001"
	" 0x7f800001 0x7f800001 0x7f800001))"
	" (i32.reinterpret_f32 (f32x4.extract_lane 1 (f32x4.mul (v128.load"
	" (i32.const 64))"
	" (v128.load32_lane 0 (i32.const 0) (v128.const f32x4 1 1 1 1))))))"
	" (func (export \"g\") (result i32)"
	" (v128.store (i32.const 64) (v128.const i32x4 0x7f800001"
	" 0x7f800001 0x7f800001 0x7f800001))"
	" (i32.reinterpret_f32 (f32x4.extract_lane 1 (f32x4.sub (v128.load"
	" (i32.const 64))"
	" (v128.load32_zero (i32.const 0))))))"
	" (func (export \"h\") (result i32)"
	" (v128.store (i32.const 64) (v128.const i32x4 0x7f800001"
	" 0x7f800001 0x7f800001 0x7f800001))"
	" (i32.reinterpret_f32 (f32x4.extract_lane 2 (f32x4.sub (v128.load"
	" (i32.const 64))"
	" (v128.load64_zero (i32.const 0))))))"
	" )",
	"(module (memory 1)"
	" (func $init (local $i i32) (loop $l (i32.store (local.get $i)"
	" (i32.const 0x7f800001))"
	" (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i)"
	" (i32.const 4))) (i32.const 16384)))))"
	" (func $w (param $p i32) (param $q i32) (param $r i32) (param $n"
	" i32) (local $i i32)"
	" (loop $l"
	" (v128.store (i32.add (local.get $q) (local.get $i)) (v128.const"
	" f32x4 1 1 1 1))"
	" (v128.store (i32.add (local.get $r) (local.get $i)) (f32x4.mul"
	" (v128.load (i32.add (local.get $p) (local.get $i))) (v128.load"
	" (i32.add (local.get $q) (local.get $i)))))"
	" (local.set $i (i32.add (local.get $i) (i32.const 16)))"
	" (br_if $l (i32.ne (local.get $i) (local.get $n)))))"
	" (func (export \"f\") (result i32) (call $init) (call $w (i32.const"
	" 0) (i32.const 20000) (i32.const 30000) (i32.const 1024))"
	" (i32.load (i32.const 30004)))"
	" (func $e (param $p i32) (param $q i32) (param $r i32) (local $i"
	" i32)"
	" (loop $l"
	" (i32.store (i32.add (local.get $q) (i32.shl (local.get $i)"
	" (i32.const 2))) (i32.mul (i32.shr_u (local.get $i) (i32.const 6))"
	" (i32.const 0x3f800000)))"
	" (f32.store (i32.add (local.get $r) (i32.shl (local.get $i)"
	" (i32.const 2))) (f32.mul"
	" (f32.load (i32.add (local.get $p) (i32.shl (local.get $i)"
	" (i32.const 2)))) (f32.load (i32.add (local.get $q) (i32.shl"
	" (local.get $i) (i32.const 2))))))"
	" (local.set $i (i32.add (local.get $i) (i32.const 1)))"
	" (br_if $l (i32.ne (local.get $i) (i32.const 67)))))"
	" (func (export \"g\") (result i32) (call $init) (call $e (i32.const"
	" 0) (i32.const 20000) (i32.const 30000))"
	" (i32.load (i32.const 30260)))"
	" (func $d (param $p i32) (param $q i32) (param $r i32) (param $n"
	" i32) (local $i i32)"
	" (loop $l"
	" (f64.store (i32.add (local.get $q) (i32.shl (local.get $i)"
	" (i32.const 3))) (f64.promote_f32 (f32.load (i32.add (local.get"
	" $p) (i32.shl (local.get $i) (i32.const 2))))))"
	" (f32.store (i32.add (local.get $r) (i32.shl (local.get $i)"
	" (i32.const 2))) (f32.demote_f64"
	" (f64.load (i32.add (local.get $q) (i32.shl (local.get $i)"
	" (i32.const 3))))))"
	" (local.set $i (i32.add (local.get $i) (i32.const 1)))"
	" (br_if $l (i32.ne (local.get $i) (local.get $n)))))"
	" (func (export \"h\") (result i32) (call $init) (call $d (i32.const"
	" 0) (i32.const 20000) (i32.const 30000) (i32.const 100))"
	" (i32.load (i32.const 30012)))"
	" )",
	"(module (memory 1)"
	" (func $f (param $p i32) (param $a i32) (param $b i32) (param $n"
	" i32) (result i32) (local $i i32)"
	" (loop $l"
	" (if (local.get $b) (then"
	" (i32.store (i32.add (i32.add (local.get $p) (i32.div_u (local.get"
	" $a) (local.get $b))) (local.get $i)) (local.get $i))))"
	" (local.set $i (i32.add (local.get $i) (i32.const 4)))"
	" (br_if $l (i32.ne (local.get $i) (local.get $n))))"
	" (i32.load (local.get $p)))"
	" (global $z (mut i32) (i32.const 0))"
	" (func (export \"f\") (result i32) (call $f (i32.const 0) (i32.const"
	" 20000) (global.get $z) (i32.const 1024)))"
	" )",
	"(module (memory 1)"
	" (func $init (local $i i32) (loop $l (i32.store (local.get $i)"
	" (i32.const 0x7f800001))"
	" (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i)"
	" (i32.const 4))) (i32.const 16384)))))"
	" (func (export \"a\") (result i32) (call $init)"
	" (i32.reinterpret_f32 (f32x4.extract_lane 1"
	" (f32x4.demote_f64x2_zero (f64x2.promote_low_f32x4 (v128.load"
	" (i32.const 64)))))))"
	" (func (export \"b\") (result i32) (call $init)"
	" (i32.reinterpret_f32 (f32.demote_f64 (f64x2.extract_lane 1"
	" (f64x2.promote_low_f32x4 (v128.load (i32.const 64)))))))"
	" (func $w (param $p i32) (param $q i32) (param $r i32) (param $n"
	" i32) (local $i i32)"
	" (loop $l"
	" (i32.store (i32.add (local.get $q) (local.get $i)) (i32.const"
	" 0x3f800000))"
	" (v128.store (i32.add (local.get $r) (local.get $i)) (f32x4.mul"
	" (v128.load (i32.add (local.get $p) (local.get $i)))"
	" (v128.load32_splat (i32.add (local.get $q) (local.get $i)))))"
	" (local.set $i (i32.add (local.get $i) (i32.const 16)))"
	" (br_if $l (i32.ne (local.get $i) (local.get $n)))))"
	" (func (export \"c\") (result i32) (call $init) (call $w (i32.const"
	" 0) (i32.const 20000) (i32.const 30000) (i32.const 1024))"
	" (i32.load (i32.const 30004)))"
	" (func $z (param $p i32) (param $n i32) (result f32) (local $i"
	" i32) (local $s f32)"
	" (loop $l"
	" (i64.store (i32.add (local.get $p) (local.get $i)) (i64.const"
	" 0x3f8000003f800000))"
	" (f32.store (i32.add (i32.const 40000) (local.get $i)) (f32.mul"
	" (f32.load (local.get $i)) (f32.load offset=4 (i32.add (local.get"
	" $p) (local.get $i)))))"
	" (local.set $i (i32.add (local.get $i) (i32.const 8)))"
	" (br_if $l (i32.ne (local.get $i) (local.get $n)))) (local.get $s))"
	" (func (export \"d\") (result i32) (call $init) (drop (call $z"
	" (i32.const 20000) (i32.const 1024))) (i32.load (i32.const 40008)))"
	" )",
	"(module (memory 1)"
	" (func $init (local $i i32) (loop $l (i32.store (local.get $i)"
	" (i32.and (i32.const 7) (i32.shr_u (i32.mul (local.get $i)"
	" (i32.const 0x9e3779b1)) (i32.const 13))))"
	" (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i)"
	" (i32.const 4))) (i32.const 16384)))))"
	" (global $n (mut i32) (i32.const 1027))"
	" (func $si (param $p i32) (param $q i32) (param $n i32) (result"
	" i32) (local $i i32) (local $s i32)"
	" (local.set $i (i32.const 3))"
	" (local.set $n (i32.and (local.get $n) (i32.const 0xffff)))"
	" (loop $l (local.set $s (i32.add (local.get $s) (i32.shr_u"
	" (i32.and (i32.add (local.get $i) (i32.const 2)) (i32.const -4))"
	" (i32.load offset=4 (local.get $p)))))"
	" (local.set $s (i32.add (local.get $s) (i32.shr_u (i32.sub"
	" (local.get $i) (i32.const 3)) (i32.load (local.get $q)))))"
	" (local.set $s (i32.add (local.get $s) (i32.shr_u (i32.and"
	" (local.get $i) (i32.const -4)) (i32.load (local.get $p)))))"
	" (local.set $s (i32.add (local.get $s) (i32.shr_u (i32.sub"
	" (local.get $i) (i32.const 1)) (i32.load offset=4 (local.get"
	" $q)))))"
	" (local.set $p (i32.add (local.get $p) (i32.const 8)))"
	" (local.set $q (i32.add (local.get $q) (i32.const 8)))"
	" (local.set $i (i32.add (local.get $i) (i32.const 4)))"
	" (br_if $l (i32.lt_u (local.get $i) (local.get $n))))"
	" (local.get $s))"
	" (func (export \"i\") (result i32) (call $init) (call $si (i32.const"
	" 0) (i32.const 4096) (global.get $n)))"
	" )"
};

TEST(what_was_wrong_once)
{
	for (size_t i = 0; i < sizeof(found) / sizeof(*found); i++) {
		struct scene scene = { .parts = { found[i] } };

		check_scene(&scene, WANT("state"));
	}
}

/* ---- two instances --------------------------------------------------------------- */

/* Both are of one text, and so of one code: who traps or is called has to be
 * the right one.  Each counts up to its own number in a memory of its own. */
TEST(instances_of_the_same_code_call_each_other)
{
	static const char shared[] =
		"(module (table (export \"table\") 4 funcref)"
		" (global (export \"next\") (mut i32) (i32.const 0)))";
	static const char twin[] =
		"(module (import \"0\" \"table\" (table $t 4 funcref))"
		" (import \"0\" \"next\" (global $next (mut i32))) (memory 1)"
		" (type $f (func (param i32 i64) (result i64)))"
		" (type $w (func (param i64 i64 i64 i64 i64 i64 i64 f32)"
		"  (result i64 f32)))"
		" (global $me (mut i32) (i32.const 0))"
		" (func $bounce (type $f) (i32.store (i32.const 0) (i32.add"
		"   (i32.const 1) (i32.load (i32.const 0))))"
		"  (if (result i64) (i32.eqz (local.get 0))"
		"   (then (i64.extend_i32_u (global.get $me)))"
		"   (else (i64.add (i64.load32_u (i32.const 0))"
		"    (i64.mul (i64.const 3) (call_indirect (type $f)"
		"     (i32.sub (local.get 0) (i32.const 1)) (local.get 1)"
		"     (i32.xor (global.get $me) (i32.const 1))))))))"
		" (func $wide (type $w) (local i64 f32) (i32.store (i32.const 4)"
		"   (i32.add (i32.const 7) (i32.load (i32.const 4))))"
		"  (if (i64.eqz (local.get 6)) (then (return (i64.extend_i32_u"
		"   (global.get $me)) (f32.const 1.5))))"
		"  (call_indirect (type $w) (local.get 0) (local.get 1)"
		"   (local.get 2) (local.get 3) (local.get 4) (local.get 5)"
		"   (i64.sub (local.get 6) (i64.const 1)) (local.get 7)"
		"   (i32.xor (global.get $me) (i32.const 3)))"
		"  (local.set 9) (local.set 8)"
		"  (i64.add (local.get 8) (i64.load32_u (i32.const 4)))"
		"  (f32.add (local.get 9) (local.get 7)))"
		" (func $grow (type $f) (drop (memory.grow (i32.const 1)))"
		"  (i64.extend_i32_u (memory.size)))"
		" (func $start (global.set $me (global.get $next))"
		"  (global.set $next (i32.add (global.get $me) (i32.const 1)))"
		"  (table.set $t (global.get $me) (ref.func $bounce))"
		"  (table.set $t (i32.add (i32.const 2) (global.get $me))"
		"   (ref.func $wide))) (start $start)"
		" (elem declare func $bounce $wide)"
		" (func (export \"bounced\") (result i64) (call $bounce"
		"  (i32.const 9) (i64.const 0)))"
		" (func (export \"wide\") (result i64 f32) (call $wide"
		"  (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)"
		"  (i64.const 5) (i64.const 6) (i64.const 11) (f32.const 0.25)))"
		" (func (export \"grown\") (result i64) (call $grow (i32.const 0)"
		"  (i64.const 0)) (drop) (i32.store (i32.const 65536)"
		"  (i32.const 5)) (call $bounce (i32.const 2) (i64.const 0)))"
		" (func (export \"falls\") (result i64) (table.set $t"
		"  (i32.const 1) (ref.null func)) (call $bounce (i32.const 9)"
		"  (i64.const 0))))";
	const struct scene scene = { .parts = { shared, twin, twin } };

	check_scene(&scene,
		    WANT("1.bounced", "1.wide", "1.falls trap: uninitialized",
			 "2.bounced", "2.wide", "2.falls trap: uninit"));
}

/* ---- runs that are stopped --------------------------------------------------------- */

static const char *const spinning[] = { "empty",  "calls", "loads", "pairs",
					"others", "outs",  "floats" };
static const char spins[] =
	"(module (import \"0\" \"one\" (func $o (param i64) (result i64)))"
	" (memory 1) (func $one (param i64) (result i64) (i64.add (local.get 0)"
	"  (i64.const 1)))"
	" (func $pair (param i64) (result i64 i64) (local.get 0)"
	"  (local.get 0))"
	" (func (export \"empty\") (loop (br 0)))"
	" (func (export \"calls\") (local i64) (loop $l"
	"  (local.set 0 (call $one (local.get 0))) (br $l)))"
	" (func (export \"loads\") (local i32) (loop $l (local.set 0"
	"  (i32.load (i32.and (local.get 0) (i32.const 255)))) (br $l)))"
	" (func (export \"pairs\") (local i64) (loop $l"
	"  (call $pair (local.get 0)) (local.set 0) (local.set 0) (br $l)))"
	" (func (export \"others\") (local i64) (loop $l"
	"  (local.set 0 (call $o (local.get 0))) (br $l)))"
	" (func (export \"outs\") (loop $l (memory.fill (i32.const 0)"
	"  (i32.const 1) (i32.const 5)) (br $l)))"
	" (func (export \"floats\") (local f64) (loop $l (local.set 0"
	"  (f64.add (local.get 0) (f64.const 0.5))) (br $l))))";

static void *interrupter(void *store)
{
	clock_sleep_ms(30);
	vm_interrupt(store);
	return NULL;
}

static void spin(struct made *made, const char *name, bool by_interrupt)
{
	pthread_t thread;
	enum wasm_trap trap;

	made->vm.options.timeout_ns = by_interrupt ? 0 : 30000000;
	if (by_interrupt)
		CHECK_INT(pthread_create(&thread, NULL, interrupter,
					 made->vm.store),
			  0);
	trap = made_call(made, name, 0, 0, NULL);
	if (by_interrupt)
		pthread_join(thread, NULL);
	if (trap != (by_interrupt ? WASM_TRAP_interrupted : WASM_TRAP_deadline))
		printf("# %s: %s\n", name, wasm_trap_text(trap));
	CHECK_INT(trap,
		  by_interrupt ? WASM_TRAP_interrupted : WASM_TRAP_deadline);
}

TEST(endless_loops_are_stopped)
{
	static const char base[] =
		"(module (func (export \"one\") (param i64) (result i64)"
		" (i64.add (local.get 0) (i64.const 1))))";

	for (uint64_t seed = 0; seed < 3; seed++) {
		const struct way way = { .compiled = 3,
					 .optimised = 3,
					 .seed = seed };
		struct cache_options cache = { .place = scene_cache(&way) };
		struct vm_options options = { .cache = &cache };
		struct made made = { 0 };

		CHECK_INT(vm_init(&made.vm, &options, &made_err), 0);
		CHECK(add_part(&made, 0, base, &way));
		CHECK(add_part(&made, 1, spins, &way));
		for (size_t i = 0; i < sizeof(spinning) / sizeof(*spinning);
		     i++) {
			spin(&made, spinning[i], false);
			spin(&made, spinning[i], true);
		}
		made_close(&made);
		scene_close();
	}
}

/* A compiler that takes nothing would pass all of this. */
TEST(nearly_all_was_optimised)
{
	printf("# %lu of %lu functions\n", (unsigned long)scene_sum.made,
	       (unsigned long)scene_sum.functions);
	CHECK(scene_sum.made > 1000);
	CHECK(scene_sum.made * 2 > scene_sum.functions);
}
#endif

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* The standard C API, as a client uses it: types, ownership, calls both ways,
 * traps, globals, memories and tables.  References: test_wasm_c_api_refs.c. */
#include "lib/c_api.h"

/* calloc that finds nothing when it is told so. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITISED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITISED 1
#endif
#endif
static bool no_memory;
#ifndef SANITISED
#define SANITISED 0
void *__libc_calloc(size_t count, size_t each);
void *calloc(size_t count, size_t each)
{
	return no_memory ? NULL : __libc_calloc(count, each);
}
#endif

/* Vectors and types */

TEST(vectors_own_their_elements)
{
	wasm_valtype_t *kinds[] = { wasm_valtype_new_i32(),
				    wasm_valtype_new_f64() };
	wasm_valtype_vec_t a, b, none;
	wasm_name_t name;

	wasm_valtype_vec_new(&a, 2, kinds);
	wasm_valtype_vec_copy(&b, &a);
	CHECK_INT(b.size, 2);
	CHECK_INT(wasm_valtype_kind(b.data[1]), WASM_F64);
	wasm_valtype_vec_delete(&a);
	CHECK(a.size == 0 && !a.data);
	wasm_valtype_vec_delete(&b);
	wasm_valtype_vec_new_empty(&none);
	CHECK(none.size == 0 && !none.data);
	wasm_valtype_vec_new_uninitialized(&none, 3);
	CHECK(none.size == 3 && !none.data[2]);
	wasm_valtype_vec_delete(&none);
	wasm_name_new_from_string(&name, "abc");
	CHECK_INT(name.size, 3);
	wasm_name_delete(&name);
	wasm_name_new_from_string_nt(&name, "abc");
	CHECK(name.size == 4 && name.data[3] == 0);
	wasm_name_delete(&name);
}

TEST(types_tell_what_they_are_made_of)
{
	wasm_functype_t *func =
		wasm_functype_new_2_1(wasm_valtype_new_i64(),
				      wasm_valtype_new_funcref(),
				      wasm_valtype_new_f32());
	wasm_externtype_t *extern_ = wasm_functype_as_externtype(func);
	wasm_externtype_t *copy = wasm_externtype_copy(extern_);
	wasm_limits_t limits = { 2, 7 };
	wasm_tabletype_t *table =
		wasm_tabletype_new(wasm_valtype_new_externref(), &limits);
	wasm_tagtype_t *tag;

	CHECK_INT(wasm_externtype_kind(copy), WASM_EXTERN_FUNC);
	CHECK(!wasm_externtype_as_globaltype(copy));
	CHECK_INT(wasm_functype_params(wasm_externtype_as_functype(copy))->size,
		  2);
	CHECK(wasm_valtype_is_ref(wasm_functype_params(func)->data[1]));
	CHECK(wasm_valtype_is_num(wasm_functype_results(func)->data[0]));
	CHECK_INT(wasm_tabletype_limits(table)->max, 7);
	CHECK_INT(wasm_valtype_kind(wasm_tabletype_element(table)),
		  WASM_EXTERNREF);
	tag = wasm_tagtype_new(func);
	CHECK_INT(wasm_functype_results(wasm_tagtype_functype(tag))->size, 1);
	CHECK(!wasm_valtype_new(77));
	wasm_tagtype_delete(tag);
	wasm_externtype_delete(copy);
	wasm_tabletype_delete(table);
}

TEST(importtypes_take_what_they_are_given)
{
	wasm_name_t module, name;
	wasm_importtype_t *import, *copy;
	wasm_globaltype_t *global =
		wasm_globaltype_new(wasm_valtype_new_i32(), WASM_VAR);

	wasm_name_new_from_string(&module, "env");
	wasm_name_new_from_string(&name, "g");
	import = wasm_importtype_new(&module, &name,
				     wasm_globaltype_as_externtype(global));
	copy = wasm_importtype_copy(import);
	wasm_importtype_delete(import);
	CHECK_INT(wasm_importtype_module(copy)->size, 3);
	CHECK(memcmp(wasm_importtype_name(copy)->data, "g", 1) == 0);
	CHECK_INT(
		wasm_globaltype_mutability(wasm_externtype_as_globaltype_const(
			wasm_importtype_type(copy))),
		WASM_VAR);
	wasm_importtype_delete(copy);
}

/* Modules */

static const char many_kinds[] =
	"(module (import \"a\" \"f\" (func (param i32) (result i64)))"
	" (import \"a\" \"\" (memory 1 2))"
	" (import \"b\" \"t\" (tag (param f32)))"
	" (func (export \"func\") (param i32 f64 v128 anyref) (result f32 exnref)"
	"  unreachable)"
	" (global (export \"global\") f64 (f64.const 0))"
	" (table (export \"table\") 3 50 externref)"
	" (memory (export \"memory\") 1))";

static void check_functype(const wasm_externtype_t *type, size_t params,
			   size_t results)
{
	const wasm_functype_t *func = wasm_externtype_as_functype_const(type);

	CHECK(func);
	if (!func)
		return;
	CHECK_INT(wasm_functype_params(func)->size, params);
	CHECK_INT(wasm_functype_results(func)->size, results);
}

TEST(modules_tell_their_imports)
{
	struct place place;
	wasm_importtype_vec_t imports;
	const wasm_externtype_t *type;

	place_open(&place);
	place.module = module_of(place.store, many_kinds);
	wasm_module_imports(place.module, &imports);
	CHECK_INT(imports.size, 3);
	check_functype(wasm_importtype_type(imports.data[0]), 1, 1);
	type = wasm_importtype_type(imports.data[1]);
	CHECK_INT(wasm_memorytype_limits(
			  wasm_externtype_as_memorytype_const(type))
			  ->max,
		  2);
	CHECK_INT(wasm_importtype_name(imports.data[1])->size, 0);
	type = wasm_importtype_type(imports.data[2]);
	CHECK_INT(wasm_externtype_kind(type), WASM_EXTERN_TAG);
	CHECK_INT(wasm_functype_params(
			  wasm_tagtype_functype(
				  wasm_externtype_as_tagtype_const(type)))
			  ->size,
		  1);
	wasm_importtype_vec_delete(&imports);
	place_close(&place);
}

TEST(modules_tell_their_exports)
{
	struct place place;
	wasm_exporttype_vec_t exports;
	const wasm_functype_t *func;
	const wasm_limits_t *limits;

	place_open(&place);
	place.module = module_of(place.store, many_kinds);
	wasm_module_exports(place.module, &exports);
	CHECK_INT(exports.size, 4);
	func = wasm_externtype_as_functype_const(
		wasm_exporttype_type(exports.data[0]));
	CHECK_INT(wasm_valtype_kind(wasm_functype_params(func)->data[2]),
		  WASM_V128);
	CHECK_INT(wasm_valtype_kind(wasm_functype_params(func)->data[3]),
		  WASM_ANYREF);
	CHECK_INT(wasm_valtype_kind(wasm_functype_results(func)->data[1]),
		  WASM_EXNREF);
	limits = wasm_tabletype_limits(wasm_externtype_as_tabletype_const(
		wasm_exporttype_type(exports.data[2])));
	CHECK(limits->min == 3 && limits->max == 50);
	limits = wasm_memorytype_limits(wasm_externtype_as_memorytype_const(
		wasm_exporttype_type(exports.data[3])));
	CHECK_INT(limits->max, wasm_limits_max_default);
	CHECK(memcmp(wasm_exporttype_name(exports.data[3])->data, "memory",
		     6) == 0);
	wasm_exporttype_vec_delete(&exports);
	place_close(&place);
}

TEST(what_is_no_module_is_refused)
{
	struct place place;
	wasm_byte_vec_t bytes = binary_of("(module (func (result i32) nop "
					  "i32.const 1))");
	wasm_byte_vec_t none = WASM_EMPTY_VEC;

	place_open(&place);
	CHECK(wasm_module_validate(place.store, &bytes));
	bytes.data[bytes.size - 3] ^= 0x06; /* i32.const becomes f32.const */
	CHECK(!wasm_module_validate(place.store, &bytes));
	CHECK(!wasm_module_new(place.store, &bytes));
	CHECK(!wasm_module_new(place.store, &none));
	wasm_byte_vec_delete(&bytes);
	place_close(&place);
}

TEST(serialised_modules_come_back)
{
	struct place place;
	wasm_byte_vec_t bytes;
	wasm_module_t *again;

	place_open(&place);
	place.module = module_of(place.store, many_kinds);
	wasm_module_serialize(place.module, &bytes);
	again = wasm_module_deserialize(place.store, &bytes);
	CHECK(again);
	wasm_module_delete(again);
	for (size_t i = 0; i < bytes.size; i++) {
		bytes.data[i] ^= 0x10;
		CHECK(!wasm_module_deserialize(place.store, &bytes));
		bytes.data[i] ^= 0x10;
	}
	bytes.size--;
	CHECK(!wasm_module_deserialize(place.store, &bytes));
	bytes.size = 5;
	CHECK(!wasm_module_deserialize(place.store, &bytes));
	wasm_byte_vec_delete(&bytes);
	place_close(&place);
}

/* Calls */

static wasm_trap_t *add_env(void *env, const wasm_val_vec_t *arguments,
			    wasm_val_vec_t *results)
{
	int *sum = env;

	*sum += arguments->data[0].of.i32;
	results->data[0].of.i32 = *sum; /* its kind is set already */
	return NULL;
}

static wasm_trap_t *swap(const wasm_val_vec_t *arguments,
			 wasm_val_vec_t *results)
{
	for (size_t i = 0; i < 4; i++)
		wasm_val_copy(&results->data[i], &arguments->data[3 - i]);
	return NULL;
}

TEST(code_calls_functions_of_the_host)
{
	struct place place;
	wasm_functype_t *type = wasm_functype_new_1_1(wasm_valtype_new_i32(),
						      wasm_valtype_new_i32());
	int sum = 10;
	wasm_func_t *func;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);

	place_open(&place);
	func = wasm_func_new_with_env(place.store, type, add_env, &sum,
				      count_end);
	given[0] = wasm_func_as_extern(func);
	place_run(&place,
		  "(module (import \"\" \"\" (func $add (param i32) "
		  "(result i32))) (func (export \"f\") (param i32 i32) "
		  "(result i32) (drop (call $add (local.get 0))) "
		  "(call $add (local.get 1))) (export \"g\" (func $add)))",
		  &imports);
	CHECK_INT(call_i32(&place, 0, 5, 7), 22);
	CHECK_INT(call_i32(&place, 1, 1, 0), 23);
	CHECK(wasm_func_same(func_at(&place, 1), func));
	CHECK_INT(wasm_func_param_arity(func), 1);
	wasm_func_delete(func);
	wasm_functype_delete(type);
	CHECK_INT(sum, 23);
	place_close(&place);
	CHECK_INT(sum, 24);
}

static wasm_functype_t *swap_type(void)
{
	wasm_valtype_t *from[] = { wasm_valtype_new_i32(),
				   wasm_valtype_new_i64(),
				   wasm_valtype_new_f32(),
				   wasm_valtype_new_f64() };
	wasm_valtype_t *to[] = { from[3], from[2], from[1], from[0] };
	wasm_valtype_vec_t params, results;

	wasm_valtype_vec_new(&params, 4, from);
	wasm_valtype_vec_new(&results, 4, to);
	return wasm_functype_new(&params, &results);
}

TEST(calls_have_many_values)
{
	struct place place;
	wasm_functype_t *type = swap_type();
	wasm_val_t from[] = { WASM_I32_VAL(-1), WASM_I64_VAL(INT64_MIN),
			      WASM_F32_VAL(0.5f), WASM_F64_VAL(-2.25) };
	wasm_val_vec_t arguments = WASM_ARRAY_VEC(from), results;
	wasm_func_t *func;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);

	place_open(&place);
	func = wasm_func_new(place.store, type, swap);
	given[0] = wasm_func_as_extern(func);
	place_run(&place,
		  "(module (type $t (func (param i32 i64 f32 f64) "
		  "(result f64 f32 i64 i32)))"
		  "(import \"\" \"\" (func $swap (type $t)))"
		  "(func (export \"f\") (type $t) (call $swap (local.get 0) "
		  "(local.get 1) (local.get 2) (local.get 3))))",
		  &imports);
	wasm_val_vec_new_uninitialized(&results, 4);
	CHECK(!wasm_func_call(func_at(&place, 0), &arguments, &results));
	CHECK(results.data[0].of.f64 == -2.25);
	CHECK(results.data[1].of.f32 == 0.5f);
	CHECK(results.data[2].of.i64 == INT64_MIN);
	CHECK(results.data[3].kind == WASM_I32 && results.data[3].of.i32 == -1);
	wasm_val_vec_delete(&results);
	wasm_func_delete(func);
	wasm_functype_delete(type);
	place_close(&place);
}

/* 40 values: more than lie on the stack. */
static wasm_trap_t *reverse(const wasm_val_vec_t *arguments,
			    wasm_val_vec_t *results)
{
	for (size_t i = 0; i < arguments->size; i++)
		results->data[i] = arguments->data[arguments->size - 1 - i];
	return NULL;
}

TEST(calls_have_very_many_values)
{
	struct place place;
	wasm_valtype_vec_t params, both;
	wasm_val_vec_t arguments, results;
	wasm_functype_t *type;
	wasm_func_t *func;

	place_open(&place);
	wasm_valtype_vec_new_uninitialized(&params, 40);
	wasm_val_vec_new_uninitialized(&arguments, 40);
	wasm_val_vec_new_uninitialized(&results, 40);
	for (int i = 0; i < 40; i++) {
		params.data[i] = wasm_valtype_new_i32();
		arguments.data[i] = (wasm_val_t)WASM_I32_VAL(i);
	}
	wasm_valtype_vec_copy(&both, &params);
	type = wasm_functype_new(&params, &both);
	func = wasm_func_new(place.store, type, reverse);
	CHECK(!wasm_func_call(func, &arguments, &results));
	CHECK(results.data[0].of.i32 == 39 && results.data[39].of.i32 == 0);
	wasm_val_vec_delete(&arguments);
	wasm_val_vec_delete(&results);
	wasm_func_delete(func);
	wasm_functype_delete(type);
	place_close(&place);
}

TEST(wrong_arguments_are_traps)
{
	struct place place;
	wasm_val_t given[] = { WASM_I64_VAL(1), WASM_I32_VAL(1) };
	wasm_val_vec_t one = { 1, given }, two = { 2, given },
		       none = WASM_EMPTY_VEC, right = { 1, given + 1 };
	wasm_trap_t *trap;

	place_open(&place);
	place_run(&place,
		  "(module (func (export \"f\") (param i32) (result i32) "
		  "(local.get 0)) (func (export \"v\") (result v128) "
		  "(v128.const i64x2 0 0)))",
		  NULL);
	trap = wasm_func_call(func_at(&place, 0), &one, &none);
	CHECK(message_is(trap,
			 "an argument is of another type than its parameter"));
	wasm_trap_delete(trap);
	trap = wasm_func_call(func_at(&place, 0), &two, &none);
	CHECK(message_is(trap, "another number of arguments than the function "
			       "has parameters"));
	wasm_trap_delete(trap);
	CHECK(!wasm_func_call(func_at(&place, 0), &right, &none));
	trap = call_nothing(func_at(&place, 1));
	CHECK(message_is(trap, "a vector has no place in C"));
	wasm_trap_delete(trap);
	place_close(&place);
}

/* Traps */

static wasm_trap_t *fail(void *env, const wasm_val_vec_t *arguments,
			 wasm_val_vec_t *results)
{
	wasm_name_t message;
	wasm_trap_t *trap;

	(void)arguments;
	(void)results;
	wasm_name_new_from_string_nt(&message, "the host says no");
	trap = wasm_trap_new(env, &message);
	wasm_trap_set_host_info(trap, env);
	wasm_name_delete(&message);
	return trap;
}

TEST(traps_of_the_host_come_through)
{
	struct place place;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);
	wasm_frame_vec_t trace;
	wasm_func_t *func;
	wasm_trap_t *trap;

	place_open(&place);
	func = nothing_func(place.store, fail, place.store);
	given[0] = wasm_func_as_extern(func);
	place_run(&place,
		  "(module (import \"\" \"\" (func $fail)) "
		  "(func $b (call $fail)) (func (export \"f\") nop (call $b)))",
		  &imports);
	trap = call_nothing(func_at(&place, 0));
	CHECK(message_is(trap, "the host says no"));
	CHECK(wasm_trap_get_host_info(trap) == place.store);
	wasm_trap_trace(trap, &trace);
	CHECK_INT(trace.size, 2);
	CHECK_INT(wasm_frame_func_index(trace.data[0]), 1);
	CHECK_INT(wasm_frame_func_index(trace.data[1]), 2);
	CHECK_INT(wasm_frame_func_offset(trace.data[1]), 2);
	CHECK(wasm_frame_instance(trace.data[0]) == place.instance);
	wasm_frame_vec_delete(&trace);
	wasm_trap_delete(trap);
	wasm_func_delete(func);
	place_close(&place);
}

TEST(traps_of_code_tell_where)
{
	struct place place;
	wasm_frame_t *origin;
	wasm_trap_t *trap, *copy;

	place_open(&place);
	place_run(&place, "(module (func (export \"f\") unreachable))", NULL);
	trap = call_nothing(func_at(&place, 0));
	copy = wasm_trap_copy(trap);
	CHECK(wasm_trap_same(trap, copy));
	wasm_trap_delete(trap);
	CHECK(message_is(copy, "unreachable"));
	origin = wasm_trap_origin(copy);
	CHECK(origin && wasm_frame_func_offset(origin) == 1);
	CHECK(origin && wasm_frame_module_offset(origin) > 20);
	CHECK(wasm_ref_as_trap(wasm_trap_as_ref(copy)) == copy);
	CHECK(!wasm_ref_as_func(wasm_trap_as_ref(copy)));
	/* They stay when the store has gone. */
	place_close(&place);
	CHECK(message_is(copy, "unreachable"));
	CHECK(origin && wasm_frame_func_index(origin) == 0);
	wasm_frame_delete(origin);
	wasm_trap_delete(copy);
}

/* NULL would be success. */
TEST(a_trap_is_a_trap_without_memory)
{
	struct place place;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);
	wasm_trap_t *traps[3];
	wasm_func_t *func;

	place_open(&place);
	func = nothing_func(place.store, fail, place.store);
	given[0] = wasm_func_as_extern(func);
	place_run(&place,
		  "(module (import \"\" \"\" (func $fail)) "
		  "(func (export \"f\") (call $fail))"
		  "(func (export \"g\") unreachable))",
		  &imports);
	wasm_trap_delete(call_nothing(func_at(&place, 0)));
	wasm_trap_delete(call_nothing(func_at(&place, 1)));
	no_memory = true;
	for (int i = 0; i < 3; i++)
		traps[i] = call_nothing(func_at(&place, i & 1));
	no_memory = false;
	for (int i = 0; i < 3; i++)
		CHECK(SANITISED ||
		      message_is(traps[i], "no memory for a trap"));
	wasm_func_delete(func);
	wasm_trap_delete(traps[0]);
	place_close(&place);
	/* They outlive the store. */
	CHECK(SANITISED || message_is(traps[2], "no memory for a trap"));
	wasm_trap_delete(traps[1]);
	wasm_trap_delete(traps[2]);
}

/* Calls an export, so that host and code are nested. */
static wasm_trap_t *call_back(void *env, const wasm_val_vec_t *arguments,
			      wasm_val_vec_t *results)
{
	const struct place *place = env;

	(void)arguments;
	(void)results;
	return call_nothing(func_at(place, 1));
}

static const char nested[] =
	"(module (import \"\" \"\" (func $back)) (tag $t (param i32))"
	" (func (export \"f\") (call $back))"
	" (func (export \"g\") (throw $t (i32.const 42)))"
	" (func (export \"h\") (result i32)"
	"  (block $l (result i32) (try_table (catch $t $l) (call $back))"
	"   (i32.const 0)))"
	" (func (export \"x\") unreachable))";

TEST(traces_go_through_the_host)
{
	struct place place;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);
	wasm_frame_vec_t trace;
	wasm_func_t *func;
	wasm_trap_t *trap;

	place_open(&place);
	func = nothing_func(place.store, call_back, &place);
	given[0] = wasm_func_as_extern(func);
	place_run(&place, nested, &imports);
	trap = call_nothing(func_at(&place, 0));
	CHECK(message_is(trap, "uncaught exception"));
	wasm_trap_trace(trap, &trace);
	CHECK_INT(trace.size, 2);
	CHECK_INT(wasm_frame_func_index(trace.data[0]), 2);
	CHECK_INT(wasm_frame_func_index(trace.data[1]), 1);
	wasm_frame_vec_delete(&trace);
	wasm_trap_delete(trap);
	/* An exception that went through the host can be caught behind it, */
	CHECK_INT(call_i32(&place, 2, 0, 0), 42);
	/* and what was caught is not met again. */
	trap = call_nothing(func_at(&place, 3));
	CHECK(message_is(trap, "unreachable"));
	wasm_trap_delete(trap);
	wasm_func_delete(func);
	place_close(&place);
}

TEST(start_functions_may_trap)
{
	struct place place;
	wasm_frame_t *origin;

	place_open(&place);
	place_run(&place,
		  "(module (func nop) (func $s unreachable) (start $s))", NULL);
	CHECK(!place.instance);
	CHECK(message_is(place.trap, "unreachable"));
	origin = place.trap ? wasm_trap_origin(place.trap) : NULL;
	CHECK(origin && wasm_frame_func_index(origin) == 1);
	wasm_frame_delete(origin);
	place_close(&place);
}

TEST(imports_that_do_not_fit_are_told)
{
	struct place place, other;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);
	wasm_func_t *func;
	wasm_instance_t *instance;

	place_open(&place);
	place_run(&place, "(module (import \"m\" \"f\" (func (param i32))))",
		  NULL);
	CHECK(!place.instance);
	CHECK(message_is(place.trap,
			 "fewer imports are given than the module has"));
	func = nothing_func(place.store, fail, NULL);
	given[0] = wasm_func_as_extern(func);
	CHECK(!wasm_instance_new(place.store, place.module, &imports, NULL));
	wasm_trap_delete(place.trap);
	instance = wasm_instance_new(place.store, place.module, &imports,
				     &place.trap);
	CHECK(!instance && place.trap);
	CHECK(message_is(place.trap, "incompatible import type: \"m\" \"f\""));
	place_open(&other);
	CHECK(!wasm_instance_new(other.store, place.module, &imports, NULL));
	place_close(&other);
	wasm_func_delete(func);
	place_close(&place);
}

/* Globals, tables, memories */

TEST(globals_are_shared_with_code)
{
	struct place place;
	wasm_globaltype_t *type =
		wasm_globaltype_new(wasm_valtype_new_i64(), WASM_VAR);
	wasm_val_t value = WASM_I64_VAL(5), wrong = WASM_F32_VAL(1);
	wasm_global_t *global, *constant;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);

	place_open(&place);
	CHECK(!wasm_global_new(place.store, type, &wrong));
	global = wasm_global_new(place.store, type, &value);
	given[0] = wasm_global_as_extern(global);
	place_run(&place,
		  "(module (import \"\" \"\" (global $g (mut i64)))"
		  "(func (export \"up\") (global.set $g (i64.add "
		  "(global.get $g) (i64.const 3))))"
		  "(global (export \"c\") f32 (f32.const 1.5))"
		  "(export \"g\" (global $g)))",
		  &imports);
	wasm_trap_delete(call_nothing(func_at(&place, 0)));
	wasm_global_get(global, &value);
	CHECK_INT(value.of.i64, 8);
	wasm_global_set(global, &wrong);
	value.of.i64 = 100;
	wasm_global_set(wasm_extern_as_global(place.exports.data[2]), &value);
	wasm_trap_delete(call_nothing(func_at(&place, 0)));
	wasm_global_get(global, &value);
	CHECK_INT(value.of.i64, 103);
	constant = wasm_extern_as_global(place.exports.data[1]);
	wrong.of.f32 = 9;
	wasm_global_set(constant, &wrong);
	wasm_global_get(constant, &value);
	CHECK(value.kind == WASM_F32 && value.of.f32 == 1.5f);
	CHECK(!wasm_global_same(global, constant));
	wasm_global_delete(global);
	wasm_globaltype_delete(type);
	place_close(&place);
}

TEST(memories_are_shared_with_code)
{
	struct place place;
	wasm_memory_t *memory, *own;
	wasm_memorytype_t *type;
	byte_t *data;

	place_open(&place);
	place_run(&place,
		  "(module (memory (export \"m\") 2 3) (func (export \"l\") "
		  "(param i32) (result i32) (i32.load8_s (local.get 0))) "
		  "(data (i32.const 0x1000) \"\\01\\02\\03\\fc\"))",
		  NULL);
	memory = wasm_extern_as_memory(place.exports.data[0]);
	data = wasm_memory_data(memory);
	CHECK(wasm_memory_size(memory) == 2 &&
	      wasm_memory_data_size(memory) == 2 * MEMORY_PAGE_SIZE);
	CHECK(data[0x1003] == (char)0xfc);
	data[0x1001] = 77;
	CHECK_INT(call_i32(&place, 1, 0x1001, 0), 77);
	CHECK_INT(call_i32(&place, 1, 0x1003, 0), -4);
	CHECK_INT(call_i32(&place, 1, 0x20000, 0), -1);
	CHECK(wasm_memory_grow(memory, 1) && !wasm_memory_grow(memory, 1));
	CHECK_INT(call_i32(&place, 1, 0x20000, 0), 0);
	CHECK(wasm_memory_data(memory) == data);
	type = wasm_memory_type(memory);
	CHECK_INT(wasm_memorytype_limits(type)->min, 3);
	own = wasm_memory_new(place.store, type);
	CHECK(own && wasm_memory_size(own) == 3);
	CHECK(!wasm_memory_same(own, memory));
	wasm_memory_delete(own);
	wasm_memorytype_delete(type);
	place_close(&place);
}

TEST(memories_have_limits)
{
	struct place place;
	wasm_limits_t limits = { 5, 4 };
	wasm_memorytype_t *type = wasm_memorytype_new(&limits);

	place_open(&place);
	CHECK(!wasm_memory_new(place.store, type));
	wasm_memorytype_delete(type);
	limits = (wasm_limits_t){ 65537, wasm_limits_max_default };
	type = wasm_memorytype_new(&limits);
	CHECK(!wasm_memory_new(place.store, type));
	wasm_memorytype_delete(type);
	place_close(&place);
}

TEST(tables_hold_functions)
{
	struct place place;
	wasm_table_t *table;
	wasm_func_t *f, *host;
	wasm_ref_t *ref;
	wasm_tabletype_t *type;

	place_open(&place);
	place_run(&place,
		  "(module (table (export \"t\") 2 10 funcref)"
		  "(func (export \"call\") (param i32) (call_indirect "
		  "(local.get 0)))"
		  "(func $f (export \"f\")) (elem (i32.const 1) $f))",
		  NULL);
	table = wasm_extern_as_table(place.exports.data[0]);
	f = func_at(&place, 2);
	CHECK_INT(wasm_table_size(table), 2);
	CHECK(!wasm_table_get(table, 0) && !wasm_table_get(table, 2));
	ref = wasm_table_get(table, 1);
	CHECK(ref && wasm_ref_same(ref, wasm_func_as_ref(f)));
	wasm_ref_delete(ref);
	host = nothing_func(place.store, fail, place.store);
	CHECK(wasm_table_set(table, 0, wasm_func_as_ref(host)));
	CHECK(!wasm_table_set(table, 2, wasm_func_as_ref(host)));
	CHECK(!wasm_table_set(table, 0, wasm_table_as_ref(table)));
	CHECK_INT(call_i32(&place, 1, 0, 0), -1);
	CHECK(call_i32(&place, 1, 1, 0) != -1);
	CHECK(wasm_table_grow(table, 8, wasm_func_as_ref(f)));
	CHECK(!wasm_table_grow(table, 1, NULL));
	CHECK(call_i32(&place, 1, 9, 0) != -1);
	type = wasm_table_type(table);
	CHECK_INT(wasm_tabletype_limits(type)->min, 10);
	wasm_tabletype_delete(type);
	wasm_func_delete(host);
	place_close(&place);
}

TEST_MAIN

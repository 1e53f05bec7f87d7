/* SPDX-License-Identifier: Apache-2.0 */
/* The standard C API: references and their identity, how long things live,
 * what is left when a store has ended, modules between threads. */
#include "lib/c_api.h"
#include <pthread.h>

/* References */

static const char keeps_externref[] =
	"(module (import \"\" \"\" (func $h (param externref) "
	"(result externref)))"
	" (global $g (mut externref) (ref.null extern))"
	" (table $t (export \"t\") 10 externref)"
	" (func (export \"set\") (param externref) (global.set $g (local.get 0)))"
	" (func (export \"get\") (result externref) (global.get $g))"
	" (func (export \"back\") (param externref) (result externref)"
	"  (call $h (local.get 0))))";

static wasm_trap_t *echo(const wasm_val_vec_t *arguments,
			 wasm_val_vec_t *results)
{
	wasm_val_copy(&results->data[0], &arguments->data[0]);
	return NULL;
}

/* What a function of one reference returns, owned. */
static wasm_ref_t *call_ref(const struct place *place, size_t index,
			    wasm_ref_t *ref)
{
	wasm_val_t from[] = { WASM_REF_VAL(ref) }, to[] = { WASM_INIT_VAL };
	wasm_func_t *func = func_at(place, index);
	wasm_val_vec_t arguments = { wasm_func_param_arity(func), from };
	wasm_val_vec_t results = { wasm_func_result_arity(func), to };
	wasm_trap_t *trap = wasm_func_call(func, &arguments, &results);

	CHECK(!trap);
	wasm_trap_delete(trap);
	return to[0].of.ref;
}

static void place_run_externref(struct place *place)
{
	wasm_functype_t *type = wasm_functype_new_1_1(
		wasm_valtype_new_externref(), wasm_valtype_new_externref());
	wasm_func_t *func;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);

	place_open(place);
	func = wasm_func_new(place->store, type, echo);
	given[0] = wasm_func_as_extern(func);
	place_run(place, keeps_externref, &imports);
	wasm_func_delete(func);
	wasm_functype_delete(type);
}

TEST(references_keep_their_identity)
{
	struct place place;
	wasm_foreign_t *foreign, *other;
	wasm_table_t *table;
	wasm_ref_t *back;
	int word = 7;

	place_run_externref(&place);
	foreign = wasm_foreign_new(place.store);
	other = wasm_foreign_new(place.store);
	CHECK(!wasm_foreign_same(foreign, other));
	wasm_foreign_set_host_info(foreign, &word);
	call_ref(&place, 1, wasm_foreign_as_ref(foreign));
	wasm_foreign_delete(foreign); /* code has it still */
	back = call_ref(&place, 2, NULL);
	CHECK(back && wasm_ref_get_host_info(back) == &word);
	CHECK(wasm_ref_as_foreign(back) && !wasm_ref_as_func(back));
	table = wasm_extern_as_table(place.exports.data[0]);
	CHECK(wasm_table_set(table, 3, back));
	foreign = wasm_ref_as_foreign(call_ref(&place, 3, back));
	CHECK(wasm_ref_same(back, wasm_foreign_as_ref(foreign)));
	wasm_foreign_delete(foreign);
	wasm_ref_delete(back);
	back = wasm_table_get(table, 3);
	CHECK(back && wasm_ref_get_host_info(back) == &word);
	wasm_ref_delete(back);
	CHECK(!call_ref(&place, 3, NULL));
	wasm_foreign_delete(other);
	place_close(&place);
}

TEST(anything_may_be_an_externref)
{
	struct place place;
	wasm_ref_t *back;

	place_run_externref(&place);
	back = call_ref(&place, 3, wasm_instance_as_ref(place.instance));
	CHECK(wasm_ref_as_instance(back) == place.instance);
	wasm_ref_delete(back);
	back = call_ref(&place, 3, wasm_func_as_ref(func_at(&place, 1)));
	CHECK(wasm_ref_as_func(back) == func_at(&place, 1));
	CHECK(wasm_ref_as_extern(back) == place.exports.data[1]);
	wasm_ref_delete(back);
	back = call_ref(&place, 3, wasm_module_as_ref(place.module));
	CHECK(wasm_ref_as_module(back) == place.module);
	wasm_ref_delete(back);
	place_close(&place);
}

static const char has_objects[] =
	"(module (type $p (struct (field (mut i32))))"
	" (global $g (export \"g\") (mut anyref) (ref.null any))"
	" (func (export \"make\") (param i32) (result externref)"
	"  (extern.convert_any (struct.new $p (local.get 0))))"
	" (func (export \"look\") (param externref) (result i32)"
	"  (struct.get $p 0 (ref.cast (ref $p)"
	"   (any.convert_extern (local.get 0)))))"
	" (func (export \"i31\") (param i32) (result externref)"
	"  (extern.convert_any (ref.i31 (local.get 0))))"
	" (func (export \"churn\") (param i32) (result i32)"
	"  (loop $l (drop (struct.new $p (local.get 0)))"
	"   (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
	"  (i32.const 1)))";

static wasm_ref_t *make_object(const struct place *place, size_t index,
			       int number)
{
	wasm_val_t from[] = { WASM_I32_VAL(number) }, to[] = { WASM_INIT_VAL };
	wasm_val_vec_t arguments = WASM_ARRAY_VEC(from);
	wasm_val_vec_t results = WASM_ARRAY_VEC(to);

	CHECK(!wasm_func_call(func_at(place, index), &arguments, &results));
	return to[0].of.ref;
}

static int look(const struct place *place, wasm_ref_t *object)
{
	wasm_val_t from[] = { WASM_REF_VAL(object) }, to[] = { WASM_INIT_VAL };
	wasm_val_vec_t arguments = WASM_ARRAY_VEC(from);
	wasm_val_vec_t results = WASM_ARRAY_VEC(to);
	wasm_trap_t *trap =
		wasm_func_call(func_at(place, 2), &arguments, &results);

	CHECK(!trap);
	wasm_trap_delete(trap);
	return to[0].of.i32;
}

TEST(objects_stay_while_they_are_held)
{
	struct place place;
	wasm_ref_t *objects[100], *i31;

	place_open(&place);
	place_run(&place, has_objects, NULL);
	for (int i = 0; i < 100; i++)
		objects[i] = make_object(&place, 1, i);
	CHECK_INT(call_i32(&place, 4, 3000000, 0), 1);
	for (int i = 0; i < 100; i++)
		CHECK_INT(look(&place, objects[i]), i);
	CHECK(!wasm_ref_same(objects[0], objects[1]));
	i31 = make_object(&place, 3, 5);
	CHECK(i31 && !wasm_ref_as_foreign(i31));
	wasm_ref_delete(i31);
	for (int i = 0; i < 100; i++)
		wasm_ref_delete(objects[i]);
	place_close(&place);
}

TEST(objects_stay_in_globals)
{
	struct place place;
	wasm_ref_t *object;
	wasm_global_t *global, *own;
	wasm_globaltype_t *type;
	wasm_val_t value = { .kind = WASM_ANYREF };

	place_open(&place);
	place_run(&place, has_objects, NULL);
	global = wasm_extern_as_global(place.exports.data[0]);
	type = wasm_global_type(global);
	own = wasm_global_new(place.store, type, &value);
	value.of.ref = make_object(&place, 1, 123);
	wasm_global_set(global, &value);
	wasm_global_set(own, &value);
	wasm_val_delete(&value);
	CHECK_INT(call_i32(&place, 4, 3000000, 0), 1);
	wasm_global_get(own, &value);
	object = value.of.ref;
	CHECK_INT(look(&place, object), 123);
	wasm_global_get(global, &value);
	CHECK(wasm_ref_same(value.of.ref, object));
	wasm_val_delete(&value);
	wasm_ref_delete(object);
	wasm_global_delete(own);
	wasm_globaltype_delete(type);
	place_close(&place);
}

/* Host info and ends */

TEST(host_info_is_the_things_own)
{
	struct place place;
	wasm_func_t *copy;
	wasm_extern_vec_t again;
	int ended = 0;

	place_open(&place);
	place_run(&place, "(module (func (export \"f\")))", NULL);
	wasm_func_set_host_info_with_finalizer(func_at(&place, 0), &ended,
					       count_end);
	copy = wasm_func_copy(func_at(&place, 0));
	CHECK(wasm_func_get_host_info(copy) == &ended);
	wasm_func_delete(copy);
	wasm_extern_vec_delete(&place.exports);
	CHECK_INT(ended, 0);
	wasm_instance_exports(place.instance, &again);
	CHECK(wasm_extern_get_host_info(again.data[0]) == &ended);
	wasm_extern_set_host_info_with_finalizer(again.data[0], &ended,
						 count_end);
	CHECK_INT(ended, 1);
	wasm_extern_vec_delete(&again);
	place_close(&place);
	CHECK_INT(ended, 2);
}

TEST(what_nobody_can_meet_ends_with_its_handle)
{
	struct place place;
	wasm_foreign_t *foreign;
	int ended = 0;

	place_open(&place);
	foreign = wasm_foreign_new(place.store);
	wasm_foreign_set_host_info_with_finalizer(foreign, &ended, count_end);
	wasm_foreign_delete(foreign);
	CHECK_INT(ended, 1);
	place.module = module_of(place.store, "(module)");
	wasm_module_set_host_info_with_finalizer(place.module, &ended,
						 count_end);
	wasm_module_delete(place.module);
	place.module = NULL;
	CHECK_INT(ended, 2);
	place_close(&place);
	CHECK_INT(ended, 2);
}

TEST(finalizers_run_once_for_each_of_many)
{
	struct place place;
	int ended = 0;

	place_open(&place);
	place.module = module_of(place.store, "(module (func (export \"f\")) "
					      "(func (export \"g\")))");
	for (int i = 0; i < 2000; i++) {
		wasm_instance_t *instance = wasm_instance_new(
			place.store, place.module, NULL, NULL);
		wasm_extern_vec_t exports;

		wasm_instance_exports(instance, &exports);
		wasm_instance_set_host_info_with_finalizer(instance, &ended,
							   count_end);
		wasm_extern_set_host_info_with_finalizer(exports.data[1],
							 &ended, count_end);
		wasm_extern_vec_delete(&exports);
		wasm_instance_delete(instance);
	}
	CHECK_INT(ended, 0);
	place_close(&place);
	CHECK_INT(ended, 4000);
}

TEST(an_ended_store_leaves_shells)
{
	struct place place;
	wasm_memory_t *memory;
	wasm_trap_t *trap;
	wasm_val_t value;

	place_open(&place);
	place_run(&place,
		  "(module (func (export \"f\")) (memory (export \"m\") 1)"
		  "(global (export \"g\") i32 (i32.const 1))"
		  "(table (export \"t\") 1 funcref))",
		  NULL);
	wasm_store_delete(place.store);
	place.store = NULL;
	trap = call_nothing(func_at(&place, 0));
	CHECK(message_is(trap, "the store has ended"));
	wasm_trap_delete(trap);
	CHECK(!wasm_func_type(func_at(&place, 0)));
	memory = wasm_extern_as_memory(place.exports.data[1]);
	CHECK(!wasm_memory_data(memory) && !wasm_memory_size(memory));
	CHECK(!wasm_memory_grow(memory, 1) && !wasm_memory_type(memory));
	wasm_global_get(wasm_extern_as_global(place.exports.data[2]), &value);
	CHECK(!value.of.ref);
	CHECK(!wasm_table_size(wasm_extern_as_table(place.exports.data[3])));
	place_close(&place);
}

static wasm_trap_t *delete_store(void *env, const wasm_val_vec_t *arguments,
				 wasm_val_vec_t *results)
{
	struct place *place = env;

	(void)arguments;
	(void)results;
	wasm_store_delete(place->store);
	place->store = NULL;
	return NULL;
}

TEST(a_store_that_runs_ends_afterwards)
{
	struct place place;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);
	wasm_func_t *func;

	place_open(&place);
	func = nothing_func(place.store, delete_store, &place);
	given[0] = wasm_func_as_extern(func);
	place_run(&place,
		  "(module (import \"\" \"\" (func $d)) (func (export \"f\") "
		  "(result i32) (call $d) (i32.const 7)))",
		  &imports);
	CHECK_INT(call_i32(&place, 0, 0, 0), 7);
	CHECK_INT(call_i32(&place, 0, 0, 0), -1);
	wasm_func_delete(func);
	place_close(&place);
}

TEST(tags_are_given_on)
{
	struct place place;
	wasm_functype_t *func = wasm_functype_new_1_0(wasm_valtype_new_i32());
	wasm_tagtype_t *type = wasm_tagtype_new(func), *again;
	wasm_tag_t *tag;
	wasm_extern_t *given[1];
	wasm_extern_vec_t imports = WASM_ARRAY_VEC(given);

	place_open(&place);
	tag = wasm_tag_new(place.store, type);
	given[0] = wasm_tag_as_extern(tag);
	place_run(&place,
		  "(module (import \"\" \"\" (tag $t (param i32)))"
		  "(export \"t\" (tag $t)))",
		  &imports);
	CHECK(place.instance);
	CHECK(place.exports.size == 1 && place.exports.data[0] == given[0]);
	CHECK_INT(wasm_extern_kind(given[0]), WASM_EXTERN_TAG);
	again = wasm_tag_type(tag);
	CHECK_INT(wasm_functype_params(wasm_tagtype_functype(again))->size, 1);
	wasm_tagtype_delete(again);
	wasm_tag_delete(tag);
	wasm_tagtype_delete(type);
	place_close(&place);
}

/* Threads */

struct worker {
	pthread_t thread;
	wasm_engine_t *engine;
	const wasm_shared_module_t *shared;
	int64_t result;
};

static void *work(void *env)
{
	struct worker *worker = env;
	struct place place = { .engine = worker->engine };

	for (int round = 0; round < 20; round++) {
		place.store = wasm_store_new(worker->engine);
		place.module = wasm_module_obtain(place.store, worker->shared);
		place.instance = wasm_instance_new(place.store, place.module,
						   NULL, NULL);
		wasm_instance_exports(place.instance, &place.exports);
		worker->result += call_i32(&place, 0, 100, 0);
		wasm_extern_vec_delete(&place.exports);
		wasm_instance_delete(place.instance);
		wasm_module_delete(place.module);
		wasm_store_delete(place.store);
	}
	return NULL;
}

TEST(modules_go_from_thread_to_thread)
{
	struct place place, other;
	struct worker workers[8] = { 0 };
	wasm_shared_module_t *shared;

	place_open(&place);
	place.module = module_of(
		place.store,
		"(module (func $sum (export \"f\") (param i32) (result i32)"
		" (if (result i32) (local.get 0) (then (i32.add (local.get 0)"
		"  (call $sum (i32.sub (local.get 0) (i32.const 1)))))"
		"  (else (i32.const 0)))))");
	shared = wasm_module_share(place.module);
	for (int i = 0; i < 8; i++) {
		workers[i].engine = place.engine;
		workers[i].shared = shared;
		CHECK_INT(pthread_create(&workers[i].thread, NULL, work,
					 &workers[i]),
			  0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK_INT(workers[i].result, 20 * 5050);
	}
	place_open(&other);
	CHECK(!wasm_module_obtain(other.store, shared));
	place_close(&other);
	wasm_module_delete(place.module);
	place.module = wasm_module_obtain(place.store, shared);
	CHECK(place.module);
	wasm_shared_module_delete(shared);
	place_close(&place);
}

TEST_MAIN

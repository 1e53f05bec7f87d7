/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the standard C API share: a place is a store with one module,
 * its instance and its exports, all made from text. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "test.h"
#include <wasm.h>

/* wat/wat.h would bring the names of the engine's core, which meet these. */
int wat_to_binary(const char *name, const char *text, size_t len,
		  struct buf *binary, struct err *err);

/* A store with a module, an instance of it and the instance's exports. */
struct place {
	wasm_engine_t *engine;
	wasm_store_t *store;
	wasm_module_t *module;
	wasm_instance_t *instance;
	wasm_extern_vec_t exports;
	wasm_trap_t *trap;
};

static inline void place_open(struct place *place)
{
	memset(place, 0, sizeof *place);
	place->engine = wasm_engine_new();
	place->store = wasm_store_new(place->engine);
}

static inline wasm_byte_vec_t binary_of(const char *text)
{
	struct buf bytes = { 0 };
	struct err err;
	wasm_byte_vec_t binary;

	if (wat_to_binary("test", text, strlen(text), &bytes, &err) < 0)
		printf("# %s\n", err.text);
	wasm_byte_vec_new(&binary, bytes.len, bytes.data);
	buf_fini(&bytes);
	return binary;
}

static inline wasm_module_t *module_of(wasm_store_t *store, const char *text)
{
	wasm_byte_vec_t binary = binary_of(text);
	wasm_module_t *module = wasm_module_new(store, &binary);

	wasm_byte_vec_delete(&binary);
	return module;
}

static inline void place_run(struct place *place, const char *text,
			     const wasm_extern_vec_t *imports)
{
	place->module = module_of(place->store, text);
	CHECK(place->module);
	if (!place->module)
		return;
	place->instance = wasm_instance_new(place->store, place->module,
					    imports, &place->trap);
	if (place->instance)
		wasm_instance_exports(place->instance, &place->exports);
}

static inline void place_close(struct place *place)
{
	wasm_extern_vec_delete(&place->exports);
	wasm_trap_delete(place->trap);
	wasm_instance_delete(place->instance);
	wasm_module_delete(place->module);
	wasm_store_delete(place->store);
	wasm_engine_delete(place->engine);
}

static inline wasm_func_t *func_at(const struct place *place, size_t index)
{
	return index < place->exports.size
		       ? wasm_extern_as_func(place->exports.data[index])
		       : NULL;
}

/* One call with up to two values; -1 where it trapped. */
static inline int64_t call_i32(const struct place *place, size_t index,
			       int32_t a, int32_t b)
{
	wasm_val_t values[] = { WASM_I32_VAL(a), WASM_I32_VAL(b) };
	wasm_func_t *func = func_at(place, index);
	wasm_val_vec_t arguments = { wasm_func_param_arity(func), values };
	wasm_val_t one[] = { WASM_INIT_VAL };
	wasm_val_vec_t results = WASM_ARRAY_VEC(one);
	wasm_trap_t *trap = wasm_func_call(func, &arguments, &results);

	wasm_trap_delete(trap);
	return trap ? -1 : one[0].of.i32;
}

static inline wasm_trap_t *call_nothing(const wasm_func_t *func)
{
	wasm_val_vec_t none = WASM_EMPTY_VEC;

	return wasm_func_call(func, &none, &none);
}

static inline int message_is(const wasm_trap_t *trap, const char *text)
{
	wasm_message_t message;
	int is;

	if (!trap)
		return 0;
	wasm_trap_message(trap, &message);
	is = message.size == strlen(text) + 1 &&
	     memcmp(message.data, text, message.size) == 0;
	if (!is)
		printf("# message: %s\n", message.data);
	wasm_byte_vec_delete(&message);
	return is;
}

static inline void count_end(void *env)
{
	++*(int *)env;
}

static inline wasm_func_t *
nothing_func(wasm_store_t *store, wasm_func_callback_with_env_t call, void *env)
{
	wasm_functype_t *type = wasm_functype_new_0_0();
	wasm_func_t *func =
		wasm_func_new_with_env(store, type, call, env, NULL);

	wasm_functype_delete(type);
	return func;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the C API: calls from C into code and from code into C. */
#include "lib/wasm_api.h"
#include <stdlib.h>

enum { FEW = 16 };

/* What a host function of the core has as its env. */
struct callback {
	wasm_store_t *store;
	wasm_func_callback_t plain; /* NULL: with_env */
	wasm_func_callback_with_env_t with_env;
	void *env;
	void (*finalize)(void *env);
};

static void callback_drop(void *env)
{
	struct callback *callback = env;

	if (callback->finalize)
		callback->finalize(callback->env);
	free(callback);
}

/* Values of one call, on the stack where they are few. */
struct values {
	wasm_val_vec_t vec;
	wasm_val_t few[FEW];
};

static bool values_make(struct values *values, size_t count)
{
	values->vec.size = count;
	values->vec.data = values->few;
	if (count <= FEW)
		memset(values->few, 0, count * sizeof *values->few);
	else
		values->vec.data = calloc(count, sizeof *values->few);
	if (!values->vec.data)
		values->vec.size = 0;
	return values->vec.data;
}

static void values_drop(struct values *values)
{
	for (size_t i = 0; i < values->vec.size; i++)
		wasm_val_delete(&values->vec.data[i]);
	if (values->vec.data != values->few)
		free(values->vec.data);
}

static wasm_trap_t *arguments_take(wasm_store_t *store,
				   const struct wasm_deftype *type,
				   const union wasm_value *slots,
				   struct values *arguments)
{
	if (!values_make(arguments, type->param_count))
		return api_trap(store, "no memory for arguments");
	for (uint32_t i = 0; i < type->param_count; i++)
		if (!api_value_out(store, type->params[i], &slots[i],
				   &arguments->vec.data[i]))
			return api_trap(store, "an argument that C cannot "
					       "have");
	return NULL;
}

/* Room for results, with their kinds. */
static wasm_trap_t *results_make(wasm_store_t *store,
				 const struct wasm_deftype *type,
				 struct values *results)
{
	if (!values_make(results, type->result_count))
		return api_trap(store, "no memory for results");
	for (uint32_t i = 0; i < type->result_count; i++)
		results->vec.data[i].kind =
			api_kind_of(store->engine->types, type->results[i]);
	return NULL;
}

static wasm_trap_t *results_give(wasm_store_t *store,
				 const struct wasm_deftype *type,
				 const struct values *results,
				 union wasm_value *slots)
{
	for (uint32_t i = 0; i < type->result_count; i++)
		if (!api_value_in(store, type->results[i],
				  &results->vec.data[i], &slots[i]))
			return api_trap(store, "a host function's result is "
					       "of another type than its own");
	return NULL;
}

static wasm_trap_t *callback_run(const struct callback *callback,
				 const wasm_val_vec_t *arguments,
				 wasm_val_vec_t *results)
{
	return callback->plain
		       ? callback->plain(arguments, results)
		       : callback->with_env(callback->env, arguments, results);
}

static enum wasm_trap callback_call(struct wasm_store *core,
				    struct wasm_function *self,
				    struct wasm_instance *caller,
				    union wasm_value *slots)
{
	const struct callback *callback =
		((struct wasm_host_function *)self)->env;
	const struct wasm_deftype *type =
		wasm_types_get(core->types, self->type);
	struct values arguments = { 0 }, results = { 0 };
	wasm_store_t *store = callback->store;
	wasm_trap_t *trap = arguments_take(store, type, slots, &arguments);

	(void)caller;
	if (!trap)
		trap = results_make(store, type, &results);
	if (!trap)
		trap = callback_run(callback, &arguments.vec, &results.vec);
	if (!trap)
		trap = results_give(store, type, &results, slots);
	values_drop(&arguments);
	values_drop(&results);
	return trap ? api_trap_raise(store, trap) : WASM_OK;
}

/* Takes the callback's env over only where it succeeds. */
static wasm_func_t *func_make(wasm_store_t *store, const wasm_functype_t *type,
			      struct callback with)
{
	uint32_t id = api_functype_id(store->engine->types, type);
	struct callback *callback = malloc(sizeof *callback);
	struct wasm_function *made = NULL;

	if (callback && id != WASM_NO_TYPE) {
		*callback = with;
		made = wasm_host_function_new(store->core, id, callback_call,
					      callback, callback_drop);
	}
	if (made)
		return (wasm_func_t *)api_ref_to(store, API_THING_FUNC, made);
	free(callback);
	return NULL;
}

wasm_func_t *wasm_func_new(wasm_store_t *store, const wasm_functype_t *type,
			   wasm_func_callback_t call)
{
	return func_make(store, type,
			 (struct callback){ .store = store, .plain = call });
}

wasm_func_t *wasm_func_new_with_env(wasm_store_t *store,
				    const wasm_functype_t *type,
				    wasm_func_callback_with_env_t call,
				    void *env, void (*finalizer)(void *))
{
	return func_make(store, type,
			 (struct callback){ .store = store,
					    .with_env = call,
					    .env = env,
					    .finalize = finalizer });
}

static const struct wasm_deftype *func_deftype(const wasm_func_t *func)
{
	const struct wasm_function *function = api_thing(func);

	return function ? wasm_types_get(api_types_of(func), function->type)
			: NULL;
}

wasm_functype_t *wasm_func_type(const wasm_func_t *func)
{
	const struct wasm_deftype *type = func_deftype(func);

	return type ? api_functype(api_types_of(func), type->id) : NULL;
}

size_t wasm_func_param_arity(const wasm_func_t *func)
{
	const struct wasm_deftype *type = func_deftype(func);

	return type ? type->param_count : 0;
}

size_t wasm_func_result_arity(const wasm_func_t *func)
{
	const struct wasm_deftype *type = func_deftype(func);

	return type ? type->result_count : 0;
}

static wasm_trap_t *call_arguments(wasm_store_t *store,
				   const struct wasm_deftype *type,
				   const wasm_val_vec_t *arguments,
				   union wasm_value *slots)
{
	if ((arguments ? arguments->size : 0) != type->param_count)
		return api_trap(store, "another number of arguments than the "
				       "function has parameters");
	for (uint32_t i = 0; i < type->param_count; i++)
		if (!api_value_in(store, type->params[i], &arguments->data[i],
				  &slots[i]))
			return api_trap(store, "an argument is of another type "
					       "than its parameter");
	for (uint32_t i = 0; i < type->result_count; i++)
		if (type->results[i] == WASM_V128)
			return api_trap(store, "a vector has no place in C");
	return NULL;
}

static wasm_trap_t *call_results(wasm_store_t *store,
				 const struct wasm_deftype *type,
				 const union wasm_value *slots,
				 wasm_val_vec_t *results)
{
	size_t count = results ? results->size : 0;

	if (count > type->result_count)
		count = type->result_count;
	for (size_t i = 0; i < count; i++)
		if (!api_value_out(store, type->results[i], &slots[i],
				   &results->data[i])) {
			while (i--)
				wasm_val_delete(&results->data[i]);
			return api_trap(store, "no memory for results");
		}
	return NULL;
}

static wasm_trap_t *call_slots(wasm_store_t *store,
			       struct wasm_function *function,
			       union wasm_value *slots, wasm_val_vec_t *results)
{
	const struct wasm_deftype *type =
		wasm_types_get(store->core->types, function->type);
	enum wasm_trap number;
	struct vm_run run;
	wasm_trap_t *trap;

	api_store_enter(store, &run);
	number = wasm_call(store->core, function, slots, slots);
	trap = number ? api_trap_of_core(store, number)
		      : call_results(store, type, slots, results);
	api_store_leave(store, &run);
	return trap;
}

wasm_trap_t *wasm_func_call(const wasm_func_t *func,
			    const wasm_val_vec_t *arguments,
			    wasm_val_vec_t *results)
{
	const struct wasm_deftype *type = func_deftype(func);
	union wasm_value few[FEW], *slots = few;
	size_t count;
	wasm_trap_t *trap;

	if (!type)
		return api_trap(api_store_of(func), "the store has ended");
	count = type->param_count > type->result_count ? type->param_count
						       : type->result_count;
	if (count > FEW)
		slots = calloc(count, sizeof *slots);
	if (!slots)
		return api_trap(api_store_of(func), "no memory for a call");
	trap = call_arguments(api_store_of(func), type, arguments, slots);
	if (!trap)
		trap = call_slots(api_store_of(func), api_thing(func), slots,
				  results);
	if (slots != few)
		free(slots);
	return trap;
}

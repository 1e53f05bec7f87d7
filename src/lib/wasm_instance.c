/* SPDX-License-Identifier: Apache-2.0 */
/* Instances of the C API. */
#include "lib/wasm_api.h"
#include <stdlib.h>

static wasm_trap_t *imports_take(wasm_store_t *store,
				 const struct wasm_module *module,
				 const wasm_extern_vec_t *given,
				 struct wasm_extern *imports)
{
	if ((given ? given->size : 0) < module->import_count)
		return api_trap(store, "fewer imports are given than the "
				       "module has");
	for (uint32_t i = 0; i < module->import_count; i++)
		if (!api_extern_of(store, given->data[i], &imports[i]))
			return api_trap(store, "an import is missing or of "
					       "another store");
	return NULL;
}

static wasm_trap_t *instance_make(wasm_store_t *store,
				  const struct wasm_module *module,
				  const struct wasm_extern *imports,
				  struct wasm_instance **instance)
{
	struct wasm_error error = { 0 };
	wasm_trap_t *trap = NULL;
	struct vm_run run;
	int result;

	api_store_enter(store, &run);
	result = wasm_instantiate(store->core, module, imports, instance,
				  &error);
	if (result < 0)
		trap = api_trap(store, error.text);
	else if (result)
		trap = api_trap_of_core(store, (enum wasm_trap)result);
	if (result)
		*instance = NULL;
	api_store_leave(store, &run);
	return trap;
}

/* The module stays until the store ends: even an instance that trapped may
 * have left functions in tables. */
static bool module_use(wasm_store_t *store, struct api_module *module)
{
	struct api_use *use;

	if (store->uses && store->uses->module == module)
		return true;
	use = malloc(sizeof *use);
	if (!use)
		return false;
	use->module = module;
	use->next = store->uses;
	store->uses = use;
	api_module_hold(module);
	return true;
}

static wasm_trap_t *instance_start(wasm_store_t *store,
				   struct api_module *module,
				   const wasm_extern_vec_t *given,
				   struct wasm_instance **instance)
{
	struct wasm_extern *imports =
		calloc(module->core->import_count + 1, sizeof *imports);
	wasm_trap_t *trap;

	if (!imports || !module_use(store, module)) {
		free(imports);
		return api_trap(store, "no memory for an instance");
	}
	trap = imports_take(store, module->core, given, imports);
	if (!trap)
		trap = instance_make(store, module->core, imports, instance);
	free(imports);
	return trap;
}

wasm_instance_t *wasm_instance_new(wasm_store_t *store,
				   const wasm_module_t *handle,
				   const wasm_extern_vec_t *imports,
				   wasm_trap_t **trap)
{
	struct api_module *module = api_thing(handle);
	struct wasm_instance *instance = NULL;
	wasm_ref_t *made = NULL;
	wasm_trap_t *why;

	if (trap)
		*trap = NULL;
	if (!module || module->engine != store->engine)
		why = api_trap(store, "the module is of another engine");
	else
		why = instance_start(store, module, imports, &instance);
	if (instance)
		made = api_ref_to(store, API_THING_INSTANCE, instance);
	if (instance && !made)
		why = api_trap(store, "no memory for an instance");
	if (trap)
		*trap = why;
	else
		wasm_trap_delete(why);
	return (wasm_instance_t *)made;
}

void wasm_instance_exports(const wasm_instance_t *handle,
			   wasm_extern_vec_t *out)
{
	struct wasm_instance *instance = api_thing(handle);

	wasm_extern_vec_new_uninitialized(
		out, instance ? instance->module->export_count : 0);
	for (size_t i = 0; i < out->size; i++) {
		const struct wasm_export *export =
			&instance->module->exports[i];
		struct wasm_extern what = wasm_instance_extern(
			instance, export->kind, export->index);

		out->data[i] = api_extern_to(api_store_of(handle), &what);
	}
}

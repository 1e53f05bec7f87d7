/* SPDX-License-Identifier: Apache-2.0 */
/* Engines, stores and foreign objects of the C API.  An engine has the
 * registry of types that its stores and modules share, so that a module is
 * made once and used in stores of all threads. */
#include "lib/wasm_api.h"
#include <stdlib.h>

wasm_config_t *wasm_config_new(void)
{
	return calloc(1, sizeof(wasm_config_t));
}

void wasm_config_delete(wasm_config_t *config)
{
	free(config);
}

wasm_engine_t *wasm_engine_new(void)
{
	return wasm_engine_new_with_config(NULL);
}

wasm_engine_t *wasm_engine_new_with_config(wasm_config_t *config)
{
	struct err err;
	struct wasm_engine_t *engine = NULL;

	if (vm_prepare(&err) >= 0)
		engine = calloc(1, sizeof *engine);
	if (engine) {
		engine->holds = 1;
		if (config)
			engine->config = *config;
		engine->types = wasm_types_new(&vm_host);
		if (!engine->types) {
			free(engine);
			engine = NULL;
		}
	}
	wasm_config_delete(config);
	return engine;
}

void api_engine_hold(wasm_engine_t *engine)
{
	__atomic_add_fetch(&engine->holds, 1, __ATOMIC_RELAXED);
}

void api_engine_drop(wasm_engine_t *engine)
{
	if (__atomic_sub_fetch(&engine->holds, 1, __ATOMIC_ACQ_REL))
		return;
	vm_host.lock(vm_host.env);
	wasm_types_free(engine->types);
	vm_host.unlock(vm_host.env);
	free(engine);
}

void wasm_engine_delete(wasm_engine_t *engine)
{
	if (engine)
		api_engine_drop(engine);
}

wasm_store_t *wasm_store_new(wasm_engine_t *engine)
{
	struct wasm_store_t *store = calloc(1, sizeof *store);

	if (!store)
		return NULL;
	store->spare = api_trap_spare_new(store);
	if (store->spare)
		store->core = wasm_store_make(&vm_host, engine->types,
					      &engine->config.store);
	if (!store->core) {
		if (store->spare)
			api_trap_spare_free(store->spare);
		free(store);
		return NULL;
	}
	store->core->host_data = store;
	store->holds = 1;
	store->engine = engine;
	api_engine_hold(engine);
	return store;
}

void api_store_hold(wasm_store_t *store)
{
	store->holds++;
}

void api_store_drop(wasm_store_t *store)
{
	if (--store->holds)
		return;
	api_engine_drop(store->engine);
	api_trap_spare_free(store->spare);
	free(store);
}

/* Finalizers still find their store whole, and cannot be met by code. */
static void store_end(wasm_store_t *store)
{
	struct wasm_store *core = store->core;

	api_refs_end(store);
	store->core = NULL;
	wasm_store_free(core);
	for (struct api_use *at = store->uses, *next; at; at = next) {
		next = at->next;
		api_module_drop(at->module);
		free(at);
	}
	store->uses = NULL;
	api_store_drop(store);
}

/* One that runs ends when its outermost call is over. */
void wasm_store_delete(wasm_store_t *store)
{
	if (!store)
		return;
	if (store->running)
		store->is_doomed = true;
	else
		store_end(store);
}

void api_store_enter(wasm_store_t *store, struct vm_run *run)
{
	store->running++;
	vm_enter(run, store->core, 0);
}

void api_store_leave(wasm_store_t *store, struct vm_run *run)
{
	vm_leave(run);
	if (--store->running || !store->is_doomed)
		return;
	store->is_doomed = false;
	store_end(store);
}

wasm_foreign_t *wasm_foreign_new(wasm_store_t *store)
{
	return (wasm_foreign_t *)api_ref_to(store, API_THING_FOREIGN, NULL);
}

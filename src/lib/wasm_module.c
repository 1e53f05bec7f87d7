/* SPDX-License-Identifier: Apache-2.0 */
/* Modules of the C API.  A module with its bytes is shared by the stores of
 * an engine, in any threads; a wasm_module_t is one store's reference to it.
 *
 * Serialised: the bytes as they are behind a header (little-endian), since
 * loading is one pass over them.
 *
 *	0  magic "\0brood-m"
 *	8  version, 1
 *	12 CRC-32C of the bytes
 *	16 their number
 *	24 bytes */
#include "bare/crc.h"
#include "lib/wasm_api.h"
#include <stdlib.h>

struct module_header {
	char magic[8];
	uint32_t version, crc;
	uint64_t len;
};
_Static_assert(sizeof(struct module_header) == 24, "a format");
enum { MODULE_VERSION = 1 };
static const char module_magic[8] = { 0, 'b', 'r', 'o', 'o', 'd', '-', 'm' };

static int module_load(struct wasm_module **core, const wasm_engine_t *engine,
		       const void *bytes, size_t len)
{
	struct wasm_error error = { 0 };

	return wasm_module_load(core, &vm_host, engine->types, bytes, len, NULL,
				&error);
}

static struct api_module *module_make(wasm_engine_t *engine, const void *bytes,
				      size_t len)
{
	struct api_module *module = calloc(1, sizeof *module);
	void *copy = malloc(len ? len : 1);

	if (module && copy) {
		if (len)
			memcpy(copy, bytes, len);
		module->holds = 1;
		module->engine = engine;
		module->bytes = copy;
		module->len = len;
		if (module_load(&module->core, engine, copy, len) == 0) {
			api_engine_hold(engine);
			return module;
		}
	}
	free(copy);
	free(module);
	return NULL;
}

void api_module_hold(struct api_module *module)
{
	__atomic_add_fetch(&module->holds, 1, __ATOMIC_RELAXED);
}

void api_module_drop(struct api_module *module)
{
	if (!module || __atomic_sub_fetch(&module->holds, 1, __ATOMIC_ACQ_REL))
		return;
	wasm_module_free(module->core);
	free(module->bytes);
	api_engine_drop(module->engine);
	free(module);
}

/* Takes a hold of the module over; a reference of the store has one. */
static wasm_module_t *module_to(wasm_store_t *store, struct api_module *module)
{
	wasm_ref_t *ref = api_ref_to(store, API_THING_MODULE, module);

	if (!ref || ref->holds > 1)
		api_module_drop(module);
	return (wasm_module_t *)ref;
}

wasm_module_t *wasm_module_new(wasm_store_t *store,
			       const wasm_byte_vec_t *binary)
{
	struct api_module *module =
		module_make(store->engine, binary->data, binary->size);

	return module ? module_to(store, module) : NULL;
}

bool wasm_module_validate(wasm_store_t *store, const wasm_byte_vec_t *binary)
{
	struct wasm_module *core;

	if (module_load(&core, store->engine, binary->data, binary->size) < 0)
		return false;
	wasm_module_free(core);
	return true;
}

/* What a module wants and gives */

static wasm_externtype_t *item_type(const struct wasm_module *module,
				    enum wasm_extern_kind kind, uint32_t index)
{
	const struct wasm_types *types = module->types;

	switch (kind) {
	case WASM_EXTERN_FUNCTION:
		return (void *)api_functype(types,
					    module->functions[index].type);
	case WASM_EXTERN_TABLE:
		return (void *)api_tabletype(types, module->tables[index].type,
					     &module->tables[index].limits);
	case WASM_EXTERN_MEMORY:
		return (void *)api_memorytype(&module->memories[index].limits);
	case WASM_EXTERN_GLOBAL:
		return (void *)api_globaltype(
			types, module->globals[index].type,
			module->globals[index].is_mutable);
	case WASM_EXTERN_TAG:
		return (void *)api_tagtype(types, module->tags[index].type);
	}
	return NULL;
}

void wasm_module_imports(const wasm_module_t *handle,
			 wasm_importtype_vec_t *out)
{
	const struct api_module *shared = api_thing(handle);
	const struct wasm_module *module = shared ? shared->core : NULL;

	wasm_importtype_vec_new_uninitialized(out, module ? module->import_count
							  : 0);
	for (size_t i = 0; i < out->size; i++) {
		const struct wasm_import *import = &module->imports[i];
		wasm_name_t from, name;

		wasm_byte_vec_new(&from, import->module.len,
				  import->module.text);
		wasm_byte_vec_new(&name, import->name.len, import->name.text);
		out->data[i] = wasm_importtype_new(
			&from, &name,
			item_type(module, import->kind, import->index));
	}
}

void wasm_module_exports(const wasm_module_t *handle,
			 wasm_exporttype_vec_t *out)
{
	const struct api_module *shared = api_thing(handle);
	const struct wasm_module *module = shared ? shared->core : NULL;

	wasm_exporttype_vec_new_uninitialized(out, module ? module->export_count
							  : 0);
	for (size_t i = 0; i < out->size; i++) {
		const struct wasm_export *export = &module->exports[i];
		wasm_name_t name;

		wasm_byte_vec_new(&name, export->name.len, export->name.text);
		out->data[i] = wasm_exporttype_new(
			&name, item_type(module, export->kind, export->index));
	}
}

/* Bytes */

void wasm_module_serialize(const wasm_module_t *handle, wasm_byte_vec_t *out)
{
	const struct api_module *module = api_thing(handle);
	struct module_header header = { .version = MODULE_VERSION };

	wasm_byte_vec_new_uninitialized(
		out, module ? sizeof header + module->len : 0);
	if (!out->data)
		return;
	memcpy(header.magic, module_magic, sizeof module_magic);
	header.len = module->len;
	header.crc = crc_of(0, module->bytes, module->len);
	memcpy(out->data, &header, sizeof header);
	memcpy(out->data + sizeof header, module->bytes, module->len);
}

wasm_module_t *wasm_module_deserialize(wasm_store_t *store,
				       const wasm_byte_vec_t *bytes)
{
	struct module_header header;
	wasm_byte_vec_t rest;

	if (bytes->size < sizeof header)
		return NULL;
	memcpy(&header, bytes->data, sizeof header);
	rest.data = bytes->data + sizeof header;
	rest.size = bytes->size - sizeof header;
	if (memcmp(header.magic, module_magic, sizeof module_magic) != 0 ||
	    header.version != MODULE_VERSION || header.len != rest.size ||
	    header.crc != crc_of(0, rest.data, rest.size))
		return NULL;
	return wasm_module_new(store, &rest);
}

/* Between stores */

struct wasm_shared_module_t {
	struct api_module *module;
};

wasm_shared_module_t *wasm_module_share(const wasm_module_t *handle)
{
	struct api_module *module = api_thing(handle);
	struct wasm_shared_module_t *shared =
		module ? calloc(1, sizeof *shared) : NULL;

	if (!shared)
		return NULL;
	shared->module = module;
	api_module_hold(module);
	return shared;
}

void wasm_shared_module_delete(wasm_shared_module_t *shared)
{
	if (!shared)
		return;
	api_module_drop(shared->module);
	free(shared);
}

wasm_module_t *wasm_module_obtain(wasm_store_t *store,
				  const wasm_shared_module_t *shared)
{
	if (!shared || shared->module->engine != store->engine)
		return NULL;
	api_module_hold(shared->module);
	return module_to(store, shared->module);
}

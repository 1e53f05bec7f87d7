/* SPDX-License-Identifier: Apache-2.0 */
/* Globals, tables, memories and tags of the C API, and all that can be
 * imported and exported. */
#include "lib/wasm_api.h"

enum { PAGES_MOST = 65536, PAGE_LOG2 = 16 };

/* Globals */

wasm_global_t *wasm_global_new(wasm_store_t *store,
			       const wasm_globaltype_t *type,
			       const wasm_val_t *value)
{
	wasm_type content = api_type_of_kind(
		wasm_valtype_kind(wasm_globaltype_content(type)));
	bool is_mutable = wasm_globaltype_mutability(type) == WASM_VAR;
	union wasm_value first;
	struct wasm_global *made;

	if (!api_value_in(store, content, value, &first))
		return NULL;
	made = wasm_global_make(store->core, content, is_mutable, first);
	return made ? (wasm_global_t *)api_ref_to(store, API_THING_GLOBAL, made)
		    : NULL;
}

wasm_globaltype_t *wasm_global_type(const wasm_global_t *handle)
{
	const struct wasm_global *global = api_thing(handle);

	return global ? api_globaltype(api_types_of(handle), global->type,
				       global->is_mutable)
		      : NULL;
}

void wasm_global_get(const wasm_global_t *handle, wasm_val_t *out)
{
	const struct wasm_global *global = api_thing(handle);

	*out = (wasm_val_t){ .kind = API_EXTERNREF };
	if (global)
		api_value_out(api_store_of(handle), global->type,
			      &global->value, out);
}

void wasm_global_set(wasm_global_t *handle, const wasm_val_t *value)
{
	struct wasm_global *global = api_thing(handle);
	union wasm_value next;

	if (global && global->is_mutable &&
	    api_value_in(api_store_of(handle), global->type, value, &next))
		global->value = next;
}

/* Tables */

wasm_table_t *wasm_table_new(wasm_store_t *store, const wasm_tabletype_t *type,
			     wasm_ref_t *init)
{
	struct wasm_limits limits = api_limits(wasm_tabletype_limits(type));
	wasm_type element = api_type_of_kind(
		wasm_valtype_kind(wasm_tabletype_element(type)));
	struct wasm_table *made;
	wasm_ref first;

	if (!wasm_type_is_ref(element) || limits.least > limits.most ||
	    !api_ref_in(store, element, init, &first))
		return NULL;
	made = wasm_table_make(store->core, element, &limits, first);
	return made ? (wasm_table_t *)api_ref_to(store, API_THING_TABLE, made)
		    : NULL;
}

wasm_tabletype_t *wasm_table_type(const wasm_table_t *handle)
{
	const struct wasm_table *table = api_thing(handle);
	struct wasm_limits limits;

	if (!table)
		return NULL;
	limits = table->limits;
	limits.least = table->length;
	return api_tabletype(api_types_of(handle), table->type, &limits);
}

wasm_ref_t *wasm_table_get(const wasm_table_t *handle, wasm_table_size_t index)
{
	const struct wasm_table *table = api_thing(handle);
	wasm_ref_t *ref = NULL;

	if (table && index < table->length)
		api_ref_out(api_store_of(handle), table->type,
			    table->elems[index], &ref);
	return ref;
}

bool wasm_table_set(wasm_table_t *handle, wasm_table_size_t index,
		    wasm_ref_t *ref)
{
	struct wasm_table *table = api_thing(handle);
	wasm_ref word;

	if (!table || index >= table->length ||
	    !api_ref_in(api_store_of(handle), table->type, ref, &word))
		return false;
	table->elems[index] = word;
	return true;
}

wasm_table_size_t wasm_table_size(const wasm_table_t *handle)
{
	const struct wasm_table *table = api_thing(handle);

	return table ? (wasm_table_size_t)table->length : 0;
}

bool wasm_table_grow(wasm_table_t *handle, wasm_table_size_t delta,
		     wasm_ref_t *init)
{
	struct wasm_table *table = api_thing(handle);
	wasm_ref word;

	return table &&
	       api_ref_in(api_store_of(handle), table->type, init, &word) &&
	       wasm_table_extend(api_store_of(handle)->core, table, delta,
				 word) >= 0;
}

/* Memories */

wasm_memory_t *wasm_memory_new(wasm_store_t *store,
			       const wasm_memorytype_t *type)
{
	struct wasm_limits limits = api_limits(wasm_memorytype_limits(type));
	struct wasm_memory *made;

	limits.page_log2 = PAGE_LOG2;
	if (limits.least > PAGES_MOST || limits.least > limits.most)
		return NULL;
	made = wasm_memory_make(store->core, &limits);
	return made ? (wasm_memory_t *)api_ref_to(store, API_THING_MEMORY, made)
		    : NULL;
}

static uint64_t memory_bytes(const struct wasm_memory *memory)
{
	return __atomic_load_n(&memory->bytes, __ATOMIC_ACQUIRE);
}

wasm_memorytype_t *wasm_memory_type(const wasm_memory_t *handle)
{
	const struct wasm_memory *memory = api_thing(handle);
	struct wasm_limits limits;

	if (!memory)
		return NULL;
	limits = memory->limits;
	limits.least = memory_bytes(memory) >> limits.page_log2;
	return api_memorytype(&limits);
}

byte_t *wasm_memory_data(wasm_memory_t *handle)
{
	struct wasm_memory *memory = api_thing(handle);

	return memory ? (byte_t *)memory->base : NULL;
}

size_t wasm_memory_data_size(const wasm_memory_t *handle)
{
	const struct wasm_memory *memory = api_thing(handle);

	return memory ? memory_bytes(memory) : 0;
}

wasm_memory_pages_t wasm_memory_size(const wasm_memory_t *handle)
{
	const struct wasm_memory *memory = api_thing(handle);

	return memory ? (wasm_memory_pages_t)(memory_bytes(memory) >>
					      memory->limits.page_log2)
		      : 0;
}

bool wasm_memory_grow(wasm_memory_t *handle, wasm_memory_pages_t delta)
{
	struct wasm_memory *memory = api_thing(handle);

	return memory && wasm_memory_extend(api_store_of(handle)->core, memory,
					    delta) >= 0;
}

/* Tags */

wasm_tag_t *wasm_tag_new(wasm_store_t *store, const wasm_tagtype_t *type)
{
	uint32_t id = api_functype_id(store->engine->types,
				      wasm_tagtype_functype(type));
	struct wasm_tag *made =
		id == WASM_NO_TYPE ? NULL : wasm_tag_make(store->core, id);

	return made ? (wasm_tag_t *)api_ref_to(store, API_THING_TAG, made)
		    : NULL;
}

wasm_tagtype_t *wasm_tag_type(const wasm_tag_t *handle)
{
	const struct wasm_tag *tag = api_thing(handle);

	return tag ? api_tagtype(api_types_of(handle), tag->type) : NULL;
}

/* All of them */

wasm_externkind_t wasm_extern_kind(const wasm_extern_t *handle)
{
	static const wasm_externkind_t kinds[] = {
		[API_THING_FUNC] = API_EXTERN_FUNC,
		[API_THING_GLOBAL] = API_EXTERN_GLOBAL,
		[API_THING_TABLE] = API_EXTERN_TABLE,
		[API_THING_MEMORY] = API_EXTERN_MEMORY,
		[API_THING_TAG] = API_EXTERN_TAG,
	};

	return kinds[((const wasm_ref_t *)handle)->what];
}

wasm_externtype_t *wasm_extern_type(const wasm_extern_t *handle)
{
	const void *same = handle;

	switch (wasm_extern_kind(handle)) {
	case API_EXTERN_FUNC: return (void *)wasm_func_type(same);
	case API_EXTERN_GLOBAL: return (void *)wasm_global_type(same);
	case API_EXTERN_TABLE: return (void *)wasm_table_type(same);
	case API_EXTERN_MEMORY: return (void *)wasm_memory_type(same);
	case API_EXTERN_TAG: return (void *)wasm_tag_type(same);
	}
	return NULL;
}

wasm_extern_t *api_extern_to(wasm_store_t *store,
			     const struct wasm_extern *what)
{
	static const enum api_thing things[] = {
		[WASM_EXTERN_FUNCTION] = API_THING_FUNC,
		[WASM_EXTERN_TABLE] = API_THING_TABLE,
		[WASM_EXTERN_MEMORY] = API_THING_MEMORY,
		[WASM_EXTERN_GLOBAL] = API_THING_GLOBAL,
		[WASM_EXTERN_TAG] = API_THING_TAG,
	};

	return (wasm_extern_t *)api_ref_to(store, things[what->kind],
					   what->function);
}

bool api_extern_of(const wasm_store_t *store, const wasm_extern_t *given,
		   struct wasm_extern *what)
{
	static const enum wasm_extern_kind kinds[] = {
		[API_THING_FUNC] = WASM_EXTERN_FUNCTION,
		[API_THING_TABLE] = WASM_EXTERN_TABLE,
		[API_THING_MEMORY] = WASM_EXTERN_MEMORY,
		[API_THING_GLOBAL] = WASM_EXTERN_GLOBAL,
		[API_THING_TAG] = WASM_EXTERN_TAG,
	};
	const wasm_ref_t *ref = (const wasm_ref_t *)given;

	if (!ref || ref->store != store || !ref->thing ||
	    ref->what > API_THING_TAG)
		return false;
	what->kind = kinds[ref->what];
	what->function = ref->thing;
	return true;
}

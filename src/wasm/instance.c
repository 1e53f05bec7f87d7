/* SPDX-License-Identifier: Apache-2.0 */
/* Instantiation, in the standard's order: imports, globals, tables with their
 * first values, items of element segments; then what others can see: active
 * elements, active data, the start function.  What fails before that leaves
 * nothing behind; a trap after it leaves the instance. */
#include "wasm/decode.h"
#include "wasm/interp.h"
#include "wasm/state.h"
#include "wasm/store.h"
#include <string.h>

/* Does a given size, with the limit it was made with, fit what is wanted? */
static bool limits_match(const struct wasm_limits *given, uint64_t size,
			 const struct wasm_limits *wanted)
{
	if (given->is64 != wanted->is64 || size < wanted->least)
		return false;
	return !wanted->has_most ||
	       (given->has_most && given->most <= wanted->most);
}

static bool table_matches(const struct wasm_table *given,
			  const struct wasm_table_decl *wanted)
{
	return given->type == wanted->type &&
	       limits_match(&given->limits, given->length, &wanted->limits);
}

static bool memory_matches(const struct wasm_memory *given,
			   const struct wasm_memory_decl *wanted)
{
	const struct wasm_limits *limits = &given->limits;
	uint64_t pages = wasm_memory_bytes(given) >> limits->page_log2;

	return limits->page_log2 == wanted->limits.page_log2 &&
	       limits->is_shared == wanted->limits.is_shared &&
	       limits_match(limits, pages, &wanted->limits);
}

/* What may be written is of the very type, what is only read of a lower. */
static bool global_matches(const struct wasm_types *types,
			   const struct wasm_global *given,
			   const struct wasm_global_decl *wanted)
{
	if (given->is_mutable != wanted->is_mutable)
		return false;
	return given->is_mutable
		       ? given->type == wanted->type
		       : wasm_type_matches(types, given->type, wanted->type);
}

bool wasm_import_matches(const struct wasm_module *module, uint32_t import,
			 const struct wasm_extern *given)
{
	const struct wasm_import *wanted = &module->imports[import];
	uint32_t index = wanted->index;

	if (given->kind != wanted->kind)
		return false;
	switch (given->kind) {
	case WASM_EXTERN_FUNCTION:
		return wasm_id_matches(module->types, given->function->type,
				       module->functions[index].type);
	case WASM_EXTERN_TABLE:
		return table_matches(given->table, &module->tables[index]);
	case WASM_EXTERN_MEMORY:
		return memory_matches(given->memory, &module->memories[index]);
	case WASM_EXTERN_GLOBAL:
		return global_matches(module->types, given->global,
				      &module->globals[index]);
	case WASM_EXTERN_TAG:
		return given->tag->type == module->tags[index].type;
	}
	return false;
}

/* A name for a line of error: not too long, no control characters. */
static const char *name_text(const struct wasm_name *name, char text[64])
{
	uint32_t len = name->len < 63 ? name->len : 63;

	for (uint32_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)name->text[i];

		text[i] = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	text[len] = 0;
	return text;
}

static int imports_check(const struct wasm_module *module,
			 const struct wasm_extern *imports,
			 struct wasm_error *error)
{
	char first[64], second[64];

	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_import *import = &module->imports[i];

		if (!wasm_import_matches(module, i, &imports[i]))
			return wasm_error_set(
				error, 0,
				"incompatible import type: \"%s\" \"%s\"",
				name_text(&import->module, first),
				name_text(&import->name, second));
	}
	return 0;
}

/* One block: the instance, its globals, all its arrays.  "base" is NULL when
 * only the size is asked for. */
static void *part(uint8_t *base, size_t *at, uint64_t count, size_t size)
{
	size_t here = *at;

	*at += (count * size + 15) & ~(size_t)15;
	return base ? base + here : NULL;
}

static size_t instance_lay_out(struct wasm_instance *of, uint8_t *base,
			       const struct wasm_module *module)
{
	uint32_t globals = module->global_count - module->imported_globals;
	uint32_t functions =
		module->function_count - module->imported_functions;
	size_t at = 0;

	part(base, &at, 1, sizeof(*of));
	part(base, &at, globals, sizeof(struct wasm_global));
	of->memories = part(base, &at, module->memory_count, sizeof(void *));
	of->tables = part(base, &at, module->table_count, sizeof(void *));
	of->imported_globals =
		part(base, &at, module->imported_globals, sizeof(void *));
	of->imported_functions =
		part(base, &at, module->imported_functions, sizeof(void *));
	of->tags = part(base, &at, module->tag_count, sizeof(void *));
	of->elems = part(base, &at, module->elem_count, sizeof(void *));
	of->own_functions =
		part(base, &at, functions, sizeof(struct wasm_function));
	of->elem_lengths =
		part(base, &at, module->elem_count, sizeof(uint32_t));
	of->data_lengths =
		part(base, &at, module->data_count, sizeof(uint32_t));
	return at;
}

static struct wasm_instance *instance_make(struct wasm_store *store,
					   const struct wasm_module *module)
{
	struct wasm_instance sizes, *instance;

	instance = wasm_store_own(store, WASM_OWN_INSTANCE,
				  instance_lay_out(&sizes, NULL, module));
	if (!instance)
		return NULL;
	instance_lay_out(instance, (uint8_t *)instance, module);
	instance->module = module;
	instance->store = store;
	instance->stack_limit = store->stack_end;
	for (uint32_t i = 0; i < module->data_count; i++)
		instance->data_lengths[i] = module->datas[i].len;
	instance->next = store->instances;
	store->instances = instance;
	return instance;
}

static int imports_take(struct wasm_instance *instance,
			const struct wasm_extern *imports)
{
	const struct wasm_module *module = instance->module;

	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_extern *given = &imports[i];
		uint32_t index = module->imports[i].index;

		switch (given->kind) {
		case WASM_EXTERN_FUNCTION:
			instance->imported_functions[index] = given->function;
			break;
		case WASM_EXTERN_TABLE:
			instance->tables[index] = given->table;
			break;
		case WASM_EXTERN_MEMORY:
			instance->memories[index] = given->memory;
			if (given->memory->limits.is_shared &&
			    wasm_store_share(instance->store, given->memory) <
				    0)
				return -1;
			break;
		case WASM_EXTERN_GLOBAL:
			instance->imported_globals[index] = given->global;
			break;
		case WASM_EXTERN_TAG: instance->tags[index] = given->tag; break;
		}
	}
	return 0;
}

static int tags_make(struct wasm_instance *instance)
{
	const struct wasm_module *module = instance->module;

	for (uint32_t i = module->imported_tags; i < module->tag_count; i++) {
		instance->tags[i] =
			wasm_tag_make(instance->store, module->tags[i].type);
		if (!instance->tags[i])
			return -1;
	}
	return 0;
}

/* *placed: a bit for each memory whose data came with it. */
static int memories_make(struct wasm_instance *instance, uint8_t *placed,
			 struct wasm_error *error)
{
	const struct wasm_module *module = instance->module;

	for (uint32_t i = module->imported_memories; i < module->memory_count;
	     i++) {
		const struct wasm_limits *limits = &module->memories[i].limits;
		bool has_data = false;

		instance->memories[i] = wasm_store_memory(
			instance->store, limits, module, i, &has_data);
		if (!instance->memories[i])
			return wasm_error_set(
				error, 0,
				wasm_store_allows(instance->store, limits)
					? "no memory for memory %u of %U pages"
					: "memory %u of %U pages is larger "
					  "than the limit",
				i, limits->least);
		if (has_data)
			placed[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return 0;
}

static enum wasm_trap globals_make(struct wasm_instance *instance)
{
	const struct wasm_module *module = instance->module;
	uint32_t imported = module->imported_globals;
	enum wasm_trap trap = WASM_OK;

	for (uint32_t i = imported; i < module->global_count && !trap; i++) {
		const struct wasm_global_decl *decl = &module->globals[i];
		struct wasm_global *global = &instance->globals[i - imported];

		global->type = decl->type;
		global->is_mutable = decl->is_mutable;
		trap = wasm_evaluate(instance, &decl->init, &global->value);
	}
	return trap;
}

static enum wasm_trap tables_make(struct wasm_instance *instance,
				  struct wasm_error *error)
{
	const struct wasm_module *module = instance->module;

	for (uint32_t i = module->imported_tables; i < module->table_count;
	     i++) {
		const struct wasm_table_decl *decl = &module->tables[i];
		union wasm_value init = { 0 };
		enum wasm_trap trap = WASM_OK;

		if (decl->init.at)
			trap = wasm_evaluate(instance, &decl->init, &init);
		if (trap)
			return trap;
		instance->tables[i] = wasm_table_make(
			instance->store, decl->type, &decl->limits, init.ref);
		if (instance->tables[i])
			continue;
		wasm_error_set(error, 0, "no memory for table %u of %U items",
			       i, decl->limits.least);
		return WASM_TRAP_out_of_memory;
	}
	return WASM_OK;
}

/* Element segments.  Items that are indices of functions have no effect and
 * cannot fail: of active segments they are made where they go. */
static bool elem_is_kept(const struct wasm_elem *elem)
{
	return elem->mode == WASM_PASSIVE ||
	       (elem->mode == WASM_ACTIVE && elem->is_expressions);
}

static enum wasm_trap items_evaluate(struct wasm_instance *instance,
				     const struct wasm_elem *elem,
				     wasm_ref *refs)
{
	const struct wasm_module *module = instance->module;
	struct wasm_reader reader = wasm_reader_of(
		elem->items,
		(size_t)(module->bytes + module->len - elem->items));
	union wasm_value value = { 0 };
	enum wasm_trap trap = WASM_OK;

	for (uint32_t i = 0; i < elem->count && !trap; i++) {
		if (elem->is_expressions)
			trap = wasm_evaluate_next(instance, &reader, &value);
		else
			value.ref = (wasm_ref)wasm_instance_function(
				instance, wasm_read_u32(&reader));
		refs[i] = value.ref;
	}
	return trap;
}

static enum wasm_trap elems_evaluate(struct wasm_instance *instance)
{
	const struct wasm_module *module = instance->module;
	enum wasm_trap trap = WASM_OK;

	for (uint32_t i = 0; i < module->elem_count && !trap; i++) {
		const struct wasm_elem *elem = &module->elems[i];

		if (!elem_is_kept(elem) || elem->count == 0)
			continue;
		instance->elems[i] = wasm_store_allocate(
			instance->store, elem->count * sizeof(wasm_ref));
		if (!instance->elems[i])
			return WASM_TRAP_out_of_memory;
		instance->elem_lengths[i] = elem->count;
		trap = items_evaluate(instance, elem, instance->elems[i]);
	}
	return trap;
}

static enum wasm_trap elem_place(struct wasm_instance *instance, uint32_t index)
{
	const struct wasm_elem *elem = &instance->module->elems[index];
	struct wasm_table *table = instance->tables[elem->table];
	union wasm_value at;
	enum wasm_trap trap = wasm_evaluate(instance, &elem->offset, &at);

	if (trap)
		return trap;
	if (at.i64 > table->length || elem->count > table->length - at.i64)
		return WASM_TRAP_table_bounds;
	if (elem->count == 0)
		return WASM_OK;
	if (!elem->is_expressions)
		return items_evaluate(instance, elem, table->elems + at.i64);
	trap = wasm_table_init(instance, elem->table, index, at.i64, 0,
			       elem->count);
	wasm_elem_drop(instance, index);
	return trap;
}

static enum wasm_trap data_place(struct wasm_instance *instance, uint32_t index,
				 bool is_placed)
{
	const struct wasm_data *data = &instance->module->datas[index];
	uint64_t room = wasm_memory_bytes(instance->memories[data->memory]);
	union wasm_value at;
	enum wasm_trap trap = wasm_evaluate(instance, &data->offset, &at);

	if (trap)
		return trap;
	if (at.i64 > room || data->len > room - at.i64)
		return WASM_TRAP_memory_bounds;
	if (!is_placed)
		trap = wasm_memory_init(instance, data->memory, index, at.i64,
					0, data->len);
	wasm_data_drop(instance, index);
	return trap;
}

/* What others can see. */
static enum wasm_trap instance_run(struct wasm_instance *instance,
				   const uint8_t *placed)
{
	const struct wasm_module *module = instance->module;
	enum wasm_trap trap = WASM_OK;

	for (uint32_t i = 0; i < module->elem_count && !trap; i++)
		if (module->elems[i].mode == WASM_ACTIVE)
			trap = elem_place(instance, i);
	for (uint32_t i = 0; i < module->data_count && !trap; i++) {
		uint32_t memory = module->datas[i].memory;

		if (module->datas[i].mode == WASM_ACTIVE)
			trap = data_place(instance, i,
					  placed[memory / 8] >> memory % 8 & 1);
	}
	if (trap || module->start == WASM_NO_FUNCTION)
		return trap;
	return wasm_call(instance->store,
			 wasm_instance_function(instance, module->start), NULL,
			 NULL);
}

/* Code counts on the faults of a memory 0 of this kind, unless it is told. */
static bool is_unguarded(const struct wasm_instance *instance)
{
	const struct wasm_memory *memory;

	if (!instance->module->memory_count)
		return false;
	memory = instance->memories[0];
	return !memory->guarded && !memory->limits.is64 &&
	       memory->limits.page_log2 == 16;
}

static enum wasm_trap instance_begin(struct wasm_instance *instance,
				     struct wasm_error *error)
{
	enum wasm_trap trap = globals_make(instance);

	if (!trap)
		trap = tables_make(instance, error);
	return trap ? trap : elems_evaluate(instance);
}

/* All that nobody else can see. */
static int instance_fill(struct wasm_instance *instance,
			 const struct wasm_extern *imports,
			 const struct wasm_state *from, uint8_t *placed,
			 struct wasm_error *error)
{
	const struct wasm_host *host = instance->store->host;
	enum wasm_trap trap;

	if (imports_take(instance, imports) < 0 || tags_make(instance) < 0)
		return wasm_error_set(error, 0, "no memory for an instance");
	if ((from ? wasm_state_make_memories(instance, from, error)
		  : memories_make(instance, placed, error)) < 0)
		return -1;
	if (host->bind && host->bind(host->env, instance) < 0)
		return wasm_error_set(error, 0, "its code cannot be compiled");
	if (!instance->native)
		instance->codes = wasm_interp_codes(instance->module,
						    is_unguarded(instance));
	if (!instance->native && !instance->codes)
		return wasm_error_set(error, 0, "no memory for an instance");
	if (from)
		return wasm_state_fill(instance, from, error);
	trap = instance_begin(instance, error);
	if (trap)
		return wasm_error_set(error, 0, "no instance: %s",
				      wasm_trap_text(trap));
	return 0;
}

int wasm_instantiate(struct wasm_store *store, const struct wasm_module *module,
		     const struct wasm_extern *imports,
		     struct wasm_instance **instance, struct wasm_error *error)
{
	return wasm_instantiate_from(store, module, imports, NULL, instance,
				     error);
}

int wasm_instantiate_from(struct wasm_store *store,
			  const struct wasm_module *module,
			  const struct wasm_extern *imports,
			  const struct wasm_state *from,
			  struct wasm_instance **instance,
			  struct wasm_error *error)
{
	uint8_t placed[(WASM_MEMORIES_MOST + 7) / 8] = { 0 };
	struct wasm_own *last = wasm_store_owner(store)->first;

	*instance = NULL;
	if (module->types != store->types)
		return wasm_error_set(error, 0,
				      "module and store have "
				      "different registries of types");
	if (imports_check(module, imports, error) < 0)
		return -1;
	*instance = instance_make(store, module);
	if (!*instance)
		return wasm_error_set(error, 0, "no memory for an instance");
	if (instance_fill(*instance, imports, from, placed, error) < 0) {
		wasm_store_end_after(store, last);
		*instance = NULL;
		return -1;
	}
	return from ? 0 : (int)instance_run(*instance, placed);
}

struct wasm_function *wasm_instance_function(struct wasm_instance *instance,
					     uint32_t index)
{
	const struct wasm_module *module = instance->module;
	uint32_t own = index - module->imported_functions;
	struct wasm_function *function;

	if (index < module->imported_functions)
		return instance->imported_functions[index];
	function = &instance->own_functions[own];
	if (function->instance)
		return function;
	function->type = module->functions[index].type;
	function->index = index;
	function->instance = instance;
	function->code = instance->codes ? &instance->codes[own] : NULL;
	function->native = instance->store->host->native_call;
	if (instance->bind_function)
		instance->bind_function(function);
	return function;
}

static struct wasm_global *instance_global(struct wasm_instance *instance,
					   uint32_t index)
{
	uint32_t imported = instance->module->imported_globals;

	return index < imported ? instance->imported_globals[index]
				: &instance->globals[index - imported];
}

struct wasm_extern wasm_instance_extern(struct wasm_instance *instance,
					enum wasm_extern_kind kind,
					uint32_t index)
{
	struct wasm_extern found = { .kind = kind };

	switch (kind) {
	case WASM_EXTERN_FUNCTION:
		found.function = wasm_instance_function(instance, index);
		break;
	case WASM_EXTERN_TABLE: found.table = instance->tables[index]; break;
	case WASM_EXTERN_MEMORY:
		found.memory = instance->memories[index];
		break;
	case WASM_EXTERN_GLOBAL:
		found.global = instance_global(instance, index);
		break;
	case WASM_EXTERN_TAG: found.tag = instance->tags[index]; break;
	}
	return found;
}

bool wasm_instance_export(struct wasm_instance *instance, const char *name,
			  uint32_t len, struct wasm_extern *found)
{
	int64_t number = wasm_module_find_export(instance->module, name, len);
	const struct wasm_export *export;

	if (number < 0)
		return false;
	export = &instance->module->exports[number];
	*found = wasm_instance_extern(instance, export->kind, export->index);
	return true;
}

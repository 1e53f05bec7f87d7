/* SPDX-License-Identifier: Apache-2.0 */
/* What has a type: functions, tables, memories, globals, tags, the imports
 * and exports of them, and the segments that fill tables and memories. */
#include "wasm/module_internal.h"

static int done(const struct wasm_loader *loader)
{
	return loader->reader.failed ? -1 : 0;
}

static void add_function(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	struct wasm_function_decl function = { 0 };

	function.type = wasm_load_function_type(loader, &function.type_index);
	module->functions =
		wasm_loader_grow(loader, module->functions,
				 module->function_count, 1,
				 &loader->function_room, sizeof function);
	if (!loader->reader.failed)
		module->functions[module->function_count++] = function;
}

static void add_tag(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	struct wasm_tag_decl tag = { 0 };

	if (!wasm_reader_allows(reader, WASM_FEATURE_EXCEPTIONS, "tags"))
		return;
	if (wasm_read_byte(reader))
		wasm_reader_fail(reader, at, "malformed tag attribute");
	at = reader->at;
	tag.type = wasm_load_function_type(loader, &tag.type_index);
	if (!reader->failed && module->type[tag.type_index]->result_count)
		wasm_reader_fail(reader, at, "non-empty tag result type");
	module->tags = wasm_loader_grow(loader, module->tags, module->tag_count,
					1, &loader->tag_room, sizeof tag);
	if (!reader->failed)
		module->tags[module->tag_count++] = tag;
}

static void add_memory(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	struct wasm_memory_decl memory = { 0 };

	if (module->memory_count == 1 &&
	    !wasm_reader_allows(&loader->reader, WASM_FEATURE_MULTI_MEMORY,
				"several memories"))
		return;
	wasm_load_memory_limits(loader, &memory.limits);
	module->memories =
		wasm_loader_grow(loader, module->memories, module->memory_count,
				 1, &loader->memory_room, sizeof memory);
	if (!loader->reader.failed)
		module->memories[module->memory_count++] = memory;
}

static void push_table(struct wasm_loader *loader,
		       const struct wasm_table_decl *table)
{
	struct wasm_module *module = loader->module;

	module->tables =
		wasm_loader_grow(loader, module->tables, module->table_count, 1,
				 &loader->table_room, sizeof *table);
	if (!loader->reader.failed)
		module->tables[module->table_count++] = *table;
}

static void read_table_type(struct wasm_loader *loader,
			    struct wasm_table_decl *table)
{
	table->type = wasm_load_reference_type(loader);
	wasm_load_table_limits(loader, &table->limits);
}

static void add_imported_table(struct wasm_loader *loader)
{
	struct wasm_table_decl table = { 0 };

	read_table_type(loader, &table);
	push_table(loader, &table);
}

static void add_table(struct wasm_loader *loader)
{
	struct wasm_reader *reader = &loader->reader;
	struct wasm_table_decl table = { 0 };
	const uint8_t *at = reader->at;

	if (at < reader->end && *at == 0x40) {
		reader->at++;
		if (wasm_read_byte(reader))
			wasm_reader_fail(reader, at + 1, "zero byte expected");
		read_table_type(loader, &table);
		if (!reader->failed)
			wasm_validate_expression(loader->validator, reader,
						 table.type, &table.init);
	} else {
		read_table_type(loader, &table);
		if (!reader->failed && !(table.type & WASM_NULLABLE))
			wasm_reader_fail(reader, at,
					 "type mismatch: a table without "
					 "initial value must be of nullable "
					 "type");
	}
	push_table(loader, &table);
}

static void read_global_type(struct wasm_loader *loader,
			     struct wasm_global_decl *global)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at;
	uint8_t is_mutable;

	global->type = wasm_load_value_type(loader);
	at = reader->at;
	is_mutable = wasm_read_byte(reader);
	if (is_mutable > 1)
		wasm_reader_fail(reader, at, "malformed mutability");
	global->is_mutable = is_mutable;
}

static void push_global(struct wasm_loader *loader,
			const struct wasm_global_decl *global)
{
	struct wasm_module *module = loader->module;

	module->globals =
		wasm_loader_grow(loader, module->globals, module->global_count,
				 1, &loader->global_room, sizeof *global);
	if (!loader->reader.failed)
		module->globals[module->global_count++] = *global;
}

static void add_imported_global(struct wasm_loader *loader)
{
	struct wasm_global_decl global = { 0 };

	read_global_type(loader, &global);
	push_global(loader, &global);
}

static void add_global(struct wasm_loader *loader)
{
	struct wasm_global_decl global = { 0 };

	read_global_type(loader, &global);
	if (!loader->reader.failed)
		wasm_validate_expression(loader->validator, &loader->reader,
					 global.type, &global.init);
	push_global(loader, &global);
}

static uint32_t *count_of(struct wasm_module *module,
			  enum wasm_extern_kind kind)
{
	switch (kind) {
	case WASM_EXTERN_FUNCTION: return &module->function_count;
	case WASM_EXTERN_TABLE: return &module->table_count;
	case WASM_EXTERN_MEMORY: return &module->memory_count;
	case WASM_EXTERN_GLOBAL: return &module->global_count;
	default: return &module->tag_count;
	}
}

static uint32_t most_of(enum wasm_extern_kind kind)
{
	switch (kind) {
	case WASM_EXTERN_TABLE: return WASM_TABLES_MOST;
	case WASM_EXTERN_MEMORY: return WASM_MEMORIES_MOST;
	default: return WASM_IMPORTS_MOST;
	}
}

static void read_import(struct wasm_loader *loader, struct wasm_import *import)
{
	static void (*const add[])(struct wasm_loader *) = {
		add_function, add_imported_table, add_memory,
		add_imported_global, add_tag
	};
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at;
	uint8_t kind;

	import->module = wasm_read_name(reader);
	import->name = wasm_read_name(reader);
	at = reader->at;
	kind = wasm_read_byte(reader);
	if (kind > WASM_EXTERN_TAG)
		wasm_reader_fail(reader, at, "malformed import kind");
	if (reader->failed)
		return;
	import->kind = kind;
	import->index = *count_of(loader->module, kind);
	if (import->index >= most_of(kind))
		wasm_reader_fail(reader, at, "too many imports of a kind");
	add[kind](loader);
}

int wasm_load_imports(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	uint32_t count =
		wasm_loader_count(loader, 0, WASM_IMPORTS_MOST, "imports");

	module->imports =
		wasm_loader_take(loader, count, sizeof *module->imports);
	for (uint32_t i = 0; i < count && !loader->reader.failed; i++) {
		read_import(loader, &module->imports[i]);
		module->import_count++;
	}
	module->imported_functions = module->function_count;
	module->imported_tables = module->table_count;
	module->imported_memories = module->memory_count;
	module->imported_globals = module->global_count;
	module->imported_tags = module->tag_count;
	return done(loader);
}

static int load_each(struct wasm_loader *loader, uint32_t before, uint32_t most,
		     const char *what, void (*add)(struct wasm_loader *))
{
	uint32_t count = wasm_loader_count(loader, before, most, what);

	for (uint32_t i = 0; i < count && !loader->reader.failed; i++)
		add(loader);
	return done(loader);
}

int wasm_load_functions(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	uint32_t count = wasm_loader_count(loader, module->function_count,
					   WASM_FUNCTIONS_MOST, "functions");

	module->functions = wasm_loader_grow(loader, module->functions,
					     module->function_count, count,
					     &loader->function_room,
					     sizeof *module->functions);
	for (uint32_t i = 0; i < count && !loader->reader.failed; i++)
		add_function(loader);
	return done(loader);
}

int wasm_load_tables(struct wasm_loader *loader)
{
	return load_each(loader, loader->module->table_count, WASM_TABLES_MOST,
			 "tables", add_table);
}

int wasm_load_memories(struct wasm_loader *loader)
{
	return load_each(loader, loader->module->memory_count,
			 WASM_MEMORIES_MOST, "memories", add_memory);
}

int wasm_load_tags(struct wasm_loader *loader)
{
	return load_each(loader, loader->module->tag_count, WASM_TAGS_MOST,
			 "tags", add_tag);
}

int wasm_load_globals(struct wasm_loader *loader)
{
	return load_each(loader, loader->module->global_count,
			 WASM_GLOBALS_MOST, "globals", add_global);
}

/* Exports */

static void read_export(struct wasm_loader *loader, struct wasm_export *export)
{
	static const char *const what[] = { "function", "table", "memory",
					    "global", "tag" };
	struct wasm_reader *reader = &loader->reader;
	struct wasm_module *module = loader->module;
	const uint8_t *at;
	uint8_t kind;

	export->name = wasm_read_name(reader);
	at = reader->at;
	kind = wasm_read_byte(reader);
	if (kind > WASM_EXTERN_TAG)
		wasm_reader_fail(reader, at, "malformed export kind");
	at = reader->at;
	export->index = wasm_read_u32(reader);
	if (reader->failed)
		return;
	export->kind = kind;
	if (export->index >= *count_of(module, kind))
		wasm_reader_fail(reader, at, "unknown %s %u", what[kind],
				 export->index);
	else if (kind == WASM_EXTERN_FUNCTION)
		module->functions[export->index].is_declared = true;
}

int wasm_load_exports(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	uint32_t count =
		wasm_loader_count(loader, 0, WASM_EXPORTS_MOST, "exports");

	module->exports =
		wasm_loader_take(loader, count, sizeof *module->exports);
	if (reader->failed || wasm_exports_prepare(loader, count))
		return -1;
	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		const uint8_t *at = reader->at;

		read_export(loader, &module->exports[i]);
		if (!reader->failed && !wasm_exports_add(loader->loaded, i))
			wasm_reader_fail(reader, at, "duplicate export name");
	}
	return done(loader);
}

int wasm_load_start(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	const struct wasm_deftype *type;
	uint32_t index = wasm_read_u32(reader);

	if (reader->failed)
		return -1;
	if (index >= module->function_count)
		return wasm_reader_fail(reader, at, "unknown function %u",
					index);
	type = wasm_types_get(module->types, module->functions[index].type);
	if (type->param_count || type->result_count)
		return wasm_reader_fail(reader, at,
					"start function: it must have no "
					"parameters and no results");
	module->start = index;
	return 0;
}

/* Segments */

static wasm_type address_of(bool is64)
{
	return is64 ? WASM_I64 : WASM_I32;
}

static void read_elem_table(struct wasm_loader *loader, struct wasm_elem *elem,
			    bool has_index)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;

	if (has_index)
		elem->table = wasm_read_u32(reader);
	if (reader->failed)
		return;
	if (elem->table >= module->table_count) {
		wasm_reader_fail(reader, at, "unknown table %u", elem->table);
		return;
	}
	wasm_validate_expression(
		loader->validator, reader,
		address_of(module->tables[elem->table].limits.is64),
		&elem->offset);
}

static void read_elem_functions(struct wasm_loader *loader,
				struct wasm_elem *elem)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;

	for (uint32_t i = 0; i < elem->count && !reader->failed; i++) {
		const uint8_t *at = reader->at;
		uint32_t index = wasm_read_u32(reader);

		if (reader->failed)
			return;
		if (index < module->function_count)
			module->functions[index].is_declared = true;
		else
			wasm_reader_fail(reader, at, "unknown function %u",
					 index);
	}
}

static void read_elem_expressions(struct wasm_loader *loader,
				  struct wasm_elem *elem)
{
	struct wasm_expression ignored;

	for (uint32_t i = 0; i < elem->count && !loader->reader.failed; i++)
		wasm_validate_expression(loader->validator, &loader->reader,
					 elem->type, &ignored);
}

/* Flags: 1 not active, 2 names its table (or is declarative), 4 expressions.
 * 0 and 4 say no type. */
static void read_elem_type(struct wasm_loader *loader, struct wasm_elem *elem,
			   uint32_t flags)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;

	elem->is_expressions = flags & 4;
	elem->type = elem->is_expressions ? WASM_FUNCREF
					  : WASM_FUNCREF & ~WASM_NULLABLE;
	if (!(flags & 3) || reader->failed)
		return;
	if (elem->is_expressions)
		elem->type = wasm_load_reference_type(loader);
	else if (wasm_read_byte(reader))
		wasm_reader_fail(reader, at, "malformed element kind");
}

static void check_elem_table(struct wasm_loader *loader, const uint8_t *at,
			     const struct wasm_elem *elem)
{
	const struct wasm_module *module = loader->module;

	if (elem->mode == WASM_ACTIVE && !loader->reader.failed &&
	    !wasm_type_matches(module->types, elem->type,
			       module->tables[elem->table].type))
		wasm_reader_fail(&loader->reader, at,
				 "type mismatch: the segment's type is not the "
				 "table's");
}

static void read_elem(struct wasm_loader *loader, struct wasm_elem *elem)
{
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	uint32_t flags = wasm_read_u32(reader);

	if (flags > 7)
		wasm_reader_fail(reader, at, "malformed elements segment kind");
	if (reader->failed)
		return;
	elem->mode = !(flags & 1)  ? WASM_ACTIVE
		     : (flags & 2) ? WASM_DECLARATIVE
				   : WASM_PASSIVE;
	if (elem->mode == WASM_ACTIVE)
		read_elem_table(loader, elem, flags & 2);
	read_elem_type(loader, elem, flags);
	check_elem_table(loader, at, elem);
	if (reader->failed)
		return;
	elem->count = wasm_read_length(reader);
	elem->items = reader->at;
	if (elem->is_expressions)
		read_elem_expressions(loader, elem);
	else
		read_elem_functions(loader, elem);
}

int wasm_load_elems(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	uint32_t count = wasm_loader_count(loader, 0, WASM_SEGMENTS_MOST,
					   "element segments");

	module->elems = wasm_loader_take(loader, count, sizeof *module->elems);
	for (uint32_t i = 0; i < count && !loader->reader.failed; i++) {
		read_elem(loader, &module->elems[i]);
		module->elem_count++;
	}
	return done(loader);
}

int wasm_load_data_count(struct wasm_loader *loader)
{
	const uint8_t *at = loader->reader.at;

	loader->module->data_count = wasm_read_u32(&loader->reader);
	loader->module->has_data_count = true;
	if (loader->module->data_count > WASM_SEGMENTS_MOST)
		wasm_reader_fail(&loader->reader, at, "too many data segments");
	return done(loader);
}

static void read_data(struct wasm_loader *loader, struct wasm_data *data)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	uint32_t flags = wasm_read_u32(reader);

	if (flags > 2)
		wasm_reader_fail(reader, at, "malformed data segment kind");
	data->mode = flags == 1 ? WASM_PASSIVE : WASM_ACTIVE;
	at = reader->at;
	if (flags == 2)
		data->memory = wasm_read_u32(reader);
	if (!reader->failed && data->mode == WASM_ACTIVE) {
		if (data->memory >= module->memory_count)
			wasm_reader_fail(reader, at, "unknown memory %u",
					 data->memory);
		else
			wasm_validate_expression(
				loader->validator, reader,
				address_of(module->memories[data->memory]
						   .limits.is64),
				&data->offset);
	}
	if (reader->failed)
		return;
	data->len = wasm_read_length(reader);
	data->bytes = wasm_read_bytes(reader, data->len);
}

int wasm_load_data(struct wasm_loader *loader)
{
	static const char *const inconsistent =
		"data count and data section have inconsistent lengths";
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	const uint8_t *at = reader->at;
	uint32_t count = wasm_loader_count(loader, 0, WASM_SEGMENTS_MOST,
					   "data segments");

	loader->has_data = true;
	module->datas = wasm_loader_take(loader, count, sizeof *module->datas);
	for (uint32_t i = 0; i < count && !reader->failed; i++)
		read_data(loader, &module->datas[i]);
	if (!reader->failed && module->has_data_count &&
	    count != module->data_count)
		wasm_reader_fail(reader, at, inconsistent);
	module->data_count = count;
	return done(loader);
}

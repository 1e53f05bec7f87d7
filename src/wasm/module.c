/* SPDX-License-Identifier: Apache-2.0 */
/* The loader: walks a module's sections in their order and has each read.
 * Bodies are validated where they stand, since all that they may name comes
 * before them, but for data segments, whose number is told before. */
#include "wasm/interp.h"
#include "wasm/module_internal.h"
#include <string.h>

enum { MAGIC_BYTES = 4, HEADER_BYTES = 8, RANK_CODE = 12, RANK_DATA = 13 };

/* By id; the rank is the place in a module. */
static const struct section {
	int (*load)(struct wasm_loader *loader);
	uint8_t rank;
} sections[] = {
	[1] = { wasm_load_types, 1 },
	[2] = { wasm_load_imports, 2 },
	[3] = { wasm_load_functions, 3 },
	[4] = { wasm_load_tables, 4 },
	[5] = { wasm_load_memories, 5 },
	[6] = { wasm_load_globals, 7 },
	[7] = { wasm_load_exports, 8 },
	[8] = { wasm_load_start, 9 },
	[9] = { wasm_load_elems, 10 },
	[10] = { wasm_load_code, RANK_CODE },
	[11] = { wasm_load_data, RANK_DATA },
	[12] = { wasm_load_data_count, 11 },
	[13] = { wasm_load_tags, 6 },
};

void *wasm_loader_take(struct wasm_loader *loader, uint32_t count, size_t size)
{
	void *block = wasm_arena_take(&loader->loaded->arena, count, size);

	if (!block)
		wasm_reader_fail(&loader->reader, loader->reader.at,
				 "out of memory");
	return block;
}

void *wasm_loader_grow(struct wasm_loader *loader, void *array, uint32_t count,
		       uint32_t more, uint32_t *room, size_t size)
{
	uint32_t want = *room * 2 > count + more ? *room * 2 : count + more;
	void *grown;

	if (count + more <= *room)
		return array;
	grown = wasm_loader_take(loader, want, size);
	if (!grown)
		return array;
	if (count)
		memcpy(grown, array, count * size);
	*room = want;
	return grown;
}

uint32_t wasm_loader_count(struct wasm_loader *loader, uint32_t before,
			   uint32_t most, const char *what)
{
	const uint8_t *at = loader->reader.at;
	uint32_t count = wasm_read_length(&loader->reader);

	if (before <= most && count <= most - before)
		return count;
	wasm_reader_fail(&loader->reader, at, "too many %s", what);
	return 0;
}

/* Code */

/* The names may come behind the code. */
static void find_names(struct wasm_module *module)
{
	struct wasm_reader reader = wasm_reader_of(module->bytes, module->len);

	reader.at += HEADER_BYTES;
	while (wasm_reader_left(&reader)) {
		uint8_t id = wasm_read_byte(&reader);
		uint32_t len = wasm_read_length(&reader);
		struct wasm_reader part = reader;
		struct wasm_custom custom;

		part.end = part.at + len;
		reader.at += len;
		if (id != 0)
			continue;
		custom.name = wasm_read_name(&part);
		custom.len = (uint32_t)wasm_reader_left(&part);
		custom.bytes = part.at;
		wasm_names_take(module, &custom);
	}
}

static int name_function(struct wasm_loader *loader, uint32_t index)
{
	struct wasm_name name;

	find_names(loader->module);
	name = wasm_module_function_name(loader->module, index);
	wasm_error_in_function(loader->reader.error, index, name.text,
			       name.len);
	loader->reader.failed = true;
	return -1;
}

static int load_body(struct wasm_loader *loader, uint32_t index)
{
	struct wasm_reader *reader = &loader->reader;
	struct wasm_function_decl *function = &loader->module->functions[index];
	const uint8_t *at = reader->at;

	function->body_len = wasm_read_length(reader);
	function->body = wasm_read_bytes(reader, function->body_len);
	if (!reader->failed && function->body_len > WASM_BODY_MOST)
		wasm_reader_fail(reader, at, "function body is too large");
	if (reader->failed)
		return -1;
	if (loader->bodies_known)
		return 0;
	if (wasm_validate_body(loader->validator, index, NULL, reader->error))
		return name_function(loader, index);
	return 0;
}

static int inconsistent_code(struct wasm_loader *loader, const uint8_t *at)
{
	return wasm_reader_fail(
		&loader->reader, at,
		"function and code section have inconsistent lengths");
}

int wasm_load_code(struct wasm_loader *loader)
{
	const struct wasm_module *module = loader->module;
	const uint8_t *at = loader->reader.at;
	uint32_t count = wasm_read_length(&loader->reader);

	loader->code_count = count;
	if (loader->reader.failed)
		return -1;
	if (count > module->function_count - module->imported_functions)
		return inconsistent_code(loader, at);
	for (uint32_t i = 0; i < count; i++)
		if (load_body(loader, module->imported_functions + i) < 0)
			return -1;
	return 0;
}

/* Sections */

static int load_custom(struct wasm_loader *loader)
{
	struct wasm_module *module = loader->module;
	struct wasm_reader *reader = &loader->reader;
	struct wasm_custom custom = { .name = wasm_read_name(reader) };

	custom.len = (uint32_t)wasm_reader_left(reader);
	custom.bytes = wasm_read_bytes(reader, custom.len);
	module->customs =
		wasm_loader_grow(loader, module->customs, module->custom_count,
				 1, &loader->custom_room, sizeof custom);
	if (reader->failed)
		return -1;
	module->customs[module->custom_count++] = custom;
	wasm_names_take(module, &custom);
	return 0;
}

static int load_content(struct wasm_loader *loader, uint8_t id)
{
	struct wasm_reader *reader = &loader->reader;

	if (id == 0)
		return load_custom(loader);
	if (sections[id].load(loader) < 0 || reader->failed)
		return -1;
	if (reader->at != reader->end)
		return wasm_reader_fail(reader, reader->at,
					"section size mismatch");
	return 0;
}

/* A section that may not come any more, or is unknown. */
static int check_section(struct wasm_reader *whole, const uint8_t *at,
			 uint8_t id, uint8_t *rank)
{
	if (id >= sizeof sections / sizeof *sections)
		return wasm_reader_fail(whole, at, "malformed section id");
	if (id == 0)
		return 0;
	if (sections[id].rank <= *rank)
		return wasm_reader_fail(whole, at,
					"unexpected content after last "
					"section");
	*rank = sections[id].rank;
	return 0;
}

static int load_sections(struct wasm_loader *loader, struct wasm_reader *whole)
{
	uint8_t rank = 0;

	while (wasm_reader_left(whole)) {
		const uint8_t *at = whole->at;
		uint8_t id = wasm_read_byte(whole);
		uint32_t len;

		if (check_section(whole, at, id, &rank) < 0)
			return -1;
		len = wasm_read_length(whole);
		if (whole->failed)
			return -1;
		loader->reader = *whole;
		loader->reader.end = whole->at + len;
		whole->at += len;
		if (load_content(loader, id) < 0)
			return -1;
	}
	return 0;
}

static int check_header(struct wasm_reader *whole)
{
	const uint8_t *at = whole->at;
	size_t left = wasm_reader_left(whole);

	if (left < MAGIC_BYTES)
		return wasm_reader_fail(whole, at, "unexpected end");
	if (memcmp(at, "\0asm", MAGIC_BYTES) != 0)
		return wasm_reader_fail(whole, at, "magic header not detected");
	if (left < HEADER_BYTES)
		return wasm_reader_fail(whole, whole->end, "unexpected end");
	if (memcmp(at + MAGIC_BYTES, "\1\0\0\0", MAGIC_BYTES) != 0)
		return wasm_reader_fail(whole, at + MAGIC_BYTES,
					"unknown binary version");
	whole->at += HEADER_BYTES;
	return 0;
}

static int check_whole(struct wasm_loader *loader, struct wasm_reader *whole)
{
	const struct wasm_module *module = loader->module;

	loader->reader = *whole;
	if (loader->code_count !=
	    module->function_count - module->imported_functions)
		return inconsistent_code(loader, whole->end);
	if (!loader->has_data && module->data_count)
		return wasm_reader_fail(&loader->reader, whole->end,
					"data count and data section have "
					"inconsistent lengths");
	return 0;
}

static int load(struct wasm_loader *loader, struct wasm_reader *whole)
{
	if (check_header(whole) < 0 || load_sections(loader, whole) < 0 ||
	    check_whole(loader, whole) < 0)
		return -1;
	if (wasm_interp_prepare(loader->module) == 0)
		return 0;
	wasm_interp_drop(loader->module);
	return wasm_error_set(whole->error, 0, "out of memory");
}

static struct wasm_module *module_new(const struct wasm_host *host,
				      struct wasm_types *types,
				      const void *bytes, size_t len)
{
	struct wasm_loaded *loaded = host->allocate(host->env, sizeof *loaded);

	if (!loaded)
		return NULL;
	loaded->arena.host = host;
	loaded->module = (struct wasm_module){
		.host = host,
		.types = types,
		.bytes = bytes,
		.len = len,
		.start = WASM_NO_FUNCTION,
		.own = loaded,
	};
	return &loaded->module;
}

static void module_drop(struct wasm_module *module)
{
	struct wasm_loaded *loaded = module->own;
	const struct wasm_host *host = module->host;

	host->lock(host->env);
	for (uint32_t i = loaded->group_count; i-- > 0;)
		wasm_types_release(module->types, loaded->groups[i]);
	host->unlock(host->env);
	wasm_arena_free(&loaded->arena);
	host->release(host->env, loaded, sizeof *loaded);
}

void wasm_module_free(struct wasm_module *module)
{
	if (!module)
		return;
	if (module->host_drop)
		module->host_drop(module);
	if (module->code_drop)
		module->code_drop(module);
	wasm_interp_drop(module);
	module_drop(module);
}

int wasm_module_load(struct wasm_module **module, const struct wasm_host *host,
		     struct wasm_types *types, const void *bytes, size_t len,
		     const struct wasm_load_options *options,
		     struct wasm_error *error)
{
	struct wasm_reader whole = wasm_reader_of(bytes, len);
	struct wasm_loader loader = { 0 };
	int result = -1;

	*module = NULL;
	error->text[0] = 0;
	whole.error = error;
	whole.refused = options ? options->refused : 0;
	loader.module = module_new(host, types, bytes, len);
	if (!loader.module)
		return wasm_error_set(error, 0, "out of memory");
	loader.module->refused = whole.refused;
	loader.bodies_known = options && options->bodies_known;
	loader.loaded = loader.module->own;
	loader.validator = wasm_validator_new(loader.module);
	if (loader.validator)
		result = load(&loader, &whole);
	else
		wasm_error_set(error, 0, "out of memory");
	if (loader.validator)
		loader.module->has_tail_calls =
			wasm_validator_has_tail_calls(loader.validator);
	wasm_validator_free(loader.validator);
	if (loader.words)
		host->release(host->env, loader.words, loader.word_room * 4ull);
	if (result == 0)
		*module = loader.module;
	else
		module_drop(loader.module);
	return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Names: of exports, by a hash table, and of functions, from the section
 * "name".  That section says nothing about how a module runs, so what is
 * wrong in it is passed over. */
#include "wasm/module_internal.h"
#include <string.h>

/* Exports by name */

/* Seeded with a place in memory, since a module's author chooses the names. */
static uint32_t hash_name(const struct wasm_loaded *loaded, const char *text,
			  uint32_t len)
{
	uint64_t seed = (uintptr_t)loaded * 0xd1342543de82ef95, hash = seed;

	for (uint32_t i = 0; i < len; i++) {
		unsigned __int128 wide =
			(unsigned __int128)(hash ^ (uint8_t)text[i]) *
			0x9e3779b97f4a7c15;

		hash = (uint64_t)wide ^ (uint64_t)(wide >> 64) ^ seed;
	}
	return (uint32_t)(hash ^ hash >> 32);
}

/* The slot of an export of that name, or an empty one. */
static uint32_t *find_slot(const struct wasm_loaded *loaded, const char *text,
			   uint32_t len)
{
	uint32_t mask = loaded->export_slot_count - 1;
	uint32_t at = hash_name(loaded, text, len) & mask;
	const struct wasm_name *name;

	for (;; at = (at + 1) & mask) {
		if (!loaded->export_slots[at])
			break;
		name = &loaded->module.exports[loaded->export_slots[at] - 1]
				.name;
		if (name->len == len && memcmp(name->text, text, len) == 0)
			break;
	}
	return &loaded->export_slots[at];
}

int wasm_exports_prepare(struct wasm_loader *loader, uint32_t count)
{
	uint32_t room = 4;

	while (room < 2 * count)
		room *= 2;
	loader->loaded->export_slots = wasm_loader_take(loader, room, 4);
	loader->loaded->export_slot_count = room;
	return loader->loaded->export_slots ? 0 : -1;
}

bool wasm_exports_add(struct wasm_loaded *loaded, uint32_t number)
{
	const struct wasm_name *name = &loaded->module.exports[number].name;
	uint32_t *slot = find_slot(loaded, name->text, name->len);

	if (*slot)
		return false;
	*slot = number + 1;
	loaded->module.export_count++;
	return true;
}

int64_t wasm_module_find_export(const struct wasm_module *module,
				const char *name, uint32_t len)
{
	const struct wasm_loaded *loaded = module->own;

	if (!loaded->export_slots)
		return -1;
	return (int64_t)*find_slot(loaded, name, len) - 1;
}

/* The section "name" */

void wasm_names_take(struct wasm_module *module,
		     const struct wasm_custom *custom)
{
	if (custom->name.len == 4 && memcmp(custom->name.text, "name", 4) == 0)
		module->names = (struct wasm_name){ (const char *)custom->bytes,
						    custom->len };
}

static bool find_in_map(struct wasm_reader *reader, uint32_t index,
			struct wasm_name *found)
{
	uint32_t count = wasm_read_length(reader);

	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		uint32_t which = wasm_read_u32(reader);
		struct wasm_name name = wasm_read_name(reader);

		if (which == index && !reader->failed) {
			*found = name;
			return true;
		}
	}
	return false;
}

static bool find_in_section(const struct wasm_module *module, uint32_t index,
			    struct wasm_name *found)
{
	enum { FUNCTION_NAMES = 1 };
	struct wasm_reader reader = wasm_reader_of(
		(const uint8_t *)module->names.text, module->names.len);

	while (wasm_reader_left(&reader)) {
		uint8_t id = wasm_read_byte(&reader);
		uint32_t len = wasm_read_length(&reader);
		struct wasm_reader part = reader;

		part.end = part.at + len;
		if (id == FUNCTION_NAMES && find_in_map(&part, index, found))
			return true;
		reader.at += len;
	}
	return false;
}

struct wasm_name wasm_module_function_name(const struct wasm_module *module,
					   uint32_t index)
{
	struct wasm_name found = { "", 0 };

	if (module->names.len && find_in_section(module, index, &found))
		return found;
	for (uint32_t i = 0; i < module->export_count; i++)
		if (module->exports[i].kind == WASM_EXTERN_FUNCTION &&
		    module->exports[i].index == index)
			return module->exports[i].name;
	for (uint32_t i = 0; i < module->import_count; i++)
		if (module->imports[i].kind == WASM_EXTERN_FUNCTION &&
		    module->imports[i].index == index)
			return module->imports[i].name;
	return found;
}

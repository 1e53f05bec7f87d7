/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the loader share: module.c walks the sections,
 * module_types.c reads types and limits, module_items.c all that has them. */
#pragma once
#include "wasm/arena.h"
#include "wasm/decode.h"
#include "wasm/validate.h"

/* A module with what it is made of; module->own points here. */
struct wasm_loaded {
	struct wasm_module module;
	struct wasm_arena arena;
	uint32_t *groups; /* first number of each type group that it holds */
	uint32_t group_count;
	uint32_t *export_slots; /* by hash: number + 1, or 0 */
	uint32_t export_slot_count;
};

struct wasm_loader {
	struct wasm_module *module;
	struct wasm_loaded *loaded;
	struct wasm_reader reader; /* of the section that is read */
	struct wasm_validator *validator;
	/* rooms of the arrays that grow */
	uint32_t function_room, table_room, memory_room, global_room, tag_room,
		type_room, group_room, custom_room;
	uint32_t *words; /* of the type group that is read */
	uint32_t word_count, word_room;
	uint32_t code_count;
	bool has_data;
	bool bodies_known;
};

/* Room for "more" items behind "count" ones in an array of the arena.  NULL:
 * failed. */
void *wasm_loader_grow(struct wasm_loader *loader, void *array, uint32_t count,
		       uint32_t more, uint32_t *room, size_t size);
void *wasm_loader_take(struct wasm_loader *loader, uint32_t count, size_t size);
/* A section's number of items, each at least a byte; "most" of a kind. */
uint32_t wasm_loader_count(struct wasm_loader *loader, uint32_t before,
			   uint32_t most, const char *what);

/* The exports by name: false where the name is there already. */
int wasm_exports_prepare(struct wasm_loader *loader, uint32_t count);
bool wasm_exports_add(struct wasm_loaded *loaded, uint32_t number);
/* Keeps the section "name"; others are passed over. */
void wasm_names_take(struct wasm_module *module,
		     const struct wasm_custom *custom);

int wasm_load_types(struct wasm_loader *loader);
/* Types with numbers of the registry. */
wasm_type wasm_load_value_type(struct wasm_loader *loader);
wasm_type wasm_load_reference_type(struct wasm_loader *loader);
uint32_t wasm_load_function_type(struct wasm_loader *loader,
				 uint32_t *type_index);
bool wasm_load_memory_limits(struct wasm_loader *loader,
			     struct wasm_limits *limits);
bool wasm_load_table_limits(struct wasm_loader *loader,
			    struct wasm_limits *limits);

int wasm_load_imports(struct wasm_loader *loader);
int wasm_load_functions(struct wasm_loader *loader);
int wasm_load_tables(struct wasm_loader *loader);
int wasm_load_memories(struct wasm_loader *loader);
int wasm_load_tags(struct wasm_loader *loader);
int wasm_load_globals(struct wasm_loader *loader);
int wasm_load_exports(struct wasm_loader *loader);
int wasm_load_start(struct wasm_loader *loader);
int wasm_load_elems(struct wasm_loader *loader);
int wasm_load_data_count(struct wasm_loader *loader);
int wasm_load_code(struct wasm_loader *loader);
int wasm_load_data(struct wasm_loader *loader);

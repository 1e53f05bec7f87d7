/* SPDX-License-Identifier: Apache-2.0 */
/* The collected heap of a store: structures, arrays, exceptions.  Objects do
 * not move.  A collection marks from globals, tables, element segments,
 * the host's roots, store->exception, and conservatively from every word of
 * the value stack below store->stack_top (any word that is the address of a
 * live object's header keeps it).  So whoever may allocate first stores what
 * it holds in registers to slots and sets stack_top. */
#pragma once
#include "wasm/instance.h"

enum { WASM_OBJECT_EXCEPTION = 0xfffffffe }; /* instead of a type's number */

struct wasm_object {
	uint32_t type;	 /* number in the registry */
	uint32_t length; /* arrays: elements */
	/* fields or elements follow, each naturally aligned (v128: to 8) */
};
_Static_assert(sizeof(struct wasm_object) == 8, "header");

struct wasm_exception {
	struct wasm_object object; /* length: number of values */
	struct wasm_tag *tag;
	union wasm_value values[]; /* 16-byte slots, as the tag's type says */
};

static inline void *wasm_object_at(wasm_ref ref, uint64_t offset)
{
	return (uint8_t *)ref + sizeof(struct wasm_object) + offset;
}

struct wasm_heap *wasm_heap_new(struct wasm_store *store, uint64_t most_bytes);
void wasm_heap_free(struct wasm_heap *heap);
/* Zeroed objects; 0 without memory (after a collection).  They may collect:
 * the caller's own references must be in slots or roots. */
wasm_ref wasm_heap_struct(struct wasm_store *store, uint32_t type);
wasm_ref wasm_heap_array(struct wasm_store *store, uint32_t type,
			 uint32_t length);
struct wasm_exception *wasm_heap_exception(struct wasm_store *store,
					   struct wasm_tag *tag);
void wasm_heap_collect(struct wasm_store *store);
uint64_t wasm_heap_used(const struct wasm_store *store);
/* For tests: from now on each new object costs a collection, so that one that
 * was not in a slot or a root is gone at once. */
void wasm_heap_stress(struct wasm_store *store);

/* A host's own references: linked into store->roots while they are held. */
struct wasm_roots {
	struct wasm_roots *next, **link;
	uint32_t count;
	wasm_ref refs[];
};
void wasm_roots_add(struct wasm_store *store, struct wasm_roots *roots);
void wasm_roots_remove(struct wasm_roots *roots);

/* Fields, by type: packed ones are extended as "is_signed" says. */
union wasm_value wasm_field_get(const void *at, wasm_type type, bool is_signed);
void wasm_field_set(void *at, wasm_type type, union wasm_value value);

/* array.* that work on many elements.  Null and bounds are checked. */
enum wasm_trap wasm_array_fill(struct wasm_store *store, wasm_ref array,
			       uint32_t from, union wasm_value value,
			       uint32_t count);
enum wasm_trap wasm_array_copy(struct wasm_store *store, wasm_ref to,
			       uint32_t to_at, wasm_ref from, uint32_t from_at,
			       uint32_t count);
enum wasm_trap wasm_array_init_data(struct wasm_instance *instance,
				    wasm_ref array, uint32_t data, uint32_t at,
				    uint32_t from, uint32_t count);
enum wasm_trap wasm_array_init_elem(struct wasm_instance *instance,
				    wasm_ref array, uint32_t elem, uint32_t at,
				    uint32_t from, uint32_t count);
enum wasm_trap wasm_array_new_data(struct wasm_instance *instance,
				   uint32_t type, uint32_t data, uint32_t from,
				   uint32_t count, wasm_ref *array);
enum wasm_trap wasm_array_new_elem(struct wasm_instance *instance,
				   uint32_t type, uint32_t elem, uint32_t from,
				   uint32_t count, wasm_ref *array);

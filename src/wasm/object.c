/* SPDX-License-Identifier: Apache-2.0 */
/* What is in structures and arrays: fields by their types, ranges of arrays,
 * arrays made of segments; and whether a reference is of a type. */
#include "wasm/heap.h"
#include <string.h>

/* Fields lie at multiples of their size, v128 at multiples of 8. */
union wasm_value wasm_field_get(const void *at, wasm_type type, bool is_signed)
{
	union wasm_value value = { 0 };
	int8_t byte;
	int16_t half;

	switch (type) {
	case WASM_I8:
		memcpy(&byte, at, 1);
		value.i64 = is_signed ? (uint32_t)byte : (uint8_t)byte;
		break;
	case WASM_I16:
		memcpy(&half, at, 2);
		value.i64 = is_signed ? (uint32_t)half : (uint16_t)half;
		break;
	case WASM_I32:
	case WASM_F32: memcpy(&value, at, 4); break;
	case WASM_V128: memcpy(&value, at, 16); break;
	default: memcpy(&value, at, 8);
	}
	return value;
}

static uint32_t field_bytes(wasm_type type)
{
	switch (type) {
	case WASM_I8: return 1;
	case WASM_I16: return 2;
	case WASM_I32:
	case WASM_F32: return 4;
	case WASM_V128: return 16;
	default: return 8;
	}
}

void wasm_field_set(void *at, wasm_type type, union wasm_value value)
{
	switch (field_bytes(type)) {
	case 1: memcpy(at, &value, 1); break;
	case 2: memcpy(at, &value, 2); break;
	case 4: memcpy(at, &value, 4); break;
	case 8: memcpy(at, &value, 8); break;
	default: memcpy(at, &value, 16);
	}
}

static const struct wasm_object *object_of(wasm_ref ref)
{
	return (const struct wasm_object *)ref;
}

static wasm_type elem_type(const struct wasm_store *store, wasm_ref array)
{
	return wasm_types_get(store->types, object_of(array)->type)
		->fields[0]
		.type;
}

static enum wasm_trap range_check(wasm_ref array, uint32_t at, uint32_t count)
{
	if (!array)
		return WASM_TRAP_null_array;
	return (uint64_t)at + count > object_of(array)->length
		       ? WASM_TRAP_array_bounds
		       : WASM_OK;
}

enum wasm_trap wasm_array_fill(struct wasm_store *store, wasm_ref array,
			       uint32_t from, union wasm_value value,
			       uint32_t count)
{
	enum wasm_trap trap = range_check(array, from, count);
	uint64_t bytes, done, total;
	wasm_type type;
	uint8_t *at;

	if (trap || count == 0)
		return trap;
	type = elem_type(store, array);
	bytes = field_bytes(type);
	total = count * bytes;
	at = wasm_object_at(array, from * bytes);
	wasm_field_set(at, type, value);
	for (done = bytes; done < total; done *= 2)
		memcpy(at + done, at,
		       done < total - done ? done : total - done);
	return WASM_OK;
}

enum wasm_trap wasm_array_copy(struct wasm_store *store, wasm_ref to,
			       uint32_t to_at, wasm_ref from, uint32_t from_at,
			       uint32_t count)
{
	enum wasm_trap trap = range_check(to, to_at, count);
	uint64_t bytes;

	if (!from)
		trap = WASM_TRAP_null_array;
	if (!trap)
		trap = range_check(from, from_at, count);
	if (trap)
		return trap;
	bytes = field_bytes(elem_type(store, to));
	memmove(wasm_object_at(to, to_at * bytes),
		wasm_object_at(from, from_at * bytes), count * bytes);
	return WASM_OK;
}

/* Elements come from the bytes of a data segment as they are. */
static bool data_fits(const struct wasm_instance *instance, uint32_t data,
		      uint32_t from, uint64_t bytes)
{
	return from + bytes <= instance->data_lengths[data];
}

enum wasm_trap wasm_array_init_data(struct wasm_instance *instance,
				    wasm_ref array, uint32_t data, uint32_t at,
				    uint32_t from, uint32_t count)
{
	enum wasm_trap trap = range_check(array, at, count);
	uint64_t bytes;

	if (trap)
		return trap;
	bytes = field_bytes(elem_type(instance->store, array));
	if (!data_fits(instance, data, from, count * bytes))
		return WASM_TRAP_memory_bounds;
	if (count)
		memcpy(wasm_object_at(array, at * bytes),
		       instance->module->datas[data].bytes + from,
		       count * bytes);
	return WASM_OK;
}

enum wasm_trap wasm_array_init_elem(struct wasm_instance *instance,
				    wasm_ref array, uint32_t elem, uint32_t at,
				    uint32_t from, uint32_t count)
{
	enum wasm_trap trap = range_check(array, at, count);

	if (trap)
		return trap;
	if ((uint64_t)from + count > instance->elem_lengths[elem])
		return WASM_TRAP_table_bounds;
	if (count)
		memcpy(wasm_object_at(array, (uint64_t)at * sizeof(wasm_ref)),
		       instance->elems[elem] + from, count * sizeof(wasm_ref));
	return WASM_OK;
}

enum wasm_trap wasm_array_new_data(struct wasm_instance *instance,
				   uint32_t type, uint32_t data, uint32_t from,
				   uint32_t count, wasm_ref *array)
{
	struct wasm_store *store = instance->store;
	uint64_t bytes = wasm_types_get(store->types, type)->object_bytes;

	if (!data_fits(instance, data, from, count * bytes))
		return WASM_TRAP_memory_bounds;
	*array = wasm_heap_array(store, type, count);
	return *array ? wasm_array_init_data(instance, *array, data, 0, from,
					     count)
		      : WASM_TRAP_out_of_memory;
}

enum wasm_trap wasm_array_new_elem(struct wasm_instance *instance,
				   uint32_t type, uint32_t elem, uint32_t from,
				   uint32_t count, wasm_ref *array)
{
	if ((uint64_t)from + count > instance->elem_lengths[elem])
		return WASM_TRAP_table_bounds;
	*array = wasm_heap_array(instance->store, type, count);
	return *array ? wasm_array_init_elem(instance, *array, elem, 0, from,
					     count)
		      : WASM_TRAP_out_of_memory;
}

/* The number of its type, or WASM_NO_TYPE for an i31 and a host's word. */
static uint32_t type_of_data(wasm_ref ref)
{
	return ref & 3 ? WASM_NO_TYPE : object_of(ref)->type;
}

static bool is_kind(const struct wasm_store *store, wasm_ref ref,
		    enum wasm_type_kind kind)
{
	uint32_t type = type_of_data(ref);

	return type != WASM_NO_TYPE && type != WASM_OBJECT_EXCEPTION &&
	       wasm_types_get(store->types, type)->kind == kind;
}

static bool matches_abstract(const struct wasm_store *store, wasm_ref ref,
			     uint32_t heap)
{
	switch (heap) {
	case WASM_ANY:
	case WASM_EXTERN:
	case WASM_FUNC:
	case WASM_EXN: return true;
	case WASM_EQ: return !wasm_ref_is_host(ref);
	case WASM_I31: return wasm_ref_is_i31(ref);
	case WASM_STRUCT: return is_kind(store, ref, WASM_KIND_STRUCT);
	case WASM_ARRAY: return is_kind(store, ref, WASM_KIND_ARRAY);
	default: return false; /* below all of its hierarchy */
	}
}

/* The reference is known to be of the type's hierarchy. */
bool wasm_ref_matches(struct wasm_store *store, wasm_ref ref, wasm_type type)
{
	uint32_t heap = type & WASM_REF_HEAP & ~WASM_ABSTRACT;
	uint32_t own;

	if (!ref)
		return type & WASM_NULLABLE;
	if (type & WASM_ABSTRACT)
		return matches_abstract(store, ref, heap);
	if (wasm_types_get(store->types, heap)->kind == WASM_KIND_FUNCTION)
		own = ((const struct wasm_function *)ref)->type;
	else
		own = type_of_data(ref);
	return own == heap || (own != WASM_NO_TYPE &&
			       wasm_id_matches(store->types, own, heap));
}

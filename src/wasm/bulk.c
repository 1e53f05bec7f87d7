/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on ranges of memories, tables and segments.  A range that does
 * not fit changes nothing. */
#include "wasm/store.h"
#include <string.h>

static bool fits(uint64_t at, uint64_t len, uint64_t room)
{
	return at <= room && len <= room - at;
}

enum wasm_trap wasm_memory_init(struct wasm_instance *instance, uint32_t memory,
				uint32_t data, uint64_t to, uint64_t from,
				uint64_t len)
{
	struct wasm_memory *target = instance->memories[memory];

	if (!fits(from, len, instance->data_lengths[data]) ||
	    !fits(to, len, wasm_memory_bytes(target)))
		return WASM_TRAP_memory_bounds;
	if (len)
		memcpy(target->base + to,
		       instance->module->datas[data].bytes + from, len);
	return WASM_OK;
}

enum wasm_trap wasm_memory_move(struct wasm_memory *to_memory, uint64_t to,
				const struct wasm_memory *from_memory,
				uint64_t from, uint64_t len)
{
	if (!fits(from, len, wasm_memory_bytes(from_memory)) ||
	    !fits(to, len, wasm_memory_bytes(to_memory)))
		return WASM_TRAP_memory_bounds;
	if (len)
		memmove(to_memory->base + to, from_memory->base + from, len);
	return WASM_OK;
}

enum wasm_trap wasm_memory_fill(struct wasm_memory *memory, uint64_t to,
				uint32_t byte, uint64_t len)
{
	if (!fits(to, len, wasm_memory_bytes(memory)))
		return WASM_TRAP_memory_bounds;
	if (len)
		memset(memory->base + to, (int)byte, len);
	return WASM_OK;
}

enum wasm_trap wasm_table_init(struct wasm_instance *instance, uint32_t table,
			       uint32_t elem, uint64_t to, uint64_t from,
			       uint64_t len)
{
	struct wasm_table *target = instance->tables[table];

	if (!fits(from, len, instance->elem_lengths[elem]) ||
	    !fits(to, len, target->length))
		return WASM_TRAP_table_bounds;
	if (len)
		memcpy(target->elems + to, instance->elems[elem] + from,
		       len * sizeof(wasm_ref));
	return WASM_OK;
}

enum wasm_trap wasm_table_move(struct wasm_table *to_table, uint64_t to,
			       const struct wasm_table *from_table,
			       uint64_t from, uint64_t len)
{
	if (!fits(from, len, from_table->length) ||
	    !fits(to, len, to_table->length))
		return WASM_TRAP_table_bounds;
	if (len)
		memmove(to_table->elems + to, from_table->elems + from,
			len * sizeof(wasm_ref));
	return WASM_OK;
}

enum wasm_trap wasm_table_fill(struct wasm_table *table, uint64_t to,
			       wasm_ref ref, uint64_t len)
{
	if (!fits(to, len, table->length))
		return WASM_TRAP_table_bounds;
	for (uint64_t i = 0; i < len; i++)
		table->elems[to + i] = ref;
	return WASM_OK;
}

void wasm_data_drop(struct wasm_instance *instance, uint32_t data)
{
	instance->data_lengths[data] = 0;
}

void wasm_elem_drop(struct wasm_instance *instance, uint32_t elem)
{
	wasm_store_release(instance->store, instance->elems[elem],
			   instance->module->elems[elem].count *
				   sizeof(wasm_ref));
	instance->elems[elem] = NULL;
	instance->elem_lengths[elem] = 0;
}

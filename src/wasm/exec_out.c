/* SPDX-License-Identifier: Apache-2.0 */
/* Out of line operations: each unpacks its words and slots and calls what
 * does the work.  Before anything is allocated on the heap, stack_top tells
 * the collector how far the stack is in use. */
#include "wasm/exec_out.h"
#include "wasm/atomic.h"
#include "wasm/heap.h"
#include <string.h>

enum { BYTES_OF_TURN = 256 };

static uint32_t word(const uint8_t *ip, unsigned number)
{
	uint32_t value;

	memcpy(&value, ip + OUT_OF_LINE_HEAD + 4 * number, sizeof(value));
	return value;
}

static union wasm_value *slots_of(uint8_t *frame, const uint8_t *ip)
{
	return (union wasm_value *)(frame + word(ip, 0));
}

static uint64_t index_of(const union wasm_value *slot, bool is64)
{
	return is64 ? slot->i64 : slot->i32;
}

/* -1 is that of the index's width. */
static void set_index(union wasm_value *slot, int64_t value, bool is64)
{
	slot->i64 = is64 ? (uint64_t)value : (uint32_t)value;
}

static void use_stack(struct wasm_instance *context,
		      const union wasm_value *end)
{
	/* Compiled code has another stack, and says itself how far. */
	if (!context->native)
		context->store->stack_top = (uint8_t *)end;
}

/* What takes as long as many turns of a loop counts as such, so that the host
 * is asked in time whether to go on.  Returns the trap, if there is one. */
static enum wasm_trap spend(struct wasm_instance *context, uint64_t bytes,
			    enum wasm_trap trap)
{
	if (!trap)
		context->fuel -= (int64_t)(bytes / BYTES_OF_TURN);
	return trap;
}

/* Memory */

static bool memory_is64(const struct wasm_instance *context, uint32_t memory)
{
	return context->memories[memory]->limits.is64;
}

enum wasm_trap wasm_out_memory_size(struct wasm_instance *context,
				    uint8_t *frame, const uint8_t *ip)
{
	const struct wasm_memory *memory = context->memories[word(ip, 1)];
	uint64_t bytes = __atomic_load_n(&memory->bytes, __ATOMIC_ACQUIRE);

	slots_of(frame, ip)->i64 = bytes >> memory->limits.page_log2;
	return WASM_OK;
}

enum wasm_trap wasm_out_memory_grow(struct wasm_instance *context,
				    uint8_t *frame, const uint8_t *ip)
{
	struct wasm_memory *memory = context->memories[word(ip, 1)];
	union wasm_value *slot = slots_of(frame, ip);
	bool is64 = memory->limits.is64;

	set_index(slot,
		  wasm_memory_extend(context->store, memory,
				     index_of(slot, is64)),
		  is64);
	return WASM_OK;
}

enum wasm_trap wasm_out_memory_fill(struct wasm_instance *context,
				    uint8_t *frame, const uint8_t *ip)
{
	uint32_t memory = word(ip, 1);
	const union wasm_value *slots = slots_of(frame, ip);
	bool is64 = memory_is64(context, memory);
	uint64_t len = index_of(&slots[2], is64);

	return spend(context, len,
		     wasm_memory_fill(context->memories[memory],
				      index_of(&slots[0], is64), slots[1].i32,
				      len));
}

enum wasm_trap wasm_out_memory_copy(struct wasm_instance *context,
				    uint8_t *frame, const uint8_t *ip)
{
	uint32_t to = word(ip, 1), from = word(ip, 2);
	const union wasm_value *slots = slots_of(frame, ip);
	bool to64 = memory_is64(context, to);
	bool from64 = memory_is64(context, from);
	uint64_t len = index_of(&slots[2], to64 && from64);

	return spend(context, len,
		     wasm_memory_move(context->memories[to],
				      index_of(&slots[0], to64),
				      context->memories[from],
				      index_of(&slots[1], from64), len));
}

enum wasm_trap wasm_out_memory_init(struct wasm_instance *context,
				    uint8_t *frame, const uint8_t *ip)
{
	uint32_t memory = word(ip, 2);
	const union wasm_value *slots = slots_of(frame, ip);

	return spend(context, slots[2].i32,
		     wasm_memory_init(context, memory, word(ip, 1),
				      index_of(&slots[0],
					       memory_is64(context, memory)),
				      slots[1].i32, slots[2].i32));
}

enum wasm_trap wasm_out_data_drop(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	(void)frame;
	wasm_data_drop(context, word(ip, 1));
	return WASM_OK;
}

/* Tables */

static struct wasm_table *table_of(const struct wasm_instance *context,
				   const uint8_t *ip, unsigned number)
{
	return context->tables[word(ip, number)];
}

enum wasm_trap wasm_out_table_get(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	const struct wasm_table *table = table_of(context, ip, 1);
	union wasm_value *slots = slots_of(frame, ip);
	uint64_t index = index_of(&slots[0], table->limits.is64);

	if (index >= table->length)
		return WASM_TRAP_table_bounds;
	slots[0].i64 = table->elems[index];
	return WASM_OK;
}

enum wasm_trap wasm_out_table_set(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	const struct wasm_table *table = table_of(context, ip, 1);
	const union wasm_value *slots = slots_of(frame, ip);
	uint64_t index = index_of(&slots[0], table->limits.is64);

	if (index >= table->length)
		return WASM_TRAP_table_bounds;
	table->elems[index] = slots[1].ref;
	return WASM_OK;
}

enum wasm_trap wasm_out_table_size(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	slots_of(frame, ip)->i64 = table_of(context, ip, 1)->length;
	return WASM_OK;
}

enum wasm_trap wasm_out_table_grow(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	struct wasm_table *table = table_of(context, ip, 1);
	union wasm_value *slots = slots_of(frame, ip);
	bool is64 = table->limits.is64;
	uint64_t more = index_of(&slots[1], is64);
	int64_t before =
		wasm_table_extend(context->store, table, more, slots[0].ref);

	set_index(&slots[0], before, is64);
	return spend(context, before < 0 ? 0 : more * sizeof(wasm_ref),
		     WASM_OK);
}

enum wasm_trap wasm_out_table_fill(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	struct wasm_table *table = table_of(context, ip, 1);
	const union wasm_value *slots = slots_of(frame, ip);
	bool is64 = table->limits.is64;
	uint64_t len = index_of(&slots[2], is64);

	return spend(context, len * sizeof(wasm_ref),
		     wasm_table_fill(table, index_of(&slots[0], is64),
				     slots[1].ref, len));
}

enum wasm_trap wasm_out_table_copy(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	struct wasm_table *to = table_of(context, ip, 1);
	const struct wasm_table *from = table_of(context, ip, 2);
	const union wasm_value *slots = slots_of(frame, ip);
	uint64_t len =
		index_of(&slots[2], to->limits.is64 && from->limits.is64);

	return spend(
		context, len * sizeof(wasm_ref),
		wasm_table_move(to, index_of(&slots[0], to->limits.is64), from,
				index_of(&slots[1], from->limits.is64), len));
}

enum wasm_trap wasm_out_table_init(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	const struct wasm_table *table = table_of(context, ip, 2);
	const union wasm_value *slots = slots_of(frame, ip);

	return spend(context, (uint64_t)slots[2].i32 * sizeof(wasm_ref),
		     wasm_table_init(context, word(ip, 2), word(ip, 1),
				     index_of(&slots[0], table->limits.is64),
				     slots[1].i32, slots[2].i32));
}

enum wasm_trap wasm_out_elem_drop(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	(void)frame;
	wasm_elem_drop(context, word(ip, 1));
	return WASM_OK;
}

/* References */

enum wasm_trap wasm_out_ref_func(struct wasm_instance *context, uint8_t *frame,
				 const uint8_t *ip)
{
	slots_of(frame, ip)->i64 =
		(uint64_t)wasm_instance_function(context, word(ip, 1));
	return WASM_OK;
}

enum wasm_trap wasm_out_ref_test(struct wasm_instance *context, uint8_t *frame,
				 const uint8_t *ip)
{
	union wasm_value *slot = slots_of(frame, ip);

	slot[word(ip, 2)].i64 =
		wasm_ref_matches(context->store, slot->ref, word(ip, 1));
	return WASM_OK;
}

enum wasm_trap wasm_out_ref_cast(struct wasm_instance *context, uint8_t *frame,
				 const uint8_t *ip)
{
	return wasm_ref_matches(context->store, slots_of(frame, ip)->ref,
				word(ip, 1))
		       ? WASM_OK
		       : WASM_TRAP_cast;
}

/* Structures */

static const struct wasm_deftype *type_of(const struct wasm_instance *context,
					  const uint8_t *ip)
{
	return context->module->type[word(ip, 1)];
}

enum wasm_trap wasm_out_struct_new(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	const struct wasm_deftype *type = type_of(context, ip);
	union wasm_value *slots = slots_of(frame, ip);
	wasm_ref object;

	use_stack(context, slots + type->field_count);
	object = wasm_heap_struct(context->store, type->id);
	if (!object)
		return WASM_TRAP_out_of_memory;
	for (uint32_t i = 0; i < type->field_count; i++)
		wasm_field_set(wasm_object_at(object, type->fields[i].offset),
			       type->fields[i].type, slots[i]);
	slots[0].i64 = object;
	return WASM_OK;
}

enum wasm_trap wasm_out_struct_new_default(struct wasm_instance *context,
					   uint8_t *frame, const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);

	use_stack(context, slots);
	slots[0].i64 =
		wasm_heap_struct(context->store, type_of(context, ip)->id);
	return slots[0].i64 ? WASM_OK : WASM_TRAP_out_of_memory;
}

enum wasm_trap wasm_out_struct_get(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	const struct wasm_field *field =
		&type_of(context, ip)->fields[word(ip, 2)];
	union wasm_value *slots = slots_of(frame, ip);

	if (!slots[0].ref)
		return WASM_TRAP_null_struct;
	slots[0] = wasm_field_get(wasm_object_at(slots[0].ref, field->offset),
				  field->type, word(ip, 3));
	return WASM_OK;
}

enum wasm_trap wasm_out_struct_set(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	const struct wasm_field *field =
		&type_of(context, ip)->fields[word(ip, 2)];
	const union wasm_value *slots = slots_of(frame, ip);

	if (!slots[0].ref)
		return WASM_TRAP_null_struct;
	wasm_field_set(wasm_object_at(slots[0].ref, field->offset), field->type,
		       slots[1]);
	return WASM_OK;
}

/* Arrays */

static void *element_at(const struct wasm_deftype *type, wasm_ref array,
			uint64_t index)
{
	return wasm_object_at(array, index * type->object_bytes);
}

/* Makes an array in slots[0]. */
static enum wasm_trap make_array(struct wasm_instance *context,
				 const struct wasm_deftype *type,
				 union wasm_value *slots, uint32_t used,
				 uint32_t length, wasm_ref *array)
{
	use_stack(context, slots + used);
	*array = wasm_heap_array(context->store, type->id, length);
	return spend(context, (uint64_t)length * type->object_bytes,
		     *array ? WASM_OK : WASM_TRAP_out_of_memory);
}

enum wasm_trap wasm_out_array_new(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	const struct wasm_deftype *type = type_of(context, ip);
	union wasm_value *slots = slots_of(frame, ip);
	uint32_t length = slots[1].i32;
	wasm_ref array;
	enum wasm_trap trap =
		make_array(context, type, slots, 2, length, &array);

	if (!trap)
		trap = wasm_array_fill(context->store, array, 0, slots[0],
				       length);
	slots[0].i64 = array;
	return trap;
}

enum wasm_trap wasm_out_array_new_default(struct wasm_instance *context,
					  uint8_t *frame, const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);
	wasm_ref array;
	enum wasm_trap trap = make_array(context, type_of(context, ip), slots,
					 1, slots[0].i32, &array);

	slots[0].i64 = array;
	return trap;
}

enum wasm_trap wasm_out_array_new_fixed(struct wasm_instance *context,
					uint8_t *frame, const uint8_t *ip)
{
	const struct wasm_deftype *type = type_of(context, ip);
	union wasm_value *slots = slots_of(frame, ip);
	uint32_t length = word(ip, 2);
	wasm_ref array;
	enum wasm_trap trap =
		make_array(context, type, slots, length, length, &array);

	if (trap)
		return trap;
	for (uint32_t i = 0; i < length; i++)
		wasm_field_set(element_at(type, array, i), type->fields[0].type,
			       slots[i]);
	slots[0].i64 = array;
	return WASM_OK;
}

enum wasm_trap wasm_out_array_new_data(struct wasm_instance *context,
				       uint8_t *frame, const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);
	wasm_ref array = 0;
	enum wasm_trap trap;

	use_stack(context, slots + 2);
	trap = wasm_array_new_data(context, type_of(context, ip)->id,
				   word(ip, 2), slots[0].i32, slots[1].i32,
				   &array);
	slots[0].i64 = array;
	return spend(context, slots[1].i32, trap);
}

enum wasm_trap wasm_out_array_new_elem(struct wasm_instance *context,
				       uint8_t *frame, const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);
	wasm_ref array = 0;
	enum wasm_trap trap;

	use_stack(context, slots + 2);
	trap = wasm_array_new_elem(context, type_of(context, ip)->id,
				   word(ip, 2), slots[0].i32, slots[1].i32,
				   &array);
	slots[0].i64 = array;
	return spend(context, slots[1].i32, trap);
}

static enum wasm_trap check_element(wasm_ref array, uint32_t index)
{
	if (!array)
		return WASM_TRAP_null_array;
	return index < ((const struct wasm_object *)array)->length
		       ? WASM_OK
		       : WASM_TRAP_array_bounds;
}

enum wasm_trap wasm_out_array_get(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	const struct wasm_deftype *type = type_of(context, ip);
	union wasm_value *slots = slots_of(frame, ip);
	enum wasm_trap trap = check_element(slots[0].ref, slots[1].i32);

	if (!trap)
		slots[0] = wasm_field_get(element_at(type, slots[0].ref,
						     slots[1].i32),
					  type->fields[0].type, word(ip, 2));
	return trap;
}

enum wasm_trap wasm_out_array_set(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	const struct wasm_deftype *type = type_of(context, ip);
	const union wasm_value *slots = slots_of(frame, ip);
	enum wasm_trap trap = check_element(slots[0].ref, slots[1].i32);

	if (!trap)
		wasm_field_set(element_at(type, slots[0].ref, slots[1].i32),
			       type->fields[0].type, slots[2]);
	return trap;
}

enum wasm_trap wasm_out_array_len(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);

	(void)context;
	if (!slots[0].ref)
		return WASM_TRAP_null_array;
	slots[0].i64 = ((const struct wasm_object *)slots[0].ref)->length;
	return WASM_OK;
}

enum wasm_trap wasm_out_array_fill(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	const union wasm_value *slots = slots_of(frame, ip);

	return spend(context, slots[3].i32,
		     wasm_array_fill(context->store, slots[0].ref, slots[1].i32,
				     slots[2], slots[3].i32));
}

enum wasm_trap wasm_out_array_copy(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip)
{
	const union wasm_value *slots = slots_of(frame, ip);

	return spend(context, slots[4].i32,
		     wasm_array_copy(context->store, slots[0].ref, slots[1].i32,
				     slots[2].ref, slots[3].i32, slots[4].i32));
}

enum wasm_trap wasm_out_array_init_data(struct wasm_instance *context,
					uint8_t *frame, const uint8_t *ip)
{
	const union wasm_value *slots = slots_of(frame, ip);

	return spend(context, slots[3].i32,
		     wasm_array_init_data(context, slots[0].ref, word(ip, 2),
					  slots[1].i32, slots[2].i32,
					  slots[3].i32));
}

enum wasm_trap wasm_out_array_init_elem(struct wasm_instance *context,
					uint8_t *frame, const uint8_t *ip)
{
	const union wasm_value *slots = slots_of(frame, ip);

	return spend(context, slots[3].i32,
		     wasm_array_init_elem(context, slots[0].ref, word(ip, 2),
					  slots[1].i32, slots[2].i32,
					  slots[3].i32));
}

/* Exceptions */

enum wasm_trap wasm_out_throw(struct wasm_instance *context, uint8_t *frame,
			      const uint8_t *ip)
{
	struct wasm_store *store = context->store;
	struct wasm_tag *tag = context->tags[word(ip, 1)];
	uint32_t count = wasm_types_get(store->types, tag->type)->param_count;
	const union wasm_value *slots = slots_of(frame, ip);
	struct wasm_exception *exception;

	use_stack(context, slots + count);
	exception = wasm_heap_exception(store, tag);
	if (!exception)
		return WASM_TRAP_out_of_memory;
	memcpy(exception->values, slots, count * sizeof(*slots));
	store->exception = (wasm_ref)exception;
	return WASM_TRAP_thrown;
}

enum wasm_trap wasm_out_throw_ref(struct wasm_instance *context, uint8_t *frame,
				  const uint8_t *ip)
{
	wasm_ref exception = slots_of(frame, ip)->ref;

	if (!exception)
		return WASM_TRAP_null_exception;
	context->store->exception = exception;
	return WASM_TRAP_thrown;
}

/* Threads */

/* The place of an aligned access, in *at. */
static enum wasm_trap place_of(const struct wasm_instance *context,
			       const uint8_t *ip, const union wasm_value *slot,
			       uint64_t width, uint8_t **at)
{
	const struct wasm_memory *memory = context->memories[word(ip, 1)];
	uint64_t offset = word(ip, 2) | (uint64_t)word(ip, 3) << 32;
	uint64_t bytes = __atomic_load_n(&memory->bytes, __ATOMIC_ACQUIRE);
	uint64_t place;

	if (__builtin_add_overflow(index_of(slot, memory->limits.is64), offset,
				   &place) ||
	    place > bytes || bytes - place < width)
		return WASM_TRAP_memory_bounds;
	if (place % width)
		return WASM_TRAP_unaligned_atomic;
	*at = memory->base + place;
	return WASM_OK;
}

/* What ended the time may have been the run's end: the guest learns nothing
 * of it then. */
static enum wasm_trap waited(const struct wasm_instance *context,
			     uint32_t result)
{
	const struct wasm_host *host = context->store->host;

	return result == 2 && host->poll
		       ? (enum wasm_trap)host->poll(host->env, context->store)
		       : WASM_OK;
}

enum wasm_trap wasm_out_wait32(struct wasm_instance *context, uint8_t *frame,
			       const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);
	uint8_t *at;
	enum wasm_trap trap = place_of(context, ip, slots, 4, &at);

	if (trap)
		return trap;
	if (!context->memories[word(ip, 1)]->limits.is_shared)
		return WASM_TRAP_not_shared;
	slots[0].i64 = op_memory_atomic_wait32(context->store, at, slots[1].i32,
					       (int64_t)slots[2].i64);
	return waited(context, slots[0].i32);
}

enum wasm_trap wasm_out_wait64(struct wasm_instance *context, uint8_t *frame,
			       const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);
	uint8_t *at;
	enum wasm_trap trap = place_of(context, ip, slots, 8, &at);

	if (trap)
		return trap;
	if (!context->memories[word(ip, 1)]->limits.is_shared)
		return WASM_TRAP_not_shared;
	slots[0].i64 = op_memory_atomic_wait64(context->store, at, slots[1].i64,
					       (int64_t)slots[2].i64);
	return waited(context, slots[0].i32);
}

enum wasm_trap wasm_out_notify(struct wasm_instance *context, uint8_t *frame,
			       const uint8_t *ip)
{
	union wasm_value *slots = slots_of(frame, ip);
	uint8_t *at;
	enum wasm_trap trap = place_of(context, ip, slots, 4, &at);

	if (!trap)
		slots[0].i64 =
			op_memory_atomic_notify(context->store,
						context->memories[word(ip, 1)],
						at, slots[1].i32);
	return trap;
}

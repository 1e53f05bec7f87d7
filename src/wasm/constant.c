/* SPDX-License-Identifier: Apache-2.0 */
/* Constant expressions, evaluated when an instance is made: initial values of
 * globals and tables, offsets and items of segments.  They were validated.
 * Operands are slots on the store's stack, where a collection finds them. */
#include "wasm/decode.h"
#include "wasm/heap.h"
#include "wasm/store.h"
#include <string.h>

static enum wasm_trap push(struct wasm_store *store, union wasm_value value)
{
	if (store->stack_end - store->stack_top < (ptrdiff_t)sizeof(value))
		return WASM_TRAP_stack;
	memcpy(store->stack_top, &value, sizeof(value));
	store->stack_top += sizeof(value);
	return WASM_OK;
}

static enum wasm_trap push_word(struct wasm_store *store, uint64_t word)
{
	return push(store, (union wasm_value){ .words = { word } });
}

/* The operand that is "deep" below the top. */
static union wasm_value peek(const struct wasm_store *store, uint32_t deep)
{
	union wasm_value value;

	memcpy(&value, store->stack_top - (deep + 1) * sizeof(value),
	       sizeof(value));
	return value;
}

static void drop(struct wasm_store *store, uint32_t count)
{
	store->stack_top -= count * sizeof(union wasm_value);
}

static enum wasm_trap push_object(struct wasm_store *store, wasm_ref ref)
{
	return ref ? push_word(store, ref) : WASM_TRAP_out_of_memory;
}

/* Operands stay on the stack until the object is made. */
static enum wasm_trap make_struct(struct wasm_store *store,
				  const struct wasm_deftype *type,
				  bool is_default)
{
	wasm_ref ref = wasm_heap_struct(store, type->id);
	uint32_t count = is_default ? 0 : type->field_count;

	if (!ref)
		return WASM_TRAP_out_of_memory;
	for (uint32_t i = 0; i < count; i++)
		wasm_field_set(wasm_object_at(ref, type->fields[i].offset),
			       type->fields[i].type,
			       peek(store, count - 1 - i));
	drop(store, count);
	return push_object(store, ref);
}

static enum wasm_trap make_array(struct wasm_store *store,
				 const struct wasm_deftype *type,
				 bool is_default)
{
	uint32_t count = peek(store, 0).i32;
	wasm_ref ref = wasm_heap_array(store, type->id, count);

	if (!ref)
		return WASM_TRAP_out_of_memory;
	if (!is_default)
		wasm_array_fill(store, ref, 0, peek(store, 1), count);
	drop(store, is_default ? 1 : 2);
	return push_object(store, ref);
}

static enum wasm_trap make_array_fixed(struct wasm_store *store,
				       const struct wasm_deftype *type,
				       uint32_t count)
{
	wasm_ref ref = wasm_heap_array(store, type->id, count);

	if (!ref)
		return WASM_TRAP_out_of_memory;
	for (uint32_t i = 0; i < count; i++)
		wasm_field_set(
			wasm_object_at(ref, (uint64_t)i * type->object_bytes),
			type->fields[0].type, peek(store, count - 1 - i));
	drop(store, count);
	return push_object(store, ref);
}

static enum wasm_trap calculate(struct wasm_store *store,
				enum wasm_operation op)
{
	uint64_t b = peek(store, 0).i64, a = peek(store, 1).i64;

	drop(store, 2);
	switch (op) {
	case WASM_OP_I32_ADD: return push_word(store, (uint32_t)(a + b));
	case WASM_OP_I32_SUB: return push_word(store, (uint32_t)(a - b));
	case WASM_OP_I32_MUL: return push_word(store, (uint32_t)(a * b));
	case WASM_OP_I64_ADD: return push_word(store, a + b);
	case WASM_OP_I64_SUB: return push_word(store, a - b);
	default: return push_word(store, a * b);
	}
}

static enum wasm_trap push_global(struct wasm_instance *instance,
				  uint32_t index)
{
	struct wasm_extern found =
		wasm_instance_extern(instance, WASM_EXTERN_GLOBAL, index);

	return push(instance->store, found.global->value);
}

static enum wasm_trap step(struct wasm_instance *instance,
			   enum wasm_operation op,
			   const struct wasm_immediates *imm)
{
	struct wasm_store *store = instance->store;
	const struct wasm_deftype *type = NULL;
	union wasm_value value = { 0 };

	if (op >= WASM_OP_STRUCT_NEW && op <= WASM_OP_ARRAY_NEW_FIXED)
		type = instance->module->type[imm->index[0]];
	switch (op) {
	case WASM_OP_I32_CONST:
	case WASM_OP_F32_CONST: return push_word(store, (uint32_t)imm->value);
	case WASM_OP_I64_CONST:
	case WASM_OP_F64_CONST: return push_word(store, imm->value);
	case WASM_OP_V128_CONST:
		memcpy(&value, imm->bytes, sizeof(value));
		return push(store, value);
	case WASM_OP_GLOBAL_GET: return push_global(instance, imm->index[0]);
	case WASM_OP_REF_NULL: return push_word(store, 0);
	case WASM_OP_REF_FUNC:
		return push_word(store, (wasm_ref)wasm_instance_function(
						instance, imm->index[0]));
	case WASM_OP_REF_I31:
		value = peek(store, 0);
		drop(store, 1);
		return push_word(store, wasm_ref_of_i31(value.i32));
	case WASM_OP_STRUCT_NEW: return make_struct(store, type, false);
	case WASM_OP_STRUCT_NEW_DEFAULT: return make_struct(store, type, true);
	case WASM_OP_ARRAY_NEW: return make_array(store, type, false);
	case WASM_OP_ARRAY_NEW_DEFAULT: return make_array(store, type, true);
	case WASM_OP_ARRAY_NEW_FIXED:
		return make_array_fixed(store, type, imm->index[1]);
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY: return WASM_OK;
	default: return calculate(store, op);
	}
}

enum wasm_trap wasm_evaluate_next(struct wasm_instance *instance,
				  struct wasm_reader *reader,
				  union wasm_value *value)
{
	struct wasm_store *store = instance->store;
	uint8_t *bottom = store->stack_top;
	enum wasm_trap trap = WASM_OK;
	struct wasm_immediates imm;

	while (!trap) {
		enum wasm_operation op = wasm_read_operation(reader);

		if (op == WASM_OP_END)
			break;
		wasm_read_immediates(reader, op, &imm);
		trap = step(instance, op, &imm);
	}
	if (!trap)
		*value = peek(store, 0);
	store->stack_top = bottom;
	return trap;
}

enum wasm_trap wasm_evaluate(struct wasm_instance *instance,
			     const struct wasm_expression *expression,
			     union wasm_value *value)
{
	struct wasm_reader reader =
		wasm_reader_of(expression->at, expression->len);

	return wasm_evaluate_next(instance, &reader, value);
}

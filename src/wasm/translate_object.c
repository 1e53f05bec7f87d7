/* SPDX-License-Identifier: Apache-2.0 */
/* References, objects, tables, bulk memory, exceptions: most are made out of
 * line, with all operands in their own slots. */
#include "wasm/exec_out.h"
#include "wasm/translate.h"

/* An instruction that takes "pops" values; words[0] is set here. */
static void emit_out(struct translator *t, out_of_line *function, uint32_t pops,
		     uint32_t *words, uint32_t count)
{
	acc_flush_all(t);
	value_to_slots(t, pops);
	words[0] = own_slot(t, t->height - pops) * SLOT_BYTES;
	code_begin(t, WASM_H_out_of_line);
	code_u64(t, (uint64_t)function);
	code_u32(t, OUT_OF_LINE_HEAD + count * 4);
	for (uint32_t i = 0; i < count; i++)
		code_u32(t, words[i]);
	value_pop(t, pops);
	acc_forget(t);
}

/* clang-format off */
#define OUT(function, pops, ...)                                       \
	emit_out(t, function, pops, (uint32_t[]){ 0, ##__VA_ARGS__ },  \
		 sizeof((uint32_t[]){ 0, ##__VA_ARGS__ }) / 4)
/* clang-format on */

static void out_to_int(struct translator *t)
{
	value_push_slot(t, CLASS_INT);
}

static void dead(struct translator *t)
{
	t->is_dead = true;
	t->dead_depth = 0;
}

static bool memory_out(struct translator *t, unsigned operation,
		       const struct wasm_immediates *immediates)
{
	const uint32_t *index = immediates->index;
	uint32_t low = (uint32_t)immediates->value;
	uint32_t high = (uint32_t)(immediates->value >> 32);
	uint32_t memory = immediates->memory;

	switch (operation) {
	case WASM_OP_MEMORY_SIZE: OUT(wasm_out_memory_size, 0, index[0]); break;
	case WASM_OP_MEMORY_GROW: OUT(wasm_out_memory_grow, 1, index[0]); break;
	case WASM_OP_MEMORY_ATOMIC_NOTIFY:
		OUT(wasm_out_notify, 2, memory, low, high);
		break;
	case WASM_OP_MEMORY_ATOMIC_WAIT32:
		OUT(wasm_out_wait32, 3, memory, low, high);
		break;
	case WASM_OP_MEMORY_ATOMIC_WAIT64:
		OUT(wasm_out_wait64, 3, memory, low, high);
		break;
	default: return false;
	}
	out_to_int(t);
	return true;
}

static bool bulk_out(struct translator *t, unsigned operation,
		     const uint32_t *index)
{
	switch (operation) {
	case WASM_OP_MEMORY_FILL: OUT(wasm_out_memory_fill, 3, index[0]); break;
	case WASM_OP_MEMORY_COPY:
		OUT(wasm_out_memory_copy, 3, index[0], index[1]);
		break;
	case WASM_OP_MEMORY_INIT:
		OUT(wasm_out_memory_init, 3, index[0], index[1]);
		break;
	case WASM_OP_DATA_DROP: OUT(wasm_out_data_drop, 0, index[0]); break;
	case WASM_OP_TABLE_SET: OUT(wasm_out_table_set, 2, index[0]); break;
	case WASM_OP_TABLE_FILL: OUT(wasm_out_table_fill, 3, index[0]); break;
	case WASM_OP_TABLE_COPY:
		OUT(wasm_out_table_copy, 3, index[0], index[1]);
		break;
	case WASM_OP_TABLE_INIT:
		OUT(wasm_out_table_init, 3, index[0], index[1]);
		break;
	case WASM_OP_ELEM_DROP: OUT(wasm_out_elem_drop, 0, index[0]); break;
	default: return false;
	}
	return true;
}

static bool table_out(struct translator *t, unsigned operation, uint32_t table)
{
	switch (operation) {
	case WASM_OP_TABLE_GET: OUT(wasm_out_table_get, 1, table); break;
	case WASM_OP_TABLE_SIZE: OUT(wasm_out_table_size, 0, table); break;
	case WASM_OP_TABLE_GROW: OUT(wasm_out_table_grow, 2, table); break;
	default: return false;
	}
	out_to_int(t);
	return true;
}

/* A handler of one operand, in its forms "r_r" and "s_r". */
static void own_operation(struct translator *t, unsigned of_accumulator,
			  unsigned of_slot)
{
	struct operand operand = value_operand(t, t->height - 1);

	if (operand.place == 'i')
		operand_to_slot(t, &operand);
	value_pop(t, 1);
	acc_flush(t, CLASS_INT);
	code_begin(t, operand.place == 'r' ? of_accumulator : of_slot);
	code_u32(t, 0);
	code_operand(t, &operand, 'l');
	acc_push(t, CLASS_INT);
}

#define OWN(name) \
	own_operation(t, WASM_H_own_##name##_r_r, WASM_H_own_##name##_s_r)

void object_test(struct translator *t, wasm_type type)
{
	uint32_t slot = own_slot(t, t->height - 1) * SLOT_BYTES;
	uint32_t words[] = { 0, wasm_type_resolve(t->module, type), 1 };

	emit_out(t, wasm_out_ref_test, 0, words, 3);
	code_set_u32(t, last_made(t)->at + OUT_OF_LINE_HEAD, slot);
	out_to_int(t);
}

static bool reference(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates)
{
	wasm_type type = immediates->types[0];

	switch (operation) {
	case WASM_OP_REF_NULL:
		value_push(t, IS_CONSTANT, CLASS_INT)->constant = 0;
		break;
	case WASM_OP_REF_IS_NULL:
		number_operation(t, WASM_OP_I64_EQZ, immediates);
		break;
	case WASM_OP_REF_EQ:
		number_operation(t, WASM_OP_I64_EQ, immediates);
		break;
	case WASM_OP_REF_AS_NON_NULL: OWN(non_null); break;
	case WASM_OP_REF_I31: OWN(to_i31); break;
	case WASM_OP_I31_GET_S: OWN(i31_s); break;
	case WASM_OP_I31_GET_U: OWN(i31_u); break;
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY: break; /* the word stays */
	case WASM_OP_REF_FUNC:
		OUT(wasm_out_ref_func, 0, immediates->index[0]);
		out_to_int(t);
		break;
	case WASM_OP_REF_TEST_NULL: type |= WASM_NULLABLE; /* fall through */
	case WASM_OP_REF_TEST:
		OUT(wasm_out_ref_test, 1, wasm_type_resolve(t->module, type),
		    0);
		out_to_int(t);
		break;
	case WASM_OP_REF_CAST_NULL: type |= WASM_NULLABLE; /* fall through */
	case WASM_OP_REF_CAST:
		OUT(wasm_out_ref_cast, 1, wasm_type_resolve(t->module, type));
		out_to_int(t);
		break;
	default: return false;
	}
	return true;
}

static void push_field(struct translator *t, const struct wasm_field *field)
{
	value_push_slot(t, class_of(field->type));
}

static bool structure(struct translator *t, unsigned operation,
		      const uint32_t *index)
{
	uint32_t type_index = index[0], field = index[1];
	const struct wasm_deftype *type;

	if (operation < WASM_OP_STRUCT_NEW || operation > WASM_OP_STRUCT_SET)
		return false;
	type = t->module->type[type_index];
	switch (operation) {
	case WASM_OP_STRUCT_NEW:
		OUT(wasm_out_struct_new, type->field_count, type_index);
		out_to_int(t);
		break;
	case WASM_OP_STRUCT_NEW_DEFAULT:
		OUT(wasm_out_struct_new_default, 0, type_index);
		out_to_int(t);
		break;
	case WASM_OP_STRUCT_GET:
	case WASM_OP_STRUCT_GET_S:
	case WASM_OP_STRUCT_GET_U:
		OUT(wasm_out_struct_get, 1, type_index, field,
		    operation == WASM_OP_STRUCT_GET_S);
		push_field(t, &type->fields[field]);
		break;
	case WASM_OP_STRUCT_SET:
		OUT(wasm_out_struct_set, 2, type_index, field);
		break;
	}
	return true;
}

static bool array_new(struct translator *t, unsigned operation,
		      const uint32_t *index)
{
	switch (operation) {
	case WASM_OP_ARRAY_NEW: OUT(wasm_out_array_new, 2, index[0]); break;
	case WASM_OP_ARRAY_NEW_DEFAULT:
		OUT(wasm_out_array_new_default, 1, index[0]);
		break;
	case WASM_OP_ARRAY_NEW_FIXED:
		OUT(wasm_out_array_new_fixed, index[1], index[0], index[1]);
		break;
	case WASM_OP_ARRAY_NEW_DATA:
		OUT(wasm_out_array_new_data, 2, index[0], index[1]);
		break;
	case WASM_OP_ARRAY_NEW_ELEM:
		OUT(wasm_out_array_new_elem, 2, index[0], index[1]);
		break;
	case WASM_OP_ARRAY_LEN: OUT(wasm_out_array_len, 1); break;
	default: return false;
	}
	out_to_int(t);
	return true;
}

static bool array(struct translator *t, unsigned operation,
		  const uint32_t *index)
{
	switch (operation) {
	case WASM_OP_ARRAY_GET:
	case WASM_OP_ARRAY_GET_S:
	case WASM_OP_ARRAY_GET_U:
		OUT(wasm_out_array_get, 2, index[0],
		    operation == WASM_OP_ARRAY_GET_S);
		push_field(t, &t->module->type[index[0]]->fields[0]);
		break;
	case WASM_OP_ARRAY_SET: OUT(wasm_out_array_set, 3, index[0]); break;
	case WASM_OP_ARRAY_FILL: OUT(wasm_out_array_fill, 4); break;
	case WASM_OP_ARRAY_COPY: OUT(wasm_out_array_copy, 5); break;
	case WASM_OP_ARRAY_INIT_DATA:
		OUT(wasm_out_array_init_data, 4, index[0], index[1]);
		break;
	case WASM_OP_ARRAY_INIT_ELEM:
		OUT(wasm_out_array_init_elem, 4, index[0], index[1]);
		break;
	default: return false;
	}
	return true;
}

static bool exception(struct translator *t, unsigned operation, uint32_t tag)
{
	switch (operation) {
	case WASM_OP_THROW:
		OUT(wasm_out_throw,
		    t->module->type[t->module->tags[tag].type_index]
			    ->param_count,
		    tag);
		break;
	case WASM_OP_THROW_REF: OUT(wasm_out_throw_ref, 1); break;
	default: return false;
	}
	dead(t);
	return true;
}

bool object_operation(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates)
{
	const uint32_t *index = immediates->index;

	if (operation == WASM_OP_ATOMIC_FENCE) {
		code_begin(t, WASM_H_fence);
		return true;
	}
	return memory_out(t, operation, immediates) ||
	       bulk_out(t, operation, index) ||
	       table_out(t, operation, index[0]) ||
	       reference(t, operation, immediates) ||
	       structure(t, operation, index) ||
	       array_new(t, operation, index) || array(t, operation, index) ||
	       exception(t, operation, index[0]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and returns.  Arguments are made in their own slots, which are where
 * the callee's frame begins; results come to the same place. */
#include "wasm/translate.h"

/* What the callee leaves: all results in slots, a single one also in its
 * accumulator. */
static void push_results(struct translator *t, const struct wasm_deftype *type)
{
	acc_forget(t);
	code_forget(t);
	for (uint32_t i = 0; i < type->result_count; i++)
		value_push_slot(t, class_of(type->results[i]));
	if (type->result_count == 1) {
		struct value *value = value_top(t, 0);

		t->accumulators[value->class].mirrors = value->slot;
	}
}

/* The frames of callees begin at the arguments: at least so much is used of
 * ours, results included. */
static uint32_t prepare_arguments(struct translator *t,
				  const struct wasm_deftype *type)
{
	uint32_t first;

	acc_flush_all(t);
	value_to_slots(t, type->param_count);
	first = t->height - type->param_count;
	if (first + type->result_count > t->highest)
		t->highest = first + type->result_count;
	return own_slot(t, first);
}

static const struct wasm_deftype *type_of_function(const struct translator *t,
						   uint32_t index)
{
	return t->module->type[t->module->functions[index].type_index];
}

static const struct wasm_code *code_of_function(const struct translator *t,
						uint32_t index)
{
	return t->function + ((int64_t)index - t->function->function);
}

static void call(struct translator *t, uint32_t index)
{
	const struct wasm_deftype *type = type_of_function(t, index);
	uint32_t arguments = prepare_arguments(t, type);
	uint32_t slots[6], copies = 0;

	if (index < t->module->imported_functions) {
		code_begin(t, WASM_H_call_import);
		code_u32(t, index);
	} else {
		copies = code_take_copies(t, 3, slots);
		code_begin(t, WASM_H_call + copies);
		code_u64(t, (uint64_t)code_of_function(t, index));
	}
	code_slot(t, arguments);
	for (uint32_t i = 0; i < copies * 2; i++)
		code_u32(t, slots[i]);
	value_pop(t, type->param_count);
	push_results(t, type);
}

/* The callee's index in its table, or the reference, is on top; the arguments
 * are below.  It stays readable, since nothing is pushed before it is used. */
static struct operand take_callee(struct translator *t,
				  const struct wasm_deftype *type, bool in_slot,
				  uint32_t *arguments)
{
	uint32_t top = t->height - 1;
	struct operand callee;

	if (value_at(t, top)->place == IS_SUM)
		value_make_sum(t, top);
	for (uint32_t i = top - type->param_count; i < top; i++)
		value_to_slot(t, i);
	callee = value_operand(t, top);
	if (callee.place == 'i' || in_slot)
		operand_to_slot(t, &callee);
	value_pop(t, 1);
	*arguments = prepare_arguments(t, type);
	return callee;
}

static bool table_is64(const struct translator *t, uint32_t table)
{
	return t->module->tables[table].limits.is64;
}

static unsigned indirect_handler(bool is64, bool in_slot)
{
	static const uint16_t handlers[2][2] = {
		{ WASM_H_call_indirect_i_r, WASM_H_call_indirect_i_s },
		{ WASM_H_call_indirect_l_r, WASM_H_call_indirect_l_s },
	};

	return handlers[is64][in_slot];
}

static void call_indirect(struct translator *t, uint32_t type_index,
			  uint32_t table)
{
	const struct wasm_deftype *type = t->module->type[type_index];
	uint32_t arguments;
	struct operand callee = take_callee(t, type, false, &arguments);

	code_begin(t,
		   indirect_handler(table_is64(t, table), callee.place == 's'));
	code_u32(t, table);
	code_u32(t, type->id);
	code_slot(t, arguments);
	code_slot(t, callee.slot);
	value_pop(t, type->param_count);
	push_results(t, type);
}

static void call_ref(struct translator *t, uint32_t type_index)
{
	const struct wasm_deftype *type = t->module->type[type_index];
	uint32_t arguments;
	struct operand callee = take_callee(t, type, true, &arguments);

	code_begin(t, WASM_H_call_ref);
	code_slot(t, callee.slot);
	code_slot(t, arguments);
	value_pop(t, type->param_count);
	push_results(t, type);
}

/* The fields that all tail calls begin with. */
static void tail_fields(struct translator *t, const struct wasm_deftype *type,
			uint32_t arguments)
{
	code_slot(t, arguments);
	code_u32(t, type->param_count * SLOT_BYTES);
	code_u32(t, t->function->save_bytes);
}

static void dead(struct translator *t)
{
	t->is_dead = true;
	t->dead_depth = 0;
}

static void return_call(struct translator *t, uint32_t index)
{
	const struct wasm_deftype *type = type_of_function(t, index);
	uint32_t arguments = prepare_arguments(t, type);
	bool is_import = index < t->module->imported_functions;

	code_begin(t,
		   is_import ? WASM_H_return_call_import : WASM_H_return_call);
	tail_fields(t, type, arguments);
	if (is_import)
		code_u32(t, index);
	else
		code_u64(t, (uint64_t)code_of_function(t, index));
	dead(t);
}

static void return_call_indirect(struct translator *t, uint32_t type_index,
				 uint32_t table)
{
	const struct wasm_deftype *type = t->module->type[type_index];
	uint32_t arguments;
	struct operand callee = take_callee(t, type, true, &arguments);

	code_begin(t, WASM_H_return_call_indirect);
	tail_fields(t, type, arguments);
	code_u32(t, table);
	code_u32(t, type->id);
	code_slot(t, callee.slot);
	code_u32(t, table_is64(t, table));
	dead(t);
}

static void return_call_ref(struct translator *t, uint32_t type_index)
{
	const struct wasm_deftype *type = t->module->type[type_index];
	uint32_t arguments;
	struct operand callee = take_callee(t, type, true, &arguments);

	code_begin(t, WASM_H_return_call_ref);
	tail_fields(t, type, arguments);
	code_slot(t, callee.slot);
	dead(t);
}

static void return_none(struct translator *t)
{
	code_begin(t, WASM_H_return);
	code_u32(t, t->function->save_bytes);
}

static void return_one(struct translator *t)
{
	static const uint16_t handlers[CLASSES][3] = {
		{ WASM_H_return_l_r, WASM_H_return_l_s, WASM_H_return_l_i },
		{ WASM_H_return_d_r, WASM_H_return_d_s, 0 },
		{ WASM_H_return_f_r, WASM_H_return_f_s, 0 },
		{ WASM_H_return_v_r, WASM_H_return_v_s, 0 },
	};
	enum value_class class = value_top(t, 0)->class;
	struct operand result = value_operand(t, t->height - 1);

	if (result.place == 'i' && class != CLASS_INT)
		operand_to_slot(t, &result);
	code_begin(t, handlers[class][form_of('r', result.place)]);
	code_u32(t, t->function->save_bytes);
	code_operand(t, &result, 'l');
}

static void return_many(struct translator *t, uint32_t count)
{
	value_to_slots(t, count);
	code_begin(t, WASM_H_move);
	code_slot(t, 0);
	code_slot(t, own_slot(t, t->height - count));
	code_u32(t, count * SLOT_BYTES);
	return_none(t);
}

void call_return(struct translator *t)
{
	uint32_t count = t->type->result_count;

	if (count == 0)
		return_none(t);
	else if (count == 1)
		return_one(t);
	else
		return_many(t, count);
}

bool call_operation(struct translator *t, unsigned operation,
		    const struct wasm_immediates *immediates)
{
	const uint32_t *index = immediates->index;

	switch (operation) {
	case WASM_OP_CALL: call(t, index[0]); break;
	case WASM_OP_CALL_INDIRECT: call_indirect(t, index[0], index[1]); break;
	case WASM_OP_CALL_REF: call_ref(t, index[0]); break;
	case WASM_OP_RETURN_CALL: return_call(t, index[0]); break;
	case WASM_OP_RETURN_CALL_INDIRECT:
		return_call_indirect(t, index[0], index[1]);
		break;
	case WASM_OP_RETURN_CALL_REF: return_call_ref(t, index[0]); break;
	default: return false;
	}
	return true;
}

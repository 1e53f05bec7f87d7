/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores.  Memory 0, when it is one that faults, is reached by
 * handlers that do not check, in many forms; all other memories by one
 * checked form, with its operands in slots. */
#include "wasm/translate.h"

static bool is_near(const struct translator *t, uint32_t memory)
{
	const struct wasm_limits *limits = &t->module->memories[memory].limits;

	return memory == 0 && !t->function->checked && !limits->is64 &&
	       limits->page_log2 == 16;
}

static enum value_class letter_class(char letter)
{
	return letter == 'd'   ? CLASS_F64
	       : letter == 'f' ? CLASS_F32
	       : letter == 'v' ? CLASS_V128
			       : CLASS_INT;
}

/* The address is a sum that was emitted just now: take it back. */
static bool address_from_add(struct translator *t, uint32_t index,
			     struct address *address)
{
	const struct made *last = last_made(t);
	struct made add;

	if (last->kind != MADE_BINARY || last->operation != WASM_OP_I32_ADD ||
	    last->destination != NONE || last->b.place != 's' ||
	    !value_is_fresh(t, index))
		return false;
	add = code_take_back(t);
	address->form = add.a.place == 'r' ? ADDRESS_RS : ADDRESS_SS;
	address->first = add.a.place == 'r' ? add.b.slot : add.a.slot;
	address->second = add.b.slot;
	value_at(t, index)->place = IS_CONSTANT; /* nobody's any more */
	return true;
}

static struct address address_of(struct translator *t, uint32_t index,
				 uint64_t offset, bool may_take_back)
{
	struct value *value = value_at(t, index);
	struct address address = { .offset = offset };
	struct operand operand;

	if (value->place == IS_SUM) {
		address.form = value->is_sum_of_locals ? ADDRESS_SS
						       : ADDRESS_SI;
		address.first = value->slot;
		address.second = (uint32_t)value->constant;
	} else if (value->place == IS_CONSTANT) {
		address.form = ADDRESS_I;
		address.offset += (uint32_t)value->constant;
	} else if (!may_take_back || !address_from_add(t, index, &address)) {
		operand = value_operand(t, index);
		address.form = operand.place == 'r' ? ADDRESS_R : ADDRESS_S;
		address.first = operand.slot;
	}
	return address;
}

static void address_fields(struct translator *t, const struct address *address)
{
	if (address->form == ADDRESS_I) {
		code_u64(t, address->offset);
		return;
	}
	if (address->form != ADDRESS_R)
		code_slot(t, address->first);
	if (address->form == ADDRESS_SS)
		code_slot(t, address->second);
	else if (address->form == ADDRESS_SI)
		code_u32(t, address->second);
	code_u32(t, (uint32_t)address->offset);
}

static void load(struct translator *t, unsigned operation, uint64_t offset)
{
	char letter = wasm_operations[operation].results[0];
	enum value_class class = letter_class(letter);
	struct address address = address_of(t, t->height - 1, offset, true);
	struct made *made;

	value_pop(t, 1);
	acc_flush(t, class);
	code_begin(t, handler_of(ROLE_VALUE, operation, address.form));
	code_u32(t, 0);
	address_fields(t, &address);
	made = last_made(t);
	made->kind = MADE_LOAD;
	made->operation = (uint16_t)operation;
	made->address = address;
	acc_push(t, class);
}

static bool is_same_address(const struct address *a, const struct address *b)
{
	return a->form == b->form && a->first == b->first &&
	       a->offset == b->offset &&
	       (a->form == ADDRESS_S || a->second == b->second);
}

static unsigned load_of_store(unsigned store)
{
	switch (store) {
	case WASM_OP_I32_STORE: return WASM_OP_I32_LOAD;
	case WASM_OP_F32_STORE: return WASM_OP_F32_LOAD;
	case WASM_OP_F64_STORE: return WASM_OP_F64_LOAD;
	}
	return WASM_OPERATIONS;
}

/* The form of ROLE_STORED, or -1. */
static int stored_form(const struct made *last, unsigned store,
		       const struct address *address)
{
	int form = (int)address->form;

	if (last->kind == MADE_BINARY) {
		if (last->b.place == 's')
			return form + (last->a.place == 'r' ? 0 : 12);
		return last->a.place == 's' && last->b.place == 'r' ? form + 6
								    : -1;
	}
	if (last->kind != MADE_LOADED || last->a.place != 'r' ||
	    last->loaded != load_of_store(store) ||
	    !is_same_address(&last->address, address))
		return -1;
	return last->is_swapped || operation_commutes(last->operation)
		       ? form + 18
		       : -1;
}

/* The value was just made: operate and store at once. */
static bool store_result(struct translator *t, unsigned store, uint64_t offset)
{
	uint32_t index = t->height - 2;
	const struct value *place = value_at(t, index);
	struct made *last = last_made(t), made;
	struct address address;
	unsigned handler;
	int form;

	if (load_of_store(store) == WASM_OPERATIONS ||
	    last->destination != NONE || !value_is_fresh(t, t->height - 1) ||
	    place->place == IN_ACCUMULATOR || place->place == IS_CONSTANT ||
	    (last->kind != MADE_BINARY && last->kind != MADE_LOADED))
		return false;
	address = address_of(t, index, offset, false);
	if (address.form == ADDRESS_R)
		address.form = ADDRESS_S;
	form = stored_form(last, store, &address);
	handler = form < 0 ? 0
			   : handler_of(ROLE_STORED, last->operation,
					(unsigned)form);
	if (!handler)
		return false;
	if (last->kind == MADE_LOADED)
		code_keep_origin(t);
	made = code_take_back(t);
	value_pop(t, 2);
	acc_flush(t, made.class);
	code_begin(t, handler);
	address_fields(t, &address);
	if (made.kind == MADE_BINARY) {
		char letter = wasm_operations[made.operation].operands[0];

		code_operand(t, &made.a, letter);
		code_operand(t, &made.b, letter);
	}
	acc_set(t, made.class, NONE);
	t->accumulators[made.class].producer = NONE;
	return true;
}

static void store(struct translator *t, unsigned operation, uint64_t offset)
{
	uint32_t top = t->height - 1;
	char letter = wasm_operations[operation].operands[1];
	bool same_class = letter_class(letter) == CLASS_INT;
	struct operand value;
	struct address address;
	unsigned form;

	if (value_at(t, top)->place == IS_SUM)
		value_make_sum(t, top);
	if (store_result(t, operation, offset))
		return;
	address = address_of(t, top - 1, offset, false);
	value = value_operand(t, top);
	if (value.place == 'i' && letter == 'v')
		operand_to_slot(t, &value);
	if (value.place == 'r' && address.form == ADDRESS_R && same_class) {
		if (value_at(t, top)->place == IN_ACCUMULATOR) {
			address.form = ADDRESS_S;
			address.first = value_slot(t, top - 1);
		} else {
			value.place = 's';
		}
	}
	form = address.form * 3 + (value.place == 'r'	? 0
				   : value.place == 's' ? 1
							: 2);
	value_pop(t, 2);
	code_begin(t, handler_of(ROLE_VALUE, operation, form));
	address_fields(t, &address);
	code_operand(t, &value, letter);
}

static void far_access(struct translator *t, unsigned operation,
		       const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	uint32_t count = info->operands[2] ? 3 : info->operands[1] ? 2 : 1;
	enum value_class class = letter_class(info->results[0]);
	uint32_t slots[3];

	for (uint32_t i = 0; i < count; i++)
		slots[i] = value_slot(t, t->height - count + i);
	value_pop(t, count);
	if (info->results[0])
		acc_flush(t, class);
	code_begin(t, handler_of(ROLE_FAR, operation,
				 t->module->memories[immediates->memory]
					 .limits.is64));
	code_u32(t, 0);
	for (uint32_t i = 0; i < count; i++)
		code_slot(t, slots[i]);
	code_u32(t, immediates->memory);
	code_u32(t, immediates->lane);
	code_u64(t, immediates->value);
	if (info->results[0])
		acc_push(t, class);
}

bool memory_operation(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	bool is_plain = info->immediates[0] == WASM_IMM_MEMARG;

	if (!handler_of(ROLE_FAR, operation, 0))
		return false;
	if (!is_plain || info->immediates[1] ||
	    !is_near(t, immediates->memory))
		far_access(t, operation, immediates);
	else if (info->results[0])
		load(t, operation, immediates->value);
	else
		store(t, operation, immediates->value);
	return true;
}

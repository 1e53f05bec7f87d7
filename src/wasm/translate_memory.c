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

/* Has the operation a handler for this form? */
static bool has_form(unsigned operation, enum address_form form)
{
	bool is_store = !wasm_operations[operation].results[0];

	return handler_of(ROLE_VALUE, operation,
			  is_store ? form * 3u + 1 : form) != 0;
}

static enum address_form sum_form(char first, bool shifted, char second)
{
	if (shifted && second == 's')
		return first == 'r' ? ADDRESS_R_SHIFTED_S : ADDRESS_S_SHIFTED_S;
	if (shifted)
		return first == 'r' ? ADDRESS_R_SHIFTED_I : ADDRESS_S_SHIFTED_I;
	if (second == 's')
		return first == 'r' ? ADDRESS_RS : ADDRESS_SS;
	return first == 'r' ? ADDRESS_RI : ADDRESS_SI;
}

/* Is the last instruction a sum as addresses have them? */
static bool is_sum(const struct made *last, struct address *address)
{
	bool shifted = last->operation == WASM_OP_I32_SHL;
	struct operand second = { .place = 'i', .constant = 0 };

	if (last->kind == MADE_TREE && shifted && last->b.place == 'i' &&
	    last->second == WASM_OP_I32_ADD)
		second = last->c;
	else if (last->kind == MADE_BINARY &&
		 last->operation == WASM_OP_I32_ADD)
		second = last->b;
	else if (last->kind != MADE_BINARY || !shifted || last->b.place != 'i')
		return false;
	if (last->a.place == 'i' || second.place == 'r')
		return false;
	address->form = sum_form(last->a.place, shifted, second.place);
	address->first = last->a.slot;
	address->shift = (uint32_t)last->b.constant & 31;
	address->second =
		second.place == 's' ? second.slot : (uint32_t)second.constant;
	return true;
}

/* The address is a sum that was emitted just now: take it back. */
static bool address_from_sum(struct translator *t, unsigned operation,
			     uint32_t index, struct address *address)
{
	if (last_made(t)->destination != NONE || !value_is_fresh(t, index) ||
	    !is_sum(last_made(t), address) ||
	    !has_form(operation, address->form))
		return false;
	code_take_back(t);
	value_at(t, index)->place = IS_CONSTANT; /* nobody's any more */
	return true;
}

static bool address_from_later(struct translator *t, unsigned operation,
			       uint32_t index, struct address *address)
{
	const struct value *value = value_at(t, index);

	if (value->place != IS_SUM)
		return false;
	address->form = sum_form('s', value->shift != 0,
				 value->is_sum_of_locals ? 's' : 'i');
	address->first = value->slot;
	address->shift = value->shift;
	address->second = (uint32_t)value->constant;
	if (has_form(operation, address->form))
		return true;
	value_make_sum(t, index);
	return false;
}

static struct address address_of(struct translator *t, unsigned operation,
				 uint32_t index, uint64_t offset)
{
	struct value *value = value_at(t, index);
	struct address address = { .offset = offset };
	struct operand operand;

	if (value->place == IS_CONSTANT) {
		address.form = ADDRESS_I;
		address.offset += (uint32_t)value->constant;
	} else if (!address_from_later(t, operation, index, &address) &&
		   !address_from_sum(t, operation, index, &address)) {
		operand = value_operand(t, index);
		address.form = operand.place == 'r' ? ADDRESS_R : ADDRESS_S;
		address.first = operand.slot;
	}
	return address;
}

static bool uses_accumulator(enum address_form form)
{
	return form == ADDRESS_R || form == ADDRESS_RS || form == ADDRESS_RI ||
	       form == ADDRESS_R_SHIFTED_S || form == ADDRESS_R_SHIFTED_I;
}

/* The address was just loaded: both at once. */
static bool load_chained(struct translator *t, unsigned operation,
			 uint64_t offset)
{
	const struct made *last = last_made(t);
	enum value_class class =
		letter_class(wasm_operations[operation].results[0]);
	const uint8_t *op_at = t->op_at;
	struct made first;
	unsigned handler;

	if (last->kind != MADE_LOAD || last->operation != WASM_OP_I32_LOAD ||
	    last->destination != NONE || !value_is_fresh(t, t->height - 1))
		return false;
	handler = handler_of(ROLE_CHAINED, operation, last->address.form);
	if (!handler)
		return false;
	code_keep_origin(t);
	first = code_take_back(t);
	value_pop(t, 1);
	acc_flush(t, class);
	code_begin(t, handler);
	t->op_at = op_at;
	code_second_origin(t);
	code_u32(t, 0);
	code_address(t, &first.address);
	code_u32(t, (uint32_t)offset);
	acc_push(t, class);
	return true;
}

static void load(struct translator *t, unsigned operation, uint64_t offset)
{
	char letter = wasm_operations[operation].results[0];
	enum value_class class = letter_class(letter);
	struct address address;
	struct made *made;

	if (load_chained(t, operation, offset))
		return;
	address = address_of(t, operation, t->height - 1, offset);
	value_pop(t, 1);
	acc_flush(t, class);
	code_begin(t, handler_of(ROLE_VALUE, operation, address.form));
	code_u32(t, 0);
	code_address(t, &address);
	made = last_made(t);
	made->kind = MADE_LOAD;
	made->operation = (uint16_t)operation;
	made->address = address;
	acc_push(t, class);
}

static bool is_same_address(const struct address *a, const struct address *b)
{
	return a->form == b->form && a->first == b->first &&
	       a->offset == b->offset && a->shift == b->shift &&
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
			return form +
			       (last->a.place == 'r' ? 0 : 2 * ADDRESS_FORMS);
		return last->a.place == 's' && last->b.place == 'r'
			       ? form + ADDRESS_FORMS
			       : -1;
	}
	if (last->kind != MADE_LOADED || last->a.place != 'r' ||
	    last->loaded != load_of_store(store) ||
	    !is_same_address(&last->address, address))
		return -1;
	return last->is_swapped || operation_commutes(last->operation)
		       ? form + 3 * ADDRESS_FORMS
		       : -1;
}

/* Without the accumulator, which has the value's operand. */
static struct address stored_address(struct translator *t, uint32_t index,
				     uint64_t offset)
{
	const struct value *value = value_at(t, index);
	struct address address = { .form = ADDRESS_S,
				   .first = value->slot,
				   .offset = offset };

	if (value->place == IS_SUM) {
		address.form = sum_form('s', value->shift != 0,
					value->is_sum_of_locals ? 's' : 'i');
		address.shift = value->shift;
		address.second = (uint32_t)value->constant;
	}
	return address;
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
	address = stored_address(t, index, offset);
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
	code_address(t, &address);
	if (made.kind == MADE_BINARY) {
		char letter = wasm_operations[made.operation].operands[0];

		code_operand(t, &made.a, letter);
		code_operand(t, &made.b, letter);
	}
	acc_set(t, made.class, NONE);
	t->accumulators[made.class].producer = NONE;
	return true;
}

/* The value was just loaded: both at once. */
static bool store_loaded(struct translator *t, unsigned store, uint64_t offset)
{
	static const uint16_t load_of[][2] = {
		{ WASM_OP_I32_STORE, WASM_OP_I32_LOAD },
		{ WASM_OP_I64_STORE, WASM_OP_I64_LOAD },
		{ WASM_OP_I32_STORE8, WASM_OP_I32_LOAD8_U },
	};
	const struct made *last = last_made(t);
	const struct value *place = value_at(t, t->height - 2);
	const uint8_t *op_at = t->op_at;
	struct address address;
	struct made first;
	unsigned handler = 0;

	if (last->kind != MADE_LOAD || last->destination != NONE ||
	    !value_is_fresh(t, t->height - 1) ||
	    place->place == IN_ACCUMULATOR || place->place == IS_CONSTANT)
		return false;
	address = stored_address(t, t->height - 2, offset);
	for (unsigned i = 0; i < sizeof(load_of) / sizeof(*load_of); i++)
		if (load_of[i][0] == store && load_of[i][1] == last->operation)
			handler =
				handler_of(ROLE_COPIED, store,
					   last->address.form * ADDRESS_FORMS +
						   address.form);
	if (!handler)
		return false;
	code_keep_origin(t);
	first = code_take_back(t);
	value_pop(t, 2);
	code_begin(t, handler);
	t->op_at = op_at;
	code_second_origin(t);
	code_address(t, &first.address);
	code_address(t, &address);
	t->accumulators[CLASS_INT].producer = NONE;
	t->accumulators[CLASS_INT].mirrors = NONE;
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
	if (store_result(t, operation, offset) ||
	    store_loaded(t, operation, offset))
		return;
	address = address_of(t, operation, top - 1, offset);
	value = value_operand(t, top);
	if (value.place == 'i' && letter == 'v')
		operand_to_slot(t, &value);
	if (value.place == 'r' && uses_accumulator(address.form) &&
	    same_class) {
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
	code_address(t, &address);
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
	if (!is_plain || info->immediates[1] || !is_near(t, immediates->memory))
		far_access(t, operation, immediates);
	else if (info->results[0])
		load(t, operation, immediates->value);
	else
		store(t, operation, immediates->value);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic, comparisons, vectors, select and locals: what has a row with a
 * signature in operations.tab.  Where the last instruction's result is an
 * operand, the two may become one. */
#include "wasm/translate.h"
#include <string.h>

static enum value_class class_of_letter(char letter)
{
	switch (letter) {
	case 'f': return CLASS_F32;
	case 'd': return CLASS_F64;
	case 'v': return CLASS_V128;
	}
	return CLASS_INT;
}

static char operand_letter(unsigned operation, unsigned number)
{
	return wasm_operations[operation].operands[number];
}

static char result_letter(unsigned operation)
{
	return wasm_operations[operation].results[0];
}

static bool is_integer_compare(unsigned operation)
{
	return operation_inverse(operation) != 0;
}

static bool is_compare(unsigned operation)
{
	return operation_mirrored(operation) != 0;
}

/* Which operand goes to a slot first, when there is no handler for these
 * places: a constant, a local that an accumulator mirrors, an accumulator. */
static unsigned worst_operand(struct translator *t,
			      const struct operand *operands, unsigned count)
{
	unsigned worst = 0;

	for (unsigned i = 0; i < count; i++)
		if (operands[i].place == 'i')
			return i;
	for (unsigned i = 0; i < count; i++) {
		if (operands[i].place != 'r')
			continue;
		worst = i;
		if (value_at(t, operands[i].index)->place != IN_ACCUMULATOR)
			break;
	}
	return worst;
}

static unsigned form_of_all(const struct operand *operands, unsigned count)
{
	unsigned form = 0;

	for (unsigned i = 0; i < count; i++)
		form = form * 3 + (operands[i].place == 'r'   ? 0
				   : operands[i].place == 's' ? 1
							      : 2);
	return form;
}

static void extra_fields(struct translator *t, unsigned operation,
			 const struct wasm_immediates *immediates)
{
	uint8_t kind = wasm_operations[operation].immediates[0];

	if (kind == WASM_IMM_LANE)
		code_u32(t, immediates->lane);
	else if (kind == WASM_IMM_LANES)
		for (unsigned i = 0; i < 16; i += 4)
			code_u32(t, (uint32_t)immediates->bytes[i] |
					    immediates->bytes[i + 1] << 8 |
					    immediates->bytes[i + 2] << 16 |
					    (uint32_t)immediates->bytes[i + 3]
						    << 24);
}

static void remember(struct translator *t, unsigned operation,
		     const struct operand *operands, unsigned count)
{
	struct made *made = last_made(t);

	made->kind = is_compare(operation) ? MADE_COMPARE
		     : count == 1	   ? MADE_UNARY
					   : MADE_BINARY;
	made->operation = (uint16_t)operation;
	made->a = operands[0];
	made->b = operands[1];
}

/* The operands are the top values, which are taken. */
static void emit_operation(struct translator *t, unsigned operation,
			   struct operand *operands, unsigned count,
			   const struct wasm_immediates *immediates)
{
	enum value_class class = class_of_letter(result_letter(operation));
	unsigned handler;

	while (!(handler = handler_of(ROLE_VALUE, operation,
				      form_of_all(operands, count))))
		operand_to_slot(t,
				&operands[worst_operand(t, operands, count)]);
	value_pop(t, count);
	acc_flush(t, class);
	code_begin(t, handler);
	code_u32(t, 0);
	for (unsigned i = 0; i < count; i++)
		code_operand(t, &operands[i], operand_letter(operation, i));
	extra_fields(t, operation, immediates);
	if (count < 3)
		remember(t, operation, operands, count);
	acc_push(t, class);
}

/* Sums that may become part of an address are not made before somebody needs
 * them: local + local, local + constant, local << constant, and the latter
 * plus a local or a constant. */

static bool is_bare_shift(const struct value *value)
{
	return value->place == IS_SUM && value->shift &&
	       !value->is_sum_of_locals && value->constant == 0;
}

/* a + b, where it is one of these; a constant is second. */
static bool sum_of(struct value *a, const struct value *b)
{
	if (b->place == IS_CONSTANT &&
	    (a->place == IN_LOCAL ||
	     (a->place == IS_SUM && !a->is_sum_of_locals))) {
		a->constant = (uint32_t)(a->constant + b->constant);
		return true;
	}
	if (b->place == IN_LOCAL &&
	    (a->place == IN_LOCAL || is_bare_shift(a))) {
		a->constant = b->slot;
		a->is_sum_of_locals = true;
		return true;
	}
	return false;
}

static void push_sum(struct translator *t, struct value sum)
{
	sum.place = IS_SUM;
	value_pop(t, 2);
	*value_push(t, IS_SUM, CLASS_INT) = sum;
}

static bool sum_later(struct translator *t)
{
	struct value a = *value_top(t, 1), b = *value_top(t, 0);
	struct value other = a;

	if (!sum_of(&a, &b)) {
		if (!sum_of(&b, &other))
			return false;
		a = b;
	}
	push_sum(t, a);
	return true;
}

static bool shift_later(struct translator *t)
{
	struct value a = *value_top(t, 1);
	const struct value *b = value_top(t, 0);

	if (a.place != IN_LOCAL || b->place != IS_CONSTANT ||
	    !(b->constant & 31))
		return false;
	a.shift = b->constant & 31;
	a.constant = 0;
	push_sum(t, a);
	return true;
}

/* Of the two top values, the one that the last instruction made: 0 or 1, or
 * -1. */
static int fresh_operand(struct translator *t)
{
	if (last_made(t)->destination != NONE)
		return -1;
	if (value_is_fresh(t, t->height - 1))
		return 1;
	return value_is_fresh(t, t->height - 2) ? 0 : -1;
}

/* The other operand as it was before the last instruction, a load. */
static struct operand operand_before(struct translator *t, uint32_t index,
				     const struct made *last)
{
	const struct value *value = value_at(t, index);
	bool is_here = last->before.mirrors == value->slot;

	return (struct operand){ .place = is_here ? 'r' : 's',
				 .slot = value->slot };
}

/* One operand was just loaded: load and operate at once. */
static bool with_load(struct translator *t, unsigned operation)
{
	struct made *last = last_made(t), load;
	int fresh = fresh_operand(t);
	bool swapped = fresh == 0 && !operation_commutes(operation);
	uint32_t other_index = t->height - 1 - (uint32_t)(fresh == 1);
	enum value_class class = class_of_letter(result_letter(operation));
	struct operand other;
	unsigned handler = 0, form;

	if (last->kind != MADE_LOAD || fresh < 0 ||
	    value_at(t, other_index)->place == IS_CONSTANT)
		return false;
	other = operand_before(t, other_index, last);
	form = (operation_loaded_class(last->operation) - 1) * 2 + swapped;
	for (int i = 0; i < 2 && !handler; i++) {
		handler = handler_of(ROLE_LOADED, operation,
				     (form * 2 + (other.place == 's')) *
						     ADDRESS_FORMS +
					     last->address.form);
		if (!handler)
			other.place = 's';
	}
	if (!handler)
		return false;
	code_keep_origin(t);
	load = code_take_back(t);
	value_pop(t, 2);
	acc_flush(t, class);
	code_begin(t, handler);
	code_u32(t, 0);
	code_operand(t, &other, operand_letter(operation, 0));
	code_address(t, &load.address);
	last = last_made(t);
	last->kind = MADE_LOADED;
	last->operation = (uint16_t)operation;
	last->a = other;
	last->address = load.address;
	last->loaded = load.operation;
	last->is_swapped = swapped;
	acc_push(t, class);
	return true;
}

static unsigned tree_handler(const struct made *first, unsigned operation,
			     bool swapped, bool constant)
{
	unsigned second = operation_tree_class(operation);

	if (swapped && !operation_commutes(operation))
		second = operation == WASM_OP_F64_SUB ? TREE_SWAPPED_CLASS : 0;
	if (!second)
		return 0;
	return handler_of(
		ROLE_TREE, first->operation,
		(form_of(first->a.place, first->b.place) * TREE_CLASSES +
		 second - 1) * 2 +
			constant);
}

/* (a FIRST b) OPERATION c, where the first was just emitted. */
static bool as_tree(struct translator *t, unsigned operation)
{
	struct made *last = last_made(t), first;
	char letter = operand_letter(operation, 0);
	int fresh = fresh_operand(t);
	uint32_t other_index = t->height - 1 - (uint32_t)(fresh == 1);
	struct operand other;
	unsigned handler;

	if (last->kind != MADE_BINARY || fresh < 0 ||
	    operand_letter(last->operation, 0) != letter)
		return false;
	handler = tree_handler(last, operation, fresh == 1,
			       value_at(t, other_index)->place == IS_CONSTANT);
	if (!handler)
		return false;
	other = value_operand(t, other_index);
	if (other.place != 'i')
		other.place = 's';
	first = code_take_back(t);
	value_pop(t, 2);
	acc_flush(t, class_of_letter(letter));
	code_begin(t, handler);
	code_u32(t, 0);
	code_operand(t, &first.a, letter);
	code_operand(t, &first.b, letter);
	code_operand(t, &other, letter);
	last = last_made(t);
	last->kind = MADE_TREE;
	last->operation = first.operation;
	last->second = (uint16_t)operation;
	last->a = first.a;
	last->b = first.b;
	last->c = other;
	acc_push(t, class_of_letter(letter));
	return true;
}

/* A global was just read, and a constant is added. */
static bool with_global(struct translator *t, unsigned operation)
{
	struct made *last = last_made(t);
	uint64_t constant = value_top(t, 0)->constant;
	uint32_t at;

	if (operation != WASM_OP_I32_ADD || last->kind != MADE_GLOBAL ||
	    last->destination != NONE || !value_is_fresh(t, t->height - 2) ||
	    value_top(t, 0)->place != IS_CONSTANT)
		return false;
	at = (uint32_t)last->a.constant;
	code_take_back(t);
	value_pop(t, 2);
	acc_flush(t, CLASS_INT);
	code_begin(t, WASM_H_global_add_r);
	code_u32(t, 0);
	code_u32(t, at);
	code_u32(t, (uint32_t)constant);
	last = last_made(t);
	last->kind = MADE_GLOBAL_ADD;
	last->a.constant = at;
	acc_push(t, CLASS_INT);
	return true;
}

/* x - constant is x + -constant. */
static unsigned without_subtraction(struct translator *t, unsigned operation)
{
	struct value *b = value_top(t, 0);

	if (b->place != IS_CONSTANT)
		return operation;
	if (operation == WASM_OP_I32_SUB) {
		b->constant = (uint32_t)-(uint32_t)b->constant;
		return WASM_OP_I32_ADD;
	}
	if (operation == WASM_OP_I64_SUB) {
		b->constant = -b->constant;
		return WASM_OP_I64_ADD;
	}
	return operation;
}

/* The order that handlers exist for: accumulator first, constant last. */
static unsigned put_in_order(unsigned operation, struct operand operands[2])
{
	struct operand first = operands[0];

	if (first.place != 'i' &&
	    (first.place != 's' || operands[1].place != 'r'))
		return operation;
	operands[0] = operands[1];
	operands[1] = first;
	return is_compare(operation) ? operation_mirrored(operation)
				     : operation;
}

static void binary(struct translator *t, unsigned operation,
		   const struct wasm_immediates *immediates)
{
	struct operand operands[2];
	bool commutes;

	operation = without_subtraction(t, operation);
	if ((operation == WASM_OP_I32_ADD && sum_later(t)) ||
	    (operation == WASM_OP_I32_SHL && shift_later(t)))
		return;
	if (value_top(t, 1)->place == IS_SUM)
		value_make_sum(t, t->height - 2);
	if (value_top(t, 0)->place == IS_SUM)
		value_make_sum(t, t->height - 1);
	if (!is_compare(operation) &&
	    (with_load(t, operation) || as_tree(t, operation) ||
	     with_global(t, operation)))
		return;
	value_operands(t, operands, 2);
	if (operands[0].place == 'i' && operands[1].place == 'i')
		operand_to_slot(t, &operands[0]);
	commutes = operation_commutes(operation);
	if (commutes || is_compare(operation))
		operation = put_in_order(operation, operands);
	emit_operation(t, operation, operands, 2, immediates);
}

/* The comparison was just emitted: emit the one that holds where it does
 * not. */
static bool compare_inverted(struct translator *t)
{
	struct made *last = last_made(t);
	unsigned inverse = operation_inverse(last->operation), handler;

	if (last->kind != MADE_COMPARE || last->destination != NONE ||
	    !inverse || !value_is_fresh(t, t->height - 1))
		return false;
	handler = handler_of(ROLE_VALUE, inverse,
			     form_of(last->a.place, last->b.place));
	code_set_handler(t, last->at, handler);
	last->handler = (uint16_t)handler;
	last->operation = (uint16_t)inverse;
	t->accumulators[CLASS_INT].handler = (uint16_t)handler;
	return true;
}

static void unary(struct translator *t, unsigned operation,
		  const struct wasm_immediates *immediates)
{
	struct operand operand;

	if (value_top(t, 0)->place == IS_SUM)
		value_make_sum(t, t->height - 1);
	if (operation == WASM_OP_I32_EQZ && compare_inverted(t))
		return;
	operand = value_operand(t, t->height - 1);
	emit_operation(t, operation, (struct operand[2]){ operand }, 1,
		       immediates);
}

static void ternary(struct translator *t, unsigned operation)
{
	struct operand operands[3];

	value_operands(t, operands, 3);
	emit_operation(t, operation, operands, 3, NULL);
}

/* Two results, all in slots. */
static void wide(struct translator *t, unsigned operation)
{
	uint32_t count = (uint32_t)strlen(wasm_operations[operation].operands);
	uint32_t first = t->height - count;

	value_to_slots(t, count);
	acc_flush(t, CLASS_INT);
	code_begin(t, handler_of(ROLE_VALUE, operation, 0));
	code_slot(t, own_slot(t, first));
	code_slot(t, own_slot(t, first + 1));
	for (uint32_t i = 0; i < count; i++)
		code_slot(t, own_slot(t, first + i));
	value_pop(t, count);
	t->accumulators[CLASS_INT].mirrors = NONE;
	acc_wrote(t, own_slot(t, first));
	acc_wrote(t, own_slot(t, first + 1));
	value_push_slot(t, CLASS_INT);
	value_push_slot(t, CLASS_INT);
}

/* Operations that only give the bits another type: where they are in a slot,
 * that is all.  (Who takes an i32 looks at the lower half alone.) */
static bool is_other_view(struct translator *t, unsigned operation)
{
	struct value *value = value_top(t, 0);

	switch (operation) {
	case WASM_OP_I32_WRAP_I64:
		if (value->place == IS_CONSTANT)
			value->constant = (uint32_t)value->constant;
		return true;
	case WASM_OP_I32_REINTERPRET_F32:
	case WASM_OP_I64_REINTERPRET_F64:
	case WASM_OP_F32_REINTERPRET_I32:
	case WASM_OP_F64_REINTERPRET_I64:
		if (value->place == IN_ACCUMULATOR || value->place == IS_SUM)
			return false;
		value->class = class_of_letter(result_letter(operation));
		return true;
	}
	return false;
}

bool number_operation(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];

	if (info->special || !info->results[0] || !info->operands[0] ||
	    info->immediates[0] == WASM_IMM_MEMARG ||
	    info->immediates[0] == WASM_IMM_ATOMIC)
		return false;
	if (is_other_view(t, operation))
		return true;
	if (info->results[1])
		wide(t, operation);
	else if (info->operands[2])
		ternary(t, operation);
	else if (info->operands[1])
		binary(t, operation, immediates);
	else
		unary(t, operation, immediates);
	return true;
}

/* Select */

enum { VALUES_SS, VALUES_SI, VALUES_IS, VALUES_II };

/* clang-format off */
#define SELECT_HANDLERS(kind, place)                                      \
	{ WASM_H_select_##kind##_##place##_ss_r,                          \
	  WASM_H_select_##kind##_##place##_si_r,                          \
	  WASM_H_select_##kind##_##place##_is_r,                          \
	  WASM_H_select_##kind##_##place##_ii_r }
/* clang-format on */

static unsigned select_handler(enum value_class class, bool in_slot,
			       unsigned values)
{
	static const uint16_t handlers[CLASSES][2][4] = {
		{ SELECT_HANDLERS(l, r), SELECT_HANDLERS(l, s) },
		{ SELECT_HANDLERS(d, r), SELECT_HANDLERS(d, s) },
		{ SELECT_HANDLERS(f, r), SELECT_HANDLERS(f, s) },
		{ { WASM_H_select_v_r_ss_r }, { WASM_H_select_v_s_ss_r } },
	};

	return handlers[class][in_slot][values];
}

/* A value that select takes: a slot or a constant. */
static struct operand selected(struct translator *t, uint32_t index)
{
	struct operand operand = value_operand(t, index);

	if (operand.place != 'i' || value_at(t, index)->class == CLASS_V128)
		operand_to_slot(t, &operand);
	return operand;
}

static unsigned values_form(const struct operand *yes, const struct operand *no)
{
	return (yes->place == 'i' ? VALUES_IS : 0) +
	       (no->place == 'i' ? VALUES_SI : 0);
}

/* The last instruction is a comparison or eqz that only the select wants. */
static bool is_condition(struct translator *t, unsigned *form)
{
	const struct made *last = last_made(t);

	if (last->destination != NONE || !value_is_fresh(t, t->height - 1))
		return false;
	if (last->kind == MADE_COMPARE)
		*form = form_of(last->a.place, last->b.place);
	else
		*form = last->a.place == 's';
	return last->kind == MADE_COMPARE ||
	       (last->kind == MADE_UNARY &&
		(last->operation == WASM_OP_I32_EQZ ||
		 last->operation == WASM_OP_I64_EQZ));
}

static bool is_odd_sum(const struct value *value)
{
	return value->place == IS_SUM &&
	       (value->is_sum_of_locals || value->shift);
}

/* slot + constant goes to the value's slot, and the accumulator stays. */
static void sum_to_slot(struct translator *t, uint32_t index)
{
	struct value *value = value_at(t, index);

	if (value->place != IS_SUM)
		return;
	code_begin(t, WASM_H_set_sum);
	code_slot(t, own_slot(t, index));
	code_slot(t, value->slot);
	code_u32(t, (uint32_t)value->constant);
	value->place = IN_SLOT;
	value->slot = own_slot(t, index);
	acc_wrote(t, value->slot);
}

/* Both at once; neither value may be in the accumulator. */
static bool select_compared(struct translator *t)
{
	struct made compare;
	struct operand yes, no;
	unsigned form, handler;
	char letter;

	if (!is_condition(t, &form) ||
	    value_top(t, 1)->place == IN_ACCUMULATOR ||
	    value_top(t, 2)->place == IN_ACCUMULATOR ||
	    is_odd_sum(value_top(t, 1)) || is_odd_sum(value_top(t, 2)) ||
	    !handler_of(ROLE_SELECT, last_made(t)->operation, form * 3))
		return false;
	compare = code_take_back(t);
	value_pop(t, 1);
	sum_to_slot(t, t->height - 2);
	sum_to_slot(t, t->height - 1);
	yes = selected(t, t->height - 2);
	no = selected(t, t->height - 1);
	if (yes.place == 'i' && no.place == 'i')
		operand_to_slot(t, &no);
	handler = handler_of(ROLE_SELECT, compare.operation,
			     form * 3 + values_form(&yes, &no));
	if (!handler) {
		operand_to_slot(t, &yes);
		operand_to_slot(t, &no);
		handler = handler_of(ROLE_SELECT, compare.operation, form * 3);
	}
	value_pop(t, 2);
	acc_flush(t, CLASS_INT);
	code_begin(t, handler);
	code_u32(t, 0);
	code_operand(t, &yes, 'l');
	code_operand(t, &no, 'l');
	letter = operand_letter(compare.operation, 0);
	code_operand(t, &compare.a, letter);
	if (compare.kind == MADE_COMPARE)
		code_operand(t, &compare.b, letter);
	acc_push(t, CLASS_INT);
	return true;
}

void number_select(struct translator *t)
{
	static const char letters[CLASSES] = { 'l', 'd', 'f', 'v' };
	enum value_class class = value_top(t, 1)->class;
	struct operand condition, yes, no;

	if (class == CLASS_INT && select_compared(t))
		return;
	for (uint32_t i = t->height - 3; i < t->height; i++)
		if (value_at(t, i)->place == IS_SUM)
			value_make_sum(t, i);
	yes = selected(t, t->height - 3);
	no = selected(t, t->height - 2);
	condition = value_operand(t, t->height - 1);
	if (condition.place == 'i')
		operand_to_slot(t, &condition);
	value_pop(t, 3);
	acc_flush(t, class);
	code_begin(t, select_handler(class, condition.place == 's',
				     values_form(&yes, &no)));
	code_u32(t, 0);
	code_operand(t, &yes, letters[class]);
	code_operand(t, &no, letters[class]);
	code_operand(t, &condition, 'i');
	acc_push(t, class);
}

/* Locals */

static bool is_local_plus_constant(const struct made *made)
{
	return made->kind == MADE_BINARY &&
	       made->operation == WASM_OP_I32_ADD && made->a.place == 's' &&
	       made->b.place == 'i' && made->destination != NONE;
}

/* The last two instructions each set a slot to slot + constant. */
static void add_twice(struct translator *t)
{
	struct made first, second;
	struct made *made;

	if (!is_local_plus_constant(&t->made[0]) ||
	    !is_local_plus_constant(&t->made[1]))
		return;
	second = code_take_back(t);
	first = code_take_back(t);
	code_begin(t, WASM_H_add_twice);
	code_slot(t, first.destination);
	code_slot(t, first.a.slot);
	code_u32(t, (uint32_t)first.b.constant);
	code_slot(t, second.destination);
	code_slot(t, second.a.slot);
	code_u32(t, (uint32_t)second.b.constant);
	made = last_made(t);
	made->kind = MADE_ADD_TWICE;
	made->first_to = first.destination;
	made->first_of = first.a.slot;
	made->first_constant = (uint32_t)first.b.constant;
	made->destination = second.destination;
	made->a = second.a;
	made->b = second.b;
	acc_wrote(t, first.destination);
	acc_wrote(t, second.destination);
	t->accumulators[CLASS_INT] = (struct accumulator){
		.owner = NONE, .producer = NONE, .mirrors = second.destination
	};
}

/* The last instruction set a slot to slot + constant, and the one before
 * made a copy or two. */
static void copy_and_add(struct translator *t)
{
	const struct made *copy = &t->made[t->last ^ 1];
	uint32_t slots[4], count;
	struct made add, *made;

	if (!is_local_plus_constant(last_made(t)) || copy->kind != MADE_COPY ||
	    copy->copies > 2)
		return;
	add = code_take_back(t);
	count = code_take_copies(t, 2, slots);
	code_begin(t, WASM_H_copy1_add + count - 1);
	for (uint32_t i = 0; i < count * 2; i++)
		code_u32(t, slots[i]);
	code_slot(t, add.destination);
	code_slot(t, add.a.slot);
	code_u32(t, (uint32_t)add.b.constant);
	made = last_made(t);
	made->kind = MADE_COPY_ADD;
	made->copies = count;
	made->destination = add.destination;
	made->a = add.a;
	made->b = add.b;
	acc_wrote(t, add.destination);
	t->accumulators[CLASS_INT] = (struct accumulator){
		.owner = NONE, .producer = NONE, .mirrors = add.destination
	};
}

/* The copies stay. */
static void take_back_add(struct translator *t)
{
	const struct made *last = last_made(t);
	uint32_t slots[4], count = last->copies;

	for (uint32_t i = 0; i < count * 2; i++)
		slots[i] = code_get_u32(t, last->at + 8 + i * 4);
	code_take_back(t);
	for (uint32_t i = 0; i < count; i++)
		code_copy(t, slots[i * 2] / SLOT_BYTES,
			  slots[i * 2 + 1] / SLOT_BYTES, CLASS_INT);
}

static void put_accumulator(struct translator *t, enum value_class class,
			    uint32_t local)
{
	static const uint16_t put[CLASSES] = { WASM_H_put_l, WASM_H_put_d,
					       WASM_H_put_f, WASM_H_put_v };
	uint32_t slots[2];

	if (class == CLASS_INT && code_take_copies(t, 1, slots)) {
		code_begin(t, WASM_H_copy_put);
		code_u32(t, slots[0]);
		code_u32(t, slots[1]);
	} else {
		code_begin(t, put[class]);
	}
	code_slot(t, local);
}

static void set_from_accumulator(struct translator *t, uint32_t local,
				 enum value_class class, bool is_fresh)
{
	struct accumulator *acc = &t->accumulators[class];

	if (is_fresh && value_is_fresh(t, t->height - 1)) {
		acc_write(t, class, local);
		value_pop(t, 1);
		if (class == CLASS_INT) {
			add_twice(t);
			copy_and_add(t);
		}
		return;
	}
	value_pop(t, 1);
	put_accumulator(t, class, local);
	acc_wrote(t, local);
	acc->mirrors = local;
	acc->producer = NONE;
}

void number_local_set(struct translator *t, uint32_t local, bool is_tee)
{
	uint32_t top = t->height - 1, last_at;
	struct value *value = value_at(t, top);
	enum value_class class = value->class;

	if (value->place == IS_SUM) {
		values_keep(t, local, top);
		value_make_sum(t, top);
	}
	last_at = last_made(t)->at;
	values_keep(t, local, top);
	if (value->place == IN_ACCUMULATOR) {
		set_from_accumulator(t, local, class,
				     last_made(t)->at == last_at);
	} else {
		if (value->place == IS_CONSTANT)
			code_constant(t, local, value);
		else
			code_copy(t, local, value->slot, class);
		value_pop(t, 1);
	}
	if (is_tee)
		value_push(t, IN_LOCAL, class)->slot = local;
}

/* Branches */

static enum role branch_role(bool is_not, bool back)
{
	return ROLE_BRANCH + back + 2 * is_not;
}

/* slot += constant, or slot += slot. */
static bool is_step(const struct made *made, char letter)
{
	return made->kind == MADE_BINARY &&
	       made->operation ==
		       (letter == 'i' ? WASM_OP_I32_ADD : WASM_OP_I64_ADD) &&
	       made->a.place == 's' && made->b.place != 'r' &&
	       made->destination == made->a.slot;
}

/* The last instruction added to a slot, and the branch compares the sum. */
static bool branch_steps(struct translator *t, unsigned operation,
			 const struct operand *b)
{
	struct made step = *last_made(t);
	bool copied = step.kind == MADE_COPY_ADD;
	char letter = operand_letter(operation, 0);
	bool twice = step.kind == MADE_ADD_TWICE && letter == 'i' &&
		     step.destination == step.a.slot;
	unsigned handler = twice ? handler_of(ROLE_STEP2, operation,
					      b->place == 's' ? 1 : 2)
				 : handler_of(ROLE_STEP, operation,
					      form_of(step.b.place, b->place));

	if (copied) {
		step.kind = MADE_BINARY;
		step.operation = WASM_OP_I32_ADD;
	}
	if ((!twice && !is_step(&step, letter)) || b->place == 'r' ||
	    (b->place == 's' && b->slot == step.a.slot) ||
	    t->accumulators[CLASS_INT].mirrors != step.a.slot)
		return false;
	if (copied)
		take_back_add(t);
	else
		code_take_back(t);
	code_begin(t, handler);
	code_u32(t, 0);
	if (twice) {
		code_slot(t, step.first_to);
		code_slot(t, step.first_of);
		code_u32(t, step.first_constant);
		acc_wrote(t, step.first_to);
	}
	code_slot(t, step.a.slot);
	code_operand(t, &step.b, letter);
	code_operand(t, b, letter);
	acc_wrote(t, step.a.slot);
	t->accumulators[CLASS_INT] = (struct accumulator){
		.owner = NONE, .producer = NONE, .mirrors = step.a.slot
	};
	return true;
}

/* The last instruction loaded what is in the accumulator, and the branch
 * tests that: "form" is of the role but for the address. */
static bool branch_loaded(struct translator *t, enum role role, bool has_b,
			  const struct operand *b)
{
	const struct made *last = last_made(t);
	unsigned form = last->address.form, handler;
	struct made load;
	uint32_t to;

	if (last->kind != MADE_LOAD || last->class != CLASS_INT)
		return false;
	if (has_b)
		form = form * 2 + (b->place == 'i');
	handler = handler_of(role, last->operation, form);
	if (!handler)
		return false;
	to = last->destination == NONE ? own_slot(t, t->height)
				       : last->destination;
	code_keep_origin(t);
	load = code_take_back(t);
	code_begin(t, handler);
	code_u32(t, 0);
	code_slot(t, to);
	code_address(t, &load.address);
	if (has_b)
		code_operand(t, b, 'i');
	acc_wrote(t, to);
	t->accumulators[CLASS_INT] = (struct accumulator){ .owner = NONE,
							   .producer = NONE,
							   .mirrors = to };
	return true;
}

static bool branch_loaded_equal(struct translator *t, unsigned operation,
				bool back, const struct made *compare)
{
	enum role role =
		operation == WASM_OP_I32_EQ ? ROLE_LOADED_EQ : ROLE_LOADED_NE;

	return (operation == WASM_OP_I32_EQ || operation == WASM_OP_I32_NE) &&
	       compare->a.place == 'r' && compare->b.place != 'r' &&
	       branch_loaded(t, role + back, true, &compare->b);
}

/* The same for a global; b is a constant, or NULL for 0. */
static bool branch_global(struct translator *t, unsigned handler, bool back,
			  const struct operand *b)
{
	const struct made *last = last_made(t);
	uint32_t at;

	if (last->kind != MADE_GLOBAL || last->destination != NONE)
		return false;
	at = (uint32_t)last->a.constant;
	code_take_back(t);
	code_begin(t, handler + back);
	code_u32(t, 0);
	code_u32(t, at);
	if (b)
		code_operand(t, b, 'i');
	t->accumulators[CLASS_INT].mirrors = NONE;
	t->accumulators[CLASS_INT].producer = NONE;
	return true;
}

static bool branch_global_equal(struct translator *t, unsigned operation,
				bool back, const struct made *compare)
{
	if ((operation != WASM_OP_I32_EQ && operation != WASM_OP_I32_NE) ||
	    compare->a.place != 'r' || compare->b.place != 'i')
		return false;
	return branch_global(t,
			     operation == WASM_OP_I32_EQ
				     ? WASM_H_branch_global_eq
				     : WASM_H_branch_global_ne,
			     back, &compare->b);
}

static bool is_fresh_and(struct translator *t, unsigned operation)
{
	const struct made *last = last_made(t);

	return last->kind == MADE_BINARY && last->operation == operation &&
	       last->destination == NONE && last->at != NONE &&
	       t->accumulators[CLASS_INT].producer == last->at &&
	       handler_of(ROLE_BRANCH, operation,
			  form_of(last->a.place, last->b.place));
}

/* The same for a local's bits, compared with a constant. */
static bool branch_masked(struct translator *t, unsigned operation, bool back,
			  const struct made *compare)
{
	const struct made *last = last_made(t);
	unsigned handler = handler_of(ROLE_MASKED + back, operation, 0);
	struct made and;

	if (!handler || compare->a.place != 'r' || compare->b.place != 'i' ||
	    !is_fresh_and(t, WASM_OP_I32_AND) || last->a.place != 's' ||
	    last->b.place != 'i')
		return false;
	and = code_take_back(t);
	code_begin(t, handler);
	code_u32(t, 0);
	code_operand(t, &and.a, 'i');
	code_operand(t, &and.b, 'i');
	code_operand(t, &compare->b, 'i');
	return true;
}

/* On a test that was taken back. */
static void branch_by(struct translator *t, const struct made *test,
		      bool inverted, bool back)
{
	char letter = operand_letter(test->operation, 0);

	code_begin(t, handler_of(branch_role(inverted, back), test->operation,
				 form_of(test->a.place, test->b.place)));
	code_u32(t, 0);
	code_operand(t, &test->a, letter);
	code_operand(t, &test->b, letter);
}

static bool branch_compared(struct translator *t, bool inverted, bool back)
{
	struct made *last = last_made(t), compare;
	unsigned operation = last->operation;
	char letter;

	if (last->kind != MADE_COMPARE || last->destination != NONE ||
	    !value_is_fresh(t, t->height - 1))
		return false;
	letter = operand_letter(operation, 0);
	compare = code_take_back(t);
	value_pop(t, 1);
	if (inverted && is_integer_compare(operation)) {
		operation = operation_inverse(operation);
		inverted = false;
	}
	if (branch_loaded_equal(t, operation, back, &compare) ||
	    branch_global_equal(t, operation, back, &compare) ||
	    (!inverted && branch_masked(t, operation, back, &compare)) ||
	    (back && compare.a.place == 'r' &&
	     (letter == 'i' || letter == 'l') &&
	     branch_steps(t, operation, &compare.b)))
		return true;
	compare.operation = (uint16_t)operation;
	branch_by(t, &compare, inverted, back);
	return true;
}

/* The last instruction is an "and": branch on its bits.  Or a comparison of
 * floats, whose inverse is none: branch where it holds not. */
static void branch_tested(struct translator *t, bool inverted, bool back)
{
	struct made test = code_take_back(t);

	branch_by(t, &test, inverted, back);
}

static bool is_fresh_float_compare(struct translator *t)
{
	const struct made *last = last_made(t);

	return last->kind == MADE_COMPARE && last->destination == NONE &&
	       last->at != NONE && !is_integer_compare(last->operation) &&
	       t->accumulators[CLASS_INT].producer == last->at;
}

/* The last instruction added to a slot; the branch is on any slot. */
static bool branch_added(struct translator *t, uint32_t slot, bool inverted,
			 bool back)
{
	struct made add;

	if (!is_local_plus_constant(last_made(t)))
		return false;
	add = code_take_back(t);
	code_begin(t, (inverted ? WASM_H_branch_added_not_zero
				: WASM_H_branch_added_zero) +
			      back);
	code_u32(t, 0);
	code_slot(t, add.destination);
	code_slot(t, add.a.slot);
	code_u32(t, (uint32_t)add.b.constant);
	code_slot(t, slot);
	acc_wrote(t, add.destination);
	t->accumulators[CLASS_INT] = (struct accumulator){
		.owner = NONE, .producer = NONE, .mirrors = add.destination
	};
	return true;
}

/* On eqz of an operand: "is zero" unless inverted. */
static void branch_zero(struct translator *t, unsigned operation,
			const struct operand *operand, bool inverted, bool back)
{
	if (operation == WASM_OP_I32_EQZ && operand->place == 'r' &&
	    (branch_loaded(t, branch_role(inverted, back), false, NULL) ||
	     branch_global(t,
			   inverted ? WASM_H_branch_global_not_zero
				    : WASM_H_branch_global_zero,
			   back, NULL)))
		return;
	if (operation == WASM_OP_I32_EQZ && operand->place == 's' &&
	    branch_added(t, operand->slot, inverted, back))
		return;
	code_begin(t, handler_of(branch_role(inverted, back), operation,
				 operand->place == 's'));
	code_u32(t, 0);
	code_operand(t, operand, 'i');
}

static bool branch_eqz(struct translator *t, bool inverted, bool back)
{
	struct made *last = last_made(t), eqz;
	unsigned operation = last->operation;
	unsigned and = operation == WASM_OP_I32_EQZ ? WASM_OP_I32_AND
						    : WASM_OP_I64_AND;

	if (last->kind != MADE_UNARY || last->destination != NONE ||
	    (operation != WASM_OP_I32_EQZ && operation != WASM_OP_I64_EQZ) ||
	    !value_is_fresh(t, t->height - 1))
		return false;
	eqz = code_take_back(t);
	value_pop(t, 1);
	if (eqz.a.place == 'r' &&
	    (is_fresh_and(t, and) || is_fresh_float_compare(t)))
		branch_tested(t, !inverted, back);
	else
		branch_zero(t, operation, &eqz.a, inverted, back);
	return true;
}

uint32_t number_branch(struct translator *t, bool inverted, bool back)
{
	struct operand operand, zero = { .place = 'i' };
	struct value *value = value_top(t, 0);

	if (branch_compared(t, inverted, back) || branch_eqz(t, inverted, back))
		return last_made(t)->at;
	if (value_is_fresh(t, t->height - 1) &&
	    is_fresh_and(t, WASM_OP_I32_AND)) {
		value_pop(t, 1);
		branch_tested(t, inverted, back);
		return last_made(t)->at;
	}
	if (back && value->place == IN_LOCAL &&
	    value->slot == last_made(t)->destination &&
	    branch_steps(t, inverted ? WASM_OP_I32_EQ : WASM_OP_I32_NE,
			 &zero)) {
		value_pop(t, 1);
		return last_made(t)->at;
	}
	operand = value_operand(t, t->height - 1);
	if (operand.place == 'i')
		operand_to_slot(t, &operand);
	value_pop(t, 1);
	branch_zero(t, WASM_OP_I32_EQZ, &operand, !inverted, back);
	return last_made(t)->at;
}

uint32_t number_branch_null(struct translator *t, bool inverted, bool back)
{
	struct operand operand = value_operand(t, t->height - 1);

	if (operand.place != 's')
		operand_to_slot(t, &operand);
	branch_zero(t, WASM_OP_I64_EQZ, &operand, inverted, back);
	return last_made(t)->at;
}

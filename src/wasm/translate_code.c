/* SPDX-License-Identifier: Apache-2.0 */
/* Code, values and accumulators of the translator.  Each helper keeps the
 * invariants of translate.h; none knows operations. */
#include "wasm/translate.h"
#include <string.h>

enum {
	CODE_MOST = 1 << 30,
	INSTRUCTION_MOST = 128, /* but for tables of br_table */
	UNSETTLED_MOST = 128,
};

void *vector_room(struct translator *t, struct vector *vector, uint32_t count,
		  uint32_t size)
{
	uint64_t need = ((uint64_t)count + 1) * size, room = vector->room;
	void *items;

	if (need <= room)
		return (uint8_t *)vector->items + (size_t)count * size;
	room = need * 2 < 4096 ? 4096 : need * 2;
	items = room < CODE_MOST * 2ull ? t->host->allocate(t->host->env, room)
					: NULL;
	if (!items) {
		t->failed = true;
		return NULL;
	}
	if (vector->items) {
		memcpy(items, vector->items, vector->room);
		t->host->release(t->host->env, vector->items, vector->room);
	}
	vector->items = items;
	vector->room = (uint32_t)room;
	return (uint8_t *)items + (size_t)count * size;
}

/* Code */

static void code_bytes(struct translator *t, const void *bytes, uint32_t len);

static uint8_t *code_at(const struct translator *t, uint32_t at)
{
	return (uint8_t *)t->code.items + at;
}

void code_set_u32(struct translator *t, uint32_t at, uint32_t value)
{
	memcpy(code_at(t, at), &value, 4);
}

uint32_t code_get_u32(const struct translator *t, uint32_t at)
{
	uint32_t value;

	memcpy(&value, code_at(t, at), 4);
	return value;
}

void code_set_handler(struct translator *t, uint32_t at, unsigned handler)
{
	unsigned turn = t->is_large ? 0 : t->turns[handler]++;
	const void *address = wasm_exec_handler(handler, turn);

	memcpy(code_at(t, at), &address, 8);
}

static void code_room(struct translator *t)
{
	vector_room(t, &t->code, t->used + INSTRUCTION_MOST, 1);
	if (t->failed)
		t->used = 0;
}

static void add_origin(struct translator *t, uint32_t code, uint32_t module)
{
	struct origin *origin =
		vector_room(t, &t->origins, t->origin_count, sizeof(*origin));

	if (!origin)
		return;
	*origin = (struct origin){ code, module };
	t->origin_count++;
}

static void note_origin(struct translator *t, uint32_t at)
{
	add_origin(t, at, (uint32_t)(t->op_at - t->module->bytes));
}

void code_repeat(struct translator *t, uint32_t from, uint32_t end,
		 uint32_t first_origin)
{
	uint32_t last = t->origin_count;

	vector_room(t, &t->code, t->used + end - from, 1);
	for (uint32_t i = first_origin; i < last && !t->failed; i++) {
		struct origin origin =
			((const struct origin *)t->origins.items)[i];

		if (origin.code < end)
			add_origin(t, t->used + origin.code - from,
				   origin.module);
	}
	if (t->failed)
		return;
	memcpy(code_at(t, t->used), code_at(t, from), end - from);
	t->used += end - from;
}

uint32_t code_begin(struct translator *t, unsigned handler)
{
	uint32_t at;
	struct made *made;

	code_room(t);
	note_origin(t, t->used);
	t->last ^= 1;
	made = last_made(t);
	made->kind = MADE_OTHER;
	made->at = at = t->used;
	made->handler = (uint16_t)handler;
	made->destination = NONE;
	made->class = CLASSES;
	made->origins = 1;
	code_set_handler(t, at, handler);
	t->used += 8;
	return at;
}

void code_second_origin(struct translator *t)
{
	note_origin(t, last_made(t)->at + 1);
	last_made(t)->origins++;
}

void code_u32(struct translator *t, uint32_t value)
{
	memcpy(code_at(t, t->used), &value, 4);
	t->used += 4;
}

void code_u64(struct translator *t, uint64_t value)
{
	memcpy(code_at(t, t->used), &value, 8);
	t->used += 8;
}

void code_slot(struct translator *t, uint32_t slot)
{
	code_u32(t, slot * SLOT_BYTES);
}

static void code_bytes(struct translator *t, const void *bytes, uint32_t len)
{
	memcpy(code_at(t, t->used), bytes, len);
	t->used += len;
}

void code_operand(struct translator *t, const struct operand *operand,
		  char letter)
{
	if (operand->place == 's')
		code_slot(t, operand->slot);
	else if (operand->place == 'i' && letter == 'v')
		code_bytes(t, (const void *)operand->constant, 16);
	else if (operand->place == 'i' && (letter == 'l' || letter == 'd'))
		code_u64(t, operand->constant);
	else if (operand->place == 'i')
		code_u32(t, (uint32_t)operand->constant);
}

struct made code_take_back(struct translator *t)
{
	struct made made = *last_made(t);

	t->used = made.at;
	if (made.class != CLASSES)
		t->accumulators[made.class] = made.before;
	t->origin_count = t->origin_count < made.origins
				  ? 0
				  : t->origin_count - made.origins;
	last_made(t)->kind = MADE_OTHER;
	last_made(t)->at = NONE;
	t->last ^= 1;
	return made;
}

void code_keep_origin(struct translator *t)
{
	const struct origin *origins = t->origins.items;

	if (t->origin_count >= last_made(t)->origins)
		t->op_at =
			t->module->bytes +
			origins[t->origin_count - last_made(t)->origins].module;
}

void code_forget(struct translator *t)
{
	t->barrier = t->used;
	for (int i = 0; i < 2; i++) {
		t->made[i].kind = MADE_OTHER;
		t->made[i].at = NONE;
	}
}

bool code_delay(struct translator *t, struct delayed *delayed)
{
	const struct made *last = last_made(t);
	uint32_t len = t->used - last->at - 8;

	if (last->at == NONE || last->class == CLASSES || last->origins != 1 ||
	    last->destination != NONE || len > sizeof(delayed->fields))
		return false;
	for (uint32_t i = t->settled; i < t->height; i++)
		if (value_at(t, i)->place == IS_SUM)
			return false;
	delayed->len = len;
	delayed->owner = t->accumulators[last->class].owner;
	memcpy(delayed->fields, code_at(t, last->at + 8), len);
	code_keep_origin(t);
	delayed->made = code_take_back(t);
	return true;
}

void code_resume(struct translator *t, const struct delayed *delayed)
{
	uint32_t at = code_begin(t, delayed->made.handler);

	code_bytes(t, delayed->fields, delayed->len);
	*last_made(t) = delayed->made;
	last_made(t)->at = at;
	acc_set(t, delayed->made.class, delayed->owner);
}

uint32_t code_take_copies(struct translator *t, uint32_t most, uint32_t *slots)
{
	const struct made *last = last_made(t);
	uint32_t count = last->copies;

	if (last->kind != MADE_COPY || count > most)
		return 0;
	for (uint32_t i = 0; i < count * 2; i++)
		slots[i] = code_get_u32(t, last->at + 8 + i * 4);
	code_take_back(t);
	return count;
}

/* One more copy for the last instruction: it does them in order, so that a
 * later one may read what an earlier one wrote. */
static bool copy_more(struct translator *t, uint32_t to, uint32_t of)
{
	struct made *made = last_made(t);

	if (made->kind != MADE_COPY || made->copies == 4)
		return false;
	made->copies++;
	made->handler = (uint16_t)(WASM_H_copy1 + made->copies - 1);
	code_set_handler(t, made->at, made->handler);
	code_slot(t, to);
	code_slot(t, of);
	return true;
}

void code_copy(struct translator *t, uint32_t to, uint32_t of,
	       enum value_class class)
{
	if (to == of)
		return;
	code_room(t);
	if (class == CLASS_V128 || !copy_more(t, to, of)) {
		code_begin(t,
			   class == CLASS_V128 ? WASM_H_copy_v : WASM_H_copy1);
		code_slot(t, to);
		code_slot(t, of);
		if (class != CLASS_V128) {
			last_made(t)->kind = MADE_COPY;
			last_made(t)->copies = 1;
		}
	}
	acc_wrote(t, to);
}

/* Two at once, where the last instruction set another one. */
static bool constant_more(struct translator *t, uint32_t to, uint64_t constant)
{
	struct made first;

	if (last_made(t)->kind != MADE_CONSTANT)
		return false;
	first = code_take_back(t);
	code_begin(t, WASM_H_set_constants);
	code_slot(t, first.a.slot);
	code_u64(t, first.b.constant);
	code_slot(t, to);
	code_u64(t, constant);
	return true;
}

void code_constant(struct translator *t, uint32_t to,
		   const struct value *constant)
{
	if (constant->class != CLASS_V128 &&
	    constant_more(t, to, constant->constant)) {
		acc_wrote(t, to);
		return;
	}
	code_begin(t, constant->class == CLASS_V128 ? WASM_H_set_constant_v
						    : WASM_H_set_constant);
	code_slot(t, to);
	if (constant->class == CLASS_V128)
		code_bytes(t, (const void *)constant->constant, 16);
	else
		code_u64(t, constant->constant);
	if (constant->class != CLASS_V128) {
		last_made(t)->kind = MADE_CONSTANT;
		last_made(t)->a.slot = to;
		last_made(t)->b.constant = constant->constant;
	}
	acc_wrote(t, to);
}

static bool is_shifted(enum address_form form)
{
	return form >= ADDRESS_R_SHIFTED_S;
}

void code_address(struct translator *t, const struct address *address)
{
	enum address_form form = address->form;

	if (form == ADDRESS_I) {
		code_u64(t, address->offset);
		return;
	}
	if (form != ADDRESS_R && form != ADDRESS_RS && form != ADDRESS_RI &&
	    form != ADDRESS_R_SHIFTED_S && form != ADDRESS_R_SHIFTED_I)
		code_slot(t, address->first);
	if (is_shifted(form))
		code_u32(t, address->shift);
	if (form == ADDRESS_RS || form == ADDRESS_SS ||
	    form == ADDRESS_R_SHIFTED_S || form == ADDRESS_S_SHIFTED_S)
		code_slot(t, address->second);
	else if (form != ADDRESS_R && form != ADDRESS_S)
		code_u32(t, address->second);
	code_u32(t, (uint32_t)address->offset);
}

/* Accumulators */

enum value_class class_of(wasm_type type)
{
	switch (type) {
	case WASM_F64: return CLASS_F64;
	case WASM_F32: return CLASS_F32;
	case WASM_V128: return CLASS_V128;
	}
	return CLASS_INT;
}

void acc_forget(struct translator *t)
{
	t->barrier = t->used;
	for (int class = 0; class < CLASSES; class ++)
		t->accumulators[class] = (struct accumulator){
			.owner = NONE, .producer = NONE, .mirrors = NONE
		};
}

void acc_wrote(struct translator *t, uint32_t slot)
{
	for (int class = 0; class < CLASSES; class ++)
		if (t->accumulators[class].mirrors == slot)
			t->accumulators[class].mirrors = NONE;
}

void acc_write(struct translator *t, enum value_class class, uint32_t slot)
{
	struct accumulator *acc = &t->accumulators[class];

	code_set_handler(t, acc->producer, acc->handler + 1u);
	code_set_u32(t, acc->producer + 8, slot * SLOT_BYTES);
	if (last_made(t)->at == acc->producer)
		last_made(t)->destination = slot;
	acc_wrote(t, slot);
	acc->mirrors = slot;
	acc->producer = NONE;
	acc->owner = NONE;
}

void acc_flush(struct translator *t, enum value_class class)
{
	uint32_t owner = t->accumulators[class].owner;
	struct value *value;

	if (owner == NONE)
		return;
	value = value_at(t, owner);
	value->place = IN_SLOT;
	value->slot = own_slot(t, owner);
	acc_write(t, class, value->slot);
}

void acc_flush_all(struct translator *t)
{
	for (int class = 0; class < CLASSES; class ++)
		acc_flush(t, class);
}

void acc_set(struct translator *t, enum value_class class, uint32_t owner)
{
	struct made *made = last_made(t);

	made->class = class;
	made->before = t->accumulators[class];
	t->accumulators[class] =
		(struct accumulator){ .owner = owner,
				      .producer = made->at,
				      .mirrors = NONE,
				      .handler = made->handler };
}

void acc_push(struct translator *t, enum value_class class)
{
	acc_set(t, class, t->height);
	value_push(t, IN_ACCUMULATOR, class);
}

bool value_is_fresh(struct translator *t, uint32_t index)
{
	const struct value *value = value_at(t, index);

	return value->place == IN_ACCUMULATOR && last_made(t)->at != NONE &&
	       t->accumulators[value->class].producer == last_made(t)->at;
}

/* Values */

struct value *value_push(struct translator *t, enum place place,
			 enum value_class class)
{
	struct value *value;

	if (t->height - t->settled >= UNSETTLED_MOST)
		values_settle(t, t->height - UNSETTLED_MOST / 2);
	value = vector_room(t, &t->values, t->height, sizeof(*value));
	if (!value)
		value = &t->spare;
	*value = (struct value){ .place = place, .class = class };
	t->height++;
	if (t->height > t->highest)
		t->highest = t->height;
	return value;
}

void value_push_slot(struct translator *t, enum value_class class)
{
	uint32_t slot = own_slot(t, t->height);

	value_push(t, IN_SLOT, class)->slot = slot;
}

void value_pop(struct translator *t, uint32_t count)
{
	for (; count; count--) {
		struct value *value = value_at(t, --t->height);

		if (value->place == IN_ACCUMULATOR)
			t->accumulators[value->class].owner = NONE;
	}
	if (t->settled > t->height)
		t->settled = t->height;
}

void value_to_slot(struct translator *t, uint32_t index)
{
	struct value *value = value_at(t, index);
	uint32_t slot = own_slot(t, index);

	if (value->place == IS_SUM)
		value_make_sum(t, index);
	if (value->place == IN_ACCUMULATOR) {
		acc_flush(t, value->class);
		return;
	}
	if (value->place == IS_CONSTANT)
		code_constant(t, slot, value);
	else
		code_copy(t, slot, value->slot, value->class);
	value->place = IN_SLOT;
	value->slot = slot;
}

void value_to_slots(struct translator *t, uint32_t count)
{
	uint32_t first = t->height - count;

	for (int class = 0; class < CLASSES; class ++)
		if (t->accumulators[class].owner != NONE &&
		    t->accumulators[class].owner >= first)
			acc_flush(t, class);
	for (uint32_t i = first; i < t->height; i++)
		value_to_slot(t, i);
}

uint32_t value_slot(struct translator *t, uint32_t index)
{
	struct value *value = value_at(t, index);

	if (value->place != IN_LOCAL)
		value_to_slot(t, index);
	return value->slot;
}

static struct operand slot_operand(struct translator *t, uint32_t slot)
{
	bool is_here = t->accumulators[CLASS_INT].mirrors == slot;

	return (struct operand){ .place = is_here ? 'r' : 's', .slot = slot };
}

/* The operation: local + something, or local << constant alone. */
static void make_plain(struct translator *t, uint32_t index, unsigned operation,
		       struct operand a, struct operand b)
{
	struct made *made;

	code_begin(t, handler_of(ROLE_VALUE, operation,
				 form_of(a.place, b.place)));
	code_u32(t, 0);
	code_operand(t, &a, 'i');
	code_operand(t, &b, 'i');
	made = last_made(t);
	made->kind = MADE_BINARY;
	made->operation = (uint16_t)operation;
	made->a = a;
	made->b = b;
	acc_set(t, CLASS_INT, index);
}

static void make_shifted(struct translator *t, uint32_t index, struct operand a,
			 uint32_t shift, struct operand c)
{
	struct operand b = { .place = 'i', .constant = shift };
	unsigned form = (form_of(a.place, 'i') * TREE_CLASSES +
			 operation_tree_class(WASM_OP_I32_ADD) - 1) *
				2 +
			(c.place == 'i');
	struct made *made;

	if (c.place == 'i' && c.constant == 0) {
		make_plain(t, index, WASM_OP_I32_SHL, a, b);
		return;
	}
	code_begin(t, handler_of(ROLE_TREE, WASM_OP_I32_SHL, form));
	code_u32(t, 0);
	code_operand(t, &a, 'i');
	code_operand(t, &b, 'i');
	code_operand(t, &c, 'i');
	made = last_made(t);
	made->kind = MADE_TREE;
	made->operation = WASM_OP_I32_SHL;
	made->second = WASM_OP_I32_ADD;
	made->a = a;
	made->b = b;
	made->c = c;
	acc_set(t, CLASS_INT, index);
}

void value_make_sum(struct translator *t, uint32_t index)
{
	struct value *value = value_at(t, index), sum = *value;
	struct operand a, b = { .place = 'i', .constant = sum.constant };

	acc_flush(t, CLASS_INT);
	a = slot_operand(t, sum.slot);
	if (sum.is_sum_of_locals)
		b = slot_operand(t, (uint32_t)sum.constant);
	if (a.place == 's' && b.place == 'r' && !sum.shift) {
		struct operand other = a;

		a = b;
		b = other;
	}
	if (b.place == 'r')
		b.place = 's';
	value->place = IN_ACCUMULATOR;
	if (sum.shift)
		make_shifted(t, index, a, sum.shift, b);
	else
		make_plain(t, index, WASM_OP_I32_ADD, a, b);
}

static bool means_local(const struct value *value, uint32_t local)
{
	if (value->place == IN_LOCAL)
		return value->slot == local;
	return value->place == IS_SUM &&
	       (value->slot == local ||
		(value->is_sum_of_locals && value->constant == local));
}

void values_keep(struct translator *t, uint32_t local, uint32_t below)
{
	for (uint32_t i = t->settled; i < below; i++) {
		if (!means_local(value_at(t, i), local))
			continue;
		if (value_at(t, i)->place == IS_SUM)
			value_make_sum(t, i);
		else
			value_to_slot(t, i);
	}
}

void values_settle(struct translator *t, uint32_t below)
{
	for (int class = 0; class < CLASSES; class ++)
		if (t->accumulators[class].owner != NONE &&
		    t->accumulators[class].owner < below)
			acc_flush(t, class);
	for (uint32_t i = t->settled; i < below; i++)
		if (value_at(t, i)->place != IS_CONSTANT)
			value_to_slot(t, i);
	if (t->settled < below)
		t->settled = below;
}

struct operand value_operand(struct translator *t, uint32_t index)
{
	const struct value *value = value_at(t, index);
	struct operand operand = { .place = 's', .index = index };

	if (value->place == IS_SUM)
		value_make_sum(t, index);
	if (value->place == IN_ACCUMULATOR) {
		operand.place = 'r';
	} else if (value->place == IS_CONSTANT) {
		operand.place = 'i';
		operand.constant = value->constant;
	} else {
		operand.slot = value->slot;
		if (t->accumulators[value->class].mirrors == value->slot)
			operand.place = 'r';
	}
	return operand;
}

void value_operands(struct translator *t, struct operand *operands,
		    uint32_t count)
{
	uint32_t first = t->height - count;

	for (uint32_t i = 0; i < count; i++)
		if (value_at(t, first + i)->place == IS_SUM)
			value_make_sum(t, first + i);
	for (uint32_t i = 0; i < count; i++)
		operands[i] = value_operand(t, first + i);
}

void operand_to_slot(struct translator *t, struct operand *operand)
{
	operand->slot = value_slot(t, operand->index);
	operand->place = 's';
}

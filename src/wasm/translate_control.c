/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks and branches.  Where ways join, values are in their own slots and
 * accumulators hold nothing.  A branch forward is a fix in its label's chain
 * until the label's end is reached. */
#include "wasm/translate.h"
#include <string.h>

enum {
	TABLE_ENTRY = 12,     /* handler, distance */
	SINGLE_MOVES_MOST = 4 /* values; more are moved as one block */
};

static struct label *label_at(struct translator *t, uint32_t depth)
{
	return (struct label *)t->labels.items + t->label_count - 1 - depth;
}

static bool is_function(const struct translator *t, const struct label *label)
{
	return label == t->labels.items;
}

static uint32_t param_count(const struct label *label)
{
	return label->type ? label->type->param_count : 0;
}

static uint32_t result_count(const struct label *label)
{
	return label->type ? label->type->result_count
			   : label->result != WASM_NONE;
}

/* How many values a branch brings. */
static uint32_t arity(const struct label *label)
{
	return label->kind == LABEL_LOOP ? param_count(label)
					 : result_count(label);
}

static void push_results(struct translator *t, const struct label *label)
{
	if (!label->type && label->result != WASM_NONE)
		value_push_slot(t, class_of(label->result));
	for (uint32_t i = 0; label->type && i < label->type->result_count; i++)
		value_push_slot(t, class_of(label->type->results[i]));
}

/* Ways join here. */
static void join(struct translator *t)
{
	code_forget(t);
	acc_forget(t);
}

static void become_dead(struct translator *t)
{
	t->is_dead = true;
	t->dead_depth = 0;
}

/* Fixes */

void control_link(struct translator *t, struct label *label, uint32_t field,
		  uint32_t instruction)
{
	struct fix *fix;

	if (label->kind == LABEL_LOOP) {
		code_set_u32(t, field, label->start - instruction);
		return;
	}
	fix = vector_room(t, &t->fixes, t->fix_count, sizeof(*fix));
	if (!fix)
		return;
	*fix = (struct fix){ field, instruction, label->fixes };
	label->fixes = t->fix_count++;
}

static void link_branch(struct translator *t, struct label *label, uint32_t at)
{
	control_link(t, label, at + 8, at);
	t->barrier = t->used;
}

/* A catch clause goes on at the label. */
static void link_landing(struct translator *t, struct label *label,
			 uint32_t landing)
{
	struct landing *landings = t->landings.items;

	if (label->kind == LABEL_LOOP)
		landings[landing].target = label->start;
	else
		control_link(t, label, NONE, landing);
}

static void resolve(struct translator *t, struct label *label)
{
	const struct fix *fixes = t->fixes.items;
	struct landing *landings = t->landings.items;

	for (uint32_t i = label->fixes; i != NONE; i = fixes[i].next) {
		if (fixes[i].field == NONE)
			landings[fixes[i].instruction].target = t->used;
		else
			code_set_u32(t, fixes[i].field,
				     t->used - fixes[i].instruction);
	}
}

/* Moves to a label's slots */

static bool needs_moves(struct translator *t, const struct label *label)
{
	uint32_t count = arity(label), first = t->height - count;

	for (uint32_t i = 0; i < count; i++)
		if (value_at(t, first + i)->place != IN_SLOT ||
		    first != label->height)
			return true;
	return false;
}

/* Whatever changes what is known of the values, before a branch that may not
 * be taken: moves and returns that follow change nothing.  "above" values on
 * top are not among those that it brings. */
static void prepare_values(struct translator *t, uint32_t count, uint32_t above)
{
	uint32_t end = t->height - above;

	for (uint32_t i = end - count; i < end; i++) {
		const struct value *value = value_at(t, i);
		bool stays = value->place == IN_LOCAL ||
			     (value->place == IS_CONSTANT &&
			      value->class == CLASS_INT);

		if (count > 1 || !stays)
			value_to_slot(t, i);
	}
}

static void move_block(struct translator *t, uint32_t to, uint32_t from,
		       uint32_t count)
{
	if (to == from)
		return;
	code_begin(t, WASM_H_move);
	code_slot(t, to);
	code_slot(t, from);
	code_u32(t, count * SLOT_BYTES);
}

/* From below upwards: a value never goes to a slot above its own. */
static void move_values(struct translator *t, const struct label *label)
{
	uint32_t count = arity(label), first = t->height - count;
	uint32_t to = own_slot(t, label->height);

	if (count > SINGLE_MOVES_MOST) {
		move_block(t, to, own_slot(t, first), count);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct value *value = value_at(t, first + i);

		if (value->place == IS_CONSTANT)
			code_constant(t, to + i, value);
		else
			code_copy(t, to + i, value->slot, value->class);
	}
}

/* For a branch that is always taken. */
static void bring_values(struct translator *t, const struct label *label)
{
	if (arity(label) == 1 && value_is_fresh(t, t->height - 1)) {
		acc_write(t, value_top(t, 0)->class,
			  own_slot(t, label->height));
		return;
	}
	prepare_values(t, arity(label), 0);
	move_values(t, label);
}

static void emit_jump(struct translator *t, struct label *label)
{
	unsigned handler =
		label->kind == LABEL_LOOP ? WASM_H_jump_back : WASM_H_jump;
	uint32_t slots[6], count = code_take_copies(t, 3, slots), at;

	at = code_begin(t, handler + count);
	code_u32(t, 0);
	for (uint32_t i = 0; i < count * 2; i++)
		code_u32(t, slots[i]);
	link_branch(t, label, at);
}

/* Goes to the label with values that are prepared. */
static void go_to(struct translator *t, struct label *label)
{
	if (is_function(t, label)) {
		call_return(t);
		return;
	}
	move_values(t, label);
	emit_jump(t, label);
}

/* Branches that may not be taken: prepare, emit the branch (inverted when it
 * goes around some code), finish. */

static bool branch_prepare(struct translator *t, struct label *label,
			   uint32_t above)
{
	bool needs;

	prepare_values(t, arity(label), above);
	t->height -= above;
	needs = is_function(t, label) || needs_moves(t, label);
	t->height += above;
	return needs;
}

static void branch_finish(struct translator *t, struct label *label,
			  uint32_t at, bool around)
{
	if (!around) {
		link_branch(t, label, at);
		return;
	}
	code_forget(t);
	go_to(t, label);
	code_set_u32(t, at + 8, t->used - at);
	code_forget(t);
}

static bool is_back(const struct label *label, bool around)
{
	return !around && label->kind == LABEL_LOOP;
}

/* The condition, on top, where it was just made. */
static bool delay_condition(struct translator *t, struct delayed *delayed)
{
	const uint8_t *op_at = t->op_at;
	bool is_delayed;

	if (value_top(t, 0)->place == IS_SUM)
		value_make_sum(t, t->height - 1);
	is_delayed = value_is_fresh(t, t->height - 1) && code_delay(t, delayed);
	t->op_at = op_at;
	return is_delayed;
}

static void br_if(struct translator *t, struct label *label)
{
	struct delayed delayed;
	bool around, is_delayed;
	uint32_t at;

	is_delayed = delay_condition(t, &delayed);
	around = branch_prepare(t, label, 1);
	if (is_delayed)
		code_resume(t, &delayed);
	at = number_branch(t, around, is_back(label, around));
	branch_finish(t, label, at, around);
}

/* The reference stays where the branch is not taken. */
static void br_on_null(struct translator *t, struct label *label)
{
	bool around = branch_prepare(t, label, 1);
	uint32_t at = number_branch_null(t, around, is_back(label, around));

	t->height--;
	branch_finish(t, label, at, around);
	t->height++;
}

static void br_on_non_null(struct translator *t, struct label *label)
{
	bool around = branch_prepare(t, label, 0);
	uint32_t at = number_branch_null(t, !around, is_back(label, around));

	branch_finish(t, label, at, around);
	value_pop(t, 1);
}

/* The outcome of the test, an i32, is pushed and branched on. */
static void br_on_cast(struct translator *t, struct label *label,
		       const struct wasm_immediates *immediates, bool on_fail)
{
	bool around = branch_prepare(t, label, 0);
	uint32_t at;

	value_to_slots(t, 1);
	object_test(t, immediates->types[1]);
	at = number_branch(t, around != on_fail, is_back(label, around));
	branch_finish(t, label, at, around);
}

static void br(struct translator *t, struct label *label)
{
	if (is_function(t, label)) {
		call_return(t);
	} else {
		bring_values(t, label);
		if (!repeat_head(t, label))
			emit_jump(t, label);
	}
	become_dead(t);
}

/* br_table */

/* Where an entry can not go straight to the label, it goes to code that moves
 * values first: once for each label. */
static void table_entry(struct translator *t, struct label *label,
			uint32_t field, uint32_t at)
{
	if (label->kind != LABEL_LOOP && !is_function(t, label) &&
	    !needs_moves(t, label)) {
		control_link(t, label, field, at);
		repeat_note_way(t, label);
		return;
	}
	repeat_note_way(t, NULL);
	if (label->table != at) {
		label->table = at;
		label->table_target = t->used;
		code_forget(t);
		go_to(t, label);
	}
	code_set_u32(t, field, label->table_target - at);
}

/* The index was just loaded. */
static bool begin_loaded_table(struct translator *t, struct table *table)
{
	const struct made *last = last_made(t);
	struct address address = last->address;
	unsigned handler, operation = last->operation;

	if (last->kind != MADE_LOAD || last->destination != NONE ||
	    !value_is_fresh(t, t->height - 1))
		return false;
	handler = handler_of(ROLE_CHOOSE, operation, address.form);
	if (!handler)
		return false;
	code_keep_origin(t);
	code_take_back(t);
	value_pop(t, 1);
	table->at = code_begin(t, handler);
	table->counting =
		(uint16_t)handler_of(ROLE_BACK_CHOOSE, operation, address.form);
	code_u32(t, table->count - 1);
	code_address(t, &address);
	return true;
}

static void begin_table(struct translator *t, struct table *table)
{
	struct operand index;
	bool in_slot;

	if (begin_loaded_table(t, table))
		return;
	index = value_operand(t, t->height - 1);
	if (index.place == 'i')
		operand_to_slot(t, &index);
	value_pop(t, 1);
	in_slot = index.place == 's';
	table->at = code_begin(t, in_slot ? WASM_H_choose_s : WASM_H_choose_r);
	table->counting = in_slot ? WASM_H_back_choose_s : WASM_H_back_choose_r;
	code_u32(t, table->count - 1);
	code_u32(t, index.slot * SLOT_BYTES);
}

static void br_table(struct translator *t,
		     const struct wasm_immediates *immediates)
{
	struct wasm_reader reader = { .at = immediates->bytes,
				      .end = t->reader.end };
	struct table table = { .count = immediates->count + 1,
			       .first_way = t->way_count };
	uint64_t bytes = (uint64_t)table.count * TABLE_ENTRY;

	prepare_values(t, arity(label_at(t, wasm_read_u32(&reader))), 1);
	begin_table(t, &table);
	if (bytes >> 30 ||
	    !vector_room(t, &t->code, t->used + (uint32_t)bytes, 1))
		t->failed = true;
	if (t->failed)
		return;
	table.entries = t->used;
	t->used += (uint32_t)bytes;
	repeat_note_table(t, &table);
	reader.at = immediates->bytes;
	for (uint32_t i = 0; i < table.count && !t->failed; i++)
		table_entry(t, label_at(t, wasm_read_u32(&reader)),
			    table.entries + i * TABLE_ENTRY + 8, table.at);
	become_dead(t);
}

/* Blocks */

static struct label *push_label(struct translator *t, enum label_kind kind,
				const struct wasm_immediates *immediates)
{
	struct label *label =
		vector_room(t, &t->labels, t->label_count, sizeof(*label));

	if (!label)
		return NULL;
	*label = (struct label){ .kind = kind,
				 .result = immediates->types[0],
				 .fixes = NONE,
				 .else_at = NONE,
				 .table = NONE,
				 .head = NONE,
				 .serial = ++t->serial };
	if (immediates->block_type != WASM_NO_TYPE)
		label->type = t->module->type[immediates->block_type];
	label->height = t->height - param_count(label);
	t->label_count++;
	return label;
}

static uint32_t block_params(const struct translator *t,
			     const struct wasm_immediates *immediates)
{
	return immediates->block_type == WASM_NO_TYPE
		       ? 0
		       : t->module->type[immediates->block_type]->param_count;
}

static void begin_block(struct translator *t, enum label_kind kind,
			const struct wasm_immediates *immediates)
{
	struct label *label;

	values_settle(t, t->height);
	value_to_slots(t, block_params(t, immediates));
	label = push_label(t, kind, immediates);
	if (kind == LABEL_LOOP && label) {
		join(t);
		label->start = t->used;
		label->first_origin = t->origin_count;
	}
}

static void begin_if(struct translator *t,
		     const struct wasm_immediates *immediates)
{
	uint32_t params = block_params(t, immediates), top = t->height - 1;
	struct delayed delayed;
	bool is_delayed = delay_condition(t, &delayed);
	struct label *label;
	uint32_t at;

	values_settle(t, top);
	for (uint32_t i = top - params; i < top; i++)
		value_to_slot(t, i);
	if (is_delayed)
		code_resume(t, &delayed);
	at = number_branch(t, true, false);
	t->barrier = t->used;
	label = push_label(t, LABEL_IF, immediates);
	if (label)
		label->else_at = at;
}

static void at_else(struct translator *t)
{
	struct label *label = label_at(t, 0);

	if (!t->is_dead) {
		bring_values(t, label);
		emit_jump(t, label);
	}
	code_set_u32(t, label->else_at + 8, t->used - label->else_at);
	label->else_at = NONE;
	label->kind = LABEL_BLOCK;
	join(t);
	t->is_dead = false;
	value_pop(t, t->height - label->height);
	for (uint32_t i = 0; i < param_count(label); i++)
		value_push_slot(t, class_of(label->type->params[i]));
}

/* The try_table's clauses, innermost blocks first. */
static void end_try(struct translator *t, const struct label *label)
{
	struct landing *landings = t->landings.items;

	for (uint32_t i = 0; i < label->catch_count; i++) {
		uint32_t *order = vector_room(t, &t->catches, t->catch_count,
					      sizeof(*order));

		if (!order)
			return;
		*order = label->catch_first + i;
		landings[*order].from = label->tried_from;
		landings[*order].to = t->used;
		t->catch_count++;
	}
}

static void end_function(struct translator *t)
{
	struct label label = *label_at(t, 0);

	if (label.fixes != NONE) {
		if (!t->is_dead)
			bring_values(t, &label);
		resolve(t, &label);
		join(t);
		value_pop(t, t->height);
		push_results(t, &label);
		t->is_dead = false;
	}
	if (!t->is_dead)
		call_return(t);
	t->label_count = 0;
}

static void at_end(struct translator *t)
{
	struct label label = *label_at(t, 0);
	bool joins = label.fixes != NONE || label.else_at != NONE;

	if (t->label_count == 1) {
		end_function(t);
		return;
	}
	if (label.kind == LABEL_TRY)
		code_forget(t);
	if (joins && !t->is_dead)
		bring_values(t, &label);
	if (label.kind == LABEL_TRY)
		end_try(t, &label);
	if (label.else_at != NONE)
		code_set_u32(t, label.else_at + 8, t->used - label.else_at);
	resolve(t, &label);
	t->label_count--;
	if (joins) {
		join(t);
		t->is_dead = false;
		value_pop(t, t->height - label.height);
		push_results(t, &label);
	}
}

/* Exceptions */

static void add_landing(struct translator *t, uint8_t kind, uint32_t tag,
			struct label *label)
{
	struct landing *landing = vector_room(t, &t->landings, t->landing_count,
					      sizeof(*landing));

	if (!landing)
		return;
	*landing = (struct landing){ .slot = own_slot(t, label->height) *
					     SLOT_BYTES,
				     .tag = tag,
				     .with_ref = kind & 1 };
	link_landing(t, label, t->landing_count++);
}

static void begin_try(struct translator *t,
		      const struct wasm_immediates *immediates)
{
	struct wasm_reader reader = { .at = immediates->bytes,
				      .end = t->reader.end };
	uint32_t first = t->landing_count;
	struct label *label;

	for (uint32_t i = 0; i < immediates->count; i++) {
		uint8_t kind = wasm_read_byte(&reader);
		uint32_t tag = kind & 2 ? LANDING_ALL : wasm_read_u32(&reader);

		add_landing(t, kind, tag, label_at(t, wasm_read_u32(&reader)));
	}
	begin_block(t, LABEL_TRY, immediates);
	code_forget(t);
	if (t->failed)
		return;
	label = label_at(t, 0);
	label->tried_from = t->used;
	label->catch_first = first;
	label->catch_count = t->landing_count - first;
}

void control_begin_function(struct translator *t)
{
	struct wasm_immediates none = { .block_type = WASM_NO_TYPE };
	struct label *label = push_label(t, LABEL_FUNCTION, &none);

	if (label)
		label->type = t->type;
}

bool control_operation(struct translator *t, unsigned operation,
		       const struct wasm_immediates *immediates)
{
	uint32_t index = immediates->index[0];

	switch (operation) {
	case WASM_OP_UNREACHABLE:
		code_begin(t, WASM_H_unreachable);
		become_dead(t);
		break;
	case WASM_OP_NOP: break;
	case WASM_OP_BLOCK: begin_block(t, LABEL_BLOCK, immediates); break;
	case WASM_OP_LOOP: begin_block(t, LABEL_LOOP, immediates); break;
	case WASM_OP_TRY_TABLE: begin_try(t, immediates); break;
	case WASM_OP_IF: begin_if(t, immediates); break;
	case WASM_OP_ELSE: at_else(t); break;
	case WASM_OP_END: at_end(t); break;
	case WASM_OP_BR: br(t, label_at(t, index)); break;
	case WASM_OP_BR_IF: br_if(t, label_at(t, index)); break;
	case WASM_OP_BR_TABLE: br_table(t, immediates); break;
	case WASM_OP_BR_ON_NULL: br_on_null(t, label_at(t, index)); break;
	case WASM_OP_BR_ON_NON_NULL:
		br_on_non_null(t, label_at(t, index));
		break;
	case WASM_OP_BR_ON_CAST:
		br_on_cast(t, label_at(t, index), immediates, false);
		break;
	case WASM_OP_BR_ON_CAST_FAIL:
		br_on_cast(t, label_at(t, index), immediates, true);
		break;
	case WASM_OP_RETURN:
		call_return(t);
		become_dead(t);
		break;
	default: return false;
	}
	return true;
}

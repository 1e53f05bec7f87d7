/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks and branches.  Where ways join, a block's only result is in rax or
 * xmm0, and all else in slots.  A branch that is taken where the values are
 * not in place yet moves them on its own way, so that the other one finds
 * everything as it was. */
#include "jit/compile.h"
#include "wasm/heap.h"

struct label *jit_label_at(struct jit_compiler *c, uint32_t depth)
{
	return (struct label *)c->labels.items + c->label_count - 1 - depth;
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

static wasm_type result_type(const struct label *label, uint32_t number)
{
	return label->type ? label->type->results[number] : label->result;
}

/* How many values a branch brings, and where its only one goes. */
static uint32_t arity(const struct label *label)
{
	return label->kind == LABEL_LOOP ? param_count(label)
					 : result_count(label);
}

static bool takes_in_reg(const struct label *label)
{
	return label->kind != LABEL_LOOP && arity(label) == 1;
}

static struct rm place_of(struct jit_compiler *c, const struct label *label,
			  uint32_t number)
{
	if (label->kind == LABEL_FUNCTION)
		return rm_at(RBP,
			     (int32_t)(16 + c->argument_bytes + 16 * number));
	return jit_slot_rm(c, label->height + number);
}

void jit_become_dead(struct jit_compiler *c)
{
	c->is_dead = true;
	c->dead_depth = 0;
}

/* The top values to where the label wants them; the stack stays as it is. */
static void values_bring(struct jit_compiler *c, const struct label *label)
{
	uint32_t count = arity(label), first = c->height - count;

	if (!count || !jit_code_room(c, 512 + 32ull * count))
		return;
	if (takes_in_reg(label)) {
		struct operand only = { *value_at(c, first), first };

		jit_operand_to(c, &only, 0); /* rax, xmm0 */
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct operand operand = { *value_at(c, first + i), first + i };

		if (operand.value.place == IN_SLOT &&
		    label->kind != LABEL_FUNCTION &&
		    operand.index == label->height + i)
			continue;
		jit_operand_store(c, &operand, place_of(c, label, i));
	}
}

static bool are_in_place(struct jit_compiler *c, const struct label *label)
{
	const struct value *top = value_at(c, c->height - 1);

	return !arity(label) ||
	       (takes_in_reg(label) && top->place == IN_REG && top->reg == 0);
}

static void jump(struct jit_compiler *c, struct label *label)
{
	if (label->kind == LABEL_LOOP)
		jit_code_jump_to(c, label->start);
	else
		jit_code_jump(c, &label->fixes);
}

static void jump_if(struct jit_compiler *c, struct label *label,
		    unsigned condition)
{
	if (label->kind == LABEL_LOOP)
		jit_code_jump_if_to(c, condition, label->start);
	else
		jit_code_jump_if(c, condition, &label->fixes);
}

void jit_branch_if(struct jit_compiler *c, uint32_t depth, unsigned condition)
{
	struct label *label = jit_label_at(c, depth);
	uint32_t stay = NONE;

	c->flags_live = true;
	if (are_in_place(c, label)) {
		jump_if(c, label, condition);
	} else {
		jit_code_jump_if(c, jit_inverse(condition), &stay);
		values_bring(c, label);
		jump(c, label);
		jit_code_bind(c, stay);
	}
	c->flags_live = false;
}

static void branch(struct jit_compiler *c, uint32_t depth)
{
	struct label *label = jit_label_at(c, depth);

	values_bring(c, label);
	jump(c, label);
	jit_become_dead(c);
}

void jit_function_return(struct jit_compiler *c)
{
	branch(c, c->label_count - 1);
}

/* br_table: distances from the table to where each entry goes.  Entries that
 * bring values go to code that moves them, once for each label. */

/* The chain of a label's code in this table. */
static uint32_t *table_chain(struct jit_compiler *c, struct label *label)
{
	if (label->table != c->table_serial) {
		label->table = c->table_serial;
		label->table_stub = NONE;
	}
	return &label->table_stub;
}

static void table_entry(struct jit_compiler *c, struct label *label,
			uint32_t at, uint32_t table)
{
	if (arity(label)) {
		jit_code_fix_from(c, table_chain(c, label), at, table);
	} else if (label->kind == LABEL_LOOP) {
		jit_code_set4(c, at, label->start - table);
	} else {
		jit_code_fix_from(c, &label->fixes, at, table);
	}
}

static void table_stub(struct jit_compiler *c, struct label *label)
{
	if (label->table != c->table_serial || label->table_stub == NONE)
		return;
	jit_code_bind(c, label->table_stub);
	label->table_stub = NONE;
	values_bring(c, label);
	if (jit_code_room(c, 64))
		jump(c, label);
}

/* By the entries, the default too: there may be far more labels. */
static void table_stubs(struct jit_compiler *c, struct wasm_reader reader,
			uint32_t count)
{
	for (uint32_t i = 0; i <= count && !c->failed; i++)
		table_stub(c, jit_label_at(c, wasm_read_u32(&reader)));
}

/* The bounds check's way to the default label counts as an entry too. */
static void table_default(struct jit_compiler *c, struct label *label)
{
	if (arity(label))
		jit_code_jump_if(c, CC_AE, table_chain(c, label));
	else
		jump_if(c, label, CC_AE);
}

static uint32_t table_last(const struct wasm_immediates *immediates,
			   struct wasm_reader reader)
{
	uint32_t depth = 0;

	for (uint32_t i = 0; i <= immediates->count; i++)
		depth = wasm_read_u32(&reader);
	return depth;
}

static void branch_table(struct jit_compiler *c,
			 const struct wasm_immediates *immediates)
{
	struct wasm_reader reader = wasm_reader_of(
		immediates->bytes, (size_t)(c->reader.end - immediates->bytes));
	const struct wasm_reader entries = reader;
	struct operand index = jit_pop(c);
	uint32_t here = NONE, table;
	unsigned reg;

	if (!jit_code_room(c, 1024 + 4ull * immediates->count))
		return;
	reg = jit_operand_own(c, &index);
	c->table_serial++;
	jit_emit_alu(c, 7, T_I32, rm_reg(reg), (int32_t)immediates->count);
	table_default(c, jit_label_at(c, table_last(immediates, reader)));
	jit_code_address(c, SCRATCH, &here);
	emit(&c->e, 0x63 | OP_W, reg, rm_index(SCRATCH, reg, 2, 0));
	emit(&c->e, 0x03 | OP_W, SCRATCH, rm_reg(reg));
	emit(&c->e, 0xff, 4, rm_reg(SCRATCH));
	jit_code_bind(c, here);
	table = code_here(c);
	for (uint32_t i = 0; i < immediates->count; i++) {
		struct label *label = jit_label_at(c, wasm_read_u32(&reader));

		emit4(&c->e, 0);
		table_entry(c, label, code_here(c) - 4, table);
	}
	jit_release(c, &index);
	table_stubs(c, entries, immediates->count);
	jit_become_dead(c);
}

/* Blocks */

static struct label *label_push(struct jit_compiler *c, enum label_kind kind)
{
	struct label *label =
		jit_vector_room(c, &c->labels, c->label_count, sizeof(*label));

	if (!label)
		label = c->labels.items;
	else
		c->label_count++;
	*label = (struct label){ .kind = (uint8_t)kind,
				 .fixes = NONE,
				 .else_fixes = NONE };
	return label;
}

static struct label *block_push(struct jit_compiler *c, enum label_kind kind,
				const struct wasm_immediates *immediates)
{
	struct label *label = label_push(c, kind);

	label->result = immediates->types[0];
	if (immediates->block_type != WASM_NO_TYPE)
		label->type = c->module->type[immediates->block_type];
	label->height = c->height - param_count(label);
	return label;
}

/* What is brought in from elsewhere too is not constant. */
static void params_to_slots(struct jit_compiler *c, const struct label *label)
{
	for (uint32_t i = label->height; i < c->height; i++) {
		struct value *value = value_at(c, i);
		struct operand operand = { *value, i };

		if (value->place != IS_CONSTANT || !jit_code_room(c, 256))
			continue;
		jit_operand_store(c, &operand, jit_slot_rm(c, i));
		value_at(c, i)->place = IN_SLOT;
	}
}

/* Without fuel nothing: who wants the run to end stops it where it is. */
void jit_code_count_turn(struct jit_compiler *c)
{
	struct cold *cold;

	if (!c->has_fuel)
		return;
	emit_imm8(&c->e, 0x83 | OP_W, 5,
		  rm_at(CONTEXT, offsetof(struct wasm_instance, fuel)), 1);
	cold = jit_code_cold(c, COLD_OUT, JIT_OUT_FUEL);
	jit_code_jump_if(c, CC_S, &cold->fixes);
	cold->back = code_here(c);
}

static void loop_begin(struct jit_compiler *c,
		       const struct wasm_immediates *immediates)
{
	struct label *label;

	jit_values_flush(c);
	label = block_push(c, LABEL_LOOP, immediates);
	params_to_slots(c, label);
	label->start = code_here(c);
	jit_code_count_turn(c);
}

void jit_if_begin(struct jit_compiler *c,
		  const struct wasm_immediates *immediates, unsigned condition)
{
	struct label *label;

	c->flags_live = true;
	jit_values_flush(c);
	label = block_push(c, LABEL_IF, immediates);
	params_to_slots(c, label);
	jit_code_jump_if(c, jit_inverse(condition), &label->else_fixes);
	c->flags_live = false;
}

static void try_begin(struct jit_compiler *c,
		      const struct wasm_immediates *immediates)
{
	struct label *label;

	jit_values_flush(c);
	label = block_push(c, LABEL_TRY, immediates);
	label->tried_from = code_here(c);
	label->catches = immediates->bytes;
	label->catch_count = immediates->count;
}

static void push_params(struct jit_compiler *c, const struct label *label)
{
	for (uint32_t i = 0; i < param_count(label); i++)
		jit_push_slot(c, jit_type_of(label->type->params[i]));
	c->settled = c->height;
}

static void push_results(struct jit_compiler *c, const struct label *label)
{
	uint32_t count = result_count(label);
	unsigned type;

	if (count == 1) {
		type = jit_type_of(result_type(label, 0));
		c->free[file_of(type)] &= ~1u; /* rax, xmm0 */
		jit_push_reg(c, type, 0);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		jit_push_slot(c, jit_type_of(result_type(label, i)));
	c->settled = c->height;
}

static void else_begin(struct jit_compiler *c)
{
	struct label *label = jit_label_at(c, 0);

	if (!c->is_dead) {
		values_bring(c, label);
		jit_code_jump(c, &label->fixes);
	}
	jit_values_drop_to(c, label->height);
	jit_registers_all_free(c);
	jit_code_bind(c, label->else_fixes);
	label->else_fixes = NONE;
	label->kind = LABEL_ELSE;
	push_params(c, label);
	c->is_dead = false;
}

/* An if without else hands its parameters on. */
static void else_missing(struct jit_compiler *c, struct label *label)
{
	if (arity(label)) {
		else_begin(c);
		return;
	}
	jit_code_bind(c, label->else_fixes);
	label->else_fixes = NONE;
	if (c->is_dead) {
		jit_values_drop_to(c, label->height);
		jit_registers_all_free(c);
		c->is_dead = false;
	}
}

/* What a clause brings: the exception's values, and the exception. */
static void landing_values(struct jit_compiler *c, struct label *label,
			   const struct wasm_deftype *tag, bool with_ref)
{
	uint32_t count = tag ? tag->param_count : 0;
	bool in_reg = takes_in_reg(label);

	if (!jit_code_room(c, 512 + 32ull * count))
		return;
	for (uint32_t i = 0; i < count; i++) {
		unsigned type = jit_type_of(tag->params[i]);
		unsigned reg = in_reg			 ? 0
			       : file_of(type) == VECTOR ? SCRATCH_X
							 : SCRATCH;

		if (file_of(type) == GENERAL && type != T_I32)
			type = T_I64;
		jit_load_rm(c, reg,
			    rm_at(RAX, (int32_t)(offsetof(struct wasm_exception,
							  values) +
						 16 * i)),
			    type);
		if (!in_reg)
			jit_store_rm(c, place_of(c, label, i), reg,
				     type == T_I32 ? T_I64 : type);
	}
	if (with_ref && !in_reg)
		jit_store_rm(c, place_of(c, label, count), RAX, T_I64);
}

static void landing_add(struct jit_compiler *c, uint32_t from, uint32_t to,
			uint32_t tag)
{
	struct code_landing *landing = jit_vector_room(
		c, &c->landings, c->landing_count, sizeof(*landing));

	if (!landing)
		return;
	*landing = (struct code_landing){ from, to, code_here(c), tag };
	c->landing_count++;
}

static void landings_emit(struct jit_compiler *c, const struct label *tried,
			  uint32_t to)
{
	struct wasm_reader reader = wasm_reader_of(
		tried->catches, (size_t)(c->reader.end - tried->catches));

	for (uint32_t i = 0; i < tried->catch_count && !c->failed; i++) {
		uint8_t kind = wasm_read_byte(&reader);
		bool is_all = kind & 2;
		uint32_t tag = is_all ? CODE_CATCH_ALL : wasm_read_u32(&reader);
		struct label *label = jit_label_at(c, wasm_read_u32(&reader));

		if (!jit_code_room(c, 256))
			return;
		landing_add(c, tried->tried_from, to, tag);
		jit_code_restore_stack(c);
		landing_values(c, label,
			       is_all ? NULL
				      : c->module->type[c->module->tags[tag]
								.type_index],
			       kind & 1);
		jump(c, label);
	}
}

static void join(struct jit_compiler *c, const struct label *label)
{
	jit_values_drop_to(c, label->height);
	jit_registers_all_free(c);
	c->is_dead = false;
	push_results(c, label);
}

/* The landings are outside of the block, behind a jump around them. */
static void try_end(struct jit_compiler *c, struct label label)
{
	uint32_t to = code_here(c);

	if (!c->is_dead) {
		values_bring(c, &label);
		jit_code_jump(c, &label.fixes);
	}
	landings_emit(c, &label, to);
	if (label.fixes == NONE) {
		jit_values_drop_to(c, label.height);
		jit_registers_all_free(c);
		jit_become_dead(c);
		return;
	}
	jit_code_bind(c, label.fixes);
	join(c, &label);
}

static void function_end(struct jit_compiler *c, struct label *label)
{
	if (!c->is_dead)
		values_bring(c, label);
	jit_code_bind(c, label->fixes);
	jit_values_drop_to(c, 0);
	if (!c->is_dead || label->fixes != NONE)
		jit_code_epilogue(c);
	c->is_dead = false;
}

static void block_end(struct jit_compiler *c)
{
	struct label *label = jit_label_at(c, 0), ended;

	if (label->kind == LABEL_IF)
		else_missing(c, label);
	ended = *label;
	if (ended.kind == LABEL_FUNCTION) {
		function_end(c, label);
		c->label_count--;
		return;
	}
	c->label_count--;
	if (ended.kind == LABEL_TRY) {
		try_end(c, ended);
		return;
	}
	if (ended.fixes == NONE || ended.kind == LABEL_LOOP) {
		if (c->is_dead) {
			jit_values_drop_to(c, ended.height);
			jit_registers_all_free(c);
			jit_become_dead(c);
		}
		return;
	}
	if (!c->is_dead)
		values_bring(c, &ended);
	jit_code_bind(c, ended.fixes);
	join(c, &ended);
}

void jit_control_begin_function(struct jit_compiler *c)
{
	struct label *label = label_push(c, LABEL_FUNCTION);

	label->type = c->type;
}

static void branch_if_value(struct jit_compiler *c, uint32_t depth)
{
	struct operand condition = jit_pop(c);

	jit_operand_test(c, &condition);
	jit_branch_if(c, depth, CC_NE);
}

static void if_value(struct jit_compiler *c,
		     const struct wasm_immediates *immediates)
{
	struct operand condition = jit_pop(c);

	jit_operand_test(c, &condition);
	jit_if_begin(c, immediates, CC_NE);
}

static void select_value(struct jit_compiler *c)
{
	struct operand condition = jit_pop(c);

	jit_operand_test(c, &condition);
	jit_select_by(c, CC_NE);
}

bool jit_control_operation(struct jit_compiler *c, unsigned operation,
			   const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_UNREACHABLE:
		jit_code_trap(c, WASM_TRAP_unreachable);
		jit_become_dead(c);
		break;
	case WASM_OP_BLOCK:
		jit_values_flush(c);
		block_push(c, LABEL_BLOCK, immediates);
		break;
	case WASM_OP_LOOP: loop_begin(c, immediates); break;
	case WASM_OP_IF: if_value(c, immediates); break;
	case WASM_OP_ELSE: else_begin(c); break;
	case WASM_OP_TRY_TABLE: try_begin(c, immediates); break;
	case WASM_OP_END: block_end(c); break;
	case WASM_OP_BR: branch(c, immediates->index[0]); break;
	case WASM_OP_BR_IF: branch_if_value(c, immediates->index[0]); break;
	case WASM_OP_BR_TABLE: branch_table(c, immediates); break;
	case WASM_OP_RETURN: jit_function_return(c); break;
	case WASM_OP_SELECT:
	case WASM_OP_SELECT_TYPED: select_value(c); break;
	default: return false;
	}
	return true;
}

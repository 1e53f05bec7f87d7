/* SPDX-License-Identifier: Apache-2.0 */
/* The abstract stack: where each value is, and which registers are free. */
#include "jit/compile.h"

/* Slots go downwards from below the locals. */
struct rm jit_slot_rm(struct jit_compiler *c, uint32_t index)
{
	if (index >= c->most_slots)
		c->most_slots = index + 1;
	return rm_at(RBP,
		     c->values_at - (int32_t)(c->slot_bytes * (index + 1)));
}

/* Pushing and popping */

/* With only a few registers for values, the deepest go to their slots. */
static void keep_few(struct jit_compiler *c)
{
	if (__builtin_popcount(c->free[GENERAL]) < 2 ||
	    __builtin_popcount(c->free[VECTOR]) < 2)
		jit_values_spill(c, c->height - 1);
}

void jit_push_reg(struct jit_compiler *c, unsigned type, unsigned reg)
{
	jit_push(c, (struct value){ .place = IN_REG,
				    .type = (uint8_t)type,
				    .reg = (uint8_t)reg });
	if (__builtin_expect(c->options->without & JIT_WITHOUT_POOL, 0))
		keep_few(c);
}

void jit_push_constant(struct jit_compiler *c, unsigned type, uint64_t constant)
{
	unsigned reg;

	if (__builtin_expect(c->options->without & JIT_WITHOUT_CONST, 0) &&
	    file_of(type) == GENERAL) {
		reg = jit_take(c, GENERAL);
		jit_move_constant(c, reg, constant, type);
		jit_push_reg(c, type, reg);
		return;
	}
	jit_push(c, (struct value){ .place = IS_CONSTANT,
				    .type = (uint8_t)type,
				    .constant = constant });
}

void jit_push_slot(struct jit_compiler *c, unsigned type)
{
	jit_slot_rm(c, c->height);
	jit_push(c, (struct value){ .place = IN_SLOT, .type = (uint8_t)type });
}

static void push_local_now(struct jit_compiler *c, uint32_t index)
{
	const struct local *local = local_at(c, index);
	unsigned type = local->type;
	struct operand operand = {
		{ .place = IN_LOCAL, .type = (uint8_t)type, .index = index },
		c->height
	};
	unsigned reg;

	if (!jit_code_room(c, 256))
		return;
	reg = jit_take(c, file_of(type));
	jit_operand_to(c, &operand, reg);
	jit_push_reg(c, type, reg);
}

/* Far above what is settled a local's value is taken at once: so those that
 * mean it are found among few. */
enum { LOCALS_MEANT = 4096 };

void jit_push_local(struct jit_compiler *c, uint32_t index)
{
	struct local *local = local_at(c, index);

	if (__builtin_expect(c->height - c->settled >= LOCALS_MEANT, 0)) {
		push_local_now(c, index);
		return;
	}
	local->pending++;
	jit_push(c, (struct value){ .place = IN_LOCAL,
				    .type = local->type,
				    .index = index });
}

/* Registers */

static enum file held_in(const struct value *value)
{
	return value->place == IS_LOAD ? GENERAL : file_of(value->type);
}

static bool holds_reg(const struct value *value)
{
	return value->place == IN_REG ||
	       (value->place == IS_LOAD && value->reg != NO_REG &&
		!value->is_borrowed);
}

void jit_release_but(struct jit_compiler *c, const struct operand *operand,
		     unsigned kept)
{
	const struct value *value = &operand->value;

	if (holds_reg(value) && value->reg != kept)
		give(c, held_in(value), value->reg);
}

void jit_release(struct jit_compiler *c, const struct operand *operand)
{
	jit_release_but(c, operand, NO_REG);
}

static void value_to_slot(struct jit_compiler *c, uint32_t index)
{
	struct value *value = value_at(c, index);
	struct operand operand = { *value, index };

	jit_operand_store(c, &operand, jit_slot_rm(c, index));
	if (value->place == IN_LOCAL)
		local_at(c, value->index)->pending--;
	jit_release(c, &operand);
	value_at(c, index)->place = IN_SLOT;
}

static uint32_t held_from(const struct jit_compiler *c, enum file file)
{
	return c->held_from[file] > c->settled ? c->held_from[file]
					       : c->settled;
}

static bool holds_reg_of(struct jit_compiler *c, uint32_t index, enum file file)
{
	const struct value *value = value_at(c, index);

	return holds_reg(value) && held_in(value) == file;
}

/* The deepest value that is in a register makes room. */
static void spill_one(struct jit_compiler *c, enum file file)
{
	for (uint32_t i = held_from(c, file); i < c->height; i++)
		if (holds_reg_of(c, i, file)) {
			value_to_slot(c, i);
			c->held_from[file] = i;
			return;
		}
	c->failed = true; /* never: operations hold fewer than there are */
	c->free[file] = c->all[file];
}

unsigned jit_take(struct jit_compiler *c, enum file file)
{
	unsigned reg;

	if (__builtin_expect(!c->free[file], 0))
		spill_one(c, file);
	reg = (unsigned)__builtin_ctz(c->free[file]);
	c->free[file] &= c->free[file] - 1;
	return reg;
}

unsigned jit_take_but(struct jit_compiler *c, enum file file, uint32_t but)
{
	uint32_t put_aside = 0;
	unsigned reg = jit_take(c, file);

	while (but >> reg & 1 && !c->failed) {
		put_aside |= 1u << reg;
		reg = jit_take(c, file);
	}
	c->free[file] |= put_aside;
	return reg;
}

void jit_operand_leave(struct jit_compiler *c, struct operand *operand,
		       uint32_t set)
{
	struct value *value = &operand->value;
	unsigned reg;

	if (!holds_reg(value) || !(set >> value->reg & 1))
		return;
	reg = jit_take_but(c, held_in(value), set);
	jit_move(c, reg, value->reg,
		 value->place == IS_LOAD ? T_I64 : value->type);
	give(c, held_in(value), value->reg);
	value->reg = (uint8_t)reg;
}

/* What lies far below the top is soon not looked for again: it goes to its
 * slot rather than to another register, from which it could be driven away
 * as often. */
enum { DEEP = 64 };

static bool is_deep(const struct jit_compiler *c, uint32_t index)
{
	return c->height - index > DEEP;
}

/* A value that is in the way moves on. */
static void move_away(struct jit_compiler *c, enum file file, unsigned reg)
{
	for (uint32_t i = c->height; i-- > held_from(c, file);) {
		struct value *value = value_at(c, i);

		if (!holds_reg_of(c, i, file) || value->reg != reg)
			continue;
		if (c->free[file] && !is_deep(c, i)) {
			unsigned to = jit_take(c, file);

			jit_move(c, to, reg,
				 value->place == IS_LOAD ? T_I64 : value->type);
			value->reg = (uint8_t)to;
			give(c, file, reg);
		} else {
			value_to_slot(c, i);
		}
		return;
	}
}

void jit_take_this(struct jit_compiler *c, enum file file, unsigned reg)
{
	if (!(c->free[file] >> reg & 1))
		move_away(c, file, reg);
	c->free[file] &= ~(1u << reg);
}

void jit_registers_all_free(struct jit_compiler *c)
{
	c->free[GENERAL] = c->all[GENERAL];
	c->free[VECTOR] = c->all[VECTOR];
}

/* Operands */

bool jit_is_in_reg(struct jit_compiler *c, const struct operand *operand)
{
	const struct value *value = &operand->value;

	return value->place == IN_REG ||
	       (value->place == IN_LOCAL &&
		local_at(c, value->index)->reg != NO_REG);
}

unsigned jit_reg_of(struct jit_compiler *c, const struct operand *operand)
{
	const struct value *value = &operand->value;

	return value->place == IN_REG ? value->reg
				      : local_at(c, value->index)->reg;
}

bool jit_uses_reg(struct jit_compiler *c, const struct operand *operand,
		  unsigned reg)
{
	if (jit_is_in_reg(c, operand))
		return jit_reg_of(c, operand) == reg;
	return operand->value.place == IS_LOAD && operand->value.reg == reg;
}

static struct rm load_address(const struct value *value)
{
	return rm_index(MEMORY, value->reg, 0, (int32_t)value->index);
}

/* What is emitted next may fault for an earlier operation. */
static void load_origin(struct jit_compiler *c, const struct value *value)
{
	code_origin(c, (uint32_t)(value->constant >> 32));
}

static struct rm vector_literal(struct jit_compiler *c,
				const struct value *value)
{
	uint64_t words[2];

	if (value->type != T_V128)
		return jit_code_literal(c, value->constant, 0, 8);
	memcpy(words, (const void *)(uintptr_t)value->constant, sizeof(words));
	return jit_code_literal(c, words[0], words[1], 16);
}

struct rm jit_operand_rm(struct jit_compiler *c, struct operand *operand)
{
	struct value *value = &operand->value;
	const struct local *local;

	switch (value->place) {
	case IN_REG: return rm_reg(value->reg);
	case IN_SLOT: return jit_slot_rm(c, operand->index);
	case IS_LOAD: load_origin(c, value); return load_address(value);
	case IN_LOCAL:
		local = local_at(c, value->index);
		return local->reg != NO_REG ? rm_reg(local->reg)
					    : rm_at(RBP, local->frame);
	}
	if (file_of(value->type) == VECTOR)
		return vector_literal(c, value);
	return rm_reg(jit_operand_own(c, operand));
}

static bool is_zero_vector(const struct value *value)
{
	uint64_t words[2];

	if (value->place != IS_CONSTANT)
		return false;
	if (value->type != T_V128)
		return value->constant == 0;
	memcpy(words, (const void *)(uintptr_t)value->constant, sizeof(words));
	return !(words[0] | words[1]);
}

/* A load's own instruction: it may be narrower than its value. */
static void load_value(struct jit_compiler *c, const struct value *value,
		       unsigned reg)
{
	uint32_t op = (uint32_t)value->constant;

	load_origin(c, value);
	if (file_of(value->type) == VECTOR)
		jit_emit_x(c, op, reg, load_address(value));
	else
		emit(&c->e, op, reg, load_address(value));
	code_origin(c, jit_code_op_origin(c));
}

void jit_operand_to(struct jit_compiler *c, const struct operand *operand,
		    unsigned reg)
{
	struct operand copy = *operand;
	const struct value *value = &operand->value;

	if (value->place == IS_LOAD)
		load_value(c, value, reg);
	else if (is_zero_vector(value) && file_of(value->type) == VECTOR)
		jit_emit_float(c, 0x57 | OP_0F, reg, reg, rm_reg(reg), true);
	else if (value->place == IS_CONSTANT && file_of(value->type) == GENERAL)
		jit_move_constant(c, reg, value->constant, value->type);
	else
		jit_load_rm(c, reg, jit_operand_rm(c, &copy), value->type);
}

static void becomes_reg(struct operand *operand, unsigned reg)
{
	operand->value.place = IN_REG;
	operand->value.reg = (uint8_t)reg;
}

unsigned jit_operand_own(struct jit_compiler *c, struct operand *operand)
{
	enum file file = file_of(operand->value.type);
	unsigned reg;

	if (operand->value.place == IN_REG)
		return operand->value.reg;
	if (holds_reg(&operand->value) && file == GENERAL)
		reg = operand->value.reg; /* the load's address */
	else
		reg = jit_take(c, file);
	jit_operand_to(c, operand, reg);
	if (file == VECTOR)
		jit_release(c, operand);
	becomes_reg(operand, reg);
	return reg;
}

unsigned jit_operand_reg(struct jit_compiler *c, struct operand *operand)
{
	if (jit_is_in_reg(c, operand))
		return jit_reg_of(c, operand);
	return jit_operand_own(c, operand);
}

static void store_constant(struct jit_compiler *c, const struct value *value,
			   struct rm rm)
{
	uint64_t bits = value->constant;

	if (value->type == T_F32) {
		emit_imm32(&c->e, 0xc7, 0, rm, (uint32_t)bits);
	} else if ((int64_t)bits == (int32_t)bits && value->type != T_I32) {
		emit_imm32(&c->e, 0xc7 | OP_W, 0, rm, (uint32_t)bits);
	} else if (value->type == T_I32 && (int32_t)bits >= 0) {
		emit_imm32(&c->e, 0xc7 | OP_W, 0, rm, (uint32_t)bits);
	} else {
		jit_move_constant(c, SCRATCH, bits, value->type);
		jit_store_rm(c, rm, SCRATCH, T_I64);
	}
}

/* i32 are stored with their upper half: a slot is read as 64 bits too. */
void jit_operand_store(struct jit_compiler *c, const struct operand *operand,
		       struct rm rm)
{
	const struct value *value = &operand->value;
	unsigned type = value->type == T_I32 ? T_I64 : value->type;
	unsigned scratch = file_of(type) == VECTOR ? SCRATCH_X : SCRATCH;

	if (value->place == IS_CONSTANT && value->type != T_V128) {
		store_constant(c, value, rm);
	} else if (jit_is_in_reg(c, operand)) {
		jit_store_rm(c, rm, jit_reg_of(c, operand), type);
	} else {
		jit_operand_to(c, operand, scratch);
		jit_store_rm(c, rm, scratch, type);
	}
}

bool jit_is_immediate(const struct operand *operand)
{
	const struct value *value = &operand->value;

	return value->place == IS_CONSTANT && file_of(value->type) == GENERAL &&
	       (value->type == T_I32 ||
		(int64_t)value->constant == (int32_t)value->constant);
}

/* All of them */

void jit_local_keep(struct jit_compiler *c, uint32_t index)
{
	struct local *local = local_at(c, index);
	uint32_t i = c->settled + LOCALS_MEANT;

	if (i > c->height)
		i = c->height;
	if (!local->pending || !jit_code_room(c, 256 + 32ull * local->pending))
		return;
	while (local->pending && i > 0) {
		struct value *value = value_at(c, --i);
		unsigned reg;

		if (value->place != IN_LOCAL || value->index != index)
			continue;
		if (is_deep(c, i)) {
			value_to_slot(c, i);
			continue;
		}
		reg = jit_take(c, file_of(value->type));
		jit_operand_to(c, &(struct operand){ *value, i }, reg);
		value->place = IN_REG;
		value->reg = (uint8_t)reg;
		if (c->held_from[file_of(value->type)] > i)
			c->held_from[file_of(value->type)] = i;
		local->pending--;
	}
}

void jit_values_flush(struct jit_compiler *c)
{
	if (!jit_code_room(c, 256 + 32ull * (c->height - c->settled)))
		return;
	for (uint32_t i = c->settled; i < c->height; i++) {
		const struct value *value = value_at(c, i);

		if (value->place != IN_SLOT && value->place != IS_CONSTANT)
			value_to_slot(c, i);
	}
	c->settled = c->height;
}

void jit_values_spill(struct jit_compiler *c, uint32_t below)
{
	uint32_t i;

	if (!jit_code_room(c, 1024))
		return;
	i = held_from(c, GENERAL) < held_from(c, VECTOR) ? held_from(c, GENERAL)
							 : held_from(c, VECTOR);
	for (; i < below; i++)
		if (holds_reg(value_at(c, i)))
			value_to_slot(c, i);
	if (c->held_from[GENERAL] < below)
		c->held_from[GENERAL] = below;
	if (c->held_from[VECTOR] < below)
		c->held_from[VECTOR] = below;
}

void jit_values_drop_to(struct jit_compiler *c, uint32_t height)
{
	while (c->height > height) {
		struct operand operand = jit_pop(c);

		jit_release(c, &operand);
	}
}

/* Targets */

static uint32_t hinted_local(struct jit_compiler *c, enum file file)
{
	const uint8_t *at = c->reader.at;
	struct wasm_reader ahead;
	uint32_t index;

	/* An operation comes behind any other, but for the last "end". */
	if (c->reader.end - at < 2 || (at[0] != 0x21 && at[0] != 0x22) ||
	    c->options->without & JIT_WITHOUT_HINT)
		return NONE;
	index = at[1];
	if (index >= 0x80) {
		ahead = c->reader;
		ahead.at++;
		index = wasm_read_u32(&ahead);
	}
	if (local_at(c, index)->reg == NO_REG ||
	    file_of(local_at(c, index)->type) != file)
		return NONE;
	return index;
}

/* Values that mean the old contents are kept before operands are looked at:
 * so this comes first of all that an operation emits. */
static bool target_hint(struct jit_compiler *c, enum file file,
			struct target *target)
{
	uint32_t index = hinted_local(c, file);

	if (index == NONE)
		return false;
	jit_local_keep(c, index);
	*target =
		(struct target){ local_at(c, index)->reg, (uint8_t)file, true };
	return true;
}

struct target jit_target_new(struct jit_compiler *c, enum file file)
{
	struct target target;

	if (target_hint(c, file, &target))
		return target;
	return (struct target){ (uint8_t)jit_take(c, file), (uint8_t)file,
				false };
}

struct target jit_target_over(struct jit_compiler *c, enum file file,
			      const struct operand *a)
{
	struct target target;

	if (target_hint(c, file, &target))
		return target;
	if (a->value.place == IN_REG && file_of(a->value.type) == file)
		return (struct target){ a->value.reg, (uint8_t)file, false };
	return (struct target){ (uint8_t)jit_take(c, file), (uint8_t)file,
				false };
}

void jit_target_release(struct jit_compiler *c, const struct target *target,
			const struct operand *operand)
{
	if (holds_reg(&operand->value) &&
	    held_in(&operand->value) == target->file)
		jit_release_but(c, operand,
				target->is_hint ? NO_REG : target->reg);
	else
		jit_release(c, operand);
}

void jit_target_finish(struct jit_compiler *c, struct target target,
		       unsigned type)
{
	bool is_tee;
	uint32_t index;

	if (!target.is_hint) {
		jit_push_reg(c, type, target.reg);
		return;
	}
	is_tee = wasm_read_byte(&c->reader) == 0x22;
	index = wasm_read_u32(&c->reader);
	if (is_tee)
		jit_push_local(c, index);
}

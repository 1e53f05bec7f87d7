/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: arithmetic, comparisons, conversions from and to integers.  What an
 * instruction does not do as the standard says is put right behind a jump
 * that is hardly ever taken. */
#include "jit/compile.h"

enum way {
	NO_WAY,
	BINARY,
	LEAST, /* min and max */
	ROUND,
	SIGN, /* abs and neg: by a mask */
	SQRT,
	COPYSIGN,
	COMPARE,
	FROM_INT,
	TO_INT,
	TO_FLOAT,
	BITS_TO_INT,
	BITS_TO_FLOAT
};
enum compare { EQUAL, NOT_EQUAL, LESS, GREATER, LESS_EQUAL, GREATER_EQUAL };
enum int_kind { AS_UNSIGNED = 1, AS_I64 = 2, SATURATES = 4 };

struct recipe {
	uint8_t way, type; /* of the float operand; BITS_TO_INT: operand's */
	uint32_t what;
};

/* clang-format off */
#define FLOATS(T, TYPE) \
	[WASM_OP_##T##_ADD] = { BINARY, TYPE, 0x58 }, \
	[WASM_OP_##T##_SUB] = { BINARY, TYPE, 0x5c }, \
	[WASM_OP_##T##_MUL] = { BINARY, TYPE, 0x59 }, \
	[WASM_OP_##T##_DIV] = { BINARY, TYPE, 0x5e }, \
	[WASM_OP_##T##_MIN] = { LEAST, TYPE, 0x5d }, \
	[WASM_OP_##T##_MAX] = { LEAST, TYPE, 0x5f }, \
	[WASM_OP_##T##_CEIL] = { ROUND, TYPE, 10 }, \
	[WASM_OP_##T##_FLOOR] = { ROUND, TYPE, 9 }, \
	[WASM_OP_##T##_TRUNC] = { ROUND, TYPE, 11 }, \
	[WASM_OP_##T##_NEAREST] = { ROUND, TYPE, 8 }, \
	[WASM_OP_##T##_ABS] = { SIGN, TYPE, 0x54 }, \
	[WASM_OP_##T##_NEG] = { SIGN, TYPE, 0x57 }, \
	[WASM_OP_##T##_SQRT] = { SQRT, TYPE, 0x51 }, \
	[WASM_OP_##T##_COPYSIGN] = { COPYSIGN, TYPE, 0 }, \
	[WASM_OP_##T##_EQ] = { COMPARE, TYPE, EQUAL }, \
	[WASM_OP_##T##_NE] = { COMPARE, TYPE, NOT_EQUAL }, \
	[WASM_OP_##T##_LT] = { COMPARE, TYPE, LESS }, \
	[WASM_OP_##T##_GT] = { COMPARE, TYPE, GREATER }, \
	[WASM_OP_##T##_LE] = { COMPARE, TYPE, LESS_EQUAL }, \
	[WASM_OP_##T##_GE] = { COMPARE, TYPE, GREATER_EQUAL }, \
	[WASM_OP_##T##_CONVERT_I32_S] = { FROM_INT, TYPE, 0 }, \
	[WASM_OP_##T##_CONVERT_I32_U] = { FROM_INT, TYPE, AS_UNSIGNED }, \
	[WASM_OP_##T##_CONVERT_I64_S] = { FROM_INT, TYPE, AS_I64 }, \
	[WASM_OP_##T##_CONVERT_I64_U] = { FROM_INT, TYPE, \
					  AS_I64 | AS_UNSIGNED }, \
	[WASM_OP_I32_TRUNC_##T##_S] = { TO_INT, TYPE, 0 }, \
	[WASM_OP_I32_TRUNC_##T##_U] = { TO_INT, TYPE, AS_UNSIGNED }, \
	[WASM_OP_I64_TRUNC_##T##_S] = { TO_INT, TYPE, AS_I64 }, \
	[WASM_OP_I64_TRUNC_##T##_U] = { TO_INT, TYPE, AS_I64 | AS_UNSIGNED }, \
	[WASM_OP_I32_TRUNC_SAT_##T##_S] = { TO_INT, TYPE, SATURATES }, \
	[WASM_OP_I32_TRUNC_SAT_##T##_U] = { TO_INT, TYPE, \
					    SATURATES | AS_UNSIGNED }, \
	[WASM_OP_I64_TRUNC_SAT_##T##_S] = { TO_INT, TYPE, \
					    SATURATES | AS_I64 }, \
	[WASM_OP_I64_TRUNC_SAT_##T##_U] = { TO_INT, TYPE, \
					    SATURATES | AS_I64 | AS_UNSIGNED }

static const struct recipe recipes[WASM_OPERATIONS] = {
	FLOATS(F32, T_F32), FLOATS(F64, T_F64),
	[WASM_OP_F32_DEMOTE_F64] = { TO_FLOAT, T_F64, T_F32 },
	[WASM_OP_F64_PROMOTE_F32] = { TO_FLOAT, T_F32, T_F64 },
	[WASM_OP_I32_REINTERPRET_F32] = { BITS_TO_INT, T_F32, T_I32 },
	[WASM_OP_I64_REINTERPRET_F64] = { BITS_TO_INT, T_F64, T_I64 },
	[WASM_OP_F32_REINTERPRET_I32] = { BITS_TO_FLOAT, T_I32, T_F32 },
	[WASM_OP_F64_REINTERPRET_I64] = { BITS_TO_FLOAT, T_I64, T_F64 },
};
/* clang-format on */

/* A jump forward over a few bytes. */
static uint8_t *skip_if(struct jit_compiler *c, unsigned condition)
{
	emit1(&c->e, 0x70 | condition);
	emit1(&c->e, 0);
	return c->e.at;
}

static uint8_t *skip(struct jit_compiler *c)
{
	emit1(&c->e, 0xeb);
	emit1(&c->e, 0);
	return c->e.at;
}

static void skip_end(struct jit_compiler *c, uint8_t *from)
{
	from[-1] = (uint8_t)(c->e.at - from);
}

static uint32_t scalar(unsigned type)
{
	return OP_0F | (type == T_F32 ? OP_F3 : OP_F2);
}

/* ucomiss, ucomisd */
static void compare_to(struct jit_compiler *c, unsigned type, unsigned reg,
		       struct rm rm)
{
	jit_emit_x(c, 0x2e | OP_0F | (type == T_F64 ? OP_66 : 0), reg, rm);
}

static struct rm number_literal(struct jit_compiler *c, unsigned type,
				double number)
{
	float narrow = (float)number;
	uint64_t bits = 0;

	if (type == T_F32)
		memcpy(&bits, &narrow, sizeof(narrow));
	else
		memcpy(&bits, &number, sizeof(number));
	return jit_code_literal(c, bits, 0, 8);
}

static struct rm mask_literal(struct jit_compiler *c, unsigned type,
			      bool is_sign)
{
	uint64_t sign = type == T_F32 ? 0x8000000080000000 : 1ull << 63;
	uint64_t mask = is_sign ? sign : ~sign;

	return jit_code_literal(c, mask, mask, 16);
}

static void binary(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &a);
	struct rm rm = jit_operand_rm(c, &b);
	struct target target = jit_target_over(c, VECTOR, &a);

	jit_emit_float(c, recipe->what | scalar(recipe->type), target.reg, reg,
		       rm, recipe->what == 0x58 || recipe->what == 0x59);
	jit_target_release(c, &target, &a);
	jit_target_release(c, &target, &b);
	jit_target_finish(c, target, recipe->type);
}

/* Equal ones may differ in sign; with a NaN the sum is one. */
static void least(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a), rb = jit_operand_reg(c, &b);
	struct target target = jit_target_over(c, VECTOR, &a);
	unsigned to = target.reg;
	uint8_t *nan, *differ, *done, *done_too;

	if (rb == to) {
		rb = ra;
		ra = to;
	}
	jit_move(c, to, ra, recipe->type);
	compare_to(c, recipe->type, to, rm_reg(rb));
	nan = skip_if(c, CC_P);
	differ = skip_if(c, CC_NE);
	jit_emit_float(c, OP_0F | (recipe->what == 0x5d ? 0x56 : 0x54), to, to,
		       rm_reg(rb), true);
	done = skip(c);
	skip_end(c, differ);
	jit_emit_float(c, recipe->what | scalar(recipe->type), to, to,
		       rm_reg(rb), false);
	done_too = skip(c);
	skip_end(c, nan);
	jit_emit_float(c, 0x58 | scalar(recipe->type), to, to, rm_reg(rb),
		       true);
	skip_end(c, done);
	skip_end(c, done_too);
	jit_target_release(c, &target, &a);
	jit_target_release(c, &target, &b);
	jit_target_finish(c, target, recipe->type);
}

static void round_to_whole(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);
	uint32_t op = (recipe->type == T_F32 ? 0x0a : 0x0b) | OP_3A | OP_66;

	if (c->has_avx)
		emit_vex_imm8(&c->e, op, target.reg, target.reg, rm,
			      recipe->what);
	else
		emit_imm8(&c->e, op, target.reg, rm, recipe->what);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, recipe->type);
}

static void sign(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	jit_emit_float(c, recipe->what | OP_0F, target.reg, reg,
		       mask_literal(c, recipe->type, recipe->what == 0x57),
		       true);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, recipe->type);
}

static void root(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);
	uint32_t op = recipe->what | scalar(recipe->type);

	if (c->has_avx)
		emit_vex(&c->e, op, target.reg, target.reg, rm);
	else
		emit(&c->e, op, target.reg, rm);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, recipe->type);
}

static void copysign_of(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	unsigned rb = jit_operand_reg(c, &b), ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	jit_emit_float(c, 0x54 | OP_0F, SCRATCH_X, rb,
		       mask_literal(c, recipe->type, true), true);
	jit_emit_float(c, 0x54 | OP_0F, target.reg, ra,
		       mask_literal(c, recipe->type, false), true);
	jit_emit_float(c, 0x56 | OP_0F, target.reg, target.reg,
		       rm_reg(SCRATCH_X), true);
	jit_target_release(c, &target, &a);
	jit_target_release(c, &target, &b);
	jit_target_finish(c, target, recipe->type);
}

/* "Below" is true of what is not ordered, so only "above" is asked. */
static void compare(struct jit_compiler *c, const struct recipe *recipe)
{
	static const uint8_t conditions[] = { CC_FLOAT_E, CC_FLOAT_NE, CC_A,
					      CC_A,	  CC_AE,       CC_AE };
	struct operand b = jit_pop(c), a = jit_pop(c);
	unsigned reg;

	if (recipe->what == LESS || recipe->what == LESS_EQUAL)
		operands_swap(&a, &b);
	reg = jit_operand_reg(c, &a);
	compare_to(c, recipe->type, reg, jit_operand_rm(c, &b));
	jit_release(c, &a);
	jit_release(c, &b);
	jit_condition_use(c, conditions[recipe->what]);
}

/* From integers */

static void from_int(struct jit_compiler *c, unsigned type, unsigned to,
		     struct rm rm, bool is_wide)
{
	uint32_t op = 0x2a | scalar(type) | (is_wide ? OP_W : 0);

	jit_emit_float(c, 0x57 | OP_0F, to, to, rm_reg(to), true);
	if (c->has_avx)
		emit_vex(&c->e, op, to, to, rm);
	else
		emit(&c->e, op, to, rm);
}

/* From 2^63 on: half of it, the last bit kept for the rounding. */
static void from_u64(struct jit_compiler *c, unsigned type, unsigned to,
		     unsigned reg)
{
	uint8_t *big, *even, *done;

	emit(&c->e, 0x85 | OP_W, reg, rm_reg(reg));
	big = skip_if(c, CC_S);
	from_int(c, type, to, rm_reg(reg), true);
	done = skip(c);
	skip_end(c, big);
	jit_move(c, SCRATCH, reg, T_I64);
	emit(&c->e, 0xd1 | OP_W, 5, rm_reg(SCRATCH));
	even = skip_if(c, CC_AE);
	emit_imm8(&c->e, 0x83 | OP_W, 1, rm_reg(SCRATCH), 1);
	skip_end(c, even);
	from_int(c, type, to, rm_reg(SCRATCH), true);
	jit_emit_float(c, 0x58 | scalar(type), to, to, rm_reg(to), true);
	skip_end(c, done);
}

static void convert_from_int(struct jit_compiler *c,
			     const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct target target;

	if (recipe->what == (AS_I64 | AS_UNSIGNED)) {
		unsigned reg = jit_operand_reg(c, &a);

		target = jit_target_new(c, VECTOR);
		from_u64(c, recipe->type, target.reg, reg);
	} else {
		struct rm rm = jit_operand_rm(c, &a);

		target = jit_target_new(c, VECTOR);
		from_int(c, recipe->type, target.reg, rm, recipe->what != 0);
	}
	jit_release(c, &a);
	jit_target_finish(c, target, recipe->type);
}

/* To integers.  "to" gets the number with the highest bit where the
 * instruction has none. */

struct to_int {
	unsigned type, of, to; /* the float, its register, the result's */
	bool is_wide, is_signed, saturates;
};

static void truncate(struct jit_compiler *c, const struct to_int *t,
		     unsigned of, bool is_wide)
{
	jit_emit_x(c, 0x2c | scalar(t->type) | (is_wide ? OP_W : 0), t->to,
		   rm_reg(of));
}

static void trap_of(struct jit_compiler *c, const struct to_int *t)
{
	compare_to(c, t->type, t->of, rm_reg(t->of));
	jit_code_trap_if(c, CC_P, WASM_TRAP_invalid_conversion);
}

/* The greatest number that is too small. */
static struct rm lower_bound(struct jit_compiler *c, const struct to_int *t)
{
	if (t->is_wide)
		return number_literal(c, t->type,
				      t->type == T_F32
					      ? -9223373136366403584.0
					      : -9223372036854777856.0);
	return number_literal(c, t->type,
			      t->type == T_F32 ? -2147483904.0 : -2147483649.0);
}

static void signed_fix(struct jit_compiler *c, const struct to_int *t)
{
	unsigned type = t->is_wide ? T_I64 : T_I32;
	uint8_t *ordered, *negative, *done;

	if (!t->saturates) {
		trap_of(c, t);
		compare_to(c, t->type, t->of, lower_bound(c, t));
		jit_code_trap_if(c, CC_BE, WASM_TRAP_integer_overflow);
		compare_to(c, t->type, t->of, number_literal(c, t->type, 0));
		jit_code_trap_if(c, CC_AE, WASM_TRAP_integer_overflow);
		return;
	}
	compare_to(c, t->type, t->of, number_literal(c, t->type, 0));
	ordered = skip_if(c, CC_NP);
	jit_move_constant(c, t->to, 0, T_I32);
	done = skip(c);
	skip_end(c, ordered);
	negative = skip_if(c, CC_B);
	jit_move_constant(c, t->to, t->is_wide ? INT64_MAX : INT32_MAX, type);
	skip_end(c, negative);
	skip_end(c, done);
}

static void to_signed(struct jit_compiler *c, const struct to_int *t)
{
	uint32_t done = NONE;

	truncate(c, t, t->of, t->is_wide);
	emit_imm8(&c->e, 0x83 | (t->is_wide ? OP_W : 0), 7, rm_reg(t->to), 1);
	jit_code_jump_if(c, CC_NO, &done);
	signed_fix(c, t);
	jit_code_bind(c, done);
}

/* By 64 bits: right when the upper half is 0. */
static void to_u32(struct jit_compiler *c, const struct to_int *t)
{
	uint32_t done = NONE;
	uint8_t *low;

	truncate(c, t, t->of, true);
	jit_move(c, SCRATCH, t->to, T_I32);
	emit(&c->e, 0x3b | OP_W, SCRATCH, rm_reg(t->to));
	jit_code_jump_if(c, CC_E, &done);
	if (!t->saturates) {
		trap_of(c, t);
		jit_code_trap(c, WASM_TRAP_integer_overflow);
	} else {
		compare_to(c, t->type, t->of, number_literal(c, t->type, 0));
		jit_move_constant(c, SCRATCH, UINT32_MAX, T_I32);
		c->flags_live = true;
		jit_move_constant(c, t->to, 0, T_I32);
		c->flags_live = false;
		low = skip_if(c, CC_BE);
		jit_move(c, t->to, SCRATCH, T_I32);
		skip_end(c, low);
	}
	jit_code_bind(c, done);
}

static void u64_too_big(struct jit_compiler *c, const struct to_int *t)
{
	uint8_t *fits, *done;

	emit(&c->e, 0x85 | OP_W, t->to, rm_reg(t->to));
	if (!t->saturates) {
		jit_code_trap_if(c, CC_S, WASM_TRAP_integer_overflow);
		jit_move_constant(c, SCRATCH, 1ull << 63, T_I64);
		emit(&c->e, 0x33 | OP_W, t->to, rm_reg(SCRATCH));
		return;
	}
	fits = skip_if(c, CC_NS);
	jit_move_constant(c, t->to, UINT64_MAX, T_I64);
	done = skip(c);
	skip_end(c, fits);
	jit_move_constant(c, SCRATCH, 1ull << 63, T_I64);
	emit(&c->e, 0x33 | OP_W, t->to, rm_reg(SCRATCH));
	skip_end(c, done);
}

static void to_u64(struct jit_compiler *c, const struct to_int *t)
{
	struct rm half = number_literal(c, t->type, 9223372036854775808.0);
	uint32_t big = NONE, done = NONE;

	compare_to(c, t->type, t->of, half);
	jit_code_jump_if(c, CC_AE, &big);
	truncate(c, t, t->of, true);
	emit(&c->e, 0x85 | OP_W, t->to, rm_reg(t->to));
	jit_code_jump_if(c, CC_NS, &done);
	if (!t->saturates) {
		trap_of(c, t);
		jit_code_trap(c, WASM_TRAP_integer_overflow);
	} else {
		jit_move_constant(c, t->to, 0, T_I32);
		jit_code_jump(c, &done);
	}
	jit_code_bind(c, big);
	jit_emit_float(c, 0x5c | scalar(t->type), SCRATCH_X, t->of, half,
		       false);
	truncate(c, t, SCRATCH_X, true);
	u64_too_big(c, t);
	jit_code_bind(c, done);
}

static void convert_to_int(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &a);
	struct target target = jit_target_new(c, GENERAL);
	struct to_int t = { .type = recipe->type,
			    .of = reg,
			    .to = target.reg,
			    .is_wide = recipe->what & AS_I64,
			    .is_signed = !(recipe->what & AS_UNSIGNED),
			    .saturates = recipe->what & SATURATES };

	if (t.is_signed)
		to_signed(c, &t);
	else if (t.is_wide)
		to_u64(c, &t);
	else
		to_u32(c, &t);
	jit_release(c, &a);
	jit_target_finish(c, target, t.is_wide ? T_I64 : T_I32);
}

/* Other conversions */

static void to_float(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	if (c->has_avx)
		emit_vex(&c->e, 0x5a | scalar(recipe->type), target.reg,
			 target.reg, rm);
	else
		emit(&c->e, 0x5a | scalar(recipe->type), target.reg, rm);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, recipe->what);
}

static void bits_to_int(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &a);
	struct target target = jit_target_new(c, GENERAL);

	jit_emit_x(c, 0x7e | OP_0F | OP_66 | wide(recipe->what), reg,
		   rm_reg(target.reg));
	jit_release(c, &a);
	jit_target_finish(c, target, recipe->what);
}

static void bits_to_float(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_new(c, VECTOR);

	jit_emit_x(c, 0x6e | OP_0F | OP_66 | wide(recipe->type), target.reg,
		   rm);
	jit_release(c, &a);
	jit_target_finish(c, target, recipe->what);
}

bool jit_real_owns(unsigned operation)
{
	return recipes[operation].way != NO_WAY;
}

void jit_real_operation(struct jit_compiler *c, unsigned operation)
{
	const struct recipe *recipe = &recipes[operation];

	switch ((enum way)recipe->way) {
	case NO_WAY: break;
	case BINARY: binary(c, recipe); break;
	case LEAST: least(c, recipe); break;
	case ROUND: round_to_whole(c, recipe); break;
	case SIGN: sign(c, recipe); break;
	case SQRT: root(c, recipe); break;
	case COPYSIGN: copysign_of(c, recipe); break;
	case COMPARE: compare(c, recipe); break;
	case FROM_INT: convert_from_int(c, recipe); break;
	case TO_INT: convert_to_int(c, recipe); break;
	case TO_FLOAT: to_float(c, recipe); break;
	case BITS_TO_INT: bits_to_int(c, recipe); break;
	case BITS_TO_FLOAT: bits_to_float(c, recipe); break;
	}
}

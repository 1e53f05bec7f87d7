/* SPDX-License-Identifier: Apache-2.0 */
/* Integers: arithmetic, comparisons and what is done with their flags. */
#include "jit/compile.h"

enum way { NO_WAY, ALU, MULTIPLY, SHIFT, DIVIDE, COMPARE, EQZ, BITS, EXTEND };

/* How an operation is made: "what" is the number of the instruction in its
 * group, a condition, or an opcode. */
struct recipe {
	uint8_t way, type;
	uint32_t what;
};

enum alu { ALU_ADD, ALU_OR, ALU_AND = 4, ALU_SUB, ALU_XOR, ALU_CMP };
enum shift { ROL, ROR, SHL = 4, SHR, SAR = 7 };
enum divide { DIV_SIGNED = 1, DIV_REST = 2 };
enum bits { BITS_CLZ, BITS_CTZ, BITS_POPCNT };

/* clang-format off */
#define COMPARES(T, TYPE) \
	[WASM_OP_##T##_EQ] = { COMPARE, TYPE, CC_E }, \
	[WASM_OP_##T##_NE] = { COMPARE, TYPE, CC_NE }, \
	[WASM_OP_##T##_LT_S] = { COMPARE, TYPE, CC_L }, \
	[WASM_OP_##T##_LT_U] = { COMPARE, TYPE, CC_B }, \
	[WASM_OP_##T##_GT_S] = { COMPARE, TYPE, CC_G }, \
	[WASM_OP_##T##_GT_U] = { COMPARE, TYPE, CC_A }, \
	[WASM_OP_##T##_LE_S] = { COMPARE, TYPE, CC_LE }, \
	[WASM_OP_##T##_LE_U] = { COMPARE, TYPE, CC_BE }, \
	[WASM_OP_##T##_GE_S] = { COMPARE, TYPE, CC_GE }, \
	[WASM_OP_##T##_GE_U] = { COMPARE, TYPE, CC_AE }, \
	[WASM_OP_##T##_EQZ] = { EQZ, TYPE, CC_E }
#define ARITHMETIC(T, TYPE) \
	[WASM_OP_##T##_CLZ] = { BITS, TYPE, BITS_CLZ }, \
	[WASM_OP_##T##_CTZ] = { BITS, TYPE, BITS_CTZ }, \
	[WASM_OP_##T##_POPCNT] = { BITS, TYPE, BITS_POPCNT }, \
	[WASM_OP_##T##_ADD] = { ALU, TYPE, ALU_ADD }, \
	[WASM_OP_##T##_SUB] = { ALU, TYPE, ALU_SUB }, \
	[WASM_OP_##T##_AND] = { ALU, TYPE, ALU_AND }, \
	[WASM_OP_##T##_OR] = { ALU, TYPE, ALU_OR }, \
	[WASM_OP_##T##_XOR] = { ALU, TYPE, ALU_XOR }, \
	[WASM_OP_##T##_MUL] = { MULTIPLY, TYPE, 0 }, \
	[WASM_OP_##T##_DIV_S] = { DIVIDE, TYPE, DIV_SIGNED }, \
	[WASM_OP_##T##_DIV_U] = { DIVIDE, TYPE, 0 }, \
	[WASM_OP_##T##_REM_S] = { DIVIDE, TYPE, DIV_SIGNED | DIV_REST }, \
	[WASM_OP_##T##_REM_U] = { DIVIDE, TYPE, DIV_REST }, \
	[WASM_OP_##T##_SHL] = { SHIFT, TYPE, SHL }, \
	[WASM_OP_##T##_SHR_S] = { SHIFT, TYPE, SAR }, \
	[WASM_OP_##T##_SHR_U] = { SHIFT, TYPE, SHR }, \
	[WASM_OP_##T##_ROTL] = { SHIFT, TYPE, ROL }, \
	[WASM_OP_##T##_ROTR] = { SHIFT, TYPE, ROR }

static const struct recipe recipes[WASM_OPERATIONS] = {
	COMPARES(I32, T_I32), COMPARES(I64, T_I64),
	ARITHMETIC(I32, T_I32), ARITHMETIC(I64, T_I64),
	[WASM_OP_I32_WRAP_I64] = { EXTEND, T_I32, 0x8b },
	[WASM_OP_I64_EXTEND_I32_S] = { EXTEND, T_I64, 0x63 | OP_W },
	[WASM_OP_I32_EXTEND8_S] = { EXTEND, T_I32, 0xbe | OP_0F | OP_BYTE },
	[WASM_OP_I32_EXTEND16_S] = { EXTEND, T_I32, 0xbf | OP_0F },
	[WASM_OP_I64_EXTEND8_S] = { EXTEND, T_I64,
				    0xbe | OP_0F | OP_BYTE | OP_W },
	[WASM_OP_I64_EXTEND16_S] = { EXTEND, T_I64, 0xbf | OP_0F | OP_W },
	[WASM_OP_I64_EXTEND32_S] = { EXTEND, T_I64, 0x63 | OP_W },
};
/* clang-format on */

/* Flags */

unsigned jit_inverse(unsigned condition)
{
	return condition ^ 1;
}

static unsigned mirrored(unsigned condition)
{
	static const uint8_t mirror[16] = { CC_O, CC_NO, CC_A,	CC_BE,
					    CC_E, CC_NE, CC_AE, CC_B,
					    CC_S, CC_NS, CC_P,	CC_NP,
					    CC_G, CC_LE, CC_GE, CC_L };

	return mirror[condition];
}

bool jit_next_is(const struct jit_compiler *c, unsigned byte)
{
	return c->reader.at < c->reader.end && *c->reader.at == byte;
}

static void set_byte(struct jit_compiler *c, unsigned condition, unsigned reg)
{
	emit(&c->e, 0x90 | condition | OP_0F | OP_BYTE, 0, rm_reg(reg));
}

/* Not ordered is not equal. */
static void set_float(struct jit_compiler *c, unsigned condition, unsigned reg)
{
	bool is_equal = condition == CC_FLOAT_E;

	set_byte(c, is_equal ? CC_NP : CC_P, SCRATCH);
	set_byte(c, is_equal ? CC_E : CC_NE, reg);
	emit(&c->e, (is_equal ? 0x20 : 0x08) | OP_BYTE, SCRATCH, rm_reg(reg));
}

static void flags_to_value(struct jit_compiler *c, unsigned condition)
{
	struct target target = jit_target_new(c, GENERAL);

	if (condition >= CC_FLOAT_E)
		set_float(c, condition, target.reg);
	else
		set_byte(c, condition, target.reg);
	emit(&c->e, 0xb6 | OP_0F | OP_BYTE, target.reg, rm_reg(target.reg));
	c->flags_live = false;
	jit_target_finish(c, target, T_I32);
}

static bool condition_fused(struct jit_compiler *c, unsigned condition)
{
	struct wasm_immediates immediates;

	if (jit_next_is(c, 0x0d)) { /* br_if */
		c->reader.at++;
		jit_branch_if(c, wasm_read_u32(&c->reader), condition);
	} else if (jit_next_is(c, 0x04)) { /* if */
		c->reader.at++;
		wasm_read_immediates(&c->reader, WASM_OP_IF, &immediates);
		jit_if_begin(c, &immediates, condition);
	} else if (jit_next_is(c, 0x1b)) { /* select */
		c->reader.at++;
		jit_select_by(c, condition);
	} else {
		return false;
	}
	return true;
}

void jit_condition_use(struct jit_compiler *c, unsigned condition)
{
	c->flags_live = true;
	if (!(c->options->without & JIT_WITHOUT_COMPARE)) {
		while (jit_next_is(c, 0x45)) { /* i32.eqz */
			c->reader.at++;
			condition = jit_inverse(condition);
		}
		if (condition_fused(c, condition)) {
			c->flags_live = false;
			return;
		}
	}
	flags_to_value(c, condition);
}

void jit_emit_alu(struct jit_compiler *c, unsigned number, unsigned type,
		  struct rm rm, int32_t constant)
{
	if (constant == (int8_t)constant)
		emit_imm8(&c->e, 0x83 | wide(type), number, rm,
			  (uint8_t)constant);
	else
		emit_imm32(&c->e, 0x81 | wide(type), number, rm,
			   (uint32_t)constant);
}

void jit_operand_test(struct jit_compiler *c, struct operand *operand)
{
	unsigned type = operand->value.type;
	struct rm rm = jit_operand_rm(c, operand);

	if (rm.kind == RM_REG)
		emit(&c->e, 0x85 | wide(type), rm.base, rm);
	else
		jit_emit_alu(c, ALU_CMP, type, rm, 0);
	jit_release(c, operand);
}

static int32_t immediate_of(const struct operand *operand)
{
	return (int32_t)(uint32_t)operand->value.constant;
}

static void compare(struct jit_compiler *c, unsigned type, unsigned condition)
{
	struct operand b = jit_pop(c), a = jit_pop(c);

	if (a.value.place == IS_CONSTANT ||
	    (!jit_is_in_reg(c, &a) && jit_is_in_reg(c, &b) &&
	     b.value.place != IS_CONSTANT)) {
		operands_swap(&a, &b);
		condition = mirrored(condition);
	}
	if (jit_is_immediate(&b) && immediate_of(&b) == 0 &&
	    jit_is_in_reg(c, &a)) {
		jit_operand_test(c, &a);
	} else if (jit_is_immediate(&b)) {
		jit_emit_alu(c, ALU_CMP, type, jit_operand_rm(c, &a),
			     immediate_of(&b));
		jit_release(c, &a);
	} else {
		unsigned reg = jit_operand_reg(c, &a);

		emit(&c->e, 0x3b | wide(type), reg, jit_operand_rm(c, &b));
		jit_release(c, &a);
		jit_release(c, &b);
	}
	jit_condition_use(c, condition);
}

/* select */

static void select_general(struct jit_compiler *c, struct operand *a,
			   struct operand *b, unsigned condition)
{
	unsigned type = a->value.type;
	struct target target;
	struct rm rm;

	/* The result begins as b, and is a where the condition holds. */
	if (condition == CC_FLOAT_E) {
		operands_swap(a, b);
		condition = CC_FLOAT_NE;
	}
	rm = jit_operand_rm(c, a);
	target = jit_target_over(c, GENERAL, b);
	if (jit_uses_reg(c, a, target.reg) && !jit_uses_reg(c, b, target.reg)) {
		jit_move(c, SCRATCH, rm.base, type);
		rm = rm_reg(SCRATCH);
	}
	jit_operand_to(c, b, target.reg);
	if (condition == CC_FLOAT_NE) {
		emit(&c->e, 0x40 | CC_P | OP_0F | wide(type), target.reg, rm);
		condition = CC_NE;
	}
	emit(&c->e, 0x40 | condition | OP_0F | wide(type), target.reg, rm);
	jit_target_release(c, &target, a);
	jit_target_release(c, &target, b);
	c->flags_live = false;
	jit_target_finish(c, target, type);
}

static void select_vector(struct jit_compiler *c, struct operand *a,
			  struct operand *b, unsigned condition)
{
	struct target target = jit_target_over(c, VECTOR, a);
	uint32_t skip = NONE;

	if (jit_uses_reg(c, b, target.reg)) {
		operands_swap(a, b);
		condition = jit_inverse(condition);
	}
	jit_operand_to(c, a, target.reg);
	jit_code_jump_if(c, condition, &skip);
	jit_operand_to(c, b, target.reg);
	jit_code_bind(c, skip);
	jit_target_release(c, &target, a);
	jit_target_release(c, &target, b);
	c->flags_live = false;
	jit_target_finish(c, target, a->value.type);
}

/* A hint's local must not be written while the other operand is still in it:
 * both see to that. */
void jit_select_by(struct jit_compiler *c, unsigned condition)
{
	struct operand b = jit_pop(c), a = jit_pop(c);

	c->flags_live = true;
	if (file_of(a.value.type) == VECTOR)
		select_vector(c, &a, &b, condition);
	else
		select_general(c, &a, &b, condition);
}

/* Arithmetic */

static uint64_t fold(unsigned number, uint64_t a, uint64_t b)
{
	switch (number) {
	case ALU_ADD: return a + b;
	case ALU_OR: return a | b;
	case ALU_AND: return a & b;
	case ALU_SUB: return a - b;
	default: return a ^ b;
	}
}

static bool alu_folds(struct jit_compiler *c, const struct operand *a,
		      const struct operand *b, const struct recipe *recipe)
{
	uint64_t bits;

	if (a->value.place != IS_CONSTANT || b->value.place != IS_CONSTANT)
		return false;
	bits = fold(recipe->what, a->value.constant, b->value.constant);
	jit_push_constant(c, recipe->type,
			  recipe->type == T_I32 ? (uint32_t)bits : bits);
	return true;
}

/* to = a + b or a + constant, where to is neither. */
static bool add_by_lea(struct jit_compiler *c, const struct operand *a,
		       const struct operand *b, const struct recipe *recipe,
		       unsigned to)
{
	bool is_sub = recipe->what == ALU_SUB;
	struct rm rm;

	if ((recipe->what != ALU_ADD && !is_sub) || !jit_is_in_reg(c, a) ||
	    jit_reg_of(c, a) == to)
		return false;
	if (jit_is_immediate(b) && immediate_of(b) != INT32_MIN)
		rm = rm_at(jit_reg_of(c, a),
			   is_sub ? -immediate_of(b) : immediate_of(b));
	else if (!is_sub && jit_is_in_reg(c, b) && jit_reg_of(c, b) != to)
		rm = rm_index(jit_reg_of(c, a), jit_reg_of(c, b), 0, 0);
	else
		return false;
	emit(&c->e, 0x8d | wide(recipe->type), to, rm);
	return true;
}

/* to = a OP b, both somewhere; a will be in "to" and b not. */
static struct rm both_ready(struct jit_compiler *c, struct operand *a,
			    struct operand *b, unsigned to, bool commutes)
{
	struct rm rm;

	if (jit_uses_reg(c, b, to) &&
	    !(jit_is_in_reg(c, a) && jit_reg_of(c, a) == to)) {
		if (commutes && jit_is_in_reg(c, b)) {
			operands_swap(a, b);
		} else {
			jit_operand_to(c, b, SCRATCH);
			jit_operand_to(c, a, to);
			return rm_reg(SCRATCH);
		}
	}
	rm = jit_operand_rm(c, b);
	jit_operand_to(c, a, to);
	return rm;
}

static void alu(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	bool commutes = recipe->what != ALU_SUB;
	struct target target;

	if (alu_folds(c, &a, &b, recipe))
		return;
	if (commutes && a.value.place == IS_CONSTANT)
		operands_swap(&a, &b);
	target = jit_target_over(c, GENERAL, &a);
	if (add_by_lea(c, &a, &b, recipe, target.reg)) {
		;
	} else if (jit_is_immediate(&b)) {
		jit_operand_to(c, &a, target.reg);
		jit_emit_alu(c, recipe->what, recipe->type, rm_reg(target.reg),
			     immediate_of(&b));
	} else {
		struct rm rm = both_ready(c, &a, &b, target.reg, commutes);

		emit(&c->e, recipe->what << 3 | 3 | wide(recipe->type),
		     target.reg, rm);
	}
	jit_target_release(c, &target, &a);
	jit_target_release(c, &target, &b);
	jit_target_finish(c, target, recipe->type);
}

static void multiply_constant(struct jit_compiler *c, unsigned type,
			      unsigned to, struct rm rm, int32_t constant)
{
	if (constant == (int8_t)constant)
		emit_imm8(&c->e, 0x6b | wide(type), to, rm, (uint8_t)constant);
	else
		emit_imm32(&c->e, 0x69 | wide(type), to, rm,
			   (uint32_t)constant);
}

static void multiply(struct jit_compiler *c, unsigned type)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	struct target target;

	if (a.value.place == IS_CONSTANT)
		operands_swap(&a, &b);
	if (jit_is_immediate(&b)) {
		struct rm rm = jit_operand_rm(c, &a);

		target = jit_target_over(c, GENERAL, &a);
		multiply_constant(c, type, target.reg, rm, immediate_of(&b));
	} else {
		struct rm rm;

		target = jit_target_over(c, GENERAL, &a);
		rm = both_ready(c, &a, &b, target.reg, true);
		emit(&c->e, 0xaf | OP_0F | wide(type), target.reg, rm);
	}
	jit_target_release(c, &target, &a);
	jit_target_release(c, &target, &b);
	jit_target_finish(c, target, type);
}

/* Shifts */

static void shift_constant(struct jit_compiler *c, const struct recipe *recipe,
			   struct operand *a, const struct operand *b)
{
	struct target target = jit_target_over(c, GENERAL, a);
	unsigned mask = recipe->type == T_I32 ? 31 : 63;

	jit_operand_to(c, a, target.reg);
	emit_imm8(&c->e, 0xc1 | wide(recipe->type), recipe->what,
		  rm_reg(target.reg), immediate_of(b) & (int)mask);
	jit_target_release(c, &target, a);
	jit_target_finish(c, target, recipe->type);
}

/* The three-operand forms of BMI2, which leave the flags alone. */
static void shift_anywhere(struct jit_compiler *c, const struct recipe *recipe,
			   struct operand *a, struct operand *b)
{
	uint32_t prefix = recipe->what == SHL	? OP_66
			  : recipe->what == SAR ? OP_F3
						: OP_F2;
	unsigned count = jit_operand_reg(c, b);
	struct rm rm = jit_operand_rm(c, a);
	struct target target = jit_target_over(c, GENERAL, a);

	emit_vex(&c->e, 0xf7 | OP_38 | prefix | wide(recipe->type), target.reg,
		 count, rm);
	jit_target_release(c, &target, a);
	jit_target_release(c, &target, b);
	jit_target_finish(c, target, recipe->type);
}

static void shift_by_cl(struct jit_compiler *c, const struct recipe *recipe,
			struct operand *a, struct operand *b)
{
	struct target target;

	jit_operand_leave(c, a, 1u << RCX);
	if (b->value.place != IN_REG || b->value.reg != RCX) {
		jit_take_this(c, GENERAL, RCX);
		jit_operand_to(c, b, RCX);
		jit_release(c, b);
	}
	target = jit_target_over(c, GENERAL, a);
	jit_operand_to(c, a, target.reg);
	emit(&c->e, 0xd3 | wide(recipe->type), recipe->what,
	     rm_reg(target.reg));
	jit_target_release(c, &target, a);
	give(c, GENERAL, RCX);
	jit_target_finish(c, target, recipe->type);
}

static void shift(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand b = jit_pop(c), a = jit_pop(c);

	if (b.value.place == IS_CONSTANT)
		shift_constant(c, recipe, &a, &b);
	else if (c->options->features & CODE_BMI2 && c->has_avx &&
		 recipe->what >= SHL)
		shift_anywhere(c, recipe, &a, &b);
	else
		shift_by_cl(c, recipe, &a, &b);
}

/* Division: rdx:rax by a register that is neither. */

static void check_divisor(struct jit_compiler *c, unsigned type, unsigned reg)
{
	emit(&c->e, 0x85 | wide(type), reg, rm_reg(reg));
	jit_code_trap_if(c, CC_E, WASM_TRAP_divide_by_zero);
}

/* -1 is what the instruction faults for. */
static void divide_signed(struct jit_compiler *c, unsigned type, unsigned reg,
			  bool is_rest)
{
	uint32_t other = NONE, done = NONE;

	jit_emit_alu(c, ALU_CMP, type, rm_reg(reg), -1);
	jit_code_jump_if(c, CC_NE, &other);
	if (is_rest) {
		emit(&c->e, 0x31, RDX, rm_reg(RDX));
		jit_code_jump(c, &done);
	} else {
		jit_emit_alu(c, ALU_CMP, type, rm_reg(RAX), 1);
		jit_code_trap_if(c, CC_O, WASM_TRAP_integer_overflow);
	}
	jit_code_bind(c, other);
	if (type == T_I64)
		emit1(&c->e, 0x48);
	emit1(&c->e, 0x99); /* cdq, cqo */
	emit(&c->e, 0xf7 | wide(type), 7, rm_reg(reg));
	jit_code_bind(c, done);
}

static bool is_harmless_divisor(const struct operand *b)
{
	return b->value.place == IS_CONSTANT && immediate_of(b) != 0 &&
	       immediate_of(b) != -1;
}

static void divide(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	bool is_harmless = is_harmless_divisor(&b);
	unsigned type = recipe->type, reg;

	if (b.value.place == IN_REG) {
		jit_operand_leave(c, &b, 1u << RAX | 1u << RDX);
		reg = b.value.reg;
	} else if (jit_is_in_reg(c, &b)) {
		reg = jit_reg_of(c, &b);
	} else {
		reg = jit_take_but(c, GENERAL, 1u << RAX | 1u << RDX);
		jit_operand_to(c, &b, reg);
		jit_release(c, &b);
		b.value = (struct value){ .place = IN_REG,
					  .type = (uint8_t)type,
					  .reg = (uint8_t)reg };
	}
	if (a.value.place != IN_REG || a.value.reg != RAX) {
		jit_take_this(c, GENERAL, RAX);
		jit_operand_to(c, &a, RAX);
		jit_release(c, &a);
	}
	jit_take_this(c, GENERAL, RDX);
	if (!is_harmless)
		check_divisor(c, type, reg);
	if (recipe->what & DIV_SIGNED) {
		divide_signed(c, type, reg, recipe->what & DIV_REST);
	} else {
		emit(&c->e, 0x31, RDX, rm_reg(RDX));
		emit(&c->e, 0xf7 | wide(type), 6, rm_reg(reg));
	}
	jit_release(c, &b);
	give(c, GENERAL, recipe->what & DIV_REST ? RAX : RDX);
	jit_push_reg(c, type, recipe->what & DIV_REST ? RDX : RAX);
}

/* One operand */

static void without_zero(struct jit_compiler *c, unsigned type, unsigned to,
			 struct rm rm, uint32_t op, uint32_t for_zero)
{
	jit_move_constant(c, SCRATCH, for_zero, T_I32);
	emit(&c->e, op | OP_0F | wide(type), to, rm);
	emit(&c->e, 0x40 | CC_E | OP_0F | wide(type), to, rm_reg(SCRATCH));
}

static void bits(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_over(c, GENERAL, &a);
	unsigned type = recipe->type, width = type == T_I32 ? 32 : 64;

	if (recipe->what == BITS_POPCNT) {
		emit(&c->e, 0xb8 | OP_0F | OP_F3 | wide(type), target.reg, rm);
	} else if (recipe->what == BITS_CTZ) {
		if (c->options->features & CODE_BMI1)
			emit(&c->e, 0xbc | OP_0F | OP_F3 | wide(type),
			     target.reg, rm);
		else
			without_zero(c, type, target.reg, rm, 0xbc, width);
	} else if (c->options->features & CODE_LZCNT) {
		emit(&c->e, 0xbd | OP_0F | OP_F3 | wide(type), target.reg, rm);
	} else {
		without_zero(c, type, target.reg, rm, 0xbd, 2 * width - 1);
		jit_emit_alu(c, ALU_XOR, type, rm_reg(target.reg),
			     (int32_t)width - 1);
	}
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, type);
}

static void extend(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_over(c, GENERAL, &a);

	emit(&c->e, recipe->what, target.reg, rm);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, recipe->type);
}

/* i32 have their upper half zero wherever they are. */
static void extend_unsigned(struct jit_compiler *c)
{
	struct value *value = value_at(c, c->height - 1);

	value->type = T_I64;
	value->constant = (uint32_t)value->constant;
}

static void eqz(struct jit_compiler *c)
{
	struct operand a = jit_pop(c);

	jit_operand_test(c, &a);
	jit_condition_use(c, CC_E);
}

bool jit_number_owns(unsigned operation)
{
	return recipes[operation].way != NO_WAY ||
	       operation == WASM_OP_I64_EXTEND_I32_U;
}

void jit_number_operation(struct jit_compiler *c, unsigned operation)
{
	const struct recipe *recipe = &recipes[operation];

	switch ((enum way)recipe->way) {
	case ALU: alu(c, recipe); break;
	case MULTIPLY: multiply(c, recipe->type); break;
	case SHIFT: shift(c, recipe); break;
	case DIVIDE: divide(c, recipe); break;
	case COMPARE: compare(c, recipe->type, recipe->what); break;
	case EQZ: eqz(c); break;
	case BITS: bits(c, recipe); break;
	case EXTEND: extend(c, recipe); break;
	case NO_WAY: extend_unsigned(c);
	}
}

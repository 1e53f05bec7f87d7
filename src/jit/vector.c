/* SPDX-License-Identifier: Apache-2.0 */
/* SIMD.  Most operations are one or two instructions that a table names; what
 * takes many stays out of line (simd.h).  Without AVX the first operand is
 * the result too, and operands in memory have to be aligned: "apply" sees to
 * both. */
#include "jit/compile.h"

enum way {
	NO_WAY,
	BINARY,	    /* op */
	SWAPPED,    /* op, second operand first */
	NOT_BINARY, /* op, all bits turned over */
	NOT_SWAPPED,
	BY_LEAST, /* unsigned compare: op is min or max, more is eq */
	NOT_BY_LEAST,
	FLOAT_COMPARE, /* more: the predicate */
	FLOAT_SWAPPED,
	UNARY,	/* op */
	ROUND,	/* more: the mode */
	MASKED, /* op with a literal: abs and neg of floats */
	NEGATE, /* 0 op a */
	NOT,
	ABS64,
	EXTEND_LOW, /* op */
	EXTEND_HIGH,
	MULTIPLY_LOW, /* op extends, more multiplies */
	MULTIPLY_HIGH,
	MULTIPLY_EVEN_LOW, /* op multiplies even lanes */
	MULTIPLY_EVEN_HIGH,
	PAIRS, /* op with ones; more: the ones come first */
	SHIFT, /* op by a register; more: that by a constant */
	SHIFT8,
	ANY_TRUE,
	ALL_TRUE, /* op compares lanes */
	BITMASK,
	BITMASK16,
	SPLAT,
	EXTRACT,
	REPLACE,
	SHUFFLE,
	SWIZZLE,
	SELECT,
	MADD,
	FLOAT_LEAST, /* more: shift of the NaN's bits */
	FLOAT_MOST,
	TO_INT32,
	MULTIPLY64,
	DOT_ADD,
	LOAD, /* op, more: bytes */
	LOAD_SMALL_SPLAT,
	LOAD_WORD_SPLAT,
	LOAD_LANE, /* op, more: bytes */
	STORE_LANE,
};

struct recipe {
	uint8_t way;
	uint32_t op, more;
};

/* Operations' families: 66 0f, 66 0f 38, 66 0f 3a, 0f. */
#define I(byte)	  (OP_66 | OP_0F | (byte))
#define I38(byte) (OP_66 | OP_38 | (byte))
#define I3A(byte) (OP_66 | OP_3A | (byte))
#define PS(byte)  (OP_0F | (byte))
#define PD(byte)  (OP_66 | OP_0F | (byte))
enum {
	PXOR = I(0xef),
	POR = I(0xeb),
	PAND = I(0xdb),
	PANDN = I(0xdf),
	PCMPEQD = I(0x76),
	PSHUFD = I(0x70),
	PSHUFB = I38(0x00),
	PTEST = I38(0x17),
	MOVD = I(0x6e),
};

/* clang-format off */
#define INTEGERS(T, add, sub, eq, gt) \
	[WASM_OP_##T##_ADD] = { BINARY, I(add), 1 }, \
	[WASM_OP_##T##_SUB] = { BINARY, I(sub), 0 }, \
	[WASM_OP_##T##_NEG] = { NEGATE, I(sub), 0 }, \
	[WASM_OP_##T##_EQ] = { BINARY, eq, 1 }, \
	[WASM_OP_##T##_NE] = { NOT_BINARY, eq, 1 }, \
	[WASM_OP_##T##_GT_S] = { BINARY, gt, 0 }, \
	[WASM_OP_##T##_LT_S] = { SWAPPED, gt, 0 }, \
	[WASM_OP_##T##_LE_S] = { NOT_BINARY, gt, 0 }, \
	[WASM_OP_##T##_GE_S] = { NOT_SWAPPED, gt, 0 }, \
	[WASM_OP_##T##_ALL_TRUE] = { ALL_TRUE, eq, 0 }
#define UNSIGNED(T, min, max, eq) \
	[WASM_OP_##T##_MIN_U] = { BINARY, min, 1 }, \
	[WASM_OP_##T##_MAX_U] = { BINARY, max, 1 }, \
	[WASM_OP_##T##_LE_U] = { BY_LEAST, min, eq }, \
	[WASM_OP_##T##_GE_U] = { BY_LEAST, max, eq }, \
	[WASM_OP_##T##_GT_U] = { NOT_BY_LEAST, min, eq }, \
	[WASM_OP_##T##_LT_U] = { NOT_BY_LEAST, max, eq }
#define SATURATING(T, add_s, add_u, sub_s, sub_u, avgr) \
	[WASM_OP_##T##_ADD_SAT_S] = { BINARY, I(add_s), 1 }, \
	[WASM_OP_##T##_ADD_SAT_U] = { BINARY, I(add_u), 1 }, \
	[WASM_OP_##T##_SUB_SAT_S] = { BINARY, I(sub_s), 0 }, \
	[WASM_OP_##T##_SUB_SAT_U] = { BINARY, I(sub_u), 0 }, \
	[WASM_OP_##T##_AVGR_U] = { BINARY, I(avgr), 1 }
#define REALS(T, P, nan, round) \
	[WASM_OP_##T##_ADD] = { BINARY, P(0x58), 1 }, \
	[WASM_OP_##T##_SUB] = { BINARY, P(0x5c), 0 }, \
	[WASM_OP_##T##_MUL] = { BINARY, P(0x59), 1 }, \
	[WASM_OP_##T##_DIV] = { BINARY, P(0x5e), 0 }, \
	[WASM_OP_##T##_PMIN] = { SWAPPED, P(0x5d), 0 }, \
	[WASM_OP_##T##_PMAX] = { SWAPPED, P(0x5f), 0 }, \
	[WASM_OP_##T##_RELAXED_MIN] = { BINARY, P(0x5d), 0 }, \
	[WASM_OP_##T##_RELAXED_MAX] = { BINARY, P(0x5f), 0 }, \
	[WASM_OP_##T##_RELAXED_MADD] = { MADD, P(0x59), P(0x58) }, \
	[WASM_OP_##T##_RELAXED_NMADD] = { MADD, P(0x59), P(0x5c) }, \
	[WASM_OP_##T##_MIN] = { FLOAT_LEAST, P(0), nan }, \
	[WASM_OP_##T##_MAX] = { FLOAT_MOST, P(0), nan }, \
	[WASM_OP_##T##_EQ] = { FLOAT_COMPARE, P(0xc2), 0 }, \
	[WASM_OP_##T##_LT] = { FLOAT_COMPARE, P(0xc2), 1 }, \
	[WASM_OP_##T##_LE] = { FLOAT_COMPARE, P(0xc2), 2 }, \
	[WASM_OP_##T##_NE] = { FLOAT_COMPARE, P(0xc2), 4 }, \
	[WASM_OP_##T##_GT] = { FLOAT_SWAPPED, P(0xc2), 1 }, \
	[WASM_OP_##T##_GE] = { FLOAT_SWAPPED, P(0xc2), 2 }, \
	[WASM_OP_##T##_SQRT] = { UNARY, P(0x51), 0 }, \
	[WASM_OP_##T##_CEIL] = { ROUND, I3A(round), 10 }, \
	[WASM_OP_##T##_FLOOR] = { ROUND, I3A(round), 9 }, \
	[WASM_OP_##T##_TRUNC] = { ROUND, I3A(round), 11 }, \
	[WASM_OP_##T##_NEAREST] = { ROUND, I3A(round), 8 }, \
	[WASM_OP_##T##_ABS] = { MASKED, P(0x54), nan }, \
	[WASM_OP_##T##_NEG] = { MASKED, P(0x57), nan }
#define WIDER(T, F, sx, zx, mul) \
	[WASM_OP_##T##_EXTEND_LOW_##F##_S] = { EXTEND_LOW, I38(sx), 0 }, \
	[WASM_OP_##T##_EXTEND_HIGH_##F##_S] = { EXTEND_HIGH, I38(sx), 0 }, \
	[WASM_OP_##T##_EXTEND_LOW_##F##_U] = { EXTEND_LOW, I38(zx), 0 }, \
	[WASM_OP_##T##_EXTEND_HIGH_##F##_U] = { EXTEND_HIGH, I38(zx), 0 }
#define PRODUCTS(T, F, sx, zx, mul) \
	[WASM_OP_##T##_EXTMUL_LOW_##F##_S] = { MULTIPLY_LOW, I38(sx), mul }, \
	[WASM_OP_##T##_EXTMUL_HIGH_##F##_S] = { MULTIPLY_HIGH, I38(sx), mul }, \
	[WASM_OP_##T##_EXTMUL_LOW_##F##_U] = { MULTIPLY_LOW, I38(zx), mul }, \
	[WASM_OP_##T##_EXTMUL_HIGH_##F##_U] = { MULTIPLY_HIGH, I38(zx), mul }

static const struct recipe recipes[WASM_OPERATIONS] = {
	INTEGERS(I8X16, 0xfc, 0xf8, I(0x74), I(0x64)),
	INTEGERS(I16X8, 0xfd, 0xf9, I(0x75), I(0x65)),
	INTEGERS(I32X4, 0xfe, 0xfa, I(0x76), I(0x66)),
	INTEGERS(I64X2, 0xd4, 0xfb, I38(0x29), I38(0x37)),
	UNSIGNED(I8X16, I(0xda), I(0xde), I(0x74)),
	UNSIGNED(I16X8, I38(0x3a), I38(0x3e), I(0x75)),
	UNSIGNED(I32X4, I38(0x3b), I38(0x3f), I(0x76)),
	SATURATING(I8X16, 0xec, 0xdc, 0xe8, 0xd8, 0xe0),
	SATURATING(I16X8, 0xed, 0xdd, 0xe9, 0xd9, 0xe3),
	REALS(F32X4, PS, 10, 0x08),
	REALS(F64X2, PD, 13, 0x09),
	WIDER(I16X8, I8X16, 0x20, 0x30, ),
	WIDER(I32X4, I16X8, 0x23, 0x33, ),
	WIDER(I64X2, I32X4, 0x25, 0x35, ),
	PRODUCTS(I16X8, I8X16, 0x20, 0x30, I(0xd5)),
	PRODUCTS(I32X4, I16X8, 0x23, 0x33, I38(0x40)),
	[WASM_OP_I64X2_EXTMUL_LOW_I32X4_S] = { MULTIPLY_EVEN_LOW, I38(0x28), 0 },
	[WASM_OP_I64X2_EXTMUL_HIGH_I32X4_S] = { MULTIPLY_EVEN_HIGH, I38(0x28), 0 },
	[WASM_OP_I64X2_EXTMUL_LOW_I32X4_U] = { MULTIPLY_EVEN_LOW, I(0xf4), 0 },
	[WASM_OP_I64X2_EXTMUL_HIGH_I32X4_U] = { MULTIPLY_EVEN_HIGH, I(0xf4), 0 },
	[WASM_OP_I8X16_MIN_S] = { BINARY, I38(0x38), 1 },
	[WASM_OP_I8X16_MAX_S] = { BINARY, I38(0x3c), 1 },
	[WASM_OP_I16X8_MIN_S] = { BINARY, I(0xea), 1 },
	[WASM_OP_I16X8_MAX_S] = { BINARY, I(0xee), 1 },
	[WASM_OP_I32X4_MIN_S] = { BINARY, I38(0x39), 1 },
	[WASM_OP_I32X4_MAX_S] = { BINARY, I38(0x3d), 1 },
	[WASM_OP_I16X8_MUL] = { BINARY, I(0xd5), 1 },
	[WASM_OP_I32X4_MUL] = { BINARY, I38(0x40), 1 },
	[WASM_OP_I64X2_MUL] = { MULTIPLY64, 0, 0 },
	[WASM_OP_I32X4_DOT_I16X8_S] = { BINARY, I(0xf5), 1 },
	[WASM_OP_I8X16_NARROW_I16X8_S] = { BINARY, I(0x63), 0 },
	[WASM_OP_I8X16_NARROW_I16X8_U] = { BINARY, I(0x67), 0 },
	[WASM_OP_I16X8_NARROW_I32X4_S] = { BINARY, I(0x6b), 0 },
	[WASM_OP_I16X8_NARROW_I32X4_U] = { BINARY, I38(0x2b), 0 },
	[WASM_OP_I16X8_RELAXED_Q15MULR_S] = { BINARY, I38(0x0b), 1 },
	[WASM_OP_I16X8_RELAXED_DOT_I8X16_I7X16_S] = { SWAPPED, I38(0x04), 0 },
	[WASM_OP_I32X4_RELAXED_DOT_I8X16_I7X16_ADD_S] = { DOT_ADD, 0, 0 },
	[WASM_OP_I16X8_EXTADD_PAIRWISE_I8X16_U] = { PAIRS, I38(0x04), 0 },
	[WASM_OP_I16X8_EXTADD_PAIRWISE_I8X16_S] = { PAIRS, I38(0x04), 1 },
	[WASM_OP_I32X4_EXTADD_PAIRWISE_I16X8_S] = { PAIRS, I(0xf5), 0 },
	[WASM_OP_V128_AND] = { BINARY, PAND, 1 },
	[WASM_OP_V128_OR] = { BINARY, POR, 1 },
	[WASM_OP_V128_XOR] = { BINARY, PXOR, 1 },
	[WASM_OP_V128_ANDNOT] = { SWAPPED, PANDN, 0 },
	[WASM_OP_V128_NOT] = { NOT, 0, 0 },
	[WASM_OP_V128_BITSELECT] = { SELECT, 0, 0 },
	[WASM_OP_I8X16_RELAXED_LANESELECT] = { SELECT, 0, 0 },
	[WASM_OP_I16X8_RELAXED_LANESELECT] = { SELECT, 0, 0 },
	[WASM_OP_I32X4_RELAXED_LANESELECT] = { SELECT, 0, 0 },
	[WASM_OP_I64X2_RELAXED_LANESELECT] = { SELECT, 0, 0 },
	[WASM_OP_V128_ANY_TRUE] = { ANY_TRUE, 0, 0 },
	[WASM_OP_I8X16_BITMASK] = { BITMASK, I(0xd7), 0 },
	[WASM_OP_I16X8_BITMASK] = { BITMASK16, 0, 0 },
	[WASM_OP_I32X4_BITMASK] = { BITMASK, PS(0x50), 0 },
	[WASM_OP_I64X2_BITMASK] = { BITMASK, PD(0x50), 0 },
	[WASM_OP_I8X16_ABS] = { UNARY, I38(0x1c), 0 },
	[WASM_OP_I16X8_ABS] = { UNARY, I38(0x1d), 0 },
	[WASM_OP_I32X4_ABS] = { UNARY, I38(0x1e), 0 },
	[WASM_OP_I64X2_ABS] = { ABS64, 0, 0 },
	[WASM_OP_F32X4_CONVERT_I32X4_S] = { UNARY, PS(0x5b), 0 },
	[WASM_OP_F64X2_CONVERT_LOW_I32X4_S] = { UNARY, OP_F3 | OP_0F | 0xe6, 0 },
	[WASM_OP_F64X2_PROMOTE_LOW_F32X4] = { UNARY, PS(0x5a), 0 },
	[WASM_OP_F32X4_DEMOTE_F64X2_ZERO] = { UNARY, PD(0x5a), 0 },
	[WASM_OP_I32X4_RELAXED_TRUNC_F32X4_S] = { UNARY, OP_F3 | OP_0F | 0x5b, 0 },
	[WASM_OP_I32X4_RELAXED_TRUNC_F64X2_S_ZERO] = { UNARY, PD(0xe6), 0 },
	[WASM_OP_I32X4_TRUNC_SAT_F32X4_S] = { TO_INT32, 0, 0 },
	[WASM_OP_I16X8_SHL] = { SHIFT, I(0xf1), 0x71 | 6 << 8 | 15 << 16 },
	[WASM_OP_I16X8_SHR_S] = { SHIFT, I(0xe1), 0x71 | 4 << 8 | 15 << 16 },
	[WASM_OP_I16X8_SHR_U] = { SHIFT, I(0xd1), 0x71 | 2 << 8 | 15 << 16 },
	[WASM_OP_I32X4_SHL] = { SHIFT, I(0xf2), 0x72 | 6 << 8 | 31 << 16 },
	[WASM_OP_I32X4_SHR_S] = { SHIFT, I(0xe2), 0x72 | 4 << 8 | 31 << 16 },
	[WASM_OP_I32X4_SHR_U] = { SHIFT, I(0xd2), 0x72 | 2 << 8 | 31 << 16 },
	[WASM_OP_I64X2_SHL] = { SHIFT, I(0xf3), 0x73 | 6 << 8 | 63 << 16 },
	[WASM_OP_I64X2_SHR_U] = { SHIFT, I(0xd3), 0x73 | 2 << 8 | 63 << 16 },
	[WASM_OP_I8X16_SHL] = { SHIFT8, 6, 0 },
	[WASM_OP_I8X16_SHR_U] = { SHIFT8, 2, 0 },
	[WASM_OP_I8X16_SPLAT] = { SPLAT, 0, 1 },
	[WASM_OP_I16X8_SPLAT] = { SPLAT, 0, 2 },
	[WASM_OP_I32X4_SPLAT] = { SPLAT, 0, 4 },
	[WASM_OP_I64X2_SPLAT] = { SPLAT, 0, 8 },
	[WASM_OP_F32X4_SPLAT] = { SPLAT, 1, 4 },
	[WASM_OP_F64X2_SPLAT] = { SPLAT, 1, 8 },
	[WASM_OP_I8X16_EXTRACT_LANE_S] = { EXTRACT, I3A(0x14), 0xbe | OP_0F | OP_BYTE },
	[WASM_OP_I8X16_EXTRACT_LANE_U] = { EXTRACT, I3A(0x14), 0 },
	[WASM_OP_I16X8_EXTRACT_LANE_S] = { EXTRACT, I3A(0x15), 0xbf | OP_0F },
	[WASM_OP_I16X8_EXTRACT_LANE_U] = { EXTRACT, I3A(0x15), 0 },
	[WASM_OP_I32X4_EXTRACT_LANE] = { EXTRACT, I3A(0x16), 0 },
	[WASM_OP_I64X2_EXTRACT_LANE] = { EXTRACT, I3A(0x16) | OP_W, 0 },
	[WASM_OP_F32X4_EXTRACT_LANE] = { EXTRACT, 0, 4 },
	[WASM_OP_F64X2_EXTRACT_LANE] = { EXTRACT, 0, 8 },
	[WASM_OP_I8X16_REPLACE_LANE] = { REPLACE, I3A(0x20), 0 },
	[WASM_OP_I16X8_REPLACE_LANE] = { REPLACE, I(0xc4), 0 },
	[WASM_OP_I32X4_REPLACE_LANE] = { REPLACE, I3A(0x22), 0 },
	[WASM_OP_I64X2_REPLACE_LANE] = { REPLACE, I3A(0x22) | OP_W, 0 },
	[WASM_OP_F32X4_REPLACE_LANE] = { REPLACE, 0, 4 },
	[WASM_OP_F64X2_REPLACE_LANE] = { REPLACE, 0, 8 },
	[WASM_OP_I8X16_SHUFFLE] = { SHUFFLE, 0, 0 },
	[WASM_OP_I8X16_SWIZZLE] = { SWIZZLE, 0, 0 },
	[WASM_OP_I8X16_RELAXED_SWIZZLE] = { BINARY, PSHUFB, 0 },
	[WASM_OP_V128_LOAD8X8_S] = { LOAD, I38(0x20), 8 },
	[WASM_OP_V128_LOAD8X8_U] = { LOAD, I38(0x30), 8 },
	[WASM_OP_V128_LOAD16X4_S] = { LOAD, I38(0x23), 8 },
	[WASM_OP_V128_LOAD16X4_U] = { LOAD, I38(0x33), 8 },
	[WASM_OP_V128_LOAD32X2_S] = { LOAD, I38(0x25), 8 },
	[WASM_OP_V128_LOAD32X2_U] = { LOAD, I38(0x35), 8 },
	[WASM_OP_V128_LOAD32_ZERO] = { LOAD, OP_F3 | OP_0F | 0x10, 4 },
	[WASM_OP_V128_LOAD64_ZERO] = { LOAD, OP_F2 | OP_0F | 0x10, 8 },
	[WASM_OP_V128_LOAD64_SPLAT] = { LOAD, OP_F2 | OP_0F | 0x12, 8 },
	[WASM_OP_V128_LOAD32_SPLAT] = { LOAD_WORD_SPLAT, 0, 4 },
	[WASM_OP_V128_LOAD8_SPLAT] = { LOAD_SMALL_SPLAT, OP_0F | 0xb6, 1 },
	[WASM_OP_V128_LOAD16_SPLAT] = { LOAD_SMALL_SPLAT, OP_0F | 0xb7, 2 },
	[WASM_OP_V128_LOAD8_LANE] = { LOAD_LANE, I3A(0x20), 1 },
	[WASM_OP_V128_LOAD16_LANE] = { LOAD_LANE, I(0xc4), 2 },
	[WASM_OP_V128_LOAD32_LANE] = { LOAD_LANE, I3A(0x22), 4 },
	[WASM_OP_V128_LOAD64_LANE] = { LOAD_LANE, I3A(0x22) | OP_W, 8 },
	[WASM_OP_V128_STORE8_LANE] = { STORE_LANE, I3A(0x14), 1 },
	[WASM_OP_V128_STORE16_LANE] = { STORE_LANE, I3A(0x15), 2 },
	[WASM_OP_V128_STORE32_LANE] = { STORE_LANE, I3A(0x16), 4 },
	[WASM_OP_V128_STORE64_LANE] = { STORE_LANE, I3A(0x16) | OP_W, 8 },
};
/* clang-format on */

/* Instructions */

/* to = a OP rm */
static void apply(struct jit_compiler *c, uint32_t op, unsigned to, unsigned a,
		  struct rm rm, bool commutes)
{
	if (!c->has_avx && rm.kind == RM_MEMORY) {
		jit_load_rm(c, SCRATCH_X, rm, T_V128);
		rm = rm_reg(SCRATCH_X);
	}
	jit_emit_float(c, op, to, a, rm, commutes);
}

/* to = OP rm, aligned or not where the instruction reads all 16 bytes. */
static void apply_one(struct jit_compiler *c, uint32_t op, unsigned to,
		      struct rm rm)
{
	if (!c->has_avx && rm.kind == RM_MEMORY) {
		jit_load_rm(c, SCRATCH_X, rm, T_V128);
		rm = rm_reg(SCRATCH_X);
	}
	jit_emit_x(c, op, to, rm);
}

/* to = OP rm, with a byte behind. */
static void apply_imm(struct jit_compiler *c, uint32_t op, unsigned to,
		      struct rm rm, unsigned imm)
{
	if (c->has_avx)
		emit_vex_imm8(&c->e, op, to, 0, rm, imm);
	else
		emit_imm8(&c->e, op, to, rm, imm);
}

/* to = a OP rm, with a byte behind; "a" is kept where it is not "to". */
static void apply_two_imm(struct jit_compiler *c, uint32_t op, unsigned to,
			  unsigned a, struct rm rm, unsigned imm)
{
	if (c->has_avx) {
		emit_vex_imm8(&c->e, op, to, a, rm, imm);
		return;
	}
	if (rm_is(rm, to) && to != a) {
		jit_move(c, SCRATCH_X, to, T_V128);
		rm = rm_reg(SCRATCH_X);
	}
	jit_move(c, to, a, T_V128);
	emit_imm8(&c->e, op, to, rm, imm);
}

static void zero(struct jit_compiler *c, unsigned reg)
{
	jit_emit_float(c, PXOR, reg, reg, rm_reg(reg), true);
}

static void ones(struct jit_compiler *c, unsigned reg)
{
	jit_emit_float(c, PCMPEQD, reg, reg, rm_reg(reg), true);
}

static void turn_over(struct jit_compiler *c, unsigned reg)
{
	ones(c, SCRATCH_X);
	jit_emit_float(c, PXOR, reg, reg, rm_reg(SCRATCH_X), true);
}

static struct rm same_words(struct jit_compiler *c, uint64_t word)
{
	return jit_code_literal(c, word, word, 16);
}

/* Two operands */

struct pair {
	struct operand a, b;
	struct target target;
	unsigned ra;
	struct rm rm;
};

static struct pair take_pair(struct jit_compiler *c, bool is_swapped)
{
	struct pair pair;

	pair.b = jit_pop(c);
	pair.a = jit_pop(c);
	if (is_swapped)
		operands_swap(&pair.a, &pair.b);
	pair.ra = jit_operand_reg(c, &pair.a);
	pair.rm = jit_operand_rm(c, &pair.b);
	pair.target = jit_target_over(c, VECTOR, &pair.a);
	return pair;
}

static void finish_pair(struct jit_compiler *c, const struct pair *pair)
{
	jit_target_release(c, &pair->target, &pair->a);
	jit_target_release(c, &pair->target, &pair->b);
	jit_target_finish(c, pair->target, T_V128);
}

static void binary(struct jit_compiler *c, const struct recipe *recipe,
		   bool is_swapped, bool is_not)
{
	struct pair pair = take_pair(c, is_swapped);

	apply(c, recipe->op, pair.target.reg, pair.ra, pair.rm, recipe->more);
	if (is_not)
		turn_over(c, pair.target.reg);
	finish_pair(c, &pair);
}

/* a <= b where a is the lesser of both. */
static void by_least(struct jit_compiler *c, const struct recipe *recipe,
		     bool is_not)
{
	struct pair pair = take_pair(c, false);

	apply(c, recipe->op, SCRATCH_X, pair.ra, pair.rm, true);
	jit_emit_float(c, recipe->more, pair.target.reg, pair.ra,
		       rm_reg(SCRATCH_X), true);
	if (is_not)
		turn_over(c, pair.target.reg);
	finish_pair(c, &pair);
}

static void float_compare(struct jit_compiler *c, const struct recipe *recipe,
			  bool is_swapped)
{
	struct pair pair = take_pair(c, is_swapped);

	if (!c->has_avx && pair.rm.kind == RM_MEMORY) {
		jit_load_rm(c, SCRATCH_X, pair.rm, T_V128);
		pair.rm = rm_reg(SCRATCH_X);
	}
	apply_two_imm(c, recipe->op, pair.target.reg, pair.ra, pair.rm,
		      recipe->more);
	finish_pair(c, &pair);
}

static struct rm to_reg(struct jit_compiler *c, struct pair *pair)
{
	return rm_reg(jit_operand_reg(c, &pair->b));
}

/* Both orders differ where one is NaN or the zeros' signs do; the NaN that
 * comes out has only its first bit. */
static void float_least(struct jit_compiler *c, const struct recipe *recipe,
			bool is_most)
{
	struct pair pair = take_pair(c, false);
	uint32_t family = recipe->op;
	uint32_t op = family | (is_most ? 0x5f : 0x5d);
	struct rm b = to_reg(c, &pair), t = rm_reg(SCRATCH_X);
	unsigned to;

	to = jit_take(c, VECTOR);
	apply(c, op, to, b.base, rm_reg(pair.ra), false);
	apply(c, op, SCRATCH_X, pair.ra, b, false);
	if (is_most)
		jit_emit_float(c, family | 0x57, to, to, t, true);
	jit_emit_float(c, family | 0x56, SCRATCH_X, SCRATCH_X, rm_reg(to),
		       true);
	if (is_most)
		jit_emit_float(c, family | 0x5c, SCRATCH_X, SCRATCH_X,
			       rm_reg(to), false);
	apply_two_imm(c, family | 0xc2, to, to, t, 3);
	if (!is_most)
		jit_emit_float(c, family | 0x56, SCRATCH_X, SCRATCH_X,
			       rm_reg(to), true);
	if (c->has_avx)
		emit_vex_imm8(&c->e, I(recipe->more == 10 ? 0x72 : 0x73), 2, to,
			      rm_reg(to), recipe->more);
	else
		emit_imm8(&c->e, I(recipe->more == 10 ? 0x72 : 0x73), 2,
			  rm_reg(to), recipe->more);
	jit_emit_float(c, family | 0x55, to, to, t, false);
	jit_move(c, pair.target.reg, to, T_V128);
	give(c, VECTOR, to);
	finish_pair(c, &pair);
}

/* One operand */

static void unary(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct rm rm = jit_operand_rm(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	if (recipe->way == ROUND) {
		if (!c->has_avx && rm.kind == RM_MEMORY)
			rm = rm_reg(jit_operand_own(c, &a));
		apply_imm(c, recipe->op, target.reg, rm, recipe->more);
	} else {
		apply_one(c, recipe->op, target.reg, rm);
	}
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

static uint64_t sign_bits(unsigned nan)
{
	return nan == 10 ? 0x8000000080000000 : 1ull << 63;
}

static void masked(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);
	bool is_abs = (recipe->op & 0xff) == 0x54;
	uint64_t signs = sign_bits(recipe->more);

	jit_emit_float(c, recipe->op, target.reg, ra,
		       same_words(c, is_abs ? ~signs : signs), true);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

static void from_zero(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);
	bool is_not = recipe->way == NOT;

	if (is_not)
		ones(c, SCRATCH_X);
	else
		zero(c, SCRATCH_X);
	if (c->has_avx || is_not) {
		jit_emit_float(c, is_not ? PXOR : recipe->op, target.reg,
			       is_not ? ra : SCRATCH_X,
			       rm_reg(is_not ? SCRATCH_X : ra), is_not);
	} else {
		emit(&c->e, recipe->op, SCRATCH_X, rm_reg(ra));
		jit_move(c, target.reg, SCRATCH_X, T_V128);
	}
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

/* Less than zero: all ones; a exclusive-or that, minus that. */
static void abs64(struct jit_compiler *c)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	zero(c, SCRATCH_X);
	jit_emit_float(c, I38(0x37), SCRATCH_X, SCRATCH_X, rm_reg(ra), false);
	jit_emit_float(c, PXOR, target.reg, ra, rm_reg(SCRATCH_X), true);
	jit_emit_float(c, I(0xfb), target.reg, target.reg, rm_reg(SCRATCH_X),
		       false);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

enum { UPPER_HALF = 0xee, LOW_TO_EVEN = 0x10, HIGH_TO_EVEN = 0x32 };

static void extend_to(struct jit_compiler *c, uint32_t op, unsigned to,
		      unsigned of, bool is_high)
{
	if (is_high) {
		apply_imm(c, PSHUFD, to, rm_reg(of), UPPER_HALF);
		of = to;
	}
	jit_emit_x(c, op, to, rm_reg(of));
}

static void extend(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	extend_to(c, recipe->op, target.reg, ra, recipe->way == EXTEND_HIGH);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

static void multiply_halves(struct jit_compiler *c, const struct recipe *recipe)
{
	bool is_high = recipe->way == MULTIPLY_HIGH;
	struct pair pair = take_pair(c, false);
	unsigned to = pair.target.reg;

	extend_to(c, recipe->op, SCRATCH_X, to_reg(c, &pair).base, is_high);
	extend_to(c, recipe->op, to, pair.ra, is_high);
	jit_emit_float(c, recipe->more, to, to, rm_reg(SCRATCH_X), true);
	finish_pair(c, &pair);
}

static void multiply_even(struct jit_compiler *c, const struct recipe *recipe)
{
	unsigned order =
		recipe->way == MULTIPLY_EVEN_HIGH ? HIGH_TO_EVEN : LOW_TO_EVEN;
	struct pair pair = take_pair(c, false);
	unsigned to = pair.target.reg;

	apply_imm(c, PSHUFD, SCRATCH_X, to_reg(c, &pair), order);
	apply_imm(c, PSHUFD, to, rm_reg(pair.ra), order);
	jit_emit_float(c, recipe->op, to, to, rm_reg(SCRATCH_X), true);
	finish_pair(c, &pair);
}

static void shift_words(struct jit_compiler *c, unsigned byte, unsigned number,
			unsigned to, unsigned of, unsigned count)
{
	if (c->has_avx) {
		emit_vex_imm8(&c->e, I(byte), number, to, rm_reg(of), count);
		return;
	}
	jit_move(c, to, of, T_V128);
	emit_imm8(&c->e, I(byte), number, rm_reg(to), count);
}

/* Products of the halves, crosswise, and of the lower ones. */
static void multiply64(struct jit_compiler *c)
{
	struct pair pair = take_pair(c, false);
	struct rm b = to_reg(c, &pair);
	unsigned other = jit_take(c, VECTOR);

	shift_words(c, 0x73, 2, SCRATCH_X, pair.ra, 32);
	jit_emit_float(c, I(0xf4), SCRATCH_X, SCRATCH_X, b, true);
	shift_words(c, 0x73, 2, other, b.base, 32);
	jit_emit_float(c, I(0xf4), other, other, rm_reg(pair.ra), true);
	jit_emit_float(c, I(0xd4), SCRATCH_X, SCRATCH_X, rm_reg(other), true);
	shift_words(c, 0x73, 6, SCRATCH_X, SCRATCH_X, 32);
	jit_emit_float(c, I(0xf4), pair.target.reg, pair.ra, b, true);
	jit_emit_float(c, I(0xd4), pair.target.reg, pair.target.reg,
		       rm_reg(SCRATCH_X), true);
	give(c, VECTOR, other);
	finish_pair(c, &pair);
}

static void pairs(struct jit_compiler *c, const struct recipe *recipe)
{
	bool are_words = recipe->op == I(0xf5);
	struct rm one = same_words(c, are_words ? 0x0001000100010001
						: 0x0101010101010101);
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	if (recipe->more) {
		jit_load_rm(c, SCRATCH_X, one, T_V128);
		jit_emit_float(c, recipe->op, SCRATCH_X, SCRATCH_X, rm_reg(ra),
			       false);
		jit_move(c, target.reg, SCRATCH_X, T_V128);
	} else {
		jit_emit_float(c, recipe->op, target.reg, ra, one, false);
	}
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

/* Shifts: the count is taken modulo the lane's bits. */

static void shift(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand count = jit_pop(c), a = jit_pop(c);
	unsigned byte = recipe->more & 0xff, number = recipe->more >> 8 & 0xff,
		 mask = recipe->more >> 16;
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	if (count.value.place == IS_CONSTANT) {
		shift_words(c, byte, number, target.reg, ra,
			    (unsigned)count.value.constant & mask);
	} else {
		jit_operand_to(c, &count, SCRATCH);
		jit_emit_alu(c, 4, T_I32, rm_reg(SCRATCH), (int32_t)mask);
		jit_emit_x(c, MOVD, SCRATCH_X, rm_reg(SCRATCH));
		jit_emit_float(c, recipe->op, target.reg, ra, rm_reg(SCRATCH_X),
			       false);
	}
	jit_release(c, &count);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

/* Words are shifted, and what came from the other byte is masked. */
static bool shift8(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand count, a;
	unsigned by, ra, mask;
	struct target target;

	if (value_at(c, c->height - 1)->place != IS_CONSTANT)
		return false;
	count = jit_pop(c);
	a = jit_pop(c);
	by = (unsigned)count.value.constant & 7;
	mask = recipe->op == 6 ? (0xff << by) & 0xff : 0xff >> by;
	ra = jit_operand_reg(c, &a);
	target = jit_target_over(c, VECTOR, &a);
	shift_words(c, 0x71, recipe->op, target.reg, ra, by);
	jit_emit_float(c, PAND, target.reg, target.reg,
		       same_words(c, UINT64_C(0x0101010101010101) * mask),
		       true);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
	return true;
}

/* Tests */

static void any_true(struct jit_compiler *c)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);

	jit_emit_x(c, PTEST, ra, rm_reg(ra));
	jit_release(c, &a);
	jit_condition_use(c, CC_NE);
}

static void all_true(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);

	zero(c, SCRATCH_X);
	jit_emit_float(c, recipe->op, SCRATCH_X, SCRATCH_X, rm_reg(ra), true);
	jit_emit_x(c, PTEST, SCRATCH_X, rm_reg(SCRATCH_X));
	jit_release(c, &a);
	jit_condition_use(c, CC_E);
}

static void bitmask(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_new(c, GENERAL);

	if (recipe->way == BITMASK16) {
		jit_emit_float(c, I(0x63), SCRATCH_X, ra, rm_reg(ra), true);
		jit_emit_x(c, I(0xd7), target.reg, rm_reg(SCRATCH_X));
		emit(&c->e, 0xb6 | OP_0F | OP_BYTE, target.reg,
		     rm_reg(target.reg));
	} else {
		jit_emit_x(c, recipe->op, target.reg, rm_reg(ra));
	}
	jit_release(c, &a);
	jit_target_finish(c, target, T_I32);
}

/* Lanes */

static void spread(struct jit_compiler *c, unsigned reg, unsigned bytes)
{
	switch (bytes) {
	case 1:
		zero(c, SCRATCH_X);
		jit_emit_float(c, PSHUFB, reg, reg, rm_reg(SCRATCH_X), false);
		break;
	case 2:
		apply_imm(c, OP_F2 | OP_0F | 0x70, reg, rm_reg(reg), 0);
		apply_imm(c, PSHUFD, reg, rm_reg(reg), 0);
		break;
	case 4: apply_imm(c, PSHUFD, reg, rm_reg(reg), 0); break;
	default: apply_imm(c, PSHUFD, reg, rm_reg(reg), 0x44);
	}
}

static void splat(struct jit_compiler *c, const struct recipe *recipe)
{
	struct operand a = jit_pop(c);
	struct target target;

	if (recipe->op) { /* of a float */
		unsigned ra = jit_operand_reg(c, &a);

		target = jit_target_over(c, VECTOR, &a);
		apply_imm(c, PSHUFD, target.reg, rm_reg(ra),
			  recipe->more == 4 ? 0 : 0x44);
		jit_target_release(c, &target, &a);
	} else {
		struct rm rm = jit_operand_rm(c, &a);

		target = jit_target_new(c, VECTOR);
		jit_emit_x(c, MOVD | (recipe->more == 8 ? OP_W : 0), target.reg,
			   rm);
		spread(c, target.reg, recipe->more);
		jit_release(c, &a);
	}
	jit_target_finish(c, target, T_V128);
}

static void extract_float(struct jit_compiler *c, const struct recipe *recipe,
			  unsigned lane)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);
	bool is_narrow = recipe->more == 4;

	if (lane == 0)
		jit_move(c, target.reg, ra, T_V128);
	else
		apply_imm(c, PSHUFD, target.reg, rm_reg(ra),
			  is_narrow ? lane : UPPER_HALF);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, is_narrow ? T_F32 : T_F64);
}

static void extract(struct jit_compiler *c, const struct recipe *recipe,
		    unsigned lane)
{
	struct operand a;
	struct target target;
	unsigned ra;

	if (!recipe->op) {
		extract_float(c, recipe, lane);
		return;
	}
	a = jit_pop(c);
	ra = jit_operand_reg(c, &a);
	target = jit_target_new(c, GENERAL);
	apply_imm(c, recipe->op, ra, rm_reg(target.reg), lane);
	if (recipe->more)
		emit(&c->e, recipe->more, target.reg, rm_reg(target.reg));
	jit_release(c, &a);
	jit_target_finish(c, target, recipe->op & OP_W ? T_I64 : T_I32);
}

static void replace_float(struct jit_compiler *c, const struct recipe *recipe,
			  unsigned lane, unsigned to, unsigned ra, unsigned rb)
{
	if (recipe->more == 4)
		apply_two_imm(c, I3A(0x21), to, ra, rm_reg(rb), lane << 4);
	else if (lane == 0)
		apply_two_imm(c, I3A(0x0d), to, ra, rm_reg(rb), 1);
	else
		jit_emit_float(c, PD(0x14), to, ra, rm_reg(rb), false);
}

/* Registers of two files: equal numbers are not the same register. */
static void replace_int(struct jit_compiler *c, const struct recipe *recipe,
			unsigned lane, unsigned to, unsigned ra, unsigned rb)
{
	if (c->has_avx) {
		emit_vex_imm8(&c->e, recipe->op, to, ra, rm_reg(rb), lane);
		return;
	}
	jit_move(c, to, ra, T_V128);
	emit_imm8(&c->e, recipe->op, to, rm_reg(rb), lane);
}

static void replace(struct jit_compiler *c, const struct recipe *recipe,
		    unsigned lane)
{
	struct operand b = jit_pop(c), a = jit_pop(c);
	unsigned rb = jit_operand_reg(c, &b), ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);

	if (!recipe->op)
		replace_float(c, recipe, lane, target.reg, ra, rb);
	else
		replace_int(c, recipe, lane, target.reg, ra, rb);
	jit_target_release(c, &target, &a);
	jit_target_release(c, &target, &b);
	jit_target_finish(c, target, T_V128);
}

/* Which bytes come from the operand whose lanes begin at "first"; the others
 * become 0. */
static struct rm lanes_of(struct jit_compiler *c, const uint8_t lanes[16],
			  unsigned first)
{
	uint8_t mask[16];
	uint64_t words[2];

	for (unsigned i = 0; i < 16; i++)
		mask[i] = lanes[i] - first < 16u ? lanes[i] - first : 0x80;
	memcpy(words, mask, sizeof(words));
	return jit_code_literal(c, words[0], words[1], 16);
}

static bool are_of(const uint8_t lanes[16], unsigned first)
{
	for (unsigned i = 0; i < 16; i++)
		if (lanes[i] - first >= 16u)
			return false;
	return true;
}

/* Four bytes by four, of one operand; -1: no such order. */
static int words_order(const uint8_t lanes[16])
{
	int order = 0;

	for (unsigned i = 0; i < 16; i += 4) {
		unsigned first = lanes[i] & 15;

		if (first % 4 || (lanes[i + 1] & 15) != first + 1 ||
		    (lanes[i + 2] & 15) != first + 2 ||
		    (lanes[i + 3] & 15) != first + 3)
			return -1;
		order |= (int)(first / 4) << (i / 2);
	}
	return order;
}

static void shuffle(struct jit_compiler *c, const uint8_t lanes[16])
{
	struct pair pair = take_pair(c, false);
	struct rm b = to_reg(c, &pair);
	unsigned to = pair.target.reg;
	bool of_a = are_of(lanes, 0), of_b = are_of(lanes, 16);
	int order = words_order(lanes);

	if ((of_a || of_b) && order >= 0) {
		apply_imm(c, PSHUFD, to, of_a ? rm_reg(pair.ra) : b,
			  (unsigned)order);
	} else if (of_a || of_b) {
		jit_emit_float(c, PSHUFB, to, of_a ? pair.ra : b.base,
			       lanes_of(c, lanes, of_a ? 0 : 16), false);
	} else {
		jit_emit_float(c, PSHUFB, SCRATCH_X, b.base,
			       lanes_of(c, lanes, 16), false);
		jit_emit_float(c, PSHUFB, to, pair.ra, lanes_of(c, lanes, 0),
			       false);
		jit_emit_float(c, POR, to, to, rm_reg(SCRATCH_X), true);
	}
	finish_pair(c, &pair);
}

/* From 16 on an index gets its highest bit, and its lane is 0. */
static void swizzle(struct jit_compiler *c)
{
	struct pair pair = take_pair(c, false);
	struct rm b = to_reg(c, &pair);

	jit_emit_float(c, I(0xdc), SCRATCH_X, b.base,
		       same_words(c, 0x7070707070707070), true);
	jit_emit_float(c, PSHUFB, pair.target.reg, pair.ra, rm_reg(SCRATCH_X),
		       false);
	finish_pair(c, &pair);
}

/* Three operands */

struct three {
	struct operand a, b, c;
	unsigned ra, rb, rc;
	struct target target;
};

static struct three take_three(struct jit_compiler *c)
{
	struct three three;

	three.c = jit_pop(c);
	three.b = jit_pop(c);
	three.a = jit_pop(c);
	three.ra = jit_operand_reg(c, &three.a);
	three.rb = jit_operand_reg(c, &three.b);
	three.rc = jit_operand_reg(c, &three.c);
	return three;
}

static void finish_three(struct jit_compiler *c, const struct three *three)
{
	jit_target_release(c, &three->target, &three->a);
	jit_target_release(c, &three->target, &three->b);
	jit_target_release(c, &three->target, &three->c);
	jit_target_finish(c, three->target, T_V128);
}

static void select_bits(struct jit_compiler *c)
{
	struct three three = take_three(c);

	three.target = jit_target_over(c, VECTOR, &three.a);
	jit_emit_float(c, PANDN, SCRATCH_X, three.rc, rm_reg(three.rb), false);
	jit_emit_float(c, PAND, three.target.reg, three.ra, rm_reg(three.rc),
		       true);
	jit_emit_float(c, POR, three.target.reg, three.target.reg,
		       rm_reg(SCRATCH_X), true);
	finish_three(c, &three);
}

static void multiply_add(struct jit_compiler *c, const struct recipe *recipe)
{
	struct three three = take_three(c);

	three.target = jit_target_over(c, VECTOR, &three.c);
	jit_emit_float(c, recipe->op, SCRATCH_X, three.ra, rm_reg(three.rb),
		       true);
	jit_emit_float(c, recipe->more, three.target.reg, three.rc,
		       rm_reg(SCRATCH_X), false);
	finish_three(c, &three);
}

static void dot_add(struct jit_compiler *c)
{
	struct three three = take_three(c);

	three.target = jit_target_over(c, VECTOR, &three.c);
	jit_emit_float(c, I38(0x04), SCRATCH_X, three.rb, rm_reg(three.ra),
		       false);
	jit_emit_float(c, I(0xf5), SCRATCH_X, SCRATCH_X,
		       same_words(c, 0x0001000100010001), true);
	jit_emit_float(c, I(0xfe), three.target.reg, three.rc,
		       rm_reg(SCRATCH_X), true);
	finish_three(c, &three);
}

/* NaN becomes 0; what the instruction gives for too large numbers is turned
 * over where the number was positive. */
static void to_int32(struct jit_compiler *c)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct target target = jit_target_over(c, VECTOR, &a);
	struct rm t = rm_reg(SCRATCH_X);

	apply_two_imm(c, PS(0xc2), SCRATCH_X, ra, rm_reg(ra), 0);
	jit_emit_float(c, PAND, target.reg, ra, t, true);
	jit_emit_float(c, PXOR, SCRATCH_X, SCRATCH_X, rm_reg(target.reg), true);
	jit_emit_x(c, OP_F3 | OP_0F | 0x5b, target.reg, rm_reg(target.reg));
	jit_emit_float(c, PAND, SCRATCH_X, SCRATCH_X, rm_reg(target.reg), true);
	shift_words(c, 0x72, 4, SCRATCH_X, SCRATCH_X, 31);
	jit_emit_float(c, PXOR, target.reg, target.reg, t, true);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

/* Memory */

static void load(struct jit_compiler *c, const struct recipe *recipe,
		 const struct wasm_immediates *immediates)
{
	struct address address =
		jit_address_of(c, immediates, (unsigned)recipe->more);
	struct target target = jit_target_new(c, VECTOR);

	if (recipe->way == LOAD) {
		jit_emit_x(c, recipe->op, target.reg, address.rm);
	} else if (recipe->way == LOAD_WORD_SPLAT) {
		jit_emit_x(c, OP_F3 | OP_0F | 0x10, target.reg, address.rm);
		spread(c, target.reg, 4);
	} else {
		emit(&c->e, recipe->op, SCRATCH, address.rm);
		jit_emit_x(c, MOVD, target.reg, rm_reg(SCRATCH));
		spread(c, target.reg, recipe->more);
	}
	jit_address_release(c, &address);
	jit_target_finish(c, target, T_V128);
}

static void load_lane(struct jit_compiler *c, const struct recipe *recipe,
		      const struct wasm_immediates *immediates)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct address address =
		jit_address_of(c, immediates, (unsigned)recipe->more);
	struct target target = jit_target_over(c, VECTOR, &a);

	apply_two_imm(c, recipe->op, target.reg, ra, address.rm,
		      immediates->lane);
	jit_address_release(c, &address);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_V128);
}

static void store_lane(struct jit_compiler *c, const struct recipe *recipe,
		       const struct wasm_immediates *immediates)
{
	struct operand a = jit_pop(c);
	unsigned ra = jit_operand_reg(c, &a);
	struct address address =
		jit_address_of(c, immediates, (unsigned)recipe->more);

	apply_imm(c, recipe->op, ra, address.rm, immediates->lane);
	jit_address_release(c, &address);
	jit_release(c, &a);
}

bool jit_vector_owns(unsigned operation)
{
	return recipes[operation].way != NO_WAY;
}

bool jit_vector_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates)
{
	const struct recipe *recipe = &recipes[operation];

	switch ((enum way)recipe->way) {
	case NO_WAY: return false;
	case BINARY: binary(c, recipe, false, false); break;
	case SWAPPED: binary(c, recipe, true, false); break;
	case NOT_BINARY: binary(c, recipe, false, true); break;
	case NOT_SWAPPED: binary(c, recipe, true, true); break;
	case BY_LEAST: by_least(c, recipe, false); break;
	case NOT_BY_LEAST: by_least(c, recipe, true); break;
	case FLOAT_COMPARE: float_compare(c, recipe, false); break;
	case FLOAT_SWAPPED: float_compare(c, recipe, true); break;
	case UNARY:
	case ROUND: unary(c, recipe); break;
	case MASKED: masked(c, recipe); break;
	case NEGATE:
	case NOT: from_zero(c, recipe); break;
	case ABS64: abs64(c); break;
	case EXTEND_LOW:
	case EXTEND_HIGH: extend(c, recipe); break;
	case MULTIPLY_LOW:
	case MULTIPLY_HIGH: multiply_halves(c, recipe); break;
	case MULTIPLY_EVEN_LOW:
	case MULTIPLY_EVEN_HIGH: multiply_even(c, recipe); break;
	case PAIRS: pairs(c, recipe); break;
	case SHIFT: shift(c, recipe); break;
	case SHIFT8: return shift8(c, recipe);
	case ANY_TRUE: any_true(c); break;
	case ALL_TRUE: all_true(c, recipe); break;
	case BITMASK:
	case BITMASK16: bitmask(c, recipe); break;
	case SPLAT: splat(c, recipe); break;
	case EXTRACT: extract(c, recipe, immediates->lane); break;
	case REPLACE: replace(c, recipe, immediates->lane); break;
	case SHUFFLE: shuffle(c, immediates->bytes); break;
	case SWIZZLE: swizzle(c); break;
	case SELECT: select_bits(c); break;
	case MADD: multiply_add(c, recipe); break;
	case FLOAT_LEAST: float_least(c, recipe, false); break;
	case FLOAT_MOST: float_least(c, recipe, true); break;
	case TO_INT32: to_int32(c); break;
	case MULTIPLY64: multiply64(c); break;
	case DOT_ADD: dot_add(c); break;
	case LOAD:
	case LOAD_SMALL_SPLAT:
	case LOAD_WORD_SPLAT: load(c, recipe, immediates); break;
	case LOAD_LANE: load_lane(c, recipe, immediates); break;
	case STORE_LANE: store_lane(c, recipe, immediates); break;
	}
	return true;
}

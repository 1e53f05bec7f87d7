/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors: one function for each "=" of operations.tab behind prefix fd,
 * named op_ and the operation's name with "_" for ".".  Its arguments are the
 * operands, deepest first, then the lane's number; where the operand is an
 * address, "p" is the place in host memory.
 *
 * Written with vector types where the compilers find the good instruction,
 * with SSE4.2 where they do not.  Arithmetic is on unsigned lanes, for in C
 * only those wrap.  A NaN that an operation makes is quiet.
 *
 * Relaxed operations always do the same, on every machine:
 *	swizzle		lane 16 to 127 counts modulo 16, from 128 on gives 0
 *	trunc s		NaN and what does not fit give INT32_MIN
 *	trunc u		saturates, NaN gives 0
 *	madd, nmadd	two roundings
 *	laneselect	bit by bit
 *	min, max	the second where one is a NaN or both are zeros
 *	q15mulr		-1 * -1 is -1
 *	dot		the second operand's lanes are unsigned, sums of two
 *			saturate */
#pragma once
#include "wasm/arith.h"
#include "wasm/value.h"
#include <nmmintrin.h>
#include <stdbool.h>

typedef wasm_v128 v128;
typedef v128 v128_any WASM_ANY_PLACE;
typedef u8 u8x16 __attribute__((vector_size(16)));
typedef s8 s8x16 __attribute__((vector_size(16)));
typedef u16 u16x8 __attribute__((vector_size(16)));
typedef s16 s16x8 __attribute__((vector_size(16)));
typedef u32 u32x4 __attribute__((vector_size(16)));
typedef s32 s32x4 __attribute__((vector_size(16)));
typedef u64 u64x2 __attribute__((vector_size(16)));
typedef s64 s64x2 __attribute__((vector_size(16)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef double f64x2 __attribute__((vector_size(16)));
typedef __m128i m128i; /* what integer instructions take */

/* clang-format off */
#define WASM_SPLAT2(x) { x, x }
#define WASM_SPLAT4(x) { x, x, x, x }
#define WASM_SPLAT8(x) { x, x, x, x, x, x, x, x }
#define WASM_SPLAT16(x) { x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x }

/* A function of one, two or three vectors that are seen as "type". */
#define WASM_VECTOR_1(name, type, expression)                       \
	static inline v128 op_##name(v128 first)                    \
	{                                                           \
		type a = (type)first;                               \
		return (v128)(expression);                          \
	}
#define WASM_VECTOR_2(name, type, expression)                       \
	static inline v128 op_##name(v128 first, v128 second)       \
	{                                                           \
		type a = (type)first, b = (type)second;             \
		return (v128)(expression);                          \
	}
#define WASM_VECTOR_3(name, type, expression)                       \
	static inline v128 op_##name(v128 first, v128 second,       \
				     v128 third)                    \
	{                                                           \
		type a = (type)first, b = (type)second;             \
		type c = (type)third;                               \
		return (v128)(expression);                          \
	}
/* Of a vector and a number. */
#define WASM_VECTOR_N(name, type, number, expression)               \
	static inline v128 op_##name(v128 first, number n)          \
	{                                                           \
		type a = (type)first;                               \
		return (v128)(expression);                          \
	}

/* All lanes the same, one lane read, one lane written.  The number of the
 * lane comes from the code: it is written by choice, not through memory. */
#define WASM_LANES(shape, type, many, value, NUMBERS, mask, count)    \
	static inline v128 op_##shape##_splat(value n)                \
	{                                                             \
		return (v128)(type)WASM_SPLAT##count((many)n);        \
	}                                                             \
	static inline v128 lane_choose_##shape(v128 a, v128 b,        \
					       u32 lane)              \
	{                                                             \
		mask at = (mask)WASM_SPLAT##count(lane);              \
		mask chosen = (mask)((mask)NUMBERS == at);            \
		return (v128)(((mask)a & ~chosen) |                   \
			      ((mask)b & chosen));                    \
	}                                                             \
	static inline v128 op_##shape##_replace_lane(v128 a, value n, \
						     u32 lane)        \
	{                                                             \
		return lane_choose_##shape(a, op_##shape##_splat(n),  \
					   lane);                     \
	}
#define WASM_EXTRACT(name, type, value)                               \
	static inline value op_##name(v128 a, u32 lane)               \
	{                                                             \
		return (value)((type)a)[lane];                        \
	}

#define WASM_NUMBERS2 { 0, 1 }
#define WASM_NUMBERS4 { 0, 1, 2, 3 }
#define WASM_NUMBERS8 { 0, 1, 2, 3, 4, 5, 6, 7 }
#define WASM_NUMBERS16 \
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }

WASM_LANES(i8x16, u8x16, u8, u32, WASM_NUMBERS16, u8x16, 16)
WASM_LANES(i16x8, u16x8, u16, u32, WASM_NUMBERS8, u16x8, 8)
WASM_LANES(i32x4, u32x4, u32, u32, WASM_NUMBERS4, u32x4, 4)
WASM_LANES(i64x2, u64x2, u64, u64, WASM_NUMBERS2, u64x2, 2)
WASM_LANES(f32x4, f32x4, float, float, WASM_NUMBERS4, u32x4, 4)
WASM_LANES(f64x2, f64x2, double, double, WASM_NUMBERS2, u64x2, 2)
WASM_EXTRACT(i8x16_extract_lane_s, s8x16, u32)
WASM_EXTRACT(i8x16_extract_lane_u, u8x16, u32)
WASM_EXTRACT(i16x8_extract_lane_s, s16x8, u32)
WASM_EXTRACT(i16x8_extract_lane_u, u16x8, u32)
WASM_EXTRACT(i32x4_extract_lane, u32x4, u32)
WASM_EXTRACT(i64x2_extract_lane, u64x2, u64)
WASM_EXTRACT(f32x4_extract_lane, f32x4, float)
WASM_EXTRACT(f64x2_extract_lane, f64x2, double)

/* Lanes that become twice as wide. */
#define WASM_EXTEND(to, from, s, convert)                             \
	WASM_VECTOR_1(to##_extend_low_##from##_##s, m128i, convert(a)) \
	WASM_VECTOR_1(to##_extend_high_##from##_##s, m128i,            \
		      convert(_mm_unpackhi_epi64(a, a)))
WASM_EXTEND(i16x8, i8x16, s, _mm_cvtepi8_epi16)
WASM_EXTEND(i16x8, i8x16, u, _mm_cvtepu8_epi16)
WASM_EXTEND(i32x4, i16x8, s, _mm_cvtepi16_epi32)
WASM_EXTEND(i32x4, i16x8, u, _mm_cvtepu16_epi32)
WASM_EXTEND(i64x2, i32x4, s, _mm_cvtepi32_epi64)
WASM_EXTEND(i64x2, i32x4, u, _mm_cvtepu32_epi64)

/* Memory. */
#define WASM_LOAD(name, expression)                         \
	static inline v128 op_v128_load##name(const void *p) \
	{                                                   \
		return (v128)(expression);                  \
	}
#define WASM_LOAD_LOW(p) (v128)_mm_cvtsi64_si128((s64)LOAD(u64, p))
WASM_LOAD(, LOAD(v128, p))
WASM_LOAD(8x8_s, op_i16x8_extend_low_i8x16_s(WASM_LOAD_LOW(p)))
WASM_LOAD(8x8_u, op_i16x8_extend_low_i8x16_u(WASM_LOAD_LOW(p)))
WASM_LOAD(16x4_s, op_i32x4_extend_low_i16x8_s(WASM_LOAD_LOW(p)))
WASM_LOAD(16x4_u, op_i32x4_extend_low_i16x8_u(WASM_LOAD_LOW(p)))
WASM_LOAD(32x2_s, op_i64x2_extend_low_i32x4_s(WASM_LOAD_LOW(p)))
WASM_LOAD(32x2_u, op_i64x2_extend_low_i32x4_u(WASM_LOAD_LOW(p)))
WASM_LOAD(8_splat, op_i8x16_splat(LOAD(u8, p)))
WASM_LOAD(16_splat, op_i16x8_splat(LOAD(u16, p)))
WASM_LOAD(32_splat, op_i32x4_splat(LOAD(u32, p)))
WASM_LOAD(64_splat, op_i64x2_splat(LOAD(u64, p)))
WASM_LOAD(32_zero, _mm_cvtsi32_si128(LOAD(s32, p)))
WASM_LOAD(64_zero, WASM_LOAD_LOW(p))

#define WASM_MEMORY_LANE(width, shape)                                 \
	static inline v128 op_v128_load##width##_lane(                 \
		const void *p, v128 v, u32 lane)                       \
	{                                                              \
		return op_##shape##_replace_lane(v, LOAD(u##width, p), \
						 lane);                \
	}                                                              \
	static inline void op_v128_store##width##_lane(void *p,        \
						       v128 v,         \
						       u32 lane)       \
	{                                                              \
		STORE(u##width, p, ((shape##_lanes)v)[lane]);          \
	}
typedef u8x16 i8x16_lanes;
typedef u16x8 i16x8_lanes;
typedef u32x4 i32x4_lanes;
typedef u64x2 i64x2_lanes;
WASM_MEMORY_LANE(8, i8x16)
WASM_MEMORY_LANE(16, i16x8)
WASM_MEMORY_LANE(32, i32x4)
WASM_MEMORY_LANE(64, i64x2)

static inline void op_v128_store(void *p, v128 v)
{
	STORE(v128, p, v);
}

/* Bits. */
WASM_VECTOR_1(v128_not, u64x2, ~a)
WASM_VECTOR_2(v128_and, u64x2, a & b)
WASM_VECTOR_2(v128_andnot, u64x2, a & ~b)
WASM_VECTOR_2(v128_or, u64x2, a | b)
WASM_VECTOR_2(v128_xor, u64x2, a ^ b)
WASM_VECTOR_3(v128_bitselect, u64x2, (a & c) | (b & ~c))

/* Integer lanes, what all widths have. */
#define WASM_INTEGERS(shape, us, ss)             \
	WASM_VECTOR_1(shape##_neg, us, -a)       \
	WASM_VECTOR_2(shape##_add, us, a + b)    \
	WASM_VECTOR_2(shape##_sub, us, a - b)    \
	WASM_VECTOR_2(shape##_eq, us, a == b)    \
	WASM_VECTOR_2(shape##_ne, us, a != b)    \
	WASM_VECTOR_2(shape##_lt_s, ss, a < b)   \
	WASM_VECTOR_2(shape##_gt_s, ss, a > b)   \
	WASM_VECTOR_2(shape##_le_s, ss, a <= b)  \
	WASM_VECTOR_2(shape##_ge_s, ss, a >= b)
WASM_INTEGERS(i8x16, u8x16, s8x16)
WASM_INTEGERS(i16x8, u16x8, s16x8)
WASM_INTEGERS(i32x4, u32x4, s32x4)
WASM_INTEGERS(i64x2, u64x2, s64x2)

#define WASM_COMPARE_U(shape, us)                \
	WASM_VECTOR_2(shape##_lt_u, us, a < b)   \
	WASM_VECTOR_2(shape##_gt_u, us, a > b)   \
	WASM_VECTOR_2(shape##_le_u, us, a <= b)  \
	WASM_VECTOR_2(shape##_ge_u, us, a >= b)
WASM_COMPARE_U(i8x16, u8x16)
WASM_COMPARE_U(i16x8, u16x8)
WASM_COMPARE_U(i32x4, u32x4)

#define WASM_MIN_MAX(shape, width)                                 \
	WASM_VECTOR_2(shape##_min_s, m128i, _mm_min_epi##width(a, b)) \
	WASM_VECTOR_2(shape##_min_u, m128i, _mm_min_epu##width(a, b)) \
	WASM_VECTOR_2(shape##_max_s, m128i, _mm_max_epi##width(a, b)) \
	WASM_VECTOR_2(shape##_max_u, m128i, _mm_max_epu##width(a, b)) \
	WASM_VECTOR_1(shape##_abs, m128i, _mm_abs_epi##width(a))
WASM_MIN_MAX(i8x16, 8)
WASM_MIN_MAX(i16x8, 16)
WASM_MIN_MAX(i32x4, 32)
WASM_VECTOR_1(i64x2_abs, u64x2,
	      (a ^ (u64x2)((s64x2)a < 0)) - (u64x2)((s64x2)a < 0))

WASM_VECTOR_2(i16x8_mul, u16x8, a * b)
WASM_VECTOR_2(i32x4_mul, u32x4, a * b)
WASM_VECTOR_2(i64x2_mul, u64x2, a * b)

#define WASM_SATURATE(shape, width)                                       \
	WASM_VECTOR_2(shape##_add_sat_s, m128i, _mm_adds_epi##width(a, b)) \
	WASM_VECTOR_2(shape##_add_sat_u, m128i, _mm_adds_epu##width(a, b)) \
	WASM_VECTOR_2(shape##_sub_sat_s, m128i, _mm_subs_epi##width(a, b)) \
	WASM_VECTOR_2(shape##_sub_sat_u, m128i, _mm_subs_epu##width(a, b)) \
	WASM_VECTOR_2(shape##_avgr_u, m128i, _mm_avg_epu##width(a, b))
WASM_SATURATE(i8x16, 8)
WASM_SATURATE(i16x8, 16)
WASM_VECTOR_2(i8x16_narrow_i16x8_s, m128i, _mm_packs_epi16(a, b))
WASM_VECTOR_2(i8x16_narrow_i16x8_u, m128i, _mm_packus_epi16(a, b))
WASM_VECTOR_2(i16x8_narrow_i32x4_s, m128i, _mm_packs_epi32(a, b))
WASM_VECTOR_2(i16x8_narrow_i32x4_u, m128i, _mm_packus_epi32(a, b))

/* Shifts, by the count modulo the lane's bits. */
#define WASM_COUNT(n, width) _mm_cvtsi32_si128((int)(n) & ((width) - 1))
#define WASM_SHIFTS(shape, width)                                 \
	WASM_VECTOR_N(shape##_shl, m128i, u32,                     \
		      _mm_sll_epi##width(a, WASM_COUNT(n, width))) \
	WASM_VECTOR_N(shape##_shr_u, m128i, u32,                   \
		      _mm_srl_epi##width(a, WASM_COUNT(n, width)))
WASM_SHIFTS(i16x8, 16)
WASM_SHIFTS(i32x4, 32)
WASM_SHIFTS(i64x2, 64)
WASM_VECTOR_N(i16x8_shr_s, m128i, u32, _mm_sra_epi16(a, WASM_COUNT(n, 16)))
WASM_VECTOR_N(i32x4_shr_s, m128i, u32, _mm_sra_epi32(a, WASM_COUNT(n, 32)))
/* clang-format on */

/* There is no arithmetic shift of 64 bits: the sign's bit, shifted like the
 * rest, is spread upwards. */
static inline v128 op_i64x2_shr_s(v128 a, u32 n)
{
	u64x2 shifted = (u64x2)op_i64x2_shr_u(a, n);
	u64 bit = (u64)1 << (63 - (n & 63));
	u64x2 sign = WASM_SPLAT2(bit);

	return (v128)((shifted ^ sign) - sign);
}

/* Bytes are shifted as words, then what came from the neighbour is cut. */
static inline v128 op_i8x16_shl(v128 a, u32 n)
{
	m128i moved = _mm_sll_epi16((m128i)a, WASM_COUNT(n, 8));

	return (v128)moved & op_i8x16_splat(0xffu << (n & 7));
}

static inline v128 op_i8x16_shr_u(v128 a, u32 n)
{
	m128i moved = _mm_srl_epi16((m128i)a, WASM_COUNT(n, 8));

	return (v128)moved & op_i8x16_splat(0xffu >> (n & 7));
}

static inline v128 op_i8x16_shr_s(v128 a, u32 n)
{
	v128 sign = op_i8x16_splat(0x80u >> (n & 7));

	return (op_i8x16_shr_u(a, n) ^ sign) - sign;
}

/* Bytes by number.  The instruction gives 0 where bit 7 of the number is set,
 * and else looks at four bits. */
static inline v128 op_i8x16_swizzle(v128 a, v128 b)
{
	m128i index = _mm_adds_epu8((m128i)b, _mm_set1_epi8(0x70));

	return (v128)_mm_shuffle_epi8((m128i)a, index);
}

static inline v128 op_i8x16_relaxed_swizzle(v128 a, v128 b)
{
	return (v128)_mm_shuffle_epi8((m128i)a, (m128i)b);
}

/* lanes: the 16 immediates, each below 32. */
static inline v128 op_i8x16_shuffle(v128 a, v128 b, v128 lanes)
{
	m128i from_a = _mm_shuffle_epi8((m128i)a, (m128i)(lanes + 0x70));
	m128i from_b = _mm_shuffle_epi8((m128i)b, (m128i)(lanes - 16));

	return (v128)(from_a | from_b);
}

static inline v128 op_i8x16_popcnt(v128 a)
{
	const m128i counts =
		_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
	v128 low = a & 15, high = op_i8x16_shr_u(a, 4);

	return (v128)_mm_shuffle_epi8(counts, (m128i)low) +
	       (v128)_mm_shuffle_epi8(counts, (m128i)high);
}

/* One bit of each lane. */
static inline u32 op_v128_any_true(v128 a)
{
	return !_mm_testz_si128((m128i)a, (m128i)a);
}

static inline u32 op_i8x16_all_true(v128 a)
{
	return !op_v128_any_true((v128)(a == 0));
}

static inline u32 op_i16x8_all_true(v128 a)
{
	return !op_v128_any_true((v128)((u16x8)a == 0));
}

static inline u32 op_i32x4_all_true(v128 a)
{
	return !op_v128_any_true((v128)((u32x4)a == 0));
}

static inline u32 op_i64x2_all_true(v128 a)
{
	return !op_v128_any_true((v128)((u64x2)a == 0));
}

static inline u32 op_i8x16_bitmask(v128 a)
{
	return (u32)_mm_movemask_epi8((m128i)a);
}

static inline u32 op_i16x8_bitmask(v128 a)
{
	return (u32)_mm_movemask_epi8(_mm_packs_epi16((m128i)a, (m128i)a)) &
	       0xff;
}

static inline u32 op_i32x4_bitmask(v128 a)
{
	return (u32)_mm_movemask_ps((__m128)a);
}

static inline u32 op_i64x2_bitmask(v128 a)
{
	return (u32)_mm_movemask_pd((__m128d)a);
}

/* Products. */
static inline v128 op_i16x8_q15mulr_sat_s(v128 a, v128 b)
{
	s16x8 product = (s16x8)_mm_mulhrs_epi16((m128i)a, (m128i)b);

	/* only -1 * -1 overflows, and becomes -1 */
	return (v128)(product ^ (product == INT16_MIN));
}

/* clang-format off */
WASM_VECTOR_2(i16x8_relaxed_q15mulr_s, m128i, _mm_mulhrs_epi16(a, b))
WASM_VECTOR_2(i32x4_dot_i16x8_s, m128i, _mm_madd_epi16(a, b))
WASM_VECTOR_2(i16x8_relaxed_dot_i8x16_i7x16_s, m128i, _mm_maddubs_epi16(b, a))
WASM_VECTOR_3(i32x4_relaxed_dot_i8x16_i7x16_add_s, m128i,
	      _mm_add_epi32(_mm_madd_epi16(_mm_maddubs_epi16(b, a),
					   _mm_set1_epi16(1)), c))

WASM_VECTOR_1(i16x8_extadd_pairwise_i8x16_s, m128i,
	      _mm_maddubs_epi16(_mm_set1_epi8(1), a))
WASM_VECTOR_1(i16x8_extadd_pairwise_i8x16_u, m128i,
	      _mm_maddubs_epi16(a, _mm_set1_epi8(1)))
WASM_VECTOR_1(i32x4_extadd_pairwise_i16x8_s, m128i,
	      _mm_madd_epi16(a, _mm_set1_epi16(1)))
WASM_VECTOR_1(i32x4_extadd_pairwise_i16x8_u, u32x4, (a & 0xffff) + (a >> 16))

#define WASM_PRODUCT_8(half, s)                                     \
	WASM_VECTOR_2(i16x8_extmul_##half##_i8x16_##s, v128,        \
		      (u16x8)op_i16x8_extend_##half##_i8x16_##s(a) * \
		      (u16x8)op_i16x8_extend_##half##_i8x16_##s(b))
WASM_PRODUCT_8(low, s)
WASM_PRODUCT_8(high, s)
WASM_PRODUCT_8(low, u)
WASM_PRODUCT_8(high, u)

#define WASM_PRODUCT_16(half, lohi, s, epi)                  \
	WASM_VECTOR_2(i32x4_extmul_##half##_i16x8_##s, m128i, \
		      _mm_unpack##lohi##_epi16(              \
			_mm_mullo_epi16(a, b), _mm_mulhi_##epi(a, b)))
WASM_PRODUCT_16(low, lo, s, epi16)
WASM_PRODUCT_16(high, hi, s, epi16)
WASM_PRODUCT_16(low, lo, u, epu16)
WASM_PRODUCT_16(high, hi, u, epu16)

#define WASM_PRODUCT_32(half, lohi, s, epi)                   \
	WASM_VECTOR_2(i64x2_extmul_##half##_i32x4_##s, m128i,  \
		      _mm_mul_##epi(_mm_unpack##lohi##_epi32(a, a), \
				    _mm_unpack##lohi##_epi32(b, b)))
WASM_PRODUCT_32(low, lo, s, epi32)
WASM_PRODUCT_32(high, hi, s, epi32)
WASM_PRODUCT_32(low, lo, u, epu32)
WASM_PRODUCT_32(high, hi, u, epu32)

/* Floating point.  Where min and max differ with the order of operands, both
 * are zeros (as in arith.h), or one is a NaN, and then the sum is taken. */
#define WASM_FLOATS(shape, type, ps, m128)                          \
	WASM_VECTOR_2(shape##_eq, type, a == b)                           \
	WASM_VECTOR_2(shape##_ne, type, a != b)                           \
	WASM_VECTOR_2(shape##_lt, type, a < b)                            \
	WASM_VECTOR_2(shape##_gt, type, a > b)                            \
	WASM_VECTOR_2(shape##_le, type, a <= b)                           \
	WASM_VECTOR_2(shape##_ge, type, a >= b)                           \
	WASM_VECTOR_2(shape##_add, type, a + b)                           \
	WASM_VECTOR_2(shape##_sub, type, a - b)                           \
	WASM_VECTOR_2(shape##_mul, type, a * b)                           \
	WASM_VECTOR_2(shape##_div, type, a / b)                           \
	WASM_VECTOR_1(shape##_abs, m128,                                  \
		      _mm_andnot_##ps(_mm_set1_##ps(-0.0), a))            \
	WASM_VECTOR_1(shape##_neg, m128,                                  \
		      _mm_xor_##ps(_mm_set1_##ps(-0.0), a))               \
	WASM_VECTOR_1(shape##_sqrt, m128, _mm_sqrt_##ps(a))               \
	WASM_VECTOR_1(shape##_ceil, m128, _mm_ceil_##ps(a))               \
	WASM_VECTOR_1(shape##_floor, m128, _mm_floor_##ps(a))             \
	WASM_VECTOR_1(shape##_trunc, m128,                                \
		      _mm_round_##ps(a, _MM_FROUND_TO_ZERO |              \
					_MM_FROUND_NO_EXC))               \
	WASM_VECTOR_1(shape##_nearest, m128,                              \
		      _mm_round_##ps(a, _MM_FROUND_TO_NEAREST_INT |       \
					_MM_FROUND_NO_EXC))               \
	WASM_VECTOR_2(shape##_min, m128, _mm_blendv_##ps(                 \
		_mm_or_##ps(_mm_min_##ps(a, b), _mm_min_##ps(b, a)),      \
		_mm_add_##ps(a, b), _mm_cmpunord_##ps(a, b)))             \
	WASM_VECTOR_2(shape##_max, m128, _mm_blendv_##ps(                 \
		_mm_and_##ps(_mm_max_##ps(a, b), _mm_max_##ps(b, a)),     \
		_mm_add_##ps(a, b), _mm_cmpunord_##ps(a, b)))             \
	WASM_VECTOR_2(shape##_pmin, m128, _mm_min_##ps(b, a))             \
	WASM_VECTOR_2(shape##_pmax, m128, _mm_max_##ps(b, a))             \
	WASM_VECTOR_2(shape##_relaxed_min, m128, _mm_min_##ps(a, b))      \
	WASM_VECTOR_2(shape##_relaxed_max, m128, _mm_max_##ps(a, b))      \
	WASM_VECTOR_3(shape##_relaxed_madd, m128,                         \
		      _mm_add_##ps(_mm_mul_##ps(a, b), c))                \
	WASM_VECTOR_3(shape##_relaxed_nmadd, m128,                        \
		      _mm_sub_##ps(c, _mm_mul_##ps(a, b)))
WASM_FLOATS(f32x4, f32x4, ps, __m128)
WASM_FLOATS(f64x2, f64x2, pd, __m128d)

WASM_VECTOR_3(i8x16_relaxed_laneselect, v128, op_v128_bitselect(a, b, c))
WASM_VECTOR_3(i16x8_relaxed_laneselect, v128, op_v128_bitselect(a, b, c))
WASM_VECTOR_3(i32x4_relaxed_laneselect, v128, op_v128_bitselect(a, b, c))
WASM_VECTOR_3(i64x2_relaxed_laneselect, v128, op_v128_bitselect(a, b, c))

/* Conversions. */
WASM_VECTOR_1(f32x4_demote_f64x2_zero, __m128d, _mm_cvtpd_ps(a))
WASM_VECTOR_1(f64x2_promote_low_f32x4, __m128, _mm_cvtps_pd(a))
WASM_VECTOR_1(f32x4_convert_i32x4_s, m128i, _mm_cvtepi32_ps(a))
WASM_VECTOR_1(f64x2_convert_low_i32x4_s, m128i, _mm_cvtepi32_pd(a))
WASM_VECTOR_1(i32x4_relaxed_trunc_f32x4_s, __m128, _mm_cvttps_epi32(a))
WASM_VECTOR_1(i32x4_relaxed_trunc_f64x2_s_zero, __m128d, _mm_cvttpd_epi32(a))
/* clang-format on */

/* Both halves are exact, so that only their sum is rounded. */
static inline v128 op_f32x4_convert_i32x4_u(v128 a)
{
	u32x4 high = (u32x4)a >> 16, low = (u32x4)a & 0xffff;
	f32x4 value = (f32x4)_mm_cvtepi32_ps((m128i)high) * 65536.0f;

	return (v128)(value + (f32x4)_mm_cvtepi32_ps((m128i)low));
}

/* The number as the fraction of 2^52, less 2^52. */
static inline v128 op_f64x2_convert_low_i32x4_u(v128 a)
{
	m128i high = _mm_set1_epi32(0x43300000);
	f64x2 value = (f64x2)_mm_unpacklo_epi32((m128i)a, high);

	return (v128)(value - 4503599627370496.0);
}

/* The instruction gives INT32_MIN for all that does not fit. */
static inline v128 op_i32x4_trunc_sat_f32x4_s(v128 a)
{
	f32x4 value = (f32x4)(a & (v128)((f32x4)a == (f32x4)a));
	s32x4 result = (s32x4)_mm_cvttps_epi32((__m128)value);

	return (v128)(result ^ (value >= 2147483648.0f));
}

/* In two parts: what is below 2^31, and what is above. */
static inline v128 op_i32x4_trunc_sat_f32x4_u(v128 a)
{
	__m128 value = _mm_max_ps((__m128)a, _mm_setzero_ps()); /* NaN: 0 */
	__m128 rest = value - _mm_set1_ps(2147483648.0f);
	m128i over = (m128i)_mm_cmpge_ps(rest, _mm_set1_ps(2147483648.0f));
	m128i above = _mm_cvttps_epi32(rest) ^ over;

	above = _mm_max_epi32(above, _mm_setzero_si128());
	return (v128)((u32x4)_mm_cvttps_epi32(value) + (u32x4)above);
}

static inline v128 op_i32x4_trunc_sat_f64x2_s_zero(v128 a)
{
	__m128d value = (__m128d)(a & (v128)((f64x2)a == (f64x2)a));

	value = _mm_min_pd(value, _mm_set1_pd(2147483647.0));
	return (v128)_mm_cvttpd_epi32(value);
}

/* Cut to a whole number that fits, whose bits stand below 2^52. */
static inline v128 op_i32x4_trunc_sat_f64x2_u_zero(v128 a)
{
	__m128d value = _mm_max_pd((__m128d)a, _mm_setzero_pd()); /* NaN: 0 */

	value = _mm_min_pd(value, _mm_set1_pd(4294967295.0));
	value = _mm_round_pd(value, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
	value += _mm_set1_pd(4503599627370496.0);
	return (v128)_mm_shuffle_ps((__m128)value, _mm_setzero_ps(), 0x88);
}

static inline v128 op_i32x4_relaxed_trunc_f32x4_u(v128 a)
{
	return op_i32x4_trunc_sat_f32x4_u(a);
}

static inline v128 op_i32x4_relaxed_trunc_f64x2_u_zero(v128 a)
{
	return op_i32x4_trunc_sat_f64x2_u_zero(a);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Each vector operation is what a plain loop over lanes says: a test each,
 * named as its function, on all pairs of edge and random vectors.  The last
 * test asks the table of operations whether one was forgotten. */
#include "test.h"
#include "wasm/operations.h"
#include "wasm/simd.h"

enum { EDGES = 28, INPUTS = EDGES + 60 };

union lanes {
	v128 v;
	u8 u8[16];
	s8 s8[16];
	u16 u16[8];
	s16 s16[8];
	u32 u32[4];
	s32 s32[4];
	u64 u64[2];
	s64 s64[2];
	float f32[4];
	double f64[2];
};
static union lanes inputs[INPUTS];

static u64 random_bits(void)
{
	static u64 state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1d;
}

static const u32 f32_edges[] = {
	0,	    0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
	0x7fc00000, 0xffc00000, 0x7f800001, 0xffa00000, 0x7fc01234, 1,
	0x807fffff, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0xbf000000, 0x3fc00000,
	0xbfc00000, 0x40200000, 0xc0200000, 0x4effffff, 0x4f000000, 0xcf000000,
	0xcf000001, 0x4f7fffff, 0x4f800000, 0x5f000000, 0xdf000000, 0x5f800000,
	0x4b000001, 0xcb000001, 0x4afffffd, 0x3f7fffff, 0xbf7fffff, 0x40000000,
};
static const u64 f64_edges[] = {
	0,
	0x8000000000000000,
	0x3ff0000000000000,
	0xbff0000000000000,
	0x7ff0000000000000,
	0xfff0000000000000,
	0x7ff8000000000000,
	0xfff8000000000000,
	0x7ff0000000000001,
	0xfff4000000000000,
	0x7ff8000012340000,
	1,
	0x800fffffffffffff,
	0x7fefffffffffffff,
	0x3fe0000000000000,
	0xbfe0000000000000,
	0x3ff8000000000000,
	0x4004000000000000,
	0xc004000000000000,
	0x41dfffffffc00000, /* 2^31 - 1 */
	0x41e0000000000000, /* 2^31 */
	0xc1e0000000000000,
	0xc1e0000000200000, /* -2^31 - 1 */
	0x41efffffffe00000, /* 2^32 - 1 */
	0x41efffffffffffff,
	0x41f0000000000000, /* 2^32 */
	0x43e0000000000000,
	0xc3e0000000000000,
	0x4330000000000001,
	0xc330000000000001,
	0x432ffffffffffffd,
	0x3fefffffffffffff,
};
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Vectors of whole edges, of mixed edges of one width, then of any bits. */
static void __attribute__((constructor)) inputs_make(void)
{
	static const u8 bytes[] = { 0, 0xff, 0x80, 0x7f, 1, 0x55 };
	unsigned n = 0;

	for (unsigned i = 0; i < COUNT(bytes); i++)
		inputs[n++].v = (v128){ 0 } + bytes[i];
	inputs[n++].v = (v128)((u16x8){ 0 } + 0x8000);
	inputs[n++].v = (v128)((u32x4){ 0 } + 0x80000000);
	inputs[n++].v = (v128)((u64x2){ 0 } + 0x8000000000000000);
	inputs[n++].v = (v128)((u64x2){ 0 } + 0x7fffffffffffffff);
	while (n < EDGES)
		for (unsigned k = 0; k < 16; k++)
			inputs[n].u8[k] = bytes[random_bits() % COUNT(bytes)],
			n += k == 15;
	for (; n < INPUTS; n++)
		for (unsigned k = 0; k < 4; k++)
			inputs[n].u32[k] = n & 1 ? f32_edges[random_bits() %
							     COUNT(f32_edges)]
						 : (u32)random_bits();
	for (n = EDGES + 3; n < INPUTS; n += 4)
		for (unsigned k = 0; k < 2; k++)
			inputs[n].u64[k] =
				f64_edges[random_bits() % COUNT(f64_edges)];
}

static void say(const char *name, union lanes got, union lanes want)
{
	if (test_failures++ > 3)
		return;
	printf("# %s: %016llx%016llx, not %016llx%016llx\n", name,
	       (long long)got.u64[1], (long long)got.u64[0],
	       (long long)want.u64[1], (long long)want.u64[0]);
}

static void same(const char *name, v128 got, union lanes want)
{
	union lanes lanes = { .v = got };

	if (memcmp(&lanes, &want, sizeof(lanes)) != 0)
		say(name, lanes, want);
}

/* Each lane k of the result is the expression; "type" is how it is seen. */
#define TRY_1(name, type, expression)                                \
	TEST(name)                                                   \
	{                                                            \
		for (unsigned i = 0; i < INPUTS; i++) {              \
			union lanes a = inputs[i], want = { 0 };     \
			for (unsigned k = 0; k < COUNT(a.type); k++) \
				want.type[k] = (type)(expression);   \
			same(#name, op_##name(a.v), want);           \
		}                                                    \
	}
#define TRY_2(name, type, expression)                                \
	TEST(name)                                                   \
	{                                                            \
		for (unsigned i = 0; i < INPUTS * INPUTS; i++) {     \
			union lanes a = inputs[i % INPUTS];          \
			union lanes b = inputs[i / INPUTS], want;    \
			for (unsigned k = 0; k < COUNT(a.type); k++) \
				want.type[k] = (type)(expression);   \
			same(#name, op_##name(a.v, b.v), want);      \
		}                                                    \
	}
#define TRY_3(name, type, expression)                                \
	TEST(name)                                                   \
	{                                                            \
		for (unsigned i = 0; i < INPUTS * INPUTS; i++) {     \
			union lanes a = inputs[i % INPUTS];          \
			union lanes b = inputs[i / INPUTS], want;    \
			union lanes c = inputs[i * 7 % INPUTS];      \
			for (unsigned k = 0; k < COUNT(a.type); k++) \
				want.type[k] = (type)(expression);   \
			same(#name, op_##name(a.v, b.v, c.v), want); \
		}                                                    \
	}
/* A vector and a count. */
#define TRY_SHIFT(name, type, expression)                            \
	TEST(name)                                                   \
	{                                                            \
		for (unsigned i = 0; i < INPUTS * 150; i++) {        \
			union lanes a = inputs[i % INPUTS], want;    \
			u32 n = i / INPUTS;                          \
			for (unsigned k = 0; k < COUNT(a.type); k++) \
				want.type[k] = (type)(expression);   \
			same(#name, op_##name(a.v, n), want);        \
		}                                                    \
	}
/* A number of a vector. */
#define TRY_TELL(name, type, first, step)                            \
	TEST(name)                                                   \
	{                                                            \
		for (unsigned i = 0; i < INPUTS; i++) {              \
			union lanes a = inputs[i];                   \
			u32 told = first;                            \
			for (unsigned k = 0; k < COUNT(a.type); k++) \
				told = step;                         \
			CHECK_INT(op_##name(a.v), told);             \
		}                                                    \
	}

/* Bits. */
TRY_1(v128_not, u64, ~a.u64[k])
TRY_2(v128_and, u64, a.u64[k] & b.u64[k])
TRY_2(v128_andnot, u64, a.u64[k] & ~b.u64[k])
TRY_2(v128_or, u64, a.u64[k] | b.u64[k])
TRY_2(v128_xor, u64, a.u64[k] ^ b.u64[k])
TRY_3(v128_bitselect, u64, (a.u64[k] & c.u64[k]) | (b.u64[k] & ~c.u64[k]))
TRY_3(i8x16_relaxed_laneselect, u64,
      (a.u64[k] & c.u64[k]) | (b.u64[k] & ~c.u64[k]))
TRY_3(i16x8_relaxed_laneselect, u64,
      (a.u64[k] & c.u64[k]) | (b.u64[k] & ~c.u64[k]))
TRY_3(i32x4_relaxed_laneselect, u64,
      (a.u64[k] & c.u64[k]) | (b.u64[k] & ~c.u64[k]))
TRY_3(i64x2_relaxed_laneselect, u64,
      (a.u64[k] & c.u64[k]) | (b.u64[k] & ~c.u64[k]))
TRY_TELL(v128_any_true, u64, 0, told | (a.u64[k] != 0))

/* Integers: "u" and "s" are the lane's types, "big" holds sums. */
#define CLAMP(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))
#define TRY_INTEGERS(shape, u, s, width)                         \
	TRY_1(shape##_neg, u, 0u - a.u[k])                       \
	TRY_1(shape##_abs, u, a.s[k] < 0 ? 0u - a.u[k] : a.u[k]) \
	TRY_2(shape##_add, u, a.u[k] + b.u[k])                   \
	TRY_2(shape##_sub, u, a.u[k] - b.u[k])                   \
	TRY_2(shape##_eq, u, a.u[k] == b.u[k] ? -1 : 0)          \
	TRY_2(shape##_ne, u, a.u[k] != b.u[k] ? -1 : 0)          \
	TRY_2(shape##_lt_s, u, a.s[k] < b.s[k] ? -1 : 0)         \
	TRY_2(shape##_gt_s, u, a.s[k] > b.s[k] ? -1 : 0)         \
	TRY_2(shape##_le_s, u, a.s[k] <= b.s[k] ? -1 : 0)        \
	TRY_2(shape##_ge_s, u, a.s[k] >= b.s[k] ? -1 : 0)        \
	TRY_SHIFT(shape##_shl, u, (u64)a.u[k] << n % width)      \
	TRY_SHIFT(shape##_shr_u, u, a.u[k] >> n % width)         \
	TRY_SHIFT(shape##_shr_s, s, a.s[k] >> n % width)         \
	TRY_TELL(shape##_all_true, u, 1, told &&a.u[k])          \
	TRY_TELL(shape##_bitmask, s, 0, told | (u32)(a.s[k] < 0) << k)
TRY_INTEGERS(i8x16, u8, s8, 8)
TRY_INTEGERS(i16x8, u16, s16, 16)
TRY_INTEGERS(i32x4, u32, s32, 32)
TRY_INTEGERS(i64x2, u64, s64, 64)

#define TRY_UNSIGNED(shape, u, s)                                  \
	TRY_2(shape##_lt_u, u, a.u[k] < b.u[k] ? -1 : 0)           \
	TRY_2(shape##_gt_u, u, a.u[k] > b.u[k] ? -1 : 0)           \
	TRY_2(shape##_le_u, u, a.u[k] <= b.u[k] ? -1 : 0)          \
	TRY_2(shape##_ge_u, u, a.u[k] >= b.u[k] ? -1 : 0)          \
	TRY_2(shape##_min_s, s, a.s[k] < b.s[k] ? a.s[k] : b.s[k]) \
	TRY_2(shape##_min_u, u, a.u[k] < b.u[k] ? a.u[k] : b.u[k]) \
	TRY_2(shape##_max_s, s, a.s[k] > b.s[k] ? a.s[k] : b.s[k]) \
	TRY_2(shape##_max_u, u, a.u[k] > b.u[k] ? a.u[k] : b.u[k])
TRY_UNSIGNED(i8x16, u8, s8)
TRY_UNSIGNED(i16x8, u16, s16)
TRY_UNSIGNED(i32x4, u32, s32)

#define TRY_SATURATING(shape, u, s, low, high, most)                   \
	TRY_2(shape##_add_sat_s, s, CLAMP(a.s[k] + b.s[k], low, high)) \
	TRY_2(shape##_sub_sat_s, s, CLAMP(a.s[k] - b.s[k], low, high)) \
	TRY_2(shape##_add_sat_u, u, CLAMP(a.u[k] + b.u[k], 0, most))   \
	TRY_2(shape##_sub_sat_u, u, CLAMP(a.u[k] - b.u[k], 0, most))   \
	TRY_2(shape##_avgr_u, u, (a.u[k] + b.u[k] + 1) / 2)
TRY_SATURATING(i8x16, u8, s8, -128, 127, 255)
TRY_SATURATING(i16x8, u16, s16, -32768, 32767, 65535)
TRY_2(i8x16_narrow_i16x8_s, s8,
      CLAMP(k < 8 ? a.s16[k] : b.s16[k - 8], -128, 127))
TRY_2(i8x16_narrow_i16x8_u, u8, CLAMP(k < 8 ? a.s16[k] : b.s16[k - 8], 0, 255))
TRY_2(i16x8_narrow_i32x4_s, s16,
      CLAMP(k < 4 ? a.s32[k] : b.s32[k - 4], -32768, 32767))
TRY_2(i16x8_narrow_i32x4_u, u16,
      CLAMP(k < 4 ? a.s32[k] : b.s32[k - 4], 0, 65535))
TRY_1(i8x16_popcnt, u8, __builtin_popcount(a.u8[k]))

/* Products and sums of neighbours. */
TRY_2(i16x8_mul, u16, (u32)a.u16[k] * b.u16[k])
TRY_2(i32x4_mul, u32, a.u32[k] * b.u32[k])
TRY_2(i64x2_mul, u64, a.u64[k] * b.u64[k])
#define Q15(a, b) (((a) * (b) + 0x4000) >> 15)
TRY_2(i16x8_q15mulr_sat_s, s16, CLAMP(Q15(a.s16[k], b.s16[k]), -32768, 32767))
TRY_2(i16x8_relaxed_q15mulr_s, s16, Q15(a.s16[k], b.s16[k]))
TRY_2(i32x4_dot_i16x8_s, s32,
      (u32)(a.s16[2 * k] * b.s16[2 * k]) +
	      (u32)(a.s16[2 * k + 1] * b.s16[2 * k + 1]))
#define DOT8(k) \
	CLAMP(a.s8[k] * b.u8[k] + a.s8[(k) + 1] * b.u8[(k) + 1], -32768, 32767)
TRY_2(i16x8_relaxed_dot_i8x16_i7x16_s, s16, DOT8(2 * k))
TRY_3(i32x4_relaxed_dot_i8x16_i7x16_add_s, u32,
      c.u32[k] + (u32)(DOT8(4 * k) + DOT8(4 * k + 2)))
#define TRY_WIDER(to, from, s, low, half)                                   \
	TRY_1(to##_extend_low_##from##_##s, low, a.half[k])                 \
	TRY_1(to##_extend_high_##from##_##s, low, a.half[k + COUNT(a.low)]) \
	TRY_2(to##_extmul_low_##from##_##s, low,                            \
	      (u64)(low)a.half[k] * (u64)(low)b.half[k])                    \
	TRY_2(to##_extmul_high_##from##_##s, low,                           \
	      (u64)(low)a.half[k + COUNT(a.low)] *                          \
		      (u64)(low)b.half[k + COUNT(a.low)])
TRY_WIDER(i16x8, i8x16, s, s16, s8)
TRY_WIDER(i16x8, i8x16, u, u16, u8)
TRY_WIDER(i32x4, i16x8, s, s32, s16)
TRY_WIDER(i32x4, i16x8, u, u32, u16)
TRY_WIDER(i64x2, i32x4, s, s64, s32)
TRY_WIDER(i64x2, i32x4, u, u64, u32)
TRY_1(i16x8_extadd_pairwise_i8x16_s, s16, a.s8[2 * k] + a.s8[2 * k + 1])
TRY_1(i16x8_extadd_pairwise_i8x16_u, u16, a.u8[2 * k] + a.u8[2 * k + 1])
TRY_1(i32x4_extadd_pairwise_i16x8_s, s32, a.s16[2 * k] + a.s16[2 * k + 1])
TRY_1(i32x4_extadd_pairwise_i16x8_u, u32, a.u16[2 * k] + a.u16[2 * k + 1])

/* Bytes by number. */
TRY_2(i8x16_swizzle, u8, b.u8[k] < 16 ? a.u8[b.u8[k]] : 0)
TRY_2(i8x16_relaxed_swizzle, u8, b.u8[k] < 128 ? a.u8[b.u8[k] % 16] : 0)

TEST(i8x16_shuffle)
{
	for (unsigned i = 0; i < INPUTS * INPUTS; i++) {
		union lanes a = inputs[i % INPUTS], b = inputs[i / INPUTS];
		union lanes lanes, want;

		for (unsigned k = 0; k < 16; k++) {
			lanes.u8[k] = random_bits() % 32;
			want.u8[k] = lanes.u8[k] < 16 ? a.u8[lanes.u8[k]]
						      : b.u8[lanes.u8[k] - 16];
		}
		same("shuffle", op_i8x16_shuffle(a.v, b.v, lanes.v), want);
	}
}

/* Lanes: in registers and in memory. */
#define TRY_LANES(shape, member)                                              \
	TEST(shape##_splat)                                                   \
	{                                                                     \
		for (unsigned i = 0; i < INPUTS; i++) {                       \
			union lanes a = inputs[i], want;                      \
			for (unsigned k = 0; k < COUNT(a.member); k++)        \
				want.member[k] = a.member[0];                 \
			same("splat", op_##shape##_splat(a.member[0]), want); \
		}                                                             \
	}                                                                     \
	TEST(shape##_replace_lane)                                            \
	{                                                                     \
		for (unsigned i = 0; i < INPUTS; i++) {                       \
			union lanes a = inputs[i], want = a;                  \
			union lanes b = inputs[INPUTS - 1 - i];               \
			unsigned k = i % COUNT(a.member);                     \
			want.member[k] = b.member[0];                         \
			same("replace",                                       \
			     op_##shape##_replace_lane(a.v, b.member[0], k),  \
			     want);                                           \
		}                                                             \
	}
TRY_LANES(i8x16, u8)
TRY_LANES(i16x8, u16)
TRY_LANES(i32x4, u32)
TRY_LANES(i64x2, u64)
TRY_LANES(f32x4, f32)
TRY_LANES(f64x2, f64)

#define TRY_EXTRACT(name, type, result)                               \
	TEST(name)                                                    \
	{                                                             \
		for (unsigned i = 0; i < INPUTS * 16; i++) {          \
			union lanes a = inputs[i / 16];               \
			unsigned k = i % COUNT(a.type);               \
			result got = op_##name(a.v, k);               \
			result want = (result)a.type[k];              \
			CHECK(memcmp(&got, &want, sizeof(got)) == 0); \
		}                                                     \
	}
TRY_EXTRACT(i8x16_extract_lane_s, s8, u32)
TRY_EXTRACT(i8x16_extract_lane_u, u8, u32)
TRY_EXTRACT(i16x8_extract_lane_s, s16, u32)
TRY_EXTRACT(i16x8_extract_lane_u, u16, u32)
TRY_EXTRACT(i32x4_extract_lane, u32, u32)
TRY_EXTRACT(i64x2_extract_lane, u64, u64)
TRY_EXTRACT(f32x4_extract_lane, f32, float)
TRY_EXTRACT(f64x2_extract_lane, f64, double)

static u8 bytes[64] __attribute__((aligned(16)));

#define TRY_LOAD(name, type, expression)                                       \
	TEST(v128_load##name)                                                  \
	{                                                                      \
		for (unsigned i = 0; i < INPUTS; i++) {                        \
			union lanes a = inputs[i], want = { 0 };               \
			memcpy(bytes + i % 32, &a, 16);                        \
			for (unsigned k = 0; k < COUNT(a.type); k++)           \
				want.type[k] = expression;                     \
			same(#name, op_v128_load##name(bytes + i % 32), want); \
		}                                                              \
	}
TRY_LOAD(, u64, a.u64[k])
TRY_LOAD(8x8_s, s16, a.s8[k])
TRY_LOAD(8x8_u, u16, a.u8[k])
TRY_LOAD(16x4_s, s32, a.s16[k])
TRY_LOAD(16x4_u, u32, a.u16[k])
TRY_LOAD(32x2_s, s64, a.s32[k])
TRY_LOAD(32x2_u, u64, a.u32[k])
TRY_LOAD(8_splat, u8, a.u8[0])
TRY_LOAD(16_splat, u16, a.u16[0])
TRY_LOAD(32_splat, u32, a.u32[0])
TRY_LOAD(64_splat, u64, a.u64[0])
TRY_LOAD(32_zero, u32, k == 0 ? a.u32[0] : 0)
TRY_LOAD(64_zero, u64, k == 0 ? a.u64[0] : 0)

#define TRY_MEMORY_LANE(width, type)                                         \
	TEST(v128_load##width##_lane)                                        \
	{                                                                    \
		for (unsigned i = 0; i < INPUTS; i++) {                      \
			union lanes a = inputs[i], want = a;                 \
			unsigned k = i % COUNT(a.type);                      \
			memcpy(bytes + i % 32, &inputs[INPUTS - 1 - i], 16); \
			memcpy(&want.type[k], bytes + i % 32,                \
			       sizeof(want.type[k]));                        \
			same("load lane",                                    \
			     op_v128_load##width##_lane(bytes + i % 32, a.v, \
							k),                  \
			     want);                                          \
		}                                                            \
	}                                                                    \
	TEST(v128_store##width##_lane)                                       \
	{                                                                    \
		for (unsigned i = 0; i < INPUTS; i++) {                      \
			union lanes a = inputs[i];                           \
			unsigned k = i % COUNT(a.type);                      \
			u8 want[64];                                         \
			memset(bytes, (int)i, 64);                           \
			memcpy(want, bytes, 64);                             \
			memcpy(want + i % 32, &a.type[k], width / 8);        \
			op_v128_store##width##_lane(bytes + i % 32, a.v, k); \
			CHECK(memcmp(bytes, want, 64) == 0);                 \
		}                                                            \
	}
TRY_MEMORY_LANE(8, u8)
TRY_MEMORY_LANE(16, u16)
TRY_MEMORY_LANE(32, u32)
TRY_MEMORY_LANE(64, u64)

TEST(v128_store)
{
	u8 want[64];

	for (unsigned i = 0; i < INPUTS; i++) {
		memset(bytes, (int)i, 64);
		memcpy(want, bytes, 64);
		memcpy(want + i % 32, &inputs[i], 16);
		op_v128_store(bytes + i % 32, inputs[i].v);
		CHECK(memcmp(bytes, want, 64) == 0);
	}
}

/* Floating point.  A NaN must be quiet, and be the canonical one unless an
 * operand was another NaN; its sign is free. */
static bool f32_free(float a)
{
	return a != a && (f32_bits(a) & 0x7fffffff) != 0x7fc00000;
}

static bool f64_free(double a)
{
	return a != a && (f64_bits(a) << 1 >> 1) != 0x7ff8000000000000;
}

static bool f32_fits(float got, float want, bool any_nan)
{
	u32 quiet = f32_bits(got) & 0x7fffffff;

	if (want == want)
		return f32_bits(got) == f32_bits(want);
	return any_nan ? quiet >= 0x7fc00000 : quiet == 0x7fc00000;
}

static bool f64_fits(double got, double want, bool any_nan)
{
	u64 quiet = f64_bits(got) << 1 >> 1;

	if (want == want)
		return f64_bits(got) == f64_bits(want);
	return any_nan ? quiet >= 0x7ff8000000000000
		       : quiet == 0x7ff8000000000000;
}

#define TRY_F1(name, type, from, expression)                             \
	TEST(name)                                                       \
	{                                                                \
		for (unsigned i = 0; i < INPUTS; i++) {                  \
			union lanes a = inputs[i], want = { 0 }, got;    \
			bool fits = true;                                \
			got.v = op_##name(a.v);                          \
			for (unsigned k = 0; k < COUNT(a.type); k++) {   \
				want.type[k] = expression;               \
				fits &= type##_fits(                     \
					got.type[k], want.type[k],       \
					k < COUNT(a.from) &&             \
						from##_free(a.from[k])); \
			}                                                \
			if (!fits)                                       \
				say(#name, got, want);                   \
		}                                                        \
	}
#define TRY_F2(name, type, expression)                                   \
	TEST(name)                                                       \
	{                                                                \
		for (unsigned i = 0; i < INPUTS * INPUTS; i++) {         \
			union lanes a = inputs[i % INPUTS], want, got;   \
			union lanes b = inputs[i / INPUTS];              \
			bool fits = true;                                \
			got.v = op_##name(a.v, b.v);                     \
			for (unsigned k = 0; k < COUNT(a.type); k++) {   \
				want.type[k] = expression;               \
				fits &= type##_fits(                     \
					got.type[k], want.type[k],       \
					type##_free(a.type[k]) ||        \
						type##_free(b.type[k])); \
			}                                                \
			if (!fits)                                       \
				say(#name, got, want);                   \
		}                                                        \
	}

/* What rounding does, without the machine's rounding: in f64, which holds
 * all of f32. */
enum rounding { DOWN, UP, CUT, EVEN };
static double rounded(double a, enum rounding how)
{
	double whole, rest;

	if (!(a > -4503599627370496.0 && a < 4503599627370496.0) || a == 0)
		return a;
	whole = (double)(s64)a;
	rest = a - whole; /* exact */
	if ((how == DOWN && rest < 0) ||
	    (how == EVEN && (rest < -0.5 || (rest == -0.5 && (s64)a % 2))))
		whole -= 1;
	if ((how == UP && rest > 0) ||
	    (how == EVEN && (rest > 0.5 || (rest == 0.5 && (s64)a % 2))))
		whole += 1;
	return __builtin_copysign(whole, a);
}

static double least(double a, double b)
{
	if (a != a || b != b)
		return f64_from(0x7ff8000000000000);
	if (a == b)
		return __builtin_signbit(a) ? a : b;
	return a < b ? a : b;
}

static double greatest(double a, double b)
{
	return -least(-a, -b);
}

/* The machine's square root is taken as given: half an ulp is not tested,
 * only that all lanes take it. */
#define TRY_FLOATS(shape, t, u, ones, sign, root)                        \
	TRY_2(shape##_eq, u, a.t[k] == b.t[k] ? ones : 0)                \
	TRY_2(shape##_ne, u, a.t[k] != b.t[k] ? ones : 0)                \
	TRY_2(shape##_lt, u, a.t[k] < b.t[k] ? ones : 0)                 \
	TRY_2(shape##_gt, u, a.t[k] > b.t[k] ? ones : 0)                 \
	TRY_2(shape##_le, u, a.t[k] <= b.t[k] ? ones : 0)                \
	TRY_2(shape##_ge, u, a.t[k] >= b.t[k] ? ones : 0)                \
	TRY_1(shape##_abs, u, a.u[k] & ~sign)                            \
	TRY_1(shape##_neg, u, a.u[k] ^ sign)                             \
	TRY_F1(shape##_sqrt, t, t, root(a.t[k]))                         \
	TRY_F1(shape##_ceil, t, t, rounded(a.t[k], UP))                  \
	TRY_F1(shape##_floor, t, t, rounded(a.t[k], DOWN))               \
	TRY_F1(shape##_trunc, t, t, rounded(a.t[k], CUT))                \
	TRY_F1(shape##_nearest, t, t, rounded(a.t[k], EVEN))             \
	TRY_F2(shape##_add, t, a.t[k] + b.t[k])                          \
	TRY_F2(shape##_sub, t, a.t[k] - b.t[k])                          \
	TRY_F2(shape##_mul, t, a.t[k] * b.t[k])                          \
	TRY_F2(shape##_div, t, a.t[k] / b.t[k])                          \
	TRY_F2(shape##_min, t, least(a.t[k], b.t[k]))                    \
	TRY_F2(shape##_max, t, greatest(a.t[k], b.t[k]))                 \
	TRY_2(shape##_pmin, u, b.t[k] < a.t[k] ? b.u[k] : a.u[k])        \
	TRY_2(shape##_pmax, u, a.t[k] < b.t[k] ? b.u[k] : a.u[k])        \
	TRY_2(shape##_relaxed_min, u, a.t[k] < b.t[k] ? a.u[k] : b.u[k]) \
	TRY_2(shape##_relaxed_max, u, a.t[k] > b.t[k] ? a.u[k] : b.u[k])
TRY_FLOATS(f32x4, f32, u32, UINT32_MAX, 0x80000000, __builtin_sqrtf)
TRY_FLOATS(f64x2, f64, u64, UINT64_MAX, 0x8000000000000000, __builtin_sqrt)

#define TRY_MADD(name, type, expression)                                  \
	TEST(name)                                                        \
	{                                                                 \
		for (unsigned i = 0; i < INPUTS * INPUTS; i++) {          \
			union lanes a = inputs[i % INPUTS], want, got;    \
			union lanes b = inputs[i / INPUTS];               \
			union lanes c = inputs[i * 7 % INPUTS];           \
			bool fits = true;                                 \
			got.v = op_##name(a.v, b.v, c.v);                 \
			for (unsigned k = 0; k < COUNT(a.type); k++) {    \
				volatile __typeof__(a.type[k]) product =  \
					a.type[k] * b.type[k];            \
				want.type[k] = expression;                \
				fits &= type##_fits(                      \
					got.type[k], want.type[k],        \
					type##_free(a.type[k]) ||         \
						type##_free(b.type[k]) || \
						type##_free(c.type[k]));  \
			}                                                 \
			if (!fits)                                        \
				say(#name, got, want);                    \
		}                                                         \
	}
TRY_MADD(f32x4_relaxed_madd, f32, product + c.f32[k])
TRY_MADD(f32x4_relaxed_nmadd, f32, c.f32[k] - product)
TRY_MADD(f64x2_relaxed_madd, f64, product + c.f64[k])
TRY_MADD(f64x2_relaxed_nmadd, f64, c.f64[k] - product)

/* Conversions. */
#define SATURATED(x, low, high)        \
	((x) != (x)	   ? 0         \
	 : (x) <= low##.0  ? (s64)low  \
	 : (x) >= high##.0 ? (s64)high \
			   : (s64)(x))
#define RAW(x) \
	((x) > -2147483649.0 && (x) < 2147483648.0 ? (s64)(x) : (s64)INT32_MIN)
#define SAT_S(x) SATURATED(x, -2147483648, 2147483647)
#define SAT_U(x) SATURATED(x, 0, 4294967295)
TRY_1(i32x4_trunc_sat_f32x4_s, s32, SAT_S((double)a.f32[k]))
TRY_1(i32x4_trunc_sat_f32x4_u, u32, SAT_U((double)a.f32[k]))
TRY_1(i32x4_trunc_sat_f64x2_s_zero, s32, k < 2 ? SAT_S(a.f64[k % 2]) : 0)
TRY_1(i32x4_trunc_sat_f64x2_u_zero, u32, k < 2 ? SAT_U(a.f64[k % 2]) : 0)
TRY_1(i32x4_relaxed_trunc_f32x4_s, s32, RAW((double)a.f32[k]))
TRY_1(i32x4_relaxed_trunc_f32x4_u, u32, SAT_U((double)a.f32[k]))
TRY_1(i32x4_relaxed_trunc_f64x2_s_zero, s32, k < 2 ? RAW(a.f64[k % 2]) : 0)
TRY_1(i32x4_relaxed_trunc_f64x2_u_zero, u32, k < 2 ? SAT_U(a.f64[k % 2]) : 0)
TRY_F1(f32x4_convert_i32x4_s, f32, f32, (float)a.s32[k])
TRY_F1(f64x2_convert_low_i32x4_s, f64, f64, (double)a.s32[k])
TRY_F1(f64x2_convert_low_i32x4_u, f64, f64, (double)a.u32[k])
TRY_F1(f32x4_demote_f64x2_zero, f32, f64, k < 2 ? (float)a.f64[k % 2] : 0)
TRY_F1(f64x2_promote_low_f32x4, f64, f32, (double)a.f32[k])

TEST(f32x4_convert_i32x4_u)
{
	for (unsigned i = 0; i < 100000; i++) {
		union lanes a, want;

		for (unsigned k = 0; k < 4; k++) {
			/* few bits at both ends: often half-way */
			a.u32[k] = (u32)(random_bits() & 0xff01) << (i % 20) |
				   (u32)random_bits() % 3;
			if (i & 1)
				a.u32[k] = (u32)random_bits();
			want.f32[k] = (float)a.u32[k];
		}
		same("convert", op_f32x4_convert_i32x4_u(a.v), want);
	}
}

static bool is_tried(const char *operation)
{
	char name[64];
	size_t len = strlen(operation);

	for (size_t i = 0; i <= len; i++)
		name[i] = operation[i] == '.' ? '_' : operation[i];
	for (struct test *t = test_first; t; t = t->next)
		if (strcmp(t->name, name) == 0)
			return true;
	return false;
}

TEST(no_operation_is_forgotten)
{
	unsigned count = 0;

	for (unsigned i = 0; i < WASM_OPERATIONS; i++) {
		const struct wasm_operation_info *info = &wasm_operations[i];

		if (info->prefix != 0xfd || info->special || info->code == 0xc)
			continue;
		count++;
		if (!is_tried(info->name))
			test_fail(__FILE__, __LINE__, info->name);
	}
	CHECK_INT(count, 255);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* The scalar functions and short type names that the expressions of
 * operations.tab are written in.  Exact where C is not: a NaN that an
 * operation makes or passes on is quiet, a value that is only moved keeps its
 * bits (x86-64 moves floats in vector registers, whatever they hold). */
#pragma once
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* Linear memory: any address, any earlier type, changed by other threads at
 * any time, so each access is made once, where it is written. */
#define WASM_ANY_PLACE __attribute__((aligned(1), may_alias))
typedef u8 u8_any WASM_ANY_PLACE;
typedef u16 u16_any WASM_ANY_PLACE;
typedef u32 u32_any WASM_ANY_PLACE;
typedef u64 u64_any WASM_ANY_PLACE;
typedef s8 s8_any WASM_ANY_PLACE;
typedef s16 s16_any WASM_ANY_PLACE;
typedef s32 s32_any WASM_ANY_PLACE;
typedef s64 s64_any WASM_ANY_PLACE;
typedef float float_any WASM_ANY_PLACE;
typedef double double_any WASM_ANY_PLACE;
#define LOAD(type, p)	  (*(const volatile type##_any *)(p))
#define STORE(type, p, v) ((void)(*(volatile type##_any *)(p) = (type)(v)))

static inline u32 f32_bits(float a)
{
	u32 bits;
	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline u64 f64_bits(double a)
{
	u64 bits;
	memcpy(&bits, &a, sizeof(bits));
	return bits;
}

static inline float f32_from(u32 bits)
{
	float a;
	memcpy(&a, &bits, sizeof(a));
	return a;
}

static inline double f64_from(u64 bits)
{
	double a;
	memcpy(&a, &bits, sizeof(a));
	return a;
}

/* One instruction each with SSE4.1, which makes a signalling NaN quiet. */
static inline float op_f32_ceil(float a)
{
	return __builtin_ceilf(a);
}

static inline float op_f32_floor(float a)
{
	return __builtin_floorf(a);
}

static inline float op_f32_trunc(float a)
{
	return __builtin_truncf(a);
}

static inline float op_f32_nearest(float a)
{
	return __builtin_rintf(a); /* the rounding mode is never changed */
}

static inline double op_f64_ceil(double a)
{
	return __builtin_ceil(a);
}

static inline double op_f64_floor(double a)
{
	return __builtin_floor(a);
}

static inline double op_f64_trunc(double a)
{
	return __builtin_trunc(a);
}

static inline double op_f64_nearest(double a)
{
	return __builtin_rint(a);
}

/* The choices below are one minss or maxss each.  Where they differ, a and b
 * are zeros of two signs: their bits joined are the lesser, their common bits
 * the greater. */
static inline float op_f32_min(float a, float b)
{
	if (__builtin_expect(__builtin_isunordered(a, b), 0))
		return a + b;
	return f32_from(f32_bits(a < b ? a : b) | f32_bits(b < a ? b : a));
}

static inline float op_f32_max(float a, float b)
{
	if (__builtin_expect(__builtin_isunordered(a, b), 0))
		return a + b;
	return f32_from(f32_bits(a > b ? a : b) & f32_bits(b > a ? b : a));
}

static inline double op_f64_min(double a, double b)
{
	if (__builtin_expect(__builtin_isunordered(a, b), 0))
		return a + b;
	return f64_from(f64_bits(a < b ? a : b) | f64_bits(b < a ? b : a));
}

static inline double op_f64_max(double a, double b)
{
	if (__builtin_expect(__builtin_isunordered(a, b), 0))
		return a + b;
	return f64_from(f64_bits(a > b ? a : b) & f64_bits(b > a ? b : a));
}

/* Saturating conversions: NaN is 0. */
static inline u32 op_i32_trunc_sat_f32_s(float a)
{
	if (!(a >= -2147483648.0f))
		return a != a ? 0 : (u32)INT32_MIN;
	return a < 2147483648.0f ? (u32)(s32)a : INT32_MAX;
}

static inline u32 op_i32_trunc_sat_f32_u(float a)
{
	if (!(a > -1.0f))
		return 0;
	return a < 4294967296.0f ? (u32)(s64)a : UINT32_MAX;
}

static inline u32 op_i32_trunc_sat_f64_s(double a)
{
	if (!(a > -2147483649.0))
		return a != a ? 0 : (u32)INT32_MIN;
	return a < 2147483648.0 ? (u32)(s32)a : INT32_MAX;
}

static inline u32 op_i32_trunc_sat_f64_u(double a)
{
	if (!(a > -1.0))
		return 0;
	return a < 4294967296.0 ? (u32)(s64)a : UINT32_MAX;
}

static inline u64 op_i64_trunc_sat_f32_s(float a)
{
	if (!(a >= -9223372036854775808.0f))
		return a != a ? 0 : (u64)INT64_MIN;
	return a < 9223372036854775808.0f ? (u64)(s64)a : INT64_MAX;
}

static inline u64 op_i64_trunc_sat_f32_u(float a)
{
	if (!(a > -1.0f))
		return 0;
	return a < 18446744073709551616.0f ? (u64)a : UINT64_MAX;
}

static inline u64 op_i64_trunc_sat_f64_s(double a)
{
	if (!(a >= -9223372036854775808.0))
		return a != a ? 0 : (u64)INT64_MIN;
	return a < 9223372036854775808.0 ? (u64)(s64)a : INT64_MAX;
}

static inline u64 op_i64_trunc_sat_f64_u(double a)
{
	if (!(a > -1.0))
		return 0;
	return a < 18446744073709551616.0 ? (u64)a : UINT64_MAX;
}

/* Wide arithmetic: the low word is returned, the high one put to *high. */
static inline u64 wide_result(unsigned __int128 wide, u64 *high)
{
	*high = (u64)(wide >> 64);
	return (u64)wide;
}

static inline u64 op_i64_add128(u64 a, u64 a_high, u64 b, u64 b_high, u64 *high)
{
	unsigned __int128 left = (unsigned __int128)a_high << 64 | a;
	unsigned __int128 right = (unsigned __int128)b_high << 64 | b;

	return wide_result(left + right, high);
}

static inline u64 op_i64_sub128(u64 a, u64 a_high, u64 b, u64 b_high, u64 *high)
{
	unsigned __int128 left = (unsigned __int128)a_high << 64 | a;
	unsigned __int128 right = (unsigned __int128)b_high << 64 | b;

	return wide_result(left - right, high);
}

static inline u64 op_i64_mul_wide_s(u64 a, u64 b, u64 *high)
{
	return wide_result((unsigned __int128)((__int128)(s64)a * (s64)b),
			   high);
}

static inline u64 op_i64_mul_wide_u(u64 a, u64 b, u64 *high)
{
	return wide_result((unsigned __int128)a * b, high);
}

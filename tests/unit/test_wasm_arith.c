/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar operations: zeros, NaNs and edges of conversions; what is only moved
 * keeps its bits; wide arithmetic; atomic accesses. */
#include "test.h"
#include "wasm/arith.h"
#include "wasm/atomic.h"
#include <pthread.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define NAN32	     0x7fc00000
#define NAN64	     0x7ff8000000000000ull

/* Compiled apart, so that nothing is folded. */
#define APART __attribute__((noinline))

static APART float f32_copy(void *p)
{
	return LOAD(float, p);
}

static APART void f32_put(void *p, float a)
{
	STORE(float, p, a);
}

static APART float f32_neg(float a)
{
	return -a;
}

static APART float f32_abs(float a)
{
	return __builtin_fabsf(a);
}

static APART float f32_sign(float a, float b)
{
	return __builtin_copysignf(a, b);
}

static APART double f64_copy(void *p)
{
	return LOAD(double, p);
}

static APART void f64_put(void *p, double a)
{
	STORE(double, p, a);
}

static APART double f64_neg(double a)
{
	return -a;
}

static APART double f64_abs(double a)
{
	return __builtin_fabs(a);
}

TEST(signalling_nans_are_moved_as_they_are)
{
	u8 place[24] = { 0 };
	u32 bits32 = 0x7fa12345;
	u64 bits64 = 0xfff0000000000001;

	memcpy(place + 1, &bits32, 4);
	CHECK_INT(f32_bits(f32_copy(place + 1)), bits32);
	f32_put(place + 7, f32_copy(place + 1));
	CHECK(memcmp(place + 7, &bits32, 4) == 0);
	CHECK_INT(f32_bits(f32_neg(f32_from(bits32))), 0xffa12345);
	CHECK_INT(f32_bits(f32_abs(f32_from(0xffa12345))), bits32);
	CHECK_INT(f32_bits(f32_sign(f32_from(bits32), -1)), 0xffa12345);
	memcpy(place + 3, &bits64, 8);
	CHECK(f64_bits(f64_copy(place + 3)) == bits64);
	f64_put(place + 12, f64_copy(place + 3));
	CHECK(memcmp(place + 12, &bits64, 8) == 0);
	CHECK(f64_bits(f64_neg(f64_from(bits64))) == 0x7ff0000000000001);
	CHECK(f64_bits(f64_abs(f64_from(bits64))) == 0x7ff0000000000001);
}

#define QUIET32(a) (((a) & NAN32) == NAN32)
#define QUIET64(a) (((a) & NAN64) == NAN64)

TEST(what_rounds_makes_nans_quiet)
{
	float a = f32_from(0x7f800001);
	double b = f64_from(0xfff0000000000001);

	CHECK(QUIET32(f32_bits(op_f32_ceil(a))));
	CHECK(QUIET32(f32_bits(op_f32_floor(a))));
	CHECK(QUIET32(f32_bits(op_f32_trunc(a))));
	CHECK(QUIET32(f32_bits(op_f32_nearest(a))));
	CHECK(QUIET64(f64_bits(op_f64_ceil(b))));
	CHECK(QUIET64(f64_bits(op_f64_floor(b))));
	CHECK(QUIET64(f64_bits(op_f64_trunc(b))));
	CHECK(QUIET64(f64_bits(op_f64_nearest(b))));
	CHECK(QUIET32(f32_bits(op_f32_min(1, a))));
	CHECK(QUIET32(f32_bits(op_f32_max(a, 1))));
	CHECK(QUIET64(f64_bits(op_f64_min(b, 1))));
	CHECK(QUIET64(f64_bits(op_f64_max(1, b))));
	CHECK((f32_bits(op_f32_min(f32_from(NAN32), 1)) & 0x7fffffff) == NAN32);
}

TEST(rounding)
{
	static const struct {
		double value, ceil, floor, trunc, nearest;
	} row[] = {
		{ 0.5, 1, 0, 0, 0 },
		{ -0.5, -0.0, -1, -0.0, -0.0 },
		{ 1.5, 2, 1, 1, 2 },
		{ 2.5, 3, 2, 2, 2 },
		{ -2.5, -2, -3, -2, -2 },
		{ -3.5, -3, -4, -3, -4 },
		{ 0.0, 0, 0, 0, 0 },
		{ -0.0, -0.0, -0.0, -0.0, -0.0 },
		{ 1e30, 1e30, 1e30, 1e30, 1e30 },
	};

	for (unsigned i = 0; i < COUNT(row); i++) {
		double a = row[i].value;
		float b = (float)a;

		CHECK(f64_bits(op_f64_ceil(a)) == f64_bits(row[i].ceil));
		CHECK(f64_bits(op_f64_floor(a)) == f64_bits(row[i].floor));
		CHECK(f64_bits(op_f64_trunc(a)) == f64_bits(row[i].trunc));
		CHECK(f64_bits(op_f64_nearest(a)) == f64_bits(row[i].nearest));
		CHECK(f32_bits(op_f32_ceil(b)) == f32_bits((float)row[i].ceil));
		CHECK(f32_bits(op_f32_floor(b)) ==
		      f32_bits((float)row[i].floor));
		CHECK(f32_bits(op_f32_trunc(b)) ==
		      f32_bits((float)row[i].trunc));
		CHECK(f32_bits(op_f32_nearest(b)) ==
		      f32_bits((float)row[i].nearest));
	}
}

TEST(minimum_and_maximum_tell_zeros_apart)
{
	const u32 minus = 0x80000000;

	CHECK_INT(f32_bits(op_f32_min(0.0f, -0.0f)), minus);
	CHECK_INT(f32_bits(op_f32_min(-0.0f, 0.0f)), minus);
	CHECK_INT(f32_bits(op_f32_min(-0.0f, -0.0f)), minus);
	CHECK_INT(f32_bits(op_f32_max(0.0f, -0.0f)), 0);
	CHECK_INT(f32_bits(op_f32_max(-0.0f, 0.0f)), 0);
	CHECK_INT(f32_bits(op_f32_max(-0.0f, -0.0f)), minus);
	CHECK(f64_bits(op_f64_min(0.0, -0.0)) >> 63 == 1);
	CHECK(f64_bits(op_f64_max(-0.0, 0.0)) == 0);
	CHECK(op_f32_min(-1, 2) == -1 && op_f32_max(-1, 2) == 2);
	CHECK(op_f64_min(3, 2) == 2 && op_f64_max(3, 2) == 3);
	CHECK(op_f64_min(-1.0 / 0.0, 2) == -1.0 / 0.0);
}

TEST(saturating_conversions)
{
	static const struct {
		double value;
		s64 s32, u32, s64, u64;
	} row[] = {
		{ 0.0 / 0.0, 0, 0, 0, 0 },
		{ 1.9, 1, 1, 1, 1 },
		{ -1.9, -1, 0, -1, 0 },
		{ -0.9, 0, 0, 0, 0 },
		{ 2147483648.0, INT32_MAX, 2147483648, 2147483648, 2147483648 },
		{ -2147483648.0, INT32_MIN, 0, INT32_MIN, 0 },
		{ 4294967296.0, INT32_MAX, UINT32_MAX, 1ll << 32, 1ll << 32 },
		{ 9223372036854775808.0, INT32_MAX, UINT32_MAX, INT64_MAX,
		  INT64_MIN },
		{ 18446744073709551616.0, INT32_MAX, UINT32_MAX, INT64_MAX,
		  -1 },
		{ -9223372036854775808.0, INT32_MIN, 0, INT64_MIN, 0 },
		{ 1.0 / 0.0, INT32_MAX, UINT32_MAX, INT64_MAX, -1 },
		{ -1.0 / 0.0, INT32_MIN, 0, INT64_MIN, 0 },
	};

	for (unsigned i = 0; i < COUNT(row); i++) {
		double a = row[i].value;
		float b = (float)a;

		CHECK_INT((s32)op_i32_trunc_sat_f64_s(a), row[i].s32);
		CHECK_INT(op_i32_trunc_sat_f64_u(a), row[i].u32);
		CHECK_INT((s64)op_i64_trunc_sat_f64_s(a), row[i].s64);
		CHECK_INT((s64)op_i64_trunc_sat_f64_u(a), row[i].u64);
		CHECK_INT((s32)op_i32_trunc_sat_f32_s(b), row[i].s32);
		CHECK_INT(op_i32_trunc_sat_f32_u(b), row[i].u32);
		CHECK_INT((s64)op_i64_trunc_sat_f32_s(b), row[i].s64);
		CHECK_INT((s64)op_i64_trunc_sat_f32_u(b), row[i].u64);
	}
	CHECK_INT((s32)op_i32_trunc_sat_f64_s(2147483647.9), INT32_MAX);
	CHECK_INT((s32)op_i32_trunc_sat_f64_s(-2147483648.9), INT32_MIN);
	CHECK_INT(op_i32_trunc_sat_f64_u(4294967295.9), UINT32_MAX);
}

TEST(wide_arithmetic)
{
	u64 high = 0;

	CHECK_INT(op_i64_add128(UINT64_MAX, 1, 1, 2, &high), 0);
	CHECK_INT(high, 4);
	CHECK_INT(op_i64_sub128(0, 5, 1, 2, &high), -1);
	CHECK_INT(high, 2);
	CHECK_INT(op_i64_mul_wide_s((u64)-2, 3, &high), -6);
	CHECK_INT(high, -1);
	CHECK_INT(op_i64_mul_wide_u((u64)-2, 3, &high), -6);
	CHECK_INT(high, 2);
	CHECK_INT(op_i64_mul_wide_s(1ull << 63, 1ull << 63, &high), 0);
	CHECK(high == 1ull << 62);
}

/* Atomic accesses: the place's neighbours stay as they were. */
#define TRY_ATOMIC(type, size, end, width, cut)                               \
	TEST(type##_atomic##size##_##width)                                   \
	{                                                                     \
		u64 place = 0x1122334455667788;                               \
		u64 rest = place & ~(u64)cut, low = place & cut;              \
		u64 with = 0xf0f1f2f3f4f5f6f7;                                \
		void *p = &place;                                             \
		CHECK(op_##type##_atomic_load##size##end(p) == low);          \
		CHECK(op_##type##_atomic_rmw##size##_add##end(                \
			      p, (type##_word)with) == low);                  \
		CHECK(place == (rest | ((low + with) & cut)));                \
		op_##type##_atomic_store##size(p, (type##_word)with);         \
		CHECK(place == (rest | (with & cut)));                        \
		CHECK(op_##type##_atomic_rmw##size##_sub##end(p, 9) ==        \
		      (with & cut));                                          \
		CHECK(place == (rest | ((with - 9) & cut)));                  \
		op_##type##_atomic_store##size(p, 0x6c);                      \
		CHECK(op_##type##_atomic_rmw##size##_and##end(p, 0x3a) ==     \
		      0x6c);                                                  \
		CHECK(op_##type##_atomic_rmw##size##_or##end(p, 0x81) ==      \
		      0x28);                                                  \
		CHECK(op_##type##_atomic_rmw##size##_xor##end(p, 0x0f) ==     \
		      0xa9);                                                  \
		CHECK(op_##type##_atomic_rmw##size##_xchg##end(               \
			      p, (type##_word)with) == 0xa6);                 \
		CHECK(place == (rest | (with & cut)));                        \
		CHECK(op_##type##_atomic_rmw##size##_cmpxchg##end(p, 1, 2) == \
		      (with & cut));                                          \
		CHECK(place == (rest | (with & cut)));                        \
		CHECK(op_##type##_atomic_rmw##size##_cmpxchg##end(            \
			      p, (type##_word)with, 0x55) == (with & cut));   \
		CHECK(place == (rest | 0x55));                                \
	}
typedef u32 i32_word;
typedef u64 i64_word;
TRY_ATOMIC(i32, , , 32, UINT32_MAX)
TRY_ATOMIC(i32, 8, _u, 8, 0xff)
TRY_ATOMIC(i32, 16, _u, 16, 0xffff)
TRY_ATOMIC(i64, , , 64, UINT64_MAX)
TRY_ATOMIC(i64, 8, _u, 8, 0xff)
TRY_ATOMIC(i64, 16, _u, 16, 0xffff)
TRY_ATOMIC(i64, 32, _u, 32, UINT32_MAX)

static void *count_up(void *p)
{
	for (unsigned i = 0; i < 100000; i++) {
		u32 seen;

		op_i32_atomic_rmw16_add_u(p, 1);
		do
			seen = op_i32_atomic_load((u8 *)p + 4);
		while (op_i32_atomic_rmw_cmpxchg((u8 *)p + 4, seen, seen + 3) !=
		       seen);
	}
	return NULL;
}

TEST(threads_lose_nothing)
{
	u64 place = 0;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, count_up, &place) == 0);
	count_up(&place);
	pthread_join(thread, NULL);
	CHECK_INT((u32)place, 200000 & 0xffff);
	CHECK_INT(place >> 32, 600000);
}

TEST_MAIN

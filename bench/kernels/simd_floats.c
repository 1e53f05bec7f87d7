/* SPDX-License-Identifier: Apache-2.0 */
/* Four floats at a time: points through a matrix and into a box, their
 * lengths, and the plane's points that stay near. */
#include "kernel.h"

enum { POINTS = 1024, MOST = 100, WIDTH = 64 };
typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
static f32x4 point[POINTS], moved[POINTS], matrix[4];

static inline f32x4 all(float x)
{
	return (f32x4){ x, x, x, x };
}

static inline f32x4 choose(i32x4 mask, f32x4 a, f32x4 b)
{
	return (f32x4)(((i32x4)a & mask) | ((i32x4)b & ~mask));
}

static inline f32x4 root(f32x4 x)
{
	return __builtin_elementwise_sqrt(x);
}

static void move(void)
{
	for (int i = 0; i < POINTS; i++) {
		f32x4 p = point[i];
		f32x4 q =
			matrix[0] * __builtin_shufflevector(p, p, 0, 0, 0, 0) +
			matrix[1] * __builtin_shufflevector(p, p, 1, 1, 1, 1);

		q += matrix[2] * __builtin_shufflevector(p, p, 2, 2, 2, 2) +
		     matrix[3] * __builtin_shufflevector(p, p, 3, 3, 3, 3);
		q = choose(q < all(-8), all(-8), q);
		moved[i] = choose(q > all(8), all(8), q);
	}
}

/* Four lengths from four points that stand crosswise. */
static f32x4 lengths(void)
{
	f32x4 sum = all(0);

	for (int i = 0; i < POINTS; i += 4) {
		f32x4 a = moved[i] * moved[i];
		f32x4 b = moved[i + 1] * moved[i + 1];
		f32x4 c = moved[i + 2] * moved[i + 2];
		f32x4 d = moved[i + 3] * moved[i + 3];
		f32x4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) +
			   __builtin_shufflevector(a, b, 2, 6, 3, 7);
		f32x4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) +
			   __builtin_shufflevector(c, d, 2, 6, 3, 7);

		sum += root(__builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
			    __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
	}
	return sum;
}

static i32x4 turns(f32x4 cr, f32x4 ci)
{
	f32x4 r = all(0), i = all(0);
	i32x4 count = { 0 };

	for (int n = 0; n < MOST; n++) {
		f32x4 rr = r * r, ii = i * i;
		i32x4 near = rr + ii <= all(4);

		if (!(near[0] | near[1] | near[2] | near[3]))
			break;
		count -= near;
		i = all(2) * r * i + ci;
		r = rr - ii + cr;
	}
	return count;
}

static uint64_t plane(uint64_t sum)
{
	f32x4 steps = { 0, 1, 2, 3 };

	for (int x = 0; x < WIDTH; x += 4) {
		f32x4 cr = (steps + (float)x) * all(2.5f / WIDTH) - all(2);
		f32x4 ci = all((float)(sum & 63) / 64);
		i32x4 count = turns(cr, ci);

		sum = mix(sum, (uint32_t)(count[0] + 3 * count[1] +
					  5 * count[2] + 7 * count[3]));
	}
	return sum;
}

uint64_t kernel(void)
{
	uint32_t state = 19;
	uint64_t sum = 1;

	for (int i = 0; i < POINTS; i++)
		for (int k = 0; k < 4; k++)
			point[i][k] =
				(float)(random_next(&state) >> 8) * 0x1p-23f;
	for (uint32_t round = SCALED(10000); round > 0; round--) {
		f32x4 found;

		for (int k = 0; k < 4; k++)
			matrix[k] = all((float)(sum >> (8 * k) & 63) / 32 - 1);
		move();
		found = lengths();
		sum = mix_f32(sum, found[0] + found[1] + found[2] + found[3]);
		sum = plane(sum);
		point[sum % POINTS] = moved[(sum >> 12) % POINTS];
	}
	return sum;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The largest stretch of an endless matrix whose cells are computed when they
 * are needed: integers turned to doubles, divisions, a call in two loops. */
#include "kernel.h"

enum { SIZE = 200 };
static double u[SIZE], v[SIZE], between[SIZE];

static inline double cell(int i, int k)
{
	return 1.0 / ((i + k) * (i + k + 1) / 2 + i + 1);
}

static void times(const double *from, double *to)
{
	for (int i = 0; i < SIZE; i++) {
		double sum = 0;

		for (int k = 0; k < SIZE; k++)
			sum += cell(i, k) * from[k];
		to[i] = sum;
	}
}

static void times_turned(const double *from, double *to)
{
	for (int i = 0; i < SIZE; i++) {
		double sum = 0;

		for (int k = 0; k < SIZE; k++)
			sum += cell(k, i) * from[k];
		to[i] = sum;
	}
}

static double dot(const double *a, const double *b)
{
	double sum = 0;

	for (int i = 0; i < SIZE; i++)
		sum += a[i] * b[i];
	return sum;
}

uint64_t kernel(void)
{
	for (int i = 0; i < SIZE; i++)
		u[i] = 1 + i * 0.01;
	for (uint32_t round = SCALED(600); round > 0; round--) {
		times(u, between);
		times_turned(between, v);
		times(v, between);
		times_turned(between, u);
	}
	return mix_f64(1, __builtin_sqrt(dot(u, v) / dot(v, v)));
}

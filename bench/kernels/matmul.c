/* SPDX-License-Identifier: Apache-2.0 */
/* Products of square matrices as a textbook has them: three loops, two loads,
 * a multiplication and an addition. */
#include "kernel.h"

enum { SIZE = 128 };
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

static void multiply(void)
{
	for (int i = 0; i < SIZE; i++)
		for (int k = 0; k < SIZE; k++) {
			double sum = 0;

			for (int n = 0; n < SIZE; n++)
				sum += a[i][n] * b[n][k];
			c[i][k] = sum;
		}
}

/* The product, made small again, is the next factor. */
static void take(void)
{
	for (int i = 0; i < SIZE; i++)
		for (int k = 0; k < SIZE; k++)
			a[i][k] = c[i][k] * (1.0 / SIZE);
}

uint64_t kernel(void)
{
	uint32_t state = 3;
	uint64_t sum = 1;

	for (int i = 0; i < SIZE; i++)
		for (int k = 0; k < SIZE; k++) {
			a[i][k] = random_next(&state) * 0x1p-32;
			b[i][k] = random_next(&state) * 0x1p-31;
		}
	for (uint32_t round = SCALED(50); round > 0; round--) {
		multiply();
		take();
	}
	for (int i = 0; i < SIZE; i++)
		sum = mix_f64(sum, c[i][i]);
	return sum;
}

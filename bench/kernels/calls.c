/* SPDX-License-Identifier: Apache-2.0 */
/* Little but calls: Fibonacci's numbers, Takeuchi's and Ackermann's
 * functions. */
#include "kernel.h"

static uint32_t fib(uint32_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static int tak(int x, int y, int z)
{
	if (y >= x)
		return z;
	return tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}

static uint32_t ackermann(uint32_t m, uint32_t n)
{
	if (m == 0)
		return n + 1;
	if (n == 0)
		return ackermann(m - 1, 1);
	return ackermann(m - 1, ackermann(m, n - 1));
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(160); round > 0; round--) {
		sum = mix(sum, fib(26 + (sum & 1)));
		sum = mix(sum, (uint32_t)tak(16 + (int)(sum & 1), 11, 5));
		sum = mix(sum, ackermann(2 + (sum & 1), 6));
	}
	return sum;
}

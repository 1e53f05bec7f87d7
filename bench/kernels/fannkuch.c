/* SPDX-License-Identifier: Apache-2.0 */
/* Over all permutations: how often can the first n, n being the first number,
 * be reversed until the first is one?  Short loops over short arrays. */
#include "kernel.h"

enum { COUNT = 9 };

static uint32_t flips(const uint8_t *from)
{
	uint8_t p[COUNT];
	uint32_t count = 0;

	for (int i = 0; i < COUNT; i++)
		p[i] = from[i];
	for (int first; (first = p[0]) != 0; count++)
		for (int low = 0, high = first; low < high; low++, high--) {
			uint8_t kept = p[low];

			p[low] = p[high];
			p[high] = kept;
		}
	return count;
}

/* The next one in an order that turns ever longer beginnings. */
static int permute(uint8_t *p, uint8_t *turned)
{
	for (int n = 1; n < COUNT; n++) {
		uint8_t first = p[0];

		for (int i = 0; i < n; i++)
			p[i] = p[i + 1];
		p[n] = first;
		if (turned[n]++ < n)
			return 1;
		turned[n] = 0;
	}
	return 0;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(14); round > 0; round--) {
		uint8_t p[COUNT], turned[COUNT] = { 0 };
		uint32_t most = 0, sign = 0;

		for (int i = 0; i < COUNT; i++)
			p[i] = (uint8_t)((i + sum) % COUNT);
		do {
			uint32_t count = flips(p);

			most = count > most ? count : most;
			sign = count - sign;
		} while (permute(p, turned));
		sum = mix(sum, most + ((uint64_t)sign << 32));
	}
	return sum;
}

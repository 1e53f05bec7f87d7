/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit integers: powers modulo a prime by products of halves, a permuted
 * congruential generator, and chains of 3n + 1. */
#include "kernel.h"

#define PRIME ((1ull << 61) - 1)

static uint64_t high_product(uint64_t a, uint64_t b, uint64_t *low)
{
	uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
	uint64_t ll = al * bl, lh = al * bh, hl = ah * bl;
	uint64_t middle = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;

	*low = a * b;
	return ah * bh + (lh >> 32) + (hl >> 32) + (middle >> 32);
}

static uint64_t times(uint64_t a, uint64_t b)
{
	uint64_t low, high = high_product(a, b, &low);
	uint64_t x = (low & PRIME) + (high << 3 | low >> 61);

	return x >= PRIME ? x - PRIME : x;
}

static uint64_t power(uint64_t base, uint64_t exponent)
{
	uint64_t result = 1;

	for (; exponent; exponent >>= 1) {
		if (exponent & 1)
			result = times(result, base);
		base = times(base, base);
	}
	return result;
}

static uint32_t pcg_next(uint64_t *state)
{
	uint64_t was = *state;
	uint32_t x = (uint32_t)((was >> 18 ^ was) >> 27), by = was >> 59;

	*state = was * 6364136223846793005u + 1442695040888963407u;
	return x >> by | x << (-by & 31);
}

static uint32_t chain(uint64_t n)
{
	uint32_t length = 0;

	for (; n > 1; length++)
		n = n & 1 ? 3 * n + 1 : n >> 1;
	return length;
}

static uint64_t common(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

uint64_t kernel(void)
{
	uint64_t sum = 1, state = 42;

	for (uint32_t round = SCALED(15000); round > 0; round--) {
		uint64_t x = 0;

		for (int i = 0; i < 1000; i++)
			x = x * 31 + pcg_next(&state);
		sum += power(x % PRIME, state % PRIME);
		for (int i = 0; i < 20; i++)
			sum += chain(pcg_next(&state));
		for (int i = 0; i < 10; i++)
			sum += common(x | 1, (uint64_t)pcg_next(&state) << 20);
		sum = mix(sum, x);
	}
	return sum;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Eratosthenes' sieve: byte stores at growing strides, and a scan. */
#include "kernel.h"

enum { LIMIT = 1 << 20 };
static uint8_t composite[LIMIT];

static void sieve(uint32_t limit)
{
	for (uint32_t i = 0; i < limit; i++)
		composite[i] = 0;
	for (uint32_t i = 2; i * i < limit; i++)
		if (!composite[i])
			for (uint32_t k = i * i; k < limit; k += i)
				composite[k] = 1;
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(80); round > 0; round--) {
		uint32_t limit = LIMIT - (uint32_t)(sum & 1023);

		sieve(limit);
		for (uint32_t i = 2; i < limit; i++)
			if (!composite[i])
				sum += i;
		sum = mix(sum, limit);
	}
	return sum;
}

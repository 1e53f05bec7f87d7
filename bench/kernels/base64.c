/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 there and back: bytes to bytes through two small tables. */
#include "kernel.h"

enum { SIZE = 3 * 8192 };
static const char letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static uint8_t value[256], data[SIZE], coded[SIZE / 3 * 4];

static size_t encode(uint8_t *to, const uint8_t *from, size_t size)
{
	uint8_t *start = to;

	for (size_t i = 0; i + 2 < size; i += 3) {
		uint32_t x = (uint32_t)from[i] << 16 |
			     (uint32_t)from[i + 1] << 8 | from[i + 2];

		*to++ = (uint8_t)letters[x >> 18];
		*to++ = (uint8_t)letters[x >> 12 & 63];
		*to++ = (uint8_t)letters[x >> 6 & 63];
		*to++ = (uint8_t)letters[x & 63];
	}
	return (size_t)(to - start);
}

static void decode(uint8_t *to, const uint8_t *from, size_t size)
{
	for (size_t i = 0; i < size; i += 4) {
		uint32_t x = (uint32_t)value[from[i]] << 18 |
			     (uint32_t)value[from[i + 1]] << 12 |
			     (uint32_t)value[from[i + 2]] << 6 |
			     value[from[i + 3]];

		*to++ = (uint8_t)(x >> 16);
		*to++ = (uint8_t)(x >> 8);
		*to++ = (uint8_t)x;
	}
}

uint64_t kernel(void)
{
	uint32_t state = 9;
	uint64_t sum = 1;

	for (uint8_t i = 0; i < 64; i++)
		value[(uint8_t)letters[i]] = i;
	for (int i = 0; i < SIZE; i++)
		data[i] = (uint8_t)random_next(&state);
	for (uint32_t round = SCALED(2000); round > 0; round--) {
		size_t size = encode(coded, data, SIZE);

		coded[round % size] = (uint8_t)letters[sum & 63];
		decode(data, coded, size);
		sum = mix(sum, data[(sum >> 8) % SIZE]);
	}
	return sum;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen bytes at a time: count lines, change case, blend two grey pictures,
 * write hexadecimal digits. */
#include "kernel.h"

enum { SIZE = 1 << 14 };
typedef uint8_t u8x16 __attribute__((vector_size(16)));
static u8x16 text[SIZE / 16], other[SIZE / 16], digits[SIZE / 8];

static inline u8x16 all(uint8_t byte)
{
	return (u8x16){ 0 } + byte;
}

static inline u8x16 choose(u8x16 mask, u8x16 a, u8x16 b)
{
	return (a & mask) | (b & ~mask);
}

static uint32_t sum_of(u8x16 x)
{
	uint32_t sum = 0;

	for (int i = 0; i < 16; i++)
		sum += x[i];
	return sum;
}

/* A mask is -1 where it is true. */
static uint32_t lines(const u8x16 *p, size_t count)
{
	uint32_t sum = 0;

	while (count > 0) {
		size_t part = count < 255 ? count : 255;
		u8x16 found = all(0);

		for (size_t i = 0; i < part; i++)
			found -= (u8x16)(p[i] == '\n');
		sum += sum_of(found);
		p += part;
		count -= part;
	}
	return sum;
}

static void change_case(u8x16 *to, const u8x16 *p, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u8x16 low = p[i] | 0x20;
		u8x16 letter = (u8x16)((low >= 'a') & (low <= 'z'));

		to[i] = p[i] ^ (letter & 0x20);
	}
}

static void blend(u8x16 *to, const u8x16 *p, uint8_t more, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u8x16 light = __builtin_elementwise_add_sat(to[i], all(more));
		u8x16 dark = __builtin_elementwise_sub_sat(p[i], all(more));

		light = __builtin_elementwise_max(light, dark);
		to[i] = __builtin_elementwise_min(light, all(0xfa));
	}
}

static u8x16 digit(u8x16 x)
{
	return choose((u8x16)(x > 9), x + ('a' - 10), x + '0');
}

static void hexadecimal(u8x16 *to, const u8x16 *p, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		u8x16 high = digit(p[i] >> 4), low = digit(p[i] & 15);

		to[2 * i] = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2,
						    18, 3, 19, 4, 20, 5, 21, 6,
						    22, 7, 23);
		to[2 * i + 1] = __builtin_shufflevector(high, low, 8, 24, 9, 25,
							10, 26, 11, 27, 12, 28,
							13, 29, 14, 30, 15, 31);
	}
}

uint64_t kernel(void)
{
	uint32_t state = 17;
	uint64_t sum = 1;

	for (int i = 0; i < SIZE / 16; i++)
		for (int k = 0; k < 16; k++)
			text[i][k] = random_next(&state) & 127;
	for (uint32_t round = SCALED(5000); round > 0; round--) {
		size_t at = sum % (SIZE / 16);

		change_case(other, text, SIZE / 16);
		blend(other, text, (uint8_t)sum, SIZE / 16);
		hexadecimal(digits, other, SIZE / 16);
		sum = mix(sum, lines(other, SIZE / 16) + digits[at][at & 15]);
		text[at] += other[(at + 1) % (SIZE / 16)] & 127;
	}
	return sum;
}

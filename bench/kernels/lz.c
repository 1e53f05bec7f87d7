/* SPDX-License-Identifier: Apache-2.0 */
/* Compression by copies of what was there before, found by a hash of four
 * bytes, and its undoing: unaligned loads, byte loops, branches on data.
 *
 * A token is a count of plain bytes, those bytes, then the length of a copy
 * and its distance in two bytes; a distance of 0 is no copy, and a length of
 * 0 the end. */
#include "kernel.h"

enum { SIZE = 1 << 16, HASH_BITS = 12, MATCH_LEAST = 4, COUNT_MOST = 255 };
static uint8_t plain[SIZE], again[SIZE], packed[SIZE * 2];
static uint32_t seen[1 << HASH_BITS];

static inline uint32_t four(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static uint32_t same(uint32_t a, uint32_t b)
{
	uint32_t n = 0;

	while (b + n < SIZE && n < COUNT_MOST && plain[a + n] == plain[b + n])
		n++;
	return n;
}

static uint8_t *put(uint8_t *to, uint32_t from, uint32_t count, uint32_t length,
		    uint32_t distance)
{
	*to++ = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++)
		*to++ = plain[from + i];
	*to++ = (uint8_t)length;
	*to++ = (uint8_t)distance;
	*to++ = (uint8_t)(distance >> 8);
	return to;
}

static uint32_t pack(void)
{
	uint8_t *to = packed;
	uint32_t start = 0, at = 1;

	for (uint32_t i = 0; i < 1 << HASH_BITS; i++)
		seen[i] = 0;
	while (at + MATCH_LEAST < SIZE) {
		uint32_t x = four(plain + at);
		uint32_t hash = x * 2654435761u >> (32 - HASH_BITS);
		uint32_t before = seen[hash], length = 0;

		seen[hash] = at;
		if (at - before < 65536 && four(plain + before) == x)
			length = same(before, at);
		if (length < MATCH_LEAST && at - start < COUNT_MOST) {
			at++;
			continue;
		}
		if (length < MATCH_LEAST)
			length = 0;
		to = put(to, start, at - start, length ? length : 1,
			 length ? at - before : 0);
		at += length;
		start = at;
		at += !length;
	}
	do {
		uint32_t count = SIZE - start;

		count = count < COUNT_MOST ? count : COUNT_MOST;
		to = put(to, start, count, start + count < SIZE, 0);
		start += count;
	} while (start < SIZE);
	return (uint32_t)(to - packed);
}

static uint32_t unpack(void)
{
	const uint8_t *from = packed;
	uint8_t *to = again;

	for (;;) {
		uint32_t count = *from++, length, distance;

		while (count-- > 0)
			*to++ = *from++;
		length = from[0];
		distance = from[1] | (uint32_t)from[2] << 8;
		from += 3;
		if (!length)
			return (uint32_t)(to - again);
		if (!distance)
			continue;
		for (; length-- > 0; to++)
			*to = to[-(ptrdiff_t)distance];
	}
}

/* Text of a kind: words of a few, each of a few letters. */
static void write_text(uint32_t state)
{
	uint32_t at = 0;

	while (at < SIZE) {
		uint32_t x = random_next(&state), word = x >> 8 & x >> 16 & 255;

		for (uint32_t i = 0; i < 3 + word % 7 && at < SIZE; i++)
			plain[at++] =
				(uint8_t)('a' + (word * (i + 3) >> 2) % 26);
		if (at < SIZE)
			plain[at++] = ' ';
	}
}

uint64_t kernel(void)
{
	uint64_t sum = 1;

	for (uint32_t round = SCALED(500); round > 0; round--) {
		if (round % 8 == 1)
			write_text((uint32_t)sum | 1);
		plain[sum % SIZE]++;
		sum = mix(sum, pack());
		if (unpack() != SIZE)
			return 0;
		for (uint32_t i = 0; i < SIZE; i++)
			if (again[i] != plain[i])
				return 0;
	}
	return sum;
}

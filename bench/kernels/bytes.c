/* SPDX-License-Identifier: Apache-2.0 */
/* What text programs do to bytes: count words, find a byte, compare, turn
 * round, change case, shift a tail by one. */
#include "kernel.h"

enum { SIZE = 1 << 14 };
static uint8_t text[SIZE + 1], other[SIZE + 1];

static uint32_t words(const uint8_t *p, size_t size)
{
	uint32_t count = 0;
	int inside = 0;

	for (size_t i = 0; i < size; i++) {
		int letter = p[i] != ' ' && p[i] != '\n' && p[i] != '\t';

		count += letter && !inside;
		inside = letter;
	}
	return count;
}

static size_t find(const uint8_t *p, uint8_t byte, size_t nth)
{
	size_t at = 0;

	for (;; at++)
		if (p[at] == 0 || (p[at] == byte && nth-- == 0))
			return at;
}

static int compare(const uint8_t *a, const uint8_t *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a - *b;
}

static void turn(uint8_t *p, size_t size)
{
	for (size_t low = 0, high = size - 1; low < high; low++, high--) {
		uint8_t kept = p[low];

		p[low] = p[high];
		p[high] = kept;
	}
}

static void raise(uint8_t *to, const uint8_t *from)
{
	do {
		*to++ = *from >= 'a' && *from <= 'z' ? *from - 32 : *from;
	} while (*from++);
}

/* Upwards over itself, so from the end. */
static void shift(uint8_t *p, size_t from, size_t size)
{
	uint8_t last = p[size - 1];

	for (size_t i = size - 1; i > from; i--)
		p[i] = p[i - 1];
	p[from] = last;
}

static uint64_t round_of(uint64_t sum)
{
	size_t at = find(text, 'e', sum & 511);

	sum = mix(sum, words(text, SIZE));
	raise(other, text);
	sum = mix(sum, (uint64_t)compare(text, other) + at);
	text[at ? at - 1 : 0] ^= 1;
	shift(text, at / 2, SIZE);
	raise(other, text);
	text[SIZE - 1]++;
	raise(text + at, text + at);
	sum += (uint64_t)compare(text + at, other + at);
	turn(text, SIZE);
	for (size_t i = 0; i < at; i++)
		text[i] |= text[i] >> 1 & 32;
	for (size_t i = 0; i < SIZE; i++)
		if (!text[i])
			text[i] = 'e';
	return sum;
}

uint64_t kernel(void)
{
	uint32_t state = 5;
	uint64_t sum = 1;

	for (int i = 0; i < SIZE; i++) {
		uint32_t x = random_next(&state) >> 7 & 31;

		text[i] = (uint8_t)(x < 26 ? 'a' + x : x < 30 ? ' ' : '\n');
	}
	for (uint32_t round = SCALED(1000); round > 0; round--)
		sum = round_of(sum);
	for (int i = 0; i < SIZE; i++)
		sum = mix(sum, text[i]);
	return sum;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a compiler takes for granted.  Short ones by words that
 * may overlap, long ones by the CPU's own instruction. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { SHORT = 16, STRINGS = 512 };

typedef uint64_t unaligned __attribute__((aligned(1), may_alias));
typedef uint32_t unaligned4 __attribute__((aligned(1), may_alias));
typedef uint16_t unaligned2 __attribute__((aligned(1), may_alias));
typedef uint8_t vector __attribute__((vector_size(16), aligned(1), may_alias));

/* All is read before any is written: they may overlap. */
static inline void move_short(uint8_t *to, const uint8_t *from, size_t len)
{
	if (len >= 8) {
		uint64_t a = *(const unaligned *)from,
			 b = *(const unaligned *)(from + len - 8);

		*(unaligned *)to = a;
		*(unaligned *)(to + len - 8) = b;
	} else if (len >= 4) {
		uint32_t a = *(const unaligned4 *)from,
			 b = *(const unaligned4 *)(from + len - 4);

		*(unaligned4 *)to = a;
		*(unaligned4 *)(to + len - 4) = b;
	} else if (len >= 2) {
		uint16_t a = *(const unaligned2 *)from,
			 b = *(const unaligned2 *)(from + len - 2);

		*(unaligned2 *)to = a;
		*(unaligned2 *)(to + len - 2) = b;
	} else if (len) {
		*to = *from;
	}
}

static inline void move_strings(void *to, const void *from, size_t len)
{
	__asm__ volatile("rep movsb"
			 : "+D"(to), "+S"(from), "+c"(len)
			 :
			 : "memory");
}

static inline void move_up(uint8_t *to, const uint8_t *from, size_t len)
{
	vector last = *(const vector *)(from + len - 16);
	uint8_t *end = to + len - 16;

	for (; to < end; to += 16, from += 16)
		*(vector *)to = *(const vector *)from;
	*(vector *)end = last;
}

static inline void move_down(uint8_t *to, const uint8_t *from, size_t len)
{
	vector first = *(const vector *)from;

	for (; len > 16; len -= 16)
		*(vector *)(to + len - 16) = *(const vector *)(from + len - 16);
	*(vector *)to = first;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	if (len <= SHORT)
		move_short(to, from, len);
	else if (len < STRINGS)
		move_up(to, from, len);
	else
		move_strings(to, from, len);
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	size_t ahead = (uintptr_t)to - (uintptr_t)from;

	if (len <= SHORT)
		move_short(to, from, len);
	else if (ahead < len)
		move_down(to, from, len);
	else if (len < STRINGS || ahead > (size_t)-16)
		move_up(to, from, len);
	else
		move_strings(to, from, len);
	return to;
}

void *memset(void *to, int value, size_t len)
{
	uint64_t word = (uint8_t)value * UINT64_C(0x0101010101010101);
	vector all =
		(vector)(__attribute__((vector_size(16))) uint64_t){ word,
								     word };
	uint8_t *at = to, *end = at + len;

	if (len < 16) {
		for (; at < end; at++)
			*(volatile uint8_t *)at = (uint8_t)value;
		return to;
	}
	if (len >= STRINGS) {
		__asm__ volatile("rep stosb"
				 : "+D"(at), "+c"(len)
				 : "a"(value)
				 : "memory");
		return to;
	}
	for (; at < end - 16; at += 16)
		*(vector *)at = all;
	*(vector *)(end - 16) = all;
	return to;
}

int memcmp(const void *left, const void *right, size_t len)
{
	const uint8_t *a = left, *b = right;

	while (len >= 8 && *(const unaligned *)a == *(const unaligned *)b)
		a += 8, b += 8, len -= 8;
	for (; len; len--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

/* What clang makes of a memcmp whose order nobody asks for. */
int bcmp(const void *left, const void *right, size_t len)
{
	return memcmp(left, right, len);
}

size_t strlen(const char *text)
{
	size_t len = 0;

	while (text[len]) {
		len++;
		__asm__ volatile("" : "+r"(len));
	}
	return len;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a compiler takes for granted. */
#include <stddef.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	void *start = to;

	__asm__ volatile("rep movsb"
			 : "+D"(to), "+S"(from), "+c"(len)
			 :
			 : "memory");
	return start;
}

void *memset(void *to, int value, size_t len)
{
	void *start = to;

	__asm__ volatile("rep stosb"
			 : "+D"(to), "+c"(len)
			 : "a"(value)
			 : "memory");
	return start;
}

void *memmove(void *to, const void *from, size_t len)
{
	unsigned char *a = to;
	const unsigned char *b = from;

	if (a <= b || a >= b + len)
		return memcpy(to, from, len);
	while (len--) {
		a[len] = b[len];
		__asm__ volatile("" : : : "memory");
	}
	return to;
}

int memcmp(const void *left, const void *right, size_t len)
{
	const unsigned char *a = left, *b = right;

	for (; len; len--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

void *memchr(const void *data, int value, size_t len)
{
	const unsigned char *at = data;

	for (; len; len--, at++)
		if (*at == (unsigned char)value)
			return (void *)(size_t)at;
	return NULL;
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

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t len)
{
	for (; len && *a && *a == *b; len--)
		a++, b++;
	return len ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strrchr(const char *text, int value)
{
	const char *last = NULL;

	for (;; text++) {
		if (*text == (char)value)
			last = text;
		if (!*text)
			return (char *)(size_t)last;
	}
}

char *strchr(const char *text, int value)
{
	for (;; text++) {
		if (*text == (char)value)
			return (char *)(size_t)text;
		if (!*text)
			return NULL;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: what has the shape of one, and its exact value.  Floats are
 * rounded once, by the C library, in its C locale; it knows both decimal and
 * hexadecimal digits, but neither "_" nor payloads of nan. */
#include "wat/internal.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c, bool hex)
{
	return (c >= '0' && c <= '9') ||
	       (hex && (c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Digits, each "_" between two of them; returns how many characters, 0 where
 * there is no number. */
static uint32_t digits_len(const char *text, uint32_t len, bool hex)
{
	uint32_t i = 0;

	while (i < len && (is_digit(text[i], hex) ||
			   (text[i] == '_' && i && text[i - 1] != '_')))
		i++;
	return i && text[i - 1] == '_' ? 0 : i;
}

static bool is_hex(const char *text, uint32_t len)
{
	return len > 2 && text[0] == '0' && text[1] == 'x';
}

/* "inf", "nan", "nan:0x..." */
static bool is_named(const char *text, uint32_t len)
{
	if (len == 3)
		return !memcmp(text, "inf", 3) || !memcmp(text, "nan", 3);
	return len > 6 && !memcmp(text, "nan:0x", 6) &&
	       digits_len(text + 6, len - 6, true) == len - 6;
}

/* What follows the digits before the point. */
static bool is_float_tail(const char *text, uint32_t len, bool hex)
{
	uint32_t i = 0, part;

	if (i < len && text[i] == '.') {
		i++;
		if (i < len && is_digit(text[i], hex)) {
			part = digits_len(text + i, len - i, hex);
			if (!part)
				return false;
			i += part;
		}
	}
	if (i == len)
		return true;
	if ((text[i] | 0x20) != (hex ? 'p' : 'e'))
		return false;
	i++;
	if (i < len && (text[i] == '+' || text[i] == '-'))
		i++;
	return i < len && digits_len(text + i, len - i, false) == len - i;
}

enum wat_token_kind wat_number_kind(const char *text, uint32_t len)
{
	bool has_sign = len && (text[0] == '+' || text[0] == '-'), hex;
	uint32_t part;

	text += has_sign;
	len -= has_sign;
	if (is_named(text, len))
		return WAT_FLOAT;
	hex = is_hex(text, len);
	text += 2 * hex;
	len -= 2 * hex;
	part = digits_len(text, len, hex);
	if (!part)
		return WAT_RESERVED;
	if (part == len)
		return has_sign ? WAT_INT : WAT_NAT;
	return is_float_tail(text + part, len - part, hex) ? WAT_FLOAT
							   : WAT_RESERVED;
}

int wat_number_nat(const char *text, uint32_t len, uint64_t *value)
{
	bool hex = is_hex(text, len);
	uint64_t sum = 0;

	for (uint32_t i = 2 * hex; i < len; i++) {
		unsigned digit = text[i] <= '9' ? text[i] - '0'
						: (text[i] | 0x20) - 'a' + 10;

		if (text[i] == '_')
			continue;
		if (__builtin_mul_overflow(sum, hex ? 16 : 10, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return -ERANGE;
	}
	*value = sum;
	return 0;
}

int wat_number_int(const char *text, uint32_t len, unsigned bits,
		   uint64_t *value)
{
	uint64_t most = UINT64_MAX >> (64 - bits), sum;
	bool has_sign = text[0] == '+' || text[0] == '-';
	bool negative = text[0] == '-';

	if (wat_number_nat(text + has_sign, len - has_sign, &sum) < 0)
		return -ERANGE;
	if (sum > (negative ? most / 2 + 1 : most))
		return -ERANGE;
	*value = (negative ? -sum : sum) & most;
	return 0;
}

/* The payload of a nan, "width" bits wide; 0: out of range. */
static uint64_t nan_payload(const char *text, uint32_t len, unsigned width)
{
	uint64_t payload;

	if (len == 3)
		return (uint64_t)1 << (width - 1);
	if (wat_number_nat(text + 4, len - 4, &payload) < 0 || payload >> width)
		return 0;
	return payload;
}

/* The number without "_", with a 0 behind it, in "room" or malloced. */
static char *number_plain(const char *text, uint32_t len, char *room,
			  size_t room_len)
{
	char *plain = len < room_len ? room : malloc((size_t)len + 1);
	uint32_t count = 0;

	if (!plain)
		return NULL;
	for (uint32_t i = 0; i < len; i++)
		if (text[i] != '_')
			plain[count++] = text[i];
	plain[count] = 0;
	return plain;
}

/* Reads a number without sign as f32 or f64, whichever is not NULL. */
static int number_read(const char *text, uint32_t len, float *f32, double *f64)
{
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	char room[64], *plain = number_plain(text, len, room, sizeof room);
	bool is_infinite;

	if (!plain || !c) {
		if (plain != room)
			free(plain);
		if (c)
			freelocale(c);
		return -ENOMEM;
	}
	if (f32)
		*f32 = strtof_l(plain, NULL, c);
	else
		*f64 = strtod_l(plain, NULL, c);
	is_infinite = f32 ? isinf(*f32) : isinf(*f64);
	if (plain != room)
		free(plain);
	freelocale(c);
	return is_infinite ? -ERANGE : 0;
}

int wat_number_f32(const char *text, uint32_t len, uint32_t *bits)
{
	bool has_sign = text[0] == '+' || text[0] == '-';
	uint32_t sign = text[0] == '-' ? 1u << 31 : 0;
	float value;
	int r;

	text += has_sign;
	len -= has_sign;
	*bits = 0x7f800000 | sign;
	if (text[0] == 'i')
		return 0;
	if (text[0] == 'n') {
		*bits |= nan_payload(text, len, 23);
		return *bits & 0x7fffff ? 0 : -ERANGE;
	}
	r = number_read(text, len, &value, NULL);
	memcpy(bits, &value, sizeof *bits);
	*bits |= sign;
	return r;
}

int wat_number_f64(const char *text, uint32_t len, uint64_t *bits)
{
	bool has_sign = text[0] == '+' || text[0] == '-';
	uint64_t sign = text[0] == '-' ? (uint64_t)1 << 63 : 0;
	double value;
	int r;

	text += has_sign;
	len -= has_sign;
	*bits = 0x7ff0000000000000 | sign;
	if (text[0] == 'i')
		return 0;
	if (text[0] == 'n') {
		*bits |= nan_payload(text, len, 52);
		return *bits & 0xfffffffffffff ? 0 : -ERANGE;
	}
	r = number_read(text, len, NULL, &value);
	memcpy(bits, &value, sizeof *bits);
	*bits |= sign;
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Integers are decimal, 0x hexadecimal; they are shown signed.  Floats are
 * shown with as many digits as give the same float again. */
#include "cli/wasm_value.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wasm_value_integer(const char *word, unsigned bits, uint64_t *value)
{
	bool negative = word[0] == '-';
	const char *digits = word + (negative || word[0] == '+');
	int base = strncmp(digits, "0x", 2) == 0 ? 16 : 10;
	uint64_t limit = bits == 64 ? UINT64_MAX : UINT32_MAX;
	char *end;

	if (digits[0] < '0' || digits[0] > '9')
		return false;
	errno = 0;
	*value = strtoull(digits, &end, base);
	if (*end || errno || *value > limit)
		return false;
	if (!negative)
		return true;
	if (*value > (limit >> 1) + 1)
		return false;
	*value = -*value & limit;
	return true;
}

static bool wasm_value_float(const char *word, wasm_type type,
			     union wasm_value *value)
{
	char *end;

	if (type == WASM_F32)
		value->f32 = strtof(word, &end);
	else
		value->f64 = strtod(word, &end);
	return *word && !*end;
}

/* 0x and up to 32 digits: lane 0 is behind. */
static bool wasm_value_vector(const char *word, union wasm_value *value)
{
	size_t len = strlen(word);
	char high[17] = "0", low[17] = "0";

	if (len < 3 || len > 34 || strncmp(word, "0x", 2) != 0 ||
	    strspn(word + 2, "0123456789abcdefABCDEF") != len - 2)
		return false;
	word += 2;
	len -= 2;
	if (len > 16)
		memcpy(high, word, len - 16), high[len - 16] = 0;
	strcpy(low, len > 16 ? word + len - 16 : word);
	value->words[0] = strtoull(low, NULL, 16);
	value->words[1] = strtoull(high, NULL, 16);
	return true;
}

int wasm_value_parse(const char *word, wasm_type type, union wasm_value *value,
		     struct err *err)
{
	bool fine = false;
	char name[64];

	*value = (union wasm_value){ 0 };
	if (type == WASM_I32 || type == WASM_I64)
		fine = wasm_value_integer(word, type == WASM_I64 ? 64 : 32,
					  &value->i64);
	else if (type == WASM_F32 || type == WASM_F64)
		fine = wasm_value_float(word, type, value);
	else if (type == WASM_V128)
		fine = wasm_value_vector(word, value);
	else if (type & WASM_NULLABLE)
		fine = strcmp(word, "null") == 0;
	if (fine)
		return 0;
	wasm_type_format(type, name, sizeof name);
	return err_set(err, -EINVAL, "\"%.100s\" is no %s", word, name);
}

static void wasm_value_show_float(union wasm_value value, wasm_type type,
				  struct buf *text)
{
	bool single = type == WASM_F32;
	double number = single ? (double)value.f32 : value.f64;
	int digits = single ? 6 : 15;
	char word[40];

	if (number != number) {
		buf_text(text, "nan");
		return;
	}
	for (; digits <= 17; digits++) {
		snprintf(word, sizeof word, "%.*g", digits, number);
		if (single ? strtof(word, NULL) == value.f32
			   : strtod(word, NULL) == number)
			break;
	}
	buf_text(text, word);
}

static void wasm_value_show_reference(wasm_ref ref, wasm_type type,
				      struct buf *text)
{
	char name[64];

	wasm_type_format(type, name, sizeof name);
	if (ref == 0)
		buf_text(text, "null");
	else if (wasm_ref_is_host(ref))
		buf_format(text, "%s %llu", name,
			   (unsigned long long)wasm_ref_host(ref));
	else
		buf_text(text, name);
}

void wasm_value_show(union wasm_value value, wasm_type type, struct buf *text)
{
	if (type == WASM_I32)
		buf_format(text, "%d", (int32_t)value.i32);
	else if (type == WASM_I64)
		buf_format(text, "%lld", (long long)value.i64);
	else if (type == WASM_F32 || type == WASM_F64)
		wasm_value_show_float(value, type, text);
	else if (type == WASM_V128)
		buf_format(text, "0x%016llx%016llx",
			   (unsigned long long)value.words[1],
			   (unsigned long long)value.words[0]);
	else
		wasm_value_show_reference(value.ref, type, text);
}

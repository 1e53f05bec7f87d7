/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: UTF-8, and what the escapes of the text format stand for. */
#include "wat/internal.h"
#include <string.h>

static bool is_tail(const char *text)
{
	return ((unsigned char)*text & 0xc0) == 0x80;
}

static uint32_t utf8_three(const unsigned char *at, size_t len)
{
	if (len < 3 || !is_tail((const char *)at + 1) ||
	    !is_tail((const char *)at + 2))
		return 0;
	if (at[0] == 0xe0 && at[1] < 0xa0)
		return 0;
	return at[0] == 0xed && at[1] >= 0xa0 ? 0 : 3; /* no surrogates */
}

static uint32_t utf8_four(const unsigned char *at, size_t len)
{
	if (len < 4 || !is_tail((const char *)at + 1) ||
	    !is_tail((const char *)at + 2) || !is_tail((const char *)at + 3))
		return 0;
	if (at[0] == 0xf0 && at[1] < 0x90)
		return 0;
	return at[0] == 0xf4 && at[1] >= 0x90 ? 0 : 4;
}

uint32_t wat_utf8_len(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;

	if (!len)
		return 0;
	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	if (at[0] < 0xe0)
		return len >= 2 && is_tail(text + 1) ? 2 : 0;
	return at[0] < 0xf0 ? utf8_three(at, len) : utf8_four(at, len);
}

bool wat_utf8_check(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t step = wat_utf8_len(text + i, len - i);

		if (!step)
			return false;
		i += step;
	}
	return true;
}

static uint32_t utf8_put(uint32_t code, char *bytes)
{
	if (code < 0x80) {
		bytes[0] = code;
		return 1;
	}
	if (code < 0x800) {
		bytes[0] = 0xc0 | code >> 6;
		bytes[1] = 0x80 | (code & 0x3f);
		return 2;
	}
	if (code < 0x10000) {
		bytes[0] = 0xe0 | code >> 12;
		bytes[1] = 0x80 | (code >> 6 & 0x3f);
		bytes[2] = 0x80 | (code & 0x3f);
		return 3;
	}
	bytes[0] = 0xf0 | code >> 18;
	bytes[1] = 0x80 | (code >> 12 & 0x3f);
	bytes[2] = 0x80 | (code >> 6 & 0x3f);
	bytes[3] = 0x80 | (code & 0x3f);
	return 4;
}

static unsigned digit(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* An escape behind its backslash; the lexer has checked it.  Returns how much
 * of the text it is. */
static uint32_t escape_decode(const char *text, char *bytes, uint32_t *count)
{
	static const char from[] = "tnr\"'\\", to[] = "\t\n\r\"'\\";
	const char *found = strchr(from, text[0]);
	uint32_t at = 2, code = 0;

	*count = 1;
	if (found) {
		bytes[0] = to[found - from];
		return 1;
	}
	if (text[0] != 'u') {
		bytes[0] = digit(text[0]) << 4 | digit(text[1]);
		return 2;
	}
	for (; text[at] != '}'; at++)
		if (text[at] != '_')
			code = code << 4 | digit(text[at]);
	*count = utf8_put(code, bytes);
	return at + 1;
}

uint32_t wat_string_decode(const char *text, uint32_t len, char *bytes)
{
	uint32_t count = 0, step;

	for (uint32_t i = 1; i + 1 < len;) {
		if (text[i] != '\\') {
			bytes[count++] = text[i++];
			continue;
		}
		i += 1 + escape_decode(text + i + 1, bytes + count, &step);
		count += step;
	}
	return count;
}

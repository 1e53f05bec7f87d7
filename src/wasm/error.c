/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the engine and the small formatter that they are made with. */
#include "wasm/error.h"
#include <string.h>

enum { NAME_ROOM = 64 };

/* "at" never passes "room" - 1, where the last 0 belongs. */
struct line {
	char *text;
	uint32_t at, room;
};

static void line_char(struct line *line, char c)
{
	if (line->at + 1 < line->room)
		line->text[line->at++] = c;
}

static void line_text(struct line *line, const char *text)
{
	while (*text)
		line_char(line, *text++);
}

static void line_number(struct line *line, uint64_t number, unsigned base)
{
	char digits[20];
	unsigned count = 0;

	do
		digits[count++] = "0123456789abcdef"[number % base];
	while (number /= base);
	while (count)
		line_char(line, digits[--count]);
}

static void line_signed(struct line *line, int32_t number)
{
	if (number < 0)
		line_char(line, '-');
	line_number(line, number < 0 ? 0u - (uint32_t)number : (uint32_t)number,
		    10);
}

static void line_value(struct line *line, char kind, va_list *list)
{
	switch (kind) {
	case 's': line_text(line, va_arg(*list, const char *)); break;
	case 'u': line_number(line, va_arg(*list, uint32_t), 10); break;
	case 'd': line_signed(line, va_arg(*list, int32_t)); break;
	case 'x': line_number(line, va_arg(*list, uint32_t), 16); break;
	case 'U': line_number(line, va_arg(*list, uint64_t), 10); break;
	case 'X': line_number(line, va_arg(*list, uint64_t), 16); break;
	default: line_char(line, kind);
	}
}

uint32_t wasm_format_list(char *text, uint32_t room, const char *format,
			  va_list list)
{
	struct line line = { text, 0, room };
	va_list values;

	if (!room)
		return 0;
	va_copy(values, list);
	for (; *format; format++)
		if (*format == '%' && format[1])
			line_value(&line, *++format, &values);
		else
			line_char(&line, *format);
	va_end(values);
	text[line.at] = 0;
	return line.at;
}

uint32_t wasm_format(char *text, uint32_t room, const char *format, ...)
{
	uint32_t len;
	va_list list;

	va_start(list, format);
	len = wasm_format_list(text, room, format, list);
	va_end(list);
	return len;
}

int wasm_error_set_list(struct wasm_error *error, uint64_t offset,
			const char *format, va_list list)
{
	if (error->text[0])
		return -1;
	error->offset = offset;
	error->function = WASM_NO_FUNCTION;
	error->reason = 0;
	if (offset)
		error->reason = wasm_format(error->text, sizeof error->text,
					    "at 0x%X: ", offset);
	wasm_format_list(error->text + error->reason,
			 sizeof error->text - error->reason, format, list);
	return -1;
}

int wasm_error_set(struct wasm_error *error, uint64_t offset,
		   const char *format, ...)
{
	va_list list;

	va_start(list, format);
	wasm_error_set_list(error, offset, format, list);
	va_end(list);
	return -1;
}

/* A name as part of one line: no control characters, cut between letters. */
static void take_name(char out[NAME_ROOM], const char *name, uint32_t len)
{
	uint32_t cut = len < NAME_ROOM ? len : NAME_ROOM - 1;

	while (cut < len && cut && ((uint8_t)name[cut] & 0xc0) == 0x80)
		cut--;
	for (uint32_t i = 0; i < cut; i++)
		out[i] = (uint8_t)name[i] < ' ' || name[i] == 0x7f ? '?'
								   : name[i];
	out[cut] = 0;
}

void wasm_error_in_function(struct wasm_error *error, uint32_t function,
			    const char *name, uint32_t len)
{
	char reason[sizeof error->text], word[NAME_ROOM];
	const char *quote = len ? "\"" : "", *space = len ? " " : "";

	memcpy(reason, error->text + error->reason,
	       sizeof reason - error->reason);
	take_name(word, name, len);
	error->function = function;
	error->reason = wasm_format(error->text, sizeof error->text,
				    "function %u%s%s%s%s at 0x%X: ", function,
				    space, quote, word, quote, error->offset);
	wasm_format(error->text + error->reason,
		    sizeof error->text - error->reason, "%s", reason);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Types, limits, numbers and strings of the text. */
#include "wat/internal.h"
#include <string.h>

void wat_print_number(struct buf *buf, uint64_t value)
{
	char digits[20];
	int at = sizeof digits;

	do {
		digits[--at] = '0' + value % 10;
		value /= 10;
	} while (value);
	buf_add(buf, digits + at, sizeof digits - at);
}

/* A character of a string, or the escape for it. */
static void char_put(struct buf *buf, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char escape[3] = { '\\', hex[c >> 4], hex[c & 15] };

	if (c == '"' || c == '\\') {
		escape[1] = c;
		buf_add(buf, escape, 2);
	} else if (c < ' ' || c >= 0x7f) {
		buf_add(buf, escape, 3);
	} else {
		buf_add(buf, &c, 1);
	}
}

/* is_text: it is UTF-8, whose letters stay as they are. */
void wat_print_string(struct buf *buf, const void *bytes, size_t len,
		      bool is_text)
{
	const uint8_t *at = bytes;

	buf_add(buf, "\"", 1);
	for (size_t i = 0; i < len; i++)
		if (is_text && at[i] >= 0x80)
			buf_add(buf, at + i, 1);
		else
			char_put(buf, at[i]);
	buf_add(buf, "\"", 1);
}

static const char *word_of(unsigned class, unsigned value)
{
	for (uint32_t i = 0; i < WAT_WORDS - WASM_OPERATIONS; i++)
		if (wat_words[i].class == class && wat_words[i].value == value)
			return wat_words[i].text;
	return "?";
}

/* Types have the number that they have in the module. */
void wat_print_heap(struct wat_printer *printer, wasm_type type)
{
	uint32_t heap = type & WASM_REF_HEAP;

	if (!(heap & WASM_ABSTRACT)) {
		wat_given_use_in(printer, WAT_SPACE_TYPE, heap);
		return;
	}
	buf_text(printer->out, " ");
	buf_text(printer->out, word_of(WAT_CLASS_HEAP, heap & 0xff));
}

void wat_print_type(struct wat_printer *printer, wasm_type type)
{
	bool is_short = !wasm_type_is_ref(type) ||
			(type & WASM_ABSTRACT && type & WASM_NULLABLE);
	struct buf *out = printer->out;

	buf_text(out, " ");
	if (type == WASM_I8 || type == WASM_I16) {
		buf_text(out, word_of(WAT_CLASS_PACK, type));
	} else if (is_short) {
		buf_text(out, word_of(WAT_CLASS_TYPE, type & 0xff));
	} else {
		buf_text(out, type & WASM_NULLABLE ? "(ref null" : "(ref");
		wat_print_heap(printer, type);
		buf_text(out, ")");
	}
}

void wat_print_values(struct wat_printer *printer, struct wasm_reader *reader,
		      const char *word)
{
	uint32_t count = wasm_read_length(reader);

	if (!count)
		return;
	buf_text(printer->out, " (");
	buf_text(printer->out, word);
	for (; count && !reader->failed; count--)
		wat_print_type(printer, wasm_read_value_type(reader));
	buf_text(printer->out, ")");
}

/* Parameters, with names those that have one. */
static void params_print(struct wat_printer *printer,
			 struct wasm_reader *reader,
			 const struct wat_given *names)
{
	uint32_t count = wasm_read_length(reader);
	bool is_open = false;

	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		bool is_named = names[i].text;

		if (is_open && is_named) {
			buf_text(printer->out, ")");
			is_open = false;
		}
		if (!is_open)
			buf_text(printer->out, " (param");
		is_open = true;
		if (is_named)
			wat_given_define(printer, &names[i], i);
		wat_print_type(printer, wasm_read_value_type(reader));
		if (is_named) {
			buf_text(printer->out, ")");
			is_open = false;
		}
	}
	if (is_open)
		buf_text(printer->out, ")");
}

void wat_print_use(struct wat_printer *printer, uint32_t index,
		   const struct wat_given *names)
{
	const struct wasm_module *module = printer->module;
	const uint8_t *at = printer->signatures[index];
	struct wasm_reader reader;

	buf_text(printer->out, " (type");
	wat_given_use_in(printer, WAT_SPACE_TYPE, index);
	buf_text(printer->out, ")");
	if (!at)
		return;
	reader = wasm_reader_of(at, module->bytes + module->len - at);
	if (names)
		params_print(printer, &reader, names);
	else
		wat_print_values(printer, &reader, "param");
	wat_print_values(printer, &reader, "result");
}

/* "i64 1 2 shared (pagesize 1)" */
void wat_print_limits(struct wat_printer *printer, struct wasm_reader *reader)
{
	struct buf *out = printer->out;
	uint8_t flags = wasm_read_byte(reader);

	if (flags & 4)
		buf_text(out, " i64");
	buf_text(out, " ");
	wat_print_number(out, wasm_read_u64(reader));
	if (flags & 1) {
		buf_text(out, " ");
		wat_print_number(out, wasm_read_u64(reader));
	}
	if (flags & 2)
		buf_text(out, " shared");
	if (flags & 8) {
		buf_text(out, " (pagesize ");
		wat_print_number(out, 1ull << (wasm_read_u32(reader) & 63));
		buf_text(out, ")");
	}
}

/* Definitions */

static wasm_type storage_read(struct wasm_reader *reader)
{
	if (wasm_reader_left(reader) &&
	    (*reader->at == WASM_I8 || *reader->at == WASM_I16))
		return *reader->at++;
	return wasm_read_value_type(reader);
}

static void field_print(struct wat_printer *printer, struct wasm_reader *reader)
{
	wasm_type type = storage_read(reader);
	bool is_mutable = wasm_read_byte(reader);

	if (is_mutable)
		buf_text(printer->out, " (mut");
	wat_print_type(printer, type);
	if (is_mutable)
		buf_text(printer->out, ")");
}

/* The names of a type's fields stay: instructions use them. */
static const struct wat_given *field_names(struct wat_printer *printer,
					   uint32_t type, uint32_t count)
{
	uint32_t room = 0;

	if (!printer->fields || !printer->fields[type].at)
		return NULL;
	if (wat_given_inner(&printer->fields[type], &printer->field_names[type],
			    &room, count) < 0)
		printer->out->failed = true;
	return printer->field_names[type];
}

static void fields_print(struct wat_printer *printer,
			 struct wasm_reader *reader, uint32_t index)
{
	uint32_t count = wasm_read_length(reader);
	const struct wat_given *names = field_names(printer, index, count);

	for (uint32_t i = 0; i < count && !reader->failed; i++) {
		buf_text(printer->out, "\n      (field");
		if (names && names[i].text)
			wat_given_define(printer, &names[i], i);
		field_print(printer, reader);
		buf_text(printer->out, ")");
	}
}

static void composite_print(struct wat_printer *printer,
			    struct wasm_reader *reader, uint32_t index)
{
	switch (wasm_read_byte(reader)) {
	case 0x60:
		printer->signatures[index] = reader->at;
		buf_text(printer->out, " (func");
		wat_print_values(printer, reader, "param");
		wat_print_values(printer, reader, "result");
		break;
	case 0x5f:
		buf_text(printer->out, " (struct");
		fields_print(printer, reader, index);
		break;
	default:
		buf_text(printer->out, " (array");
		field_print(printer, reader);
	}
	buf_text(printer->out, ")");
}

static void type_print(struct wat_printer *printer, struct wasm_reader *reader,
		       const char *indent)
{
	uint32_t index = printer->next[WAT_SPACE_TYPE]++;
	struct buf *out = printer->out;
	uint8_t byte = wasm_reader_left(reader) ? *reader->at : 0;
	bool is_sub = byte == 0x50 || byte == 0x4f;

	if (index >= printer->module->type_count) {
		wasm_reader_end(reader);
		return;
	}
	buf_text(out, indent);
	buf_text(out, "(type");
	wat_given_define_in(printer, WAT_SPACE_TYPE, index);
	if (is_sub) {
		wasm_read_byte(reader);
		buf_text(out, byte == 0x4f ? " (sub final" : " (sub");
		for (uint32_t count = wasm_read_length(reader);
		     count && !reader->failed; count--)
			wat_given_use_in(printer, WAT_SPACE_TYPE,
					 wasm_read_u32(reader));
	}
	composite_print(printer, reader, index);
	buf_text(out, is_sub ? "))\n" : ")\n");
}

void wat_print_types(struct wat_printer *printer, struct wasm_reader *reader)
{
	uint32_t count = wasm_read_length(reader);

	for (; count && !reader->failed; count--) {
		if (!wasm_reader_left(reader) || *reader->at != 0x4e) {
			type_print(printer, reader, "  ");
			continue;
		}
		wasm_read_byte(reader);
		buf_text(printer->out, "  (rec\n");
		for (uint32_t types = wasm_read_length(reader);
		     types && !reader->failed; types--)
			type_print(printer, reader, "    ");
		buf_text(printer->out, "  )\n");
	}
}

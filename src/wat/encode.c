/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the binary format, and a module from its sections.  Numbers are as
 * short as can be. */
#include "wat/internal.h"
#include <string.h>

void wat_put_byte(struct buf *buf, unsigned byte)
{
	char one = byte;

	buf_add(buf, &one, 1);
}

void wat_put_u(struct buf *buf, uint64_t value)
{
	char bytes[10];
	int len = 0;

	do {
		bytes[len] = value & 0x7f;
		value >>= 7;
		if (value)
			bytes[len] |= (char)0x80;
		len++;
	} while (value);
	buf_add(buf, bytes, len);
}

void wat_put_s(struct buf *buf, int64_t value)
{
	char bytes[10];
	int len = 0;
	bool more;

	do {
		bytes[len] = value & 0x7f;
		more = value < -64 || value > 63;
		value >>= 7;
		if (more)
			bytes[len] |= (char)0x80;
		len++;
	} while (more);
	buf_add(buf, bytes, len);
}

void wat_put_bytes(struct buf *buf, const void *data, size_t len)
{
	wat_put_u(buf, len);
	buf_add(buf, data, len);
}

static void section_put(struct buf *binary, unsigned number,
			const struct buf *body)
{
	wat_put_byte(binary, number);
	wat_put_bytes(binary, body->data, body->len);
	binary->failed |= body->failed;
}

/* Custom sections of that place; they lie in the order of the text. */
static void customs_put(const struct wat_parser *parser, uint32_t place,
			struct buf *binary)
{
	const char *at = parser->custom_bytes.data;

	for (uint32_t i = 0; i < parser->custom_count; i++) {
		const struct wat_custom *custom = &parser->customs[i];

		if (custom->place == place) {
			wat_put_byte(binary, 0);
			wat_put_bytes(binary, at, custom->len);
		}
		at += custom->len;
	}
	binary->failed |= parser->custom_bytes.failed;
}

/* A section that is a vector: its count, then its elements. */
static void vector_put(struct wat_parser *parser, unsigned number,
		       enum wat_section section, struct buf *binary)
{
	struct buf body = { 0 };

	wat_vec_put(&body, &parser->sections[section]);
	section_put(binary, number, &body);
	buf_fini(&body);
}

static void datacount_put(struct wat_parser *parser, struct buf *binary)
{
	struct buf body = { 0 };

	if (!parser->uses_data)
		return;
	wat_put_u(&body, parser->sections[WAT_SECTION_DATA].count);
	section_put(binary, 12, &body);
	buf_fini(&body);
}

static void hints_put(struct wat_parser *parser, struct buf *binary)
{
	static const char name[] = "metadata.code.branch_hint";
	struct buf body = { 0 };

	if (!parser->hints.count)
		return;
	wat_put_bytes(&body, name, sizeof name - 1);
	wat_vec_put(&body, &parser->hints);
	section_put(binary, 0, &body);
	buf_fini(&body);
}

static void one_section(struct wat_parser *parser, enum wat_section section,
			struct buf *binary)
{
	static const uint8_t numbers[WAT_SECTIONS] = { 0, 1, 2, 3, 4,  5,  13,
						       6, 7, 8, 9, 12, 10, 11 };
	const struct wat_vec *vec = &parser->sections[section];

	if (section == WAT_SECTION_DATACOUNT)
		datacount_put(parser, binary);
	else if (section == WAT_SECTION_START && vec->count)
		section_put(binary, numbers[section], &vec->bytes);
	else if (vec->count)
		vector_put(parser, numbers[section], section, binary);
}

static void names_put(struct wat_parser *parser, struct buf *binary)
{
	struct buf body = { 0 };

	wat_put_bytes(&body, "name", 4);
	for (int i = 0; i < WAT_NAMED_COUNT; i++) {
		struct wat_vec *vec = &parser->named[i];
		struct buf map = { 0 };

		if (!vec->count)
			continue;
		if (i == WAT_NAMED_MODULE)
			buf_add(&map, vec->bytes.data, vec->bytes.len);
		else
			wat_vec_put(&map, vec);
		section_put(&body, i, &map);
		buf_fini(&map);
	}
	if (body.len > 5 && !parser->has_name_section)
		section_put(binary, 0, &body);
	binary->failed |= body.failed;
	buf_fini(&body);
}

int wat_encode(struct wat_parser *parser, struct buf *binary)
{
	buf_add(binary, "\0asm\1\0\0\0", 8);
	for (int section = 0; section <= WAT_SECTIONS; section++) {
		customs_put(parser, 2 * section, binary);
		if (section == WAT_SECTION_CODE)
			hints_put(parser, binary);
		if (section && section < WAT_SECTIONS)
			one_section(parser, section, binary);
		if (section == WAT_SECTIONS)
			names_put(parser, binary);
		customs_put(parser, 2 * section + 1, binary);
	}
	if (binary->failed)
		return wat_lexer_no_memory(parser->lexer);
	return 0;
}

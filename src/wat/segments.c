/* SPDX-License-Identifier: Apache-2.0 */
/* Element and data segments, as fields of their own or within a table or a
 * memory.  Of the eight forms of an element segment the shortest is taken. */
#include "wat/internal.h"
#include <errno.h>
#include <string.h>

enum { MODE_PASSIVE = 1, MODE_TABLE = 2, MODE_DECLARE = 3, MODE_ITEMS = 4 };

/* A segment's place: mode 0 is active, in table or memory "index". */
struct place {
	unsigned mode;
	uint32_t index;
};

/* Items */

/* The last item, which begins at "begin": is it "ref.func" alone?  Then its
 * function is remembered. */
static void item_look(struct wat_parser *parser, size_t begin)
{
	const struct buf *items = &parser->items.bytes;
	const char *at = items->data + begin;
	size_t len = items->len - begin, end = 1;

	if (items->failed || (unsigned char)at[0] != 0xd2)
		return;
	while (at[end] & 0x80)
		end++;
	if (end + 2 != len)
		return;
	buf_add(&parser->functions.bytes, at + 1, end);
	parser->functions.count++;
}

/* "(item ...)" or an instruction in brackets. */
static int item_read(struct wat_parser *parser)
{
	struct buf *items = &parser->items.bytes;
	size_t begin = items->len;
	int r;

	if (wat_take_open(parser, WAT_W_ITEM)) {
		r = wat_code_constant(parser, items);
		if (r == 0)
			r = wat_expect_close(parser);
	} else {
		r = wat_code_constant_one(parser, items);
	}
	parser->items.count++;
	if (r == 0)
		item_look(parser, begin);
	return r;
}

/* A function's number stands for "ref.func". */
static int item_function(struct wat_parser *parser)
{
	struct buf *items = &parser->items.bytes;
	size_t begin = items->len;
	int r;

	wat_immediate_operation(items, WASM_OP_REF_FUNC);
	r = wat_names_put(parser, WAT_SPACE_FUNC, items);
	wat_immediate_operation(items, WASM_OP_END);
	parser->items.count++;
	if (r == 0)
		item_look(parser, begin);
	return r;
}

static void items_clear(struct wat_parser *parser)
{
	wat_vec_clear(&parser->items);
	wat_vec_clear(&parser->functions);
}

static int items_functions(struct wat_parser *parser)
{
	int r = 0;

	while (r == 0 && wat_is_index(parser, parser->at))
		r = item_function(parser);
	return r;
}

static int items_expressions(struct wat_parser *parser)
{
	int r = 0;

	while (r == 0 && wat_kind(parser) == WAT_OPEN)
		r = item_read(parser);
	return r;
}

/* A type and its items, "func" and functions, or functions alone. */
static int items_read(struct wat_parser *parser, bool may_be_bare)
{
	items_clear(parser);
	buf_clear(&parser->type);
	if (wat_take_word(parser, WAT_W_FUNC) ||
	    (may_be_bare && (wat_is_index(parser, parser->at) ||
			     wat_kind(parser) == WAT_CLOSE))) {
		buf_add(&parser->type, "\x64\x70", 2);
		return items_functions(parser);
	}
	if (wat_types_reference_full(parser, &parser->type) < 0)
		return -EINVAL;
	return items_expressions(parser);
}

/* Element segments */

static void elem_put(struct wat_parser *parser, struct place place,
		     const struct buf *type, const struct buf *offset)
{
	struct wat_vec *elems = &parser->sections[WAT_SECTION_ELEM];
	bool is_function = type->len == 2 && !memcmp(type->data, "\x64\x70", 2);
	bool is_funcref = type->len == 1 && type->data[0] == 0x70;
	bool short_items =
		is_function && parser->functions.count == parser->items.count;

	elems->count++;
	if (!short_items)
		place.mode |= MODE_ITEMS;
	if (!(place.mode & 1) && (place.index || !(short_items || is_funcref)))
		place.mode |= MODE_TABLE;
	wat_put_byte(&elems->bytes, place.mode);
	if ((place.mode & 3) == MODE_TABLE)
		wat_put_u(&elems->bytes, place.index);
	if (!(place.mode & 1))
		buf_add(&elems->bytes, offset->data, offset->len);
	if (place.mode & 3) {
		if (short_items)
			wat_put_byte(&elems->bytes, 0);
		else
			buf_add(&elems->bytes, type->data, type->len);
	}
	wat_vec_put(&elems->bytes,
		    short_items ? &parser->functions : &parser->items);
	elems->bytes.failed |= offset->failed | type->failed;
}

/* "(offset ...)" or an instruction in brackets. */
static int offset_read(struct wat_parser *parser)
{
	int r;

	buf_clear(&parser->offset);
	if (!wat_take_open(parser, WAT_W_OFFSET))
		return wat_code_constant_one(parser, &parser->offset);
	r = wat_code_constant(parser, &parser->offset);
	return r < 0 ? r : wat_expect_close(parser);
}

/* Does an offset follow, not a type in brackets? */
static bool is_offset(const struct wat_parser *parser, uint32_t at)
{
	const struct wat_token *open = &parser->tokens[at];

	return open->kind == WAT_OPEN && open[1].kind == WAT_WORD &&
	       (open[1].value < WASM_OPERATIONS ||
		open[1].value == WAT_W_OFFSET);
}

/* "(table x)" or "(memory x)", or as the first standard had it the number
 * alone; then the offset. */
static int place_read(struct wat_parser *parser, uint32_t word, uint32_t space,
		      struct place *place)
{
	*place = (struct place){ 0 };
	if (wat_take_open(parser, word)) {
		if (wat_names_index(parser, space, &place->index) < 0 ||
		    wat_expect_close(parser) < 0)
			return -EINVAL;
		return offset_read(parser);
	}
	if (wat_is_index(parser, parser->at) &&
	    is_offset(parser, parser->at + 1) &&
	    wat_names_index(parser, space, &place->index) < 0)
		return -EINVAL;
	if (is_offset(parser, parser->at))
		return offset_read(parser);
	buf_clear(&parser->offset);
	place->mode = MODE_PASSIVE;
	return 0;
}

static int segment_name(struct wat_parser *parser, uint32_t space,
			enum wat_named named)
{
	uint32_t symbol = wat_take_id(parser);

	return wat_names_keep(parser, named, symbol, parser->next[space]++);
}

/* Where "(table x)" stands, "func" may not be left out. */
int wat_segments_elem(struct wat_parser *parser)
{
	struct place place = { .mode = MODE_DECLARE };
	bool names_table;
	int r;

	if (segment_name(parser, WAT_SPACE_ELEM, WAT_NAMED_ELEM) < 0)
		return -EINVAL;
	names_table = wat_is_open(parser, WAT_W_TABLE);
	if (wat_take_word(parser, WAT_W_DECLARE))
		buf_clear(&parser->offset);
	else if (place_read(parser, WAT_W_TABLE, WAT_SPACE_TABLE, &place) < 0)
		return -EINVAL;
	r = items_read(parser, !place.mode && !names_table);
	if (r == 0)
		elem_put(parser, place, &parser->type, &parser->offset);
	return r;
}

static void offset_zero(struct wat_parser *parser, bool is64)
{
	buf_clear(&parser->offset);
	wat_immediate_operation(&parser->offset,
				is64 ? WASM_OP_I64_CONST : WASM_OP_I32_CONST);
	wat_put_byte(&parser->offset, 0);
	wat_immediate_operation(&parser->offset, WASM_OP_END);
}

int wat_segments_table(struct wat_parser *parser, uint32_t table, bool is64,
		       const struct buf *type, uint32_t *count)
{
	struct place place = { .index = table };
	int r;

	if (!wat_take_open(parser, WAT_W_ELEM))
		return wat_unexpected(parser);
	parser->next[WAT_SPACE_ELEM]++;
	items_clear(parser);
	r = wat_is_index(parser, parser->at) ? items_functions(parser)
					     : items_expressions(parser);
	if (r < 0)
		return r;
	offset_zero(parser, is64);
	elem_put(parser, place, type, &parser->offset);
	*count = parser->items.count;
	return wat_expect_close(parser);
}

/* Data segments */

static int data_put(struct wat_parser *parser, struct place place)
{
	struct wat_vec *datas = &parser->sections[WAT_SECTION_DATA];
	struct buf *bytes = &parser->items.bytes;
	int r;

	datas->count++;
	if (!place.mode && place.index)
		place.mode = MODE_TABLE;
	wat_put_byte(&datas->bytes, place.mode);
	if (place.mode == MODE_TABLE)
		wat_put_u(&datas->bytes, place.index);
	buf_add(&datas->bytes, parser->offset.data, parser->offset.len);
	buf_clear(bytes);
	r = wat_strings(parser, bytes);
	wat_put_bytes(&datas->bytes, bytes->data, bytes->len);
	datas->bytes.failed |= bytes->failed | parser->offset.failed;
	return r;
}

int wat_segments_data(struct wat_parser *parser)
{
	struct place place;

	if (segment_name(parser, WAT_SPACE_DATA, WAT_NAMED_DATA) < 0 ||
	    place_read(parser, WAT_W_MEMORY, WAT_SPACE_MEMORY, &place) < 0)
		return -EINVAL;
	return data_put(parser, place);
}

int wat_segments_memory(struct wat_parser *parser, uint32_t memory, bool is64,
			uint64_t *len)
{
	struct place place = { .index = memory };
	int r;

	if (!wat_take_open(parser, WAT_W_DATA))
		return wat_unexpected(parser);
	parser->next[WAT_SPACE_DATA]++;
	offset_zero(parser, is64);
	r = data_put(parser, place);
	*len = parser->items.bytes.len;
	return r < 0 ? r : wat_expect_close(parser);
}

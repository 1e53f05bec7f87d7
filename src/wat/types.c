/* SPDX-License-Identifier: Apache-2.0 */
/* Types.  They are kept as the bytes that they are in a module, so that two
 * are the same when their bytes are.  Types that a function brings with it
 * are added behind all others, unless there is one already. */
#include "wat/internal.h"
#include <errno.h>
#include <string.h>

static const struct wat_word_info *word_of(const struct wat_parser *parser)
{
	uint32_t word = parser->tokens[parser->at].value;

	if (wat_kind(parser) != WAT_WORD || word < WASM_OPERATIONS)
		return NULL;
	return &wat_words[word - WASM_OPERATIONS];
}

/* Value types */

bool wat_types_is_value(const struct wat_parser *parser)
{
	const struct wat_word_info *info = word_of(parser);

	return (info && info->class == WAT_CLASS_TYPE) ||
	       wat_is_open(parser, WAT_W_REF);
}

int wat_types_heap(struct wat_parser *parser, struct buf *buf)
{
	const struct wat_word_info *info = word_of(parser);
	uint32_t index;
	int r;

	if (info && info->class == WAT_CLASS_HEAP) {
		wat_put_byte(buf, info->value);
		parser->at++;
		return 0;
	}
	r = wat_names_index(parser, WAT_SPACE_TYPE, &index);
	if (r == 0)
		wat_put_s(buf, index);
	return r;
}

/* "funcref" and the like, or "(ref null? ht)". */
int wat_types_reference(struct wat_parser *parser, struct buf *buf,
			bool *is_null)
{
	const struct wat_word_info *info = word_of(parser);

	if (info && info->class == WAT_CLASS_TYPE && info->value < 0x75) {
		wat_put_byte(buf, info->value);
		*is_null = true;
		parser->at++;
		return 0;
	}
	if (!wat_take_open(parser, WAT_W_REF))
		return wat_unexpected(parser);
	*is_null = wat_take_word(parser, WAT_W_NULL);
	if (wat_types_heap(parser, buf) < 0)
		return -EINVAL;
	return wat_expect_close(parser);
}

/* The shortest form: a kind of its own that may be null is one byte. */
int wat_types_reference_full(struct wat_parser *parser, struct buf *buf)
{
	struct buf *heap = &parser->heap;
	bool is_null;

	buf_clear(heap);
	if (wat_types_reference(parser, heap, &is_null) < 0)
		return -EINVAL;
	if (heap->failed)
		return wat_lexer_no_memory(parser->lexer);
	if (!is_null)
		wat_put_byte(buf, 0x64);
	else if (heap->len > 1 || (heap->data[0] & 0xc0) != 0x40)
		wat_put_byte(buf, 0x63);
	buf_add(buf, heap->data, heap->len);
	return 0;
}

int wat_types_value(struct wat_parser *parser, struct buf *buf)
{
	const struct wat_word_info *info = word_of(parser);

	if (info && info->class == WAT_CLASS_TYPE) {
		wat_put_byte(buf, info->value);
		parser->at++;
		return 0;
	}
	return wat_types_reference_full(parser, buf);
}

int wat_types_global(struct wat_parser *parser, struct buf *buf)
{
	bool is_mutable = wat_take_open(parser, WAT_W_MUT);
	int r = wat_types_value(parser, buf);

	wat_put_byte(buf, is_mutable);
	if (r == 0 && is_mutable)
		r = wat_expect_close(parser);
	return r;
}

/* Parameters and results */

static int param_bind(struct wat_parser *parser, enum wat_param_names names,
		      uint32_t symbol)
{
	return names == WAT_PARAMS_BIND ? wat_names_bind_local(parser, symbol)
					: 0;
}

/* Behind "(param". */
static int param_read(struct wat_parser *parser, enum wat_param_names names)
{
	struct wat_vec *params = &parser->params;
	uint32_t symbol = WAT_NONE;
	int r;

	if (names != WAT_PARAMS_PLAIN)
		symbol = wat_take_id(parser);
	if (symbol != WAT_NONE) {
		params->count++;
		r = param_bind(parser, names, symbol);
		if (r == 0)
			r = wat_types_value(parser, &params->bytes);
		return r < 0 ? r : wat_expect_close(parser);
	}
	while (wat_kind(parser) != WAT_CLOSE) {
		params->count++;
		r = param_bind(parser, names, WAT_NONE);
		if (r == 0)
			r = wat_types_value(parser, &params->bytes);
		if (r < 0)
			return r;
	}
	parser->at++;
	return 0;
}

static int result_read(struct wat_parser *parser)
{
	while (wat_kind(parser) != WAT_CLOSE) {
		if (wat_types_value(parser, &parser->results.bytes) < 0)
			return -EINVAL;
		parser->results.count++;
	}
	parser->at++;
	return 0;
}

/* To "params" and "results". */
static int signature_read(struct wat_parser *parser, enum wat_param_names names)
{
	wat_vec_clear(&parser->params);
	wat_vec_clear(&parser->results);
	while (wat_take_open(parser, WAT_W_PARAM))
		if (param_read(parser, names) < 0)
			return -EINVAL;
	while (wat_take_open(parser, WAT_W_RESULT))
		if (result_read(parser) < 0)
			return -EINVAL;
	return 0;
}

/* A new type with the signature just read, or what is no function. */
static int type_add(struct wat_parser *parser, int kind)
{
	struct buf *all = &parser->signatures;
	struct wat_type type = { .kind = kind,
				 .at = all->len,
				 .next = WAT_NONE };

	if (kind == WAT_TYPE_FUNC) {
		wat_vec_put(all, &parser->params);
		wat_vec_put(all, &parser->results);
		type.param_count = parser->params.count;
		type.len = all->len - type.at;
	}
	if (all->failed ||
	    !wat_room_grow((void **)&parser->types, &parser->type_room,
			   parser->type_count + 1, sizeof *parser->types))
		return wat_lexer_no_memory(parser->lexer);
	parser->types[parser->type_count++] = type;
	return 0;
}

/* The first type with the same bytes as type "index", itself if there is no
 * other; "key" is what they are found by. */
static uint32_t signature_find(const struct wat_parser *parser, uint32_t index,
			       uint64_t key)
{
	const struct wat_type *type = &parser->types[index], *other;
	int64_t found = wat_map_find(&parser->signature_map, key);
	const char *all = parser->signatures.data;

	for (uint32_t at = found < 0 ? WAT_NONE : found; at != WAT_NONE;
	     at = other->next) {
		other = &parser->types[at];
		if (other->len == type->len &&
		    !memcmp(all + other->at, all + type->at, type->len))
			return at;
	}
	return index;
}

/* Makes the last type one that uses without a name find; *index is that one or
 * an older of the same bytes. */
static int signature_enter(struct wat_parser *parser, uint32_t *index)
{
	uint32_t last = parser->type_count - 1;
	struct wat_type *type = &parser->types[last];
	uint64_t key = wat_hash(parser, parser->signatures.data + type->at,
				type->len) |
		       1; /* 0 is none */
	int64_t first;

	*index = signature_find(parser, last, key);
	if (*index != last)
		return 0;
	first = wat_map_find(&parser->signature_map, key);
	if (first >= 0) {
		type->next = parser->types[first].next;
		parser->types[first].next = last;
	} else if (wat_map_add(&parser->signature_map, key, last) < 0) {
		return wat_lexer_no_memory(parser->lexer);
	}
	return 0;
}

/* The type with the signature just read. */
static int signature_index(struct wat_parser *parser, uint32_t *index)
{
	struct wat_vec *types = &parser->sections[WAT_SECTION_TYPE];
	const struct wat_type *type;

	if (type_add(parser, WAT_TYPE_FUNC) < 0 ||
	    signature_enter(parser, index) < 0)
		return -ENOMEM;
	type = &parser->types[parser->type_count - 1];
	if (*index != parser->type_count - 1) {
		parser->signatures.len = type->at;
		parser->type_count--;
		return 0;
	}
	wat_put_byte(&types->bytes, 0x60);
	buf_add(&types->bytes, parser->signatures.data + type->at, type->len);
	types->count++;
	return 0;
}

/* Uses */

/* The signature just read is that of the type? */
static int use_check(struct wat_parser *parser, uint32_t index, uint32_t begin)
{
	const struct wat_type *type;
	uint32_t found;
	bool is_same;

	if (index >= parser->type_count) {
		parser->at = begin;
		return wat_fail(parser, "unknown type %u", index);
	}
	if (parser->types[index].kind == WAT_TYPE_FUNC) {
		/* For a moment it is the newest type. */
		if (type_add(parser, WAT_TYPE_FUNC) < 0)
			return -ENOMEM;
		found = --parser->type_count;
		type = &parser->types[found];
		parser->signatures.len = type->at;
		is_same = type->len == parser->types[index].len &&
			  !memcmp(parser->signatures.data + type->at,
				  parser->signatures.data +
					  parser->types[index].at,
				  type->len);
		if (is_same)
			return 0;
	}
	parser->at = begin;
	return wat_fail(parser, "inline function type");
}

/* "(type x)": the locals are its parameters when it says no more. */
static int use_named(struct wat_parser *parser, enum wat_param_names names,
		     uint32_t *index)
{
	uint32_t begin = parser->at;
	int r = wat_names_index(parser, WAT_SPACE_TYPE, index);

	if (r == 0)
		r = wat_expect_close(parser);
	if (r == 0)
		r = signature_read(parser, names);
	if (r < 0)
		return r;
	if (wat_is_open(parser, WAT_W_PARAM) || wat_is_open(parser, WAT_W_TYPE))
		return wat_unexpected(parser); /* the order is wrong */
	if (parser->params.count || parser->results.count)
		return use_check(parser, *index, begin);
	if (names != WAT_PARAMS_BIND)
		return 0;
	if (*index < parser->type_count)
		parser->local_count = parser->types[*index].param_count;
	else if (*index < parser->type_later)
		parser->type_later = *index;
	return 0;
}

int wat_types_use(struct wat_parser *parser, enum wat_param_names names,
		  uint32_t *index)
{
	int r;

	if (names == WAT_PARAMS_BIND)
		parser->local_count = 0;
	if (wat_take_open(parser, WAT_W_TYPE))
		return use_named(parser, names, index);
	r = signature_read(parser, names);
	return r < 0 ? r : signature_index(parser, index);
}

int wat_types_block(struct wat_parser *parser, struct buf *buf)
{
	uint32_t index;
	int r;

	if (wat_take_open(parser, WAT_W_TYPE)) {
		r = use_named(parser, WAT_PARAMS_PLAIN, &index);
		if (r == 0)
			wat_put_s(buf, index);
		return r;
	}
	r = signature_read(parser, WAT_PARAMS_PLAIN);
	if (r < 0)
		return r;
	if (parser->params.count || parser->results.count > 1) {
		r = signature_index(parser, &index);
		wat_put_s(buf, r == 0 ? index : 0);
	} else if (parser->results.count) {
		buf_add(buf, parser->results.bytes.data,
			parser->results.bytes.len);
		buf->failed |= parser->results.bytes.failed;
	} else {
		wat_put_byte(buf, 0x40);
	}
	return r;
}

/* Definitions */

static int storage_read(struct wat_parser *parser, struct buf *buf)
{
	const struct wat_word_info *info = word_of(parser);

	if (info && info->class == WAT_CLASS_PACK) {
		wat_put_byte(buf, info->value);
		parser->at++;
		return 0;
	}
	return wat_types_value(parser, buf);
}

/* A storage type, or "(mut it)". */
static int field_type(struct wat_parser *parser, struct buf *buf)
{
	bool is_mutable = wat_take_open(parser, WAT_W_MUT);
	int r = storage_read(parser, buf);

	wat_put_byte(buf, is_mutable);
	if (r == 0 && is_mutable)
		r = wat_expect_close(parser);
	return r;
}

/* Behind "(field": one with a name, or any number. */
static int field_read(struct wat_parser *parser, struct wat_vec *fields)
{
	uint32_t space = WAT_SPACES + parser->type_count;
	uint32_t symbol = wat_take_id(parser);
	int r = 0;

	if (symbol != WAT_NONE) {
		r = wat_names_bind(parser, space, symbol, fields->count);
		if (r == 0)
			r = wat_names_keep(parser, WAT_NAMED_FIELD, symbol,
					   fields->count);
		if (r == 0)
			r = field_type(parser, &fields->bytes);
		fields->count++;
		return r < 0 ? r : wat_expect_close(parser);
	}
	while (r == 0 && wat_kind(parser) != WAT_CLOSE) {
		r = wat_names_keep(parser, WAT_NAMED_FIELD, WAT_NONE,
				   fields->count++);
		if (r == 0)
			r = field_type(parser, &fields->bytes);
	}
	return r < 0 ? r : wat_expect_close(parser);
}

static int define_struct(struct wat_parser *parser, struct buf *buf)
{
	struct wat_vec *fields = &parser->params;

	wat_vec_clear(fields);
	while (wat_take_open(parser, WAT_W_FIELD))
		if (field_read(parser, fields) < 0)
			return -EINVAL;
	wat_names_keep_inner(parser, WAT_NAMED_FIELD, parser->type_count);
	wat_put_byte(buf, 0x5f);
	wat_vec_put(buf, fields);
	return type_add(parser, WAT_TYPE_STRUCT);
}

static int define_func(struct wat_parser *parser, struct buf *buf)
{
	const struct wat_type *type;

	if (signature_read(parser, WAT_PARAMS_IGNORE) < 0 ||
	    type_add(parser, WAT_TYPE_FUNC) < 0)
		return -EINVAL;
	type = &parser->types[parser->type_count - 1];
	wat_put_byte(buf, 0x60);
	buf_add(buf, parser->signatures.data + type->at, type->len);
	return 0;
}

static int define_array(struct wat_parser *parser, struct buf *buf)
{
	wat_put_byte(buf, 0x5e);
	return field_type(parser, buf) < 0 ? -EINVAL
					   : type_add(parser, WAT_TYPE_ARRAY);
}

/* "(func ...)", "(struct ...)", "(array ...)" */
static int define_composite(struct wat_parser *parser, struct buf *buf)
{
	int r;

	if (wat_take_open(parser, WAT_W_FUNC))
		r = define_func(parser, buf);
	else if (wat_take_open(parser, WAT_W_STRUCT))
		r = define_struct(parser, buf);
	else if (wat_take_open(parser, WAT_W_ARRAY))
		r = define_array(parser, buf);
	else
		return wat_unexpected(parser);
	return r < 0 ? r : wat_expect_close(parser);
}

/* Behind "(sub": "plain" stays set where it says no more than none would. */
static int define_sub(struct wat_parser *parser, struct buf *buf, bool *plain)
{
	bool is_final = wat_take_word(parser, WAT_W_FINAL);
	struct wat_vec supers = { 0 };
	int r = 0;

	while (r == 0 && wat_is_index(parser, parser->at)) {
		r = wat_names_put(parser, WAT_SPACE_TYPE, &supers.bytes);
		supers.count++;
	}
	*plain = is_final && !supers.count;
	if (!*plain) {
		wat_put_byte(buf, is_final ? 0x4f : 0x50);
		wat_vec_put(buf, &supers);
	}
	buf_fini(&supers.bytes);
	if (r == 0)
		r = define_composite(parser, buf);
	return r < 0 ? r : wat_expect_close(parser);
}

/* "(type $name ...)"; its name is bound already. */
static int define_one(struct wat_parser *parser, struct buf *buf, bool *plain)
{
	uint32_t symbol;
	int r;

	if (!wat_take_open(parser, WAT_W_TYPE))
		return wat_unexpected(parser);
	*plain = true;
	symbol = wat_take_id(parser);
	r = wat_names_keep(parser, WAT_NAMED_TYPE, symbol, parser->type_count);
	if (r < 0)
		return r;
	if (wat_take_open(parser, WAT_W_SUB))
		r = define_sub(parser, buf, plain);
	else
		r = define_composite(parser, buf);
	return r < 0 ? r : wat_expect_close(parser);
}

/* A group of one is written without its group. */
static int define_group(struct wat_parser *parser, struct wat_vec *types,
			bool *plain)
{
	struct wat_vec group = { 0 };
	int r = 0;

	while (r == 0 && wat_kind(parser) == WAT_OPEN) {
		r = define_one(parser, &group.bytes, plain);
		group.count++;
	}
	if (group.count != 1) {
		wat_put_byte(&types->bytes, 0x4e);
		wat_put_u(&types->bytes, group.count);
		*plain = false;
	}
	buf_add(&types->bytes, group.bytes.data, group.bytes.len);
	types->bytes.failed |= group.bytes.failed;
	buf_fini(&group.bytes);
	return r < 0 ? r : wat_expect_close(parser);
}

int wat_types_define(struct wat_parser *parser)
{
	struct wat_vec *types = &parser->sections[WAT_SECTION_TYPE];
	uint32_t same;
	bool plain;
	int r;

	types->count++;
	if (wat_take_open(parser, WAT_W_REC))
		r = define_group(parser, types, &plain);
	else
		r = define_one(parser, &types->bytes, &plain);
	if (r == 0 && plain &&
	    parser->types[parser->type_count - 1].kind == WAT_TYPE_FUNC)
		r = signature_enter(parser, &same);
	return r;
}

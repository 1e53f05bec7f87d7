/* SPDX-License-Identifier: Apache-2.0 */
/* Values of scripts: arguments, and patterns of what is expected. */
#include "wat/internal.h"
#include "wat/script.h"
#include <errno.h>
#include <string.h>

static wasm_type heap_type(uint32_t heap, bool is_null)
{
	return WASM_REF | WASM_ABSTRACT | (is_null ? WASM_NULLABLE : 0) | heap;
}

/* "nan:canonical" or "nan:arithmetic" in a lane. */
static bool nan_read(struct wat_parser *parser, unsigned lane,
		     struct wat_value *value)
{
	if (wat_take_word(parser, WAT_W_NAN_CANONICAL))
		value->nan_canonical |= 1u << lane;
	else if (wat_take_word(parser, WAT_W_NAN_ARITHMETIC))
		value->nan_arithmetic |= 1u << lane;
	else
		return false;
	return true;
}

static int number_read(struct wat_parser *parser, wasm_type type, bool is_float,
		       bool is_pattern, struct wat_value *value)
{
	unsigned bits = type == WASM_I32 || type == WASM_F32 ? 32 : 64;

	value->type = type;
	if (is_float && is_pattern && nan_read(parser, 0, value))
		return 0;
	return is_float ? wat_immediate_float(parser, bits,
					      &value->value.words[0])
			: wat_immediate_int(parser, bits,
					    &value->value.words[0]);
}

static int vector_read(struct wat_parser *parser, bool is_pattern,
		       struct wat_value *value)
{
	struct wat_shape shape;
	uint64_t lane;

	value->type = WASM_V128;
	if (wat_immediate_shape(parser, &shape) < 0)
		return -EINVAL;
	value->lanes = shape.lanes;
	value->lane_float = shape.is_float;
	for (unsigned i = 0; i < shape.lanes; i++) {
		if (shape.is_float && is_pattern && nan_read(parser, i, value))
			continue;
		if (wat_immediate_lane(parser, &shape, &lane) < 0)
			return -EINVAL;
		memcpy((char *)&value->value + i * shape.bits / 8, &lane,
		       shape.bits / 8);
	}
	return 0;
}

/* "(ref.null ht?)"; a type of a module's own says nothing here. */
static int null_read(struct wat_parser *parser, struct wat_value *value)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	const struct wat_word_info *info;

	value->ref = WAT_REF_NULL;
	if (token->kind == WAT_CLOSE)
		return 0;
	if (wat_is_index(parser, parser->at)) {
		parser->at++;
		return 0;
	}
	if (token->kind != WAT_WORD || token->value < WASM_OPERATIONS)
		return wat_unexpected(parser);
	info = &wat_words[token->value - WASM_OPERATIONS];
	if (info->class != WAT_CLASS_HEAP)
		return wat_unexpected(parser);
	value->type = heap_type(info->value, true);
	parser->at++;
	return 0;
}

/* A reference that has a number, or any of its kind. */
static int numbered_read(struct wat_parser *parser, enum wat_ref ref,
			 uint32_t heap, struct wat_value *value)
{
	value->ref = ref;
	value->type = heap_type(heap, false);
	value->any_value = wat_kind(parser) == WAT_CLOSE;
	return value->any_value ? 0 : wat_u64(parser, &value->value.words[0]);
}

static int kind_set(uint32_t heap, struct wat_value *value)
{
	value->ref = WAT_REF_KIND;
	value->type = heap_type(heap, false);
	return 0;
}

/* What only an expected value may be. */
static int pattern_read(struct wat_parser *parser, uint32_t word,
			struct wat_value *value)
{
	switch (word) {
	case WASM_OP_REF_FUNC:
		return numbered_read(parser, WAT_REF_FUNC, WASM_FUNC, value);
	case WASM_OP_REF_I31: return kind_set(WASM_I31, value);
	case WASM_OP_REF_EQ: return kind_set(WASM_EQ, value);
	case WAT_W_REF_ANY:
	case WAT_W_REF_STRUCT:
	case WAT_W_REF_ARRAY:
	case WAT_W_REF_EXN:
		return kind_set(wat_words[word - WASM_OPERATIONS].value, value);
	}
	parser->at--;
	return wat_unexpected(parser);
}

static int reference_read(struct wat_parser *parser, uint32_t word,
			  bool is_pattern, struct wat_value *value)
{
	switch (word) {
	case WASM_OP_REF_NULL: return null_read(parser, value);
	case WAT_W_REF_EXTERN:
		return numbered_read(parser, WAT_REF_EXTERN, WASM_EXTERN,
				     value);
	case WAT_W_REF_HOST:
		return numbered_read(parser, WAT_REF_HOST, WASM_ANY, value);
	}
	if (is_pattern)
		return pattern_read(parser, word, value);
	parser->at--;
	return wat_unexpected(parser);
}

/* One in brackets. */
static int value_read(struct wat_parser *parser, bool is_pattern,
		      struct wat_value *value)
{
	uint32_t word;
	int r;

	if (wat_kind(parser) != WAT_OPEN ||
	    parser->tokens[parser->at + 1].kind != WAT_WORD)
		return wat_unexpected(parser);
	word = parser->tokens[parser->at + 1].value;
	parser->at += 2;
	switch (word) {
	case WASM_OP_I32_CONST:
		r = number_read(parser, WASM_I32, false, is_pattern, value);
		break;
	case WASM_OP_I64_CONST:
		r = number_read(parser, WASM_I64, false, is_pattern, value);
		break;
	case WASM_OP_F32_CONST:
		r = number_read(parser, WASM_F32, true, is_pattern, value);
		break;
	case WASM_OP_F64_CONST:
		r = number_read(parser, WASM_F64, true, is_pattern, value);
		break;
	case WASM_OP_V128_CONST:
		r = vector_read(parser, is_pattern, value);
		break;
	default: r = reference_read(parser, word, is_pattern, value);
	}
	return r < 0 ? r : wat_expect_close(parser);
}

/* "(either ...)": the others hang on the first. */
static int either_read(struct wat_parser *parser, struct wat_arena *arena,
		       struct wat_value *value)
{
	if (value_read(parser, true, value) < 0)
		return -EINVAL;
	while (wat_kind(parser) == WAT_OPEN) {
		value->either = wat_arena_take(arena, sizeof *value);
		value = value->either;
		if (!value)
			return wat_lexer_no_memory(parser->lexer);
		if (value_read(parser, true, value) < 0)
			return -EINVAL;
	}
	return wat_expect_close(parser);
}

int wat_script_values(struct wat_parser *parser, struct wat_arena *arena,
		      bool is_pattern, struct wat_value **values, size_t *count)
{
	size_t most = 0;
	int r = 0;

	for (uint32_t at = parser->at; parser->tokens[at].kind == WAT_OPEN;
	     at = parser->tokens[at].value + 1)
		most++;
	*count = 0;
	*values = wat_arena_take(arena, most * sizeof **values);
	if (!*values)
		return wat_lexer_no_memory(parser->lexer);
	while (r == 0 && wat_kind(parser) == WAT_OPEN) {
		struct wat_value *value = &(*values)[(*count)++];

		r = is_pattern && wat_take_open(parser, WAT_W_EITHER)
			    ? either_read(parser, arena, value)
			    : value_read(parser, is_pattern, value);
	}
	return r;
}

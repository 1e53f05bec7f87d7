/* SPDX-License-Identifier: Apache-2.0 */
/* What follows an operation's name, as the table of operations tells it.  The
 * text's order is not always that of the bytes, and some of it may be left
 * out. */
#include "wat/internal.h"
#include <errno.h>
#include <string.h>

void wat_immediate_operation(struct buf *buf, uint32_t operation)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];

	if (info->prefix) {
		wat_put_byte(buf, info->prefix);
		wat_put_u(buf, info->code);
	} else {
		wat_put_byte(buf, info->code);
	}
}

/* An index that may be left out: then it is 0. */
static int optional_index(struct wat_parser *parser, uint32_t space,
			  uint32_t *index)
{
	*index = 0;
	if (!wat_is_index(parser, parser->at))
		return 0;
	return wat_names_index(parser, space, index);
}

static int optional_put(struct wat_parser *parser, uint32_t space,
			struct buf *buf)
{
	uint32_t index;
	int r = optional_index(parser, space, &index);

	wat_put_u(buf, index);
	return r;
}

/* Constants */

/* The text of a number. */
#define NUMBER(parser)                                             \
	(parser)->lexer->text + (parser)->tokens[(parser)->at].at, \
		(parser)->tokens[(parser)->at].value

static bool is_number(const struct wat_parser *parser, bool is_float)
{
	return wat_kind(parser) == WAT_NAT || wat_kind(parser) == WAT_INT ||
	       (is_float && wat_kind(parser) == WAT_FLOAT);
}

int wat_immediate_int(struct wat_parser *parser, unsigned bits, uint64_t *value)
{
	if (!is_number(parser, false))
		return wat_unexpected(parser);
	if (wat_number_int(NUMBER(parser), bits, value) < 0)
		return wat_fail(parser, "i%u constant out of range", bits);
	parser->at++;
	return 0;
}

/* The bits of a float. */
int wat_immediate_float(struct wat_parser *parser, unsigned bits,
			uint64_t *value)
{
	uint32_t narrow = 0;
	int r;

	if (!is_number(parser, true))
		return wat_unexpected(parser);
	if (bits == 64) {
		r = wat_number_f64(NUMBER(parser), value);
	} else {
		r = wat_number_f32(NUMBER(parser), &narrow);
		*value = narrow;
	}
	if (r == -ENOMEM)
		return wat_lexer_no_memory(parser->lexer);
	if (r < 0)
		return wat_fail(parser, "f%u constant out of range", bits);
	parser->at++;
	return 0;
}

static void little_put(struct buf *buf, uint64_t value, unsigned bits)
{
	for (unsigned i = 0; i < bits; i += 8)
		wat_put_byte(buf, value >> i & 0xff);
}

static int constant_int(struct wat_parser *parser, unsigned bits,
			struct buf *buf)
{
	uint64_t value;
	int r = wat_immediate_int(parser, bits, &value);

	if (r == 0)
		wat_put_s(buf, bits == 32 ? (int32_t)value : (int64_t)value);
	return r;
}

static int constant_float(struct wat_parser *parser, unsigned bits,
			  struct buf *buf)
{
	uint64_t value;
	int r = wat_immediate_float(parser, bits, &value);

	if (r == 0)
		little_put(buf, value, bits);
	return r;
}

int wat_immediate_shape(struct wat_parser *parser, struct wat_shape *shape)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	const struct wat_word_info *info;

	if (token->kind != WAT_WORD || token->value < WASM_OPERATIONS)
		return wat_unexpected(parser);
	info = &wat_words[token->value - WASM_OPERATIONS];
	if (info->class != WAT_CLASS_SHAPE)
		return wat_unexpected(parser);
	shape->lanes = info->value;
	shape->bits = 128 / info->value;
	shape->is_float = info->text[0] == 'f';
	parser->at++;
	return 0;
}

int wat_immediate_lane(struct wat_parser *parser, const struct wat_shape *shape,
		       uint64_t *value)
{
	return shape->is_float ? wat_immediate_float(parser, shape->bits, value)
			       : wat_immediate_int(parser, shape->bits, value);
}

/* How many numbers follow. */
static unsigned numbers_count(struct wat_parser *parser)
{
	uint32_t begin = parser->at, count;

	while (is_number(parser, true))
		parser->at++;
	count = parser->at - begin;
	parser->at = begin;
	return count;
}

static int constant_vector(struct wat_parser *parser, struct buf *buf)
{
	struct wat_shape shape;
	uint64_t value;
	unsigned count;

	if (wat_immediate_shape(parser, &shape) < 0)
		return -EINVAL;
	count = numbers_count(parser);
	if (count != shape.lanes &&
	    parser->tokens[parser->at + count].kind != WAT_RESERVED)
		return wat_fail(parser, "wrong number of lane literals");
	for (unsigned i = 0; i < shape.lanes; i++) {
		if (wat_immediate_lane(parser, &shape, &value) < 0)
			return -EINVAL;
		little_put(buf, value, shape.bits);
	}
	return 0;
}

/* Memory */

static int align_read(struct wat_parser *parser, unsigned *log2)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	uint64_t align;

	if (token->kind != WAT_ALIGN)
		return 0;
	if (wat_number_nat(parser->lexer->text + token->at + 6,
			   token->value - 6, &align) < 0 ||
	    !align || (align & (align - 1)))
		return wat_fail(parser, "alignment must be a power of two");
	*log2 = __builtin_ctzll(align);
	parser->at++;
	return 0;
}

static int offset_read(struct wat_parser *parser, uint64_t *offset)
{
	const struct wat_token *token = &parser->tokens[parser->at];

	*offset = 0;
	if (token->kind != WAT_OFFSET)
		return 0;
	if (wat_number_nat(parser->lexer->text + token->at + 7,
			   token->value - 7, offset) < 0)
		return wat_fail(parser, "offset out of range");
	parser->at++;
	return 0;
}

/* Does a number that follows tell the memory, not a lane? */
static bool is_memory(const struct wat_parser *parser, bool has_lane)
{
	const struct wat_token *next = &parser->tokens[parser->at + 1];

	if (!wat_is_index(parser, parser->at))
		return false;
	return !has_lane || next->kind == WAT_OFFSET ||
	       next->kind == WAT_ALIGN || wat_is_index(parser, parser->at + 1);
}

static int memarg_read(struct wat_parser *parser, unsigned log2, bool has_lane,
		       struct buf *buf)
{
	uint32_t memory = 0;
	uint64_t offset;

	if (is_memory(parser, has_lane) &&
	    wat_names_index(parser, WAT_SPACE_MEMORY, &memory) < 0)
		return -EINVAL;
	if (offset_read(parser, &offset) < 0 || align_read(parser, &log2) < 0)
		return -EINVAL;
	wat_put_byte(buf, log2 | (memory ? 0x40 : 0));
	if (memory)
		wat_put_u(buf, memory);
	wat_put_u(buf, offset);
	return 0;
}

static int lane_read(struct wat_parser *parser, struct buf *buf)
{
	uint64_t lane;

	if (wat_kind(parser) != WAT_NAT)
		return wat_unexpected(parser);
	if (wat_number_nat(NUMBER(parser), &lane) < 0 || lane > 255)
		return wat_fail(parser, "i8 constant out of range");
	wat_put_byte(buf, lane);
	parser->at++;
	return 0;
}

static int lanes_read(struct wat_parser *parser, struct buf *buf)
{
	unsigned count = numbers_count(parser);

	if (count != 16 &&
	    parser->tokens[parser->at + count].kind != WAT_RESERVED)
		return wat_fail(parser, "invalid lane length");
	for (int i = 0; i < 16; i++) {
		if (wat_kind(parser) == WAT_INT ||
		    wat_kind(parser) == WAT_FLOAT)
			return wat_fail(parser, "i8 constant out of range");
		if (lane_read(parser, buf) < 0)
			return -EINVAL;
	}
	return 0;
}

/* Two of a space, or neither. */
static int both_put(struct wat_parser *parser, uint32_t space, struct buf *buf)
{
	if (!wat_is_index(parser, parser->at)) {
		wat_put_byte(buf, 0);
		wat_put_byte(buf, 0);
		return 0;
	}
	if (wat_names_put(parser, space, buf) < 0)
		return -EINVAL;
	return wat_names_put(parser, space, buf);
}

/* A segment, with where it goes to before it. */
static int init_put(struct wat_parser *parser, uint32_t space,
		    uint32_t segments, struct buf *buf)
{
	uint32_t place = 0;

	if (wat_is_index(parser, parser->at) &&
	    wat_is_index(parser, parser->at + 1) &&
	    wat_names_index(parser, space, &place) < 0)
		return -EINVAL;
	if (wat_names_put(parser, segments, buf) < 0)
		return -EINVAL;
	wat_put_u(buf, place);
	return 0;
}

/* Control */

static int labels_read(struct wat_parser *parser, struct buf *buf)
{
	struct buf *labels = &parser->heap;
	uint32_t count = 0;
	int r = 0;

	buf_clear(labels);
	do {
		r = wat_names_label(parser, labels);
		count++;
	} while (r == 0 && wat_is_index(parser, parser->at));
	wat_put_u(buf, count - 1);
	buf_add(buf, labels->data, labels->len);
	buf->failed |= labels->failed;
	return r;
}

/* call_indirect: a table, which may be left out, and a type. */
static int indirect_read(struct wat_parser *parser, struct buf *buf)
{
	uint32_t table, type;

	if (optional_index(parser, WAT_SPACE_TABLE, &table) < 0 ||
	    wat_types_use(parser, WAT_PARAMS_PLAIN, &type) < 0)
		return -EINVAL;
	wat_put_u(buf, type);
	wat_put_u(buf, table);
	return 0;
}

static int select_read(struct wat_parser *parser, struct buf *buf)
{
	struct wat_vec *types = &parser->results;

	if (!wat_is_open(parser, WAT_W_RESULT)) {
		wat_immediate_operation(buf, WASM_OP_SELECT);
		return 0;
	}
	wat_vec_clear(types);
	while (wat_take_open(parser, WAT_W_RESULT)) {
		while (wat_kind(parser) != WAT_CLOSE) {
			if (wat_types_value(parser, &types->bytes) < 0)
				return -EINVAL;
			types->count++;
		}
		parser->at++;
	}
	wat_immediate_operation(buf, WASM_OP_SELECT_TYPED);
	wat_vec_put(buf, types);
	return 0;
}

/* References */

/* ref.test and ref.cast: the one whose type may be null is the next. */
static int test_read(struct wat_parser *parser, uint32_t operation,
		     struct buf *buf)
{
	struct buf *heap = &parser->heap;
	bool is_null;

	buf_clear(heap);
	if (wat_types_reference(parser, heap, &is_null) < 0)
		return -EINVAL;
	wat_immediate_operation(buf, operation + is_null);
	buf_add(buf, heap->data, heap->len);
	buf->failed |= heap->failed;
	return 0;
}

static int cast_read(struct wat_parser *parser, struct buf *buf)
{
	struct buf *rest = &parser->heap;
	bool from_null, to_null;

	buf_clear(rest);
	if (wat_names_label(parser, rest) < 0 ||
	    wat_types_reference(parser, rest, &from_null) < 0 ||
	    wat_types_reference(parser, rest, &to_null) < 0)
		return -EINVAL;
	wat_put_byte(buf, from_null | to_null << 1);
	buf_add(buf, rest->data, rest->len);
	buf->failed |= rest->failed;
	return 0;
}

static int count_read(struct wat_parser *parser, struct buf *buf)
{
	uint32_t count;
	int r = wat_u32(parser, &count);

	if (r == 0)
		wat_put_u(buf, count);
	return r;
}

static int local_put(struct wat_parser *parser, struct buf *buf)
{
	uint32_t index;
	int r = wat_names_local(parser, &index);

	if (r == 0)
		wat_put_u(buf, index);
	return r;
}

/* A type, then what is of it or of a space. */
static int type_read(struct wat_parser *parser, unsigned second,
		     struct buf *buf)
{
	uint32_t type;

	if (wat_names_index(parser, WAT_SPACE_TYPE, &type) < 0)
		return -EINVAL;
	wat_put_u(buf, type);
	switch (second) {
	case WASM_IMM_NONE: return 0;
	case WASM_IMM_TYPE: return wat_names_put(parser, WAT_SPACE_TYPE, buf);
	case WASM_IMM_FIELD:
		return wat_names_put(parser, WAT_SPACES + type, buf);
	case WASM_IMM_COUNT: return count_read(parser, buf);
	case WASM_IMM_ELEM: return wat_names_put(parser, WAT_SPACE_ELEM, buf);
	case WASM_IMM_DATA:
		parser->uses_data = true;
		return wat_names_put(parser, WAT_SPACE_DATA, buf);
	}
	return wat_unexpected(parser);
}

static int data_read(struct wat_parser *parser, unsigned second,
		     struct buf *buf)
{
	parser->uses_data = true;
	if (second == WASM_IMM_MEM)
		return init_put(parser, WAT_SPACE_MEMORY, WAT_SPACE_DATA, buf);
	return wat_names_put(parser, WAT_SPACE_DATA, buf);
}

static int elem_read(struct wat_parser *parser, unsigned second,
		     struct buf *buf)
{
	if (second == WASM_IMM_TABLE)
		return init_put(parser, WAT_SPACE_TABLE, WAT_SPACE_ELEM, buf);
	return wat_names_put(parser, WAT_SPACE_ELEM, buf);
}

static int table_read(struct wat_parser *parser, unsigned second,
		      struct buf *buf)
{
	return second == WASM_IMM_TABLE
		       ? both_put(parser, WAT_SPACE_TABLE, buf)
		       : optional_put(parser, WAT_SPACE_TABLE, buf);
}

static int mem_read(struct wat_parser *parser, unsigned second, struct buf *buf)
{
	return second == WASM_IMM_MEM
		       ? both_put(parser, WAT_SPACE_MEMORY, buf)
		       : optional_put(parser, WAT_SPACE_MEMORY, buf);
}

static int access_read(struct wat_parser *parser,
		       const struct wasm_operation_info *info, struct buf *buf)
{
	bool has_lane = info->immediates[1] == WASM_IMM_LANE;

	if (memarg_read(parser, info->values[0], has_lane, buf) < 0)
		return -EINVAL;
	return has_lane ? lane_read(parser, buf) : 0;
}

static int rest_read(struct wat_parser *parser,
		     const struct wasm_operation_info *info, struct buf *buf)
{
	unsigned second = info->immediates[1];

	switch (info->immediates[0]) {
	case WASM_IMM_NONE: return 0;
	case WASM_IMM_LABEL: return wat_names_label(parser, buf);
	case WASM_IMM_LABELS: return labels_read(parser, buf);
	case WASM_IMM_FUNC: return wat_names_put(parser, WAT_SPACE_FUNC, buf);
	case WASM_IMM_TYPE:
		return second == WASM_IMM_TABLE
			       ? indirect_read(parser, buf)
			       : type_read(parser, second, buf);
	case WASM_IMM_TABLE: return table_read(parser, second, buf);
	case WASM_IMM_LOCAL: return local_put(parser, buf);
	case WASM_IMM_GLOBAL:
		return wat_names_put(parser, WAT_SPACE_GLOBAL, buf);
	case WASM_IMM_MEMARG:
	case WASM_IMM_ATOMIC: return access_read(parser, info, buf);
	case WASM_IMM_LANE: return lane_read(parser, buf);
	case WASM_IMM_LANES: return lanes_read(parser, buf);
	case WASM_IMM_MEM: return mem_read(parser, second, buf);
	case WASM_IMM_DATA: return data_read(parser, second, buf);
	case WASM_IMM_ELEM: return elem_read(parser, second, buf);
	case WASM_IMM_I32: return constant_int(parser, 32, buf);
	case WASM_IMM_I64: return constant_int(parser, 64, buf);
	case WASM_IMM_F32: return constant_float(parser, 32, buf);
	case WASM_IMM_F64: return constant_float(parser, 64, buf);
	case WASM_IMM_V128: return constant_vector(parser, buf);
	case WASM_IMM_HEAP: return wat_types_heap(parser, buf);
	case WASM_IMM_TAG: return wat_names_put(parser, WAT_SPACE_TAG, buf);
	case WASM_IMM_CAST: return cast_read(parser, buf);
	case WASM_IMM_FENCE: wat_put_byte(buf, 0); return 0;
	}
	return wat_unexpected(parser);
}

int wat_immediate_read(struct wat_parser *parser, uint32_t operation,
		       struct buf *buf)
{
	switch (operation) {
	case WASM_OP_SELECT: return select_read(parser, buf);
	case WASM_OP_REF_TEST:
	case WASM_OP_REF_CAST: return test_read(parser, operation, buf);
	}
	wat_immediate_operation(buf, operation);
	return rest_read(parser, &wasm_operations[operation], buf);
}

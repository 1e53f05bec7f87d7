/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions.  A stack of frames stands for what is open: blocks with their
 * "end", and brackets, whose operation is written when they close; until then
 * its bytes wait in "pending", which is a stack too. */
#include "wat/internal.h"
#include <errno.h>
#include <string.h>

static struct wat_frame *top(struct wat_parser *parser)
{
	return parser->frame_count ? &parser->frames[parser->frame_count - 1]
				   : NULL;
}

static int frame_push(struct wat_parser *parser, const struct wat_frame *frame)
{
	if (parser->frame_count == parser->frame_room &&
	    !wat_room_grow((void **)&parser->frames, &parser->frame_room,
			   parser->frame_count + 1, sizeof *parser->frames))
		return wat_lexer_no_memory(parser->lexer);
	parser->frames[parser->frame_count++] = *frame;
	return 0;
}

/* Labels */

/* Opens the frame's label; from here on its name means it. */
static int label_open(struct wat_parser *parser, struct wat_frame *frame)
{
	struct wat_annotation *note =
		frame->named == WAT_NONE
			? NULL
			: &parser->lexer->annotations[frame->named];

	parser->depth++;
	if (frame->symbol != WAT_NONE) {
		frame->hidden = parser->labels[frame->symbol];
		parser->labels[frame->symbol] = parser->depth;
	}
	return wat_names_keep_noted(parser, WAT_NAMED_LABEL, frame->symbol,
				    note, parser->label_count++);
}

static void label_close(struct wat_parser *parser,
			const struct wat_frame *frame)
{
	parser->depth--;
	if (frame->symbol != WAT_NONE)
		parser->labels[frame->symbol] = frame->hidden;
}

/* The name behind "end" or "else", if there is one, is the block's? */
static int label_check(struct wat_parser *parser, const struct wat_frame *frame)
{
	uint32_t symbol = wat_take_id(parser);

	if (symbol == WAT_NONE || symbol == frame->symbol)
		return 0;
	parser->at--;
	return wat_fail(parser, "mismatching label %.*s",
			WAT_TOKEN_TEXT(parser, parser->at));
}

static void label_read(struct wat_parser *parser, struct wat_frame *frame)
{
	struct wat_annotation *note;

	frame->symbol = wat_take_id(parser);
	note = wat_annotated(parser, WAT_ANNOTATION_NAME);
	frame->named = note ? note - parser->lexer->annotations : WAT_NONE;
}

/* Blocks */

static int catch_read(struct wat_parser *parser, unsigned kind,
		      struct wat_vec *catches)
{
	parser->at += 2;
	catches->count++;
	wat_put_byte(&catches->bytes, kind);
	if (kind < 2 &&
	    wat_names_put(parser, WAT_SPACE_TAG, &catches->bytes) < 0)
		return -EINVAL;
	if (wat_names_label(parser, &catches->bytes) < 0)
		return -EINVAL;
	return wat_expect_close(parser);
}

/* The clauses of try_table; their labels are those around it. */
static int catches_read(struct wat_parser *parser, struct buf *buf)
{
	static const uint32_t words[] = { WAT_W_CATCH, WAT_W_CATCH_REF,
					  WAT_W_CATCH_ALL,
					  WAT_W_CATCH_ALL_REF };
	struct wat_vec *catches = &parser->results;
	unsigned kind;

	wat_vec_clear(catches);
	do {
		for (kind = 0; kind < 4; kind++)
			if (wat_is_open(parser, words[kind]))
				break;
		if (kind < 4 && catch_read(parser, kind, catches) < 0)
			return -EINVAL;
	} while (kind < 4);
	wat_vec_put(buf, catches);
	return 0;
}

static bool is_block(uint32_t word)
{
	return word == WASM_OP_BLOCK || word == WASM_OP_LOOP ||
	       word == WASM_OP_IF || word == WASM_OP_TRY_TABLE;
}

/* A block's head from behind its word: name, type, clauses. */
static int block_head(struct wat_parser *parser, uint32_t word,
		      struct wat_frame *frame, struct buf *buf)
{
	label_read(parser, frame);
	wat_immediate_operation(buf, word);
	if (wat_types_block(parser, buf) < 0)
		return -EINVAL;
	return word == WASM_OP_TRY_TABLE ? catches_read(parser, buf) : 0;
}

static int block_open(struct wat_parser *parser, uint32_t word, uint8_t kind)
{
	struct wat_frame frame = { .kind = kind, .hint = WAT_NONE };

	if (block_head(parser, word, &frame, parser->code) < 0 ||
	    label_open(parser, &frame) < 0)
		return -EINVAL;
	return frame_push(parser, &frame);
}

/* "else" with nothing behind it is as good as none. */
static void else_drop(struct wat_parser *parser, const struct wat_frame *frame)
{
	struct buf *code = parser->code;

	if (!code->failed && code->len == frame->code)
		code->len--;
}

static void else_open(struct wat_parser *parser, struct wat_frame *frame)
{
	wat_immediate_operation(parser->code, WASM_OP_ELSE);
	frame->code = parser->code->len;
}

static void block_close(struct wat_parser *parser)
{
	struct wat_frame *frame = top(parser);

	if (frame->kind == WAT_FRAME_ELSE)
		else_drop(parser, frame);
	wat_immediate_operation(parser->code, WASM_OP_END);
	label_close(parser, frame);
	parser->frame_count--;
}

/* Plain instructions */

static int plain_else(struct wat_parser *parser)
{
	struct wat_frame *frame = top(parser);

	if (!frame || frame->kind != WAT_FRAME_IF)
		return wat_unexpected(parser);
	parser->at++;
	if (label_check(parser, frame) < 0)
		return -EINVAL;
	else_open(parser, frame);
	frame->kind = WAT_FRAME_ELSE;
	return 0;
}

static int plain_end(struct wat_parser *parser)
{
	struct wat_frame *frame = top(parser);

	if (!frame || frame->kind > WAT_FRAME_ELSE)
		return wat_unexpected(parser);
	parser->at++;
	if (label_check(parser, frame) < 0)
		return -EINVAL;
	block_close(parser);
	return 0;
}

/* In these brackets only brackets may stand. */
static bool is_brackets_only(const struct wat_frame *frame)
{
	return frame && (frame->kind == WAT_FRAME_FOLDED ||
			 frame->kind == WAT_FRAME_FOLDED_IF ||
			 frame->kind == WAT_FRAME_FOLDED_DONE ||
			 frame->kind == WAT_FRAME_FOLDED_OVER);
}

static bool may_be_hinted(uint32_t word)
{
	return word == WASM_OP_IF || word == WASM_OP_BR_IF;
}

/* The hint before the instruction, WAT_NONE without. */
static int hint_find(struct wat_parser *parser, uint32_t word, uint32_t *hint)
{
	*hint = WAT_NONE;
	if (!parser->lexer->annotation_count || !parser->in_function)
		return 0;
	if (wat_custom_find_hint(parser, hint) < 0)
		return -EINVAL;
	if (*hint != WAT_NONE && !may_be_hinted(word))
		return wat_custom_no_branch(parser, *hint);
	return 0;
}

static int hint_put(struct wat_parser *parser, uint32_t hint)
{
	return hint == WAT_NONE ? 0 : wat_custom_hint(parser, hint);
}

static int plain(struct wat_parser *parser)
{
	uint32_t word = parser->tokens[parser->at].value, hint;

	if (word >= WASM_OPERATIONS || is_brackets_only(top(parser)))
		return wat_unexpected(parser);
	if (hint_find(parser, word, &hint) < 0 || hint_put(parser, hint) < 0)
		return -EINVAL;
	if (word == WASM_OP_ELSE)
		return plain_else(parser);
	if (word == WASM_OP_END)
		return plain_end(parser);
	parser->at++;
	if (is_block(word))
		return block_open(parser, word,
				  word == WASM_OP_IF ? WAT_FRAME_IF
						     : WAT_FRAME_PLAIN);
	return wat_immediate_read(parser, word, parser->code);
}

/* Instructions in brackets */

/* Writes what waited for the end of a bracket's operands. */
static void pending_write(struct wat_parser *parser,
			  const struct wat_frame *frame)
{
	struct buf *pending = &parser->pending;

	parser->code->failed |= pending->failed;
	if (pending->failed)
		return;
	buf_add(parser->code, pending->data + frame->pending,
		pending->len - frame->pending);
	pending->len = frame->pending;
}

/* "(operation immediates": at once where no operands follow. */
static int folded_operation(struct wat_parser *parser, uint32_t word,
			    uint32_t hint)
{
	struct wat_frame frame = { .kind = WAT_FRAME_FOLDED,
				   .symbol = WAT_NONE,
				   .hint = hint,
				   .pending = parser->pending.len };

	if (word == WASM_OP_ELSE || word == WASM_OP_END) {
		parser->at -= 2;
		return wat_unexpected(parser);
	}
	if (wat_immediate_read(parser, word, &parser->pending) < 0)
		return -EINVAL;
	return frame_push(parser, &frame);
}

static int folded_if(struct wat_parser *parser, uint32_t hint)
{
	struct wat_frame frame = { .kind = WAT_FRAME_FOLDED_IF,
				   .hint = hint,
				   .pending = parser->pending.len };

	if (block_head(parser, WASM_OP_IF, &frame, &parser->pending) < 0)
		return -EINVAL;
	return frame_push(parser, &frame);
}

static int folded_then(struct wat_parser *parser)
{
	struct wat_frame *frame = top(parser);

	if (!frame || frame->kind != WAT_FRAME_FOLDED_IF)
		return wat_unexpected(parser);
	if (hint_put(parser, frame->hint) < 0)
		return -EINVAL;
	pending_write(parser, frame);
	if (label_open(parser, frame) < 0)
		return -EINVAL;
	frame->kind = WAT_FRAME_FOLDED_THEN;
	parser->at += 2;
	return 0;
}

static int folded_else(struct wat_parser *parser)
{
	struct wat_frame *frame = top(parser);

	if (!frame || frame->kind != WAT_FRAME_FOLDED_DONE)
		return wat_unexpected(parser);
	else_open(parser, frame);
	frame->kind = WAT_FRAME_FOLDED_ELSE;
	parser->at += 2;
	return 0;
}

static int folded(struct wat_parser *parser)
{
	const struct wat_token *token = &parser->tokens[parser->at + 1];
	const struct wat_frame *frame = top(parser);
	uint32_t hint;

	if (token->kind != WAT_WORD)
		return wat_unexpected(parser);
	if (token->value == WAT_W_THEN)
		return folded_then(parser);
	if (token->value == WASM_OP_ELSE)
		return folded_else(parser);
	if (token->value >= WASM_OPERATIONS ||
	    (frame && (frame->kind == WAT_FRAME_FOLDED_DONE ||
		       frame->kind == WAT_FRAME_FOLDED_OVER)))
		return wat_unexpected(parser);
	if (hint_find(parser, token->value, &hint) < 0)
		return -EINVAL;
	parser->at += 2;
	if (token->value == WASM_OP_IF)
		return folded_if(parser, hint);
	if (is_block(token->value))
		return block_open(parser, token->value, WAT_FRAME_FOLDED_BLOCK);
	return folded_operation(parser, token->value, hint);
}

/* A bracket closes. */
static int folded_close(struct wat_parser *parser)
{
	struct wat_frame *frame = top(parser);

	switch (frame->kind) {
	case WAT_FRAME_FOLDED:
		if (hint_put(parser, frame->hint) < 0)
			return -EINVAL;
		pending_write(parser, frame);
		parser->frame_count--;
		break;
	case WAT_FRAME_FOLDED_ELSE:
		else_drop(parser, frame);
		frame->kind = WAT_FRAME_FOLDED_OVER;
		break;
	case WAT_FRAME_FOLDED_THEN: frame->kind = WAT_FRAME_FOLDED_DONE; break;
	case WAT_FRAME_FOLDED_BLOCK:
	case WAT_FRAME_FOLDED_DONE:
	case WAT_FRAME_FOLDED_OVER: block_close(parser); break;
	default: /* an "end" or a "(then" is missing */
		return wat_unexpected(parser);
	}
	parser->at++;
	return 0;
}

/* All */

/* One step; 1 where a bracket closes that is not of the instructions. */
static int step(struct wat_parser *parser)
{
	switch (wat_kind(parser)) {
	case WAT_WORD: return plain(parser);
	case WAT_OPEN: return folded(parser);
	case WAT_CLOSE: return parser->frame_count ? folded_close(parser) : 1;
	}
	return wat_unexpected(parser);
}

static void code_begin(struct wat_parser *parser, struct buf *code)
{
	parser->code = code;
	parser->frame_count = 0;
	parser->depth = 0;
	buf_clear(&parser->pending);
}

static int code_run(struct wat_parser *parser, struct buf *code)
{
	int r;

	code_begin(parser, code);
	do {
		r = step(parser);
	} while (r == 0);
	wat_immediate_operation(code, WASM_OP_END);
	return r < 0 ? r : 0;
}

int wat_code_body(struct wat_parser *parser)
{
	int r;

	parser->in_function = true;
	r = code_run(parser, &parser->body);
	parser->in_function = false;
	return r;
}

int wat_code_constant(struct wat_parser *parser, struct buf *buf)
{
	return code_run(parser, buf);
}

int wat_code_constant_one(struct wat_parser *parser, struct buf *buf)
{
	int r;

	if (wat_kind(parser) != WAT_OPEN)
		return wat_unexpected(parser);
	code_begin(parser, buf);
	do {
		r = step(parser);
	} while (r == 0 && parser->frame_count);
	wat_immediate_operation(buf, WASM_OP_END);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Steps over tokens, and the errors where the next one does not fit. */
#include "wat/internal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int wat_fail(struct wat_parser *parser, const char *format, ...)
{
	char words[160];
	va_list list;

	va_start(list, format);
	vsnprintf(words, sizeof words, format, list);
	va_end(list);
	return wat_lexer_fail(parser->lexer, parser->tokens[parser->at].at,
			      "%s", words);
}

/* A name in quotes, its "$" included. */
static uint32_t quoted_len(const char *text)
{
	uint32_t i = 2;

	for (; text[i] != '"'; i++)
		i += text[i] == '\\';
	return i + 1;
}

int wat_token_len(const struct wat_parser *parser, uint32_t at)
{
	const struct wat_token *token = &parser->tokens[at];
	const char *text = parser->lexer->text + token->at;
	uint32_t len = token->value;

	switch (token->kind) {
	case WAT_OPEN:
	case WAT_CLOSE: len = 1; break;
	case WAT_WORD: len = strlen(wat_word_text(token->value)); break;
	case WAT_ID:
		len = text[1] == '"'
			      ? quoted_len(text)
			      : parser->lexer->symbols[token->value].len + 1;
		break;
	}
	if (len <= 60)
		return len;
	for (len = 60; ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

/* Says why a token has no meaning anywhere. */
static int fail_reserved(struct wat_parser *parser)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	const char *text = parser->lexer->text + token->at;

	if (text[0] == '$' && token->value == 1)
		return wat_fail(parser, "empty identifier");
	return wat_fail(parser, "unknown operator %.*s",
			WAT_TOKEN_TEXT(parser, parser->at));
}

int wat_unexpected(struct wat_parser *parser)
{
	const struct wat_token *token = &parser->tokens[parser->at];

	if (token->kind == WAT_END)
		return wat_fail(parser, "unexpected end");
	if (token->kind == WAT_RESERVED)
		return fail_reserved(parser);
	/* "(" alone says little. */
	if (token->kind == WAT_OPEN && token[1].kind == WAT_RESERVED) {
		parser->at++;
		return fail_reserved(parser);
	}
	if (token->kind == WAT_OPEN && token[1].kind == WAT_WORD)
		token = &parser->tokens[++parser->at];
	if (token->kind == WAT_WORD && token->value >= WASM_OPERATIONS &&
	    wat_words[token->value - WASM_OPERATIONS].class == WAT_CLASS_AWAY)
		return wat_fail(parser,
				"%s: the proposal custom-descriptors "
				"is not supported",
				wat_word_text(token->value));
	return wat_fail(parser, "unexpected token %.*s",
			WAT_TOKEN_TEXT(parser, parser->at));
}

bool wat_take_word(struct wat_parser *parser, uint32_t word)
{
	if (!wat_is_word(parser, word))
		return false;
	parser->at++;
	return true;
}

bool wat_take_open(struct wat_parser *parser, uint32_t word)
{
	if (!wat_is_open(parser, word))
		return false;
	parser->at += 2;
	return true;
}

int wat_expect_close(struct wat_parser *parser)
{
	if (wat_kind(parser) != WAT_CLOSE)
		return wat_unexpected(parser);
	parser->at++;
	return 0;
}

uint32_t wat_take_id(struct wat_parser *parser)
{
	if (wat_kind(parser) != WAT_ID)
		return WAT_NONE;
	return parser->tokens[parser->at++].value;
}

int wat_u64(struct wat_parser *parser, uint64_t *value)
{
	const struct wat_token *token = &parser->tokens[parser->at];

	if (token->kind != WAT_NAT)
		return wat_unexpected(parser);
	if (wat_number_nat(parser->lexer->text + token->at, token->value,
			   value) < 0)
		return wat_fail(parser, "i64 constant out of range");
	parser->at++;
	return 0;
}

int wat_u32(struct wat_parser *parser, uint32_t *value)
{
	uint64_t wide;
	int r = wat_u64(parser, &wide);

	if (r < 0)
		return r;
	if (wide > UINT32_MAX) {
		parser->at--;
		return wat_fail(parser, "i32 constant out of range");
	}
	*value = wide;
	return 0;
}

int wat_string_add(struct wat_parser *parser, const struct wat_token *token,
		   struct buf *bytes)
{
	size_t before = bytes->len;

	/* What a string stands for is shorter than it. */
	buf_add(bytes, parser->lexer->text + token->at, token->value);
	if (bytes->failed)
		return wat_lexer_no_memory(parser->lexer);
	bytes->len =
		before + wat_string_decode(parser->lexer->text + token->at,
					   token->value, bytes->data + before);
	bytes->data[bytes->len] = 0;
	return 0;
}

int wat_strings(struct wat_parser *parser, struct buf *bytes)
{
	int r = 0;

	while (r == 0 && wat_kind(parser) == WAT_STRING)
		r = wat_string_add(parser, &parser->tokens[parser->at++],
				   bytes);
	return r;
}

int wat_name(struct wat_parser *parser, struct buf *vec)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	struct buf *name = &parser->name;

	if (token->kind != WAT_STRING)
		return wat_unexpected(parser);
	buf_clear(name);
	if (wat_string_add(parser, token, name) < 0)
		return -ENOMEM;
	if (!wat_utf8_check(name->data, name->len))
		return wat_fail(parser, "malformed UTF-8 encoding");
	parser->at++;
	wat_put_bytes(vec, name->data, name->len);
	return 0;
}

void wat_annotations_begin(struct wat_parser *parser, uint8_t phase)
{
	memcpy(parser->note, parser->lexer->first_of, sizeof parser->note);
	parser->phase = phase;
}

struct wat_annotation *wat_annotated(struct wat_parser *parser,
				     enum wat_annotation_kind kind)
{
	struct wat_annotation *notes = parser->lexer->annotations;
	uint32_t at = parser->note[kind];

	while (at != WAT_NONE &&
	       (notes[at].before < parser->at ||
		(notes[at].before == parser->at && notes[at].used)))
		at = notes[at].next;
	parser->note[kind] = at;
	if (at == WAT_NONE || notes[at].before != parser->at)
		return NULL;
	notes[at].used = parser->phase;
	return &notes[at];
}

void wat_vec_clear(struct wat_vec *vec)
{
	buf_clear(&vec->bytes);
	vec->count = 0;
}

void wat_vec_put(struct buf *buf, const struct wat_vec *vec)
{
	wat_put_u(buf, vec->count);
	buf_add(buf, vec->bytes.data, vec->bytes.len);
	buf->failed |= vec->bytes.failed;
}

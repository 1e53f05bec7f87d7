/* SPDX-License-Identifier: Apache-2.0 */
/* Text to tokens.  Each open bracket knows its close, each name is a number,
 * and annotations lie aside: unknown ones are only checked, "@custom",
 * "@name" and branch hints keep tokens of their own.
 *
 * What has the shape of a token but no meaning becomes WAT_RESERVED and is
 * refused where it is met, so that one bad module does not end a script;
 * only what leaves its end unclear is refused here. */
#include "wat/internal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	IS_ID = 1, /* of words, names and numbers */
	IS_SPACE = 2,
	IS_RESERVED = 4, /* "," "[" "]" "{" "}": of no token with a meaning */
};

static uint8_t class_of(unsigned char c)
{
	/* clang-format off */
	static const uint8_t classes[256] = {
		['\t'] = IS_SPACE, ['\n'] = IS_SPACE, ['\r'] = IS_SPACE,
		[' '] = IS_SPACE, ['!'] = IS_ID, ['#' ... '\''] = IS_ID,
		['*'] = IS_ID, ['+'] = IS_ID, [','] = IS_RESERVED,
		['-' ... ':'] = IS_ID, ['<' ... 'Z'] = IS_ID,
		['['] = IS_RESERVED, ['\\'] = IS_ID, [']'] = IS_RESERVED,
		['^' ... 'z'] = IS_ID, ['{'] = IS_RESERVED, ['|'] = IS_ID,
		['}'] = IS_RESERVED, ['~'] = IS_ID,
	};
	/* clang-format on */

	return classes[c];
}

/* Counts on from where it was asked last. */
uint32_t wat_lexer_line(struct wat_lexer *lexer, uint32_t at)
{
	if (at < lexer->line_at)
		lexer->line_at = lexer->lines = 0;
	for (; lexer->line_at < at && lexer->line_at < lexer->len;
	     lexer->line_at++)
		lexer->lines += lexer->text[lexer->line_at] == '\n';
	return lexer->lines + 1;
}

/* In characters, from 1. */
static uint32_t column_of(const struct wat_lexer *lexer, uint32_t at)
{
	uint32_t column = 1;

	while (at && at <= lexer->len && lexer->text[at - 1] != '\n') {
		at--;
		column += ((unsigned char)lexer->text[at] & 0xc0) != 0x80;
	}
	return column;
}

int wat_lexer_fail(struct wat_lexer *lexer, uint32_t at, const char *format,
		   ...)
{
	char words[160];
	va_list list;

	va_start(list, format);
	vsnprintf(words, sizeof words, format, list);
	va_end(list);
	return err_set(lexer->err, -EINVAL, "%.80s:%u:%u: %s", lexer->name,
		       wat_lexer_line(lexer, at), column_of(lexer, at), words);
}

int wat_lexer_no_memory(struct wat_lexer *lexer)
{
	return err_set(lexer->err, -ENOMEM, "%.80s", lexer->name);
}

const char *wat_word_text(uint32_t word)
{
	return word < WASM_OPERATIONS ? wasm_operations[word].name
				      : wat_words[word - WASM_OPERATIONS].text;
}

/* The hash of tools/words. */
static uint32_t word_hash(const char *text, size_t len)
{
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619;
	return hash;
}

uint32_t wat_lexer_word(const char *text, size_t len)
{
	uint32_t hash = word_hash(text, len);
	uint32_t at = (hash ^ hash >> 15) & (WAT_WORD_SLOTS - 1);

	for (; wat_word_slots[at] != WAT_WORDS;
	     at = (at + 1) & (WAT_WORD_SLOTS - 1)) {
		const char *word = wat_word_text(wat_word_slots[at]);

		if (!strncmp(word, text, len) && !word[len])
			return wat_word_slots[at];
	}
	return WAT_WORDS;
}

/* Names */

static uint32_t *symbol_slot(const struct wat_lexer *lexer, const char *text,
			     uint32_t len, uint32_t hash)
{
	uint32_t mask = lexer->symbol_slot_room - 1;
	uint32_t at = hash & mask;

	for (; lexer->symbol_slots[at]; at = (at + 1) & mask) {
		const struct wat_symbol *symbol =
			&lexer->symbols[lexer->symbol_slots[at] - 1];

		if (symbol->hash == hash && symbol->len == len &&
		    !memcmp(symbol->text, text, len))
			break;
	}
	return &lexer->symbol_slots[at];
}

static bool symbol_slots_grow(struct wat_lexer *lexer)
{
	uint32_t room =
		lexer->symbol_slot_room ? 2 * lexer->symbol_slot_room : 64;
	uint32_t *slots = calloc(room, sizeof *slots);

	if (!slots)
		return false;
	free(lexer->symbol_slots);
	lexer->symbol_slots = slots;
	lexer->symbol_slot_room = room;
	for (uint32_t i = 0; i < lexer->symbol_count; i++) {
		const struct wat_symbol *s = &lexer->symbols[i];

		*symbol_slot(lexer, s->text, s->len, s->hash) = i + 1;
	}
	return true;
}

/* Gives the token the number of its name. */
static int symbol_intern(struct wat_lexer *lexer, const char *text,
			 uint32_t len, struct wat_token *token)
{
	uint32_t hash = wat_hash(lexer, text, len), *slot;

	if (lexer->symbol_count >= lexer->symbol_slot_room / 2 &&
	    !symbol_slots_grow(lexer))
		return wat_lexer_no_memory(lexer);
	slot = symbol_slot(lexer, text, len, hash);
	if (!*slot) {
		if (!wat_room_grow((void **)&lexer->symbols,
				   &lexer->symbol_room, lexer->symbol_count + 1,
				   sizeof *lexer->symbols))
			return wat_lexer_no_memory(lexer);
		lexer->symbols[lexer->symbol_count++] =
			(struct wat_symbol){ text, len, hash };
		*slot = lexer->symbol_count;
	}
	token->kind = WAT_ID;
	token->value = *slot - 1;
	return 0;
}

/* $"...": the name is what the string stands for. */
static int symbol_quoted(struct wat_lexer *lexer, uint32_t at, uint32_t end,
			 struct wat_token *token)
{
	char *name = wat_arena_take(&lexer->arena, end - at);
	uint32_t len;

	if (!name)
		return wat_lexer_no_memory(lexer);
	len = wat_string_decode(lexer->text + at + 1, end - at - 1, name);
	if (!len)
		return wat_lexer_fail(lexer, at, "empty identifier");
	if (!wat_utf8_check(name, len))
		return wat_lexer_fail(lexer, at, "malformed UTF-8 encoding");
	return symbol_intern(lexer, name, len, token);
}

/* Space and comments */

/* What may not stand in the text at all. */
static int lexer_illegal(struct wat_lexer *lexer, uint32_t at)
{
	if (!wat_utf8_len(lexer->text + at, lexer->len - at))
		return wat_lexer_fail(lexer, at, "malformed UTF-8 encoding");
	return wat_lexer_fail(lexer, at, "illegal character");
}

/* Steps over a character of a comment. */
static int comment_step(struct wat_lexer *lexer)
{
	uint32_t step =
		wat_utf8_len(lexer->text + lexer->at, lexer->len - lexer->at);

	if (!step)
		return wat_lexer_fail(lexer, lexer->at,
				      "malformed UTF-8 encoding");
	lexer->at += step;
	return 0;
}

static int skip_line(struct wat_lexer *lexer)
{
	while (lexer->at < lexer->len && lexer->text[lexer->at] != '\n' &&
	       lexer->text[lexer->at] != '\r')
		if (comment_step(lexer) < 0)
			return -EINVAL;
	return 0;
}

static bool is_pair(const struct wat_lexer *lexer, char first, char second)
{
	return lexer->at + 1 < lexer->len && lexer->text[lexer->at] == first &&
	       lexer->text[lexer->at + 1] == second;
}

/* "(; ... ;)", which nests. */
static int skip_block(struct wat_lexer *lexer)
{
	uint32_t begin = lexer->at, depth = 0;

	do {
		if (is_pair(lexer, '(', ';')) {
			depth++;
			lexer->at += 2;
		} else if (is_pair(lexer, ';', ')')) {
			depth--;
			lexer->at += 2;
		} else if (lexer->at >= lexer->len) {
			return wat_lexer_fail(lexer, begin, "unclosed comment");
		} else if (comment_step(lexer) < 0) {
			return -EINVAL;
		}
	} while (depth);
	return 0;
}

static int skip_space(struct wat_lexer *lexer)
{
	int r = 0;

	while (r == 0) {
		while (lexer->at < lexer->len &&
		       class_of(lexer->text[lexer->at]) == IS_SPACE)
			lexer->at++;
		if (is_pair(lexer, ';', ';'))
			r = skip_line(lexer);
		else if (is_pair(lexer, '(', ';'))
			r = skip_block(lexer);
		else
			break;
	}
	return r;
}

/* Tokens */

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') ||
	       ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* \u{...} behind the "u": returns its length, or 0. */
static uint32_t unicode_escape_len(const char *text, size_t len)
{
	uint32_t code = 0, i = 1;

	if (!len || text[0] != '{')
		return 0;
	for (; i < len && text[i] != '}'; i++) {
		if (text[i] == '_' && text[i - 1] != '_' && i > 1)
			continue;
		if (!is_hex_digit(text[i]))
			return 0;
		code = code << 4 |
		       (text[i] <= '9' ? text[i] - '0'
				       : (text[i] | 0x20) - 'a' + 10);
		if (code > 0x10ffff)
			return 0;
	}
	if (i >= len || i == 1 || text[i - 1] == '_' ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	return i + 1;
}

/* Length of an escape behind its backslash, or 0. */
static uint32_t escape_len(const char *text, size_t len)
{
	uint32_t more;

	if (!len)
		return 0;
	if (text[0] && strchr("tnr\"'\\", text[0]))
		return 1;
	if (text[0] == 'u') {
		more = unicode_escape_len(text + 1, len - 1);
		return more ? more + 1 : 0;
	}
	return len > 1 && is_hex_digit(text[0]) && is_hex_digit(text[1]) ? 2
									 : 0;
}

/* Steps over a string, from its first quote. */
static int skip_string(struct wat_lexer *lexer)
{
	uint32_t begin = lexer->at++, step;

	while (lexer->at < lexer->len) {
		const char *at = lexer->text + lexer->at;
		size_t left = lexer->len - lexer->at;

		if (*at == '"') {
			lexer->at++;
			return 0;
		}
		if (*at == '\n')
			break;
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return wat_lexer_fail(lexer, lexer->at,
					      "illegal character in a string");
		step = *at == '\\' ? escape_len(at + 1, left - 1) + 1
				   : wat_utf8_len(at, left);
		if (*at == '\\' && step == 1)
			return wat_lexer_fail(lexer, lexer->at,
					      "illegal escape");
		if (!step)
			return wat_lexer_fail(lexer, lexer->at,
					      "malformed UTF-8 encoding");
		lexer->at += step;
	}
	return wat_lexer_fail(lexer, begin, "unclosed string");
}

static void skip_id(struct wat_lexer *lexer)
{
	while (lexer->at < lexer->len &&
	       class_of(lexer->text[lexer->at]) == IS_ID)
		lexer->at++;
}

/* Does another piece of the same token begin here? */
static bool is_glued(const struct wat_lexer *lexer)
{
	char c;

	if (lexer->at >= lexer->len)
		return false;
	c = lexer->text[lexer->at];
	return c == '"' || class_of(c) & (IS_ID | IS_RESERVED) ||
	       (c == ';' && !is_pair(lexer, ';', ';'));
}

static int skip_glued(struct wat_lexer *lexer)
{
	while (is_glued(lexer)) {
		if (lexer->text[lexer->at] != '"')
			lexer->at++;
		else if (skip_string(lexer) < 0)
			return -EINVAL;
	}
	return 0;
}

static bool is_prefixed(const char *text, uint32_t len, const char *prefix)
{
	uint32_t prefix_len = strlen(prefix);

	return len > prefix_len && !memcmp(text, prefix, prefix_len) &&
	       wat_number_kind(text + prefix_len, len - prefix_len) == WAT_NAT;
}

/* A token of word characters alone. */
static int token_of_id(struct wat_lexer *lexer, struct wat_token *token)
{
	const char *text = lexer->text + token->at;
	uint32_t len = lexer->at - token->at, word;

	token->value = len;
	token->kind = WAT_RESERVED;
	if (text[0] == '$')
		return len > 1 ? symbol_intern(lexer, text + 1, len - 1, token)
			       : 0;
	word = text[0] >= 'a' && text[0] <= 'z' ? wat_lexer_word(text, len)
						: WAT_WORDS;
	if (word != WAT_WORDS) {
		token->kind = WAT_WORD;
		token->value = word;
	} else if (is_prefixed(text, len, "offset=")) {
		token->kind = WAT_OFFSET;
	} else if (is_prefixed(text, len, "align=")) {
		token->kind = WAT_ALIGN;
	} else {
		token->kind = wat_number_kind(text, len);
	}
	return 0;
}

/* A string, a quoted name, or what is neither. */
static int token_of_pieces(struct wat_lexer *lexer, struct wat_token *token)
{
	uint32_t before = lexer->at - token->at;
	bool is_id = before == 1 && lexer->text[token->at] == '$';

	token->kind = WAT_RESERVED;
	if (lexer->text[lexer->at] == '"' && (!before || is_id)) {
		if (skip_string(lexer) < 0)
			return -EINVAL;
		if (!is_glued(lexer)) {
			token->kind = WAT_STRING;
			token->value = lexer->at - token->at;
			return is_id ? symbol_quoted(lexer, token->at,
						     lexer->at, token)
				     : 0;
		}
	}
	if (skip_glued(lexer) < 0)
		return -EINVAL;
	token->value = lexer->at - token->at;
	return 0;
}

/* The next token; brackets come without their number. */
static int token_read(struct wat_lexer *lexer, struct wat_token *token)
{
	int r = skip_space(lexer);

	*token = (struct wat_token){ .at = lexer->at, .kind = WAT_END };
	if (r < 0 || lexer->at >= lexer->len)
		return r;
	if (lexer->text[lexer->at] == '(' || lexer->text[lexer->at] == ')') {
		token->kind =
			lexer->text[lexer->at] == '(' ? WAT_OPEN : WAT_CLOSE;
		lexer->at++;
		return 0;
	}
	if (!is_glued(lexer))
		return lexer_illegal(lexer, lexer->at);
	skip_id(lexer);
	return is_glued(lexer) ? token_of_pieces(lexer, token)
			       : token_of_id(lexer, token);
}

/* Annotations */

static int annotation_id(struct wat_lexer *lexer, const char **id,
			 uint32_t *len)
{
	uint32_t begin = ++lexer->at;

	if (lexer->at < lexer->len && lexer->text[lexer->at] == '"') {
		char *name;

		if (skip_string(lexer) < 0)
			return -EINVAL;
		name = wat_arena_take(&lexer->arena, lexer->at - begin);
		if (!name)
			return wat_lexer_no_memory(lexer);
		*len = wat_string_decode(lexer->text + begin, lexer->at - begin,
					 name);
		*id = name;
		if (!wat_utf8_check(name, *len))
			return wat_lexer_fail(lexer, begin,
					      "malformed UTF-8 encoding");
	} else {
		skip_id(lexer);
		*id = lexer->text + begin;
		*len = lexer->at - begin;
	}
	return *len ? 0
		    : wat_lexer_fail(lexer, begin - 1, "empty annotation id");
}

static enum wat_annotation_kind annotation_kind(const char *id, uint32_t len)
{
	static const char *const known[] = { "custom", "name",
					     "metadata.code.branch_hint" };

	for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
		if (strlen(known[i]) == len && !memcmp(id, known[i], len))
			return i;
	return WAT_ANNOTATION_OTHER;
}

static int inner_add(struct wat_lexer *lexer, const struct wat_token *token)
{
	if (!wat_room_grow((void **)&lexer->inner, &lexer->inner_room,
			   lexer->inner_count + 1, sizeof *lexer->inner))
		return wat_lexer_no_memory(lexer);
	lexer->inner[lexer->inner_count++] = *token;
	return 0;
}

/* Its tokens, up to the bracket that closes it; kept where "keep" says. */
static int annotation_body(struct wat_lexer *lexer, uint32_t begin, bool keep)
{
	struct wat_token token;

	for (uint32_t depth = 1; depth;) {
		int r = token_read(lexer, &token);

		if (r < 0)
			return r;
		if (token.kind == WAT_END)
			return wat_lexer_fail(lexer, begin,
					      "unclosed annotation");
		depth += token.kind == WAT_OPEN;
		depth -= token.kind == WAT_CLOSE;
		if (keep && inner_add(lexer, &token) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int annotation_add(struct wat_lexer *lexer,
			  const struct wat_annotation *note)
{
	uint32_t number = lexer->annotation_count;
	uint32_t *last = &lexer->last_of[note->kind];

	if (!wat_room_grow((void **)&lexer->annotations,
			   &lexer->annotation_room, number + 1,
			   sizeof *lexer->annotations))
		return wat_lexer_no_memory(lexer);
	lexer->annotations[number] = *note;
	if (*last == WAT_NONE)
		lexer->first_of[note->kind] = number;
	else
		lexer->annotations[*last].next = number;
	*last = number;
	lexer->annotation_count++;
	return 0;
}

/* From behind "(", at "@". */
static int annotation_read(struct wat_lexer *lexer)
{
	struct wat_annotation note = { .at = lexer->at - 1,
				       .before = lexer->count,
				       .first = lexer->inner_count,
				       .next = WAT_NONE };
	const char *id = NULL;
	uint32_t len = 0;
	int r = annotation_id(lexer, &id, &len);

	if (r < 0)
		return r;
	note.kind = annotation_kind(id, len);
	r = annotation_body(lexer, note.at, note.kind != WAT_ANNOTATION_OTHER);
	if (r < 0 || note.kind == WAT_ANNOTATION_OTHER)
		return r;
	note.count = lexer->inner_count - note.first - 1;
	return annotation_add(lexer, &note);
}

/* Forms */

static int token_add(struct wat_lexer *lexer, const struct wat_token *token)
{
	if (lexer->count == lexer->room &&
	    !wat_room_grow((void **)&lexer->tokens, &lexer->room,
			   lexer->count + 1, sizeof *lexer->tokens))
		return wat_lexer_no_memory(lexer);
	lexer->tokens[lexer->count++] = *token;
	return 0;
}

/* While a bracket is open its value is the one around it. */
static int bracket_match(struct wat_lexer *lexer, struct wat_token *token)
{
	uint32_t around;

	if (token->kind == WAT_OPEN) {
		token->value = lexer->open;
		lexer->open = lexer->count;
		return 0;
	}
	if (lexer->open == WAT_NONE)
		return wat_lexer_fail(lexer, token->at, "unexpected token )");
	around = lexer->tokens[lexer->open].value;
	lexer->tokens[lexer->open].value = lexer->count;
	lexer->open = around;
	return 0;
}

static int lexer_end(struct wat_lexer *lexer)
{
	struct wat_token end = { .at = lexer->at, .kind = WAT_END };

	if (lexer->open != WAT_NONE)
		return wat_lexer_fail(
			lexer, lexer->tokens[lexer->open].at,
			"unexpected end: this bracket is not closed");
	if (token_add(lexer, &end) < 0 || token_add(lexer, &end) < 0)
		return -ENOMEM;
	lexer->count -= 2;
	return lexer->count != 0;
}

static int lexer_run(struct wat_lexer *lexer, bool one_form)
{
	struct wat_token token;
	int r;

	for (;;) {
		r = token_read(lexer, &token);
		if (r < 0 || token.kind == WAT_END)
			break;
		if (token.kind == WAT_OPEN && lexer->at < lexer->len &&
		    lexer->text[lexer->at] == '@') {
			r = annotation_read(lexer);
			if (r < 0)
				break;
			continue;
		}
		if (token.kind <= WAT_CLOSE)
			r = bracket_match(lexer, &token);
		if (r < 0 || (r = token_add(lexer, &token)) < 0)
			break;
		if (one_form && lexer->open == WAT_NONE)
			break;
	}
	return r < 0 ? r : lexer_end(lexer);
}

/* What a large form needed is no burden for small ones after it. */
static void symbols_forget(struct wat_lexer *lexer)
{
	if (lexer->symbol_slot_room > 1024) {
		free(lexer->symbol_slots);
		lexer->symbol_slots = NULL;
		lexer->symbol_slot_room = 0;
	} else if (lexer->symbol_count) {
		memset(lexer->symbol_slots, 0,
		       lexer->symbol_slot_room * sizeof *lexer->symbol_slots);
	}
	lexer->symbol_count = 0;
}

static void lexer_forget(struct wat_lexer *lexer)
{
	lexer->count = lexer->inner_count = lexer->annotation_count = 0;
	memset(lexer->first_of, 0xff, sizeof lexer->first_of);
	memset(lexer->last_of, 0xff, sizeof lexer->last_of);
	symbols_forget(lexer);
	lexer->open = WAT_NONE;
	wat_arena_clear(&lexer->arena);
}

int wat_lexer_form(struct wat_lexer *lexer)
{
	lexer_forget(lexer);
	return lexer_run(lexer, true);
}

int wat_lexer_all(struct wat_lexer *lexer)
{
	lexer_forget(lexer);
	return lexer_run(lexer, false);
}

int wat_lexer_init(struct wat_lexer *lexer, const char *name, const char *text,
		   size_t len, struct err *err)
{
	*lexer = (struct wat_lexer){ .name = name,
				     .text = text,
				     .len = len,
				     .err = err,
				     .open = WAT_NONE };
	if (len > WAT_TEXT_MOST)
		return err_set(err, -EFBIG, "%.80s", name);
	return 0;
}

void wat_lexer_fini(struct wat_lexer *lexer)
{
	free(lexer->tokens);
	free(lexer->inner);
	free(lexer->annotations);
	free(lexer->symbols);
	free(lexer->symbol_slots);
	wat_arena_clear(&lexer->arena);
	*lexer = (struct wat_lexer){ .open = WAT_NONE };
}

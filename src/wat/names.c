/* SPDX-License-Identifier: Apache-2.0 */
/* Names and the indices that they stand for.  Names of a module's own are in
 * one map by space and symbol; locals and labels, which come and go, are in
 * arrays by symbol.  What is named is also kept for the section "name". */
#include "wat/internal.h"
#include <errno.h>
#include <string.h>

static const char *space_text(uint32_t space)
{
	static const char *const texts[] = { "func",   "table", "memory",
					     "global", "tag",	"type",
					     "elem",   "data" };

	return space < WAT_SPACES ? texts[space] : "field";
}

static uint64_t names_key(uint32_t space, uint32_t symbol)
{
	return (uint64_t)(space + 1) << 32 | symbol;
}

int wat_names_bind(struct wat_parser *parser, uint32_t space, uint32_t symbol,
		   uint32_t index)
{
	if (symbol == WAT_NONE)
		return 0;
	switch (wat_map_add(&parser->names, names_key(space, symbol), index)) {
	case WAT_MAP_FULL: return wat_lexer_no_memory(parser->lexer);
	case WAT_MAP_NEW: return 0;
	case WAT_MAP_OLD: break;
	}
	parser->at--;
	return wat_fail(parser, "duplicate %s %.*s", space_text(space),
			WAT_TOKEN_TEXT(parser, parser->at));
}

bool wat_is_index(const struct wat_parser *parser, uint32_t at)
{
	return parser->tokens[at].kind == WAT_ID ||
	       parser->tokens[at].kind == WAT_NAT;
}

int wat_names_index(struct wat_parser *parser, uint32_t space, uint32_t *index)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	int64_t found;

	if (token->kind != WAT_ID)
		return wat_u32(parser, index);
	found = wat_map_find(&parser->names, names_key(space, token->value));
	if (found < 0)
		return wat_fail(parser, "unknown %s %.*s", space_text(space),
				WAT_TOKEN_TEXT(parser, parser->at));
	parser->at++;
	*index = found;
	return 0;
}

int wat_names_put(struct wat_parser *parser, uint32_t space, struct buf *buf)
{
	uint32_t index;
	int r = wat_names_index(parser, space, &index);

	if (r == 0)
		wat_put_u(buf, index);
	return r;
}

int wat_names_local(struct wat_parser *parser, uint32_t *index)
{
	const struct wat_token *token = &parser->tokens[parser->at];

	if (token->kind != WAT_ID)
		return wat_u32(parser, index);
	if (parser->locals[token->value].epoch != parser->epoch)
		return wat_fail(parser, "unknown local %.*s",
				WAT_TOKEN_TEXT(parser, parser->at));
	*index = parser->locals[token->value].index;
	parser->at++;
	return 0;
}

/* The next local, whose name was read just now. */
int wat_names_bind_local(struct wat_parser *parser, uint32_t symbol)
{
	struct wat_local *local;

	if (symbol != WAT_NONE) {
		local = &parser->locals[symbol];
		if (local->epoch == parser->epoch) {
			parser->at--;
			return wat_fail(parser, "duplicate local %.*s",
					WAT_TOKEN_TEXT(parser, parser->at));
		}
		*local = (struct wat_local){ parser->epoch,
					     parser->local_count };
	}
	return wat_names_keep(parser, WAT_NAMED_LOCAL, symbol,
			      parser->local_count++);
}

int wat_names_label(struct wat_parser *parser, struct buf *buf)
{
	const struct wat_token *token = &parser->tokens[parser->at];
	uint32_t index;
	int r = 0;

	if (token->kind == WAT_ID) {
		if (!parser->labels[token->value])
			return wat_fail(parser, "unknown label %.*s",
					WAT_TOKEN_TEXT(parser, parser->at));
		index = parser->depth - parser->labels[token->value];
		parser->at++;
	} else {
		r = wat_u32(parser, &index);
	}
	if (r == 0)
		wat_put_u(buf, index);
	return r;
}

/* "(@name "...")": its one string, to parser->name. */
static int name_read(struct wat_parser *parser, struct wat_annotation *note)
{
	struct wat_lexer *lexer = parser->lexer;
	const struct wat_token *tokens = lexer->inner + note->first;
	struct buf *name = &parser->name;

	if (note->count != 1 || tokens->kind != WAT_STRING)
		return wat_lexer_fail(lexer, note->at,
				      "@name annotation: unexpected token");
	buf_clear(name);
	if (wat_string_add(parser, tokens, name) < 0)
		return -ENOMEM;
	if (!wat_utf8_check(name->data, name->len))
		return wat_lexer_fail(
			lexer, note->at,
			"@name annotation: malformed UTF-8 encoding");
	return 0;
}

static struct wat_vec *named_vec(struct wat_parser *parser,
				 enum wat_named named)
{
	bool is_inner = named == WAT_NAMED_LOCAL || named == WAT_NAMED_LABEL ||
			named == WAT_NAMED_FIELD;

	return is_inner ? &parser->inner[named] : &parser->named[named];
}

int wat_names_keep_noted(struct wat_parser *parser, enum wat_named named,
			 uint32_t symbol, struct wat_annotation *note,
			 uint32_t index)
{
	struct wat_vec *vec = named_vec(parser, named);
	const struct wat_symbol *plain;

	if (!note && symbol == WAT_NONE)
		return 0;
	vec->count++;
	if (named != WAT_NAMED_MODULE)
		wat_put_u(&vec->bytes, index);
	if (!note) {
		plain = &parser->lexer->symbols[symbol];
		wat_put_bytes(&vec->bytes, plain->text, plain->len);
		return 0;
	}
	if (name_read(parser, note) < 0)
		return -EINVAL;
	wat_put_bytes(&vec->bytes, parser->name.data, parser->name.len);
	return 0;
}

int wat_names_keep(struct wat_parser *parser, enum wat_named named,
		   uint32_t symbol, uint32_t index)
{
	return wat_names_keep_noted(parser, named, symbol,
				    wat_annotated(parser, WAT_ANNOTATION_NAME),
				    index);
}

/* The names of one function's locals and labels, one type's fields. */
void wat_names_keep_inner(struct wat_parser *parser, enum wat_named named,
			  uint32_t outer)
{
	struct wat_vec *inner = &parser->inner[named];

	if (!inner->count)
		return;
	wat_put_u(&parser->named[named].bytes, outer);
	wat_vec_put(&parser->named[named].bytes, inner);
	parser->named[named].count++;
	wat_vec_clear(inner);
}

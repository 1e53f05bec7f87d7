/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations that become custom sections: "@custom" where fields stand, and
 * branch hints before instructions. */
#include "wat/internal.h"
#include <errno.h>
#include <string.h>

static const struct wat_token *inner(const struct wat_parser *parser,
				     const struct wat_annotation *note,
				     uint32_t at)
{
	static const struct wat_token none = { .kind = WAT_END };

	return at < note->count ? &parser->lexer->inner[note->first + at]
				: &none;
}

static int fail(struct wat_parser *parser, const struct wat_annotation *note,
		const char *name, const char *words)
{
	return wat_lexer_fail(parser->lexer, note->at, "@%s annotation: %s",
			      name, words);
}

static bool is_inner_word(const struct wat_token *token, uint32_t word)
{
	return token->kind == WAT_WORD && token->value == word;
}

/* "first" with before, "last" with after, or a section's kind. */
static int place_of(const struct wat_token *side, const struct wat_token *word,
		    uint32_t *place)
{
	bool is_after = is_inner_word(side, WAT_W_AFTER);
	uint32_t section;

	*place = is_after ? 2 * WAT_SECTIONS + 1 : 0;
	if (is_inner_word(word, is_after ? WAT_W_LAST : WAT_W_FIRST))
		return 0;
	if (is_inner_word(word, WAT_W_FUNC)) {
		section = WAT_SECTION_FUNC;
	} else {
		if (word->kind != WAT_WORD || word->value < WASM_OPERATIONS ||
		    wat_words[word->value - WASM_OPERATIONS].class !=
			    WAT_CLASS_SECTION)
			return -EINVAL;
		section = wat_words[word->value - WASM_OPERATIONS].value;
	}
	*place = 2 * section + is_after;
	return 0;
}

/* "(before x)" or "(after x)", which may be missing. */
static int place_read(struct wat_parser *parser, struct wat_annotation *note,
		      uint32_t *at, uint32_t *place)
{
	const struct wat_token *side = inner(parser, note, *at + 1);

	*place = 2 * WAT_SECTIONS + 1;
	if (inner(parser, note, *at)->kind != WAT_OPEN)
		return 0;
	if (!is_inner_word(side, WAT_W_BEFORE) &&
	    !is_inner_word(side, WAT_W_AFTER))
		return fail(parser, note, "custom", "malformed placement");
	if (place_of(side, inner(parser, note, *at + 2), place) < 0)
		return fail(parser, note, "custom", "malformed section kind");
	if (inner(parser, note, *at + 3)->kind != WAT_CLOSE)
		return fail(parser, note, "custom", "malformed placement");
	*at += 4;
	return 0;
}

static int custom_name(struct wat_parser *parser, struct wat_annotation *note)
{
	const struct wat_token *token = inner(parser, note, 0);
	struct buf *name = &parser->name;

	if (token->kind != WAT_STRING)
		return fail(parser, note, "custom", "missing section name");
	buf_clear(name);
	if (wat_string_add(parser, token, name) < 0)
		return -ENOMEM;
	if (!wat_utf8_check(name->data, name->len))
		return fail(parser, note, "custom", "malformed UTF-8 encoding");
	if (name->len == 4 && !memcmp(name->data, "name", 4))
		parser->has_name_section = true;
	wat_put_bytes(&parser->custom_bytes, name->data, name->len);
	return 0;
}

int wat_custom_read(struct wat_parser *parser, struct wat_annotation *note)
{
	size_t begin = parser->custom_bytes.len;
	uint32_t at = 1, place;

	if (custom_name(parser, note) < 0 ||
	    place_read(parser, note, &at, &place) < 0)
		return -EINVAL;
	for (; inner(parser, note, at)->kind == WAT_STRING; at++)
		if (wat_string_add(parser, inner(parser, note, at),
				   &parser->custom_bytes) < 0)
			return -ENOMEM;
	if (at < note->count)
		return fail(parser, note, "custom", "unexpected token");
	if (!wat_room_grow((void **)&parser->customs, &parser->custom_room,
			   parser->custom_count + 1, sizeof *parser->customs))
		return wat_lexer_no_memory(parser->lexer);
	parser->customs[parser->custom_count++] =
		(struct wat_custom){ .place = place,
				     .len = parser->custom_bytes.len - begin };
	return 0;
}

#define HINT "metadata.code.branch_hint"

/* At the place in the body where the instruction's byte will be. */
int wat_custom_hint(struct wat_parser *parser, uint32_t annotation)
{
	struct wat_annotation *note = &parser->lexer->annotations[annotation];
	struct wat_vec *hints = &parser->function_hints;
	struct buf *value = &parser->name;

	buf_clear(value);
	for (uint32_t i = 0; i < note->count; i++) {
		const struct wat_token *token = inner(parser, note, i);

		if (token->kind != WAT_STRING)
			return fail(parser, note, HINT, "unexpected token");
		if (wat_string_add(parser, token, value) < 0)
			return -ENOMEM;
	}
	if (value->len != 1 || (value->data[0] & ~1))
		return fail(parser, note, HINT, "malformed hint");
	wat_put_u(&hints->bytes, parser->body.len);
	wat_put_bytes(&hints->bytes, value->data, 1);
	hints->count++;
	return 0;
}

/* The hint before an instruction, or WAT_NONE; there must be one at most. */
int wat_custom_find_hint(struct wat_parser *parser, uint32_t *annotation)
{
	struct wat_annotation *note =
		wat_annotated(parser, WAT_ANNOTATION_HINT);

	*annotation = WAT_NONE;
	if (!note)
		return 0;
	*annotation = note - parser->lexer->annotations;
	note = wat_annotated(parser, WAT_ANNOTATION_HINT);
	if (note)
		return fail(parser, note, HINT, "duplicate annotation");
	return 0;
}

int wat_custom_no_branch(struct wat_parser *parser, uint32_t annotation)
{
	return fail(parser, &parser->lexer->annotations[annotation], HINT,
		    "invalid target");
}

/* After the module: none was left in a place where it has no meaning. */
int wat_custom_check(struct wat_parser *parser)
{
	const struct wat_lexer *lexer = parser->lexer;

	for (uint32_t i = 0; i < lexer->annotation_count; i++) {
		const struct wat_annotation *note = &lexer->annotations[i];

		if (note->used || note->before < parser->first ||
		    note->before > parser->last)
			continue;
		if (note->kind == WAT_ANNOTATION_HINT)
			return fail(parser, note, HINT, "not in a function");
		return wat_lexer_fail(
			parser->lexer, note->at, "misplaced @%s annotation",
			note->kind == WAT_ANNOTATION_NAME ? "name" : "custom");
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A module's text to its bytes: the passes, one after another. */
#include "wat/wat.h"
#include "wat/internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is cleared by each walk over the fields but the types. */
static void parser_clear_sections(struct wat_parser *parser)
{
	for (int i = WAT_SECTION_IMPORT; i < WAT_SECTIONS; i++)
		wat_vec_clear(&parser->sections[i]);
	for (int i = 0; i < WAT_NAMED_COUNT; i++)
		if (i != WAT_NAMED_TYPE && i != WAT_NAMED_FIELD &&
		    i != WAT_NAMED_MODULE)
			wat_vec_clear(&parser->named[i]);
	wat_vec_clear(&parser->hints);
	buf_clear(&parser->custom_bytes);
	parser->custom_count = 0;
	memset(parser->next, 0, sizeof parser->next);
	for (uint32_t i = 0; i < parser->lexer->annotation_count; i++)
		if (parser->lexer->annotations[i].used == parser->phase)
			parser->lexer->annotations[i].used = 0;
}

static void parser_fini(struct wat_parser *parser)
{
	struct buf *const bufs[] = {
		&parser->signatures,
		&parser->heap,
		&parser->type,
		&parser->offset,
		&parser->body,
		&parser->pending,
		&parser->local_types,
		&parser->name,
		&parser->custom_bytes,
		&parser->params.bytes,
		&parser->results.bytes,
		&parser->items.bytes,
		&parser->functions.bytes,
		&parser->hints.bytes,
		&parser->function_hints.bytes,
	};

	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		buf_fini(bufs[i]);
	for (int i = 0; i < WAT_SECTIONS; i++)
		buf_fini(&parser->sections[i].bytes);
	for (int i = 0; i < WAT_NAMED_COUNT; i++) {
		buf_fini(&parser->named[i].bytes);
		buf_fini(&parser->inner[i].bytes);
	}
	wat_map_clear(&parser->names);
	wat_map_clear(&parser->signature_map);
	free(parser->types);
	free(parser->locals);
	free(parser->labels);
	free(parser->frames);
	free(parser->customs);
}

static int parser_init(struct wat_parser *parser, struct wat_lexer *lexer,
		       uint32_t at, uint32_t last)
{
	uint32_t symbols = lexer->symbol_count + 1;

	*parser = (struct wat_parser){ .lexer = lexer,
				       .tokens = lexer->tokens,
				       .at = at,
				       .last = last,
				       .type_later = WAT_NONE };
	wat_annotations_begin(parser, 1);
	parser->locals = calloc(symbols, sizeof *parser->locals);
	parser->labels = calloc(symbols, sizeof *parser->labels);
	if (!parser->locals || !parser->labels)
		return wat_lexer_no_memory(lexer);
	return 0;
}

/* The module's name. */
static int module_head(struct wat_parser *parser)
{
	uint32_t symbol = wat_take_id(parser);

	parser->first = parser->at;
	if (wat_names_keep(parser, WAT_NAMED_MODULE, symbol, 0) < 0)
		return -EINVAL;
	if (wat_annotated(parser, WAT_ANNOTATION_NAME))
		return wat_fail(parser, "@name annotation: multiple module");
	return 0;
}

/* A number of a type may be used before the type comes by, brought by a
 * function behind.  Then the numbers of locals were wrong, and all is read
 * once more, the types being known now. */
static int module_read(struct wat_parser *parser)
{
	if (wat_module_fields(parser) < 0)
		return -EINVAL;
	if (parser->type_later >= parser->type_count)
		return 0;
	parser_clear_sections(parser);
	return wat_module_fields(parser);
}

static int module_encode(struct wat_parser *parser, struct buf *binary)
{
	if (module_head(parser) < 0 || wat_declare(parser) < 0 ||
	    module_read(parser) < 0 || wat_custom_check(parser) < 0)
		return -EINVAL;
	return wat_encode(parser, binary);
}

int wat_module_encode(struct wat_lexer *lexer, uint32_t at, uint32_t last,
		      struct buf *binary)
{
	struct wat_parser parser;
	int r = parser_init(&parser, lexer, at, last);

	if (r == 0)
		r = module_encode(&parser, binary);
	parser_fini(&parser);
	return r;
}

/* The text is one module and nothing more. */
static int module_alone(struct wat_lexer *lexer, struct buf *binary)
{
	struct wat_parser rest = { .lexer = lexer, .tokens = lexer->tokens };
	uint32_t last;

	if (!wat_is_open(&rest, WAT_W_MODULE))
		return wat_module_encode(lexer, 0, lexer->count, binary);
	last = rest.tokens[0].value;
	rest.at = last + 1;
	if (wat_kind(&rest) != WAT_END)
		return wat_unexpected(&rest);
	return wat_module_encode(lexer, 2, last, binary);
}

/* The strings behind "(module $name binary". */
int wat_module_strings(struct wat_lexer *lexer, uint32_t at, uint32_t last,
		       struct buf *bytes)
{
	struct wat_parser parser = { .lexer = lexer,
				     .tokens = lexer->tokens,
				     .at = at };

	if (wat_strings(&parser, bytes) < 0)
		return -EINVAL;
	return parser.at == last ? 0 : wat_unexpected(&parser);
}

int wat_module_quoted(struct wat_lexer *lexer, uint32_t at, uint32_t last,
		      struct buf *binary)
{
	struct wat_lexer inner;
	struct buf text = { 0 };
	char name[96];
	int r = wat_module_strings(lexer, at, last, &text);

	snprintf(name, sizeof name, "%.70s:%u:quote", lexer->name,
		 wat_lexer_line(lexer, lexer->tokens[at].at));
	if (r == 0)
		r = wat_lexer_init(&inner, name, buf_string(&text), text.len,
				   lexer->err);
	if (r == 0) {
		r = wat_lexer_all(&inner);
		if (r >= 0)
			r = module_alone(&inner, binary);
		wat_lexer_fini(&inner);
	}
	buf_fini(&text);
	return r;
}

/* A text that is one module, in whatever form. */
static int module_whole(struct wat_lexer *lexer, struct buf *binary)
{
	const struct wat_token *tokens = lexer->tokens;
	uint32_t at = 2, last = tokens[0].value;

	if (tokens[0].kind != WAT_OPEN || tokens[1].kind != WAT_WORD ||
	    tokens[1].value != WAT_W_MODULE || last + 1 != lexer->count)
		return module_alone(lexer, binary);
	at += tokens[at].kind == WAT_ID;
	if (tokens[at].kind == WAT_WORD && tokens[at].value == WAT_W_BINARY)
		return wat_module_strings(lexer, at + 1, last, binary);
	if (tokens[at].kind == WAT_WORD && tokens[at].value == WAT_W_QUOTE)
		return wat_module_quoted(lexer, at + 1, last, binary);
	return module_alone(lexer, binary);
}

int wat_to_binary(const char *name, const char *text, size_t len,
		  struct buf *binary, struct err *err)
{
	struct err told = { 0 };
	struct wat_lexer lexer;
	int r = wat_lexer_init(&lexer, name, text, len, &told);

	if (r == 0) {
		r = wat_lexer_all(&lexer);
		if (r >= 0)
			r = module_whole(&lexer, binary);
		wat_lexer_fini(&lexer);
	}
	if (r >= 0)
		return 0;
	buf_fini(binary);
	if (err)
		*err = told;
	return told.code;
}

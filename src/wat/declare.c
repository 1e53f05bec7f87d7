/* SPDX-License-Identifier: Apache-2.0 */
/* The first walk over a module: what is named gets its index, so that later
 * it may be used before it is defined; then all types are read.  Fields of a
 * wrong shape are passed over: the second walk refuses them. */
#include "wat/internal.h"

static bool is_kind(const struct wat_parser *parser, uint32_t at, int kind)
{
	return parser->tokens[at].kind == kind;
}

/* The space that a field's word defines in, or WAT_SPACES. */
static uint32_t space_of(uint32_t word)
{
	switch (word) {
	case WAT_W_FUNC: return WAT_SPACE_FUNC;
	case WAT_W_TABLE: return WAT_SPACE_TABLE;
	case WAT_W_MEMORY: return WAT_SPACE_MEMORY;
	case WAT_W_GLOBAL: return WAT_SPACE_GLOBAL;
	case WAT_W_TAG: return WAT_SPACE_TAG;
	default: return WAT_SPACES;
	}
}

/* One more of the space, with the name at parser->at if there is one. */
static int declare(struct wat_parser *parser, uint32_t space)
{
	uint32_t symbol = wat_take_id(parser);

	return wat_names_bind(parser, space, symbol, parser->count[space]++);
}

static int declare_import(struct wat_parser *parser)
{
	static const char *const texts[] = { "function", "table", "memory",
					     "global", "tag" };
	uint32_t at = parser->at, space;

	if (parser->defined != WAT_SPACES)
		return wat_fail(parser, "import after %s",
				texts[parser->defined]);
	if (!is_kind(parser, at + 2, WAT_STRING) ||
	    !is_kind(parser, at + 3, WAT_STRING) ||
	    !is_kind(parser, at + 4, WAT_OPEN) ||
	    !is_kind(parser, at + 5, WAT_WORD))
		return 0;
	space = space_of(parser->tokens[at + 5].value);
	parser->at = at + 6;
	return space == WAT_SPACES ? 0 : declare(parser, space);
}

/* A table or memory with its segment in itself. */
static int declare_inline_segment(struct wat_parser *parser, uint32_t space)
{
	uint32_t word = space == WAT_SPACE_TABLE ? WAT_W_ELEM : WAT_W_DATA;
	uint32_t segments =
		space == WAT_SPACE_TABLE ? WAT_SPACE_ELEM : WAT_SPACE_DATA;

	for (; wat_kind(parser) != WAT_CLOSE; parser->at++) {
		if (wat_kind(parser) != WAT_OPEN)
			continue;
		if (wat_is_open(parser, word)) {
			parser->count[segments]++;
			break;
		}
		parser->at = parser->tokens[parser->at].value;
	}
	return 0;
}

static int declare_definition(struct wat_parser *parser, uint32_t space)
{
	uint32_t begin = parser->at;

	parser->at += 2;
	if (declare(parser, space) < 0)
		return -1;
	while (wat_is_open(parser, WAT_W_EXPORT))
		parser->at = parser->tokens[parser->at].value + 1;
	if (wat_is_open(parser, WAT_W_IMPORT)) {
		parser->at = begin;
		/* The error, if it comes too late. */
		return parser->defined == WAT_SPACES ? 0
						     : declare_import(parser);
	}
	if (parser->defined == WAT_SPACES)
		parser->defined = space;
	if (space == WAT_SPACE_TABLE || space == WAT_SPACE_MEMORY)
		return declare_inline_segment(parser, space);
	return 0;
}

/* "(type ...)", or all of "(rec ...)". */
static int declare_types(struct wat_parser *parser)
{
	uint32_t end = parser->tokens[parser->at].value;
	bool is_group = wat_take_open(parser, WAT_W_REC);
	int r = 0;

	while (r == 0 && parser->at < end && wat_is_open(parser, WAT_W_TYPE)) {
		uint32_t next = parser->tokens[parser->at].value + 1;

		parser->at += 2;
		r = declare(parser, WAT_SPACE_TYPE);
		if (r == 0)
			parser->at = next;
		if (!is_group)
			break;
	}
	return r;
}

static int declare_start(struct wat_parser *parser)
{
	if (parser->has_start)
		return wat_fail(parser, "multiple start sections");
	parser->has_start = true;
	return 0;
}

static int declare_field(struct wat_parser *parser)
{
	const struct wat_token *word = &parser->tokens[parser->at + 1];

	if (word->kind != WAT_WORD)
		return 0;
	switch (word->value) {
	case WAT_W_TYPE:
	case WAT_W_REC: return declare_types(parser);
	case WAT_W_IMPORT: return declare_import(parser);
	case WAT_W_START: return declare_start(parser);
	case WAT_W_ELEM:
		parser->at += 2;
		return declare(parser, WAT_SPACE_ELEM);
	case WAT_W_DATA:
		parser->at += 2;
		return declare(parser, WAT_SPACE_DATA);
	}
	return space_of(word->value) == WAT_SPACES
		       ? 0
		       : declare_definition(parser, space_of(word->value));
}

static int declare_names(struct wat_parser *parser)
{
	parser->at = parser->first;
	while (wat_kind(parser) == WAT_OPEN) {
		uint32_t next = parser->tokens[parser->at].value + 1;

		if (declare_field(parser) < 0)
			return -1;
		parser->at = next;
	}
	return 0;
}

static int read_types(struct wat_parser *parser)
{
	parser->at = parser->first;
	while (wat_kind(parser) == WAT_OPEN) {
		uint32_t next = parser->tokens[parser->at].value + 1;

		if ((wat_is_open(parser, WAT_W_TYPE) ||
		     wat_is_open(parser, WAT_W_REC)) &&
		    wat_types_define(parser) < 0)
			return -1;
		parser->at = next;
	}
	return 0;
}

int wat_declare(struct wat_parser *parser)
{
	parser->defined = WAT_SPACES;
	if (declare_names(parser) < 0)
		return -1;
	wat_annotations_begin(parser, parser->phase);
	return read_types(parser);
}

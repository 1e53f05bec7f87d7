/* SPDX-License-Identifier: Apache-2.0 */
/* The second walk over a module: its fields, one after another, to the bytes
 * of its sections.  An export or import within a definition does what the
 * field of its own would. */
#include "wat/internal.h"
#include <string.h>

static struct buf *section_of(struct wat_parser *parser,
			      enum wat_section section)
{
	return &parser->sections[section].bytes;
}

/* What a memory or table may hold: its flags go first, but come last. */
struct limits {
	uint64_t least, most;
	bool has_most, is64, is_shared;
	uint8_t page_log2;
};

static void limits_put(struct buf *buf, const struct limits *limits)
{
	bool is_paged = limits->page_log2 != 16;

	wat_put_byte(buf, limits->has_most | limits->is_shared << 1 |
				  limits->is64 << 2 | is_paged << 3);
	wat_put_u(buf, limits->least);
	if (limits->has_most)
		wat_put_u(buf, limits->most);
	if (is_paged)
		wat_put_u(buf, limits->page_log2);
}

/* "i64" before limits, or "i32", which is the same as nothing. */
static bool address_read(struct wat_parser *parser)
{
	if (wat_take_word(parser, WAT_W_I64))
		return true;
	wat_take_word(parser, WAT_W_I32);
	return false;
}

static int limits_read(struct wat_parser *parser, struct limits *limits)
{
	int r = wat_u64(parser, &limits->least);

	limits->has_most = r == 0 && wat_kind(parser) == WAT_NAT;
	if (limits->has_most)
		r = wat_u64(parser, &limits->most);
	return r;
}

/* "(pagesize n)", if it is there. */
static int page_read(struct wat_parser *parser, struct limits *limits)
{
	uint64_t bytes;
	int r;

	limits->page_log2 = 16;
	if (!wat_take_open(parser, WAT_W_PAGESIZE))
		return 0;
	r = wat_u64(parser, &bytes);
	if (r < 0)
		return r;
	if (!bytes || (bytes & (bytes - 1))) {
		parser->at--;
		return wat_fail(parser, "invalid custom page size");
	}
	limits->page_log2 = __builtin_ctzll(bytes);
	return wat_expect_close(parser);
}

/* A memory's type behind its index type. */
static int memory_type(struct wat_parser *parser, struct limits *limits)
{
	int r = limits_read(parser, limits);

	limits->is_shared = r == 0 && wat_take_word(parser, WAT_W_SHARED);
	return r < 0 ? r : page_read(parser, limits);
}

static int table_type(struct wat_parser *parser, struct limits *limits,
		      struct buf *type)
{
	int r = limits_read(parser, limits);

	limits->page_log2 = 16;
	return r < 0 ? r : wat_types_reference_full(parser, type);
}

/* Imports and exports */

/* The kind is the number of its space. */
static void export_put(struct wat_parser *parser, uint32_t kind, uint32_t index)
{
	wat_put_byte(section_of(parser, WAT_SECTION_EXPORT), kind);
	wat_put_u(section_of(parser, WAT_SECTION_EXPORT), index);
	parser->sections[WAT_SECTION_EXPORT].count++;
}

/* The two names of an import; what it is follows. */
static int import_names(struct wat_parser *parser, uint32_t kind)
{
	struct buf *import = section_of(parser, WAT_SECTION_IMPORT);
	int r = wat_name(parser, import);

	if (r == 0)
		r = wat_name(parser, import);
	if (r < 0)
		return r;
	parser->sections[WAT_SECTION_IMPORT].count++;
	if (kind < WAT_SPACES)
		wat_put_byte(import, kind);
	return 0;
}

static int import_memory(struct wat_parser *parser, struct buf *import)
{
	struct limits limits = { .is64 = address_read(parser) };
	int r = memory_type(parser, &limits);

	limits_put(import, &limits);
	return r;
}

static int import_table(struct wat_parser *parser, struct buf *import)
{
	struct limits limits = { .is64 = address_read(parser) };
	int r;

	buf_clear(&parser->type);
	r = table_type(parser, &limits, &parser->type);
	buf_add(import, parser->type.data, parser->type.len);
	import->failed |= parser->type.failed;
	limits_put(import, &limits);
	return r;
}

/* What is imported, its kind being written already. */
static int import_type(struct wat_parser *parser, uint32_t kind)
{
	struct buf *import = section_of(parser, WAT_SECTION_IMPORT);
	uint32_t index;
	int r;

	switch (kind) {
	case WAT_SPACE_TABLE: return import_table(parser, import);
	case WAT_SPACE_MEMORY: return import_memory(parser, import);
	case WAT_SPACE_GLOBAL: return wat_types_global(parser, import);
	case WAT_SPACE_TAG: wat_put_byte(import, 0); break;
	}
	r = wat_types_use(parser, WAT_PARAMS_IGNORE, &index);
	if (r == 0)
		wat_put_u(import, index);
	return r;
}

static enum wat_named named_of(uint32_t space)
{
	static const uint8_t named[] = { WAT_NAMED_FUNC,   WAT_NAMED_TABLE,
					 WAT_NAMED_MEMORY, WAT_NAMED_GLOBAL,
					 WAT_NAMED_TAG,	   WAT_NAMED_TYPE,
					 WAT_NAMED_ELEM,   WAT_NAMED_DATA };

	return named[space];
}

/* A definition's name and number. */
static int next_index(struct wat_parser *parser, uint32_t space,
		      uint32_t *index)
{
	uint32_t symbol = wat_take_id(parser);

	*index = parser->next[space]++;
	return wat_names_keep(parser, named_of(space), symbol, *index);
}

/* "(func" and the like; the kind is the number of its space. */
static int kind_read(struct wat_parser *parser, uint32_t *kind)
{
	static const uint32_t words[] = { WAT_W_FUNC, WAT_W_TABLE, WAT_W_MEMORY,
					  WAT_W_GLOBAL, WAT_W_TAG };

	for (*kind = 0; *kind < 5; ++*kind)
		if (wat_take_open(parser, words[*kind]))
			return 0;
	return wat_unexpected(parser);
}

/* "(import "m" "n" (func $f ...))", from behind its word. */
static int field_import(struct wat_parser *parser)
{
	uint32_t kind, index;

	if (import_names(parser, WAT_SPACES) < 0 ||
	    kind_read(parser, &kind) < 0)
		return -1;
	wat_put_byte(section_of(parser, WAT_SECTION_IMPORT), kind);
	if (next_index(parser, kind, &index) < 0 ||
	    import_type(parser, kind) < 0)
		return -1;
	return wat_expect_close(parser);
}

/* "(export "n" (func $f))" */
static int field_export(struct wat_parser *parser)
{
	uint32_t kind, index;

	if (wat_name(parser, section_of(parser, WAT_SECTION_EXPORT)) < 0)
		return -1;
	if (kind_read(parser, &kind) < 0 ||
	    wat_names_index(parser, kind, &index) < 0)
		return -1;
	export_put(parser, kind, index);
	return wat_expect_close(parser);
}

/* What all definitions begin with: a name, exports, an import. */
static int definition_begin(struct wat_parser *parser, uint32_t space,
			    uint32_t *index, bool *is_import)
{
	int r = next_index(parser, space, index);

	while (r == 0 && wat_take_open(parser, WAT_W_EXPORT)) {
		r = wat_name(parser, section_of(parser, WAT_SECTION_EXPORT));
		export_put(parser, space, *index);
		if (r == 0)
			r = wat_expect_close(parser);
	}
	*is_import = r == 0 && wat_take_open(parser, WAT_W_IMPORT);
	if (!*is_import)
		return r;
	r = import_names(parser, space);
	if (r == 0)
		r = wat_expect_close(parser);
	return r < 0 ? r : import_type(parser, space);
}

/* Functions */

struct local_run {
	uint32_t at, len; /* of its type in "local_types" */
	uint32_t count;
};

/* One more local, whose type lies at the end of "local_types": a run of the same
 * type is written as one. */
static void local_add(struct wat_parser *parser, struct wat_vec *runs,
		      struct local_run *run, uint32_t at)
{
	struct buf *types = &parser->local_types;
	uint32_t len = types->len - at;

	if (types->failed)
		return;
	if (run->count && run->len == len &&
	    !memcmp(types->data + run->at, types->data + at, len)) {
		run->count++;
		types->len = at;
		return;
	}
	if (run->count) {
		wat_put_u(&runs->bytes, run->count);
		buf_add(&runs->bytes, types->data + run->at, run->len);
		runs->count++;
	}
	*run = (struct local_run){ at, len, 1 };
}

/* Behind "(local". */
static int local_read(struct wat_parser *parser, struct wat_vec *runs,
		      struct local_run *run)
{
	uint32_t symbol = wat_take_id(parser);
	bool one = symbol != WAT_NONE;
	int r = 0;

	while (r == 0 && (one || wat_kind(parser) != WAT_CLOSE)) {
		uint32_t at = parser->local_types.len;

		r = wat_names_bind_local(parser, symbol);
		if (r == 0)
			r = wat_types_value(parser, &parser->local_types);
		if (r == 0)
			local_add(parser, runs, run, at);
		if (one)
			break;
	}
	return r < 0 ? r : wat_expect_close(parser);
}

/* All locals, to the beginning of the body. */
static int locals_read(struct wat_parser *parser)
{
	struct wat_vec *runs = &parser->params;
	struct local_run run = { 0 };

	wat_vec_clear(runs);
	buf_clear(&parser->local_types);
	while (wat_take_open(parser, WAT_W_LOCAL))
		if (local_read(parser, runs, &run) < 0)
			return -1;
	if (run.count) {
		wat_put_u(&runs->bytes, run.count);
		buf_add(&runs->bytes, parser->local_types.data + run.at,
			run.len);
		runs->count++;
	}
	if (parser->local_types.failed)
		return wat_lexer_no_memory(parser->lexer);
	wat_vec_put(&parser->body, runs);
	return 0;
}

static int function_body(struct wat_parser *parser, uint32_t index)
{
	struct wat_vec *code = &parser->sections[WAT_SECTION_CODE];
	struct wat_vec *hints = &parser->function_hints;
	int r;

	buf_clear(&parser->body);
	wat_vec_clear(hints);
	r = locals_read(parser);
	if (r == 0)
		r = wat_code_body(parser);
	wat_put_bytes(&code->bytes, parser->body.data, parser->body.len);
	code->bytes.failed |= parser->body.failed;
	code->count++;
	if (hints->count) {
		wat_put_u(&parser->hints.bytes, index);
		wat_vec_put(&parser->hints.bytes, hints);
		parser->hints.count++;
	}
	wat_names_keep_inner(parser, WAT_NAMED_LOCAL, index);
	wat_names_keep_inner(parser, WAT_NAMED_LABEL, index);
	return r;
}

static int field_func(struct wat_parser *parser)
{
	uint32_t index, type;
	bool is_import;

	if (definition_begin(parser, WAT_SPACE_FUNC, &index, &is_import) < 0)
		return -1;
	if (is_import)
		return 0;
	parser->epoch++;
	parser->label_count = 0;
	if (wat_types_use(parser, WAT_PARAMS_BIND, &type) < 0)
		return -1;
	wat_put_u(section_of(parser, WAT_SECTION_FUNC), type);
	parser->sections[WAT_SECTION_FUNC].count++;
	if (function_body(parser, index) < 0)
		return -1;
	parser->epoch++; /* no local is known outside */
	return 0;
}

/* Other definitions */

static int field_tag(struct wat_parser *parser)
{
	struct wat_vec *tags = &parser->sections[WAT_SECTION_TAG];
	uint32_t index, type;
	bool is_import;

	if (definition_begin(parser, WAT_SPACE_TAG, &index, &is_import) < 0)
		return -1;
	if (is_import)
		return 0;
	if (wat_types_use(parser, WAT_PARAMS_IGNORE, &type) < 0)
		return -1;
	wat_put_byte(&tags->bytes, 0);
	wat_put_u(&tags->bytes, type);
	tags->count++;
	return 0;
}

static int field_global(struct wat_parser *parser)
{
	struct wat_vec *globals = &parser->sections[WAT_SECTION_GLOBAL];
	uint32_t index;
	bool is_import;

	if (definition_begin(parser, WAT_SPACE_GLOBAL, &index, &is_import) < 0)
		return -1;
	if (is_import)
		return 0;
	globals->count++;
	if (wat_types_global(parser, &globals->bytes) < 0)
		return -1;
	return wat_code_constant(parser, &globals->bytes);
}

static int field_memory(struct wat_parser *parser)
{
	struct wat_vec *memories = &parser->sections[WAT_SECTION_MEMORY];
	struct limits limits = { 0 };
	uint32_t index;
	uint64_t len;
	bool is_import;
	int r;

	if (definition_begin(parser, WAT_SPACE_MEMORY, &index, &is_import) < 0)
		return -1;
	if (is_import)
		return 0;
	limits.is64 = address_read(parser);
	if (wat_kind(parser) == WAT_NAT) {
		r = memory_type(parser, &limits);
	} else {
		r = page_read(parser, &limits);
		if (r == 0)
			r = wat_segments_memory(parser, index, limits.is64,
						&len);
		if (r < 0)
			return r;
		limits.has_most = true;
		limits.least = limits.most =
			limits.page_log2 > 32
				? len != 0
				: (len + (1ull << limits.page_log2) - 1) >>
					  limits.page_log2;
	}
	limits_put(&memories->bytes, &limits);
	memories->count++;
	return r;
}

/* Is the expression "ref.null" of the type's heap type?  That is what a table
 * without one has. */
static bool is_null_of(const struct buf *type, const char *at, size_t len)
{
	const char *heap = type->data;
	size_t heap_len = type->len;

	if (*heap == 0x63 || *heap == 0x64) {
		heap++;
		heap_len--;
	}
	return len == heap_len + 2 && (unsigned char)at[0] == 0xd0 &&
	       !memcmp(at + 1, heap, heap_len);
}

/* What a table is filled with, behind its type. */
static int table_init(struct wat_parser *parser, const struct buf *type,
		      const struct limits *limits)
{
	struct buf *tables = section_of(parser, WAT_SECTION_TABLE);
	size_t begin = tables->len, init;
	int r = 0;

	wat_put_byte(tables, 0x40);
	wat_put_byte(tables, 0);
	buf_add(tables, type->data, type->len);
	limits_put(tables, limits);
	init = tables->len;
	if (wat_kind(parser) != WAT_CLOSE)
		r = wat_code_constant(parser, tables);
	if (r < 0)
		return r;
	if (tables->failed)
		return wat_lexer_no_memory(parser->lexer);
	if (tables->len == init ||
	    is_null_of(type, tables->data + init, tables->len - init)) {
		tables->len = begin;
		buf_add(tables, type->data, type->len);
		limits_put(tables, limits);
	}
	return 0;
}

static int field_table(struct wat_parser *parser)
{
	struct buf *type = &parser->type;
	struct limits limits = { .page_log2 = 16 };
	uint32_t index, count;
	bool is_import;
	int r;

	if (definition_begin(parser, WAT_SPACE_TABLE, &index, &is_import) < 0)
		return -1;
	if (is_import)
		return 0;
	limits.is64 = address_read(parser);
	buf_clear(type);
	if (wat_kind(parser) == WAT_NAT) {
		r = table_type(parser, &limits, type);
	} else {
		r = wat_types_reference_full(parser, type);
		if (r == 0)
			r = wat_segments_table(parser, index, limits.is64, type,
					       &count);
		limits.has_most = true;
		limits.least = limits.most = r < 0 ? 0 : count;
	}
	if (r < 0)
		return r;
	if (type->failed)
		return wat_lexer_no_memory(parser->lexer);
	parser->sections[WAT_SECTION_TABLE].count++;
	return table_init(parser, type, &limits);
}

static int field_start(struct wat_parser *parser)
{
	parser->sections[WAT_SECTION_START].count++;
	return wat_names_put(parser, WAT_SPACE_FUNC,
			     section_of(parser, WAT_SECTION_START));
}

/* The field's inside, from behind its word. */
static int field_read(struct wat_parser *parser)
{
	uint32_t word = parser->tokens[parser->at - 1].value;

	switch (word) {
	case WAT_W_IMPORT: return field_import(parser);
	case WAT_W_EXPORT: return field_export(parser);
	case WAT_W_FUNC: return field_func(parser);
	case WAT_W_TABLE: return field_table(parser);
	case WAT_W_MEMORY: return field_memory(parser);
	case WAT_W_GLOBAL: return field_global(parser);
	case WAT_W_TAG: return field_tag(parser);
	case WAT_W_START: return field_start(parser);
	case WAT_W_ELEM: return wat_segments_elem(parser);
	case WAT_W_DATA: return wat_segments_data(parser);
	}
	parser->at -= 2;
	return wat_unexpected(parser);
}

static int field(struct wat_parser *parser)
{
	struct wat_annotation *note;

	while ((note = wat_annotated(parser, WAT_ANNOTATION_CUSTOM)))
		if (wat_custom_read(parser, note) < 0)
			return -1;
	if (wat_kind(parser) != WAT_OPEN)
		return 0;
	if (wat_is_open(parser, WAT_W_TYPE) || wat_is_open(parser, WAT_W_REC)) {
		parser->at = parser->tokens[parser->at].value + 1;
		return 1;
	}
	if (parser->tokens[parser->at + 1].kind != WAT_WORD)
		return wat_unexpected(parser);
	parser->at += 2;
	if (field_read(parser) < 0 || wat_expect_close(parser) < 0)
		return -1;
	return 1;
}

int wat_module_fields(struct wat_parser *parser)
{
	int r;

	parser->at = parser->first;
	wat_annotations_begin(parser, 2);
	do {
		r = field(parser);
	} while (r > 0);
	if (r == 0 && parser->at != parser->last)
		return wat_unexpected(parser);
	return r;
}

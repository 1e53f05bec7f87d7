/* SPDX-License-Identifier: Apache-2.0 */
/* How a text becomes a module:
 *
 *	lexer.c		text -> tokens; brackets are matched, names interned
 *	declare.c	first walk over a module's fields: each name gets its
 *			index, types are read whole
 *	module.c	second walk: fields -> the bytes of each section
 *	code.c		instructions, folded ones too, without recursion
 *	encode.c	sections -> module
 *
 * Everything is linear in the text and no function calls itself.  Unless told
 * otherwise functions return 0, or a negative number with the error in
 * lexer->err, whose code is the right one. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "wasm/decode.h"
#include "wat/words.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wat_value;

enum { WAT_TEXT_MOST = 1 << 30 }; /* so that 32 bits are enough for all */
#define WAT_NONE UINT32_MAX

/* room.c: memory */

struct wat_chunk;
/* Memory that goes all at once. */
struct wat_arena {
	struct wat_chunk *chunks;
	size_t left; /* in the first chunk */
};
void *wat_arena_take(struct wat_arena *arena, size_t len); /* zeroed */
char *wat_arena_copy(struct wat_arena *arena, const char *text, size_t len);
void wat_arena_clear(struct wat_arena *arena);

/* Makes room for "need" elements in a malloced array; false: no memory. */
bool wat_room_grow(void **array, uint32_t *room, uint32_t need, size_t size);

/* Seeded with a place in memory, because it is over names that the author of a
 * text or a module chose. */
uint64_t wat_hash(const void *seed, const char *bytes, size_t len);

/* A map of numbers.  Key 0 is none. */
struct wat_map {
	struct wat_map_slot {
		uint64_t key;
		uint32_t value;
	} *slots;
	uint32_t count, room; /* room: a power of two */
};
enum wat_map_added { WAT_MAP_FULL = -1, WAT_MAP_OLD, WAT_MAP_NEW };
enum wat_map_added wat_map_add(struct wat_map *map, uint64_t key,
			       uint32_t value);
int64_t wat_map_find(const struct wat_map *map, uint64_t key); /* -1: none */
void wat_map_clear(struct wat_map *map);

/* lexer.c: tokens */

enum wat_token_kind {
	WAT_END,
	WAT_OPEN,
	WAT_CLOSE,
	WAT_WORD,
	WAT_ID,
	WAT_STRING,
	WAT_NAT,      /* digits */
	WAT_INT,      /* with a sign */
	WAT_FLOAT,    /* with a point, an exponent, inf, nan */
	WAT_OFFSET,   /* offset=NAT */
	WAT_ALIGN,    /* align=NAT */
	WAT_RESERVED, /* what nothing can be made of */
};

struct wat_token {
	uint32_t at;	/* in the text */
	uint32_t value; /* open: number of its close; word: enum wat_word;
			 * id: number of its symbol; others: length */
	uint8_t kind;
};

struct wat_symbol {
	const char *text; /* without "$" */
	uint32_t len, hash;
};

enum wat_annotation_kind {
	WAT_ANNOTATION_CUSTOM,
	WAT_ANNOTATION_NAME,
	WAT_ANNOTATION_HINT,
	WAT_ANNOTATION_OTHER, /* is not kept */
};

/* "(@custom ...)" and the like, taken out of the tokens. */
struct wat_annotation {
	uint32_t at;	       /* in the text */
	uint32_t before;       /* number of the token that follows it */
	uint32_t first, count; /* of its own tokens, in "inner" */
	uint32_t next;	       /* of the same kind, or WAT_NONE */
	uint8_t kind, used;    /* used: in which phase of the parser, or 0 */
};

struct wat_lexer {
	const char *name; /* for messages */
	const char *text;
	size_t len, at;
	struct err *err;
	struct wat_token *tokens; /* followed by two of WAT_END */
	uint32_t count, room;
	uint32_t open; /* the innermost open bracket, or WAT_NONE */
	struct wat_token *inner;
	uint32_t inner_count, inner_room;
	struct wat_annotation *annotations;
	uint32_t annotation_count, annotation_room;
	uint32_t first_of[WAT_ANNOTATION_OTHER]; /* or WAT_NONE */
	uint32_t last_of[WAT_ANNOTATION_OTHER];
	struct wat_symbol *symbols;
	uint32_t symbol_count, symbol_room;
	uint32_t *symbol_slots; /* symbol + 1, by hash */
	uint32_t symbol_slot_room;
	struct wat_arena arena;	 /* texts of quoted names */
	uint32_t line_at, lines; /* ends of lines before a place */
};

int wat_lexer_init(struct wat_lexer *lexer, const char *name, const char *text,
		   size_t len, struct err *err);
void wat_lexer_fini(struct wat_lexer *lexer);
/* Forgets the tokens that it has and reads the next form in brackets (1; 0 at
 * the end of the text), or all forms that are left. */
int wat_lexer_form(struct wat_lexer *lexer);
int wat_lexer_all(struct wat_lexer *lexer);
uint32_t wat_lexer_word(const char *text, size_t len); /* or WAT_WORDS */
const char *wat_word_text(uint32_t word);
/* The error at a place of the text; returns -EINVAL. */
int wat_lexer_fail(struct wat_lexer *lexer, uint32_t at, const char *format,
		   ...) __attribute__((format(printf, 3, 4)));
int wat_lexer_no_memory(struct wat_lexer *lexer);
uint32_t wat_lexer_line(struct wat_lexer *lexer, uint32_t at);

/* string.c */

/* Length of the UTF-8 sequence at text, or 0: there is none. */
uint32_t wat_utf8_len(const char *text, size_t len);
bool wat_utf8_check(const char *text, size_t len);
/* The bytes of a string token, its quotes included; returns how many. */
uint32_t wat_string_decode(const char *text, uint32_t len, char *bytes);

/* number.c */

enum wat_token_kind wat_number_kind(const char *text, uint32_t len);
/* 0, or -ERANGE.  Bits above "bits" are zero. */
int wat_number_nat(const char *text, uint32_t len, uint64_t *value);
int wat_number_int(const char *text, uint32_t len, unsigned bits,
		   uint64_t *value);
int wat_number_f32(const char *text, uint32_t len, uint32_t *bits);
int wat_number_f64(const char *text, uint32_t len, uint64_t *bits);

/* encode.c */

void wat_put_byte(struct buf *buf, unsigned byte);
void wat_put_u(struct buf *buf, uint64_t value);
void wat_put_s(struct buf *buf, int64_t value);
void wat_put_bytes(struct buf *buf, const void *data, size_t len); /* vec */

/* The parser of one module */

enum wat_space {
	WAT_SPACE_FUNC, /* the first five: as in imports and exports */
	WAT_SPACE_TABLE,
	WAT_SPACE_MEMORY,
	WAT_SPACE_GLOBAL,
	WAT_SPACE_TAG,
	WAT_SPACE_TYPE,
	WAT_SPACE_ELEM,
	WAT_SPACE_DATA,
	WAT_SPACES, /* the fields of type n: WAT_SPACES + n */
};

struct wat_type {
	enum { WAT_TYPE_FUNC, WAT_TYPE_STRUCT, WAT_TYPE_ARRAY } kind;
	uint32_t at, len; /* of a function's type in "signatures" */
	uint32_t param_count;
	uint32_t next; /* of the same hash, or WAT_NONE */
};

enum wat_frame_kind {
	WAT_FRAME_PLAIN, /* block, loop, try_table ... end */
	WAT_FRAME_IF,
	WAT_FRAME_ELSE,
	WAT_FRAME_FOLDED, /* (operation ...): written at its bracket's end */
	WAT_FRAME_FOLDED_BLOCK,
	WAT_FRAME_FOLDED_IF,   /* (if: its condition */
	WAT_FRAME_FOLDED_THEN, /* (then */
	WAT_FRAME_FOLDED_DONE, /* behind (then ...) */
	WAT_FRAME_FOLDED_ELSE, /* (else */
	WAT_FRAME_FOLDED_OVER, /* behind (else ...) */
};

struct wat_frame {
	uint8_t kind;
	uint32_t symbol;  /* of its label, or WAT_NONE */
	uint32_t hidden;  /* what the label's name meant outside */
	uint32_t pending; /* where in "pending" begins what waits */
	uint32_t hint;	  /* annotation that waits with it, or WAT_NONE */
	uint32_t named;	  /* annotation with its label's name, or WAT_NONE */
	size_t code;	  /* behind the byte of "else" */
};

/* Sections by their place in a module. */
enum wat_section {
	WAT_SECTION_TYPE = 1,
	WAT_SECTION_IMPORT,
	WAT_SECTION_FUNC,
	WAT_SECTION_TABLE,
	WAT_SECTION_MEMORY,
	WAT_SECTION_TAG,
	WAT_SECTION_GLOBAL,
	WAT_SECTION_EXPORT,
	WAT_SECTION_START,
	WAT_SECTION_ELEM,
	WAT_SECTION_DATACOUNT,
	WAT_SECTION_CODE,
	WAT_SECTION_DATA,
	WAT_SECTIONS,
};

/* Subsections of the section "name". */
enum wat_named {
	WAT_NAMED_MODULE,
	WAT_NAMED_FUNC,
	WAT_NAMED_LOCAL,
	WAT_NAMED_LABEL,
	WAT_NAMED_TYPE,
	WAT_NAMED_TABLE,
	WAT_NAMED_MEMORY,
	WAT_NAMED_GLOBAL,
	WAT_NAMED_ELEM,
	WAT_NAMED_DATA,
	WAT_NAMED_FIELD,
	WAT_NAMED_TAG,
	WAT_NAMED_COUNT,
};

/* Bytes of a vector's elements, and how many. */
struct wat_vec {
	struct buf bytes;
	uint32_t count;
};

struct wat_custom {
	uint32_t place; /* 2 * section, + 1: behind it */
	uint32_t len;	/* of name and payload, in "custom_bytes" */
};

struct wat_parser {
	struct wat_lexer *lexer;
	const struct wat_token *tokens;
	uint32_t at;			     /* the next token */
	uint32_t first, last;		     /* of the module's fields */
	uint32_t note[WAT_ANNOTATION_OTHER]; /* the next of each kind */
	uint8_t phase; /* marks the annotations that it uses */
	/* names */
	struct wat_map names; /* space and symbol -> index */
	uint32_t count[WAT_SPACES];
	uint32_t defined; /* space of the first definition, or WAT_SPACES:
			   * imports may not follow it */
	bool has_start;
	/* types */
	struct wat_type *types;
	uint32_t type_count, type_room;
	struct wat_map signature_map; /* hash -> type */
	struct buf signatures;
	struct wat_vec params, results; /* of the type use just read */
	/* The first number that a function used before a type had it: when
	 * one comes by, the locals behind it have moved. */
	uint32_t type_later;
	/* sections */
	struct wat_vec sections[WAT_SECTIONS];
	uint32_t next[WAT_SPACES]; /* index of the next definition */
	struct buf heap, type, offset, local_types; /* scratch */
	struct wat_vec items, functions;
	bool uses_data; /* by number: their count must be known */
	/* a function or a constant expression */
	struct buf *code;
	bool in_function;
	struct wat_local {
		uint32_t epoch, index;
	} *locals;	  /* by symbol */
	uint32_t *labels; /* by symbol: depth, from 1 */
	uint32_t epoch, local_count, depth, label_count;
	struct wat_frame *frames;
	uint32_t frame_count, frame_room;
	struct buf body, pending;
	struct wat_vec hints, function_hints;
	/* the section "name" and custom ones */
	struct wat_vec named[WAT_NAMED_COUNT];
	struct wat_vec inner[WAT_NAMED_COUNT]; /* local, label, field */
	struct buf name;		       /* scratch */
	struct buf custom_bytes;
	struct wat_custom *customs;
	uint32_t custom_count, custom_room;
	bool has_name_section;
};

/* parser.c: steps over tokens */

int wat_fail(struct wat_parser *parser, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int wat_unexpected(struct wat_parser *parser); /* the next token */
/* A token for "%.*s". */
int wat_token_len(const struct wat_parser *parser, uint32_t at);
#define WAT_TOKEN_TEXT(parser, at_) \
	wat_token_len(parser, at_), \
		(parser)->lexer->text + (parser)->tokens[at_].at
static inline uint8_t wat_kind(const struct wat_parser *parser)
{
	return parser->tokens[parser->at].kind;
}
static inline bool wat_is_word(const struct wat_parser *parser, uint32_t word)
{
	return wat_kind(parser) == WAT_WORD &&
	       parser->tokens[parser->at].value == word;
}
/* "(" and the word? */
static inline bool wat_is_open(const struct wat_parser *parser, uint32_t word)
{
	return wat_kind(parser) == WAT_OPEN &&
	       parser->tokens[parser->at + 1].kind == WAT_WORD &&
	       parser->tokens[parser->at + 1].value == word;
}
bool wat_take_word(struct wat_parser *parser, uint32_t word);
bool wat_take_open(struct wat_parser *parser, uint32_t word);
int wat_expect_close(struct wat_parser *parser);
uint32_t wat_take_id(struct wat_parser *parser); /* symbol or WAT_NONE */
int wat_u32(struct wat_parser *parser, uint32_t *value);
int wat_u64(struct wat_parser *parser, uint64_t *value);
/* What the string stands for, behind what is in bytes. */
int wat_string_add(struct wat_parser *parser, const struct wat_token *token,
		   struct buf *bytes);
/* All strings that follow, one behind the other. */
int wat_strings(struct wat_parser *parser, struct buf *bytes);
int wat_name(struct wat_parser *parser, struct buf *vec); /* UTF-8 */
/* Before a walk over the tokens, which does not go back. */
void wat_annotations_begin(struct wat_parser *parser, uint8_t phase);
/* The annotation of that kind before the next token, or NULL. */
struct wat_annotation *wat_annotated(struct wat_parser *parser,
				     enum wat_annotation_kind kind);
void wat_vec_clear(struct wat_vec *vec);
void wat_vec_put(struct buf *buf, const struct wat_vec *vec);

/* names.c */

/* The name is that of the token before the next one. */
int wat_names_bind(struct wat_parser *parser, uint32_t space, uint32_t symbol,
		   uint32_t index);
bool wat_is_index(const struct wat_parser *parser, uint32_t at);
/* A number or a name of the space. */
int wat_names_index(struct wat_parser *parser, uint32_t space, uint32_t *index);
int wat_names_put(struct wat_parser *parser, uint32_t space, struct buf *buf);
int wat_names_local(struct wat_parser *parser, uint32_t *index);
int wat_names_bind_local(struct wat_parser *parser, uint32_t symbol);
int wat_names_label(struct wat_parser *parser, struct buf *buf);
/* Behind a definition's place for a name: keeps it, or the one of "@name",
 * for the section "name". */
int wat_names_keep(struct wat_parser *parser, enum wat_named named,
		   uint32_t symbol, uint32_t index);
int wat_names_keep_noted(struct wat_parser *parser, enum wat_named named,
			 uint32_t symbol, struct wat_annotation *note,
			 uint32_t index);
void wat_names_keep_inner(struct wat_parser *parser, enum wat_named named,
			  uint32_t outer);

/* types.c */

bool wat_types_is_value(const struct wat_parser *parser);
int wat_types_value(struct wat_parser *parser, struct buf *buf);
int wat_types_heap(struct wat_parser *parser, struct buf *buf);
/* The heap type goes to buf, "is_null" says whether null is of it. */
int wat_types_reference(struct wat_parser *parser, struct buf *buf,
			bool *is_null);
int wat_types_reference_full(struct wat_parser *parser, struct buf *buf);
int wat_types_global(struct wat_parser *parser, struct buf *buf);
int wat_types_define(struct wat_parser *parser); /* (type) or (rec) */
enum wat_param_names { WAT_PARAMS_PLAIN, WAT_PARAMS_IGNORE, WAT_PARAMS_BIND };
int wat_types_use(struct wat_parser *parser, enum wat_param_names names,
		  uint32_t *index);
int wat_types_block(struct wat_parser *parser, struct buf *buf);

/* declare.c, module.c, segments.c */

int wat_declare(struct wat_parser *parser);
int wat_module_fields(struct wat_parser *parser);
int wat_segments_elem(struct wat_parser *parser);
int wat_segments_data(struct wat_parser *parser);
/* Within a table or a memory: "(elem ...)", "(data ...)"; how much it is. */
int wat_segments_table(struct wat_parser *parser, uint32_t table, bool is64,
		       const struct buf *type, uint32_t *count);
int wat_segments_memory(struct wat_parser *parser, uint32_t memory, bool is64,
			uint64_t *len);

/* custom.c: annotations that become sections */

int wat_custom_read(struct wat_parser *parser, struct wat_annotation *note);
int wat_custom_check(struct wat_parser *parser);
int wat_custom_find_hint(struct wat_parser *parser, uint32_t *annotation);
int wat_custom_hint(struct wat_parser *parser, uint32_t annotation);
int wat_custom_no_branch(struct wat_parser *parser, uint32_t annotation);

/* code.c */

int wat_code_body(struct wat_parser *parser); /* to "body" */
/* A constant expression with its "end": instructions up to a bracket that
 * closes, or one instruction in brackets. */
int wat_code_constant(struct wat_parser *parser, struct buf *buf);
int wat_code_constant_one(struct wat_parser *parser, struct buf *buf);
/* immediate.c: an operation that is no block, with what follows it. */
int wat_immediate_read(struct wat_parser *parser, uint32_t operation,
		       struct buf *buf);
void wat_immediate_operation(struct buf *buf, uint32_t operation);
int wat_immediate_int(struct wat_parser *parser, unsigned bits,
		      uint64_t *value);
int wat_immediate_float(struct wat_parser *parser, unsigned bits,
			uint64_t *value);
struct wat_shape {
	unsigned lanes, bits;
	bool is_float;
};
int wat_immediate_shape(struct wat_parser *parser, struct wat_shape *shape);
int wat_immediate_lane(struct wat_parser *parser, const struct wat_shape *shape,
		       uint64_t *value);

/* encode.c */

int wat_encode(struct wat_parser *parser, struct buf *binary);

/* wat.c: the module whose name, if any, or first field is token "at" and whose
 * fields end before token "last". */
int wat_module_encode(struct wat_lexer *lexer, uint32_t at, uint32_t last,
		      struct buf *binary);
/* The strings from token "at" up to the bracket "last": bytes, or text. */
int wat_module_strings(struct wat_lexer *lexer, uint32_t at, uint32_t last,
		       struct buf *bytes);
int wat_module_quoted(struct wat_lexer *lexer, uint32_t at, uint32_t last,
		      struct buf *binary);

/* script_value.c: "(i32.const 1)"; with is_pattern also what is expected:
 * "nan:canonical", "(ref.struct)", "(either ...)". */
int wat_script_values(struct wat_parser *parser, struct wat_arena *arena,
		      bool is_pattern, struct wat_value **values,
		      size_t *count);

/* The printer: a loaded module's bytes to text. */

/* A name of the section "name". */
struct wat_given {
	const char *text;
	uint32_t len;
	bool is_id; /* no other of its space has it: "$name" */
};

/* Names within something that has a number: where the map of it lies. */
struct wat_given_map {
	const uint8_t *at, *end;
};

struct wat_printer {
	const struct wasm_module *module;
	struct buf *out;
	struct wat_given module_name;
	struct wat_given *given[WAT_SPACES]; /* [count], or NULL: no names */
	uint32_t count[WAT_SPACES];
	struct wat_given_map *locals, *labels; /* by function, or NULL */
	struct wat_given_map *fields;	       /* by type, or NULL */
	struct wat_given **field_names;	       /* by type; NULL: no names */
	const uint8_t **signatures; /* by type: of a function, behind 0x60 */
	uint32_t next[WAT_SPACES];  /* index of what is printed next */
	uint32_t type_count;
	struct wat_map hints; /* function and offset -> value + 1 */
	/* a function */
	struct wat_given *local_names; /* room for them, or NULL */
	uint32_t local_room, local_count;
	bool has_local_names;
	struct wat_given *label_names; /* in order of appearance */
	uint32_t label_room, label_name_count, label_next;
	struct wat_given *open; /* labels that are open, outermost first */
	uint32_t *open_numbers;
	uint32_t open_room, open_number_room, open_count;
};

/* printer_names.c */

int wat_given_read(struct wat_printer *printer);
void wat_given_fini(struct wat_printer *printer);
/* "count" names of a function's locals, its labels or a type's fields; *room is
 * of *names. */
int wat_given_inner(const struct wat_given_map *map, struct wat_given **names,
		    uint32_t *room, uint32_t count);
/* " $name" or " (;3;)", for a definition; "(@name ...)" where the name is no
 * name of its own. */
void wat_given_define(struct wat_printer *printer,
		      const struct wat_given *given, uint32_t index);
void wat_given_define_in(struct wat_printer *printer, uint32_t space,
			 uint32_t index);
/* " $name" or " 3" */
void wat_given_use(struct wat_printer *printer, const struct wat_given *given,
		   uint32_t index);
void wat_given_use_in(struct wat_printer *printer, uint32_t space,
		      uint32_t index);

/* printer_types.c */

void wat_print_number(struct buf *buf, uint64_t value);
void wat_print_string(struct buf *buf, const void *bytes, size_t len,
		      bool is_text);
void wat_print_heap(struct wat_printer *printer, wasm_type type);
void wat_print_type(struct wat_printer *printer, wasm_type type);
/* A count of types and the types, as "(word t t t)". */
void wat_print_values(struct wat_printer *printer, struct wasm_reader *reader,
		      const char *word);
/* "(type 3)", then its parameters and results, the first with names. */
void wat_print_use(struct wat_printer *printer, uint32_t index,
		   const struct wat_given *names);
void wat_print_limits(struct wat_printer *printer, struct wasm_reader *reader);
void wat_print_types(struct wat_printer *printer, struct wasm_reader *reader);

/* printer_code.c */

/* A constant expression, its end included: "(word a b)", or "(a)" where it is
 * one instruction; without a word "a b". */
void wat_print_expression(struct wat_printer *printer,
			  struct wasm_reader *reader, const char *word);
int wat_print_body(struct wat_printer *printer, uint32_t function);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the generator share: the state of one module.
 *
 * Types are letters: i l f d v as in the table of operations, r funcref,
 * x externref; with garbage collection s and t (structures, t below s),
 * k (an array), q eqref, j i31ref; n exnref. */
#pragma once
#include "fuzz/generate.h"
#include "wasm/operations.h"
#include <stdbool.h>

enum {
	VALUES_MOST = 6,
	SIGNATURES_MOST = 256,
	FUNCTIONS_MOST = 20,
	GLOBALS_MOST = 12,
	LOCALS_MOST = 300,
	LABELS_MOST = 48,
	DATAS = 3,
	ELEMS = 3,
	MEMORIES_MOST = 3,
	FIELDS_MOST = 6,
	TAGS_MOST = 3,
	FUEL_GLOBAL = 0,
	CALL_FUEL = 8,
	APPLY_FUEL = 100, /* hosts' stacks are smaller */
	RUN_FUEL = 3000,
};

/* Imports come before the module's own functions. */
enum import { COLLECT, MIX, SWAP, APPLY, IMPORTS };

struct signature {
	char params[VALUES_MOST + 1], results[VALUES_MOST + 1];
};

struct label {
	char types[VALUES_MOST + 1];
};

struct operations {
	uint16_t count, list[WASM_OPERATIONS];
};

struct function {
	uint32_t type; /* a signature */
	struct buf code;
};

/* Types that are no functions come first, then the signatures. */
struct field {
	char type; /* a letter, or b, h: i8, i16 */
	bool is_mutable;
};

struct generator {
	const uint8_t *at, *end;
	uint32_t features;
	uint32_t *counts;
	const char *letters; /* of values that there are */

	uint32_t signature_count;
	struct signature signatures[SIGNATURES_MOST];
	uint32_t function_count;
	struct function functions[FUNCTIONS_MOST];
	uint32_t global_count;
	char globals[GLOBALS_MOST];
	bool global_is_constant[GLOBALS_MOST];
	uint32_t memory_count;
	bool memory_is64[MEMORIES_MOST];
	uint32_t table_length, elem_length, data_length;
	uint32_t tag_count;
	char tags[TAGS_MOST][VALUES_MOST + 1];
	uint32_t field_count, subfield_count; /* of s; of t, s's included */
	struct field fields[FIELDS_MOST];
	struct field element; /* of k */

	/* what there is to choose from */
	struct operations with_result[128], without_result;
	char nan_shape[WASM_OPERATIONS]; /* f d 4 2: its result may be one */
	char nan_taker[WASM_OPERATIONS]; /* any NaN is the same to it */

	/* the function that is made */
	struct buf *code;
	const struct signature *signature;
	uint32_t local_count;
	char locals[LOCALS_MOST];
	uint32_t scratch; /* locals of the generator's own: i l f d v */
	uint32_t label_count;
	struct label labels[LABELS_MOST];
	int budget, depth;
};

/* generate.c: choices and bytes */
uint32_t pick(struct generator *g, uint32_t count); /* 0 when all is used up */
bool one_in(struct generator *g, uint32_t count);
bool used_up(const struct generator *g);
uint32_t pick_u32(struct generator *g);
uint64_t pick_u64(struct generator *g);
char pick_letter(struct generator *g);
void pick_letters(struct generator *g, char *letters, uint32_t most);
bool has(const struct generator *g, uint32_t feature);
void put_byte(struct buf *buf, uint32_t byte);
void put_u(struct buf *buf, uint64_t value);
void put_s(struct buf *buf, int64_t value);
void put_type(struct buf *buf, char letter);
uint32_t intern(struct generator *g, const char *params, const char *results);
void put_signature(struct generator *g, uint32_t signature);
/* The number of an own function, as code names it. */
void put_function(struct generator *g, uint32_t index);
bool is_reference(char letter);

/* generate_value.c: expressions */
void op(struct generator *g, enum wasm_operation operation);
void value(struct generator *g, char type);
void values(struct generator *g, const char *types);
void value_default(struct generator *g, char type);
void i32_const(struct generator *g, int32_t number);
void address(struct generator *g, uint32_t memory, bool is_aligned);
void plain(struct generator *g, enum wasm_operation operation, bool loose);
bool find_local(struct generator *g, char type, uint32_t *index);
uint32_t find_function(struct generator *g, const char *results);
void table_index(struct generator *g);

/* generate_code.c: statements, blocks, whole functions */
enum block_kind { BLOCK, LOOP, IF };
void block(struct generator *g, enum block_kind kind, const char *params,
	   const char *results);
void drop_values(struct generator *g, const char *types);
void function_body(struct generator *g, uint32_t index);
void runner_body(struct generator *g, uint32_t hasher);
void hasher_body(struct generator *g);

/* generate_object.c: what garbage collection and exceptions add */
void object_value(struct generator *g, char type);
bool object_number(struct generator *g, char type);
void object_statement(struct generator *g);
void exception_statement(struct generator *g);
void import_statement(struct generator *g);

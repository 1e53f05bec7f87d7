/* SPDX-License-Identifier: Apache-2.0 */
/* A module: its bytes, decoded and validated in one pass.  The bytes stay
 * where they are (the caller keeps them as long as the module) and are
 * pointed into: bodies, names and data are not copied.
 *
 * A module is made once and may be used by many instances and threads; after
 * loading nothing of it changes but "codes", under the host's lock. */
#pragma once
#include "wasm/error.h"
#include "wasm/host.h"
#include "wasm/type.h"

enum wasm_extern_kind {
	WASM_EXTERN_FUNCTION,
	WASM_EXTERN_TABLE,
	WASM_EXTERN_MEMORY,
	WASM_EXTERN_GLOBAL,
	WASM_EXTERN_TAG
};

struct wasm_name {
	const char *text; /* UTF-8, checked; not ended by 0 */
	uint32_t len;
};

struct wasm_limits {
	uint64_t least, most; /* most: UINT64_MAX without one */
	bool has_most, is64, is_shared;
	uint8_t page_log2; /* memories: 16, or 0 (custom page sizes) */
};

/* A constant expression: its bytes, "end" included. */
struct wasm_expression {
	const uint8_t *at;
	uint32_t len;
};

struct wasm_function_decl {
	uint32_t type;	     /* number in the registry */
	uint32_t type_index; /* in the module */
	const uint8_t *body; /* locals and code; NULL for an import */
	uint32_t body_len;
	bool is_declared; /* ref.func may name it */
};
struct wasm_table_decl {
	wasm_type type;
	struct wasm_limits limits;
	struct wasm_expression init; /* at == NULL: null */
};
struct wasm_memory_decl {
	struct wasm_limits limits;
};
struct wasm_global_decl {
	wasm_type type;
	bool is_mutable;
	struct wasm_expression init; /* at == NULL for an import */
};
struct wasm_tag_decl {
	uint32_t type;
	uint32_t type_index;
};
struct wasm_import {
	struct wasm_name module, name;
	enum wasm_extern_kind kind;
	uint32_t index; /* in the index space of its kind */
};
struct wasm_export {
	struct wasm_name name;
	enum wasm_extern_kind kind;
	uint32_t index;
};
enum wasm_segment_mode { WASM_ACTIVE, WASM_PASSIVE, WASM_DECLARATIVE };
struct wasm_elem {
	enum wasm_segment_mode mode;
	wasm_type type;
	uint32_t table;
	struct wasm_expression offset; /* active only */
	uint32_t count;
	bool is_expressions; /* items: count expressions, else count indices */
	const uint8_t *items;
};
struct wasm_data {
	enum wasm_segment_mode mode;
	uint32_t memory;
	struct wasm_expression offset;
	const uint8_t *bytes;
	uint32_t len;
};
struct wasm_custom {
	struct wasm_name name;
	const uint8_t *bytes;
	uint32_t len;
};

struct wasm_code; /* interp.h: how a defined function runs */

struct wasm_module {
	const struct wasm_host *host;
	struct wasm_types *types;
	const uint8_t *bytes;
	size_t len;
	/* index spaces: imports first */
	uint32_t type_count, function_count, table_count, memory_count,
		global_count, tag_count;
	uint32_t imported_functions, imported_tables, imported_memories,
		imported_globals, imported_tags;
	const struct wasm_deftype **type; /* [type_count] */
	struct wasm_function_decl *functions;
	struct wasm_table_decl *tables;
	struct wasm_memory_decl *memories;
	struct wasm_global_decl *globals;
	struct wasm_tag_decl *tags;
	uint32_t import_count, export_count, elem_count, data_count,
		custom_count;
	struct wasm_import *imports;
	struct wasm_export *exports; /* in the module's order */
	struct wasm_elem *elems;
	struct wasm_data *datas;
	struct wasm_custom *customs;
	uint32_t start;		 /* function or WASM_NO_FUNCTION */
	bool has_tail_calls;	 /* in its code */
	bool has_data_count;	 /* else no code may name a data segment */
	uint32_t refused;	 /* features, as it was loaded */
	struct wasm_name names;	 /* payload of the section "name", if any */
	struct wasm_code *codes; /* [function_count - imported_functions] */
	void *interp;		 /* the interpreter's own, interp.h */
	void *own;		 /* module.c's: what the above is made of */
	/* The host's own, e.g. the image of the data segments; dropped by
	 * host_drop when the module goes. */
	void *host_data;
	void (*host_drop)(struct wasm_module *module);
	/* And its compiled code, likewise. */
	void *code_data;
	void (*code_drop)(struct wasm_module *module);
};

/* What came after the first standard. */
enum wasm_feature {
	WASM_FEATURE_SIMD = 1 << 0,
	WASM_FEATURE_RELAXED_SIMD = 1 << 1,
	WASM_FEATURE_THREADS = 1 << 2, /* atomic operations, shared memories */
	WASM_FEATURE_EXCEPTIONS = 1 << 3,
	WASM_FEATURE_TAIL_CALLS = 1 << 4,
	WASM_FEATURE_GC = 1 << 5, /* structures, arrays, typed references */
	WASM_FEATURE_MULTI_MEMORY = 1 << 6,
	WASM_FEATURE_MEMORY64 = 1 << 7, /* tables too */
	WASM_FEATURE_WIDE_ARITHMETIC = 1 << 8,
	WASM_FEATURE_CUSTOM_PAGES = 1 << 9,
};

struct wasm_load_options {
	/* Features that are refused though the engine has them: bits of enum
	 * wasm_feature.  0: all is allowed. */
	uint32_t refused;
	/* Bodies are not validated now, but each when it is compiled or
	 * translated: who sets this sees to it that this is in time, and to
	 * has_tail_calls. */
	bool bodies_known;
};

/* Decodes and validates.  0, or -1 with *error; nothing stays behind. */
int wasm_module_load(struct wasm_module **module, const struct wasm_host *host,
		     struct wasm_types *types, const void *bytes, size_t len,
		     const struct wasm_load_options *options,
		     struct wasm_error *error);
void wasm_module_free(struct wasm_module *module);

/* The standard's limits for implementations, and what they are for: a module
 * may cost memory and time in proportion to its bytes, not more. */
enum {
	WASM_TYPES_MOST = 1000000, /* also in one group */
	WASM_FUNCTIONS_MOST = 1000000,
	WASM_GLOBALS_MOST = 1000000,
	WASM_TAGS_MOST = 1000000,
	WASM_IMPORTS_MOST = 1000000,
	WASM_EXPORTS_MOST = 1000000,
	WASM_TABLES_MOST = 100000,
	WASM_MEMORIES_MOST = 100,
	WASM_SEGMENTS_MOST = 10000000, /* of each kind */
	WASM_PARAMS_MOST = 1000,
	WASM_RESULTS_MOST = 1000,
	WASM_FIELDS_MOST = 10000,
	WASM_FIXED_MOST = 10000, /* operands of array.new_fixed */
	WASM_LOCALS_MOST = 50000,
	WASM_OPERANDS_MOST = 1 << 20, /* at once; far more than can run */
	WASM_BODY_MOST = 7654321,
};

/* The name of a function from the section "name", else of an export, else
 * of its import, else len 0.  Slow (it reads the section). */
struct wasm_name wasm_module_function_name(const struct wasm_module *module,
					   uint32_t index);
/* The index or -1. */
int64_t wasm_module_find_export(const struct wasm_module *module,
				const char *name, uint32_t len);

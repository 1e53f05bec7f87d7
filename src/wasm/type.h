/* SPDX-License-Identifier: Apache-2.0 */
/* Types.  A value type is one word; a defined type (function, structure,
 * array) has a number in a registry, the same number for the same type in
 * all modules of that registry, so that equality is one comparison.
 *
 *	0			none: unknown in dead code, matches all
 *	0x7f .. 0x7b		i32 i64 f32 f64 v128, as in a module's bytes
 *	0x78 0x77		i8 i16, in fields only
 *	REF | NULLABLE? | ABSTRACT | 0x69 .. 0x74	a reference to any of a kind
 *	REF | NULLABLE? | number			a reference to a defined type
 *
 * Recursive groups are made one by structure (iso-recursive): a group whose
 * shape is known already gets the numbers of the known one.  A module holds
 * its groups (wasm_types_release when it goes). */
#pragma once
#include "wasm/value.h"
#include <stdbool.h>

typedef uint32_t wasm_type;

enum {
	WASM_NONE = 0,
	WASM_I32 = 0x7f,
	WASM_I64 = 0x7e,
	WASM_F32 = 0x7d,
	WASM_F64 = 0x7c,
	WASM_V128 = 0x7b,
	WASM_I8 = 0x78,
	WASM_I16 = 0x77,
	/* abstract heap types, low byte of a reference with WASM_ABSTRACT */
	WASM_NOEXN = 0x74,
	WASM_NOFUNC = 0x73,
	WASM_NOEXTERN = 0x72,
	WASM_NULL = 0x71, /* "none", below any */
	WASM_FUNC = 0x70,
	WASM_EXTERN = 0x6f,
	WASM_ANY = 0x6e,
	WASM_EQ = 0x6d,
	WASM_I31 = 0x6c,
	WASM_STRUCT = 0x6b,
	WASM_ARRAY = 0x6a,
	WASM_EXN = 0x69,
	WASM_ABSTRACT = 1 << 29,
	WASM_NULLABLE = 1 << 30,
	WASM_REF_HEAP = (1 << 30) - 1, /* the heap type's bits */
};
#define WASM_REF	     0x80000000u
#define WASM_FUNCREF	     (WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_FUNC)
#define WASM_EXTERNREF	     (WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_EXTERN)
#define WASM_ANYREF	     (WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_ANY)
#define WASM_EXNREF	     (WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_EXN)
#define WASM_NO_TYPE	     UINT32_MAX
#define WASM_TYPE_DEPTH_MOST 63

static inline bool wasm_type_is_ref(wasm_type type)
{
	return type >> 31;
}

enum wasm_type_kind { WASM_KIND_FUNCTION, WASM_KIND_STRUCT, WASM_KIND_ARRAY };

struct wasm_field {
	wasm_type type; /* may be WASM_I8, WASM_I16 */
	bool is_mutable;
	uint32_t offset; /* in the object, behind its header; array: 0 */
};

/* A defined type.  Lives as long as its group is held. */
struct wasm_deftype {
	enum wasm_type_kind kind;
	bool is_final;
	bool has_defaults;	/* each field has one */
	uint32_t id;		/* its number in the registry */
	uint32_t super;		/* or WASM_NO_TYPE */
	uint32_t depth;		/* number of supertypes above it */
	const uint32_t *supers; /* [depth + 1]: from the top to itself */
	uint32_t group_first, group_count; /* its group's numbers */
	/* function: parameters, then results; values are wasm_types */
	uint32_t param_count, result_count;
	const wasm_type *params, *results;
	/* structure and array (one field) */
	uint32_t field_count;
	const struct wasm_field *fields;
	uint32_t object_bytes; /* structure: fields; array: one element */
	uint32_t ref_count;    /* fields that are references ... */
	const uint32_t *refs;  /* ... and their offsets */
};

struct wasm_host;
/* The registry.  What changes it (new, free, function, group, hold, release)
 * is for one thread at a time (the host's lock); reading types that are held
 * needs no lock. */
struct wasm_types;
struct wasm_types *wasm_types_new(const struct wasm_host *host);
void wasm_types_free(struct wasm_types *types);
const struct wasm_deftype *wasm_types_get(const struct wasm_types *types,
					  uint32_t id);
/* A function type that no module brought (host functions); held for ever.
 * Returns its number or WASM_NO_TYPE without memory. */
uint32_t wasm_types_function(struct wasm_types *types, const wasm_type *params,
			     uint32_t param_count, const wasm_type *results,
			     uint32_t result_count);

/* A recursive group as words, one type after the other:
 *
 *	kind | is_final << 8, super, fields or parameters, results (or 0)
 *	function: the parameters' types, the results'
 *	structure and array: type and is_mutable of each field
 *
 * Where a type (or super) means one of this group, its number is its place in
 * the group | WASM_IN_GROUP; supertypes come before their subtypes. */
enum { WASM_IN_GROUP = 1 << 28 };
/* Gives the group its numbers, from *first on, and holds it.  0; -1 without
 * memory; -2: more than WASM_TYPE_DEPTH_MOST supertypes. */
int wasm_types_group(struct wasm_types *types, const uint32_t *words,
		     uint32_t word_count, uint32_t type_count, uint32_t *first);
void wasm_types_release(struct wasm_types *types, uint32_t first);

/* Is a below b (or the same)? */
bool wasm_type_matches(const struct wasm_types *types, wasm_type a,
		       wasm_type b);
bool wasm_id_matches(const struct wasm_types *types, uint32_t a, uint32_t b);
/* "(ref null 3)", "i32", ...: for errors and the printer. */
uint32_t wasm_type_format(wasm_type type, char *text, uint32_t room);

/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of a module's bytes: one cursor that never passes its end and
 * fails once.  After a failure each read gives 0, so that a decoder may look
 * at "failed" where it suits.  Used by loader, validator, translator and
 * printer alike; on code that is valid nothing fails and "error" may be NULL.
 *
 * Types that are read here are raw: the number in a reference is the index in
 * the module, not the number in the registry (wasm_type_resolve). */
#pragma once
#include "wasm/error.h"
#include "wasm/module.h"
#include "wasm/operations.h"

struct wasm_reader {
	const uint8_t *at, *end;
	const uint8_t *base;	  /* where offsets in errors count from */
	const uint8_t *limit;	  /* of the whole: only errors look there */
	struct wasm_error *error; /* or NULL */
	uint32_t refused;	  /* bits of enum wasm_feature */
	bool failed;
};

/* Operands of an operation in the code, whatever its kind.  What it does not
 * have is not set. */
struct wasm_immediates {
	/* label func type local global table mem data elem tag field count,
	 * in the order of the operation's row in operations.tab */
	uint32_t index[2];
	uint64_t value;	 /* i32, i64 (sign-extended), f32, f64: the bits;
			  * memarg and atomic: the offset */
	uint32_t align;	 /* memarg and atomic: log2 */
	uint32_t memory; /* memarg and atomic */
	uint32_t lane;
	uint32_t count; /* labels without the default, catches, types */
	/* The first of 16 bytes of v128 and lanes, of "count" + 1 labels, of
	 * "count" types or of catches: kind, tag unless kind & 2, label. */
	const uint8_t *bytes;
	/* heap and cast (from, to); block: the result or WASM_NONE; types:
	 * the first */
	wasm_type types[2];
	uint32_t block_type; /* block: type index or WASM_NO_TYPE */
};

/* Sets the reader's error at "at" and returns -1. */
int wasm_reader_fail(struct wasm_reader *reader, const uint8_t *at,
		     const char *format, ...);
int wasm_reader_end(struct wasm_reader *reader); /* there is too little */
/* The long forms, "bits" 32, 33 or 64.  Signed ones are sign-extended. */
uint64_t wasm_reader_leb(struct wasm_reader *reader, unsigned bits,
			 bool is_signed);

static inline struct wasm_reader wasm_reader_of(const uint8_t *at, size_t len)
{
	return (struct wasm_reader){
		.at = at, .end = at + len, .base = at, .limit = at + len
	};
}

static inline size_t wasm_reader_left(const struct wasm_reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

static inline uint8_t wasm_read_byte(struct wasm_reader *reader)
{
	if (__builtin_expect(reader->at < reader->end, 1))
		return *reader->at++;
	wasm_reader_end(reader);
	return 0;
}

static inline bool wasm_reader_is_short(const struct wasm_reader *reader)
{
	return __builtin_expect(reader->at < reader->end && *reader->at < 0x80,
				1);
}

static inline uint32_t wasm_read_u32(struct wasm_reader *reader)
{
	if (wasm_reader_is_short(reader))
		return *reader->at++;
	return (uint32_t)wasm_reader_leb(reader, 32, false);
}

static inline uint64_t wasm_read_u64(struct wasm_reader *reader)
{
	if (wasm_reader_is_short(reader))
		return *reader->at++;
	return wasm_reader_leb(reader, 64, false);
}

static inline int64_t wasm_reader_signed(struct wasm_reader *reader,
					 unsigned bits)
{
	if (wasm_reader_is_short(reader))
		return (int64_t)((uint64_t)*reader->at++ << 57) >> 57;
	return (int64_t)wasm_reader_leb(reader, bits, true);
}

static inline int32_t wasm_read_s32(struct wasm_reader *reader)
{
	return (int32_t)wasm_reader_signed(reader, 32);
}

static inline int64_t wasm_read_s33(struct wasm_reader *reader)
{
	return wasm_reader_signed(reader, 33);
}

static inline int64_t wasm_read_s64(struct wasm_reader *reader)
{
	return wasm_reader_signed(reader, 64);
}

/* Passes over "len" bytes; NULL when there are fewer. */
static inline const uint8_t *wasm_read_bytes(struct wasm_reader *reader,
					     size_t len)
{
	const uint8_t *at = reader->at;

	if (wasm_reader_left(reader) >= len) {
		reader->at += len;
		return at;
	}
	wasm_reader_end(reader);
	return NULL;
}

/* The length of what follows, or a number of things that have at least a byte
 * each: at most what is left. */
uint32_t wasm_read_length(struct wasm_reader *reader);
bool wasm_utf8_is_valid(const uint8_t *text, size_t len);
struct wasm_name wasm_read_name(struct wasm_reader *reader);
/* Raw types. */
wasm_type wasm_read_value_type(struct wasm_reader *reader);
wasm_type wasm_read_reference_type(struct wasm_reader *reader);
wasm_type wasm_read_heap_type(struct wasm_reader *reader); /* not nullable */
/* An operation, prefix included; WASM_OPERATIONS: failed. */
enum wasm_operation wasm_read_operation(struct wasm_reader *reader);
/* What follows an operation.  0, or -1 failed. */
int wasm_read_immediates(struct wasm_reader *reader, enum wasm_operation op,
			 struct wasm_immediates *out);
int wasm_skip_immediates(struct wasm_reader *reader, enum wasm_operation op);
/* Is a feature allowed?  Fails when not. */
bool wasm_reader_allows(struct wasm_reader *reader, enum wasm_feature feature,
			const char *name);

/* The type with its number in the registry, of an index that exists. */
static inline wasm_type wasm_type_resolve(const struct wasm_module *module,
					  wasm_type raw)
{
	if (!wasm_type_is_ref(raw) || raw & WASM_ABSTRACT)
		return raw;
	return (raw & ~(wasm_type)WASM_REF_HEAP) |
	       module->type[raw & WASM_REF_HEAP]->id;
}

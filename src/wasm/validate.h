/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of one function body, and in the same pass what a compiler
 * wants to know of its locals before it emits the first instruction. */
#pragma once
#include "wasm/module.h"

struct wasm_reader;

struct wasm_weights {
	uint32_t local_count; /* parameters included */
	/* [local_count]: uses, each 8^loop depth (8^6 at the most),
	 * saturated */
	uint32_t *uses;
	/* [local_count]: read where no write is sure to come before, so that
	 * its zero must be made */
	uint8_t *needs_zero;
	/* The locals that the body may name: the first ones, and these of the
	 * others. */
	uint32_t first_count, other_count;
	const uint32_t *others;
	uint64_t call_weight; /* calls that come back, weighted alike */
	uint32_t call_count, loop_count, deepest_stack;
	bool has_try, has_simd;
};

struct wasm_validator; /* scratch of one thread, reused from body to body */
struct wasm_validator *wasm_validator_new(const struct wasm_module *module);
void wasm_validator_free(struct wasm_validator *validator);
/* weights: NULL, or set to arrays that stay until the next call.  Only the
 * entries of locals that the body names, and of the first runs, are written; the
 * others are zero from the start, so that a body costs what it has bytes,
 * however many locals it declares. */
int wasm_validate_body(struct wasm_validator *validator, uint32_t function,
		       struct wasm_weights *weights, struct wasm_error *error);
/* The type of a local that the body just validated may name. */
wasm_type wasm_validator_local(const struct wasm_validator *validator,
			       uint32_t index);
/* Was there a tail call in any of the bodies? */
bool wasm_validator_has_tail_calls(const struct wasm_validator *validator);
/* A constant expression of this type, from the reader on to its "end".  What
 * it names must be known by then.  Functions that it names are marked as
 * declared.  0, or -1 with the reader's error. */
int wasm_validate_expression(struct wasm_validator *validator,
			     struct wasm_reader *reader, wasm_type type,
			     struct wasm_expression *expression);

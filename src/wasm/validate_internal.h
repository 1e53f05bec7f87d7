/* SPDX-License-Identifier: Apache-2.0 */
/* The validator's state, which its parts share: validate.c walks bodies,
 * validate_control.c knows blocks and branches, validate_rules.c the other
 * operations with a rule of their own.
 *
 * 1. A failure is told once, to the reader; after it nothing is relied on.
 * 2. Operands of the innermost frame lie in [base, top); "deepest" is the
 *    highest that top was in this body.
 * 3. "set" has a bit for each of the first locals, of those that were written on
 *    each way that leads here: branches and ends of blocks intersect it, and
 *    in code that is never reached all are.  "needs" are those that were read
 *    before.
 * 4. A local without a default has no type until it is set; what was set in a
 *    frame stands in a log and is taken back at its end, as the standard
 *    wants it.
 * 5. The first "filled" locals have their places filled.  From the first run
 *    on that goes beyond "fill_most" a place is empty until the local is named, and stands in a log
 *    from then on; "dirty" is the end of what bodies before have filled and
 *    nobody emptied. */
#pragma once
#include "wasm/decode.h"
#include "wasm/validate.h"

enum {
	WEIGHT_MOST = 1 << 18, /* 8^6 */
	/* Locals with a bit; parameters and locals behind have this one, which
	 * is always set. */
	BITS = 63,
	/* Locals beyond these and one for each byte of the body are filled one
	 * by one, as they are named, so that a body costs what it has bytes. */
	FILLED_MOST = 64,
};

/* A reference of which only that is known, in code that is never reached. */
#define WASM_BOTTOM_REF (WASM_REF | WASM_ABSTRACT)

struct wasm_local {
	wasm_type type;	    /* WASM_NONE: it must be set first */
	wasm_type declared; /* WASM_NONE: not filled */
	uint32_t uses;
	uint32_t bit;
};

struct wasm_local_run {
	uint32_t end; /* of the locals of this type */
	wasm_type type;
};

struct wasm_list {
	const wasm_type *types; /* NULL: the frame's "single" */
	uint32_t count;
};

struct wasm_control {
	struct wasm_list params, results;
	uint32_t label_count;
	uint32_t height; /* of the operands below */
	uint32_t weight; /* of what is around it */
	uint32_t strict; /* height of the log at its start */
	/* "set" at its start, and in all branches to its end */
	uint64_t start_set, branch_set;
	wasm_type single;
	uint8_t opcode;
	bool is_dead;
};

struct wasm_validator {
	const struct wasm_module *module;
	struct wasm_reader reader;
	const uint8_t *op_at; /* the operation that is looked at */
	struct wasm_immediates imm;
	wasm_type *stack, *top, *base, *deepest, *room_end;
	uint32_t stack_room;
	/* The first is around all, the second the function's, the innermost */
	struct wasm_control *frames, *frame;
	uint32_t frame_room;
	struct wasm_local *locals;
	uint32_t local_count, local_room, param_count;
	const wasm_type *params;
	struct wasm_local_run *runs; /* behind "filled" */
	uint32_t run_count, run_room;
	uint32_t filled, fill_most, dirty;
	uint32_t *touched; /* the log of what was filled when named */
	uint32_t touched_count;
	bool is_filling;
	uint64_t set, needs;
	uint32_t *strict; /* the log */
	uint32_t strict_count;
	uint32_t weight;
	uint64_t call_weight;
	uint32_t call_count, loop_count;
	bool has_try, has_simd;
	bool has_tail_calls; /* in any body so far */
	bool is_careful;     /* for tests: nothing takes the fast way */
	bool is_weighed;     /* the weights of this body were asked for */
	uint32_t *uses;	     /* for who asks; needs_zero lies behind */
	uint8_t *needs_zero;
	uint32_t weights_room;
};

void wasm_validate_fail(struct wasm_validator *v, const char *format, ...);
void wasm_validate_mismatch(struct wasm_validator *v, wasm_type want,
			    wasm_type got);
bool wasm_validate_more_stack(struct wasm_validator *v);
/* index < local_count */
struct wasm_local *wasm_validate_local(struct wasm_validator *v,
				       uint32_t index);
void *wasm_validate_grow(struct wasm_validator *v, void *old, size_t old_bytes,
			 size_t bytes);

static inline void wasm_push(struct wasm_validator *v, wasm_type type)
{
	if (v->top >= v->deepest) {
		if (v->top == v->room_end && !wasm_validate_more_stack(v))
			return;
		v->deepest = v->top + 1;
	}
	*v->top++ = type;
}

wasm_type wasm_pop_any(struct wasm_validator *v);
wasm_type wasm_pop(struct wasm_validator *v, wasm_type want); /* as found */
/* A reference, WASM_BOTTOM_REF in code that is never reached. */
wasm_type wasm_pop_reference(struct wasm_validator *v);
void wasm_push_list(struct wasm_validator *v, const wasm_type *types,
		    uint32_t count);
void wasm_pop_list(struct wasm_validator *v, const wasm_type *types,
		   uint32_t count);
/* The topmost operands are of these types; they stay. */
void wasm_check_list(struct wasm_validator *v, const wasm_type *types,
		     uint32_t count);

void wasm_frame_enter(struct wasm_validator *v, uint8_t opcode,
		      struct wasm_list params, struct wasm_list results,
		      wasm_type single);
/* The innermost frame ends; its results are not on the stack. */
void wasm_frame_leave(struct wasm_validator *v);
void wasm_frame_die(struct wasm_validator *v);
/* The frame of a label, or frames[0] after a failure. */
struct wasm_control *wasm_frame_at(struct wasm_validator *v, uint32_t depth);
void wasm_frame_branch(struct wasm_validator *v, struct wasm_control *frame);

/* What the module has; a failure when it does not have it. */
const struct wasm_deftype *wasm_rule_type(struct wasm_validator *v,
					  uint32_t index,
					  enum wasm_type_kind kind);
const struct wasm_table_decl *wasm_rule_table(struct wasm_validator *v,
					      uint32_t index);
wasm_type wasm_rule_memory(struct wasm_validator *v, uint32_t index);
/* A raw type with its number in the registry. */
wasm_type wasm_rule_resolve(struct wasm_validator *v, wasm_type raw);

typedef void wasm_rule(struct wasm_validator *v, enum wasm_operation op);
/* By operation; NULL: its row in operations.tab says all. */
extern wasm_rule *const wasm_rules[WASM_OPERATIONS];

wasm_rule wasm_rule_unreachable, wasm_rule_block, wasm_rule_else, wasm_rule_end,
	wasm_rule_br, wasm_rule_br_if, wasm_rule_br_table, wasm_rule_return,
	wasm_rule_try_table, wasm_rule_throw, wasm_rule_throw_ref,
	wasm_rule_call, wasm_rule_call_indirect, wasm_rule_call_ref,
	wasm_rule_return_call, wasm_rule_return_call_indirect,
	wasm_rule_return_call_ref, wasm_rule_br_on_null,
	wasm_rule_br_on_non_null, wasm_rule_br_on_cast,
	wasm_rule_br_on_cast_fail;

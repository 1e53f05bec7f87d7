/* SPDX-License-Identifier: Apache-2.0 */
/* What compiled code calls: a C function for each operation that it does not
 * do itself, by number - that of the operation, or one of enum jit_out.  The
 * functions are of the interpreter's kind (exec_out.h): they find operands in
 * 16-byte slots, leave results there, and read words behind "ip":
 *
 *	word 0		the first slot's offset from the frame: 0
 *	loads, stores, atomics: memory, offset's lower half, upper half, then
 *			the lane
 *	other lanes:	the lane; or the 16 bytes of a shuffle
 *	tables, memories, objects: as exec_out.h says, indices of the module */
#pragma once
#include "wasm/interp_internal.h"
#include "wasm/operations.h"

enum jit_out {
	/* The slice is used up; this turn is counted. */
	JIT_OUT_FUEL = WASM_OPERATIONS,
	JIT_OUT_CALLEE,	  /* function, word 1 its type: traps if it is other */
	JIT_OUT_REF_TEST, /* reference, word 1 a type as in the module */
	JIT_OUT_REF_CAST, /* likewise; traps */
	JIT_OUTS
};
extern out_of_line *const jit_outs[JIT_OUTS];

out_of_line jit_out_fuel;
out_of_line jit_out_callee;
out_of_line jit_out_ref_test;
out_of_line jit_out_ref_cast;

/* What a compiler asks for: operands are in slots, so will be the results. */
struct jit_order {
	uint32_t number; /* enum wasm_operation or jit_out */
	uint32_t operands;
	uint32_t words[6], word_count; /* behind the first, which is 0 */
	const wasm_type *results;
	uint32_t result_count;
};
struct wasm_immediates;
/* Of memories, tables, segments and objects; "index" is the operation's.  The
 * order names *result.  false: it is none of these. */
bool jit_order_of_shape(const struct wasm_module *module, unsigned operation,
			const uint32_t *index, struct jit_order *order,
			wasm_type *result);
/* Waiting and waking: an address and what goes with it. */
struct jit_order jit_order_of_wait(unsigned operation,
				   const struct wasm_immediates *immediates);

uint32_t jit_out_word(const uint8_t *ip, unsigned number);
/* Where in the host's memory an access of "width" bytes is, whose address is
 * in the first slot. */
enum wasm_trap jit_out_place(const struct wasm_instance *context,
			     const union wasm_value *slots, const uint8_t *ip,
			     uint64_t width, bool is_atomic, uint8_t **place);

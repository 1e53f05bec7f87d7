/* SPDX-License-Identifier: Apache-2.0 */
/* What traps are called, in the words of the standard's tests where they have
 * them. */
#include "wasm/instance.h"

static const char *const texts[] = {
	[WASM_OK] = "no trap",
	[WASM_TRAP_unreachable] = "unreachable",
	[WASM_TRAP_divide_by_zero] = "integer divide by zero",
	[WASM_TRAP_integer_overflow] = "integer overflow",
	[WASM_TRAP_invalid_conversion] = "invalid conversion to integer",
	[WASM_TRAP_memory_bounds] = "out of bounds memory access",
	[WASM_TRAP_table_bounds] = "out of bounds table access",
	[WASM_TRAP_undefined_element] = "undefined element",
	[WASM_TRAP_uninitialized_element] = "uninitialized element",
	[WASM_TRAP_indirect_type] = "indirect call type mismatch",
	[WASM_TRAP_stack] = "call stack exhausted",
	[WASM_TRAP_null_reference] = "null reference",
	[WASM_TRAP_null_function] = "null function reference",
	[WASM_TRAP_null_struct] = "null structure reference",
	[WASM_TRAP_null_array] = "null array reference",
	[WASM_TRAP_null_i31] = "null i31 reference",
	[WASM_TRAP_null_exception] = "null exception reference",
	[WASM_TRAP_cast] = "cast failure",
	[WASM_TRAP_array_bounds] = "out of bounds array access",
	[WASM_TRAP_array_size] = "array too large",
	[WASM_TRAP_unaligned_atomic] = "unaligned atomic",
	[WASM_TRAP_not_shared] = "expected shared memory",
	[WASM_TRAP_out_of_memory] = "out of memory",
	[WASM_TRAP_fuel] = "out of fuel",
	[WASM_TRAP_deadline] = "deadline passed",
	[WASM_TRAP_interrupted] = "interrupted",
	[WASM_TRAP_host] = "host function failed",
	[WASM_TRAP_thrown] = "uncaught exception",
	[WASM_TRAP_exit] = "exit",
};

const char *wasm_trap_text(enum wasm_trap trap)
{
	if ((unsigned)trap >= sizeof(texts) / sizeof(*texts) || !texts[trap])
		return "unknown trap";
	return texts[trap];
}

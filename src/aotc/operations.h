/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of operations.tab that have an expression: each is a function of the
 * bitcode that tools/aot-operations makes. */
#pragma once
#include "wasm/instance.h"
#include "wasm/operations.h"

struct aotc_operation {
	const char *name; /* NULL: no such row; NAME_trapN tells of traps[N] */
	uint8_t traps[2]; /* enum wasm_trap, 0: no more */
};
extern const struct aotc_operation aotc_operations[WASM_OPERATIONS];

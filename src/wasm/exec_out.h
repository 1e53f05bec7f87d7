/* SPDX-License-Identifier: Apache-2.0 */
/* What code does through a call: memory and table operations, objects,
 * exceptions, waiting.  The instruction's words behind its head: the slot
 * where operands lie and results go to, then what stands in comments here. */
#pragma once
#include "wasm/interp_internal.h"

out_of_line wasm_out_memory_size; /* memory */
out_of_line wasm_out_memory_grow; /* memory */
out_of_line wasm_out_memory_fill; /* memory */
out_of_line wasm_out_memory_copy; /* to, from */
out_of_line wasm_out_memory_init; /* data, memory */
out_of_line wasm_out_data_drop;	  /* data */

out_of_line wasm_out_table_get;	 /* table */
out_of_line wasm_out_table_set;	 /* table */
out_of_line wasm_out_table_size; /* table */
out_of_line wasm_out_table_grow; /* table */
out_of_line wasm_out_table_fill; /* table */
out_of_line wasm_out_table_copy; /* to, from */
out_of_line wasm_out_table_init; /* elem, table */
out_of_line wasm_out_elem_drop;	 /* elem */

out_of_line wasm_out_ref_func; /* function */
out_of_line wasm_out_ref_test; /* type, slots from operand to result */
out_of_line wasm_out_ref_cast; /* type */

out_of_line wasm_out_struct_new;	 /* type's index */
out_of_line wasm_out_struct_new_default; /* type */
out_of_line wasm_out_struct_get;	 /* type, field, signed */
out_of_line wasm_out_struct_set;	 /* type, field */
out_of_line wasm_out_array_new;		 /* type */
out_of_line wasm_out_array_new_default;	 /* type */
out_of_line wasm_out_array_new_fixed;	 /* type, count */
out_of_line wasm_out_array_new_data;	 /* type, data */
out_of_line wasm_out_array_new_elem;	 /* type, elem */
out_of_line wasm_out_array_get;		 /* type, signed */
out_of_line wasm_out_array_set;		 /* type */
out_of_line wasm_out_array_len;
out_of_line wasm_out_array_fill;
out_of_line wasm_out_array_copy;
out_of_line wasm_out_array_init_data; /* type, data */
out_of_line wasm_out_array_init_elem; /* type, elem */

out_of_line wasm_out_throw; /* tag */
out_of_line wasm_out_throw_ref;

out_of_line wasm_out_wait32; /* memory, offset's lower and upper half */
out_of_line wasm_out_wait64; /* likewise */
out_of_line wasm_out_notify; /* likewise */

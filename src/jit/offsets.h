/* SPDX-License-Identifier: Apache-2.0 */
/* Where enter.S finds things; run.c asserts that it is true. */
#pragma once

#define INSTANCE_FUEL	      0
#define INSTANCE_STORE	      48
#define INSTANCE_NATIVE_LIMIT 56
#define INSTANCE_MEMORY_BASE  64

#define STORE_INTERRUPT	   64
#define STORE_NATIVE_STACK 96
#define STORE_NATIVE_FRAME 104
#define STORE_NATIVE_PC	   112
#define STORE_THREAD_STACK 120
#define STORE_NATIVE_BASE  128

#define FUNCTION_INSTANCE 8
#define FUNCTION_NATIVE	  32

/* struct jit_entry */
#define ENTRY_CODE    0
#define ENTRY_CONTEXT 8
#define ENTRY_STACK   16
#define ENTRY_GENERAL 24
#define ENTRY_RESULT  72
#define ENTRY_VECTOR  80

/* struct jit_arguments */
#define ARGUMENTS_GENERAL 0
#define ARGUMENTS_RESULT  48
#define ARGUMENTS_VECTOR  64
#define ARGUMENTS_BYTES	  192
/* What a call out of code may push before C looks at the limit. */
#define CALL_BYTES 512
/* Of a run's stack, below the limit that code knows: for the signal handlers
 * of the process, and for what is pushed on the way out. */
#define STACK_MARGIN 0x10000

/* struct jit_landed */
#define LANDED_PC	 0
#define LANDED_FRAME	 8
#define LANDED_CONTEXT	 16
#define LANDED_EXCEPTION 24
#define LANDED_BYTES	 32

/* struct jit_block */
#define BLOCK_CODE	0
#define BLOCK_FUNCTION	8
#define BLOCK_CONTEXT	16
#define BLOCK_ARGUMENTS 24
#define BLOCK_BYTES	32
#define BLOCK_RESULT	40
#define BLOCK_GENERAL	48
#define BLOCK_VECTOR	96
#define BLOCK_STACK	224

#define TRAP_STACK 10

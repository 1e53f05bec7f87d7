/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled code at work: what enter.S and C tell each other. */
#pragma once
#include "jit/jit.h"
#include "jit/offsets.h"

/* Into code: registers, and where its stack begins. */
struct jit_entry {
	const void *code;
	struct wasm_instance *context;
	uint8_t *stack; /* arguments that have no register are there */
	uint64_t general[6];
	uint64_t result;     /* rax */
	wasm_v128 vector[8]; /* the first one is the result's as well */
};

/* Out of code: the arguments of a function that is not compiled. */
struct jit_arguments {
	uint64_t general[6];
	uint64_t result;
	uint64_t unused;
	wasm_v128 vector[8];
};

/* A call by another compiler's code that lies in memory: arguments, and then
 * what came of it. */
struct jit_block {
	const void *code;
	struct wasm_function *function; /* 0: "code" is within the module */
	struct wasm_instance *context;
	/* Of what follows: the arguments that have no register, and those and
	 * the results; multiples of 16. */
	uint64_t arguments, bytes;
	uint64_t result;
	uint64_t general[6];
	wasm_v128 vector[8]; /* the first one is the result's as well */
	uint8_t stack[];
};

/* Where an exception's clause begins. */
struct jit_landed {
	const uint8_t *pc;
	uint8_t *frame;
	struct wasm_instance *context;
	wasm_ref exception;
};

/* enter.S.  A trap, or WASM_OK when code has returned. */
enum wasm_trap jit_enter(struct jit_entry *entry);
void jit_native_out(void);
void jit_native_trap(void);
void jit_native_call_host(void);
void jit_native_out_at(void);
void jit_native_call_other(void);
void jit_native_call_block(void);
/* No functions: where those return to that the two before call. */
extern const uint8_t jit_native_call_other_back[], jit_native_call_block_back[];

/* For enter.S, on the thread's stack. */
enum wasm_trap jit_call_out(struct wasm_function *function,
			    struct wasm_instance *caller,
			    struct jit_arguments *arguments,
			    uint8_t *stack_arguments);
/* WASM_OK: the exception lands; else the trap, with its trace. */
enum wasm_trap jit_trapped(struct wasm_instance *context, enum wasm_trap trap,
			   struct jit_landed *landed);
enum wasm_trap jit_refill(struct wasm_instance *context);

void jit_fuel_collect(struct wasm_store *store,
		      const struct wasm_instance *but);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the interpreter know of each other:
 *
 *	interp.c	runs, unwinds, traces; owns a module's code
 *	exec.c		the handlers
 *	exec_out.c	what handlers call that takes longer
 *	translate*.c	from a body to code
 *
 * Code of a function, in the module's arena:
 *
 *	-8  frame_bytes (u32), 0		header
 *	 0  instruction, instruction, ...	code->entry
 *
 * A frame, each slot 16 bytes:
 *
 *	0		parameters, locals; on return the results
 *	save_bytes	where to return to: ip (8 bytes), frame (8 bytes)
 *	...		operand stack
 *
 * A call into another instance puts below the callee's frame what brings the
 * caller back (struct restore), and the callee returns to an instruction that
 * does so. */
#pragma once
#include "wasm/arith.h"
#include "wasm/handler_list.h"
#include "wasm/interp.h"

enum { SLOT_BYTES = 16, CODE_HEADER = 8 };

struct save {
	const uint8_t *ip;
	uint8_t *frame;
};
_Static_assert(sizeof(struct save) == SLOT_BYTES, "one slot");

/* Where a tail call goes; entry NULL: the stack ends.  By value: a handler
 * whose frame's address is taken cannot end in a jump. */
struct tail {
	const uint8_t *entry;
	uint8_t *frame;
};

struct restore {
	const uint8_t *ip;
	uint8_t *frame;
	struct wasm_instance *context;
	uint64_t result_bytes;
};
_Static_assert(sizeof(struct restore) == 2 * SLOT_BYTES, "two slots");

/* One clause of a try_table, in the order in which they are asked. */
struct landing {
	uint32_t from, to; /* offsets into the code: what is tried */
	uint32_t target;   /* where to go on */
	uint32_t slot;	   /* of the label's first value, in bytes */
	uint32_t tag;	   /* index, or LANDING_ALL */
	uint32_t with_ref;
};
enum { LANDING_ALL = UINT32_MAX };

/* Behind wasm_code.places: pairs of LEB128 (bytes of code, then signed
 * bytes of module), one for each instruction, from the entry and the body's
 * first byte on. */
struct places {
	uint32_t landing_count, bytes;
	struct landing landings[];
	/* uint8_t pairs[bytes] */
};

/* Out of line: reads its operands behind the instruction's head, which has
 * the handler, this function's address and the instruction's length. */
typedef enum wasm_trap out_of_line(struct wasm_instance *context,
				   uint8_t *frame, const uint8_t *ip);
enum { OUT_OF_LINE_HEAD = 20 };

/* clang-format off */
#define WASM_HANDLER_NAME(name) WASM_H_##name,
enum wasm_handler {
	WASM_HANDLERS_HOT(WASM_HANDLER_NAME)
	WASM_HOT_HANDLERS,
	WASM_HOT_LAST = WASM_HOT_HANDLERS - 1,
	WASM_HANDLERS_ONCE(WASM_HANDLER_NAME)
	WASM_HANDLERS
};
/* clang-format on */

/* Where code is, or was when something stopped it. */
struct wasm_place {
	const uint8_t *ip;
	uint8_t *frame;
	struct wasm_instance *context;
};

/* exec.c */
enum wasm_trap wasm_exec(const uint8_t *ip, uint8_t *frame,
			 struct wasm_instance *context);
/* The address of a handler.  Replicas are taken in turn: any number. */
const void *wasm_exec_handler(unsigned handler, unsigned replica);
/* Where the outermost frame returns to; where one with a restore does. */
const uint8_t *wasm_exec_finish(void);
const uint8_t *wasm_exec_restore(void);
/* Faults: may this be where a handler touches memory?  Then the place is in
 * its registers, and the thread may go on at wasm_exec_fault(). */
bool wasm_exec_is_handler(uint64_t rip);
struct wasm_place wasm_exec_place(const uint64_t regs[16]);
uint64_t wasm_exec_fault(void);

/* interp.c */
int wasm_interp_translate(struct wasm_code *code);
/* The function whose code or stub ip is in. */
const struct wasm_code *wasm_interp_find(const struct wasm_module *module,
					 const uint8_t *ip);
bool wasm_interp_is_code(const struct wasm_module *module, const uint8_t *ip);
/* Into the module's bytes: the operation that the instruction is of. */
uint32_t wasm_interp_offset(const struct wasm_code *code, const uint8_t *ip);

/* interp_run.c: for handlers */
enum wasm_trap wasm_interp_call_host(struct wasm_instance *context,
				     struct wasm_function *function,
				     uint8_t *slots);
uint64_t wasm_interp_result_bytes(const struct wasm_instance *context,
				  const struct wasm_function *function);
/* Makes a frame of another instance's function, with its restore below it,
 * of the arguments at "to".  The function's entry, or NULL: stack. */
const uint8_t *wasm_interp_push_restore(struct wasm_instance *context,
					const struct wasm_function *function,
					uint8_t *to, struct save back);
/* Makes the frame of a tail call with the fields at ip; without an entry
 * nothing is changed. */
struct tail wasm_interp_tail(struct wasm_instance *context,
			     const struct wasm_function *function,
			     const uint8_t *ip, uint8_t *frame);
/* Moves what goes with the running code; returns "to". */
struct wasm_instance *wasm_interp_switch(struct wasm_instance *from,
					 struct wasm_instance *to);

/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter.  A function's body is translated on its first call into
 * register code: handler addresses with the offsets of their operands from
 * the frame.  The code belongs to the module and is shared by its instances.
 *
 * A frame: parameters and locals (results take the same place), a save
 * slot, then the operand stack; arguments are made where the callee's
 * frame begins. */
#pragma once
#include "wasm/instance.h"

/* A defined function of a module: direct calls name it.  Shared by threads:
 * "entry" is written last, once, and all else that a caller needs never
 * changes or stands before the entry. */
struct wasm_code {
	const uint8_t *entry; /* at first &stub */
	uint32_t save_bytes;  /* from the frame to its save slot */
	uint32_t function;    /* index */
	struct wasm_module *module;
	uint32_t code_bytes;
	bool checked; /* for an instance whose memory 0 faults not */
	uint32_t stub_frame_bytes; /* save slot included: callers write it */
	uint32_t stub_padding;
	const void *stub; /* the handler that translates */
	void *places;	  /* code offset -> module offset, handlers of try */
};

/* Part of loading. */
int wasm_interp_prepare(struct wasm_module *module);
void wasm_interp_drop(struct wasm_module *module);
/* Every defined function with its stub, made when they are first asked for:
 * module->codes, or those that check each access to memory 0: for instances
 * whose memory 0 is not guarded.  NULL without memory. */
struct wasm_code *wasm_interp_codes(const struct wasm_module *module,
				    bool checked);
/* Runs a function whose arguments are at "frame" on the store's stack; its
 * results come there too.  wasm_call is made of it. */
enum wasm_trap wasm_interp_run(struct wasm_store *store,
			       struct wasm_function *function,
			       union wasm_value *frame);

/* For compiled code: what it does as the interpreter does it. */
enum {
	WASM_SLICE = 100000,  /* of fuel, between polls: not a millisecond */
	WASM_DEPTH_MOST = 200 /* host -> code -> host ...: native stack */
};
/* Is the run to go on? */
enum wasm_trap wasm_interp_poll(struct wasm_store *store);
/* The slice is used up; "owed" was counted already. */
enum wasm_trap wasm_interp_refill(struct wasm_instance *context, int64_t owed);
int64_t wasm_interp_take_fuel(struct wasm_store *store, int64_t most);
void wasm_interp_give_fuel(struct wasm_store *store,
			   struct wasm_instance *context);
/* A function with "host", called by code of the context. */
enum wasm_trap wasm_interp_host(struct wasm_instance *context,
				struct wasm_function *function,
				union wasm_value *slots);
/* Adds a frame to the trace. */
void wasm_interp_trace(struct wasm_store *store, struct wasm_instance *instance,
		       uint32_t function, uint32_t offset);

/* For the host's fault handler.  "regs" are the registers of a fault in a
 * guarded memory while this store ran on this thread, in the order rax rcx
 * rdx rbx rsp rbp rsi rdi r8 .. r15.  Where the fault is the interpreter's,
 * they and *rip are changed so that the thread goes on with the trap, and
 * the answer is true. */
bool wasm_interp_fault(struct wasm_store *store, uint64_t regs[16],
		       uint64_t *rip);
/* What compiled the handlers: "clang 19.1.7". */
const char *wasm_interp_compiler(void);

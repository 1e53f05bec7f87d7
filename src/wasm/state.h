/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an instance, to be kept and to make others from: globals,
 * sizes of memories, tables, segments (struct code_state); what is in
 * memories is the host's business. */
#pragma once
#include "brood/code_format.h"
#include "wasm/instance.h"

struct wasm_state {
	/* Known to be whole; that it is this module's is checked. */
	const struct code_state *state;
	/* Puts what is in the memory, which is all zero.  < 0: failed. */
	int (*place)(void *env, struct wasm_memory *memory, uint32_t index);
	void *env;
};

/* As wasm_instantiate, but no segment is placed and nothing runs: the instance
 * is at once what the state's was. */
int wasm_instantiate_from(struct wasm_store *store,
			  const struct wasm_module *module,
			  const struct wasm_extern *imports,
			  const struct wasm_state *from,
			  struct wasm_instance **instance,
			  struct wasm_error *error);

/* Why the instance's state cannot be kept, or NULL. */
const char *wasm_state_refuse(const struct wasm_instance *instance);
/* Of an instance that is not refused: the bytes of its state, which are zero
 * before they are written. */
uint64_t wasm_state_bytes(const struct wasm_instance *instance);
void wasm_state_write(const struct wasm_instance *instance,
		      struct code_state *state);

/* instance.c's steps. */
int wasm_state_make_memories(struct wasm_instance *instance,
			     const struct wasm_state *from,
			     struct wasm_error *error);
int wasm_state_fill(struct wasm_instance *instance,
		    const struct wasm_state *from, struct wasm_error *error);

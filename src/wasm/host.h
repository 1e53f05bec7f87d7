/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine asks of the place where it runs: a process (src/vm) or a
 * guest.  All hooks get "env".  None may be NULL except where told. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wasm_instance;
struct wasm_memory;
struct wasm_module;
struct wasm_store;

struct wasm_host {
	void *env;
	/* Zeroed and aligned to 16, or NULL.  Large blocks must cost nothing
	 * until they are touched. */
	void *(*allocate)(void *env, size_t len);
	void (*release)(void *env, void *block, size_t len);
	/* Reserves memory->reserve_bytes (at least; the host may take more
	 * and say so), makes the first memory->bytes readable and writable,
	 * zero or with the active data segments of "module" for its memory
	 * number "index" in place (a copy-on-write image).  Sets base,
	 * reserve_bytes and guarded: true when every access at base + 32-bit
	 * index + 32-bit offset that is outside bytes faults.  module is NULL
	 * for a memory that a host makes.  Returns 1 with the data in place,
	 * 0 without, -1 failed. */
	int (*memory_make)(void *env, struct wasm_memory *memory,
			   const struct wasm_module *module, uint32_t index);
	/* Makes [bytes, new_bytes) usable; new_bytes <= reserve_bytes. */
	int (*memory_grow)(void *env, struct wasm_memory *memory,
			   uint64_t new_bytes);
	void (*memory_drop)(void *env, struct wasm_memory *memory);
	/* Code that is made lazily for a module may be asked for by several
	 * threads at once. */
	void (*lock)(void *env);
	void (*unlock)(void *env);
	/* Called at the end of each slice of fuel: 0 to go on, else an enum
	 * wasm_trap (deadline, interrupted).  NULL: go on. */
	int (*poll)(void *env, struct wasm_store *store);
	/* memory.atomic.wait and notify: 0 ok, 1 not-equal, 2 timed-out (then
	 * poll is asked whether the run goes on);
	 * the number woken.  "at" is a host address, bits is 32 or 64,
	 * timeout_ns < 0 for ever. */
	uint32_t (*wait)(void *env, struct wasm_store *store, void *at,
			 unsigned bits, uint64_t expected, int64_t timeout_ns);
	uint32_t (*notify)(void *env, void *at, uint32_t count);
	/* Compiled code for a new instance, whose memories are made and whose
	 * functions have no names yet.  Where it leaves the instance alone it
	 * is interpreted.  -1: there is to be no instance.  NULL: all are
	 * interpreted. */
	int (*bind)(void *env, struct wasm_instance *instance);
	/* How compiled code calls a function that is not (jit.h). */
	const void *native_call;
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The component of ring 3: the byte-code engine and what couples it to the
 * host.  One thread, no system calls; all that comes in or goes out is in the
 * call page (brood/guest_abi.h).
 *
 *	entry.S		where the CPU begins, and where it goes on after traps
 *	main.c		commands
 *	bell.c		the way to the host and back
 *	heap.c		the engine's blocks
 *	place.c		what the engine asks of its place (struct wasm_host)
 *	link.c		names: imports find their exports
 *	wasi.c		imports that the host serves
 *	local.c		those of them that need no host
 *	files.c		those that an image of files answers
 *	call.c		calls of exports, values in the data
 *	fault.c		traps of the CPU become traps of the byte code
 *	mem.c		mem*, which a compiler takes for granted
 *
 * CLAIM 3.2 3.5 3.6 3.8 */
#pragma once
#include "brood/guest_abi.h"
#include "jit/jit.h"
#include "wasm/instance.h"
#include "wasm/type.h"

static inline struct guest_call *guest_page(void)
{
	return (struct guest_call *)GUEST_CALL_VA;
}
static inline uint8_t *guest_data(void)
{
	return (uint8_t *)GUEST_DATA_VA;
}

struct guest_module {
	struct wasm_module *module;
	struct jit_code code; /* header NULL: it is interpreted */
	uint32_t number;
};

/* All that the guest has besides the engine's blocks. */
struct guest {
	struct wasm_types *types;
	struct wasm_store *store;
	struct guest_module **modules;
	struct wasm_instance **instances;
	uint32_t module_count, module_room, instance_count, instance_room;
	uint64_t generation;
	uint64_t fuel;	      /* that the store was given */
	uint64_t clock_ns[2]; /* that were told last */
	uint64_t files_bytes; /* of an image of files; 0: there is none */
};
extern struct guest guest;

/* Room for one more in an array of pointers; false without memory. */
bool guest_make_room(void *array, uint32_t count, uint32_t *room);

/* bell.c */
/* Rings; the host has answered when it is back. */
int64_t guest_bell(enum guest_bell bell);
__attribute__((noreturn)) void guest_panic(const char *text);
/* For a command that fails: -1, the text is its outcome's. */
int guest_fail(const char *text);

/* heap.c */
void *guest_allocate(void *env, size_t len);
void guest_release(void *env, void *block, size_t len);

/* place.c */
extern const struct wasm_host guest_host;
/* The number of a memory's window. */
uint32_t guest_window(const struct wasm_memory *memory);

/* link.c: -1 without memory */
int guest_define(struct wasm_name module, struct wasm_name name,
		 struct wasm_extern what);
int guest_define_instance(struct wasm_name module,
			  struct wasm_instance *instance);
/* The module's imports; -1 and the outcome's text. */
int guest_link(const struct wasm_module *module, struct wasm_extern *imports);

/* wasi.c */
int guest_define_host(void);

/* local.c: what can be done without the host.  An errno, or -1: it cannot. */
int guest_local(uint32_t number, bool unstable,
		const struct wasm_memory *memory,
		const union wasm_value *slots);
/* Rings for it; what the answer is good for later is kept. */
int64_t guest_local_ring(uint32_t number, bool unstable,
			 const struct wasm_memory *memory,
			 const union wasm_value *slots);

/* files.c: the command; a call, as guest_local; poll_oneoff, which rings */
int guest_files_open(void);
int guest_files(uint32_t number, bool unstable,
		const struct wasm_memory *memory,
		const union wasm_value *slots);
int64_t guest_files_poll(bool unstable, const struct wasm_memory *memory,
			 const union wasm_value *slots);
/* Was it a page of the image that was not to be had?  Then it goes on. */
bool guest_files_fault(struct guest_trap *at);

/* call.c: the commands of the same names */
int guest_find(void);
int guest_call(void);
int guest_start(void);
int guest_global(void);
/* How a run ended. */
void guest_ended(enum wasm_trap trap);

/* fault.c, for entry.S */
void guest_fault(void);
/* entry.S: registers that the ABI lets a call lose, so that nobody sees
 * another tenant's */
void guest_clear(void);
void guest_clear_avx(void);
void guest_clear_avx512(void);
/* main.c, for entry.S */
__attribute__((noreturn)) void guest_main(void);

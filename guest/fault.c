/* SPDX-License-Identifier: Apache-2.0 */
/* Where the CPU has stopped, against its will: at a fault, which is a trap of
 * the byte code when that reached out of a memory, or since the host wants
 * the run to end.  All else cannot be, and ends the domain. */
#include "guest.h"
#include "wasm/interp.h"

enum { VECTOR_PAGE_FAULT = 14 };

/* As the compiler is not here, a place stays what it is: in the text.  The
 * host finds out what was compiled there. */
void jit_places(const struct jit_code *code, uint32_t function,
		struct jit_place *places, uint32_t count)
{
	(void)code, (void)function;
	for (uint32_t i = 0; i < count; i++)
		places[i].origin = places[i].at;
}

/* What the host has found out of this CPU. */
uint32_t jit_features(void)
{
	return guest_page()->features;
}

/* Code is stopped where it is; the engine's own looks at the word. */
static void stop(struct wasm_store *store, struct guest_trap *at)
{
	enum wasm_trap trap;

	__atomic_fetch_or(&store->interrupt, WASM_ASK, __ATOMIC_RELAXED);
	if (!jit_is_code(store, at->rip))
		return;
	trap = wasm_interp_poll(store);
	if (trap)
		jit_stop(store, at->general, &at->rip, trap);
}

static bool trap(struct wasm_store *store, struct guest_trap *at)
{
	return at->vector == VECTOR_PAGE_FAULT &&
	       wasm_store_guards(store, at->address) &&
	       (wasm_interp_fault(store, at->general, &at->rip) ||
		jit_stop(store, at->general, &at->rip,
			 WASM_TRAP_memory_bounds));
}

void guest_fault(void)
{
	struct guest_trap *at = &guest_page()->stopped;

	if (at->vector == VECTOR_PAGE_FAULT && guest_files_fault(at))
		return;
	if (!guest.store)
		guest_panic("a fault before there was a store");
	if (at->vector == GUEST_VECTORS)
		stop(guest.store, at);
	else if (!trap(guest.store, at))
		guest_panic("a fault that is no trap");
}

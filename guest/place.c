/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine asks of its place.  Memories are windows of addresses that
 * the host opens; beyond what is open nothing is there, and an access faults.
 * One thread runs, so that locks are nothing and nobody wakes who waits. */
#include "guest.h"
#include "jit/run.h"

#define SPAN (UINT64_C(2) << 32) /* an index and an offset of 32 bits */

static uint64_t window_at(uint64_t window)
{
	return GUEST_MEMORY_VA + window * GUEST_MEMORY_STRIDE;
}

uint32_t guest_window(const struct wasm_memory *memory)
{
	return (uint32_t)(((uint64_t)memory->base - GUEST_MEMORY_VA) /
			  GUEST_MEMORY_STRIDE);
}

static int memory_make(void *env, struct wasm_memory *memory,
		       const struct wasm_module *module, uint32_t index)
{
	struct guest_call *page = guest_page();
	int64_t window;

	(void)env, (void)module, (void)index;
	page->words[0] = memory->bytes;
	page->words[1] = memory->reserve_bytes;
	window = guest_bell(GUEST_BELL_MEMORY_MAKE);
	if (window < 0)
		return -1;
	memory->base = (uint8_t *)window_at((uint64_t)window);
	memory->guarded = !memory->limits.is64 &&
			  memory->limits.page_log2 == 16 &&
			  memory->bytes <= SPAN / 2;
	memory->reserve_bytes =
		memory->guarded ? SPAN + GUEST_MEMORY_GUARD
				: GUEST_MEMORY_STRIDE - GUEST_MEMORY_GUARD;
	return 0;
}

static int memory_grow(void *env, struct wasm_memory *memory,
		       uint64_t new_bytes)
{
	struct guest_call *page = guest_page();

	(void)env;
	if (new_bytes > memory->reserve_bytes)
		return -1;
	page->words[0] = guest_window(memory);
	page->words[1] = new_bytes;
	return guest_bell(GUEST_BELL_MEMORY_GROW) < 0 ? -1 : 0;
}

static void memory_drop(void *env, struct wasm_memory *memory)
{
	(void)env;
	if (!memory->base)
		return;
	guest_page()->words[0] = guest_window(memory);
	guest_bell(GUEST_BELL_MEMORY_DROP);
	memory->base = NULL;
}

static void lock(void *env)
{
	(void)env;
}

/* The host sets the word and sees to it that somebody looks. */
static int poll(void *env, struct wasm_store *store)
{
	volatile uint32_t *ended = &guest_page()->ended;

	(void)env, (void)store;
	return (int)*ended;
}

static bool is_equal(const void *at, unsigned bits, uint64_t expected)
{
	return bits == 32 ? *(const volatile uint32_t *)at == (uint32_t)expected
			  : *(const volatile uint64_t *)at == expected;
}

static uint32_t wait(void *env, struct wasm_store *store, void *at,
		     unsigned bits, uint64_t expected, int64_t timeout_ns)
{
	enum { NOT_EQUAL = 1, TIMED_OUT = 2 };

	(void)env, (void)store;
	if (!is_equal(at, bits, expected))
		return NOT_EQUAL;
	guest_page()->words[0] = (uint64_t)timeout_ns;
	guest_bell(GUEST_BELL_SLEEP);
	return TIMED_OUT;
}

static uint32_t notify(void *env, void *at, uint32_t count)
{
	(void)env, (void)at, (void)count;
	return 0;
}

/* An instance that the code does not fit is interpreted. */
static int bind(void *env, struct wasm_instance *instance)
{
	const struct guest_module *loaded = instance->module->host_data;

	(void)env;
	if (loaded->code.header)
		jit_bind(instance, &loaded->code);
	return 0;
}

const struct wasm_host guest_host = {
	.allocate = guest_allocate,
	.release = guest_release,
	.memory_make = memory_make,
	.memory_grow = memory_grow,
	.memory_drop = memory_drop,
	.lock = lock,
	.unlock = lock,
	.poll = poll,
	.wait = wait,
	.notify = notify,
	.bind = bind,
	.native_call = (const void *)jit_native_call_host,
};

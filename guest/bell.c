/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the host and back, and the image's first page.  CLAIM 3.7 */
#include "guest.h"
#include "stubs.h"
#include <string.h>

#define AT(field, at) \
	_Static_assert(offsetof(struct guest_trap, field) == (at), #field)
AT(general, STOPPED_RAX);
AT(rip, STOPPED_RIP);
AT(flags, STOPPED_FLAGS);
AT(is_busy, STOPPED_BUSY);
_Static_assert(GUEST_CALL_VA + offsetof(struct guest_call, stopped) ==
		       STOPPED_VA,
	       "stopped");
_Static_assert((int)GUEST_STUB_COUNT == GUEST_VECTORS &&
		       (int)GUEST_STUB_SIZE == GUEST_STUB_BYTES,
	       "stubs");

/* An instruction that no call stands behind: rip is where it goes on. */
static void ring(const struct guest_call *page)
{
	if (page->bell_is_store)
		*(volatile uint32_t *)GUEST_BELL_VA = 0;
	else
		__asm__ volatile("outb %%al, %0"
				 :
				 : "N"(GUEST_PORT), "a"(0)
				 : "memory");
}

/* Of the fuel that this one is given, what was used up before it was made is
 * gone.  Code that counts goes on counting where there is no limit. */
static void take_fuel(const struct guest_call *page)
{
	struct wasm_store *store = guest.store;
	int64_t fuel = page->fuel ? (int64_t)page->fuel : INT64_MAX, used;

	if (!store || store->fuel_left < 0)
		return;
	used = (int64_t)guest.fuel - store->fuel_left;
	guest.fuel = (uint64_t)fuel;
	store->fuel_left = used < fuel ? fuel - used : 0;
}

/* Another generation is another tenant of this CPU: what it had in its
 * registers is nobody's business.  The ABI lets a call lose them. */
static void become_new(const struct guest_call *page)
{
	guest.generation = page->generation;
	guest.clock_ns[0] = guest.clock_ns[1] = 0;
	take_fuel(page);
	guest_clear();
	if (page->features & CODE_AVX512)
		guest_clear_avx512();
	else if (page->features & CODE_AVX)
		guest_clear_avx();
}

__attribute__((noinline)) int64_t guest_bell(enum guest_bell bell)
{
	struct guest_call *page = guest_page();

	page->bell = bell;
	ring(page);
	__asm__ volatile("" ::: "memory");
	if (page->generation != guest.generation)
		become_new(page);
	return page->answer;
}

static void put_message(const char *text)
{
	struct guest_call *page = guest_page();
	size_t len = strlen(text);

	if (len >= sizeof page->message)
		len = sizeof page->message - 1;
	memcpy(page->message, text, len);
	page->message[len] = 0;
}

void guest_panic(const char *text)
{
	put_message(text);
	for (;;)
		guest_bell(GUEST_BELL_PANIC);
}

int guest_fail(const char *text)
{
	put_message(text);
	return -1;
}

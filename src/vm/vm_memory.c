/* SPDX-License-Identifier: Apache-2.0 */
/* Linear memories: a reservation of addresses of which the usable part grows
 * and never moves.
 *
 *	base            bytes                              reserve_bytes
 *	| read, write   | no access ...                              |
 *
 * A memory of 32-bit addresses and 64 KiB pages reserves all that an index
 * and an offset can name together, 8 GiB and the widest access: there an
 * access outside faults, and code checks nothing.  Other memories, and these
 * where so many addresses are not to be had or the interpreter takes no
 * faults, reserve what they may grow to, or less, and code checks. */
#include "vm/vm_internal.h"
#include <sys/mman.h>

enum { VM_PAGE = 4096 };
#define VM_SPAN	     (UINT64_C(2) << 32)
#define VM_GUARD     (UINT64_C(64) << 10)
#define VM_GUARDED   (VM_SPAN + VM_GUARD)
#define VM_ADDRESSES (UINT64_C(1) << 46) /* more than that is never to be had */

static uint64_t vm_page_up(uint64_t bytes)
{
	return (bytes + VM_PAGE - 1) & ~(uint64_t)(VM_PAGE - 1);
}

static uint8_t *vm_reserve(uint64_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return base == MAP_FAILED ? NULL : base;
}

static bool vm_memory_may_be_guarded(const struct wasm_memory *memory)
{
	return !memory->limits.is64 && memory->limits.page_log2 == 16 &&
	       memory->bytes <= VM_SPAN / 2;
}

/* All of what is wished, else the half, and so on down to what is needed. */
static int vm_memory_reserve_some(struct wasm_memory *memory)
{
	uint64_t least = memory->bytes ? memory->bytes : 1;
	uint64_t bytes = memory->reserve_bytes;

	if (least > VM_ADDRESSES)
		return -1;
	least = vm_page_up(least);
	if (bytes > VM_ADDRESSES)
		bytes = VM_ADDRESSES;
	while (bytes > least && !(memory->base = vm_reserve(vm_page_up(bytes))))
		bytes /= 2;
	if (bytes < least)
		bytes = least;
	if (!memory->base)
		memory->base = vm_reserve(vm_page_up(bytes));
	memory->reserve_bytes = vm_page_up(bytes);
	return memory->base ? 0 : -1;
}

static int vm_memory_reserve(struct wasm_memory *memory)
{
	memory->base = NULL;
	memory->guarded = vm_memory_may_be_guarded(memory);
	if (memory->guarded)
		memory->base = vm_reserve(VM_GUARDED);
	if (!memory->base) {
		memory->guarded = false;
		return vm_memory_reserve_some(memory);
	}
	memory->reserve_bytes = VM_GUARDED;
	return 0;
}

/* One that was kept, open as it is wanted. */
static bool vm_memory_take(struct wasm_memory *memory)
{
	memory->base =
		vm_memory_may_be_guarded(memory)
			? vm_keep_take(VM_GUARDED, vm_page_up(memory->bytes))
			: NULL;
	if (!memory->base)
		return false;
	memory->guarded = true;
	memory->reserve_bytes = VM_GUARDED;
	return true;
}

static int vm_memory_open(struct wasm_memory *memory, uint64_t from,
			  uint64_t to)
{
	from = vm_page_up(from);
	to = vm_page_up(to);
	if (from >= to)
		return 0;
	return mprotect(memory->base + from, to - from, PROT_READ | PROT_WRITE);
}

static int vm_memory_make_empty(struct wasm_memory *memory)
{
	uint64_t wished = memory->reserve_bytes;

	if (vm_memory_take(memory))
		return 0;
	if (vm_memory_reserve(memory) < 0)
		return -1;
	if (vm_memory_open(memory, 0, memory->bytes) == 0)
		return 0;
	munmap(memory->base, memory->reserve_bytes);
	memory->base = NULL;
	memory->reserve_bytes = wished;
	return -1;
}

/* An image that cannot be mapped may leave holes: then all is made anew, and
 * the data copied. */
int vm_memory_make(void *env, struct wasm_memory *memory,
		   const struct wasm_module *module, uint32_t index)
{
	const struct vm_image *image =
		module ? vm_image_of(module, index) : NULL;
	uint64_t wished = memory->reserve_bytes;

	if (vm_memory_make_empty(memory) < 0)
		return -1;
	if (!image)
		return 0;
	memory->host_data = (void *)image; /* it is mapped, whole or in part */
	if (vm_image_map(image, memory) == 0)
		return 1;
	vm_memory_drop(env, memory);
	memory->host_data = NULL;
	memory->reserve_bytes = wished;
	return vm_memory_make_empty(memory);
}

int vm_memory_grow(void *env, struct wasm_memory *memory, uint64_t new_bytes)
{
	(void)env;
	if (new_bytes > memory->reserve_bytes)
		return -1;
	return vm_memory_open(memory, memory->bytes, new_bytes);
}

void vm_memory_drop(void *env, struct wasm_memory *memory)
{
	(void)env;
	if (memory->base && memory->reserve_bytes == VM_GUARDED)
		vm_keep_give(memory->base, VM_GUARDED,
			     vm_page_up(memory->bytes),
			     memory->host_data != NULL);
	else if (memory->base)
		munmap(memory->base, memory->reserve_bytes);
	memory->base = NULL;
}

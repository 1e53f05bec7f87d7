/* SPDX-License-Identifier: Apache-2.0 */
/* An arena: small requests share blocks, large ones have their own. */
#include "wasm/arena.h"

enum { SMALL_MOST = 2048, BLOCK_BYTES = 16 * 1024 };

struct wasm_arena_block {
	struct wasm_arena_block *next;
	size_t len;
	_Alignas(16) uint8_t bytes[];
};

static struct wasm_arena_block *new_block(struct wasm_arena *arena, size_t len)
{
	struct wasm_arena_block *block;

	len += sizeof *block;
	block = arena->host->allocate(arena->host->env, len);
	if (block)
		block->len = len;
	return block;
}

/* Behind the first block, which stays the one in use. */
static void *take_large(struct wasm_arena *arena, size_t len)
{
	struct wasm_arena_block *block = new_block(arena, len);

	if (!block)
		return NULL;
	if (arena->blocks) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		arena->blocks = block;
		arena->used = len;
	}
	return block->bytes;
}

static bool has_room(const struct wasm_arena *arena, size_t len)
{
	const struct wasm_arena_block *block = arena->blocks;

	return block && block->len - sizeof *block >= arena->used &&
	       block->len - sizeof *block - arena->used >= len;
}

void *wasm_arena_take(struct wasm_arena *arena, size_t count, size_t size)
{
	struct wasm_arena_block *block;
	size_t len;

	if (__builtin_mul_overflow(count, size, &len) || len > SIZE_MAX / 4)
		return NULL;
	len = (len + 15) & ~(size_t)15;
	if (len > SMALL_MOST)
		return take_large(arena, len);
	if (!has_room(arena, len)) {
		block = new_block(arena, BLOCK_BYTES);
		if (!block)
			return NULL;
		block->next = arena->blocks;
		arena->blocks = block;
		arena->used = 0;
	}
	arena->used += len;
	return arena->blocks->bytes + arena->used - len;
}

void wasm_arena_free(struct wasm_arena *arena)
{
	struct wasm_arena_block *block, *next;

	for (block = arena->blocks; block; block = next) {
		next = block->next;
		arena->host->release(arena->host->env, block, block->len);
	}
	arena->blocks = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that goes all at once: one list of blocks from the host. */
#pragma once
#include "wasm/host.h"

struct wasm_arena_block;

struct wasm_arena {
	const struct wasm_host *host;
	struct wasm_arena_block *blocks; /* the first is the one in use */
	size_t used;			 /* of the first */
};

/* Zeroed, aligned to 16; NULL without memory.  "count" of "size" bytes. */
void *wasm_arena_take(struct wasm_arena *arena, size_t count, size_t size);
void wasm_arena_free(struct wasm_arena *arena);

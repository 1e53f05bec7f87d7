/* SPDX-License-Identifier: Apache-2.0 */
/* What a store owns: a list of blocks, each with this header before the thing
 * itself, newest first.  Private to the engine. */
#pragma once
#include "wasm/instance.h"

enum wasm_own_kind {
	WASM_OWN_FUNCTION, /* struct wasm_host_function */
	WASM_OWN_TABLE,
	WASM_OWN_MEMORY, /* struct wasm_memory *: several stores may hold it */
	WASM_OWN_GLOBAL,
	WASM_OWN_TAG,
	WASM_OWN_INSTANCE
};

struct wasm_own {
	struct wasm_own *next;
	size_t len; /* of the block */
	enum wasm_own_kind kind;
	uint32_t rest[3];
};
_Static_assert(sizeof(struct wasm_own) == 32, "things are aligned to 16");

struct wasm_owner {
	struct wasm_own *first;
	uint64_t memory_bytes, table_items, stack_bytes;
};

static inline struct wasm_owner *
wasm_store_owner(const struct wasm_store *store)
{
	return store->own;
}

static inline void *wasm_own_thing(struct wasm_own *own)
{
	return own + 1;
}

static inline void *wasm_store_allocate(struct wasm_store *store, size_t len)
{
	return store->host->allocate(store->host->env, len);
}

static inline void wasm_store_release(struct wasm_store *store, void *block,
				      size_t len)
{
	if (block)
		store->host->release(store->host->env, block, len);
}

/* A zeroed thing, in the list; or NULL. */
void *wasm_store_own(struct wasm_store *store, enum wasm_own_kind kind,
		     size_t len);
/* Ends all that came after "last". */
void wasm_store_end_after(struct wasm_store *store, struct wasm_own *last);
/* Do the store's limits allow the memory's size? */
bool wasm_store_allows(const struct wasm_store *store,
		       const struct wasm_limits *memory);
/* Holds a memory that another store made; < 0 without memory. */
int wasm_store_share(struct wasm_store *store, struct wasm_memory *memory);
/* A memory of a module; its data segments may come with it: then *has_data. */
struct wasm_memory *wasm_store_memory(struct wasm_store *store,
				      const struct wasm_limits *limits,
				      const struct wasm_module *module,
				      uint32_t index, bool *has_data);

/* The next of several constant expressions. */
struct wasm_reader;
enum wasm_trap wasm_evaluate_next(struct wasm_instance *instance,
				  struct wasm_reader *reader,
				  union wasm_value *value);

/* Usable bytes; a shared memory may grow at any time. */
static inline uint64_t wasm_memory_bytes(const struct wasm_memory *memory)
{
	return __atomic_load_n(&memory->bytes, __ATOMIC_ACQUIRE);
}

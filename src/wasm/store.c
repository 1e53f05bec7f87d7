/* SPDX-License-Identifier: Apache-2.0 */
/* A store and what it owns.  All things are in one list, newest first, and
 * end in that order; what failed half-way ends the same way.  Also memories
 * and tables: how they are made and how they grow, within the limits of type,
 * store and host. */
#include "wasm/store.h"
#include "wasm/heap.h"
#include <string.h>

static const uint64_t STACK_BYTES = 8 << 20, HEAP_BYTES = 1 << 30,
		      TABLE_ITEMS = 10000000, RESERVE_32 = 1ull << 32,
		      RESERVE_64 = 64ull << 30;

void *wasm_store_own(struct wasm_store *store, enum wasm_own_kind kind,
		     size_t len)
{
	struct wasm_owner *owner = wasm_store_owner(store);
	struct wasm_own *own = wasm_store_allocate(store, sizeof(*own) + len);

	if (!own)
		return NULL;
	own->len = sizeof(*own) + len;
	own->kind = kind;
	own->next = owner->first;
	owner->first = own;
	return wasm_own_thing(own);
}

/* The last store that holds a shared memory ends it. */
static void memory_end(struct wasm_store *store, struct wasm_memory *memory)
{
	if (!memory || __atomic_sub_fetch(&memory->shares, 1, __ATOMIC_ACQ_REL))
		return;
	store->host->memory_drop(store->host->env, memory);
	wasm_store_release(store, memory, sizeof(*memory));
}

static void instance_end(struct wasm_store *store,
			 struct wasm_instance *instance)
{
	struct wasm_instance **link = &store->instances;

	for (uint32_t i = 0; i < instance->module->elem_count; i++)
		wasm_elem_drop(instance, i);
	while (*link && *link != instance)
		link = &(*link)->next;
	if (*link)
		*link = instance->next;
}

static void own_end(struct wasm_store *store, struct wasm_own *own)
{
	struct wasm_host_function *function = wasm_own_thing(own);
	struct wasm_memory **memory = wasm_own_thing(own);
	struct wasm_table *table = wasm_own_thing(own);

	switch (own->kind) {
	case WASM_OWN_FUNCTION:
		if (function->drop)
			function->drop(function->env);
		break;
	case WASM_OWN_TABLE:
		wasm_store_release(store, table->elems,
				   table->room * sizeof(wasm_ref));
		break;
	case WASM_OWN_MEMORY: memory_end(store, *memory); break;
	case WASM_OWN_INSTANCE: instance_end(store, wasm_own_thing(own)); break;
	case WASM_OWN_GLOBAL:
	case WASM_OWN_TAG: break;
	}
}

void wasm_store_end_after(struct wasm_store *store, struct wasm_own *last)
{
	struct wasm_owner *owner = wasm_store_owner(store);
	struct wasm_own *own;

	while ((own = owner->first) != last) {
		owner->first = own->next;
		own_end(store, own);
		wasm_store_release(store, own, own->len);
	}
}

static bool store_fill(struct wasm_store *store, uint64_t heap_bytes)
{
	struct wasm_owner *owner = wasm_store_owner(store);

	store->stack = wasm_store_allocate(store, owner->stack_bytes);
	if (!store->stack)
		return false;
	store->stack_top = store->stack;
	store->stack_end = store->stack + owner->stack_bytes;
	store->heap =
		wasm_heap_new(store, heap_bytes ? heap_bytes : HEAP_BYTES);
	return store->heap != NULL;
}

bool wasm_store_guards(const struct wasm_store *store, uint64_t address)
{
	const struct wasm_instance *instance = store->instances;
	const struct wasm_memory *memory;

	for (; instance; instance = instance->next)
		for (uint32_t i = 0; i < instance->module->memory_count; i++) {
			memory = instance->memories[i];
			if (memory && memory->guarded &&
			    address - (uintptr_t)memory->base <
				    memory->reserve_bytes)
				return true;
		}
	return false;
}

struct wasm_store *wasm_store_make(const struct wasm_host *host,
				   struct wasm_types *types,
				   const struct wasm_store_options *options)
{
	static const struct wasm_store_options none;
	struct wasm_store *store = host->allocate(host->env, sizeof(*store));
	struct wasm_owner *owner;

	if (!store)
		return NULL;
	if (!options)
		options = &none;
	store->host = host;
	store->types = types;
	store->fuel_left = options->fuel > 0 ? options->fuel : -1;
	store->own = owner = wasm_store_allocate(store, sizeof(*owner));
	if (owner) {
		owner->memory_bytes = options->memory_bytes;
		owner->table_items = options->table_items ? options->table_items
							  : TABLE_ITEMS;
		owner->stack_bytes =
			((options->stack_bytes ? options->stack_bytes
					       : STACK_BYTES) +
			 15) &
			~15ull;
	}
	if (owner && store_fill(store, options->heap_bytes))
		return store;
	wasm_store_free(store);
	return NULL;
}

void wasm_store_free(struct wasm_store *store)
{
	struct wasm_owner *owner;

	if (!store)
		return;
	owner = wasm_store_owner(store);
	if (owner) {
		wasm_store_end_after(store, NULL);
		wasm_heap_free(store->heap);
		wasm_store_release(store, store->stack, owner->stack_bytes);
		wasm_store_release(store, store->native_base,
				   store->native_bytes);
		wasm_store_release(store, owner, sizeof(*owner));
	}
	wasm_store_release(store, store, sizeof(*store));
}

struct wasm_function *wasm_host_function_new(struct wasm_store *store,
					     uint32_t type,
					     wasm_host_call *call, void *env,
					     void (*drop)(void *env))
{
	struct wasm_host_function *made =
		wasm_store_own(store, WASM_OWN_FUNCTION, sizeof(*made));

	if (!made)
		return NULL;
	made->function.type = type;
	made->function.host = call;
	made->function.native = store->host->native_call;
	made->env = env;
	made->drop = drop;
	return &made->function;
}

struct wasm_global *wasm_global_make(struct wasm_store *store, wasm_type type,
				     bool is_mutable, union wasm_value value)
{
	struct wasm_global *made =
		wasm_store_own(store, WASM_OWN_GLOBAL, sizeof(*made));

	if (!made)
		return NULL;
	made->type = type;
	made->is_mutable = is_mutable;
	made->value = value;
	return made;
}

struct wasm_tag *wasm_tag_make(struct wasm_store *store, uint32_t type)
{
	struct wasm_tag *made =
		wasm_store_own(store, WASM_OWN_TAG, sizeof(*made));

	if (made)
		made->type = type;
	return made;
}

/* Memories. */
static uint64_t pages_most(const struct wasm_store *store,
			   const struct wasm_limits *limits)
{
	uint64_t most = UINT64_MAX >> limits->page_log2;
	uint64_t bytes = wasm_store_owner(store)->memory_bytes;

	/* Of an i32 memory the number of pages has to fit i32. */
	if (!limits->is64)
		most = limits->page_log2 ? RESERVE_32 >> limits->page_log2
					 : UINT32_MAX;
	if (limits->has_most && limits->most < most)
		most = limits->most;
	if (bytes && bytes >> limits->page_log2 < most)
		most = bytes >> limits->page_log2;
	return most;
}

bool wasm_store_allows(const struct wasm_store *store,
		       const struct wasm_limits *memory)
{
	return memory->least <= pages_most(store, memory);
}

static struct wasm_memory *memory_prepare(struct wasm_store *store,
					  const struct wasm_limits *limits)
{
	uint64_t most = pages_most(store, limits), bytes;
	struct wasm_memory *memory;

	if (!wasm_store_allows(store, limits))
		return NULL;
	memory = wasm_store_allocate(store, sizeof(*memory));
	if (!memory)
		return NULL;
	memory->shares = 1;
	memory->limits = *limits;
	memory->bytes = limits->least << limits->page_log2;
	bytes = most << limits->page_log2;
	memory->reserve_bytes = bytes < RESERVE_64 ? bytes : RESERVE_64;
	if (!limits->is64)
		memory->reserve_bytes = RESERVE_32;
	if (memory->reserve_bytes < memory->bytes)
		memory->reserve_bytes = memory->bytes;
	return memory;
}

struct wasm_memory *wasm_store_memory(struct wasm_store *store,
				      const struct wasm_limits *limits,
				      const struct wasm_module *module,
				      uint32_t index, bool *has_data)
{
	struct wasm_memory **own =
		wasm_store_own(store, WASM_OWN_MEMORY, sizeof(*own));
	struct wasm_memory *memory = own ? memory_prepare(store, limits) : NULL;
	int made;

	if (!memory)
		return NULL;
	made = store->host->memory_make(store->host->env, memory, module,
					index);
	if (made < 0) {
		wasm_store_release(store, memory, sizeof(*memory));
		return NULL;
	}
	*has_data = made > 0;
	return *own = memory;
}

struct wasm_memory *wasm_memory_make(struct wasm_store *store,
				     const struct wasm_limits *limits)
{
	bool has_data;

	return wasm_store_memory(store, limits, NULL, 0, &has_data);
}

int wasm_store_share(struct wasm_store *store, struct wasm_memory *memory)
{
	struct wasm_memory **held;

	for (struct wasm_own *o = wasm_store_owner(store)->first; o;
	     o = o->next) {
		held = wasm_own_thing(o);
		if (o->kind == WASM_OWN_MEMORY && *held == memory)
			return 0;
	}
	held = wasm_store_own(store, WASM_OWN_MEMORY, sizeof(*held));
	if (!held)
		return -1;
	__atomic_add_fetch(&memory->shares, 1, __ATOMIC_RELAXED);
	*held = memory;
	return 0;
}

static int64_t memory_extend(struct wasm_store *store,
			     struct wasm_memory *memory, uint64_t pages)
{
	uint64_t before = wasm_memory_bytes(memory) >> memory->limits.page_log2;
	uint64_t most = pages_most(store, &memory->limits), bytes;

	if (pages > most || before > most - pages)
		return -1;
	bytes = (before + pages) << memory->limits.page_log2;
	if (pages == 0)
		return (int64_t)before;
	if (bytes > memory->reserve_bytes ||
	    store->host->memory_grow(store->host->env, memory, bytes) < 0)
		return -1;
	__atomic_store_n(&memory->bytes, bytes, __ATOMIC_RELEASE);
	return (int64_t)before;
}

int64_t wasm_memory_extend(struct wasm_store *store, struct wasm_memory *memory,
			   uint64_t pages)
{
	int64_t before;

	if (!memory->limits.is_shared)
		return memory_extend(store, memory, pages);
	store->host->lock(store->host->env);
	before = memory_extend(store, memory, pages);
	store->host->unlock(store->host->env);
	return before;
}

/* Tables. */
static uint64_t items_most(const struct wasm_store *store,
			   const struct wasm_limits *limits)
{
	uint64_t most = wasm_store_owner(store)->table_items;

	return limits->has_most && limits->most < most ? limits->most : most;
}

struct wasm_table *wasm_table_make(struct wasm_store *store, wasm_type type,
				   const struct wasm_limits *limits,
				   wasm_ref init)
{
	struct wasm_table *table;

	if (limits->least > items_most(store, limits))
		return NULL;
	table = wasm_store_own(store, WASM_OWN_TABLE, sizeof(*table));
	if (!table)
		return NULL;
	table->type = type;
	table->limits = *limits;
	return wasm_table_extend(store, table, limits->least, init) < 0 ? NULL
									: table;
}

/* Nulls are not copied: of a large table only what was used is touched. */
static bool table_make_room(struct wasm_store *store, struct wasm_table *table,
			    uint64_t need, uint64_t most)
{
	uint64_t room = table->room * 2;
	wasm_ref *elems;

	if (need <= table->room)
		return true;
	if (room < need)
		room = need;
	if (room > most)
		room = most;
	elems = wasm_store_allocate(store, room * sizeof(*elems));
	if (!elems)
		return false;
	for (uint64_t i = 0; i < table->length; i++)
		if (table->elems[i])
			elems[i] = table->elems[i];
	wasm_store_release(store, table->elems, table->room * sizeof(*elems));
	table->elems = elems;
	table->room = room;
	return true;
}

int64_t wasm_table_extend(struct wasm_store *store, struct wasm_table *table,
			  uint64_t more, wasm_ref init)
{
	uint64_t before = table->length;
	uint64_t most = items_most(store, &table->limits);

	if (more > most || before > most - more ||
	    !table_make_room(store, table, before + more, most))
		return -1;
	table->length += more;
	if (init) /* room is null already */
		wasm_table_fill(table, before, init, more);
	return (int64_t)before;
}

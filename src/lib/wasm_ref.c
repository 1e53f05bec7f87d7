/* SPDX-License-Identifier: Apache-2.0 */
/* References of the C API: one struct wasm_ref_t a thing, found by the
 * thing's address in the store's table, counted by its handles.
 *
 * Who is told what: a handle's delete gives back one count.  At none the
 * reference goes, and its host info with it, except where the thing can be
 * met again (through exports, tables, code) and has host info, or code may
 * hold the reference itself as an externref: then it waits for the store's
 * end. */
#include "lib/wasm_api.h"
#include <stdlib.h>

enum { BUCKETS_FIRST = 16 };

void api_ref_init(wasm_ref_t *ref, wasm_store_t *store, enum api_thing what,
		  void *thing)
{
	*ref = (wasm_ref_t){
		.what = (uint8_t)what,
		.holds = 1,
		.store = store,
		.thing = thing,
	};
	api_store_hold(store);
}

/* The table */

static wasm_ref_t **bucket_of(const wasm_store_t *store, const void *thing)
{
	uint64_t mixed = (uint64_t)(uintptr_t)thing * 0x9e3779b97f4a7c15;

	return &store->buckets[(mixed >> 32) & (store->bucket_count - 1)];
}

static void table_add(wasm_store_t *store, wasm_ref_t *ref)
{
	wasm_ref_t **bucket = bucket_of(store, ref->thing);

	ref->next = *bucket;
	*bucket = ref;
}

static int table_make_room(wasm_store_t *store)
{
	wasm_ref_t **before = store->buckets, **buckets;
	size_t count = store->bucket_count;

	if (store->ref_count < count)
		return 0;
	buckets = calloc(count ? count * 2 : BUCKETS_FIRST, sizeof *buckets);
	if (!buckets)
		return -1;
	store->buckets = buckets;
	store->bucket_count = count ? count * 2 : BUCKETS_FIRST;
	for (size_t i = 0; i < count; i++)
		for (wasm_ref_t *at = before[i], *next; at; at = next) {
			next = at->next;
			table_add(store, at);
		}
	free(before);
	return 0;
}

static wasm_ref_t *table_find(const wasm_store_t *store, enum api_thing what,
			      const void *thing)
{
	wasm_ref_t *at = store->bucket_count ? *bucket_of(store, thing) : NULL;

	while (at && (at->thing != thing || at->what != what))
		at = at->next;
	return at;
}

static void table_remove(wasm_ref_t *ref)
{
	wasm_ref_t **link = bucket_of(ref->store, ref->thing);

	while (*link != ref)
		link = &(*link)->next;
	*link = ref->next;
	ref->is_listed = false;
	ref->store->ref_count--;
}

/* A reference of the heap is a root while it has handles. */
struct object_ref {
	wasm_ref_t ref;
	struct wasm_roots *roots;
};

static bool is_object(const wasm_ref_t *ref)
{
	return ref->what == API_THING_OBJECT || ref->what == API_THING_THROWN;
}

static int object_keep(struct object_ref *object)
{
	struct wasm_roots *roots = calloc(1, sizeof *roots + sizeof(wasm_ref));

	if (!roots)
		return -1;
	roots->count = 1;
	roots->refs[0] = (wasm_ref)object->ref.thing;
	wasm_roots_add(object->ref.store->core, roots);
	object->roots = roots;
	return 0;
}

static void object_forget(wasm_ref_t *ref)
{
	struct object_ref *object = (struct object_ref *)ref;

	if (!is_object(ref) || !object->roots)
		return;
	wasm_roots_remove(object->roots);
	free(object->roots);
	object->roots = NULL;
}

static wasm_ref_t *ref_make(wasm_store_t *store, enum api_thing what,
			    void *thing)
{
	struct object_ref *made;

	if (table_make_room(store) < 0)
		return NULL;
	made = calloc(1, sizeof *made);
	if (!made)
		return NULL;
	api_ref_init(&made->ref, store, what, thing ? thing : made);
	if (is_object(&made->ref) && object_keep(made) < 0) {
		api_store_drop(store);
		free(made);
		return NULL;
	}
	made->ref.is_listed = true;
	store->ref_count++;
	table_add(store, &made->ref);
	return &made->ref;
}

wasm_ref_t *api_ref_to(wasm_store_t *store, enum api_thing what, void *thing)
{
	wasm_ref_t *ref = thing ? table_find(store, what, thing) : NULL;

	return ref ? api_ref_hold(ref) : ref_make(store, what, thing);
}

/* Counts */

wasm_ref_t *api_ref_hold(const wasm_ref_t *ref)
{
	wasm_ref_t *held = (wasm_ref_t *)ref;

	if (held)
		held->holds++;
	return held;
}

static void ref_finalize(wasm_ref_t *ref)
{
	void (*finalize)(void *) = ref->finalize;
	void *info = ref->info;

	ref->info = NULL;
	ref->finalize = NULL;
	if (finalize)
		finalize(info);
}

/* What nobody can meet again ends with its last handle. */
static bool ref_waits(const wasm_ref_t *ref)
{
	if (!ref->is_listed)
		return false;
	if (ref->is_kept)
		return true;
	return ref->info && ref->what != API_THING_MODULE &&
	       ref->what != API_THING_FOREIGN;
}

static void ref_free(wasm_ref_t *ref)
{
	wasm_store_t *store = ref->store;

	if (ref->is_listed)
		table_remove(ref);
	object_forget(ref);
	ref_finalize(ref);
	if (ref->what == API_THING_MODULE)
		api_module_drop(ref->thing);
	if (ref == (wasm_ref_t *)store->spare) {
		api_store_drop(store);
		return;
	}
	if (ref->what == API_THING_TRAP)
		api_trap_free(ref);
	free(ref);
	api_store_drop(store);
}

void api_ref_drop(wasm_ref_t *ref)
{
	if (ref && --ref->holds == 0 && !ref_waits(ref))
		ref_free(ref);
}

/* A shell keeps its store's address for who still holds it. */
static void ref_end(wasm_ref_t *ref)
{
	ref->holds++;
	object_forget(ref);
	ref_finalize(ref);
	if (ref->what == API_THING_MODULE)
		api_module_drop(ref->thing);
	ref->thing = NULL;
	api_ref_drop(ref);
}

/* A finalizer may delete handles, but it makes none. */
void api_refs_end(wasm_store_t *store)
{
	for (size_t i = 0; i < store->bucket_count; i++)
		while (store->buckets[i]) {
			wasm_ref_t *ref = store->buckets[i];

			table_remove(ref);
			ref_end(ref);
		}
	free(store->buckets);
	store->buckets = NULL;
	store->bucket_count = 0;
}

/* Host info */

static void ref_set_info(wasm_ref_t *ref, void *info, void (*finalize)(void *))
{
	ref_finalize(ref);
	ref->info = info;
	ref->finalize = finalize;
}

/* The same for each kind: a handle begins with its wasm_ref_t. */
#define REF_BASE(name)                                                         \
	void wasm_##name##_delete(wasm_##name##_t *handle)                     \
	{                                                                      \
		api_ref_drop((wasm_ref_t *)handle);                            \
	}                                                                      \
	wasm_##name##_t *wasm_##name##_copy(const wasm_##name##_t *handle)     \
	{                                                                      \
		return (wasm_##name##_t *)api_ref_hold(                        \
			(const wasm_ref_t *)handle);                           \
	}                                                                      \
	bool wasm_##name##_same(const wasm_##name##_t *a,                      \
				const wasm_##name##_t *b)                      \
	{                                                                      \
		return a == b;                                                 \
	}                                                                      \
	void *wasm_##name##_get_host_info(const wasm_##name##_t *handle)       \
	{                                                                      \
		return ((const wasm_ref_t *)handle)->info;                     \
	}                                                                      \
	void wasm_##name##_set_host_info(wasm_##name##_t *handle, void *info)  \
	{                                                                      \
		ref_set_info((wasm_ref_t *)handle, info, NULL);                \
	}                                                                      \
	void wasm_##name##_set_host_info_with_finalizer(                       \
		wasm_##name##_t *handle, void *info, void (*finalize)(void *)) \
	{                                                                      \
		ref_set_info((wasm_ref_t *)handle, info, finalize);            \
	}

#define REF(name, fits)                                               \
	REF_BASE(name)                                                \
	wasm_ref_t *wasm_##name##_as_ref(wasm_##name##_t *handle)     \
	{                                                             \
		return (wasm_ref_t *)handle;                          \
	}                                                             \
	wasm_##name##_t *wasm_ref_as_##name(wasm_ref_t *ref)          \
	{                                                             \
		return ref && (fits) ? (wasm_##name##_t *)ref : NULL; \
	}                                                             \
	const wasm_ref_t *wasm_##name##_as_ref_const(                 \
		const wasm_##name##_t *handle)                        \
	{                                                             \
		return (const wasm_ref_t *)handle;                    \
	}                                                             \
	const wasm_##name##_t *wasm_ref_as_##name##_const(            \
		const wasm_ref_t *ref)                                \
	{                                                             \
		return wasm_ref_as_##name((wasm_ref_t *)ref);         \
	}

#define EXTERN(name, number)                                            \
	REF(name, ref->what == (number))                                \
	wasm_extern_t *wasm_##name##_as_extern(wasm_##name##_t *handle) \
	{                                                               \
		return (wasm_extern_t *)handle;                         \
	}                                                               \
	wasm_##name##_t *wasm_extern_as_##name(wasm_extern_t *handle)   \
	{                                                               \
		return wasm_ref_as_##name((wasm_ref_t *)handle);        \
	}                                                               \
	const wasm_extern_t *wasm_##name##_as_extern_const(             \
		const wasm_##name##_t *handle)                          \
	{                                                               \
		return (const wasm_extern_t *)handle;                   \
	}                                                               \
	const wasm_##name##_t *wasm_extern_as_##name##_const(           \
		const wasm_extern_t *handle)                            \
	{                                                               \
		return wasm_ref_as_##name((wasm_ref_t *)handle);        \
	}

REF_BASE(ref)
EXTERN(func, API_THING_FUNC)
EXTERN(global, API_THING_GLOBAL)
EXTERN(table, API_THING_TABLE)
EXTERN(memory, API_THING_MEMORY)
EXTERN(tag, API_THING_TAG)
REF(extern, ref->what <= API_THING_TAG)
REF(instance, ref->what == API_THING_INSTANCE)
REF(module, ref->what == API_THING_MODULE)
REF(trap, ref->what == API_THING_TRAP)
REF(foreign, ref->what == API_THING_FOREIGN)

/* SPDX-License-Identifier: Apache-2.0 */
/* The C API of <wasm.h> over the engine's core: what its parts share, and the
 * one place where both sets of names meet.  Where both have a name, in here
 * WASM_... is the core's and API_... the public one's.
 *
 * 1. A handle is a pointer to a struct wasm_ref_t, the same one for all
 *    handles of a thing: copies count, identity is equality of pointers.
 * 2. A store's table finds the wasm_ref_t of a thing of the core.  It goes
 *    when nobody holds it, unless it has host info or code may have it.
 * 3. When a store ends, its things end.  A wasm_ref_t that is still held
 *    stays as a shell: thing == NULL, nothing can be done with it. */
#pragma once
#include "vm/vm.h"

#pragma push_macro("WASM_FUNCREF")
#pragma push_macro("WASM_EXTERNREF")
#pragma push_macro("WASM_ANYREF")
#pragma push_macro("WASM_EXNREF")
#undef WASM_FUNCREF
#undef WASM_EXTERNREF
#undef WASM_ANYREF
#undef WASM_EXNREF
#define WASM_I32	   API_I32
#define WASM_I64	   API_I64
#define WASM_F32	   API_F32
#define WASM_F64	   API_F64
#define WASM_V128	   API_V128
#define WASM_FUNCREF	   API_FUNCREF
#define WASM_EXTERNREF	   API_EXTERNREF
#define WASM_ANYREF	   API_ANYREF
#define WASM_EXNREF	   API_EXNREF
#define WASM_EXTERN_FUNC   API_EXTERN_FUNC
#define WASM_EXTERN_GLOBAL API_EXTERN_GLOBAL
#define WASM_EXTERN_TABLE  API_EXTERN_TABLE
#define WASM_EXTERN_MEMORY API_EXTERN_MEMORY
#define WASM_EXTERN_TAG	   API_EXTERN_TAG
#include <wasm.h>
#undef WASM_I32
#undef WASM_I64
#undef WASM_F32
#undef WASM_F64
#undef WASM_V128
#undef WASM_FUNCREF
#undef WASM_EXTERNREF
#undef WASM_ANYREF
#undef WASM_EXNREF
#undef WASM_EXTERN_FUNC
#undef WASM_EXTERN_GLOBAL
#undef WASM_EXTERN_TABLE
#undef WASM_EXTERN_MEMORY
#undef WASM_EXTERN_TAG
#undef wasm_name
#pragma pop_macro("WASM_FUNCREF")
#pragma pop_macro("WASM_EXTERNREF")
#pragma pop_macro("WASM_ANYREF")
#pragma pop_macro("WASM_EXNREF")

/* Types: wasm_type.c */
struct wasm_externtype_t {
	wasm_externkind_t kind;
};
/* The API's kind of a core type; types that it cannot tell apart have the
 * kind of their top. */
wasm_valkind_t api_kind_of(const struct wasm_types *types, wasm_type type);
wasm_type api_type_of_kind(wasm_valkind_t kind);
wasm_functype_t *api_functype(const struct wasm_types *types, uint32_t id);
/* Gives the type its number, or WASM_NO_TYPE. */
uint32_t api_functype_id(struct wasm_types *types, const wasm_functype_t *type);
wasm_globaltype_t *api_globaltype(const struct wasm_types *types,
				  wasm_type type, bool is_mutable);
wasm_tabletype_t *api_tabletype(const struct wasm_types *types, wasm_type type,
				const struct wasm_limits *limits);
wasm_memorytype_t *api_memorytype(const struct wasm_limits *limits);
wasm_tagtype_t *api_tagtype(const struct wasm_types *types, uint32_t id);
struct wasm_limits api_limits(const wasm_limits_t *limits);

/* Engine and store: wasm_engine.c */
struct wasm_config_t {
	struct wasm_store_options store;
};
struct wasm_engine_t {
	uint32_t holds; /* atomic */
	struct wasm_types *types;
	struct wasm_config_t config;
};
void api_engine_hold(wasm_engine_t *engine);
void api_engine_drop(wasm_engine_t *engine);

struct api_module;
struct api_use { /* an instance needs its module until the store ends */
	struct api_use *next;
	struct api_module *module;
};
struct wasm_store_t {
	uint32_t holds; /* who has its address: its owner, each wasm_ref_t */
	uint32_t running;
	bool is_doomed; /* deleted while it ran */
	wasm_engine_t *engine;
	struct wasm_store *core; /* NULL once it has ended */
	wasm_ref_t **buckets;
	size_t bucket_count, ref_count;
	struct api_use *uses;
	wasm_trap_t *trap;  /* of a host function, on its way up */
	wasm_trap_t *spare; /* for when there is no memory; never NULL */
};
void api_store_hold(wasm_store_t *store);
void api_store_drop(wasm_store_t *store);
/* Around all that may run code. */
void api_store_enter(wasm_store_t *store, struct vm_run *run);
void api_store_leave(wasm_store_t *store, struct vm_run *run);

/* References: wasm_ref.c */
enum api_thing {
	API_THING_FUNC,
	API_THING_GLOBAL,
	API_THING_TABLE,
	API_THING_MEMORY,
	API_THING_TAG,
	API_THING_INSTANCE,
	API_THING_MODULE,
	API_THING_FOREIGN, /* thing: itself */
	API_THING_TRAP,	   /* thing: itself, not in the table */
	API_THING_OBJECT,  /* thing: a wasm_ref of the heap or an i31 */
	API_THING_THROWN,  /* thing: an exception */
};
struct wasm_ref_t {
	uint8_t what; /* enum api_thing */
	bool is_kept; /* code may have it */
	bool is_listed;
	uint32_t holds;
	wasm_store_t *store;
	void *thing;
	void *info;
	void (*finalize)(void *);
	struct wasm_ref_t *next; /* in its bucket */
};
/* Fills a new one that is held once; not in the table. */
void api_ref_init(wasm_ref_t *ref, wasm_store_t *store, enum api_thing what,
		  void *thing);
/* Finds or makes the reference to a thing, and holds it; NULL without
 * memory. */
wasm_ref_t *api_ref_to(wasm_store_t *store, enum api_thing what, void *thing);
wasm_ref_t *api_ref_hold(const wasm_ref_t *ref);
void api_ref_drop(wasm_ref_t *ref);
/* All of a store whose core has still to go: host infos end. */
void api_refs_end(wasm_store_t *store);

/* The core's thing, NULL for none or of an ended store. */
static inline void *api_thing(const void *handle)
{
	const wasm_ref_t *ref = handle;

	return ref ? ref->thing : NULL;
}
static inline wasm_store_t *api_store_of(const void *handle)
{
	return ((const wasm_ref_t *)handle)->store;
}
static inline const struct wasm_types *api_types_of(const void *handle)
{
	return api_store_of(handle)->engine->types;
}

/* Values: wasm_value.c */
/* false: not of the type, or of another store. */
bool api_value_in(wasm_store_t *store, wasm_type type, const wasm_val_t *value,
		  union wasm_value *to);
bool api_ref_in(wasm_store_t *store, wasm_type type, wasm_ref_t *ref,
		wasm_ref *to);
/* Makes an owned value; false: without memory, or it cannot be told. */
bool api_value_out(wasm_store_t *store, wasm_type type,
		   const union wasm_value *value, wasm_val_t *to);
bool api_ref_out(wasm_store_t *store, wasm_type type, wasm_ref ref,
		 wasm_ref_t **to);

/* Traps: wasm_trap.c */
/* Never NULL. */
wasm_trap_t *api_trap(wasm_store_t *store, const char *message);
wasm_trap_t *api_trap_spare_new(wasm_store_t *store); /* held by nobody */
void api_trap_spare_free(wasm_trap_t *spare);
/* What a call left in the store: the trap of a host function goes on, with
 * the frames that were around it. */
wasm_trap_t *api_trap_of_core(wasm_store_t *store, enum wasm_trap trap);
/* How a host function ends that returned a trap; takes it. */
enum wasm_trap api_trap_raise(wasm_store_t *store, wasm_trap_t *trap);
void api_trap_free(wasm_ref_t *ref);

/* Modules: wasm_module.c */
struct api_module {
	uint32_t holds; /* atomic */
	wasm_engine_t *engine;
	struct wasm_module *core;
	void *bytes;
	size_t len;
};
void api_module_hold(struct api_module *module);
void api_module_drop(struct api_module *module);

/* Externs: wasm_extern.c */
wasm_extern_t *api_extern_to(wasm_store_t *store,
			     const struct wasm_extern *what);
/* false: not of the store. */
bool api_extern_of(const wasm_store_t *store, const wasm_extern_t *given,
		   struct wasm_extern *what);

/* SPDX-License-Identifier: Apache-2.0 */
/* The standard C API of WebAssembly (wasm-c-api), as Brood has it: programs
 * that were written for another engine's <wasm.h> compile against this one
 * and link with -lbrood.
 *
 *	wasm_engine_t *engine = wasm_engine_new();
 *	wasm_store_t *store = wasm_store_new(engine);
 *	wasm_module_t *module = wasm_module_new(store, &bytes);
 *	wasm_instance_t *instance =
 *		wasm_instance_new(store, module, &imports, &trap);
 *	wasm_instance_exports(instance, &exports);
 *	trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &arguments,
 *			      &results);
 *
 * Whose is what: "own" before a result means that the caller gets something
 * to be deleted by wasm_..._delete; before a parameter, that the callee takes
 * it over; a vector that is owned owns its elements.  What is not "own" is
 * borrowed.  A parameter "out" is filled with something owned.
 *
 * A handle (wasm_func_t *, ...) is one reference to a thing in a store;
 * wasm_..._copy makes one more.  Things live as long as their store.  When
 * the store is deleted its things are gone: handles to them may still be
 * deleted, and calls through them fail.
 *
 * Threads: engines, types and what wasm_module_share returns may be used by
 * any thread at any time; a store with all that belongs to it by one thread
 * at a time.
 *
 * Beyond the standard API: tags (WASM_EXTERN_TAG, wasm_tagtype_..., wasm_tag_
 * ...), and the kinds of value WASM_V128, WASM_ANYREF and WASM_EXNREF, which
 * types of modules may name.  A v128 has no place in wasm_val_t, so that
 * functions with vectors among parameters or results cannot be called from
 * C, nor made. */
#ifndef WASM_H
#define WASM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef WASM_API_EXTERN
#define WASM_API_EXTERN __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef char byte_t;
typedef float float32_t;
typedef double float64_t;

#define own

/* What all of a kind have in common. */

/* clang-format off */
#define WASM_DECLARE_OWN(name)                                            \
	typedef struct wasm_##name##_t wasm_##name##_t;                   \
	WASM_API_EXTERN void wasm_##name##_delete(own wasm_##name##_t *);

/* new_uninitialized: room for elements, zero until they are set.  new: takes
 * the elements over, the array itself stays the caller's.  copy: copies each
 * element. */
#define WASM_DECLARE_VEC(name, ptr_or_none)                               \
	typedef struct wasm_##name##_vec_t {                              \
		size_t size;                                              \
		wasm_##name##_t ptr_or_none *data;                        \
	} wasm_##name##_vec_t;                                            \
	WASM_API_EXTERN void wasm_##name##_vec_new_empty(                 \
		own wasm_##name##_vec_t *out);                            \
	WASM_API_EXTERN void wasm_##name##_vec_new_uninitialized(         \
		own wasm_##name##_vec_t *out, size_t);                    \
	WASM_API_EXTERN void wasm_##name##_vec_new(                       \
		own wasm_##name##_vec_t *out, size_t,                     \
		own wasm_##name##_t ptr_or_none const[]);                 \
	WASM_API_EXTERN void wasm_##name##_vec_copy(                      \
		own wasm_##name##_vec_t *out,                             \
		const wasm_##name##_vec_t *);                             \
	WASM_API_EXTERN void wasm_##name##_vec_delete(                    \
		own wasm_##name##_vec_t *);

#define WASM_DECLARE_TYPE(name)                                           \
	WASM_DECLARE_OWN(name)                                            \
	WASM_DECLARE_VEC(name, *)                                         \
	WASM_API_EXTERN own wasm_##name##_t *wasm_##name##_copy(          \
		const wasm_##name##_t *);

/* same: do both refer to the same thing?  A thing's host info is the host's
 * own word; the finalizer gets it when the thing ends or has another one. */
#define WASM_DECLARE_REF_BASE(name)                                       \
	WASM_DECLARE_OWN(name)                                            \
	WASM_API_EXTERN own wasm_##name##_t *wasm_##name##_copy(          \
		const wasm_##name##_t *);                                 \
	WASM_API_EXTERN bool wasm_##name##_same(                          \
		const wasm_##name##_t *, const wasm_##name##_t *);        \
	WASM_API_EXTERN void *wasm_##name##_get_host_info(                \
		const wasm_##name##_t *);                                 \
	WASM_API_EXTERN void wasm_##name##_set_host_info(                 \
		wasm_##name##_t *, void *);                               \
	WASM_API_EXTERN void wasm_##name##_set_host_info_with_finalizer(  \
		wasm_##name##_t *, void *, void (*)(void *));

/* wasm_ref_as_...: NULL where it refers to something else. */
#define WASM_DECLARE_REF(name)                                            \
	WASM_DECLARE_REF_BASE(name)                                       \
	WASM_API_EXTERN wasm_ref_t *wasm_##name##_as_ref(                 \
		wasm_##name##_t *);                                       \
	WASM_API_EXTERN wasm_##name##_t *wasm_ref_as_##name(              \
		wasm_ref_t *);                                            \
	WASM_API_EXTERN const wasm_ref_t *wasm_##name##_as_ref_const(     \
		const wasm_##name##_t *);                                 \
	WASM_API_EXTERN const wasm_##name##_t *wasm_ref_as_##name##_const(\
		const wasm_ref_t *);

#define WASM_DECLARE_SHARABLE_REF(name)                                   \
	WASM_DECLARE_REF(name)                                            \
	WASM_DECLARE_OWN(shared_##name)                                   \
	WASM_API_EXTERN own wasm_shared_##name##_t *wasm_##name##_share(  \
		const wasm_##name##_t *);                                 \
	WASM_API_EXTERN own wasm_##name##_t *wasm_##name##_obtain(        \
		wasm_store_t *, const wasm_shared_##name##_t *);
/* clang-format on */

/* Bytes and names. */

typedef byte_t wasm_byte_t;
WASM_DECLARE_VEC(byte, )

typedef wasm_byte_vec_t wasm_name_t;
#define wasm_name			wasm_byte_vec
#define wasm_name_new			wasm_byte_vec_new
#define wasm_name_new_empty		wasm_byte_vec_new_empty
#define wasm_name_new_uninitialized	wasm_byte_vec_new_uninitialized
#define wasm_name_new_new_uninitialized wasm_byte_vec_new_uninitialized
#define wasm_name_copy			wasm_byte_vec_copy
#define wasm_name_delete		wasm_byte_vec_delete

static inline void wasm_name_new_from_string(own wasm_name_t *out,
					     const char *text)
{
	wasm_name_new(out, strlen(text), text);
}

/* With the 0 at the end as one of its bytes. */
static inline void wasm_name_new_from_string_nt(own wasm_name_t *out,
						const char *text)
{
	wasm_name_new(out, strlen(text) + 1, text);
}

/* The environment.  An engine is NULL where the CPU cannot run it. */

WASM_DECLARE_OWN(config)
WASM_API_EXTERN own wasm_config_t *wasm_config_new(void);

WASM_DECLARE_OWN(engine)
WASM_API_EXTERN own wasm_engine_t *wasm_engine_new(void);
WASM_API_EXTERN own wasm_engine_t *
wasm_engine_new_with_config(own wasm_config_t *);

WASM_DECLARE_OWN(store)
WASM_API_EXTERN own wasm_store_t *wasm_store_new(wasm_engine_t *);

/* Types. */

typedef uint8_t wasm_mutability_t;
enum wasm_mutability_enum { WASM_CONST, WASM_VAR };

/* max: wasm_limits_max_default where there is none. */
typedef struct wasm_limits_t {
	uint32_t min;
	uint32_t max;
} wasm_limits_t;
static const uint32_t wasm_limits_max_default = 0xffffffff;

typedef uint8_t wasm_valkind_t;
enum wasm_valkind_enum {
	WASM_I32,
	WASM_I64,
	WASM_F32,
	WASM_F64,
	WASM_V128,
	WASM_EXTERNREF = 128,
	WASM_FUNCREF,
	WASM_ANYREF,
	WASM_EXNREF,
};

WASM_DECLARE_TYPE(valtype)
WASM_API_EXTERN own wasm_valtype_t *wasm_valtype_new(wasm_valkind_t);
WASM_API_EXTERN wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t *);

static inline bool wasm_valkind_is_num(wasm_valkind_t kind)
{
	return kind < WASM_EXTERNREF;
}
static inline bool wasm_valkind_is_ref(wasm_valkind_t kind)
{
	return kind >= WASM_EXTERNREF;
}
static inline bool wasm_valtype_is_num(const wasm_valtype_t *type)
{
	return wasm_valkind_is_num(wasm_valtype_kind(type));
}
static inline bool wasm_valtype_is_ref(const wasm_valtype_t *type)
{
	return wasm_valkind_is_ref(wasm_valtype_kind(type));
}

WASM_DECLARE_TYPE(functype)
WASM_API_EXTERN own wasm_functype_t *
wasm_functype_new(own wasm_valtype_vec_t *params,
		  own wasm_valtype_vec_t *results);
WASM_API_EXTERN const wasm_valtype_vec_t *
wasm_functype_params(const wasm_functype_t *);
WASM_API_EXTERN const wasm_valtype_vec_t *
wasm_functype_results(const wasm_functype_t *);

WASM_DECLARE_TYPE(globaltype)
WASM_API_EXTERN own wasm_globaltype_t *wasm_globaltype_new(own wasm_valtype_t *,
							   wasm_mutability_t);
WASM_API_EXTERN const wasm_valtype_t *
wasm_globaltype_content(const wasm_globaltype_t *);
WASM_API_EXTERN wasm_mutability_t
wasm_globaltype_mutability(const wasm_globaltype_t *);

WASM_DECLARE_TYPE(tabletype)
WASM_API_EXTERN own wasm_tabletype_t *wasm_tabletype_new(own wasm_valtype_t *,
							 const wasm_limits_t *);
WASM_API_EXTERN const wasm_valtype_t *
wasm_tabletype_element(const wasm_tabletype_t *);
WASM_API_EXTERN const wasm_limits_t *
wasm_tabletype_limits(const wasm_tabletype_t *);

WASM_DECLARE_TYPE(memorytype)
WASM_API_EXTERN own wasm_memorytype_t *
wasm_memorytype_new(const wasm_limits_t *);
WASM_API_EXTERN const wasm_limits_t *
wasm_memorytype_limits(const wasm_memorytype_t *);

/* What an exception carries: the parameters of a function type. */
WASM_DECLARE_TYPE(tagtype)
WASM_API_EXTERN own wasm_tagtype_t *wasm_tagtype_new(own wasm_functype_t *);
WASM_API_EXTERN const wasm_functype_t *
wasm_tagtype_functype(const wasm_tagtype_t *);

typedef uint8_t wasm_externkind_t;
enum wasm_externkind_enum {
	WASM_EXTERN_FUNC,
	WASM_EXTERN_GLOBAL,
	WASM_EXTERN_TABLE,
	WASM_EXTERN_MEMORY,
	WASM_EXTERN_TAG,
};

/* The same object seen as another type; NULL where it is not of that kind. */
WASM_DECLARE_TYPE(externtype)
WASM_API_EXTERN wasm_externkind_t
wasm_externtype_kind(const wasm_externtype_t *);

/* clang-format off */
#define WASM_DECLARE_EXTERNTYPE(name)                                     \
	WASM_API_EXTERN wasm_externtype_t *wasm_##name##_as_externtype(   \
		wasm_##name##_t *);                                       \
	WASM_API_EXTERN wasm_##name##_t *wasm_externtype_as_##name(       \
		wasm_externtype_t *);                                     \
	WASM_API_EXTERN const wasm_externtype_t *                         \
	wasm_##name##_as_externtype_const(const wasm_##name##_t *);       \
	WASM_API_EXTERN const wasm_##name##_t *                           \
	wasm_externtype_as_##name##_const(const wasm_externtype_t *);
WASM_DECLARE_EXTERNTYPE(functype)
WASM_DECLARE_EXTERNTYPE(globaltype)
WASM_DECLARE_EXTERNTYPE(tabletype)
WASM_DECLARE_EXTERNTYPE(memorytype)
WASM_DECLARE_EXTERNTYPE(tagtype)
#undef WASM_DECLARE_EXTERNTYPE
/* clang-format on */

WASM_DECLARE_TYPE(importtype)
WASM_API_EXTERN own wasm_importtype_t *
wasm_importtype_new(own wasm_name_t *module, own wasm_name_t *name,
		    own wasm_externtype_t *);
WASM_API_EXTERN const wasm_name_t *
wasm_importtype_module(const wasm_importtype_t *);
WASM_API_EXTERN const wasm_name_t *
wasm_importtype_name(const wasm_importtype_t *);
WASM_API_EXTERN const wasm_externtype_t *
wasm_importtype_type(const wasm_importtype_t *);

WASM_DECLARE_TYPE(exporttype)
WASM_API_EXTERN own wasm_exporttype_t *
wasm_exporttype_new(own wasm_name_t *, own wasm_externtype_t *);
WASM_API_EXTERN const wasm_name_t *
wasm_exporttype_name(const wasm_exporttype_t *);
WASM_API_EXTERN const wasm_externtype_t *
wasm_exporttype_type(const wasm_exporttype_t *);

/* Values and references. */

struct wasm_ref_t;
typedef struct wasm_val_t {
	wasm_valkind_t kind;
	union {
		int32_t i32;
		int64_t i64;
		float32_t f32;
		float64_t f64;
		struct wasm_ref_t *ref; /* NULL: null */
	} of;
} wasm_val_t;

WASM_API_EXTERN void wasm_val_delete(own wasm_val_t *);
WASM_API_EXTERN void wasm_val_copy(own wasm_val_t *out, const wasm_val_t *);
WASM_DECLARE_VEC(val, )

WASM_DECLARE_REF_BASE(ref)

/* A place in code.  The offsets count bytes, from the function's body and
 * from the module's first byte. */
WASM_DECLARE_OWN(frame)
WASM_DECLARE_VEC(frame, *)
WASM_API_EXTERN own wasm_frame_t *wasm_frame_copy(const wasm_frame_t *);
WASM_API_EXTERN struct wasm_instance_t *
wasm_frame_instance(const wasm_frame_t *);
WASM_API_EXTERN uint32_t wasm_frame_func_index(const wasm_frame_t *);
WASM_API_EXTERN size_t wasm_frame_func_offset(const wasm_frame_t *);
WASM_API_EXTERN size_t wasm_frame_module_offset(const wasm_frame_t *);

/* Traps.  A message ends with a 0, which counts.  origin: the innermost
 * frame, NULL where no code was running.  trace: from there outwards. */
typedef wasm_name_t wasm_message_t;
WASM_DECLARE_REF(trap)
WASM_API_EXTERN own wasm_trap_t *wasm_trap_new(wasm_store_t *,
					       const wasm_message_t *);
WASM_API_EXTERN void wasm_trap_message(const wasm_trap_t *,
				       own wasm_message_t *out);
WASM_API_EXTERN own wasm_frame_t *wasm_trap_origin(const wasm_trap_t *);
WASM_API_EXTERN void wasm_trap_trace(const wasm_trap_t *,
				     own wasm_frame_vec_t *out);

/* A thing that only the host knows, to be handed around by code.  Whatever
 * code was given as an externref stays until the store ends. */
WASM_DECLARE_REF(foreign)
WASM_API_EXTERN own wasm_foreign_t *wasm_foreign_new(wasm_store_t *);

/* Modules.  The bytes are copied.  deserialize takes what serialize gave,
 * nothing else; both it and new return NULL for a module that is not valid. */
WASM_DECLARE_SHARABLE_REF(module)
WASM_API_EXTERN own wasm_module_t *
wasm_module_new(wasm_store_t *, const wasm_byte_vec_t *binary);
WASM_API_EXTERN bool wasm_module_validate(wasm_store_t *,
					  const wasm_byte_vec_t *binary);
WASM_API_EXTERN void wasm_module_imports(const wasm_module_t *,
					 own wasm_importtype_vec_t *out);
WASM_API_EXTERN void wasm_module_exports(const wasm_module_t *,
					 own wasm_exporttype_vec_t *out);
WASM_API_EXTERN void wasm_module_serialize(const wasm_module_t *,
					   own wasm_byte_vec_t *out);
WASM_API_EXTERN own wasm_module_t *
wasm_module_deserialize(wasm_store_t *, const wasm_byte_vec_t *);

/* Functions.  A callback gets arguments that stay the engine's, and results
 * of the right kinds, 0, to be set; it returns NULL or a trap.  A call wants
 * the arguments that the type says, and gives a trap where they are others;
 * results for which there is no room are dropped. */
WASM_DECLARE_REF(func)
typedef own wasm_trap_t *(*wasm_func_callback_t)(const wasm_val_vec_t *args,
						 own wasm_val_vec_t *results);
typedef own wasm_trap_t *(*wasm_func_callback_with_env_t)(
	void *env, const wasm_val_vec_t *args, wasm_val_vec_t *results);
WASM_API_EXTERN own wasm_func_t *
wasm_func_new(wasm_store_t *, const wasm_functype_t *, wasm_func_callback_t);
WASM_API_EXTERN own wasm_func_t *
wasm_func_new_with_env(wasm_store_t *, const wasm_functype_t *,
		       wasm_func_callback_with_env_t, void *env,
		       void (*finalizer)(void *));
WASM_API_EXTERN own wasm_functype_t *wasm_func_type(const wasm_func_t *);
WASM_API_EXTERN size_t wasm_func_param_arity(const wasm_func_t *);
WASM_API_EXTERN size_t wasm_func_result_arity(const wasm_func_t *);
WASM_API_EXTERN own wasm_trap_t *wasm_func_call(const wasm_func_t *,
						const wasm_val_vec_t *args,
						wasm_val_vec_t *results);

/* Globals.  A set that the type forbids does nothing. */
WASM_DECLARE_REF(global)
WASM_API_EXTERN own wasm_global_t *
wasm_global_new(wasm_store_t *, const wasm_globaltype_t *, const wasm_val_t *);
WASM_API_EXTERN own wasm_globaltype_t *wasm_global_type(const wasm_global_t *);
WASM_API_EXTERN void wasm_global_get(const wasm_global_t *,
				     own wasm_val_t *out);
WASM_API_EXTERN void wasm_global_set(wasm_global_t *, const wasm_val_t *);

/* Tables. */
WASM_DECLARE_REF(table)
typedef uint32_t wasm_table_size_t;
WASM_API_EXTERN own wasm_table_t *
wasm_table_new(wasm_store_t *, const wasm_tabletype_t *, wasm_ref_t *init);
WASM_API_EXTERN own wasm_tabletype_t *wasm_table_type(const wasm_table_t *);
WASM_API_EXTERN own wasm_ref_t *wasm_table_get(const wasm_table_t *,
					       wasm_table_size_t index);
WASM_API_EXTERN bool wasm_table_set(wasm_table_t *, wasm_table_size_t index,
				    wasm_ref_t *);
WASM_API_EXTERN wasm_table_size_t wasm_table_size(const wasm_table_t *);
WASM_API_EXTERN bool wasm_table_grow(wasm_table_t *, wasm_table_size_t delta,
				     wasm_ref_t *init);

/* Memories.  data never moves; data_size grows. */
WASM_DECLARE_REF(memory)
typedef uint32_t wasm_memory_pages_t;
static const size_t MEMORY_PAGE_SIZE = 0x10000;
WASM_API_EXTERN own wasm_memory_t *wasm_memory_new(wasm_store_t *,
						   const wasm_memorytype_t *);
WASM_API_EXTERN own wasm_memorytype_t *wasm_memory_type(const wasm_memory_t *);
WASM_API_EXTERN byte_t *wasm_memory_data(wasm_memory_t *);
WASM_API_EXTERN size_t wasm_memory_data_size(const wasm_memory_t *);
WASM_API_EXTERN wasm_memory_pages_t wasm_memory_size(const wasm_memory_t *);
WASM_API_EXTERN bool wasm_memory_grow(wasm_memory_t *,
				      wasm_memory_pages_t delta);

/* Tags. */
WASM_DECLARE_REF(tag)
WASM_API_EXTERN own wasm_tag_t *wasm_tag_new(wasm_store_t *,
					     const wasm_tagtype_t *);
WASM_API_EXTERN own wasm_tagtype_t *wasm_tag_type(const wasm_tag_t *);

/* What is imported and exported. */
WASM_DECLARE_REF(extern)
WASM_DECLARE_VEC(extern, *)
WASM_API_EXTERN wasm_externkind_t wasm_extern_kind(const wasm_extern_t *);
WASM_API_EXTERN own wasm_externtype_t *wasm_extern_type(const wasm_extern_t *);

/* clang-format off */
#define WASM_DECLARE_EXTERN(name)                                         \
	WASM_API_EXTERN wasm_extern_t *wasm_##name##_as_extern(           \
		wasm_##name##_t *);                                       \
	WASM_API_EXTERN wasm_##name##_t *wasm_extern_as_##name(           \
		wasm_extern_t *);                                         \
	WASM_API_EXTERN const wasm_extern_t *                             \
	wasm_##name##_as_extern_const(const wasm_##name##_t *);           \
	WASM_API_EXTERN const wasm_##name##_t *                           \
	wasm_extern_as_##name##_const(const wasm_extern_t *);
WASM_DECLARE_EXTERN(func)
WASM_DECLARE_EXTERN(global)
WASM_DECLARE_EXTERN(table)
WASM_DECLARE_EXTERN(memory)
WASM_DECLARE_EXTERN(tag)
#undef WASM_DECLARE_EXTERN
/* clang-format on */

/* Instances.  The imports are in the module's order.  NULL: the imports do
 * not fit, or segments or the start function trapped; the trap, where there
 * is room for it, tells which. */
WASM_DECLARE_REF(instance)
WASM_API_EXTERN own wasm_instance_t *
wasm_instance_new(wasm_store_t *, const wasm_module_t *,
		  const wasm_extern_vec_t *imports, own wasm_trap_t **);
WASM_API_EXTERN void wasm_instance_exports(const wasm_instance_t *,
					   own wasm_extern_vec_t *out);

/* Short forms. */

/* clang-format off */
#define WASM_EMPTY_VEC { 0, NULL }
#define WASM_ARRAY_VEC(array) { sizeof(array) / sizeof(*(array)), array }
#define WASM_I32_VAL(i) { .kind = WASM_I32, .of = { .i32 = i } }
#define WASM_I64_VAL(i) { .kind = WASM_I64, .of = { .i64 = i } }
#define WASM_F32_VAL(z) { .kind = WASM_F32, .of = { .f32 = z } }
#define WASM_F64_VAL(z) { .kind = WASM_F64, .of = { .f64 = z } }
#define WASM_REF_VAL(r) { .kind = WASM_EXTERNREF, .of = { .ref = r } }
#define WASM_INIT_VAL { .kind = WASM_EXTERNREF, .of = { .ref = NULL } }
/* clang-format on */

static inline own wasm_valtype_t *wasm_valtype_new_i32(void)
{
	return wasm_valtype_new(WASM_I32);
}
static inline own wasm_valtype_t *wasm_valtype_new_i64(void)
{
	return wasm_valtype_new(WASM_I64);
}
static inline own wasm_valtype_t *wasm_valtype_new_f32(void)
{
	return wasm_valtype_new(WASM_F32);
}
static inline own wasm_valtype_t *wasm_valtype_new_f64(void)
{
	return wasm_valtype_new(WASM_F64);
}
static inline own wasm_valtype_t *wasm_valtype_new_externref(void)
{
	return wasm_valtype_new(WASM_EXTERNREF);
}
static inline own wasm_valtype_t *wasm_valtype_new_anyref(void)
{
	return wasm_valtype_new(WASM_ANYREF);
}
static inline own wasm_valtype_t *wasm_valtype_new_funcref(void)
{
	return wasm_valtype_new(WASM_FUNCREF);
}

/* wasm_functype_new_P_R: P parameters, R results. */
static inline own wasm_functype_t *
wasm_functype_new_of(size_t param_count, own wasm_valtype_t *const params[],
		     size_t result_count, own wasm_valtype_t *const results[])
{
	wasm_valtype_vec_t from, to;

	wasm_valtype_vec_new(&from, param_count, params);
	wasm_valtype_vec_new(&to, result_count, results);
	return wasm_functype_new(&from, &to);
}
static inline own wasm_functype_t *wasm_functype_new_0_0(void)
{
	return wasm_functype_new_of(0, NULL, 0, NULL);
}
static inline own wasm_functype_t *wasm_functype_new_1_0(own wasm_valtype_t *p)
{
	return wasm_functype_new_of(1, &p, 0, NULL);
}
static inline own wasm_functype_t *wasm_functype_new_2_0(own wasm_valtype_t *p1,
							 own wasm_valtype_t *p2)
{
	wasm_valtype_t *params[2] = { p1, p2 };

	return wasm_functype_new_of(2, params, 0, NULL);
}
static inline own wasm_functype_t *wasm_functype_new_3_0(own wasm_valtype_t *p1,
							 own wasm_valtype_t *p2,
							 own wasm_valtype_t *p3)
{
	wasm_valtype_t *params[3] = { p1, p2, p3 };

	return wasm_functype_new_of(3, params, 0, NULL);
}
static inline own wasm_functype_t *wasm_functype_new_0_1(own wasm_valtype_t *r)
{
	return wasm_functype_new_of(0, NULL, 1, &r);
}
static inline own wasm_functype_t *wasm_functype_new_1_1(own wasm_valtype_t *p,
							 own wasm_valtype_t *r)
{
	return wasm_functype_new_of(1, &p, 1, &r);
}
static inline own wasm_functype_t *wasm_functype_new_2_1(own wasm_valtype_t *p1,
							 own wasm_valtype_t *p2,
							 own wasm_valtype_t *r)
{
	wasm_valtype_t *params[2] = { p1, p2 };

	return wasm_functype_new_of(2, params, 1, &r);
}
static inline own wasm_functype_t *wasm_functype_new_3_1(own wasm_valtype_t *p1,
							 own wasm_valtype_t *p2,
							 own wasm_valtype_t *p3,
							 own wasm_valtype_t *r)
{
	wasm_valtype_t *params[3] = { p1, p2, p3 };

	return wasm_functype_new_of(3, params, 1, &r);
}
static inline own wasm_functype_t *wasm_functype_new_0_2(own wasm_valtype_t *r1,
							 own wasm_valtype_t *r2)
{
	wasm_valtype_t *results[2] = { r1, r2 };

	return wasm_functype_new_of(0, NULL, 2, results);
}
static inline own wasm_functype_t *wasm_functype_new_1_2(own wasm_valtype_t *p,
							 own wasm_valtype_t *r1,
							 own wasm_valtype_t *r2)
{
	wasm_valtype_t *results[2] = { r1, r2 };

	return wasm_functype_new_of(1, &p, 2, results);
}
static inline own wasm_functype_t *wasm_functype_new_2_2(own wasm_valtype_t *p1,
							 own wasm_valtype_t *p2,
							 own wasm_valtype_t *r1,
							 own wasm_valtype_t *r2)
{
	wasm_valtype_t *params[2] = { p1, p2 };
	wasm_valtype_t *results[2] = { r1, r2 };

	return wasm_functype_new_of(2, params, 2, results);
}
static inline own wasm_functype_t *wasm_functype_new_3_2(own wasm_valtype_t *p1,
							 own wasm_valtype_t *p2,
							 own wasm_valtype_t *p3,
							 own wasm_valtype_t *r1,
							 own wasm_valtype_t *r2)
{
	wasm_valtype_t *params[3] = { p1, p2, p3 };
	wasm_valtype_t *results[2] = { r1, r2 };

	return wasm_functype_new_of(3, params, 2, results);
}

/* A pointer of the host as an integer of its width. */
static inline void wasm_val_init_ptr(own wasm_val_t *out, void *pointer)
{
#if UINTPTR_MAX == UINT32_MAX
	out->kind = WASM_I32;
	out->of.i32 = (int32_t)(intptr_t)pointer;
#else
	out->kind = WASM_I64;
	out->of.i64 = (int64_t)(intptr_t)pointer;
#endif
}
static inline void *wasm_val_ptr(const wasm_val_t *value)
{
#if UINTPTR_MAX == UINT32_MAX
	return (void *)(intptr_t)value->of.i32;
#else
	return (void *)(intptr_t)value->of.i64;
#endif
}

#undef own

#ifdef __cplusplus
}
#endif

#endif

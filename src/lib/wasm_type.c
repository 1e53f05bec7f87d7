/* SPDX-License-Identifier: Apache-2.0 */
/* Types of the C API.  The five types of externs begin with struct
 * wasm_externtype_t, so that one is seen as another by a cast. */
#include "lib/wasm_api.h"
#include <stdlib.h>

struct wasm_valtype_t {
	wasm_valkind_t kind;
};
struct wasm_functype_t {
	struct wasm_externtype_t base;
	wasm_valtype_vec_t params, results;
};
struct wasm_globaltype_t {
	struct wasm_externtype_t base;
	wasm_mutability_t mutability;
	wasm_valtype_t *content;
};
struct wasm_tabletype_t {
	struct wasm_externtype_t base;
	wasm_limits_t limits;
	wasm_valtype_t *element;
};
struct wasm_memorytype_t {
	struct wasm_externtype_t base;
	wasm_limits_t limits;
};
struct wasm_tagtype_t {
	struct wasm_externtype_t base;
	wasm_functype_t *functype;
};

/* Value types */

struct kind_row {
	wasm_valkind_t kind;
	wasm_type type;
};
static const struct kind_row kind_rows[] = {
	{ API_I32, WASM_I32 },	       { API_I64, WASM_I64 },
	{ API_F32, WASM_F32 },	       { API_F64, WASM_F64 },
	{ API_V128, WASM_V128 },       { API_EXTERNREF, WASM_EXTERNREF },
	{ API_FUNCREF, WASM_FUNCREF }, { API_ANYREF, WASM_ANYREF },
	{ API_EXNREF, WASM_EXNREF },
};
enum { KINDS = sizeof kind_rows / sizeof *kind_rows };

/* All value types that there are: "owned" ones are pointers to here. */
static const struct wasm_valtype_t valtypes[KINDS] = {
	{ API_I32 },	 { API_I64 },	 { API_F32 },
	{ API_F64 },	 { API_V128 },	 { API_EXTERNREF },
	{ API_FUNCREF }, { API_ANYREF }, { API_EXNREF },
};

wasm_type api_type_of_kind(wasm_valkind_t kind)
{
	for (int i = 0; i < KINDS; i++)
		if (kind_rows[i].kind == kind)
			return kind_rows[i].type;
	return WASM_NONE;
}

static wasm_valkind_t kind_of_abstract(uint32_t heap)
{
	switch (heap) {
	case WASM_FUNC:
	case WASM_NOFUNC: return API_FUNCREF;
	case WASM_EXTERN:
	case WASM_NOEXTERN: return API_EXTERNREF;
	case WASM_EXN:
	case WASM_NOEXN: return API_EXNREF;
	}
	return API_ANYREF;
}

wasm_valkind_t api_kind_of(const struct wasm_types *types, wasm_type type)
{
	uint32_t heap = type & WASM_REF_HEAP & ~(uint32_t)WASM_ABSTRACT;

	if (wasm_type_is_ref(type) && type & WASM_ABSTRACT)
		return kind_of_abstract(heap);
	if (wasm_type_is_ref(type))
		return wasm_types_get(types, heap)->kind == WASM_KIND_FUNCTION
			       ? API_FUNCREF
			       : API_ANYREF;
	for (int i = 0; i < KINDS; i++)
		if (kind_rows[i].type == type)
			return kind_rows[i].kind;
	return API_I32;
}

wasm_valtype_t *wasm_valtype_new(wasm_valkind_t kind)
{
	for (int i = 0; i < KINDS; i++)
		if (valtypes[i].kind == kind)
			return (wasm_valtype_t *)&valtypes[i];
	return NULL;
}

void wasm_valtype_delete(wasm_valtype_t *type)
{
	(void)type;
}

wasm_valtype_t *wasm_valtype_copy(const wasm_valtype_t *type)
{
	return (wasm_valtype_t *)type;
}

wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t *type)
{
	return type->kind;
}

static wasm_valtype_t *valtype_of(const struct wasm_types *types,
				  wasm_type type)
{
	return wasm_valtype_new(api_kind_of(types, type));
}

/* Functions */

wasm_functype_t *wasm_functype_new(wasm_valtype_vec_t *params,
				   wasm_valtype_vec_t *results)
{
	struct wasm_functype_t *made = calloc(1, sizeof *made);

	if (!made) {
		wasm_valtype_vec_delete(params);
		wasm_valtype_vec_delete(results);
		return NULL;
	}
	made->base.kind = API_EXTERN_FUNC;
	made->params = *params;
	made->results = *results;
	wasm_valtype_vec_new_empty(params);
	wasm_valtype_vec_new_empty(results);
	return made;
}

void wasm_functype_delete(wasm_functype_t *type)
{
	if (!type)
		return;
	wasm_valtype_vec_delete(&type->params);
	wasm_valtype_vec_delete(&type->results);
	free(type);
}

/* A vector for which there was no memory is too short. */
static wasm_functype_t *functype_whole(wasm_valtype_vec_t *params,
				       wasm_valtype_vec_t *results,
				       size_t param_count, size_t result_count)
{
	if (params->size == param_count && results->size == result_count)
		return wasm_functype_new(params, results);
	wasm_valtype_vec_delete(params);
	wasm_valtype_vec_delete(results);
	return NULL;
}

wasm_functype_t *wasm_functype_copy(const wasm_functype_t *type)
{
	wasm_valtype_vec_t params, results;

	wasm_valtype_vec_copy(&params, &type->params);
	wasm_valtype_vec_copy(&results, &type->results);
	return functype_whole(&params, &results, type->params.size,
			      type->results.size);
}

const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *type)
{
	return &type->params;
}

const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *type)
{
	return &type->results;
}

static void valtypes_of(const struct wasm_types *types, const wasm_type *from,
			uint32_t count, wasm_valtype_vec_t *to)
{
	wasm_valtype_vec_new_uninitialized(to, count);
	for (size_t i = 0; i < to->size; i++)
		to->data[i] = valtype_of(types, from[i]);
}

wasm_functype_t *api_functype(const struct wasm_types *types, uint32_t id)
{
	const struct wasm_deftype *type = wasm_types_get(types, id);
	wasm_valtype_vec_t params, results;

	valtypes_of(types, type->params, type->param_count, &params);
	valtypes_of(types, type->results, type->result_count, &results);
	return functype_whole(&params, &results, type->param_count,
			      type->result_count);
}

static wasm_type *types_of(const wasm_valtype_vec_t *vec)
{
	wasm_type *types = calloc(vec->size + 1, sizeof *types);

	for (size_t i = 0; types && i < vec->size; i++) {
		if (!vec->data[i]) {
			free(types);
			return NULL;
		}
		types[i] = api_type_of_kind(vec->data[i]->kind);
	}
	return types;
}

uint32_t api_functype_id(struct wasm_types *types, const wasm_functype_t *type)
{
	wasm_type *params = NULL, *results = NULL;
	uint32_t id = WASM_NO_TYPE;

	if (type->params.size > WASM_PARAMS_MOST ||
	    type->results.size > WASM_RESULTS_MOST)
		return id;
	params = types_of(&type->params);
	results = types_of(&type->results);
	if (params && results) {
		vm_host.lock(vm_host.env);
		id = wasm_types_function(types, params,
					 (uint32_t)type->params.size, results,
					 (uint32_t)type->results.size);
		vm_host.unlock(vm_host.env);
	}
	free(params);
	free(results);
	return id;
}

/* Globals */

wasm_globaltype_t *wasm_globaltype_new(wasm_valtype_t *content,
				       wasm_mutability_t mutability)
{
	struct wasm_globaltype_t *made = calloc(1, sizeof *made);

	if (!made)
		return NULL;
	made->base.kind = API_EXTERN_GLOBAL;
	made->content = content;
	made->mutability = mutability;
	return made;
}

void wasm_globaltype_delete(wasm_globaltype_t *type)
{
	free(type);
}

wasm_globaltype_t *wasm_globaltype_copy(const wasm_globaltype_t *type)
{
	return wasm_globaltype_new(type->content, type->mutability);
}

const wasm_valtype_t *wasm_globaltype_content(const wasm_globaltype_t *type)
{
	return type->content;
}

wasm_mutability_t wasm_globaltype_mutability(const wasm_globaltype_t *type)
{
	return type->mutability;
}

wasm_globaltype_t *api_globaltype(const struct wasm_types *types,
				  wasm_type type, bool is_mutable)
{
	return wasm_globaltype_new(valtype_of(types, type),
				   is_mutable ? WASM_VAR : WASM_CONST);
}

/* Tables and memories */

static uint32_t limit_of(uint64_t value)
{
	return value < wasm_limits_max_default ? (uint32_t)value
					       : wasm_limits_max_default;
}

static wasm_limits_t limits_of(const struct wasm_limits *limits)
{
	return (wasm_limits_t){
		.min = limit_of(limits->least),
		.max = limits->has_most ? limit_of(limits->most)
					: wasm_limits_max_default,
	};
}

struct wasm_limits api_limits(const wasm_limits_t *limits)
{
	bool has_most = limits->max != wasm_limits_max_default;

	return (struct wasm_limits){
		.least = limits->min,
		.most = has_most ? limits->max : UINT64_MAX,
		.has_most = has_most,
	};
}

wasm_tabletype_t *wasm_tabletype_new(wasm_valtype_t *element,
				     const wasm_limits_t *limits)
{
	struct wasm_tabletype_t *made = calloc(1, sizeof *made);

	if (!made)
		return NULL;
	made->base.kind = API_EXTERN_TABLE;
	made->element = element;
	made->limits = *limits;
	return made;
}

void wasm_tabletype_delete(wasm_tabletype_t *type)
{
	free(type);
}

wasm_tabletype_t *wasm_tabletype_copy(const wasm_tabletype_t *type)
{
	return wasm_tabletype_new(type->element, &type->limits);
}

const wasm_valtype_t *wasm_tabletype_element(const wasm_tabletype_t *type)
{
	return type->element;
}

const wasm_limits_t *wasm_tabletype_limits(const wasm_tabletype_t *type)
{
	return &type->limits;
}

wasm_tabletype_t *api_tabletype(const struct wasm_types *types, wasm_type type,
				const struct wasm_limits *limits)
{
	wasm_limits_t both = limits_of(limits);

	return wasm_tabletype_new(valtype_of(types, type), &both);
}

wasm_memorytype_t *wasm_memorytype_new(const wasm_limits_t *limits)
{
	struct wasm_memorytype_t *made = calloc(1, sizeof *made);

	if (!made)
		return NULL;
	made->base.kind = API_EXTERN_MEMORY;
	made->limits = *limits;
	return made;
}

void wasm_memorytype_delete(wasm_memorytype_t *type)
{
	free(type);
}

wasm_memorytype_t *wasm_memorytype_copy(const wasm_memorytype_t *type)
{
	return wasm_memorytype_new(&type->limits);
}

const wasm_limits_t *wasm_memorytype_limits(const wasm_memorytype_t *type)
{
	return &type->limits;
}

wasm_memorytype_t *api_memorytype(const struct wasm_limits *limits)
{
	wasm_limits_t both = limits_of(limits);

	return wasm_memorytype_new(&both);
}

/* Tags */

wasm_tagtype_t *wasm_tagtype_new(wasm_functype_t *functype)
{
	struct wasm_tagtype_t *made = functype ? calloc(1, sizeof *made) : NULL;

	if (!made) {
		wasm_functype_delete(functype);
		return NULL;
	}
	made->base.kind = API_EXTERN_TAG;
	made->functype = functype;
	return made;
}

void wasm_tagtype_delete(wasm_tagtype_t *type)
{
	if (!type)
		return;
	wasm_functype_delete(type->functype);
	free(type);
}

wasm_tagtype_t *wasm_tagtype_copy(const wasm_tagtype_t *type)
{
	return wasm_tagtype_new(wasm_functype_copy(type->functype));
}

const wasm_functype_t *wasm_tagtype_functype(const wasm_tagtype_t *type)
{
	return type->functype;
}

wasm_tagtype_t *api_tagtype(const struct wasm_types *types, uint32_t id)
{
	return wasm_tagtype_new(api_functype(types, id));
}

/* All five */

wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t *type)
{
	return type->kind;
}

void wasm_externtype_delete(wasm_externtype_t *type)
{
	if (!type)
		return;
	switch (type->kind) {
	case API_EXTERN_FUNC:
		wasm_functype_delete((wasm_functype_t *)type);
		break;
	case API_EXTERN_TAG: wasm_tagtype_delete((wasm_tagtype_t *)type); break;
	default: free(type);
	}
}

wasm_externtype_t *wasm_externtype_copy(const wasm_externtype_t *type)
{
	const void *same = type;

	switch (type->kind) {
	case API_EXTERN_FUNC: return (void *)wasm_functype_copy(same);
	case API_EXTERN_GLOBAL: return (void *)wasm_globaltype_copy(same);
	case API_EXTERN_TABLE: return (void *)wasm_tabletype_copy(same);
	case API_EXTERN_MEMORY: return (void *)wasm_memorytype_copy(same);
	case API_EXTERN_TAG: return (void *)wasm_tagtype_copy(same);
	}
	return NULL;
}

#define EXTERNTYPE(name, number)                                              \
	wasm_externtype_t *wasm_##name##_as_externtype(wasm_##name##_t *type) \
	{                                                                     \
		return &type->base;                                           \
	}                                                                     \
	wasm_##name##_t *wasm_externtype_as_##name(wasm_externtype_t *type)   \
	{                                                                     \
		return type && type->kind == (number)                         \
			       ? (wasm_##name##_t *)type                      \
			       : NULL;                                        \
	}                                                                     \
	const wasm_externtype_t *wasm_##name##_as_externtype_const(           \
		const wasm_##name##_t *type)                                  \
	{                                                                     \
		return &type->base;                                           \
	}                                                                     \
	const wasm_##name##_t *wasm_externtype_as_##name##_const(             \
		const wasm_externtype_t *type)                                \
	{                                                                     \
		return wasm_externtype_as_##name((wasm_externtype_t *)type);  \
	}
EXTERNTYPE(functype, API_EXTERN_FUNC)
EXTERNTYPE(globaltype, API_EXTERN_GLOBAL)
EXTERNTYPE(tabletype, API_EXTERN_TABLE)
EXTERNTYPE(memorytype, API_EXTERN_MEMORY)
EXTERNTYPE(tagtype, API_EXTERN_TAG)

/* Imports and exports */

struct wasm_importtype_t {
	wasm_name_t module, name;
	wasm_externtype_t *type;
};

static wasm_name_t take_name(wasm_name_t *name)
{
	wasm_name_t taken = *name;

	wasm_byte_vec_new_empty(name);
	return taken;
}

wasm_importtype_t *wasm_importtype_new(wasm_name_t *module, wasm_name_t *name,
				       wasm_externtype_t *type)
{
	struct wasm_importtype_t *made = type ? calloc(1, sizeof *made) : NULL;

	if (!made) {
		wasm_byte_vec_delete(module);
		wasm_byte_vec_delete(name);
		wasm_externtype_delete(type);
		return NULL;
	}
	made->module = take_name(module);
	made->name = take_name(name);
	made->type = type;
	return made;
}

void wasm_importtype_delete(wasm_importtype_t *type)
{
	if (!type)
		return;
	wasm_byte_vec_delete(&type->module);
	wasm_byte_vec_delete(&type->name);
	wasm_externtype_delete(type->type);
	free(type);
}

wasm_importtype_t *wasm_importtype_copy(const wasm_importtype_t *type)
{
	wasm_name_t module, name;

	wasm_byte_vec_copy(&module, &type->module);
	wasm_byte_vec_copy(&name, &type->name);
	return wasm_importtype_new(&module, &name,
				   wasm_externtype_copy(type->type));
}

const wasm_name_t *wasm_importtype_module(const wasm_importtype_t *type)
{
	return &type->module;
}

const wasm_name_t *wasm_importtype_name(const wasm_importtype_t *type)
{
	return &type->name;
}

const wasm_externtype_t *wasm_importtype_type(const wasm_importtype_t *type)
{
	return type->type;
}

struct wasm_exporttype_t {
	wasm_name_t name;
	wasm_externtype_t *type;
};

wasm_exporttype_t *wasm_exporttype_new(wasm_name_t *name,
				       wasm_externtype_t *type)
{
	struct wasm_exporttype_t *made = type ? calloc(1, sizeof *made) : NULL;

	if (!made) {
		wasm_byte_vec_delete(name);
		wasm_externtype_delete(type);
		return NULL;
	}
	made->name = take_name(name);
	made->type = type;
	return made;
}

void wasm_exporttype_delete(wasm_exporttype_t *type)
{
	if (!type)
		return;
	wasm_byte_vec_delete(&type->name);
	wasm_externtype_delete(type->type);
	free(type);
}

wasm_exporttype_t *wasm_exporttype_copy(const wasm_exporttype_t *type)
{
	wasm_name_t name;

	wasm_byte_vec_copy(&name, &type->name);
	return wasm_exporttype_new(&name, wasm_externtype_copy(type->type));
}

const wasm_name_t *wasm_exporttype_name(const wasm_exporttype_t *type)
{
	return &type->name;
}

const wasm_externtype_t *wasm_exporttype_type(const wasm_exporttype_t *type)
{
	return type->type;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Values between C and code.
 *
 * An externref (or anyref) that C gives is a host's word: the address of its
 * wasm_ref_t, which from then on stays until the store ends, since nobody
 * knows what code does with it.  Code's own objects are wrapped when C sees
 * them, and unwrapped when it gives them back. */
#include "lib/wasm_api.h"

void wasm_val_delete(wasm_val_t *value)
{
	if (wasm_valkind_is_ref(value->kind))
		api_ref_drop(value->of.ref);
	value->of.ref = NULL;
}

void wasm_val_copy(wasm_val_t *out, const wasm_val_t *value)
{
	*out = *value;
	if (wasm_valkind_is_ref(value->kind))
		api_ref_hold(value->of.ref);
}

static wasm_ref word_of(wasm_valkind_t kind, wasm_ref_t *ref)
{
	if (kind == API_FUNCREF && ref->what == API_THING_FUNC)
		return (wasm_ref)ref->thing;
	if (kind == API_EXNREF && ref->what == API_THING_THROWN)
		return (wasm_ref)ref->thing;
	if (kind == API_FUNCREF || kind == API_EXNREF)
		return 0;
	if (ref->what == API_THING_OBJECT)
		return (wasm_ref)ref->thing;
	if (!ref->is_listed)
		return 0;
	ref->is_kept = true;
	return wasm_ref_of_host((uint64_t)(uintptr_t)ref);
}

bool api_ref_in(wasm_store_t *store, wasm_type type, wasm_ref_t *ref,
		wasm_ref *to)
{
	wasm_valkind_t kind = api_kind_of(store->engine->types, type);

	*to = 0;
	if (ref) {
		if (ref->store != store || !ref->thing)
			return false;
		*to = word_of(kind, ref);
		if (!*to)
			return false;
	}
	return wasm_ref_matches(store->core, *to, type);
}

bool api_value_in(wasm_store_t *store, wasm_type type, const wasm_val_t *value,
		  union wasm_value *to)
{
	*to = (union wasm_value){ 0 };
	if (value->kind != api_kind_of(store->engine->types, type))
		return false;
	switch (value->kind) {
	case API_I32: to->i64 = (uint32_t)value->of.i32; return true;
	case API_I64: to->i64 = (uint64_t)value->of.i64; return true;
	case API_F32: to->f32 = value->of.f32; return true;
	case API_F64: to->f64 = value->of.f64; return true;
	case API_V128: return false;
	}
	return api_ref_in(store, type, value->of.ref, &to->ref);
}

bool api_ref_out(wasm_store_t *store, wasm_type type, wasm_ref ref,
		 wasm_ref_t **to)
{
	enum api_thing what = API_THING_OBJECT;

	*to = NULL;
	if (!ref)
		return true;
	switch (api_kind_of(store->engine->types, type)) {
	case API_FUNCREF: what = API_THING_FUNC; break;
	case API_EXNREF: what = API_THING_THROWN; break;
	}
	if (what == API_THING_OBJECT && wasm_ref_is_host(ref))
		*to = api_ref_hold(
			(const wasm_ref_t *)(uintptr_t)wasm_ref_host(ref));
	else
		*to = api_ref_to(store, what, (void *)(uintptr_t)ref);
	return *to;
}

bool api_value_out(wasm_store_t *store, wasm_type type,
		   const union wasm_value *value, wasm_val_t *to)
{
	to->kind = api_kind_of(store->engine->types, type);
	to->of.ref = NULL;
	switch (to->kind) {
	case API_I32: to->of.i32 = (int32_t)value->i32; return true;
	case API_I64: to->of.i64 = (int64_t)value->i64; return true;
	case API_F32: to->of.f32 = value->f32; return true;
	case API_F64: to->of.f64 = value->f64; return true;
	case API_V128: return false;
	}
	return api_ref_out(store, type, value->ref, &to->of.ref);
}

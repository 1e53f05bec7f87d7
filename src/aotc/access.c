/* SPDX-License-Identifier: Apache-2.0 */
/* The context, and through it memories and globals. */
#include "aotc/aotc.h"

LLVMValueRef aotc_at(struct aotc_body *body, LLVMValueRef base, uint64_t offset)
{
	LLVMValueRef index = aotc_i64(body->aotc, offset);

	return LLVMBuildGEP2(body->build, body->aotc->i8, base, &index, 1, "");
}

LLVMValueRef aotc_load_fixed(struct aotc_body *body, LLVMTypeRef type,
			     LLVMValueRef base, uint64_t offset)
{
	LLVMValueRef load = LLVMBuildLoad2(body->build, type,
					   aotc_at(body, base, offset), "");

	LLVMSetMetadata(load, body->aotc->invariant, body->aotc->fixed);
	return load;
}

LLVMValueRef aotc_load(struct aotc_body *body, LLVMTypeRef type,
		       LLVMValueRef base, uint64_t offset,
		       enum aotc_place place)
{
	LLVMValueRef load = LLVMBuildLoad2(body->build, type,
					   aotc_at(body, base, offset), "");

	LLVMSetMetadata(load, body->aotc->tbaa, body->aotc->places[place]);
	return load;
}

/* ---- memories ------------------------------------------------------------------ */

static const struct wasm_limits *access_limits(const struct aotc_body *body,
					       uint32_t memory)
{
	return &body->aotc->module->memories[memory].limits;
}

bool aotc_is_guarded(const struct aotc *aotc, uint32_t memory)
{
	const struct wasm_limits *limits =
		&aotc->module->memories[memory].limits;

	return memory == 0 && !(aotc->options & CODE_CHECKED) &&
	       !limits->is64 && limits->page_log2 == 16;
}

static LLVMValueRef access_memory(struct aotc_body *body, uint32_t memory)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef all =
		aotc_load_fixed(body, aotc->ptr, body->context,
				offsetof(struct wasm_instance, memories));

	return aotc_load_fixed(body, aotc->ptr, all, 8ull * memory);
}

/* Other threads may make a shared one larger. */
static LLVMValueRef access_bytes(struct aotc_body *body, uint32_t memory)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef load =
		aotc_load(body, aotc->i64, access_memory(body, memory),
			  offsetof(struct wasm_memory, bytes), AOTC_STORE);

	if (access_limits(body, memory)->is_shared)
		LLVMSetOrdering(load, LLVMAtomicOrderingAcquire);
	LLVMSetAlignment(load, 8);
	return load;
}

static LLVMValueRef access_add(struct aotc_body *body, LLVMValueRef index,
			       uint64_t offset)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef at =
		LLVMBuildAdd(body->build, index, aotc_i64(aotc, offset), "");

	if (offset)
		aotc_trap_if(body,
			     LLVMBuildICmp(body->build, LLVMIntULT, at, index,
					   ""),
			     WASM_TRAP_memory_bounds);
	return at;
}

/* The whole access is below what the memory has. */
static LLVMValueRef access_checked(struct aotc_body *body, LLVMValueRef index,
				   uint64_t offset, uint64_t width,
				   uint32_t memory)
{
	LLVMValueRef at = access_add(body, index, offset);
	LLVMValueRef end = access_add(body, at, width);

	aotc_trap_if(body,
		     LLVMBuildICmp(body->build, LLVMIntUGT, end,
				   access_bytes(body, memory), ""),
		     WASM_TRAP_memory_bounds);
	return at;
}

static LLVMValueRef access_base(struct aotc_body *body, uint32_t memory)
{
	return memory == 0
		       ? body->memory
		       : aotc_load_fixed(body, body->aotc->ptr,
					 access_memory(body, memory),
					 offsetof(struct wasm_memory, base));
}

static void access_check_aligned(struct aotc_body *body, LLVMValueRef at,
				 uint64_t width)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef rest =
		LLVMBuildAnd(body->build, at, aotc_i64(aotc, width - 1), "");

	if (width > 1)
		aotc_trap_if(body, aotc_is_true(body, rest),
			     WASM_TRAP_unaligned_atomic);
}

/* An index of 32 bits and an offset end within the guard. */
static LLVMValueRef access_guarded(struct aotc_body *body, LLVMValueRef index,
				   uint64_t offset)
{
	LLVMValueRef place = LLVMBuildGEP2(body->build, body->aotc->i8,
					   body->memory, &index, 1, "");

	return offset ? aotc_at(body, place, offset) : place;
}

LLVMValueRef aotc_address(struct aotc_body *body, unsigned operation,
			  const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	struct aotc *aotc = body->aotc;
	uint32_t memory = immediates->memory;
	uint64_t width = UINT64_C(1) << info->values[0];
	bool is_atomic = info->immediates[0] == WASM_IMM_ATOMIC;
	LLVMValueRef index = LLVMBuildZExt(body->build, aotc_pop(body),
					   aotc->i64, ""),
		     at;

	if (aotc_is_guarded(aotc, memory) && !is_atomic)
		return access_guarded(body, index, immediates->value);
	at = access_checked(body, index, immediates->value, width, memory);
	if (is_atomic)
		access_check_aligned(body, at, width);
	return LLVMBuildGEP2(body->build, aotc->i8, access_base(body, memory),
			     &at, 1, "");
}

LLVMValueRef aotc_place(struct aotc_body *body, LLVMValueRef index,
			uint64_t width, uint32_t memory)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef at =
		access_checked(body,
			       LLVMBuildZExt(body->build, index, aotc->i64, ""),
			       0, width, memory);

	return LLVMBuildGEP2(body->build, aotc->i8, access_base(body, memory),
			     &at, 1, "");
}

void aotc_order(struct aotc_body *body, LLVMValueRef access)
{
	LLVMSetVolatile(access, true);
	LLVMSetAlignment(access, 1);
	LLVMSetMetadata(access, body->aotc->tbaa,
			body->aotc->places[AOTC_MEMORY]);
}

static void access_size(struct aotc_body *body, uint32_t memory)
{
	const struct wasm_limits *limits = access_limits(body, memory);
	struct aotc *aotc = body->aotc;
	LLVMValueRef pages =
		LLVMBuildLShr(body->build, access_bytes(body, memory),
			      aotc_i64(aotc, limits->page_log2), "");

	if (!limits->is64)
		pages = LLVMBuildTrunc(body->build, pages, aotc->i32, "");
	aotc_push(body, pages);
}

/* ---- globals --------------------------------------------------------------------- */

static LLVMValueRef access_global(struct aotc_body *body, uint32_t index)
{
	const struct wasm_module *module = body->aotc->module;
	struct aotc *aotc = body->aotc;
	LLVMValueRef all;

	if (index >= module->imported_globals)
		return aotc_at(body, body->context,
			       offsetof(struct wasm_instance, globals) +
				       (index - module->imported_globals) *
					       sizeof(struct wasm_global) +
				       offsetof(struct wasm_global, value));
	all = aotc_load_fixed(body, aotc->ptr, body->context,
			      offsetof(struct wasm_instance, imported_globals));
	all = aotc_load_fixed(body, aotc->ptr, all, 8ull * index);
	return aotc_at(body, all, offsetof(struct wasm_global, value));
}

static void access_global_get(struct aotc_body *body, uint32_t index)
{
	const struct wasm_global_decl *global =
		&body->aotc->module->globals[index];
	LLVMTypeRef type = aotc_value_type(body->aotc, global->type);
	LLVMValueRef place = access_global(body, index), value;

	value = global->is_mutable
			? aotc_load(body, type, place, 0, AOTC_GLOBAL)
			: aotc_load_fixed(body, type, place, 0);
	LLVMSetAlignment(value, 4);
	aotc_push(body, value);
}

/* As a slot: 32 bits have zeros above them. */
static void access_global_set(struct aotc_body *body, uint32_t index)
{
	struct aotc *aotc = body->aotc;
	wasm_type type = aotc->module->globals[index].type;
	LLVMValueRef value = aotc_pop(body), store;

	if (type == WASM_F32)
		value = LLVMBuildBitCast(body->build, value, aotc->i32, "");
	if (type == WASM_I32 || type == WASM_F32)
		value = LLVMBuildZExt(body->build, value, aotc->i64, "");
	store = LLVMBuildStore(body->build, value, access_global(body, index));
	LLVMSetVolatile(store, true);
	LLVMSetAlignment(store, 8);
	LLVMSetMetadata(store, aotc->tbaa, aotc->places[AOTC_GLOBAL]);
}

bool aotc_access(struct aotc_body *body, unsigned operation,
		 const struct wasm_immediates *immediates)
{
	uint32_t index = immediates->index[0];

	switch (operation) {
	case WASM_OP_MEMORY_SIZE: access_size(body, index); return true;
	case WASM_OP_GLOBAL_GET: access_global_get(body, index); return true;
	case WASM_OP_GLOBAL_SET: access_global_set(body, index); return true;
	}
	return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* memory.copy and memory.fill of few bytes, whose number is known: as
 * compilers copy structures.  Others go out of line. */
#include "aotc/aotc.h"

enum { BULK_MOST = 128, BULK_CHUNKS = BULK_MOST / 16 + 4 };

/* How many bytes, or BULK_MOST + 1.  Of a shared memory each byte is one that
 * others may see; there the operation is left as it is. */
static uint64_t bulk_bytes(const struct aotc_body *body,
			   const struct wasm_immediates *immediates,
			   unsigned memories)
{
	const struct wasm_module *module = body->aotc->module;
	LLVMValueRef count = body->stack[body->height - 1];
	uint64_t bytes = BULK_MOST + 1;

	if (LLVMIsAConstantInt(count))
		bytes = LLVMConstIntGetZExtValue(count);
	for (unsigned i = 0; i < memories; i++)
		if (module->memories[immediates->index[i]].limits.is_shared)
			return BULK_MOST + 1;
	return bytes;
}

static uint64_t bulk_chunk(uint64_t left)
{
	uint64_t width = 16;

	while (width > left)
		width /= 2;
	return width;
}

static LLVMTypeRef bulk_type(const struct aotc *aotc, uint64_t width)
{
	return width == 16
		       ? aotc->v128
		       : LLVMIntTypeInContext(aotc->llvm, (unsigned)width * 8);
}

static void bulk_store(struct aotc_body *body, LLVMValueRef value,
		       LLVMValueRef place, uint64_t offset)
{
	aotc_order(body, LLVMBuildStore(body->build, value,
					aotc_at(body, place, offset)));
}

/* All is loaded before anything is stored: the two may overlap. */
static void bulk_copy(struct aotc_body *body, LLVMValueRef to,
		      LLVMValueRef from, uint64_t bytes)
{
	LLVMValueRef chunks[BULK_CHUNKS];
	unsigned count = 0;

	for (uint64_t at = 0, width; at < bytes; at += width) {
		width = bulk_chunk(bytes - at);
		chunks[count] = LLVMBuildLoad2(body->build,
					       bulk_type(body->aotc, width),
					       aotc_at(body, from, at), "");
		aotc_order(body, chunks[count++]);
	}
	count = 0;
	for (uint64_t at = 0; at < bytes; at += bulk_chunk(bytes - at))
		bulk_store(body, chunks[count++], to, at);
}

static LLVMValueRef bulk_repeated(struct aotc_body *body, LLVMValueRef byte,
				  uint64_t width)
{
	const struct aotc *aotc = body->aotc;
	LLVMTypeRef pair = LLVMVectorType(aotc->i64, 2);
	LLVMValueRef word = LLVMBuildMul(
		body->build,
		LLVMBuildAnd(body->build, byte, aotc_i64(aotc, 0xff), ""),
		aotc_i64(aotc, UINT64_C(0x0101010101010101)), "");
	LLVMValueRef both = LLVMGetUndef(pair);

	if (width < 16)
		return LLVMBuildTrunc(body->build, word, bulk_type(aotc, width),
				      "");
	for (unsigned i = 0; i < 2; i++)
		both = LLVMBuildInsertElement(body->build, both, word,
					      aotc_i32(aotc, i), "");
	return LLVMBuildBitCast(body->build, both, aotc->v128, "");
}

static void bulk_fill(struct aotc_body *body, LLVMValueRef to,
		      LLVMValueRef byte, uint64_t bytes)
{
	LLVMValueRef word =
		LLVMBuildZExt(body->build, byte, body->aotc->i64, "");

	for (uint64_t at = 0, width; at < bytes; at += width) {
		width = bulk_chunk(bytes - at);
		bulk_store(body, bulk_repeated(body, word, width), to, at);
	}
}

bool aotc_bulk(struct aotc_body *body, unsigned operation,
	       const struct wasm_immediates *immediates)
{
	bool is_copy = operation == WASM_OP_MEMORY_COPY;
	LLVMValueRef to, from;
	uint64_t bytes;

	if (!is_copy && operation != WASM_OP_MEMORY_FILL)
		return false;
	bytes = bulk_bytes(body, immediates, 1 + is_copy);
	if (bytes > BULK_MOST)
		return false;
	aotc_pop(body);
	from = aotc_pop(body);
	to = aotc_place(body, aotc_pop(body), bytes, immediates->index[0]);
	if (!is_copy) {
		bulk_fill(body, to, from, bytes);
		return true;
	}
	from = aotc_place(body, from, bytes, immediates->index[1]);
	bulk_copy(body, to, from, bytes);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and returns, and operations out of line. */
#include "aotc/aotc.h"
#include "jit/compile.h"
#include "jit/offsets.h"

/* ---- values between functions ------------------------------------------------- */

static LLVMValueRef call_passed(struct aotc_body *body, LLVMValueRef value,
				wasm_type type)
{
	return type == WASM_I32
		       ? LLVMBuildZExt(body->build, value, body->aotc->i64, "")
		       : value;
}

static LLVMValueRef call_taken(struct aotc_body *body, LLVMValueRef value,
			       wasm_type type)
{
	return type == WASM_I32
		       ? LLVMBuildTrunc(body->build, value, body->aotc->i32, "")
		       : value;
}

/* Two results or more lie behind the arguments that came on the stack, where
 * the caller has made room. */
static void call_return_many(struct aotc_body *body, const LLVMValueRef *values)
{
	struct aotc *aotc = body->aotc;
	unsigned id = LLVMLookupIntrinsicID("llvm.addressofreturnaddress", 27);
	LLVMTypeRef type = aotc->ptr;
	LLVMValueRef base = LLVMBuildCall2(
		body->build, LLVMIntrinsicGetType(aotc->llvm, id, &type, 1),
		LLVMGetIntrinsicDeclaration(aotc->unit, id, &type, 1), NULL, 0,
		"");
	uint64_t first = 8 + jit_argument_bytes(body->type);

	for (uint32_t i = 0; i < body->type->result_count; i++) {
		LLVMValueRef store = LLVMBuildStore(
			body->build,
			call_passed(body, values[i], body->type->results[i]),
			aotc_at(body, base, first + 16ull * i));

		LLVMSetVolatile(store, true);
		LLVMSetAlignment(store, 8);
	}
	LLVMBuildRetVoid(body->build);
}

void aotc_return(struct aotc_body *body, const LLVMValueRef *values)
{
	if (body->type->result_count > 1)
		call_return_many(body, values);
	else if (body->type->result_count == 1)
		LLVMBuildRet(body->build, call_passed(body, values[0],
						      body->type->results[0]));
	else
		LLVMBuildRetVoid(body->build);
}

/* ---- out of line --------------------------------------------------------------- */

/* The same place for all that go out of this function. */
static LLVMValueRef call_slot(struct aotc_body *body, uint32_t number)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef at = aotc_i64(aotc, number), next;

	if (number >= body->slot_count)
		body->slot_count = number + 1;
	if (!body->slots) {
		next = body->last_alloca
			       ? LLVMGetNextInstruction(body->last_alloca)
			       : LLVMGetFirstInstruction(body->entry);
		LLVMPositionBuilder(aotc->build, body->entry, next);
		body->slots = body->last_alloca = LLVMBuildArrayAlloca(
			aotc->build, aotc->v128, aotc_i32(aotc, 1), "");
		LLVMSetAlignment(body->slots, 16);
	}
	return LLVMBuildGEP2(body->build, aotc->v128, body->slots, &at, 1, "");
}

static void call_to_slot(struct aotc_body *body, uint32_t number,
			 LLVMValueRef value)
{
	struct aotc *aotc = body->aotc;

	if (LLVMTypeOf(value) == aotc->f32)
		value = LLVMBuildBitCast(body->build, value, aotc->i32, "");
	if (LLVMTypeOf(value) == aotc->i32)
		value = LLVMBuildZExt(body->build, value, aotc->i64, "");
	LLVMBuildStore(body->build, value, call_slot(body, number));
}

static void call_from_slots(struct aotc_body *body, const wasm_type *types,
			    uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		aotc_push(body,
			  LLVMBuildLoad2(body->build,
					 aotc_value_type(body->aotc, types[i]),
					 call_slot(body, i), ""));
}

/* The words are expected behind an instruction's head. */
static LLVMValueRef call_words(struct aotc_body *body,
			       const struct jit_order *out)
{
	struct aotc *aotc = body->aotc;
	LLVMTypeRef type = LLVMArrayType2(aotc->i32, 8);
	LLVMValueRef words[8], global;

	for (unsigned i = 0; i < 8; i++)
		words[i] = aotc_i32(aotc, i && i <= out->word_count
						  ? out->words[i - 1]
						  : 0);
	global = LLVMAddGlobal(aotc->unit, type, "words");
	LLVMSetInitializer(global, LLVMConstArray2(aotc->i32, words, 8));
	LLVMSetGlobalConstant(global, true);
	LLVMSetLinkage(global, LLVMPrivateLinkage);
	LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
	return aotc_at(body, global, (uint64_t)-(int64_t)OUT_OF_LINE_HEAD);
}

void aotc_out(struct aotc_body *body, const struct jit_order *out)
{
	struct aotc *aotc = body->aotc;
	LLVMTypeRef types[] = { aotc->ptr, aotc->i64, aotc->ptr, aotc->ptr };
	LLVMValueRef operands[4], call, way;

	for (uint32_t i = out->operands; i > 0; i--)
		call_to_slot(body, i - 1, aotc_pop(body));
	if (out->result_count)
		call_slot(body, out->result_count - 1);
	operands[0] = body->context;
	operands[1] = aotc_i64(aotc, out->number);
	operands[2] = call_words(body, out);
	operands[3] = call_slot(body, 0);
	way = aotc_load_fixed(body, aotc->ptr, body->context,
			      offsetof(struct wasm_instance, native_out_at));
	call = LLVMBuildCall2(body->build,
			      LLVMFunctionType(aotc->nothing, types, 4, false),
			      way, operands, 4, "");
	aotc_call_attributes(aotc, call, NULL, AOTC_HERE);
	call_from_slots(body, out->results, out->result_count);
}

static bool call_is_of_objects(unsigned operation)
{
	return (operation >= WASM_OP_STRUCT_NEW &&
		operation <= WASM_OP_I31_GET_U) ||
	       operation == WASM_OP_THROW || operation == WASM_OP_THROW_REF;
}

/* Memories, tables, segments: as jit/object.c has their shapes. */
bool aotc_out_operation(struct aotc_body *body, unsigned operation,
			const struct wasm_immediates *immediates)
{
	struct jit_order out;
	wasm_type result;

	if (call_is_of_objects(operation) ||
	    !jit_order_of_shape(body->aotc->module, operation,
				immediates->index, &out, &result))
		return false;
	aotc_out(body, &out);
	return true;
}

static void call_wait(struct aotc_body *body, unsigned operation,
		      const struct wasm_immediates *immediates)
{
	struct jit_order out = jit_order_of_wait(operation, immediates);

	aotc_out(body, &out);
}

/* ---- calls ---------------------------------------------------------------------- */

enum { CALL_OPERANDS_MOST = WASM_PARAMS_MOST + 2 };

/* Pops the arguments; "operands" has the context, and room for another. */
static unsigned call_arguments(struct aotc_body *body,
			       const struct wasm_deftype *type,
			       LLVMValueRef *operands, unsigned first)
{
	for (uint32_t i = type->param_count; i > 0; i--)
		operands[first + i - 1] =
			call_passed(body, aotc_pop(body), type->params[i - 1]);
	return first + type->param_count;
}

static LLVMValueRef call_build(struct aotc_body *body,
			       const struct wasm_deftype *type,
			       enum aotc_callee callee, LLVMValueRef way,
			       LLVMValueRef *operands, unsigned count)
{
	LLVMValueRef call =
		LLVMBuildCall2(body->build,
			       aotc_call_type(body->aotc, type, callee), way,
			       operands, count, "");

	aotc_call_attributes(body->aotc, call, type, callee);
	return call;
}

static void call_push_result(struct aotc_body *body,
			     const struct wasm_deftype *type, LLVMValueRef call)
{
	if (type->result_count == 1)
		aotc_push(body, call_taken(body, call, type->results[0]));
}

static bool call_is_plain(const struct wasm_deftype *type)
{
	return type->result_count < 2 && jit_argument_bytes(type) == 0;
}

/* By a struct jit_block everything can be called: what has more than one
 * result, or comes to another module with words on the stack, which may move
 * it. */

static LLVMValueRef call_block_at(struct aotc_body *body, uint64_t offset)
{
	return aotc_at(body, call_slot(body, 0), offset);
}

static void call_block_set(struct aotc_body *body, uint64_t offset,
			   LLVMValueRef value)
{
	LLVMValueRef store =
		LLVMBuildStore(body->build, value, call_block_at(body, offset));

	LLVMSetAlignment(store, 8);
}

static uint64_t call_block_place(unsigned type, struct argument_places *places)
{
	unsigned general = places->general, vector = places->vector;
	uint32_t offset;

	if (jit_argument_next(places, type, &offset) == NO_REG)
		return BLOCK_STACK + offset;
	return file_of(type) == GENERAL ? BLOCK_GENERAL + 8 * general
					: BLOCK_VECTOR + 16 * vector;
}

static void call_block_arguments(struct aotc_body *body,
				 const struct wasm_deftype *type,
				 const LLVMValueRef *arguments)
{
	struct argument_places places = { 0 };

	for (uint32_t i = 0; i < type->param_count; i++)
		call_block_set(body,
			       call_block_place(jit_type_of(type->params[i]),
						&places),
			       arguments[i]);
}

static LLVMValueRef call_block_get(struct aotc_body *body, wasm_type type,
				   uint64_t offset)
{
	LLVMValueRef load =
		LLVMBuildLoad2(body->build, aotc_value_type(body->aotc, type),
			       call_block_at(body, offset), "");

	LLVMSetAlignment(load, 8);
	return load;
}

static void call_block_results(struct aotc_body *body,
			       const struct wasm_deftype *type)
{
	bool is_vector = type->result_count == 1 &&
			 file_of(jit_type_of(type->results[0])) == VECTOR;
	uint64_t first = BLOCK_STACK + jit_argument_bytes(type);

	if (type->result_count == 1)
		first = is_vector ? BLOCK_VECTOR : BLOCK_RESULT;
	for (uint32_t i = 0; i < type->result_count; i++)
		aotc_push(body, call_block_get(body, type->results[i],
					       first + 16ull * i));
}

/* function: NULL, the code is of this module and instance.  Arguments are as
 * they are passed; results are pushed. */
static void call_by_block(struct aotc_body *body,
			  const struct wasm_deftype *type, LLVMValueRef code,
			  LLVMValueRef function, LLVMValueRef context,
			  const LLVMValueRef *arguments)
{
	struct aotc *aotc = body->aotc;
	LLVMTypeRef types[] = { aotc->ptr, aotc->ptr };
	uint32_t words = jit_argument_bytes(type);
	uint32_t results = type->result_count > 1 ? 16 * type->result_count : 0;
	LLVMValueRef operands[2], call, way;

	call_slot(body, (BLOCK_STACK + words + results) / 16 - 1);
	call_block_arguments(body, type, arguments);
	call_block_set(body, BLOCK_CODE, code);
	call_block_set(body, BLOCK_FUNCTION,
		       function ?: LLVMConstNull(aotc->ptr));
	call_block_set(body, BLOCK_CONTEXT, context);
	call_block_set(body, BLOCK_ARGUMENTS, aotc_i64(aotc, words));
	call_block_set(body, BLOCK_BYTES, aotc_i64(aotc, words + results));
	operands[0] = body->context;
	operands[1] = call_slot(body, 0);
	way = aotc_load_fixed(body, aotc->ptr, body->context,
			      offsetof(struct wasm_instance,
				       native_call_block));
	call = LLVMBuildCall2(body->build,
			      LLVMFunctionType(aotc->nothing, types, 2, false),
			      way, operands, 2, "");
	aotc_call_attributes(aotc, call, NULL, AOTC_HERE);
	call_block_results(body, type);
}

static void call_pointer_by_block(struct aotc_body *body,
				  const struct wasm_deftype *type,
				  LLVMValueRef function,
				  const LLVMValueRef *arguments)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef owner =
		aotc_load(body, aotc->ptr, function,
			  offsetof(struct wasm_function, instance), AOTC_STORE);
	LLVMValueRef code =
		aotc_load(body, aotc->ptr, function,
			  offsetof(struct wasm_function, native), AOTC_STORE);
	LLVMValueRef is_host = LLVMBuildIsNull(body->build, owner, "");

	call_by_block(body, type, code, function,
		      LLVMBuildSelect(body->build, is_host, body->context,
				      owner, ""),
		      arguments);
}

/* A function of another instance, or the host's. */
static LLVMValueRef call_other(struct aotc_body *body,
			       const struct wasm_deftype *type,
			       LLVMValueRef function, LLVMValueRef *operands,
			       unsigned count)
{
	LLVMValueRef way;

	if (!call_is_plain(type)) {
		call_pointer_by_block(body, type, function, operands + 2);
		return type->result_count == 1
			       ? call_passed(body, aotc_pop(body),
					     type->results[0])
			       : NULL;
	}
	way = aotc_load_fixed(body, body->aotc->ptr, body->context,
			      offsetof(struct wasm_instance,
				       native_call_other));
	operands[1] = function;
	return call_build(body, type, AOTC_OTHER, way, operands, count);
}

static LLVMValueRef call_same(struct aotc_body *body,
			      const struct wasm_deftype *type,
			      LLVMValueRef function, LLVMValueRef *operands,
			      unsigned count)
{
	LLVMValueRef way =
		aotc_load(body, body->aotc->ptr, function,
			  offsetof(struct wasm_function, native), AOTC_STORE);

	operands[1] = body->memory;
	return call_build(body, type, AOTC_ELSEWHERE, way, operands, count);
}

/* Most functions in a table are of the instance itself. */
static void call_whose(struct aotc_body *body, const struct wasm_deftype *type,
		       LLVMValueRef function, LLVMValueRef *operands,
		       unsigned count)
{
	struct aotc *aotc = body->aotc;
	LLVMBasicBlockRef same = aotc_block(body), other = aotc_block(body),
			  joined = aotc_block(body);
	LLVMValueRef owner =
		aotc_load(body, aotc->ptr, function,
			  offsetof(struct wasm_function, instance), AOTC_STORE);
	LLVMValueRef branch, calls[2], result;

	branch = LLVMBuildCondBr(body->build,
				 LLVMBuildICmp(body->build, LLVMIntNE, owner,
					       body->context, ""),
				 other, same);
	LLVMSetMetadata(branch, aotc->weights, aotc->rarely);
	LLVMPositionBuilderAtEnd(body->build, same);
	calls[0] = call_same(body, type, function, operands, count);
	LLVMBuildBr(body->build, joined);
	LLVMPositionBuilderAtEnd(body->build, other);
	calls[1] = call_other(body, type, function, operands, count);
	other = LLVMGetInsertBlock(body->build);
	LLVMBuildBr(body->build, joined);
	LLVMPositionBuilderAtEnd(body->build, joined);
	if (type->result_count == 0)
		return;
	result = LLVMBuildPhi(body->build, LLVMTypeOf(calls[0]), "");
	LLVMAddIncoming(result, calls, (LLVMBasicBlockRef[]){ same, other }, 2);
	call_push_result(body, type, result);
}

static void call_pointer(struct aotc_body *body,
			 const struct wasm_deftype *type, LLVMValueRef function,
			 bool is_import)
{
	LLVMValueRef operands[CALL_OPERANDS_MOST];
	unsigned count;

	operands[0] = body->context;
	count = call_arguments(body, type, operands, 2);
	if (type->result_count > 1)
		call_pointer_by_block(body, type, function, operands + 2);
	else if (is_import)
		call_push_result(body, type,
				 call_other(body, type, function, operands,
					    count));
	else
		call_whose(body, type, function, operands, count);
}

static void call_import(struct aotc_body *body, uint32_t function,
			const struct wasm_deftype *type)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef all = aotc_load_fixed(body, aotc->ptr, body->context,
					   offsetof(struct wasm_instance,
						    imported_functions));

	call_pointer(body, type,
		     aotc_load_fixed(body, aotc->ptr, all, 8ull * function),
		     true);
}

static void call_own(struct aotc_body *body, uint32_t function,
		     const struct wasm_deftype *type)
{
	struct aotc *aotc = body->aotc;
	bool is_here = aotc->is_here[function];
	LLVMValueRef operands[CALL_OPERANDS_MOST];
	unsigned count;

	if (type->result_count > 1) {
		call_arguments(body, type, operands, 0);
		call_by_block(body, type, aotc_function(aotc, function), NULL,
			      body->context, operands);
		return;
	}
	operands[0] = body->context;
	operands[1] = body->memory;
	count = call_arguments(body, type, operands, is_here ? 1 : 2);
	call_push_result(
		body, type,
		call_build(body, type, is_here ? AOTC_HERE : AOTC_ELSEWHERE,
			   aotc_function(aotc, function), operands, count));
}

static void call_function(struct aotc_body *body, uint32_t function)
{
	const struct wasm_module *module = body->aotc->module;
	const struct wasm_deftype *type =
		module->type[module->functions[function].type_index];

	if (function < module->imported_functions)
		call_import(body, function, type);
	else
		call_own(body, function, type);
}

/* ---- by tables and references ------------------------------------------------------ */

static LLVMValueRef call_table(struct aotc_body *body, uint32_t table)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef all =
		aotc_load_fixed(body, aotc->ptr, body->context,
				offsetof(struct wasm_instance, tables));

	return aotc_load_fixed(body, aotc->ptr, all, 8ull * table);
}

static LLVMValueRef call_from_table(struct aotc_body *body, uint32_t number,
				    LLVMValueRef index)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef table = call_table(body, number), items, function;
	LLVMValueRef length =
		aotc_load(body, aotc->i64, table,
			  offsetof(struct wasm_table, length), AOTC_TABLE);

	index = LLVMBuildZExt(body->build, index, aotc->i64, "");
	aotc_trap_if(body,
		     LLVMBuildICmp(body->build, LLVMIntUGE, index, length, ""),
		     WASM_TRAP_undefined_element);
	items = aotc_load(body, aotc->ptr, table,
			  offsetof(struct wasm_table, elems), AOTC_TABLE);
	items = LLVMBuildGEP2(body->build, aotc->ptr, items, &index, 1, "");
	function = aotc_load(body, aotc->ptr, items, 0, AOTC_TABLE);
	aotc_trap_if(body, LLVMBuildIsNull(body->build, function, ""),
		     WASM_TRAP_uninitialized_element);
	return function;
}

static void call_check_type(struct aotc_body *body, uint32_t type_index,
			    LLVMValueRef function)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef ids =
		aotc_load_fixed(body, aotc->ptr, body->context,
				offsetof(struct wasm_instance, type_ids));
	LLVMValueRef wanted =
		aotc_load_fixed(body, aotc->i32, ids, 4ull * type_index);
	LLVMValueRef type =
		aotc_load_fixed(body, aotc->i32, function,
				offsetof(struct wasm_function, type));

	aotc_trap_if(body,
		     LLVMBuildICmp(body->build, LLVMIntNE, type, wanted, ""),
		     WASM_TRAP_indirect_type);
}

/* A type that may have subtypes. */
static void call_check_type_above(struct aotc_body *body, uint32_t type_index,
				  LLVMValueRef function)
{
	struct jit_order out = { .number = JIT_OUT_CALLEE,
				 .operands = 1,
				 .words = { type_index },
				 .word_count = 1 };

	aotc_push(body, LLVMBuildPtrToInt(body->build, function,
					  body->aotc->i64, ""));
	aotc_out(body, &out);
}

static void call_indirect(struct aotc_body *body, uint32_t type_index,
			  uint32_t table)
{
	const struct wasm_deftype *type = body->aotc->module->type[type_index];
	LLVMValueRef function = call_from_table(body, table, aotc_pop(body));

	if (type->is_final)
		call_check_type(body, type_index, function);
	else
		call_check_type_above(body, type_index, function);
	call_pointer(body, type, function, false);
}

static void call_reference(struct aotc_body *body, uint32_t type_index)
{
	LLVMValueRef function = LLVMBuildIntToPtr(body->build, aotc_pop(body),
						  body->aotc->ptr, "");

	aotc_trap_if(body, LLVMBuildIsNull(body->build, function, ""),
		     WASM_TRAP_null_function);
	call_pointer(body, body->aotc->module->type[type_index], function,
		     false);
}

bool aotc_call(struct aotc_body *body, unsigned operation,
	       const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_CALL:
		call_function(body, immediates->index[0]);
		return true;
	case WASM_OP_CALL_INDIRECT:
		call_indirect(body, immediates->index[0], immediates->index[1]);
		return true;
	case WASM_OP_CALL_REF:
		call_reference(body, immediates->index[0]);
		return true;
	case WASM_OP_MEMORY_ATOMIC_NOTIFY:
	case WASM_OP_MEMORY_ATOMIC_WAIT32:
	case WASM_OP_MEMORY_ATOMIC_WAIT64:
		call_wait(body, operation, immediates);
		return true;
	}
	return false;
}

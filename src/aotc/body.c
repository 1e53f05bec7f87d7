/* SPDX-License-Identifier: Apache-2.0 */
/* A function: its locals are places that LLVM makes values of, its operands
 * values, its operations calls of what operations.tab says. */
#include "aotc/aotc.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- operands -------------------------------------------------------------------- */

void aotc_leave(struct aotc_body *body, const char *why)
{
	if (!body->why)
		body->why = why;
}

void aotc_push(struct aotc_body *body, LLVMValueRef value)
{
	if (body->height == body->stack_room) {
		uint32_t room = body->stack_room * 2 + 64;
		LLVMValueRef *stack =
			realloc(body->stack, room * sizeof(*stack));

		if (!stack) {
			body->is_short = true;
			return;
		}
		body->stack = stack;
		body->stack_room = room;
	}
	body->stack[body->height++] = value;
}

LLVMValueRef aotc_pop(struct aotc_body *body)
{
	return body->stack[--body->height];
}

LLVMValueRef aotc_is_true(struct aotc_body *body, LLVMValueRef value)
{
	return LLVMBuildICmp(body->build, LLVMIntNE, value,
			     LLVMConstNull(LLVMTypeOf(value)), "");
}

LLVMBasicBlockRef aotc_block(struct aotc_body *body)
{
	return LLVMAppendBasicBlockInContext(body->aotc->llvm, body->value, "");
}

/* All in the entry block, where frames are laid out. */
LLVMValueRef aotc_alloca(struct aotc_body *body, LLVMTypeRef type)
{
	LLVMBuilderRef build = body->aotc->build;
	LLVMValueRef next = body->last_alloca
				    ? LLVMGetNextInstruction(body->last_alloca)
				    : LLVMGetFirstInstruction(body->entry);

	LLVMPositionBuilder(build, body->entry, next);
	body->last_alloca = LLVMBuildAlloca(build, type, "");
	return body->last_alloca;
}

/* ---- traps ------------------------------------------------------------------------ */

void aotc_become_dead(struct aotc_body *body)
{
	body->is_dead = true;
	body->dead_depth = 0;
}

static LLVMTypeRef body_trap_type(const struct aotc *aotc)
{
	LLVMTypeRef context = aotc->ptr;

	return LLVMFunctionType(aotc->nothing, &context, 1, false);
}

static LLVMValueRef body_stub(struct aotc *aotc, enum wasm_trap trap)
{
	static const char *const words[] = { "noreturn", "cold", "nounwind" };
	LLVMValueRef stub = aotc->stubs[trap];
	char name[20];

	if (stub)
		return stub;
	snprintf(name, sizeof(name), "t%u", trap);
	stub = LLVMAddFunction(aotc->unit, name, body_trap_type(aotc));
	aotc->stubs[trap] = stub;
	LLVMSetVisibility(stub, LLVMHiddenVisibility);
	aotc_call_attributes(aotc, stub, NULL, AOTC_HERE);
	for (unsigned i = 0; i < 3; i++)
		LLVMAddAttributeAtIndex(
			stub, LLVMAttributeFunctionIndex,
			LLVMCreateEnumAttribute(aotc->llvm,
						LLVMGetEnumAttributeKindForName(
							words[i],
							strlen(words[i])),
						0));
	return stub;
}

/* One block for each kind of trap: which it was is all that is told. */
static LLVMBasicBlockRef body_trap_block(struct aotc_body *body,
					 enum wasm_trap trap)
{
	struct aotc *aotc = body->aotc;
	LLVMBasicBlockRef *block = &body->traps[trap];
	LLVMValueRef call;

	if (*block)
		return *block;
	*block = aotc_block(body);
	LLVMPositionBuilderAtEnd(aotc->build, *block);
	call = LLVMBuildCall2(aotc->build, body_trap_type(aotc),
			      body_stub(aotc, trap), &body->context, 1, "");
	aotc_call_attributes(aotc, call, NULL, AOTC_HERE);
	LLVMBuildUnreachable(aotc->build);
	return *block;
}

void aotc_trap(struct aotc_body *body, enum wasm_trap trap)
{
	LLVMBuildBr(body->build, body_trap_block(body, trap));
	aotc_become_dead(body);
}

void aotc_trap_if(struct aotc_body *body, LLVMValueRef condition,
		  enum wasm_trap trap)
{
	LLVMBasicBlockRef next = aotc_block(body);
	LLVMValueRef branch = LLVMBuildCondBr(
		body->build, condition, body_trap_block(body, trap), next);

	LLVMSetMetadata(branch, body->aotc->weights, body->aotc->rarely);
	LLVMPositionBuilderAtEnd(body->build, next);
}

/* ---- floats ------------------------------------------------------------------------ */

/* LLVM takes x * 1 for x, and x + -0, x - 0 likewise; but what an operation
 * makes of a NaN is quiet.  So it must not find such a constant: those of the
 * module are loaded from where nothing is said to be known, which costs what
 * loading constants costs anyway.  Nor can what is made of them be known. */
static LLVMValueRef body_unknown(struct aotc_body *body, LLVMBuilderRef build,
				 LLVMValueRef constant, const char *name)
{
	struct aotc *aotc = body->aotc;
	LLVMTypeRef type = LLVMTypeOf(constant);
	LLVMValueRef place = LLVMGetNamedGlobal(aotc->unit, name), load;

	if (!place) {
		place = LLVMAddGlobal(aotc->unit, type, name);
		LLVMSetInitializer(place, constant);
		LLVMSetGlobalConstant(place, true);
		LLVMSetExternallyInitialized(place, true);
		LLVMSetLinkage(place, LLVMInternalLinkage);
	}
	load = LLVMBuildLoad2(build, type, place, "");
	LLVMSetMetadata(load, aotc->invariant, aotc->fixed);
	return load;
}

static LLVMValueRef body_float(struct aotc_body *body, LLVMBuilderRef build,
			       LLVMTypeRef type, uint64_t bits)
{
	const struct aotc *aotc = body->aotc;
	bool is_double = type == aotc->f64;
	char name[24];

	snprintf(name, sizeof(name), is_double ? "d%016llx" : "s%08llx",
		 (unsigned long long)bits);
	return body_unknown(
		body, build,
		LLVMConstBitCast(is_double ? aotc_i64(aotc, bits)
					   : aotc_i32(aotc, (uint32_t)bits),
				 type),
		name);
}

/* What is made of words may be made of known ones; LLVM does not look behind
 * a fence. */
static LLVMValueRef body_fence(struct aotc_body *body, LLVMValueRef value)
{
	LLVMTypeRef type = LLVMTypeOf(value);
	unsigned id = LLVMLookupIntrinsicID("llvm.arithmetic.fence", 21);
	LLVMValueRef fence =
		LLVMGetIntrinsicDeclaration(body->aotc->unit, id, &type, 1);

	return LLVMBuildCall2(body->build,
			      LLVMIntrinsicGetType(body->aotc->llvm, id, &type,
						   1),
			      fence, &value, 1, "");
}

/* What comes from memory, or is arithmetic of what is not known. */
static void body_set_unknown(const struct aotc *aotc, LLVMValueRef value)
{
	LLVMSetMetadata(value, aotc->unknown, aotc->fixed);
}

static bool body_is_unknown(const struct aotc *aotc, LLVMValueRef value)
{
	return LLVMIsACallInst(value) && LLVMGetMetadata(value, aotc->unknown);
}

static bool body_is_float(wasm_type type)
{
	return type == WASM_F32 || type == WASM_F64;
}

/* Of a vector any lane may be neutral. */
static LLVMValueRef body_fence_vector(struct aotc_body *body,
				      LLVMValueRef value)
{
	struct aotc *aotc = body->aotc;
	LLVMTypeRef reals = LLVMVectorType(aotc->f64, 2);

	if (body_is_unknown(aotc, value))
		return value;
	value = LLVMBuildBitCast(body->build, value, reals, "");
	value = body_fence(body, value);
	return LLVMBuildBitCast(body->build, value, aotc->v128, "");
}

/* ---- locals ------------------------------------------------------------------------ */

/* Those that are not parameters begin as zero. */
static LLVMValueRef body_local(struct aotc_body *body, uint32_t index)
{
	struct aotc *aotc = body->aotc;
	LLVMValueRef *local = &body->locals[index], store;
	LLVMValueRef value;
	wasm_type type;

	if (*local)
		return *local;
	type = wasm_validator_local(aotc->validator, index);
	value = LLVMConstNull(aotc_value_type(aotc, type));
	*local = aotc_alloca(body, LLVMTypeOf(value));
	LLVMPositionBuilder(aotc->build, body->entry,
			    LLVMGetNextInstruction(*local));
	if (body_is_float(type))
		value = body_float(body, aotc->build, LLVMTypeOf(value), 0);
	store = LLVMBuildStore(aotc->build, value, *local);
	body->last_alloca = store;
	return *local;
}

static void body_params(struct aotc_body *body)
{
	struct aotc *aotc = body->aotc;

	for (uint32_t i = 0; i < body->type->param_count; i++) {
		wasm_type type = body->type->params[i];
		LLVMValueRef value = LLVMGetParam(body->value, 1 + i);

		if (type == WASM_I32)
			value = LLVMBuildTrunc(body->build, value, aotc->i32,
					       "");
		body->locals[i] =
			aotc_alloca(body, aotc_value_type(aotc, type));
		LLVMBuildStore(body->build, value, body->locals[i]);
	}
}

static void body_local_operation(struct aotc_body *body, unsigned operation,
				 uint32_t index)
{
	LLVMValueRef local = body_local(body, index), value;

	if (operation == WASM_OP_LOCAL_GET) {
		aotc_push(body, LLVMBuildLoad2(body->build,
					       LLVMGetAllocatedType(local),
					       local, ""));
		return;
	}
	value = aotc_pop(body);
	LLVMBuildStore(body->build, value, local);
	if (operation == WASM_OP_LOCAL_TEE)
		aotc_push(body, value);
}

/* ---- constants ---------------------------------------------------------------------- */

static LLVMValueRef body_vector(const struct aotc *aotc, const uint8_t *bytes)
{
	LLVMValueRef lanes[16];

	for (unsigned i = 0; i < 16; i++)
		lanes[i] = LLVMConstInt(aotc->i8, bytes[i], false);
	return LLVMConstVector(lanes, 16);
}

static LLVMValueRef body_constant(struct aotc_body *body, unsigned operation,
				  const struct wasm_immediates *immediates)
{
	struct aotc *aotc = body->aotc;
	uint64_t bits = immediates->value;

	switch (operation) {
	case WASM_OP_I32_CONST: return aotc_i32(aotc, (uint32_t)bits);
	case WASM_OP_I64_CONST: return aotc_i64(aotc, bits);
	case WASM_OP_F32_CONST:
		return body_float(body, body->build, aotc->f32, (uint32_t)bits);
	case WASM_OP_F64_CONST:
		return body_float(body, body->build, aotc->f64, bits);
	default: return body_vector(aotc, immediates->bytes);
	}
}

static bool body_simple(struct aotc_body *body, unsigned operation,
			const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_NOP: return true;
	case WASM_OP_DROP: aotc_pop(body); return true;
	case WASM_OP_LOCAL_GET:
	case WASM_OP_LOCAL_SET:
	case WASM_OP_LOCAL_TEE:
		body_local_operation(body, operation, immediates->index[0]);
		return true;
	case WASM_OP_I32_CONST:
	case WASM_OP_I64_CONST:
	case WASM_OP_F32_CONST:
	case WASM_OP_F64_CONST:
	case WASM_OP_V128_CONST:
		aotc_push(body, body_constant(body, operation, immediates));
		return true;
	case WASM_OP_ATOMIC_FENCE:
		LLVMBuildFence(body->build,
			       LLVMAtomicOrderingSequentiallyConsistent, false,
			       "");
		return true;
	}
	return false;
}

/* ---- what has an expression ------------------------------------------------------------- */

static LLVMValueRef body_call(struct aotc_body *body, LLVMValueRef function,
			      LLVMValueRef *operands, unsigned count)
{
	return LLVMBuildCall2(body->build, LLVMGlobalGetValueType(function),
			      function, operands, count, "");
}

static void body_conditions(struct aotc_body *body, unsigned operation,
			    LLVMValueRef *operands, unsigned count)
{
	const struct aotc_operation *row = &aotc_operations[operation];
	char name[80];

	for (unsigned i = 0; i < 2 && row->traps[i]; i++) {
		LLVMValueRef condition;

		snprintf(name, sizeof(name), "%s_trap%u", row->name, i);
		condition =
			body_call(body,
				  LLVMGetNamedFunction(body->aotc->unit, name),
				  operands, count);
		aotc_trap_if(body, aotc_is_true(body, condition),
			     row->traps[i]);
	}
}

/* Lanes of a shuffle are known: LLVM finds the instruction. */
static LLVMValueRef body_shuffle(struct aotc_body *body,
				 LLVMValueRef operands[2], const uint8_t *lanes)
{
	LLVMValueRef mask[16];

	for (unsigned i = 0; i < 16; i++)
		mask[i] = aotc_i32(body->aotc, lanes[i]);
	return LLVMBuildShuffleVector(body->build, operands[0], operands[1],
				      LLVMConstVector(mask, 16), "");
}

/* Lanes that are added and so on, where a neutral one may be among them. */
static bool body_is_vector_arithmetic(unsigned operation)
{
	switch (operation) {
	case WASM_OP_F32X4_ADD:
	case WASM_OP_F32X4_SUB:
	case WASM_OP_F32X4_MUL:
	case WASM_OP_F32X4_DIV:
	case WASM_OP_F32X4_MIN:
	case WASM_OP_F32X4_MAX:
	case WASM_OP_F32X4_DEMOTE_F64X2_ZERO:
	case WASM_OP_F32X4_RELAXED_MADD:
	case WASM_OP_F32X4_RELAXED_NMADD:
	case WASM_OP_F32X4_RELAXED_MIN:
	case WASM_OP_F32X4_RELAXED_MAX:
	case WASM_OP_F64X2_ADD:
	case WASM_OP_F64X2_SUB:
	case WASM_OP_F64X2_MUL:
	case WASM_OP_F64X2_DIV:
	case WASM_OP_F64X2_MIN:
	case WASM_OP_F64X2_MAX:
	case WASM_OP_F64X2_RELAXED_MADD:
	case WASM_OP_F64X2_RELAXED_NMADD:
	case WASM_OP_F64X2_RELAXED_MIN:
	case WASM_OP_F64X2_RELAXED_MAX: return true;
	}
	return false;
}

/* A promotion that is taken back would be none. */
static void body_fence_operands(struct aotc_body *body, unsigned operation,
				LLVMValueRef *operands, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (body_is_vector_arithmetic(operation))
			operands[i] = body_fence_vector(body, operands[i]);
	if (operation == WASM_OP_F32_DEMOTE_F64 &&
	    !body_is_unknown(body->aotc, operands[0]))
		operands[0] = body_fence(body, operands[0]);
}

static bool body_is_arithmetic(unsigned operation)
{
	switch (operation) {
	case WASM_OP_F32_ADD:
	case WASM_OP_F32_SUB:
	case WASM_OP_F32_MUL:
	case WASM_OP_F32_DIV:
	case WASM_OP_F32_SQRT:
	case WASM_OP_F64_ADD:
	case WASM_OP_F64_SUB:
	case WASM_OP_F64_MUL:
	case WASM_OP_F64_DIV:
	case WASM_OP_F64_SQRT:
	case WASM_OP_F32X4_SPLAT: return true;
	}
	return body_is_vector_arithmetic(operation);
}

/* All of its result is from memory. */
static bool body_loads(unsigned operation)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];

	return info->operands[0] == 'a' && info->results[0] &&
	       info->immediates[1] != WASM_IMM_LANE &&
	       operation != WASM_OP_V128_LOAD32_ZERO &&
	       operation != WASM_OP_V128_LOAD64_ZERO;
}

/* Arithmetic of floats that are not known has a result that is not, for what
 * it makes of a NaN is one.  What is made of numbers may be known. */
static LLVMValueRef body_result(struct aotc_body *body, unsigned operation,
				LLVMValueRef *operands, unsigned count,
				LLVMValueRef result)
{
	struct aotc *aotc = body->aotc;
	LLVMTypeRef type = LLVMTypeOf(result);
	bool is_float = type == aotc->f32 || type == aotc->f64;
	bool of_floats = false, is_unknown = false;

	for (unsigned i = 0; i < count; i++) {
		LLVMTypeRef from = LLVMTypeOf(operands[i]);

		of_floats |= from == aotc->f32 || from == aotc->f64;
		is_unknown |= body_is_unknown(aotc, operands[i]);
	}
	if (is_float && !of_floats && !is_unknown && !body_loads(operation))
		return body_fence(body, result);
	if (body_loads(operation) || body_is_arithmetic(operation))
		body_set_unknown(aotc, result);
	return result;
}

static LLVMValueRef body_place_of_second(struct aotc_body *body)
{
	return aotc_alloca(body, body->aotc->i64);
}

static void body_expression(struct aotc_body *body, unsigned operation,
			    const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	struct aotc *aotc = body->aotc;
	unsigned count = (unsigned)strnlen(info->operands, 5), given;
	unsigned results = (unsigned)strnlen(info->results, 3);
	LLVMValueRef operands[8], *function = &aotc->operations[operation];
	LLVMValueRef second = NULL, result;

	for (unsigned i = count; i > 0; i--)
		operands[i - 1] =
			info->operands[i - 1] == 'a'
				? aotc_address(body, operation, immediates)
				: aotc_pop(body);
	body_conditions(body, operation, operands, count);
	body_fence_operands(body, operation, operands, count);
	given = count;
	if (operation == WASM_OP_I8X16_SHUFFLE) {
		aotc_push(body,
			  body_shuffle(body, operands, immediates->bytes));
		return;
	}
	if (info->immediates[0] == WASM_IMM_LANE ||
	    info->immediates[1] == WASM_IMM_LANE)
		operands[given++] = aotc_i32(aotc, immediates->lane);
	if (results == 2)
		operands[given++] = second = body_place_of_second(body);
	if (!*function)
		*function = LLVMGetNamedFunction(
			aotc->unit, aotc_operations[operation].name);
	result = body_call(body, *function, operands, given);
	if (results)
		aotc_push(body, body_result(body, operation, operands, count,
					    result));
	if (results == 2)
		aotc_push(body,
			  LLVMBuildLoad2(body->build, aotc->i64, second, ""));
}

/* ---- the body ---------------------------------------------------------------------------- */

static void body_operation(struct aotc_body *body, unsigned operation)
{
	struct wasm_immediates immediates;

	wasm_read_immediates(&body->reader, operation, &immediates);
	if (body_simple(body, operation, &immediates) ||
	    aotc_control(body, operation, &immediates) ||
	    aotc_call(body, operation, &immediates) ||
	    aotc_access(body, operation, &immediates) ||
	    aotc_bulk(body, operation, &immediates) ||
	    aotc_reference(body, operation, &immediates))
		return;
	if (aotc_operations[operation].name)
		body_expression(body, operation, &immediates);
	else if (!aotc_out_operation(body, operation, &immediates))
		aotc_leave(body, wasm_operations[operation].name);
}

/* Nothing is made of what cannot be reached; blocks are counted. */
static bool body_skip_dead(struct aotc_body *body, unsigned operation)
{
	bool is_end = operation == WASM_OP_END;

	if ((is_end || operation == WASM_OP_ELSE) && body->dead_depth == 0)
		return false;
	if (operation == WASM_OP_BLOCK || operation == WASM_OP_LOOP ||
	    operation == WASM_OP_IF || operation == WASM_OP_TRY_TABLE)
		body->dead_depth++;
	else if (is_end)
		body->dead_depth--;
	wasm_skip_immediates(&body->reader, operation);
	return true;
}

static void body_operations(struct aotc_body *body)
{
	while (body->label_count && !body->why && !body->is_short) {
		unsigned operation = wasm_read_operation(&body->reader);

		if (!body->is_dead || !body_skip_dead(body, operation))
			body_operation(body, operation);
	}
}

static void body_skip_locals(struct aotc_body *body)
{
	uint32_t groups = wasm_read_u32(&body->reader);

	while (groups--) {
		wasm_read_u32(&body->reader);
		wasm_read_value_type(&body->reader);
	}
}

/* Functions that call look whether there is room; those that do not fit into
 * the margin below the limit anyway. */
static void body_check_stack(struct aotc_body *body)
{
	struct aotc *aotc = body->aotc;
	unsigned id = LLVMLookupIntrinsicID("llvm.frameaddress", 17);
	LLVMTypeRef type = aotc->ptr;
	LLVMValueRef none = aotc_i32(aotc, 0), frame, limit;

	frame = LLVMBuildCall2(
		body->build, LLVMIntrinsicGetType(aotc->llvm, id, &type, 1),
		LLVMGetIntrinsicDeclaration(aotc->unit, id, &type, 1), &none, 1,
		"");
	limit = aotc_load_fixed(body, aotc->ptr, body->context,
				offsetof(struct wasm_instance, native_limit));
	aotc_trap_if(body,
		     LLVMBuildICmp(body->build, LLVMIntULT, frame, limit, ""),
		     WASM_TRAP_stack);
}

static void body_begin(struct aotc_body *body)
{
	struct aotc *aotc = body->aotc;
	LLVMBasicBlockRef first;

	body->value = aotc_function(aotc, body->function);
	body->context = LLVMGetParam(body->value, 0);
	body->entry = aotc_block(body);
	first = aotc_block(body);
	LLVMPositionBuilderAtEnd(body->build, body->entry);
	LLVMBuildBr(body->build, first);
	LLVMPositionBuilderAtEnd(body->build, first);
	if (aotc->module->memory_count)
		body->memory = aotc_load_fixed(body, aotc->ptr, body->context,
					       offsetof(struct wasm_instance,
							memory_base));
	else
		body->memory = LLVMConstNull(aotc->ptr);
	if (body->weights.call_count)
		body_check_stack(body);
	body_params(body);
}

/* The slots are known when all calls are. */
static void body_finish(struct aotc_body *body)
{
	if (body->slots)
		LLVMSetOperand(body->slots, 0,
			       aotc_i32(body->aotc, body->slot_count));
}

static int body_make(struct aotc_body *body, struct err *err)
{
	const struct wasm_module *module = body->aotc->module;
	const struct wasm_function_decl *decl =
		&module->functions[body->function];
	struct wasm_error error;

	if (wasm_validate_body(body->aotc->validator, body->function,
			       &body->weights, &error) < 0)
		return err_set(err, -EINVAL, "f%u: %s", body->function,
			       error.text);
	body->type = module->type[decl->type_index];
	body->reader = wasm_reader_of(decl->body, decl->body_len);
	if (body->weights.has_try) {
		body->why = "it catches exceptions";
		return 0;
	}
	body->locals =
		calloc(body->weights.local_count + 1ull, sizeof(*body->locals));
	if (!body->locals)
		return err_set(err, -ENOMEM, "f%u", body->function);
	body_skip_locals(body);
	body_begin(body);
	if (aotc_control_begin(body))
		body_operations(body);
	body_finish(body);
	return body->is_short ? err_set(err, -ENOMEM, "f%u", body->function)
			      : 0;
}

int aotc_body(struct aotc *aotc, uint32_t function, const char **why,
	      struct err *err)
{
	struct aotc_body body = {
		.aotc = aotc,
		.build = LLVMCreateBuilderInContext(aotc->llvm),
		.function = function,
	};
	int rc = body_make(&body, err);

	LLVMDisposeBuilder(body.build);
	*why = body.why;
	free(body.locals);
	free(body.stack);
	free(body.phis);
	free(body.labels);
	return rc < 0 ? -1 : body.why != NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* References, as words. */
#include "aotc/aotc.h"

static LLVMValueRef reference_is_null(struct aotc_body *body,
				      LLVMValueRef reference)
{
	return LLVMBuildICmp(body->build, LLVMIntEQ, reference,
			     aotc_i64(body->aotc, 0), "");
}

static LLVMValueRef reference_word(struct aotc_body *body, LLVMValueRef truth)
{
	return LLVMBuildZExt(body->build, truth, body->aotc->i32, "");
}

static LLVMValueRef reference_top(const struct aotc_body *body)
{
	return body->stack[body->height - 1];
}

static void reference_equal(struct aotc_body *body)
{
	LLVMValueRef b = aotc_pop(body), a = aotc_pop(body);

	aotc_push(body,
		  reference_word(body, LLVMBuildICmp(body->build, LLVMIntEQ, a,
						     b, "")));
}

/* The branch goes without the reference. */
static void reference_branch_null(struct aotc_body *body, uint32_t depth)
{
	LLVMValueRef reference = aotc_pop(body);

	aotc_branch_if(body, depth, reference_is_null(body, reference));
	aotc_push(body, reference);
}

/* The branch brings it. */
static void reference_branch_not_null(struct aotc_body *body, uint32_t depth)
{
	aotc_branch_if(body, depth, aotc_is_true(body, reference_top(body)));
	aotc_pop(body);
}

bool aotc_reference(struct aotc_body *body, unsigned operation,
		    const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_REF_NULL: aotc_push(body, aotc_i64(body->aotc, 0)); break;
	case WASM_OP_REF_IS_NULL:
		aotc_push(body,
			  reference_word(body, reference_is_null(
						       body, aotc_pop(body))));
		break;
	case WASM_OP_REF_EQ: reference_equal(body); break;
	case WASM_OP_REF_AS_NON_NULL:
		aotc_trap_if(body, reference_is_null(body, reference_top(body)),
			     WASM_TRAP_null_reference);
		break;
	case WASM_OP_BR_ON_NULL:
		reference_branch_null(body, immediates->index[0]);
		break;
	case WASM_OP_BR_ON_NON_NULL:
		reference_branch_not_null(body, immediates->index[0]);
		break;
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY: break; /* the word stays */
	default: return false;
	}
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* brood-aotc: functions of a module by LLVM (docs/optimiser.md).
 *
 *	main.c		the program
 *	make.c		a request in, an object out
 *	unit.c		what LLVM is given and does: types, passes, the object
 *	body.c		a function: locals, operands, one operation by the other
 *	control.c	blocks and branches
 *	access.c	the context, memories, globals
 *	bulk.c		copies and fills of few bytes
 *	call.c		calls, and operations out of line
 *	reference.c	references
 *	passes.h	LLVM's passes, and ours for loops
 *
 * What an operation means stands in operations.tab, also here: each row is a
 * function in bitcode, which is called and put in place.
 *
 * What a trap must not overtake is volatile or a call: accesses of memories,
 * writes of globals. */
#pragma once
#include "aot/request.h"
#include "aotc/operations.h"
#include "base/buf.h"
#include "base/err.h"
#include "brood/code_format.h"
#include "jit/out.h"
#include "wasm/decode.h"
#include "wasm/validate.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <stdio.h>

enum {
	AOTC_FRAME_MOST = 8192, /* bytes: within the margin of the stack */
	AOTC_TRAPS = WASM_TRAP_exit + 1,
};

/* What is known not to be the same place. */
enum aotc_place {
	AOTC_MEMORY,
	AOTC_GLOBAL,
	AOTC_TABLE,
	AOTC_STORE,
	AOTC_PLACES
};

struct aotc {
	const struct wasm_module *module;
	uint32_t options, features; /* of code_format.h */
	struct wasm_validator *validator;
	LLVMContextRef llvm;
	LLVMTargetMachineRef machine;
	LLVMModuleRef unit;
	LLVMBuilderRef build;
	LLVMTypeRef nothing, i1, i8, i32, i64, f32, f64, v128, ptr;
	LLVMAttributeRef self, async, nest, word, *function;
	unsigned function_attributes;
	LLVMValueRef places[AOTC_PLACES]; /* tbaa tags */
	LLVMValueRef fixed, rarely;	  /* invariant.load, branch weights */
	unsigned tbaa, invariant, weights, unknown;
	LLVMValueRef *functions; /* of the module; NULL: not named yet */
	uint8_t *is_here;	 /* is in this request */
	LLVMValueRef operations[WASM_OPERATIONS], stubs[AOTC_TRAPS];
	bool is_large;	/* a frame: */
	uint32_t large; /* whose */
};

/* make.c */
#define AOTC_REQUEST_MOST (UINT64_C(1) << 31)
/* The object of a request.  A line "fN: why" is told of each function that is
 * left out. */
int aotc_make(const void *request, size_t len, FILE *words,
	      LLVMMemoryBufferRef *object, struct err *err);

/* unit.c */
int aotc_unit_open(struct aotc *aotc, struct err *err);
void aotc_unit_close(struct aotc *aotc);
/* The function as it is called from its own module.  Those that are not made
 * here take the base of memory 0 along. */
LLVMValueRef aotc_function(struct aotc *aotc, uint32_t function);
LLVMTypeRef aotc_value_type(const struct aotc *aotc, wasm_type type);
enum aotc_callee { AOTC_HERE, AOTC_ELSEWHERE, AOTC_OTHER };
/* HERE: context, arguments; ELSEWHERE: context, base of memory 0, arguments;
 * OTHER: context, function, arguments. */
LLVMTypeRef aotc_call_type(const struct aotc *aotc,
			   const struct wasm_deftype *type,
			   enum aotc_callee callee);
void aotc_call_attributes(const struct aotc *aotc, LLVMValueRef call,
			  const struct wasm_deftype *type,
			  enum aotc_callee callee);
/* All functions are in: the object. */
int aotc_unit_emit(struct aotc *aotc, LLVMMemoryBufferRef *object,
		   struct err *err);

/* body.c */
enum aotc_label_kind {
	AOTC_FUNCTION,
	AOTC_BLOCK,
	AOTC_LOOP,
	AOTC_IF,
	AOTC_ELSE
};
struct aotc_label {
	enum aotc_label_kind kind;
	LLVMBasicBlockRef target, otherwise;
	uint32_t height;		 /* below its parameters */
	const struct wasm_deftype *type; /* or NULL: */
	wasm_type result;		 /* one, or WASM_NONE */
	uint32_t first_phi;		 /* in the body's "phis" */
	bool is_reached;
};

struct aotc_body {
	struct aotc *aotc;
	LLVMBuilderRef build;
	uint32_t function;
	const struct wasm_deftype *type;
	struct wasm_weights weights;
	struct wasm_reader reader;
	LLVMValueRef value; /* the function */
	LLVMBasicBlockRef entry, traps[AOTC_TRAPS];
	LLVMValueRef last_alloca; /* more come behind it */
	LLVMValueRef context, memory, slots;
	uint32_t slot_count;
	LLVMValueRef *locals; /* [local_count], NULL: not named yet */
	LLVMValueRef *stack, *phis;
	uint32_t height, stack_room, phi_count, phi_room;
	struct aotc_label *labels;
	uint32_t label_count, label_room;
	bool is_dead, is_short;
	uint32_t dead_depth;
	const char *why; /* it is left to the baseline compiler */
};
/* 0; 1 and *why: it is left out; -1: no memory. */
int aotc_body(struct aotc *aotc, uint32_t function, const char **why,
	      struct err *err);

void aotc_push(struct aotc_body *body, LLVMValueRef value);
LLVMValueRef aotc_pop(struct aotc_body *body);
void aotc_leave(struct aotc_body *body, const char *why);
void aotc_trap(struct aotc_body *body, enum wasm_trap trap);
/* Goes on where the condition (i1) does not hold. */
void aotc_trap_if(struct aotc_body *body, LLVMValueRef condition,
		  enum wasm_trap trap);
void aotc_become_dead(struct aotc_body *body);
LLVMBasicBlockRef aotc_block(struct aotc_body *body);
LLVMValueRef aotc_alloca(struct aotc_body *body, LLVMTypeRef type);
static inline LLVMValueRef aotc_i32(const struct aotc *aotc, uint32_t value)
{
	return LLVMConstInt(aotc->i32, value, false);
}
static inline LLVMValueRef aotc_i64(const struct aotc *aotc, uint64_t value)
{
	return LLVMConstInt(aotc->i64, value, false);
}
/* i1 of an i32, or of a reference. */
LLVMValueRef aotc_is_true(struct aotc_body *body, LLVMValueRef value);

/* control.c */
bool aotc_control(struct aotc_body *body, unsigned operation,
		  const struct wasm_immediates *immediates);
bool aotc_control_begin(struct aotc_body *body);
void aotc_branch_if(struct aotc_body *body, uint32_t depth,
		    LLVMValueRef condition);

/* access.c */
LLVMValueRef aotc_at(struct aotc_body *body, LLVMValueRef base,
		     uint64_t offset);
/* What never changes, and what may. */
LLVMValueRef aotc_load_fixed(struct aotc_body *body, LLVMTypeRef type,
			     LLVMValueRef base, uint64_t offset);
LLVMValueRef aotc_load(struct aotc_body *body, LLVMTypeRef type,
		       LLVMValueRef base, uint64_t offset,
		       enum aotc_place place);
/* Where an access is: the address is on the stack. */
LLVMValueRef aotc_address(struct aotc_body *body, unsigned operation,
			  const struct wasm_immediates *immediates);
/* Does an access outside of the memory fault by itself? */
bool aotc_is_guarded(const struct aotc *aotc, uint32_t memory);
/* Of "width" bytes, all of them within. */
LLVMValueRef aotc_place(struct aotc_body *body, LLVMValueRef index,
			uint64_t width, uint32_t memory);
/* A load or store of a memory stays where it is. */
void aotc_order(struct aotc_body *body, LLVMValueRef access);
bool aotc_access(struct aotc_body *body, unsigned operation,
		 const struct wasm_immediates *immediates);

/* bulk.c */
bool aotc_bulk(struct aotc_body *body, unsigned operation,
	       const struct wasm_immediates *immediates);

/* reference.c */
bool aotc_reference(struct aotc_body *body, unsigned operation,
		    const struct wasm_immediates *immediates);

/* call.c */
bool aotc_call(struct aotc_body *body, unsigned operation,
	       const struct wasm_immediates *immediates);
/* An operation by its C function: operands from the stack, results to it. */
void aotc_out(struct aotc_body *body, const struct jit_order *out);
bool aotc_out_operation(struct aotc_body *body, unsigned operation,
			const struct wasm_immediates *immediates);
void aotc_return(struct aotc_body *body, const LLVMValueRef *values);

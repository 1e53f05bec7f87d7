/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks and branches.  What a branch brings is a phi of each value where ways
 * join. */
#include "aotc/aotc.h"
#include <stdlib.h>

/* Of a table's ways: an interpreter's; LLVM repeats none of more (make.c). */
enum { CONTROL_TABLE_LEAST = 8, CONTROL_TABLE_MOST = 64 };

static struct aotc_label *control_label(struct aotc_body *body, uint32_t depth)
{
	return &body->labels[body->label_count - 1 - depth];
}

static uint32_t control_params(const struct aotc_label *label)
{
	return label->type ? label->type->param_count : 0;
}

static uint32_t control_results(const struct aotc_label *label)
{
	return label->type ? label->type->result_count
			   : label->result != WASM_NONE;
}

static uint32_t control_arity(const struct aotc_label *label)
{
	return label->kind == AOTC_LOOP ? control_params(label)
					: control_results(label);
}

static wasm_type control_brought(const struct aotc_label *label, uint32_t i)
{
	if (!label->type)
		return label->result;
	return label->kind == AOTC_LOOP ? label->type->params[i]
					: label->type->results[i];
}

/* ---- phis -------------------------------------------------------------------------- */

static bool control_room(struct aotc_body *body, uint32_t phis)
{
	uint64_t wanted = (uint64_t)body->phi_count + phis;
	LLVMValueRef *grown;

	if (wanted <= body->phi_room)
		return true;
	wanted = wanted * 2 + 64;
	grown = realloc(body->phis, wanted * sizeof(*grown));
	if (!grown) {
		body->is_short = true;
		return false;
	}
	body->phis = grown;
	body->phi_room = (uint32_t)wanted;
	return true;
}

static void control_make_phis(struct aotc_body *body, struct aotc_label *label)
{
	struct aotc *aotc = body->aotc;
	uint32_t count = control_arity(label);

	label->first_phi = body->phi_count;
	if (!control_room(body, count))
		return;
	LLVMPositionBuilderAtEnd(aotc->build, label->target);
	for (uint32_t i = 0; i < count; i++)
		body->phis[body->phi_count++] = LLVMBuildPhi(
			aotc->build,
			aotc_value_type(aotc, control_brought(label, i)), "");
}

/* The top values come along from where the builder is. */
static void control_bring(struct aotc_body *body, struct aotc_label *label)
{
	uint32_t count = control_arity(label);
	LLVMBasicBlockRef from = LLVMGetInsertBlock(body->build);

	label->is_reached = true;
	for (uint32_t i = 0; i < count; i++)
		LLVMAddIncoming(body->phis[label->first_phi + i],
				&body->stack[body->height - count + i], &from,
				1);
}

static void control_push_phis(struct aotc_body *body,
			      const struct aotc_label *label)
{
	for (uint32_t i = 0; i < control_arity(label); i++)
		aotc_push(body, body->phis[label->first_phi + i]);
}

/* ---- labels ------------------------------------------------------------------------ */

static struct aotc_label *control_push(struct aotc_body *body,
				       enum aotc_label_kind kind)
{
	struct aotc_label *label;

	if (body->label_count == body->label_room) {
		uint32_t room = body->label_room * 2 + 16;
		struct aotc_label *labels =
			realloc(body->labels, room * sizeof(*labels));

		if (!labels) {
			body->is_short = true;
			return NULL;
		}
		body->labels = labels;
		body->label_room = room;
	}
	label = &body->labels[body->label_count++];
	*label =
		(struct aotc_label){ .kind = kind, .target = aotc_block(body) };
	return label;
}

static struct aotc_label *
control_push_block(struct aotc_body *body, enum aotc_label_kind kind,
		   const struct wasm_immediates *immediates)
{
	struct aotc_label *label = control_push(body, kind);

	if (!label)
		return NULL;
	label->result = immediates->types[0];
	if (immediates->block_type != WASM_NO_TYPE)
		label->type = body->aotc->module->type[immediates->block_type];
	label->height = body->height - control_params(label);
	control_make_phis(body, label);
	return label;
}

bool aotc_control_begin(struct aotc_body *body)
{
	struct aotc_label *label = control_push(body, AOTC_FUNCTION);

	if (!label)
		return false;
	label->type = body->type;
	control_make_phis(body, label);
	return true;
}

static void control_loop(struct aotc_body *body,
			 const struct wasm_immediates *immediates)
{
	struct aotc_label *label =
		control_push_block(body, AOTC_LOOP, immediates);

	if (!label)
		return;
	control_bring(body, label);
	LLVMBuildBr(body->build, label->target);
	LLVMPositionBuilderAtEnd(body->build, label->target);
	body->height = label->height;
	control_push_phis(body, label);
}

static void control_if(struct aotc_body *body,
		       const struct wasm_immediates *immediates)
{
	LLVMValueRef condition = aotc_is_true(body, aotc_pop(body));
	struct aotc_label *label =
		control_push_block(body, AOTC_IF, immediates);
	LLVMBasicBlockRef then = aotc_block(body);

	if (!label)
		return;
	label->otherwise = aotc_block(body);
	LLVMBuildCondBr(body->build, condition, then, label->otherwise);
	LLVMPositionBuilderAtEnd(body->build, then);
	/* Parameters lie below; both ways begin with them. */
	for (uint32_t i = 0; i < control_params(label); i++)
		aotc_push(body, body->stack[label->height + i]);
}

static void control_finish_way(struct aotc_body *body, struct aotc_label *label)
{
	if (body->is_dead)
		return;
	control_bring(body, label);
	LLVMBuildBr(body->build, label->target);
}

static void control_else(struct aotc_body *body)
{
	struct aotc_label *label = control_label(body, 0);

	control_finish_way(body, label);
	LLVMPositionBuilderAtEnd(body->build, label->otherwise);
	label->kind = AOTC_ELSE;
	body->is_dead = false;
	body->height = label->height + control_params(label);
	for (uint32_t i = 0; i < control_params(label); i++)
		aotc_push(body, body->stack[label->height + i]);
}

static void control_end_function(struct aotc_body *body,
				 struct aotc_label *label)
{
	control_finish_way(body, label);
	LLVMPositionBuilderAtEnd(body->build, label->target);
	if (label->is_reached)
		aotc_return(body, &body->phis[label->first_phi]);
	else
		LLVMBuildUnreachable(body->build);
	body->is_dead = false;
}

static void control_end(struct aotc_body *body)
{
	struct aotc_label *label = control_label(body, 0);
	struct aotc_label ended;

	if (label->kind == AOTC_IF)
		control_else(body);
	if (label->kind == AOTC_FUNCTION) {
		control_end_function(body, label);
		body->label_count--;
		return;
	}
	ended = *label;
	if (ended.kind == AOTC_LOOP) { /* goes on where it is */
		body->label_count--;
		if (body->is_dead)
			aotc_become_dead(body);
		return;
	}
	control_finish_way(body, label);
	ended.is_reached = label->is_reached;
	body->label_count--;
	body->height = ended.height;
	LLVMPositionBuilderAtEnd(body->build, ended.target);
	if (!ended.is_reached) {
		LLVMBuildUnreachable(body->build);
		aotc_become_dead(body);
		return;
	}
	body->is_dead = false;
	control_push_phis(body, &ended);
}

/* ---- branches ----------------------------------------------------------------------- */

static void control_branch(struct aotc_body *body, uint32_t depth)
{
	struct aotc_label *label = control_label(body, depth);

	control_bring(body, label);
	LLVMBuildBr(body->build, label->target);
	aotc_become_dead(body);
}

void aotc_branch_if(struct aotc_body *body, uint32_t depth,
		    LLVMValueRef condition)
{
	struct aotc_label *label = control_label(body, depth);
	LLVMBasicBlockRef next = aotc_block(body);

	control_bring(body, label);
	LLVMBuildCondBr(body->build, condition, label->target, next);
	LLVMPositionBuilderAtEnd(body->build, next);
}

/* A way for each label that brings values, for a block may come to a phi but
 * once for each of its ways. */
static LLVMBasicBlockRef control_way(struct aotc_body *body, uint32_t depth)
{
	struct aotc_label *label = control_label(body, depth);
	LLVMBasicBlockRef here = LLVMGetInsertBlock(body->build), way;

	label->is_reached = true;
	if (!control_arity(label))
		return label->target;
	way = aotc_block(body);
	LLVMPositionBuilderAtEnd(body->build, way);
	control_bring(body, label);
	LLVMBuildBr(body->build, label->target);
	LLVMPositionBuilderAtEnd(body->build, here);
	return way;
}

static bool control_is_in_loop(const struct aotc_body *body)
{
	for (uint32_t i = 0; i < body->label_count; i++)
		if (body->labels[i].kind == AOTC_LOOP)
			return true;
	return false;
}

/* All that are past the end are one of it: without a branch for these, what
 * chooses the way is short, and LLVM can repeat it where it is gone to. */
static LLVMValueRef control_clamp(struct aotc_body *body, LLVMValueRef index,
				  uint32_t count)
{
	LLVMValueRef end = aotc_i32(body->aotc, count);
	LLVMValueRef is_past =
		LLVMBuildICmp(body->build, LLVMIntUGT, index, end, "");

	return LLVMBuildSelect(body->build, is_past, end, index, "");
}

static LLVMValueRef control_switch(struct aotc_body *body, LLVMValueRef index,
				   LLVMBasicBlockRef otherwise, uint32_t count)
{
	LLVMBasicBlockRef here = LLVMGetInsertBlock(body->build), nowhere;
	LLVMValueRef table;

	if (count < CONTROL_TABLE_LEAST || count > CONTROL_TABLE_MOST ||
	    !control_is_in_loop(body))
		return LLVMBuildSwitch(body->build, index, otherwise, count);
	nowhere = aotc_block(body);
	LLVMPositionBuilderAtEnd(body->build, nowhere);
	LLVMBuildUnreachable(body->build);
	LLVMPositionBuilderAtEnd(body->build, here);
	index = control_clamp(body, index, count);
	table = LLVMBuildSwitch(body->build, index, nowhere, count + 1);
	LLVMAddCase(table, aotc_i32(body->aotc, count), otherwise);
	return table;
}

static void control_table(struct aotc_body *body,
			  const struct wasm_immediates *immediates)
{
	struct wasm_reader reader =
		wasm_reader_of(immediates->bytes,
			       (size_t)(body->reader.end - immediates->bytes));
	uint32_t count = immediates->count;
	LLVMValueRef index = aotc_pop(body), table;
	LLVMBasicBlockRef *ways = calloc(body->label_count, sizeof(*ways));
	uint32_t *depths = malloc((count + 1ull) * sizeof(*depths));

	if (!ways || !depths) {
		body->is_short = true;
	} else {
		for (uint32_t i = 0; i <= count; i++) {
			depths[i] = wasm_read_u32(&reader);
			if (!ways[depths[i]])
				ways[depths[i]] = control_way(body, depths[i]);
		}
		table = control_switch(body, index, ways[depths[count]], count);
		for (uint32_t i = 0; i < count; i++)
			LLVMAddCase(table, aotc_i32(body->aotc, i),
				    ways[depths[i]]);
		aotc_become_dead(body);
	}
	free(ways);
	free(depths);
}

static void control_select(struct aotc_body *body)
{
	LLVMValueRef condition = aotc_is_true(body, aotc_pop(body));
	LLVMValueRef otherwise = aotc_pop(body), chosen = aotc_pop(body);

	aotc_push(body, LLVMBuildSelect(body->build, condition, chosen,
					otherwise, ""));
}

bool aotc_control(struct aotc_body *body, unsigned operation,
		  const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_UNREACHABLE: aotc_trap(body, WASM_TRAP_unreachable); break;
	case WASM_OP_BLOCK:
		control_push_block(body, AOTC_BLOCK, immediates);
		break;
	case WASM_OP_LOOP: control_loop(body, immediates); break;
	case WASM_OP_IF: control_if(body, immediates); break;
	case WASM_OP_ELSE: control_else(body); break;
	case WASM_OP_END: control_end(body); break;
	case WASM_OP_BR: control_branch(body, immediates->index[0]); break;
	case WASM_OP_BR_IF:
		aotc_branch_if(body, immediates->index[0],
			       aotc_is_true(body, aotc_pop(body)));
		break;
	case WASM_OP_BR_TABLE: control_table(body, immediates); break;
	case WASM_OP_RETURN: control_branch(body, body->label_count - 1); break;
	case WASM_OP_SELECT:
	case WASM_OP_SELECT_TYPED: control_select(body); break;
	default: return false;
	}
	return true;
}

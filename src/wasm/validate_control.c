/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks, branches and calls: the rules of operations that change the control
 * stack or go by a list of types. */
#include "wasm/validate_internal.h"

static const wasm_type *list_types(const struct wasm_control *frame,
				   const struct wasm_list *list)
{
	return list->types ? list->types : &frame->single;
}

static const struct wasm_list *label_of(const struct wasm_control *frame)
{
	return frame->opcode == 0x03 ? &frame->params : &frame->results;
}

static const wasm_type *label_types(const struct wasm_control *frame)
{
	return list_types(frame, label_of(frame));
}

/* Frames */

static bool more_frames(struct wasm_validator *v)
{
	uint32_t used = (uint32_t)(v->frame - v->frames);
	uint32_t room = v->frame_room * 2;
	struct wasm_control *frames =
		wasm_validate_grow(v, v->frames, v->frame_room * sizeof *frames,
				   room * sizeof *frames);

	if (!frames)
		return false;
	v->frame = frames + used;
	v->frames = frames;
	v->frame_room = room;
	return true;
}

void wasm_frame_enter(struct wasm_validator *v, uint8_t opcode,
		      struct wasm_list params, struct wasm_list results,
		      wasm_type single)
{
	if (v->frame + 1 >= v->frames + v->frame_room && !more_frames(v))
		return;
	v->frame++;
	*v->frame = (struct wasm_control){
		.params = params,
		.results = results,
		.label_count = opcode == 0x03 ? params.count : results.count,
		.height = (uint32_t)(v->top - v->stack),
		.weight = v->weight,
		.strict = v->strict_count,
		.start_set = v->set,
		.branch_set = UINT64_MAX,
		.single = single,
		.opcode = opcode,
	};
	v->base = v->top;
	if (opcode == 0x03) {
		v->loop_count++;
		if (v->weight < WEIGHT_MOST)
			v->weight *= 8;
	}
}

static void forget_strict(struct wasm_validator *v, uint32_t height)
{
	while (v->strict_count > height)
		v->locals[v->strict[--v->strict_count]].type = WASM_NONE;
}

void wasm_frame_leave(struct wasm_validator *v)
{
	const struct wasm_control *frame = v->frame--;

	if (frame->opcode == 0x04)
		v->set = frame->start_set;
	else if (frame->opcode != 0x03)
		v->set &= frame->branch_set;
	v->weight = frame->weight;
	v->base = v->stack + v->frame->height;
	if (v->strict_count > frame->strict)
		forget_strict(v, frame->strict);
}

void wasm_frame_die(struct wasm_validator *v)
{
	v->top = v->base;
	v->set = UINT64_MAX;
	v->frame->is_dead = true;
}

struct wasm_control *wasm_frame_at(struct wasm_validator *v, uint32_t depth)
{
	if (depth < (uint32_t)(v->frame - v->frames))
		return v->frame - depth;
	wasm_validate_fail(v, "unknown label %u", depth);
	return v->frames;
}

void wasm_frame_branch(struct wasm_validator *v, struct wasm_control *frame)
{
	frame->branch_set &= v->set;
}

static struct wasm_control *branch(struct wasm_validator *v, uint32_t depth)
{
	struct wasm_control *frame = wasm_frame_at(v, depth);

	wasm_frame_branch(v, frame);
	return frame;
}

/* Blocks */

static struct wasm_list results_of(const struct wasm_deftype *type)
{
	return (struct wasm_list){ type->results, type->result_count };
}

static struct wasm_list params_of(const struct wasm_deftype *type)
{
	return (struct wasm_list){ type->params, type->param_count };
}

void wasm_rule_block(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_list params = { NULL, 0 }, results = { NULL, 0 };
	const struct wasm_deftype *type;
	wasm_type single = WASM_NONE;

	if (v->imm.block_type != WASM_NO_TYPE) {
		type = wasm_rule_type(v, v->imm.block_type, WASM_KIND_FUNCTION);
		if (!type)
			return;
		params = params_of(type);
		results = results_of(type);
	} else if (v->imm.types[0] != WASM_NONE) {
		single = wasm_rule_resolve(v, v->imm.types[0]);
		results.count = 1;
	}
	if (op == WASM_OP_IF)
		wasm_pop(v, WASM_I32);
	wasm_pop_list(v, params.types, params.count);
	wasm_frame_enter(v, (uint8_t)wasm_operations[op].code, params, results,
			 single);
	wasm_push_list(v, params.types, params.count);
}

void wasm_rule_unreachable(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_frame_die(v);
}

/* The frame's results are there and nothing else. */
static void pop_results(struct wasm_validator *v)
{
	const struct wasm_control *frame = v->frame;

	wasm_pop_list(v, list_types(frame, &frame->results),
		      frame->results.count);
	if (v->top != v->base)
		wasm_validate_fail(v,
				   "type mismatch: %u operands too many at the "
				   "end of a block",
				   (uint32_t)(v->top - v->base));
}

void wasm_rule_else(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_control *frame = v->frame;

	(void)op;
	if (frame->opcode != 0x04) {
		wasm_validate_fail(v, "END opcode expected");
		return;
	}
	pop_results(v);
	frame->opcode = 0x05;
	frame->is_dead = false;
	frame->branch_set &= v->set;
	v->set = frame->start_set;
	forget_strict(v, frame->strict);
	wasm_push_list(v, frame->params.types, frame->params.count);
}

static bool lists_match(const struct wasm_validator *v, const wasm_type *low,
			const wasm_type *high, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!wasm_type_matches(v->module->types, low[i], high[i]))
			return false;
	return true;
}

void wasm_rule_end(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_control frame = *v->frame;

	(void)op;
	pop_results(v);
	if (frame.opcode == 0x04 &&
	    (frame.params.count != frame.results.count ||
	     !lists_match(v, list_types(&frame, &frame.params),
			  list_types(&frame, &frame.results),
			  frame.params.count)))
		wasm_validate_fail(v, "type mismatch: an if without else must "
				      "leave what it takes");
	wasm_frame_leave(v);
	if (v->frame > v->frames)
		wasm_push_list(v, list_types(&frame, &frame.results),
			       frame.results.count);
}

/* Branches */

void wasm_rule_br(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_control *frame = branch(v, v->imm.index[0]);

	(void)op;
	wasm_pop_list(v, label_types(frame), frame->label_count);
	wasm_frame_die(v);
}

/* The label's types are then what is known of the operands. */
static void pass_label(struct wasm_validator *v,
		       const struct wasm_control *frame, uint32_t count)
{
	wasm_pop_list(v, label_types(frame), count);
	wasm_push_list(v, label_types(frame), count);
}

void wasm_rule_br_if(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_control *frame = branch(v, v->imm.index[0]);

	(void)op;
	wasm_pop(v, WASM_I32);
	pass_label(v, frame, frame->label_count);
}

/* Labels of the same types are checked once when they follow each other. */
void wasm_rule_br_table(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_reader labels = v->reader;
	const wasm_type *last = NULL;
	uint32_t arity = 0;

	(void)op;
	wasm_pop(v, WASM_I32);
	labels.at = v->imm.bytes;
	for (uint32_t i = 0; i <= v->imm.count && !v->reader.failed; i++) {
		struct wasm_control *frame = branch(v, wasm_read_u32(&labels));

		if (i && frame->label_count != arity)
			wasm_validate_fail(v, "type mismatch: labels of "
					      "different arity");
		arity = frame->label_count;
		if (arity && label_types(frame) != last)
			wasm_check_list(v, label_types(frame), arity);
		last = label_types(frame);
	}
	wasm_frame_die(v);
}

void wasm_rule_return(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_control *frame = &v->frames[1];

	(void)op;
	wasm_pop_list(v, list_types(frame, &frame->results),
		      frame->results.count);
	wasm_frame_die(v);
}

void wasm_rule_br_on_null(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type type = wasm_pop_reference(v);
	struct wasm_control *frame = branch(v, v->imm.index[0]);

	(void)op;
	pass_label(v, frame, frame->label_count);
	wasm_push(v, type & ~WASM_NULLABLE);
}

/* Branches that take a reference along: the label's last type. */
static struct wasm_control *reference_branch(struct wasm_validator *v,
					     wasm_type type)
{
	struct wasm_control *frame = branch(v, v->imm.index[0]);
	wasm_type last;

	if (!frame->label_count) {
		wasm_validate_fail(v, "type mismatch: the label takes no "
				      "reference");
		return NULL;
	}
	last = label_types(frame)[frame->label_count - 1];
	if (!wasm_type_is_ref(last) ||
	    (type != WASM_BOTTOM_REF &&
	     !wasm_type_matches(v->module->types, type, last)))
		wasm_validate_mismatch(v, last, type);
	pass_label(v, frame, frame->label_count - 1);
	return frame;
}

void wasm_rule_br_on_non_null(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	reference_branch(v, wasm_pop_reference(v) & ~WASM_NULLABLE);
}

/* Sets what goes to the label and what stays. */
static void cast_types(struct wasm_validator *v, wasm_type *to, wasm_type *rest)
{
	wasm_type from = wasm_rule_resolve(v, v->imm.types[0]);

	*to = wasm_rule_resolve(v, v->imm.types[1]);
	if (v->reader.failed)
		return;
	if (!wasm_type_matches(v->module->types, *to, from))
		wasm_validate_mismatch(v, from, *to);
	wasm_pop(v, from);
	*rest = *to & WASM_NULLABLE ? from & ~WASM_NULLABLE : from;
}

void wasm_rule_br_on_cast(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type to = WASM_NONE, rest = WASM_NONE;

	(void)op;
	cast_types(v, &to, &rest);
	if (reference_branch(v, to))
		wasm_push(v, rest);
}

void wasm_rule_br_on_cast_fail(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type to = WASM_NONE, rest = WASM_NONE;

	(void)op;
	cast_types(v, &to, &rest);
	if (reference_branch(v, rest))
		wasm_push(v, to);
}

/* Exceptions */

static const struct wasm_deftype *tag_type(struct wasm_validator *v,
					   uint32_t index)
{
	const struct wasm_module *module = v->module;

	if (index < module->tag_count)
		return module->type[module->tags[index].type_index];
	wasm_validate_fail(v, "unknown tag %u", index);
	return NULL;
}

/* Kinds: 1 the exception's reference too, 2 of any tag. */
static void check_catch(struct wasm_validator *v, uint8_t kind,
			const struct wasm_deftype *tag, uint32_t depth)
{
	static const wasm_type exception = WASM_REF | WASM_ABSTRACT | WASM_EXN;
	struct wasm_control *frame = branch(v, depth);
	uint32_t count = tag ? tag->param_count : 0;
	const wasm_type *types = label_types(frame);

	if (v->reader.failed)
		return;
	if (frame->label_count != count + (kind & 1) ||
	    (count && !lists_match(v, tag->params, types, count)) ||
	    (kind & 1 && !lists_match(v, &exception, types + count, 1)))
		wasm_validate_fail(v, "type mismatch: the label does not take "
				      "what is caught");
}

void wasm_rule_try_table(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_reader catches = v->reader;

	v->has_try = true;
	catches.at = v->imm.bytes;
	for (uint32_t i = 0; i < v->imm.count && !v->reader.failed; i++) {
		uint8_t kind = wasm_read_byte(&catches);
		const struct wasm_deftype *tag = NULL;

		if (!(kind & 2))
			tag = tag_type(v, wasm_read_u32(&catches));
		check_catch(v, kind, tag, wasm_read_u32(&catches));
	}
	wasm_rule_block(v, op);
}

void wasm_rule_throw(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *tag = tag_type(v, v->imm.index[0]);

	(void)op;
	if (tag)
		wasm_pop_list(v, tag->params, tag->param_count);
	wasm_frame_die(v);
}

void wasm_rule_throw_ref(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_pop(v, WASM_EXNREF);
	wasm_frame_die(v);
}

/* Calls */

static const struct wasm_deftype *called_function(struct wasm_validator *v)
{
	const struct wasm_module *module = v->module;
	uint32_t index = v->imm.index[0];

	if (index < module->function_count)
		return module->type[module->functions[index].type_index];
	wasm_validate_fail(v, "unknown function %u", index);
	return NULL;
}

static const struct wasm_deftype *called_indirectly(struct wasm_validator *v)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[1]);

	if (!table)
		return NULL;
	if (!wasm_type_matches(v->module->types, table->type, WASM_FUNCREF))
		wasm_validate_mismatch(v, WASM_FUNCREF, table->type);
	wasm_pop(v, table->limits.is64 ? WASM_I64 : WASM_I32);
	return wasm_rule_type(v, v->imm.index[0], WASM_KIND_FUNCTION);
}

static const struct wasm_deftype *called_by_reference(struct wasm_validator *v)
{
	const struct wasm_deftype *type =
		wasm_rule_type(v, v->imm.index[0], WASM_KIND_FUNCTION);

	if (type)
		wasm_pop(v, WASM_REF | WASM_NULLABLE | type->id);
	return type;
}

static void call(struct wasm_validator *v, const struct wasm_deftype *type)
{
	if (!type)
		return;
	v->call_count++;
	v->call_weight += v->weight;
	wasm_pop_list(v, type->params, type->param_count);
	wasm_push_list(v, type->results, type->result_count);
}

static void tail_call(struct wasm_validator *v, const struct wasm_deftype *type)
{
	const struct wasm_list *results = &v->frames[1].results;

	if (!type)
		return;
	v->has_tail_calls = true;
	v->call_count++;
	if (type->result_count != results->count ||
	    !lists_match(v, type->results, list_types(v->frames, results),
			 results->count))
		wasm_validate_fail(v, "type mismatch: the function called "
				      "gives other results");
	wasm_pop_list(v, type->params, type->param_count);
	wasm_frame_die(v);
}

void wasm_rule_call(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	call(v, called_function(v));
}

void wasm_rule_call_indirect(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	call(v, called_indirectly(v));
}

void wasm_rule_call_ref(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	call(v, called_by_reference(v));
}

void wasm_rule_return_call(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	tail_call(v, called_function(v));
}

void wasm_rule_return_call_indirect(struct wasm_validator *v,
				    enum wasm_operation op)
{
	(void)op;
	tail_call(v, called_indirectly(v));
}

void wasm_rule_return_call_ref(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	tail_call(v, called_by_reference(v));
}

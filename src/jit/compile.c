/* SPDX-License-Identifier: Apache-2.0 */
/* A function: homes for its locals, its prologue, its operations one after
 * the other, its epilogue. */
#include "jit/compile.h"

enum {
	HOMES_GENERAL = 7,
	HOMES_VECTOR = 11,
	KEPT = 3,	       /* registers that a callee keeps */
	OPERATION_BYTES = 2048 /* that any operation may emit without asking */
};
static const uint8_t kept_registers[KEPT] = { RBX, R12, R15 };
static const uint8_t given_registers[] = { R10, R9, R8, RDI };
enum { GIVEN = sizeof(given_registers) };

/* The locals that the body names, by number; others take no time. */
static uint32_t named_count(const struct jit_compiler *c)
{
	return c->weights.first_count + c->weights.other_count;
}

static uint32_t named(const struct jit_compiler *c, uint32_t number)
{
	return number < c->weights.first_count
		       ? number
		       : c->weights.others[number - c->weights.first_count];
}

/* Homes */

struct candidate {
	uint32_t local, weight;
};
struct candidates {
	struct candidate items[2][HOMES_VECTOR];
	uint32_t counts[2];
};

static void candidate_add(struct candidates *all, enum file file, uint32_t most,
			  struct candidate candidate)
{
	struct candidate *items = all->items[file];
	uint32_t at = all->counts[file];

	if (at == most && items[most - 1].weight >= candidate.weight)
		return;
	if (at < most)
		all->counts[file]++;
	else
		at = most - 1;
	while (at > 0 && items[at - 1].weight < candidate.weight) {
		items[at] = items[at - 1];
		at--;
	}
	items[at] = candidate;
}

/* What is used once gains nothing. */
static void candidates_find(struct jit_compiler *c, struct candidates *all)
{
	memset(all->counts, 0, sizeof(all->counts));
	if (c->weights.has_try || c->options->without & JIT_WITHOUT_HOMES)
		return;
	for (uint32_t i = 0; i < named_count(c); i++) {
		uint32_t index = named(c, i);
		struct candidate candidate = { index, c->weights.uses[index] };
		enum file file = file_of(local_at(c, index)->type);

		if (candidate.weight >= 2)
			candidate_add(all, file,
				      file == VECTOR ? HOMES_VECTOR
						     : HOMES_GENERAL,
				      candidate);
	}
}

static void home_set(struct jit_compiler *c, uint32_t index, enum file file,
		     unsigned reg, bool is_caller_kept)
{
	struct local *local = local_at(c, index);

	local->reg = (uint8_t)reg;
	c->all[file] &= ~(1u << reg);
	if (is_caller_kept) {
		local->is_caller_kept = true;
		c->caller_kept[c->caller_kept_count++] = index;
	}
}

/* A parameter's own register, where it may stay in it; else the next. */
static unsigned given_for(struct jit_compiler *c, uint32_t index)
{
	unsigned general = 0;

	if (index < c->type->param_count) {
		for (uint32_t i = 0; i < index; i++)
			general += file_of(local_at(c, i)->type) == GENERAL;
		for (unsigned i = 0; i < GIVEN && general < ARGUMENT_GENERAL;
		     i++)
			if (given_registers[i] ==
				    jit_argument_registers[general] &&
			    c->all[GENERAL] >> given_registers[i] & 1)
				return given_registers[i];
	}
	for (unsigned i = 0; i < GIVEN; i++)
		if (c->all[GENERAL] >> given_registers[i] & 1)
			return given_registers[i];
	return NO_REG;
}

static bool home_kept(struct jit_compiler *c, const struct candidate *candidate)
{
	if (c->kept_count >= KEPT || candidate->weight <= 2)
		return false;
	home_set(c, candidate->local, GENERAL, kept_registers[c->kept_count],
		 false);
	c->kept[c->kept_count] = kept_registers[c->kept_count];
	c->kept_count++;
	return true;
}

static bool home_given(struct jit_compiler *c,
		       const struct candidate *candidate)
{
	unsigned reg = NO_REG;

	if (candidate->weight > 2 * c->weights.call_weight)
		reg = given_for(c, candidate->local);
	if (reg == NO_REG)
		return false;
	home_set(c, candidate->local, GENERAL, reg, true);
	return true;
}

static void homes_choose(struct jit_compiler *c)
{
	struct candidates all;
	bool is_leaf = c->weights.call_count == 0;

	candidates_find(c, &all);
	for (uint32_t i = 0; i < all.counts[GENERAL]; i++) {
		const struct candidate *candidate = &all.items[GENERAL][i];

		if (is_leaf)
			(void)(home_given(c, candidate) ||
			       home_kept(c, candidate));
		else
			(void)(home_kept(c, candidate) ||
			       home_given(c, candidate));
	}
	for (uint32_t i = 0; i < all.counts[VECTOR]; i++) {
		const struct candidate *candidate = &all.items[VECTOR][i];

		if (candidate->weight > 2 * c->weights.call_weight)
			home_set(c, candidate->local, VECTOR, 14 - i, true);
	}
}

/* Locals and the frame */

static void locals_read(struct jit_compiler *c)
{
	if (c->weights.local_count &&
	    !jit_vector_room(c, &c->locals, c->weights.local_count - 1,
			     sizeof(struct local)))
		return;
	for (uint32_t i = 0; i < c->type->param_count; i++)
		*local_at(c, i) = (struct local){ .type = (uint8_t)jit_type_of(
							  c->type->params[i]),
						  .reg = NO_REG };
	for (uint32_t i = 0; i < named_count(c); i++) {
		uint32_t index = named(c, i);
		wasm_type type = wasm_validator_local(c->validator, index);

		*local_at(c, index) =
			(struct local){ .type = (uint8_t)jit_type_of(type),
					.reg = NO_REG };
	}
}

/* The operations begin behind the locals. */
static void locals_skip(struct jit_compiler *c)
{
	uint32_t groups = wasm_read_u32(&c->reader);

	while (groups--) {
		wasm_read_u32(&c->reader);
		wasm_read_value_type(&c->reader);
	}
}

static int32_t frame_place(struct jit_compiler *c, uint32_t index, int32_t at)
{
	struct local *local = local_at(c, index);

	if (!c->weights.uses[index] ||
	    (local->reg != NO_REG && !local->is_caller_kept))
		return at;
	at -= local->type == T_V128 ? 16 : 8;
	local->frame = at;
	return at;
}

/* Parameters that come on the stack stay there. */
static void frame_lay_out(struct jit_compiler *c)
{
	int32_t at = -(int32_t)(8 * (c->keeps_context + c->kept_count));
	struct argument_places places = { 0 };
	uint32_t offset;

	for (uint32_t i = 0; i < c->type->param_count; i++) {
		struct local *local = local_at(c, i);

		if (jit_argument_next(&places, local->type, &offset) == NO_REG)
			local->frame = (int32_t)(16 + offset);
		else
			at = frame_place(c, i, at);
	}
	for (uint32_t i = 0; i < named_count(c); i++)
		if (named(c, i) >= c->type->param_count)
			at = frame_place(c, named(c, i), at);
	c->values_at = at;
}

static void params_to_frame(struct jit_compiler *c)
{
	struct argument_places places = { 0 };
	uint32_t offset;

	for (uint32_t i = 0; i < c->type->param_count; i++) {
		const struct local *local = local_at(c, i);
		unsigned type = local->type == T_I32 ? T_I64 : local->type;
		unsigned reg = jit_argument_next(&places, local->type, &offset);

		if (reg != NO_REG && local->reg == NO_REG && c->weights.uses[i])
			jit_store_rm(c, rm_at(RBP, local->frame), reg, type);
	}
}

static void params_to_homes(struct jit_compiler *c)
{
	struct move moves[2][ARGUMENT_VECTOR];
	unsigned counts[2] = { 0, 0 };
	struct argument_places places = { 0 };
	uint32_t offset;

	for (uint32_t i = 0; i < c->type->param_count; i++) {
		const struct local *local = local_at(c, i);
		unsigned reg = jit_argument_next(&places, local->type, &offset);
		enum file file = file_of(local->type);

		if (reg != NO_REG && local->reg != NO_REG)
			moves[file][counts[file]++] =
				(struct move){ local->reg, (uint8_t)reg,
					       local->type };
	}
	jit_moves_make(c, moves[GENERAL], counts[GENERAL], GENERAL);
	jit_moves_make(c, moves[VECTOR], counts[VECTOR], VECTOR);
	for (uint32_t i = 0; i < c->type->param_count; i++) {
		const struct local *local = local_at(c, i);

		if (local->reg != NO_REG && local->frame > 0)
			jit_load_rm(c, local->reg, rm_at(RBP, local->frame),
				    local->type == T_I32 ? T_I64 : local->type);
	}
}

static void zero_local(struct jit_compiler *c, const struct local *local,
		       bool *has_zero)
{
	if (local->reg != NO_REG && file_of(local->type) == VECTOR) {
		jit_emit_float(c, 0x57 | OP_0F, local->reg, local->reg,
			       rm_reg(local->reg), true);
	} else if (local->reg != NO_REG) {
		emit(&c->e, 0x31, local->reg, rm_reg(local->reg));
	} else {
		if (!*has_zero)
			emit(&c->e, 0x31, SCRATCH, rm_reg(SCRATCH));
		*has_zero = true;
		jit_store_rm(c, rm_at(RBP, local->frame), SCRATCH, T_I64);
		if (local->type == T_V128)
			jit_store_rm(c, rm_at(RBP, local->frame + 8), SCRATCH,
				     T_I64);
	}
}

static void locals_zero(struct jit_compiler *c)
{
	bool has_zero = false;

	for (uint32_t i = 0; i < named_count(c); i++) {
		uint32_t index = named(c, i);

		if (index < c->type->param_count ||
		    !c->weights.needs_zero[index])
			continue;
		if (!jit_code_room(c, 64))
			return;
		zero_local(c, local_at(c, index), &has_zero);
	}
}

/* Prologue and epilogue */

static int32_t kept_at(const struct jit_compiler *c, unsigned number)
{
	return -(int32_t)(8 * (c->keeps_context + number + 1));
}

static void emit_frame(struct jit_compiler *c, uint32_t op, unsigned reg,
		       unsigned base)
{
	emit(&c->e, op, reg, rm_at(base, INT32_MIN));
	jit_code_fix(c, &c->frame_fixes);
}

void jit_code_restore_stack(struct jit_compiler *c)
{
	emit_frame(c, 0x8d | OP_W, RSP, RBP);
}

/* Where a frame does not fit nothing of it is touched. */
static void prologue(struct jit_compiler *c)
{
	jit_load_rm(c, MEMORY,
		    rm_at(CONTEXT, offsetof(struct wasm_instance, memory_base)),
		    T_I64); /* CODE_WAY_IN */
	emit1(&c->e, 0x55);
	jit_move(c, RBP, RSP, T_I64);
	emit_frame(c, 0x8d | OP_W, SCRATCH, RBP);
	emit(&c->e, 0x3b | OP_W, SCRATCH,
	     rm_at(CONTEXT, offsetof(struct wasm_instance, native_limit)));
	jit_code_trap_if(c, CC_B, WASM_TRAP_stack);
	jit_move(c, RSP, SCRATCH, T_I64);
	if (c->keeps_context)
		jit_store_rm(c, rm_at(RBP, -8), CONTEXT, T_I64);
	for (unsigned i = 0; i < c->kept_count; i++)
		jit_store_rm(c, rm_at(RBP, kept_at(c, i)), c->kept[i], T_I64);
	params_to_frame(c);
	params_to_homes(c);
	locals_zero(c);
	if (c->has_fuel && jit_code_room(c, OPERATION_BYTES))
		jit_code_count_turn(c);
}

void jit_code_restore_kept(struct jit_compiler *c)
{
	for (unsigned i = 0; i < c->kept_count; i++)
		jit_load_rm(c, c->kept[i], rm_at(RBP, kept_at(c, i)), T_I64);
}

void jit_code_epilogue(struct jit_compiler *c)
{
	jit_code_restore_kept(c);
	emit1(&c->e, 0xc9); /* leave */
	emit1(&c->e, 0xc3);
}

static void frame_finish(struct jit_compiler *c)
{
	const struct fix *fixes = c->fixes.items;
	uint64_t bytes = (uint64_t)-(int64_t)c->values_at +
			 (uint64_t)c->most_slots * c->slot_bytes + c->out_bytes;

	bytes = (bytes + 15) & ~15ull;
	if (bytes > INT32_MAX / 2)
		c->failed = true;
	for (uint32_t i = c->frame_fixes; i != NONE && !c->failed;
	     i = fixes[i].next)
		jit_code_set4(c, fixes[i].at, (uint32_t)-(int64_t)bytes);
}

/* Operations */

static void local_get(struct jit_compiler *c, uint32_t index)
{
	jit_push_local(c, index);
}

static void local_set(struct jit_compiler *c, uint32_t index, bool is_tee)
{
	struct operand value = jit_pop(c);
	struct local *local = local_at(c, index);

	if (value.value.place == IN_LOCAL && value.value.index == index) {
		if (is_tee)
			jit_push_local(c, index);
		return;
	}
	jit_local_keep(c, index);
	if (local->reg != NO_REG) {
		jit_operand_to(c, &value, local->reg);
		jit_release(c, &value);
		if (is_tee)
			jit_push_local(c, index);
		return;
	}
	if (is_tee && value.value.place != IS_CONSTANT)
		jit_operand_reg(c, &value);
	jit_operand_store(c, &value, rm_at(RBP, local->frame));
	if (!is_tee)
		jit_release(c, &value);
	else if (value.value.place == IN_LOCAL)
		jit_push_local(c, value.value.index);
	else
		jit_push(c, value.value);
}

static void drop(struct jit_compiler *c)
{
	struct operand value = jit_pop(c);

	jit_release(c, &value);
}

static void constant(struct jit_compiler *c, unsigned operation,
		     const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_I32_CONST:
		jit_push_constant(c, T_I32, (uint32_t)immediates->value);
		break;
	case WASM_OP_I64_CONST:
		jit_push_constant(c, T_I64, immediates->value);
		break;
	case WASM_OP_F32_CONST:
		jit_push_constant(c, T_F32, (uint32_t)immediates->value);
		break;
	case WASM_OP_F64_CONST:
		jit_push_constant(c, T_F64, immediates->value);
		break;
	default: jit_push_constant(c, T_V128, (uintptr_t)immediates->bytes);
	}
}

static void simple(struct jit_compiler *c, unsigned operation,
		   const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_NOP: break;
	case WASM_OP_DROP: drop(c); break;
	case WASM_OP_LOCAL_GET: local_get(c, immediates->index[0]); break;
	case WASM_OP_LOCAL_SET:
		local_set(c, immediates->index[0], false);
		break;
	case WASM_OP_LOCAL_TEE: local_set(c, immediates->index[0], true); break;
	default: constant(c, operation, immediates);
	}
}

/* Who compiles an operation; asked once for each compiler. */
enum owner { OF_ALL, OF_SIMPLE, OF_NUMBERS, OF_REALS, OF_MEMORY, OF_VECTORS };

static bool is_simple(unsigned operation)
{
	return operation == WASM_OP_LOCAL_GET ||
	       operation == WASM_OP_LOCAL_SET ||
	       operation == WASM_OP_LOCAL_TEE || operation == WASM_OP_DROP ||
	       operation == WASM_OP_NOP || operation == WASM_OP_I32_CONST ||
	       operation == WASM_OP_I64_CONST ||
	       operation == WASM_OP_F32_CONST ||
	       operation == WASM_OP_F64_CONST ||
	       operation == WASM_OP_V128_CONST;
}

static bool always_by_hand(unsigned operation)
{
	return operation == WASM_OP_GLOBAL_GET ||
	       operation == WASM_OP_GLOBAL_SET ||
	       operation == WASM_OP_MEMORY_SIZE;
}

static enum owner owner_of(const struct jit_compiler *c, unsigned operation)
{
	if (is_simple(operation))
		return OF_SIMPLE;
	if (always_by_hand(operation))
		return OF_MEMORY;
	if (c->options->without & JIT_WITHOUT_HAND)
		return OF_ALL;
	if (jit_number_owns(operation))
		return OF_NUMBERS;
	if (jit_real_owns(operation))
		return OF_REALS;
	if (jit_memory_owns(operation))
		return OF_MEMORY;
	return jit_vector_owns(operation) ? OF_VECTORS : OF_ALL;
}

/* The common forms at once, the others as everybody reads them. */
static void immediates_read(struct jit_compiler *c, unsigned operation,
			    struct wasm_immediates *immediates)
{
	struct wasm_reader *reader = &c->reader;
	const uint8_t *at = reader->at;

	switch (wasm_operations[operation].immediates[0]) {
	case WASM_IMM_NONE: return;
	case WASM_IMM_LOCAL:
	case WASM_IMM_GLOBAL:
	case WASM_IMM_FUNC:
	case WASM_IMM_LABEL:
		immediates->index[0] = wasm_read_u32(reader);
		return;
	case WASM_IMM_I32:
		immediates->value = (uint64_t)(int64_t)wasm_read_s32(reader);
		return;
	case WASM_IMM_MEMARG:
		if (wasm_operations[operation].immediates[1] ||
		    reader->end - at < 2 || at[0] >= 0x40 || at[1] >= 0x80)
			break;
		immediates->memory = 0;
		immediates->value = at[1];
		reader->at += 2;
		return;
	}
	wasm_read_immediates(reader, operation, immediates);
}

static void operation_by_rules(struct jit_compiler *c, unsigned operation,
			       const struct wasm_immediates *immediates)
{
	if (!jit_control_operation(c, operation, immediates) &&
	    !jit_call_operation(c, operation, immediates) &&
	    !jit_object_operation(c, operation, immediates))
		jit_out_operation(c, operation, immediates);
}

static void operation_compile(struct jit_compiler *c, unsigned operation)
{
	struct wasm_immediates immediates;

	immediates_read(c, operation, &immediates);
	switch ((enum owner)c->owners[operation]) {
	case OF_SIMPLE: simple(c, operation, &immediates); break;
	case OF_NUMBERS: jit_number_operation(c, operation); break;
	case OF_REALS: jit_real_operation(c, operation); break;
	case OF_MEMORY: jit_memory_operation(c, operation, &immediates); break;
	case OF_VECTORS:
		if (!jit_vector_operation(c, operation, &immediates))
			jit_out_operation(c, operation, &immediates);
		break;
	case OF_ALL: operation_by_rules(c, operation, &immediates);
	}
}

/* Nothing of what cannot be reached is emitted; blocks are counted. */
static bool skip_dead(struct jit_compiler *c, unsigned operation)
{
	bool is_end = operation == WASM_OP_END;

	if ((is_end || operation == WASM_OP_ELSE) && c->dead_depth == 0)
		return false;
	if (operation == WASM_OP_BLOCK || operation == WASM_OP_LOOP ||
	    operation == WASM_OP_IF || operation == WASM_OP_TRY_TABLE)
		c->dead_depth++;
	else if (is_end)
		c->dead_depth--;
	wasm_skip_immediates(&c->reader, operation);
	return true;
}

static unsigned operation_read(struct wasm_reader *reader)
{
	unsigned operation = WASM_OPERATIONS;

	if (reader->at < reader->end)
		operation = wasm_opcodes_plain[*reader->at];
	if (operation == WASM_OPERATIONS) /* a prefix */
		return wasm_read_operation(reader);
	reader->at++;
	return operation;
}

static void body_compile(struct jit_compiler *c)
{
	while (c->label_count && !c->failed) {
		unsigned operation;

		c->op_at = c->reader.at;
		operation = operation_read(&c->reader);
		if (c->is_dead && skip_dead(c, operation))
			continue;
		if (!jit_code_room(c, OPERATION_BYTES))
			return;
		code_origin(c, jit_code_op_origin(c));
		operation_compile(c, operation);
	}
}

/* Functions */

static bool is_vector_type(wasm_type type)
{
	return type == WASM_V128;
}

/* A value that needs a long slot may come by a call, too. */
static bool module_has_vectors(const struct wasm_module *module)
{
	for (uint32_t i = 0; i < module->type_count; i++) {
		const struct wasm_deftype *type = module->type[i];

		for (uint32_t k = 0; k < type->param_count; k++)
			if (is_vector_type(type->params[k]))
				return true;
		for (uint32_t k = 0; k < type->result_count; k++)
			if (is_vector_type(type->results[k]))
				return true;
		for (uint32_t k = 0; k < type->field_count; k++)
			if (is_vector_type(type->fields[k].type))
				return true;
	}
	for (uint32_t i = 0; i < module->global_count; i++)
		if (is_vector_type(module->globals[i].type))
			return true;
	return false;
}

static void registers_choose(struct jit_compiler *c)
{
	bool few = c->options->without & JIT_WITHOUT_POOL;

	c->all[GENERAL] = 1u << RAX | 1u << RCX | 1u << RDX | 1u << RSI;
	c->all[VECTOR] = few ? 0xf : 0x7fff;
	for (unsigned i = 0; i < GIVEN; i++)
		c->all[GENERAL] |= 1u << given_registers[i];
	c->kept_count = 0;
	c->caller_kept_count = 0;
	if (c->weights.has_try)
		for (unsigned i = 0; i < KEPT; i++)
			c->kept[c->kept_count++] = kept_registers[i];
	homes_choose(c);
	if (few)
		c->all[GENERAL] &= 0x47; /* rax rcx rdx rsi */
	jit_registers_all_free(c);
}

static void function_begin(struct jit_compiler *c)
{
	c->failed = c->is_dead = c->flags_live = false;
	c->height = c->settled = c->label_count = c->fix_count = 0;
	c->literal_count = c->literal_use_count = c->cold_count = 0;
	c->dead_depth = c->table_serial = c->most_slots = c->out_bytes = 0;
	c->held_from[GENERAL] = c->held_from[VECTOR] = 0;
	c->frame_fixes = NONE;
	c->keeps_context = c->weights.call_count != 0;
	c->slot_bytes = c->weights.has_simd || c->has_vectors ? 16 : 8;
	c->argument_bytes = jit_argument_bytes(c->type);
}

static void function_emit(struct jit_compiler *c)
{
	locals_read(c);
	locals_skip(c);
	c->op_at = c->reader.at; /* the prologue's traps are the first one's */
	if (c->failed || !jit_code_room(c, 4096))
		return;
	registers_choose(c);
	frame_lay_out(c);
	prologue(c);
	jit_control_begin_function(c);
	body_compile(c);
	jit_code_colds(c);
	frame_finish(c);
	jit_code_literals(c);
	if (jit_code_room(c, 16))
		while (code_here(c) % 16)
			emit1(&c->e, 0xcc);
}

static int function_add(struct jit_compiler *c, uint32_t landing_first)
{
	struct jit_function *function = jit_vector_room(
		c, &c->functions, c->function_count, sizeof(*function));

	if (!function)
		return -1;
	*function = (struct jit_function){ .function = c->function,
					   .at = c->start,
					   .len = code_here(c) - c->start,
					   .landing_first = landing_first,
					   .landing_count = c->landing_count -
							    landing_first };
	c->function_count++;
	return 0;
}

/* The name is told by who has one for the function. */
static int compile_failed(struct wasm_error *error, uint32_t function)
{
	return wasm_error_set(error, 0,
			      "function %u: no memory to compile it, or its "
			      "code is too large",
			      function);
}

int jit_compile(struct jit_compiler *c, uint32_t function,
		struct wasm_error *error)
{
	const struct wasm_function_decl *decl = &c->module->functions[function];
	uint32_t call_count = c->call_count, landings = c->landing_count;

	if (wasm_validate_body(c->validator, function, &c->weights, error) < 0)
		return -1;
	c->function = function;
	c->type = c->module->type[decl->type_index];
	c->reader = wasm_reader_of(decl->body, decl->body_len);
	c->start = code_here(c);
	c->body_bytes += decl->body_len;
	function_begin(c);
	function_emit(c);
	if (c->failed || function_add(c, landings) < 0) {
		c->e.at = (uint8_t *)c->code.items + c->start;
		c->call_count = call_count;
		c->landing_count = landings;
		return compile_failed(error, function);
	}
	return 0;
}

/* What is not used of it costs nothing, and growing costs copies. */
static uint64_t code_guess(const struct wasm_module *module)
{
	uint64_t bytes = 0;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		bytes += module->functions[i].body_len;
	return 16384 + 3 * bytes;
}

static bool compiler_prepare(struct jit_compiler *c)
{
	for (unsigned i = 0; i < JIT_VECTORS; i++)
		if (!jit_vector_room(c, &c->vectors[i], 1024, 1))
			return false;
	if (!jit_vector_room(c, &c->code, code_guess(c->module), 1))
		return false;
	for (unsigned i = 0; i < WASM_OPERATIONS; i++)
		c->owners[i] = (uint8_t)owner_of(c, i);
	c->e = (struct emitter){ c->code.items, c };
	c->validator = wasm_validator_new(c->module);
	return c->validator != NULL;
}

struct jit_compiler *jit_compiler_new(const struct wasm_module *module,
				      const struct jit_options *options)
{
	const struct wasm_host *host = module->host;
	struct jit_compiler *c = host->allocate(host->env, sizeof(*c));

	if (!c)
		return NULL;
	c->host = host;
	c->module = module;
	c->options = options;
	c->has_avx = options->features & CODE_AVX;
	c->is_checked = options->options & CODE_CHECKED;
	c->has_fuel = options->options & CODE_FUEL;
	c->has_tails = module->has_tail_calls;
	c->has_vectors = module_has_vectors(module);
	if (!compiler_prepare(c)) {
		jit_compiler_free(c);
		return NULL;
	}
	return c;
}

void jit_compiler_free(struct jit_compiler *c)
{
	const struct wasm_host *host;

	if (!c)
		return;
	host = c->host;
	wasm_validator_free(c->validator);
	for (unsigned i = 0; i < JIT_VECTORS; i++)
		if (c->vectors[i].items)
			host->release(host->env, c->vectors[i].items,
				      c->vectors[i].room);
	host->release(host->env, c, sizeof(*c));
}

static uint32_t next_place(const struct jit_compiler *c)
{
	uint32_t next = NONE;

	for (uint32_t i = 0; i < c->place_count; i++)
		if (c->places[i].at < next && c->places[i].at >= c->placed)
			next = c->places[i].at;
	return next;
}

/* What is before the byte "end" and had no operation yet. */
static void places_settle(struct jit_compiler *c, uint32_t end)
{
	for (uint32_t i = 0; i < c->place_count; i++)
		if (c->places[i].at >= c->placed && c->places[i].at < end)
			c->places[i].origin = c->origin;
	c->placed = end;
	c->place_next = next_place(c);
}

void jit_code_origin(struct jit_compiler *c, uint32_t origin)
{
	if (code_here(c) > c->place_next)
		places_settle(c, code_here(c));
	c->origin = origin;
}

static void places_find(const struct jit_code *code, uint32_t function,
			struct jit_place *places, uint32_t count)
{
	struct jit_options options = {
		.options = code->header->options,
		.features = code->header->features,
		.without = (uint32_t)code->header->without
	};
	struct jit_compiler *c = jit_compiler_new(code->module, &options);
	struct wasm_error error;

	if (!c)
		return;
	c->places = places;
	c->place_count = count;
	c->place_next = next_place(c);
	if (jit_compile(c, function, &error) == 0)
		places_settle(c, NONE);
	jit_compiler_free(c);
}

void jit_places(const struct jit_code *code, uint32_t function,
		struct jit_place *places, uint32_t count)
{
	uint32_t own = function - code->module->imported_functions;

	for (uint32_t i = 0; i < count; i++) {
		places[i].at -= code->functions[own].at;
		places[i].origin = 0;
	}
	if (!jit_code_is_made(code, own))
		places_find(code, function, places, count);
}

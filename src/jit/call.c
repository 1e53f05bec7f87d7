/* SPDX-License-Identifier: Apache-2.0 */
/* Calls, returns, tail calls, and operations out of line. */
#include "jit/compile.h"
#include "wasm/interp_internal.h"

/* Homes that calls do not keep. */

static void home_each(struct jit_compiler *c, bool is_load)
{
	for (uint32_t i = 0; i < c->caller_kept_count; i++) {
		const struct local *local = local_at(c, c->caller_kept[i]);
		unsigned type = local->type == T_I32 ? T_I64 : local->type;
		struct rm rm = rm_at(RBP, local->frame);

		if (is_load)
			jit_load_rm(c, local->reg, rm, type);
		else
			jit_store_rm(c, rm, local->reg, type);
	}
}

void jit_homes_save(struct jit_compiler *c)
{
	home_each(c, false);
}

void jit_homes_load(struct jit_compiler *c)
{
	home_each(c, true);
}

/* Moves at once */

static bool is_blocked(const struct move *moves, unsigned count, unsigned i)
{
	for (unsigned k = 0; k < count; k++)
		if (k != i && moves[k].of == moves[i].to)
			return true;
	return false;
}

static unsigned drop_done(struct move *moves, unsigned count)
{
	unsigned left = 0;

	for (unsigned i = 0; i < count; i++)
		if (moves[i].to != moves[i].of)
			moves[left++] = moves[i];
	return left;
}

/* All that is left goes round: one step of it by exchange. */
static void turn_round(struct jit_compiler *c, struct move *moves,
		       unsigned count, enum file file)
{
	unsigned to = moves[0].to, of = moves[0].of;

	if (file == GENERAL) {
		emit(&c->e, 0x87 | OP_W, to, rm_reg(of));
	} else {
		jit_move(c, SCRATCH_X, to, T_V128);
		jit_move(c, to, of, T_V128);
		jit_move(c, of, SCRATCH_X, T_V128);
	}
	for (unsigned k = 0; k < count; k++)
		if (moves[k].of == to)
			moves[k].of = (uint8_t)of;
		else if (moves[k].of == of)
			moves[k].of = (uint8_t)to;
}

void jit_moves_make(struct jit_compiler *c, struct move *moves, unsigned count,
		    enum file file)
{
	count = drop_done(moves, count);
	while (count) {
		unsigned i = 0;

		while (i < count && is_blocked(moves, count, i))
			i++;
		if (i < count) {
			jit_move(c, moves[i].to, moves[i].of,
				 file == GENERAL ? T_I64 : T_V128);
			moves[i].of = moves[i].to;
		} else {
			turn_round(c, moves, count, file);
		}
		count = drop_done(moves, count);
	}
}

/* Arguments */

struct arguments {
	const struct wasm_deftype *type;
	uint32_t first; /* on the operand stack */
	uint32_t bytes; /* on the machine's */
};

static void arguments_to_stack(struct jit_compiler *c,
			       const struct arguments *a)
{
	struct argument_places places = { 0 };
	uint32_t offset;

	for (uint32_t i = 0; i < a->type->param_count; i++) {
		unsigned type = jit_type_of(a->type->params[i]);
		struct operand operand = { *value_at(c, a->first + i),
					   a->first + i };

		if (jit_argument_next(&places, type, &offset) == NO_REG)
			jit_operand_store(c, &operand,
					  rm_at(RSP, (int32_t)offset));
	}
}

/* First those that are in registers, all at once, then the others. */
static void arguments_to_registers(struct jit_compiler *c,
				   const struct arguments *a)
{
	struct move moves[2][ARGUMENT_VECTOR];
	unsigned counts[2] = { 0, 0 };
	struct argument_places places = { 0 };
	uint32_t offset, count = a->type->param_count;

	for (uint32_t i = 0; i < count; i++) {
		struct operand operand = { *value_at(c, a->first + i),
					   a->first + i };
		unsigned type = operand.value.type;
		unsigned reg = jit_argument_next(&places, type, &offset);
		enum file file = file_of(type);

		if (reg != NO_REG && jit_is_in_reg(c, &operand))
			moves[file][counts[file]++] =
				(struct move){ (uint8_t)reg,
					       (uint8_t)jit_reg_of(c, &operand),
					       (uint8_t)type };
	}
	jit_moves_make(c, moves[GENERAL], counts[GENERAL], GENERAL);
	jit_moves_make(c, moves[VECTOR], counts[VECTOR], VECTOR);
	places = (struct argument_places){ 0 };
	for (uint32_t i = 0; i < count; i++) {
		struct operand operand = { *value_at(c, a->first + i),
					   a->first + i };
		unsigned reg =
			jit_argument_next(&places, operand.value.type, &offset);

		if (reg != NO_REG && !jit_is_in_reg(c, &operand))
			jit_operand_to(c, &operand, reg);
	}
}

static void need_out_bytes(struct jit_compiler *c, uint64_t bytes)
{
	if (bytes > c->out_bytes)
		c->out_bytes = (uint32_t)bytes;
}

/* Pushes what is at [rsp + at], a slot each. */
static void push_slots_at(struct jit_compiler *c, const wasm_type *types,
			  uint32_t count, uint32_t at)
{
	for (uint32_t i = 0; i < count; i++) {
		unsigned type = jit_type_of(types[i]);
		unsigned wider = type == T_I32 ? T_I64 : type;
		unsigned reg = file_of(type) == VECTOR ? SCRATCH_X : SCRATCH;

		jit_load_rm(c, reg, rm_at(RSP, (int32_t)(at + 16 * i)), wider);
		jit_store_rm(c, jit_slot_rm(c, c->height), reg, wider);
		jit_push_slot(c, type);
	}
}

static void push_call_results(struct jit_compiler *c, const struct arguments *a)
{
	const struct wasm_deftype *type = a->type;
	unsigned only;

	if (type->result_count == 1) {
		only = jit_type_of(type->results[0]);
		c->free[file_of(only)] &= ~1u;
		jit_push_reg(c, only, 0);
		return;
	}
	push_slots_at(c, type->results, type->result_count, a->bytes);
}

/* Where the function that is called comes from. */
enum callee_kind { CALLEE_OWN, CALLEE_IMPORT, CALLEE_TABLE, CALLEE_REF };
struct callee {
	enum callee_kind kind;
	uint32_t index; /* own, import: the function; table: which */
	uint32_t type_index;
	const struct wasm_deftype *type;
	struct operand operand; /* table: index in it; ref: the reference */
	bool is_tail;
};

static uint32_t table_entry_offset(const struct callee *callee)
{
	return 8 * callee->index;
}

/* r11: index in the table -> rax: the function, checked. */
static void load_from_table(struct jit_compiler *c, const struct callee *callee)
{
	jit_load_rm(c, RAX,
		    rm_at(CONTEXT, offsetof(struct wasm_instance, tables)),
		    T_I64);
	jit_load_rm(c, RAX, rm_at(RAX, (int32_t)table_entry_offset(callee)),
		    T_I64);
	emit(&c->e, 0x3b | OP_W, SCRATCH,
	     rm_at(RAX, offsetof(struct wasm_table, length)));
	jit_code_trap_if(c, CC_AE, WASM_TRAP_undefined_element);
	jit_load_rm(c, RAX, rm_at(RAX, offsetof(struct wasm_table, elems)),
		    T_I64);
	jit_load_rm(c, RAX, rm_index(RAX, SCRATCH, 3, 0), T_I64);
	emit(&c->e, 0x85 | OP_W, RAX, rm_reg(RAX));
	jit_code_trap_if(c, CC_E, WASM_TRAP_uninitialized_element);
}

static void check_type(struct jit_compiler *c, const struct callee *callee)
{
	jit_load_rm(c, SCRATCH,
		    rm_at(CONTEXT, offsetof(struct wasm_instance, type_ids)),
		    T_I64);
	jit_load_rm(c, SCRATCH,
		    rm_at(SCRATCH, (int32_t)(4 * callee->type_index)), T_I32);
	emit(&c->e, 0x3b, SCRATCH,
	     rm_at(RAX, offsetof(struct wasm_function, type)));
	jit_code_trap_if(c, CC_NE, WASM_TRAP_indirect_type);
}

/* A type that may have subtypes: the function is found and checked before
 * its arguments are put in place. */
static void check_type_above(struct jit_compiler *c, struct callee *callee)
{
	static const wasm_type result = WASM_FUNCREF;
	struct jit_order out = { .number = JIT_OUT_CALLEE,
				 .operands = 1,
				 .words = { callee->type_index },
				 .word_count = 1,
				 .results = &result,
				 .result_count = 1 };

	jit_take_this(c, GENERAL, RAX);
	jit_operand_to(c, &callee->operand, SCRATCH);
	jit_release(c, &callee->operand);
	load_from_table(c, callee);
	jit_push_reg(c, T_I64, RAX);
	jit_out_call(c, &out);
	callee->operand = jit_pop(c);
	callee->kind = CALLEE_REF;
}

/* To r11, before registers get arguments. */
static void callee_early(struct jit_compiler *c, struct callee *callee)
{
	if (callee->kind != CALLEE_TABLE && callee->kind != CALLEE_REF)
		return;
	jit_operand_to(c, &callee->operand, SCRATCH);
	jit_release(c, &callee->operand);
}

/* To rax, when arguments are in place. */
static void callee_late(struct jit_compiler *c, const struct callee *callee)
{
	switch (callee->kind) {
	case CALLEE_OWN: break;
	case CALLEE_IMPORT:
		jit_load_rm(c, RAX,
			    rm_at(CONTEXT, offsetof(struct wasm_instance,
						    imported_functions)),
			    T_I64);
		jit_load_rm(c, RAX, rm_at(RAX, (int32_t)(8 * callee->index)),
			    T_I64);
		break;
	case CALLEE_TABLE:
		load_from_table(c, callee);
		check_type(c, callee);
		break;
	case CALLEE_REF:
		jit_move(c, RAX, SCRATCH, T_I64);
		emit(&c->e, 0x85 | OP_W, RAX, rm_reg(RAX));
		jit_code_trap_if(c, CC_E, WASM_TRAP_null_function);
		break;
	}
}

/* A host's function has no instance: it sees its caller's in r13. */
static void switch_context(struct jit_compiler *c)
{
	jit_load_rm(c, SCRATCH,
		    rm_at(RAX, offsetof(struct wasm_function, instance)),
		    T_I64);
	emit(&c->e, 0x85 | OP_W, SCRATCH, rm_reg(SCRATCH));
	emit(&c->e, 0x45 | OP_0F | OP_W, CONTEXT, rm_reg(SCRATCH)); /* cmovne */
}

void jit_call_foreign(struct jit_compiler *c)
{
	switch_context(c);
	emit(&c->e, 0xff, 2,
	     rm_at(RAX, offsetof(struct wasm_function, native)));
	jit_code_restore_context(c);
	jit_code_restore_stack(c);
}

/* What is tried must have its calls within it. */
static void call_pointer(struct jit_compiler *c, bool is_import)
{
	struct cold *cold;

	if (is_import || c->weights.has_try) {
		jit_call_foreign(c);
		return;
	}
	emit(&c->e, 0x39 | OP_W, CONTEXT,
	     rm_at(RAX, offsetof(struct wasm_function, instance)));
	cold = jit_code_cold(c, COLD_FOREIGN, 0);
	jit_code_jump_if(c, CC_NE, &cold->fixes);
	emit(&c->e, 0xff, 2,
	     rm_at(RAX, offsetof(struct wasm_function, native)));
	if (c->has_tails) {
		jit_code_restore_context(c);
		jit_code_restore_stack(c);
	}
	((struct cold *)c->colds.items)[c->cold_count - 1].back = code_here(c);
}

static void make_call(struct jit_compiler *c, const struct callee *callee)
{
	if (callee->kind != CALLEE_OWN) {
		call_pointer(c, callee->kind == CALLEE_IMPORT);
		return;
	}
	jit_code_site(c, 0xe8, callee->index);
	if (c->has_tails) {
		jit_code_restore_context(c);
		jit_code_restore_stack(c);
	}
}

static void drop_arguments(struct jit_compiler *c, const struct arguments *a)
{
	jit_values_drop_to(c, a->first);
	jit_registers_all_free(c);
}

static struct arguments arguments_ready(struct jit_compiler *c,
					struct callee *callee)
{
	struct arguments a = { .type = callee->type,
			       .first = c->height - callee->type->param_count,
			       .bytes = jit_argument_bytes(callee->type) };

	jit_values_spill(c, a.first);
	need_out_bytes(c,
		       a.bytes + (callee->type->result_count > 1
					  ? 16ull * callee->type->result_count
					  : 0));
	arguments_to_stack(c, &a);
	callee_early(c, callee);
	arguments_to_registers(c, &a);
	callee_late(c, callee);
	return a;
}

static void call(struct jit_compiler *c, struct callee *callee)
{
	struct arguments a;

	if (!jit_code_room(c, 4096 + 64ull * (callee->type->param_count +
					      callee->type->result_count)))
		return;
	jit_homes_save(c);
	a = arguments_ready(c, callee);
	make_call(c, callee);
	drop_arguments(c, &a);
	jit_homes_load(c);
	push_call_results(c, &a);
}

/* Tail calls: the frame goes, its return address moves to where the callee's
 * arguments end where ours did. */

static void arguments_over_own(struct jit_compiler *c, uint32_t bytes)
{
	int32_t to = (int32_t)(16 + c->argument_bytes - bytes);

	jit_load_rm(c, SCRATCH, rm_at(RBP, 8), T_I64);
	jit_emit_x(c, 0x6e | OP_0F | OP_66 | OP_W, SCRATCH_X, rm_at(RBP, 0));
	for (uint32_t at = bytes; at > 0; at -= 8) {
		jit_load_rm(c, R10, rm_at(RSP, (int32_t)(at - 8)), T_I64);
		jit_store_rm(c, rm_at(RBP, to + (int32_t)(at - 8)), R10, T_I64);
	}
	jit_store_rm(c, rm_at(RBP, to - 8), SCRATCH, T_I64);
	emit(&c->e, 0x8d | OP_W, RSP, rm_at(RBP, to - 8));
	jit_emit_x(c, 0x7e | OP_0F | OP_66 | OP_W, SCRATCH_X, rm_reg(RBP));
}

static void tail_call(struct jit_compiler *c, struct callee *callee)
{
	struct arguments a;

	if (!jit_code_room(c, 4096 + 128ull * callee->type->param_count))
		return;
	a = arguments_ready(c, callee);
	if (callee->kind != CALLEE_OWN)
		switch_context(c);
	jit_code_restore_kept(c);
	arguments_over_own(c, a.bytes);
	if (callee->kind == CALLEE_OWN)
		jit_code_site(c, 0xe9, callee->index);
	else
		emit(&c->e, 0xff, 4,
		     rm_at(RAX, offsetof(struct wasm_function, native)));
	jit_become_dead(c);
}

static void call_any(struct jit_compiler *c, struct callee *callee)
{
	if (callee->kind == CALLEE_TABLE && !callee->type->is_final)
		check_type_above(c, callee);
	if (callee->is_tail)
		tail_call(c, callee);
	else
		call(c, callee);
}

static void call_function(struct jit_compiler *c, uint32_t function,
			  bool is_tail)
{
	const struct wasm_module *module = c->module;
	uint32_t type_index = module->functions[function].type_index;
	struct callee callee = {
		.kind = function < module->imported_functions ? CALLEE_IMPORT
							      : CALLEE_OWN,
		.index = function,
		.type_index = type_index,
		.type = module->type[type_index],
		.is_tail = is_tail,
	};

	call_any(c, &callee);
}

static void call_pointed(struct jit_compiler *c, enum callee_kind kind,
			 const struct wasm_immediates *immediates, bool is_tail)
{
	uint32_t type_index = immediates->index[0];
	struct callee callee = { .kind = kind,
				 .index = immediates->index[1],
				 .type_index = type_index,
				 .type = c->module->type[type_index],
				 .operand = jit_pop(c),
				 .is_tail = is_tail };

	call_any(c, &callee);
}

bool jit_call_operation(struct jit_compiler *c, unsigned operation,
			const struct wasm_immediates *immediates)
{
	bool is_tail = operation == WASM_OP_RETURN_CALL ||
		       operation == WASM_OP_RETURN_CALL_INDIRECT ||
		       operation == WASM_OP_RETURN_CALL_REF;

	/* Its module was loaded without a look at its bodies. */
	if (is_tail && !c->has_tails)
		c->failed = true;
	if (is_tail) { /* nothing is in a register but homes */
		jit_values_flush(c);
		jit_code_count_turn(c);
	}
	switch (operation) {
	case WASM_OP_CALL:
	case WASM_OP_RETURN_CALL:
		call_function(c, immediates->index[0], is_tail);
		return true;
	case WASM_OP_CALL_INDIRECT:
	case WASM_OP_RETURN_CALL_INDIRECT:
		call_pointed(c, CALLEE_TABLE, immediates, is_tail);
		return true;
	case WASM_OP_CALL_REF:
	case WASM_OP_RETURN_CALL_REF:
		call_pointed(c, CALLEE_REF, immediates, is_tail);
		return true;
	}
	return false;
}

/* Out of line */

void jit_out_number(struct jit_compiler *c, uint32_t number)
{
	jit_move_constant(c, RAX, number, T_I32);
	jit_code_call_stub(c, 0);
}

static void out_words(struct jit_compiler *c, const struct jit_order *out)
{
	uint32_t words[8] = { 0 };
	uint64_t literal[4];

	memcpy(words + 1, out->words, out->word_count * sizeof(*words));
	memcpy(literal, words, sizeof(literal));
	/* The words are expected behind an instruction's head. */
	emit_before(&c->e, 0x8d | OP_W, RDX, jit_code_literal_words(c, literal),
		    OUT_OF_LINE_HEAD);
}

void jit_out_call(struct jit_compiler *c, const struct jit_order *out)
{
	uint32_t first = c->height - out->operands;
	uint32_t slots = out->operands > out->result_count ? out->operands
							   : out->result_count;
	unsigned type, reg;

	if (!jit_code_room(c, 4096 + 64ull * slots))
		return;
	jit_homes_save(c);
	jit_values_spill(c, first);
	need_out_bytes(c, 16ull * slots);
	for (uint32_t i = 0; i < out->operands; i++) {
		struct operand operand = { *value_at(c, first + i), first + i };

		jit_operand_store(c, &operand, rm_at(RSP, (int32_t)(16 * i)));
	}
	out_words(c, out);
	jit_out_number(c, out->number);
	jit_values_drop_to(c, first);
	jit_registers_all_free(c);
	jit_homes_load(c);
	if (out->result_count != 1) {
		push_slots_at(c, out->results, out->result_count, 0);
		return;
	}
	type = jit_type_of(out->results[0]);
	reg = jit_take(c, file_of(type));
	jit_load_rm(c, reg, rm_at(RSP, 0), type == T_I32 ? T_I64 : type);
	jit_push_reg(c, type, reg);
}

static wasm_type type_of_letter(char letter)
{
	switch (letter) {
	case 'l': return WASM_I64;
	case 'f': return WASM_F32;
	case 'd': return WASM_F64;
	case 'v': return WASM_V128;
	default: return WASM_I32;
	}
}

static void add_word(struct jit_order *out, uint32_t word)
{
	out->words[out->word_count++] = word;
}

static void add_words(struct jit_order *out, unsigned kind,
		      const struct wasm_immediates *immediates)
{
	switch (kind) {
	case WASM_IMM_MEMARG:
	case WASM_IMM_ATOMIC:
		add_word(out, immediates->memory);
		add_word(out, (uint32_t)immediates->value);
		add_word(out, (uint32_t)(immediates->value >> 32));
		break;
	case WASM_IMM_LANE: add_word(out, immediates->lane); break;
	case WASM_IMM_LANES:
		memcpy(out->words, immediates->bytes, 16);
		out->word_count = 4;
		break;
	}
}

void jit_out_operation(struct jit_compiler *c, unsigned operation,
		       const struct wasm_immediates *immediates)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	wasm_type results[sizeof(info->results)];
	struct jit_order out = { .number = operation, .results = results };

	out.operands =
		(uint32_t)strnlen(info->operands, sizeof(info->operands));
	out.result_count =
		(uint32_t)strnlen(info->results, sizeof(info->results));
	for (uint32_t i = 0; i < out.result_count; i++)
		results[i] = type_of_letter(info->results[i]);
	add_words(&out, info->immediates[0], immediates);
	add_words(&out, info->immediates[1], immediates);
	jit_out_call(c, &out);
}

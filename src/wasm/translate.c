/* SPDX-License-Identifier: Apache-2.0 */
/* A body from its first byte to its last, and what is too small for a file
 * of its own: locals, constants, globals, drop. */
#include "wasm/translate.h"
#include "wasm/handler_tables.h"
#include <string.h>

/* The generated tables */

unsigned handler_of(enum role role, unsigned operation, unsigned form)
{
	unsigned first = handler_first[role][operation];

	return first && form < handler_pool[first]
		       ? handler_pool[first + 1 + form]
		       : 0;
}

unsigned form_of(char a, char b)
{
	unsigned first = a == 'r' ? 0 : a == 's' ? 1 : 2;

	return first * 3 + (b == 'r' ? 0 : b == 's' ? 1 : 2);
}

unsigned operation_mirrored(unsigned operation)
{
	return mirrored_of[operation];
}

unsigned operation_inverse(unsigned operation)
{
	return inverse_of[operation];
}

bool operation_commutes(unsigned operation)
{
	return is_commutative[operation];
}

unsigned operation_loaded_class(unsigned operation)
{
	return loaded_class[operation];
}

unsigned operation_tree_class(unsigned operation)
{
	return tree_class[operation];
}

/* Locals */

static void read_locals(struct translator *t)
{
	uint32_t groups = wasm_read_u32(&t->reader);

	t->local_count = t->type->param_count;
	for (; groups; groups--) {
		t->local_count += wasm_read_u32(&t->reader);
		wasm_read_value_type(&t->reader);
	}
}

static void local_class_fill(struct translator *t, uint32_t first,
			     uint32_t count, wasm_type type)
{
	uint8_t *classes = t->locals.items;

	memset(classes + first, class_of(type), count);
}

/* The class of each local. */
static void learn_locals(struct translator *t)
{
	uint32_t at = t->type->param_count;
	uint32_t groups;

	vector_room(t, &t->locals, t->local_count, 1);
	if (t->failed)
		return;
	for (uint32_t i = 0; i < at; i++)
		local_class_fill(t, i, 1, t->type->params[i]);
	for (groups = wasm_read_u32(&t->reader); groups; groups--) {
		uint32_t count = wasm_read_u32(&t->reader);

		local_class_fill(t, at, count,
				 wasm_read_value_type(&t->reader));
		at += count;
	}
}

static void zero_range(struct translator *t, uint32_t first, uint32_t count)
{
	if (count <= 8) {
		code_begin(t, WASM_H_zero1 + count - 1);
		code_slot(t, first);
		return;
	}
	code_begin(t, WASM_H_zero);
	code_slot(t, first);
	code_u32(t, count * SLOT_BYTES);
}

/* Only those that may be read before they are written, and what lies between
 * the first and the last of them.  Validation tells which: it is made once
 * more for that. */
static void zero_locals(struct translator *t)
{
	uint32_t first = t->type->param_count, end = t->local_count;
	struct wasm_weights weights;
	struct wasm_error error;

	if (first == end)
		return;
	if (wasm_validate_body(t->validator, t->function->function, &weights,
			       &error) < 0) {
		t->failed = true;
		return;
	}
	while (first < end && !weights.needs_zero[first])
		first++;
	while (first < end && !weights.needs_zero[end - 1])
		end--;
	if (first < end)
		zero_range(t, first, end - first);
}

static void local_get(struct translator *t, uint32_t local)
{
	const uint8_t *classes = t->locals.items;

	value_push(t, IN_LOCAL, classes[local])->slot = local;
}

/* Constants */

static void constant(struct translator *t, enum value_class class,
		     uint64_t value)
{
	value_push(t, IS_CONSTANT, class)->constant = value;
}

static bool constant_operation(struct translator *t, unsigned operation,
			       const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_I32_CONST:
		constant(t, CLASS_INT, (uint32_t)immediates->value);
		break;
	case WASM_OP_I64_CONST:
		constant(t, CLASS_INT, immediates->value);
		break;
	case WASM_OP_F32_CONST:
		constant(t, CLASS_F32, immediates->value);
		break;
	case WASM_OP_F64_CONST:
		constant(t, CLASS_F64, immediates->value);
		break;
	case WASM_OP_V128_CONST:
		constant(t, CLASS_V128, (uint64_t)immediates->bytes);
		break;
	default: return false;
	}
	return true;
}

/* Globals */

static bool is_own_global(const struct translator *t, uint32_t *index)
{
	if (*index < t->module->imported_globals)
		return false;
	*index = (uint32_t)(offsetof(struct wasm_instance, globals) +
			    (*index - t->module->imported_globals) *
				    sizeof(struct wasm_global) +
			    offsetof(struct wasm_global, value));
	return true;
}

static void global_get(struct translator *t, uint32_t index)
{
	static const uint16_t handlers[2][CLASSES] = {
		{ WASM_H_global_imported_l_r, WASM_H_global_imported_d_r,
		  WASM_H_global_imported_f_r, WASM_H_global_imported_v_r },
		{ WASM_H_global_own_l_r, WASM_H_global_own_d_r,
		  WASM_H_global_own_f_r, WASM_H_global_own_v_r },
	};
	enum value_class class = class_of(t->module->globals[index].type);
	bool is_own = is_own_global(t, &index);

	acc_flush(t, class);
	code_begin(t, handlers[is_own][class]);
	code_u32(t, 0);
	code_u32(t, index);
	if (is_own && class == CLASS_INT) {
		last_made(t)->kind = MADE_GLOBAL;
		last_made(t)->a.constant = index;
	}
	acc_push(t, class);
}

/* A global that was just read and added to: the sum goes back to it. */
static bool global_changes(struct translator *t, uint32_t at)
{
	struct made *last = last_made(t);
	struct accumulator *acc = &t->accumulators[CLASS_INT];
	const struct value *value = value_top(t, 0);
	bool in_slot = last->destination != NONE;

	if (last->kind != MADE_GLOBAL_ADD || last->a.constant != at ||
	    (in_slot ? value->place != IN_LOCAL ||
			       value->slot != last->destination
		     : !value_is_fresh(t, t->height - 1)))
		return false;
	value_pop(t, 1);
	code_set_handler(t, last->at, WASM_H_global_change_r + in_slot);
	last->kind = MADE_OTHER;
	acc->producer = NONE;
	return true;
}

/* slot + constant */
static bool global_set_sum(struct translator *t, uint32_t at)
{
	const struct value *value = value_top(t, 0);

	if (value->place != IS_SUM || value->is_sum_of_locals || value->shift)
		return false;
	code_begin(t, WASM_H_set_global_sum);
	code_u32(t, at);
	code_slot(t, value->slot);
	code_u32(t, (uint32_t)value->constant);
	value_pop(t, 1);
	return true;
}

static void global_set(struct translator *t, uint32_t index)
{
	static const uint16_t handlers[2][CLASSES] = {
		{ WASM_H_set_global_imported_l_r,
		  WASM_H_set_global_imported_d_r,
		  WASM_H_set_global_imported_f_r,
		  WASM_H_set_global_imported_v_r },
		{ WASM_H_set_global_own_l_r, WASM_H_set_global_own_d_r,
		  WASM_H_set_global_own_f_r, WASM_H_set_global_own_v_r },
	};
	enum value_class class = class_of(t->module->globals[index].type);
	bool is_own = is_own_global(t, &index);
	struct operand operand;

	if (is_own && class == CLASS_INT &&
	    (global_changes(t, index) || global_set_sum(t, index)))
		return;
	operand = value_operand(t, t->height - 1);
	if (operand.place == 'i')
		operand_to_slot(t, &operand);
	value_pop(t, 1);
	/* "_s" stands right behind "_r" */
	code_begin(t, handlers[is_own][class] + (operand.place == 's'));
	code_u32(t, index);
	code_operand(t, &operand, 'l');
}

static bool variable_operation(struct translator *t, unsigned operation,
			       uint32_t index)
{
	switch (operation) {
	case WASM_OP_LOCAL_GET: local_get(t, index); break;
	case WASM_OP_LOCAL_SET: number_local_set(t, index, false); break;
	case WASM_OP_LOCAL_TEE: number_local_set(t, index, true); break;
	case WASM_OP_GLOBAL_GET: global_get(t, index); break;
	case WASM_OP_GLOBAL_SET: global_set(t, index); break;
	case WASM_OP_DROP: value_pop(t, 1); break;
	case WASM_OP_SELECT:
	case WASM_OP_SELECT_TYPED: number_select(t); break;
	default: return false;
	}
	return true;
}

/* Operations */

/* Behind a branch that is always taken, up to where the block ends.  Answers
 * whether the operation is such an end. */
static bool ends_dead_code(struct translator *t, unsigned operation)
{
	switch (operation) {
	case WASM_OP_BLOCK:
	case WASM_OP_LOOP:
	case WASM_OP_IF:
	case WASM_OP_TRY_TABLE: t->dead_depth++; return false;
	case WASM_OP_ELSE: return t->dead_depth == 0;
	case WASM_OP_END:
		if (t->dead_depth == 0)
			return true;
		t->dead_depth--;
		return false;
	}
	return false;
}

static void translate_operation(struct translator *t, unsigned operation,
				const struct wasm_immediates *immediates)
{
	if (!variable_operation(t, operation, immediates->index[0]) &&
	    !constant_operation(t, operation, immediates) &&
	    !number_operation(t, operation, immediates) &&
	    !memory_operation(t, operation, immediates) &&
	    !control_operation(t, operation, immediates) &&
	    !call_operation(t, operation, immediates))
		object_operation(t, operation, immediates);
}

static void translate_body(struct translator *t)
{
	struct wasm_immediates immediates = { 0 };

	while (t->label_count && !t->failed) {
		enum wasm_operation operation;

		t->op_at = t->reader.at;
		operation = wasm_read_operation(&t->reader);
		wasm_read_immediates(&t->reader, operation, &immediates);
		if (t->is_dead && !ends_dead_code(t, operation))
			continue;
		translate_operation(t, operation, &immediates);
	}
}

/* The handlers of all targets go into the tables, when they are final. */
static void fill_tables(struct translator *t)
{
	const struct table *table = t->tables.items;
	uint8_t *code = t->code.items;

	for (uint32_t i = 0; i < t->table_count; i++, table++) {
		uint8_t *entry = code + table->entries;

		for (uint32_t j = 0; j < table->count; j++, entry += 12) {
			int32_t distance;

			memcpy(&distance, entry + 8, 4);
			memcpy(entry, code + table->at + distance, 8);
		}
	}
}

static void reset(struct translator *t, const struct wasm_code *code)
{
	const struct wasm_function_decl *decl =
		&t->module->functions[code->function];

	t->function = code;
	t->type = t->module->type[decl->type_index];
	t->reader = wasm_reader_of(decl->body, decl->body_len);
	t->op_at = decl->body;
	t->failed = t->is_dead = false;
	t->used = t->origin_count = t->label_count = t->fix_count = 0;
	t->landing_count = t->catch_count = t->table_count = 0;
	t->way_count = t->repeated_bytes = 0;
	t->height = t->highest = t->settled = 0;
	t->base = code->save_bytes / SLOT_BYTES + 1;
	acc_forget(t);
	code_forget(t);
}

int translator_run(struct translator *t, const struct wasm_code *code)
{
	struct wasm_reader locals;

	reset(t, code);
	locals = t->reader;
	read_locals(t);
	t->reader = locals;
	learn_locals(t);
	if (t->failed)
		return -1;
	zero_locals(t);
	code_forget(t);
	control_begin_function(t);
	translate_body(t);
	if (t->failed)
		return -1;
	fill_tables(t);
	return 0;
}

enum { LARGE = 128 << 10 };

static bool is_large(const struct wasm_module *module)
{
	uint64_t bytes = 0;

	for (uint32_t i = module->imported_functions;
	     i < module->function_count; i++)
		bytes += module->functions[i].body_len;
	return bytes > LARGE;
}

/* All vectors get some room at once, so that none is without. */
struct translator *translator_new(struct wasm_module *module)
{
	const struct wasm_host *host = module->host;
	struct translator *t = host->allocate(host->env, sizeof(*t));

	if (!t)
		return NULL;
	t->host = host;
	t->module = module;
	t->is_large = is_large(module);
	for (unsigned i = 0; i < VECTORS; i++)
		vector_room(t, &t->vectors[i], 0, 1024);
	t->validator = wasm_validator_new(module);
	if (t->failed || !t->validator) {
		translator_free(t);
		return NULL;
	}
	return t;
}

void translator_free(struct translator *t)
{
	const struct wasm_host *host;

	if (!t)
		return;
	host = t->host;
	wasm_validator_free(t->validator);
	for (unsigned i = 0; i < VECTORS; i++)
		if (t->vectors[i].items)
			host->release(host->env, t->vectors[i].items,
				      t->vectors[i].room);
	host->release(host->env, t, sizeof(*t));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Statements, blocks and whole functions.
 *
 * Who comes to a loop's head or a function's begin takes fuel; without fuel
 * the function returns zeros.  So everything ends, wherever it branches. */
#include "fuzz/generate_internal.h"
#include <string.h>

/* Fuel */

static void take_fuel(struct generator *g, int32_t count)
{
	op(g, WASM_OP_GLOBAL_GET);
	put_u(g->code, FUEL_GLOBAL);
	i32_const(g, count);
	op(g, WASM_OP_I32_SUB);
	op(g, WASM_OP_GLOBAL_SET);
	put_u(g->code, FUEL_GLOBAL);
	op(g, WASM_OP_GLOBAL_GET);
	put_u(g->code, FUEL_GLOBAL);
	i32_const(g, 0);
	op(g, WASM_OP_I32_LT_S);
	op(g, WASM_OP_IF);
	put_byte(g->code, 0x40);
	for (const char *type = g->signature->results; *type; type++)
		value_default(g, *type);
	op(g, WASM_OP_RETURN);
	op(g, WASM_OP_END);
}

/* Values that are not wanted */

static bool set_variable(struct generator *g, char type)
{
	uint32_t index;

	if (one_in(g, 4)) {
		index = pick(g, g->global_count);
		if (index != FUEL_GLOBAL && g->globals[index] == type &&
		    !g->global_is_constant[index]) {
			op(g, WASM_OP_GLOBAL_SET);
			put_u(g->code, index);
			return true;
		}
	}
	if (!find_local(g, type, &index))
		return false;
	op(g, WASM_OP_LOCAL_SET);
	put_u(g->code, index);
	return true;
}

void drop_values(struct generator *g, const char *types)
{
	for (size_t i = strlen(types); i-- > 0;)
		if (one_in(g, 4) || !set_variable(g, types[i]))
			op(g, WASM_OP_DROP);
}

/* Branches; each returns true where what follows is not reached. */

static uint32_t label_like(struct generator *g, const char *types)
{
	uint32_t start = pick(g, g->label_count);

	for (uint32_t i = 0; i < g->label_count; i++) {
		uint32_t at = (start + i) % g->label_count;

		if (strcmp(g->labels[at].types, types) == 0)
			return g->label_count - 1 - at;
	}
	return 0;
}

static const char *any_label(struct generator *g, uint32_t *label)
{
	uint32_t at = pick(g, g->label_count);

	*label = g->label_count - 1 - at;
	return g->labels[at].types;
}

static bool branch(struct generator *g)
{
	uint32_t label;

	values(g, any_label(g, &label));
	op(g, WASM_OP_BR);
	put_u(g->code, label);
	return true;
}

static bool branch_if(struct generator *g)
{
	char types[VALUES_MOST + 1];
	uint32_t label;

	strcpy(types, any_label(g, &label));
	values(g, types);
	value(g, 'i');
	op(g, WASM_OP_BR_IF);
	put_u(g->code, label);
	drop_values(g, types);
	return false;
}

static bool branch_table(struct generator *g)
{
	uint32_t label, count = pick(g, 7);
	char types[VALUES_MOST + 1];

	strcpy(types, any_label(g, &label));
	values(g, types);
	value(g, 'i');
	if (!one_in(g, 8)) {
		i32_const(g, 7);
		op(g, WASM_OP_I32_AND);
	}
	op(g, WASM_OP_BR_TABLE);
	put_u(g->code, count);
	for (uint32_t i = 0; i < count; i++)
		put_u(g->code, label_like(g, types));
	put_u(g->code, label);
	return true;
}

static bool give_back(struct generator *g)
{
	uint32_t index;

	if (!has(g, GENERATE_TAIL_CALLS) || one_in(g, 2)) {
		values(g, g->signature->results);
		op(g, WASM_OP_RETURN);
		return true;
	}
	index = find_function(g, g->signature->results);
	values(g, g->signatures[g->functions[index].type].params);
	if (one_in(g, 2)) {
		i32_const(g, (int32_t)index);
		op(g, WASM_OP_RETURN_CALL_INDIRECT);
		put_signature(g, g->functions[index].type);
		put_u(g->code, 0);
	} else if (has(g, GENERATE_GC) && one_in(g, 2)) {
		op(g, WASM_OP_REF_FUNC);
		put_function(g, index);
		op(g, WASM_OP_RETURN_CALL_REF);
		put_signature(g, g->functions[index].type);
	} else {
		op(g, WASM_OP_RETURN_CALL);
		put_function(g, index);
	}
	return true;
}

/* Dead code may do with the stack what it likes. */
static void dead_code(struct generator *g)
{
	op(g, WASM_OP_NOP);
	for (uint32_t i = pick(g, 4); i > 0; i--) {
		const struct operations *list =
			&g->with_result[(int)"ilfd"[pick(g, 4)]];
		enum wasm_operation dead = list->list[pick(g, list->count)];

		if (wasm_operations[dead].immediates[0])
			continue;
		op(g, dead);
		op(g, WASM_OP_DROP);
	}
}

/* Statements */

static void assign(struct generator *g)
{
	char types[2] = { pick_letter(g), 0 };

	value(g, types[0]);
	drop_values(g, types);
}

static void store(struct generator *g)
{
	enum wasm_operation chosen =
		g->without_result.list[pick(g, g->without_result.count)];

	plain(g, chosen, false);
}

/* i64.add128 and its like. */
static void two_results(struct generator *g)
{
	const struct operations *list = &g->with_result[0];
	enum wasm_operation chosen;

	if (!list->count) {
		store(g);
		return;
	}
	chosen = list->list[pick(g, list->count)];
	plain(g, chosen, false);
	drop_values(g, wasm_operations[chosen].results);
}

static void call(struct generator *g)
{
	uint32_t index = pick(g, g->function_count);
	uint32_t type = g->functions[index].type;

	values(g, g->signatures[type].params);
	if (one_in(g, 3)) {
		if (one_in(g, 8))
			table_index(g);
		else
			i32_const(g, (int32_t)index);
		op(g, WASM_OP_CALL_INDIRECT);
		put_signature(g, type);
		put_u(g->code, 0);
	} else {
		op(g, WASM_OP_CALL);
		put_function(g, index);
	}
	drop_values(g, g->signatures[type].results);
}

static void call_import(struct generator *g, enum import import)
{
	op(g, WASM_OP_CALL);
	put_u(g->code, import);
}

/* What "apply" gets is never null and of its type. */
void import_statement(struct generator *g)
{
	uint32_t type = intern(g, "", ""), index;

	if (!has(g, GENERATE_IMPORTS))
		return;
	switch (pick(g, 5)) {
	case 0 ... 1: call_import(g, COLLECT); return;
	case 2:
		values(g, "l");
		call_import(g, MIX);
		drop_values(g, "l");
		return;
	case 3:
		values(g, "idl");
		call_import(g, SWAP);
		drop_values(g, "ldi");
		return;
	}
	index = find_function(g, "");
	if (index == UINT32_MAX || g->functions[index].type != type)
		return;
	take_fuel(g, APPLY_FUEL);
	op(g, WASM_OP_REF_FUNC);
	put_function(g, index);
	call_import(g, APPLY);
}

static void length(struct generator *g, bool is64)
{
	op(g, is64 ? WASM_OP_I64_CONST : WASM_OP_I32_CONST);
	put_s(g->code, one_in(g, 30) ? pick(g, 65536) : pick(g, 40));
}

static void bulk_memory(struct generator *g)
{
	uint32_t to = pick(g, g->memory_count), from = pick(g, g->memory_count);
	bool is64 = g->memory_is64[to];

	switch (pick(g, 4)) {
	case 0:
		address(g, to, false);
		value(g, 'i');
		length(g, is64);
		op(g, WASM_OP_MEMORY_FILL);
		put_u(g->code, to);
		return;
	case 1:
		address(g, to, false);
		address(g, from, false);
		length(g, is64 && g->memory_is64[from]);
		op(g, WASM_OP_MEMORY_COPY);
		put_u(g->code, to);
		put_u(g->code, from);
		return;
	case 2:
		address(g, to, false);
		i32_const(g, (int32_t)pick(g, g->data_length / 2 + 1));
		i32_const(g, (int32_t)pick(g, g->data_length / 2 + 1));
		op(g, WASM_OP_MEMORY_INIT);
		put_u(g->code, 1);
		put_u(g->code, to);
		return;
	}
	if (one_in(g, 8)) {
		op(g, WASM_OP_DATA_DROP);
		put_u(g->code, pick(g, DATAS));
	}
}

static void few(struct generator *g)
{
	i32_const(g, (int32_t)pick(g, g->elem_length + 1) / 2);
}

static void tables(struct generator *g)
{
	switch (pick(g, 7)) {
	case 0 ... 1:
		table_index(g);
		value(g, 'r');
		op(g, WASM_OP_TABLE_SET);
		put_u(g->code, 0);
		return;
	case 2:
		few(g);
		value(g, 'r');
		few(g);
		op(g, WASM_OP_TABLE_FILL);
		put_u(g->code, 0);
		return;
	case 3:
		few(g);
		few(g);
		few(g);
		op(g, WASM_OP_TABLE_COPY);
		put_u(g->code, 0);
		put_u(g->code, 0);
		return;
	case 4:
		few(g);
		few(g);
		few(g);
		op(g, WASM_OP_TABLE_INIT);
		put_u(g->code, 1 + pick(g, 2));
		put_u(g->code, 0);
		return;
	case 5:
		value(g, 'r');
		i32_const(g, (int32_t)pick(g, 3));
		op(g, WASM_OP_TABLE_GROW);
		put_u(g->code, 0);
		drop_values(g, "i");
		return;
	}
	if (one_in(g, 8)) {
		op(g, WASM_OP_ELEM_DROP);
		put_u(g->code, pick(g, ELEMS));
	}
}

static void block_statement(struct generator *g)
{
	char params[VALUES_MOST + 1] = "", results[VALUES_MOST + 1] = "";
	enum block_kind kind = (enum block_kind)pick(g, 3);

	if (one_in(g, 3))
		pick_letters(g, params, 3);
	if (one_in(g, 3))
		pick_letters(g, results, VALUES_MOST);
	else if (one_in(g, 4))
		strcpy(results, params);
	values(g, params);
	if (kind == IF)
		value(g, 'i');
	block(g, kind, params, results);
	drop_values(g, results);
}

/* As compilers count: a loop over a local, with its test at the end. */
static void counted_loop(struct generator *g)
{
	uint32_t index;

	if (g->label_count >= LABELS_MOST - 2 || !find_local(g, 'i', &index)) {
		assign(g);
		return;
	}
	op(g, WASM_OP_LOOP);
	put_byte(g->code, 0x40);
	strcpy(g->labels[g->label_count++].types, "");
	take_fuel(g, 1);
	assign(g);
	store(g);
	op(g, WASM_OP_LOCAL_GET);
	put_u(g->code, index);
	i32_const(g, one_in(g, 4) ? -1 : (int32_t)pick(g, 5));
	op(g, WASM_OP_I32_ADD);
	op(g, WASM_OP_LOCAL_TEE);
	put_u(g->code, index);
	i32_const(g, (int32_t)pick(g, 200));
	op(g, WASM_OP_I32_LT_S + pick(g, 4));
	op(g, WASM_OP_BR_IF);
	put_u(g->code, 0);
	g->label_count--;
	op(g, WASM_OP_END);
}

static bool ending(struct generator *g)
{
	switch (pick(g, 8)) {
	case 0 ... 3: branch(g); break;
	case 4 ... 5: branch_table(g); break;
	case 6: give_back(g); break;
	default:
		if (!one_in(g, 6))
			return branch_if(g);
		op(g, WASM_OP_UNREACHABLE);
	}
	dead_code(g);
	return true;
}

/* true: what follows is not reached. */
static bool statement(struct generator *g)
{
	switch (pick(g, 32)) {
	case 0 ... 6: assign(g); break;
	case 7 ... 11: store(g); break;
	case 12 ... 15: block_statement(g); break;
	case 16 ... 18: call(g); break;
	case 19 ... 20: branch_if(g); break;
	case 21: bulk_memory(g); break;
	case 22: tables(g); break;
	case 23: two_results(g); break;
	case 24 ... 25: counted_loop(g); break;
	case 26 ... 27: object_statement(g); break;
	case 28 ... 29: exception_statement(g); break;
	case 30: return ending(g);
	default: import_statement(g); break;
	}
	return false;
}

static bool statements(struct generator *g)
{
	for (uint32_t i = pick(g, 5); i > 0 && g->budget > 0 && !used_up(g);
	     i--)
		if (g->label_count < LABELS_MOST - 4 && statement(g))
			return true;
	return false;
}

/* Blocks: the parameters are on the stack. */

static void block_type(struct generator *g, const char *params,
		       const char *results)
{
	if (!*params && !*results) {
		put_byte(g->code, 0x40);
		return;
	}
	if (!*params && !results[1]) {
		put_type(g->code, *results);
		return;
	}
	put_signature(g, intern(g, params, results));
}

static void block_content(struct generator *g, const char *params,
			  const char *results)
{
	if (strcmp(params, results) == 0 && one_in(g, 2)) {
		statements(g);
		return;
	}
	drop_values(g, params);
	if (!statements(g))
		values(g, results);
}

/* Where the types cannot be written any more there is no block. */
void block(struct generator *g, enum block_kind kind, const char *params,
	   const char *results)
{
	static const enum wasm_operation begins[] = { WASM_OP_BLOCK,
						      WASM_OP_LOOP,
						      WASM_OP_IF };

	if (intern(g, params, results) == UINT32_MAX ||
	    g->label_count >= LABELS_MOST - 1) {
		if (kind == IF)
			op(g, WASM_OP_DROP);
		drop_values(g, params);
		values(g, results);
		return;
	}
	op(g, begins[kind]);
	block_type(g, params, results);
	strcpy(g->labels[g->label_count++].types,
	       kind == LOOP ? params : results);
	if (kind == LOOP)
		take_fuel(g, 1);
	block_content(g, params, results);
	if (kind == IF && (strcmp(params, results) != 0 || one_in(g, 2))) {
		op(g, WASM_OP_ELSE);
		block_content(g, params, results);
	}
	g->label_count--;
	op(g, WASM_OP_END);
}

/* Functions */

/* Own locals in runs of random types, sometimes very many, then scratch. */
static void choose_locals(struct generator *g)
{
	uint32_t groups = pick(g, 8), runs = 0;
	auto_buf struct buf declared = { 0 };

	g->local_count = (uint32_t)strlen(g->signature->params);
	memcpy(g->locals, g->signature->params, g->local_count);
	for (uint32_t i = 0; i < groups; i++) {
		uint32_t count = 1 + pick(g, one_in(g, 40) ? 30 : 3);
		char type = pick_letter(g);

		put_u(&declared, count);
		put_type(&declared, type);
		memset(g->locals + g->local_count, type, count);
		g->local_count += count;
		runs++;
	}
	g->scratch = g->local_count;
	for (const char *type = "ilfdv"; *type; type++) {
		if (*type == 'v' && !has(g, GENERATE_SIMD))
			continue;
		put_u(&declared, 1);
		put_type(&declared, *type);
		runs++;
	}
	put_u(g->code, runs);
	buf_add(g->code, declared.data, declared.len);
}

void function_body(struct generator *g, uint32_t index)
{
	struct function *function = &g->functions[index];

	g->code = &function->code;
	g->signature = &g->signatures[function->type];
	g->budget = 20 + (int)pick(g, one_in(g, 12) ? 2000 : 256);
	g->depth = 0;
	choose_locals(g);
	g->label_count = 1;
	strcpy(g->labels[0].types, g->signature->results);
	take_fuel(g, CALL_FUEL);
	for (uint32_t i = pick(g, 4); i > 0; i--)
		if (statements(g))
			goto end;
	if (one_in(g, 4))
		give_back(g);
	else
		values(g, g->signature->results);
end:
	op(g, WASM_OP_END);
}

/* What is outside: hashes.  Locals: hash, then one of each type, see below. */
enum { HASH = 0, OF_I32, OF_I64, OF_F32, OF_F64, OF_V128 };

static void plain_locals(struct generator *g)
{
	const char *types = has(g, GENERATE_SIMD) ? "lilfdv" : "lilfd";

	put_u(g->code, strlen(types));
	for (; *types; types++) {
		put_u(g->code, 1);
		put_type(g->code, *types);
	}
}

static void get(struct generator *g, uint32_t local)
{
	op(g, WASM_OP_LOCAL_GET);
	put_u(g->code, local);
}

static void set(struct generator *g, uint32_t local)
{
	op(g, WASM_OP_LOCAL_SET);
	put_u(g->code, local);
}

static void i64_const(struct generator *g, int64_t number)
{
	op(g, WASM_OP_I64_CONST);
	put_s(g->code, number);
}

/* hash = (rotl(hash, 5) ^ the i64 on the stack) * odd */
static void mix(struct generator *g)
{
	get(g, HASH);
	i64_const(g, 5);
	op(g, WASM_OP_I64_ROTL);
	op(g, WASM_OP_I64_XOR);
	i64_const(g, 0x100000001b3);
	op(g, WASM_OP_I64_MUL);
	set(g, HASH);
}

static void mix_vector(struct generator *g)
{
	set(g, OF_V128);
	for (uint32_t lane = 0; lane < 2; lane++) {
		get(g, OF_V128);
		op(g, WASM_OP_I64X2_EXTRACT_LANE);
		put_byte(g->code, lane);
		mix(g);
	}
}

static void mix_value(struct generator *g, char type)
{
	switch (type) {
	case 'l': mix(g); return;
	case 'v': mix_vector(g); return;
	case 'f': op(g, WASM_OP_I32_REINTERPRET_F32); break;
	case 'd':
		op(g, WASM_OP_I64_REINTERPRET_F64);
		mix(g);
		return;
	case 'i': break;
	default: op(g, WASM_OP_REF_IS_NULL);
	}
	op(g, WASM_OP_I64_EXTEND_I32_U);
	mix(g);
}

static void mix_values(struct generator *g, const char *types)
{
	for (size_t i = strlen(types); i-- > 0;)
		mix_value(g, types[i]);
}

/* All of each memory, 8 bytes at a time. */
static void mix_memory(struct generator *g, uint32_t memory)
{
	bool is64 = g->memory_is64[memory];

	i64_const(g, 0);
	set(g, OF_I64);
	op(g, WASM_OP_LOOP);
	put_byte(g->code, 0x40);
	get(g, OF_I64);
	if (!is64)
		op(g, WASM_OP_I32_WRAP_I64);
	op(g, WASM_OP_I64_LOAD);
	put_u(g->code, memory ? 64 : 0);
	if (memory)
		put_u(g->code, memory);
	put_u(g->code, 0);
	mix(g);
	get(g, OF_I64);
	i64_const(g, 8);
	op(g, WASM_OP_I64_ADD);
	op(g, WASM_OP_LOCAL_TEE);
	put_u(g->code, OF_I64);
	op(g, WASM_OP_MEMORY_SIZE);
	put_u(g->code, memory);
	if (!is64)
		op(g, WASM_OP_I64_EXTEND_I32_U);
	i64_const(g, 16);
	op(g, WASM_OP_I64_SHL);
	op(g, WASM_OP_I64_LT_U);
	op(g, WASM_OP_BR_IF);
	put_u(g->code, 0);
	op(g, WASM_OP_END);
}

void hasher_body(struct generator *g)
{
	plain_locals(g);
	for (uint32_t i = 1; i < g->global_count; i++) {
		op(g, WASM_OP_GLOBAL_GET);
		put_u(g->code, i);
		mix_value(g, g->globals[i]);
	}
	for (uint32_t i = 0; i < g->memory_count; i++)
		mix_memory(g, i);
	get(g, HASH);
	op(g, WASM_OP_END);
}

/* Calls a few functions with constants, or what locals hold. */
void runner_body(struct generator *g, uint32_t hasher)
{
	g->signature = &g->signatures[intern(g, "", "l")];
	g->scratch = 0;
	g->label_count = 0;
	g->budget = 0;
	plain_locals(g);
	i32_const(g, RUN_FUEL);
	op(g, WASM_OP_GLOBAL_SET);
	put_u(g->code, FUEL_GLOBAL);
	for (uint32_t i = 1 + pick(g, 4); i > 0; i--) {
		uint32_t index = pick(g, g->function_count);
		uint32_t type = g->functions[index].type;

		values(g, g->signatures[type].params);
		op(g, WASM_OP_CALL);
		put_function(g, index);
		mix_values(g, g->signatures[type].results);
	}
	op(g, WASM_OP_CALL);
	put_function(g, hasher);
	mix(g);
	get(g, HASH);
	op(g, WASM_OP_END);
}

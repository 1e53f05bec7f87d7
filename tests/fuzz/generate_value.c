/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: each leaves one value of the type that is asked for.
 *
 * NaNs: where an operation makes one, engines may choose its bits.  They are
 * made one at once, except where the next operation does not look ("loose"):
 * sums of products stay together, as a compiler writes them. */
#include "fuzz/generate_internal.h"
#include <string.h>

enum { DEPTH_MOST = 9 };

void op(struct generator *g, enum wasm_operation operation)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];

	if (g->counts)
		g->counts[operation]++;
	if (info->prefix) {
		put_byte(g->code, info->prefix);
		put_u(g->code, info->code);
	} else {
		put_byte(g->code, info->code);
	}
}

/* Constants */

static int64_t interesting(struct generator *g, unsigned bits)
{
	uint32_t shift = pick(g, bits);

	switch (pick(g, 6)) {
	case 0: return pick(g, 16);
	case 1: return -(int64_t)pick(g, 8);
	case 2: return (int64_t)((uint64_t)1 << shift);
	case 3: return (int64_t)(((uint64_t)1 << shift) - 1);
	case 4: return (int64_t)(UINT64_MAX << shift);
	}
	return (int64_t)pick_u64(g);
}

void i32_const(struct generator *g, int32_t number)
{
	op(g, WASM_OP_I32_CONST);
	put_s(g->code, number);
}

static void float_bits(struct generator *g, uint8_t *bytes, unsigned len)
{
	static const float floats[] = { 0.0f,	     -0.0f,   1.0f,
					-1.5f,	     0.5f,    2147483648.0f,
					1e30f,	     -1e-40f, __builtin_inff(),
					16777216.0f, 3.4e38f };
	float single = floats[pick(g, 11)];
	double wide = single;

	memcpy(bytes, len == 4 ? (void *)&single : (void *)&wide, len);
	if (one_in(g, 3))
		for (unsigned i = 0; i < len; i++)
			bytes[i] = (uint8_t)pick(g, 256);
}

static void constant(struct generator *g, char type)
{
	uint8_t bytes[16];

	switch (type) {
	case 'i': i32_const(g, (int32_t)interesting(g, 32)); return;
	case 'l':
		op(g, WASM_OP_I64_CONST);
		put_s(g->code, interesting(g, 64));
		return;
	case 'f':
	case 'd':
		op(g, type == 'f' ? WASM_OP_F32_CONST : WASM_OP_F64_CONST);
		float_bits(g, bytes, type == 'f' ? 4 : 8);
		buf_add(g->code, bytes, type == 'f' ? 4 : 8);
		return;
	case 'v':
		op(g, WASM_OP_V128_CONST);
		float_bits(g, bytes, 8);
		float_bits(g, bytes + 8, 8);
		if (one_in(g, 2))
			for (int i = 0; i < 16; i++)
				bytes[i] = (uint8_t)pick(g, 256);
		buf_add(g->code, bytes, 16);
		return;
	}
	if (type == 'r' && !one_in(g, 4)) {
		op(g, WASM_OP_REF_FUNC);
		put_function(g, pick(g, g->function_count));
		return;
	}
	value_default(g, type);
}

/* Zero or null. */
void value_default(struct generator *g, char type)
{
	static const char zeros[16];

	switch (type) {
	case 'i': i32_const(g, 0); return;
	case 'l':
		op(g, WASM_OP_I64_CONST);
		put_s(g->code, 0);
		return;
	case 'f':
	case 'd':
		op(g, type == 'f' ? WASM_OP_F32_CONST : WASM_OP_F64_CONST);
		buf_add(g->code, zeros, type == 'f' ? 4 : 8);
		return;
	case 'v':
		op(g, WASM_OP_V128_CONST);
		buf_add(g->code, zeros, 16);
		return;
	}
	op(g, WASM_OP_REF_NULL);
	if (strchr("stk", type))
		put_byte(g->code, (uint32_t)(strchr("stk", type) - "stk"));
	else
		put_type(g->code, type);
}

/* Variables */

bool find_local(struct generator *g, char type, uint32_t *index)
{
	uint32_t start = g->scratch ? pick(g, g->scratch) : 0;

	for (uint32_t i = 0; i < g->scratch; i++) {
		*index = (start + i) % g->scratch;
		if (g->locals[*index] == type)
			return true;
	}
	return false;
}

static bool get_local(struct generator *g, char type)
{
	uint32_t index;

	if (!find_local(g, type, &index))
		return false;
	op(g, WASM_OP_LOCAL_GET);
	put_u(g->code, index);
	return true;
}

static bool get_global(struct generator *g, char type)
{
	uint32_t start = pick(g, g->global_count);

	for (uint32_t i = 0; i < g->global_count; i++) {
		uint32_t index = (start + i) % g->global_count;

		if (g->globals[index] != type || index == FUEL_GLOBAL)
			continue;
		op(g, WASM_OP_GLOBAL_GET);
		put_u(g->code, index);
		return true;
	}
	return false;
}

static void leaf(struct generator *g, char type)
{
	uint32_t choice = pick(g, 8);

	if (choice < 5 && get_local(g, type))
		return;
	if (choice == 5 && get_global(g, type))
		return;
	constant(g, type);
}

/* Memory */

/* Mostly within the first page, and aligned where it must be. */
void address(struct generator *g, uint32_t memory, bool is_aligned)
{
	bool is64 = g->memory_is64[memory];
	uint32_t mask = one_in(g, 50) ? 0x1fff0 : 0xfff0;

	if (!is_aligned)
		mask |= 0xf;
	if (mask == 0xffff)
		mask = 0xffef;
	if (one_in(g, 120)) {
		value(g, is64 ? 'l' : 'i');
		return;
	}
	if (one_in(g, 3)) {
		uint32_t at = pick(g, 65536) & mask;

		op(g, is64 ? WASM_OP_I64_CONST : WASM_OP_I32_CONST);
		put_s(g->code, at);
		return;
	}
	value(g, is64 ? 'l' : 'i');
	op(g, is64 ? WASM_OP_I64_CONST : WASM_OP_I32_CONST);
	put_s(g->code, mask);
	op(g, is64 ? WASM_OP_I64_AND : WASM_OP_I32_AND);
}

static void memarg(struct generator *g, uint32_t memory, uint32_t align,
		   bool is_aligned)
{
	uint64_t offset = pick(g, 8) < 5 ? 0 : pick(g, 64);

	if (one_in(g, 150))
		offset = pick_u32(g);
	if (is_aligned)
		offset &= ~(uint64_t)15;
	else
		align = pick(g, align + 1);
	put_u(g->code, align | (memory ? 64 : 0));
	if (memory)
		put_u(g->code, memory);
	put_u(g->code, offset);
}

/* One plain operation with its operands */

/* No trap, mostly: of a divisor, 1 is among the bits. */
static void divisor(struct generator *g, char type)
{
	value(g, type);
	if (one_in(g, 12))
		return;
	if (type == 'i') {
		i32_const(g, 1);
		op(g, WASM_OP_I32_OR);
	} else {
		op(g, WASM_OP_I64_CONST);
		put_s(g->code, 1);
		op(g, WASM_OP_I64_OR);
	}
}

static bool is_division(const char *name)
{
	return (name[0] == 'i' && name[3] == '.') &&
	       (strncmp(name + 4, "div_", 4) == 0 ||
		strncmp(name + 4, "rem_", 4) == 0);
}

static void loose_value(struct generator *g, char type, char shape);

static void operand(struct generator *g, enum wasm_operation operation, int at)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	char type = info->operands[at], taker = g->nan_taker[operation];

	if (at == 1 && is_division(info->name))
		divisor(g, type);
	else if (taker && strchr("fdv", type))
		loose_value(g, type, taker);
	else
		value(g, type);
}

static void immediates(struct generator *g, enum wasm_operation operation,
		       uint32_t memory)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];

	for (int i = 0; i < 2; i++)
		switch (info->immediates[i]) {
		case WASM_IMM_MEMARG:
			memarg(g, memory, info->values[i], false);
			break;
		case WASM_IMM_ATOMIC:
			memarg(g, memory, info->values[i], true);
			break;
		case WASM_IMM_LANE:
			put_byte(g->code, pick(g, info->values[i]));
			break;
		case WASM_IMM_LANES:
			for (int lane = 0; lane < 16; lane++)
				put_byte(g->code, pick(g, 32));
			break;
		case WASM_IMM_FENCE: put_byte(g->code, 0); break;
		}
}

/* x == x ? x : NaN */
static void canonical(struct generator *g, char shape)
{
	static const uint8_t nan4[16] = { 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f,
					  0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f };
	static const uint8_t nan2[16] = { 0, 0, 0, 0, 0, 0, 0xf8, 0x7f,
					  0, 0, 0, 0, 0, 0, 0xf8, 0x7f };
	char type = shape == 'f' || shape == 'd' ? shape : 'v';
	uint32_t own = g->scratch + (uint32_t)(strchr("ilfdv", type) - "ilfdv");
	enum wasm_operation equal = shape == 'f'   ? WASM_OP_F32_EQ
				    : shape == 'd' ? WASM_OP_F64_EQ
				    : shape == '4' ? WASM_OP_F32X4_EQ
						   : WASM_OP_F64X2_EQ;

	op(g, WASM_OP_LOCAL_TEE);
	put_u(g->code, own);
	op(g, type == 'f'   ? WASM_OP_F32_CONST
	      : type == 'd' ? WASM_OP_F64_CONST
			    : WASM_OP_V128_CONST);
	if (type == 'v')
		buf_add(g->code, shape == '4' ? nan4 : nan2, 16);
	else
		buf_add(g->code, type == 'f' ? nan4 : nan2,
			type == 'f' ? 4 : 8);
	for (int i = 0; i < 2; i++) {
		op(g, WASM_OP_LOCAL_GET);
		put_u(g->code, own);
	}
	op(g, equal);
	op(g, type == 'v' ? WASM_OP_V128_BITSELECT : WASM_OP_SELECT);
}

void plain(struct generator *g, enum wasm_operation operation, bool loose)
{
	const struct wasm_operation_info *info = &wasm_operations[operation];
	uint32_t memory = pick(g, g->memory_count);

	for (int i = 0; info->operands[i]; i++)
		if (info->operands[i] == 'a')
			address(g, memory,
				info->immediates[0] == WASM_IMM_ATOMIC);
		else
			operand(g, operation, i);
	op(g, operation);
	immediates(g, operation, memory);
	if (!loose && g->nan_shape[operation])
		canonical(g, g->nan_shape[operation]);
}

static enum wasm_operation choose(struct generator *g, char type)
{
	const struct operations *list = &g->with_result[(int)type];

	return list->list[pick(g, list->count)];
}

/* Those that trap for most operands are rare. */
static bool operation(struct generator *g, char type)
{
	enum wasm_operation chosen;
	const char *name;

	if (!g->with_result[(int)type].count)
		return false;
	chosen = choose(g, type);
	name = wasm_operations[chosen].name;
	if (wasm_operations[chosen].immediates[0] >= WASM_IMM_I32 &&
	    wasm_operations[chosen].immediates[0] <= WASM_IMM_V128) {
		constant(g, type);
		return true;
	}
	if (name[0] == 'i' && name[3] == '.' &&
	    strncmp(name + 4, "trunc_f", 7) == 0 && !one_in(g, 4))
		return false;
	plain(g, chosen, false);
	return true;
}

/* A value of which any NaN will do: f, d, or lanes 4, 2. */
static void loose_value(struct generator *g, char type, char shape)
{
	enum wasm_operation chosen;

	for (int i = 0; i < 6 && g->depth < DEPTH_MOST && g->budget > 0; i++) {
		chosen = choose(g, type);
		if (g->nan_shape[chosen] != shape)
			continue;
		g->depth++;
		g->budget--;
		plain(g, chosen, true);
		g->depth--;
		return;
	}
	value(g, type);
}

/* Larger ones */

static void select_value(struct generator *g, char type)
{
	bool typed = is_reference(type) || one_in(g, 4);

	value(g, type);
	value(g, type);
	value(g, 'i');
	op(g, typed ? WASM_OP_SELECT_TYPED : WASM_OP_SELECT);
	if (typed) {
		put_u(g->code, 1);
		put_type(g->code, type);
	}
}

static bool tee(struct generator *g, char type)
{
	uint32_t index;

	if (!find_local(g, type, &index))
		return false;
	value(g, type);
	op(g, WASM_OP_LOCAL_TEE);
	put_u(g->code, index);
	return true;
}

uint32_t find_function(struct generator *g, const char *results)
{
	uint32_t start = pick(g, g->function_count);

	for (uint32_t i = 0; i < g->function_count; i++) {
		uint32_t index = (start + i) % g->function_count;
		uint32_t type = g->functions[index].type;

		if (strcmp(g->signatures[type].results, results) == 0)
			return index;
	}
	return UINT32_MAX;
}

/* The first functions lie in the table at their own numbers. */
static bool call_value(struct generator *g, char type)
{
	char results[2] = { type, 0 };
	uint32_t index = find_function(g, results), number;

	if (index == UINT32_MAX)
		return false;
	number = g->functions[index].type;
	values(g, g->signatures[number].params);
	if (one_in(g, 2)) {
		i32_const(g, (int32_t)index);
		op(g, WASM_OP_CALL_INDIRECT);
		put_signature(g, number);
		put_u(g->code, 0);
	} else if (has(g, GENERATE_GC) && one_in(g, 3)) {
		op(g, WASM_OP_REF_FUNC);
		put_function(g, index);
		op(g, WASM_OP_CALL_REF);
		put_signature(g, number);
	} else {
		op(g, WASM_OP_CALL);
		put_function(g, index);
	}
	return true;
}

/* A branch that is not taken leaves the value. */
static bool branch_value(struct generator *g, char type)
{
	char types[2] = { type, 0 };
	uint32_t start = pick(g, g->label_count);

	for (uint32_t i = 0; i < g->label_count; i++) {
		uint32_t at = (start + i) % g->label_count;

		if (strcmp(g->labels[at].types, types) != 0)
			continue;
		value(g, type);
		value(g, 'i');
		op(g, WASM_OP_BR_IF);
		put_u(g->code, g->label_count - 1 - at);
		return true;
	}
	return false;
}

static void block_value(struct generator *g, char type)
{
	char params[VALUES_MOST + 1] = "", results[2] = { type, 0 };
	enum block_kind kind = (enum block_kind)pick(g, 3);

	if (one_in(g, 3))
		pick_letters(g, params, 2);
	values(g, params);
	if (kind == IF)
		value(g, 'i');
	block(g, kind, params, results);
}

void table_index(struct generator *g)
{
	value(g, 'i');
	if (one_in(g, 20))
		return;
	i32_const(g, (int32_t)g->table_length - 1);
	op(g, WASM_OP_I32_AND);
}

static bool special_value(struct generator *g, char type)
{
	uint32_t memory = pick(g, g->memory_count);
	bool is64 = g->memory_is64[memory];

	if (type == 'r') {
		table_index(g);
		op(g, WASM_OP_TABLE_GET);
		put_u(g->code, 0);
		return true;
	}
	if (type == (is64 ? 'l' : 'i') && one_in(g, 2)) {
		if (one_in(g, 4)) {
			op(g, is64 ? WASM_OP_I64_CONST : WASM_OP_I32_CONST);
			put_s(g->code, pick(g, 3));
			op(g, WASM_OP_MEMORY_GROW);
		} else {
			op(g, WASM_OP_MEMORY_SIZE);
		}
		put_u(g->code, memory);
		return true;
	}
	if (type != 'i')
		return false;
	if (one_in(g, 3)) {
		op(g, WASM_OP_TABLE_SIZE);
		put_u(g->code, 0);
		return true;
	}
	value(g, g->letters[pick(g, 2) + (has(g, GENERATE_SIMD) ? 5 : 4)]);
	op(g, WASM_OP_REF_IS_NULL);
	return true;
}

static bool deep_value(struct generator *g, char type)
{
	switch (pick(g, 32)) {
	case 0 ... 3: select_value(g, type); return true;
	case 4 ... 6: return tee(g, type);
	case 7 ... 8: return call_value(g, type);
	case 9 ... 10: return branch_value(g, type);
	case 11 ... 12: block_value(g, type); return true;
	case 13: return special_value(g, type);
	case 14 ... 15: return object_number(g, type);
	}
	if (is_reference(type) && type != 'r' && type != 'x') {
		object_value(g, type);
		return true;
	}
	return operation(g, type);
}

void value(struct generator *g, char type)
{
	bool deep = g->budget-- > 0 && g->depth < DEPTH_MOST && !used_up(g) &&
		    pick(g, 8) > 1;

	if (g->label_count >= LABELS_MOST - 2)
		deep = false;
	g->depth++;
	if (!deep || !deep_value(g, type))
		leaf(g, type);
	g->depth--;
}

void values(struct generator *g, const char *types)
{
	for (; *types; types++)
		value(g, *types);
}

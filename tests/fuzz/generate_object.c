/* SPDX-License-Identifier: Apache-2.0 */
/* Structures, arrays, i31, casts; exceptions.  Types s, t (below s) and k
 * have the numbers 0, 1 and 2. */
#include "fuzz/generate_internal.h"
#include <string.h>

enum { TYPE_S, TYPE_T, TYPE_K, ARRAY_LEAST = 8 };

static bool is_packed(char type)
{
	return type == 'b' || type == 'h';
}

static char unpacked(char type)
{
	return is_packed(type) ? 'i' : type;
}

/* Objects */

static void new_struct(struct generator *g, uint32_t type)
{
	uint32_t count = type == TYPE_S ? g->field_count : g->subfield_count;
	bool is_default = one_in(g, 3);

	for (uint32_t i = 0; i < count && !is_default; i++)
		value(g, unpacked(g->fields[i].type));
	op(g, is_default ? WASM_OP_STRUCT_NEW_DEFAULT : WASM_OP_STRUCT_NEW);
	put_u(g->code, type);
}

static void new_array(struct generator *g)
{
	char element = unpacked(g->element.type);
	uint32_t length = ARRAY_LEAST + pick(g, 8);

	switch (pick(g, 5)) {
	case 4:
		if (element != 'r')
			break;
		i32_const(g, 0);
		i32_const(g, (int32_t)pick(g, g->elem_length + 1));
		op(g, WASM_OP_ARRAY_NEW_ELEM);
		put_u(g->code, TYPE_K);
		put_u(g->code, 1);
		return;
	case 0:
		for (uint32_t i = 0; i < length; i++)
			value(g, element);
		op(g, WASM_OP_ARRAY_NEW_FIXED);
		put_u(g->code, TYPE_K);
		put_u(g->code, length);
		return;
	case 1:
		if (is_reference(element))
			break;
		i32_const(g, (int32_t)pick(g, 4));
		i32_const(g, (int32_t)length);
		op(g, WASM_OP_ARRAY_NEW_DATA);
		put_u(g->code, TYPE_K);
		put_u(g->code, 1);
		return;
	case 2:
		value(g, element);
		i32_const(g, (int32_t)length);
		op(g, WASM_OP_ARRAY_NEW);
		put_u(g->code, TYPE_K);
		return;
	}
	i32_const(g, (int32_t)length);
	op(g, WASM_OP_ARRAY_NEW_DEFAULT);
	put_u(g->code, TYPE_K);
}

/* An i31 is never null here, nor is an object that is new. */
static void new_object(struct generator *g, char type)
{
	switch (type) {
	case 's': new_struct(g, pick(g, 2)); return;
	case 't': new_struct(g, TYPE_T); return;
	case 'k': new_array(g); return;
	case 'q': new_object(g, "stkj"[pick(g, 4)]); return;
	case 'j':
		value(g, 'i');
		op(g, WASM_OP_REF_I31);
		return;
	}
	value_default(g, type);
}

static void cast(struct generator *g, char type)
{
	value(g, 'q');
	op(g, one_in(g, 2) ? WASM_OP_REF_CAST : WASM_OP_REF_CAST_NULL);
	if (type == 'j')
		put_byte(g->code, 0x6c);
	else
		put_byte(g->code, (uint32_t)(strchr("stk", type) - "stk"));
}

void object_value(struct generator *g, char type)
{
	if (type != 'q' && type != 'n' && one_in(g, 12))
		cast(g, type);
	else if (one_in(g, 4))
		value(g, type);
	else
		new_object(g, type);
}

/* Mostly not null. */
static void some_object(struct generator *g, char type)
{
	if (one_in(g, 8))
		value(g, type);
	else
		new_object(g, type);
}

static void element_index(struct generator *g)
{
	value(g, 'i');
	if (one_in(g, 16))
		return;
	i32_const(g, ARRAY_LEAST - 1);
	op(g, WASM_OP_I32_AND);
}

/* Numbers of objects */

static bool find_field(struct generator *g, char type, uint32_t *index)
{
	uint32_t start = pick(g, g->subfield_count);

	for (uint32_t i = 0; i < g->subfield_count; i++) {
		*index = (start + i) % g->subfield_count;
		if (unpacked(g->fields[*index].type) == type)
			return true;
	}
	return false;
}

static bool get_field(struct generator *g, char type)
{
	uint32_t index, number;
	char stored;

	if (!find_field(g, type, &index))
		return false;
	number = index < g->field_count ? pick(g, 2) : TYPE_T;
	stored = g->fields[index].type;
	some_object(g, number == TYPE_S ? 's' : 't');
	op(g, !is_packed(stored) ? WASM_OP_STRUCT_GET
	      : one_in(g, 2)	 ? WASM_OP_STRUCT_GET_S
				 : WASM_OP_STRUCT_GET_U);
	put_u(g->code, number);
	put_u(g->code, index);
	return true;
}

static bool get_element(struct generator *g, char type)
{
	if (unpacked(g->element.type) != type)
		return false;
	some_object(g, 'k');
	element_index(g);
	op(g, !is_packed(g->element.type) ? WASM_OP_ARRAY_GET
	      : one_in(g, 2)		  ? WASM_OP_ARRAY_GET_S
					  : WASM_OP_ARRAY_GET_U);
	put_u(g->code, TYPE_K);
	return true;
}

static void test_type(struct generator *g)
{
	if (one_in(g, 3)) {
		value(g, 'x');
		op(g, WASM_OP_ANY_CONVERT_EXTERN);
	} else {
		value(g, 'q');
	}
	op(g, one_in(g, 2) ? WASM_OP_REF_TEST : WASM_OP_REF_TEST_NULL);
	switch (pick(g, 6)) {
	case 0: put_byte(g->code, 0x6b); return; /* struct */
	case 1: put_byte(g->code, 0x6a); return; /* array */
	case 2: put_byte(g->code, 0x6c); return; /* i31 */
	}
	put_byte(g->code, pick(g, 3));
}

static bool i32_of_object(struct generator *g)
{
	switch (pick(g, 4)) {
	case 0:
		some_object(g, 'k');
		op(g, WASM_OP_ARRAY_LEN);
		break;
	case 1:
		some_object(g, 'j');
		op(g, one_in(g, 2) ? WASM_OP_I31_GET_S : WASM_OP_I31_GET_U);
		break;
	case 2:
		value(g, 'q');
		value(g, 'q');
		op(g, WASM_OP_REF_EQ);
		break;
	default: test_type(g);
	}
	return true;
}

bool object_number(struct generator *g, char type)
{
	if (!has(g, GENERATE_GC))
		return false;
	if (type == 'x') {
		value(g, 'q');
		op(g, WASM_OP_EXTERN_CONVERT_ANY);
		return true;
	}
	switch (pick(g, 3)) {
	case 0: return get_field(g, type);
	case 1: return get_element(g, type);
	}
	return type == 'i' && i32_of_object(g);
}

/* Statements */

static void set_field(struct generator *g)
{
	uint32_t index = pick(g, g->subfield_count), number;

	if (!g->fields[index].is_mutable)
		return;
	number = index < g->field_count ? pick(g, 2) : TYPE_T;
	some_object(g, number == TYPE_S ? 's' : 't');
	value(g, unpacked(g->fields[index].type));
	op(g, WASM_OP_STRUCT_SET);
	put_u(g->code, number);
	put_u(g->code, index);
}

static void small(struct generator *g)
{
	i32_const(g, (int32_t)pick(g, ARRAY_LEAST / 2 + 1));
}

static void change_array(struct generator *g)
{
	some_object(g, 'k');
	switch (pick(g, 3)) {
	case 0:
		small(g);
		some_object(g, 'k');
		small(g);
		small(g);
		op(g, WASM_OP_ARRAY_COPY);
		put_u(g->code, TYPE_K);
		break;
	case 1:
		if (!is_reference(g->element.type)) {
			small(g);
			small(g);
			small(g);
			op(g, WASM_OP_ARRAY_INIT_DATA);
			put_u(g->code, TYPE_K);
			put_u(g->code, 1);
			return;
		}
		if (g->element.type == 'r') {
			small(g);
			i32_const(g, 0);
			i32_const(g, (int32_t)pick(g, 2));
			op(g, WASM_OP_ARRAY_INIT_ELEM);
			put_u(g->code, TYPE_K);
			put_u(g->code, 1);
			return;
		}
		op(g, WASM_OP_DROP);
		return;
	default:
		small(g);
		value(g, unpacked(g->element.type));
		small(g);
		op(g, WASM_OP_ARRAY_FILL);
	}
	put_u(g->code, TYPE_K);
}

static void set_element(struct generator *g)
{
	some_object(g, 'k');
	element_index(g);
	value(g, unpacked(g->element.type));
	op(g, WASM_OP_ARRAY_SET);
	put_u(g->code, TYPE_K);
}

static void begin_block(struct generator *g, char result)
{
	char types[2] = { result, 0 };

	op(g, WASM_OP_BLOCK);
	if (result)
		put_type(g->code, result);
	else
		put_byte(g->code, 0x40);
	strcpy(g->labels[g->label_count++].types, types);
}

static void end_block(struct generator *g)
{
	g->label_count--;
	op(g, WASM_OP_END);
}

/* br_on_cast FLAGS 0 (ref null eq) (ref null? type) */
static void branch_on_cast(struct generator *g, char type)
{
	bool fails = one_in(g, 2);

	begin_block(g, fails ? 'q' : type);
	value(g, 'q');
	op(g, fails ? WASM_OP_BR_ON_CAST_FAIL : WASM_OP_BR_ON_CAST);
	put_byte(g->code, 1 | pick(g, 2) << 1);
	put_u(g->code, 0);
	put_byte(g->code, 0x6d);
	put_byte(g->code, (uint32_t)(strchr("stk", type) - "stk"));
	op(g, WASM_OP_DROP);
	value(g, fails ? 'q' : type);
	end_block(g);
	drop_values(g, fails ? "q" : (char[]){ type, 0 });
}

static void branch_on_null(struct generator *g)
{
	if (one_in(g, 2)) {
		begin_block(g, 0);
		value(g, 's');
		op(g, WASM_OP_BR_ON_NULL);
		put_u(g->code, 0);
		drop_values(g, "s");
		end_block(g);
		return;
	}
	begin_block(g, 'k');
	value(g, 'k');
	op(g, WASM_OP_BR_ON_NON_NULL);
	put_u(g->code, 0);
	value(g, 'k');
	end_block(g);
	op(g, WASM_OP_REF_AS_NON_NULL);
	drop_values(g, "k");
}

void object_statement(struct generator *g)
{
	if (!has(g, GENERATE_GC) || g->label_count >= LABELS_MOST - 4)
		return;
	switch (pick(g, 6)) {
	case 0 ... 1: set_field(g); return;
	case 2: change_array(g); return;
	case 3: set_element(g); return;
	case 4: branch_on_cast(g, "stk"[pick(g, 3)]); return;
	}
	branch_on_null(g);
}

/* Exceptions */

static void throw(struct generator * g)
{
	uint32_t tag = pick(g, g->tag_count);
	bool again = one_in(g, 4);

	value(g, 'i');
	op(g, WASM_OP_IF);
	put_byte(g->code, 0x40);
	strcpy(g->labels[g->label_count++].types, "");
	if (again)
		value(g, 'n');
	else
		values(g, g->tags[tag]);
	op(g, again ? WASM_OP_THROW_REF : WASM_OP_THROW);
	if (!again)
		put_u(g->code, tag);
	end_block(g);
}

/* A block that gets what is caught, around a try_table around calls. */
static void try(struct generator *g)
{
	uint32_t tag = pick(g, g->tag_count), kind = pick(g, 4);
	char caught[VALUES_MOST + 1] = "";
	uint32_t type;

	if (kind < 2)
		strcpy(caught, g->tags[tag]);
	if (kind & 1)
		strcat(caught, "n");
	type = intern(g, "", caught);
	if (type == UINT32_MAX)
		return;
	op(g, WASM_OP_BLOCK);
	put_signature(g, type);
	strcpy(g->labels[g->label_count++].types, caught);
	op(g, WASM_OP_TRY_TABLE);
	put_byte(g->code, 0x40);
	put_u(g->code, 1);
	put_byte(g->code, kind);
	if (kind < 2)
		put_u(g->code, tag);
	put_u(g->code, 0);
	strcpy(g->labels[g->label_count++].types, "");
	block(g, BLOCK, "", "");
	throw(g);
	end_block(g);
	values(g, caught);
	end_block(g);
	drop_values(g, caught);
}

void exception_statement(struct generator *g)
{
	if (!has(g, GENERATE_EXCEPTIONS) || g->label_count >= LABELS_MOST - 6)
		return;
	if (one_in(g, 5))
		throw(g);
	else
		try(g);
}

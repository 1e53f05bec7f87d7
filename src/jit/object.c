/* SPDX-License-Identifier: Apache-2.0 */
/* References, objects, tables, bulk memory, exceptions.  Most of it is out of
 * line, with the functions that the interpreter calls. */
#include "jit/compile.h"
#include "wasm/heap.h"

/* What an operation takes and gives, where its types do not decide. */
enum shape_result { GIVES_NOTHING, GIVES_A_REF, GIVES_AN_INDEX };
struct shape {
	uint8_t operands, words; /* its indices, in their order */
	uint8_t result;
	bool is_here;
};

/* clang-format off */
#define SHAPE(operands, words, result) \
	{ operands, words, GIVES_##result, true }
static const struct shape shapes[WASM_OPERATIONS] = {
	[WASM_OP_MEMORY_GROW] = SHAPE(1, 1, AN_INDEX),
	[WASM_OP_MEMORY_FILL] = SHAPE(3, 1, NOTHING),
	[WASM_OP_MEMORY_COPY] = SHAPE(3, 2, NOTHING),
	[WASM_OP_MEMORY_INIT] = SHAPE(3, 2, NOTHING),
	[WASM_OP_DATA_DROP] = SHAPE(0, 1, NOTHING),
	[WASM_OP_TABLE_GET] = SHAPE(1, 1, A_REF),
	[WASM_OP_TABLE_SET] = SHAPE(2, 1, NOTHING),
	[WASM_OP_TABLE_SIZE] = SHAPE(0, 1, AN_INDEX),
	[WASM_OP_TABLE_GROW] = SHAPE(2, 1, AN_INDEX),
	[WASM_OP_TABLE_FILL] = SHAPE(3, 1, NOTHING),
	[WASM_OP_TABLE_COPY] = SHAPE(3, 2, NOTHING),
	[WASM_OP_TABLE_INIT] = SHAPE(3, 2, NOTHING),
	[WASM_OP_ELEM_DROP] = SHAPE(0, 1, NOTHING),
	[WASM_OP_REF_FUNC] = SHAPE(0, 1, A_REF),
	[WASM_OP_STRUCT_NEW_DEFAULT] = SHAPE(0, 1, A_REF),
	[WASM_OP_ARRAY_NEW] = SHAPE(2, 1, A_REF),
	[WASM_OP_ARRAY_NEW_DEFAULT] = SHAPE(1, 1, A_REF),
	[WASM_OP_ARRAY_NEW_DATA] = SHAPE(2, 2, A_REF),
	[WASM_OP_ARRAY_NEW_ELEM] = SHAPE(2, 2, A_REF),
	[WASM_OP_ARRAY_FILL] = SHAPE(4, 1, NOTHING),
	[WASM_OP_ARRAY_COPY] = SHAPE(5, 2, NOTHING),
	[WASM_OP_ARRAY_INIT_DATA] = SHAPE(4, 2, NOTHING),
	[WASM_OP_ARRAY_INIT_ELEM] = SHAPE(4, 2, NOTHING),
	[WASM_OP_THROW_REF] = SHAPE(1, 0, NOTHING),
};
/* clang-format on */

static bool is_index64(const struct wasm_module *module, unsigned operation,
		       uint32_t index)
{
	if (operation == WASM_OP_MEMORY_GROW)
		return module->memories[index].limits.is64;
	return module->tables[index].limits.is64;
}

static wasm_type shape_result(const struct wasm_module *module,
			      unsigned operation, uint32_t index)
{
	enum shape_result result = shapes[operation].result;

	if (result == GIVES_A_REF)
		return WASM_ANYREF;
	if (result == GIVES_AN_INDEX && is_index64(module, operation, index))
		return WASM_I64;
	return WASM_I32;
}

bool jit_order_of_shape(const struct wasm_module *module, unsigned operation,
			const uint32_t *index, struct jit_order *order,
			wasm_type *result)
{
	const struct shape *shape = &shapes[operation];

	if (!shape->is_here)
		return false;
	*order = (struct jit_order){ .number = operation,
				     .operands = shape->operands,
				     .word_count = shape->words,
				     .results = result,
				     .result_count =
					     shape->result != GIVES_NOTHING };
	for (unsigned i = 0; i < shape->words; i++)
		order->words[i] = index[i];
	if (order->result_count)
		*result = shape_result(module, operation, index[0]);
	return true;
}

static bool shaped(struct jit_compiler *c, unsigned operation,
		   const uint32_t *index)
{
	struct jit_order out;
	wasm_type result;

	if (!jit_order_of_shape(c->module, operation, index, &out, &result))
		return false;
	jit_out_call(c, &out);
	if (operation == WASM_OP_THROW_REF)
		jit_become_dead(c);
	return true;
}

static void throw_tag(struct jit_compiler *c, uint32_t tag)
{
	const struct wasm_deftype *type =
		c->module->type[c->module->tags[tag].type_index];
	struct jit_order out = { .number = WASM_OP_THROW,
				 .operands = type->param_count,
				 .words = { tag },
				 .word_count = 1 };

	jit_out_call(c, &out);
	jit_become_dead(c);
}

static void new_of_values(struct jit_compiler *c, unsigned operation,
			  uint32_t type, uint32_t count)
{
	static const wasm_type result = WASM_ANYREF;
	struct jit_order out = { .number = operation,
				 .operands = count,
				 .words = { type, count },
				 .word_count = 2,
				 .results = &result,
				 .result_count = 1 };

	jit_out_call(c, &out);
}

struct jit_order jit_order_of_wait(unsigned operation,
				   const struct wasm_immediates *immediates)
{
	static const wasm_type result = WASM_I32;

	return (struct jit_order){
		.number = operation,
		.operands = operation == WASM_OP_MEMORY_ATOMIC_NOTIFY ? 2 : 3,
		.words = { immediates->memory, (uint32_t)immediates->value,
			   (uint32_t)(immediates->value >> 32) },
		.word_count = 3,
		.results = &result,
		.result_count = 1
	};
}

static void wait_or_notify(struct jit_compiler *c, unsigned operation,
			   const struct wasm_immediates *immediates)
{
	struct jit_order out = jit_order_of_wait(operation, immediates);

	jit_out_call(c, &out);
}

/* References */

static void push_back(struct jit_compiler *c, const struct operand *operand)
{
	if (operand->value.place == IN_LOCAL)
		jit_push_local(c, operand->value.index);
	else
		jit_push(c, operand->value);
}

/* Flags: is the top reference null?  It stays on the stack, in a register. */
static void test_top(struct jit_compiler *c)
{
	struct operand operand = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &operand);

	emit(&c->e, 0x85 | OP_W, reg, rm_reg(reg));
	push_back(c, &operand);
}

static void as_non_null(struct jit_compiler *c)
{
	test_top(c);
	jit_code_trap_if(c, CC_E, WASM_TRAP_null_reference);
}

/* The branch goes without the reference. */
static void branch_on_null(struct jit_compiler *c, uint32_t depth)
{
	struct operand operand;

	test_top(c);
	operand = jit_pop(c);
	jit_branch_if(c, depth, CC_E);
	push_back(c, &operand);
}

/* The branch brings it. */
static void branch_on_non_null(struct jit_compiler *c, uint32_t depth)
{
	struct operand operand;

	test_top(c);
	jit_branch_if(c, depth, CC_NE);
	operand = jit_pop(c);
	jit_release(c, &operand);
}

/* Pops a reference, pushes whether it is of the type. */
static void ref_test(struct jit_compiler *c, wasm_type type)
{
	static const wasm_type result = WASM_I32;
	struct jit_order out = { .number = JIT_OUT_REF_TEST,
				 .operands = 1,
				 .words = { type, 0 },
				 .word_count = 2,
				 .results = &result,
				 .result_count = 1 };

	jit_out_call(c, &out);
}

static void ref_cast(struct jit_compiler *c, wasm_type type)
{
	static const wasm_type result = WASM_ANYREF;
	struct jit_order out = { .number = JIT_OUT_REF_CAST,
				 .operands = 1,
				 .words = { type },
				 .word_count = 1,
				 .results = &result,
				 .result_count = 1 };

	jit_out_call(c, &out);
}

/* The reference is kept in its slot meanwhile. */
static void branch_on_cast(struct jit_compiler *c,
			   const struct wasm_immediates *immediates,
			   bool is_fail)
{
	struct operand condition;

	jit_values_flush(c);
	jit_push(c, *value_at(c, c->height - 1));
	if (value_at(c, c->height - 1)->place == IN_SLOT) {
		struct operand top = { *value_at(c, c->height - 2),
				       c->height - 2 };
		unsigned reg = jit_take(c, GENERAL);

		jit_operand_to(c, &top, reg);
		c->height--;
		jit_push_reg(c, T_I64, reg);
	}
	ref_test(c, immediates->types[1]);
	condition = jit_pop(c);
	jit_operand_test(c, &condition);
	jit_branch_if(c, immediates->index[0], is_fail ? CC_E : CC_NE);
}

static void to_i31(struct jit_compiler *c)
{
	struct operand a = jit_pop(c);
	struct target target = jit_target_over(c, GENERAL, &a);

	jit_operand_to(c, &a, target.reg);
	emit(&c->e, 0x03 | OP_W, target.reg, rm_reg(target.reg));
	jit_emit_alu(c, 1, T_I64, rm_reg(target.reg), 1);
	jit_move(c, SCRATCH, target.reg, T_I32);
	emit(&c->e, 0x8b, target.reg, rm_reg(SCRATCH));
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_I64);
}

static void from_i31(struct jit_compiler *c, bool is_signed)
{
	struct operand a;
	struct target target;

	test_top(c);
	jit_code_trap_if(c, CC_E, WASM_TRAP_null_i31);
	a = jit_pop(c);
	target = jit_target_over(c, GENERAL, &a);
	jit_move(c, SCRATCH, jit_reg_of(c, &a), T_I64);
	emit(&c->e, 0xd1, is_signed ? 7 : 5, rm_reg(SCRATCH));
	jit_move(c, target.reg, SCRATCH, T_I32);
	jit_target_release(c, &target, &a);
	jit_target_finish(c, target, T_I32);
}

static bool reference(struct jit_compiler *c, unsigned operation,
		      const struct wasm_immediates *immediates)
{
	wasm_type type = immediates->types[0];

	switch (operation) {
	case WASM_OP_REF_NULL: jit_push_constant(c, T_I64, 0); break;
	case WASM_OP_REF_IS_NULL:
		jit_number_operation(c, WASM_OP_I64_EQZ);
		break;
	case WASM_OP_REF_EQ: jit_number_operation(c, WASM_OP_I64_EQ); break;
	case WASM_OP_REF_AS_NON_NULL: as_non_null(c); break;
	case WASM_OP_BR_ON_NULL: branch_on_null(c, immediates->index[0]); break;
	case WASM_OP_BR_ON_NON_NULL:
		branch_on_non_null(c, immediates->index[0]);
		break;
	case WASM_OP_REF_I31: to_i31(c); break;
	case WASM_OP_I31_GET_S: from_i31(c, true); break;
	case WASM_OP_I31_GET_U: from_i31(c, false); break;
	case WASM_OP_ANY_CONVERT_EXTERN:
	case WASM_OP_EXTERN_CONVERT_ANY: break; /* the word stays */
	case WASM_OP_REF_TEST_NULL: ref_test(c, type | WASM_NULLABLE); break;
	case WASM_OP_REF_TEST: ref_test(c, type); break;
	case WASM_OP_REF_CAST_NULL: ref_cast(c, type | WASM_NULLABLE); break;
	case WASM_OP_REF_CAST: ref_cast(c, type); break;
	case WASM_OP_BR_ON_CAST: branch_on_cast(c, immediates, false); break;
	case WASM_OP_BR_ON_CAST_FAIL:
		branch_on_cast(c, immediates, true);
		break;
	default: return false;
	}
	return true;
}

/* Fields and elements: an instruction that loads, sign-extended or not, and
 * one that stores. */

struct field_way {
	unsigned type;
	uint32_t load, load_signed, store;
	unsigned bytes;
};

static struct field_way way_of(wasm_type type)
{
	switch (type) {
	case WASM_I8:
		return (struct field_way){ T_I32, 0xb6 | OP_0F, 0xbe | OP_0F,
					   0x88 | OP_BYTE, 1 };
	case WASM_I16:
		return (struct field_way){ T_I32, 0xb7 | OP_0F, 0xbf | OP_0F,
					   0x89 | OP_66, 2 };
	case WASM_I32: return (struct field_way){ T_I32, 0x8b, 0x8b, 0x89, 4 };
	case WASM_F32:
		return (struct field_way){ T_F32, 0x10 | OP_0F | OP_F3, 0,
					   0x11 | OP_0F | OP_F3, 4 };
	case WASM_F64:
		return (struct field_way){ T_F64, 0x10 | OP_0F | OP_F2, 0,
					   0x11 | OP_0F | OP_F2, 8 };
	case WASM_V128:
		return (struct field_way){ T_V128, 0x10 | OP_0F, 0,
					   0x11 | OP_0F, 16 };
	default:
		return (struct field_way){ T_I64, 0x8b | OP_W, 0x8b | OP_W,
					   0x89 | OP_W, 8 };
	}
}

/* Its operands are released when nothing is moved any more. */
static void field_load(struct jit_compiler *c, const struct field_way *way,
		       struct target target, struct rm rm, bool is_signed)
{
	if (file_of(way->type) == VECTOR)
		jit_emit_x(c, way->load, target.reg, rm);
	else
		emit(&c->e, is_signed ? way->load_signed : way->load,
		     target.reg, rm);
	jit_target_finish(c, target, way->type);
}

static void field_store(struct jit_compiler *c, const struct field_way *way,
			unsigned reg, struct rm rm)
{
	if (file_of(way->type) == VECTOR)
		jit_emit_x(c, way->store, reg, rm);
	else
		emit(&c->e, way->store, reg, rm);
}

static void check_null(struct jit_compiler *c, unsigned reg,
		       enum wasm_trap trap)
{
	emit(&c->e, 0x85 | OP_W, reg, rm_reg(reg));
	jit_code_trap_if(c, CC_E, trap);
}

enum { HEADER = sizeof(struct wasm_object) };

static void struct_get(struct jit_compiler *c, const struct wasm_field *field,
		       bool is_signed)
{
	struct field_way way = way_of(field->type);
	struct operand object = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &object);
	struct target target;

	check_null(c, reg, WASM_TRAP_null_struct);
	target = jit_target_new(c, file_of(way.type));
	jit_release(c, &object);
	field_load(c, &way, target,
		   rm_at(reg, (int32_t)(HEADER + field->offset)), is_signed);
}

static void struct_set(struct jit_compiler *c, const struct wasm_field *field)
{
	struct field_way way = way_of(field->type);
	struct operand value = jit_pop(c), object = jit_pop(c);
	unsigned from = jit_operand_reg(c, &value),
		 reg = jit_operand_reg(c, &object);

	check_null(c, reg, WASM_TRAP_null_struct);
	field_store(c, &way, from,
		    rm_at(reg, (int32_t)(HEADER + field->offset)));
	jit_release(c, &value);
	jit_release(c, &object);
}

/* Where an element is; vectors are reached through the scratch register. */
static struct rm element_rm(struct jit_compiler *c, struct operand *array,
			    struct operand *index, unsigned bytes)
{
	unsigned base = jit_operand_reg(c, array),
		 at = jit_operand_reg(c, index);
	static const uint8_t shifts[] = { 0, 0, 1, 0, 2, 0, 0, 0, 3 };

	check_null(c, base, WASM_TRAP_null_array);
	emit(&c->e, 0x3b, at,
	     rm_at(base, offsetof(struct wasm_object, length)));
	jit_code_trap_if(c, CC_AE, WASM_TRAP_array_bounds);
	if (bytes < 16)
		return rm_index(base, at, shifts[bytes], HEADER);
	jit_move(c, SCRATCH, at, T_I64);
	emit(&c->e, 0x03 | OP_W, SCRATCH, rm_reg(SCRATCH));
	return rm_index(base, SCRATCH, 3, HEADER);
}

static void array_get(struct jit_compiler *c, const struct wasm_field *field,
		      bool is_signed)
{
	struct field_way way = way_of(field->type);
	struct operand index = jit_pop(c), array = jit_pop(c);
	struct rm rm = element_rm(c, &array, &index, way.bytes);
	struct target target = jit_target_new(c, file_of(way.type));

	jit_release(c, &index);
	jit_release(c, &array);
	field_load(c, &way, target, rm, is_signed);
}

static void array_set(struct jit_compiler *c, const struct wasm_field *field)
{
	struct field_way way = way_of(field->type);
	struct operand value = jit_pop(c), index = jit_pop(c),
		       array = jit_pop(c);
	unsigned from = jit_operand_reg(c, &value);
	struct rm rm = element_rm(c, &array, &index, way.bytes);

	field_store(c, &way, from, rm);
	jit_release(c, &value);
	jit_release(c, &index);
	jit_release(c, &array);
}

static void array_len(struct jit_compiler *c)
{
	static const struct field_way way = { T_I32, 0x8b, 0x8b, 0, 4 };
	struct operand array = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &array);
	struct target target;

	check_null(c, reg, WASM_TRAP_null_array);
	target = jit_target_new(c, GENERAL);
	jit_release(c, &array);
	field_load(c, &way, target,
		   rm_at(reg, offsetof(struct wasm_object, length)), false);
}

static bool object(struct jit_compiler *c, unsigned operation,
		   const uint32_t *index)
{
	const struct wasm_deftype *type = c->module->type[index[0]];
	bool is_signed = operation == WASM_OP_STRUCT_GET_S ||
			 operation == WASM_OP_ARRAY_GET_S;

	switch (operation) {
	case WASM_OP_STRUCT_NEW:
		new_of_values(c, operation, index[0], type->field_count);
		break;
	case WASM_OP_ARRAY_NEW_FIXED:
		new_of_values(c, operation, index[0], index[1]);
		break;
	case WASM_OP_STRUCT_GET:
	case WASM_OP_STRUCT_GET_S:
	case WASM_OP_STRUCT_GET_U:
		struct_get(c, &type->fields[index[1]], is_signed);
		break;
	case WASM_OP_STRUCT_SET: struct_set(c, &type->fields[index[1]]); break;
	case WASM_OP_ARRAY_GET:
	case WASM_OP_ARRAY_GET_S:
	case WASM_OP_ARRAY_GET_U:
		array_get(c, &type->fields[0], is_signed);
		break;
	case WASM_OP_ARRAY_SET: array_set(c, &type->fields[0]); break;
	case WASM_OP_ARRAY_LEN: array_len(c); break;
	default: return false;
	}
	return true;
}

static bool is_of_objects(unsigned operation)
{
	return operation >= WASM_OP_STRUCT_NEW &&
	       operation <= WASM_OP_ARRAY_LEN;
}

bool jit_object_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates)
{
	switch (operation) {
	case WASM_OP_THROW: throw_tag(c, immediates->index[0]); return true;
	case WASM_OP_MEMORY_ATOMIC_NOTIFY:
	case WASM_OP_MEMORY_ATOMIC_WAIT32:
	case WASM_OP_MEMORY_ATOMIC_WAIT64:
		wait_or_notify(c, operation, immediates);
		return true;
	case WASM_OP_ATOMIC_FENCE: /* mfence */
		emit1(&c->e, 0x0f);
		emit1(&c->e, 0xae);
		emit1(&c->e, 0xf0);
		return true;
	}
	return shaped(c, operation, immediates->index) ||
	       reference(c, operation, immediates) ||
	       (is_of_objects(operation) &&
		object(c, operation, immediates->index));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of operations on variables, memories, tables, references and
 * objects, and the table of all rules. */
#include "wasm/validate_internal.h"

/* What the module has */

const struct wasm_deftype *wasm_rule_type(struct wasm_validator *v,
					  uint32_t index,
					  enum wasm_type_kind kind)
{
	static const char *const names[] = { "function", "struct", "array" };

	if (index >= v->module->type_count)
		wasm_validate_fail(v, "unknown type %u", index);
	else if (v->module->type[index]->kind != kind)
		wasm_validate_fail(v, "type mismatch: type %u is no %s type",
				   index, names[kind]);
	else
		return v->module->type[index];
	return NULL;
}

wasm_type wasm_rule_resolve(struct wasm_validator *v, wasm_type raw)
{
	if (v->reader.failed)
		return WASM_NONE;
	if (wasm_type_is_ref(raw) && !(raw & WASM_ABSTRACT) &&
	    (raw & WASM_REF_HEAP) >= v->module->type_count) {
		wasm_validate_fail(v, "unknown type %u", raw & WASM_REF_HEAP);
		return WASM_NONE;
	}
	return wasm_type_resolve(v->module, raw);
}

const struct wasm_table_decl *wasm_rule_table(struct wasm_validator *v,
					      uint32_t index)
{
	if (index < v->module->table_count)
		return &v->module->tables[index];
	wasm_validate_fail(v, "unknown table %u", index);
	return NULL;
}

static wasm_type address_type(const struct wasm_limits *limits)
{
	return limits->is64 ? WASM_I64 : WASM_I32;
}

/* The type of its addresses. */
wasm_type wasm_rule_memory(struct wasm_validator *v, uint32_t index)
{
	if (index < v->module->memory_count)
		return address_type(&v->module->memories[index].limits);
	wasm_validate_fail(v, "unknown memory %u", index);
	return WASM_NONE;
}

static wasm_type narrower(wasm_type a, wasm_type b)
{
	return a == WASM_I64 && b == WASM_I64 ? WASM_I64 : WASM_I32;
}

static const struct wasm_elem *elem_at(struct wasm_validator *v, uint32_t index)
{
	if (index < v->module->elem_count)
		return &v->module->elems[index];
	wasm_validate_fail(v, "unknown elem segment %u", index);
	return NULL;
}

static void check_data(struct wasm_validator *v, uint32_t index)
{
	if (!v->module->has_data_count)
		wasm_validate_fail(v, "data count section required");
	else if (index >= v->module->data_count)
		wasm_validate_fail(v, "unknown data segment %u", index);
}

static bool matches(const struct wasm_validator *v, wasm_type a, wasm_type b)
{
	return wasm_type_matches(v->module->types, a, b);
}

/* Variables */

static struct wasm_local *local_at(struct wasm_validator *v)
{
	struct wasm_local *local;
	uint32_t uses;

	if (v->imm.index[0] >= v->local_count) {
		wasm_validate_fail(v, "unknown local %u", v->imm.index[0]);
		return NULL;
	}
	local = wasm_validate_local(v, v->imm.index[0]);
	uses = local->uses + v->weight;
	local->uses = uses < v->weight ? UINT32_MAX : uses;
	return local;
}

static void rule_local_get(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_local *local = local_at(v);

	(void)op;
	if (!local)
		return;
	if (local->type == WASM_NONE)
		wasm_validate_fail(v, "uninitialized local %u",
				   v->imm.index[0]);
	v->needs |= 1ull << local->bit & ~v->set;
	wasm_push(v, local->declared);
}

static void rule_local_set(struct wasm_validator *v, enum wasm_operation op)
{
	struct wasm_local *local = local_at(v);

	(void)op;
	if (!local)
		return;
	wasm_pop(v, local->declared);
	v->set |= 1ull << local->bit;
	if (local->type == WASM_NONE)
		v->strict[v->strict_count++] = v->imm.index[0];
	local->type = local->declared;
}

static void rule_local_tee(struct wasm_validator *v, enum wasm_operation op)
{
	rule_local_set(v, op);
	if (!v->reader.failed)
		wasm_push(v, v->locals[v->imm.index[0]].declared);
}

static const struct wasm_global_decl *global_at(struct wasm_validator *v)
{
	if (v->imm.index[0] < v->module->global_count)
		return &v->module->globals[v->imm.index[0]];
	wasm_validate_fail(v, "unknown global %u", v->imm.index[0]);
	return NULL;
}

static void rule_global_get(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_global_decl *global = global_at(v);

	(void)op;
	if (global)
		wasm_push(v, global->type);
}

static void rule_global_set(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_global_decl *global = global_at(v);

	(void)op;
	if (!global)
		return;
	if (!global->is_mutable)
		wasm_validate_fail(v, "immutable global %u", v->imm.index[0]);
	wasm_pop(v, global->type);
}

static void rule_drop(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_pop_any(v);
}

static void rule_select(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type a, b;

	(void)op;
	wasm_pop(v, WASM_I32);
	b = wasm_pop_any(v);
	a = wasm_pop_any(v);
	if (wasm_type_is_ref(a) || wasm_type_is_ref(b))
		wasm_validate_fail(v, "type mismatch: select without a type "
				      "takes no references");
	else if (a != b && a != WASM_NONE && b != WASM_NONE)
		wasm_validate_mismatch(v, a, b);
	wasm_push(v, a == WASM_NONE ? b : a);
}

static void rule_select_typed(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type type = wasm_rule_resolve(v, v->imm.types[0]);

	(void)op;
	if (v->imm.count != 1)
		wasm_validate_fail(v, "invalid result arity");
	wasm_pop(v, WASM_I32);
	wasm_pop(v, type);
	wasm_pop(v, type);
	wasm_push(v, type);
}

/* Memories */

static void rule_memory_size(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_push(v, wasm_rule_memory(v, v->imm.index[0]));
}

static void rule_memory_grow(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type address = wasm_rule_memory(v, v->imm.index[0]);

	(void)op;
	wasm_pop(v, address);
	wasm_push(v, address);
}

static void rule_memory_init(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type address = wasm_rule_memory(v, v->imm.index[1]);

	(void)op;
	check_data(v, v->imm.index[0]);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, address);
}

static void rule_data_drop(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	check_data(v, v->imm.index[0]);
}

static void rule_memory_copy(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type to = wasm_rule_memory(v, v->imm.index[0]);
	wasm_type from = wasm_rule_memory(v, v->imm.index[1]);

	(void)op;
	wasm_pop(v, narrower(to, from));
	wasm_pop(v, from);
	wasm_pop(v, to);
}

static void rule_memory_fill(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type address = wasm_rule_memory(v, v->imm.index[0]);

	(void)op;
	wasm_pop(v, address);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, address);
}

/* Tables */

static void rule_table_get(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[0]);

	(void)op;
	if (!table)
		return;
	wasm_pop(v, address_type(&table->limits));
	wasm_push(v, table->type);
}

static void rule_table_set(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[0]);

	(void)op;
	if (!table)
		return;
	wasm_pop(v, table->type);
	wasm_pop(v, address_type(&table->limits));
}

static void rule_table_size(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[0]);

	(void)op;
	if (table)
		wasm_push(v, address_type(&table->limits));
}

static void rule_table_grow(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[0]);

	(void)op;
	if (!table)
		return;
	wasm_pop(v, address_type(&table->limits));
	wasm_pop(v, table->type);
	wasm_push(v, address_type(&table->limits));
}

static void rule_table_fill(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[0]);

	(void)op;
	if (!table)
		return;
	wasm_pop(v, address_type(&table->limits));
	wasm_pop(v, table->type);
	wasm_pop(v, address_type(&table->limits));
}

static void rule_table_copy(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *to = wasm_rule_table(v, v->imm.index[0]);
	const struct wasm_table_decl *from =
		wasm_rule_table(v, v->imm.index[1]);

	(void)op;
	if (!to || !from)
		return;
	if (!matches(v, from->type, to->type))
		wasm_validate_mismatch(v, to->type, from->type);
	wasm_pop(v, narrower(address_type(&to->limits),
			     address_type(&from->limits)));
	wasm_pop(v, address_type(&from->limits));
	wasm_pop(v, address_type(&to->limits));
}

static void rule_table_init(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_table_decl *table =
		wasm_rule_table(v, v->imm.index[1]);
	const struct wasm_elem *elem = elem_at(v, v->imm.index[0]);

	(void)op;
	if (!table || !elem)
		return;
	if (!matches(v, elem->type, table->type))
		wasm_validate_mismatch(v, table->type, elem->type);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, address_type(&table->limits));
}

static void rule_elem_drop(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	elem_at(v, v->imm.index[0]);
}

/* References */

static void rule_ref_null(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_push(v, wasm_rule_resolve(v, v->imm.types[0]) | WASM_NULLABLE);
}

static void rule_ref_is_null(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_pop_reference(v);
	wasm_push(v, WASM_I32);
}

static void rule_ref_func(struct wasm_validator *v, enum wasm_operation op)
{
	uint32_t index = v->imm.index[0];

	(void)op;
	if (index >= v->module->function_count) {
		wasm_validate_fail(v, "unknown function %u", index);
		return;
	}
	if (!v->module->functions[index].is_declared)
		wasm_validate_fail(v, "undeclared function reference");
	wasm_push(v, WASM_REF | v->module->functions[index].type);
}

static void rule_ref_eq(struct wasm_validator *v, enum wasm_operation op)
{
	static const wasm_type eqref =
		WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_EQ;

	(void)op;
	wasm_pop(v, eqref);
	wasm_pop(v, eqref);
	wasm_push(v, WASM_I32);
}

static void rule_ref_as_non_null(struct wasm_validator *v,
				 enum wasm_operation op)
{
	(void)op;
	wasm_push(v, wasm_pop_reference(v) & ~WASM_NULLABLE);
}

/* The highest type of its hierarchy, which a cast may begin at. */
static wasm_type top_of(const struct wasm_validator *v, wasm_type type)
{
	static const wasm_type tops[] = { WASM_FUNCREF, WASM_EXTERNREF,
					  WASM_EXNREF };

	for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
		if (matches(v, type | WASM_NULLABLE, tops[i]))
			return tops[i];
	return WASM_ANYREF;
}

static wasm_type cast_type(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_type type = wasm_rule_resolve(v, v->imm.types[0]);

	if (v->reader.failed)
		return WASM_NONE;
	if (op == WASM_OP_REF_TEST_NULL || op == WASM_OP_REF_CAST_NULL)
		type |= WASM_NULLABLE;
	wasm_pop(v, top_of(v, type));
	return type;
}

static void rule_ref_test(struct wasm_validator *v, enum wasm_operation op)
{
	cast_type(v, op);
	wasm_push(v, WASM_I32);
}

static void rule_ref_cast(struct wasm_validator *v, enum wasm_operation op)
{
	wasm_push(v, cast_type(v, op));
}

static void convert(struct wasm_validator *v, wasm_type from, wasm_type to)
{
	wasm_type type = wasm_pop(v, from);

	if (!(type & WASM_NULLABLE))
		to &= ~WASM_NULLABLE;
	wasm_push(v, to);
}

static void rule_any_convert_extern(struct wasm_validator *v,
				    enum wasm_operation op)
{
	(void)op;
	convert(v, WASM_EXTERNREF, WASM_ANYREF);
}

static void rule_extern_convert_any(struct wasm_validator *v,
				    enum wasm_operation op)
{
	(void)op;
	convert(v, WASM_ANYREF, WASM_EXTERNREF);
}

static void rule_ref_i31(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_pop(v, WASM_I32);
	wasm_push(v, WASM_REF | WASM_ABSTRACT | WASM_I31);
}

static void rule_i31_get(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_pop(v, WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_I31);
	wasm_push(v, WASM_I32);
}

/* Structures */

static wasm_type unpacked(wasm_type type)
{
	return type == WASM_I8 || type == WASM_I16 ? WASM_I32 : type;
}

static wasm_type nullable(const struct wasm_deftype *type)
{
	return WASM_REF | WASM_NULLABLE | type->id;
}

/* Whatever is popped now is there, in code that is never reached; or nothing
 * matters any more. */
static bool is_bottomless(const struct wasm_validator *v)
{
	return (v->top == v->base && v->frame->is_dead) || v->reader.failed;
}

static void rule_struct_new(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type =
		wasm_rule_type(v, v->imm.index[0], WASM_KIND_STRUCT);

	(void)op;
	if (!type)
		return;
	for (uint32_t i = type->field_count; i > 0 && !is_bottomless(v); i--)
		wasm_pop(v, unpacked(type->fields[i - 1].type));
	wasm_push(v, WASM_REF | type->id);
}

static void check_defaults(struct wasm_validator *v,
			   const struct wasm_deftype *type)
{
	if (!type->has_defaults)
		wasm_validate_fail(v, "type mismatch: there is a field without "
				      "default");
}

static void rule_struct_new_default(struct wasm_validator *v,
				    enum wasm_operation op)
{
	const struct wasm_deftype *type =
		wasm_rule_type(v, v->imm.index[0], WASM_KIND_STRUCT);

	(void)op;
	if (!type)
		return;
	check_defaults(v, type);
	wasm_push(v, WASM_REF | type->id);
}

/* The field that a struct.* names; its type goes to "type". */
static const struct wasm_field *field_at(struct wasm_validator *v,
					 const struct wasm_deftype **type)
{
	uint32_t index = v->imm.index[1];

	*type = wasm_rule_type(v, v->imm.index[0], WASM_KIND_STRUCT);
	if (!*type)
		return NULL;
	if (index < (*type)->field_count)
		return &(*type)->fields[index];
	wasm_validate_fail(v, "unknown field %u", index);
	return NULL;
}

static void check_packed(struct wasm_validator *v, wasm_type type, bool wanted)
{
	if ((type != unpacked(type)) != wanted)
		wasm_validate_fail(v, wanted ? "type mismatch: it is not packed"
					     : "type mismatch: it is packed");
}

static void rule_struct_get(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type;
	const struct wasm_field *field = field_at(v, &type);

	if (!field)
		return;
	check_packed(v, field->type, op != WASM_OP_STRUCT_GET);
	wasm_pop(v, nullable(type));
	wasm_push(v, unpacked(field->type));
}

static void rule_struct_set(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type;
	const struct wasm_field *field = field_at(v, &type);

	(void)op;
	if (!field)
		return;
	if (!field->is_mutable)
		wasm_validate_fail(v, "immutable field %u", v->imm.index[1]);
	wasm_pop(v, unpacked(field->type));
	wasm_pop(v, nullable(type));
}

/* Arrays */

static const struct wasm_deftype *array_at(struct wasm_validator *v,
					   bool is_written)
{
	const struct wasm_deftype *type =
		wasm_rule_type(v, v->imm.index[0], WASM_KIND_ARRAY);

	if (type && is_written && !type->fields->is_mutable)
		wasm_validate_fail(v, "immutable array");
	return type;
}

static void rule_array_new(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, false);

	if (!type)
		return;
	wasm_pop(v, WASM_I32);
	if (op == WASM_OP_ARRAY_NEW)
		wasm_pop(v, unpacked(type->fields->type));
	else
		check_defaults(v, type);
	wasm_push(v, WASM_REF | type->id);
}

static void rule_array_new_fixed(struct wasm_validator *v,
				 enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, false);

	(void)op;
	if (!type)
		return;
	if (v->imm.index[1] > WASM_FIXED_MOST)
		wasm_validate_fail(v, "too many operands");
	for (uint32_t i = 0; i < v->imm.index[1] && !is_bottomless(v); i++)
		wasm_pop(v, unpacked(type->fields->type));
	wasm_push(v, WASM_REF | type->id);
}

static void check_plain(struct wasm_validator *v,
			const struct wasm_deftype *type)
{
	if (wasm_type_is_ref(type->fields->type))
		wasm_validate_fail(v, "array type is not numeric or vector");
	check_data(v, v->imm.index[1]);
}

static void check_elem(struct wasm_validator *v,
		       const struct wasm_deftype *type)
{
	const struct wasm_elem *elem = elem_at(v, v->imm.index[1]);

	if (elem && !matches(v, elem->type, type->fields->type))
		wasm_validate_mismatch(v, type->fields->type, elem->type);
}

static void rule_array_new_segment(struct wasm_validator *v,
				   enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, false);

	if (!type)
		return;
	if (op == WASM_OP_ARRAY_NEW_DATA)
		check_plain(v, type);
	else
		check_elem(v, type);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, WASM_I32);
	wasm_push(v, WASM_REF | type->id);
}

static void rule_array_init(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, true);

	if (!type)
		return;
	if (op == WASM_OP_ARRAY_INIT_DATA)
		check_plain(v, type);
	else
		check_elem(v, type);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, nullable(type));
}

static void rule_array_get(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, false);

	if (!type)
		return;
	check_packed(v, type->fields->type, op != WASM_OP_ARRAY_GET);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, nullable(type));
	wasm_push(v, unpacked(type->fields->type));
}

static void rule_array_set(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, true);

	(void)op;
	if (!type)
		return;
	wasm_pop(v, unpacked(type->fields->type));
	wasm_pop(v, WASM_I32);
	wasm_pop(v, nullable(type));
}

static void rule_array_len(struct wasm_validator *v, enum wasm_operation op)
{
	(void)op;
	wasm_pop(v, WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_ARRAY);
	wasm_push(v, WASM_I32);
}

static void rule_array_fill(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *type = array_at(v, true);

	(void)op;
	if (!type)
		return;
	wasm_pop(v, WASM_I32);
	wasm_pop(v, unpacked(type->fields->type));
	wasm_pop(v, WASM_I32);
	wasm_pop(v, nullable(type));
}

static void rule_array_copy(struct wasm_validator *v, enum wasm_operation op)
{
	const struct wasm_deftype *to = array_at(v, true);
	const struct wasm_deftype *from =
		wasm_rule_type(v, v->imm.index[1], WASM_KIND_ARRAY);

	(void)op;
	if (!to || !from)
		return;
	if (!matches(v, from->fields->type, to->fields->type))
		wasm_validate_fail(v, "array types do not match");
	wasm_pop(v, WASM_I32);
	wasm_pop(v, WASM_I32);
	wasm_pop(v, nullable(from));
	wasm_pop(v, WASM_I32);
	wasm_pop(v, nullable(to));
}

static void rule_nop(struct wasm_validator *v, enum wasm_operation op)
{
	(void)v;
	(void)op;
}

wasm_rule *const wasm_rules[WASM_OPERATIONS] = {
	[WASM_OP_UNREACHABLE] = wasm_rule_unreachable,
	[WASM_OP_NOP] = rule_nop,
	[WASM_OP_BLOCK] = wasm_rule_block,
	[WASM_OP_LOOP] = wasm_rule_block,
	[WASM_OP_IF] = wasm_rule_block,
	[WASM_OP_ELSE] = wasm_rule_else,
	[WASM_OP_THROW] = wasm_rule_throw,
	[WASM_OP_THROW_REF] = wasm_rule_throw_ref,
	[WASM_OP_END] = wasm_rule_end,
	[WASM_OP_BR] = wasm_rule_br,
	[WASM_OP_BR_IF] = wasm_rule_br_if,
	[WASM_OP_BR_TABLE] = wasm_rule_br_table,
	[WASM_OP_RETURN] = wasm_rule_return,
	[WASM_OP_CALL] = wasm_rule_call,
	[WASM_OP_CALL_INDIRECT] = wasm_rule_call_indirect,
	[WASM_OP_RETURN_CALL] = wasm_rule_return_call,
	[WASM_OP_RETURN_CALL_INDIRECT] = wasm_rule_return_call_indirect,
	[WASM_OP_CALL_REF] = wasm_rule_call_ref,
	[WASM_OP_RETURN_CALL_REF] = wasm_rule_return_call_ref,
	[WASM_OP_DROP] = rule_drop,
	[WASM_OP_SELECT] = rule_select,
	[WASM_OP_SELECT_TYPED] = rule_select_typed,
	[WASM_OP_TRY_TABLE] = wasm_rule_try_table,
	[WASM_OP_LOCAL_GET] = rule_local_get,
	[WASM_OP_LOCAL_SET] = rule_local_set,
	[WASM_OP_LOCAL_TEE] = rule_local_tee,
	[WASM_OP_GLOBAL_GET] = rule_global_get,
	[WASM_OP_GLOBAL_SET] = rule_global_set,
	[WASM_OP_TABLE_GET] = rule_table_get,
	[WASM_OP_TABLE_SET] = rule_table_set,
	[WASM_OP_MEMORY_SIZE] = rule_memory_size,
	[WASM_OP_MEMORY_GROW] = rule_memory_grow,
	[WASM_OP_REF_NULL] = rule_ref_null,
	[WASM_OP_REF_IS_NULL] = rule_ref_is_null,
	[WASM_OP_REF_FUNC] = rule_ref_func,
	[WASM_OP_REF_EQ] = rule_ref_eq,
	[WASM_OP_REF_AS_NON_NULL] = rule_ref_as_non_null,
	[WASM_OP_BR_ON_NULL] = wasm_rule_br_on_null,
	[WASM_OP_BR_ON_NON_NULL] = wasm_rule_br_on_non_null,
	[WASM_OP_STRUCT_NEW] = rule_struct_new,
	[WASM_OP_STRUCT_NEW_DEFAULT] = rule_struct_new_default,
	[WASM_OP_STRUCT_GET] = rule_struct_get,
	[WASM_OP_STRUCT_GET_S] = rule_struct_get,
	[WASM_OP_STRUCT_GET_U] = rule_struct_get,
	[WASM_OP_STRUCT_SET] = rule_struct_set,
	[WASM_OP_ARRAY_NEW] = rule_array_new,
	[WASM_OP_ARRAY_NEW_DEFAULT] = rule_array_new,
	[WASM_OP_ARRAY_NEW_FIXED] = rule_array_new_fixed,
	[WASM_OP_ARRAY_NEW_DATA] = rule_array_new_segment,
	[WASM_OP_ARRAY_NEW_ELEM] = rule_array_new_segment,
	[WASM_OP_ARRAY_GET] = rule_array_get,
	[WASM_OP_ARRAY_GET_S] = rule_array_get,
	[WASM_OP_ARRAY_GET_U] = rule_array_get,
	[WASM_OP_ARRAY_SET] = rule_array_set,
	[WASM_OP_ARRAY_LEN] = rule_array_len,
	[WASM_OP_ARRAY_FILL] = rule_array_fill,
	[WASM_OP_ARRAY_COPY] = rule_array_copy,
	[WASM_OP_ARRAY_INIT_DATA] = rule_array_init,
	[WASM_OP_ARRAY_INIT_ELEM] = rule_array_init,
	[WASM_OP_REF_TEST] = rule_ref_test,
	[WASM_OP_REF_TEST_NULL] = rule_ref_test,
	[WASM_OP_REF_CAST] = rule_ref_cast,
	[WASM_OP_REF_CAST_NULL] = rule_ref_cast,
	[WASM_OP_BR_ON_CAST] = wasm_rule_br_on_cast,
	[WASM_OP_BR_ON_CAST_FAIL] = wasm_rule_br_on_cast_fail,
	[WASM_OP_ANY_CONVERT_EXTERN] = rule_any_convert_extern,
	[WASM_OP_EXTERN_CONVERT_ANY] = rule_extern_convert_any,
	[WASM_OP_REF_I31] = rule_ref_i31,
	[WASM_OP_I31_GET_S] = rule_i31_get,
	[WASM_OP_I31_GET_U] = rule_i31_get,
	[WASM_OP_MEMORY_INIT] = rule_memory_init,
	[WASM_OP_DATA_DROP] = rule_data_drop,
	[WASM_OP_MEMORY_COPY] = rule_memory_copy,
	[WASM_OP_MEMORY_FILL] = rule_memory_fill,
	[WASM_OP_TABLE_INIT] = rule_table_init,
	[WASM_OP_ELEM_DROP] = rule_elem_drop,
	[WASM_OP_TABLE_COPY] = rule_table_copy,
	[WASM_OP_TABLE_GROW] = rule_table_grow,
	[WASM_OP_TABLE_SIZE] = rule_table_size,
	[WASM_OP_TABLE_FILL] = rule_table_fill,
};

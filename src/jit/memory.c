/* SPDX-License-Identifier: Apache-2.0 */
/* Linear memories and globals. */
#include "jit/compile.h"

struct access {
	uint32_t op; /* 0: not here */
	uint8_t type, bytes;
	bool is_store;
};

/* clang-format off */
static const struct access accesses[WASM_OPERATIONS] = {
	[WASM_OP_I32_LOAD] = { 0x8b, T_I32, 4, false },
	[WASM_OP_I64_LOAD] = { 0x8b | OP_W, T_I64, 8, false },
	[WASM_OP_F32_LOAD] = { 0x10 | OP_0F | OP_F3, T_F32, 4, false },
	[WASM_OP_F64_LOAD] = { 0x10 | OP_0F | OP_F2, T_F64, 8, false },
	[WASM_OP_V128_LOAD] = { 0x10 | OP_0F, T_V128, 16, false },
	[WASM_OP_I32_LOAD8_S] = { 0xbe | OP_0F, T_I32, 1, false },
	[WASM_OP_I32_LOAD8_U] = { 0xb6 | OP_0F, T_I32, 1, false },
	[WASM_OP_I32_LOAD16_S] = { 0xbf | OP_0F, T_I32, 2, false },
	[WASM_OP_I32_LOAD16_U] = { 0xb7 | OP_0F, T_I32, 2, false },
	[WASM_OP_I64_LOAD8_S] = { 0xbe | OP_0F | OP_W, T_I64, 1, false },
	[WASM_OP_I64_LOAD8_U] = { 0xb6 | OP_0F, T_I64, 1, false },
	[WASM_OP_I64_LOAD16_S] = { 0xbf | OP_0F | OP_W, T_I64, 2, false },
	[WASM_OP_I64_LOAD16_U] = { 0xb7 | OP_0F, T_I64, 2, false },
	[WASM_OP_I64_LOAD32_S] = { 0x63 | OP_W, T_I64, 4, false },
	[WASM_OP_I64_LOAD32_U] = { 0x8b, T_I64, 4, false },
	[WASM_OP_I32_STORE] = { 0x89, T_I32, 4, true },
	[WASM_OP_I64_STORE] = { 0x89 | OP_W, T_I64, 8, true },
	[WASM_OP_F32_STORE] = { 0x11 | OP_0F | OP_F3, T_F32, 4, true },
	[WASM_OP_F64_STORE] = { 0x11 | OP_0F | OP_F2, T_F64, 8, true },
	[WASM_OP_V128_STORE] = { 0x11 | OP_0F, T_V128, 16, true },
	[WASM_OP_I32_STORE8] = { 0x88 | OP_BYTE, T_I32, 1, true },
	[WASM_OP_I32_STORE16] = { 0x89 | OP_66, T_I32, 2, true },
	[WASM_OP_I64_STORE8] = { 0x88 | OP_BYTE, T_I64, 1, true },
	[WASM_OP_I64_STORE16] = { 0x89 | OP_66, T_I64, 2, true },
	[WASM_OP_I64_STORE32] = { 0x89, T_I64, 4, true },
};
/* clang-format on */

static const struct wasm_limits *limits_of(const struct jit_compiler *c,
					   uint32_t memory)
{
	return &c->module->memories[memory].limits;
}

/* Does an access outside fault by itself? */
static bool is_guarded(const struct jit_compiler *c, uint32_t memory)
{
	const struct wasm_limits *limits = limits_of(c, memory);

	return memory == 0 && !c->is_checked && !limits->is64 &&
	       limits->page_log2 == 16;
}

static void load_memory(struct jit_compiler *c, unsigned reg, uint32_t memory)
{
	jit_load_rm(c, reg,
		    rm_at(CONTEXT, offsetof(struct wasm_instance, memories)),
		    T_I64);
	jit_load_rm(c, reg, rm_at(reg, (int32_t)(8 * memory)), T_I64);
}

static struct address address_far(struct jit_compiler *c,
				  struct operand *operand, uint64_t offset)
{
	struct address address = { .reg = NO_REG };

	if (operand->value.place == IS_CONSTANT) {
		jit_move_constant(c, SCRATCH, operand->value.constant + offset,
				  T_I64);
	} else {
		jit_move_constant(c, SCRATCH, offset, T_I64);
		emit(&c->e, 0x03 | OP_W, SCRATCH, jit_operand_rm(c, operand));
		jit_release(c, operand);
	}
	address.rm = rm_index(MEMORY, SCRATCH, 0, 0);
	return address;
}

/* With a guard: base, 32-bit index and offset, whatever their sum. */
static struct address address_guarded(struct jit_compiler *c,
				      struct operand *operand, uint64_t offset)
{
	struct address address = { .reg = NO_REG };
	bool is_constant = operand->value.place == IS_CONSTANT;

	if (offset > INT32_MAX ||
	    (is_constant && operand->value.constant + offset > INT32_MAX))
		return address_far(c, operand, offset);
	if (is_constant) {
		address.rm = rm_at(MEMORY,
				   (int32_t)(operand->value.constant + offset));
	} else {
		unsigned reg = jit_operand_reg(c, operand);

		address.rm = rm_index(MEMORY, reg, 0, (int32_t)offset);
		if (operand->value.place == IN_REG)
			address.reg = (uint8_t)reg;
	}
	return address;
}

static void add_bytes(struct jit_compiler *c, uint64_t bytes, unsigned spare,
		      bool is64)
{
	if (bytes <= INT32_MAX) {
		emit_imm32(&c->e, 0x81 | OP_W, 0, rm_reg(SCRATCH),
			   (uint32_t)bytes);
	} else {
		jit_move_constant(c, spare, bytes, T_I64);
		emit(&c->e, 0x03 | OP_W, SCRATCH, rm_reg(spare));
	}
	if (is64)
		jit_code_trap_if(c, CC_B, WASM_TRAP_memory_bounds);
}

/* Without: where the access ends is compared with the memory's size. */
static struct address address_checked(struct jit_compiler *c,
				      struct operand *operand, uint32_t memory,
				      uint64_t offset, unsigned bytes)
{
	unsigned spare = jit_take(c, GENERAL);
	struct address address = { .reg = (uint8_t)spare };

	if (offset > UINT64_MAX - bytes) {
		jit_code_trap(c, WASM_TRAP_memory_bounds);
		offset = 0;
	}
	jit_operand_to(c, operand, SCRATCH);
	jit_release(c, operand);
	add_bytes(c, offset + bytes, spare, limits_of(c, memory)->is64);
	load_memory(c, spare, memory);
	emit(&c->e, 0x3b | OP_W, SCRATCH,
	     rm_at(spare, offsetof(struct wasm_memory, bytes)));
	jit_code_trap_if(c, CC_A, WASM_TRAP_memory_bounds);
	jit_load_rm(c, spare, rm_at(spare, offsetof(struct wasm_memory, base)),
		    T_I64);
	address.rm = rm_index(spare, SCRATCH, 0, -(int32_t)bytes);
	return address;
}

struct address jit_address_of(struct jit_compiler *c,
			      const struct wasm_immediates *immediates,
			      unsigned bytes)
{
	struct operand operand = jit_pop(c);

	if (is_guarded(c, immediates->memory))
		return address_guarded(c, &operand, immediates->value);
	return address_checked(c, &operand, immediates->memory,
			       immediates->value, bytes);
}

void jit_address_release(struct jit_compiler *c, const struct address *address)
{
	if (address->reg != NO_REG)
		give(c, GENERAL, address->reg);
}

/* Does the next operation take what is loaded as its second operand, whole?
 * Then both are one instruction. */
static bool next_takes(struct jit_compiler *c, unsigned type)
{
	unsigned next = c->reader.at < c->reader.end ? *c->reader.at : 0;

	switch (type) {
	case T_I32:
		return (next >= 0x46 && next <= 0x4f) ||
		       (next >= 0x6a && next <= 0x6c) ||
		       (next >= 0x71 && next <= 0x73);
	case T_I64:
		return (next >= 0x51 && next <= 0x5a) ||
		       (next >= 0x7c && next <= 0x7e) ||
		       (next >= 0x83 && next <= 0x85);
	case T_F32: return next >= 0x92 && next <= 0x95;
	case T_F64: return next >= 0xa0 && next <= 0xa3;
	default: return false;
	}
}

static bool is_whole(const struct access *access)
{
	return access->type != T_V128 &&
	       access->bytes ==
		       (access->type == T_I32 || access->type == T_F32 ? 4 : 8);
}

static bool load_later(struct jit_compiler *c, const struct access *access,
		       const struct wasm_immediates *immediates)
{
	struct value load = { .place = IS_LOAD, .type = access->type };
	struct operand operand;

	if (!is_guarded(c, immediates->memory) || !is_whole(access) ||
	    immediates->value > INT32_MAX || !next_takes(c, access->type) ||
	    c->options->without & (JIT_WITHOUT_FOLD | JIT_WITHOUT_HAND))
		return false;
	if (value_at(c, c->height - 1)->place == IS_CONSTANT)
		return false;
	operand = jit_pop(c);
	load.reg = (uint8_t)jit_operand_reg(c, &operand);
	load.is_borrowed = operand.value.place != IN_REG;
	load.index = (uint32_t)immediates->value;
	load.constant = (uint64_t)jit_code_op_origin(c) << 32 | access->op;
	jit_push(c, load);
	return true;
}

static void load(struct jit_compiler *c, const struct access *access,
		 const struct wasm_immediates *immediates)
{
	struct address address;
	struct target target;

	if (load_later(c, access, immediates))
		return;
	address = jit_address_of(c, immediates, access->bytes);
	target = jit_target_new(c, file_of(access->type));
	if (file_of(access->type) == VECTOR)
		jit_emit_x(c, access->op, target.reg, address.rm);
	else
		emit(&c->e, access->op, target.reg, address.rm);
	jit_address_release(c, &address);
	jit_target_finish(c, target, access->type);
}

static void store_immediate(struct jit_compiler *c, const struct access *access,
			    struct rm rm, uint64_t value)
{
	switch (access->bytes) {
	case 1: emit_imm8(&c->e, 0xc6, 0, rm, value & 0xff); break;
	case 2:
		emit_before(&c->e, 0xc7 | OP_66, 0, rm, 2);
		emit1(&c->e, value & 0xff);
		emit1(&c->e, value >> 8 & 0xff);
		break;
	default:
		emit_imm32(&c->e, 0xc7 | (access->op & OP_W), 0, rm,
			   (uint32_t)value);
	}
}

/* The value first: to come to a register it may need the scratch one, which
 * is then the address's. */
static void store(struct jit_compiler *c, const struct access *access,
		  const struct wasm_immediates *immediates)
{
	struct operand value = jit_pop(c);
	bool is_constant = jit_is_immediate(&value);
	unsigned reg = is_constant ? NO_REG : jit_operand_reg(c, &value);
	struct address address = jit_address_of(c, immediates, access->bytes);

	if (is_constant)
		store_immediate(c, access, address.rm, value.value.constant);
	else if (file_of(access->type) == VECTOR)
		jit_emit_x(c, access->op, reg, address.rm);
	else
		emit(&c->e, access->op, reg, address.rm);
	jit_address_release(c, &address);
	jit_release(c, &value);
}

static void size(struct jit_compiler *c, uint32_t memory)
{
	struct target target = jit_target_new(c, GENERAL);
	const struct wasm_limits *limits = limits_of(c, memory);

	load_memory(c, target.reg, memory);
	jit_load_rm(c, target.reg,
		    rm_at(target.reg, offsetof(struct wasm_memory, bytes)),
		    T_I64);
	if (limits->page_log2)
		emit_imm8(&c->e, 0xc1 | OP_W, 5, rm_reg(target.reg),
			  limits->page_log2);
	jit_target_finish(c, target, limits->is64 ? T_I64 : T_I32);
}

/* Globals */

struct rm jit_global_rm(struct jit_compiler *c, uint32_t index)
{
	uint32_t own = index - c->module->imported_globals;

	if (index >= c->module->imported_globals)
		return rm_at(CONTEXT,
			     (int32_t)(offsetof(struct wasm_instance, globals) +
				       own * sizeof(struct wasm_global)));
	jit_load_rm(c, SCRATCH,
		    rm_at(CONTEXT,
			  offsetof(struct wasm_instance, imported_globals)),
		    T_I64);
	jit_load_rm(c, SCRATCH, rm_at(SCRATCH, (int32_t)(8 * index)), T_I64);
	return rm_at(SCRATCH, 0);
}

static void global_get(struct jit_compiler *c, uint32_t index)
{
	unsigned type = jit_type_of(c->module->globals[index].type);
	struct target target = jit_target_new(c, file_of(type));

	jit_load_rm(c, target.reg, jit_global_rm(c, index), type);
	jit_target_finish(c, target, type);
}

static void global_set(struct jit_compiler *c, uint32_t index)
{
	struct operand value = jit_pop(c);
	unsigned reg = jit_operand_reg(c, &value);
	unsigned type = value.value.type == T_I32 ? T_I64 : value.value.type;

	jit_store_rm(c, jit_global_rm(c, index), reg, type);
	jit_release(c, &value);
}

bool jit_memory_owns(unsigned operation)
{
	return accesses[operation].op != 0;
}

void jit_memory_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates)
{
	const struct access *access = &accesses[operation];

	switch (operation) {
	case WASM_OP_GLOBAL_GET: global_get(c, immediates->index[0]); break;
	case WASM_OP_GLOBAL_SET: global_set(c, immediates->index[0]); break;
	case WASM_OP_MEMORY_SIZE: size(c, immediates->index[0]); break;
	default:
		if (access->is_store)
			store(c, access, immediates);
		else
			load(c, access, immediates);
	}
}

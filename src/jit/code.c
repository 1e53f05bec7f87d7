/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of code: room for them, literals, fixups, what stands behind the
 * function, and the moves between registers and memory. */
#include "jit/compile.h"

enum {
	CODE_MOST = 1 << 30, /* of an image: distances are 32 bits */
	CODE_FREE = 1 << 24,
	CODE_OF_BYTE = 64, /* far more than programs have */
	LITERALS_LOOKED_AT = 16
};

void *jit_vector_grow(struct jit_compiler *c, struct jit_vector *vector,
		      uint64_t count, uint32_t size)
{
	uint64_t need = (count + 1) * size, room = vector->room * 2;
	void *items;

	while (room < need)
		room = room ? room * 2 : 1024;
	items = c->host->allocate(c->host->env, room);
	if (!items) {
		c->failed = true;
		return NULL;
	}
	if (vector->items) {
		memcpy(items, vector->items, vector->room);
		c->host->release(c->host->env, vector->items, vector->room);
	}
	vector->items = items;
	vector->room = room;
	return (uint8_t *)items + count * size;
}

/* Two bytes may call what takes and gives a thousand values: memory is in
 * proportion all the same. */
static uint64_t code_most(const struct jit_compiler *c)
{
	uint64_t most = CODE_FREE + CODE_OF_BYTE * c->body_bytes;

	return most < CODE_MOST ? most : CODE_MOST;
}

/* Without room the function begins anew: there is always some at its first
 * byte, and what is made now is thrown away. */
bool jit_code_grow(struct jit_compiler *c, uint64_t bytes)
{
	uint64_t here = code_here(c);

	if (here + bytes > code_most(c) ||
	    !jit_vector_room(c, &c->code, here + bytes, 1)) {
		c->failed = true;
		c->e.at = c->code.items;
		return bytes <= c->code.room;
	}
	c->e.at = (uint8_t *)c->code.items + here;
	return true;
}

void jit_code_set4(struct jit_compiler *c, uint32_t at, uint32_t value)
{
	if (!c->failed)
		memcpy((uint8_t *)c->code.items + at, &value, 4);
}

/* Literals */

static uint32_t literal_find(struct jit_compiler *c,
			     const struct literal *wanted)
{
	const struct literal *literals = c->literals.items;
	uint32_t i = c->literal_count;
	uint32_t least = i > LITERALS_LOOKED_AT ? i - LITERALS_LOOKED_AT : 0;

	while (i-- > least)
		if (literals[i].bytes == wanted->bytes &&
		    !memcmp(literals[i].words, wanted->words,
			    sizeof(wanted->words)))
			return i;
	return NONE;
}

static struct rm literal_add(struct jit_compiler *c,
			     const struct literal *literal)
{
	uint32_t number = literal_find(c, literal);
	struct literal *place;

	if (number != NONE)
		return rm_literal(number);
	place = jit_vector_room(c, &c->literals, c->literal_count,
				sizeof(*literal));
	if (!place)
		return rm_literal(0);
	*place = *literal;
	return rm_literal(c->literal_count++);
}

struct rm jit_code_literal(struct jit_compiler *c, uint64_t low, uint64_t high,
			   unsigned bytes)
{
	struct literal literal = { .words = { low, high },
				   .bytes = (uint8_t)bytes };

	return literal_add(c, &literal);
}

struct rm jit_code_literal_words(struct jit_compiler *c,
				 const uint64_t words[4])
{
	struct literal literal = { .bytes = 32 };

	memcpy(literal.words, words, sizeof(literal.words));
	return literal_add(c, &literal);
}

void jit_literal_used(struct jit_compiler *c, uint32_t number, unsigned behind)
{
	struct literal_use *use = jit_vector_room(
		c, &c->literal_uses, c->literal_use_count, sizeof(*use));

	if (!use)
		return;
	*use = (struct literal_use){ code_here(c), number, behind };
	c->literal_use_count++;
}

static void align_code(struct jit_compiler *c, uint32_t to)
{
	while (code_here(c) % to)
		emit1(&c->e, 0xcc);
}

/* The longest first, so that they are aligned.  A function's first byte is
 * at a multiple of 16 in its part, and stays so in the image. */
void jit_code_literals(struct jit_compiler *c)
{
	struct literal *literals = c->literals.items;
	const struct literal_use *uses = c->literal_uses.items;

	if (!jit_code_room(c, 32 + 32 * (uint64_t)c->literal_count) ||
	    c->failed)
		return;
	if (c->literal_count)
		align_code(c, 16);
	for (unsigned bytes = 32; bytes >= 8; bytes /= 2)
		for (uint32_t i = 0; i < c->literal_count; i++) {
			if (literals[i].bytes != bytes)
				continue;
			literals[i].at = code_here(c);
			memcpy(c->e.at, literals[i].words, bytes);
			c->e.at += bytes;
		}
	for (uint32_t i = 0; i < c->literal_use_count; i++)
		jit_code_set4(c, uses[i].at,
			      literals[uses[i].number].at -
				      (uses[i].at + 4 + uses[i].behind));
}

/* Fixups */

void jit_code_fix_from(struct jit_compiler *c, uint32_t *chain, uint32_t at,
		       uint32_t from)
{
	struct fix *fix =
		jit_vector_room(c, &c->fixes, c->fix_count, sizeof(*fix));

	if (!fix)
		return;
	*fix = (struct fix){ at, from, *chain };
	*chain = c->fix_count++;
}

void jit_code_fix(struct jit_compiler *c, uint32_t *chain)
{
	uint32_t here = code_here(c);

	jit_code_fix_from(c, chain, here - 4, here);
}

void jit_code_bind(struct jit_compiler *c, uint32_t chain)
{
	const struct fix *fixes = c->fixes.items;
	uint32_t here = code_here(c);

	for (; chain != NONE && !c->failed; chain = fixes[chain].next)
		jit_code_set4(c, fixes[chain].at, here - fixes[chain].from);
}

void jit_code_address(struct jit_compiler *c, unsigned reg, uint32_t *chain)
{
	emit1(&c->e, 0x48 | (reg >> 3) << 2);
	emit1(&c->e, 0x8d);
	emit1(&c->e, (reg & 7) << 3 | 5);
	emit4(&c->e, 0);
	jit_code_fix(c, chain);
}

void jit_code_jump(struct jit_compiler *c, uint32_t *chain)
{
	emit1(&c->e, 0xe9);
	emit4(&c->e, 0);
	jit_code_fix(c, chain);
}

static void jump_if(struct jit_compiler *c, unsigned condition, uint32_t *chain)
{
	emit1(&c->e, 0x0f);
	emit1(&c->e, 0x80 | condition);
	emit4(&c->e, 0);
	jit_code_fix(c, chain);
}

enum { JUMP_IF_BYTES = 6 };

void jit_code_jump_if(struct jit_compiler *c, unsigned condition,
		      uint32_t *chain)
{
	if (condition == CC_FLOAT_E) {
		emit1(&c->e, 0x70 | CC_P);
		emit1(&c->e, JUMP_IF_BYTES);
		condition = CC_E;
	} else if (condition == CC_FLOAT_NE) {
		jump_if(c, CC_P, chain);
		condition = CC_NE;
	}
	jump_if(c, condition, chain);
}

void jit_code_jump_to(struct jit_compiler *c, uint32_t start)
{
	int64_t distance = (int64_t)start - (code_here(c) + 2);

	if (distance >= -128) {
		emit1(&c->e, 0xeb);
		emit1(&c->e, (uint8_t)distance);
	} else {
		emit1(&c->e, 0xe9);
		emit4(&c->e, (uint32_t)(distance - 3));
	}
}

static void jump_if_to(struct jit_compiler *c, unsigned condition,
		       uint32_t start)
{
	int64_t distance = (int64_t)start - (code_here(c) + 2);

	if (distance >= -128) {
		emit1(&c->e, 0x70 | condition);
		emit1(&c->e, (uint8_t)distance);
	} else {
		emit1(&c->e, 0x0f);
		emit1(&c->e, 0x80 | condition);
		emit4(&c->e, (uint32_t)(distance - 4));
	}
}

void jit_code_jump_if_to(struct jit_compiler *c, unsigned condition,
			 uint32_t start)
{
	uint8_t *skip;

	if (condition == CC_FLOAT_NE) {
		jump_if_to(c, CC_P, start);
		jump_if_to(c, CC_NE, start);
	} else if (condition == CC_FLOAT_E) {
		emit1(&c->e, 0x70 | CC_P);
		skip = c->e.at;
		emit1(&c->e, 0);
		jump_if_to(c, CC_E, start);
		*skip = (uint8_t)(c->e.at - skip - 1);
	} else {
		jump_if_to(c, condition, start);
	}
}

/* What is rare */

struct cold *jit_code_cold(struct jit_compiler *c, enum cold_kind kind,
			   uint32_t what)
{
	struct cold *cold =
		jit_vector_room(c, &c->colds, c->cold_count, sizeof(*cold));

	if (!cold) {
		c->cold_count = 0;
		cold = c->colds.items;
	}
	*cold = (struct cold){ .kind = (uint8_t)kind,
			       .what = what,
			       .fixes = NONE,
			       .origin = jit_code_op_origin(c) };
	c->cold_count++;
	return cold;
}

void jit_code_trap_if(struct jit_compiler *c, unsigned condition,
		      enum wasm_trap trap)
{
	jit_code_jump_if(c, condition,
			 &jit_code_cold(c, COLD_TRAP, trap)->fixes);
}

/* jit_link knows where functions and stubs are. */
void jit_code_site(struct jit_compiler *c, unsigned op, uint32_t function)
{
	struct jit_call_site *site =
		jit_vector_room(c, &c->calls, c->call_count, sizeof(*site));

	emit1(&c->e, op);
	emit4(&c->e, 0);
	if (!site)
		return;
	*site = (struct jit_call_site){ code_here(c) - 4, function };
	c->call_count++;
}

void jit_code_call_stub(struct jit_compiler *c, unsigned stub)
{
	jit_code_site(c, 0xe8, JIT_SITE_STUB | stub);
}

void jit_code_trap(struct jit_compiler *c, enum wasm_trap trap)
{
	jit_code_call_stub(c, trap);
}

/* Behind a call that may have left another context. */
void jit_code_restore_context(struct jit_compiler *c)
{
	jit_load_rm(c, CONTEXT, rm_at(RBP, -8), T_I64);
	jit_load_rm(c, MEMORY,
		    rm_at(CONTEXT, offsetof(struct wasm_instance, memory_base)),
		    T_I64);
}

static void cold_foreign(struct jit_compiler *c, const struct cold *cold)
{
	jit_call_foreign(c);
	jit_code_jump_to(c, cold->back);
}

static void cold_out(struct jit_compiler *c, const struct cold *cold)
{
	jit_homes_save(c);
	jit_out_number(c, cold->what);
	jit_homes_load(c);
	jit_code_jump_to(c, cold->back);
}

/* What is cold may make no more that is. */
void jit_code_colds(struct jit_compiler *c)
{
	for (uint32_t i = 0; i < c->cold_count && !c->failed; i++) {
		struct cold cold = ((struct cold *)c->colds.items)[i];

		if (!jit_code_room(c, 1024))
			return;
		jit_code_bind(c, cold.fixes);
		code_origin(c, cold.origin);
		switch (cold.kind) {
		case COLD_TRAP: jit_code_trap(c, cold.what); break;
		case COLD_OUT: cold_out(c, &cold); break;
		case COLD_FOREIGN: cold_foreign(c, &cold); break;
		}
	}
}

/* Moves */

/* mov leaves the flags alone, which xor does not. */
void jit_move_constant(struct jit_compiler *c, unsigned reg, uint64_t value,
		       unsigned type)
{
	if (type == T_I32)
		value = (uint32_t)value;
	if (!value && !c->flags_live) {
		emit(&c->e, 0x31, reg, rm_reg(reg));
	} else if (value <= UINT32_MAX) {
		if (reg >= R8)
			emit1(&c->e, 0x41);
		emit1(&c->e, 0xb8 | (reg & 7));
		emit4(&c->e, (uint32_t)value);
	} else if ((int64_t)value == (int32_t)value) {
		emit_imm32(&c->e, 0xc7 | OP_W, 0, rm_reg(reg), (uint32_t)value);
	} else {
		emit1(&c->e, 0x48 | reg >> 3);
		emit1(&c->e, 0xb8 | (reg & 7));
		emit8(&c->e, value);
	}
}

/* reg OP rm, where nothing of what was in reg counts. */
void jit_emit_x(struct jit_compiler *c, uint32_t op, unsigned reg, struct rm rm)
{
	if (c->has_avx)
		emit_vex(&c->e, op, reg, 0, rm);
	else
		emit(&c->e, op, reg, rm);
}

void jit_move(struct jit_compiler *c, unsigned to, unsigned of, unsigned type)
{
	if (to == of)
		return;
	if (file_of(type) == VECTOR)
		jit_emit_x(c, 0x28 | OP_0F, to, rm_reg(of)); /* movaps */
	else
		emit(&c->e, 0x8b | wide(type), to, rm_reg(of));
}

static uint32_t vector_move_op(unsigned type)
{
	return 0x10 | OP_0F | /* movss, movsd, movups */
	       (type == T_F32	? OP_F3
		: type == T_F64 ? OP_F2
				: 0);
}

void jit_load_rm(struct jit_compiler *c, unsigned to, struct rm rm,
		 unsigned type)
{
	if (rm.kind == RM_REG)
		jit_move(c, to, rm.base, type);
	else if (file_of(type) == VECTOR)
		jit_emit_x(c, vector_move_op(type), to, rm);
	else
		emit(&c->e, 0x8b | wide(type), to, rm);
}

void jit_store_rm(struct jit_compiler *c, struct rm rm, unsigned reg,
		  unsigned type)
{
	if (file_of(type) == VECTOR)
		jit_emit_x(c, (vector_move_op(type)) + 1, reg, rm);
	else
		emit(&c->e, 0x89 | wide(type), reg, rm);
}

/* to = a OP rm.  Without VEX the first operand is overwritten. */
void jit_emit_float(struct jit_compiler *c, uint32_t op, unsigned to,
		    unsigned a, struct rm rm, bool commutes)
{
	if (c->has_avx) {
		emit_vex(&c->e, op, to, a, rm);
		return;
	}
	if (rm_is(rm, to) && to != a) {
		if (commutes) {
			emit(&c->e, op, to, rm_reg(a));
			return;
		}
		jit_move(c, SCRATCH_X, rm.base, T_V128);
		rm = rm_reg(SCRATCH_X);
	}
	jit_move(c, to, a, T_V128);
	emit(&c->e, op, to, rm);
}

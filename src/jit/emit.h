/* SPDX-License-Identifier: Apache-2.0 */
/* x86-64 instructions, written where the cursor is.  Whoever emits has made
 * room before (code_room): nothing here looks.
 *
 * An instruction is named by its opcode byte and what goes with it: prefix,
 * map, width.  With VEX the same words mean the same. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum reg {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
	NO_REG = 0xff
};

enum {
	OP_66 = 1 << 8,
	OP_F3 = 2 << 8,
	OP_F2 = 3 << 8,
	OP_0F = 1 << 12,
	OP_38 = 2 << 12, /* 0f 38 */
	OP_3A = 3 << 12, /* 0f 3a */
	OP_W = 1 << 16,
	OP_BYTE = 1 << 17, /* a register named here is one byte wide */
};

enum condition {
	CC_O,
	CC_NO,
	CC_B,
	CC_AE,
	CC_E,
	CC_NE,
	CC_BE,
	CC_A,
	CC_S,
	CC_NS,
	CC_P,
	CC_NP,
	CC_L,
	CC_GE,
	CC_LE,
	CC_G,
	/* of floats: with the parity, for what is not ordered */
	CC_FLOAT_E = 16,
	CC_FLOAT_NE,
};

/* What an instruction's r/m field names. */
enum rm_kind {
	RM_REG,
	RM_MEMORY, /* [base + index << shift + disp], index or NO_REG */
	RM_LITERAL /* disp: its number in the function's pool */
};
struct rm {
	uint8_t kind, base, index, shift;
	int32_t disp;
};

static inline struct rm rm_reg(unsigned reg)
{
	return (struct rm){ .kind = RM_REG, .base = (uint8_t)reg };
}

static inline struct rm rm_at(unsigned base, int32_t disp)
{
	return (struct rm){ RM_MEMORY, (uint8_t)base, NO_REG, 0, disp };
}

static inline struct rm rm_index(unsigned base, unsigned index, unsigned shift,
				 int32_t disp)
{
	return (struct rm){ RM_MEMORY, (uint8_t)base, (uint8_t)index,
			    (uint8_t)shift, disp };
}

static inline struct rm rm_literal(uint32_t number)
{
	return (struct rm){ RM_LITERAL, 0, NO_REG, 0, (int32_t)number };
}

static inline bool rm_is(struct rm rm, unsigned reg)
{
	return rm.kind == RM_REG && rm.base == reg;
}

struct jit_compiler;
/* Where the next byte goes. */
struct emitter {
	uint8_t *at;
	struct jit_compiler *compiler; /* for literals */
};
/* Remembers that the four bytes at the cursor are to be the distance to a
 * literal; "behind" bytes of the instruction follow them. */
void jit_literal_used(struct jit_compiler *c, uint32_t number, unsigned behind);

static inline void emit1(struct emitter *e, unsigned byte)
{
	*e->at++ = (uint8_t)byte;
}

static inline void emit4(struct emitter *e, uint32_t word)
{
	memcpy(e->at, &word, 4);
	e->at += 4;
}

static inline void emit8(struct emitter *e, uint64_t word)
{
	memcpy(e->at, &word, 8);
	e->at += 8;
}

static inline void emit_modrm_memory(struct emitter *e, unsigned reg,
				     const struct rm *rm)
{
	unsigned mode = rm->disp == 0 && (rm->base & 7) != RBP ? 0
			: rm->disp == (int8_t)rm->disp	       ? 0x40
							       : 0x80;

	if (rm->index == NO_REG && (rm->base & 7) != RSP) {
		emit1(e, mode | reg | (rm->base & 7));
	} else {
		unsigned index = rm->index == NO_REG ? 4 : rm->index & 7;

		emit1(e, mode | reg | 4);
		emit1(e,
		      (unsigned)rm->shift << 6 | index << 3 | (rm->base & 7));
	}
	if (mode == 0x40)
		emit1(e, (uint8_t)rm->disp);
	else if (mode)
		emit4(e, (uint32_t)rm->disp);
}

/* "behind": bytes of the instruction that follow the field. */
static inline void emit_modrm(struct emitter *e, unsigned reg,
			      const struct rm *rm, unsigned behind)
{
	reg = (reg & 7) << 3;
	if (rm->kind == RM_REG) {
		emit1(e, 0xc0 | reg | (rm->base & 7));
	} else if (rm->kind == RM_MEMORY) {
		emit_modrm_memory(e, reg, rm);
	} else {
		emit1(e, reg | 5);
		jit_literal_used(e->compiler, (uint32_t)rm->disp, behind);
		emit4(e, 0);
	}
}

static inline unsigned rm_high_base(const struct rm *rm)
{
	return rm->kind == RM_LITERAL ? 0 : rm->base >> 3 & 1;
}

static inline unsigned rm_high_index(const struct rm *rm)
{
	return rm->kind == RM_MEMORY && rm->index != NO_REG ? rm->index >> 3 & 1
							    : 0;
}

static inline bool is_new_byte_register(unsigned reg)
{
	return reg >= RSP && reg <= RDI;
}

static inline void emit_opcode(struct emitter *e, uint32_t op, unsigned reg,
			       const struct rm *rm)
{
	static const uint8_t prefixes[4] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned prefix = op >> 8 & 3, map = op >> 12 & 3;
	unsigned rex = 0x40 | (op & OP_W ? 8 : 0) | (reg >> 3 & 1) << 2 |
		       rm_high_index(rm) << 1 | rm_high_base(rm);

	if (prefix)
		emit1(e, prefixes[prefix]);
	if (rex != 0x40 || (op & OP_BYTE && (is_new_byte_register(reg) ||
					     (rm->kind == RM_REG &&
					      is_new_byte_register(rm->base)))))
		emit1(e, rex);
	if (map) {
		emit1(e, 0x0f);
		if (map > 1)
			emit1(e, map == 2 ? 0x38 : 0x3a);
	}
	emit1(e, op & 0xff);
}

/* An instruction with "behind" bytes of immediates to follow. */
static inline void emit_before(struct emitter *e, uint32_t op, unsigned reg,
			       struct rm rm, unsigned behind)
{
	emit_opcode(e, op, reg, &rm);
	emit_modrm(e, reg, &rm, behind);
}

static inline void emit(struct emitter *e, uint32_t op, unsigned reg,
			struct rm rm)
{
	emit_before(e, op, reg, rm, 0);
}

static inline void emit_imm8(struct emitter *e, uint32_t op, unsigned reg,
			     struct rm rm, unsigned imm)
{
	emit_before(e, op, reg, rm, 1);
	emit1(e, imm);
}

static inline void emit_imm32(struct emitter *e, uint32_t op, unsigned reg,
			      struct rm rm, uint32_t imm)
{
	emit_before(e, op, reg, rm, 4);
	emit4(e, imm);
}

static inline void emit_vex_before(struct emitter *e, uint32_t op, unsigned reg,
				   unsigned v, struct rm rm, unsigned behind)
{
	unsigned r = ~(reg >> 3) & 1, x = ~rm_high_index(&rm) & 1,
		 b = ~rm_high_base(&rm) & 1, w = op & OP_W ? 1 : 0,
		 map = op >> 12 & 3, rest = (~v & 15) << 3 | (op >> 8 & 3);

	if (x && b && !w && map == 1) {
		emit1(e, 0xc5);
		emit1(e, r << 7 | rest);
	} else {
		emit1(e, 0xc4);
		emit1(e, r << 7 | x << 6 | b << 5 | map);
		emit1(e, w << 7 | rest);
	}
	emit1(e, op & 0xff);
	emit_modrm(e, reg, &rm, behind);
}

/* "v": the second register; 0 where the instruction has none. */
static inline void emit_vex(struct emitter *e, uint32_t op, unsigned reg,
			    unsigned v, struct rm rm)
{
	emit_vex_before(e, op, reg, v, rm, 0);
}

static inline void emit_vex_imm8(struct emitter *e, uint32_t op, unsigned reg,
				 unsigned v, struct rm rm, unsigned imm)
{
	emit_vex_before(e, op, reg, v, rm, 1);
	emit1(e, imm);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the compiler share (docs/jit.md).
 *
 *	compile.c	a function: homes, prologue, dispatch, epilogue
 *	code.c		room, literals, fixups, what is cold
 *	value.c		the abstract stack and its registers
 *	number.c	integers
 *	real.c		floats and conversions
 *	vector.c	SIMD
 *	memory.c	loads, stores, globals, sizes
 *	control.c	blocks and branches
 *	call.c		calls, arguments, operations out of line
 *	object.c	references, exceptions
 *	link.c		parts to an image
 *
 * The operand stack exists only here.  A value is where it was made: a
 * constant, a local that has not been set since, a register, a load that the
 * next operation takes as its operand, or its own place in the frame, its
 * *slot*.  Where ways join, values are in their slots but for constants, and
 * one that is a block's only result in rax or xmm0.  "settled" values at the
 * bottom of the stack are known to be constants or in their slots. */
#pragma once
#include "jit/emit.h"
#include "jit/jit.h"
#include "jit/out.h"
#include "wasm/decode.h"
#include "wasm/validate.h"

enum { CONTEXT = R13, MEMORY = R14, SCRATCH = R11, SCRATCH_X = 15 };
enum { NONE = UINT32_MAX };

enum value_type {
	T_I32,
	T_I64, /* references too */
	T_F32,
	T_F64,
	T_V128
};
/* Two files of registers. */
enum file { GENERAL, VECTOR };

static inline enum file file_of(unsigned type)
{
	return type >= T_F32;
}

enum place {
	IS_CONSTANT,
	IN_LOCAL,
	IN_REG,
	IN_SLOT,
	IS_LOAD /* [address register + disp]; only on top */
};

struct value {
	uint8_t place, type;
	uint8_t reg;	     /* IN_REG; IS_LOAD: the address, or NO_REG */
	uint8_t is_borrowed; /* IS_LOAD: the register is a local's home */
	uint32_t index;	     /* IN_LOCAL: which; IS_LOAD: the offset */
	/* IS_CONSTANT: the bits; of v128 where its bytes are.  IS_LOAD:
	 * opcode of the load, upper half: the operation's place. */
	uint64_t constant;
};

struct local {
	uint8_t type;
	uint8_t reg;	     /* its home, or NO_REG */
	bool is_caller_kept; /* calls do not keep the home */
	int32_t frame;	     /* from rbp */
	uint32_t pending;    /* values on the stack that are IN_LOCAL of it */
};

enum label_kind {
	LABEL_FUNCTION,
	LABEL_BLOCK,
	LABEL_LOOP,
	LABEL_IF,
	LABEL_ELSE,
	LABEL_TRY
};

struct label {
	uint8_t kind;
	uint32_t height;		 /* below its parameters */
	uint32_t start;			 /* a loop's first byte */
	uint32_t fixes, else_fixes;	 /* chains */
	const struct wasm_deftype *type; /* or NULL: */
	wasm_type result;		 /* one, or WASM_NONE */
	uint32_t tried_from, catch_count;
	const uint8_t *catches;	    /* in the module */
	uint32_t table, table_stub; /* the last br_table that goes here */
};

/* Four bytes at "at" that are to be the distance from "from". */
struct fix {
	uint32_t at, from, next;
};
struct literal {
	uint64_t words[4];
	uint8_t bytes; /* 8, 16 or 32 */
	uint32_t at;
};
struct literal_use {
	uint32_t at, number, behind;
};

enum cold_kind {
	COLD_TRAP,   /* "what": enum wasm_trap */
	COLD_OUT,    /* enum jit_out, without operands */
	COLD_FOREIGN /* a call to another instance */
};
/* Code that is rarely run stands behind the function. */
struct cold {
	uint8_t kind;
	uint32_t what;
	uint32_t fixes;	 /* who comes here */
	uint32_t back;	 /* where it goes on */
	uint32_t origin; /* the operation, in the module */
};

/* A distance that is known when all is linked. */
struct jit_call_site {
	uint32_t at;	   /* in the part */
	uint32_t function; /* index in the module; JIT_SITE_STUB | number */
};
#define JIT_SITE_STUB 0x80000000u
struct jit_function {
	uint32_t function, at, len; /* index; in the part */
	uint32_t landing_first, landing_count;
};

struct jit_vector {
	void *items;
	uint64_t room; /* in bytes */
};
enum { JIT_VECTORS = 12 };

struct jit_compiler {
	const struct wasm_host *host;
	const struct wasm_module *module;
	const struct jit_options *options;
	struct wasm_validator *validator;
	struct wasm_weights weights;
	struct wasm_reader reader;
	uint32_t function;
	const struct wasm_deftype *type;
	const uint8_t *op_at; /* the operation that is being compiled */
	bool failed;
	bool is_dead;
	/* Between what sets flags and what uses them. */
	bool flags_live;
	bool has_avx, is_checked, has_fuel, has_tails, has_vectors;
	bool keeps_context; /* [rbp-8] is the context */
	uint32_t dead_depth;

	union {
		struct {
			struct jit_vector code, values, locals, labels, fixes,
				literals, literal_uses, colds, catches,
				/* of the part: */
				calls, functions, landings;
		};
		struct jit_vector vectors[JIT_VECTORS];
	};
	struct emitter e;
	uint64_t body_bytes;  /* of all functions so far */
	uint32_t start;	      /* the function's first byte */
	uint32_t frame_fixes; /* chain: the frame's size goes there */
	uint32_t height, settled, label_count, fix_count, literal_count,
		literal_use_count, cold_count, catch_count, call_count,
		function_count, landing_count;
	uint32_t table_serial;
	uint32_t held_from[2]; /* values below hold no register of the file */
	uint32_t free[2], all[2]; /* registers for values: sets */
	/* Locals whose homes calls do not keep. */
	uint32_t caller_kept[24], caller_kept_count;
	uint8_t kept[4], kept_count; /* registers that the prologue saves */
	int32_t values_at;	     /* frame: where slot 0 ends, from rbp */
	uint32_t slot_bytes, most_slots, out_bytes;
	uint32_t argument_bytes; /* of this function, on the stack */
	struct value spare;
	uint8_t owners[WASM_OPERATIONS]; /* who compiles an operation */
	/* jit_places: of which operations are these bytes?  Those before
	 * "placed" are known, "place_next" is the first that is not. */
	struct jit_place *places;
	uint32_t place_count, placed, place_next, origin;
};

/* code.c */
void *jit_vector_grow(struct jit_compiler *c, struct jit_vector *vector,
		      uint64_t count, uint32_t size);
/* Room for as many bytes of code; false: there is none, failed. */
bool jit_code_grow(struct jit_compiler *c, uint64_t bytes);
static inline uint32_t code_here(const struct jit_compiler *c)
{
	return (uint32_t)(c->e.at - (uint8_t *)c->code.items);
}
/* The place of item "count", or NULL: no memory, failed. */
static inline void *jit_vector_room(struct jit_compiler *c,
				    struct jit_vector *vector, uint64_t count,
				    uint32_t size)
{
	if (__builtin_expect((count + 1) * size <= vector->room, 1))
		return (uint8_t *)vector->items + count * size;
	return jit_vector_grow(c, vector, count, size);
}
static inline bool jit_code_room(struct jit_compiler *c, uint64_t bytes)
{
	if (__builtin_expect(code_here(c) + bytes <= c->code.room, 1))
		return true;
	return jit_code_grow(c, bytes);
}
void jit_code_set4(struct jit_compiler *c, uint32_t at, uint32_t value);
/* A literal's number; equal ones near are one. */
struct rm jit_code_literal(struct jit_compiler *c, uint64_t low, uint64_t high,
			   unsigned bytes);
struct rm jit_code_literal_words(struct jit_compiler *c,
				 const uint64_t words[4]);
void jit_code_literals(struct jit_compiler *c);
/* Puts the four bytes before the cursor into the chain. */
void jit_code_fix(struct jit_compiler *c, uint32_t *chain);
void jit_code_fix_from(struct jit_compiler *c, uint32_t *chain, uint32_t at,
		       uint32_t from);
void jit_code_bind(struct jit_compiler *c, uint32_t chain); /* to here */
/* lea of what the chain will be bound to. */
void jit_code_address(struct jit_compiler *c, unsigned reg, uint32_t *chain);
void jit_code_jump(struct jit_compiler *c, uint32_t *chain);
void jit_code_jump_if(struct jit_compiler *c, unsigned condition,
		      uint32_t *chain);
void jit_code_jump_to(struct jit_compiler *c, uint32_t start);
void jit_code_jump_if_to(struct jit_compiler *c, unsigned condition,
			 uint32_t start);
struct cold *jit_code_cold(struct jit_compiler *c, enum cold_kind kind,
			   uint32_t what);
void jit_code_trap_if(struct jit_compiler *c, unsigned condition,
		      enum wasm_trap trap);
void jit_code_trap(struct jit_compiler *c, enum wasm_trap trap);
/* A call (0xe8) or jump (0xe9), to a function of the module or a stub. */
void jit_code_site(struct jit_compiler *c, unsigned op, uint32_t function);
void jit_code_call_stub(struct jit_compiler *c, unsigned stub);
void jit_code_restore_context(struct jit_compiler *c);
void jit_code_colds(struct jit_compiler *c);
/* What comes now is of the operation at "origin" (in the module). */
void jit_code_origin(struct jit_compiler *c, uint32_t origin);
static inline void code_origin(struct jit_compiler *c, uint32_t origin)
{
	if (__builtin_expect(c->places != NULL, 0))
		jit_code_origin(c, origin);
}
static inline uint32_t jit_code_op_origin(const struct jit_compiler *c)
{
	return (uint32_t)(c->op_at - c->module->bytes);
}

/* Moves */
void jit_move_constant(struct jit_compiler *c, unsigned reg, uint64_t value,
		       unsigned type);
void jit_move(struct jit_compiler *c, unsigned to, unsigned of, unsigned type);
void jit_load_rm(struct jit_compiler *c, unsigned to, struct rm rm,
		 unsigned type);
void jit_store_rm(struct jit_compiler *c, struct rm rm, unsigned reg,
		  unsigned type);
/* to = a OP rm, with VEX or without. */
void jit_emit_float(struct jit_compiler *c, uint32_t op, unsigned to,
		    unsigned a, struct rm rm, bool commutes);
/* reg OP rm, where the result has nothing of what was in reg. */
void jit_emit_x(struct jit_compiler *c, uint32_t op, unsigned reg,
		struct rm rm);

static inline uint32_t wide(unsigned type)
{
	return type == T_I32 ? 0 : OP_W;
}

/* value.c */
static inline struct local *local_at(struct jit_compiler *c, uint32_t index)
{
	return (struct local *)c->locals.items + index;
}
static inline struct value *value_at(struct jit_compiler *c, uint32_t index)
{
	if (__builtin_expect(index >= c->values.room / sizeof(struct value), 0))
		return &c->spare;
	return (struct value *)c->values.items + index;
}
struct rm jit_slot_rm(struct jit_compiler *c, uint32_t index);
static inline void jit_push(struct jit_compiler *c, struct value value)
{
	struct value *place =
		jit_vector_room(c, &c->values, c->height, sizeof(value));

	if (!place)
		return;
	*place = value;
	c->height++;
}
void jit_push_reg(struct jit_compiler *c, unsigned type, unsigned reg);
void jit_push_constant(struct jit_compiler *c, unsigned type,
		       uint64_t constant);
void jit_push_slot(struct jit_compiler *c, unsigned type);
void jit_push_local(struct jit_compiler *c, uint32_t local);
/* A value that has been taken from the stack; "index" is where it was. */
struct operand {
	struct value value;
	uint32_t index;
};
static inline void operands_swap(struct operand *a, struct operand *b)
{
	struct operand other = *a;

	*a = *b;
	*b = other;
}
static inline struct operand jit_pop(struct jit_compiler *c)
{
	struct operand operand;

	c->height--;
	operand.value = *value_at(c, c->height);
	operand.index = c->height;
	if (c->settled > c->height)
		c->settled = c->height;
	if (c->held_from[GENERAL] > c->height)
		c->held_from[GENERAL] = c->height;
	if (c->held_from[VECTOR] > c->height)
		c->held_from[VECTOR] = c->height;
	if (operand.value.place == IN_LOCAL)
		local_at(c, operand.value.index)->pending--;
	return operand;
}
/* The register that it holds is free again. */
void jit_release(struct jit_compiler *c, const struct operand *operand);
/* The same, unless the register is "kept". */
void jit_release_but(struct jit_compiler *c, const struct operand *operand,
		     unsigned kept);
unsigned jit_take(struct jit_compiler *c, enum file file);
/* One that is not in the set "but". */
unsigned jit_take_but(struct jit_compiler *c, enum file file, uint32_t but);
/* Where an operand has a register of the set for itself, it moves on. */
void jit_operand_leave(struct jit_compiler *c, struct operand *operand,
		       uint32_t set);
/* Takes this one; it must be free but for values on the stack. */
void jit_take_this(struct jit_compiler *c, enum file file, unsigned reg);
static inline void give(struct jit_compiler *c, enum file file, unsigned reg)
{
	c->free[file] |= 1u << reg;
}
bool jit_is_in_reg(struct jit_compiler *c, const struct operand *operand);
unsigned jit_reg_of(struct jit_compiler *c, const struct operand *operand);
/* Is it in this register, or its address? */
bool jit_uses_reg(struct jit_compiler *c, const struct operand *operand,
		  unsigned reg);
/* As an instruction's r/m; constants of integers are put to a register. */
struct rm jit_operand_rm(struct jit_compiler *c, struct operand *operand);
/* In a register, which may be a local's: not to be written. */
unsigned jit_operand_reg(struct jit_compiler *c, struct operand *operand);
/* In a register of its own, which may be written. */
unsigned jit_operand_own(struct jit_compiler *c, struct operand *operand);
void jit_operand_to(struct jit_compiler *c, const struct operand *operand,
		    unsigned reg);
/* To memory, with nothing but the scratch registers changed. */
void jit_operand_store(struct jit_compiler *c, const struct operand *operand,
		       struct rm rm);
/* Is it a constant that fits a sign-extended 32-bit immediate? */
bool jit_is_immediate(const struct operand *operand);
/* Values IN_LOCAL of it become values of their own. */
void jit_local_keep(struct jit_compiler *c, uint32_t local);
/* All to their slots, from "settled" on; constants stay. */
void jit_values_flush(struct jit_compiler *c);
/* Registers only, below "below": what a call takes. */
void jit_values_spill(struct jit_compiler *c, uint32_t below);
/* Drops the values above, without code. */
void jit_values_drop_to(struct jit_compiler *c, uint32_t height);
void jit_registers_all_free(struct jit_compiler *c);

/* The result's register: the home of the local that the next operation sets,
 * else one of the operands' own, else a new one.  "finish" pushes it. */
struct target {
	uint8_t reg, file;
	bool is_hint;
};
struct target jit_target_new(struct jit_compiler *c, enum file file);
/* May be a's own register, if it has one. */
struct target jit_target_over(struct jit_compiler *c, enum file file,
			      const struct operand *a);
void jit_target_finish(struct jit_compiler *c, struct target target,
		       unsigned type);
/* As release, but the target's register stays taken. */
void jit_target_release(struct jit_compiler *c, const struct target *target,
			const struct operand *operand);

/* Operations that a file has a way by hand for. */
bool jit_number_owns(unsigned operation);
bool jit_real_owns(unsigned operation);
bool jit_memory_owns(unsigned operation);
bool jit_vector_owns(unsigned operation);
void jit_number_operation(struct jit_compiler *c, unsigned operation);
void jit_real_operation(struct jit_compiler *c, unsigned operation);
void jit_memory_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates);
/* false: not with these operands. */
bool jit_vector_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates);
bool jit_control_operation(struct jit_compiler *c, unsigned operation,
			   const struct wasm_immediates *immediates);
bool jit_call_operation(struct jit_compiler *c, unsigned operation,
			const struct wasm_immediates *immediates);
bool jit_object_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates);

/* number.c: flags that are set are used at once: by the br_if, if, select or
 * i32.eqz that comes next, else they become a value. */
void jit_condition_use(struct jit_compiler *c, unsigned condition);
/* Sets flags: is the operand (i32, or a reference) not 0?  Releases it. */
void jit_operand_test(struct jit_compiler *c, struct operand *operand);
void jit_select_by(struct jit_compiler *c, unsigned condition);
bool jit_next_is(const struct jit_compiler *c, unsigned byte);
void jit_emit_alu(struct jit_compiler *c, unsigned number, unsigned type,
		  struct rm rm, int32_t constant);

/* memory.c */
/* The operand stack's top is an address: takes it off.  Where an access of
 * so many bytes is; its register is held until address_release. */
struct address {
	struct rm rm;
	uint8_t reg; /* taken, or NO_REG */
};
struct address jit_address_of(struct jit_compiler *c,
			      const struct wasm_immediates *immediates,
			      unsigned bytes);
void jit_address_release(struct jit_compiler *c, const struct address *address);
struct rm jit_global_rm(struct jit_compiler *c, uint32_t index);

/* control.c */
void jit_control_begin_function(struct jit_compiler *c);
void jit_branch_if(struct jit_compiler *c, uint32_t depth, unsigned condition);
void jit_if_begin(struct jit_compiler *c,
		  const struct wasm_immediates *immediates, unsigned condition);
void jit_become_dead(struct jit_compiler *c);
struct label *jit_label_at(struct jit_compiler *c, uint32_t depth);
unsigned jit_inverse(unsigned condition);

/* call.c: an operation by its C function.  Takes the operands, gives the
 * results. */
void jit_out_call(struct jit_compiler *c, const struct jit_order *out);
/* The call alone: nothing is saved, there are no words. */
void jit_out_number(struct jit_compiler *c, uint32_t number);
/* Homes that calls do not keep, to the frame and back. */
void jit_homes_save(struct jit_compiler *c);
void jit_homes_load(struct jit_compiler *c);
/* Any operation that has a row with types. */
void jit_out_operation(struct jit_compiler *c, unsigned operation,
		       const struct wasm_immediates *immediates);
void jit_function_return(struct jit_compiler *c);
/* A turn of a loop, or a call, where they are counted. */
void jit_code_count_turn(struct jit_compiler *c);
/* rsp as the prologue left it. */
void jit_code_restore_stack(struct jit_compiler *c);
/* Moves that happen at once: registers of one file. */
struct move {
	uint8_t to, of, type;
};
void jit_moves_make(struct jit_compiler *c, struct move *moves, unsigned count,
		    enum file file);
void jit_code_epilogue(struct jit_compiler *c);
/* Saved registers, from the frame. */
void jit_code_restore_kept(struct jit_compiler *c);
/* Calls the function in rax, whoever's it is. */
void jit_call_foreign(struct jit_compiler *c);

/* arguments.c */
unsigned jit_type_of(wasm_type type);
/* Of all arguments on the stack, rounded. */
uint32_t jit_argument_bytes(const struct wasm_deftype *type);
/* Of the arguments by their types: where each one goes. */
struct argument_places {
	unsigned general, vector;
	uint32_t bytes; /* on the stack so far */
};
enum { ARGUMENT_GENERAL = 6, ARGUMENT_VECTOR = 8 };
extern const uint8_t jit_argument_registers[ARGUMENT_GENERAL];
/* The register, or NO_REG: *offset on the stack. */
unsigned jit_argument_next(struct argument_places *places, unsigned type,
			   uint32_t *offset);

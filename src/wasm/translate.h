/* SPDX-License-Identifier: Apache-2.0 */
/* From a body to register code, in one pass.  The operand stack exists only
 * here: each of its values is known to be in an accumulator, in its own slot,
 * in a local, or to be a constant or a sum of two that has not been made yet.
 * Instructions are emitted when an operation needs them, and the last two are
 * remembered, so that an operation can take back its producer and do both.
 *
 *	translate.c		body, locals, constants, dispatch
 *	translate_code.c	code, values, accumulators
 *	translate_number.c	arithmetic, comparisons, select, vectors
 *	translate_memory.c	loads, stores
 *	translate_control.c	blocks, branches, exceptions
 *	translate_call.c	calls and returns
 *	translate_object.c	references, objects, tables, bulk memory
 *
 * Invariants:
 *  - a value in an accumulator has a producer, the instruction that left it
 *    there, and this can be changed so that it writes the value's slot too;
 *  - values below "settled" are constants or in their own slots;
 *  - the code is position independent until it is copied to its place. */
#pragma once
#include "wasm/decode.h"
#include "wasm/interp_internal.h"
#include "wasm/validate.h"

enum value_class { CLASS_INT, CLASS_F64, CLASS_F32, CLASS_V128, CLASSES };
enum { NONE = UINT32_MAX };

enum place {
	IN_ACCUMULATOR,
	IN_SLOT,  /* its own */
	IN_LOCAL, /* "slot": until the local is set */
	IS_CONSTANT,
	IS_SUM, /* i32: (local << shift) + local, or + constant */
};

struct value {
	uint8_t place, class, shift;
	bool is_sum_of_locals;
	uint32_t slot;
	/* Or a sum's second local; of v128 where its bytes are. */
	uint64_t constant;
};

struct accumulator {
	uint32_t owner;	   /* the value on the stack that is only here */
	uint32_t producer; /* where the instruction is that left it here */
	uint32_t mirrors;  /* a slot that has the same value */
	uint16_t handler;  /* the producer's, without a write to a slot */
};

/* How an instruction takes an operand: 'r' accumulator, 's' slot,
 * 'i' constant. */
struct operand {
	char place;
	uint32_t index; /* on the stack */
	uint32_t slot;
	uint64_t constant;
};

/* The forms of an address, numbered as in tools/handlers. */
enum address_form {
	ADDRESS_R,
	ADDRESS_S,
	ADDRESS_RS,
	ADDRESS_SS,
	ADDRESS_SI,
	ADDRESS_I,
	ADDRESS_RI,
	ADDRESS_R_SHIFTED_S,
	ADDRESS_S_SHIFTED_S,
	ADDRESS_R_SHIFTED_I,
	ADDRESS_S_SHIFTED_I,
	ADDRESS_FORMS
};
struct address {
	enum address_form form;
	uint32_t first, second; /* slots; second may be a constant */
	uint32_t shift;
	uint64_t offset; /* of I: the whole address */
};

enum made_kind {
	MADE_OTHER,
	MADE_BINARY,
	MADE_COMPARE,
	MADE_UNARY,
	MADE_LOAD,
	MADE_LOADED, /* operation with a loaded operand */
	MADE_TREE,   /* (a OPERATION b) SECOND c */
	MADE_COPY,
	MADE_CONSTANT, /* b, to a's slot */
	MADE_ADD_TWICE,
	MADE_COPY_ADD,	 /* copies, then a + b to the destination */
	MADE_GLOBAL,	 /* an own one's value; a: its offset as constant */
	MADE_GLOBAL_ADD, /* the same plus b */
};

/* An instruction that was just emitted. */
struct made {
	enum made_kind kind;
	uint32_t at;
	uint16_t handler, operation;
	uint32_t destination; /* slot it writes, or NONE */
	struct operand a, b, c;
	uint16_t second;
	struct address address;
	bool is_swapped;  /* MADE_LOADED: the loaded one comes first */
	uint32_t copies;  /* MADE_COPY */
	uint32_t origins; /* operations that it is told to come from */
	/* MADE_ADD_TWICE: the first one; destination, a and b tell of the
	 * second. */
	uint32_t first_to, first_of, first_constant;
	uint16_t loaded; /* MADE_LOADED: the load */
	/* The accumulator that it has set, and what was known of it. */
	enum value_class class; /* or CLASSES */
	struct accumulator before;
};

/* Where in the module an instruction comes from. */
struct origin {
	uint32_t code, module;
};

enum label_kind {
	LABEL_FUNCTION,
	LABEL_BLOCK,
	LABEL_LOOP,
	LABEL_IF,
	LABEL_TRY
};

struct label {
	enum label_kind kind;
	uint32_t height;		 /* of the stack below its parameters */
	const struct wasm_deftype *type; /* or NULL: */
	wasm_type result;		 /* one, or WASM_NONE */
	uint32_t start;			 /* a loop's code */
	uint32_t fixes;			 /* chain of those who jump here */
	uint32_t else_at;		 /* if: the branch around, or NONE */
	uint32_t tried_from;
	uint32_t catch_first, catch_count;
	uint32_t table; /* the last br_table that jumps here */
	uint32_t table_target;
	uint32_t serial;
	/* A loop that begins with a br_table, but for a few instructions. */
	uint32_t head; /* which table, or NONE */
	uint32_t first_origin;
};

/* A place that will hold a distance to a label. */
struct fix {
	uint32_t field, instruction; /* field NONE: landing "instruction" */
	uint32_t next;
};

/* Scratch of one translation at a time. */
struct translator *translator_new(struct wasm_module *module);
void translator_free(struct translator *translator);
/* Translates a body; what was made stays until the next one.  0 or -1: no
 * memory. */
int translator_run(struct translator *translator, const struct wasm_code *code);

/* Of a br_table: its entries are filled when all targets are final. */
struct table {
	uint32_t at, entries, count;
	uint32_t first_way; /* into ways, one for each entry; or NONE */
	uint16_t counting;  /* the handler that counts a turn, too */
};
/* The label that an entry goes straight to; serial 0: to other code. */
struct way {
	uint32_t label, serial;
};

struct vector {
	void *items;
	uint32_t room; /* in bytes */
};
enum { VECTORS = 10 };

struct translator {
	const struct wasm_host *host;
	struct wasm_module *module;
	const struct wasm_code *function;
	const struct wasm_deftype *type;
	struct wasm_reader reader;
	const uint8_t *op_at; /* the operation that is being translated */
	/* No memory: what is emitted is thrown away, and what there is no
	 * room for is not kept, until the operation is done. */
	bool failed;
	bool is_dead; /* behind a branch that is always taken */
	uint32_t dead_depth;
	uint32_t base; /* first slot of the operand stack */

	union {
		struct {
			struct vector code, origins, values, labels, fixes,
				landings, catches, tables, ways, locals;
		};
		struct vector vectors[VECTORS];
	};
	uint32_t used; /* bytes of code */
	uint32_t origin_count, label_count, fix_count, landing_count,
		catch_count, table_count, way_count, local_count;
	uint32_t barrier; /* the last place in the code where ways join or
			   * part, or from where it may go elsewhere */
	uint32_t serial;  /* of the last label */
	uint32_t repeated_bytes;
	uint32_t height, highest, settled;
	struct value spare; /* stands in for what had no room */
	struct accumulator accumulators[CLASSES];
	struct made made[2];
	unsigned last; /* index into made */
	struct wasm_validator *validator;
	/* Much code: it shares handlers, so that they stay in the caches. */
	bool is_large;
	uint8_t turns[WASM_HANDLERS]; /* which replica is next */
};

/* translate_code.c: the place of item "count", or NULL: failed */
void *vector_room(struct translator *t, struct vector *vector, uint32_t count,
		  uint32_t size);
/* Instructions: one begins with its handler, then fields are added. */
uint32_t code_begin(struct translator *t, unsigned handler);
/* Code as it was emitted before: "from" up to "end", which come from the
 * operations from that origin on. */
void code_repeat(struct translator *t, uint32_t from, uint32_t end,
		 uint32_t first_origin);
/* Its second byte stands for what comes from the operation at hand. */
void code_second_origin(struct translator *t);
void code_u32(struct translator *t, uint32_t value);
void code_u64(struct translator *t, uint64_t value);
void code_slot(struct translator *t, uint32_t slot);
void code_operand(struct translator *t, const struct operand *operand,
		  char letter);
void code_set_u32(struct translator *t, uint32_t at, uint32_t value);
uint32_t code_get_u32(const struct translator *t, uint32_t at);
void code_set_handler(struct translator *t, uint32_t at, unsigned handler);
/* The last instruction, put aside while others are emitted before it: they
 * may write slots, but no accumulator. */
struct delayed {
	struct made made;
	uint32_t owner, len;
	uint8_t fields[64];
};
bool code_delay(struct translator *t, struct delayed *delayed);
void code_resume(struct translator *t, const struct delayed *delayed);
/* Copies that the last instruction makes: their fields, if it is nothing but
 * "most" copies or fewer.  It is taken back. */
uint32_t code_take_copies(struct translator *t, uint32_t most, uint32_t *slots);
/* Takes the last instruction back; its description is returned. */
struct made code_take_back(struct translator *t);
/* The next instruction comes from where the last one came from. */
void code_keep_origin(struct translator *t);
/* What was emitted is not to be changed: a label is here. */
void code_forget(struct translator *t);
void code_copy(struct translator *t, uint32_t to, uint32_t of,
	       enum value_class class);
void code_constant(struct translator *t, uint32_t to,
		   const struct value *constant);
void code_address(struct translator *t, const struct address *address);

static inline struct made *last_made(struct translator *t)
{
	return &t->made[t->last];
}

/* Values. */
static inline struct value *value_at(struct translator *t, uint32_t index)
{
	if (__builtin_expect(index >= t->values.room / sizeof(struct value), 0))
		return &t->spare;
	return (struct value *)t->values.items + index;
}

static inline struct value *value_top(struct translator *t, uint32_t depth)
{
	return value_at(t, t->height - 1 - depth);
}

static inline uint32_t own_slot(const struct translator *t, uint32_t index)
{
	return t->base + index;
}

enum value_class class_of(wasm_type type);
struct value *value_push(struct translator *t, enum place place,
			 enum value_class class);
void value_push_slot(struct translator *t, enum value_class class);
/* Takes n values off; what they had in accumulators is gone. */
void value_pop(struct translator *t, uint32_t count);
void value_to_slot(struct translator *t, uint32_t index);
void value_to_slots(struct translator *t, uint32_t count); /* the top ones */
/* The value's slot, own or not; constants and so on go to the own one. */
uint32_t value_slot(struct translator *t, uint32_t index);
void value_make_sum(struct translator *t, uint32_t index);
/* Before a local is set: values that mean its old contents, below "below". */
void values_keep(struct translator *t, uint32_t local, uint32_t below);
/* Nothing but constants and own slots below "below". */
void values_settle(struct translator *t, uint32_t below);
struct operand value_operand(struct translator *t, uint32_t index);
/* Of the top ones, all at once. */
void value_operands(struct translator *t, struct operand *operands,
		    uint32_t count);
/* An operand that must be in a slot. */
void operand_to_slot(struct translator *t, struct operand *operand);

/* Accumulators. */
void acc_flush(struct translator *t, enum value_class class);
void acc_flush_all(struct translator *t);
void acc_forget(struct translator *t);
void acc_wrote(struct translator *t, uint32_t slot);
/* The instruction just made has its result there. */
void acc_set(struct translator *t, enum value_class class, uint32_t owner);
/* ... and pushes it. */
void acc_push(struct translator *t, enum value_class class);
/* Is the value the result of the last instruction, and nothing else's? */
bool value_is_fresh(struct translator *t, uint32_t index);
/* The producer of what is in an accumulator writes this slot. */
void acc_write(struct translator *t, enum value_class class, uint32_t slot);

/* Handlers by operation: 0 where there is none. */
enum role {
	ROLE_VALUE,
	ROLE_FAR,
	ROLE_BRANCH,
	ROLE_BACK,
	ROLE_BRANCH_NOT,
	ROLE_BACK_NOT,
	ROLE_SELECT,
	ROLE_STEP,
	ROLE_STEP2,
	ROLE_LOADED,
	ROLE_STORED,
	ROLE_TREE,
	ROLE_LOADED_EQ,
	ROLE_LOADED_EQ_BACK,
	ROLE_LOADED_NE,
	ROLE_LOADED_NE_BACK,
	ROLE_CHAINED,
	ROLE_COPIED,
	ROLE_CHOOSE,
	ROLE_BACK_CHOOSE,
	ROLE_MASKED,
	ROLE_MASKED_BACK,
	ROLES
};
unsigned handler_of(enum role role, unsigned operation, unsigned form);
unsigned form_of(char a, char b);
unsigned operation_mirrored(unsigned operation);
unsigned operation_inverse(unsigned operation);
bool operation_commutes(unsigned operation);
/* 0: none */
unsigned operation_loaded_class(unsigned operation);
unsigned operation_tree_class(unsigned operation);
enum { TREE_SWAPPED_CLASS = 7, TREE_CLASSES = 16 };

/* translate_number.c */
bool number_operation(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates);
void number_select(struct translator *t);
void number_local_set(struct translator *t, uint32_t local, bool is_tee);
/* A branch, taken where the top value is not 0 ("inverted": is 0); its
 * distance is to be filled in.  The value is gone. */
uint32_t number_branch(struct translator *t, bool inverted, bool back);
/* Where the top reference is null ("inverted": is not); it stays. */
uint32_t number_branch_null(struct translator *t, bool inverted, bool back);

/* translate_memory.c */
bool memory_operation(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates);

/* translate_control.c */
bool control_operation(struct translator *t, unsigned operation,
		       const struct wasm_immediates *immediates);
void control_begin_function(struct translator *t);
/* A jump's distance to the label is put to field, when it is known. */
void control_link(struct translator *t, struct label *label, uint32_t field,
		  uint32_t instruction);

/* translate_repeat.c */
void repeat_note_way(struct translator *t, const struct label *label);
void repeat_note_table(struct translator *t, const struct table *table);
/* Instead of a jump back to a loop's begin; false: a jump is to be made. */
bool repeat_head(struct translator *t, const struct label *loop);

/* translate_call.c */
bool call_operation(struct translator *t, unsigned operation,
		    const struct wasm_immediates *immediates);
void call_return(struct translator *t);

/* translate_object.c */
bool object_operation(struct translator *t, unsigned operation,
		      const struct wasm_immediates *immediates);
/* Pushes whether the top reference fits the type (raw). */
void object_test(struct translator *t, wasm_type type);

/* SPDX-License-Identifier: Apache-2.0 */
/* The baseline compiler and what its code needs to run (docs/jit.md).
 *
 * Compiling: each thread has a compiler and gives it some functions of the
 * module; what the compilers made is then linked to one image.
 *
 * Running: an image in memory is bound to a module by jit_code_open, and an
 * instance of the module to the code by jit_bind. */
#pragma once
#include "brood/code_format.h"
#include "wasm/instance.h"

/* For tests: what the compiler does without. */
enum jit_without {
	JIT_WITHOUT_HOMES = 1 << 0,   /* all locals in the frame */
	JIT_WITHOUT_COMPARE = 1 << 1, /* no fused compare and branch */
	JIT_WITHOUT_FOLD = 1 << 2,    /* no load as an operand */
	JIT_WITHOUT_CONST = 1 << 3,   /* constants go to registers at once */
	JIT_WITHOUT_HINT = 1 << 4,    /* no result straight to its local */
	JIT_WITHOUT_HAND = 1 << 5,    /* all arithmetic out of line */
	JIT_WITHOUT_POOL = 1 << 6,    /* four registers of each kind */
};

struct jit_options {
	uint32_t options;  /* bits of enum code_option; TAILS is found */
	uint32_t features; /* bits of enum code_feature */
	uint32_t without;  /* bits of enum jit_without */
};

/* What this CPU has, and what it has of what the compiler uses: bits of enum
 * code_feature. */
uint32_t jit_cpu_features(void);
uint32_t jit_features(void);

struct jit_compiler;
/* NULL without memory.  The options stay where they are. */
struct jit_compiler *jit_compiler_new(const struct wasm_module *module,
				      const struct jit_options *options);
void jit_compiler_free(struct jit_compiler *compiler);
/* Compiles a defined function (its index in the module).  0, or -1: no
 * memory, or the code is larger than an image may be.  "error" names it. */
int jit_compile(struct jit_compiler *compiler, uint32_t function,
		struct wasm_error *error);

/* A function that another compiler has made.  Its frames are chained by rbp,
 * it keeps what a callee keeps, r13 and r14 with the others, has no landings,
 * and is not there in modules with tail calls (docs/jit.md). */
enum jit_made_kind { JIT_MADE_FUNCTION, JIT_MADE_TRAP, JIT_MADE_CONSTANT };
/* Four bytes at "at" become target + addend - their own place. */
struct jit_made_site {
	uint32_t at;
	int32_t addend;
	uint32_t kind;
	uint32_t target; /* function's index in the module: where it is called
			  * from its own; enum wasm_trap: its stub; offset in
			  * the constants */
};
struct jit_made {
	uint32_t function; /* index in the module */
	const uint8_t *code;
	uint32_t len;
	const struct jit_made_site *sites; /* ascending */
	uint32_t site_count;
};

/* All functions of the module must be in one of the compilers, of which there
 * is at least one, or among those made, once. */
struct jit_link {
	struct jit_compiler **compilers;
	uint32_t count;
	const struct jit_made *made; /* ascending by function */
	uint32_t made_count;
	const uint8_t *constants; /* theirs, from a multiple of 64 on */
	uint64_t constant_bytes;
	const struct jit_made_site *constant_sites; /* ascending */
	uint32_t constant_site_count;
	bool has_module; /* the module's bytes go into the image */
	/* What memories begin with; jit_image_write leaves the pages zero. */
	const struct code_run *runs;
	uint32_t run_count;
	uint64_t page_count;
};
/* The image's size, a multiple of CODE_PAGE; 0: too large. */
uint64_t jit_image_bytes(const struct jit_link *link);
/* Writes the image, but for key and sum.  -1: it is too large, a function is
 * missing or there twice, a site names what is not there, or another compiler
 * had code that counts fuel or has tail calls. */
int jit_image_write(const struct jit_link *link, uint8_t *image);

/* An image that is mapped, text executable, and stays while this is used. */
struct jit_code {
	const struct wasm_module *module;
	const struct code_header *header;
	const struct code_function *functions;
	const struct code_landing *landings;
	const uint8_t *optimised; /* bits of functions; NULL: of none */
	const uint8_t *text;
	uint32_t *type_ids; /* of the module's types, in its registry */
};
/* Is the module's own function "own" another compiler's? */
static inline bool jit_code_is_made(const struct jit_code *code, uint32_t own)
{
	return code->optimised && code->optimised[own / 8] >> own % 8 & 1;
}
/* Checks the header and the tables, not the text, which must be known to be
 * good.  -1: it is none of this module, or does not fit this CPU. */
int jit_code_open(struct jit_code *code, const struct wasm_module *module,
		  const void *image, uint64_t len, struct wasm_error *error);
void jit_code_close(struct jit_code *code);

/* Before any function of the instance has been named, its memories made: its
 * functions run by this code from now on.  The code must stay.  false: it is
 * not for such an instance, or there is no memory for a stack. */
bool jit_bind(struct wasm_instance *instance, const struct jit_code *code);
/* Which code an instance needs: bits of enum code_option. */
uint32_t jit_options_of(const struct wasm_instance *instance);
/* What struct wasm_host's native_call is: how compiled code calls functions
 * that are not. */
extern const void *const jit_native_call;

/* For signal handlers, as wasm_interp_fault: true when compiled code of the
 * store is at rip; it goes on with the trap.  Any instruction may be the one
 * where it is, so that a run can be ended which never looks. */
bool jit_stop(struct wasm_store *store, uint64_t regs[16], uint64_t *rip,
	      enum wasm_trap trap);
bool jit_is_code(const struct wasm_store *store, uint64_t rip);

/* Where in the module addresses of the text come from: the function is
 * compiled once more. */
struct jit_place {
	uint32_t at;	 /* counts from the text's begin; used up */
	uint32_t origin; /* the operation's offset in the module's bytes, 0
			  * when it is not known: of what another compiler
			  * has made it never is */
};
void jit_places(const struct jit_code *code, uint32_t function,
		struct jit_place *places, uint32_t count);

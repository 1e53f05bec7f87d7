/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers: one function for each instruction, each ending in a jump to
 * the next one's.  What they share travels in argument registers, so that
 * nothing is pushed and nothing is reloaded:
 *
 *	ip	the instruction
 *	frame	of the running function
 *	memory	base of its memory 0
 *	context	its instance
 *	acc, acc_d, acc_f, acc_v	the last integer or reference, f64,
 *		f32, v128
 *
 * Most are made by tools/handlers from operations.tab; here are the words
 * that those are written in, and what is too much for a table.
 *
 * Handlers in section wasm_handlers make no native call and push nothing
 * (tools/handlers-check): the fault handler may send a thread from any
 * instruction of theirs that touches memory on at "fault", with ip, frame and
 * context still in their registers.  Cold ones are in section wasm_cold.
 *
 * This file is never sanitised: a sanitizer's calls would push. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#ifndef __clang__
/* gcc has no convention that keeps arguments where they came; but it leaves a
 * register alone that is a variable of the whole file.  They are those that
 * each function keeps for its caller, so that they outlive calls. */
register const unsigned char *ip __asm__("rbx");
register unsigned char *frame __asm__("r14");
register unsigned char *memory __asm__("r12");
register struct wasm_instance *context __asm__("r15");
register unsigned long acc __asm__("r13");
#endif
#include "wasm/atomic.h"
#include "wasm/handler_list.h"
#include "wasm/interp_internal.h"
#include "wasm/simd.h"
#pragma GCC diagnostic pop

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-but-set-parameter"

#ifdef __clang__
#define CONVENTION __attribute__((preserve_none))
#define MUSTTAIL   __attribute__((musttail))
#else /* at -O2 a call in tail position is a jump: checked after the build */
#define CONVENTION
#define MUSTTAIL
#endif
#define HOT_SECTION  __attribute__((section("wasm_handlers"), used))
#define COLD_SECTION __attribute__((section("wasm_cold"), used, noinline))

#define PARAMETERS_FLOAT double acc_d, float acc_f, v128 acc_v
#define ARGUMENTS_FLOAT	 acc_d, acc_f, acc_v
#ifdef __clang__
#define PARAMETERS                                                          \
	const u8 *ip, u8 *frame, u8 *memory, struct wasm_instance *context, \
		u64 acc, PARAMETERS_FLOAT
#define ARGUMENTS ip, frame, memory, context, acc, ARGUMENTS_FLOAT
#else
#define PARAMETERS PARAMETERS_FLOAT
#define ARGUMENTS  ARGUMENTS_FLOAT
#endif
typedef CONVENTION enum wasm_trap handler(PARAMETERS);

/* Slots: aligned, of any type. */
#define ANY_TYPE __attribute__((may_alias))
typedef u32 u32_slot ANY_TYPE;
typedef u64 u64_slot ANY_TYPE;
typedef float float_slot ANY_TYPE;
typedef double double_slot ANY_TYPE;
typedef v128 v128_slot ANY_TYPE;
typedef const struct wasm_code *code_pointer;
typedef code_pointer code_pointer_any WASM_ANY_PLACE;
typedef handler *handler_pointer;
typedef handler_pointer handler_pointer_any WASM_ANY_PLACE;
typedef out_of_line *out_of_line_pointer;
typedef out_of_line_pointer out_of_line_pointer_any WASM_ANY_PLACE;

#define RARE(condition) __builtin_expect(!!(condition), 0)
/* Nobody knows: no branch is to guess it. */
#ifdef __clang__
#define EVEN(condition) __builtin_unpredictable(condition)
#else
#define EVEN(condition) __builtin_expect_with_probability(!!(condition), 1, 0.5)
#endif
/* Keeps what stands before it apart from what stands behind. */
#define APART() __asm__ volatile("")

/* clang-format off */
#define CONSTANT(type, at) (*(const type##_any *)(ip + (at)))
#define SLOT(type, at)     (*(type##_slot *)(frame + CONSTANT(u32, at)))
#define PUT(type, at, value) ((void)(SLOT(type, at) = (value)))
#define HANDLER_AT(at)     (*(const handler_pointer_any *)(at))
#define NEXT(bytes)                                               \
	do {                                                      \
		ip += (bytes);                                    \
		MUSTTAIL return HANDLER_AT(ip)(ARGUMENTS);        \
	} while (0)
#define GO(name)                                                  \
	do {                                                      \
		MUSTTAIL return h0_##name(ARGUMENTS);             \
	} while (0)
#define TRAP(name)                                                \
	do {                                                      \
		acc = WASM_TRAP_##name;                           \
		GO(trap);                                         \
	} while (0)

/* Fuel: before the instruction has done anything, since it is then done once
 * more; or where it goes on. */
#define COUNT_HERE()                                              \
	do {                                                      \
		if (RARE(--context->fuel < 0))                    \
			GO(refill_here);                          \
	} while (0)
#define COUNT_BEHIND()                                            \
	do {                                                      \
		if (RARE(--context->fuel < 0))                    \
			GO(refill_behind);                        \
	} while (0)
#define BRANCH_COUNTED(condition, at, bytes, count)               \
	do {                                                      \
		if (condition) {                                  \
			ip += CONSTANT(s32, at);                  \
			count;                                    \
			NEXT(0);                                  \
		}                                                 \
		APART();                                          \
		NEXT(bytes);                                      \
	} while (0)
#define BRANCH(condition, at, bytes) \
	BRANCH_COUNTED(condition, at, bytes, )
#define BACK(condition, at, bytes) \
	BRANCH_COUNTED(condition, at, bytes, COUNT_BEHIND())
#define JUMP(at)                                                  \
	do {                                                      \
		ip += CONSTANT(s32, at);                          \
		NEXT(0);                                          \
	} while (0)
#define JUMP_BACK(at)                                             \
	do {                                                      \
		ip += CONSTANT(s32, at);                          \
		COUNT_BEHIND();                                   \
		NEXT(0);                                          \
	} while (0)
/* br_table.  The table's entries hold the target's handler beside its
 * distance, so that the two are loaded at once. */
#define CHOOSE(index, count_at, at)                               \
	do {                                                      \
		u64 chosen = (index), most = CONSTANT(u32, count_at); \
		const u8 *entry;                                  \
		chosen = chosen < most ? chosen : most;           \
		entry = ip + (at) + chosen * 12;                  \
		ip += *(const s32_any *)(entry + 8);              \
		MUSTTAIL return HANDLER_AT(entry)(ARGUMENTS);     \
	} while (0)

/* Memory.  An access in a guarded memory is not checked. */
#define PLACE(index, offset, width) (memory + (u64)(index) + (offset))
#ifdef __clang__
#define KEEP_PLACE() \
	__asm__ volatile("" : : "r"(ip), "r"(frame), "r"(context))
#else /* what is accessed before is so while ip is what it was */
#define KEEP_PLACE() __asm__ volatile("" : "+r"(ip) : : "memory")
#endif
#define CHECKED(index, offset, width, memory_at)                  \
	struct wasm_memory *far = context->memories[CONSTANT(u32, memory_at)]; \
	u64 far_at, far_bytes = __atomic_load_n(&far->bytes,      \
						__ATOMIC_RELAXED); \
	if (RARE(__builtin_add_overflow((u64)(index), offset, &far_at) || \
		 far_at > far_bytes || far_bytes - far_at < (width))) \
		TRAP(memory_bounds);                              \
	u8 *p = far->base + far_at
#define ALIGNED(index, offset, width, memory_at)                  \
	CHECKED(index, offset, width, memory_at);                 \
	if (RARE(far_at & ((width)-1)))                           \
		TRAP(unaligned_atomic)

#define GLOBAL_OWN(type, at) \
	(*(type##_slot *)((u8 *)context + CONSTANT(u32, at)))
#define GLOBAL_IMPORTED(type, at) \
	(*(type##_slot *)&context->imported_globals[CONSTANT(u32, at)]->value)

/* Calls. */
#define FRAME_BYTES(entry) (*(const u32_any *)((entry) - CODE_HEADER))
#define ENTER(code, to, back)                                     \
	do {                                                      \
		const u8 *entry = __atomic_load_n(&(code)->entry, \
						  __ATOMIC_ACQUIRE); \
		u8 *callee = (to);                                \
		struct save *save = (struct save *)(callee +      \
						    (code)->save_bytes); \
		if (RARE(callee + FRAME_BYTES(entry) >            \
			 context->stack_limit))                   \
			TRAP(stack);                              \
		save->ip = (back);                                \
		save->frame = frame;                              \
		frame = callee;                                   \
		ip = entry;                                       \
		NEXT(0);                                          \
	} while (0)
/* A function that may be of another instance, or a host's: acc is the
 * function, memory the place of its arguments, ip where to return. */
#define CALL_FUNCTION(function, to, bytes)                        \
	do {                                                      \
		const struct wasm_function *called = (function);  \
		if (RARE(called->instance != context)) {          \
			acc = (u64)called;                        \
			memory = frame + (to);                    \
			ip += (bytes);                            \
			GO(call_away);                            \
		}                                                 \
		ENTER(called->code, frame + (to), ip + (bytes));  \
	} while (0)
#define CALL_INDIRECT(index, table_at, type_at, to_at, bytes)     \
	do {                                                      \
		COUNT_HERE();                                     \
		const struct wasm_table *table =                  \
			context->tables[CONSTANT(u32, table_at)]; \
		u64 chosen = (index);                             \
		if (RARE(chosen >= table->length))                \
			TRAP(undefined_element);                  \
		const struct wasm_function *element =             \
			(const struct wasm_function *)table->elems[chosen]; \
		if (RARE(!element))                               \
			TRAP(uninitialized_element);              \
		if (RARE(element->type != CONSTANT(u32, type_at))) { \
			acc = (u64)element;                       \
			GO(call_subtype);                         \
		}                                                 \
		CALL_FUNCTION(element, CONSTANT(u32, to_at), bytes); \
	} while (0)
/* A single result, for whoever takes it from its accumulator. */
#define LOAD_ALL(slot)                                            \
	do {                                                      \
		acc = *(u64_slot *)(slot);                        \
		acc_d = *(double_slot *)(slot);                   \
		acc_f = *(float_slot *)(slot);                    \
		acc_v = *(v128_slot *)(slot);                     \
	} while (0)
#define RETURN(at)                                                \
	do {                                                      \
		const struct save *save =                         \
			(const struct save *)(frame + CONSTANT(u32, at)); \
		ip = save->ip;                                    \
		frame = save->frame;                              \
		NEXT(0);                                          \
	} while (0)
/* clang-format on */

#define HANDLER(name)		       HANDLER_NUMBERED(name, REPLICA)
#define HANDLER_NUMBERED(name, number) HANDLER_NAMED(name, number)
#define HANDLER_NAMED(name, number)                                      \
	HOT_SECTION static CONVENTION enum wasm_trap h##number##_##name( \
		PARAMETERS)
#define COLD(name) \
	COLD_SECTION static CONVENTION enum wasm_trap h0_##name(PARAMETERS)

COLD(trap);
COLD(refill_here);
COLD(refill_behind);
COLD(call_away);
COLD(call_subtype);

/* Several of each of the frequent ones, handed out in turn as code is made:
 * a jump that mostly goes to one place is foreseen better. */
#ifndef REPLICAS
#define REPLICAS 4
#endif
#if REPLICAS > 1
#define REPLICA 1
#include "wasm/handlers_hot.h"
#undef REPLICA
#endif
#if REPLICAS > 2
#define REPLICA 2
#include "wasm/handlers_hot.h"
#undef REPLICA
#define REPLICA 3
#include "wasm/handlers_hot.h"
#undef REPLICA
#endif
#define REPLICA 0
#include "wasm/handlers_hot.h"
#include "wasm/handlers_once.h"

/* acc: an enum wasm_trap. */
COLD(trap)
{
	struct wasm_store *store = context->store;

	store->stop_ip = ip;
	store->stop_frame = frame;
	store->stop_instance = context;
	return (enum wasm_trap)acc;
}

/* The fault handler sends threads here. */
COLD(fault)
{
	TRAP(memory_bounds);
}

HANDLER(unreachable)
{
	TRAP(unreachable);
}

/* Where the outermost frame returns to. */
COLD(finish)
{
	return WASM_OK;
}

COLD(refill_here)
{
	enum wasm_trap trap = wasm_interp_refill(context, 0);

	if (trap) {
		acc = trap;
		GO(trap);
	}
	NEXT(0);
}

COLD(refill_behind)
{
	enum wasm_trap trap = wasm_interp_refill(context, 1);

	if (trap) {
		acc = trap;
		GO(trap);
	}
	NEXT(0);
}

/* wasm_code.stub: ip points into the struct. */
COLD(translate)
{
	struct wasm_code *code =
		(struct wasm_code *)(ip - offsetof(struct wasm_code, stub));

	_Static_assert(offsetof(struct wasm_code, stub) -
				       offsetof(struct wasm_code,
						stub_frame_bytes) ==
			       CODE_HEADER,
		       "as before an entry");
	if (wasm_interp_translate(code))
		TRAP(out_of_memory);
	if (frame + FRAME_BYTES(code->entry) > context->stack_limit)
		TRAP(stack);
	ip = code->entry;
	NEXT(0);
}

/* n bytes of zeros: locals. */
COLD(zero)
{
	memset(frame + CONSTANT(u32, 8), 0, CONSTANT(u32, 12));
	NEXT(16);
}

/* Slots to slots: to, from, bytes; they may overlap. */
COLD(move)
{
	memmove(frame + CONSTANT(u32, 8), frame + CONSTANT(u32, 12),
		CONSTANT(u32, 16));
	NEXT(20);
}

COLD(out_of_line)
{
	acc = CONSTANT(out_of_line_pointer, 8)(context, frame, ip);
	if (RARE(acc))
		GO(trap);
	NEXT(CONSTANT(u32, 16));
}

COLD(fence)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	NEXT(8);
}

static inline u8 *memory_of(const struct wasm_instance *instance)
{
	return instance->module->memory_count ? instance->memories[0]->base
					      : NULL;
}

/* A host's function is called here and now; a function of another instance
 * gets a struct restore below its frame. */
COLD(call_away)
{
	struct wasm_function *function = (struct wasm_function *)acc;
	const u8 *back = ip--;
	u8 *to = memory;

	memory = memory_of(context);
	if (function->host) {
		acc = wasm_interp_call_host(context, function, to);
		if (RARE(acc))
			GO(trap);
		ip = back;
		LOAD_ALL(to);
		NEXT(0);
	}
	if (function->instance == context)
		ENTER(function->code, to, back);
	ip = wasm_interp_push_restore(context, function, to,
				      (struct save){ back, frame });
	if (RARE(!ip)) {
		ip = back - 1;
		TRAP(stack);
	}
	frame = to + sizeof(struct restore);
	context = wasm_interp_switch(context, function->instance);
	memory = memory_of(context);
	NEXT(0);
}

/* The callee has returned to its struct restore: results go down to where
 * the caller expects them. */
COLD(restore)
{
	struct restore restore = *(struct restore *)frame;

	memmove(frame, frame + sizeof(restore), restore.result_bytes);
	LOAD_ALL(frame);
	context = wasm_interp_switch(context, restore.context);
	memory = memory_of(context);
	ip = restore.ip;
	frame = restore.frame;
	NEXT(0);
}

enum { CALL_INDIRECT_BYTES = 24 };

/* Of a call_indirect: the function's type is another than the one named. */
COLD(call_subtype)
{
	const struct wasm_function *function =
		(const struct wasm_function *)acc;

	if (!wasm_id_matches(context->store->types, function->type,
			     CONSTANT(u32, 12)))
		TRAP(indirect_type);
	memory = frame + CONSTANT(u32, 16);
	ip += CALL_INDIRECT_BYTES;
	GO(call_away);
}

/* Fields: import, arguments. */
HANDLER(call_import)
{
	COUNT_HERE();
	CALL_FUNCTION(context->imported_functions[CONSTANT(u32, 8)],
		      CONSTANT(u32, 12), 16);
}

/* Fields: reference, arguments. */
HANDLER(call_ref)
{
	const struct wasm_function *function =
		(const struct wasm_function *)SLOT(u64, 8);

	COUNT_HERE();
	if (RARE(!function))
		TRAP(null_function);
	CALL_FUNCTION(function, CONSTANT(u32, 12), 16);
}

/* Tail calls.  Fields of all: arguments, their bytes, own save slot; then
 * what is called.  The arguments go down to the own frame's begin. */
COLD(return_call)
{
	const struct wasm_code *code = CONSTANT(code_pointer, 20);
	struct save back = *(struct save *)(frame + CONSTANT(u32, 16));
	u8 *arguments = frame + CONSTANT(u32, 8);
	/* Once: another thread may put the translation in the stub's place. */
	const u8 *entry = __atomic_load_n(&code->entry, __ATOMIC_ACQUIRE);

	COUNT_HERE();
	if (frame + FRAME_BYTES(entry) > context->stack_limit)
		TRAP(stack);
	memmove(frame, arguments, CONSTANT(u32, 12));
	ip = entry;
	*(struct save *)(frame + code->save_bytes) = back;
	NEXT(0);
}

/* acc: a function.  Of a host it is called at once; of another instance it
 * needs a struct restore, unless the own caller is one already. */
COLD(return_call_function)
{
	struct wasm_function *function = (struct wasm_function *)acc;
	struct save back = *(struct save *)(frame + CONSTANT(u32, 16));
	u8 *arguments = frame + CONSTANT(u32, 8);
	struct tail tail;

	if (function->host) {
		acc = wasm_interp_call_host(context, function, arguments);
		if (RARE(acc))
			GO(trap);
		memmove(frame, arguments,
			wasm_interp_result_bytes(context, function));
		LOAD_ALL(frame);
		ip = back.ip;
		frame = back.frame;
		NEXT(0);
	}
	tail = wasm_interp_tail(context, function, ip, frame);
	if (RARE(!tail.entry))
		TRAP(stack);
	ip = tail.entry;
	frame = tail.frame;
	context = wasm_interp_switch(context, function->instance);
	memory = memory_of(context);
	NEXT(0);
}

COLD(return_call_import)
{
	COUNT_HERE();
	acc = (u64)context->imported_functions[CONSTANT(u32, 20)];
	GO(return_call_function);
}

COLD(return_call_ref)
{
	COUNT_HERE();
	acc = SLOT(u64, 20);
	if (!acc)
		TRAP(null_function);
	GO(return_call_function);
}

/* Table, type, index, is the index 64 bits wide? */
COLD(return_call_indirect)
{
	const struct wasm_table *table = context->tables[CONSTANT(u32, 20)];
	u64 chosen = CONSTANT(u32, 32) ? SLOT(u64, 28) : SLOT(u32, 28);
	const struct wasm_function *element;

	COUNT_HERE();
	if (chosen >= table->length)
		TRAP(undefined_element);
	element = (const struct wasm_function *)table->elems[chosen];
	if (!element)
		TRAP(uninitialized_element);
	if (element->type != CONSTANT(u32, 24) &&
	    !wasm_id_matches(context->store->types, element->type,
			     CONSTANT(u32, 24)))
		TRAP(indirect_type);
	acc = (u64)element;
	GO(return_call_function);
}

/* Where each handler is, as its distance from its entry in the table: the
 * table needs no relocation. */
#define STRING(x)     #x
#define ENTRY_0(name) ".long h0_" STRING(name) " - .\n"
#define ENTRY_1(name) ".long h1_" STRING(name) " - .\n"
#define ENTRY_2(name) ".long h2_" STRING(name) " - .\n"
#define ENTRY_3(name) ".long h3_" STRING(name) " - .\n"
/* clang-format off */
__asm__(".pushsection .rodata.wasm_handlers,\"a\",@progbits\n"
	".balign 4\n"
	".hidden wasm_exec_table\n"
	".globl wasm_exec_table\n"
	"wasm_exec_table:\n"
	WASM_HANDLERS_HOT(ENTRY_0)
	WASM_HANDLERS_ONCE(ENTRY_0)
#if REPLICAS > 1
	WASM_HANDLERS_HOT(ENTRY_1)
#endif
#if REPLICAS > 2
	WASM_HANDLERS_HOT(ENTRY_2)
	WASM_HANDLERS_HOT(ENTRY_3)
#endif
	".popsection\n");
/* clang-format on */
extern const int32_t wasm_exec_table[];

const void *wasm_exec_handler(unsigned number, unsigned replica)
{
	unsigned index = number;

	if (number < WASM_HOT_HANDLERS && replica % REPLICAS != 0)
		index += WASM_HANDLERS - WASM_HOT_HANDLERS +
			 replica % REPLICAS * WASM_HOT_HANDLERS;
	return (const u8 *)&wasm_exec_table[index] + wasm_exec_table[index];
}

/* Instructions that are not of any function. */
static handler *const finish_code[] = { h0_finish };
static handler *const restore_code[] = { h0_restore };

const uint8_t *wasm_exec_finish(void)
{
	return (const uint8_t *)finish_code;
}

const uint8_t *wasm_exec_restore(void)
{
	return (const uint8_t *)restore_code;
}

/* Numbers of registers as in wasm_interp_fault. */
#ifdef __clang__
enum { REG_IP = 12, REG_FRAME = 13, REG_CONTEXT = 15 };

enum wasm_trap wasm_exec(const uint8_t *ip, uint8_t *frame,
			 struct wasm_instance *context)
{
	return HANDLER_AT(ip)(ip, frame, memory_of(context), context, 0, 0, 0,
			      (v128){ 0 });
}
#else
enum { REG_IP = 3, REG_FRAME = 14, REG_CONTEXT = 15 };

/* The caller's registers come back. */
enum wasm_trap wasm_exec(const uint8_t *at, uint8_t *first,
			 struct wasm_instance *instance)
{
	const u8 *old_ip = ip;
	u8 *old_frame = frame, *old_memory = memory;
	struct wasm_instance *old_context = context;
	u64 old_acc = acc;
	enum wasm_trap trap;

	ip = at;
	frame = first;
	context = instance;
	memory = memory_of(instance);
	acc = 0;
	trap = HANDLER_AT(ip)(0, 0, (v128){ 0 });
	ip = old_ip;
	frame = old_frame;
	memory = old_memory;
	context = old_context;
	acc = old_acc;
	return trap;
}
#endif

extern const u8 handlers_begin[] __asm__("__start_wasm_handlers");
extern const u8 handlers_end[] __asm__("__stop_wasm_handlers");

bool wasm_exec_is_handler(uint64_t rip)
{
	return rip >= (u64)handlers_begin && rip < (u64)handlers_end;
}

struct wasm_place wasm_exec_place(const uint64_t regs[16])
{
	return (struct wasm_place){
		.ip = (const u8 *)regs[REG_IP],
		.frame = (u8 *)regs[REG_FRAME],
		.context = (struct wasm_instance *)regs[REG_CONTEXT],
	};
}

uint64_t wasm_exec_fault(void)
{
	return (u64)h0_fault;
}

const char *wasm_interp_compiler(void)
{
#ifdef __clang__
	return "clang " __clang_version__;
#else
	return "gcc " __VERSION__;
#endif
}

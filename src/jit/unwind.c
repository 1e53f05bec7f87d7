/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of compiled code: traces of traps, landings of exceptions, and
 * which faults are traps. */
#include "jit/run.h"
#include "wasm/heap.h"
#include "wasm/interp.h"
#include <string.h>

enum { FRAME_FUEL = 8 }; /* of a frame that an exception passes */

/* A frame, and the return address in it. */
struct walk {
	const uint8_t *pc;
	uint8_t *frame;
	struct wasm_instance *context;
	const struct jit_code *code;
	uint32_t own;	 /* which of the module's own functions */
	uint32_t offset; /* of pc in the text */
};

static bool is_in_text(const struct jit_code *code, const uint8_t *pc)
{
	return code && pc >= code->text &&
	       (uint64_t)(pc - code->text) <= code->header->text_bytes;
}

/* The last function that begins before the address. */
static uint32_t find_function(const struct jit_code *code, uint32_t offset)
{
	uint32_t low = 0, high = code->header->function_count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (code->functions[middle].at < offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static struct wasm_instance *find_instance(const struct wasm_store *store,
					   uint64_t context)
{
	struct wasm_instance *instance = store->instances;

	while (instance && (uint64_t)instance != context)
		instance = instance->next;
	return instance;
}

/* Any that has the code where the address is. */
static struct wasm_instance *find_code(const struct wasm_store *store,
				       const uint8_t *pc)
{
	struct wasm_instance *instance = store->instances;

	while (instance && !is_in_text(instance->native, pc))
		instance = instance->next;
	return instance;
}

static bool is_frame(const struct wasm_store *store, const uint8_t *frame)
{
	const uint8_t *end = store->native_base + store->native_bytes;

	return frame >= store->native_stack && frame <= end - 16 &&
	       (uintptr_t)frame % 8 == 0;
}

/* The code and function by the address alone.  The context stays where it has
 * this code; else it is any that has it. */
static bool walk_find(struct walk *walk)
{
	if (!is_in_text(walk->context->native, walk->pc)) {
		struct wasm_instance *other =
			find_code(walk->context->store, walk->pc);

		if (!other)
			return false;
		walk->context = other;
	}
	walk->code = walk->context->native;
	walk->offset = (uint32_t)(walk->pc - walk->code->text);
	walk->own = find_function(walk->code, walk->offset);
	return true;
}

/* A run that was stopped between two instructions of a call may be without its
 * frame: the trace ends there. */
static bool walk_up(struct walk *walk)
{
	const struct wasm_store *store = walk->context->store;
	uint8_t *frame = walk->frame;

	if (!is_frame(store, frame))
		return false;
	memcpy(&walk->pc, frame + 8, sizeof(walk->pc));
	memcpy(&walk->frame, frame, sizeof(walk->frame));
	return is_frame(store, walk->frame) && walk->frame > frame;
}

/* The context that is in the frame; false: there is none. */
static bool walk_context(struct walk *walk)
{
	struct wasm_instance *context;

	memcpy(&context, walk->frame - 8, sizeof(context));
	if (context != walk->context &&
	    !find_instance(walk->context->store, (uint64_t)context))
		return false;
	walk->context = context;
	return true;
}

/* The frames of jit_native_call_other and _block are no function's. */
static bool walk_pass(struct walk *walk)
{
	return (walk->pc != jit_native_call_other_back &&
		walk->pc != jit_native_call_block_back) ||
	       (walk_context(walk) && walk_up(walk));
}

/* Who calls has its context in its frame, unless another compiler has made it:
 * then that is the callee's, or was in the frame that was passed. */
static bool walk_out(struct walk *walk)
{
	if (!walk_up(walk) || !walk_pass(walk) || !walk_find(walk))
		return false;
	if (jit_code_is_made(walk->code, walk->own))
		return true;
	return walk_context(walk) && walk->context->native == walk->code;
}

/* "is_there": the walk's first frame is one. */
static struct walk walk_begin(const struct wasm_store *store,
			      struct wasm_instance *context, bool *is_there)
{
	struct walk walk = { .pc = store->native_pc,
			     .frame = store->native_frame,
			     .context = context };

	*is_there = walk_pass(&walk) && walk_find(&walk);
	return walk;
}

/* The frames of one function, from the first on: it is compiled once for all of
 * them. */
static void find_places(struct wasm_store *store, uint32_t first,
			bool is_found[WASM_TRACE_MOST])
{
	const struct wasm_frame *wanted = &store->trace[first];
	const struct jit_code *code = wanted->instance->native;
	struct jit_place places[WASM_TRACE_MOST];
	uint32_t frames[WASM_TRACE_MOST], count = 0;

	for (uint32_t i = first; i < store->trace_count; i++) {
		const struct wasm_frame *frame = &store->trace[i];

		if (frame->instance->native != code ||
		    frame->function != wanted->function)
			continue;
		is_found[i] = true;
		frames[count] = i;
		places[count++].at = frame->offset;
	}
	jit_places(code, wanted->function, places, count);
	for (uint32_t i = 0; i < count; i++)
		store->trace[frames[i]].offset = places[i].origin;
}

/* First with offsets in the text, then in the module. */
static void trace(struct wasm_store *store, struct wasm_instance *context)
{
	bool is_found[WASM_TRACE_MOST] = { false }, is_there;
	struct walk walk = walk_begin(store, context, &is_there);
	uint32_t first = store->trace_count;

	for (; is_there; is_there = walk_out(&walk))
		wasm_interp_trace(store, walk.context,
				  walk.own +
					  walk.code->module->imported_functions,
				  walk.offset - 1);
	for (uint32_t i = first; i < store->trace_count; i++)
		if (!is_found[i])
			find_places(store, i, is_found);
}

/* So that a run which throws through many frames meets its deadline; as the
 * interpreter counts it. */
static uint32_t frame_fuel(const struct walk *walk)
{
	const struct code_function *function =
		&walk->code->functions[walk->own];

	return FRAME_FUEL + function[1].landing - function->landing;
}

static const struct code_landing *
find_landing(const struct walk *walk, const struct wasm_exception *exception)
{
	const struct code_function *function =
		&walk->code->functions[walk->own];

	for (uint32_t i = function->landing; i < function[1].landing; i++) {
		const struct code_landing *landing = &walk->code->landings[i];

		if (walk->offset > landing->from &&
		    walk->offset <= landing->to &&
		    (landing->tag == CODE_CATCH_ALL ||
		     walk->context->tags[landing->tag] == exception->tag))
			return landing;
	}
	return NULL;
}

/* WASM_OK: it lands.  A run that throws may be so rarely in its code that no
 * signal finds it there: so whether it is to end is asked for each frame. */
static enum wasm_trap land(struct wasm_store *store,
			   struct wasm_instance *context,
			   struct jit_landed *landed)
{
	const struct wasm_exception *exception =
		(const struct wasm_exception *)store->exception;
	const struct code_landing *landing = NULL;
	bool is_there;
	struct walk walk = walk_begin(store, context, &is_there);

	while (is_there) {
		enum wasm_trap ended =
			store->interrupt ? wasm_interp_poll(store) : WASM_OK;

		if (ended)
			return ended;
		landing = find_landing(&walk, exception);
		context->fuel -= frame_fuel(&walk);
		if (landing)
			break;
		is_there = walk_out(&walk);
	}
	if (!landing)
		return WASM_TRAP_thrown;
	*landed = (struct jit_landed){ walk.code->text + landing->target,
				       walk.frame, walk.context,
				       store->exception };
	store->trace_count = store->trace_total = 0;
	return WASM_OK;
}

enum wasm_trap jit_trapped(struct wasm_instance *context, enum wasm_trap trap,
			   struct jit_landed *landed)
{
	struct wasm_store *store = context->store;

	if (trap == WASM_TRAP_thrown) {
		trap = land(store, context, landed);
		if (trap != WASM_TRAP_thrown)
			store->exception = 0;
	}
	if (trap)
		trace(store, context);
	return trap;
}

/* Stops */

bool jit_is_code(const struct wasm_store *store, uint64_t rip)
{
	return find_code(store, (const uint8_t *)rip) != NULL;
}

enum { REGISTER_RAX = 0, REGISTER_RSP = 4, REGISTER_R13 = 13 };

/* As if the instruction had called the trap's stub.  Around a call to another
 * instance r13 may be that one's already. */
bool jit_stop(struct wasm_store *store, uint64_t regs[16], uint64_t *rip,
	      enum wasm_trap trap)
{
	const struct wasm_instance *context =
		find_instance(store, regs[REGISTER_R13]);
	uint64_t rsp = regs[REGISTER_RSP], back = *rip + 1;

	if (!context || !is_in_text(context->native, (const uint8_t *)*rip))
		context = find_code(store, (const uint8_t *)*rip);
	if (!context || rsp < (uint64_t)store->native_base + 4096 ||
	    rsp > (uint64_t)store->native_base + store->native_bytes)
		return false;
	rsp -= sizeof(back);
	memcpy((void *)rsp, &back, sizeof(back));
	regs[REGISTER_RSP] = rsp;
	regs[REGISTER_RAX] = trap;
	regs[REGISTER_R13] = (uint64_t)context;
	*rip = (uint64_t)jit_native_trap;
	return true;
}

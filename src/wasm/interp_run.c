/* SPDX-License-Identifier: Apache-2.0 */
/* Running: into code and out of it, host functions, other instances, fuel;
 * and what happens when code stops: traces, exceptions, faults. */
#include "wasm/heap.h"
#include "wasm/interp_internal.h"
#include <string.h>

enum {
	FRAME_FUEL = 8, /* of a frame that an exception passes */
};

/* Fuel.  A limited store's fuel is in store->fuel_left, but for the slice
 * that the running context has. */

int64_t wasm_interp_take_fuel(struct wasm_store *store, int64_t most)
{
	int64_t taken = most;

	if (store->fuel_left < 0)
		return most;
	if (taken < 0)
		taken = 0;
	if (taken > store->fuel_left)
		taken = store->fuel_left;
	store->fuel_left -= taken;
	return taken;
}

void wasm_interp_give_fuel(struct wasm_store *store,
			   struct wasm_instance *context)
{
	if (store->fuel_left >= 0) {
		store->fuel_left += context->fuel;
		if (store->fuel_left < 0)
			store->fuel_left = 0;
	}
	context->fuel = 0;
}

enum wasm_trap wasm_interp_poll(struct wasm_store *store)
{
	const struct wasm_host *host = store->host;
	uint32_t interrupt = store->interrupt;

	if (interrupt)
		__atomic_fetch_and(&store->interrupt, ~interrupt,
				   __ATOMIC_RELAXED);
	if (interrupt & WASM_INTERRUPT)
		return WASM_TRAP_interrupted;
	return host->poll ? (enum wasm_trap)host->poll(host->env, store)
			  : WASM_OK;
}

enum wasm_trap wasm_interp_refill(struct wasm_instance *context, int64_t owed)
{
	enum wasm_trap trap;
	int64_t slice;

	context->fuel++; /* what is counted now is still to be taken */
	wasm_interp_give_fuel(context->store, context);
	trap = wasm_interp_poll(context->store);
	if (trap)
		return trap;
	slice = wasm_interp_take_fuel(context->store, WASM_SLICE);
	if (slice < 1)
		return WASM_TRAP_fuel;
	context->fuel = slice - owed;
	return WASM_OK;
}

struct wasm_instance *wasm_interp_switch(struct wasm_instance *from,
					 struct wasm_instance *to)
{
	int64_t fuel = from->fuel;

	from->fuel = 0;
	to->fuel = fuel;
	to->stack_limit = from->stack_limit;
	return to;
}

/* Calls */

static const struct wasm_deftype *type_of(const struct wasm_store *store,
					  const struct wasm_function *function)
{
	return wasm_types_get(store->types, function->type);
}

static uint64_t slots_of(const struct wasm_deftype *type)
{
	return type->param_count > type->result_count ? type->param_count
						      : type->result_count;
}

uint64_t wasm_interp_result_bytes(const struct wasm_instance *context,
				  const struct wasm_function *function)
{
	return (uint64_t)type_of(context->store, function)->result_count *
	       SLOT_BYTES;
}

void wasm_interp_trace(struct wasm_store *store, struct wasm_instance *instance,
		       uint32_t function, uint32_t offset)
{
	if (store->trace_count < WASM_TRACE_MOST)
		store->trace[store->trace_count++] =
			(struct wasm_frame){ instance, function, offset };
	store->trace_total++;
}

static void forget_trace(struct wasm_store *store)
{
	store->trace_count = store->trace_total = 0;
}

/* The trace is empty while code runs: what a host function's failed calls
 * left in it counts only when the host function fails too.  Compiled code has
 * made its own. */
enum wasm_trap wasm_interp_host(struct wasm_instance *context,
				struct wasm_function *function,
				union wasm_value *slots)
{
	struct wasm_store *store = context->store;
	int64_t slice = context->fuel;
	bool is_limited = store->fuel_left >= 0;
	enum wasm_trap trap;

	if (is_limited)
		wasm_interp_give_fuel(store, context);
	trap = function->host(store, function, context, slots);
	context->fuel =
		is_limited ? wasm_interp_take_fuel(store, slice) : slice;
	if (!trap)
		forget_trace(store);
	else if (!function->instance)
		wasm_interp_trace(store, NULL, function->index, 0);
	return trap;
}

enum wasm_trap wasm_interp_call_host(struct wasm_instance *context,
				     struct wasm_function *function,
				     uint8_t *slots)
{
	uint8_t *end = slots +
		       slots_of(type_of(context->store, function)) * SLOT_BYTES;

	if (end > context->stack_limit)
		return WASM_TRAP_stack;
	context->store->stack_top = end;
	return wasm_interp_host(context, function, (union wasm_value *)slots);
}

/* Is there room for the callee's frame: a stub's goes up to its save slot. */
static const uint8_t *entry_that_fits(const struct wasm_instance *context,
				      const struct wasm_code *code,
				      const uint8_t *frame)
{
	const uint8_t *entry = __atomic_load_n(&code->entry, __ATOMIC_ACQUIRE);
	uint32_t frame_bytes;

	memcpy(&frame_bytes, entry - CODE_HEADER, sizeof(frame_bytes));
	return frame + frame_bytes > context->stack_limit ? NULL : entry;
}

/* The callee's frame is known to fit. */
static void put_restore(struct wasm_instance *context,
			const struct wasm_function *function, uint8_t *to,
			struct save back)
{
	const struct wasm_deftype *type = type_of(context->store, function);
	uint8_t *frame = to + sizeof(struct restore);

	memmove(frame, to, (size_t)type->param_count * SLOT_BYTES);
	*(struct restore *)to =
		(struct restore){ .ip = back.ip,
				  .frame = back.frame,
				  .context = context,
				  .result_bytes = (uint64_t)type->result_count *
						  SLOT_BYTES };
	*(struct save *)(frame + function->code->save_bytes) =
		(struct save){ wasm_exec_restore(), to };
}

const uint8_t *wasm_interp_push_restore(struct wasm_instance *context,
					const struct wasm_function *function,
					uint8_t *to, struct save back)
{
	const uint8_t *entry = entry_that_fits(context, function->code,
					       to + sizeof(struct restore));

	if (entry)
		put_restore(context, function, to, back);
	return entry;
}

/* The fields of a tail call: arguments, their bytes, own save slot. */
struct tail_fields {
	uint32_t arguments, bytes, save;
};

static const uint8_t *tail_inside(struct wasm_instance *context,
				  const struct wasm_function *function,
				  const struct tail_fields *fields,
				  uint8_t *frame)
{
	const struct wasm_code *code = function->code;
	struct save back = *(struct save *)(frame + fields->save);
	const uint8_t *entry = entry_that_fits(context, code, frame);

	if (!entry)
		return NULL;
	memmove(frame, frame + fields->arguments, fields->bytes);
	*(struct save *)(frame + code->save_bytes) = back;
	return entry;
}

/* Within an instance, or where the caller is a restore already, the frame is
 * simply taken over.  Else the own frame becomes a restore, with the callee's
 * frame behind it. */
struct tail wasm_interp_tail(struct wasm_instance *context,
			     const struct wasm_function *function,
			     const uint8_t *ip, uint8_t *frame)
{
	struct tail tail = { .frame = frame };
	struct tail_fields fields;
	struct save back;

	memcpy(&fields, ip + 8, sizeof(fields));
	back = *(struct save *)(frame + fields.save);
	if (function->instance == context || back.ip == wasm_exec_restore()) {
		tail.entry = tail_inside(context, function, &fields, frame);
		return tail;
	}
	/* Asked once: another thread may be about to translate it. */
	tail.entry = entry_that_fits(context, function->code,
				     frame + sizeof(struct restore));
	if (!tail.entry)
		return tail;
	memmove(frame, frame + fields.arguments, fields.bytes);
	put_restore(context, function, frame, back);
	tail.frame += sizeof(struct restore);
	return tail;
}

/* Frames, from the innermost outwards */

struct walk {
	struct wasm_place place;
	const struct wasm_code *code;
	bool is_first;
};

static void walk_find(struct walk *walk)
{
	walk->code =
		wasm_interp_find(walk->place.context->module, walk->place.ip);
}

static struct walk walk_begin(const struct wasm_store *store)
{
	struct walk walk = {
		.place = { store->stop_ip, store->stop_frame,
			   store->stop_instance },
	};

	walk_find(&walk);
	return walk;
}

/* Where the frame's function will go on is behind its call: the byte before
 * that is the call's. */
static bool walk_out(struct walk *walk)
{
	struct wasm_place *place = &walk->place;
	const struct save *save =
		(const struct save *)(place->frame + walk->code->save_bytes);

	place->ip = save->ip;
	place->frame = save->frame;
	if (place->ip == wasm_exec_restore()) {
		const struct restore *restore =
			(const struct restore *)place->frame;

		place->context = restore->context;
		place->ip = restore->ip;
		place->frame = restore->frame;
	}
	if (place->ip == wasm_exec_finish())
		return false;
	place->ip--;
	walk_find(walk);
	return true;
}

static void trace(struct wasm_store *store)
{
	struct walk walk = walk_begin(store);

	do
		wasm_interp_trace(
			store, walk.place.context, walk.code->function,
			store->trace_count < WASM_TRACE_MOST
				? wasm_interp_offset(walk.code, walk.place.ip)
				: 0);
	while (walk_out(&walk));
}

static bool lands(const struct landing *landing, uint32_t at,
		  const struct wasm_exception *exception,
		  const struct wasm_instance *context)
{
	return at >= landing->from && at < landing->to &&
	       (landing->tag == LANDING_ALL ||
		context->tags[landing->tag] == exception->tag);
}

static const struct landing *
find_landing(const struct walk *walk, const struct wasm_exception *exception)
{
	const struct places *places = walk->code->places;
	uint32_t at = (uint32_t)(walk->place.ip - walk->code->entry);

	for (uint32_t i = 0; places && i < places->landing_count; i++)
		if (lands(&places->landings[i], at, exception,
			  walk->place.context))
			return &places->landings[i];
	return NULL;
}

static void land(struct walk *walk, const struct landing *landing,
		 const struct wasm_exception *exception)
{
	union wasm_value *slot =
		(union wasm_value *)(walk->place.frame + landing->slot);
	uint32_t count =
		landing->tag == LANDING_ALL ? 0 : exception->object.length;

	memcpy(slot, exception->values, count * sizeof(*slot));
	if (landing->with_ref)
		slot[count].i64 = (uint64_t)exception;
	walk->place.ip = walk->code->entry + landing->target;
}

/* So that a run which throws through many frames meets its deadline. */
static uint32_t frame_fuel(const struct walk *walk)
{
	const struct places *places = walk->code->places;

	return FRAME_FUEL + (places ? places->landing_count : 0);
}

/* Goes to the clause that catches store->exception; false: there is none in
 * this run. */
static bool unwind(struct wasm_store *store, struct wasm_place *place)
{
	const struct wasm_exception *exception =
		(const struct wasm_exception *)store->exception;
	struct walk walk = walk_begin(store);
	const struct landing *landing;

	do {
		landing = find_landing(&walk, exception);
		store->stop_instance->fuel -= frame_fuel(&walk);
	} while (!landing && walk_out(&walk));
	if (!landing)
		return false;
	land(&walk, landing, exception);
	if (walk.place.context != store->stop_instance)
		wasm_interp_switch(store->stop_instance, walk.place.context);
	store->exception = 0;
	forget_trace(store);
	*place = walk.place;
	return true;
}

/* Runs */

static enum wasm_trap run(struct wasm_store *store, struct wasm_place place)
{
	enum wasm_trap trap;

	do {
		trap = wasm_exec(place.ip, place.frame, place.context);
		if (!trap)
			return WASM_OK;
	} while (trap == WASM_TRAP_thrown && unwind(store, &place));
	trace(store);
	return trap;
}

static enum wasm_trap run_code(struct wasm_store *store,
			       struct wasm_function *function, uint8_t *frame)
{
	struct wasm_instance *context = function->instance;
	struct wasm_place place = { .frame = frame, .context = context };
	enum wasm_trap trap;

	context->stack_limit = store->stack_end;
	place.ip = entry_that_fits(context, function->code, frame);
	if (!place.ip || store->depth >= WASM_DEPTH_MOST)
		return WASM_TRAP_stack;
	*(struct save *)(frame + function->code->save_bytes) =
		(struct save){ wasm_exec_finish(), NULL };
	context->fuel = wasm_interp_take_fuel(store, WASM_SLICE);
	store->depth++;
	trap = run(store, place);
	store->depth--;
	wasm_interp_give_fuel(store, trap ? store->stop_instance : context);
	return trap;
}

enum wasm_trap wasm_interp_run(struct wasm_store *store,
			       struct wasm_function *function,
			       union wasm_value *frame)
{
	enum wasm_trap trap;

	forget_trace(store);
	if (!function->host)
		return run_code(store, function, (uint8_t *)frame);
	trap = function->host(store, function, NULL, frame);
	if (trap && !function->instance)
		wasm_interp_trace(store, NULL, function->index, 0);
	return trap;
}

/* 32-bit results may have anything above them in their slots. */
static union wasm_value result_of(union wasm_value slot, wasm_type type)
{
	if (type == WASM_I32 || type == WASM_F32)
		slot.i64 = slot.i32;
	if (type != WASM_V128)
		slot.words[1] = 0;
	return slot;
}

enum wasm_trap wasm_call(struct wasm_store *store,
			 struct wasm_function *function,
			 const union wasm_value *arguments,
			 union wasm_value *results)
{
	const struct wasm_deftype *type = type_of(store, function);
	uint8_t *top = store->stack_top;
	union wasm_value *frame = (union wasm_value *)top;
	enum wasm_trap trap;

	if ((uint64_t)(store->stack_end - top) < slots_of(type) * SLOT_BYTES)
		return WASM_TRAP_stack;
	if (type->param_count)
		memcpy(frame, arguments, type->param_count * sizeof(*frame));
	store->stack_top = (uint8_t *)(frame + slots_of(type));
	trap = wasm_interp_run(store, function, frame);
	store->stack_top = top;
	for (uint32_t i = 0; !trap && i < type->result_count; i++)
		results[i] = result_of(frame[i], type->results[i]);
	return trap;
}

/* Faults */

static bool is_instance(const struct wasm_store *store,
			const struct wasm_instance *context)
{
	const struct wasm_instance *instance = store->instances;

	while (instance && instance != context)
		instance = instance->next;
	return instance != NULL;
}

bool wasm_interp_fault(struct wasm_store *store, uint64_t regs[16],
		       uint64_t *rip)
{
	struct wasm_place place;

	if (!wasm_exec_is_handler(*rip))
		return false;
	place = wasm_exec_place(regs);
	if (place.frame < store->stack || place.frame >= store->stack_end ||
	    !is_instance(store, place.context) ||
	    !wasm_interp_is_code(place.context->module, place.ip))
		return false;
	*rip = wasm_exec_fault();
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Traps and frames of the C API.  A trap is a reference of its own that holds
 * its message and its frames, so that it outlives the call and the store.
 *
 * NULL is success, so that no trap may be lost for want of memory: each store
 * has a spare one from its start, which any number of handles may be of. */
#include "lib/wasm_api.h"
#include <stdlib.h>

struct wasm_frame_t {
	wasm_ref_t *instance; /* held */
	uint32_t function;
	size_t function_offset, module_offset;
};

struct wasm_trap_t {
	wasm_ref_t ref;
	wasm_byte_vec_t message;
	wasm_frame_vec_t frames; /* innermost first */
	wasm_ref_t *thrown;	 /* the exception that nobody caught */
};

/* It holds its store while somebody holds it. */
static wasm_trap_t *trap_spare(wasm_store_t *store)
{
	struct wasm_trap_t *spare = store->spare;

	if (!spare->ref.holds++)
		api_store_hold(store);
	return spare;
}

wasm_trap_t *api_trap_spare_new(wasm_store_t *store)
{
	static const char text[] = "no memory for a trap";
	struct wasm_trap_t *spare = calloc(1, sizeof *spare);

	if (!spare)
		return NULL;
	wasm_byte_vec_new(&spare->message, sizeof text, text);
	spare->ref.what = API_THING_TRAP;
	spare->ref.store = store;
	spare->ref.thing = spare;
	if (spare->message.data)
		return spare;
	free(spare);
	return NULL;
}

void api_trap_spare_free(wasm_trap_t *spare)
{
	wasm_byte_vec_delete(&spare->message);
	free(spare);
}

static wasm_trap_t *trap_make(wasm_store_t *store, const char *text, size_t len)
{
	struct wasm_trap_t *trap = calloc(1, sizeof *trap);

	if (!trap)
		return trap_spare(store);
	api_ref_init(&trap->ref, store, API_THING_TRAP, trap);
	wasm_byte_vec_new_uninitialized(&trap->message, len + 1);
	if (trap->message.data && len)
		memcpy(trap->message.data, text, len);
	return trap;
}

wasm_trap_t *api_trap(wasm_store_t *store, const char *message)
{
	return trap_make(store, message, strlen(message));
}

/* The 0 at the end may be there or not. */
wasm_trap_t *wasm_trap_new(wasm_store_t *store, const wasm_message_t *message)
{
	size_t len = message ? message->size : 0;

	if (len && !message->data[len - 1])
		len--;
	return trap_make(store, len ? message->data : "", len);
}

void api_trap_free(wasm_ref_t *ref)
{
	struct wasm_trap_t *trap = (struct wasm_trap_t *)ref;

	wasm_byte_vec_delete(&trap->message);
	wasm_frame_vec_delete(&trap->frames);
	api_ref_drop(trap->thrown);
}

void wasm_trap_message(const wasm_trap_t *trap, wasm_message_t *out)
{
	wasm_byte_vec_copy(out, &trap->message);
}

wasm_frame_t *wasm_trap_origin(const wasm_trap_t *trap)
{
	return trap->frames.size ? wasm_frame_copy(trap->frames.data[0]) : NULL;
}

void wasm_trap_trace(const wasm_trap_t *trap, wasm_frame_vec_t *out)
{
	wasm_frame_vec_copy(out, &trap->frames);
}

/* Frames */

static wasm_frame_t *frame_of(wasm_store_t *store,
			      const struct wasm_frame *from)
{
	const struct wasm_module *module = from->instance->module;
	const uint8_t *body = module->functions[from->function].body;
	struct wasm_frame_t *frame = calloc(1, sizeof *frame);

	if (!frame)
		return NULL;
	frame->instance = api_ref_to(store, API_THING_INSTANCE, from->instance);
	frame->function = from->function;
	frame->module_offset = from->offset;
	frame->function_offset = from->offset - (size_t)(body - module->bytes);
	return frame;
}

/* The core's trace behind the frames that the trap has. */
static void trap_trace(wasm_trap_t *trap)
{
	wasm_store_t *store = trap->ref.store;
	const struct wasm_store *core = store->core;
	wasm_frame_vec_t *frames = &trap->frames;
	wasm_frame_t **data =
		realloc(frames->data,
			(frames->size + core->trace_count + 1) * sizeof *data);

	if (!data)
		return;
	frames->data = data;
	for (uint32_t i = 0; i < core->trace_count; i++) {
		if (!core->trace[i].instance)
			continue;
		data[frames->size] = frame_of(store, &core->trace[i]);
		if (data[frames->size])
			frames->size++;
	}
}

/* What a host function returned, unless code has caught it since. */
static wasm_trap_t *trap_on_its_way(wasm_store_t *store, enum wasm_trap number)
{
	wasm_trap_t *trap = store->trap;
	bool is_same = number == WASM_TRAP_host;

	store->trap = NULL;
	if (trap && number == WASM_TRAP_thrown && trap->thrown)
		is_same = (wasm_ref)(uintptr_t)trap->thrown->thing ==
			  store->core->exception;
	if (is_same)
		return trap;
	wasm_trap_delete(trap);
	return NULL;
}

wasm_trap_t *api_trap_of_core(wasm_store_t *store, enum wasm_trap number)
{
	struct wasm_store *core = store->core;
	wasm_trap_t *trap = trap_on_its_way(store, number);

	if (!trap)
		trap = api_trap(store, wasm_trap_text(number));
	if (trap == store->spare)
		return trap;
	if (number == WASM_TRAP_thrown && core->exception && !trap->thrown)
		trap->thrown = api_ref_to(store, API_THING_THROWN,
					  (void *)(uintptr_t)core->exception);
	trap_trace(trap);
	return trap;
}

/* An exception that comes back to code is one again. */
enum wasm_trap api_trap_raise(wasm_store_t *store, wasm_trap_t *trap)
{
	const wasm_ref_t *thrown = trap->thrown;

	if (store->trap)
		wasm_trap_delete(store->trap);
	store->trap = trap;
	/* The trap has its frames; those around it come behind them. */
	store->core->trace_count = store->core->trace_total = 0;
	if (!thrown || thrown->store != store || !thrown->thing)
		return WASM_TRAP_host;
	store->core->exception = (wasm_ref)(uintptr_t)thrown->thing;
	return WASM_TRAP_thrown;
}

void wasm_frame_delete(wasm_frame_t *frame)
{
	if (!frame)
		return;
	api_ref_drop(frame->instance);
	free(frame);
}

wasm_frame_t *wasm_frame_copy(const wasm_frame_t *frame)
{
	struct wasm_frame_t *copy = malloc(sizeof *copy);

	if (!copy)
		return NULL;
	*copy = *frame;
	api_ref_hold(copy->instance);
	return copy;
}

struct wasm_instance_t *wasm_frame_instance(const wasm_frame_t *frame)
{
	return (struct wasm_instance_t *)frame->instance;
}

uint32_t wasm_frame_func_index(const wasm_frame_t *frame)
{
	return frame->function;
}

size_t wasm_frame_func_offset(const wasm_frame_t *frame)
{
	return frame->function_offset;
}

size_t wasm_frame_module_offset(const wasm_frame_t *frame)
{
	return frame->module_offset;
}

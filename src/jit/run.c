/* SPDX-License-Identifier: Apache-2.0 */
/* Into compiled code and out of it: arguments between slots and registers,
 * instances bound to their code. */
#include "jit/run.h"
#include "jit/compile.h"
#include "wasm/interp.h"
#include "wasm/store.h"

#define AT(type, field, at) \
	_Static_assert(offsetof(struct type, field) == (at), #field)
AT(wasm_instance, fuel, INSTANCE_FUEL);
AT(wasm_instance, store, INSTANCE_STORE);
AT(wasm_instance, native_limit, INSTANCE_NATIVE_LIMIT);
AT(wasm_instance, memory_base, INSTANCE_MEMORY_BASE);
AT(wasm_store, interrupt, STORE_INTERRUPT);
AT(wasm_store, native_stack, STORE_NATIVE_STACK);
AT(wasm_store, native_frame, STORE_NATIVE_FRAME);
AT(wasm_store, native_pc, STORE_NATIVE_PC);
AT(wasm_store, thread_stack, STORE_THREAD_STACK);
AT(wasm_store, native_base, STORE_NATIVE_BASE);
AT(wasm_function, instance, FUNCTION_INSTANCE);
AT(wasm_function, native, FUNCTION_NATIVE);
AT(jit_entry, code, ENTRY_CODE);
AT(jit_entry, context, ENTRY_CONTEXT);
AT(jit_entry, stack, ENTRY_STACK);
AT(jit_entry, general, ENTRY_GENERAL);
AT(jit_entry, result, ENTRY_RESULT);
AT(jit_entry, vector, ENTRY_VECTOR);
AT(jit_arguments, general, ARGUMENTS_GENERAL);
AT(jit_arguments, result, ARGUMENTS_RESULT);
AT(jit_arguments, vector, ARGUMENTS_VECTOR);
AT(jit_landed, pc, LANDED_PC);
AT(jit_landed, frame, LANDED_FRAME);
AT(jit_landed, context, LANDED_CONTEXT);
AT(jit_landed, exception, LANDED_EXCEPTION);
AT(jit_block, code, BLOCK_CODE);
AT(jit_block, function, BLOCK_FUNCTION);
AT(jit_block, context, BLOCK_CONTEXT);
AT(jit_block, arguments, BLOCK_ARGUMENTS);
AT(jit_block, bytes, BLOCK_BYTES);
AT(jit_block, result, BLOCK_RESULT);
AT(jit_block, general, BLOCK_GENERAL);
AT(jit_block, vector, BLOCK_VECTOR);
AT(jit_block, stack, BLOCK_STACK);
_Static_assert(sizeof(struct jit_arguments) == ARGUMENTS_BYTES, "size");
_Static_assert(sizeof(struct jit_landed) == LANDED_BYTES, "size");
_Static_assert(WASM_TRAP_stack == TRAP_STACK, "trap");

const void *const jit_native_call = (const void *)jit_native_call_host;

/* Values: 32 bits have zeros above them in registers and on the stack. */

static uint64_t word_of(const union wasm_value *slot, unsigned type)
{
	return type == T_I32 || type == T_F32 ? slot->i32 : slot->i64;
}

static void slot_set(union wasm_value *slot, uint64_t word, unsigned type)
{
	slot->words[0] = type == T_I32 || type == T_F32 ? (uint32_t)word : word;
	slot->words[1] = 0;
}

/* Where an argument is: a register's image, or on the stack. */
struct images {
	uint64_t *general;
	wasm_v128 *vector;
	uint8_t *stack;
};

static void *image_of(const struct images *images,
		      struct argument_places *places, unsigned type)
{
	unsigned general = places->general, vector = places->vector;
	uint32_t offset;

	if (jit_argument_next(places, type, &offset) == NO_REG)
		return images->stack + offset;
	return file_of(type) == GENERAL ? (void *)&images->general[general]
					: (void *)&images->vector[vector];
}

static void arguments_put(const struct images *images,
			  const struct wasm_deftype *type,
			  const union wasm_value *slots)
{
	struct argument_places places = { 0 };

	for (uint32_t i = 0; i < type->param_count; i++) {
		unsigned kind = jit_type_of(type->params[i]);
		void *image = image_of(images, &places, kind);
		uint64_t word = word_of(&slots[i], kind);

		if (kind == T_V128)
			memcpy(image, &slots[i], sizeof(wasm_v128));
		else
			memcpy(image, &word, sizeof(word));
	}
}

static void arguments_get(const struct images *images,
			  const struct wasm_deftype *type,
			  union wasm_value *slots)
{
	struct argument_places places = { 0 };

	for (uint32_t i = 0; i < type->param_count; i++) {
		unsigned kind = jit_type_of(type->params[i]);
		const void *image = image_of(images, &places, kind);
		uint64_t word;

		memcpy(&word, image, sizeof(word));
		if (kind == T_V128)
			memcpy(&slots[i], image, sizeof(wasm_v128));
		else
			slot_set(&slots[i], word, kind);
	}
}

/* Two results or more: each in a slot, on both sides. */
static void results_move(const struct wasm_deftype *type, union wasm_value *to,
			 const union wasm_value *from)
{
	for (uint32_t i = 0; i < type->result_count; i++) {
		unsigned kind = jit_type_of(type->results[i]);

		if (kind == T_V128)
			to[i] = from[i];
		else
			slot_set(&to[i], from[i].i64, kind);
	}
}

static const struct wasm_deftype *
function_type(const struct wasm_store *store,
	      const struct wasm_function *function)
{
	return wasm_types_get(store->types, function->type);
}

/* Into code */

static uint8_t *stack_end(const struct wasm_store *store)
{
	return store->native_base + store->native_bytes;
}

/* Where the stack begins for a call: arguments, and room for results. */
static uint8_t *stack_for(const struct wasm_store *store,
			  const struct wasm_deftype *type)
{
	uint8_t *top =
		store->native_stack ? store->native_stack : stack_end(store);
	uint64_t bytes = jit_argument_bytes(type);
	uint64_t room = (uint64_t)(top - store->native_base);

	if (type->result_count > 1)
		bytes += 16ull * type->result_count;
	if (room < STACK_MARGIN + CALL_BYTES + bytes)
		return NULL;
	return (uint8_t *)((uintptr_t)(top - bytes) & ~(uintptr_t)15);
}

static void results_get(const struct jit_entry *entry,
			const struct wasm_deftype *type,
			union wasm_value *slots)
{
	const union wasm_value *results =
		(const union wasm_value *)(entry->stack +
					   jit_argument_bytes(type));
	unsigned only;

	if (type->result_count > 1)
		results_move(type, slots, results);
	if (type->result_count != 1)
		return;
	only = jit_type_of(type->results[0]);
	if (only == T_V128)
		memcpy(slots, &entry->vector[0], sizeof(wasm_v128));
	else
		slot_set(
			slots,
			file_of(only) == VECTOR
				? ((const union wasm_value *)entry->vector)->i64
				: entry->result,
			only);
}

/* What is left in instances that code went to on its way. */
void jit_fuel_collect(struct wasm_store *store, const struct wasm_instance *but)
{
	struct wasm_instance *instance = store->instances;

	for (; instance && store->fuel_left >= 0; instance = instance->next)
		if (instance != but && instance->native && instance->fuel > 0)
			wasm_interp_give_fuel(store, instance);
}

/* Work out of line has used up a slice, or someone has set the word. */
enum wasm_trap jit_refill(struct wasm_instance *context)
{
	if (context->fuel >= 0)
		return wasm_interp_poll(context->store);
	jit_fuel_collect(context->store, context);
	return wasm_interp_refill(context, 0);
}

static enum wasm_trap enter(struct wasm_store *store,
			    struct wasm_function *self, uint8_t *stack,
			    union wasm_value *slots)
{
	const struct wasm_deftype *type = function_type(store, self);
	struct wasm_instance *context = self->instance;
	struct jit_entry entry = { .code = self->native,
				   .context = context,
				   .stack = stack };
	struct images images = { entry.general, entry.vector, stack };
	int64_t held = context->fuel > 0 ? context->fuel : 0;
	enum wasm_trap trap;

	arguments_put(&images, type, slots);
	/* A caller's slice is on loan while the same instance runs anew. */
	context->fuel = wasm_interp_take_fuel(store, WASM_SLICE);
	trap = jit_enter(&entry);
	wasm_interp_give_fuel(store, context);
	jit_fuel_collect(store, NULL);
	context->fuel = held;
	if (!trap)
		results_get(&entry, type, slots);
	return trap;
}

/* Nested in code that called out, the stack goes on where that one left. */
static enum wasm_trap jit_call(struct wasm_store *store,
			       struct wasm_function *self,
			       struct wasm_instance *caller,
			       union wasm_value *slots)
{
	uint8_t *native_stack = store->native_stack,
		*native_frame = store->native_frame;
	const uint8_t *native_pc = store->native_pc;
	uint8_t *stack = stack_for(store, function_type(store, self));
	enum wasm_trap trap;

	(void)caller;
	if (!stack || store->depth >= WASM_DEPTH_MOST)
		return WASM_TRAP_stack;
	store->depth++;
	trap = enter(store, self, stack, slots);
	store->depth--;
	store->native_stack = native_stack;
	store->native_frame = native_frame;
	store->native_pc = native_pc;
	return trap;
}

/* Out of code */

static uint64_t slot_count(const struct wasm_deftype *type)
{
	return type->param_count > type->result_count ? type->param_count
						      : type->result_count;
}

static void results_put(const struct wasm_deftype *type,
			const union wasm_value *slots,
			struct jit_arguments *arguments,
			uint8_t *stack_arguments)
{
	union wasm_value *results =
		(union wasm_value *)(stack_arguments +
				     jit_argument_bytes(type));

	if (type->result_count > 1)
		results_move(type, results, slots);
	if (type->result_count != 1)
		return;
	arguments->result = word_of(slots, jit_type_of(type->results[0]));
	memcpy(&arguments->vector[0], slots, sizeof(wasm_v128));
}

/* Results come where the arguments were.  What the callers' instances have of
 * the fuel is there for whoever runs now. */
static enum wasm_trap run_by_slots(struct wasm_function *function,
				   struct wasm_instance *caller,
				   union wasm_value *slots)
{
	struct wasm_store *store = caller->store;

	if (!function->instance) {
		jit_fuel_collect(store, caller);
		return wasm_interp_host(caller, function, slots);
	}
	jit_fuel_collect(store, NULL);
	return wasm_call(store, function, slots, slots);
}

/* The slots lie on the compiled stack, where the collector sees them.  An
 * interpreted function's "caller" is its own instance. */
enum wasm_trap jit_call_out(struct wasm_function *function,
			    struct wasm_instance *caller,
			    struct jit_arguments *arguments,
			    uint8_t *stack_arguments)
{
	struct wasm_store *store = caller->store;
	const struct wasm_deftype *type = function_type(store, function);
	struct images images = { arguments->general, arguments->vector,
				 stack_arguments };
	union wasm_value *slots =
		(union wasm_value *)((uint8_t *)arguments -
				     slot_count(type) * sizeof(*slots));
	enum wasm_trap trap;

	if ((uint8_t *)slots < store->native_base + STACK_MARGIN)
		return WASM_TRAP_stack;
	store->native_stack = (uint8_t *)slots;
	arguments_get(&images, type, slots);
	trap = run_by_slots(function, caller, slots);
	if (!trap)
		results_put(type, slots, arguments, stack_arguments);
	return trap;
}

/* Binding */

uint32_t jit_options_of(const struct wasm_instance *instance)
{
	const struct wasm_module *module = instance->module;
	const struct wasm_memory *memory =
		module->memory_count ? instance->memories[0] : NULL;
	uint32_t options = 0;

	if (memory && !memory->guarded && !memory->limits.is64 &&
	    memory->limits.page_log2 == 16)
		options |= CODE_CHECKED;
	if (instance->store->fuel_left >= 0)
		options |= CODE_FUEL;
	if (module->has_tail_calls)
		options |= CODE_TAILS;
	return options;
}

/* The margin comes on top: what was asked for is for code. */
static bool has_stack(struct wasm_store *store)
{
	uint64_t bytes;

	if (store->native_base)
		return true;
	if (__builtin_add_overflow(wasm_store_owner(store)->stack_bytes,
				   STACK_MARGIN + CALL_BYTES, &bytes))
		return false;
	store->native_base = wasm_store_allocate(store, bytes);
	store->native_bytes = store->native_base ? bytes : 0;
	return store->native_base != NULL;
}

static void bind_function(struct wasm_function *function)
{
	const struct jit_code *code = function->instance->native;
	uint32_t own = function->index - code->module->imported_functions;

	function->host = jit_call;
	function->native = code->text + code->functions[own].at;
}

/* Code that counts fuel, or checks, may be used where that is not needed. */
bool jit_bind(struct wasm_instance *instance, const struct jit_code *code)
{
	uint32_t needs = jit_options_of(instance);

	if (needs & ~code->header->options ||
	    code->module != instance->module || !has_stack(instance->store))
		return false;
	instance->native = code;
	instance->native_limit = instance->store->native_base + STACK_MARGIN;
	instance->memory_base = instance->module->memory_count
					? instance->memories[0]->base
					: NULL;
	instance->type_ids = code->type_ids;
	instance->native_out = jit_native_out;
	instance->native_trap = jit_native_trap;
	instance->native_out_at = jit_native_out_at;
	instance->native_call_other = jit_native_call_other;
	instance->native_call_block = jit_native_call_block;
	instance->bind_function = bind_function;
	return true;
}

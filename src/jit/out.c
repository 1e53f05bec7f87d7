/* SPDX-License-Identifier: Apache-2.0 */
/* Out of line: what the generated functions need, and those that are no
 * operation's. */
#include "jit/out.h"
#include "jit/run.h"
#include "wasm/decode.h"
#include <string.h>

uint32_t jit_out_word(const uint8_t *ip, unsigned number)
{
	uint32_t value;

	memcpy(&value, ip + OUT_OF_LINE_HEAD + 4 * number, sizeof(value));
	return value;
}

enum wasm_trap jit_out_place(const struct wasm_instance *context,
			     const union wasm_value *slots, const uint8_t *ip,
			     uint64_t width, bool is_atomic, uint8_t **place)
{
	const struct wasm_memory *memory =
		context->memories[jit_out_word(ip, 1)];
	uint64_t offset = jit_out_word(ip, 2) | (uint64_t)jit_out_word(ip, 3)
							<< 32;
	uint64_t bytes = __atomic_load_n(&memory->bytes, __ATOMIC_ACQUIRE);
	uint64_t index = memory->limits.is64 ? slots->i64 : slots->i32, at;

	if (__builtin_add_overflow(index, offset, &at) || at > bytes ||
	    bytes - at < width)
		return WASM_TRAP_memory_bounds;
	if (is_atomic && at % width)
		return WASM_TRAP_unaligned_atomic;
	*place = memory->base + at;
	return WASM_OK;
}

/* Slices that other instances of the store hold come back first, so that what
 * is left is known. */
enum wasm_trap jit_out_fuel(struct wasm_instance *context, uint8_t *frame,
			    const uint8_t *ip)
{
	(void)frame;
	(void)ip;
	jit_fuel_collect(context->store, context);
	return wasm_interp_refill(context, 1);
}

enum wasm_trap jit_out_callee(struct wasm_instance *context, uint8_t *frame,
			      const uint8_t *ip)
{
	const struct wasm_function *function =
		(const struct wasm_function *)((union wasm_value *)frame)->ref;

	return wasm_id_matches(context->store->types, function->type,
			       context->type_ids[jit_out_word(ip, 1)])
		       ? WASM_OK
		       : WASM_TRAP_indirect_type;
}

static bool matches(const struct wasm_instance *context, const uint8_t *frame,
		    const uint8_t *ip)
{
	wasm_type type =
		wasm_type_resolve(context->module, jit_out_word(ip, 1));

	return wasm_ref_matches(context->store,
				((const union wasm_value *)frame)->ref, type);
}

enum wasm_trap jit_out_ref_test(struct wasm_instance *context, uint8_t *frame,
				const uint8_t *ip)
{
	((union wasm_value *)frame)->i64 = matches(context, frame, ip);
	return WASM_OK;
}

enum wasm_trap jit_out_ref_cast(struct wasm_instance *context, uint8_t *frame,
				const uint8_t *ip)
{
	return matches(context, frame, ip) ? WASM_OK : WASM_TRAP_cast;
}

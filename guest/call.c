/* SPDX-License-Identifier: Apache-2.0 */
/* Exports: found, called, read.  Names and values are in the data. */
#include "guest.h"
#include "wasm/interp.h"
#include <string.h>

/* Which of the instance's exports has the name of "len" bytes. */
static bool find(uint64_t instance, uint64_t len, struct wasm_extern *found)
{
	return instance < guest.instance_count && len <= GUEST_DATA_BYTES &&
	       wasm_instance_export(guest.instances[instance],
				    (const char *)guest_data(), (uint32_t)len,
				    found);
}

static const struct wasm_deftype *type_of(const struct wasm_extern *function)
{
	return wasm_types_get(guest.types, function->function->type);
}

/* Words: instance, length of the name. */
int guest_find(void)
{
	const uint64_t *words = guest_page()->command_words;
	struct guest_item *item = (struct guest_item *)guest_data();
	const struct wasm_deftype *type;
	struct wasm_extern found;
	uint64_t count = 0;

	if (!find(words[0], words[1], &found) ||
	    (found.kind == WASM_EXTERN_FUNCTION && !found.function))
		return guest_fail("there is no such export");
	*item = (struct guest_item){ .kind = found.kind };
	if (found.kind == WASM_EXTERN_GLOBAL)
		item->type = found.global->type;
	if (found.kind == WASM_EXTERN_FUNCTION) {
		type = type_of(&found);
		count = (uint64_t)type->param_count + type->result_count;
		if (sizeof *item + 4 * count > GUEST_DATA_BYTES)
			return guest_fail("it has too many parameters");
		item->param_count = type->param_count;
		item->result_count = type->result_count;
		memcpy(item->types, type->params, 4ull * type->param_count);
		memcpy(item->types + type->param_count, type->results,
		       4ull * type->result_count);
	}
	guest_page()->data_bytes = (uint32_t)(sizeof *item + 4 * count);
	return 0;
}

static bool is_below(wasm_type type, wasm_type top)
{
	return wasm_type_matches(guest.types, type, top);
}

/* What may be asked of a word depends on its type. */
static uint32_t matches(wasm_type type, wasm_ref ref)
{
	static const struct {
		uint32_t bit;
		wasm_type kind, top;
	} kinds[] = {
		{ GUEST_REFERENCE_FUNCTION, WASM_FUNCREF, WASM_FUNCREF },
		{ GUEST_REFERENCE_EXTERN, WASM_EXTERNREF, WASM_EXTERNREF },
		{ GUEST_REFERENCE_EXCEPTION, WASM_EXNREF, WASM_EXNREF },
		{ GUEST_REFERENCE_ANY, WASM_ANYREF, WASM_ANYREF },
		{ GUEST_REFERENCE_EQ, WASM_REF | WASM_ABSTRACT | WASM_EQ,
		  WASM_ANYREF },
		{ GUEST_REFERENCE_I31, WASM_REF | WASM_ABSTRACT | WASM_I31,
		  WASM_ANYREF },
		{ GUEST_REFERENCE_STRUCT,
		  WASM_REF | WASM_ABSTRACT | WASM_STRUCT, WASM_ANYREF },
		{ GUEST_REFERENCE_ARRAY, WASM_REF | WASM_ABSTRACT | WASM_ARRAY,
		  WASM_ANYREF },
	};
	uint32_t found = ref ? 0 : GUEST_REFERENCE_NULL;

	if (!wasm_type_is_ref(type))
		return 0;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (!is_below(type, kinds[i].top))
			continue;
		found |= kinds[i].kind == kinds[i].top
				 ? kinds[i].bit << GUEST_REFERENCE_TYPE
				 : 0;
		if (ref && wasm_ref_matches(guest.store, ref,
					    kinds[i].kind & ~WASM_NULLABLE))
			found |= kinds[i].bit;
	}
	return found;
}

static void put_values(const union wasm_value *values, const wasm_type *types,
		       uint32_t count)
{
	uint8_t *data = guest_data();
	uint32_t *of = (uint32_t *)(data + count * sizeof *values);

	memcpy(data, values, count * sizeof *values);
	for (uint32_t i = 0; i < count; i++)
		of[i] = matches(types[i], values[i].ref);
	guest_page()->data_bytes =
		count * (uint32_t)(sizeof *values + sizeof *of);
}

static void put_frame(const struct wasm_frame *from, struct guest_frame *to)
{
	const struct guest_module *loaded;

	*to = (struct guest_frame){ .module = UINT32_MAX };
	if (!from->instance)
		return;
	loaded = from->instance->module->host_data;
	*to = (struct guest_frame){
		.module = loaded->number,
		.function = from->function,
		.offset = from->offset,
		.is_native = from->instance->native != NULL,
	};
}

void guest_ended(enum wasm_trap trap)
{
	const struct wasm_store *store = guest.store;
	struct guest_call *page = guest_page();

	page->trap = trap;
	page->exit_code = store->exit_code;
	if (!trap || trap == WASM_TRAP_exit)
		return;
	memcpy(page->message, store->message, sizeof store->message);
	page->trace_count = store->trace_count;
	page->trace_total = store->trace_total;
	for (uint32_t i = 0; i < store->trace_count && i < GUEST_TRACE; i++)
		put_frame(&store->trace[i], &page->trace[i]);
}

/* Words: instance, length of the name, count of arguments; in the data the
 * name, then from the next multiple of 16 on the values. */
int guest_call(void)
{
	const uint64_t *words = guest_page()->command_words;
	uint64_t len = words[1], count = words[2], most;
	const struct wasm_deftype *type;
	union wasm_value *values;
	struct wasm_extern found;
	enum wasm_trap trap;

	if (!find(words[0], len, &found) ||
	    found.kind != WASM_EXTERN_FUNCTION || !found.function)
		return guest_fail("there is no such function");
	type = type_of(&found);
	most = type->param_count > type->result_count ? type->param_count
						      : type->result_count;
	if (count != type->param_count ||
	    len + 16 + most * 2 * sizeof *values > GUEST_DATA_BYTES)
		return guest_fail("it takes other arguments");
	values = guest_allocate(NULL, (most + 1) * sizeof *values);
	if (!values)
		return guest_fail("no memory for a call");
	memcpy(values, guest_data() + ((len + 15) & ~UINT64_C(15)),
	       count * sizeof *values);
	trap = wasm_call(guest.store, found.function, values, values);
	if (!trap)
		put_values(values, type->results, type->result_count);
	guest_release(NULL, values, (most + 1) * sizeof *values);
	guest_ended(trap);
	return 0;
}

/* Nothing but the call page and what the call itself needs is touched: each
 * page that a fresh domain uses for the first time takes its time. */
int guest_start(void)
{
	struct guest_call *page = guest_page();
	const uint64_t *words = page->command_words;
	const struct wasm_deftype *type;
	union wasm_value none;
	struct wasm_extern found;
	enum wasm_trap trap;

	if (words[0] >= guest.instance_count ||
	    words[1] > sizeof page->message ||
	    !wasm_instance_export(guest.instances[words[0]], page->message,
				  (uint32_t)words[1], &found) ||
	    found.kind != WASM_EXTERN_FUNCTION || !found.function)
		return GUEST_NO_FUNCTION;
	type = type_of(&found);
	if (type->param_count || type->result_count)
		return GUEST_NO_PLAIN;
	page->message[0] = 0;
	trap = wasm_call(guest.store, found.function, &none, &none);
	guest_ended(trap);
	return 0;
}

/* Words: instance, length of the name. */
int guest_global(void)
{
	const uint64_t *words = guest_page()->command_words;
	struct wasm_extern found;

	if (!find(words[0], words[1], &found) ||
	    found.kind != WASM_EXTERN_GLOBAL)
		return guest_fail("there is no such global");
	put_values(&found.global->value, &found.global->type, 1);
	return 0;
}

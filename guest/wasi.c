/* SPDX-License-Identifier: Apache-2.0 */
/* Imports that the host serves: WASI, and the embedder's.  A call takes its
 * arguments to the host and brings back an errno or a trap; memory is never
 * copied, since the host sees it where it is. */
#include "guest.h"
#include <string.h>

static const struct wasi_call {
	const char *name, *signature;
} wasi_calls[] = {
#define WASI_CALL(name, signature) { #name, signature },
#include "brood/wasi_calls.def"
#undef WASI_CALL
};
enum { WASI_CALLS = sizeof wasi_calls / sizeof *wasi_calls };
#define WASI_UNSTABLE ((uintptr_t)1 << 16) /* preview 0 */

static wasm_type type_of_letter(char letter)
{
	switch (letter) {
	case 'i': return WASM_I32;
	case 'l': return WASM_I64;
	case 'f': return WASM_F32;
	}
	return WASM_F64;
}

static uint32_t signature_type(const char *signature)
{
	wasm_type types[2][16];
	uint32_t count[2] = { 0, 0 };
	int side = 0;

	for (; *signature; signature++)
		if (*signature == '>')
			side = 1;
		else
			types[side][count[side]++] = type_of_letter(*signature);
	return wasm_types_function(guest.types, types[0], count[0], types[1],
				   count[1]);
}

/* The outcome of a bell as a host function's. */
static enum wasm_trap answer(struct wasm_store *store, int64_t answer,
			     union wasm_value *slots)
{
	const struct guest_call *page = guest_page();

	if (answer >= 0) {
		slots[0].i64 = (uint64_t)answer;
		return WASM_OK;
	}
	store->exit_code = (int)page->more;
	if (answer == -WASM_TRAP_host) {
		size_t most = sizeof store->message - 1;

		memcpy(store->message, page->message, most);
		store->message[most] = 0;
	}
	return (enum wasm_trap) - answer;
}

static enum wasm_trap wasi_refuse(struct wasm_store *store, const char *name)
{
	size_t len = strlen(name);

	memcpy(store->message, name, len);
	memcpy(store->message + len, ": the caller has no memory", 27);
	return WASM_TRAP_host;
}

static enum wasm_trap wasi_enter(struct wasm_store *store,
				 struct wasm_function *self,
				 struct wasm_instance *caller,
				 union wasm_value *slots)
{
	uintptr_t which = (uintptr_t)((struct wasm_host_function *)self)->env;
	const struct wasm_deftype *type =
		wasm_types_get(store->types, self->type);
	const uint32_t number = (uint32_t)(which & ~WASI_UNSTABLE);
	const bool unstable = (which & WASI_UNSTABLE) != 0;
	struct guest_call *page = guest_page();
	int errno_here;

	if (!caller || !caller->module->memory_count)
		return wasi_refuse(store, wasi_calls[number].name);
	errno_here = guest_local(number, unstable, caller->memories[0], slots);
	if (errno_here >= 0)
		return answer(store, errno_here, slots);
	page->words[0] = number;
	page->words[1] = unstable;
	page->words[2] = guest_window(caller->memories[0]);
	for (uint32_t i = 0; i < type->param_count; i++)
		page->words[3 + i] = slots[i].i64;
	return answer(store,
		      guest_local_ring(number, unstable, caller->memories[0],
				       slots),
		      slots);
}

static const struct wasi_call services[] = {
#define GUEST_SERVICE_ENTRY(name, signature) { #name, signature },
	GUEST_SERVICES(GUEST_SERVICE_ENTRY)
#undef GUEST_SERVICE_ENTRY
};
enum { SERVICES = sizeof services / sizeof *services };

static enum wasm_trap service_enter(struct wasm_store *store,
				    struct wasm_function *self,
				    struct wasm_instance *caller,
				    union wasm_value *slots)
{
	uintptr_t which = (uintptr_t)((struct wasm_host_function *)self)->env;
	const struct wasm_deftype *type =
		wasm_types_get(store->types, self->type);
	struct guest_call *page = guest_page();

	if (!caller || !caller->module->memory_count)
		return wasi_refuse(store, services[which].name);
	page->words[0] = which;
	page->words[1] = guest_window(caller->memories[0]);
	for (uint32_t i = 0; i < type->param_count; i++)
		page->words[2 + i] = slots[i].i64;
	return answer(store, guest_bell(GUEST_BELL_HOST), slots);
}

static enum wasm_trap ready_enter(struct wasm_store *store,
				  struct wasm_function *self,
				  struct wasm_instance *caller,
				  union wasm_value *slots)
{
	(void)self, (void)caller;
	return answer(store, guest_bell(GUEST_BELL_READY), slots);
}

static int define_function(const char *module, const char *name,
			   const char *signature, wasm_host_call *call,
			   uintptr_t env)
{
	struct wasm_extern what = { .kind = WASM_EXTERN_FUNCTION };
	uint32_t type = signature_type(signature);

	if (type == WASM_NO_TYPE)
		return -1;
	what.function = wasm_host_function_new(guest.store, type, call,
					       (void *)env, NULL);
	if (!what.function)
		return -1;
	return guest_define(
		(struct wasm_name){ module, (uint32_t)strlen(module) },
		(struct wasm_name){ name, (uint32_t)strlen(name) }, what);
}

int guest_define_host(void)
{
	static const char *const modules[2] = { "wasi_snapshot_preview1",
						"wasi_unstable" };

	for (uintptr_t version = 0; version < 2; version++)
		for (uintptr_t i = 0; i < WASI_CALLS; i++)
			if (define_function(modules[version],
					    wasi_calls[i].name,
					    wasi_calls[i].signature, wasi_enter,
					    i | version * WASI_UNSTABLE) < 0)
				return -1;
	for (uintptr_t i = 0; i < SERVICES; i++)
		if (define_function("brood", services[i].name,
				    services[i].signature, service_enter,
				    i) < 0)
			return -1;
	return define_function("brood", "ready", ">", ready_enter, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The module in a VM of its own.  Its imports are functions of this program,
 * or of another instance that does the same. */
#include "fuzz/play.h"
#include "fuzz/play_internal.h"
#include "vm/vm.h"
#include "wat/wat.h"
#include <string.h>

static int make_checked(void *env, struct wasm_memory *memory,
			const struct wasm_module *module, uint32_t index)
{
	int made = vm_host.memory_make(env, memory, module, index);

	memory->guarded = false;
	return made;
}

/* Imports */

static enum wasm_trap collect(struct wasm_store *store,
			      struct wasm_function *self,
			      struct wasm_instance *caller,
			      union wasm_value *slots)
{
	(void)self;
	(void)caller;
	(void)slots;
	wasm_heap_collect(store);
	return WASM_OK;
}

static enum wasm_trap mix(struct wasm_store *store, struct wasm_function *self,
			  struct wasm_instance *caller, union wasm_value *slots)
{
	(void)store;
	(void)self;
	(void)caller;
	slots[0].i64 = slots[0].i64 * 31 + 7;
	return WASM_OK;
}

static enum wasm_trap swap(struct wasm_store *store, struct wasm_function *self,
			   struct wasm_instance *caller,
			   union wasm_value *slots)
{
	union wasm_value first = slots[0];

	(void)store;
	(void)self;
	(void)caller;
	slots[0].i64 = slots[2].i64;
	slots[2].i64 = first.i32;
	return WASM_OK;
}

static enum wasm_trap apply(struct wasm_store *store,
			    struct wasm_function *self,
			    struct wasm_instance *caller,
			    union wasm_value *slots)
{
	(void)self;
	(void)caller;
	return wasm_call(store, (struct wasm_function *)slots[0].ref, NULL,
			 NULL);
}

static const struct {
	const char *name, *signature;
	wasm_host_call *call;
} hosts[] = {
	{ "collect", "", collect },
	{ "mix", "l>l", mix },
	{ "swap", "idl>ldi", swap },
	{ "apply", "r", apply },
};

static int define_host(struct vm *vm, struct err *err)
{
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
		if (vm_define_function(vm, "host", hosts[i].name,
				       hosts[i].signature, hosts[i].call, NULL,
				       err) < 0)
			return -1;
	return 0;
}

static const char other[] =
	"(module (type $none (func))"
	" (import \"host\" \"collect\" (func $collect)) (table 1 funcref)"
	" (func (export \"collect\") (call $collect))" PLAY_FUNCTIONS ")";

static int define_other(struct vm *vm, struct err *err)
{
	auto_buf struct buf binary = { 0 };
	struct wasm_module *module;
	struct wasm_instance *instance;

	if (wat_to_binary("other", other, sizeof other - 1, &binary, err) < 0 ||
	    vm_load(vm, binary.data, binary.len, &module, err) < 0 ||
	    vm_instantiate(vm, module, &instance, err) != 0)
		return -1;
	return vm_define_instance(vm, "host", instance, err);
}

/* The run */

/* What is in memory is seen as bits: the generator makes one NaN of all. */
static uint64_t state_add(uint64_t hash, const void *bytes, uint64_t len)
{
	const uint8_t *at = bytes;
	uint64_t word;

	for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		if (word)
			hash = (hash ^ word ^ len << 40) *
			       UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	for (; len; at++, len--)
		hash = (hash ^ *at) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t state_globals(const struct wasm_instance *instance,
			      uint64_t hash)
{
	const struct wasm_module *module = instance->module;

	for (uint32_t i = 0; i < module->global_count; i++) {
		const struct wasm_global *global =
			wasm_instance_extern((struct wasm_instance *)instance,
					     WASM_EXTERN_GLOBAL, i)
				.global;
		union wasm_value value = global->value;

		if (wasm_type_is_ref(global->type))
			value = (union wasm_value){ .i64 = value.ref != 0 };
		if (global->type != WASM_V128)
			value.words[1] = 0;
		hash = state_add(hash, &value, sizeof(value));
	}
	return hash;
}

static void play_state(struct wasm_instance *instance, struct buf *text)
{
	const struct wasm_module *module = instance->module;
	uint64_t hash = state_globals(instance, 1);

	for (uint32_t i = 0; i < module->memory_count; i++)
		hash = state_add(hash, instance->memories[i]->base,
				 instance->memories[i]->bytes);
	for (uint32_t i = 0; i < module->table_count; i++)
		for (uint64_t j = 0; j < instance->tables[i]->length; j++)
			hash = (hash << 1 | hash >> 63) ^
			       (instance->tables[i]->elems[j] != 0);
	buf_format(text, "state %016llx\n", (unsigned long long)hash);
}

static void play_export(struct vm *vm, struct wasm_instance *instance,
			const struct wasm_export *export, struct buf *text)
{
	struct wasm_extern found =
		wasm_instance_extern(instance, export->kind, export->index);
	union wasm_value result = { 0 };
	enum wasm_trap trap;

	buf_add(text, export->name.text, export->name.len);
	trap = vm_call(vm, found.function, NULL, &result);
	if (trap)
		buf_format(text, " trap: %s\n", wasm_trap_text(trap));
	else
		buf_format(text, " %llu\n", (unsigned long long)result.i64);
}

static bool play_in(struct vm *vm, const void *bytes, size_t len,
		    const struct play *play, struct buf *text)
{
	struct wasm_module *module;
	struct wasm_instance *instance;
	struct err err = { 0 };
	int trap;

	if (vm_load(vm, bytes, len, &module, &err) < 0) {
		buf_format(text, "not valid: %s\n", err.text);
		return false;
	}
	trap = vm_instantiate(vm, module, &instance, &err);
	if (trap < 0) {
		buf_format(text, "no instance: %s\n", err.text);
		return false;
	}
	if (trap) {
		buf_format(text, "start trap: %s\n",
			   wasm_trap_text((enum wasm_trap)trap));
		return true;
	}
	for (uint32_t i = 0; i < module->export_count; i++) {
		play_export(vm, instance, &module->exports[i], text);
		if (play->state)
			play_state(instance, text);
	}
	return true;
}

static bool play_in_process(const void *bytes, size_t len,
			    const struct play *play, struct buf *text)
{
	struct wasm_host host = vm_host;
	struct cache_options cache = { .place = play->cache };
	struct vm_options options = {
		.cache = play->cache ? &cache : NULL,
		.host = &host,
		.code = { .via = play->compiled ? VM_COMPILED : VM_INTERPRETED,
			  .without = play->without,
			  .without_features = play->without_features },
		.store.fuel = play->counted ? INT64_MAX / 2 : 0,
		.timeout_ns = INT64_C(20000000000),
	};
	struct err err = { 0 };
	struct vm vm;
	bool valid = false;

	if (play->checked)
		host.memory_make = make_checked;
	if (vm_init(&vm, &options, &err) < 0) {
		buf_format(text, "%s\n", err.text);
		return false;
	}
	if (play->stressed)
		wasm_heap_stress(vm.store);
	if (define_host(&vm, &err) < 0 ||
	    (play->linked && define_other(&vm, &err) < 0))
		buf_format(text, "%s\n", err.text);
	else
		valid = play_in(&vm, bytes, len, play, text);
	vm_fini(&vm);
	return valid;
}

bool play_module(const void *bytes, size_t len, const struct play *play,
		 struct buf *text)
{
	return play->in_domain ? play_in_domain(bytes, len, play, text)
			       : play_in_process(bytes, len, play, text);
}

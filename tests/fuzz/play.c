/* SPDX-License-Identifier: Apache-2.0 */
/* The module in a VM of its own. */
#include "fuzz/play.h"
#include "vm/vm.h"
#include <string.h>

static int make_checked(void *env, struct wasm_memory *memory,
			const struct wasm_module *module, uint32_t index)
{
	int made = vm_host.memory_make(env, memory, module, index);

	memory->guarded = false;
	return made;
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
		buf_format(text, " %016llx\n", (unsigned long long)result.i64);
}

static bool play_in(struct vm *vm, const void *bytes, size_t len,
		    struct buf *text)
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
	for (uint32_t i = 0; i < module->export_count; i++)
		play_export(vm, instance, &module->exports[i], text);
	return true;
}

bool play_module(const void *bytes, size_t len, const struct play *play,
		 struct buf *text)
{
	struct wasm_host host = vm_host;
	struct vm_options options = {
		.host = &host,
		.store.fuel = play->counted ? INT64_MAX / 2 : 0,
		.timeout_ns = INT64_C(20000000000),
	};
	struct err err = { 0 };
	struct vm vm;
	bool valid;

	if (play->checked)
		host.memory_make = make_checked;
	if (vm_init(&vm, &options, &err) < 0) {
		buf_format(text, "%s\n", err.text);
		return false;
	}
	valid = play_in(&vm, bytes, len, text);
	vm_fini(&vm);
	return valid;
}

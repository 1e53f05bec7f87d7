/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a module: what is valid is made, with imports of the types
 * that it asks for, and each export runs with little fuel.  Whatever comes
 * of it is a refusal or a trap, and leaves words in their form. */
#include "base/buf.h"
#include "vm/vm.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES_MOST = 16 };

static bool has_zero(wasm_type type)
{
	return !wasm_type_is_ref(type) || type & WASM_NULLABLE;
}

static bool have_zeros(const wasm_type *types, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!has_zero(types[i]))
			return false;
	return true;
}

/* Zeros of its results, or a trap where a type has none. */
static enum wasm_trap zeros(struct wasm_store *store,
			    struct wasm_function *self,
			    struct wasm_instance *caller,
			    union wasm_value *slots)
{
	const struct wasm_deftype *type =
		wasm_types_get(store->types, self->type);

	(void)caller;
	if (!have_zeros(type->results, type->result_count))
		return WASM_TRAP_host;
	if (type->result_count)
		memset(slots, 0, type->result_count * sizeof *slots);
	return WASM_OK;
}

/* false: there is nothing of that type that could be given. */
static bool give_function(struct vm *vm, uint32_t type,
			  struct wasm_extern *what)
{
	what->function =
		wasm_host_function_new(vm->store, type, zeros, NULL, NULL);
	return what->function;
}

static bool give_table(struct vm *vm, const struct wasm_table_decl *decl,
		       struct wasm_extern *what)
{
	if (!has_zero(decl->type))
		return false;
	what->table = wasm_table_make(vm->store, decl->type, &decl->limits, 0);
	return what->table;
}

static bool give_global(struct vm *vm, const struct wasm_global_decl *decl,
			struct wasm_extern *what)
{
	union wasm_value zero = { 0 };

	if (!has_zero(decl->type))
		return false;
	what->global =
		wasm_global_make(vm->store, decl->type, decl->is_mutable, zero);
	return what->global;
}

static bool give(struct vm *vm, const struct wasm_module *module,
		 const struct wasm_import *import, struct wasm_extern *what)
{
	uint32_t index = import->index;

	what->kind = import->kind;
	switch (import->kind) {
	case WASM_EXTERN_FUNCTION:
		return give_function(vm, module->functions[index].type, what);
	case WASM_EXTERN_TABLE:
		return give_table(vm, &module->tables[index], what);
	case WASM_EXTERN_MEMORY:
		what->memory = wasm_memory_make(
			vm->store, &module->memories[index].limits);
		return what->memory;
	case WASM_EXTERN_GLOBAL:
		return give_global(vm, &module->globals[index], what);
	case WASM_EXTERN_TAG:
		what->tag = wasm_tag_make(vm->store, module->tags[index].type);
		return what->tag;
	}
	return false;
}

static bool define_imports(struct vm *vm, const struct wasm_module *module)
{
	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_import *import = &module->imports[i];
		struct wasm_extern what;

		if (!give(vm, module, import, &what) ||
		    vm_define_named(vm, import->module, import->name, what,
				    NULL) < 0)
			return false;
	}
	return true;
}

static void check_results(const struct wasm_deftype *type,
			  const union wasm_value *results)
{
	for (uint32_t i = 0; i < type->result_count; i++)
		if ((type->results[i] == WASM_I32 && results[i].i64 >> 32) ||
		    (!has_zero(type->results[i]) && !results[i].ref))
			__builtin_trap();
}

static void check_trap(struct vm *vm, enum wasm_trap trap)
{
	struct buf text = { 0 };

	if (!wasm_trap_text(trap))
		__builtin_trap();
	vm_describe_trap(vm, trap, &text);
	buf_fini(&text);
}

static void run_export(struct vm *vm, struct wasm_function *function)
{
	const struct wasm_deftype *type =
		wasm_types_get(vm->types, function->type);
	union wasm_value arguments[VALUES_MOST] = { 0 };
	union wasm_value results[VALUES_MOST];
	enum wasm_trap trap;

	if (type->param_count > VALUES_MOST ||
	    type->result_count > VALUES_MOST ||
	    !have_zeros(type->params, type->param_count))
		return;
	vm->store->fuel_left = 5000;
	trap = vm_call(vm, function, arguments, results);
	if (trap == WASM_OK)
		check_results(type, results);
	else
		check_trap(vm, trap);
}

static void run_all(struct vm *vm, const struct wasm_module *module)
{
	struct wasm_instance *instance;
	int result = vm_instantiate(vm, module, &instance, NULL);

	if (result > 0)
		check_trap(vm, result);
	if (result != 0)
		return;
	for (uint32_t i = 0; i < module->export_count; i++) {
		struct wasm_extern what =
			wasm_instance_extern(instance, module->exports[i].kind,
					     module->exports[i].index);

		if (what.kind == WASM_EXTERN_FUNCTION && what.function)
			run_export(vm, what.function);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vm_options options = {
		.store = { .stack_bytes = 256 << 10,
			   .heap_bytes = 1 << 20,
			   .memory_bytes = 1 << 20,
			   .table_items = 10000,
			   .fuel = 5000 },
		.timeout_ns = 1000000000,
	};
	struct wasm_module *module;
	struct err err = { 0 };
	struct vm vm;

	if (vm_init(&vm, &options, &err) < 0)
		__builtin_trap();
	if (vm_load_in_place(&vm, data, size, &module, &err) < 0) {
		if (!err.text[0])
			__builtin_trap();
	} else if (define_imports(&vm, module)) {
		run_all(&vm, module);
	}
	vm_fini(&vm);
	return 0;
}

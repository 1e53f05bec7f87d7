/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts in this process, in a VM of their own. */
#include "spec.h"
#include <errno.h>
#include <stdlib.h>

/* The module that the suite's modules import from. */

static enum wasm_trap spec_print(struct wasm_store *store,
				 struct wasm_function *self,
				 struct wasm_instance *caller,
				 union wasm_value *slots)
{
	(void)store;
	(void)self;
	(void)caller;
	(void)slots;
	return WASM_OK;
}

static int spec_define_functions(struct vm *vm, struct err *err)
{
	static const char *const functions[][2] = {
		{ "print", "" },	   { "print_i32", "i" },
		{ "print_i64", "l" },	   { "print_f32", "f" },
		{ "print_f64", "d" },	   { "print_i32_f32", "if" },
		{ "print_f64_f64", "dd" },
	};
	int result = 0;

	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (result >= 0)
			result = vm_define_function(vm, "spectest",
						    functions[i][0],
						    functions[i][1], spec_print,
						    NULL, err);
	return result;
}

static int spec_define_globals(struct vm *vm, struct err *err)
{
	static const struct {
		const char *name;
		wasm_type type;
		union wasm_value value;
	} globals[] = {
		{ "global_i32", WASM_I32, { .i64 = 666 } },
		{ "global_i64", WASM_I64, { .i64 = 666 } },
		{ "global_f32", WASM_F32, { .f32 = 666.6f } },
		{ "global_f64", WASM_F64, { .f64 = 666.6 } },
	};
	int result = 0;

	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
		struct wasm_extern what = { .kind = WASM_EXTERN_GLOBAL,
					    .global = wasm_global_make(
						    vm->store, globals[i].type,
						    false, globals[i].value) };

		if (result >= 0)
			result = vm_define(vm, "spectest", globals[i].name,
					   what, err);
	}
	return result;
}

static int spec_define_stores(struct vm *vm, struct err *err)
{
	struct wasm_limits table = { .least = 10,
				     .most = 20,
				     .has_most = true };
	struct wasm_limits table64 = table, memory = {
		.least = 1, .most = 2, .has_most = true, .page_log2 = 16
	};
	struct wasm_limits shared = memory;
	int result;

	table64.is64 = shared.is_shared = true;
	struct wasm_extern made[] = {
		{ .kind = WASM_EXTERN_TABLE,
		  .table =
			  wasm_table_make(vm->store, WASM_FUNCREF, &table, 0) },
		{ .kind = WASM_EXTERN_TABLE,
		  .table = wasm_table_make(vm->store, WASM_FUNCREF, &table64,
					   0) },
		{ .kind = WASM_EXTERN_MEMORY,
		  .memory = wasm_memory_make(vm->store, &memory) },
		{ .kind = WASM_EXTERN_MEMORY,
		  .memory = wasm_memory_make(vm->store, &shared) },
	};

	result = vm_define(vm, "spectest", "table", made[0], err);
	if (result >= 0)
		result = vm_define(vm, "spectest", "table64", made[1], err);
	if (result >= 0)
		result = vm_define(vm, "spectest", "memory", made[2], err);
	if (result >= 0)
		result = vm_define(vm, "spectest", "shared_memory", made[3],
				   err);
	return result;
}

static int spec_memory_unguarded(void *env, struct wasm_memory *memory,
				 const struct wasm_module *module,
				 uint32_t index)
{
	int result = vm_host.memory_make(env, memory, module, index);

	memory->guarded = false;
	return result;
}

static int process_open(struct spec *spec, struct err *err)
{
	struct vm_options options = { .timeout_ns = 60000000000,
				      .code = spec->code,
				      .host = &spec->host };
	int result;

	if (spec->cache.place)
		options.cache = &spec->cache;
	spec->host = vm_host;
	if (spec->unguarded)
		spec->host.memory_make = spec_memory_unguarded;
	result = vm_init(&spec->vm, &options, err);
	if (result >= 0)
		result = spec_define_functions(&spec->vm, err);
	if (result >= 0)
		result = spec_define_globals(&spec->vm, err);
	if (result >= 0)
		result = spec_define_stores(&spec->vm, err);
	if (result >= 0 && spec->stress)
		wasm_heap_stress(spec->vm.store);
	return result;
}

static void process_close(struct spec *spec)
{
	vm_fini(&spec->vm);
}

static int process_load(struct spec *spec, const struct buf *bytes,
			void **module, struct err *err)
{
	struct wasm_module *loaded = NULL;
	int result = vm_load(&spec->vm, bytes->data, bytes->len, &loaded, err);

	*module = loaded;
	return result < 0 ? result : spec_check_optimised(spec, loaded, err);
}

static int process_instantiate(struct spec *spec, void *module, void **instance,
			       enum wasm_trap *trap, struct err *err)
{
	struct wasm_instance *made = NULL;
	int result = vm_instantiate(&spec->vm, module, &made, err);

	*instance = made;
	*trap = result > 0 ? (enum wasm_trap)result : WASM_OK;
	return result;
}

static int process_name(struct spec *spec, struct wasm_name name,
			void *instance, struct err *err)
{
	return vm_define_instance_named(&spec->vm, name, instance, err);
}

static bool process_is_below(struct spec *spec, wasm_type type, wasm_type top)
{
	return wasm_type_matches(spec->vm.types, type, top);
}

/* Bits of enum guest_reference; what may be asked of a word depends on its
 * declared type. */
static uint32_t process_matches(struct spec *spec, wasm_type type, wasm_ref ref)
{
	static const struct {
		wasm_type kind, top;
		uint32_t bit;
	} kinds[] = {
		{ WASM_FUNC, WASM_FUNCREF, GUEST_REFERENCE_FUNCTION },
		{ WASM_EXTERN, WASM_EXTERNREF, GUEST_REFERENCE_EXTERN },
		{ WASM_EXN, WASM_EXNREF, GUEST_REFERENCE_EXCEPTION },
		{ WASM_ANY, WASM_ANYREF, GUEST_REFERENCE_ANY },
		{ WASM_EQ, WASM_ANYREF, GUEST_REFERENCE_EQ },
		{ WASM_I31, WASM_ANYREF, GUEST_REFERENCE_I31 },
		{ WASM_STRUCT, WASM_ANYREF, GUEST_REFERENCE_STRUCT },
		{ WASM_ARRAY, WASM_ANYREF, GUEST_REFERENCE_ARRAY },
	};
	uint32_t found = ref ? 0 : GUEST_REFERENCE_NULL;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		wasm_type kind = WASM_REF | WASM_ABSTRACT | kinds[i].kind;

		if (!process_is_below(spec, type, kinds[i].top))
			continue;
		if ((kind | WASM_NULLABLE) == kinds[i].top)
			found |= kinds[i].bit << GUEST_REFERENCE_TYPE;
		if (ref && wasm_ref_matches(spec->vm.store, ref, kind))
			found |= kinds[i].bit;
	}
	return found;
}

static void process_judge(struct spec *spec, struct spec_results *results)
{
	for (uint32_t i = 0; i < results->count; i++)
		if (wasm_type_is_ref(results->types[i]))
			results->matches[i] =
				process_matches(spec, results->types[i],
						results->values[i].ref);
}

static int process_call(struct spec *spec, struct wasm_function *function,
			size_t count, union wasm_value *arguments,
			struct spec_results *results, enum wasm_trap *trap,
			struct err *err)
{
	const struct wasm_deftype *type =
		wasm_types_get(spec->vm.types, function->type);

	if (count != type->param_count || type->param_count > SPEC_VALUES ||
	    type->result_count > SPEC_VALUES)
		return err_set(err, -EINVAL, "%zu arguments for %u parameters",
			       count, type->param_count);
	results->count = type->result_count;
	for (uint32_t i = 0; i < type->result_count; i++)
		results->types[i] = type->results[i];
	*trap = vm_call(&spec->vm, function, arguments, results->values);
	return 0;
}

static int process_act(struct spec *spec, void *instance,
		       const struct wat_action *action,
		       union wasm_value *arguments,
		       struct spec_results *results, enum wasm_trap *trap,
		       struct err *err)
{
	struct wasm_extern found;
	int result = 0;

	if (!wasm_instance_export(instance, action->name,
				  (uint32_t)action->name_len, &found))
		return err_set(err, -ENOENT, "an export");
	if (found.kind != (action->is_get ? WASM_EXTERN_GLOBAL
					  : WASM_EXTERN_FUNCTION) ||
	    (found.kind == WASM_EXTERN_FUNCTION && !found.function))
		return err_set(err, -EINVAL, "an export of another kind");
	if (action->is_get) {
		results->count = 1;
		results->types[0] = found.global->type;
		results->values[0] = found.global->value;
	} else {
		result = process_call(spec, found.function,
				      action->argument_count, arguments,
				      results, trap, err);
	}
	if (result >= 0 && !*trap)
		process_judge(spec, results);
	return result;
}

const struct spec_way spec_in_process = {
	.open = process_open,
	.close = process_close,
	.load = process_load,
	.instantiate = process_instantiate,
	.name = process_name,
	.act = process_act,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* A VM: modules loaded, imports found by name, calls with a deadline. */
#include "vm/vm.h"
#include "base/buf.h"
#include "base/clock.h"
#include "vm/vm_internal.h"
#include "vm/vm_names.h"
#include "vm/vm_profile.h"
#include "wasm/state.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct vm_module {
	struct wasm_module *module;
	void *bytes; /* NULL: the caller's */
	struct vm_module *next;
};

int vm_prepare(struct err *err)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("x86-64-v2"))
		return err_set(err, -EPROTO,
			       "this CPU cannot run the byte-code engine: it "
			       "lacks SSE4.2 or POPCNT (x86-64-v2)");
	vm_fault_install();
	vm_fork_prepare();
	return 0;
}

static int vm_open(struct vm *vm)
{
	const struct wasm_host *host = vm->options.host;

	vm->names = vm_names_new();
	vm->types = wasm_types_new(host);
	if (!vm->names || !vm->types)
		return -ENOMEM;
	vm->store = wasm_store_make(host, vm->types, &vm->options.store);
	if (!vm->store)
		return -ENOMEM;
	vm->store->code_data = &vm->options.code;
	if (!vm->options.cache || vm->options.code.via == VM_INTERPRETED)
		return 0;
	if (vm->options.profile)
		vm->options.code.profile = vm_profile_open(&vm->options);
	return cache_open(&vm->options.code.cache, vm->options.cache, NULL);
}

int vm_init(struct vm *vm, const struct vm_options *options, struct err *err)
{
	int result = vm_prepare(err);

	*vm = (struct vm){ 0 };
	if (result < 0)
		return result;
	if (options)
		vm->options = *options;
	vm->options.code.cache = NULL;
	vm->options.code.profile = NULL;
	if (!vm->options.host)
		vm->options.host = &vm_host;
	result = vm_open(vm);
	if (result >= 0)
		return 0;
	vm_fini(vm);
	return err_set(err, result, "make a byte-code VM");
}

/* Instances point to modules, and these to code in the cache. */
void vm_fini(struct vm *vm)
{
	struct vm_module *at = vm->modules, *next;

	vm_profile_close(vm->options.code.profile);
	vm->options.code.profile = NULL;
	if (vm->store)
		wasm_store_free(vm->store);
	for (; at; at = next) {
		next = at->next;
		wasm_module_free(at->module);
		free(at->bytes);
		free(at);
	}
	if (vm->types)
		wasm_types_free(vm->types);
	vm_names_free(vm->names);
	cache_close(vm->options.code.cache);
	*vm = (struct vm){ 0 };
}

/* Takes the bytes over in any case. */
static int vm_load_bytes(struct vm *vm, const void *bytes, size_t len,
			 void *own, const struct wasm_load_options *options,
			 struct wasm_module **module, struct err *err)
{
	struct vm_module *loaded = calloc(1, sizeof *loaded);
	struct wasm_error error = { 0 };

	if (!loaded) {
		free(own);
		return err_set(err, -ENOMEM, "load a module");
	}
	if (wasm_module_load(&loaded->module, vm->options.host, vm->types,
			     bytes, len, options, &error) < 0) {
		free(loaded);
		free(own);
		return err_set(err, -EINVAL, "%s", error.text);
	}
	loaded->bytes = own;
	loaded->next = vm->modules;
	vm->modules = loaded;
	*module = loaded->module;
	return 0;
}

int vm_load_in_place(struct vm *vm, const void *bytes, size_t len,
		     struct wasm_module **module, struct err *err)
{
	return vm_load_bytes(vm, bytes, len, NULL, NULL, module, err);
}

static void vm_unload(struct vm *vm)
{
	struct vm_module *last = vm->modules;

	vm->modules = last->next;
	wasm_module_free(last->module);
	free(last->bytes);
	free(last);
}

/* What does not go well is done again in two steps, for the words of its
 * error, or since it has tail calls and needs other code. */
int vm_load_compiled(struct vm *vm, const void *bytes, size_t len,
		     struct wasm_module **module, struct err *err)
{
	static const struct wasm_load_options known = { .bodies_known = true };

	if (vm->options.code.via == VM_INTERPRETED ||
	    vm_load_bytes(vm, bytes, len, NULL, &known, module, NULL) < 0)
		return vm_load_in_place(vm, bytes, len, module, err);
	if (vm_code_prepare(vm, *module))
		return 0;
	vm_unload(vm);
	return vm_load_in_place(vm, bytes, len, module, err);
}

/* Bytes that were validated when the object that holds them was made. */
int vm_load_known(struct vm *vm, struct wasm_module **module)
{
	static const struct wasm_load_options known = { .bodies_known = true };
	struct vm_code *code = vm_code_find_known(vm);
	const void *bytes;
	uint64_t len;

	if (!code)
		return 0;
	bytes = vm_code_module_bytes(code, &len);
	if (vm_load_bytes(vm, bytes, len, NULL, &known, module, NULL) < 0) {
		vm_code_forget(code);
		return 0;
	}
	vm_code_attach(code, *module);
	return 1;
}

int vm_load(struct vm *vm, const void *bytes, size_t len,
	    struct wasm_module **module, struct err *err)
{
	void *own = malloc(len ? len : 1);

	if (!own)
		return err_set(err, -ENOMEM, "load a module of %zu bytes", len);
	if (len)
		memcpy(own, bytes, len);
	return vm_load_bytes(vm, own, len, own, NULL, module, err);
}

static struct wasm_name vm_name_of(const char *text)
{
	return (struct wasm_name){ .text = text,
				   .len = (uint32_t)strlen(text) };
}

int vm_define_named(struct vm *vm, struct wasm_name module,
		    struct wasm_name name, struct wasm_extern what,
		    struct err *err)
{
	int result = vm_names_set(vm->names, module, name, what);

	if (result < 0)
		return err_set(err, result, "define an import");
	return 0;
}

int vm_define(struct vm *vm, const char *module, const char *name,
	      struct wasm_extern what, struct err *err)
{
	return vm_define_named(vm, vm_name_of(module), vm_name_of(name), what,
			       err);
}

int vm_define_instance_named(struct vm *vm, struct wasm_name module,
			     struct wasm_instance *instance, struct err *err)
{
	const struct wasm_module *from = instance->module;

	for (uint32_t i = 0; i < from->export_count; i++) {
		const struct wasm_export *item = &from->exports[i];
		struct wasm_extern what =
			wasm_instance_extern(instance, item->kind, item->index);
		int result;

		if (what.kind == WASM_EXTERN_FUNCTION && !what.function)
			return err_set(err, -ENOMEM, "define an instance");
		result = vm_define_named(vm, module, item->name, what, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int vm_define_instance(struct vm *vm, const char *module,
		       struct wasm_instance *instance, struct err *err)
{
	return vm_define_instance_named(vm, vm_name_of(module), instance, err);
}

static wasm_type vm_type_of_letter(char letter)
{
	switch (letter) {
	case 'i': return WASM_I32;
	case 'l': return WASM_I64;
	case 'f': return WASM_F32;
	case 'd': return WASM_F64;
	case 'v': return WASM_V128;
	case 'r': return WASM_FUNCREF;
	case 'x': return WASM_EXTERNREF;
	}
	return WASM_NONE;
}

/* The types of the letters up to the end or ">"; the letters read, or -1. */
static int vm_signature_part(const char *letters, wasm_type types[16])
{
	int count = 0;

	while (letters[count] && letters[count] != '>') {
		if (count == 16)
			return -1;
		types[count] = vm_type_of_letter(letters[count]);
		if (types[count] == WASM_NONE)
			return -1;
		count++;
	}
	return count;
}

static int vm_signature_type(struct vm *vm, const char *signature,
			     uint32_t *type, struct err *err)
{
	wasm_type params[16], results[16];
	int param_count = vm_signature_part(signature, params),
	    result_count = 0;
	const char *rest = signature + (param_count < 0 ? 0 : param_count);

	if (param_count >= 0 && *rest == '>')
		result_count = vm_signature_part(rest + 1, results);
	if (param_count < 0 || result_count < 0)
		return err_set(err, -EINVAL, "\"%s\" is no signature",
			       signature);
	*type = wasm_types_function(vm->types, params, (uint32_t)param_count,
				    results, (uint32_t)result_count);
	return *type == WASM_NO_TYPE
		       ? err_set(err, -ENOMEM, "define a function")
		       : 0;
}

int vm_define_function(struct vm *vm, const char *module, const char *name,
		       const char *signature, wasm_host_call *call, void *env,
		       struct err *err)
{
	struct wasm_extern what = { .kind = WASM_EXTERN_FUNCTION };
	uint32_t type;
	int result = vm_signature_type(vm, signature, &type, err);

	if (result < 0)
		return result;
	what.function =
		wasm_host_function_new(vm->store, type, call, env, NULL);
	if (!what.function)
		return err_set(err, -ENOMEM, "define a function");
	return vm_define(vm, module, name, what, err);
}

/* import "env" "f": REASON */
static int vm_link_error(const struct wasm_import *import, const char *reason,
			 struct err *err)
{
	auto_buf struct buf text = { 0 };

	buf_text(&text, "import \"");
	vm_describe_name(import->module, &text);
	buf_text(&text, "\" \"");
	vm_describe_name(import->name, &text);
	buf_format(&text, "\": %s", reason);
	return err_set(err, -EINVAL, "%s", buf_string(&text));
}

static int vm_link_misfit(const struct vm *vm, const struct wasm_module *module,
			  const struct wasm_import *import,
			  const struct wasm_extern *given, struct err *err)
{
	auto_buf struct buf text = { 0 };

	buf_format(&text, "incompatible import type: %s ",
		   vm_describe_kind(import->kind));
	vm_describe_decl(module, import->kind, import->index, &text);
	buf_format(&text, " wanted, %s ", vm_describe_kind(given->kind));
	vm_describe_extern(vm->types, given, &text);
	buf_text(&text, " given");
	return vm_link_error(import, buf_string(&text), err);
}

static int vm_link(const struct vm *vm, const struct wasm_module *module,
		   struct wasm_extern *imports, struct err *err)
{
	for (uint32_t i = 0; i < module->import_count; i++) {
		const struct wasm_import *import = &module->imports[i];
		const struct wasm_extern *given =
			vm_names_get(vm->names, import->module, import->name);

		if (!given)
			return vm_link_error(import, "unknown import", err);
		if (!wasm_import_matches(module, i, given))
			return vm_link_misfit(vm, module, import, given, err);
		imports[i] = *given;
	}
	return 0;
}

/* The outermost call's deadline holds for all within it. */
static bool vm_begin(struct vm *vm, struct vm_run *run)
{
	bool outermost = !vm->deadline_ns && vm->options.timeout_ns > 0;

	if (outermost &&
	    __builtin_add_overflow((int64_t)clock_ns(), vm->options.timeout_ns,
				   &vm->deadline_ns))
		vm->deadline_ns = INT64_MAX;
	vm_enter(run, vm->store, vm->deadline_ns);
	if (vm->options.code.profile)
		vm_profile_begin(vm->options.code.profile, run->thread);
	return outermost;
}

static void vm_end(struct vm *vm, struct vm_run *run, bool outermost)
{
	vm_leave(run);
	if (outermost)
		vm->deadline_ns = 0;
}

static int vm_make_instance(struct vm *vm, const struct wasm_module *module,
			    const struct wasm_extern *imports,
			    const struct wasm_state *from,
			    struct wasm_instance **instance, struct err *err)
{
	struct wasm_error error = { 0 };
	struct vm_run run;
	bool outermost;
	int result;

	/* Code that comes with pages, before memories are made. */
	if (vm->options.code.cache)
		vm_code_prepare(vm, module);
	outermost = vm_begin(vm, &run);
	result = wasm_instantiate_from(vm->store, module, imports, from,
				       instance, &error);

	vm_end(vm, &run, outermost);
	return result < 0 ? err_set(err, -EINVAL, "%s", error.text) : result;
}

int vm_instantiate(struct vm *vm, const struct wasm_module *module,
		   struct wasm_instance **instance, struct err *err)
{
	return vm_instantiate_from(vm, module, NULL, instance, err);
}

int vm_check_imports(const struct vm *vm, const struct wasm_module *module,
		     struct err *err)
{
	struct wasm_extern *imports =
		calloc(module->import_count + 1, sizeof *imports);
	int result;

	if (!imports)
		return err_set(err, -ENOMEM, "look at a module's imports");
	result = vm_link(vm, module, imports, err);
	free(imports);
	return result;
}

int vm_instantiate_from(struct vm *vm, const struct wasm_module *module,
			const struct wasm_state *from,
			struct wasm_instance **instance, struct err *err)
{
	struct wasm_extern *imports;
	int result;

	*instance = NULL;
	imports = calloc(module->import_count + 1, sizeof *imports);
	if (!imports)
		return err_set(err, -ENOMEM, "make an instance");
	result = vm_link(vm, module, imports, err);
	if (result >= 0)
		result = vm_make_instance(vm, module, imports, from, instance,
					  err);
	free(imports);
	return result;
}

enum wasm_trap vm_call(struct vm *vm, struct wasm_function *function,
		       const union wasm_value *arguments,
		       union wasm_value *results)
{
	struct vm_run run;
	bool outermost = vm_begin(vm, &run);
	enum wasm_trap trap =
		wasm_call(vm->store, function, arguments, results);

	vm_end(vm, &run, outermost);
	return trap;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A VM with one module, from its text.  Everything here is "static", for one
 * test each. */
#pragma once
#include "base/buf.h"
#include "test.h"
#include "vm/vm.h"
#include "wat/wat.h"
#include <string.h>

struct made {
	struct vm vm;
	struct wasm_module *module;
	struct wasm_instance *instance;
};

static struct err made_err;

static int made_load(struct made *made, const char *text)
{
	auto_buf struct buf bytes = { 0 };

	made_err = (struct err){ 0 };
	if (wat_to_binary("test", text, strlen(text), &bytes, &made_err) < 0)
		return -1;
	return vm_load(&made->vm, bytes.data, bytes.len, &made->module,
		       &made_err);
}

static int made_instantiate(struct made *made)
{
	return vm_instantiate(&made->vm, made->module, &made->instance,
			      &made_err);
}

static bool made_open(struct made *made, const struct vm_options *options,
		      const char *text)
{
	*made = (struct made){ 0 };
	if (vm_init(&made->vm, options, &made_err) == 0 &&
	    made_load(made, text) == 0 && made_instantiate(made) == 0)
		return true;
	printf("# %s\n", made_err.text);
	return false;
}

static struct wasm_function *made_find(struct made *made, const char *name)
{
	struct wasm_extern found;

	if (!wasm_instance_export(made->instance, name, strlen(name), &found))
		return NULL;
	return found.function;
}

/* Calls an export of up to two i32 with one i32 result. */
static enum wasm_trap made_call(struct made *made, const char *name, uint32_t a,
				uint32_t b, uint32_t *result)
{
	union wasm_value arguments[2] = { { .i64 = a }, { .i64 = b } };
	union wasm_value results[2] = { 0 };
	enum wasm_trap trap =
		vm_call(&made->vm, made_find(made, name), arguments, results);

	if (result)
		*result = results[0].i32;
	return trap;
}

static void made_close(struct made *made)
{
	if (made->vm.store)
		vm_fini(&made->vm);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A program of byte code inside this one, through the standard C API: the
 * module asks the host to print the squares up to a number.
 *
 *	wasm [NUMBER]		5, where none is given
 *
 * The module's text:
 *
 *	(module
 *	  (import "host" "print" (func $print (param i32)))
 *	  (func (export "squares") (param $most i32) (result i32)
 *	    (local $i i32)
 *	    (loop $next
 *	      (local.set $i (i32.add (local.get $i) (i32.const 1)))
 *	      (call $print (i32.mul (local.get $i) (local.get $i)))
 *	      (br_if $next (i32.lt_s (local.get $i) (local.get $most))))
 *	    (local.get $i)))
 */
#include <stdio.h>
#include <stdlib.h>
#include <wasm.h>

/* clang-format off */
static const unsigned char squares[] = {
	0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0a, 0x02, 0x60,
	0x01, 0x7f, 0x00, 0x60, 0x01, 0x7f, 0x01, 0x7f, 0x02, 0x0e, 0x01, 0x04,
	0x68, 0x6f, 0x73, 0x74, 0x05, 0x70, 0x72, 0x69, 0x6e, 0x74, 0x00, 0x00,
	0x03, 0x02, 0x01, 0x01, 0x07, 0x0b, 0x01, 0x07, 0x73, 0x71, 0x75, 0x61,
	0x72, 0x65, 0x73, 0x00, 0x01, 0x0a, 0x20, 0x01, 0x1e, 0x01, 0x01, 0x7f,
	0x03, 0x40, 0x20, 0x01, 0x41, 0x01, 0x6a, 0x21, 0x01, 0x20, 0x01, 0x20,
	0x01, 0x6c, 0x10, 0x00, 0x20, 0x01, 0x20, 0x00, 0x48, 0x0d, 0x00, 0x0b,
	0x20, 0x01, 0x0b,
};
/* clang-format on */

/* What the module imports.  A callback may end the call with a trap. */
static wasm_trap_t *print(const wasm_val_vec_t *arguments,
			  wasm_val_vec_t *results)
{
	(void)results;
	printf("%d\n", arguments->data[0].of.i32);
	return NULL;
}

static void tell_trap(const wasm_trap_t *trap)
{
	wasm_message_t message;

	wasm_trap_message(trap, &message);
	fprintf(stderr, "wasm: %s\n", message.data);
	wasm_byte_vec_delete(&message);
}

static wasm_module_t *load(wasm_store_t *store)
{
	wasm_byte_vec_t bytes;
	wasm_module_t *module;

	wasm_byte_vec_new(&bytes, sizeof squares, (const char *)squares);
	module = wasm_module_new(store, &bytes);
	wasm_byte_vec_delete(&bytes);
	return module;
}

/* The imports are given in the order in which the module names them. */
static wasm_instance_t *start(wasm_store_t *store, const wasm_module_t *module,
			      wasm_trap_t **trap)
{
	wasm_functype_t *type = wasm_functype_new_1_0(wasm_valtype_new_i32());
	wasm_func_t *func = wasm_func_new(store, type, print);
	wasm_extern_t *imports[] = { wasm_func_as_extern(func) };
	wasm_extern_vec_t given = WASM_ARRAY_VEC(imports);
	wasm_instance_t *instance =
		wasm_instance_new(store, module, &given, trap);

	wasm_func_delete(func);
	wasm_functype_delete(type);
	return instance;
}

static wasm_trap_t *call(const wasm_instance_t *instance, int32_t number)
{
	wasm_val_t argument[] = { WASM_I32_VAL(number) };
	wasm_val_t result[] = { WASM_INIT_VAL };
	wasm_val_vec_t arguments = WASM_ARRAY_VEC(argument);
	wasm_val_vec_t results = WASM_ARRAY_VEC(result);
	wasm_extern_vec_t exports;
	wasm_trap_t *trap;

	wasm_instance_exports(instance, &exports);
	trap = wasm_func_call(wasm_extern_as_func(exports.data[0]), &arguments,
			      &results);
	if (!trap)
		printf("%d squares\n", result[0].of.i32);
	wasm_extern_vec_delete(&exports);
	return trap;
}

int main(int argc, char **argv)
{
	wasm_engine_t *engine = wasm_engine_new();
	wasm_store_t *store = engine ? wasm_store_new(engine) : NULL;
	wasm_module_t *module = store ? load(store) : NULL;
	wasm_trap_t *trap = NULL;
	wasm_instance_t *instance = module ? start(store, module, &trap) : NULL;
	int status;

	if (instance)
		trap = call(instance, argc > 1 ? atoi(argv[1]) : 5);
	if (trap)
		tell_trap(trap);
	status = instance && !trap ? 0 : 1;
	wasm_trap_delete(trap);
	wasm_instance_delete(instance);
	wasm_module_delete(module);
	wasm_store_delete(store);
	wasm_engine_delete(engine);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A byte-code VM in this process: the engine's core with memory by mmap and
 * guard pages, a fault handler, deadlines, and modules linked by name.
 *
 *	struct vm vm;
 *	vm_init(&vm, &options, &err);
 *	vm_load(&vm, bytes, len, &module, &err);
 *	vm_link_module / wasi_define (&vm, ...);
 *	vm_instantiate(&vm, module, &instance, &err);
 *	wasm_call(vm.store, function, arguments, results);
 *	vm_fini(&vm);
 *
 * One VM belongs to one thread at a time; any number of VMs may live in a
 * process, in any threads. */
#pragma once
#include "base/err.h"
#include "wasm/heap.h"
#include "wasm/instance.h"

struct vm_options {
	struct wasm_store_options store;
	int64_t timeout_ns; /* of each outermost call; 0: none */
};

struct vm_name; /* what is defined under a module's and an item's name */
struct vm {
	struct wasm_types *types;
	struct wasm_store *store;
	struct vm_options options;
	struct vm_name *names;
	int64_t deadline_ns; /* of the call that runs, 0: none */
	struct wasm_module **modules;
	size_t module_count;
};

int vm_init(struct vm *vm, const struct vm_options *options, struct err *err);
void vm_fini(struct vm *vm);
/* The module belongs to the VM, and so does a copy of the bytes. */
int vm_load(struct vm *vm, const void *bytes, size_t len,
	    struct wasm_module **module, struct err *err);
/* Names one thing, or all exports of an instance. */
int vm_define(struct vm *vm, const char *module, const char *name,
	      struct wasm_extern what, struct err *err);
int vm_define_instance(struct vm *vm, const char *module,
		       struct wasm_instance *instance, struct err *err);
/* A host function of a signature in letters, "il>i" (i l f d v, r funcref,
 * x externref). */
int vm_define_function(struct vm *vm, const char *module, const char *name,
		       const char *signature, wasm_host_call *call, void *env,
		       struct err *err);
/* Finds the imports among what is defined.  0; > 0 a trap (enum wasm_trap) of
 * segments or start; < 0 with err. */
int vm_instantiate(struct vm *vm, const struct wasm_module *module,
		   struct wasm_instance **instance, struct err *err);
/* wasm_call with the VM's deadline set. */
enum wasm_trap vm_call(struct vm *vm, struct wasm_function *function,
		       const union wasm_value *arguments,
		       union wasm_value *results);
/* "trap: integer divide by zero" and the call trace, a line a frame. */
struct buf;
void vm_describe_trap(struct vm *vm, enum wasm_trap trap, struct buf *text);

/* The hooks of a process, for those who use the core themselves. */
extern const struct wasm_host vm_host;

/* SPDX-License-Identifier: Apache-2.0 */
/* --init: a snapshot of what a module's function leaves, found or made. */
#pragma once
#include "vm/vm.h"
#include "vm/wasi.h"

struct init {
	struct vm_snapshot *snapshot;
	struct wasi *wasi; /* the function's */
	bool is_found;	   /* nothing ran */
};

/* The standard streams that there are, -1 for others; asked before anything is
 * opened, which may get their numbers. */
void init_stdio(int stdio[3]);
/* 0, or an exit code; what is wrong has been told.  Where the function has to
 * run it gets the standard streams, and nothing else. */
int init_open(struct init *init, struct vm *vm,
	      const struct wasm_module *module, const char *function,
	      const char *file, const int stdio[3]);
/* Tells how code has ended, as an exit code. */
int init_end(struct vm *vm, const char *file, enum wasm_trap trap);
/* Before the VM's end; the rest after it. */
void init_close(struct init *init);
void init_fini(struct init *init);

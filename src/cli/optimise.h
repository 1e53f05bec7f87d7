/* SPDX-License-Identifier: Apache-2.0 */
/* brood compile --optimise: a module's functions by the other compiler. */
#pragma once
#include "cli/hot.h"
#include "vm/vm.h"
#include <stdbool.h>

struct optimise_options {
	const char *which; /* NULL: not at all; "" */
	long cpu_ms, chunk_ms, memory_bytes, jobs;
	bool verbose, quiet, json;
	/* NULL, or what has come of it. */
	struct hot_made *made;
};
void optimise_usual(struct optimise_options *options);

/* The compiler, if it is there and runs: malloced; else it is told what to
 * install. */
char *optimise_find(void);
/* A module whose code the VM's cache may have already.  The exit code. */
int optimise_module(struct vm *vm, const struct wasm_module *module,
		    const char *path, const char *program,
		    const struct optimise_options *options);

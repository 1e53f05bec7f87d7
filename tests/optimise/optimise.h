/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: what "brood compile --optimise" does with one module, with the
 * compiler's own functions (src/aotc) in this process, where it takes some
 * milliseconds.  The code comes to the VM that runs it from its cache, as
 * always. */
#pragma once
#include "vm/vm.h"

/* Told together, for many modules. */
struct optimise_sum {
	uint64_t functions, made;
	uint64_t why_left; /* bytes of "left" that are used */
	char left[16384];  /* a line for each function: why it was left out */
};

struct optimise;
/* "place" is the cache's folder.  seed: 0, all functions; else about half of
 * them, by the module and the seed. */
int optimise_open(struct optimise **optimise, const char *place, uint64_t seed,
		  const struct vm_code_options *code, struct err *err);
void optimise_close(struct optimise *optimise);
/* The module is good.  >= 0: how many of its functions are optimised. */
int optimise_module(struct optimise *optimise, const void *bytes, size_t len,
		    struct optimise_sum *sum, struct err *err);
/* How many functions of the VM's code for the module are, or < 0: it is not
 * from its cache. */
int optimise_count(struct vm *vm, const struct wasm_module *module);

/* SPDX-License-Identifier: Apache-2.0 */
/* A module made ready for domains on the host: found in the code cache, or
 * validated, compiled and put there, as a process would do it.  Where no code
 * may be made, or none is wanted, it is its bytes, and is interpreted.  CLAIM 3.1 */
#pragma once
#include "domain/domain.h"
#include "vm/vm.h"

struct program {
	struct vm *vm; /* whose the module is: its cache, its words */
	struct wasm_module *module;
	struct domain_code code;
	enum vm_way way; /* VM_BY_MAPPED, VM_BY_COMPILED, VM_BY_INTERPRETER */
	const char *why; /* of the interpreter */
	uint8_t *pages;	 /* the bytes alone, from a page on */
	uint64_t pages_bytes;
};
/* Of a module that the VM has loaded, as its options say (via, cache, fuel);
 * both stay as long as the program. */
int program_open(struct program *program, struct vm *vm,
		 struct wasm_module *module, struct err *err);
void program_close(struct program *program);
/* "trap: ..." and a line for each frame; the domain has loaded this program
 * as its module number "number". */
struct buf;
void program_describe(struct program *program, uint32_t number,
		      const struct domain_outcome *outcome, struct buf *text);
/* Defines in the VM what a domain offers besides WASI, so that
 * vm_check_imports has the words for what does not link. */
int program_define(struct vm *vm, struct err *err);

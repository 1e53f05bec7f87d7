/* SPDX-License-Identifier: Apache-2.0 */
/* A module made ready for domains on the host: found in the code cache, or
 * validated, compiled and put there, as a process would do it.  Where no code
 * may be made, or none is wanted, it is its bytes, and is interpreted. */
#pragma once
#include "domain/domain.h"
#include "vm/vm.h"

struct program {
	struct vm vm; /* the cache, and what describes traps */
	struct wasm_module *module;
	struct domain_code code;
	enum vm_way way; /* VM_BY_MAPPED, VM_BY_COMPILED, VM_BY_INTERPRETER */
	const char *why; /* of the interpreter */
	uint8_t *pages;	 /* the bytes alone, from a page on */
	uint64_t pages_bytes;
};
/* As vm_options say: via, cache, source, fuel, without_features.  The bytes
 * stay as long as the program; NULL: only what the cache knows of the source,
 * and -ENOENT where it knows nothing. */
int program_open(struct program *program, const struct vm_options *options,
		 const void *bytes, size_t len, struct err *err);
void program_close(struct program *program);
/* "trap: ..." and a line for each frame; the domain has loaded this program
 * as its module number "number". */
struct buf;
void program_describe(struct program *program, uint32_t number,
		      const struct domain_outcome *outcome, struct buf *text);
/* Why it does not link with what a domain offers; 0: it does. */
int program_check_imports(struct program *program, struct wasi *wasi,
			  struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* What is defined in a VM, by the names of its module and of itself. */
#pragma once
#include "vm/vm.h"

struct vm_names *vm_names_new(void); /* NULL without memory */
void vm_names_free(struct vm_names *names);
/* Copies the names.  0, -ENOMEM. */
int vm_names_set(struct vm_names *names, struct wasm_name module,
		 struct wasm_name name, struct wasm_extern what);
/* NULL: nothing has that name. */
const struct wasm_extern *vm_names_get(const struct vm_names *names,
				       struct wasm_name module,
				       struct wasm_name name);

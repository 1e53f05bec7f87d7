/* SPDX-License-Identifier: Apache-2.0 */
/* SIMD */
#include "jit/compile.h"

bool jit_vector_operation(struct jit_compiler *c, unsigned operation,
			  const struct wasm_immediates *immediates)
{
	(void)c;
	(void)operation;
	(void)immediates;
	return false;
}

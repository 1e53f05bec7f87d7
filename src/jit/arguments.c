/* SPDX-License-Identifier: Apache-2.0 */
/* Where each argument of a call is, in a register or on the stack: for the
 * compiler, and for who enters its code and is called by it. */
#include "jit/compile.h"

unsigned jit_type_of(wasm_type type)
{
	switch (type) {
	case WASM_I32: return T_I32;
	case WASM_F32: return T_F32;
	case WASM_F64: return T_F64;
	case WASM_V128: return T_V128;
	default: return T_I64;
	}
}

const uint8_t jit_argument_registers[ARGUMENT_GENERAL] = { RDI, RSI, RDX,
							   RCX, R8,  R9 };

unsigned jit_argument_next(struct argument_places *places, unsigned type,
			   uint32_t *offset)
{
	if (file_of(type) == GENERAL && places->general < ARGUMENT_GENERAL)
		return jit_argument_registers[places->general++];
	if (file_of(type) == VECTOR && places->vector < ARGUMENT_VECTOR)
		return places->vector++;
	if (type == T_V128)
		places->bytes = (places->bytes + 15) & ~15u;
	*offset = places->bytes;
	places->bytes += type == T_V128 ? 16 : 8;
	return NO_REG;
}

uint32_t jit_argument_bytes(const struct wasm_deftype *type)
{
	struct argument_places places = { 0 };
	uint32_t offset;

	for (uint32_t i = 0; i < type->param_count; i++)
		jit_argument_next(&places, jit_type_of(type->params[i]),
				  &offset);
	return (places.bytes + 15) & ~15u;
}

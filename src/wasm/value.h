/* SPDX-License-Identifier: Apache-2.0 */
/* A value of WebAssembly in host memory, and what a reference is.
 *
 * One slot has 16 bytes, whatever it holds, so that vectors need no rule of
 * their own.  32-bit values are written as 64 bits, the upper half zero.
 *
 * A reference is a 64-bit word:
 *	0			null of any type
 *	...1			i31: bits 1 to 31
 *	..10			a host's word (62 bits), for extern and any
 *	pointer (..00)		struct wasm_object, struct wasm_function, or
 *				struct wasm_exception, as its type says
 * extern.convert_any and any.convert_extern keep the word. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef uint8_t wasm_v128 __attribute__((vector_size(16)));
typedef uint64_t wasm_ref;

union wasm_value {
	uint32_t i32;
	uint64_t i64;
	float f32;
	double f64;
	wasm_ref ref;
	wasm_v128 v128;
	uint64_t words[2];
};
_Static_assert(sizeof(union wasm_value) == 16, "one slot");

static inline wasm_ref wasm_ref_of_i31(uint32_t value)
{
	return (uint64_t)(value & 0x7fffffff) << 1 | 1;
}

static inline int wasm_ref_is_i31(wasm_ref ref)
{
	return ref & 1;
}

static inline wasm_ref wasm_ref_of_host(uint64_t word)
{
	return word << 2 | 2;
}

static inline int wasm_ref_is_host(wasm_ref ref)
{
	return (ref & 3) == 2;
}

static inline uint64_t wasm_ref_host(wasm_ref ref)
{
	return ref >> 2;
}

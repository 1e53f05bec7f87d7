/* SPDX-License-Identifier: Apache-2.0 */
/* Valid modules made of any bytes, to be run by two engines whose results
 * have to be equal.
 *
 * A module exports "r0", "r1", ... without parameters: each calls functions
 * of the module and returns an i64 that hashes their results, the globals
 * and the memory.  Whatever an engine may choose is not seen: NaNs are made
 * one before they are looked at as bits, loops and calls use up a counter,
 * so that they end soon and no stack runs out. */
#pragma once
#include "base/buf.h"
#include <stddef.h>
#include <stdint.h>

enum generate_feature {
	GENERATE_SIMD = 1 << 0,
	GENERATE_TAIL_CALLS = 1 << 1,
	GENERATE_ATOMICS = 1 << 2,
	GENERATE_EXCEPTIONS = 1 << 3,
	GENERATE_GC = 1 << 4, /* typed references too */
	GENERATE_MULTI_MEMORY = 1 << 5,
	GENERATE_MEMORY64 = 1 << 6,
	GENERATE_WIDE = 1 << 7,
	GENERATE_RELAXED = 1 << 8, /* engines may differ: for one alone */
	GENERATE_IMPORTS = 1 << 9,
	GENERATE_ALL = (1 << 10) - 1,
};

/* counts: NULL, or of each enum wasm_operation how often it was written. */
void generate_module(const uint8_t *entropy, size_t len, uint32_t features,
		     struct buf *binary, uint32_t *counts);
/* The bytes of a number: the same everywhere. */
void generate_entropy(uint64_t seed, uint8_t *bytes, size_t len);

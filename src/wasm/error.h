/* SPDX-License-Identifier: Apache-2.0 */
/* Why a module was refused, in one line: "function 12 \"main\" at 0x1f3: type
 * mismatch: i32 expected, f64 found".  Fixed size, no allocation, and a
 * formatter of its own, because the engine stands on nothing but mem*. */
#pragma once
#include <stdint.h>

enum { WASM_NO_FUNCTION = UINT32_MAX };

struct wasm_error {
	uint64_t offset;   /* into the module's bytes */
	uint32_t function; /* its index, or WASM_NO_FUNCTION */
	char text[240];	   /* whole line, "" when nothing failed */
};

/* Sets the text at "offset" and returns -1, to stand behind "return".  The
 * format knows %s %u (uint32_t) %d (int32_t) %U (uint64_t) %x (uint32_t)
 * and %X (uint64_t).  The first error stays. */
int wasm_error_set(struct wasm_error *error, uint64_t offset,
		   const char *format, ...);
/* The formatter alone; always ends with 0, returns the length. */
uint32_t wasm_format(char *text, uint32_t room, const char *format, ...);

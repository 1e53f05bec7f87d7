/* SPDX-License-Identifier: Apache-2.0 */
/* Why a module was refused, in one line: "function 12 \"main\" at 0x1f3: type
 * mismatch: i32 expected, f64 found".  Fixed size, no allocation, and a
 * formatter of its own, because the engine stands on nothing but mem*. */
#pragma once
#include <stdarg.h>
#include <stdint.h>

enum { WASM_NO_FUNCTION = UINT32_MAX };

struct wasm_error {
	uint64_t offset;   /* into the module's bytes */
	uint32_t function; /* its index, or WASM_NO_FUNCTION */
	uint32_t reason;   /* where in "text" the place ends */
	char text[240];	   /* whole line, "" when nothing failed */
};

/* Sets the text at "offset" and returns -1, to stand behind "return".  The
 * format knows %s %u (uint32_t) %d (int32_t) %U (uint64_t) %x (uint32_t)
 * and %X (uint64_t).  The first error stays.  An offset of 0 is not told. */
int wasm_error_set(struct wasm_error *error, uint64_t offset,
		   const char *format, ...);
int wasm_error_set_list(struct wasm_error *error, uint64_t offset,
			const char *format, va_list list);
/* Says in which function it was; "name" of "len" bytes may be empty. */
void wasm_error_in_function(struct wasm_error *error, uint32_t function,
			    const char *name, uint32_t len);
/* The formatter alone; always ends with 0, returns the length. */
uint32_t wasm_format(char *text, uint32_t room, const char *format, ...);
uint32_t wasm_format_list(char *text, uint32_t room, const char *format,
			  va_list list);

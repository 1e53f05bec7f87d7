/* SPDX-License-Identifier: Apache-2.0 */
/* The text format of WebAssembly: to bytes and back, and scripts (.wast) for
 * those who run tests.  Errors are one line: "file.wat:12:5: unknown type". */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "wasm/module.h"

/* A module in text, "(module ...)" or its fields alone; "(module binary ..)"
 * and "(module quote ..)" too.  "name" is for messages; binary is empty before,
 * and after an error.  Names go to the section "name". */
int wat_to_binary(const char *name, const char *text, size_t len,
		  struct buf *binary, struct err *err);
/* The text of a loaded module; functions, locals, ... get their names from
 * the section "name".  -EFBIG where it would be longer than 64 times the
 * module and 1 MiB: a few bytes may declare thousands of locals, and name
 * something long. */
int wat_from_binary(const struct wasm_module *module, struct buf *text,
		    struct err *err);

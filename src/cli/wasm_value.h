/* SPDX-License-Identifier: Apache-2.0 */
/* Values of WebAssembly in words: what a user gives as arguments, and how
 * results are shown. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "wasm/type.h"

int wasm_value_parse(const char *word, wasm_type type, union wasm_value *value,
		     struct err *err);
void wasm_value_show(union wasm_value value, wasm_type type, struct buf *text);

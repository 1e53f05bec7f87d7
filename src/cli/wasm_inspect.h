/* SPDX-License-Identifier: Apache-2.0 */
/* What a module consists of, for people and for programs. */
#pragma once
#include "base/buf.h"
#include "wasm/module.h"

void wasm_inspect_text(const struct wasm_module *module, struct buf *text);
void wasm_inspect_json(const struct wasm_module *module, struct buf *text);

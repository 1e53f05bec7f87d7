/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways of playing share. */
#pragma once
#include "fuzz/play.h"

/* What modules import, as byte code; beside a table and a type $none. */
#define PLAY_FUNCTIONS                                      \
	" (func (export \"mix\") (param i64) (result i64)"  \
	"  (i64.add (i64.mul (local.get 0) (i64.const 31))" \
	"   (i64.const 7)))"                                \
	" (func (export \"swap\") (param i32 f64 i64)"      \
	"  (result i64 f64 i32)"                            \
	"  (local.get 2) (local.get 1) (local.get 0))"      \
	" (func (export \"apply\") (param funcref)"         \
	"  (table.set (i32.const 0) (local.get 0))"         \
	"  (return_call_indirect (type $none) (i32.const 0)))"

bool play_in_domain(const void *bytes, size_t len, const struct play *play,
		    struct buf *text);

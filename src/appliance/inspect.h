/* SPDX-License-Identifier: Apache-2.0 */
/* All that can be told of an installed application. */
#pragma once
#include "appliance/context.h"
#include "base/buf.h"

int inspect_show(const struct context *context, bool as_json, struct buf *out,
		 struct err *err);
/* Fails with the first thing that is wrong; out tells what was looked at. */
int inspect_verify(const struct context *context, bool as_json, struct buf *out,
		   struct err *err);

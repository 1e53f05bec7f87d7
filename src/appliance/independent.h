/* SPDX-License-Identifier: Apache-2.0 */
/* An application on its own: when the share fails it goes on from what this
 * host has, and owes the share nothing.				CLAIM 4.14 */
#pragma once
#include "appliance/context.h"
#include "appliance/load.h"

/* From, in order: the copy that the install has kept; the program that was
 * there before the install; the appliance itself.  *full: the program, where
 * it is that; otherwise loaded is what to start.  *source names it. */
int independent_find(const struct context *context, const char *entry,
		     struct loaded *loaded, const char **full,
		     const char **source, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* An application on its own: when the share fails it goes on from what this
 * host has, and owes the share nothing.				CLAIM 4.14 */
#pragma once
#include "appliance/context.h"
#include "appliance/load.h"

/* In the order in which they are tried: the copy that the install has kept;
 * the program that was there before the install; the appliance itself. */
enum independent_source {
	INDEPENDENT_COPY,
	INDEPENDENT_FULL,
	INDEPENDENT_APPLIANCE,
	INDEPENDENT_SOURCES
};
extern const char *const independent_sources[INDEPENDENT_SOURCES];

/* *full: the program, of INDEPENDENT_FULL; of others loaded is what to start.
 * -ENOENT and no words: this context has no such source. */
int independent_look(const struct context *context,
		     enum independent_source source, const char *entry,
		     int left_ms, struct loaded *loaded, const char **full,
		     struct err *err);

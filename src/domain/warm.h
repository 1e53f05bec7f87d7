/* SPDX-License-Identifier: Apache-2.0 */
/* Warm states: a program that has run to where it begins to be of use, kept
 * under a name.  A tip's layers are then
 *
 *	base		the guest, booted
 *	difference	the module, instantiated
 *	difference	the program, warm; and more of them, each begun from
 *			the one before
 *
 * and its disk is the program's code, so that the tip needs nothing else.
 *								CLAIM 2.9 3.10 */
#pragma once
#include "domain/ready.h"

struct warm_options {
	const struct images *images;
	const char *name; /* of the new tip */
	const char *from; /* a tip to begin from; NULL: the program */
	/* Of these one. */
	enum domain_until until;
	const char *function; /* an export without parameters */
	int64_t deadline_ns;  /* 0: none */
};
struct warm_told {
	uint32_t layers;
	uint64_t layer_bytes, state_bytes, code_bytes;
	enum domain_point point;
};
/* Runs it and keeps it.  0; > 0: it ended or trapped before it was warm,
 * *outcome tells how.  The ready is of the program, or of the tip "from". */
int warm_make(struct ready *ready, const struct warm_options *options,
	      struct wasi *wasi, struct warm_told *told,
	      struct domain_outcome *outcome, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* Plays a generated module (generate.h) on this engine, and tells what came
 * of it, a line an export: "r0 18446744073709551615" or "r1 trap: TEXT". */
#pragma once
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct play {
	bool checked;  /* memories that do not fault: each access is checked */
	bool counted;  /* with fuel, more than enough */
	bool stressed; /* a collection at each object */
	bool linked;   /* imports are of another instance, not of the host */
	bool compiled; /* else interpreted */
	/* In a domain: imports are of another instance, memories are not
	 * checked, nothing is stressed. */
	bool in_domain;
	/* A line with a hash of the instance's memories, globals and tables
	 * behind each export's: also after traps.  Not in domains. */
	bool state;
	const char *cache; /* the folder that code is taken from; NULL: none */
	/* Compiled without these: enum jit_without, enum code_feature. */
	uint32_t without, without_features;
};

/* false: it was not valid, and the text says why. */
bool play_module(const void *bytes, size_t len, const struct play *play,
		 struct buf *text);

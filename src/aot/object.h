/* SPDX-License-Identifier: Apache-2.0 */
/* What brood-aotc answers (aot/request.h), read: the functions of one ELF
 * object, and their constants.  The object is hostile: all that it names is
 * looked for within it, and what is not known here is refused.
 *
 *	.text.fN	function N, all of it; the symbol fN is its begin
 *	.rodata*	constants, laid one behind the other
 *	relocations	R_X86_64_PC32 and PLT32 of these two: in functions to
 *			functions, traps and constants, in constants (tables
 *			of jumps) to functions of the object
 *
 * Sections that are there for linkers and debuggers are passed over; there
 * is nothing that can be written. */
#pragma once
#include "base/err.h"
#include "jit/jit.h"
#include <stddef.h>

enum {
	AOT_OBJECT_MOST = 256 * 1024 * 1024, /* bytes of one */
	AOT_ALIGNED = 64		     /* its constants, at the most */
};

struct aot_wanted {
	uint32_t imported, function_count; /* of the module */
	const uint32_t *functions;	   /* that it may have, ascending */
	uint32_t count;
};

/* All of it is its own: the bytes that it was read from may go. */
struct aot_object {
	struct jit_made *made; /* ascending */
	uint32_t made_count;
	uint8_t *constants;
	uint64_t constant_bytes;
	struct jit_made_site *constant_sites;
	uint32_t constant_site_count;
	/* What "made" points into. */
	uint8_t *text;
	struct jit_made_site *sites;
};

/* Without bytes it is one without functions.  On failure it has nothing that
 * must be freed. */
int aot_object_read(struct aot_object *object, const void *bytes, size_t len,
		    const struct aot_wanted *wanted, struct err *err);
void aot_object_fini(struct aot_object *object);

/* SPDX-License-Identifier: Apache-2.0 */
/* What brood-aotc is asked and answers.  It reads one request from descriptor
 * 0 and writes one ELF object (relocatable, x86-64) to descriptor 1; words for
 * people go to descriptor 2.
 *
 *	struct aot_request
 *	uint32_t functions[function_count]	 to be compiled, ascending
 *	the module's bytes
 *
 * The object has for each function that was compiled a section ".text.fN" with
 * a symbol "fN" at its begin, N its index in the module.  Other symbols that it
 * names: "fN" of functions that are not in it, where they are called from their
 * own module, and "tN", the stub of trap N.  Constants are in sections
 * ".rodata*".  There are no other relocations than R_X86_64_PC32 and PLT32.
 * Functions that it leaves out stay as they are; a line "fN: why" on descriptor
 * 2 tells of each.
 *
 * Both sides are of one build. */
#pragma once
#include <stdint.h>

#define AOT_MAGIC "BROODAOT"
enum { AOT_VERSION = 1 };

struct aot_request {
	char magic[8];
	uint32_t version;
	uint32_t options, features; /* enum code_option, enum code_feature */
	uint32_t function_count;
	uint64_t module_bytes;
};
_Static_assert(sizeof(struct aot_request) == 32, "no gaps");

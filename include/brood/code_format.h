/* SPDX-License-Identifier: Apache-2.0 */
/* A code object: one module's machine code in a file that is mapped and run
 * where it lies, at any address, by any number of processes.  It holds no
 * address and needs no relocation.
 *
 *	struct code_header
 *	struct code_function functions[function_count + 1]
 *	struct code_landing landings[landing_count]
 *	struct code_run runs[run_count]
 *	padding up to a page
 *	text: stubs, then the functions in their order, literals behind each
 *	padding up to a page
 *	the module
 *	padding up to a page
 *	pages of the runs, one run behind the other
 *
 * Who has the object needs nothing else to run the module: its bytes are in
 * it, and have been validated, and so are the pages that its memories begin
 * with, which are mapped copy-on-write.
 *
 * The order of bytes is the machine's.  Offsets count from the begin of the
 * file, those in tables from the begin of the text. */
#pragma once
#include <stdint.h>

#define CODE_MAGIC "\177BROODC" /* and its end, 8 bytes */
enum {
	CODE_VERSION = 2,
	CODE_PAGE = 4096,
	CODE_KEY_BYTES = 32,
	CODE_SUM_BYTES = 32,
	CODE_STUB_BYTES = 16, /* each */
	/* Bytes that a function called through a pointer has more at its
	 * begin than one that is called from its own module. */
	CODE_WAY_IN = 4,
};

enum code_option {
	CODE_CHECKED = 1 << 0, /* memory 0 has no guard: each access looks */
	CODE_FUEL = 1 << 1,    /* calls and turns of loops are counted */
	CODE_TAILS = 1 << 2,   /* has tail calls */
};

/* What the code may use of the CPU; all needs x86-64-v2. */
enum code_feature {
	CODE_AVX = 1 << 0,
	CODE_AVX2 = 1 << 1,
	CODE_BMI1 = 1 << 2,
	CODE_BMI2 = 1 << 3,
	CODE_LZCNT = 1 << 4,
	CODE_FMA = 1 << 5,
	CODE_AVX512 = 1 << 6, /* F, BW, DQ and VL */
};

struct code_header {
	char magic[8];
	uint32_t version, header_bytes;
	/* Of the module's bytes, the engine that made this, options and
	 * features. */
	uint8_t key[CODE_KEY_BYTES];
	uint8_t sum[CODE_SUM_BYTES]; /* of the file, this field as zero */
	uint32_t options, features;
	uint32_t function_count, landing_count;
	uint64_t functions_at, landings_at;
	uint64_t text_at, text_bytes;
	uint64_t file_bytes;
	uint64_t without; /* for tests: how it was compiled */
	/* The module's bytes, validated by who compiled it, from a page on;
	 * 0: they are not here. */
	uint64_t module_at, module_bytes;
	/* What memories begin with: the pages from a page on, behind all but
	 * the state. */
	uint32_t run_count, reserved_too; /* 0 */
	uint64_t runs_at;
	uint64_t pages_at, page_count;
	uint64_t reserved; /* 0 */
};
_Static_assert(sizeof(struct code_header) == 200, "part of the format");

/* A defined function, in the module's order; the last one is their end. */
struct code_function {
	uint32_t at;	  /* where it is called through a pointer */
	uint32_t landing; /* its first one; they end where the next's begin */
};

/* Pages of a memory, ascending and disjoint; all others are zero.  Their
 * content is in the object's pages, in the order of the runs. */
struct code_run {
	uint64_t page, count; /* of CODE_PAGE bytes, in the memory; > 0 */
	uint64_t file_page;   /* the first one among the object's pages */
	uint32_t memory, reserved;
};
_Static_assert(sizeof(struct code_run) == 32, "part of the format");

/* What a try_table catches, innermost and first first. */
struct code_landing {
	uint32_t from, to; /* return addresses r of calls: from < r <= to */
	uint32_t target;
	uint32_t tag; /* index in the module, or CODE_CATCH_ALL */
};
#define CODE_CATCH_ALL UINT32_MAX

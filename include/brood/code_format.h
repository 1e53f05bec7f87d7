/* SPDX-License-Identifier: Apache-2.0 */
/* A code object: one module's machine code in a file that is mapped and run
 * where it lies, at any address, by any number of processes.  It holds no
 * address and needs no relocation.
 *
 *	struct code_header
 *	struct code_function functions[function_count + 1]
 *	struct code_landing landings[landing_count]
 *	struct code_run runs[run_count]
 *	a bit for each function, those of the optimising compiler set, in
 *	whole 8 bytes, the first in the lowest; not there if none is
 *	struct code_state, if it is a snapshot
 *	padding up to a page
 *	text: stubs, then the functions in their order, literals behind each,
 *	then the constants of those that are optimised
 *	padding up to a page
 *	the module
 *	padding up to a page
 *	pages of the runs, one run behind the other
 *
 * Who has the object needs nothing else to run the module: its bytes are in
 * it, and have been validated, and so are the pages that its memories begin
 * with, which are mapped copy-on-write.
 *
 * An object may have the state of an instance instead of text and module: a
 * snapshot of what a function of the module's has left.
 *
 * The order of bytes is the machine's.  Offsets count from the begin of the
 * file, those in tables from the begin of the text. */
#pragma once
#include <stdint.h>

#define CODE_MAGIC "\177BROODC" /* and its end, 8 bytes */
enum {
	CODE_VERSION = 3,
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
	uint32_t run_count, optimised_count; /* bits that are set */
	uint64_t runs_at;
	uint64_t pages_at, page_count;
	uint64_t state_at, state_bytes; /* behind the runs; 0: no snapshot */
	uint64_t optimised_at;		/* 0: no function is */
};
_Static_assert(sizeof(struct code_header) == 216, "part of the format");

static inline uint64_t code_optimised_bytes(const struct code_header *header)
{
	return ((uint64_t)header->function_count + 63) / 64 * 8;
}

/* A defined function, in the module's order; the last one is their end.  One
 * that is optimised has no landings. */
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

/* What an instance is besides its memories' pages.  Behind it:
 *
 *	struct code_value globals[global_count]	 own ones
 *	uint64_t memory_bytes[memory_count]
 *	struct code_list lists[list_count]	 tables, then element segments
 *	uint32_t items[item_count]		 of the lists, in their order
 *	uint8_t data_kept[data_count]		 0: the segment was dropped
 *
 * A reference is 0 for null, else the function's index and 1. */
struct code_state {
	uint32_t global_count, memory_count, list_count, item_count, data_count;
	uint32_t reserved[3]; /* 0 */
};
_Static_assert(sizeof(struct code_state) == 32, "part of the format");
struct code_value {
	uint64_t words[2];
};
/* The first "used" items are items[first ..]; the others are null. */
struct code_list {
	uint64_t length;
	uint32_t used, first;
};

static inline struct code_value *
code_state_globals(const struct code_state *state)
{
	return (struct code_value *)(state + 1);
}
static inline uint64_t *code_state_memories(const struct code_state *state)
{
	return (uint64_t *)(code_state_globals(state) + state->global_count);
}
static inline struct code_list *code_state_lists(const struct code_state *state)
{
	return (struct code_list *)(code_state_memories(state) +
				    state->memory_count);
}
static inline uint32_t *code_state_items(const struct code_state *state)
{
	return (uint32_t *)(code_state_lists(state) + state->list_count);
}
static inline uint8_t *code_state_data(const struct code_state *state)
{
	return (uint8_t *)(code_state_items(state) + state->item_count);
}
static inline uint64_t code_state_bytes(const struct code_state *state)
{
	return sizeof(*state) +
	       state->global_count * (uint64_t)sizeof(struct code_value) +
	       state->memory_count * (uint64_t)sizeof(uint64_t) +
	       state->list_count * (uint64_t)sizeof(struct code_list) +
	       state->item_count * (uint64_t)sizeof(uint32_t) +
	       state->data_count;
}

/* What a try_table catches, innermost and first first. */
struct code_landing {
	uint32_t from, to; /* return addresses r of calls: from < r <= to */
	uint32_t target;
	uint32_t tag; /* index in the module, or CODE_CATCH_ALL */
};
#define CODE_CATCH_ALL UINT32_MAX

/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be said of each page of a memory, and where its bytes are read
 * from. */
#pragma once
#include "base/err.h"
#include "brood/layer_format.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A memory that can be read.  Pages that were never written read as zero. */
struct source {
	int (*read)(const void *context, uint64_t offset, void *to, size_t len,
		    struct err *err);
	const void *context;
};
struct source_memory {
	const uint8_t *at;
};
struct source_process {
	pid_t pid;
	uint64_t at;
};
struct source source_of_memory(const struct source_memory *memory);
struct source source_of_process(const struct source_process *process);

enum page_state { PAGE_SAME, PAGE_DATA, PAGE_ZERO };
struct pages {
	uint64_t count;
	uint8_t *state; /* enum page_state, one a page */
};
int pages_init(struct pages *pages, uint64_t ram_bytes, struct err *err);
void pages_fini(struct pages *pages);
#define auto_pages __attribute__((cleanup(pages_fini)))
bool pages_is_zero(const void *page);

/* Ranges of bytes, sorted and disjoint. */
struct range {
	uint64_t offset, bytes;
};
struct ranges {
	struct range *range;
	size_t count, room;
};
void ranges_fini(struct ranges *ranges);
#define auto_ranges __attribute__((cleanup(ranges_fini)))
/* Behind the last one, or grown together with it. */
int ranges_add(struct ranges *ranges, uint64_t offset, uint64_t bytes);
uint64_t ranges_bytes(const struct ranges *ranges);
int ranges_unite(const struct ranges *a, const struct ranges *b,
		 struct ranges *both);

/* The extents of a layer for these pages: short gaps become data, long runs
 * of zeros become ZERO.  Offsets, lengths and flags alone are set. */
struct extents {
	struct layer_extent *extent;
	uint64_t count, room, data_bytes;
};
int extents_of(const struct pages *pages, enum layer_kind kind, uint32_t flags,
	       struct extents *extents, struct err *err);
void extents_fini(struct extents *extents);
#define auto_extents __attribute__((cleanup(extents_fini)))

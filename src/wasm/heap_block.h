/* SPDX-License-Identifier: Apache-2.0 */
/* How the collected heap lies in memory; for heap.c and heap_mark.c.
 *
 *	region	what the host gave: chunks of 256 KiB, aligned to their size
 *	chunk	header, then slots of one size; or one large object alone
 *	slot	an object: its size rounded up to that of a class
 *
 *	chunk: | fields | live bits | mark bits | slot | slot | ... |
 *
 * Invariants:
 * 1. Outside a collection no mark bit is set.
 * 2. A live bit is set for each object and nothing else, but for objects of
 *    a bin's piece: they get theirs when the bin gives the piece back, which
 *    a collection makes all do first.
 * 3. Memory between a bin's "at" and "end" is zero.
 * 4. All chunks, large ones too, are in "known", so that any word can be
 *    asked for being an object without touching what it points to. */
#pragma once
#include "wasm/heap.h"

enum {
	WASM_CHUNK_LOG2 = 18,
	WASM_CHUNK_BYTES = 1 << WASM_CHUNK_LOG2,
	WASM_CHUNK_WORDS = WASM_CHUNK_BYTES / 8 / 64, /* a bit for 8 bytes */
	WASM_SLOT_MOST = 32768,
	WASM_CLASSES = 47,
	WASM_CLASS_FREE = 254,	/* a chunk that holds nothing */
	WASM_CLASS_LARGE = 255, /* one object */
};

struct wasm_chunk {
	struct wasm_chunk *next;      /* of its bin, or of free ones */
	struct wasm_chunk *next_made; /* small ones: all, never changed */
	uint64_t slot_bytes;
	uint64_t marked; /* objects, while marking */
	uint8_t class;
	bool is_dirty;	 /* not zero behind the header */
	bool is_pending; /* has marked objects that were not looked at */
	void *block;	 /* large: what the host gave */
	size_t block_len;
	uint64_t live[WASM_CHUNK_WORDS]; /* a large one has only the first */
	uint64_t mark[WASM_CHUNK_WORDS];
};
enum {
	WASM_CHUNK_FIRST = (sizeof(struct wasm_chunk) + 15) & ~15,
	WASM_LARGE_FIRST = (offsetof(struct wasm_chunk, live) + 15) & ~15,
};

/* Where objects of one size are made next. */
struct wasm_bin {
	uint8_t *at, *end;	   /* the piece */
	uint8_t *piece;		   /* its beginning */
	uint8_t *scan;		   /* free slots are looked for from here */
	struct wasm_chunk *chunk;  /* the piece's */
	struct wasm_chunk *chunks; /* others that were not looked through */
	uint32_t slot_bytes;
};

/* What the collector knows of a type; made when the first object is. */
struct wasm_shape {
	const struct wasm_deftype *type; /* NULL: not made */
	uint32_t bytes;			 /* of a structure, with header */
	uint32_t ref_count; /* arrays: 1 where elements may be objects */
	uint32_t *refs;	    /* offsets behind the header */
};

struct wasm_mark {
	struct wasm_object *object;
	uint32_t next; /* element */
};

struct wasm_region {
	struct wasm_region *next;
	void *block;
	size_t len;
};

struct wasm_heap {
	struct wasm_bin bins[WASM_CLASSES];
	struct wasm_shape *shapes; /* by the type's number */
	uint32_t shape_count;
	struct wasm_store *store;
	uint64_t most;	 /* bytes of objects */
	uint64_t kept;	 /* bytes of objects that the last collection left */
	uint64_t taken;	 /* given out since, rests of pieces too */
	uint64_t budget; /* taken when the next collection is due */
	uint32_t piece_bytes; /* at the most, but one slot */
	struct wasm_region *regions;
	uint64_t region_bytes, next_region;
	struct wasm_chunk *made, *free, *large;
	uintptr_t *known; /* hashed by address, 0 is empty */
	uint64_t known_room, known_count;
	/* marking */
	struct wasm_mark *marks;
	uint64_t mark_count, mark_room;
	uint64_t mark_most; /* room is not made beyond */
	bool is_pending;
};

static inline struct wasm_chunk *wasm_chunk_of(const void *object)
{
	return (struct wasm_chunk *)((uintptr_t)object &
				     -(uintptr_t)WASM_CHUNK_BYTES);
}

static inline bool wasm_bit_get(const uint64_t *bits, const void *object)
{
	uint64_t bit = ((uintptr_t)object & (WASM_CHUNK_BYTES - 1)) >> 3;

	return bits[bit >> 6] >> (bit & 63) & 1;
}

static inline void wasm_bit_set(uint64_t *bits, const void *object)
{
	uint64_t bit = ((uintptr_t)object & (WASM_CHUNK_BYTES - 1)) >> 3;

	bits[bit >> 6] |= (uint64_t)1 << (bit & 63);
}

/* Is a reference of this type followed: may it be an object? */
bool wasm_heap_follows(const struct wasm_types *types, wasm_type type);
/* The object at this very address, or NULL: any word may be asked for.  Only
 * while no bin has a piece. */
struct wasm_object *wasm_heap_find(const struct wasm_heap *heap, uint64_t word);
/* Makes room for so many marks, at least one and those that are there. */
int wasm_heap_mark_room(struct wasm_heap *heap, uint64_t room);
/* Sets mark bits and counts; the bytes of what is reachable. */
uint64_t wasm_heap_mark(struct wasm_heap *heap);

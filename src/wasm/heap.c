/* SPDX-License-Identifier: Apache-2.0 */
/* The collected heap: where objects are made, and what is left when they were
 * marked.  Slots of one size lie together; a bin cuts pieces of free memory
 * from its chunks and objects from its piece, so that making one is an
 * addition.  Nothing is swept: the mark bits become the live bits, and a bin
 * finds free slots between them as it goes. */
#include "wasm/heap_block.h"
#include "wasm/store.h"
#include <string.h>

enum {
	PIECE_BYTES = 8192,
	BUDGET_LEAST = 4 << 20, /* no collection before, it stays in caches */
	REGION_LEAST = 1 << 20,
	REGION_MOST = 32 << 20,
	IDLE_MOST = 64 << 20, /* free memory that is kept for the next peak */
};

static void *heap_allocate(struct wasm_heap *heap, size_t len)
{
	return wasm_store_allocate(heap->store, len);
}

static void heap_release(struct wasm_heap *heap, void *block, size_t len)
{
	wasm_store_release(heap->store, block, len);
}

/* Classes: by 8 bytes from 16 to 128, then four steps to each doubling. */
static uint32_t class_of(uint64_t bytes)
{
	uint32_t log2;

	if (bytes <= 16)
		return 0;
	if (bytes <= 128)
		return (uint32_t)(bytes + 7) / 8 - 2;
	log2 = 63 - (uint32_t)__builtin_clzll(bytes - 1);
	return 15 + (log2 - 7) * 4 + (uint32_t)((bytes - 1) >> (log2 - 2) & 3);
}

static uint32_t class_bytes(uint32_t class)
{
	uint32_t step = class - 15;

	if (class < 15)
		return class * 8 + 16;
	return (5 + step % 4) << (step / 4 + 5);
}

/* Known chunks: open addressing, never more than half full. */
static uint64_t known_place(const struct wasm_heap *heap, uintptr_t base)
{
	uint64_t hash = (base >> WASM_CHUNK_LOG2) * 0x9e3779b97f4a7c15;

	return (hash >> 32) & (heap->known_room - 1);
}

static void known_put(struct wasm_heap *heap, uintptr_t base)
{
	uint64_t at = known_place(heap, base);

	while (heap->known[at])
		at = (at + 1) & (heap->known_room - 1);
	heap->known[at] = base;
}

/* Room for more chunks, so that known_put cannot fail. */
static bool known_reserve(struct wasm_heap *heap, uint64_t more)
{
	uint64_t before = heap->known_room, room = before ? before : 64;
	uintptr_t *old = heap->known, *known;

	while ((heap->known_count + more) * 2 > room)
		room *= 2;
	if (room == before)
		return true;
	known = heap_allocate(heap, room * sizeof(*known));
	if (!known)
		return false;
	heap->known = known;
	heap->known_room = room;
	for (uint64_t i = 0; i < before; i++)
		if (old[i])
			known_put(heap, old[i]);
	heap_release(heap, old, before * sizeof(*old));
	return true;
}

/* What stood behind the removed one moves up, where its hash allows it. */
static void known_remove(struct wasm_heap *heap, uintptr_t base)
{
	uint64_t mask = heap->known_room - 1, hole = known_place(heap, base);

	while (heap->known[hole] != base)
		hole = (hole + 1) & mask;
	for (uint64_t at = (hole + 1) & mask; heap->known[at];
	     at = (at + 1) & mask) {
		uint64_t home = known_place(heap, heap->known[at]);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		heap->known[hole] = heap->known[at];
		hole = at;
	}
	heap->known[hole] = 0;
	heap->known_count--;
}

static bool is_known(const struct wasm_heap *heap, uintptr_t base)
{
	uint64_t at;

	if (heap->known_room == 0)
		return false;
	for (at = known_place(heap, base); heap->known[at];
	     at = (at + 1) & (heap->known_room - 1))
		if (heap->known[at] == base)
			return true;
	return false;
}

struct wasm_object *wasm_heap_find(const struct wasm_heap *heap, uint64_t word)
{
	struct wasm_chunk *chunk = wasm_chunk_of((void *)word);

	if (word & 7 || !is_known(heap, (uintptr_t)chunk) ||
	    chunk->class == WASM_CLASS_FREE)
		return NULL;
	if (chunk->class == WASM_CLASS_LARGE)
		return word == (uintptr_t)chunk + WASM_LARGE_FIRST
			       ? (void *)word
			       : NULL;
	return wasm_bit_get(chunk->live, (void *)word) ? (void *)word : NULL;
}

static struct wasm_chunk *region_first(const struct wasm_region *region)
{
	return wasm_chunk_of((uint8_t *)region->block + WASM_CHUNK_BYTES - 1);
}

static struct wasm_chunk *region_next(const struct wasm_region *region,
				      struct wasm_chunk *chunk)
{
	uintptr_t next = (uintptr_t)chunk + WASM_CHUNK_BYTES;
	uintptr_t end = (uintptr_t)region->block + region->len;

	return next + WASM_CHUNK_BYTES <= end ? (void *)next : NULL;
}

static void chunk_list(struct wasm_heap *heap, struct wasm_chunk *chunk)
{
	chunk->next_made = heap->made;
	heap->made = chunk;
	if (chunk->class != WASM_CLASS_FREE)
		return;
	chunk->next = heap->free;
	heap->free = chunk;
}

/* More free chunks.  Fragments may make them many more than what lives: they
 * are bounded too. */
static bool region_add(struct wasm_heap *heap)
{
	size_t len = heap->next_region;
	struct wasm_region *region;
	struct wasm_chunk *chunk;

	if (heap->region_bytes + len > 2 * heap->most + 2 * REGION_MOST ||
	    !known_reserve(heap, len / WASM_CHUNK_BYTES))
		return false;
	region = heap_allocate(heap, sizeof(*region));
	if (!region)
		return false;
	region->len = len;
	region->block = heap_allocate(heap, len);
	if (!region->block) {
		heap_release(heap, region, sizeof(*region));
		return false;
	}
	region->next = heap->regions;
	heap->regions = region;
	heap->region_bytes += len;
	heap->next_region = len < REGION_MOST ? len * 2 : len;
	for (chunk = region_first(region); chunk;
	     chunk = region_next(region, chunk)) {
		chunk->class = WASM_CLASS_FREE;
		chunk_list(heap, chunk);
		known_put(heap, (uintptr_t)chunk);
		heap->known_count++;
	}
	return true;
}

static struct wasm_chunk *chunk_take(struct wasm_heap *heap, uint32_t class)
{
	struct wasm_chunk *chunk;

	if (!heap->free && !region_add(heap))
		return NULL;
	chunk = heap->free;
	heap->free = chunk->next;
	chunk->class = (uint8_t)class;
	chunk->slot_bytes = class_bytes(class);
	return chunk;
}

/* The objects of a bin's piece become visible (invariant 2). */
static void bin_give_back(struct wasm_heap *heap, struct wasm_bin *bin)
{
	for (uint8_t *p = bin->piece; p < bin->at; p += bin->slot_bytes)
		wasm_bit_set(bin->chunk->live, p);
	heap->taken -= (uint64_t)(bin->end - bin->at);
	bin->piece = bin->at = bin->end = NULL;
}

/* The next free slots of the bin's chunk, at most a piece. */
static bool bin_cut(struct wasm_bin *bin, uint32_t most)
{
	const uint64_t *live = bin->chunk->live;
	uint8_t *last =
		(uint8_t *)bin->chunk + WASM_CHUNK_BYTES - bin->slot_bytes;
	uint8_t *from = bin->scan, *to;

	while (from <= last && wasm_bit_get(live, from))
		from += bin->slot_bytes;
	to = from;
	while (to <= last && !wasm_bit_get(live, to) &&
	       (to == from || to - from + bin->slot_bytes <= most))
		to += bin->slot_bytes;
	bin->scan = to;
	if (to == from)
		return false;
	if (bin->chunk->is_dirty)
		memset(from, 0, (size_t)(to - from));
	bin->piece = bin->at = from;
	bin->end = to;
	return true;
}

static bool bin_next_chunk(struct wasm_heap *heap, struct wasm_bin *bin)
{
	bin->chunk = bin->chunks;
	if (bin->chunk)
		bin->chunks = bin->chunk->next;
	else
		bin->chunk = chunk_take(heap, (uint32_t)(bin - heap->bins));
	if (!bin->chunk)
		return false;
	bin->scan = (uint8_t *)bin->chunk + WASM_CHUNK_FIRST;
	return true;
}

/* May so many bytes more be given out?  Collects when they are due.  A heap
 * that a collection leaves all but full counts as full: each of the next few
 * objects would want another. */
static bool heap_affords(struct wasm_heap *heap, uint64_t bytes)
{
	if (heap->taken + bytes <= heap->budget)
		return true;
	wasm_heap_collect(heap->store);
	return heap->kept + bytes <= heap->most - heap->most / 64;
}

static bool bin_fill_once(struct wasm_heap *heap, struct wasm_bin *bin)
{
	for (;;) {
		if (bin->chunk && bin_cut(bin, heap->piece_bytes))
			break;
		if (!bin_next_chunk(heap, bin))
			return false;
	}
	heap->taken += (uint64_t)(bin->end - bin->at);
	return true;
}

static bool bin_fill(struct wasm_heap *heap, struct wasm_bin *bin)
{
	bin_give_back(heap, bin);
	if (!heap_affords(heap, bin->slot_bytes > PIECE_BYTES ? bin->slot_bytes
							      : PIECE_BYTES))
		return false;
	if (bin_fill_once(heap, bin))
		return true;
	wasm_heap_collect(heap->store);
	return bin_fill_once(heap, bin);
}

static inline void *bin_make(struct wasm_heap *heap, struct wasm_bin *bin)
{
	void *slot = bin->at;

	if (__builtin_expect(bin->at == bin->end, 0)) {
		if (!bin_fill(heap, bin))
			return NULL;
		slot = bin->at;
	}
	bin->at += bin->slot_bytes;
	return slot;
}

static void *large_make(struct wasm_heap *heap, uint64_t bytes)
{
	size_t len = WASM_LARGE_FIRST + bytes + WASM_CHUNK_BYTES;
	struct wasm_chunk *chunk;
	void *block;

	if (bytes > heap->most || !heap_affords(heap, bytes) ||
	    !known_reserve(heap, 1))
		return NULL;
	block = heap_allocate(heap, len);
	if (!block) {
		wasm_heap_collect(heap->store);
		block = heap_allocate(heap, len);
	}
	if (!block)
		return NULL;
	chunk = wasm_chunk_of((uint8_t *)block + WASM_CHUNK_BYTES - 1);
	chunk->class = WASM_CLASS_LARGE;
	chunk->slot_bytes = bytes;
	chunk->block = block;
	chunk->block_len = len;
	chunk->next = heap->large;
	heap->large = chunk;
	known_put(heap, (uintptr_t)chunk);
	heap->known_count++;
	heap->taken += bytes;
	return (uint8_t *)chunk + WASM_LARGE_FIRST;
}

static void *heap_make(struct wasm_heap *heap, uint64_t bytes)
{
	if (bytes > WASM_SLOT_MOST)
		return large_make(heap, bytes);
	return bin_make(heap, &heap->bins[class_of(bytes)]);
}

/* After marking: what is not marked is free. */
static void large_drop_dead(struct wasm_heap *heap)
{
	struct wasm_chunk **link = &heap->large, *chunk;

	while ((chunk = *link)) {
		if (chunk->marked) {
			chunk->marked = 0;
			link = &chunk->next;
			continue;
		}
		*link = chunk->next;
		known_remove(heap, (uintptr_t)chunk);
		heap_release(heap, chunk->block, chunk->block_len);
	}
}

static void chunks_put_by(struct wasm_heap *heap)
{
	for (uint32_t i = 0; i < WASM_CLASSES; i++)
		heap->bins[i].chunk = heap->bins[i].chunks = NULL;
	heap->free = NULL;
	for (struct wasm_chunk *c = heap->made; c; c = c->next_made) {
		struct wasm_chunk **list = &heap->free;

		if (c->class != WASM_CLASS_FREE) {
			memcpy(c->live, c->mark, sizeof(c->live));
			memset(c->mark, 0, sizeof(c->mark));
			c->is_dirty = true;
			if (c->marked)
				list = &heap->bins[c->class].chunks;
			else
				c->class = WASM_CLASS_FREE;
			c->marked = 0;
		}
		c->next = *list;
		*list = c;
	}
}

static bool region_is_idle(const struct wasm_region *region)
{
	for (struct wasm_chunk *c = region_first(region); c;
	     c = region_next(region, c))
		if (c->class != WASM_CLASS_FREE)
			return false;
	return true;
}

static void region_drop(struct wasm_heap *heap, struct wasm_region *region)
{
	for (struct wasm_chunk *c = region_first(region); c;
	     c = region_next(region, c))
		known_remove(heap, (uintptr_t)c);
	heap->region_bytes -= region->len;
	heap_release(heap, region->block, region->len);
	heap_release(heap, region, sizeof(*region));
}

/* After a peak: what nothing lives in goes back to the host. */
static void regions_drop_idle(struct wasm_heap *heap)
{
	struct wasm_region **link = &heap->regions, *region;

	heap->made = heap->free = NULL;
	while ((region = *link)) {
		if (region_is_idle(region)) {
			*link = region->next;
			region_drop(heap, region);
			continue;
		}
		for (struct wasm_chunk *c = region_first(region); c;
		     c = region_next(region, c))
			chunk_list(heap, c);
		link = &region->next;
	}
}

void wasm_heap_collect(struct wasm_store *store)
{
	struct wasm_heap *heap = store->heap;
	uint64_t room;

	for (uint32_t i = 0; i < WASM_CLASSES; i++)
		bin_give_back(heap, &heap->bins[i]);
	heap->kept = wasm_heap_mark(heap);
	heap->taken = 0;
	heap->budget = heap->kept > BUDGET_LEAST ? heap->kept : BUDGET_LEAST;
	if (heap->piece_bytes < PIECE_BYTES)
		heap->budget = 0;
	room = heap->kept < heap->most ? heap->most - heap->kept : 0;
	if (heap->budget > room)
		heap->budget = room;
	large_drop_dead(heap);
	chunks_put_by(heap);
	if (heap->region_bytes > 4 * heap->kept + IDLE_MOST)
		regions_drop_idle(heap);
}

void wasm_heap_stress(struct wasm_store *store)
{
	store->heap->piece_bytes = 0;
	wasm_heap_collect(store);
}

uint64_t wasm_heap_used(const struct wasm_store *store)
{
	const struct wasm_heap *heap = store->heap;
	uint64_t used = heap->kept + heap->taken;

	for (uint32_t i = 0; i < WASM_CLASSES; i++)
		used -= (uint64_t)(heap->bins[i].end - heap->bins[i].at);
	return used;
}

struct wasm_heap *wasm_heap_new(struct wasm_store *store, uint64_t most_bytes)
{
	struct wasm_heap *heap = wasm_store_allocate(store, sizeof(*heap));

	if (!heap)
		return NULL;
	heap->store = store;
	heap->most = most_bytes < UINT64_MAX / 4 ? most_bytes : UINT64_MAX / 4;
	heap->budget = heap->most < BUDGET_LEAST ? heap->most : BUDGET_LEAST;
	heap->piece_bytes = PIECE_BYTES;
	heap->next_region = REGION_LEAST;
	if (wasm_heap_mark_room(heap, 1024) < 0) {
		heap_release(heap, heap, sizeof(*heap));
		return NULL;
	}
	heap->mark_most = 1 << 18;
	for (uint32_t i = 0; i < WASM_CLASSES; i++)
		heap->bins[i].slot_bytes = class_bytes(i);
	return heap;
}

void wasm_heap_free(struct wasm_heap *heap)
{
	struct wasm_region *region;
	struct wasm_chunk *chunk;

	if (!heap)
		return;
	while ((chunk = heap->large)) {
		heap->large = chunk->next;
		heap_release(heap, chunk->block, chunk->block_len);
	}
	while ((region = heap->regions)) {
		heap->regions = region->next;
		heap_release(heap, region->block, region->len);
		heap_release(heap, region, sizeof(*region));
	}
	for (uint32_t i = 0; i < heap->shape_count; i++)
		heap_release(heap, heap->shapes[i].refs,
			     heap->shapes[i].ref_count * sizeof(uint32_t));
	heap_release(heap, heap->shapes,
		     heap->shape_count * sizeof(*heap->shapes));
	heap_release(heap, heap->known, heap->known_room * sizeof(uintptr_t));
	heap_release(heap, heap->marks, heap->mark_room * sizeof(*heap->marks));
	heap_release(heap, heap, sizeof(*heap));
}

bool wasm_heap_follows(const struct wasm_types *types, wasm_type type)
{
	uint32_t kind = type & WASM_REF_HEAP & ~WASM_ABSTRACT;

	if (!wasm_type_is_ref(type))
		return false;
	if (!(type & WASM_ABSTRACT))
		return wasm_types_get(types, kind)->kind != WASM_KIND_FUNCTION;
	return kind != WASM_FUNC && kind != WASM_NOFUNC;
}

static bool shapes_reserve(struct wasm_heap *heap, uint32_t type)
{
	uint32_t room = heap->shape_count ? heap->shape_count : 64;
	struct wasm_shape *shapes;

	if (type < heap->shape_count)
		return true;
	while (room <= type)
		room *= 2;
	shapes = heap_allocate(heap, room * sizeof(*shapes));
	if (!shapes)
		return false;
	if (heap->shapes)
		memcpy(shapes, heap->shapes,
		       heap->shape_count * sizeof(*shapes));
	heap_release(heap, heap->shapes, heap->shape_count * sizeof(*shapes));
	heap->shapes = shapes;
	heap->shape_count = room;
	return true;
}

static const struct wasm_shape *shape_make(struct wasm_heap *heap,
					   uint32_t type)
{
	const struct wasm_types *types = heap->store->types;
	const struct wasm_deftype *deftype = wasm_types_get(types, type);
	struct wasm_shape *shape;
	uint32_t count = 0;

	if (!shapes_reserve(heap, type))
		return NULL;
	shape = &heap->shapes[type];
	for (uint32_t i = 0; i < deftype->field_count; i++)
		count += wasm_heap_follows(types, deftype->fields[i].type);
	if (count) {
		shape->refs = heap_allocate(heap, count * sizeof(uint32_t));
		if (!shape->refs)
			return NULL;
	}
	for (uint32_t i = 0; i < deftype->field_count; i++)
		if (wasm_heap_follows(types, deftype->fields[i].type))
			shape->refs[shape->ref_count++] =
				deftype->fields[i].offset;
	shape->bytes = sizeof(struct wasm_object) + deftype->object_bytes;
	shape->type = deftype;
	return shape;
}

static inline const struct wasm_shape *shape_of(struct wasm_heap *heap,
						uint32_t type)
{
	if (__builtin_expect(
		    type < heap->shape_count && heap->shapes[type].type, 1))
		return &heap->shapes[type];
	return shape_make(heap, type);
}

wasm_ref wasm_heap_struct(struct wasm_store *store, uint32_t type)
{
	const struct wasm_shape *shape = shape_of(store->heap, type);
	struct wasm_object *object;

	if (!shape)
		return 0;
	object = heap_make(store->heap, shape->bytes);
	if (!object)
		return 0;
	object->type = type;
	return (wasm_ref)object;
}

wasm_ref wasm_heap_array(struct wasm_store *store, uint32_t type,
			 uint32_t length)
{
	const struct wasm_shape *shape = shape_of(store->heap, type);
	struct wasm_object *object;

	if (!shape)
		return 0;
	object = heap_make(store->heap,
			   sizeof(*object) + (uint64_t)length *
						     shape->type->object_bytes);
	if (!object)
		return 0;
	object->type = type;
	object->length = length;
	return (wasm_ref)object;
}

struct wasm_exception *wasm_heap_exception(struct wasm_store *store,
					   struct wasm_tag *tag)
{
	uint32_t count = wasm_types_get(store->types, tag->type)->param_count;
	struct wasm_exception *made;

	made = heap_make(store->heap, sizeof(*made) + (uint64_t)count * 16);
	if (!made)
		return NULL;
	made->object.type = WASM_OBJECT_EXCEPTION;
	made->object.length = count;
	made->tag = tag;
	return made;
}

void wasm_roots_add(struct wasm_store *store, struct wasm_roots *roots)
{
	roots->next = store->roots;
	roots->link = &store->roots;
	if (roots->next)
		roots->next->link = &roots->next;
	store->roots = roots;
}

void wasm_roots_remove(struct wasm_roots *roots)
{
	*roots->link = roots->next;
	if (roots->next)
		roots->next->link = roots->link;
}

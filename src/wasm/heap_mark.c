/* SPDX-License-Identifier: Apache-2.0 */
/* Marking: what of the heap can be reached.  From globals, tables, element
 * segments and objects by their types; from the value stack and a host's
 * roots by asking of each word whether it is an object.
 *
 * An explicit stack of bounded size, no recursion.  Where it is full the
 * object is marked all the same and its chunk noted: such chunks are looked
 * through again, marked object by marked object, until none is left. */
#include "wasm/heap_block.h"
#include "wasm/store.h"
#include <string.h>

enum { SLICE = 256 }; /* elements of an array at once */

static const struct wasm_shape *shape_of(const struct wasm_heap *heap,
					 const struct wasm_object *object)
{
	return &heap->shapes[object->type];
}

int wasm_heap_mark_room(struct wasm_heap *heap, uint64_t room)
{
	struct wasm_mark *marks;

	marks = wasm_store_allocate(heap->store, room * sizeof(*marks));
	if (!marks)
		return -1;
	if (heap->mark_count)
		memcpy(marks, heap->marks, heap->mark_count * sizeof(*marks));
	wasm_store_release(heap->store, heap->marks,
			   heap->mark_room * sizeof(*marks));
	heap->marks = marks;
	heap->mark_room = room;
	return 0;
}

static bool marks_grow(struct wasm_heap *heap)
{
	uint64_t room = heap->mark_room * 2;

	return room <= heap->mark_most && wasm_heap_mark_room(heap, room) == 0;
}

static void push(struct wasm_heap *heap, struct wasm_object *object,
		 uint32_t next)
{
	if (heap->mark_count == heap->mark_room && !marks_grow(heap)) {
		wasm_chunk_of(object)->is_pending = heap->is_pending = true;
		return;
	}
	heap->marks[heap->mark_count++] = (struct wasm_mark){ object, next };
}

static bool has_refs(const struct wasm_heap *heap,
		     const struct wasm_object *object)
{
	if (object->type == WASM_OBJECT_EXCEPTION)
		return object->length != 0;
	return shape_of(heap, object)->ref_count != 0;
}

static void mark(struct wasm_heap *heap, struct wasm_object *object)
{
	struct wasm_chunk *chunk = wasm_chunk_of(object);

	if (chunk->class == WASM_CLASS_LARGE) {
		if (chunk->marked)
			return;
	} else {
		if (wasm_bit_get(chunk->mark, object))
			return;
		wasm_bit_set(chunk->mark, object);
	}
	chunk->marked++;
	heap->kept += chunk->slot_bytes;
	if (has_refs(heap, object))
		push(heap, object, 0);
}

/* A reference of a type that is followed: null, i31, a host's, an object. */
static inline void mark_ref(struct wasm_heap *heap, wasm_ref ref)
{
	if (ref && !(ref & 3))
		mark(heap, (struct wasm_object *)ref);
}

static void mark_word(struct wasm_heap *heap, uint64_t word)
{
	struct wasm_object *object = wasm_heap_find(heap, word);

	if (object)
		mark(heap, object);
}

static void look_at_exception(struct wasm_heap *heap,
			      const struct wasm_exception *exception)
{
	const struct wasm_types *types = heap->store->types;
	const struct wasm_deftype *type =
		wasm_types_get(types, exception->tag->type);

	for (uint32_t i = 0; i < type->param_count; i++)
		if (wasm_heap_follows(types, type->params[i]))
			mark_ref(heap, exception->values[i].ref);
}

static void look_at_array(struct wasm_heap *heap, struct wasm_mark at)
{
	const wasm_ref *elems = wasm_object_at((wasm_ref)at.object, 0);
	uint32_t end = at.object->length;

	if (end - at.next > SLICE) {
		end = at.next + SLICE;
		push(heap, at.object, end);
	}
	for (uint32_t i = at.next; i < end; i++)
		mark_ref(heap, elems[i]);
}

static void look_at(struct wasm_heap *heap, struct wasm_mark at)
{
	const struct wasm_shape *shape;
	wasm_ref ref = (wasm_ref)at.object;

	if (at.object->type == WASM_OBJECT_EXCEPTION) {
		look_at_exception(heap, (struct wasm_exception *)at.object);
		return;
	}
	shape = shape_of(heap, at.object);
	if (shape->type->kind == WASM_KIND_ARRAY) {
		look_at_array(heap, at);
		return;
	}
	for (uint32_t i = 0; i < shape->ref_count; i++)
		mark_ref(heap,
			 *(wasm_ref *)wasm_object_at(ref, shape->refs[i]));
}

static void drain(struct wasm_heap *heap)
{
	while (heap->mark_count)
		look_at(heap, heap->marks[--heap->mark_count]);
}

/* Looks at all marked objects of a chunk. */
static void look_through(struct wasm_heap *heap, struct wasm_chunk *chunk)
{
	uint8_t *base = (uint8_t *)chunk;

	chunk->is_pending = false;
	if (chunk->class == WASM_CLASS_LARGE) {
		push(heap, (void *)(base + WASM_LARGE_FIRST), 0);
		drain(heap);
		return;
	}
	for (uint32_t i = 0; i < WASM_CHUNK_WORDS; i++) {
		for (uint64_t bits = chunk->mark[i]; bits; bits &= bits - 1) {
			uint32_t bit = i * 64 + (uint32_t)__builtin_ctzll(bits);
			struct wasm_object *object = (void *)(base + bit * 8);

			if (!has_refs(heap, object))
				continue;
			push(heap, object, 0);
			drain(heap);
		}
	}
}

static void finish(struct wasm_heap *heap)
{
	drain(heap);
	while (heap->is_pending) {
		heap->is_pending = false;
		for (struct wasm_chunk *c = heap->made; c; c = c->next_made)
			if (c->is_pending)
				look_through(heap, c);
		for (struct wasm_chunk *c = heap->large; c; c = c->next)
			if (c->is_pending)
				look_through(heap, c);
	}
}

static void mark_many(struct wasm_heap *heap, const wasm_ref *refs,
		      uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		mark_ref(heap, refs[i]);
		drain(heap);
	}
}

static void mark_global(struct wasm_heap *heap,
			const struct wasm_global *global)
{
	if (wasm_heap_follows(heap->store->types, global->type))
		mark_ref(heap, global->value.ref);
	drain(heap);
}

static void mark_instance(struct wasm_heap *heap,
			  const struct wasm_instance *instance)
{
	const struct wasm_module *module = instance->module;
	uint32_t own = module->global_count - module->imported_globals;

	for (uint32_t i = 0; i < own; i++)
		mark_global(heap, &instance->globals[i]);
	for (uint32_t i = 0; i < module->elem_count; i++)
		if (instance->elems[i] &&
		    wasm_heap_follows(heap->store->types,
				      module->elems[i].type))
			mark_many(heap, instance->elems[i],
				  instance->elem_lengths[i]);
}

static void mark_owned(struct wasm_heap *heap, struct wasm_own *own)
{
	struct wasm_table *table = wasm_own_thing(own);

	if (own->kind == WASM_OWN_GLOBAL)
		mark_global(heap, wasm_own_thing(own));
	if (own->kind == WASM_OWN_TABLE &&
	    wasm_heap_follows(heap->store->types, table->type))
		mark_many(heap, table->elems, table->length);
}

static void mark_words(struct wasm_heap *heap, const uint64_t *word,
		       const uint64_t *end)
{
	for (; word < end; word++)
		mark_word(heap, *word);
}

static void mark_stack(struct wasm_heap *heap)
{
	const struct wasm_store *store = heap->store;
	const uint64_t *word = (const uint64_t *)store->stack;
	const uint64_t *end = (const uint64_t *)store->stack_top;

	mark_words(heap, word, end);
	if (store->native_stack)
		mark_words(heap, (const uint64_t *)store->native_stack,
			   (const uint64_t *)(store->native_base +
					      store->native_bytes));
	finish(heap);
}

uint64_t wasm_heap_mark(struct wasm_heap *heap)
{
	struct wasm_store *store = heap->store;

	heap->kept = 0;
	mark_stack(heap);
	mark_word(heap, store->exception);
	for (struct wasm_roots *r = store->roots; r; r = r->next)
		for (uint32_t i = 0; i < r->count; i++)
			mark_word(heap, r->refs[i]);
	for (struct wasm_instance *i = store->instances; i; i = i->next)
		mark_instance(heap, i);
	for (struct wasm_own *o = wasm_store_owner(store)->first; o;
	     o = o->next)
		mark_owned(heap, o);
	finish(heap);
	return heap->kept;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of types: recursive groups by structure.
 *
 * 1. A group is known by its words (type.h): numbers of types outside it and
 *    places inside it.  Equal words mean equal types.
 * 2. A group is one block: its types with all that they point to, then the
 *    words.  It holds the groups that it names.
 * 3. Types are found by number in chunks that never move, so that who holds a
 *    type may read while others load.
 * 4. Numbers that came free lie in a list of ranges, kept in their own slots. */
#include "wasm/type.h"
#include "wasm/host.h"
#include "wasm/module.h"
#include <string.h>

enum {
	CHUNK_FIRST_LOG2 = 10, /* chunk k has 1024 << k slots */
	CHUNKS = 18,
	NUMBERS_MOST = WASM_IN_GROUP - (1 << CHUNK_FIRST_LOG2),
	RANGES_LOOKED_AT = 16,
};

union slot {
	const struct wasm_deftype *type;
	struct {
		uint32_t next, count; /* of a free range, in its first */
	};
};

struct group {
	struct group *next; /* in its bucket; in the list of dead ones */
	uint64_t hash;
	size_t bytes;
	uint32_t holds, word_count;
	uint32_t *words;
	uint32_t first, count;
	struct wasm_deftype types[];
};

struct wasm_types {
	const struct wasm_host *host;
	uint64_t seed;
	struct group **buckets;
	uint32_t bucket_count, group_count; /* buckets: a power of two */
	union slot *chunks[CHUNKS];
	uint32_t used; /* numbers from here on were never given, or are free */
	uint32_t free; /* first of the first free range or WASM_NO_TYPE */
	uint32_t *scratch;
	uint32_t scratch_words;
};

/* One type's words. */
struct shape {
	enum wasm_type_kind kind;
	bool is_final;
	uint32_t super, count, results;
	const uint32_t *types; /* count + results, or 2 * count */
	const uint32_t *next;
};

static struct shape read_shape(const uint32_t *words)
{
	struct shape shape = {
		.kind = words[0] & 0xff,
		.is_final = words[0] >> 8,
		.super = words[1],
		.count = words[2],
		.results = words[3],
		.types = words + 4,
	};

	shape.next = shape.types + (shape.kind == WASM_KIND_FUNCTION
					    ? shape.count + shape.results
					    : 2 * shape.count);
	return shape;
}

static void *take(struct wasm_types *types, size_t len)
{
	return types->host->allocate(types->host->env, len);
}

static void give(struct wasm_types *types, void *block, size_t len)
{
	if (block)
		types->host->release(types->host->env, block, len);
}

/* Numbers */

static unsigned chunk_of(uint32_t id, uint32_t *at)
{
	uint32_t place = id + (1u << CHUNK_FIRST_LOG2);
	unsigned chunk = 31 - (unsigned)__builtin_clz(place);

	*at = place - (1u << chunk);
	return chunk - CHUNK_FIRST_LOG2;
}

static union slot *slot_of(const struct wasm_types *types, uint32_t id)
{
	uint32_t at;
	unsigned chunk = chunk_of(id, &at);

	return &types->chunks[chunk][at];
}

static size_t chunk_bytes(unsigned chunk)
{
	return sizeof(union slot) << (CHUNK_FIRST_LOG2 + chunk);
}

static bool make_chunks(struct wasm_types *types, uint32_t last)
{
	uint32_t at;

	for (unsigned i = 0; i <= chunk_of(last, &at); i++) {
		if (!types->chunks[i])
			types->chunks[i] = take(types, chunk_bytes(i));
		if (!types->chunks[i])
			return false;
	}
	return true;
}

/* From the end of a free range that is large enough. */
static uint32_t take_free(struct wasm_types *types, uint32_t count)
{
	uint32_t *link = &types->free;

	for (int i = 0; i < RANGES_LOOKED_AT && *link != WASM_NO_TYPE; i++) {
		union slot *slot = slot_of(types, *link);
		uint32_t first = *link;

		if (slot->count > count) {
			slot->count -= count;
			return first + slot->count;
		}
		if (slot->count == count) {
			*link = slot->next;
			return first;
		}
		link = &slot->next;
	}
	return WASM_NO_TYPE;
}

static uint32_t take_numbers(struct wasm_types *types, uint32_t count)
{
	uint32_t first = take_free(types, count);

	if (first != WASM_NO_TYPE)
		return first;
	if (count > NUMBERS_MOST - types->used ||
	    !make_chunks(types, types->used + count - 1))
		return WASM_NO_TYPE;
	first = types->used;
	types->used += count;
	return first;
}

/* Groups mostly go in the order in which they came, or backwards, so that
 * ranges grow together again. */
static void give_numbers(struct wasm_types *types, uint32_t first,
			 uint32_t count)
{
	union slot *head = NULL;

	if (types->free != WASM_NO_TYPE)
		head = slot_of(types, types->free);
	for (uint32_t i = 0; i < count; i++)
		slot_of(types, first + i)->type = NULL;
	if (head && types->free + head->count == first) {
		head->count += count;
	} else {
		bool joins = head && first + count == types->free;
		union slot *slot = slot_of(types, first);

		slot->next = joins ? head->next : types->free;
		slot->count = joins ? count + head->count : count;
		types->free = first;
		head = slot;
	}
	if (types->free + head->count == types->used) {
		types->used = types->free;
		types->free = head->next;
	}
}

const struct wasm_deftype *wasm_types_get(const struct wasm_types *types,
					  uint32_t id)
{
	return slot_of(types, id)->type;
}

static struct group *group_of(const struct wasm_types *types, uint32_t id)
{
	const struct wasm_deftype *type = wasm_types_get(types, id);

	type = wasm_types_get(types, type->group_first);
	return (struct group *)((char *)type - offsetof(struct group, types));
}

/* The table of groups */

/* Seeded, since a module's author chooses the words. */
static uint64_t hash_words(uint64_t seed, const uint32_t *words, uint32_t count)
{
	uint64_t hash = seed ^ count;

	for (uint32_t i = 0; i < count; i++) {
		unsigned __int128 wide = (unsigned __int128)(hash ^ words[i]) *
					 0x9e3779b97f4a7c15;

		hash = (uint64_t)wide ^ (uint64_t)(wide >> 64) ^ seed;
	}
	return hash;
}

static struct group **bucket_of(const struct wasm_types *types, uint64_t hash)
{
	return &types->buckets[hash & (types->bucket_count - 1)];
}

static struct group *find_group(const struct wasm_types *types, uint64_t hash,
				const uint32_t *words, uint32_t word_count)
{
	struct group *group = *bucket_of(types, hash);

	while (group &&
	       (group->hash != hash || group->word_count != word_count ||
		memcmp(group->words, words, 4 * word_count) != 0))
		group = group->next;
	return group;
}

static bool make_buckets(struct wasm_types *types, uint32_t count)
{
	struct group **old = types->buckets, *group, *next;
	uint32_t old_count = types->bucket_count;

	types->buckets = take(types, count * sizeof(struct group *));
	if (!types->buckets) {
		types->buckets = old;
		return false;
	}
	types->bucket_count = count;
	for (uint32_t i = 0; i < old_count; i++)
		for (group = old[i]; group; group = next) {
			next = group->next;
			group->next = *bucket_of(types, group->hash);
			*bucket_of(types, group->hash) = group;
		}
	give(types, old, old_count * sizeof(struct group *));
	return true;
}

static void link_group(struct wasm_types *types, struct group *group)
{
	/* A table that could not grow is only slower. */
	if (types->group_count++ >= types->bucket_count)
		make_buckets(types, types->bucket_count * 2);
	group->next = *bucket_of(types, group->hash);
	*bucket_of(types, group->hash) = group;
}

static void unlink_group(struct wasm_types *types, struct group *group)
{
	struct group **link = bucket_of(types, group->hash);

	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	types->group_count--;
}

/* Making a group */

static bool need_scratch(struct wasm_types *types, uint32_t words)
{
	if (types->scratch_words >= words)
		return true;
	give(types, types->scratch, (size_t)types->scratch_words * 4);
	types->scratch_words = 0;
	types->scratch = take(types, (size_t)words * 4);
	if (types->scratch)
		types->scratch_words = words;
	return types->scratch != NULL;
}

static uint32_t shape_depth(const struct wasm_types *types,
			    const uint32_t *depths, const struct shape *shape)
{
	if (shape->super == WASM_NO_TYPE)
		return 0;
	if (shape->super & WASM_IN_GROUP)
		return depths[shape->super & ~WASM_IN_GROUP] + 1;
	return wasm_types_get(types, shape->super)->depth + 1;
}

static uint32_t shape_words(const struct shape *shape)
{
	if (shape->kind == WASM_KIND_FUNCTION)
		return shape->count + shape->results;
	/* a field and a place in "refs" */
	return shape->count * (sizeof(struct wasm_field) / 4 + 1);
}

/* The bytes of a group's block; depths go to scratch.  0: too deep. */
static size_t measure(struct wasm_types *types, const uint32_t *words,
		      uint32_t word_count, uint32_t type_count)
{
	size_t total = word_count;

	for (uint32_t i = 0; i < type_count; i++) {
		struct shape shape = read_shape(words);
		uint32_t depth = shape_depth(types, types->scratch, &shape);

		if (depth > WASM_TYPE_DEPTH_MOST)
			return 0;
		types->scratch[i] = depth;
		total += shape_words(&shape) + depth + 1;
		words = shape.next;
	}
	return sizeof(struct group) + type_count * sizeof(struct wasm_deftype) +
	       total * 4;
}

/* The type with the number that it has now. */
static wasm_type settle(const struct group *group, wasm_type type)
{
	if (!wasm_type_is_ref(type) || type & WASM_ABSTRACT ||
	    !(type & WASM_IN_GROUP))
		return type;
	return (type & ~(wasm_type)WASM_IN_GROUP) + group->first;
}

static uint32_t field_bytes(wasm_type type)
{
	switch (type) {
	case WASM_I8: return 1;
	case WASM_I16: return 2;
	case WASM_I32:
	case WASM_F32: return 4;
	case WASM_V128: return 16;
	default: return 8;
	}
}

/* Offsets depend only on the fields before, so that a subtype's object begins
 * as its supertype's. */
static void lay_out(struct wasm_deftype *type, struct wasm_field *fields,
		    uint32_t *refs)
{
	uint32_t at = 0;

	type->has_defaults = true;
	for (uint32_t i = 0; i < type->field_count; i++) {
		uint32_t len = field_bytes(fields[i].type);
		uint32_t align = len < 8 ? len : 8;

		at = (at + align - 1) & ~(align - 1);
		fields[i].offset = at;
		if (wasm_type_is_ref(fields[i].type)) {
			refs[type->ref_count++] = at;
			type->has_defaults &=
				(fields[i].type & WASM_NULLABLE) != 0;
		}
		at += len;
	}
	type->object_bytes = at;
	type->fields = fields;
	type->refs = refs;
}

static uint32_t *fill_function(const struct group *group,
			       struct wasm_deftype *type,
			       const struct shape *shape, uint32_t *room)
{
	type->param_count = shape->count;
	type->result_count = shape->results;
	type->params = room;
	type->results = room + shape->count;
	for (uint32_t i = 0; i < shape->count + shape->results; i++)
		*room++ = settle(group, shape->types[i]);
	return room;
}

static uint32_t *fill_fields(const struct group *group,
			     struct wasm_deftype *type,
			     const struct shape *shape, uint32_t *room)
{
	struct wasm_field *fields = (struct wasm_field *)room;

	room = (uint32_t *)(fields + shape->count);
	type->field_count = shape->count;
	for (uint32_t i = 0; i < shape->count; i++) {
		fields[i].type = settle(group, shape->types[2 * i]);
		fields[i].is_mutable = shape->types[2 * i + 1];
	}
	lay_out(type, fields, room);
	return room + shape->count;
}

static uint32_t *fill_supers(const struct wasm_types *types,
			     struct group *group, struct wasm_deftype *type,
			     uint32_t super, uint32_t *room)
{
	const struct wasm_deftype *above = NULL;

	type->super = super;
	if (super != WASM_NO_TYPE && super & WASM_IN_GROUP) {
		above = &group->types[super & ~WASM_IN_GROUP];
		type->super = above->id;
	} else if (super != WASM_NO_TYPE) {
		above = wasm_types_get(types, super);
	}
	type->depth = above ? above->depth + 1 : 0;
	type->supers = room;
	if (above)
		memcpy(room, above->supers, 4 * type->depth);
	room[type->depth] = type->id;
	return room + type->depth + 1;
}

static void fill_group(struct wasm_types *types, struct group *group,
		       const uint32_t *words)
{
	uint32_t *room = (uint32_t *)&group->types[group->count];

	for (uint32_t i = 0; i < group->count; i++) {
		struct shape shape = read_shape(words);
		struct wasm_deftype *type = &group->types[i];

		type->kind = shape.kind;
		type->is_final = shape.is_final;
		type->id = group->first + i;
		type->group_first = group->first;
		type->group_count = group->count;
		room = fill_supers(types, group, type, shape.super, room);
		room = shape.kind == WASM_KIND_FUNCTION
			       ? fill_function(group, type, &shape, room)
			       : fill_fields(group, type, &shape, room);
		slot_of(types, type->id)->type = type;
		words = shape.next;
	}
	group->words = room;
}

/* Calls "visit" for each number outside the group that the words name. */
static void visit_outside(struct wasm_types *types, const struct group *group,
			  void (*visit)(struct wasm_types *types, uint32_t id,
					void *env),
			  void *env)
{
	const uint32_t *words = group->words;

	for (uint32_t i = 0; i < group->count; i++) {
		struct shape shape = read_shape(words);
		unsigned step = shape.kind == WASM_KIND_FUNCTION ? 1 : 2;

		if (shape.super != WASM_NO_TYPE &&
		    !(shape.super & WASM_IN_GROUP))
			visit(types, shape.super, env);
		for (words = shape.types; words < shape.next; words += step)
			if (wasm_type_is_ref(*words) &&
			    !(*words & (WASM_ABSTRACT | WASM_IN_GROUP)))
				visit(types, *words & WASM_REF_HEAP, env);
	}
}

static void hold(struct wasm_types *types, uint32_t id, void *env)
{
	(void)env;
	group_of(types, id)->holds++;
}

/* Groups that nobody holds any more go to the list "env". */
static void let_go(struct wasm_types *types, uint32_t id, void *env)
{
	struct group **dead = env, *group = group_of(types, id);

	if (--group->holds)
		return;
	unlink_group(types, group);
	group->next = *dead;
	*dead = group;
}

static struct group *make_group(struct wasm_types *types, size_t bytes,
				const uint32_t *words, uint32_t word_count,
				uint32_t type_count)
{
	struct group *group = take(types, bytes);

	if (!group)
		return NULL;
	group->first = take_numbers(types, type_count);
	if (group->first == WASM_NO_TYPE) {
		give(types, group, bytes);
		return NULL;
	}
	group->bytes = bytes;
	group->count = type_count;
	group->word_count = word_count;
	fill_group(types, group, words);
	memcpy(group->words, words, 4 * (size_t)word_count);
	visit_outside(types, group, hold, NULL);
	return group;
}

int wasm_types_group(struct wasm_types *types, const uint32_t *words,
		     uint32_t word_count, uint32_t type_count, uint32_t *first)
{
	uint64_t hash = hash_words(types->seed, words, word_count);
	struct group *group = find_group(types, hash, words, word_count);

	if (!group) {
		size_t bytes;

		if (!need_scratch(types, type_count))
			return -1;
		bytes = measure(types, words, word_count, type_count);
		if (!bytes)
			return -2;
		group = make_group(types, bytes, words, word_count, type_count);
		if (!group)
			return -1;
		group->hash = hash;
		link_group(types, group);
	}
	group->holds++;
	*first = group->first;
	return 0;
}

void wasm_types_release(struct wasm_types *types, uint32_t first)
{
	struct group *dead = NULL, *group;

	let_go(types, first, &dead);
	while (dead) {
		group = dead;
		dead = group->next;
		visit_outside(types, group, let_go, &dead);
		give_numbers(types, group->first, group->count);
		give(types, group, group->bytes);
	}
}

uint32_t wasm_types_function(struct wasm_types *types, const wasm_type *params,
			     uint32_t param_count, const wasm_type *results,
			     uint32_t result_count)
{
	uint32_t word_count = 4 + param_count + result_count, first;
	uint32_t *words;
	int failed;

	if (param_count > WASM_PARAMS_MOST || result_count > WASM_RESULTS_MOST)
		return WASM_NO_TYPE;
	words = take(types, (size_t)word_count * 4);
	if (!words)
		return WASM_NO_TYPE;
	words[0] = WASM_KIND_FUNCTION | 1 << 8;
	words[1] = WASM_NO_TYPE;
	words[2] = param_count;
	words[3] = result_count;
	for (uint32_t i = 0; i < param_count; i++)
		words[4 + i] = params[i];
	for (uint32_t i = 0; i < result_count; i++)
		words[4 + param_count + i] = results[i];
	failed = wasm_types_group(types, words, word_count, 1, &first);
	give(types, words, (size_t)word_count * 4);
	return failed ? WASM_NO_TYPE : first;
}

struct wasm_types *wasm_types_new(const struct wasm_host *host)
{
	struct wasm_types *types = host->allocate(host->env, sizeof *types);

	if (!types)
		return NULL;
	types->host = host;
	types->free = WASM_NO_TYPE;
	/* The place in memory is what an author cannot know. */
	types->seed = (uintptr_t)types * 0xd1342543de82ef95;
	if (!make_buckets(types, 64)) {
		give(types, types, sizeof *types);
		return NULL;
	}
	return types;
}

void wasm_types_free(struct wasm_types *types)
{
	struct group *group, *next;

	if (!types)
		return;
	for (uint32_t i = 0; i < types->bucket_count; i++)
		for (group = types->buckets[i]; group; group = next) {
			next = group->next;
			give(types, group, group->bytes);
		}
	give(types, types->buckets,
	     types->bucket_count * sizeof(struct group *));
	for (unsigned i = 0; i < CHUNKS; i++)
		give(types, types->chunks[i], chunk_bytes(i));
	give(types, types->scratch, (size_t)types->scratch_words * 4);
	give(types, types, sizeof *types);
}

/* Which is below which */

bool wasm_id_matches(const struct wasm_types *types, uint32_t a, uint32_t b)
{
	const struct wasm_deftype *low, *high;

	if (a == b)
		return true;
	low = wasm_types_get(types, a);
	high = wasm_types_get(types, b);
	return low->depth > high->depth && low->supers[high->depth] == b;
}

/* Bits 1 << (heap type - 0x69) of all that are above. */
static uint32_t above_abstract(uint32_t heap)
{
	enum { FIRST = WASM_EXN };
	static const uint16_t above[] = {
		[WASM_I31 - FIRST] =
			1 << (WASM_EQ - FIRST) | 1 << (WASM_ANY - FIRST),
		[WASM_STRUCT - FIRST] =
			1 << (WASM_EQ - FIRST) | 1 << (WASM_ANY - FIRST),
		[WASM_ARRAY - FIRST] =
			1 << (WASM_EQ - FIRST) | 1 << (WASM_ANY - FIRST),
		[WASM_EQ - FIRST] = 1 << (WASM_ANY - FIRST),
		[WASM_NULL - FIRST] =
			1 << (WASM_EQ - FIRST) | 1 << (WASM_ANY - FIRST) |
			1 << (WASM_I31 - FIRST) | 1 << (WASM_STRUCT - FIRST) |
			1 << (WASM_ARRAY - FIRST),
		[WASM_NOFUNC - FIRST] = 1 << (WASM_FUNC - FIRST),
		[WASM_NOEXTERN - FIRST] = 1 << (WASM_EXTERN - FIRST),
		[WASM_NOEXN - FIRST] = 1 << (WASM_EXN - FIRST),
	};

	return above[heap - FIRST] | 1u << (heap - FIRST);
}

static uint32_t kind_heap(const struct wasm_types *types, uint32_t id)
{
	switch (wasm_types_get(types, id)->kind) {
	case WASM_KIND_FUNCTION: return WASM_FUNC;
	case WASM_KIND_STRUCT: return WASM_STRUCT;
	default: return WASM_ARRAY;
	}
}

static bool heap_matches(const struct wasm_types *types, uint32_t a, uint32_t b)
{
	if (!((a | b) & WASM_ABSTRACT))
		return wasm_id_matches(types, a, b);
	if (!(b & WASM_ABSTRACT))
		return (a & 0xff) == (kind_heap(types, b) == WASM_FUNC
					      ? WASM_NOFUNC
					      : WASM_NULL);
	if (!(a & WASM_ABSTRACT))
		a = kind_heap(types, a);
	return above_abstract(a & 0xff) >> ((b & 0xff) - WASM_EXN) & 1;
}

bool wasm_type_matches(const struct wasm_types *types, wasm_type a, wasm_type b)
{
	if (a == b || a == WASM_NONE || b == WASM_NONE)
		return true;
	if (!wasm_type_is_ref(a) || !wasm_type_is_ref(b))
		return false;
	if (a & WASM_NULLABLE && !(b & WASM_NULLABLE))
		return false;
	return heap_matches(types, a & WASM_REF_HEAP, b & WASM_REF_HEAP);
}

/* Their names */

static const char *heap_name(uint32_t heap)
{
	static const char *const names[] = { "exn",	 "array",  "struct",
					     "i31",	 "eq",	   "any",
					     "extern",	 "func",   "none",
					     "noextern", "nofunc", "noexn" };

	return names[(heap & 0xff) - WASM_EXN];
}

static const char *nullable_name(uint32_t heap)
{
	switch (heap & 0xff) {
	case WASM_NULL: return "nullref";
	case WASM_NOEXTERN: return "nullexternref";
	case WASM_NOFUNC: return "nullfuncref";
	case WASM_NOEXN: return "nullexnref";
	default: return NULL;
	}
}

static const char *number_name(wasm_type type)
{
	switch (type) {
	case WASM_I32: return "i32";
	case WASM_I64: return "i64";
	case WASM_F32: return "f32";
	case WASM_F64: return "f64";
	case WASM_V128: return "v128";
	case WASM_I8: return "i8";
	case WASM_I16: return "i16";
	default: return "unknown";
	}
}

uint32_t wasm_type_format(wasm_type type, char *text, uint32_t room)
{
	const char *null = type & WASM_NULLABLE ? "null " : "";
	uint32_t heap = type & WASM_REF_HEAP;

	if (!wasm_type_is_ref(type))
		return wasm_format(text, room, "%s", number_name(type));
	if (!(heap & WASM_ABSTRACT))
		return wasm_format(text, room, "(ref %s%u)", null, heap);
	if (!*null)
		return wasm_format(text, room, "(ref %s)", heap_name(heap));
	if (nullable_name(heap))
		return wasm_format(text, room, "%s", nullable_name(heap));
	return wasm_format(text, room, "%sref", heap_name(heap));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The collected heap: what is reachable stays as it was, what is not goes,
 * in bounded memory and without recursion. */
#include "test.h"
#include "wasm/heap_block.h"
#include "wasm/store.h"
#include "wasm_host.h"
#include <time.h>

/* The types of these tests. */
enum {
	LEAF,  /* i64 */
	PAIR,  /* ref, ref, i32 */
	REFS,  /* array of references */
	BYTES, /* array of i8 */
	MIXED, /* funcref, i8, externref, i31ref */
	KINDS
};
struct fixture {
	struct test_host host;
	struct wasm_types *types;
	struct wasm_store *store;
	uint32_t type[KINDS];
};

static void setup(struct fixture *f, uint64_t heap_bytes)
{
	static const uint32_t words[KINDS][16] = {
		[LEAF] = { WASM_KIND_STRUCT, WASM_NO_TYPE, 1, 0, WASM_I64, 1 },
		[PAIR] = { WASM_KIND_STRUCT, WASM_NO_TYPE, 3, 0, WASM_ANYREF, 1,
			   WASM_ANYREF, 1, WASM_I32, 1 },
		[REFS] = { WASM_KIND_ARRAY, WASM_NO_TYPE, 1, 0, WASM_ANYREF,
			   1 },
		[BYTES] = { WASM_KIND_ARRAY, WASM_NO_TYPE, 1, 0, WASM_I8, 1 },
		[MIXED] = { WASM_KIND_STRUCT, WASM_NO_TYPE, 4, 0, WASM_FUNCREF,
			    1, WASM_I8, 1, WASM_EXTERNREF, 1,
			    WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_I31,
			    1 },
	};
	struct wasm_store_options options = { .heap_bytes = heap_bytes,
					      .stack_bytes = 1 << 20 };

	test_host_init(&f->host);
	f->types = wasm_types_new(&f->host.hooks);
	for (int i = 0; i < KINDS; i++)
		CHECK(wasm_types_group(f->types, words[i], 4 + 2 * words[i][2],
				       1, &f->type[i]) == 0);
	f->store = wasm_store_make(&f->host.hooks, f->types, &options);
	CHECK(f->store != NULL);
}

static void teardown(struct fixture *f)
{
	wasm_store_free(f->store);
	wasm_types_free(f->types);
	CHECK_INT(f->host.blocks, 0);
	CHECK_INT(f->host.bytes, 0);
}

static wasm_ref *field(wasm_ref pair, unsigned n)
{
	return wasm_object_at(pair, n * 8);
}

static wasm_ref pair_make(struct fixture *f, wasm_ref first, wasm_ref second)
{
	wasm_ref pair = wasm_heap_struct(f->store, f->type[PAIR]);

	if (pair) {
		*field(pair, 0) = first;
		*field(pair, 1) = second;
	}
	return pair;
}

/* A slot of the value stack, where references are found. */
static wasm_ref *slot(struct fixture *f, unsigned n)
{
	if (f->store->stack_top < f->store->stack + (n + 1) * 16)
		f->store->stack_top = f->store->stack + (n + 1) * 16;
	return (wasm_ref *)(f->store->stack + n * 16);
}

static bool lives(struct fixture *f, wasm_ref ref)
{
	wasm_heap_collect(f->store);
	return wasm_heap_find(f->store->heap, ref) != NULL;
}

TEST(new_objects_are_zero)
{
	struct fixture f;
	bool zero = true;

	setup(&f, 16 << 20);
	for (unsigned i = 0; i < 2000000; i++) {
		uint32_t length = i % 7000 == 0 ? 50000 : i * 7 % 300;
		wasm_ref ref = wasm_heap_array(f.store, f.type[BYTES], length);
		uint8_t *bytes = wasm_object_at(ref, 0);

		if (!ref) {
			CHECK(!"memory");
			break;
		}
		for (uint32_t k = 0; k < length; k += 7)
			zero &= bytes[k] == 0;
		memset(bytes, 0xff, length);
	}
	CHECK(zero);
	CHECK(f.host.most_bytes < 128 << 20);
	teardown(&f);
}

TEST(sizes_do_not_overlap)
{
	struct fixture f;
	wasm_ref kept[600];

	setup(&f, 64 << 20);
	for (uint32_t i = 0; i < 600; i++) {
		uint32_t length = i < 400 ? i : i * i / 4;

		kept[i] = wasm_heap_array(f.store, f.type[BYTES], length);
		*slot(&f, i) = kept[i];
		CHECK_INT(kept[i] % 8, 0);
		memset(wasm_object_at(kept[i], 0), (int)i, length);
	}
	wasm_heap_collect(f.store);
	for (uint32_t i = 0; i < 600; i++) {
		uint32_t length = i < 400 ? i : i * i / 4;
		uint8_t *bytes = wasm_object_at(kept[i], 0);
		struct wasm_object *object = (void *)kept[i];

		CHECK_INT(object->length, length);
		CHECK(length == 0 || (bytes[0] == (uint8_t)i &&
				      bytes[length - 1] == (uint8_t)i));
	}
	teardown(&f);
}

TEST(roots)
{
	struct fixture f;
	struct wasm_limits limits = { .least = 3 };
	union wasm_value value = { 0 };
	struct wasm_roots *roots;
	struct wasm_global *global;
	struct wasm_table *table;
	wasm_ref ref;

	setup(&f, 0);
	value.ref = ref = wasm_heap_struct(f.store, f.type[LEAF]);
	global = wasm_global_make(f.store, WASM_ANYREF, true, value);
	CHECK(lives(&f, ref));
	global->value.ref = 0;
	CHECK(!lives(&f, ref));

	ref = wasm_heap_struct(f.store, f.type[LEAF]);
	table = wasm_table_make(f.store, WASM_ANYREF, &limits, ref);
	CHECK(lives(&f, ref));
	table->elems[0] = table->elems[1] = 0;
	CHECK(lives(&f, ref));
	table->elems[2] = 0;
	CHECK(!lives(&f, ref));

	ref = wasm_heap_struct(f.store, f.type[LEAF]);
	roots = calloc(1, sizeof(*roots) + 2 * sizeof(wasm_ref));
	roots->count = 2;
	roots->refs[1] = ref;
	wasm_roots_add(f.store, roots);
	CHECK(lives(&f, ref));
	wasm_roots_remove(roots);
	free(roots);
	CHECK(!lives(&f, ref));

	ref = wasm_heap_struct(f.store, f.type[LEAF]);
	f.store->exception = ref;
	CHECK(lives(&f, ref));
	f.store->exception = 0;
	CHECK(!lives(&f, ref));
	teardown(&f);
}

TEST(only_the_very_address_on_the_stack_keeps)
{
	struct fixture f;
	wasm_ref small, large;

	setup(&f, 0);
	small = wasm_heap_struct(f.store, f.type[PAIR]);
	large = wasm_heap_array(f.store, f.type[BYTES], 100000);
	*slot(&f, 0) = small + 8;
	*slot(&f, 1) = large + 8;
	*slot(&f, 2) = small & -262144ll;
	*slot(&f, 3) = 0xdeadbeef00;
	*slot(&f, 4) = UINT64_MAX & ~7ull;
	*slot(&f, 5) = 8;
	slot(&f, 5)[1] = large; /* any word of a slot */
	wasm_heap_collect(f.store);
	CHECK(!wasm_heap_find(f.store->heap, small));
	CHECK(wasm_heap_find(f.store->heap, large) != NULL);
	slot(&f, 5)[1] = 0;
	*slot(&f, 0) = small; /* dead already: does not come back */
	CHECK(!lives(&f, small));
	CHECK(!lives(&f, large));
	*slot(&f, 6) = large = wasm_heap_array(f.store, f.type[REFS], 9);
	f.store->stack_top = f.store->stack;
	CHECK(!lives(&f, large));
	CHECK_INT(wasm_heap_used(f.store), 0);
	teardown(&f);
}

TEST(other_references_are_passed_over)
{
	struct fixture f;
	struct wasm_function *function;
	wasm_ref mixed, leaf;

	setup(&f, 0);
	function = wasm_host_function_new(f.store, 0, NULL, NULL, NULL);
	mixed = wasm_heap_struct(f.store, f.type[MIXED]);
	leaf = wasm_heap_struct(f.store, f.type[LEAF]);
	*slot(&f, 0) = mixed;
	*slot(&f, 1) = (wasm_ref)function;
	*field(mixed, 0) = (wasm_ref)function;
	*(uint8_t *)wasm_object_at(mixed, 8) = 0xff;
	*field(mixed, 2) = leaf; /* an object that was made extern */
	*field(mixed, 3) = wasm_ref_of_i31(0x12345678);
	CHECK(lives(&f, mixed));
	CHECK(lives(&f, leaf));
	*field(mixed, 2) = wasm_ref_of_host(leaf);
	CHECK(!lives(&f, leaf));
	teardown(&f);
}

TEST(exceptions_keep_what_they_carry)
{
	struct fixture f;
	wasm_type params[] = { WASM_I64, WASM_FUNCREF, WASM_ANYREF };
	struct wasm_exception *exception;
	struct wasm_tag *tag;
	wasm_ref leaf, other;

	setup(&f, 0);
	tag = wasm_tag_make(f.store,
			    wasm_types_function(f.types, params, 3, NULL, 0));
	leaf = wasm_heap_struct(f.store, f.type[LEAF]);
	other = wasm_heap_struct(f.store, f.type[LEAF]);
	exception = wasm_heap_exception(f.store, tag);
	CHECK_INT((uintptr_t)exception->values % 16, 0);
	CHECK_INT(exception->object.length, 3);
	exception->values[0].i64 = other;
	exception->values[2].ref = leaf;
	*slot(&f, 0) = (wasm_ref)exception;
	CHECK(lives(&f, leaf));
	CHECK(!lives(&f, other));
	teardown(&f);
}

TEST(short_lived_objects_in_bounded_memory)
{
	struct fixture f;
	wasm_ref kept = 0;

	setup(&f, 32 << 20);
	for (unsigned i = 0; i < 20000000; i++) {
		wasm_ref pair = pair_make(&f, kept, 0);

		if (!pair) {
			CHECK(!"memory");
			break;
		}
		if (i % 1000 == 0)
			*slot(&f, 0) = kept = i % 100000 ? pair : 0;
	}
	CHECK(f.host.most_bytes < 64 << 20);
	teardown(&f);
}

TEST(cycles_go)
{
	struct fixture f;
	wasm_ref first, second, array;

	setup(&f, 0);
	first = pair_make(&f, 0, 0);
	second = pair_make(&f, first, 0);
	array = wasm_heap_array(f.store, f.type[REFS], 3);
	*field(first, 0) = second;
	*field(first, 1) = array;
	*field(array, 2) = array;
	*slot(&f, 0) = second;
	CHECK(lives(&f, first) && lives(&f, second) && lives(&f, array));
	*slot(&f, 0) = 0;
	CHECK(!lives(&f, first));
	CHECK_INT(wasm_heap_used(f.store), 0);
	teardown(&f);
}

TEST(under_stress_each_object_costs_a_collection)
{
	struct fixture f;
	wasm_ref last = 0;

	setup(&f, 0);
	wasm_heap_stress(f.store);
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t length = i % 100 ? i : 40000;
		wasm_ref lost = pair_make(&f, 0, 0);
		wasm_ref kept = pair_make(&f, last, 0);

		CHECK(!wasm_heap_find(f.store->heap, lost));
		*slot(&f, 0) = last = kept;
		CHECK(wasm_heap_array(f.store, f.type[BYTES], length) != 0);
		CHECK(wasm_heap_used(f.store) <=
		      (i + 1) * 32 + length * 2 + 64);
	}
	teardown(&f);
}

/* A list, with a subtree at each node that has to be looked at too. */
static void list_check(struct fixture *f, unsigned next, unsigned length)
{
	wasm_ref list = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < length; i++) {
		*slot(f, 0) = list;
		*slot(f, 1) = pair_make(f, 0, 0);
		list = pair_make(f, *slot(f, 1), *slot(f, 1));
		*field(list, next) = *slot(f, 0);
	}
	*slot(f, 0) = list;
	*slot(f, 1) = 0;
	wasm_heap_collect(f->store);
	CHECK_INT(wasm_heap_used(f->store), (int64_t)length * 64);
	for (; list; list = *field(list, next)) {
		CHECK(wasm_heap_find(f->store->heap, list) != NULL);
		CHECK(wasm_heap_find(f->store->heap, *field(list, 1 - next)) !=
		      NULL);
		count++;
	}
	CHECK_INT(count, length);
	*slot(f, 0) = 0;
	wasm_heap_collect(f->store);
	CHECK_INT(wasm_heap_used(f->store), 0);
}

TEST(deep_lists)
{
	struct fixture f;

	setup(&f, 0);
	list_check(&f, 0, 1000000);
	list_check(&f, 1, 1000000);
	CHECK(f.store->heap->mark_room <= f.store->heap->mark_most);
	teardown(&f);
}

TEST(mark_stack_overflows)
{
	struct fixture f;

	setup(&f, 0);
	CHECK(wasm_heap_mark_room(f.store->heap, 1) == 0);
	f.store->heap->mark_most = 1;
	list_check(&f, 0, 3000);
	list_check(&f, 1, 3000);
	CHECK_INT(f.store->heap->mark_room, 1);
	teardown(&f);
	setup(&f, 0);
	CHECK(wasm_heap_mark_room(f.store->heap, 100) == 0);
	f.store->heap->mark_most = 100;
	list_check(&f, 0, 100000);
	list_check(&f, 1, 100000);
	teardown(&f);
}

/* A graph of random objects, some in large arrays, and what a plain search
 * reaches in a copy of it. */
enum { NODES = 3000 };
struct model {
	wasm_ref ref[NODES];
	uint32_t *edges[NODES], count[NODES]; /* edge: number + 1 */
	bool dead[NODES], seen[NODES];
};

static uint64_t random_word(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static void node_make(struct fixture *f, struct model *m, uint32_t n)
{
	uint32_t kind = random_word() % 8;

	m->count[n] = kind < 5	  ? 2
		      : kind == 5 ? 10000
				  : (uint32_t)random_word() % 50;
	free(m->edges[n]);
	m->edges[n] = calloc(m->count[n] + 1, sizeof(uint32_t));
	m->dead[n] = false;
	m->ref[n] = kind < 5 ? wasm_heap_struct(f->store, f->type[PAIR])
			     : wasm_heap_array(f->store, f->type[REFS],
					       m->count[n]);
	CHECK(m->ref[n] != 0);
}

static void edge_set(struct model *m, uint32_t from, uint32_t to)
{
	uint32_t at;

	if (m->dead[from] || m->dead[to] || m->count[from] == 0)
		return;
	at = random_word() % m->count[from];
	m->edges[from][at] = to + 1;
	*field(m->ref[from], at) = m->ref[to];
}

static void reach(struct model *m, uint32_t from)
{
	static uint32_t stack[NODES * 40];
	uint32_t top = 0;

	stack[top++] = from;
	while (top) {
		uint32_t n = stack[--top];

		if (m->seen[n])
			continue;
		m->seen[n] = true;
		for (uint32_t i = 0; i < m->count[n]; i++)
			if (m->edges[n][i] && !m->seen[m->edges[n][i] - 1])
				stack[top++] = m->edges[n][i] - 1;
	}
}

static void graph_check(struct fixture *f, struct model *m)
{
	unsigned wrong = 0;

	for (uint32_t n = 0; n < NODES; n++) {
		bool alive = wasm_heap_find(f->store->heap, m->ref[n]);

		if (m->dead[n])
			continue;
		wrong += alive != m->seen[n];
		m->dead[n] = !m->seen[n];
		for (uint32_t i = 0; alive && i < m->count[n]; i++) {
			uint32_t edge = m->edges[n][i];

			wrong += *field(m->ref[n], i) !=
				 (edge ? m->ref[edge - 1] : 0);
		}
	}
	CHECK_INT(wrong, 0);
}

static void graphs(uint64_t mark_most)
{
	static struct model m;
	struct fixture f;
	uint32_t roots[10];

	memset(&m, 0, sizeof(m));
	memset(m.dead, true, sizeof(m.dead));
	setup(&f, 256 << 20);
	f.store->heap->budget = f.store->heap->most; /* only when told */
	CHECK(wasm_heap_mark_room(f.store->heap, mark_most) == 0);
	f.store->heap->mark_most = mark_most;
	for (unsigned round = 0; round < 30; round++) {
		for (uint32_t n = 0; n < NODES; n++)
			if (m.dead[n])
				node_make(&f, &m, n);
		for (unsigned i = 0; i < NODES; i++)
			edge_set(&m, random_word() % NODES,
				 random_word() % NODES);
		memset(m.seen, 0, sizeof(m.seen));
		for (unsigned i = 0; i < 10; i++) {
			roots[i] = random_word() % NODES;
			*slot(&f, i) = m.ref[roots[i]];
			reach(&m, roots[i]);
		}
		wasm_heap_collect(f.store);
		f.store->heap->budget = f.store->heap->most;
		graph_check(&f, &m);
	}
	for (uint32_t n = 0; n < NODES; n++)
		free(m.edges[n]);
	teardown(&f);
}

TEST(random_graphs)
{
	graphs(1 << 18);
	graphs(7);
}

TEST(the_limit_holds_and_what_is_freed_can_be_used)
{
	struct fixture f;
	wasm_ref list = 0, pair;
	unsigned count = 0;

	setup(&f, 8 << 20);
	while ((pair = pair_make(&f, list, 0))) {
		*slot(&f, 0) = list = pair;
		count++;
	}
	CHECK(count * 32 > 7 << 20 && count * 32 <= 8 << 20);
	CHECK(wasm_heap_used(f.store) <= 8 << 20);
	CHECK(wasm_heap_array(f.store, f.type[BYTES], 1 << 20) == 0);
	CHECK(wasm_heap_array(f.store, f.type[REFS], UINT32_MAX) == 0);
	*slot(&f, 0) = 0;
	CHECK(wasm_heap_array(f.store, f.type[BYTES], 4 << 20) != 0);
	CHECK(pair_make(&f, 0, 0) != 0);
	teardown(&f);
}

TEST(memory_goes_back_after_a_peak)
{
	struct fixture f;

	setup(&f, 0);
	for (unsigned i = 0; i < 10000000; i++) {
		wasm_ref pair = pair_make(&f, *slot(&f, 0), 0);

		*slot(&f, 0) = pair;
	}
	CHECK(f.host.bytes > 300 << 20);
	*slot(&f, 0) = 0;
	wasm_heap_collect(f.store);
	CHECK(f.host.bytes < 100 << 20);
	for (unsigned i = 0; i < 1000000; i++)
		*slot(&f, 0) = pair_make(&f, *slot(&f, 0), 0);
	wasm_heap_collect(f.store);
	CHECK_INT(wasm_heap_used(f.store), 32000000);
	teardown(&f);
}

/* The n-th request of the host fails: a null reference, nothing else. */
TEST(failing_allocations)
{
	for (unsigned n = 1; n < 60; n++) {
		struct fixture f;
		unsigned failed = 0;

		setup(&f, 64 << 20);
		f.host.fail_at = n;
		for (unsigned i = 0; i < 3000; i++) {
			wasm_ref ref =
				wasm_heap_array(f.store,
						f.type[i % 2 ? REFS : BYTES],
						i % 100 ? i * 3 : 40000);

			failed += !ref;
			if (ref)
				*slot(&f, i) = ref;
			if (i % 1000 == 0)
				wasm_heap_collect(f.store);
		}
		CHECK(failed <= 1);
		teardown(&f);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

TEST(speed)
{
	struct fixture f;
	unsigned count = 30000000;
	double from = now();

	setup(&f, 0);
	for (unsigned i = 0; i < count; i++)
		*slot(&f, 0) = wasm_heap_struct(f.store, f.type[LEAF]);
	printf("# %.0f million structures of 16 bytes a second\n",
	       count / (now() - from) / 1e6);
	count = 5000000;
	*slot(&f, 0) = 0;
	for (unsigned i = 0; i < count; i++)
		*slot(&f, 0) = pair_make(&f, *slot(&f, 0), 0);
	from = now();
	wasm_heap_collect(f.store);
	printf("# %.0f million of 32 bytes marked a second\n",
	       count / (now() - from) / 1e6);
	CHECK_INT(wasm_heap_used(f.store), count * 32ll);
	teardown(&f);
}

TEST_MAIN

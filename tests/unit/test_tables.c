/* SPDX-License-Identifier: Apache-2.0 */
/* Page tables of guests: what is mapped is found, and nothing else is;
 * tables run out in order; and entries that somebody has overwritten lead to
 * nothing outside of the pool. */
#include "domain/tables.h"
#include "test.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL  UINT64_C(4096)
#define WINDOW UINT64_C(0x200000000000)
#define POOL   ((uint64_t)GUEST_TABLES_BYTES)

enum {
	WRITES = 2,
	USER = 4,
	LARGE = 0x80,
	POOL_TABLES = GUEST_TABLES_BYTES / GUEST_PAGE,
};
#define NO_EXECUTE (UINT64_C(1) << 63)

/* The pool between two pages that nobody may touch. */
struct pool {
	uint8_t *place;
	struct tables tables;
};

static void pool_open(struct pool *pool)
{
	pool->place = mmap(NULL, POOL + 2 * SMALL, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->place == MAP_FAILED ||
	    mprotect(pool->place + SMALL, POOL, PROT_READ | PROT_WRITE) < 0)
		abort();
	tables_init(&pool->tables, pool->place + SMALL);
}

static void pool_close(struct pool *pool)
{
	munmap(pool->place, POOL + 2 * SMALL);
}

static bool is_at(const struct pool *pool, uint64_t virtual, uint64_t physical)
{
	uint64_t entry, found = tables_find(&pool->tables, virtual, &entry);

	if (found == physical)
		return true;
	printf("# %llx is at %llx, not %llx\n", (unsigned long long)virtual,
	       (unsigned long long)found, (unsigned long long)physical);
	return false;
}

static bool is_absent(const struct pool *pool, uint64_t virtual)
{
	return is_at(pool, virtual, UINT64_MAX);
}

static uint64_t entry_of(const struct pool *pool, uint64_t virtual)
{
	uint64_t entry = 0;

	tables_find(&pool->tables, virtual, &entry);
	return entry;
}

static int map(struct pool *pool, uint64_t virtual, uint64_t physical,
	       uint64_t bytes, unsigned flags)
{
	return tables_map(&pool->tables, virtual, physical, bytes, flags, NULL);
}

TEST(exactly_what_is_mapped)
{
	struct pool pool;

	pool_open(&pool);
	CHECK(is_absent(&pool, WINDOW));
	CHECK_INT(map(&pool, WINDOW + SMALL, 3 * SMALL, SMALL, TABLES_WRITE),
		  0);
	CHECK(is_absent(&pool, WINDOW));
	CHECK(is_absent(&pool, WINDOW + SMALL - 1));
	CHECK(is_at(&pool, WINDOW + SMALL, 3 * SMALL));
	CHECK(is_at(&pool, WINDOW + 2 * SMALL - 1, 4 * SMALL - 1));
	CHECK(is_absent(&pool, WINDOW + 2 * SMALL));
	CHECK_INT(map(&pool, WINDOW, 0, 0, TABLES_WRITE), 0);
	CHECK(is_absent(&pool, WINDOW));
	pool_close(&pool);
}

/* Neighbours in each level's table; the last that an address can name. */
TEST(boundaries)
{
	static const uint64_t edges[] = { UINT64_C(1) << 21, UINT64_C(1) << 30,
					  UINT64_C(1) << 39,
					  (UINT64_C(1) << 47) - 4 * SMALL };
	struct pool pool;

	pool_open(&pool);
	for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
		CHECK_INT(map(&pool, edges[i] - SMALL, i * 64 * SMALL,
			      3 * SMALL, 0),
			  0);
		CHECK(is_absent(&pool, edges[i] - SMALL - 1));
		for (uint64_t n = 0; n < 3; n++)
			CHECK(is_at(&pool, edges[i] + (n - 1) * SMALL,
				    (i * 64 + n) * SMALL));
		CHECK(is_absent(&pool, edges[i] + 2 * SMALL));
	}
	pool_close(&pool);
}

TEST(rights)
{
	struct pool pool;

	pool_open(&pool);
	map(&pool, WINDOW, 0, SMALL, 0);
	map(&pool, WINDOW + SMALL, 0, SMALL, TABLES_WRITE);
	map(&pool, WINDOW + 2 * SMALL, 0, SMALL, TABLES_EXECUTE);
	map(&pool, WINDOW + 3 * SMALL, 0, SMALL,
	    TABLES_KERNEL | TABLES_WRITE | TABLES_EXECUTE);
	CHECK((entry_of(&pool, WINDOW) & (WRITES | USER | NO_EXECUTE)) ==
	      (USER | NO_EXECUTE));
	CHECK((entry_of(&pool, WINDOW + SMALL) &
	       (WRITES | USER | NO_EXECUTE)) == (WRITES | USER | NO_EXECUTE));
	CHECK((entry_of(&pool, WINDOW + 2 * SMALL) &
	       (WRITES | USER | NO_EXECUTE)) == USER);
	CHECK((entry_of(&pool, WINDOW + 3 * SMALL) &
	       (WRITES | USER | NO_EXECUTE)) == WRITES);
	pool_close(&pool);
}

/* What is there already keeps its place and its rights. */
TEST(large_pages)
{
	struct pool pool;
	uint64_t at = WINDOW + GUEST_LARGE;

	pool_open(&pool);
	CHECK_INT(map(&pool, at, 4 * GUEST_LARGE, GUEST_LARGE, 0), 0);
	CHECK(entry_of(&pool, at) & LARGE);
	CHECK_INT(pool.tables.used, 3);
	CHECK(is_at(&pool, at + GUEST_LARGE - 1, 5 * GUEST_LARGE - 1));
	CHECK(is_absent(&pool, at + GUEST_LARGE));
	CHECK(is_absent(&pool, at - 1));
	/* One byte of address that does not fit: small ones. */
	CHECK_INT(map(&pool, at + GUEST_LARGE, SMALL, GUEST_LARGE, 0), 0);
	CHECK(!(entry_of(&pool, at + GUEST_LARGE) & LARGE));
	CHECK(is_at(&pool, at + 2 * GUEST_LARGE - 1, SMALL + GUEST_LARGE - 1));
	/* Over a large page and on. */
	CHECK_INT(map(&pool, at + GUEST_LARGE / 2, 64 * GUEST_LARGE,
		      3 * GUEST_LARGE, TABLES_WRITE),
		  0);
	CHECK(is_at(&pool, at, 4 * GUEST_LARGE));
	CHECK(!(entry_of(&pool, at + GUEST_LARGE - 1) & WRITES));
	CHECK(is_at(&pool, at + GUEST_LARGE, SMALL));
	CHECK(is_at(&pool, at + 2 * GUEST_LARGE,
		    64 * GUEST_LARGE + GUEST_LARGE * 3 / 2));
	CHECK(is_absent(&pool, at + GUEST_LARGE / 2 + 3 * GUEST_LARGE));
	/* Part of a large place is taken: the rest is made of small ones. */
	CHECK_INT(map(&pool, at + 8 * GUEST_LARGE, 0, SMALL, 0), 0);
	CHECK_INT(map(&pool, at + 8 * GUEST_LARGE, 8 * GUEST_LARGE, GUEST_LARGE,
		      TABLES_WRITE),
		  0);
	CHECK(is_at(&pool, at + 8 * GUEST_LARGE, 0));
	CHECK(is_at(&pool, at + 8 * GUEST_LARGE + SMALL,
		    8 * GUEST_LARGE + SMALL));
	pool_close(&pool);
}

/* No table is left: what was mapped stays, and nothing is half there. */
TEST(tables_run_out)
{
	struct pool pool;
	struct err err = { 0 };
	uint64_t count = 0;
	int r = 0;

	pool_open(&pool);
	while (r >= 0 && count < 2 * POOL_TABLES) {
		r = tables_map(&pool.tables, WINDOW + count * GUEST_LARGE,
			       count * SMALL, SMALL, 0, &err);
		count += r >= 0;
	}
	CHECK_INT(r, -ENOMEM);
	CHECK(strstr(err.text, "page tables"));
	CHECK_INT(pool.tables.used, POOL_TABLES);
	for (uint64_t i = 0; i < count; i++)
		CHECK(is_at(&pool, WINDOW + i * GUEST_LARGE, i * SMALL));
	CHECK(is_absent(&pool, WINDOW + count * GUEST_LARGE));
	CHECK_INT(map(&pool, WINDOW + SMALL, 7 * SMALL, SMALL, 0), 0);
	CHECK_INT(map(&pool, 0, 0, SMALL, 0), -ENOMEM);
	CHECK(is_at(&pool, WINDOW + SMALL, 7 * SMALL));
	pool_close(&pool);
}

/* ---- against a model -------------------------------------------------------
 */

enum { MODEL_PAGES = 16384, MODEL_MAPS = 10000 };

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Where each page is, from a place on that crosses tables of all levels. */
static const uint64_t model_base =
	(UINT64_C(1) << 39) - MODEL_PAGES / 2 * SMALL;
static uint64_t model[MODEL_PAGES];

static void model_map(uint64_t page, uint64_t to, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (model[page + i] == UINT64_MAX)
			model[page + i] = to + i * SMALL;
}

static bool model_holds(const struct pool *pool)
{
	for (uint64_t i = 0; i < MODEL_PAGES; i++)
		if (!is_at(pool, model_base + i * SMALL, model[i]))
			return false;
	return true;
}

/* Short and long ones, now and then such that large pages fit. */
static void model_step(struct pool *pool, uint64_t *state)
{
	bool is_large = next(state) % 64 == 0;
	uint64_t unit = is_large ? 512 : 1,
		 page = next(state) % (MODEL_PAGES / unit) * unit,
		 count = (1 + next(state) % 3) * unit,
		 to = next(state) % 4096 * unit * SMALL;

	if (count > MODEL_PAGES - page)
		count = MODEL_PAGES - page;
	CHECK_INT(map(pool, model_base + page * SMALL, to, count * SMALL,
		      (unsigned)next(state) & 7),
		  0);
	model_map(page, to, count);
}

TEST(as_a_model_has_it)
{
	uint64_t state = 0x243f6a8885a308d3;
	struct pool pool;

	pool_open(&pool);
	for (int i = 0; i < MODEL_PAGES; i++)
		model[i] = UINT64_MAX;
	for (int i = 0; i < MODEL_MAPS && !test_failures; i++) {
		model_step(&pool, &state);
		if (i % 1000 == 999)
			CHECK(model_holds(&pool));
	}
	CHECK(pool.tables.used < 60);
	pool_close(&pool);
}

/* ---- overwritten entries ---------------------------------------------------
 */

/* Random words, and entries that look right and name any place. */
static uint64_t odd_entry(uint64_t *state)
{
	uint64_t word = next(state);

	switch (next(state) % 6) {
	case 0: return word;
	case 1: return 0;
	case 2: return word | 1;
	case 3: return (word % (2 * POOL) & ~(SMALL - 1)) | 0x27;
	case 4: return (word & UINT64_C(0xfffffffff000)) | 0xa7;
	}
	return UINT64_C(0xfffffffffffff067);
}

/* The pages on both sides of the pool would fault; so would what the table of
 * an entry that is believed is far off.  It ends, whatever the entries say. */
TEST(overwritten)
{
	uint64_t state = 0x13198a2e03707344, entry;
	struct pool pool;

	for (int turn = 0; turn < 200; turn++) {
		uint64_t used;

		pool_open(&pool);
		for (uint64_t i = 0; i < 40; i++)
			map(&pool, WINDOW + next(&state) % (1 << 20) * SMALL,
			    i * SMALL, SMALL, TABLES_WRITE);
		used = pool.tables.used;
		for (int i = 0; i < 2000; i++) {
			uint64_t *words = (uint64_t *)(pool.place + SMALL);

			words[next(&state) % (used * 512)] = odd_entry(&state);
			words[256] = odd_entry(&state); /* WINDOW's, root */
			map(&pool, WINDOW + next(&state) % (1 << 20) * SMALL,
			    next(&state) % (1 << 20) * SMALL,
			    next(&state) % 600 * SMALL, 0);
			tables_find(&pool.tables,
				    WINDOW + next(&state) % (1 << 20) * SMALL,
				    &entry);
		}
		CHECK(pool.tables.used <= POOL_TABLES);
		pool_close(&pool);
	}
}

TEST_MAIN

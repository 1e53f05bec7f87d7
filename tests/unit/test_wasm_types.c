/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of types: one number for one structure, matching, layout, and
 * that all memory and numbers come back. */
#include "test.h"
#include "wasm/type.h"
#include "wasm_host.h"

#define WORDS(...)                         \
	(const uint32_t[]){ __VA_ARGS__ }, \
		sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4

enum {
	FINAL = 1 << 8,
	FUNCTION = WASM_KIND_FUNCTION,
	STRUCT = WASM_KIND_STRUCT,
	ARRAY = WASM_KIND_ARRAY,
};
static const uint32_t NONE = WASM_NO_TYPE;

static struct test_host host;
static struct wasm_types *types;

static void begin(void)
{
	test_host_init(&host);
	types = wasm_types_new(&host.hooks);
}

static void end(void)
{
	wasm_types_free(types);
	CHECK_INT(host.blocks, 0);
	CHECK_INT(host.bytes, 0);
}

static uint32_t group(const uint32_t *words, uint32_t count,
		      uint32_t type_count)
{
	uint32_t first = NONE;

	CHECK_INT(wasm_types_group(types, words, count, type_count, &first), 0);
	return first;
}

TEST(equal_functions_have_one_number)
{
	static const wasm_type ii[] = { WASM_I32, WASM_I32 };
	static const wasm_type l[] = { WASM_I64 };
	const struct wasm_deftype *type;
	uint32_t id;

	begin();
	id = wasm_types_function(types, ii, 2, l, 1);
	CHECK_INT(wasm_types_function(types, ii, 2, l, 1), id);
	CHECK(wasm_types_function(types, ii, 1, l, 1) != id);
	CHECK(wasm_types_function(types, l, 1, ii, 2) != id);
	CHECK_INT(group(WORDS(FUNCTION | FINAL, NONE, 2, 1, WASM_I32, WASM_I32,
			      WASM_I64),
			1),
		  id);
	type = wasm_types_get(types, id);
	CHECK_INT(type->param_count, 2);
	CHECK_INT(type->params[1], WASM_I32);
	CHECK_INT(type->result_count, 1);
	CHECK_INT(type->results[0], WASM_I64);
	CHECK(type->is_final);
	end();
}

/* (rec (struct (ref 1)) (struct (ref 0))), and the same the other way round. */
TEST(groups_are_known_by_their_structure)
{
	const uint32_t to0 = WASM_REF | WASM_IN_GROUP,
		       to1 = WASM_REF | WASM_IN_GROUP | 1;
	uint32_t a, b, c, d;

	begin();
	a = group(WORDS(STRUCT | FINAL, NONE, 1, 0, to1, 0, STRUCT | FINAL,
			NONE, 1, 0, to0, 0),
		  2);
	b = group(WORDS(STRUCT | FINAL, NONE, 1, 0, to1, 0, STRUCT | FINAL,
			NONE, 1, 0, to0, 0),
		  2);
	CHECK_INT(a, b);
	CHECK_INT(wasm_types_get(types, a)->fields[0].type, WASM_REF | (a + 1));
	CHECK_INT(wasm_types_get(types, a + 1)->group_first, a);
	CHECK_INT(wasm_types_get(types, a + 1)->group_count, 2);
	c = group(WORDS(STRUCT | FINAL, NONE, 1, 0, to0, 0, STRUCT | FINAL,
			NONE, 1, 0, to1, 0),
		  2);
	CHECK(c != a);
	/* Each alone, naming itself, is another type again. */
	d = group(WORDS(STRUCT | FINAL, NONE, 1, 0, to0, 0), 1);
	CHECK(d != a && d != c && d != c + 1);
	end();
}

TEST(supertypes_are_found_at_once)
{
	uint32_t top, low, lower, other;

	begin();
	top = group(WORDS(STRUCT, NONE, 0, 0), 1);
	low = group(WORDS(STRUCT, top, 1, 0, WASM_I32, 0), 1);
	lower = group(WORDS(STRUCT | FINAL, low, 1, 0, WASM_I32, 0), 1);
	other = group(WORDS(STRUCT | FINAL, top, 1, 0, WASM_I64, 0), 1);
	CHECK(wasm_id_matches(types, lower, top));
	CHECK(wasm_id_matches(types, lower, low));
	CHECK(wasm_id_matches(types, low, low));
	CHECK(!wasm_id_matches(types, top, low));
	CHECK(!wasm_id_matches(types, other, low));
	CHECK_INT(wasm_types_get(types, lower)->depth, 2);
	CHECK_INT(wasm_types_get(types, lower)->supers[0], top);
	CHECK_INT(wasm_types_get(types, lower)->supers[2], lower);
	end();
}

TEST(supertypes_have_an_end)
{
	uint32_t last = NONE, first;
	int result = 0;

	begin();
	for (int i = 0; i < WASM_TYPE_DEPTH_MOST + 1; i++)
		last = group(WORDS(STRUCT, last, 0, 0), 1);
	CHECK_INT(wasm_types_get(types, last)->depth, WASM_TYPE_DEPTH_MOST);
	result = wasm_types_group(types, WORDS(STRUCT, last, 0, 0), 1, &first);
	CHECK_INT(result, -2);
	end();
}

static bool abstract_matches(uint32_t a, uint32_t b)
{
	return wasm_type_matches(types, WASM_REF | WASM_ABSTRACT | a,
				 WASM_REF | WASM_ABSTRACT | b);
}

TEST(abstract_types_have_their_order)
{
	static const uint8_t kinds[] = {
		WASM_ANY,    WASM_EQ,	    WASM_I31,  WASM_STRUCT,
		WASM_ARRAY,  WASM_NULL,	    WASM_FUNC, WASM_NOFUNC,
		WASM_EXTERN, WASM_NOEXTERN, WASM_EXN,  WASM_NOEXN
	};
	/* One row for each of them as the lower one. */
	static const char *const rows[] = {
		"x...........", "xx..........", "xxx.........", "xx.x........",
		"xx..x.......", "xxxxxx......", "......x.....", "......xx....",
		"........x...", "........xx..", "..........x.", "..........xx",
	};

	begin();
	for (int a = 0; a < 12; a++)
		for (int b = 0; b < 12; b++)
			CHECK_INT(abstract_matches(kinds[a], kinds[b]),
				  rows[a][b] == 'x');
	end();
}

TEST(references_match)
{
	uint32_t function, structure, array;

	begin();
	function = WASM_REF | group(WORDS(FUNCTION, NONE, 0, 0), 1);
	structure = WASM_REF | group(WORDS(STRUCT, NONE, 0, 0), 1);
	array = WASM_REF | group(WORDS(ARRAY, NONE, 1, 0, WASM_I8, 1), 1);
	CHECK(wasm_type_matches(types, function, WASM_FUNCREF));
	CHECK(!wasm_type_matches(types, function, WASM_ANYREF));
	CHECK(wasm_type_matches(types, structure, WASM_ANYREF));
	CHECK(!wasm_type_matches(types, WASM_ANYREF, structure));
	CHECK(wasm_type_matches(types, array,
				WASM_REF | WASM_ABSTRACT | WASM_ARRAY));
	CHECK(!wasm_type_matches(types, array,
				 WASM_REF | WASM_ABSTRACT | WASM_STRUCT));
	CHECK(wasm_type_matches(types, structure, structure | WASM_NULLABLE));
	CHECK(!wasm_type_matches(types, structure | WASM_NULLABLE, structure));
	CHECK(wasm_type_matches(types, WASM_REF | WASM_ABSTRACT | WASM_NULL,
				structure));
	CHECK(!wasm_type_matches(types, WASM_REF | WASM_ABSTRACT | WASM_NULL,
				 function));
	CHECK(wasm_type_matches(types, WASM_REF | WASM_ABSTRACT | WASM_NOFUNC,
				function));
	CHECK(wasm_type_matches(types, WASM_NONE, WASM_I32));
	CHECK(!wasm_type_matches(types, WASM_I32, WASM_I64));
	CHECK(!wasm_type_matches(types, WASM_I32, WASM_ANYREF));
	end();
}

TEST(fields_are_aligned)
{
	static const uint32_t offsets[] = { 0, 2, 4, 8, 16, 20, 24, 40 };
	const struct wasm_deftype *type;

	begin();
	type = wasm_types_get(
		types, group(WORDS(STRUCT, NONE, 8, 0, WASM_I8, 1, WASM_I16, 1,
				   WASM_I32, 1, WASM_ANYREF, 1, WASM_I8, 1,
				   WASM_F32, 1, WASM_V128, 1, WASM_FUNCREF, 1),
			     1));
	for (int i = 0; i < 8; i++)
		CHECK_INT(type->fields[i].offset, offsets[i]);
	CHECK_INT(type->object_bytes, 48);
	CHECK_INT(type->ref_count, 2);
	CHECK_INT(type->refs[0], 8);
	CHECK_INT(type->refs[1], 40);
	type = wasm_types_get(types,
			      group(WORDS(ARRAY, NONE, 1, 0, WASM_I16, 1), 1));
	CHECK_INT(type->object_bytes, 2);
	CHECK_INT(type->ref_count, 0);
	end();
}

/* A structure of "count" fields, all of them i32. */
static uint32_t wide(uint32_t count)
{
	uint32_t words[4 + 2 * 300] = { STRUCT, NONE, count, 0 };

	for (uint32_t i = 0; i < count; i++)
		words[4 + 2 * i] = WASM_I32;
	return group(words, 4 + 2 * count, 1);
}

TEST(numbers_come_back)
{
	uint32_t first[300], highest = 0;
	int64_t bytes = 0;

	begin();
	for (uint32_t round = 0; round < 10; round++) {
		for (uint32_t i = 0; i < 300; i++) {
			first[i] = wide(i);
			if (first[i] > highest)
				highest = first[i];
		}
		if (!round)
			bytes = host.bytes;
		CHECK_INT(host.bytes, bytes);
		/* forwards, backwards, and every other one first */
		for (uint32_t i = 0; i < 300; i++)
			wasm_types_release(
				types, first[round % 3 == 0   ? i
					     : round % 3 == 1 ? 299 - i
							      : i * 7 % 300]);
	}
	CHECK(highest < 600);
	end();
}

/* A long row of types, each naming the one before. */
TEST(a_type_holds_those_that_it_names)
{
	enum { ROW = 100000 };
	uint32_t last, before;
	int64_t blocks;

	begin();
	last = wide(1);
	blocks = host.blocks;
	for (int i = 0; i < ROW; i++) {
		before = last;
		last = group(WORDS(STRUCT, NONE, 1, 0, WASM_REF | before, 0),
			     1);
		wasm_types_release(types, before);
	}
	CHECK(host.blocks >= blocks + ROW);
	before = wasm_types_get(types, last)->fields->type & WASM_REF_HEAP;
	CHECK_INT(wasm_types_get(types, before)->id, before);
	wasm_types_release(types, last);
	CHECK(host.blocks < blocks + 20);
	end();
}

/* Each request fails once; what is there goes on. */
TEST(memory_may_be_short)
{
	uint32_t id = NONE;

	begin();
	for (int64_t n = 1; id == NONE; n++) {
		host.fail_at = n;
		id = wasm_types_function(types, NULL, 0, NULL, 0);
	}
	host.fail_at = 0;
	CHECK_INT(wasm_types_function(types, NULL, 0, NULL, 0), id);
	for (int64_t n = 1, room = 1; room; n++) {
		uint32_t first;

		host.fail_at = n;
		room = wasm_types_group(
			types, WORDS(STRUCT, NONE, 1, 0, WASM_REF | id, 1), 1,
			&first);
	}
	end();
	test_host_init(&host);
	host.fail_at = 2;
	CHECK(!wasm_types_new(&host.hooks));
	CHECK_INT(host.blocks, 0);
}

TEST(names_of_types)
{
	static const struct {
		wasm_type type;
		const char *text;
	} names[] = {
		{ WASM_I32, "i32" },
		{ WASM_V128, "v128" },
		{ WASM_I8, "i8" },
		{ WASM_FUNCREF, "funcref" },
		{ WASM_REF | WASM_NULLABLE | WASM_ABSTRACT | WASM_NULL,
		  "nullref" },
		{ WASM_REF | WASM_ABSTRACT | WASM_I31, "(ref i31)" },
		{ WASM_REF | WASM_NULLABLE | 3, "(ref null 3)" },
		{ WASM_REF | 12, "(ref 12)" },
	};
	char text[32];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		wasm_type_format(names[i].type, text, sizeof text);
		CHECK_TEXT(text, names[i].text);
	}
	CHECK_INT(wasm_type_format(WASM_FUNCREF, text, 5), 4);
	CHECK_TEXT(text, "func");
}

TEST_MAIN

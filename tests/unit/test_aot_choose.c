/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions the optimiser takes: by a profile, and without one. */
#include "aot/aot.h"
#include "base/buf.h"
#include "test.h"
#include "vm/vm.h"
#include "wat/wat.h"

enum { LONG = 600000 }; /* CPU time that is no limit */

static struct vm vm;
static struct err err;
static uint32_t *chosen, count;

static struct wasm_module *load(struct buf *text)
{
	static bool is_there;
	auto_buf struct buf binary = { 0 };
	struct wasm_module *module = NULL;

	if (!is_there)
		CHECK_INT(vm_init(&vm, NULL, &err), 0);
	is_there = true;
	buf_text(text, ")");
	CHECK_INT(wat_to_binary("test", text->data, text->len, &binary, &err),
		  0);
	CHECK_INT(vm_load(&vm, binary.data, binary.len, &module, &err), 0);
	return module;
}

static void begin(struct buf *text)
{
	buf_text(text, "(module (import \"a\" \"b\" (func $host))");
}

static void add_bytes(struct buf *text, int bytes)
{
	for (int i = 0; i < bytes; i += 3)
		buf_text(text, "(drop (i32.const 1))");
}

/* One of so many bytes, with loops in each other. */
static void add(struct buf *text, int bytes, int loops)
{
	buf_text(text, "(func (local i32)");
	add_bytes(text, bytes);
	for (int i = 0; i < loops; i++)
		buf_text(text, "(loop");
	buf_text(text, "(local.set 0 (local.get 0))");
	for (int i = 0; i < loops; i++)
		buf_text(text, ")");
	buf_text(text, ")");
}

/* "which": their numbers, ascending, and a 0 at the end. */
static void expect(struct wasm_module *module, enum aot_which kind,
		   const struct profile_row *rows, uint32_t row_count,
		   uint64_t cpu_ms, const uint32_t *which)
{
	const struct aot_profile profile = { rows, row_count };
	uint32_t at = 0;

	CHECK_INT(aot_choose(module, kind, rows ? &profile : NULL, cpu_ms,
			     &chosen, &count, &err),
		  0);
	for (; at < count && which[at]; at++)
		CHECK_INT(chosen[at], which[at]);
	CHECK_INT(count, at);
	CHECK_INT(which[at], 0);
	free(chosen);
}

TEST(all_or_those_with_loops)
{
	auto_buf struct buf text = { 0 };
	struct wasm_module *module;

	begin(&text);
	for (int i = 0; i < 6; i++)
		add(&text, 10, i % 2);
	module = load(&text);
	expect(module, AOT_ALL, NULL, 0, 1,
	       (const uint32_t[]){ 1, 2, 3, 4, 5, 6, 0 });
	expect(module, AOT_HOT, NULL, 0, LONG,
	       (const uint32_t[]){ 2, 4, 6, 0 });
}

/* The numbers of a profile are of own functions; a loop is no reason. */
TEST(a_profile_tells)
{
	static const struct profile_row rows[] = {
		{ 2, 60 }, { 3, 36 }, { 4, 2 }, { 5, 1 }, { 900, 1 }
	};
	auto_buf struct buf text = { 0 };

	begin(&text);
	for (int i = 0; i < 6; i++)
		add(&text, 10, i % 2);
	expect(load(&text), AOT_HOT, rows, 5, LONG,
	       (const uint32_t[]){ 3, 4, 5, 0 });
}

/* Of a hundred ticks two may be missing: those of who would cost the most. */
TEST(large_ones_have_to_be_worth_it)
{
	static const struct profile_row cold[] = { { 0, 97 },
						   { 1, 2 },
						   { 2, 1 } };
	static const struct profile_row hot[] = { { 0, 50 },
						  { 1, 49 },
						  { 2, 1 } };
	auto_buf struct buf text = { 0 };
	struct wasm_module *module;

	begin(&text);
	add(&text, 300, 0);
	add(&text, 20000, 0);
	add(&text, 300, 0);
	module = load(&text);
	expect(module, AOT_HOT, cold, 3, LONG, (const uint32_t[]){ 1, 3, 0 });
	expect(module, AOT_HOT, hot, 3, LONG, (const uint32_t[]){ 1, 2, 3, 0 });
	/* Three seconds are not enough for the large one. */
	expect(module, AOT_HOT, hot, 3, 3000, (const uint32_t[]){ 1, 3, 0 });
}

/* Deep loops first, and no more than there is time for. */
TEST(guesses_have_a_limit)
{
	auto_buf struct buf text = { 0 };
	struct wasm_module *module;

	begin(&text);
	add(&text, 900, 1);
	add(&text, 900, 3);
	add(&text, 900, 2);
	add(&text, 900, 0);
	module = load(&text);
	expect(module, AOT_HOT, NULL, 0, 110, (const uint32_t[]){ 2, 0 });
	expect(module, AOT_HOT, NULL, 0, 220, (const uint32_t[]){ 2, 3, 0 });
	expect(module, AOT_HOT, NULL, 0, 1, (const uint32_t[]){ 0 });
}

TEST(guesses_end_without_a_limit)
{
	auto_buf struct buf text = { 0 };

	begin(&text);
	for (int i = 0; i < 9; i++)
		add(&text, 40000, i == 4 ? 2 : 1);
	CHECK_INT(aot_choose(load(&text), AOT_HOT, NULL, LONG, &chosen, &count,
			     &err),
		  0);
	CHECK(count >= 1 && count < 4);
	CHECK(chosen[0] == 5 || chosen[count - 1] == 5 || chosen[1] == 5);
	free(chosen);
}

/* Of what a hot function calls, what is small comes along: not the import, not
 * the large one, not what the small one calls, nor what is only named. */
TEST(small_ones_are_chosen_with_their_caller)
{
	static const struct profile_row hot[] = { { 0, 1 } };
	auto_buf struct buf text = { 0 };

	begin(&text);
	buf_text(&text,
		 "(table 1 funcref)"
		 "(func $hot (local i32 i64 v128 funcref) (call $host)"
		 "  (call $small) (call $large) (local.set 3 (ref.func $named))"
		 "  (call_indirect (i32.const 0)) (loop (br_if 0 (i32.const 0))"
		 "  (call $second)) (call $hot))"
		 "(func $large");
	add_bytes(&text, 600);
	buf_text(&text, ") (func $small (call $third)) (func $second)"
			"(func $third) (func $named) (elem declare func $named)"
			"(func (loop))");
	expect(load(&text), AOT_HOT, hot, 1, LONG,
	       (const uint32_t[]){ 1, 3, 4, 0 });
}

TEST_MAIN

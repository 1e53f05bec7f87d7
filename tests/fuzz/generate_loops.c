/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/generate_loops.h"
#include "wat/wat.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LOOPS = 8, LINES = 3, COPIES_MOST = 8 };

struct source {
	uint64_t state;
	struct buf *text;
};

static uint32_t below(struct source *from, uint32_t limit)
{
	from->state = from->state * UINT64_C(6364136223846793005) +
		      UINT64_C(1442695040888963407);
	return (uint32_t)(from->state >> 33) % limit;
}

static bool one_in(struct source *from, uint32_t count)
{
	return below(from, count) == 0;
}

/* ---- kinds of elements --------------------------------------------------------- */

static const struct kind {
	const char *type, *load, *store;
	uint32_t bytes;
	bool is_real;
} kinds[] = {
	{ "i32", "i32.load8_u", "i32.store8", 1, false },
	{ "i32", "i32.load8_s", "i32.store8", 1, false },
	{ "i32", "i32.load16_u", "i32.store16", 2, false },
	{ "i32", "i32.load", "i32.store", 4, false },
	{ "i64", "i64.load", "i64.store", 8, false },
	{ "i64", "i64.load32_s", "i64.store32", 4, false },
	{ "f32", "f32.load", "f32.store", 4, true },
	{ "f64", "f64.load", "f64.store", 8, true },
};

struct loop {
	const struct kind *kind;
	uint32_t copies, lines, statement;
	int32_t step; /* in bytes, of one copy */
	uint32_t turns, at[LINES], offset[LINES];
	uint32_t odd; /* the copy that does something else; copies: none */
	uint32_t order[COPIES_MOST], ends;
	bool is_indexed, is_conditional, is_masked;
};

/* Within, at the end, beyond it, or such that it wraps. */
static uint32_t place(struct source *from, const struct loop *loop)
{
	uint32_t bytes = (uint32_t)abs(loop->step) * loop->turns * loop->copies;
	uint32_t end = 65536 - bytes, near = below(from, 40);

	if (loop->step < 0 && one_in(from, 2))
		return one_in(from, 2) ? bytes - near : near;
	if (loop->step < 0)
		return bytes + below(from, 30000);
	switch (below(from, 8)) {
	case 0: return end - near;
	case 1: return end + near;
	case 2: return end;
	case 3: return UINT32_MAX - near;
	}
	return below(from, 30000);
}

static void choose_places(struct source *from, struct loop *loop)
{
	for (uint32_t i = 0; i < LINES; i++) {
		loop->at[i] = place(from, loop);
		loop->offset[i] = one_in(from, 2) ? below(from, 64) : 0;
	}
	/* Lines that are nearly the same. */
	if (one_in(from, 3))
		loop->at[1] = loop->at[0] + below(from, 9) - 4;
	/* Parts of two floats may be a NaN. */
	for (uint32_t i = 0; loop->kind->is_real && i < LINES; i++) {
		loop->at[i] &= ~(loop->kind->bytes - 1);
		loop->offset[i] &= ~(loop->kind->bytes - 1);
	}
}

static void choose(struct source *from, struct loop *loop)
{
	static const uint32_t copies[] = { 1, 1, 2, 4, 4, 8, 3 };

	*loop = (struct loop){
		.kind = &kinds[below(from, sizeof kinds / sizeof *kinds)],
		.copies = copies[below(from, sizeof copies / sizeof *copies)],
		.lines = 1 + below(from, LINES),
		.statement = below(from, 6),
		.turns = 1 + below(from, one_in(from, 4) ? 8 : 150),
		.is_indexed = one_in(from, 2),
		.is_conditional = one_in(from, 6),
		.is_masked = one_in(from, 5),
		.ends = below(from, 4),
	};
	loop->step = (int32_t)loop->kind->bytes;
	if (one_in(from, 5))
		loop->step *= 2;
	if (one_in(from, 4))
		loop->step = -loop->step;
	loop->odd = one_in(from, 6) ? below(from, loop->copies) : loop->copies;
	for (uint32_t i = 0; i < loop->copies; i++)
		loop->order[i] = i;
	for (uint32_t i = 0; one_in(from, 4) && i < loop->copies; i++) {
		uint32_t other = below(from, loop->copies);
		uint32_t was = loop->order[i];

		loop->order[i] = loop->order[other];
		loop->order[other] = was;
	}
	choose_places(from, loop);
}

/* ---- text ---------------------------------------------------------------------- */

/* Where the line is in this copy: a step may be negative, so that what is
 * between copies is added to the index; else it may be an offset. */
static void put_place(struct source *to, const struct loop *loop, uint32_t line,
		      uint32_t copy)
{
	int32_t far = loop->step * (int32_t)copy;

	if (loop->is_indexed)
		buf_format(to->text,
			   "(i32.add (i32.add (local.get $l%u) (local.get $i))"
			   " (i32.const %d))",
			   line, far);
	else
		buf_format(to->text,
			   "(i32.add (local.get $l%u) (i32.const %d))", line,
			   far);
}

static void put_load(struct source *to, const struct loop *loop, uint32_t line,
		     uint32_t copy)
{
	buf_format(to->text, "(%s offset=%u ", loop->kind->load,
		   loop->offset[line]);
	put_place(to, loop, line, copy);
	buf_text(to->text, ")");
}

/* The number of the turn, a copy further. */
static void put_number(struct source *to, const struct loop *loop,
		       uint32_t copy)
{
	const struct kind *kind = loop->kind;

	if (kind->is_real)
		buf_format(to->text, "(%s.convert_i32_u ", kind->type);
	else if (strcmp(kind->type, "i64") == 0)
		buf_text(to->text, "(i64.extend_i32_s ");
	else
		buf_text(to->text, "(i32.add (i32.const 7) ");
	buf_format(to->text,
		   loop->is_masked
			   ? "(i32.and (i32.const -4) (i32.add (local.get $n)"
			     " (i32.const %u))))"
			   : "(i32.add (local.get $n) (i32.const %u)))",
		   copy);
}

static void put_value(struct source *to, const struct loop *loop, uint32_t copy)
{
	static const char *const of_words[] = { "add", "sub", "mul",
						"xor", "and", "or" };
	static const char *const of_reals[] = { "add", "sub", "mul",
						"add", "min", "max" };
	const char *name = loop->kind->is_real ? of_reals[loop->statement]
					       : of_words[loop->statement];
	uint32_t last = loop->lines - 1;

	buf_format(to->text, "(%s.%s ", loop->kind->type, name);
	put_load(to, loop, last, copy);
	if (loop->lines == 1)
		put_number(to, loop, copy);
	else if (loop->lines == 2)
		put_load(to, loop, 0, copy);
	else {
		buf_format(to->text, "(%s.%s ", loop->kind->type,
			   loop->kind->is_real ? "mul" : "add");
		put_load(to, loop, 1, copy);
		buf_format(to->text, "(%s.const %u))", loop->kind->type,
			   1 + (copy == loop->odd));
	}
	buf_text(to->text, ")");
}

static void put_sum(struct source *to, const struct loop *loop, uint32_t copy)
{
	buf_format(to->text, "(local.set $sum (%s.add (local.get $sum) ",
		   loop->kind->type);
	put_value(to, loop, copy);
	buf_text(to->text, "))\n");
}

static void put_store(struct source *to, const struct loop *loop, uint32_t copy)
{
	if (loop->is_conditional)
		buf_format(to->text,
			   "(if (i32.and (local.get $n) (i32.const 3)) (then ");
	buf_format(to->text, "(%s offset=%u ", loop->kind->store,
		   loop->offset[0]);
	put_place(to, loop, 0, copy);
	put_value(to, loop, copy);
	buf_format(to->text, ")%s\n", loop->is_conditional ? "))" : "");
}

static void put_end(struct source *to, const struct loop *loop)
{
	static const char *const ends[] = {
		"(i32.ne (local.get $n) (local.get $end))",
		"(i32.lt_s (local.get $n) (local.get $end))",
		"(i32.lt_u (local.get $n) (local.get $end))",
		"(local.tee $left (i32.sub (local.get $left) (i32.const 1)))",
	};

	buf_format(to->text, "(br_if $l %s)", ends[loop->ends]);
}

static void put_body(struct source *to, const struct loop *loop, bool is_sum)
{
	int32_t far = loop->step * (int32_t)loop->copies;

	for (uint32_t i = 0; i < loop->copies; i++)
		if (is_sum)
			put_sum(to, loop, loop->order[i]);
		else
			put_store(to, loop, loop->order[i]);
	buf_format(to->text,
		   "(local.set $i (i32.add (local.get $i)"
		   " (i32.const %d)))\n",
		   far);
	for (uint32_t i = 0; !loop->is_indexed && i < LINES; i++)
		buf_format(to->text,
			   "(local.set $l%u (i32.add (local.get $l%u)"
			   " (i32.const %d)))\n",
			   i, i, far);
	buf_format(to->text,
		   "(local.set $n (i32.add (local.get $n)"
		   " (i32.const %u)))\n",
		   loop->copies);
	put_end(to, loop);
}

/* What the loop begins with is in globals, so that it is not known. */
static void put_loop(struct source *to, uint32_t number)
{
	struct loop loop;
	bool is_sum = one_in(to, 4);

	choose(to, &loop);
	for (uint32_t i = 0; i < LINES; i++)
		buf_format(to->text,
			   "(global $g%u.%u (mut i32) (i32.const %d))\n",
			   number, i, (int32_t)loop.at[i]);
	buf_format(to->text,
		   "(global $t%u (mut i32) (i32.const %u))\n"
		   "(func (export \"r%u\") (result i64) (local $i i32)"
		   " (local $n i32) (local $end i32) (local $left i32)"
		   " (local $sum %s) (local $l0 i32) (local $l1 i32)"
		   " (local $l2 i32)\n(call $fill)"
		   " (local.set $left (global.get $t%u))"
		   " (local.set $end (i32.mul (local.get $left)"
		   " (i32.const %u)))\n",
		   number, loop.turns, number, loop.kind->type, number,
		   loop.copies);
	for (uint32_t i = 0; i < LINES; i++)
		buf_format(to->text, "(local.set $l%u (global.get $g%u.%u))", i,
			   number, i);
	buf_text(to->text, "\n(loop $l\n");
	put_body(to, &loop, is_sum);
	buf_format(to->text,
		   ")\n(%s offset=0 (i32.const 65520) (local.get $sum))"
		   "(i64.add (i64.load (i32.const 65520))"
		   " (i64.extend_i32_u (i32.add (local.get $i)"
		   " (i32.add (local.get $n) (local.get $l1))))))\n",
		   strcmp(loop.kind->type, "i32") == 0	 ? "i32.store"
		   : strcmp(loop.kind->type, "i64") == 0 ? "i64.store"
							 : loop.kind->store);
}

void generate_loops(uint64_t number, struct buf *binary, struct buf *text)
{
	auto_buf struct buf own = { 0 };
	struct source to = { number * 2654435761u + 1, text ? text : &own };
	struct err err = { 0 };

	/* Words from 0x20000000 to 0x3fffffff are floats from 2^-63 to 1. */
	buf_text(
		to.text,
		"(module (memory 1)\n"
		"(func $fill (local $a i32) (loop $l\n"
		"(i32.store (local.get $a) (i32.or (i32.const 0x20000000)"
		" (i32.and (i32.const 0x1fffffff) (i32.mul (local.get $a)"
		" (i32.const 0x9e3779b1)))))\n"
		"(br_if $l (i32.ne (i32.const 65536)"
		" (local.tee $a (i32.add (local.get $a) (i32.const 4)))))))\n");
	for (uint32_t i = 0; i < LOOPS; i++)
		put_loop(&to, i);
	buf_text(to.text, ")");
	if (wat_to_binary("loops", buf_string(to.text), to.text->len, binary,
			  &err) < 0)
		abort();
}

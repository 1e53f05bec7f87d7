/* SPDX-License-Identifier: Apache-2.0 */
/* Which loops become wide (src/aotc/ranges.cpp): those whose accesses can be
 * seen beforehand, and no other.  What they do is compared with the
 * interpreter by tests/fuzz/optimised, for any number of them. */
#include "test.h"
#ifndef HAVE_AOTC

TEST(wide_loops)
{
	SKIP("there is no brood-aotc: it needs llvm-19-dev and clang-19");
}
#else
#include "aotc/aotc.h"
#include "wat/wat.h"

/* The object of function 0; the features are those of the request, whatever
 * this CPU has. */
static LLVMMemoryBufferRef make(const char *source)
{
	struct aot_request head = { .magic = AOT_MAGIC,
				    .version = AOT_VERSION,
				    .features = CODE_AVX | CODE_AVX2,
				    .function_count = 1 };
	const uint32_t function = 0;
	auto_buf struct buf module = { 0 }, request = { 0 };
	LLVMMemoryBufferRef object = NULL;
	struct err err = { 0 };

	CHECK_INT(wat_to_binary("loop", source, strlen(source), &module, &err),
		  0);
	head.module_bytes = module.len;
	buf_add(&request, &head, sizeof(head));
	buf_add(&request, &function, sizeof(function));
	buf_add(&request, module.data, module.len);
	CHECK_INT(aotc_make(request.data, request.len, stdout, &object, &err),
		  0);
	return object;
}

/* Behind code with registers of 32 bytes LLVM puts vzeroupper. */
static bool is_wide(const char *source)
{
	static const uint8_t vzeroupper[] = { 0xc5, 0xf8, 0x77 };
	LLVMMemoryBufferRef object = make(source);
	bool found = object && memmem(LLVMGetBufferStart(object),
				      LLVMGetBufferSize(object), vzeroupper,
				      sizeof(vzeroupper));

	if (object)
		LLVMDisposeMemoryBuffer(object);
	return found;
}

/* $p, $q: where; $n: turns; $i, $s, $x: zero. */
#define LOOP(memory, body)                                           \
	"(module (func (export \"f\") (param $p i32) (param $q i32)" \
	" (param $n i32) (result i32) (local $i i32) (local $s i32)" \
	" (local $x f32) (loop $l " body ") (local.get $s)) " memory ")"
#define ONE_PAGE      "(memory 1)"
#define GET(name)     "(local.get $" name ")"
#define AT(name)      "(i32.add " GET(name) " (i32.shl " GET("i") " (i32.const 2)))"
#define ADD(to, what) "(local.set $" to " (i32.add " GET(to) " " what "))"
#define NEXT(by)                       \
	ADD("i", "(i32.const " by ")") \
	"(br_if $l (i32.ne " GET("i") " " GET("n") "))"
#define FURTHER(name, by) "(i32.add " AT(name) " (i32.const " by "))"
#define TWICE(by)                                                \
	"(i32.store " FURTHER("p", by) " (i32.mul (i32.const 3)" \
				       " (i32.load " FURTHER("q", by) ")))"

TEST(what_is_counted_is_wide)
{
	/* By index, by pointer, down, as a sum, of floats. */
	CHECK(is_wide(LOOP(ONE_PAGE, TWICE("0") NEXT("1"))));
	CHECK(is_wide(LOOP(
		ONE_PAGE,
		"(i32.store8 (local.get $p) (i32.add (i32.const 7)"
		" (i32.load8_u (local.get $q)))) " ADD("p", "(i32.const 1)") ADD(
			"q",
			"(i32.const 1)") "(br_if $l (local.tee $n (i32.sub (local.get $n)"
					 " (i32.const 1))))")));
	CHECK(is_wide(LOOP(
		ONE_PAGE,
		ADD("p", "(i32.const -4)") ADD(
			"q",
			"(i32.const -4)") "(i32.store (local.get $p) (i32.xor (i32.const 9)"
					  " (i32.load (local.get $q))))" NEXT(
						  "1"))));
	CHECK(is_wide(
		LOOP(ONE_PAGE, ADD("s", "(i32.load " AT("p") ")") NEXT("1"))));
	CHECK(is_wide(LOOP(
		ONE_PAGE,
		"(f32.store " AT(
			"p") " (f32.mul (f32.const 1)"
			     " (f32.add (f32.load " AT(
				     "q") ")"
					  " (f32.convert_i32_u (i32.load16_u " AT(
						  "q") ")))))" NEXT("1"))));
	/* An address that does not change, and a choice. */
	CHECK(is_wide(LOOP(
		ONE_PAGE,
		"(i32.store " AT("p") " (select (i32.const 5)"
				      " (i32.load " AT("p") ") (i32.load " AT(
					      "q") ")))" NEXT("1"))));
}

#define LEFT(by)                       \
	ADD("i", "(i32.const " by ")") \
	"(br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))"

TEST(turns_that_were_written_out_are_one_again)
{
	CHECK(is_wide(LOOP(ONE_PAGE, TWICE("0") TWICE("4") TWICE("8")
					     TWICE("12") LEFT("4"))));
	CHECK(is_wide(LOOP(ONE_PAGE, TWICE("0") TWICE("4") LEFT("2"))));
}

TEST(what_may_trap_in_between_is_not_wide)
{
	/* Nobody knows how often, or where. */
	CHECK(!is_wide(LOOP(
		ONE_PAGE,
		TWICE("0") ADD("i", "(i32.const 1)") "(br_if $l (i32.load " AT(
			"q") "))")));
	CHECK(!is_wide(LOOP(
		ONE_PAGE,
		"(i32.store (i32.load " AT("q") ")"
						" (i32.const 1))" NEXT("1"))));
	/* Others may see each store, or the operation itself traps. */
	CHECK(!is_wide(LOOP("(memory 1 1 shared)", TWICE("0") NEXT("1"))));
	CHECK(!is_wide(LOOP(
		ONE_PAGE,
		"(i32.store " AT("p") " (i32.div_u (i32.const 9)"
				      " (i32.load " AT("q") ")))" NEXT("1"))));
	CHECK(!is_wide(
		LOOP(ONE_PAGE " (global $g (mut i32) (i32.const 0))",
		     TWICE("0") "(global.set $g (local.get $i))" NEXT("1"))));
	/* An order of additions is a result. */
	CHECK(!is_wide(LOOP(
		ONE_PAGE,
		"(local.set $x (f32.add (local.get $x)"
		" (f32.load " AT(
			"p") ")))"
			     "(local.set $s (i32.reinterpret_f32 (local.get $x)))" NEXT(
				     "1"))));
}
#endif

TEST_MAIN

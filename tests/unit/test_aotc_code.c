/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of code by brood-aotc where it decides how fast that is: in bytes
 * of x86, for nothing else tells. */
#include "aot/aot.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "test.h"
#include "vm/vm.h"
#include "wat/wat.h"
#include <unistd.h>

static struct vm vm;
static struct err err;
static struct aot_made made;

/* NULL: there is no compiler. */
static const struct jit_made *make(const char *source)
{
	auto_free char *program =
		file_format("%s/brood-aotc", getenv("BUILD") ?: "build");
	auto_buf struct buf binary = { 0 };
	struct jit_options options = { 0 };
	const uint32_t functions[] = { 0 };
	struct aot_work work = { .options = &options,
				 .functions = functions,
				 .count = 1,
				 .program = program,
				 .limits = aot_limits_usual };
	struct wasm_module *module;

	if (access(program, X_OK) < 0)
		return NULL;
	CHECK_INT(wat_to_binary("test", source, strlen(source), &binary, &err),
		  0);
	CHECK_INT(vm_init(&vm, NULL, &err), 0);
	CHECK_INT(vm_load(&vm, binary.data, binary.len, &module, &err), 0);
	work.module = module;
	CHECK_INT(aot_optimise(&work, &made, &err), 0);
	CHECK_INT(made.link.made_count, 1);
	return made.link.made;
}

static void end(void)
{
	aot_made_fini(&made);
	vm_fini(&vm);
}

/* Bytes one after the other: the first, and the second without its lower
 * bits. */
static int count_bytes(const struct jit_made *function, int first, int second,
		       int mask)
{
	int count = 0;

	for (uint32_t i = 0; i + 1 < function->len; i++)
		count += function->code[i] == first &&
			 (function->code[i + 1] & mask) == second;
	return count;
}

/* An interpreter's loop: each of its eight operations goes on to the next by
 * a jump of its own. */
TEST(a_switch_in_a_loop_is_repeated)
{
	static const char *const operations[] = {
		"i32.add", "i32.xor",  "i32.mul",  "i32.sub",
		"i32.or",  "i32.rotl", "i32.rotr", "i32.and",
	};
	auto_buf struct buf text = { 0 };
	const struct jit_made *function;

	buf_text(&text, "(module (memory 1) (func (param $at i32) (result i32)"
			" (local $x i32) (loop $next");
	for (int i = 0; i < 9; i++)
		buf_text(&text, "(block");
	buf_text(&text,
		 " (local.set $at (i32.add (local.get $at) (i32.const 1)))"
		 " (br_table 0 1 2 3 4 5 6 7 8"
		 "  (i32.load8_u (local.get $at))))");
	for (int i = 0; i < 8; i++)
		buf_format(&text,
			   " (i32.store%s (local.get $x) (local.get $at))"
			   " (local.set $x (%s (local.get $x) (i32.load%s"
			   "  (local.get $x)))) (br $next))",
			   i & 1 ? "8" : "", operations[i],
			   i & 2 ? "16_u" : "");
	buf_text(&text, ") (local.get $x)))");
	function = make(buf_string(&text));
	if (!function)
		SKIP("there is no brood-aotc");
	CHECK(count_bytes(function, 0xff, 0xe0, 0xf8) >= 6);
	end();
}

/* A scan that nothing foresees. */
TEST(a_choice_in_a_loop_is_no_branch)
{
	const struct jit_made *function =
		make("(module (memory 1) (func (param $end i32) (result i64)"
		     " (local $sum i64) (local $i i32) (loop $next"
		     "  (local.set $sum (i64.add (local.get $sum)"
		     "   (select (i64.const 0)"
		     "    (i64.extend_i32_u (local.get $i))"
		     "    (i32.load8_u (local.get $i)))))"
		     "  (br_if $next (i32.ne (local.get $end) (local.tee $i"
		     "   (i32.add (local.get $i) (i32.const 1))))))"
		     " (local.get $sum)))");

	if (!function)
		SKIP("there is no brood-aotc");
	CHECK(count_bytes(function, 0x0f, 0x40, 0xf0) >= 4);
	end();
}

TEST_MAIN

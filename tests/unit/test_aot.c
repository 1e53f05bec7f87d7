/* SPDX-License-Identifier: Apache-2.0 */
/* The optimiser with a compiler that does what it is told
 * (tests/programs/fake_aotc.c): what is made, what is left and why, and that
 * no process outlives the call. */
#include "aot/aot.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "test.h"
#include "vm/vm.h"
#include "wat/wat.h"
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FUNCTIONS = 40, IMPORTED = 1 };

static struct vm vm;
static struct wasm_module *module;
static struct aot_made made;
static struct jit_options options;
static struct err err;
static char *program;
static uint32_t wanted[FUNCTIONS];
/* What was told. */
static uint32_t left_count, left_first, given_up, progressed;
static char left_why[200];

static void on_left(void *env, uint32_t function, const char *why)
{
	(void)env;
	if (!left_count++)
		left_first = function;
	given_up += strstr(why, "fails each time: exit status 1") != NULL;
	snprintf(left_why, sizeof(left_why), "%s", why);
}

static void on_progress(void *env, uint32_t done, uint32_t count)
{
	(void)env;
	CHECK(done <= count && done >= progressed);
	progressed = done;
}

/* An import, and functions of which every second one has a loop. */
static void load(void)
{
	auto_buf struct buf text = { 0 };
	static struct buf binary;

	if (module)
		return;
	program = file_format("%s/tests/programs/fake_aotc",
			      getenv("BUILD") ?: "build");
	buf_text(&text, "(module (import \"a\" \"b\" (func))");
	for (int i = 0; i < FUNCTIONS; i++)
		buf_format(&text, "(func (result i32) %s i32.const %d)",
			   i % 2 ? "(loop)" : "", i);
	buf_text(&text, ")");
	CHECK_INT(wat_to_binary("test", text.data, text.len, &binary, &err), 0);
	CHECK_INT(vm_init(&vm, NULL, &err), 0);
	CHECK_INT(vm_load_in_place(&vm, binary.data, binary.len, &module, &err),
		  0);
	for (uint32_t i = 0; i < FUNCTIONS; i++)
		wanted[i] = IMPORTED + i;
}

static int optimise(const char *rules, const struct aot_limits *limits,
		    uint32_t count)
{
	struct aot_work work = {
		.module = module,
		.options = &options,
		.functions = wanted,
		.count = count,
		.program = program,
		.limits = limits ? *limits : aot_limits_usual,
		.progress = on_progress,
		.left = on_left,
	};

	left_count = given_up = progressed = 0;
	left_why[0] = 0;
	setenv("FAKE_AOTC", rules, 1);
	return aot_optimise(&work, &made, &err);
}

static int children(void)
{
	return waitpid(-1, NULL, WNOHANG) == -1 ? 0 : 1;
}

static int descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* Its number and a thousand, among the constants of all chunks. */
static void made_is(const struct jit_made *function, uint32_t number)
{
	uint64_t at;
	uint32_t value;

	CHECK_INT(function->function, number);
	CHECK_INT(function->len, 7);
	CHECK_INT(function->site_count, 1);
	CHECK_INT(function->sites[0].at, 2);
	at = function->sites[0].target + (int64_t)function->sites[0].addend + 4;
	CHECK(at <= made.link.constant_bytes - 4);
	memcpy(&value, made.link.constants + at, sizeof(value));
	CHECK_INT(value, 1000 + number);
}

TEST(all_are_made)
{
	int before;

	load();
	before = descriptors();
	CHECK_INT(optimise("", NULL, FUNCTIONS), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(made.link.made_count, FUNCTIONS);
	CHECK_INT(made.left, 0);
	CHECK_INT(left_count, 0);
	CHECK(made.processes >= 1 && made.peak_kib > 0);
	CHECK(made.link.constant_bytes % 64 == 0);
	for (uint32_t i = 0; i < made.link.made_count; i++)
		made_is(&made.link.made[i], IMPORTED + i);
	aot_made_fini(&made);
	CHECK_INT(descriptors(), before);
	CHECK_INT(children(), 0);
	CHECK_INT(optimise("", NULL, 0), 0);
	CHECK_INT(made.link.made_count, 0);
	CHECK_INT(made.processes, 0);
	aot_made_fini(&made);
}

/* One is left, all others are made. */
static void one_left(const char *rules, uint32_t function, const char *why,
		     const struct aot_limits *limits, uint32_t count)
{
	int before = descriptors();

	CHECK_INT(optimise(rules, limits, count), 0);
	CHECK_INT(made.link.made_count, count - 1);
	CHECK_INT(made.left, 1);
	CHECK_INT(left_count, 1);
	CHECK_INT(left_first, function);
	if (strncmp(left_why, why, strlen(why)) != 0)
		CHECK_TEXT(left_why, why);
	for (uint32_t i = 0; i < made.link.made_count; i++)
		made_is(&made.link.made[i],
			wanted[i] < function ? wanted[i] : wanted[i + 1]);
	aot_made_fini(&made);
	CHECK_INT(descriptors(), before);
	CHECK_INT(children(), 0);
}

TEST(what_fails_is_left)
{
	load();
	one_left("crash:7", 7, "killed by signal 11", NULL, FUNCTIONS);
	one_left("crash:1", 1, "killed by signal 11", NULL, FUNCTIONS);
	one_left("crash:40", 40, "killed by signal 11", NULL, FUNCTIONS);
	one_left("exit:5", 5, "exit status 3: I give ?[31mup", NULL, FUNCTIONS);
	one_left("garbage:9", 9, "it is no x86-64 object", NULL, FUNCTIONS);
	one_left("leave:11", 11, "it is not liked", NULL, FUNCTIONS);
	one_left("alien:12", 12, "section .text.f", NULL, FUNCTIONS);
	one_left("crash:1", 1, "killed by signal 11", NULL, 1);
}

TEST(several_are_left)
{
	load();
	CHECK_INT(optimise("crash:3,crash:4,exit:20,leave:21,fork:30", NULL,
			   FUNCTIONS),
		  0);
	CHECK_INT(made.link.made_count, FUNCTIONS - 4);
	CHECK_INT(left_count, 4);
	aot_made_fini(&made);
	CHECK_INT(optimise("silent:3", NULL, FUNCTIONS), 0);
	CHECK(left_count >= 1);
	CHECK_TEXT(left_why, "the compiler left it out");
	aot_made_fini(&made);
	CHECK_INT(children(), 0);
}

TEST(what_takes_too_long_is_left)
{
	const struct aot_limits limits = { .chunk_s = 1,
					   .total_s = 60,
					   .memory_bytes = 1 << 30 };

	load();
	one_left("spin:2", 2, "longer than 1 s", &limits, 2);
	one_left("hang:2", 2, "nothing done for 6 s", &limits, 2);
}

TEST(time_for_all_is_limited)
{
	const struct aot_limits limits = { .chunk_s = 5,
					   .total_s = 1,
					   .workers = 1,
					   .memory_bytes = 1 << 30 };

	load();
	CHECK_INT(optimise("spin:2", &limits, 4), 0);
	CHECK_INT(left_count, 4);
	CHECK_TEXT(left_why, "no CPU time was left of 1 s");
	CHECK(made.processes < 5);
	aot_made_fini(&made);
}

/* Small ones have not as long as a process may have. */
TEST(time_is_by_size)
{
	load();
	one_left("spin:1", 1, "longer than 5 s", NULL, 1);
}

static void add_body(struct buf *text, int bytes)
{
	buf_text(text, "(func (result i32)");
	for (int i = 0; i < bytes; i += 3)
		buf_text(text, "(drop (i32.const 1))");
	buf_text(text, "(i32.const 1))");
}

/* Whatever becomes of a large one, its neighbours are made. */
TEST(large_ones_are_alone)
{
	const struct aot_limits limits = { .chunk_s = 60,
					   .total_s = 60,
					   .workers = 1,
					   .memory_bytes = 1 << 30 };
	auto_buf struct buf text = { 0 }, binary = { 0 };
	struct wasm_module *small, *mixed;

	load();
	small = module;
	buf_text(&text, "(module (import \"a\" \"b\" (func))");
	add_body(&text, 60);
	add_body(&text, 20000);
	add_body(&text, 60);
	add_body(&text, 60);
	add_body(&text, 60000);
	buf_text(&text, ")");
	CHECK_INT(wat_to_binary("test", text.data, text.len, &binary, &err), 0);
	CHECK_INT(vm_load(&vm, binary.data, binary.len, &mixed, &err), 0);
	module = mixed;
	CHECK_INT(optimise("", &limits, 5), 0);
	CHECK_INT(made.link.made_count, 5);
	CHECK_INT(made.processes, 4);
	aot_made_fini(&made);
	module = small;
}

TEST(what_wants_too_much_is_left)
{
	const struct aot_limits limits = { .chunk_s = 20,
					   .total_s = 60,
					   .memory_bytes = 200 << 20 };

	load();
#ifdef __SANITIZE_ADDRESS__
	SKIP("memory is not limited under a sanitizer");
#endif
	one_left("eat:3", 3, "more than 200 MiB: LLVM ERROR: out of memory",
		 &limits, FUNCTIONS);
}

TEST(one_that_never_works_is_not_asked_for_ever)
{
	auto_free char *real = program;

	load();
	real = program;
	program = strdup("/bin/false");
	CHECK_INT(optimise("", NULL, FUNCTIONS), 0);
	CHECK_INT(left_count, FUNCTIONS);
	CHECK(given_up > 0);
	CHECK(made.processes <= 40);
	aot_made_fini(&made);
	free(program);
	program = strdup("/nowhere");
	CHECK(optimise("", NULL, FUNCTIONS) < 0);
	CHECK(strstr(err.text, "/nowhere"));
	CHECK(!made.objects);
	err_clear(&err);
	free(program);
	program = steal_ptr(&real);
	CHECK_INT(children(), 0);
}

TEST(it_tells_its_version)
{
	auto_buf struct buf text = { 0 };

	load();
	setenv("FAKE_AOTC", "", 1);
	CHECK_INT(aot_version(program, &text, &err), 0);
	CHECK_TEXT(buf_string(&text), "brood-aotc 0.1.0, a fake");
	buf_clear(&text);
	setenv("FAKE_AOTC", "missing", 1);
	CHECK(aot_version(program, &text, &err) < 0);
	CHECK(strstr(err.text, "libLLVM.so.19.1"));
	CHECK(aot_version("/bin/true", &text, &err) < 0);
	CHECK(strstr(err.text, "/bin/true: it tells no version"));
	CHECK(aot_version("/nowhere", &text, &err) < 0);
	CHECK(strstr(err.text, "/nowhere"));
	err_clear(&err);
}

TEST_MAIN

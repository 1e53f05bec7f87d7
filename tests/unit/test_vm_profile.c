/* SPDX-License-Identifier: Apache-2.0 */
/* Where compiled code spends its time: found in one function of many, by
 * several VMs and threads at once, and nothing of it where nobody asks. */
#include "base/clock.h"
#include "cache/profile.h"
#include "lib/cached.h"
#include "lib/made_vm.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

enum { COLD, HOT };
enum { WANTED = 20, PATIENCE_MS = 120000 };

/* The first two take the same time for each turn. */
#define TEXT                                                            \
	"(module"                                                       \
	"  (func (export \"a\") (param i32) (result i32) (local i32)"   \
	"    (loop (local.set 1 (i32.add (i32.mul (local.get 1)"        \
	"      (i32.const 31)) (i32.const 7)))"                         \
	"      (br_if 0 (local.tee 0 (i32.sub (local.get 0)"            \
	"        (i32.const 1))))) (local.get 1))"                      \
	"  (func (export \"hot\") (param i32) (result i32) (local i32)" \
	"    (loop (local.set 1 (i32.add (i32.mul (local.get 1)"        \
	"      (i32.const 37)) (i32.const 7)))"                         \
	"      (br_if 0 (local.tee 0 (i32.sub (local.get 0)"            \
	"        (i32.const 1))))) (local.get 1))"                      \
	"  (func (export \"b\") (result i32) (i32.const 1)))"

static uint64_t ticks_of(struct made *made, uint32_t function)
{
	struct vm_profile_told told;

	return vm_profile_told(&made->vm, made->module, &told)
		       ? told.ticks[function]
		       : 0;
}

/* Runs it until it was found there. */
static bool run_until(struct made *made, const char *name, uint32_t function,
		      uint64_t wanted)
{
	uint64_t deadline = clock_deadline(PATIENCE_MS);

	while (ticks_of(made, function) < wanted)
		if (clock_left_ms(deadline) == 0 ||
		    made_call(made, name, 2000000, 0, NULL) != WASM_OK)
			return false;
	return true;
}

/* ---- off ------------------------------------------------------------------- */

static bool is_default(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 &&
	       action.sa_handler == SIG_DFL;
}

static void run_without(void)
{
	const struct vm_options options = { 0 };
	struct vm_profile_told told;
	struct made made;

	if (!made_open(&made, &options, TEXT) || !is_default(SIGPROF) ||
	    made_call(&made, "hot", 50000000, 0, NULL) != WASM_OK ||
	    vm_profile_told(&made.vm, made.module, &told))
		_exit(1);
	made_close(&made);
	_exit(is_default(SIGPROF) ? 0 : 2);
}

static int status_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return status;
}

/* A process of its own, in which nobody has asked before: these tests come
 * first. */
static int elsewhere(void (*work)(void))
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		work();
	return status_of(pid);
}

TEST(nothing_of_it_where_nobody_asks)
{
	CHECK_INT(elsewhere(run_without), 0);
}

/* ---- with others ------------------------------------------------------------ */

static int foreign;

static void on_foreign(int number)
{
	foreign += number == SIGPROF;
}

/* What was there before gets what is its own, and no ticks. */
static void run_with_handler(void)
{
	const struct cache_options cache = { 0 };
	const struct vm_options options = { .cache = &cache, .profile = true };
	struct made made;

	signal(SIGPROF, on_foreign);
	if (!made_open(&made, &options, TEXT) ||
	    !run_until(&made, "hot", HOT, 3) || foreign)
		_exit(1);
	raise(SIGPROF);
	made_close(&made);
	_exit(foreign == 1 ? 0 : 2);
}

static void run_in_fork(void)
{
	const struct cache_options cache = { 0 };
	const struct vm_options options = { .cache = &cache, .profile = true };
	struct made made, again;
	uint64_t before;
	pid_t pid;

	if (!made_open(&made, &options, TEXT) ||
	    !run_until(&made, "hot", HOT, 3))
		_exit(1);
	before = ticks_of(&made, HOT);
	pid = fork();
	if (pid == 0) {
		/* Its own timer begins, and may have the old one's number. */
		if (!run_until(&made, "hot", HOT, before + 3) ||
		    !made_open(&again, &options, TEXT) ||
		    !run_until(&again, "a", COLD, 3))
			_exit(3);
		made_close(&made);
		if (!run_until(&again, "a", COLD, 10))
			_exit(4);
		made_close(&again);
		_exit(0);
	}
	if (!run_until(&made, "hot", HOT, before + 3))
		_exit(5);
	_exit(status_of(pid) ? 6 : 0);
}

TEST(a_handler_that_was_there)
{
	auto_folder char *folder = cached_folder();

	(void)folder;
	CHECK_INT(elsewhere(run_with_handler), 0);
}

TEST(forks)
{
	auto_folder char *folder = cached_folder();

	(void)folder;
	CHECK_INT(elsewhere(run_in_fork), 0);
}

TEST(a_hot_function_is_found)
{
	auto_folder char *folder = cached_folder();
	const struct cache_options cache = { 0 };
	const struct vm_options options = { .cache = &cache, .profile = true };
	struct vm_profile_told told;
	struct made made;
	uint32_t value;

	(void)folder;
	CHECK(made_open(&made, &options, TEXT));
	CHECK(!vm_profile_told(&made.vm, made.module, &told));
	CHECK(run_until(&made, "hot", HOT, WANTED));
	CHECK(vm_profile_told(&made.vm, made.module, &told));
	CHECK_INT(told.function_count, 3);
	CHECK(told.object != NULL);
	/* The call of each turn is in another function for a moment. */
	CHECK(told.ticks[HOT] * 10 >= told.total * 9);
	vm_profile_forget(&made.vm, made.module);
	CHECK(!vm_profile_told(&made.vm, made.module, &told));
	CHECK_INT(made_call(&made, "hot", 3, 0, &value), WASM_OK);
	CHECK_INT(value, 7 + 37 * (7 + 37 * 7));
	made_close(&made);
}

/* Two VMs on one thread: each counts what itself has run. */
TEST(two_vms)
{
	auto_folder char *folder = cached_folder();
	const struct cache_options cache = { 0 };
	const struct vm_options options = { .cache = &cache, .profile = true };
	struct made first, second;

	(void)folder;
	CHECK(made_open(&first, &options, TEXT) &&
	      made_open(&second, &options, TEXT));
	for (int i = 1; i <= 4; i++) {
		CHECK(run_until(&first, "a", COLD, 5 * i));
		CHECK(run_until(&second, "hot", HOT, 5 * i));
	}
	CHECK_INT(ticks_of(&first, HOT), 0);
	CHECK_INT(ticks_of(&second, COLD), 0);
	made_close(&first);
	CHECK(run_until(&second, "hot", HOT, 30));
	made_close(&second);
}

struct worker {
	struct made made;
	const char *name;
	uint32_t function;
	bool is_right;
};

static void *work(void *data)
{
	struct worker *worker = data;

	worker->is_right = run_until(&worker->made, worker->name,
				     worker->function, WANTED);
	return NULL;
}

/* Each in a thread of its own, which is not the one that has made the VM; and
 * back. */
TEST(threads)
{
	auto_folder char *folder = cached_folder();
	const struct cache_options cache = { 0 };
	const struct vm_options options = { .cache = &cache, .profile = true };
	struct worker workers[3] = { { .name = "a", .function = COLD },
				     { .name = "hot", .function = HOT },
				     { .name = "a", .function = COLD } };
	pthread_t threads[3];

	(void)folder;
	for (int i = 0; i < 3; i++)
		CHECK(made_open(&workers[i].made, &options, TEXT));
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, work, &workers[i]);
	for (int i = 0; i < 3; i++) {
		struct made *made = &workers[i].made;

		pthread_join(threads[i], NULL);
		CHECK(workers[i].is_right);
		CHECK_INT(ticks_of(made,
				   workers[i].function == COLD ? HOT : COLD),
			  0);
		CHECK(run_until(made, workers[i].name, workers[i].function,
				WANTED + 5));
		made_close(made);
	}
}

/* ---- while it goes on -------------------------------------------------------- */

static int dues;

/* All that a function may: memory, files, a fork. */
static void on_due(void *env)
{
	struct made *made = env;
	struct vm_profile_told told;
	struct cache_profile profile;

	if (!vm_profile_told(&made->vm, made->module, &told) ||
	    cache_published(told.object, NULL) < 0 ||
	    cache_profile_add(told.object, told.ticks, told.function_count,
			      &profile, NULL) < 0)
		return;
	cache_profile_fini(&profile);
	vm_profile_forget(&made->vm, made->module);
	dues++;
}

TEST(a_run_that_goes_on)
{
	auto_folder char *folder = cached_folder();
	const struct cache_options cache = { 0 };
	struct made made;
	const struct vm_options options = { .cache = &cache,
					    .profile = true,
					    .profile_due = on_due,
					    .profile_env = &made };
	uint64_t deadline = clock_deadline(PATIENCE_MS);
	struct cache_profile profile;
	struct vm_profile_told told;
	uint32_t first, value;

	(void)folder;
	CHECK(made_open(&made, &options, TEXT));
	CHECK_INT(made_call(&made, "hot", 50000000, 0, &first), WASM_OK);
	CHECK(run_until(&made, "hot", HOT, 1));
	while (!dues && clock_left_ms(deadline)) {
		CHECK_INT(made_call(&made, "hot", 50000000, 0, &value),
			  WASM_OK);
		CHECK_INT(value, first);
	}
	CHECK(dues > 0);
	vm_profile_told(&made.vm, made.module, &told);
	CHECK(told.total < 500);
	CHECK(made.vm.options.code.cache != NULL);
	CHECK_INT(made_call(&made, "hot", 3, 0, NULL), WASM_OK);
	CHECK(vm_compile(&made.vm, made.module, &told.object, NULL) == 0);
	CHECK_INT(cache_profile_get(told.object, &profile), 0);
	CHECK(profile.total >= 500);
	cache_profile_fini(&profile);
	made_close(&made);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* The engine and what else its process does: forks, descriptors; and names
 * that somebody chose to do harm. */
#include "lib/made_vm.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOTHING_TEXT                                              \
	"(module (func (export \"get\") (param i32) (result i32)" \
	"  (local.get 0)))"

/* Forks */

static volatile int lock_held;

static void *hold_lock(void *unused)
{
	(void)unused;
	vm_host.lock(NULL);
	lock_held = 1;
	usleep(50000);
	vm_host.unlock(NULL);
	return NULL;
}

static void use_vm_and_exit(void)
{
	struct made made;
	uint32_t value = 0;

	alarm(10);
	_exit(made_open(&made, NULL,
			"(module (memory 1 1 shared)"
			"  (func (export \"add\") (param i32 i32) (result i32)"
			"    (drop (memory.atomic.notify (i32.const 0)"
			"      (i32.const 1)))"
			"    (i32.add (local.get 0) (local.get 1))))") &&
			      made_call(&made, "add", 40, 2, &value) ==
				      WASM_OK &&
			      value == 42
		      ? 0
		      : 1);
}

TEST(a_fork_while_a_thread_translates)
{
	pthread_t thread;
	int status = -1;
	struct made made;
	pid_t pid;

	CHECK(made_open(&made, NULL, NOTHING_TEXT));
	pthread_create(&thread, NULL, hold_lock, NULL);
	while (!lock_held)
		usleep(1000);
	pid = fork();
	if (pid == 0)
		use_vm_and_exit();
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	pthread_join(thread, NULL);
	CHECK_INT(made_call(&made, "get", 0, 0, NULL), WASM_OK);
	made_close(&made);
}

/* Descriptors */

/* Modules whose data is an image, one more than there can be descriptors. */
static bool many_images(struct made *made, uint32_t count)
{
	auto_buf struct buf text = { 0 };

	buf_text(&text, "(module (memory 1) (data (i32.const 4) \"");
	for (int i = 0; i < 20000; i++)
		buf_text(&text, "a");
	buf_text(&text, "\") (func (export \"get\") (param i32) (result i32)"
			" (i32.load8_u (local.get 0))))");
	for (uint32_t i = 0; i < count; i++) {
		uint32_t value = 0;

		if (made_load(made, buf_string(&text)) < 0 ||
		    made_instantiate(made) ||
		    made_call(made, "get", 20003, 0, &value) != WASM_OK ||
		    value != 'a')
			return false;
	}
	return true;
}

TEST(images_leave_descriptors_to_others)
{
	struct rlimit before, few;
	struct made made = { 0 };
	int fds[24], count = 0;

	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK_INT(vm_init(&made.vm, NULL, &made_err), 0);
	CHECK(many_images(&made, 80));
	while (count < 24 && (fds[count] = dup(0)) >= 0)
		count++;
	CHECK_INT(count, 24);
	/* And none is needed. */
	few.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &few);
	CHECK(many_images(&made, 2));
	setrlimit(RLIMIT_NOFILE, &before);
	while (count)
		close(fds[--count]);
	made_close(&made);
}

/* Names */

/* What the lower 16 bits of an unkeyed FNV-1a become. */
static uint32_t weak_hash(uint32_t hash, const char *text, int len)
{
	for (int i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619;
	return hash & 0xffff;
}

enum { BLOCK = 3, BLOCKS = 15 };

/* Two texts that lead from a state to the same one; returns that. */
static uint32_t find_pair(uint32_t state, char pair[2][BLOCK + 1])
{
	static uint32_t seen[1 << 16];

	memset(seen, 0, sizeof seen);
	for (uint32_t i = 1; i < 1 << 18; i++) {
		char text[BLOCK + 1] = { (char)('a' + i % 64),
					 (char)('!' + i / 64 % 64),
					 (char)('!' + i / 4096 % 64) };
		uint32_t to = weak_hash(state, text, BLOCK), other = seen[to];

		if (other) {
			memcpy(pair[0], text, BLOCK);
			pair[1][0] = (char)('a' + other % 64);
			pair[1][1] = (char)('!' + other / 64 % 64);
			pair[1][2] = (char)('!' + other / 4096 % 64);
			return to;
		}
		seen[to] = i;
	}
	return state;
}

/* 32,768 names of one chain, for who does not know the key. */
TEST(names_do_not_collide_by_design)
{
	char pairs[BLOCKS][2][BLOCK + 1] = { 0 }, name[BLOCKS * BLOCK];
	struct wasm_name module = { "m", 1 };
	uint32_t state = weak_hash(2166136261, "m", 1) + 1;
	struct wasm_extern what = { .kind = WASM_EXTERN_FUNCTION };
	clock_t start;
	struct vm vm;

	for (int i = 0; i < BLOCKS; i++)
		state = find_pair(state, pairs[i]);
	CHECK_INT(vm_init(&vm, NULL, &made_err), 0);
	start = clock();
	for (uint32_t i = 0; i < 1 << BLOCKS; i++) {
		struct wasm_name named = { name, sizeof name };

		for (int b = 0; b < BLOCKS; b++)
			memcpy(name + b * BLOCK, pairs[b][i >> b & 1], BLOCK);
		CHECK_INT(vm_define_named(&vm, module, named, what, NULL), 0);
	}
	CHECK(clock() - start < CLOCKS_PER_SEC);
	vm_fini(&vm);
}

TEST_MAIN

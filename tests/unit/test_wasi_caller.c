/* SPDX-License-Identifier: Apache-2.0 */
/* WASI for a caller that is no VM of this process: a number, arguments, and
 * memory that its owner may change at any time. */
#include "lib/guest.h"
#include <pthread.h>

/* struct guest serves as what holds memory, descriptors and folder; its store
 * is not used. */

struct asked {
	int count, trap;
};

static int ended(void *env)
{
	struct asked *asked = env;

	asked->count++;
	return asked->trap;
}

static struct wasi_caller caller_of(const struct guest *guest,
				    struct asked *asked)
{
	return (struct wasi_caller){ .base = guest->bytes,
				     .bytes = MEMORY_BYTES,
				     .ended = ended,
				     .env = asked };
}

TEST(a_call_is_a_number)
{
	struct guest guest;
	struct asked asked = { 0 };
	struct wasi_caller caller;
	union wasm_value slots[2] = { { .i64 = AT_RESULT },
				      { .i64 = AT_RESULT + 4 } };

	guest_begin(&guest, false);
	caller = caller_of(&guest, &asked);
	put_u32(&guest, AT_RESULT, 77);
	CHECK_INT(wasi_call_number(guest.wasi, &caller,
				   WASI_NUMBER_args_sizes_get, false, slots),
		  0);
	CHECK_INT(get_u32(&guest, AT_RESULT), 0);
	slots[0].i64 = MEMORY_BYTES - 3;
	CHECK_INT(wasi_call_number(guest.wasi, &caller,
				   WASI_NUMBER_args_sizes_get, false, slots),
		  WASI_EFAULT);
	CHECK_INT(asked.count, 0);
	guest_end(&guest);
}

TEST(numbers_without_a_function_are_none)
{
	struct guest guest;
	struct wasi_caller caller = { 0 };
	union wasm_value slots[16] = { 0 };

	guest_begin(&guest, false);
	CHECK_INT(wasi_call_number(guest.wasi, &caller, WASI_FUNCTIONS, false,
				   slots),
		  WASI_ENOSYS);
	CHECK_INT(wasi_call_number(guest.wasi, &caller, ~0u, true, slots),
		  WASI_ENOSYS);
	guest_end(&guest);
}

TEST(without_memory_there_is_none_to_write_to)
{
	struct guest guest;
	struct wasi_caller caller = { 0 };
	union wasm_value slots[16] = { 0 };

	guest_begin(&guest, false);
	CHECK_INT(wasi_call_number(guest.wasi, &caller,
				   WASI_NUMBER_args_sizes_get, false, slots),
		  WASI_EFAULT);
	guest_end(&guest);
}

TEST(an_exit_is_told)
{
	struct guest guest;
	struct asked asked = { 0 };
	struct wasi_caller caller;
	union wasm_value slots[1] = { { .i64 = 42 } };

	guest_begin(&guest, false);
	caller = caller_of(&guest, &asked);
	CHECK_INT(wasi_call_number(guest.wasi, &caller, WASI_NUMBER_proc_exit,
				   false, slots),
		  -WASM_TRAP_exit);
	CHECK_INT(caller.exit_code, 42);
	slots[0].i64 = 9;
	CHECK_INT(wasi_call_number(guest.wasi, &caller, WASI_NUMBER_proc_raise,
				   false, slots),
		  -WASM_TRAP_exit);
	CHECK_INT(caller.exit_code, 137);
	guest_end(&guest);
}

/* With a deadline each call asks, without one only those that wait. */
TEST(whether_it_has_ended_is_asked)
{
	struct guest guest;
	struct asked asked = { .trap = WASM_TRAP_deadline };
	struct wasi_caller caller;
	union wasm_value slots[2] = { { .i64 = AT_RESULT },
				      { .i64 = AT_RESULT + 4 } };

	guest_begin(&guest, false);
	caller = caller_of(&guest, &asked);
	caller.deadline_ns = 1;
	CHECK_INT(wasi_call_number(guest.wasi, &caller,
				   WASI_NUMBER_args_sizes_get, false, slots),
		  -WASM_TRAP_deadline);
	CHECK_INT(asked.count, 1);
	caller.deadline_ns = 0;
	CHECK_INT(wasi_call_number(guest.wasi, &caller, WASI_NUMBER_sched_yield,
				   false, slots),
		  -WASM_TRAP_deadline);
	CHECK_INT(asked.count, 2);
	caller.ended = NULL;
	CHECK_INT(wasi_call_number(guest.wasi, &caller, WASI_NUMBER_sched_yield,
				   false, slots),
		  0);
	guest_end(&guest);
}

TEST(a_wait_ends_when_the_run_does)
{
	struct streams streams;
	struct asked asked = { .trap = WASM_TRAP_interrupted };
	struct wasi_caller caller;
	union wasm_value slots[4] = { { .i64 = 0 },
				      { .i64 = AT_VECTORS },
				      { .i64 = 1 },
				      { .i64 = AT_RESULT } };
	int64_t begin = (int64_t)clock_ns();

	streams_begin(&streams);
	vector(&streams.guest, AT_BYTES, 10);
	caller = caller_of(&streams.guest, &asked);
	CHECK_INT(wasi_call_number(streams.guest.wasi, &caller,
				   WASI_NUMBER_fd_read, false, slots),
		  -WASM_TRAP_interrupted);
	CHECK((int64_t)clock_ns() - begin < 2000000000);
	streams_end(&streams);
}

/* ---- memory that changes meanwhile ------------------------------------------ */

struct changing {
	struct guest *guest;
	int stop;
};

/* Vectors and subscriptions that are good, then not, then good; a path that
 * leads out, then not. */
static void *change(void *env)
{
	struct changing *changing = env;
	uint8_t *bytes = changing->guest->bytes;
	volatile uint32_t *vector = (uint32_t *)(bytes + AT_VECTORS);
	volatile uint8_t *path = bytes + AT_PATH;

	while (!__atomic_load_n(&changing->stop, __ATOMIC_RELAXED)) {
		vector[0] = 0xfffffff0;
		vector[1] = 0xffffffff;
		path[0] = '.';
		path[1] = '.';
		vector[0] = AT_BYTES;
		vector[1] = 8;
		path[0] = 'a';
		path[1] = 0;
	}
	return NULL;
}

static void call_while_changing(struct guest *guest)
{
	struct asked asked = { 0 };
	struct wasi_caller caller = caller_of(guest, &asked);
	union wasm_value write[4] = { { .i64 = 0 },
				      { .i64 = AT_VECTORS },
				      { .i64 = 1 },
				      { .i64 = AT_RESULT } };
	union wasm_value open[9] = {
		{ .i64 = 3 }, { .i64 = 1 }, { .i64 = AT_PATH }, { .i64 = 9 },
		{ .i64 = 0 }, { .i64 = 0 }, { .i64 = 0 },	{ .i64 = 0 },
	};
	int fd, code;

	open[8].i64 = AT_RESULT;
	fd = open_at(guest, 3, "file", WASI_CREAT, WASI_RIGHTS_ALL, &code);
	write[0].i64 = fd;
	for (int i = 0; i < 3000; i++) {
		code = wasi_call_number(guest->wasi, &caller,
					WASI_NUMBER_fd_write, false, write);
		CHECK(code == 0 || code == WASI_EFAULT);
		code = wasi_call_number(guest->wasi, &caller,
					WASI_NUMBER_path_open, false, open);
		CHECK(code == WASI_ENOENT || code == WASI_EINVAL ||
		      code == WASI_ENOTCAPABLE);
	}
}

TEST(memory_that_changes_meanwhile_is_read_once)
{
	struct guest guest;
	struct changing changing = { .guest = &guest };
	pthread_t thread;

	guest_begin(&guest, false);
	say(&guest, "../secret");
	CHECK_INT(pthread_create(&thread, NULL, change, &changing), 0);
	call_while_changing(&guest);
	__atomic_store_n(&changing.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	guest_end(&guest);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest does without the host: time, random bytes, and writes that are
 * put off.  Nobody can tell but by the number of its bells. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "brood/wasi_abi.h"
#include "lib/made_domain.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define WASI(name, params)                                              \
	" (import \"wasi_snapshot_preview1\" \"" name "\" (func $" name \
	" (param " params ") (result i32)))"
#define LOOP(body)                                             \
	" (block (loop (br_if 1 (i32.eqz (local.get 0)))" body \
	" (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br 0)))"
/* What is written is at 32: four digits of a count, which is at 8, and the
 * end of a line. */
#define NEXT                                                             \
	" (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8))"    \
	"  (i32.const 1)))"                                              \
	" (i32.store8 (i32.const 32) (i32.add (i32.const 48) (i32.rem_u" \
	"  (i32.div_u (i32.load (i32.const 8)) (i32.const 1000))"        \
	"  (i32.const 10))))"                                            \
	" (i32.store8 (i32.const 33) (i32.add (i32.const 48) (i32.rem_u" \
	"  (i32.div_u (i32.load (i32.const 8)) (i32.const 100))"         \
	"  (i32.const 10))))"                                            \
	" (i32.store8 (i32.const 34) (i32.add (i32.const 48) (i32.rem_u" \
	"  (i32.div_u (i32.load (i32.const 8)) (i32.const 10))"          \
	"  (i32.const 10))))"                                            \
	" (i32.store8 (i32.const 35) (i32.add (i32.const 48) (i32.rem_u" \
	"  (i32.load (i32.const 8)) (i32.const 10))))"
#define WRITE(fd)                                                 \
	" (local.set 2 (i32.or (local.get 2) (call $fd_write " fd \
	"  (i32.const 16) (i32.const 1) (i32.const 24))))"        \
	" (local.set 2 (i32.or (local.get 2)"                     \
	"  (i32.ne (i32.load (i32.const 24)) (i32.const 5))))"

static const char module_text[] =
	"(module" WASI("fd_write", "i32 i32 i32 i32")
		WASI("clock_time_get", "i32 i64 i32")
			WASI("random_get", "i32 i32") WASI(
				"fd_tell", "i32 i32") WASI("fd_close",
							   "i32") " (memory 1)"
								  " (data (i32.const 16) \"\\20\\00\\00\\00\\05\\00\\00\\00\")"
								  " (data (i32.const 32) \"0000\\0a\")"
								  " (func (export \"read\") (param i32) (result i32)"
								  "  (i32.load (local.get 0)))"
								  " (func (export \"read64\") (param i32) (result i64)"
								  "  (i64.load (local.get 0)))"
								  /* How often a clock went back, in so many looks. */
								  " (func (export \"clock\") (param i32 i32) (result i32)"
								  "  (local i32 i64)" LOOP(
									  " (drop (call $clock_time_get (local.get 1) (i64.const 1)"
									  "  (i32.const 128)))"
									  " (if (i64.lt_u (i64.load (i32.const 128)) (local.get 3))"
									  "  (then (local.set 2 (i32.add (local.get 2)"
									  "   (i32.const 1)))))"
									  " (local.set 3 (i64.load (i32.const 128)))") "  (local.get 2))"
														       " (func (export \"clock_at\") (param i32 i32) (result i32)"
														       "  (call $clock_time_get (local.get 0) (i64.const 1) (local.get 1)))"
														       /* All bytes that come, in one sum. */
														       " (func (export \"random\") (param i32 i32) (result i32)"
														       "  (local i32)" LOOP(" (local.set 2 (i32.or (local.get 2)"
																	    "  (call $random_get (i32.const 256) (local.get 1))))") "  (local.get 2))"
																								    " (func (export \"random_at\") (param i32 i32) (result i32)"
																								    "  (call $random_get (local.get 0) (local.get 1)))"
																								    " (func (export \"write\") (param i32 i32) (result i32) (local i32)" LOOP(NEXT
																																		      WRITE("(local.get 1)")) "  (local.get 2))"
																																					      " (func (export \"both\") (param i32 i32) (result i32) (local i32)" LOOP(
																																						      NEXT WRITE(
																																							      "(i32.const 1)")
																																							      NEXT
																																								      WRITE("(i32.const 2)")) "  (local.get 2))"
																																											      " (func (export \"write_at\") (param i32 i32) (result i32)"
																																											      "  (call $fd_write (local.get 0) (i32.const 16) (i32.const 1)"
																																											      "   (local.get 1)))"
																																											      " (func (export \"tell\") (param i32 i32) (result i32)"
																																											      "  (drop (call $fd_tell (local.get 0) (i32.const 136)))"
																																											      "  (i32.load (i32.const 136)))"
																																											      " (func (export \"write_close\") (param i32 i32) (result i32)"
																																											      "  (local i32)" LOOP(NEXT
																																															   WRITE("(i32.const 1)")) "  (drop (call $fd_close (i32.const 1)))"
																																																		   "  (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1)"
																																																		   "   (i32.const 24)))"
																																																		   " (func (export \"write_spin\") (param i32 i32) (result i32)"
																																																		   "  (local i32)" LOOP(NEXT WRITE("(i32.const 1)")) "  (loop (br 0)) (i32.const 0)))";

struct served {
	struct run run;
	struct wasi *wasi;
	uint64_t asked; /* WASI calls that came, before */
};

static bool serve(struct served *it, int out, int err_out)
{
	const struct wasi_options options = { .stdio = { -1, out, err_out } };

	if (!run_open(&it->run, module_text, VM_AUTO,
		      (struct domain_options){ 0 }) ||
	    wasi_open(&it->wasi, &options, &failure) < 0)
		return false;
	domain_set_wasi(it->run.domain, it->wasi);
	it->asked = 0;
	return true;
}

static void serve_end(struct served *it)
{
	run_close(&it->run);
	wasi_close(it->wasi);
}

/* WASI calls that the host was asked for since the last time. */
static uint64_t asked(struct served *it)
{
	struct domain_counts counts;
	uint64_t since;

	domain_counts(it->run.domain, &counts);
	since = counts.wasi - it->asked;
	it->asked = counts.wasi;
	return since;
}

static uint64_t read64(struct served *it, uint32_t at)
{
	return run_call(&it->run, "read64", 1, at, 0) == 0
		       ? it->run.values.values[0].i64
		       : 0;
}

static bool clock_is_near(uint64_t ns, clockid_t which)
{
	struct timespec now;
	int64_t off;

	clock_gettime(which, &now);
	off = now.tv_sec * INT64_C(1000000000) + now.tv_nsec - (int64_t)ns;
	if (off >= 0 && off < 100000000)
		return true;
	printf("# off by %lld ns\n", (long long)off);
	return false;
}

static void check_clock(uint32_t which, clockid_t host)
{
	struct served it;
	uint64_t before;

	CHECK(serve(&it, -1, -1));
	/* The time is the host's at each of its looks, and does not go back
	 * when the guest's own is renewed. */
	CHECK(run_is(&it.run, "clock", 2, 200, which, 0));
	for (int i = 0; i < 60; i++) {
		CHECK(run_is(&it.run, "clock", 2, 20000, which, 0));
		before = read64(&it, 128);
		CHECK(clock_is_near(before, host));
	}
	if (ground->has_counts)
		CHECK(asked(&it) < 1000);
	else
		CHECK(asked(&it) == 1200200);
	/* What is wrong is told as ever. */
	CHECK(run_is(&it.run, "clock_at", 2, which, 65529, WASI_EFAULT));
	CHECK(run_is(&it.run, "clock_at", 2, which, 0xffffffff, WASI_EFAULT));
	CHECK(run_is(&it.run, "clock_at", 2, which, 65528, 0));
	CHECK(run_is(&it.run, "clock_at", 2, 9, 64, WASI_EINVAL));
	/* Another tenant's look is the host's. */
	asked(&it);
	domain_renew(it.run.domain);
	CHECK(run_is(&it.run, "clock_at", 2, which, 64, 0));
	CHECK(asked(&it) == 1);
	serve_end(&it);
}

TEST(clocks)
{
	if (!ground_use(true))
		SKIP(failure.text);
	check_clock(1, CLOCK_MONOTONIC);
	check_clock(0, CLOCK_REALTIME);
}

TEST(clocks_in_a_process)
{
	ground_use(false);
	check_clock(1, CLOCK_MONOTONIC);
}

TEST(a_clock_of_other_counts)
{
	struct served it;

	if (!ground_use(true))
		SKIP(failure.text);
	CHECK(serve(&it, -1, -1));
	ground->has_counts = false;
	CHECK(run_is(&it.run, "clock", 2, 1000, 1, 0));
	CHECK(asked(&it) == 1000);
	ground->has_counts = true;
	serve_end(&it);
}

TEST(random_bytes)
{
	struct served it;
	uint64_t last = 0;

	if (!ground_use(true))
		SKIP(failure.text);
	CHECK(serve(&it, -1, -1));
	for (int i = 0; i < 300; i++) {
		CHECK(run_is(&it.run, "random", 2, 1, 8, 0));
		CHECK(read64(&it, 256) != last);
		last = read64(&it, 256);
	}
	CHECK(asked(&it) == 0);
	/* More than the pool has at once. */
	CHECK(run_is(&it.run, "random", 2, 1, 513, 0));
	CHECK(asked(&it) == 1);
	CHECK(run_is(&it.run, "random", 2, 10, 512, 0));
	CHECK(asked(&it) == 0);
	CHECK(run_is(&it.run, "random_at", 2, 65530, 7, WASI_EFAULT));
	CHECK(run_is(&it.run, "random_at", 2, 0xffffffff, 2, WASI_EFAULT));
	CHECK(run_is(&it.run, "random_at", 2, 65529, 7, 0));
	/* Another tenant gets others. */
	CHECK(run_is(&it.run, "random", 2, 1, 8, 0));
	last = read64(&it, 256);
	domain_renew(it.run.domain);
	CHECK(run_is(&it.run, "random", 2, 1, 8, 0));
	CHECK(read64(&it, 256) != last);
	serve_end(&it);
}

/* Are there numbers up from 1 on, as many? */
static bool has_numbers(int fd, uint32_t count)
{
	auto_buf struct buf want = { 0 };
	char got[65536];
	ssize_t len = pread(fd, got, sizeof(got), 0);

	for (uint32_t i = 1; i <= count; i++)
		buf_format(&want, "%04u\n", i % 10000);
	if (len == (ssize_t)want.len && !memcmp(got, want.data, want.len))
		return true;
	printf("# %zd bytes, not %zu\n", len, want.len);
	return false;
}

static void check_writes(void)
{
	auto_close int file = memfd_create("out", MFD_CLOEXEC);
	struct served it;

	CHECK(serve(&it, file, file));
	/* More than the ring holds, to two descriptors by turns. */
	CHECK(run_is(&it.run, "both", 2, 4000, 0, 0));
	CHECK(has_numbers(file, 8000));
	CHECK(asked(&it) < 1000);
	/* Whatever else it asks for comes behind what it has written. */
	CHECK(run_is(&it.run, "write", 2, 100, 1, 0));
	CHECK(run_is(&it.run, "tell", 2, 1, 0, 5 * 8100));
	CHECK(run_is(&it.run, "write_at", 2, 1, 65533, WASI_EFAULT));
	CHECK(run_is(&it.run, "write_at", 2, 7, 24, WASI_EBADF));
	CHECK(ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
	serve_end(&it);

	CHECK(serve(&it, file, -1));
	CHECK(run_is(&it.run, "write_close", 2, 500, 0, WASI_EBADF));
	CHECK(has_numbers(file, 500));
	serve_end(&it);
}

TEST(writes)
{
	if (!ground_use(true))
		SKIP(failure.text);
	check_writes();
}

TEST(writes_in_a_process)
{
	ground_use(false);
	check_writes();
}

TEST(writes_that_somebody_watches)
{
	int pair[2];
	struct served it;

	if (!ground_use(true))
		SKIP(failure.text);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(serve(&it, pair[0], -1));
	CHECK(run_is(&it.run, "write", 2, 200, 1, 0));
	CHECK(asked(&it) == 200);
	serve_end(&it);
	close(pair[0]);
	close(pair[1]);
}

TEST(a_write_that_failed)
{
	int ends[2];
	struct served it;

	if (!ground_use(true))
		SKIP(failure.text);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(serve(&it, ends[1], -1));
	CHECK(run_is(&it.run, "write", 2, 100, 1, 0));
	close(ends[0]);
	/* At once, or at the next one; not for ever. */
	CHECK(run_call(&it.run, "write", 2, 100, 1) == 0 &&
	      it.run.values.values[0].i32 != 0);
	serve_end(&it);
	close(ends[1]);
}

/* A file that cannot grow: what did not fit is told, if late. */
TEST(a_write_that_failed_later)
{
	auto_close int file = memfd_create("out", MFD_ALLOW_SEALING);
	struct served it;

	if (!ground_use(true))
		SKIP(failure.text);
	CHECK(ftruncate(file, 500) == 0 &&
	      fcntl(file, F_ADD_SEALS, F_SEAL_GROW) == 0);
	CHECK(serve(&it, file, -1));
	CHECK(run_call(&it.run, "write", 2, 5000, 1) == 0 &&
	      it.run.values.values[0].i32 != 0);
	CHECK(has_numbers(file, 100));
	/* And then it is as if nothing had been put off. */
	CHECK(run_is(&it.run, "write_at", 2, 1, 24, WASI_EPERM));
	serve_end(&it);
}

struct reader {
	int fd;
	uint32_t bytes;
	int64_t last_ns;
};

static void *reader_run(void *argument)
{
	struct reader *reader = argument;
	char bytes[4096];
	ssize_t len;

	while ((len = read(reader->fd, bytes, sizeof(bytes))) > 0) {
		reader->bytes += (uint32_t)len;
		reader->last_ns = (int64_t)clock_ns();
	}
	return NULL;
}

TEST(writes_before_much_work)
{
	struct reader reader = { 0 };
	int ends[2];
	pthread_t thread;
	struct served it;
	int64_t begin;

	if (!ground_use(true))
		SKIP(failure.text);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	reader.fd = ends[0];
	CHECK(serve(&it, ends[1], -1));
	CHECK(pthread_create(&thread, NULL, reader_run, &reader) == 0);
	begin = (int64_t)clock_ns();
	domain_set_deadline(it.run.domain, begin + 1000000000);
	CHECK(run_traps(&it.run, "write_spin", 2, 100, 0, WASM_TRAP_deadline));
	serve_end(&it);
	close(ends[1]);
	pthread_join(thread, NULL);
	close(ends[0]);
	CHECK(reader.bytes == 500);
	printf("# all is there after %lld us\n",
	       (long long)(reader.last_ns - begin) / 1000);
	CHECK(reader.last_ns - begin < 500000000);
}

/* A guest's ring is its word, and no more. */
static void check_ring(uint32_t used, uint32_t fd, uint32_t len)
{
	auto_close int file = memfd_create("out", MFD_CLOEXEC);
	struct guest_record record = { .fd = fd, .len = len };
	struct guest_call *page;
	struct served it;

	CHECK(serve(&it, file, -1));
	page = space_call(&it.run.domain->space);
	memcpy(space_system(&it.run.domain->space) + GUEST_RING_AT, &record,
	       sizeof(record));
	page->ring_used = used;
	CHECK(run_call(&it.run, "read", 1, 0, 0) == -EPROTO);
	CHECK(lseek(file, 0, SEEK_END) == 0);
	serve_end(&it);
}

TEST(hostile_rings)
{
	if (!ground_use(true))
		SKIP(failure.text);
	check_ring(GUEST_RING_BYTES + 8, 1, 8);
	check_ring(0xffffffff, 1, 8);
	check_ring(8, 1, 8);
	check_ring(24, 1, 9);
	check_ring(24, 1, 0xffffffff);
	check_ring(24, 3, 8);
	check_ring(24, 0xffffffff, 8);
}

TEST_MAIN

/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of memories: what they say, what the shim makes of them in a process
 * that knows nothing of it, and that a damaged one is never run on. */
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "machine/memory.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 8, BYTES = PAGES * PAGE };

/* Pages that begin with first, first + 1, .. behind one of a header. */
static int layer_file(int first)
{
	int fd = memfd_create("layer", MFD_CLOEXEC);

	for (int i = 0; i <= PAGES; i++) {
		uint8_t page[PAGE] = { (uint8_t)(first + i - 1) };

		CHECK(pwrite(fd, page, PAGE, (off_t)i * PAGE) == PAGE);
	}
	return fd;
}

/* Two layers: A's pages, of which B has the third and fourth; the last two
 * are zeros. */
struct made {
	struct tip tip;
	struct tip_run runs[4];
};
static void made_open(struct made *made)
{
	static const struct tip_run runs[4] = {
		{ 0, 2 * PAGE, PAGE, 0, 0 },
		{ 2 * PAGE, 2 * PAGE, 3 * PAGE, 1, 0 },
		{ 4 * PAGE, 2 * PAGE, 5 * PAGE, 0, 0 },
		{ 6 * PAGE, 2 * PAGE, 0, TIP_ZERO, 0 },
	};

	*made = (struct made){ .tip = TIP_EMPTY };
	memcpy(made->runs, runs, sizeof(runs));
	made->tip.ram_bytes = BYTES;
	made->tip.layer_count = 2;
	made->tip.layers[0] = LAYER_NONE;
	made->tip.layers[1] = LAYER_NONE;
	made->tip.layers[0].fd = layer_file(0xa0);
	made->tip.layers[1].fd = layer_file(0xb0);
	strcpy(made->tip.layers[1].hex, "bbbb");
	made->tip.runs = made->runs;
	made->tip.run_count = 4;
}
static void made_close(struct made *made)
{
	close(made->tip.layers[0].fd);
	close(made->tip.layers[1].fd);
}

/* Runs the program with the shim; its status, and what it told. */
static int probe(const struct memory *memory, const struct tip *tip,
		 int plan_fd, char *said, size_t room)
{
	const char *build = getenv("BUILD");
	auto_free char *path = file_format("%s/tests/programs/marker",
					   build ? build : "build");
	auto_free char *shim = file_format("LD_PRELOAD=%s/brood-shim.so",
					   build ? build : "build");
	auto_free char *ram = file_format(RAM_PLAN_VARIABLE "=%d", plan_fd);
	auto_free char *fd = file_format("%d", memory->marker);
	auto_free char *bytes = file_format("%d", BYTES);
	char *argv[] = { path, fd, bytes, NULL };
	char *envp[] = { shim, ram, NULL };
	int keep[4] = { memory->marker, plan_fd, tip->layers[0].fd,
			tip->layers[1].fd };
	struct process_plan plan = { .path = path,
				     .argv = argv,
				     .envp = envp,
				     .fds = { -1, -1, 2 },
				     .keep = keep,
				     .keep_count = 4 };
	int ends[2], status = -1;
	ssize_t len;
	pid_t pid;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	plan.fds[1] = ends[1];
	pid = process_start(&plan, NULL);
	CHECK(pid > 0);
	close(ends[1]);
	len = read(ends[0], said, room - 1);
	said[len > 0 ? len : 0] = 0;
	close(ends[0]);
	if (pid > 0)
		CHECK_INT(process_wait(pid, 20000, &status), 0);
	return status;
}

TEST(a_plan)
{
	struct memory memory;
	struct made made;
	struct stat st;
	struct err err = { 0 };
	const struct tip_run *runs;

	CHECK_INT(memory_make(NULL, BYTES, RAM_MAP, &memory, NULL), 0);
	CHECK_INT(memory.plan->run_count, 1);
	runs = (const void *)(memory.plan + 1);
	CHECK(runs[0].bytes == BYTES && runs[0].layer == TIP_ZERO);
	CHECK(fstat(memory.marker, &st) == 0 && st.st_size == BYTES &&
	      st.st_blocks == 0 && st.st_ino == memory.plan->marker_ino);
	CHECK(fcntl(memory.marker, F_GETFD) == FD_CLOEXEC);
	CHECK_INT(memory_state(&memory, NULL, &err), 0);
	memory_fini(&memory);
	CHECK(memory.marker == -1 && memory.plan_fd == -1 && !memory.plan);

	made_open(&made);
	CHECK_INT(memory_make(&made.tip, BYTES, RAM_COPY, &memory, NULL), 0);
	CHECK_INT(memory.plan->mode, RAM_COPY);
	CHECK_INT(memory.plan->file_count, 2);
	CHECK_INT(memory.plan->files[1], made.tip.layers[1].fd);
	CHECK(memcmp(memory.plan + 1, made.runs, sizeof(made.runs)) == 0);
	memory.plan->state = RAM_FAILED;
	memory.plan->error = -ENOMEM;
	memory.plan->failed_run = 1;
	CHECK_INT(memory_state(&memory, &made.tip, &err), -ENOMEM);
	CHECK(strstr(err.text, "piece 1 of 4") && strstr(err.text, "bbbb"));
	/* Whatever a process has written there. */
	memory.plan->failed_run = UINT32_MAX;
	memory.plan->error = 5;
	CHECK_INT(memory_state(&memory, &made.tip, &err), -EIO);
	memory.plan->state = 77;
	CHECK(memory_state(&memory, &made.tip, &err) < 0);
	memory_reset(&memory);
	CHECK_INT(memory_state(&memory, &made.tip, &err), 0);
	memory_fini(&memory);
	made_close(&made);
}

/* CLAIM 2.8 2.9 */
TEST(composed)
{
	for (int mode = RAM_MAP; mode <= RAM_COPY; mode++) {
		struct memory memory;
		struct made made;
		struct stat st;
		char said[256];
		uint8_t first;

		made_open(&made);
		CHECK_INT(memory_make(&made.tip, BYTES, mode, &memory, NULL),
			  0);
		CHECK_INT(probe(&memory, &made.tip, memory.plan_fd, said,
				sizeof(said)),
			  0);
		CHECK_TEXT(said, "a0a1b2b3a4a50000\n");
		CHECK_INT(memory_state(&memory, &made.tip, NULL), 1);
		CHECK(memory.plan->at && memory.plan->pid > 1);
		/* What it wrote is its own. */
		CHECK(pread(made.tip.layers[0].fd, &first, 1, PAGE) == 1);
		CHECK_INT(first, 0xa0);
		CHECK(fstat(memory.marker, &st) == 0 && st.st_blocks == 0);
		/* Once: another process gets the marker. */
		CHECK_INT(probe(&memory, &made.tip, memory.plan_fd, said,
				sizeof(said)),
			  0);
		CHECK_TEXT(said, "0000000000000000 told\n");
		memory_fini(&memory);
		made_close(&made);
	}
}

/* A daemon that has the marker sees what the process writes. */
TEST(in_the_marker)
{
	struct memory memory;
	struct made made;
	char said[256];
	uint8_t first = 0;

	made_open(&made);
	CHECK_INT(memory_make(NULL, BYTES, RAM_FILE, &memory, NULL), 0);
	CHECK_INT(probe(&memory, &made.tip, memory.plan_fd, said, sizeof(said)),
		  0);
	CHECK_TEXT(said, "0000000000000000\n");
	CHECK_INT(memory_state(&memory, NULL, NULL), 1);
	CHECK(pread(memory.marker, &first, 1, 0) == 1);
	CHECK_INT(first, 0xee);
	memory_fini(&memory);

	/* Layers have no place in it. */
	CHECK_INT(memory_make(&made.tip, BYTES, RAM_FILE, &memory, NULL), 0);
	CHECK(probe(&memory, &made.tip, memory.plan_fd, said, sizeof(said)) !=
	      0);
	CHECK(memory_state(&memory, &made.tip, NULL) < 0);
	memory_fini(&memory);
	made_close(&made);
}

/* ---- damaged ---------------------------------------------------------------- */

typedef void damage(struct ram_plan *plan, struct tip_run *runs);
static void bad_magic(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->magic ^= 1;
}
static void bad_version(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->version++;
}
static void many_files(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->file_count = UINT32_MAX;
}
static void many_runs(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->run_count = UINT32_MAX;
}
static void more_runs(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->run_count = 1000;
}
static void fewer_runs(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->run_count--;
}
static void no_runs(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->run_count = 0;
}
static void other_size(struct ram_plan *plan, struct tip_run *runs)
{
	runs[3].bytes += PAGE;
	plan->ram_bytes += PAGE;
}
static void gap(struct ram_plan *plan, struct tip_run *runs)
{
	(void)plan;
	runs[1].offset += PAGE;
	runs[1].bytes -= PAGE;
}
static void overlap(struct ram_plan *plan, struct tip_run *runs)
{
	(void)plan;
	runs[1].offset -= PAGE;
	runs[1].bytes += PAGE;
}
static void odd(struct ram_plan *plan, struct tip_run *runs)
{
	(void)plan;
	runs[0].bytes++;
	runs[1].offset++;
	runs[1].bytes--;
}
static void no_such_file(struct ram_plan *plan, struct tip_run *runs)
{
	(void)plan;
	runs[1].layer = 2;
}
static void round_and_round(struct ram_plan *plan, struct tip_run *runs)
{
	(void)plan;
	runs[0].bytes = UINT64_MAX - PAGE + 1;
	runs[1].offset = runs[0].bytes;
	runs[1].bytes = 5 * PAGE;
}
static void other_marker(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->marker_ino++;
}
static void not_waiting(struct ram_plan *plan, struct tip_run *runs)
{
	(void)runs;
	plan->state = RAM_FAILED;
}

/* Not taken over: who started it sees that, and ends it. */
TEST(damaged_plans)
{
	static damage *const damages[] = {
		bad_magic,    bad_version, many_files,
		many_runs,    more_runs,   fewer_runs,
		no_runs,      other_size,  gap,
		overlap,      odd,	   no_such_file,
		other_marker, not_waiting, round_and_round,
	};

	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		struct memory memory;
		struct made made;
		char said[256];
		uint32_t state;

		made_open(&made);
		CHECK_INT(memory_make(&made.tip, BYTES, RAM_MAP, &memory, NULL),
			  0);
		damages[i](memory.plan, (void *)(memory.plan + 1));
		state = memory.plan->state;
		CHECK_INT(probe(&memory, &made.tip, memory.plan_fd, said,
				sizeof(said)),
			  0);
		if (strcmp(said, "0000000000000000 told\n") != 0)
			printf("# damage %zu\n", i);
		CHECK_TEXT(said, "0000000000000000 told\n");
		CHECK(memory.plan->state == state && !memory.plan->at);
		memory_fini(&memory);
		made_close(&made);
	}
}

TEST(no_plan)
{
	struct memory memory;
	struct made made;
	char said[256];
	int empty = memfd_create("empty", MFD_CLOEXEC);

	made_open(&made);
	CHECK_INT(memory_make(&made.tip, BYTES, RAM_MAP, &memory, NULL), 0);
	CHECK_INT(probe(&memory, &made.tip, empty, said, sizeof(said)), 0);
	CHECK_TEXT(said, "0000000000000000 told\n");
	memory_fini(&memory);
	CHECK_INT(memory_make(&made.tip, BYTES, RAM_MAP, &memory, NULL), 0);
	CHECK(ftruncate(empty, sizeof(struct ram_plan) - 1) == 0);
	CHECK_INT(probe(&memory, &made.tip, empty, said, sizeof(said)), 0);
	CHECK_TEXT(said, "0000000000000000 told\n");
	CHECK_INT(memory_state(&memory, &made.tip, NULL), 0);
	memory_fini(&memory);
	made_close(&made);
	close(empty);
}

/* A piece that cannot be had ends the process before it runs on less. */
TEST(cannot_be_put_together)
{
	for (int i = 0; i < 5; i++) {
		struct memory memory;
		struct made made;
		struct err err = { 0 };
		struct tip_run *runs;
		char said[256];
		int mode = i >= 3 ? RAM_COPY : RAM_MAP;

		made_open(&made);
		CHECK_INT(memory_make(&made.tip, BYTES, mode, &memory, NULL),
			  0);
		runs = (void *)(memory.plan + 1);
		switch (i) {
		case 0: runs[1].file_at = PAGES * PAGE; break;
		case 1: runs[1].file_at++; break;
		case 2: runs[1].file_at = UINT64_MAX - PAGE + 1; break;
		case 3: runs[1].file_at = PAGES * PAGE; break;
		case 4: runs[1].file_at = UINT64_MAX - PAGE + 1; break;
		}
		CHECK_INT(probe(&memory, &made.tip, memory.plan_fd, said,
				sizeof(said)),
			  111 << 8);
		CHECK_TEXT(said, "");
		CHECK_INT(memory.plan->state, RAM_FAILED);
		CHECK(memory_state(&memory, &made.tip, &err) < 0);
		CHECK(strstr(err.text, "piece 1 of 4") != NULL);
		memory_fini(&memory);
		made_close(&made);
	}
}

TEST(a_file_that_is_gone)
{
	for (int mode = RAM_MAP; mode <= RAM_COPY; mode++) {
		struct memory memory;
		struct made made;
		struct err err = { 0 };
		char said[256];

		made_open(&made);
		CHECK_INT(memory_make(&made.tip, BYTES, mode, &memory, NULL),
			  0);
		memory.plan->files[1] = 99;
		CHECK_INT(probe(&memory, &made.tip, memory.plan_fd, said,
				sizeof(said)),
			  111 << 8);
		CHECK_TEXT(said, "");
		CHECK_INT(memory_state(&memory, &made.tip, &err), -EBADF);
		memory_fini(&memory);
		made_close(&made);
	}
}

TEST_MAIN

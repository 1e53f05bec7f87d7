/* SPDX-License-Identifier: Apache-2.0 */
/* A hypervisor's memory, put together from layers.  Who starts it says by
 * BROOD_RAM that the one mapping of a certain file is to become something
 * else: private mappings of a base and of differences.  The hypervisor knows
 * nothing of it: it believes that its memory is shared with that file.
 *
 *  1. Nothing is done unless BROOD_RAM names a plan that is whole, and the
 *     mapped file is the one that the plan names.
 *  2. Where a piece cannot be mapped the process ends: it never runs on a
 *     memory that is not what was asked for.
 *  3. Huge pages and merging are not taken, for this memory or for what else
 *     such a hypervisor has (a gigabyte for translated code, tables): a page
 *     that is written is to cost one page, and a machine that starts touches
 *     a few of each. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#include "brood/ram_plan.h"
#include "launch/shim/shim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { RAM_EXIT = 111 };

static uint64_t ram_now_ns(void)
{
	struct timespec now = { 0 };

	raw_2(clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int ram_plan_fd(void)
{
	const char *words = shim_real()->getenv(RAM_PLAN_VARIABLE);
	char *end;
	long fd;

	if (!words || !*words)
		return -1;
	fd = strtol(words, &end, 10);
	return *end || fd < 3 || fd > 1 << 20 ? -1 : (int)fd;
}

/* By system calls: the functions are ours. */
static void *ram_mmap(void *at, uint64_t len, int protection, int flags, int fd,
		      uint64_t offset)
{
	long got = raw_6(mmap, at, len, protection, flags, fd, offset);

	if (got >= 0 || got <= -4096)
		return (void *)got;
	errno = (int)-got;
	return NULL;
}

static bool ram_plan_holds(const struct ram_plan *plan, uint64_t bytes)
{
	const struct tip_run *runs = (const void *)(plan + 1);
	uint64_t at = 0;

	if (plan->magic != RAM_PLAN_MAGIC ||
	    plan->version != RAM_PLAN_VERSION ||
	    plan->file_count > RAM_PLAN_FILES ||
	    plan->run_count > TIP_RUNS_MOST ||
	    bytes < sizeof(*plan) + plan->run_count * sizeof(*runs))
		return false;
	for (uint32_t i = 0; i < plan->run_count; i++) {
		if (runs[i].offset != at || runs[i].bytes % SHIM_PAGE ||
		    runs[i].bytes > plan->ram_bytes - at ||
		    (runs[i].layer != TIP_ZERO &&
		     runs[i].layer >= plan->file_count))
			return false;
		at += runs[i].bytes;
	}
	return at == plan->ram_bytes;
}

static struct ram_plan *ram_plan_open(int fd)
{
	struct stat st;
	struct ram_plan *plan;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < sizeof(*plan))
		return NULL;
	plan = ram_mmap(NULL, (uint64_t)st.st_size, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	if (!plan)
		return NULL;
	if (ram_plan_holds(plan, (uint64_t)st.st_size))
		return plan;
	raw_2(munmap, plan, (uint64_t)st.st_size);
	return NULL;
}

static bool ram_is_marker(const struct ram_plan *plan, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == plan->marker_dev &&
	       st.st_ino == plan->marker_ino;
}

static bool ram_zero(uint8_t *at, uint64_t len)
{
	if (!ram_mmap(at, len, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		      -1, 0))
		return false;
	raw_3(madvise, at, len, MADV_NOHUGEPAGE);
	return true;
}

static bool ram_map_run(const struct ram_plan *plan, const struct tip_run *run,
			uint8_t *at)
{
	if (run->layer == TIP_ZERO)
		return ram_zero(at + run->offset, run->bytes);
	if (!ram_mmap(at + run->offset, run->bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
		      plan->files[run->layer], run->file_at))
		return false;
	/* Read only: a private page that is populated otherwise is copied. */
	if (run->flags & LAYER_HOT)
		raw_3(madvise, at + run->offset, run->bytes,
		      MADV_POPULATE_READ);
	return true;
}

/* Into memory that is there; holes of the file stay untouched. */
static bool ram_copy_run(const struct ram_plan *plan, const struct tip_run *run,
			 uint8_t *at)
{
	uint64_t from = run->file_at, end = from + run->bytes;
	int fd = run->layer == TIP_ZERO ? -1 : plan->files[run->layer];

	while (fd >= 0 && from < end) {
		off_t data = lseek(fd, (off_t)from, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		uint64_t stop = (uint64_t)hole < end ? (uint64_t)hole : end;

		if (data < 0 || (uint64_t)data >= end)
			return data >= 0 || errno == ENXIO;
		for (from = (uint64_t)data; from < stop;) {
			ssize_t got =
				pread(fd,
				      at + run->offset + (from - run->file_at),
				      stop - from, (off_t)from);

			if (got <= 0)
				return false;
			from += (uint64_t)got;
		}
	}
	return true;
}

/* What the hypervisor asked for, as it did. */
static bool ram_map_file(const struct ram_plan *plan, uint8_t *at, int marker)
{
	return plan->file_count == 0 &&
	       ram_mmap(at, plan->ram_bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED | MAP_NORESERVE, marker, 0);
}

/* The sizes of the files: what lies behind an end would read as zeros, or
 * end the hypervisor much later. */
static bool ram_measure(const struct ram_plan *plan, uint64_t *bytes)
{
	for (uint32_t i = 0; i < plan->file_count; i++) {
		struct stat st;

		if (fstat(plan->files[i], &st) < 0)
			return false;
		bytes[i] = (uint64_t)st.st_size;
	}
	return true;
}

static bool ram_is_within(const struct tip_run *run, const uint64_t *bytes)
{
	return run->layer == TIP_ZERO ||
	       (run->file_at <= bytes[run->layer] &&
		run->bytes <= bytes[run->layer] - run->file_at);
}

/* CLAIM 2.8 2.9: each piece from the layer that is its last word. */
static bool ram_compose(struct ram_plan *plan, uint8_t *at, int marker)
{
	const struct tip_run *runs = (const void *)(plan + 1);
	uint64_t bytes[RAM_PLAN_FILES];
	bool copy = plan->mode == RAM_COPY;

	errno = 0;
	if (plan->mode == RAM_FILE)
		return ram_map_file(plan, at, marker);
	if (!ram_measure(plan, bytes) ||
	    (copy && !ram_zero(at, plan->ram_bytes)))
		return false;
	for (uint32_t i = 0; i < plan->run_count; i++) {
		plan->failed_run = i;
		errno = 0;
		if (!ram_is_within(&runs[i], bytes) ||
		    (copy ? !ram_copy_run(plan, &runs[i], at)
			  : !ram_map_run(plan, &runs[i], at)))
			return false;
	}
	return true;
}

/* Nothing that the hypervisor executes gets them; and who started it may
 * look at its memory later. */
static void ram_keep_to_itself(const struct ram_plan *plan, int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	for (uint32_t i = 0; i < plan->file_count; i++)
		fcntl(plan->files[i], F_SETFD, FD_CLOEXEC);
	unsetenv(RAM_PLAN_VARIABLE);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

static void ram_finish(struct ram_plan *plan, bool well, uint64_t started_ns)
{
	plan->error = well ? 0 : errno ? -errno : -EIO;
	plan->took_ns = ram_now_ns() - started_ns;
	plan->pid = (int32_t)raw_0(getpid);
	__atomic_store_n(&plan->state, well ? RAM_COMPOSED : RAM_FAILED,
			 __ATOMIC_RELEASE);
	if (!well)
		_exit(RAM_EXIT);
}

/* True where the mapping was taken over. */
static bool ram_take_over(void *at, size_t len, int flags, int fd, off_t offset)
{
	uint64_t started_ns = ram_now_ns();
	int plan_fd;
	struct ram_plan *plan;

	if (shim.ram_bytes || offset || !(flags & MAP_FIXED) || fd < 0 ||
	    shim.phase == SHIM_BEFORE || shim.phase == SHIM_STOPPED)
		return false;
	plan_fd = ram_plan_fd();
	plan = plan_fd < 0 ? NULL : ram_plan_open(plan_fd);
	if (!plan || plan->state != RAM_WAITING || len != plan->ram_bytes ||
	    !ram_is_marker(plan, fd))
		return false;
	plan->at = shim.ram_at = (uint64_t)(uintptr_t)at;
	shim.ram_bytes = len;
	ram_keep_to_itself(plan, plan_fd);
	ram_finish(plan, ram_compose(plan, at, fd), started_ns);
	return true;
}

SHIM_EXPORT void *mmap64(void *at, size_t len, int protection, int flags,
			 int fd, off64_t offset)
{
	if (__builtin_expect((flags & MAP_FIXED) && fd >= 0, 0) &&
	    ram_take_over(at, len, flags, fd, offset))
		return at;
	return shim_real()->mmap64(at, len, protection, flags, fd, offset);
}

SHIM_EXPORT void *mmap(void *at, size_t len, int protection, int flags, int fd,
		       off_t offset)
{
	return mmap64(at, len, protection, flags, fd, offset);
}

/* Is this a hypervisor whose memory is put together, or will be? */
static bool ram_is_ours(void)
{
	return shim.ram_bytes ||
	       (shim.phase != SHIM_BEFORE && shim.phase != SHIM_STOPPED &&
		ram_plan_fd() >= 0);
}

SHIM_EXPORT int madvise(void *at, size_t len, int advice)
{
	if ((advice == MADV_HUGEPAGE || advice == MADV_MERGEABLE) &&
	    ram_is_ours())
		return 0;
	return shim_real()->madvise(at, len, advice);
}

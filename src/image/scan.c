/* SPDX-License-Identifier: Apache-2.0 */
/* Page tables, read.  Private are pages that are no longer a file's: in
 * memory, or swapped out - but not the zero page, which a read of untouched
 * memory maps. */
#include "image/scan.h"
#include "base/fd.h"
#include "base/process.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* From Linux 6.7 on; headers of 6.1 do not have them. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_ask {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_ask)
enum {
	SCAN_IS_FILE = 1 << 2,
	SCAN_IS_PRESENT = 1 << 3,
	SCAN_IS_SWAPPED = 1 << 4,
	SCAN_IS_ZERO = 1 << 5,
	SCAN_FEW = 64, /* regions at once, where there are no more */
	SCAN_REGIONS = 4096,
	SCAN_WORDS = 65536,
};

static struct scan_ask scan_ask_for(enum scan_what what)
{
	struct scan_ask ask = { .size = sizeof(ask),
				.category_anyof_mask =
					SCAN_IS_PRESENT | SCAN_IS_SWAPPED,
				.return_mask = SCAN_IS_PRESENT };

	ask.category_inverted = SCAN_IS_ZERO;
	ask.category_mask = SCAN_IS_ZERO;
	if (what == SCAN_PRIVATE) {
		ask.category_inverted |= SCAN_IS_FILE;
		ask.category_mask |= SCAN_IS_FILE;
	}
	return ask;
}

static int scan_by_ioctl(int fd, uint64_t at, uint64_t bytes,
			 enum scan_what what, struct ranges *found)
{
	struct scan_region few[SCAN_FEW], *regions = few;
	auto_free struct scan_region *many = NULL;
	struct scan_ask ask = scan_ask_for(what);
	uint64_t from = at;
	int count = 0, rc = 0;

	ask.vec_len = SCAN_FEW;
	while (rc >= 0 && from < at + bytes) {
		if (count == SCAN_FEW && !many) {
			many = regions = malloc(SCAN_REGIONS * sizeof(*many));
			if (!many)
				return -ENOMEM;
			ask.vec_len = SCAN_REGIONS;
		}

		ask.start = from;
		ask.end = at + bytes;
		ask.walk_end = 0;
		ask.vec = (uint64_t)(uintptr_t)regions;
		count = ioctl(fd, SCAN_IOCTL, &ask);
		if (count < 0)
			rc = -errno;
		for (int i = 0; rc >= 0 && i < count; i++)
			rc = ranges_add(found, regions[i].start - at,
					regions[i].end - regions[i].start);
		if (rc >= 0 && ask.walk_end <= from)
			break;
		from = ask.walk_end;
	}
	return rc;
}

/* Bits of a word of /proc/PID/pagemap.  It does not tell the zero page from
 * another one: who reads the bytes sees that they are zero. */
static bool scan_is(uint64_t word, enum scan_what what)
{
	bool present = word >> 63 & 1, swapped = word >> 62 & 1,
	     file = word >> 61 & 1;

	return (present || swapped) && (what == SCAN_TOUCHED || !file);
}

static int scan_by_words(int fd, uint64_t at, uint64_t bytes,
			 enum scan_what what, struct ranges *found)
{
	auto_free uint64_t *words = malloc(SCAN_WORDS * sizeof(*words));
	uint64_t pages = bytes / LAYER_PAGE, done = 0;
	int rc = words ? 0 : -ENOMEM;

	while (rc >= 0 && done < pages) {
		uint64_t count =
			pages - done < SCAN_WORDS ? pages - done : SCAN_WORDS;

		rc = fd_pread_all(fd, words, count * sizeof(*words),
				  (at / LAYER_PAGE + done) * sizeof(*words),
				  NULL);
		for (uint64_t i = 0; rc >= 0 && i < count; i++)
			if (scan_is(words[i], what))
				rc = ranges_add(found, (done + i) * LAYER_PAGE,
						LAYER_PAGE);
		done += count;
	}
	return rc;
}

static int scan_fd(int fd, uint64_t at, uint64_t bytes, enum scan_what what,
		   struct ranges *found)
{
	int rc = -ENOTTY;

	if (process_feature("pagemap_scan"))
		rc = scan_by_ioctl(fd, at, bytes, what, found);
	if (rc == -ENOTTY || rc == -EINVAL || rc == -ENOSYS)
		rc = scan_by_words(fd, at, bytes, what, found);
	return rc;
}

int scan_process(pid_t pid, uint64_t at, uint64_t bytes, enum scan_what what,
		 struct ranges *found, struct err *err)
{
	auto_close int fd = -1;
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open %s", path);
	rc = scan_fd(fd, at, bytes, what, found);
	return rc < 0 ? err_set(err, rc, "read %s", path) : 0;
}

int scan_own(int pagemap, const void *at, uint64_t bytes, enum scan_what what,
	     struct ranges *found, struct err *err)
{
	int rc = scan_fd(pagemap, (uintptr_t)at, bytes, what, found);

	return rc < 0 ? err_set(err, rc, "read this process's page tables") : 0;
}

bool scan_is_quick(void)
{
	auto_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	auto_ranges struct ranges none = { 0 };
	uint64_t page =
		(uint64_t)(uintptr_t)&none & ~(uint64_t)(LAYER_PAGE - 1);

	return fd >= 0 && process_feature("pagemap_scan") &&
	       scan_by_ioctl(fd, page, LAYER_PAGE, SCAN_PRIVATE, &none) >= 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A process's own pages are those that it wrote, however the kernel is asked;
 * what is read from it is what it has there. */
#include "base/fd.h"
#include "image/scan.h"
#include "lib/layers.h"
#include <signal.h>
#include <sys/prctl.h>

enum { PAGES = 24000, PART = 1000 };

enum kind { OF_FILE, OF_NOTHING };

/* A process that has touched its memory and now waits. */
struct child {
	pid_t pid;
	uint8_t *at; /* the same address here */
	bool written[PAGES], read[PAGES];
};

static void child_touch(const struct child *child)
{
	volatile uint8_t *at = child->at;

	for (int i = 0; i < PAGES; i++) {
		if (child->written[i])
			at[(size_t)i * LAYER_PAGE + i % LAYER_PAGE] =
				(uint8_t)(i | 1);
		else if (child->read[i])
			(void)at[(size_t)i * LAYER_PAGE];
	}
}

static void child_map(struct child *child, enum kind kind)
{
	auto_close int fd = -1;
	void *at;

	if (kind == OF_FILE) {
		fd = memfd_create("memory", MFD_CLOEXEC);
		for (int i = 0; i < PAGES; i++) {
			uint32_t first = (uint32_t)i + 1;

			CHECK(pwrite(fd, &first, sizeof(first),
				     (off_t)i * LAYER_PAGE) == sizeof(first));
		}
		CHECK(ftruncate(fd, (off_t)PAGES * LAYER_PAGE) == 0);
	}
	at = mmap(NULL, (size_t)PAGES * LAYER_PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | (kind == OF_FILE ? 0 : MAP_ANONYMOUS), fd, 0);
	CHECK(at != MAP_FAILED);
	/* No large pages, and no neighbours of what is read. */
	madvise(at, (size_t)PAGES * LAYER_PAGE, MADV_NOHUGEPAGE);
	madvise(at, (size_t)PAGES * LAYER_PAGE, MADV_RANDOM);
	child->at = at;
}

static void child_start(struct child *child, enum kind kind)
{
	int ends[2];
	char byte;

	child_map(child, kind);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	fflush(stdout);
	child->pid = fork();
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_touch(child);
		(void)!write(ends[1], "x", 1);
		for (;;)
			pause();
	}
	CHECK(read(ends[0], &byte, 1) == 1);
	close(ends[0]);
	close(ends[1]);
}

static void child_end(struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	munmap(child->at, (size_t)PAGES * LAYER_PAGE);
}

static void child_chances(struct child *child, uint64_t chances, int most)
{
	*child = (struct child){ .pid = -1 };
	for (int i = 0; i < PAGES; i++) {
		uint64_t what = chance_of(&chances, (uint64_t)most);

		child->written[i] = what == 0;
		child->read[i] = what == 1;
	}
}

static int scan(const struct child *child, int from, int count,
		enum scan_what what, bool *found)
{
	auto_ranges struct ranges ranges = { 0 };
	struct err err = { 0 };
	int rc = scan_process(
		child->pid,
		(uint64_t)(uintptr_t)child->at + (uint64_t)from * LAYER_PAGE,
		(uint64_t)count * LAYER_PAGE, what, &ranges, &err);

	if (rc < 0)
		printf("# %s\n", err.text);
	CHECK(rc >= 0);
	memset(found, 0, PAGES);
	for (size_t i = 0; i < ranges.count; i++) {
		uint64_t at = ranges.range[i].offset / LAYER_PAGE;
		uint64_t end = at + ranges.range[i].bytes / LAYER_PAGE;

		CHECK(ranges.range[i].offset % LAYER_PAGE == 0);
		CHECK(end <= (uint64_t)count && end > at);
		CHECK(i == 0 || ranges.range[i].offset >
					ranges.range[i - 1].offset +
						ranges.range[i - 1].bytes);
		for (; at < end && at < (uint64_t)count; at++)
			found[at] = true;
	}
	return rc;
}

static void check_private(const struct child *child, enum kind kind,
			  const bool *found, int from, int count, bool by_words)
{
	int wrong = 0;

	for (int i = 0; i < count; i++) {
		bool written = child->written[from + i];
		/* The zero page is no file's either, and words do not tell. */
		bool zero =
			kind == OF_NOTHING && by_words && child->read[from + i];

		wrong += found[i] != (written || zero);
	}
	CHECK_INT(wrong, 0);
}

static void check_touched(const struct child *child, enum kind kind,
			  const bool *found, bool by_words)
{
	int wrong = 0;

	for (int i = 0; i < PAGES; i++) {
		bool zero = kind == OF_NOTHING && !by_words;

		wrong += (child->written[i] || (child->read[i] && !zero)) &&
			 !found[i];
		wrong += zero && child->read[i] && found[i];
	}
	CHECK_INT(wrong, 0);
}

static void scan_child(enum kind kind, const char *without, int most)
{
	static struct child child;
	static bool found[PAGES];
	bool by_words = without || !scan_is_quick();

	child_chances(&child, 99 + (uint64_t)most, most);
	child_start(&child, kind);
	if (without)
		setenv("BROOD_WITHOUT", without, 1);
	scan(&child, 0, PAGES, SCAN_PRIVATE, found);
	check_private(&child, kind, found, 0, PAGES, by_words);
	scan(&child, PART, PART, SCAN_PRIVATE, found);
	check_private(&child, kind, found, PART, PART, by_words);
	scan(&child, PAGES - 1, 1, SCAN_PRIVATE, found);
	check_private(&child, kind, found, PAGES - 1, 1, by_words);
	scan(&child, 0, PAGES, SCAN_TOUCHED, found);
	check_touched(&child, kind, found, by_words);
	unsetenv("BROOD_WITHOUT");
	child_end(&child);
}

/* "most" 2: each page is written or read, in more pieces than are asked for
 * at once; 40: few are. */
TEST(pages_of_a_file)
{
	scan_child(OF_FILE, NULL, 2);
	scan_child(OF_FILE, NULL, 3);
	scan_child(OF_FILE, NULL, 40);
}

TEST(pages_of_a_file_by_words)
{
	scan_child(OF_FILE, "pagemap_scan", 2);
	scan_child(OF_FILE, "pagemap_scan", 3);
	scan_child(OF_FILE, "pagemap_scan", 40);
}

TEST(pages_of_nothing)
{
	scan_child(OF_NOTHING, NULL, 3);
	scan_child(OF_NOTHING, NULL, 40);
}

TEST(pages_of_nothing_by_words)
{
	scan_child(OF_NOTHING, "pagemap_scan", 3);
	scan_child(OF_NOTHING, "pagemap_scan", 40);
}

/* All and none of them, where one range is the answer. */
TEST(all_and_none)
{
	static struct child child;
	static bool found[PAGES];

	for (int all = 0; all < 2; all++) {
		child = (struct child){ .pid = -1 };
		memset(child.written, all, sizeof(child.written));
		child_start(&child, OF_FILE);
		for (int words = 0; words < 2; words++) {
			auto_ranges struct ranges ranges = { 0 };

			if (words)
				setenv("BROOD_WITHOUT", "pagemap_scan", 1);
			CHECK_INT(scan_process(child.pid,
					       (uint64_t)(uintptr_t)child.at,
					       (uint64_t)PAGES * LAYER_PAGE,
					       SCAN_PRIVATE, &ranges, NULL),
				  0);
			CHECK_INT(ranges.count, all);
			CHECK_INT(ranges_bytes(&ranges),
				  all ? (long long)PAGES * LAYER_PAGE : 0);
			scan(&child, 0, PAGES, SCAN_PRIVATE, found);
			check_private(&child, OF_FILE, found, 0, PAGES, words);
			unsetenv("BROOD_WITHOUT");
		}
		child_end(&child);
	}
}

/* What a capture does: the private pages of a process are its difference. */
TEST(memory_of_a_process)
{
	static struct child child;
	auto_ranges struct ranges ranges = { 0 };
	auto_memory struct memory before = memory_new(PAGES);
	auto_pages struct pages pages;
	struct source_memory before_at = { before.at };
	struct source old = source_of_memory(&before_at), now;
	struct source_process process;
	struct diff_counts counts;
	struct err err = { 0 };
	int wrong = 0, written = 0;

	child_chances(&child, 4, 20);
	child_start(&child, OF_FILE);
	memcpy(before.at, child.at, (size_t)PAGES * LAYER_PAGE);
	process = (struct source_process){ child.pid,
					   (uint64_t)(uintptr_t)child.at };
	now = source_of_process(&process);
	CHECK_INT(scan_process(child.pid, process.at,
			       (uint64_t)PAGES * LAYER_PAGE, SCAN_PRIVATE,
			       &ranges, &err),
		  0);
	CHECK_INT(pages_init(&pages, (uint64_t)PAGES * LAYER_PAGE, &err), 0);
	CHECK_INT(diff_pages(&now, &old, &ranges, &pages, &counts, &err), 0);
	for (int i = 0; i < PAGES; i++) {
		/* Where it wrote what was there already, nothing changed. */
		uint8_t was = before.at[(size_t)i * LAYER_PAGE +
					(size_t)i % LAYER_PAGE];
		bool changed = child.written[i] && was != (uint8_t)(i | 1);

		written += child.written[i];
		wrong += pages.state[i] != (changed ? PAGE_DATA : PAGE_SAME);
	}
	CHECK_INT(wrong, 0);
	CHECK_INT(counts.looked, written);
	child_end(&child);
	CHECK(now.read(now.context, 0, before.at, LAYER_PAGE, &err) < 0);
	CHECK(err.text[0]);
}

TEST(no_such_process)
{
	auto_ranges struct ranges ranges = { 0 };
	struct err err = { 0 };
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	CHECK(scan_process(pid, 0, LAYER_PAGE, SCAN_PRIVATE, &ranges, &err) <
	      0);
	CHECK(strstr(err.text, "/pagemap"));
	CHECK_INT(ranges.count, 0);
}

/* Addresses where nothing is mapped have no pages. */
TEST(nothing_mapped)
{
	void *at = mmap(NULL, 64 * LAYER_PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(at, 64 * LAYER_PAGE);
	for (int words = 0; words < 2; words++) {
		auto_ranges struct ranges ranges = { 0 };

		if (words)
			setenv("BROOD_WITHOUT", "pagemap_scan", 1);
		CHECK_INT(scan_process(getpid(), (uint64_t)(uintptr_t)at,
				       64 * LAYER_PAGE, SCAN_PRIVATE, &ranges,
				       NULL),
			  0);
		CHECK_INT(ranges.count, 0);
		unsetenv("BROOD_WITHOUT");
	}
}

TEST_MAIN

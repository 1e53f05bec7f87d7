/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages does an instance touch?  The first copy that ends by exit()
 * looks at its own page tables last of all and writes the answer to memory
 * that it shares with the template; copies of the pool then touch these pages
 * while they wait.  A page that only the copy has was written by it; a file's
 * page that is mapped was read, since fork copies no such entries.
 * It is a hint: nothing depends on its being right.
 *
 * Memory that is shared is nobody's while a program runs: a copy that may
 * still learn has it out of reach until its exit.  What was learned the
 * template checks and keeps for itself, and later copies share nothing. */
#include "launch/shim/shim.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum learn_state { LEARN_OPEN, LEARN_TAKEN, LEARN_DONE, LEARN_TOLD };
enum {
	LEARN_RANGES_MOST = 8192,
	LEARN_TEXT_MOST = 1 << 20,
	LEARN_PAGES_AT_ONCE = 1 << 16,
	LEARN_GAP_READ = 4,  /* pages between two ranges that are joined */
	LEARN_GAP_WRITE = 1, /* here each costs a copy */
};
#define LEARN_HOT_BYTES	  (sizeof(struct image_hot) * SHIM_HOT_MOST)
#define PAGEMAP_PRESENT	  (1ull << 63)
#define PAGEMAP_FILE	  (1ull << 61)
#define PAGEMAP_EXCLUSIVE (1ull << 56)

static void *learn_map(size_t len, int flags, int fd)
{
	long at = raw_6(mmap, NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	return at < 0 && at > -4096 ? NULL : (void *)at;
}

/* "START-END PERMS ..." of one line of /proc/self/maps. */
static void learn_line(const char *line)
{
	struct shim_range range;
	char *at;

	range.start = strtoull(line, &at, 16);
	if (*at != '-')
		return;
	range.end = strtoull(at + 1, &at, 16);
	if (at[0] != ' ' || at[1] != 'r' || at[4] != 'p' || strstr(at, "[v"))
		return;
	range.write = at[2] == 'w';
	if (shim.range_count < LEARN_RANGES_MOST)
		shim.range[shim.range_count++] = range;
}

static void learn_ranges(char *text, size_t room)
{
	int fd = (int)raw_4(openat, AT_FDCWD, "/proc/self/maps",
			    O_RDONLY | O_CLOEXEC, 0);
	size_t used = 0;
	long got;

	if (fd < 0)
		return;
	while (used < room - 1 &&
	       (got = raw_3(read, fd, text + used, room - 1 - used)) > 0)
		used += (size_t)got;
	raw_1(close, fd);
	text[used] = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL;
	     line = end + 1) {
		*end = 0;
		learn_line(line);
	}
}

/* In the template, before its first fork. */
void learn_prepare(void)
{
	char *text =
		learn_map(LEARN_TEXT_MOST, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	shim.range = learn_map(sizeof *shim.range * LEARN_RANGES_MOST,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1);
	shim.hot_fd = (int)raw_2(memfd_create, "brood-hot", MFD_CLOEXEC);
	if (!text || !shim.range || shim.hot_fd < 0 ||
	    raw_2(ftruncate, shim.hot_fd, LEARN_HOT_BYTES) < 0)
		return;
	shim.hot = learn_map(LEARN_HOT_BYTES, MAP_SHARED, shim.hot_fd);
	learn_ranges(text, LEARN_TEXT_MOST);
	raw_2(munmap, text, LEARN_TEXT_MOST);
	if (shim.hot)
		shim.learning =
			learn_map(SHIM_PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

enum learn_touch { TOUCH_NONE, TOUCH_READ, TOUCH_WRITTEN };

static enum learn_touch learn_touch(uint64_t entry, bool write)
{
	if (!(entry & PAGEMAP_PRESENT))
		return TOUCH_NONE;
	if (entry & PAGEMAP_FILE)
		return TOUCH_READ;
	return write && entry & PAGEMAP_EXCLUSIVE ? TOUCH_WRITTEN : TOUCH_NONE;
}

/* first: of the range that the page lies in; none reaches into the next. */
static void learn_add(uint32_t first, uint64_t page, enum learn_touch touch)
{
	struct shim_learning *learning = shim.learning;
	uint64_t addr = page * SHIM_PAGE;
	bool write = touch == TOUCH_WRITTEN;
	uint64_t gap = write ? LEARN_GAP_WRITE : LEARN_GAP_READ;

	if (learning->count > first) {
		struct image_hot *last = &shim.hot[learning->count - 1];

		if (last->write == write &&
		    addr - (last->addr + last->len) <= gap * SHIM_PAGE) {
			last->len = addr + SHIM_PAGE - last->addr;
			return;
		}
	}
	if (learning->count == SHIM_HOT_MOST)
		return;
	shim.hot[learning->count++] =
		(struct image_hot){ addr, SHIM_PAGE, write };
}

static void learn_range(int pagemap, uint64_t *entry,
			const struct shim_range *range)
{
	uint64_t first = range->start / SHIM_PAGE;
	uint64_t count = (range->end - range->start) / SHIM_PAGE;
	uint32_t hot = shim.learning->count;
	long got;

	/* Of a large reservation only the beginning is looked at. */
	if (count > LEARN_PAGES_AT_ONCE)
		count = LEARN_PAGES_AT_ONCE;
	got = raw_4(pread64, pagemap, entry, count * 8, first * 8);
	for (long i = 0; i < got / 8; i++) {
		enum learn_touch touch = learn_touch(entry[i], range->write);

		if (touch != TOUCH_NONE)
			learn_add(hot, first + (uint64_t)i, touch);
	}
}

static void learn_look(void)
{
	int fd = (int)raw_4(openat, AT_FDCWD, "/proc/self/pagemap",
			    O_RDONLY | O_CLOEXEC, 0);
	uint64_t *entry = learn_map(LEARN_PAGES_AT_ONCE * 8,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1);

	shim.learning->count = 0;
	if (fd >= 0 && entry) {
		for (int i = 0; i < shim.range_count; i++)
			learn_range(fd, entry, &shim.range[i]);
	}
	if (fd >= 0)
		raw_1(close, fd);
	if (entry)
		raw_2(munmap, entry, LEARN_PAGES_AT_ONCE * 8);
}

static bool learn_reach(int prot)
{
	return raw_3(mprotect, shim.learning, SHIM_PAGE, prot) >= 0 &&
	       raw_3(mprotect, shim.hot, LEARN_HOT_BYTES, prot) >= 0;
}

/* The exit handler that is called last, since it was set first of all: the
 * destructors of libraries touch many pages. */
static void learn_at_exit(int status, void *unused)
{
	int open = LEARN_OPEN;

	(void)status;
	(void)unused;
	if (!shim.learning || raw_0(getpid) != shim.launch.pid ||
	    !learn_reach(PROT_READ | PROT_WRITE) ||
	    !__atomic_compare_exchange_n(&shim.learning->state, &open,
					 LEARN_TAKEN, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	learn_look();
	__atomic_store_n(&shim.learning->state, LEARN_DONE, __ATOMIC_RELEASE);
}

void learn_watch(void)
{
	on_exit(learn_at_exit, NULL);
}

/* In a copy, while nobody waits for it: a stray write of the program is to
 * fault, as it would have in a plain start. */
void learn_hide(void)
{
	if (shim.learning)
		learn_reach(PROT_NONE);
}

void learn_prefault(void)
{
	for (uint32_t i = 0; i < shim.known_count; i++) {
		const struct image_hot *hot = &shim.known[i];

		raw_3(madvise, hot->addr, hot->len,
		      hot->write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	}
}

static bool learn_lies_in(const struct image_hot *hot,
			  const struct shim_range *range)
{
	return hot->addr >= range->start && hot->addr < range->end &&
	       hot->len && hot->len <= range->end - hot->addr &&
	       !(hot->addr % SHIM_PAGE) && !(hot->len % SHIM_PAGE) &&
	       (!hot->write || (hot->write == 1 && range->write));
}

/* A copy wrote it, and a copy runs somebody else's program.  Both lists
 * ascend; returns how many are good, at the front. */
static uint32_t learn_keep_good(void)
{
	uint32_t count = shim.learning->count, good = 0;
	int at = 0;

	if (count > SHIM_HOT_MOST)
		count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct image_hot hot = shim.hot[i];

		while (at < shim.range_count && shim.range[at].end <= hot.addr)
			at++;
		if (at < shim.range_count &&
		    learn_lies_in(&hot, &shim.range[at]))
			shim.hot[good++] = hot;
	}
	return good;
}

static void learn_tell(uint32_t count)
{
	struct control_head learned = { CONTROL_LEARNED, sizeof learned };

	if (shim.serving.alone)
		return;
	raw_2(ftruncate, shim.hot_fd, sizeof(struct image_hot) * count);
	packet_send(shim.control, &learned, sizeof learned, &shim.hot_fd, 1, 0);
}

/* In the template, once: what was learned is for the copies to come, and the
 * keeper gets it as well. */
void learn_report(void)
{
	uint32_t count;

	if (!shim.learning || __atomic_load_n(&shim.learning->state,
					      __ATOMIC_ACQUIRE) != LEARN_DONE)
		return;
	shim.learning->state = LEARN_TOLD;
	count = learn_keep_good();
	shim.known =
		learn_map(LEARN_HOT_BYTES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (shim.known) {
		memcpy(shim.known, shim.hot, sizeof *shim.known * count);
		shim.known_count = count;
	}
	raw_2(munmap, shim.hot, LEARN_HOT_BYTES);
	raw_2(munmap, shim.learning, SHIM_PAGE);
	shim.hot = NULL;
	shim.learning = NULL;
	learn_tell(count);
	raw_1(close, shim.hot_fd);
	shim.hot_fd = -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings that were given back, kept for whoever wants one of the same
 * length next: stacks and reservations of memories.  To map 8 GiB, open a
 * part, touch it and unmap all costs three times what it costs to exchange
 * the part that was used.  What is kept holds no page and no data. */
#include "vm/vm_internal.h"
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum { KEEP_MOST = 16 };
#define KEEP_OPEN_MOST (UINT64_C(64) << 20)

struct vm_kept {
	uint8_t *base;
	uint64_t len, open;
};

/* Of the process: the oldest first.  Nobody waits for the mutex, so that it
 * does no harm where a fork came while it was held. */
static struct {
	pthread_mutex_t mutex;
	int count;
	struct vm_kept kept[KEEP_MOST];
} vm_keep = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void vm_keep_remove(int at)
{
	vm_keep.count--;
	memmove(&vm_keep.kept[at], &vm_keep.kept[at + 1],
		(size_t)(vm_keep.count - at) * sizeof(struct vm_kept));
}

/* The one that came last, best one with as much open. */
static int vm_keep_find(uint64_t len, uint64_t open)
{
	int found = -1;

	for (int i = vm_keep.count - 1; i >= 0; i--) {
		if (vm_keep.kept[i].len != len)
			continue;
		if (vm_keep.kept[i].open == open)
			return i;
		if (found < 0)
			found = i;
	}
	return found;
}

static bool vm_keep_open(const struct vm_kept *kept, uint64_t open)
{
	if (kept->open < open)
		return mprotect(kept->base + kept->open, open - kept->open,
				PROT_READ | PROT_WRITE) == 0;
	return kept->open == open ||
	       mprotect(kept->base + open, kept->open - open, PROT_NONE) == 0;
}

uint8_t *vm_keep_take(uint64_t len, uint64_t open)
{
	struct vm_kept kept;
	int at;

	if (pthread_mutex_trylock(&vm_keep.mutex) != 0)
		return NULL;
	at = vm_keep_find(len, open);
	if (at >= 0) {
		kept = vm_keep.kept[at];
		vm_keep_remove(at);
	}
	pthread_mutex_unlock(&vm_keep.mutex);
	if (at < 0)
		return NULL;
	if (vm_keep_open(&kept, open))
		return kept.base;
	munmap(kept.base, kept.len);
	return NULL;
}

/* Fresh pages in all that was open. */
static bool vm_keep_clean(uint8_t *base, uint64_t open, bool has_files)
{
	if (open == 0)
		return true;
	if (open > KEEP_OPEN_MOST)
		return false;
	if (!has_files)
		return madvise(base, open, MADV_DONTNEED) == 0;
	return mmap(base, open, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		    0) != MAP_FAILED;
}

/* The oldest one goes where there is no room. */
static bool vm_keep_add(const struct vm_kept *kept, struct vm_kept *oldest)
{
	if (pthread_mutex_trylock(&vm_keep.mutex) != 0)
		return false;
	if (vm_keep.count == KEEP_MOST) {
		*oldest = vm_keep.kept[0];
		vm_keep_remove(0);
	}
	vm_keep.kept[vm_keep.count++] = *kept;
	pthread_mutex_unlock(&vm_keep.mutex);
	return true;
}

void vm_keep_give(uint8_t *base, uint64_t len, uint64_t open, bool has_files)
{
	struct vm_kept kept = { base, len, open }, oldest = { .base = NULL };

	if (!vm_keep_clean(base, open, has_files) ||
	    !vm_keep_add(&kept, &oldest))
		munmap(base, len);
	if (oldest.base)
		munmap(oldest.base, oldest.len);
}

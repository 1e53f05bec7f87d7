/* SPDX-License-Identifier: Apache-2.0 */
/* One object's file: found, judged, mapped.			CLAIM 1.10
 *
 * Nothing of it is believed before it is checked, in this order: who may
 * write it, its length, its header, its key, and (unless this user has seen
 * it before) its tables and its checksum.  Only then can its text be
 * executed. */
#include "base/fd.h"
#include "cache/cache_internal.h"
#include "cache/code_header.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void cache_file_sum(const uint8_t *image, uint64_t len,
			   uint8_t sum[SHA256_BYTES])
{
	struct code_header head;
	struct sha256 sha;

	memcpy(&head, image, sizeof(head));
	memset(head.sum, 0, sizeof(head.sum));
	sha256_start(&sha);
	sha256_add(&sha, &head, sizeof(head));
	sha256_add(&sha, image + sizeof(head), len - sizeof(head));
	sha256_end(&sha, sum);
}

const char *cache_file_verify(const uint8_t *image, uint64_t len)
{
	const struct code_header *head = (const void *)image;
	const char *why = code_header_check(image, len, len);
	uint8_t sum[SHA256_BYTES];

	if (why)
		return why;
	cache_file_sum(image, len, sum);
	if (memcmp(sum, head->sum, sizeof(sum)) != 0)
		return "its checksum is wrong";
	return code_header_check_tables(head);
}

/* Of the mapped item. */
static const char *cache_file_check(struct cache_item *item)
{
	const struct code_header *head = (const void *)item->object.image;
	uint64_t len = item->object.len;
	const char *why = code_header_check(head, len, len);

	if (why)
		return why;
	if (item->is_given)
		memcpy(item->object.key, head->key, sizeof(head->key));
	if (memcmp(head->key, item->object.key, sizeof(head->key)) != 0)
		return "it has another key";
	if ((head->options & ~(uint32_t)CODE_TAILS) != item->options ||
	    head->features & ~item->features)
		return "it has other options than its key";
	if (item->is_given)
		return NULL;
	if (cache_seen(item)) {
		cache_seen_use(item);
		return NULL;
	}
	item->cache->counts.verified++;
	why = cache_file_verify(item->object.image, len);
	if (!why)
		cache_seen_note(item);
	return why;
}

static enum cache_result cache_file_miss(struct cache_item *item,
					 enum cache_result result,
					 const char *why)
{
	cache_range_give(item);
	snprintf(item->object.why, sizeof(item->object.why), "%s", why);
	return result;
}

static enum cache_result cache_file_unmapped(struct cache_item *item,
					     const char *what)
{
	char why[128];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(errno));
	return cache_file_miss(item, CACHE_UNMAPPED, why);
}

/* CLAIM 1.11 1.13 */
static enum cache_result cache_file_map(struct cache_item *item, int fd,
					uint64_t len)
{
	const struct code_header *head;
	const char *why;
	uint64_t text_bytes;
	uint8_t *image;

	if (len < sizeof(*head) || len % CODE_PAGE)
		return cache_file_miss(item, CACHE_BROKEN,
				       "it is cut off, or no code object");
	image = cache_range_take(item->cache, item, len);
	if (!image)
		return cache_file_miss(item, CACHE_UNMAPPED,
				       "the range for code is full");
	if (mmap(image, len, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) ==
	    MAP_FAILED)
		return cache_file_unmapped(item, "map it");
	why = cache_file_check(item);
	if (why)
		return cache_file_miss(item, CACHE_BROKEN, why);
	head = (const void *)image;
	text_bytes = code_header_text_end(head) - head->text_at;
	/* Mapped so, not made so: where memory may not become executable, a
	 * file still may be mapped as a program is. */
	if (text_bytes && mmap(image + head->text_at, text_bytes,
			       PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED,
			       fd, (off_t)head->text_at) == MAP_FAILED)
		return cache_file_unmapped(item, "make its text executable");
	item->state = CACHE_MAPPED;
	return CACHE_HIT;
}

/* Half of the descriptors that the process may have are left to others; they
 * are given from the lowest one on, so that a number tells how many there
 * are. */
static void cache_file_keep(struct cache_item *item, int *fd)
{
	const struct code_header *head = (const void *)item->object.image;
	struct rlimit limit;

	if (head->page_count && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    fd_raise(fd, 3) >= 0 && (rlim_t)*fd < limit.rlim_cur / 2)
		item->object.fd = steal_fd(fd);
}

static enum cache_result cache_file_try(struct cache_item *item, int root,
					bool system)
{
	enum cache_result result;
	const char *why;
	struct stat st;
	auto_close int fd = root < 0 ? -1
				     : store_object_open(root, item->hex,
							 system, &st, &why);

	memset(&item->found, 0, sizeof(item->found));
	if (root < 0 || (fd < 0 && !why))
		return cache_file_miss(item, CACHE_ABSENT, "there is none");
	if (fd < 0)
		return cache_file_miss(item, CACHE_UNTRUSTED, why);
	file_stamp_of(&st, &item->found);
	item->found_system = system;
	result = cache_file_map(item, fd, (uint64_t)st.st_size);
	if (result == CACHE_HIT)
		cache_file_keep(item, &fd);
	return result;
}

/* Where no folder can be trusted, as in a container whose users are not the
 * host's: the one who set it up has looked at the object, and named it. */
enum cache_result cache_file_given(struct cache_item *item, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum cache_result result;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cache_file_miss(item, CACHE_ABSENT, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return cache_file_miss(item, CACHE_BROKEN,
				       "it is not a regular file");
	file_stamp_of(&st, &item->found);
	item->is_given = true;
	result = cache_file_map(item, fd, (uint64_t)st.st_size);
	if (result == CACHE_HIT)
		cache_file_keep(item, &fd);
	return result;
}

/* How many functions are optimised, by the header alone: whether the object may
 * be mapped is seen when it is. */
static uint32_t cache_file_worth(const struct cache_item *item, int root,
				 bool system)
{
	struct code_header head;
	const char *why;
	struct stat st;
	auto_close int fd =
		store_object_open(root, item->hex, system, &st, &why);

	if (fd < 0 || fd_pread_all(fd, &head, sizeof(head), 0, NULL) < 0 ||
	    code_header_check(&head, sizeof(head), (uint64_t)st.st_size))
		return 0;
	return head.optimised_count;
}

static bool cache_file_own_is_better(const struct cache_item *item)
{
	const struct cache *cache = item->cache;
	uint32_t worth = 0;

	if (cache->system >= 0 && cache->root >= 0)
		worth = cache_file_worth(item, cache->root, false);
	return worth && worth > cache_file_worth(item, cache->system, true);
}

/* CLAIM 1.9: the system's folder first, unless the own one has a better
 * object.  What is wrong there is told only when the own folder has nothing
 * either. */
enum cache_result cache_file_look(struct cache_item *item)
{
	enum cache_result first, own;
	char why[sizeof(item->object.why)];

	if (cache_file_own_is_better(item) &&
	    cache_file_try(item, item->cache->root, false) == CACHE_HIT)
		return CACHE_HIT;
	first = cache_file_try(item, item->cache->system, true);
	if (first == CACHE_HIT)
		return first;
	memcpy(why, item->object.why, sizeof(why));
	own = cache_file_try(item, item->cache->root, false);
	if (own != CACHE_ABSENT || first == CACHE_ABSENT)
		return own;
	memcpy(item->object.why, why, sizeof(why));
	return first;
}

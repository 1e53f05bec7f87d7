/* SPDX-License-Identifier: Apache-2.0 */
/* The range of addresses that is a cache's own.		CLAIM 1.2
 *
 * It is reserved once, without rights and without memory; objects are put
 * into its first gap that is large enough, with unused pages between them,
 * and leave it as reserved as before. */
#include "cache/cache_internal.h"
#include <errno.h>
#include <sys/mman.h>

enum { CACHE_RANGE_GAP = CODE_PAGE };
#define CACHE_RANGE_LEAST (UINT64_C(16) << 20)

static uint8_t *cache_range_reserve(void *at, uint64_t bytes)
{
	void *range = mmap(at, bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				   (at ? MAP_FIXED : 0),
			   -1, 0);

	return range == MAP_FAILED ? NULL : range;
}

/* Where addresses are limited a smaller one has to do. */
int cache_range_open(struct cache *cache, uint64_t bytes, struct err *err)
{
	bytes &= ~(uint64_t)(CODE_PAGE - 1);
	for (; bytes; bytes /= 2) {
		cache->range = cache_range_reserve(NULL, bytes);
		cache->range_bytes = cache->range ? bytes : 0;
		if (cache->range)
			return 0;
		if (bytes < CACHE_RANGE_LEAST)
			break;
	}
	return err_set(err, -ENOMEM, "reserve addresses for code");
}

/* The place in the list behind which there is room. */
static struct cache_item **cache_range_find(struct cache *cache, uint64_t len,
					    uint8_t **place)
{
	struct cache_item **link = &cache->items;
	uint8_t *at = cache->range, *end = at + cache->range_bytes;

	for (; *link; link = &(*link)->next) {
		uint8_t *image = (*link)->object.image;

		if (!image)
			continue;
		if (len <= (uint64_t)(image - at))
			break;
		at = image + (*link)->object.len + CACHE_RANGE_GAP;
		if (at > end)
			at = end;
	}
	*place = len <= (uint64_t)(end - at) ? at : NULL;
	return link;
}

uint8_t *cache_range_take(struct cache *cache, struct cache_item *item,
			  uint64_t len)
{
	struct cache_item **link = &cache->items;
	uint64_t room;
	uint8_t *at;

	if (!len || len % CODE_PAGE ||
	    __builtin_add_overflow(len, CACHE_RANGE_GAP, &room))
		return NULL;
	while (*link != item)
		link = &(*link)->next;
	*link = item->next;
	link = cache_range_find(cache, room, &at);
	item->next = *link;
	*link = item;
	if (at) {
		item->object.image = at;
		item->object.len = len;
	}
	return at;
}

void cache_range_give(struct cache_item *item)
{
	if (item->object.image)
		cache_range_reserve(item->object.image, item->object.len);
	item->object.image = NULL;
	item->object.len = 0;
	item->state = CACHE_NEW;
}

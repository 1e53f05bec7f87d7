/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the cache that this user has found right, in the system's
 * folder too: those have records of their own here. */
#include "cache/cache_internal.h"
#include <stdio.h>
#include <string.h>

static void cache_seen_key(const struct cache_item *item, char key[CACHE_LINK])
{
	snprintf(key, CACHE_LINK, "%s%s", item->hex,
		 item->found_system ? ".s" : "");
}

/* By an object of this process, where there is no folder to keep it in. */
static bool cache_seen_here(const struct cache_item *item)
{
	for (const struct cache_item *other = item->cache->items; other;
	     other = other->next)
		if (other != item && other->state == CACHE_MAPPED &&
		    memcmp(&other->found, &item->found, sizeof(item->found)) ==
			    0)
			return true;
	return false;
}

bool cache_seen(const struct cache_item *item)
{
	char key[CACHE_LINK];

	cache_seen_key(item, key);
	if (item->cache->root >= 0 &&
	    store_seen(item->cache->root, key, &item->found))
		return true;
	return cache_seen_here(item);
}

void cache_seen_note(const struct cache_item *item)
{
	char key[CACHE_LINK];

	cache_seen_key(item, key);
	if (item->cache->root >= 0)
		store_seen_note(item->cache->root, key, &item->found,
				item->name);
}

void cache_seen_use(const struct cache_item *item)
{
	char key[CACHE_LINK];

	cache_seen_key(item, key);
	if (item->cache->root >= 0)
		store_seen_use(item->cache->root, key);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, and the index that spares hashing a module's file again.
 *
 * The index says: the file of this stamp (device, inode, size, times) had
 * this hash.  It holds as long as every change of the file changes its stamp:
 *
 *  1. The stamp is taken before the bytes are read and must be the same
 *     after.
 *  2. A change in the same tick of the clock as the last one may leave the
 *     times as they are: stamps younger than CACHE_RACY_NS are not relied on.
 *  3. Who maps a file and writes there can change it without a new time:
 *     only files that nobody else may write are in the index.
 *
 * Where the index is wrong nevertheless, a key is found that has no object;
 * then the bytes are hashed, and the record goes. */
#include "base/clock.h"
#include "base/fd.h"
#include "cache/cache_internal.h"
#include "cache/engine_id.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CACHE_INDEX_LEAST = 64 * 1024 }; /* hashing fewer is as fast */
#define CACHE_RACY_NS UINT64_C(2000000000)
#define CACHE_ENGINE  "brood code 1 " CACHE_ENGINE_ID

const uint8_t *cache_key_of(const uint8_t hash[SHA256_BYTES], uint32_t options,
			    uint32_t features, const char *init,
			    uint8_t key[CODE_KEY_BYTES])
{
	uint32_t words[3] = { options & ~(uint32_t)CODE_TAILS, features,
			      CODE_VERSION };
	struct sha256 sha;

	sha256_start(&sha);
	sha256_add(&sha, CACHE_ENGINE, sizeof(CACHE_ENGINE));
	sha256_add(&sha, hash, SHA256_BYTES);
	sha256_add(&sha, words, sizeof(words));
	if (init)
		sha256_add(&sha, init, strlen(init));
	sha256_end(&sha, key);
	return key;
}

static void cache_key_set(struct cache_item *item)
{
	cache_key_of(item->hash, item->options, item->features, item->init,
		     item->object.key);
	store_hex(item->object.key, CODE_KEY_BYTES, item->hex);
}

static void cache_key_hash(struct cache_item *item,
			   const struct cache_request *ask)
{
	sha256_of(ask->bytes, ask->len, item->hash);
	item->cache->counts.hashed++;
	item->hash_told = false;
}

/* May the stamp stand for the bytes? */
static bool cache_key_is_stamped(struct cache_item *item,
				 const struct cache_request *ask)
{
	struct stat st;
	uint64_t now;

	if (ask->fd < 0 || ask->len < CACHE_INDEX_LEAST ||
	    fstat(ask->fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    !store_trusts(&st, false))
		return false;
	file_stamp_of(&st, &item->stamp);
	now = clock_wall_ns();
	return memcmp(&item->stamp, &ask->stamp, sizeof(ask->stamp)) == 0 &&
	       item->stamp.size == ask->len &&
	       item->stamp.mtime_ns + CACHE_RACY_NS < now &&
	       item->stamp.ctime_ns + CACHE_RACY_NS < now;
}

static void cache_key_index_name(const struct cache_item *item,
				 char name[CACHE_LINK])
{
	uint8_t sum[SHA256_BYTES];
	char hex[CACHE_HEX + 1];

	sha256_of(&item->stamp, sizeof(item->stamp), sum);
	store_hex(sum, SHA256_BYTES, hex);
	snprintf(name, CACHE_LINK, "index/%s", hex);
}

static bool cache_key_from_index(struct cache_item *item)
{
	char name[CACHE_LINK], hex[CACHE_HEX + 2];
	ssize_t len;

	if (!item->stamped || item->cache->root < 0)
		return false;
	cache_key_index_name(item, name);
	len = readlinkat(item->cache->root, name, hex, sizeof(hex) - 1);
	if (len < 0)
		return false;
	hex[len] = 0;
	if (!store_is_name(hex)) {
		unlinkat(item->cache->root, name, 0);
		return false;
	}
	store_from_hex(hex, item->hash);
	item->hash_told = true;
	return true;
}

bool cache_key_make(struct cache_item *item, const struct cache_request *ask)
{
	item->stamped = cache_key_is_stamped(item, ask);
	if (!cache_key_from_index(item)) {
		if (!ask->bytes)
			return false;
		cache_key_hash(item, ask);
	}
	cache_key_set(item);
	return true;
}

bool cache_key_again(struct cache_item *item, const struct cache_request *ask)
{
	uint8_t told[SHA256_BYTES];
	char name[CACHE_LINK];

	if (!item->hash_told || !ask->bytes)
		return false;
	memcpy(told, item->hash, sizeof(told));
	cache_key_hash(item, ask);
	if (memcmp(told, item->hash, sizeof(told)) == 0)
		return false;
	cache_key_index_name(item, name);
	unlinkat(item->cache->root, name, 0);
	cache_key_set(item);
	return true;
}

/* Nothing depends on it. */
void cache_key_remember(const struct cache_item *item)
{
	char name[CACHE_LINK], hex[CACHE_HEX + 1];
	int root = item->cache->root;

	if (!item->stamped || item->hash_told || root < 0)
		return;
	cache_key_index_name(item, name);
	store_hex(item->hash, SHA256_BYTES, hex);
	if (symlinkat(hex, root, name) < 0 && errno == ENOENT &&
	    mkdirat(root, "index", 0700) == 0)
		(void)!symlinkat(hex, root, name);
}

static const char cache_key_small[] = "index/.small";

void cache_key_note_small(const struct cache_item *item)
{
	const struct code_header *head =
		(const struct code_header *)item->object.image;
	int root = item->cache->root, fd;

	if (!head->optimised_count || head->module_bytes >= CACHE_SMALL)
		return;
	if (mkdirat(root, "index", 0700) < 0 && errno != EEXIST)
		return;
	fd = openat(root, cache_key_small,
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	fd_close(&fd);
}

bool cache_has_small(const struct cache_options *options)
{
	auto_free char *folder = cache_folder(options, NULL);
	auto_free char *path =
		folder ? file_join(folder, cache_key_small) : NULL;

	return path && access(path, F_OK) == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's code cache, from its begin to its end. */
#include "cache/cache.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cache/cache_internal.h"
#include "cache/code_header.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *cache_result_name(enum cache_result result)
{
	static const char *const names[CACHE_RESULTS] = {
		[CACHE_HIT] = "hit",	   [CACHE_OFF] = "off",
		[CACHE_ABSENT] = "absent", [CACHE_UNTRUSTED] = "untrusted",
		[CACHE_BROKEN] = "broken", [CACHE_UNMAPPED] = "unmapped",
	};

	return result < CACHE_RESULTS ? names[result] : "unknown";
}

uint64_t cache_limit(const struct cache_options *options)
{
	const char *told = secure_getenv("BROOD_CACHE_SIZE");
	static const char units[] = "kMGT";
	uint64_t bytes;
	char *end;
	const char *unit;

	if (options && options->most_bytes)
		return options->most_bytes;
	if (!told || *told < '0' || *told > '9')
		return CACHE_MOST;
	errno = 0;
	bytes = strtoull(told, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || (*end && (!unit || end[1])) ||
	    (unit &&
	     __builtin_mul_overflow(
		     bytes, UINT64_C(1) << 10 * (unit - units + 1), &bytes)))
		return CACHE_MOST;
	return bytes;
}

static void cache_off(struct cache *cache, const struct err *err)
{
	snprintf(cache->why, sizeof(cache->why), "%.127s", err->text);
	free(cache->folder);
	cache->folder = NULL;
	fd_close(&cache->system);
}

/* CLAIM 1.3 */
static void cache_find_place(struct cache *cache,
			     const struct cache_options *options)
{
	struct err err = { 0 };
	int rc;

	cache->folder = cache_folder(options, &err);
	if (!cache->folder) {
		cache_off(cache, &err);
		return;
	}
	cache->system = store_folder_open(cache_system_folder(), true, NULL);
	if (cache->system < 0)
		cache->system = -1;
	rc = cache_place_use(cache, false, &err);
	if (rc < 0 && rc != -ENOENT)
		cache_off(cache, &err);
}

/* CLAIM 1.1 1.8 */
int cache_open(struct cache **made, const struct cache_options *options,
	       struct err *err)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	uint64_t range = options ? options->range_bytes : 0;
	int rc;

	*made = NULL;
	if (!cache)
		return err_set(err, -ENOMEM, "open the code cache");
	cache->root = cache->system = -1;
	rc = cache_range_open(cache, range ? range : CACHE_RANGE, err);
	if (rc < 0) {
		free(cache);
		return rc;
	}
	cache->most_bytes = cache_limit(options);
	cache_find_place(cache, options);
	*made = cache;
	return 0;
}

static struct cache_item *cache_item_of(struct cache_object *object)
{
	return (struct cache_item *)object;
}

void cache_close(struct cache *cache)
{
	if (!cache)
		return;
	while (cache->items)
		cache_drop(&cache->items->object);
	munmap(cache->range, cache->range_bytes);
	fd_close(&cache->root);
	fd_close(&cache->system);
	free(cache->folder);
	free(cache);
}

char *cache_path(const struct cache_object *object)
{
	const struct cache_item *item = (const struct cache_item *)object;
	const char *folder = item->found_system ? cache_system_folder()
						: item->cache->folder;

	return folder && !item->is_given ? file_join(folder, item->hex) : NULL;
}

void cache_drop(struct cache_object *object)
{
	struct cache_item *item = cache_item_of(object), **link;

	if (!object)
		return;
	cache_published(object, NULL);
	cache_range_give(item);
	fd_close(&item->lock);
	fd_close(&object->fd);
	for (link = &item->cache->items; *link != item; link = &(*link)->next)
		;
	*link = item->next;
	free(item->init);
	free(item);
}

void cache_counts(const struct cache *cache, struct cache_counts *counts)
{
	*counts = cache->counts;
}

/* ---- finding -------------------------------------------------------------- */

static void cache_name(struct cache_item *item, const char *name)
{
	size_t len = 0;

	for (name = name ? file_base(name) : ""; *name; name++)
		if (len + 1 < sizeof(item->name))
			item->name[len++] =
				*name < ' ' || *name == 127 ? '?' : *name;
}

static struct cache_item *cache_new_item(struct cache *cache,
					 const struct cache_request *request)
{
	struct cache_item *item = calloc(1, sizeof(*item));

	if (!item)
		return NULL;
	if (request->init && !(item->init = strdup(request->init))) {
		free(item);
		return NULL;
	}
	item->cache = cache;
	item->lock = item->object.fd = -1;
	item->options = request->options & ~(uint32_t)CODE_TAILS;
	item->features = request->features;
	cache_name(item, request->name);
	item->next = cache->items;
	cache->items = item;
	return item;
}

/* Some times as long as the own compiling would take: the other one may have
 * begun late, and with many at once all are slow.  One that was stopped must
 * not hold up the others for ever. */
static int cache_patience_ms(const struct cache_request *request)
{
	size_t ms = 100 + request->len / 4096;

	return ms < CACHE_PATIENCE_MS ? (int)ms : CACHE_PATIENCE_MS;
}

/* Is there another file now than the one that was found wrong? */
static bool cache_has_come(const struct cache_item *item)
{
	struct stat st;

	return fstatat(item->cache->root, item->hex, &st,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_ino != item->found.ino || st.st_dev != item->found.dev);
}

/* Who gets the key's lock compiles and publishes.  Who does not waits for
 * who did. */
static enum cache_result cache_take_turn(struct cache_item *item,
					 const struct cache_request *request)
{
	uint64_t deadline = clock_deadline(cache_patience_ms(request));
	enum cache_result result = item->object.result;
	int ms = 1;

	while (cache_publish_lock(item) == -EWOULDBLOCK) {
		if (clock_left_ms(deadline) == 0)
			return result;
		clock_sleep_ms(ms);
		ms = ms < 8 ? 2 * ms : ms;
		if (!cache_has_come(item))
			continue;
		result = cache_file_look(item);
		if (result != CACHE_HIT)
			continue;
		item->cache->counts.waited++;
		return result;
	}
	/* It may have come between the look and the lock. */
	if (item->lock >= 0 && cache_has_come(item))
		result = cache_file_look(item);
	if (result == CACHE_HIT)
		fd_close(&item->lock);
	return result;
}

static enum cache_result cache_find(struct cache_item *item,
				    const struct cache_request *request)
{
	enum cache_result result;

	item->object.result = CACHE_ABSENT;
	if (!cache_key_make(item, request))
		return CACHE_ABSENT;
	result = cache_file_look(item);
	if (result != CACHE_HIT && cache_key_again(item, request))
		result = cache_file_look(item);
	item->object.result = result;
	if (request->bytes && result != CACHE_HIT && result != CACHE_UNMAPPED)
		result = cache_take_turn(item, request);
	if (result == CACHE_HIT)
		cache_key_remember(item);
	return result;
}

static void cache_tell(const struct cache_item *item)
{
	const struct cache_object *object = &item->object;

	if (object->result == CACHE_HIT)
		log_event("cache.map",
			  "\"key\":\"%s\",\"at\":%lu,\"bytes\":%lu", item->hex,
			  (unsigned long)(uintptr_t)object->image,
			  (unsigned long)object->len);
	else
		log_event("cache.miss",
			  "\"key\":\"%s\",\"reason\":\"%s\",\"why\":\"%s\"",
			  item->hex, cache_result_name(object->result),
			  object->why);
}

/* CLAIM 1.4 1.9 */
enum cache_result cache_get(struct cache *cache,
			    const struct cache_request *request,
			    struct cache_object **object)
{
	struct cache_item *item = cache_new_item(cache, request);

	*object = item ? &item->object : NULL;
	if (!item)
		return CACHE_UNMAPPED;
	if (request->given) {
		item->object.result = cache_file_given(item, request->given);
	} else if (cache->folder) {
		item->object.result = cache_find(item, request);
	} else {
		item->object.result = CACHE_OFF;
		snprintf(item->object.why, sizeof(item->object.why), "%s",
			 cache->why);
	}
	cache->counts.results[item->object.result]++;
	cache_tell(item);
	return item->object.result;
}

/* ---- making --------------------------------------------------------------- */

/* The same module's once more. */
static struct cache_item *cache_item_again(const struct cache_item *old)
{
	const struct cache_request request = { .options = old->options,
					       .features = old->features,
					       .init = old->init,
					       .name = old->name };
	struct cache_item *item = cache_new_item(old->cache, &request);

	if (!item)
		return NULL;
	memcpy(item->object.key, old->object.key, sizeof(item->object.key));
	memcpy(item->hex, old->hex, sizeof(item->hex));
	memcpy(item->hash, old->hash, sizeof(item->hash));
	item->stamp = old->stamp;
	item->stamped = old->stamped;
	item->hash_told = old->hash_told;
	item->replaces = true;
	return item;
}

static uint32_t cache_worth(const struct cache_item *item)
{
	const struct code_header *head = (const void *)item->object.image;

	return head ? head->optimised_count : 0;
}

/* With the lock it has its turn: is there a better one already? */
static int cache_replace_begin(struct cache_item *item,
			       const struct cache_item *old)
{
	int rc = cache_publish_lock(item);

	if (rc < 0)
		return rc;
	item->object.result = cache_file_look(item);
	if (item->object.result == CACHE_HIT &&
	    cache_worth(item) > cache_worth(old)) {
		fd_close(&item->lock);
		return 0;
	}
	cache_range_give(item);
	fd_close(&item->object.fd);
	item->object.result = CACHE_ABSENT;
	snprintf(item->object.why, sizeof(item->object.why),
		 "it is to be replaced");
	return 0;
}

int cache_replace(struct cache_object *old, struct cache_object **object,
		  struct err *err)
{
	struct cache_item *item, *from = cache_item_of(old);
	int rc;

	*object = NULL;
	if (!from->cache->folder)
		return err_set(err, -ENOENT, "%s", from->cache->why);
	item = cache_item_again(from);
	if (!item)
		return err_set(err, -ENOMEM, "replace code");
	rc = cache_replace_begin(item, from);
	if (rc == -EWOULDBLOCK)
		err_set(err, rc, "another replaces the same code");
	else if (rc < 0 && err)
		*err = item->err;
	if (rc < 0)
		cache_drop(&item->object);
	else
		*object = &item->object;
	return rc;
}

/* CLAIM 1.6 */
int cache_reserve(struct cache_object *object, uint64_t len, struct err *err)
{
	struct cache_item *item = cache_item_of(object);

	if (item->state != CACHE_NEW)
		return err_set(err, -EINVAL, "the code has its place already");
	if (!cache_range_take(item->cache, item, len))
		return err_set(err, -ENOMEM,
			       "the range for code has no room for %lu bytes",
			       (unsigned long)len);
	if (mprotect(object->image, len, PROT_READ | PROT_WRITE) < 0) {
		int code = -errno;

		cache_range_give(item);
		return err_set(err, code, "memory for code");
	}
	item->state = CACHE_RESERVED;
	return 0;
}

int cache_seal(struct cache_object *object, struct err *err)
{
	struct cache_item *item = cache_item_of(object);
	struct code_header *head = (void *)object->image;
	const char *why;

	if (item->state != CACHE_RESERVED)
		return err_set(err, -EINVAL, "there is no code to seal");
	memcpy(head->key, object->key, sizeof(head->key));
	memset(head->sum, 0, sizeof(head->sum));
	why = code_header_check(head, object->len, object->len);
	if (!why)
		why = code_header_check_tables(head);
	if (why)
		return err_set(err, -EBADMSG, "compiled code: %s", why);
	if (mprotect(object->image, head->text_at, PROT_READ) < 0 ||
	    mprotect(object->image + head->text_at,
		     code_header_text_end(head) - head->text_at,
		     PROT_READ | PROT_EXEC) < 0 ||
	    mprotect(object->image + code_header_text_end(head),
		     object->len - code_header_text_end(head), PROT_READ) < 0)
		return err_set(err, -errno, "make code executable");
	item->state = CACHE_SEALED;
	return 0;
}

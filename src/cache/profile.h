/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles beside the objects of a cache (brood/profile_format.h).
 *
 *	cache_profile_add(object, ticks, count, &profile, &err);
 *	cache_profile_tell(&profile, optimised, &hot, &err);
 *	cache_profile_fini(&profile);
 *
 * A profile is of a key, and lies in the user's own folder, also where the
 * object is the system's.  It goes when its object does.  Who cannot have its
 * lock soon goes without. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "brood/profile_format.h"
#include "cache/cache.h"

enum {
	/* Where a profile becomes larger all of it is halved: what was hot
	 * long ago fades. */
	CACHE_PROFILE_MOST = 1 << 18, /* ticks, some 17 minutes */
	CACHE_PROFILE_HOT = 98,	      /* percent of the time that are hot */
};

struct cache_profile {
	struct profile_row *rows; /* malloced, ascending */
	uint32_t count;
	uint32_t function_count;
	uint64_t total, tried;
};
void cache_profile_fini(struct cache_profile *profile);

/* From a file's bytes, which may be anything.  NULL: it is one of this key,
 * and filled in; else why not, and it is empty.  Without memory too. */
const char *cache_profile_read(struct cache_profile *profile, const void *bytes,
			       size_t len, const uint8_t key[CODE_KEY_BYTES]);
void cache_profile_write(const struct cache_profile *profile,
			 const uint8_t key[CODE_KEY_BYTES], struct buf *out);
/* Adds ticks[count] of the module's own functions; -EINVAL: it is of another
 * number of functions. */
int cache_profile_merge(struct cache_profile *profile, const uint32_t *ticks,
			uint32_t count, struct err *err);

/* Of an object: 0, -ENOENT: there is none that can be believed. */
int cache_profile_get(const struct cache_object *object,
		      struct cache_profile *profile);
/* Merges what a run of the object has found into its file.  "profile" is what
 * is there then, for the caller, and empty on failure. */
int cache_profile_add(struct cache_object *object, const uint32_t *ticks,
		      uint32_t count, struct cache_profile *profile,
		      struct err *err);
/* Notes that it is tried now to optimise what is hot. */
int cache_profile_try(const char *folder, const char *key, struct err *err);
int cache_profile_remove(const char *folder, const char *key, struct err *err);

/* Of as few functions as have CACHE_PROFILE_HOT percent of the time, how many
 * are optimised.  "optimised": the object's bits, NULL: none is set. */
int cache_profile_tell(const struct cache_profile *profile,
		       const uint8_t *optimised, struct cache_hot *hot,
		       struct err *err);

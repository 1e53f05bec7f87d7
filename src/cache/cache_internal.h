/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of src/cache share.  A folder of code:
 *
 *	KEY		an object, 0444; KEY has 64 digits
 *	KEY.profile	where its runs have spent their time (cache/profile.h)
 *	seen/KEY	a link whose text is the stamp of an object that was
 *			found right, and the module's name: "STAMP NAME"; its
 *			own time is when the object was used last, to the day
 *	seen/KEY.s	the same for an object of the system's folder
 *	index/STAMP	a link whose text is the hash of the module file that
 *			has this stamp
 *	lock		its first byte is locked by who removes objects, the
 *			one at 1 + N by who compiles a key that begins with N,
 *			the one 2^32 behind that by who is to replace it, the
 *			next one by who adds to its profile; it says when the
 *			folder was looked through last
 *	.new.PID.N	a file that is being written, where the system has no
 *			unnamed ones; its writer has it locked
 *
 * Links are made whole in one step and read in one: they serve as records
 * that no crash can tear. */
#pragma once
#include "base/sha256.h"
#include "cache/cache.h"
#include "store/store.h"
#include <pthread.h>
#include <sys/stat.h>

enum { CACHE_HEX = STORE_HEX, CACHE_NAME = 64, CACHE_LINK = STORE_TEXT };

struct cache {
	char *folder;  /* NULL: off */
	char why[128]; /* it is off */
	int root;      /* the folder, -1 while it is not there */
	int system;    /* -1: none */
	uint64_t most_bytes;
	uint8_t *range;
	uint64_t range_bytes;
	struct cache_item *items; /* by address, those without one first */
	struct cache_counts counts;
};

enum cache_state { CACHE_NEW, CACHE_RESERVED, CACHE_SEALED, CACHE_MAPPED };

struct cache_item {
	struct cache_object object; /* first: the caller's view */
	struct cache *cache;
	struct cache_item *next;
	enum cache_state state;
	uint32_t options, features;
	char *init; /* a snapshot's function, or NULL */
	char hex[CACHE_HEX + 1], name[CACHE_NAME];
	/* The module. */
	uint8_t hash[SHA256_BYTES];
	struct file_stamp stamp;
	bool stamped;	/* the stamp is the module's, and may be relied on */
	bool hash_told; /* by the index */
	/* The file that was found, wrong or right. */
	struct file_stamp found;
	bool found_system;
	bool is_given; /* and believed */
	/* Publishing. */
	bool replaces;
	int lock; /* of this key, -1: another has it, or none is wanted */
	pthread_t thread;
	bool running, done;
	int published; /* 0, or the error */
	struct err err;
};

/* cache_place.c: where */
int cache_place_use(struct cache *cache, bool make, struct err *err);

/* cache_key.c: names */
bool cache_key_make(struct cache_item *item, const struct cache_request *ask);
/* The hash of the index was wrong, or may be: from the bytes.  Returns
 * whether the key is another one now. */
bool cache_key_again(struct cache_item *item, const struct cache_request *ask);
void cache_key_remember(const struct cache_item *item);
/* That a small module is optimised, for cache_has_small. */
void cache_key_note_small(const struct cache_item *item);
const uint8_t *cache_key_of(const uint8_t hash[SHA256_BYTES], uint32_t options,
			    uint32_t features, const char *init,
			    uint8_t key[CODE_KEY_BYTES]);

/* cache_range.c: addresses */
int cache_range_open(struct cache *cache, uint64_t bytes, struct err *err);
uint8_t *cache_range_take(struct cache *cache, struct cache_item *item,
			  uint64_t len);
void cache_range_give(struct cache_item *item);

/* cache_file.c: one object's file */
enum cache_result cache_file_look(struct cache_item *item);
enum cache_result cache_file_given(struct cache_item *item, const char *path);
const char *cache_file_verify(const uint8_t *image, uint64_t len);

/* cache_seen.c: what was found right */
bool cache_seen(const struct cache_item *item);
void cache_seen_note(const struct cache_item *item);
void cache_seen_use(const struct cache_item *item);

/* cache_publish.c */
enum { CACHE_PATIENCE_MS = 10000 }; /* with another's publishing */
int cache_publish_lock(struct cache_item *item);
void cache_publish_run(struct cache_item *item);

/* cache_lock.c: bytes of the folder's lock file */
#define CACHE_LOCK_PLACES (INT64_C(1) << 32)
off_t cache_lock_place(const uint8_t key[CODE_KEY_BYTES]);

/* cache_profile.c: beside an object */
enum { CACHE_PROFILE_NAME = CACHE_HEX + sizeof(".profile") };
struct cache_profile;
void cache_profile_name(const char *hex, char name[CACHE_PROFILE_NAME]);
const char *cache_profile_load(int root, const char *hex,
			       struct cache_profile *profile);

/* cache_sweep.c: after a publish */
void cache_sweep(struct cache *cache, const char *but, uint64_t bytes);

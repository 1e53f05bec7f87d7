/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled code, shared: a module is compiled once, kept in a file, and
 * mapped from there by every VM that runs it.
 *
 *	cache_open(&cache, &options, &err);
 *	if (cache_get(cache, &request, &object) != CACHE_HIT) {
 *		cache_reserve(object, jit_image_bytes(&link), &err);
 *		jit_image_write(&link, object->image);
 *		cache_seal(object, &err);
 *		cache_publish(object);
 *	}
 *	... object->image is mapped, its text can be executed ...
 *	cache_close(cache);
 *
 *  1. A cache belongs to one VM and has a range of addresses of its own, in
 *     which all of its objects lie.  Nothing there can be written and
 *     executed at once.
 *  2. An object's name is its key, a hash of the module's bytes, the engine
 *     that made it, options and CPU features.  What does not fit has another
 *     key, and is never looked at.
 *  3. What is found is run only when it belongs to this user (or to root, in
 *     the system's folder), nobody else could have written it, its header
 *     holds and its checksum was right when this user first mapped it.  All
 *     else is a miss that has a reason; it is never an error.
 *  4. A file is complete when it gets its name, and never changed after.
 *     Removing it while others map it harms nobody: they keep its pages.
 *     A better one of the same key may take its name (cache_replace).
 *  5. Publishing is done by a thread behind the run, which cache_close waits
 *     for.  Of those who miss the same key at once one compiles and
 *     publishes; the others wait for it, for some times as long as their
 *     own compiling would take.
 *
 * One thread at a time uses a cache and its objects. */
#pragma once
#include "base/err.h"
#include "base/file.h"
#include "brood/code_format.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_options {
	/* The folder, or "off"; NULL: what BROOD_CACHE says, or
	 * $XDG_CACHE_HOME/brood/code. */
	const char *place;
	uint64_t range_bytes; /* 0: CACHE_RANGE */
	/* What all objects together may have; 0: what BROOD_CACHE_SIZE says,
	 * or CACHE_MOST. */
	uint64_t most_bytes;
};
#define CACHE_RANGE (UINT64_C(1) << 30)
#define CACHE_MOST  (UINT64_C(2) << 30)
enum { CACHE_AGE_DAYS = 90 };

enum cache_result {
	CACHE_HIT,
	CACHE_OFF,	 /* told so, or there is no folder for it */
	CACHE_ABSENT,	 /* no object of this key */
	CACHE_UNTRUSTED, /* somebody else could have written it */
	CACHE_BROKEN,	 /* its length, header, tables or checksum */
	CACHE_UNMAPPED,	 /* the system did not map it */
	CACHE_RESULTS
};
const char *cache_result_name(enum cache_result result); /* "hit", "off" .. */

struct cache_counts {
	uint64_t results[CACHE_RESULTS];
	uint64_t waited;   /* misses that another's compiling made hits */
	uint64_t hashed;   /* modules whose bytes were read for their hash */
	uint64_t verified; /* objects whose checksum was computed */
	uint64_t published;
};

/* What the code is wanted for. */
struct cache_request {
	/* The module's, until cache_get is back.  NULL: only the stamp is
	 * known; then nothing but what the index tells of it is looked for,
	 * and nobody is waited for. */
	const void *bytes;
	size_t len;
	/* The file that they were read from, and its stamp from before they
	 * were read: spares hashing them next time.  -1: none. */
	int fd;
	struct file_stamp stamp;
	const char *name;  /* for lists, NULL: none */
	uint32_t options;  /* bits of enum code_option, but TAILS */
	uint32_t features; /* bits of enum code_feature */
	/* The snapshot that this function leaves; NULL: code. */
	const char *init;
	/* An object's file that is believed as it is: who names it answers for
	 * it, and no folder is looked into.  Bytes are not needed.  NULL: none. */
	const char *given;
};

struct cache;
struct cache_object {
	/* NULL until it is mapped or reserved. */
	uint8_t *image;
	uint64_t len;
	uint8_t key[CODE_KEY_BYTES];
	enum cache_result result;
	/* The file of a hit that has pages, where the process has descriptors
	 * to spare; -1: none.  They are mapped copy-on-write from it. */
	int fd;
	char why[128]; /* of a miss, for people */
};

/* Only a lack of memory fails: a place that cannot be used is a cache that
 * is off, for the reason that its objects tell. */
int cache_open(struct cache **cache, const struct cache_options *options,
	       struct err *err);
/* Waits for what is being published, and unmaps all objects. */
void cache_close(struct cache *cache);
/* *object is NULL only without memory, and then the result is
 * CACHE_UNMAPPED; else it is the cache's, until cache_drop or cache_close. */
enum cache_result cache_get(struct cache *cache,
			    const struct cache_request *request,
			    struct cache_object **object);
/* For an object that was no hit: "len" bytes, a multiple of CODE_PAGE, that
 * can be written. */
int cache_reserve(struct cache_object *object, uint64_t len, struct err *err);
/* Puts the key into the image's header, checks header and tables, and makes
 * the text executable and all else read-only. */
int cache_seal(struct cache_object *object, struct err *err);
/* Begins to write the file of a sealed object. */
void cache_publish(struct cache_object *object);
/* Who can make a better object of the same key - more of it is optimised -
 * begins here.  "old" was found or has been published, and stays what it is.
 * *object is one to be reserved, sealed and published, whose file then takes
 * the name in one step.  Or it is a hit: another has made a better one
 * meanwhile.  -EWOULDBLOCK: another is about to.  Until it is published or
 * dropped nobody else begins; who only wants the code is not held up.
 *
 * The file goes to this user's own folder, wherever the old one is: what is
 * better there is found before what is in the system's. */
int cache_replace(struct cache_object *old, struct cache_object **object,
		  struct err *err);
/* Waits until it is written.  0: there is a file now, whoever made it. */
int cache_published(struct cache_object *object, struct err *err);
/* The file of one that was found, or is published: malloced, or NULL. */
char *cache_path(const struct cache_object *object);
void cache_drop(struct cache_object *object);
void cache_counts(const struct cache *cache, struct cache_counts *counts);

/* For those who look at a cache from outside.  The folder that the options
 * mean; NULL: off. */
char *cache_folder(const struct cache_options *options, struct err *err);
const char *cache_system_folder(void);
/* Compiling so few bytes takes no longer than looking for their code, which
 * pays only where there may be better code.  Has any so small been optimised? */
enum { CACHE_SMALL = 8192 };
bool cache_has_small(const struct cache_options *options);
/* How many bytes all objects may have. */
uint64_t cache_limit(const struct cache_options *options);

/* What a profile tells of an object (cache/profile.h). */
struct cache_hot {
	uint64_t total, tried; /* ticks; when it was last tried to optimise */
	uint64_t ticks;	       /* of the functions that are hot */
	uint64_t left;	       /* of those of them that are not optimised */
	uint32_t functions, optimised; /* that are hot; and optimised */
};
struct cache_entry {
	char key[2 * CODE_KEY_BYTES + 1];
	char name[64]; /* of the module when it was made; "": not known */
	bool system;   /* in the system's folder */
	uint64_t bytes;
	int64_t made_s, used_s; /* since 1970 */
	unsigned users;		/* processes that map it, as far as is seen */
	const char *wrong;	/* why it would not be mapped, NULL: it would */
	struct code_header head; /* where wrong is NULL */
	/* What its runs have told, where wrong is NULL; no ticks: nothing. */
	struct cache_hot hot;
	const char *profile_wrong; /* it cannot be believed; NULL: it can */
};
typedef int cache_visit(const struct cache_entry *entry, void *context);
/* All objects of a folder; stops at a result that is not 0, and returns it.
 * A folder that is not there has none. */
int cache_each(const char *folder, cache_visit *visit, void *context,
	       struct err *err);
/* How many keys are being compiled and published there; the first "most" of
 * them as the 8 digits that they begin with. */
int cache_compiling(const char *folder, char (*begin)[9], int most);
/* Is the object what it was when it was made?  NULL: yes; else why not. */
const char *cache_verify(const char *folder, const char *key);
int cache_remove(const char *folder, const char *key, struct err *err);
/* The bytes of the module that an object holds, which is verified first, and
 * its name. */
struct buf;
int cache_module(const char *folder, const char *key, struct buf *bytes,
		 char name[64], struct err *err);

struct cache_prune {
	uint64_t most_bytes; /* of objects, all together */
	int64_t age_s;	     /* unused for longer */
	bool dry;	     /* tells, and removes nothing */
	/* Called for each that goes, NULL: nobody. */
	void (*tell)(const struct cache_entry *entry, void *context);
	void *context;
};
/* The number of objects that went. */
int cache_prune(const char *folder, const struct cache_prune *prune,
		struct err *err);

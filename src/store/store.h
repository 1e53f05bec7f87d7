/* SPDX-License-Identifier: Apache-2.0 */
/* Objects on disk: immutable files in a folder of their own, each named by
 * 64 digits.  Compiled code and layers of memory are such objects.
 *
 *	HEX		an object, 0444
 *	seen/HEX	a link whose text begins with the stamp of an object
 *			that was found right
 *	lock		a file whose bytes are locks
 *	.new.PID.N	a file that is being written, where the system has no
 *			unnamed ones; its writer has it locked
 *
 *  1. A folder is opened once, judged by its descriptor, and all names in it
 *     are reached from there, one step each: nobody else can put a link in
 *     between.
 *  2. An object is believed when it belongs to this user or to root, and
 *     nobody else could have written it.
 *  3. A file is complete when it gets its name, and never changed after.
 *     Killed before, its writer leaves nothing, or a ".new." that is removed
 *     later.
 *  4. Who uses an object has it locked for sharing (a lease); it is removed
 *     only by who locks it alone.
 *
 * Links are made whole in one step and read in one: they serve as records
 * that no crash can tear. */
#pragma once
#include "base/err.h"
#include "base/file.h"
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum {
	STORE_ID_BYTES = 32,
	STORE_HEX = 2 * STORE_ID_BYTES,
	STORE_TEXT = 256, /* of a record, with its end */
};

/* Names */
void store_hex(const uint8_t *bytes, size_t len, char *hex); /* 2 * len + 1 */
bool store_is_name(const char *name);			     /* 64 digits */
void store_from_hex(const char *hex, uint8_t id[STORE_ID_BYTES]);

/* Folders.  "system": only root is trusted. */
bool store_trusts(const struct stat *st, bool system);
/* One that only its trusted owner writes; -ENOENT: there is none. */
int store_folder_open(const char *folder, bool system, struct err *err);
int store_folder_make(const char *folder, mode_t mode,
		      struct err *err); /* and opens it */
/* Of one below it, not through a link; NULL and errno. */
DIR *store_folder_list(int root, const char *name);

/* Opened and trusted; else *why.  -ENOENT and no words: there is none; -EPERM:
 * it cannot be trusted. */
int store_object_open(int root, const char *hex, bool system, struct stat *st,
		      const char **why);
/* Whoever it belongs to: of a folder that was given to be believed. */
int store_object_open_given(int root, const char *hex, struct stat *st,
			    const char **why);
/* Of an opened object, held until its descriptor, and all copies of that,
 * are closed.  -ENOENT: it was removed meanwhile. */
int store_object_lease(int fd);
/* The same, and it has the name still: another folder may have it too. */
int store_object_lease_named(int root, const char *hex, int fd);
/* The same object in another folder: linked (1) where that can be, else copied
 * (0), holes and all.  One that has the name stays. */
int store_object_bring(int root, const char *hex, int fd, struct err *err);
/* Unless somebody has a lease: -EBUSY. */
int store_object_remove(int root, const char *hex);

/* A new object: opened, written through fd, named. */
struct store_draft {
	int fd;
	char name[64]; /* "": it has none */
};
int store_draft_open(int root, struct store_draft *draft, struct err *err);
/* Synced, read-only, and linked to its name: 0, or -EEXIST with no words
 * where the name is taken.  fd stays open. */
int store_draft_sync(struct store_draft *draft, struct err *err);
int store_draft_link(int root, struct store_draft *draft, const char *hex,
		     struct err *err);
/* Of a synced one: gets the name, whatever had it. */
int store_draft_replace(int root, struct store_draft *draft, const char *name,
			struct err *err);
/* The same without a sync, for what is known to be broken when it is. */
int store_draft_put(int root, struct store_draft *draft, const char *name,
		    struct err *err);
void store_draft_close(int root, struct store_draft *draft);
/* Removes a ".new." whose writer died. */
void store_draft_sweep(int root, const char *name);

/* What was found right: "key" is a name in "seen". */
bool store_seen(int root, const char *key, const struct file_stamp *stamp);
void store_seen_note(int root, const char *key, const struct file_stamp *stamp,
		     const char *text);
/* Notes the day of its use. */
void store_seen_use(int root, const char *key);
struct store_seen {
	int64_t used_s;
	char text[64];
};
bool store_seen_read(int root, const char *key, struct store_seen *seen);
void store_seen_forget(int root, const char *key);
void store_stamp_text(const struct file_stamp *stamp, char text[STORE_TEXT]);

/* Bytes of the folder's lock file, let go by close or by death. */
int store_lock_open(int root, struct err *err);
int store_lock_byte(int fd, off_t at); /* 0, or -EWOULDBLOCK */
/* By another; fd needs not be open for writing. */
bool store_lock_held(int fd, off_t at);
/* Waits; shared or alone. */
int store_lock_wait(int fd, off_t at, bool shared);

/* SPDX-License-Identifier: Apache-2.0 */
/* Reads EROFS images as they are written here: each file, link and folder in
 * one run of blocks.  Everything else is refused in words, also what
 * mkfs.erofs makes: it puts folders into their inodes, always.
 *
 * The bytes may be anything.  Nothing is read beyond the source, no call runs
 * for longer than what it reads is long, and little stack is used.  What no
 * single call can see - folders in circles, names that are there twice - is
 * for erofs_check.
 *
 * It stands on nothing: also programs without a C library have it. */
#pragma once
#include "erofs/format.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Functions return >= 0, or one of these; "why", which may be NULL, is then
 * led to some words. */
enum erofs_code {
	EROFS_IO = -1,	    /* the source could not be read */
	EROFS_BROKEN = -2,  /* it cannot be an image */
	EROFS_FOREIGN = -3, /* it may be one, of a kind not known here */
	EROFS_MISSING = -4, /* no such name */
	EROFS_KIND = -5,    /* a folder where a file is needed, or so */
};

struct erofs_source {
	/* All "len" bytes, 0; or < 0.  Never asked for what is behind len. */
	int (*read)(void *context, uint64_t at, void *to, uint64_t len);
	void *context;
	uint64_t len;
};

struct erofs {
	struct erofs_source source;
	uint64_t len; /* of the image; the source may be longer */
	uint64_t meta_at;
	uint64_t root_nid;
	uint64_t inodes;
	uint64_t built_s;
	uint32_t built_ns;
	uint8_t uuid[16];
};

struct erofs_node {
	uint64_t nid;
	uint32_t mode; /* kind and rights, as in struct stat */
	uint32_t links, uid, gid;
	uint32_t device; /* of a device: its number, as Linux packs it */
	uint64_t size;
	uint64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t data_at; /* in the image; all within it */
};
enum {
	EROFS_S_KIND = 0170000,
	EROFS_S_FOLDER = 0040000,
	EROFS_S_FILE = 0100000,
	EROFS_S_LINK = 0120000,
};

struct erofs_entry {
	char name[EROFS_NAME_MOST + 1]; /* no / and no 0 within */
	size_t len;
	uint64_t nid;
	uint8_t kind;	 /* enum erofs_kind; as told, not checked */
	uint64_t cookie; /* of this entry ... */
	uint64_t next;	 /* ... and of the one behind it */
};
/* Anything but 0 ends the listing. */
typedef int erofs_visit(void *context, const struct erofs_entry *entry);

/* The source's context has to stay for as long as the image is used. */
int erofs_open(const struct erofs_source *source, struct erofs *erofs,
	       const char **why);
int erofs_node(const struct erofs *erofs, uint64_t nid, struct erofs_node *node,
	       const char **why);
/* Of a file or a link: the bytes that were there to be read, at most len. */
int64_t erofs_read(const struct erofs *erofs, const struct erofs_node *node,
		   uint64_t at, void *to, uint64_t len);

/* All entries in order, with "." and "..".  Returns 0, what visit returned,
 * or an error; visit should return > 0 so that it can be told from these. */
int erofs_list(const struct erofs *erofs, const struct erofs_node *folder,
	       erofs_visit *visit, void *context, const char **why);
/* From an entry on; 0 is the first.  Any cookie is fine: one that is none
 * is EROFS_MISSING, the one behind the last entry gives nothing. */
int erofs_list_from(const struct erofs *erofs, const struct erofs_node *folder,
		    uint64_t cookie, erofs_visit *visit, void *context,
		    const char **why);
/* The entry itself: 1, or 0 behind the last one. */
int erofs_entry(const struct erofs *erofs, const struct erofs_node *folder,
		uint64_t cookie, struct erofs_entry *entry, const char **why);
/* EROFS_MISSING where there is no such name. */
int erofs_find(const struct erofs *erofs, const struct erofs_node *folder,
	       const char *name, size_t len, uint64_t *nid);
/* A path from the root; links are not followed. */
int erofs_path(const struct erofs *erofs, const char *path,
	       struct erofs_node *node, const char **why);

/* The sum that superblocks have. */
uint32_t erofs_sum(uint32_t sum, const void *data, size_t len);

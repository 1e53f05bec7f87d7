/* SPDX-License-Identifier: Apache-2.0 */
/* What the host lends to a machine: folders that others have too, and files
 * that it reads without a copy of its own.  None of it is part of the machine's
 * shape, and none can be saved.  To one that is booted:
 *
 *	share	a folder: 9p by QEMU, virtiofs by a daemon (virtiofsd.h)
 *	pmem	a file that the guest maps as memory: /dev/pmem0 ..
 *	device	a file as a disk that is read only
 *
 * Each is told to the guest in a word on its kernel's command line,
 * "brood.lent=HOW:TAG"; the init of "brood machine image" acts on them.
 *
 * To one that goes on from a tip:
 *
 *	folder	a folder, by 9p, at one of the places that its shape has
 *
 * A place is a device that is there at the boot, and has nothing in it; so a
 * tip has it, too, and each start puts in what it is told to.  It is mounted by
 * the agent (folder.h). */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LENT_MOST = 16,
	LENT_TAG = 31, /* 9p has room for no more */
	LENT_PMEM_UNIT = 2 << 20,
};
enum lent_how {
	LENT_9P,
	LENT_VIRTIOFS,
	LENT_VIRTIOFS_LOCKS, /* with the locks of all who have the folder */
	LENT_PMEM,
	LENT_DEVICE,
	LENT_FOLDER,
	LENT_HOWS
};
struct lent_item {
	enum lent_how how;
	char *path; /* absolute, without links */
	char *at;   /* of a LENT_FOLDER: where it is in the guest; NULL */
	bool read_only;
	char tag[LENT_TAG + 1];
	int fd;		/* a file, or the line to a daemon; -1 */
	uint64_t bytes; /* of a file */
	bool erofs;	/* what is in a file */
	pid_t pid;	/* of a daemon; 0 */
};
struct lent {
	struct lent_item item[LENT_MOST];
	int count;
};
void lent_fini(struct lent *lent);
#define auto_lent __attribute__((cleanup(lent_fini)))

/* "[HOW:]DIR[=TAG]".  Where there is a DIR of that whole name, there is no TAG:
 * then it is share0, share1 .. */
int lent_add_share(struct lent *lent, const char *words, struct err *err);
/* "[ro:]DIR[=AT]", as the next folder of a tip: /DIR by the same name, or at the
 * absolute path behind the last "=/". */
int lent_add_folder(struct lent *lent, const char *words, struct err *err);
/* An absolute path that is what it seems to be: no "//", "/./" or "/../". */
bool lent_is_place(const char *at);
/* LENT_PMEM or LENT_DEVICE; its tag is pmem0 .. or device0 .. */
int lent_add_file(struct lent *lent, enum lent_how how, const char *path,
		  struct err *err);
bool lent_is_virtiofs(const struct lent_item *item);
bool lent_has_virtiofs(const struct lent *lent);
const char *lent_how_name(enum lent_how how);
/* What the room for memory beyond the first must be at least; 0: none. */
uint64_t lent_pmem_room(const struct lent *lent);
/* For the kernel's command line, each with a space behind it. */
void lent_kernel_words(const struct lent *lent, struct buf *to);
/* In the machine's file: a list under that key, and back.  *lent is empty. */
void lent_write(const struct lent *lent, struct json *json, const char *key);
void lent_read(const char *text, const char *key, struct lent *lent);
/* Fails where there is any: what such a machine cannot do. */
int lent_refuse(const struct lent *lent, const char *machine, const char *what,
		struct err *err);

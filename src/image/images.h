/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of images: layers and states by their ids, tips by their names.
 * No file tells where it is: carried to another folder it is worth the same
 * there.							CLAIM 2.13
 *
 *	HEX		a layer, or a state (store/store.h tells the rest)
 *	tips/NAME	a tip; replaced as a whole, never changed
 *	made/ID		an empty file: the tip with this id was made here, by
 *			this user, and not carried here
 *
 *  1. A tip is published while the lock's first byte is held for sharing, and
 *     everything that it names is leased by who publishes it.
 *  2. What no tip names and nobody leases may be removed, by who holds that
 *     byte alone.
 *  3. So whatever a tip names is there; only a tip makes a layer needed. */
#pragma once
#include "base/err.h"
#include "store/store.h"

struct images {
	char *folder;
	int root, tips; /* tips: -1 while there is no such folder */
	bool is_given;
};
/* folder NULL: BROOD_IMAGES, or $XDG_DATA_HOME/brood/images.  A folder that
 * is not there is made if "make", else -ENOENT. */
int images_open(struct images *images, const char *folder, bool make,
		struct err *err);
/* One that another has looked through and gives: it is believed, whoever it
 * belongs to and whatever its layers' sums would be, and only read. */
int images_open_given(struct images *images, const char *folder,
		      struct err *err);
void images_close(struct images *images); /* also of IMAGES_NONE */
#define IMAGES_NONE ((struct images){ .root = -1, .tips = -1 })
#define auto_images __attribute__((cleanup(images_close)))
char *images_folder(const char *folder, struct err *err); /* malloced */

/* Of a tip that was made, not imported: what is in it is then as good as what
 * this user's programs do anyway. */
int images_note_made(const struct images *images,
		     const uint8_t id[STORE_ID_BYTES], struct err *err);
bool images_is_made(const struct images *images,
		    const uint8_t id[STORE_ID_BYTES]);

/* A tip's name: letters, digits, "._-", beginning with no ".", at most 64. */
bool images_is_name(const char *name);
/* The lock of invariants 1 and 2; released by closing it. */
int images_lock(const struct images *images, bool shared, struct err *err);

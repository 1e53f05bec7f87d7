/* SPDX-License-Identifier: Apache-2.0 */
/* A verified payload as a folder of this host.  One place for each payload,
 * whoever starts it:
 *
 *	MOUNTS/HEX-SOURCE/	where it is mounted
 *	MOUNTS/HEX-SOURCE.ok	what was found right of the file (payload.h);
 *				its time: when it was used last, about
 *	MOUNTS/HEX-SOURCE.ok.tree	the same of a folder that stands in
 *	MOUNTS/HEX-SOURCE.fits.ENTRY	its program can be loaded on this host
 *	MOUNTS/HEX-SOURCE.lock	held while it is made or taken away: by nobody
 *				but those who want this very one, for a share
 *				that hangs may hang who holds it
 *
 * HEX is the first half of the digest.  The ways, in order: it is there; a
 * memory device that the hypervisor has made of it (DAX: no copy in this
 * host at all); a mount of the file; the same unpacked in a folder beside the
 * file, where this user may not mount. */
#pragma once
#include "appliance/payload.h"
#include "base/err.h"
#include <stdbool.h>

struct site_wish {
	const char *mounts, *hex;
	uint64_t bytes;
	const char *source; /* "share", "copy" or "appliance" */
	bool shared;	    /* a device of the hypervisor's will do */
	bool found_only;    /* nothing is mounted */
	payload_tick *tick;
	void *context;
};
struct site {
	char *root;
	bool is_new;	      /* nobody has looked into it since the boot */
	const char *verified; /* "stamp" or "digest" */
	const char *way;      /* "found", "device", "mount" or "folder" */
};
void site_fini(struct site *site);
/* What was found right of it, as payload_verify has it; malloced or NULL. */
char *site_stamp(const char *mounts, const char *hex, const char *source);
int site_find(const struct site_wish *wish, const char *image,
	      struct site *site, struct err *err);
/* Unmounts what nobody uses, and has not used for some time: who has loaded it
 * may be about to execute it.  kept: payloads that stay (ends with NULL). */
int site_sweep(const char *mounts, const char *const *kept, struct err *err);
/* One that is started here no more, unless somebody uses it. */
void site_drop(const char *mounts, const char *hex);

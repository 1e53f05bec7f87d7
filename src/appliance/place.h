/* SPDX-License-Identifier: Apache-2.0 */
/* A verified payload as a folder of this host.  One place for each payload,
 * whoever starts it:
 *
 *	MOUNTS/HEX/		where it is mounted
 *	MOUNTS/HEX.STAMP	what was found right of the file there (payload.h)
 *	MOUNTS/.lock		held while one is made or taken away
 *
 * HEX is the first half of the digest.  The ways, in order: it is there; a
 * memory device that the hypervisor has made of it (DAX: no copy in this
 * host at all); a mount of the file; a folder beside the file on the share,
 * where this user may not mount. */
#pragma once
#include "appliance/payload.h"
#include "base/err.h"
#include <stdbool.h>

struct place_wish {
	const char *mounts, *hex;
	uint64_t bytes;
	const char *stamp; /* "share", "copy" or "appliance" */
	bool shared; /* devices and folders on the share will do */
	payload_tick *tick;
	void *context;
};
struct place {
	char *root;
	bool is_new;	      /* nobody has looked into it since the boot */
	const char *verified; /* "stamp" or "digest" */
	const char *way;      /* "found", "device", "mount" or "folder" */
};
void place_fini(struct place *place);
int place_find(const struct place_wish *wish, const char *image,
	       struct place *place, struct err *err);
/* Unmounts what nobody uses; kept: payloads that stay (ends with NULL). */
int place_sweep(const char *mounts, const char *const *kept, struct err *err);

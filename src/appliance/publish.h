/* SPDX-License-Identifier: Apache-2.0 */
/* The shared side of an install: the first host puts the payload and the
 * version there, later ones find them.  All of it is done by a helper with a
 * limit on the share's silence.			CLAIM 4.15 */
#pragma once
#include "appliance/appliance.h"
#include "share/share.h"

struct publish_wish {
	const char *share;
	const char *share_id; /* that it has to have; NULL: any */
	const char *host;
	const char *local; /* a folder of this host, for its queue */
	bool make;	   /* the share, if it is none yet */
	bool upgrade;	   /* a version that differs gets another one on top */
	bool unpacked;	   /* for hosts that may not mount, too */
	struct share_wish kind;
	int wait_ms, answer_ms;
};
struct published {
	uint64_t version;
	bool payload_was_there, version_was_there, share_was_made;
	char share_id[SHARE_ID_CHARS + 1];
	struct buf record; /* text: what counts on the share now */
};
void published_fini(struct published *published);
#define auto_published __attribute__((cleanup(published_fini)))

int publish_appliance(const struct publish_wish *wish,
		      const struct appliance *appliance,
		      struct published *published, struct err *err);
/* Version "to" (0: the last one of another payload) becomes the newest. */
int publish_rollback(const struct publish_wish *wish, const char *name,
		     uint64_t to, struct published *published, struct err *err);
/* This host uses that payload no more. */
int publish_leave(const struct publish_wish *wish, const char *hex,
		  struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* The universal software installer: an appliance becomes context on this host
 * and, if no host was there before, payload and version on the share.
 *					CLAIM 4.3 4.5 4.6 4.7 */
#pragma once
#include "appliance/context.h"
#include "appliance/load.h"
#include "appliance/publish.h"
#include "base/args.h"
#include "base/progress.h"

/* Limits of a start where nothing else was said. */
enum {
	INSTALL_WAIT_MS = 5000,
	INSTALL_ANSWER_MS = 2000,
	INSTALL_DEADLINE_MS = 30000,
	INSTALL_REJOIN_MS = 60000,
};
struct install_wish {
	const char *appliance;
	const char *share;	 /* NULL: as before, or */
	const char *usual_share; /* of this host alone */
	const char *bin; /* folder of start paths; NULL: the usual one */
	const struct args_list *at; /* "ENTRY=PATH", or PATH of the first */
	struct share_wish kind;
	bool upgrade, unpacked;
	bool keep; /* a copy of the payload, to go on from alone */
	/* -1: as before, or the usual ones. */
	int wait_ms, answer_ms, deadline_ms, rejoin_ms;
	const char *brood, *hatch; /* NULL: not on this host */
	const char *start; /* the startup binary; NULL: the appliance's */
};
struct installed {
	char name[RECORD_NAME_MOST + 1];
	uint64_t version, payload_bytes, context_bytes, start_bytes;
	bool payload_was_there, version_was_there, share_is_usual;
	uint64_t check_ns, publish_ns, context_ns, paths_ns, load_ns;
	struct buf paths; /* lines: PATH\tbefore\tafter */
	struct buf notes; /* lines: what the user should know */
};
void installed_fini(struct installed *installed);
#define auto_installed __attribute__((cleanup(installed_fini)))

/* On failure this host is as it was, but for what a later install of the same
 * makes whole. */
int install_appliance(const struct install_wish *wish,
		      struct progress *progress, struct installed *installed,
		      struct err *err);
/* Start paths are what they were.  purge: what the application wrote goes,
 * too. */
int install_remove(const char *name, bool purge, struct buf *notes,
		   struct err *err);
/* The context's record becomes what was loaded from the share, and so does the
 * copy where one is kept. */
int install_refresh(const struct context *context, const struct loaded *loaded,
		    struct err *err);
/* What the share has now is verified and mounted here, and the copy is, where
 * one is kept: for starts of users who may not, and after a boot. */
int install_load(const struct context *context, struct err *err);
/* The bytes of the files in a folder, and in those below. */
uint64_t install_bytes(const char *folder);

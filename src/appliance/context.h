/* SPDX-License-Identifier: Apache-2.0 */
/* What a host has of an application: a folder of kilobytes.
 *							CLAIM 4.1 4.5
 *
 *	APPS/NAME/context	the share, limits, what to do without it
 *	          record	the version at the install (record.h)
 *	          bin/ENTRY	link to the startup binary; start paths lead here
 *	          settings/	from the application's templates
 *	          data		link to what the application may write
 *	          state		only while independent: since when, and why
 *	APPS/.data.NAME/	what it has written; stays after an uninstall
 *	APPS/.start/HEX		the startup binary, once for all applications
 *	APPS/.host		what this host calls itself on shares
 *	APPS/.lock		held by who installs or uninstalls
 *
 * APPS is /var/lib/brood/apps for root, $XDG_DATA_HOME/brood/apps for others,
 * and $BROOD_APPS where that is set. */
#pragma once
#include "appliance/record.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/helper.h"
#include <stdbool.h>
#include <stdint.h>

#define CONTEXT_HEAD "brood-context 1"
enum { CONTEXT_PATHS = RECORD_ENTRIES };

/* A start path that was made to lead here. */
struct context_path {
	const char *entry, *path;
	const char
		*saved; /* where what was there lies now; NULL: nothing was */
};
/* All strings are within text, but for folder. */
struct context {
	char *folder, *text;
	const char *name, *share, *share_id, *host, *mounts;
	/* To go on from alone; NULL: none.  copy is what the name of the file
	 * begins with, see context_copy. */
	const char *copy, *appliance;
	const char *brood, *hatch; /* NULL: not there */
	int wait_ms;		   /* for the share's lock */
	int answer_ms;		   /* the share's longest silence */
	int deadline_ms;	   /* for all of a load */
	int rejoin_ms; /* independent for so long; 0: until told otherwise */
	struct context_path path[CONTEXT_PATHS];
	int path_count;
};
int context_read(const char *folder, struct context *context, struct err *err);
void context_fini(struct context *context);
#define auto_context __attribute__((cleanup(context_fini)))
/* The text that context_read reads. */
int context_write(const struct context *context, struct buf *out,
		  struct err *err);
/* As it was at the install, or last renewed. */
int context_record_text(const struct context *context, struct buf *text,
			struct err *err);
int context_record(const struct context *context, struct record *record,
		   struct err *err);
/* From the path by which the startup binary was executed: its context's
 * folder and the entry, both malloced.			CLAIM 4.8 */
int context_of(const char *executed, char **folder, char **entry,
	       struct err *err);
/* The copy of that record's payload, COPY.HEX.erofs, so that a new one never
 * takes the place of one that counts; NULL where none is kept.  Malloced. */
char *context_copy(const struct context *context, const struct record *record);
void context_limits(const struct context *context,
		    struct helper_limits *limits);

/* Shared or independent.					CLAIM 4.14 */
struct context_state {
	bool independent;
	int64_t since_s;
	char reason[252];
};
void context_state(const struct context *context, struct context_state *state);
/* reason NULL: shared again. */
int context_set_state(const struct context *context, const char *reason,
		      struct err *err);

/* malloced; NULL with err */
char *context_root(struct err *err);
char *context_mounts(const char *root, struct err *err);
char *context_folder(const char *root, const char *name, struct err *err);
/* Made where it is missing; 32 digits. */
int context_host(const char *root, char host[33], struct err *err);

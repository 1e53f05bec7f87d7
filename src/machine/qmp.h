/* SPDX-License-Identifier: Apache-2.0 */
/* A client of QEMU's machine protocol: one JSON object a line, commands
 * answered in order, events in between.
 *
 * A guest may have broken into its QEMU, so nothing is believed: each line
 * has a limit and is looked through before it is used, each wait has an end,
 * what is kept for later is bounded.  A connection belongs to one thread.
 *
 * All that fails is one line that begins with "qemu: ".  -EINVAL: QEMU has
 * refused the command, in its own words.  -ETIME: no answer in time; a late
 * one is passed over, and the connection goes on.  All else ends the
 * connection: later commands fail at once.
 *
 * timeout_ms < 0: no limit. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>

enum {
	QMP_LINE_MOST = 4 << 20,
	QMP_NAME_MOST = 64,    /* of an event, its 0 counted */
	QMP_EVENTS_MOST = 128, /* the oldest are forgotten */
	QMP_DATA_MOST = 8192,  /* of an event that carries more: none */
};

struct qmp;

/* Connects, waiting for the socket to be there, and ends the greeting.  The
 * time is also the limit of each later command. */
int qmp_open(struct qmp **qmp, const char *path, int timeout_ms,
	     struct err *err);
/* The same over a connected socket; takes fd, when it fails too. */
int qmp_attach(struct qmp **qmp, int fd, int timeout_ms, struct err *err);
void qmp_close(struct qmp *qmp); /* NULL is fine */
void qmp_free(struct qmp **qmp);
#define auto_qmp __attribute__((cleanup(qmp_free)))
void qmp_limit(struct qmp *qmp, int timeout_ms); /* of later commands */

/* arguments: the text of a JSON object, or NULL.  The text of what the
 * command returned is added to reply, unless that is NULL. */
int qmp_command(struct qmp *qmp, const char *command, const char *arguments,
		struct buf *reply, struct err *err);
/* QEMU gets a copy of fd, called "name" in commands that take one. */
int qmp_pass_fd(struct qmp *qmp, const char *name, int fd, struct err *err);

/* Waits for one of names (ended by NULL; NULL itself: any) and takes it out;
 * those that came before it stay.  found_name: which, or NULL. */
int qmp_event(struct qmp *qmp, const char *const *names, int timeout_ms,
	      char *found_name, size_t found_room, struct err *err);
/* What the event last taken carried, as JSON text; "{}" where nothing. */
const char *qmp_event_data(const struct qmp *qmp);
void qmp_forget(struct qmp *qmp); /* the events that came until now */

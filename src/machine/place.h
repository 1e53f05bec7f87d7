/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that live: a folder for each, gone with it.
 *
 *	.../brood/machines/NAME/	(mode 0700, of this user)
 *		lock		held by the hypervisor as long as it lives
 *		half		somebody is at work on it (half.h)
 *		machine		what it is, one JSON object; last of all
 *		qmp, console, agent	sockets
 *		beside		one of who has the agent's (relay.h)
 *		line		locked by who has the agent's
 *		console.log	what the console has said
 *		log		what the hypervisor has said
 *		disk0 ..	what it wrote over its disks
 *		daemon0 ..	locked by a daemon that serves it (virtiofsd.h)
 *
 * machines/.lock is held while folders are made and removed.
 *
 * A folder whose lock is free, or that has none, belongs to a machine that is
 * gone, and is removed by who comes by. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct place {
	char name[65];
	char *folder;
	int lock; /* held; -1: not by us */
};
void place_fini(struct place *place); /* lets the lock go */
#define auto_machine_place __attribute__((cleanup(place_fini)))

/* A new folder, locked.  name NULL or ending in "-": a free one with a number
 * behind it.  -EEXIST: there is such a machine. */
int place_make(const char *name, struct place *place, struct err *err);
/* Of a machine that lives, and is whole. */
int place_find(const char *name, struct place *place, struct err *err);
/* Removes the folder and all that is in it. */
void place_remove(struct place *place);
char *place_path(const struct place *place, const char *file); /* malloced */
/* Waits until the machine is gone: 0, or -ETIME. */
int place_wait_gone(const struct place *place, int timeout_ms);

typedef int place_visit(const struct place *place, void *context);
/* Machines that live, in the order of their names. */
int place_each(place_visit *visit, void *context, struct err *err);

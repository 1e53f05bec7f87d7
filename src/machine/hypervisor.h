/* SPDX-License-Identifier: Apache-2.0 */
/* A QEMU: its command line, its start, and what is asked of it later. */
#pragma once
#include "base/err.h"
#include "machine/half.h"
#include "machine/lent.h"
#include "machine/memory.h"
#include "machine/place.h"
#include "machine/qemu.h"
#include "machine/qmp.h"
#include "machine/shape.h"
#include <sys/types.h>

/* What a cold boot starts from; all may be NULL. */
struct hypervisor_boot {
	const char *kernel, *initrd, *append;
};
struct hypervisor_plan {
	const struct qemu *qemu;
	const struct shape *shape;
	const struct place *place;
	const struct tip *tip;		    /* restored from it, or */
	const struct hypervisor_boot *boot; /* booted */
	const char *forward;		    /* "HOST:GUEST" of TCP, or NULL */
	bool ends_with_us; /* when the thread that starts it ends */
	bool cold;	   /* never from a warm template */
	/* Files that its disks were written to, by number; -1: none yet. */
	const int *disk_files;
	const struct half *half; /* is told its process */
	const struct lent *lent; /* or NULL */
	const char *nothing;	 /* a folder for places that have none */
};
struct hypervisor {
	pid_t pid;
	struct qmp *qmp;
	bool warm;			       /* from a template */
	char why[200];			       /* not warm */
	uint64_t exec_ns, composed_ns, qmp_ns; /* from the start on */
};
/* Starts it, with the memory put together, up to where it takes orders.  On
 * failure nothing of it is left. */
int hypervisor_start(const struct hypervisor_plan *plan, struct memory *memory,
		     struct hypervisor *hypervisor, struct err *err);
void hypervisor_kill(struct hypervisor *hypervisor); /* and closes */

/* Over its socket. */
int hypervisor_stop(struct qmp *qmp, struct err *err);
int hypervisor_go_on(struct qmp *qmp, struct err *err);
/* After its state was moved, or while it still is: that is called off. */
int hypervisor_resume(struct qmp *qmp, struct err *err);
int hypervisor_runs(struct qmp *qmp, struct err *err); /* 1, or 0 */
/* Before its state moves: memory stays out of it. */
int hypervisor_set_up(struct qmp *qmp, struct err *err);
/* Device state to and from a file, at where it stands. */
int hypervisor_save(struct qmp *qmp, int fd, struct err *err);
int hypervisor_load(struct qmp *qmp, int fd, struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* The jail of a worker: a process that runs VMs, and does host calls for the
 * guests in them.  All that it works with is open before; from then on it
 * gets nothing that it was not given.  CLAIM 3.12's second wall: what breaks
 * out of a VM finds itself here.
 *
 *	pid = jail_fork(&options, &told, err);	in the caller: as fork does
 *	if (pid == 0) {				in the worker, one thread:
 *		... open what is needed ...
 *		if (jail_enter(&options, &told, err) < 0)
 *			_exit(111);
 *		... work ...
 *	}
 *
 * The walls, in order.  What the system refuses (a container may refuse all
 * name spaces) is missing in what is told, and an error where it is required.
 *
 *	user ... net	name spaces of its own; its user and group alone are
 *			mapped, to themselves
 *	pid		of jail_fork alone: it sees no process but itself, and
 *			is process 1: signals without a handler do nothing to
 *			it, but SIGKILL from outside
 *	root		an empty, read-only root; the old one is detached.
 *			"chroot": where that is refused, only out of sight
 *	descriptors	all but those kept are closed
 *	nnp		no_new_privs
 *	files		Landlock: names lead nowhere but below kept folders,
 *			".." of a folder included, which no root stops
 *	caps		all sets of capabilities are empty
 *	limits		no core, and the limits given
 *	hidden		not dumpable: no tracing, no reading from outside
 *	seccomp		calls by list and argument; all others kill it
 *
 * What is not walled: of what stands above a kept folder, by its "..", a
 * worker that was taken over can see whether it is there, its size and times,
 * and set the times of what its user owns: Landlock does not ask there.
 *
 * What a step costs, us, medians of 200, as root and as nobody, Linux 6.18 in
 * a virtual machine (test_jail_walls prints them):
 *
 *	jail_fork, quick	 72	 74	fork, nothing more
 *	jail_fork, full		682	700	two, and the spaces
 *	  user			 80	 65
 *	  mount			 26	 26
 *	  ipc			 27	 27
 *	  uts			  2	  2
 *	  net			336	337
 *	  cgroup		  2	  2
 *	root			116	116
 *	descriptors		 32	 20
 *	nnp			  1	  1
 *	files			 17	 18
 *	caps			 41	 40	4 where the bounding set stays
 *	limits			  2	  2
 *	hidden			  1	  1
 *	seccomp			 92	 93	most of it Linux' compiling
 *	an ioctl		+0.03 to +0.06 each, ever after
 *
 * So a full jail is 980 us, once for up to 32 VMs, and a quick one 190.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum jail_wall {
	JAIL_USER = 1 << 0,
	JAIL_MOUNT = 1 << 1,
	JAIL_PID = 1 << 2,
	JAIL_IPC = 1 << 3,
	JAIL_UTS = 1 << 4,
	JAIL_CGROUP = 1 << 5,
	JAIL_NET = 1 << 6,
	JAIL_ROOT = 1 << 7,
	JAIL_CHROOT = 1 << 8, /* the lesser JAIL_ROOT */
	JAIL_DESCRIPTORS = 1 << 9,
	JAIL_NNP = 1 << 10,
	JAIL_FILES = 1 << 11,
	JAIL_CAPS = 1 << 12,
	JAIL_LIMITS = 1 << 13,
	JAIL_HIDDEN = 1 << 14,
	JAIL_SECCOMP = 1 << 15,
};
enum {
	JAIL_WALLS = 16,
	JAIL_SPACES = JAIL_USER | JAIL_MOUNT | JAIL_PID | JAIL_IPC | JAIL_UTS |
		      JAIL_CGROUP | JAIL_NET,
	/* These stand or jail_enter fails. */
	JAIL_LEAST = JAIL_DESCRIPTORS | JAIL_NNP | JAIL_CAPS | JAIL_LIMITS |
		     JAIL_HIDDEN | JAIL_SECCOMP,
};

enum jail_strength {
	JAIL_FULL,  /* all walls: for workers that live long */
	JAIL_QUICK, /* no name spaces, no root: for one run */
};

struct jail_options {
	enum jail_strength strength;
	bool kvm;	 /* VMs are made and run */
	bool sockets;	 /* a kept descriptor is a socket: data, descriptors and
		       * connections come by it */
	bool folders;	 /* names below kept folders are opened and changed */
	bool walk;	 /* ... by wasi_walk.c: without openat2 */
	const int *keep; /* the descriptors that stay, 0 to 2 included */
	size_t keep_count;
	const int *read_only; /* folders among them where nothing changes */
	size_t read_only_count;
	/* Limits; 0: as they are.  fsize is of files in memory too. */
	uint64_t nofile, nproc, fsize;
	uint32_t require; /* walls that must stand */
};

/* Zeroed by the caller. */
struct jail_told {
	uint32_t walls;
	int why; /* negative errno of the first that does not stand, or 0 */
};

/* As fork, but the child is in the name spaces of JAIL_FULL.  The caller may
 * have threads; "told" is of the child. */
pid_t jail_fork(const struct jail_options *options, struct jail_told *told,
		struct err *err);
/* No way back, not from a failure either: then the process should end.
 * -EBUSY where it has a second thread. */
int jail_enter(const struct jail_options *options, struct jail_told *told,
	       struct err *err);

enum { JAIL_TEXT = 160 };
/* Their names, with blanks between; the same array. */
char *jail_walls_text(uint32_t walls, char text[JAIL_TEXT]);

/* SPDX-License-Identifier: Apache-2.0 */
/* Machines of an operating system that never boot twice.		CLAIM 2.*
 *
 *	machine_boot		kernel and disks -> a machine that runs
 *	machine_save		its memory and devices -> a tip
 *	machine_start		a tip -> another machine, without a boot
 *	machine_swap		a machine becomes another tip, in place
 *
 * A machine is a QEMU in a folder of its own (place.h); nobody has to live
 * for it. */
#pragma once
#include "base/err.h"
#include "image/diff.h"
#include "image/images.h"
#include "machine/hypervisor.h"
#include "machine/lent.h"
#include "machine/place.h"
#include "machine/shape.h"
#include "machine/talk.h"
#include <stdbool.h>

/* What a machine is, while it lives: the file "machine" of its folder. */
struct machine {
	pid_t pid;
	uint64_t started_ns; /* wall clock */
	uint64_t ram_at;     /* in its hypervisor */
	struct shape shape;
	char tip[65];				    /* "": it was booted */
	uint8_t tip_id[LAYER_ID];		    /* names can be replaced */
	uint8_t layers[LAYER_DEPTH_MOST][LAYER_ID]; /* from the base up */
	uint32_t layer_count;
	/* What was written over its disks: for each save one of each disk, in
	 * the disks' order. */
	uint8_t disks[TIP_DISKS_MOST][LAYER_ID];
	uint32_t disk_count;
	bool has_working; /* the last layer */
	bool parked;	  /* waits to be started */
	char mode[8];	  /* "map", "copy" or "boot" */
	char way[8];	  /* "hatch" or "exec" */
	char forward[16];
	char *boot; /* JSON: kernel and so on, as told at the boot */
	struct lent lent;
};
void machine_fini(struct machine *machine);
#define auto_machine __attribute__((cleanup(machine_fini)))
int machine_read(const struct place *place, struct machine *machine,
		 struct err *err);
int machine_write(const struct place *place, const struct machine *machine,
		  struct err *err);

/* The shape that a tip is of, as its words tell it and its hash proves. */
int machine_tip_shape(const struct tip *tip, struct shape *shape,
		      struct err *err);

enum machine_ready_kind { READY_NONE, READY_AGENT, READY_CONSOLE, READY_PORT };
struct machine_ready {
	enum machine_ready_kind kind;
	const char *text; /* on the console */
	long port;	  /* of ours, forwarded to the machine's */
	int timeout_ms;
};
/* "agent", "console:TEXT", "port:NUMBER" or "none". */
int machine_ready_parse(const char *words, struct machine_ready *ready,
			struct err *err);

struct machine_boot {
	const char *name; /* NULL: any */
	struct shape_wish shape;
	struct hypervisor_boot files;
	struct lent *lent; /* or NULL; the caller's */
	const char *forward;
	struct machine_ready ready;
	bool ends_with_us;
};
/* Steps and how long they took, for reports. */
struct machine_times {
	uint64_t open_ns, exec_ns, composed_ns, orders_ns, state_ns, run_ns,
		unique_ns;
	uint64_t compose_ns; /* the mappings alone */
};
struct machine_report {
	struct machine_times times; /* from the begin on */
	bool warm;
	char why[200]; /* not warm */
	const char *mode;
	uint32_t pieces, layers;
};
/* CLAIM 2.1 2.2 2.3.  On failure nothing is left. */
int machine_boot(const struct machine_boot *boot, struct place *place,
		 struct machine_report *report, struct err *err);

struct machine_start {
	const char *tip, *name; /* name NULL: the tip's and a number */
	bool copy;		/* memory of its own, read now */
	bool cold;		/* not from a warm QEMU */
	bool park;		/* up to right before it runs: CLAIM 2.8 */
	bool same;		/* not made another machine: for tests */
	bool ends_with_us;
	const char *forward, *host_name;
	int agent_ms; /* for the agent's answer; 0: 10 s */
	/* Where the tip's are here, in their order; 0: where they were. */
	const char *const *disks;
	int disk_count;
	struct lent *folders; /* of LENT_FOLDER alone; NULL: none */
	/* The right to speak with its agent (machine_line), which nobody has
	 * had; NULL: let go. */
	int *line;
};
/* CLAIM 2.7 2.9 2.10 */
int machine_start(const struct images *images,
		  const struct machine_start *start, struct place *place,
		  struct machine_report *report, struct err *err);

struct machine_save {
	const char *tip;
	const char *parent; /* NULL: what it was started from */
	bool stop;	    /* it ends, rather than going on */
};
struct machine_saved {
	struct diff_counts pages;
	uint64_t layer_bytes, state_bytes;
	uint64_t scan_ns, stopped_ns;
	uint32_t layers, pieces;
	const char *fold; /* why its layers should become fewer, or NULL */
};
/* CLAIM 2.1 2.2 2.3 2.5 2.6 */
int machine_save(const struct images *images, const struct place *place,
		 const struct machine_save *save, struct machine_saved *saved,
		 struct err *err);

struct machine_swap {
	const char *tip;
	bool paused; /* it stands still afterwards */
	bool same;   /* it stays the one that was saved */
};
struct machine_swapped {
	uint64_t looked, written; /* pages */
	uint64_t stopped_ns;
};
/* CLAIM 2.14 */
int machine_swap(const struct images *images, const struct place *place,
		 const struct machine_swap *wish,
		 struct machine_swapped *swapped, struct err *err);

/* What it has read and written of its memory until now becomes the working set
 * of its tip; *bytes tells how much. */
int machine_record(const struct images *images, const struct place *place,
		   uint64_t *bytes, struct err *err);

/* How it ends: asked through its agent, or at once. */
int machine_stop(const struct place *place, bool at_once, int timeout_ms,
		 struct err *err);
/* The right to speak with a machine's agent, which one has at a time (line.c):
 * a descriptor.  -EBUSY: somebody has it, all that time. */
int machine_line(const struct place *place, int wait_ms, struct err *err);
/* For who ends it, or makes it another: commands that run in it are cut off,
 * but that for which it was started. */
int machine_line_seize(const struct place *place, int wait_ms, struct err *err);
/* Its agent, greeted; the right to it is let go with the talk. */
int machine_talk(const struct place *place, int *line, int timeout_ms,
		 struct talk **talk, struct err *err);
/* For who has that line, and for others while he has it: -EPIPE where nobody
 * lets them in, -EBUSY where there are too many. */
int machine_relay(const struct place *place, struct relay **relay,
		  struct err *err);
int machine_talk_beside(const struct place *place, int timeout_ms,
			struct talk **talk, struct err *err);
/* The same, but where nobody lets others in, somebody is there to from then on,
 * for as long as any are there. */
int machine_talk_shared(const struct place *place, int timeout_ms,
			struct talk **talk, struct err *err);
struct talk_exec;
/* talk_exec, for a command that another's end may cut off. */
int machine_command(const struct place *place, struct talk *talk,
		    const struct talk_exec *exec, int *status, struct err *err);
/* Does its hypervisor listen no more, or not after that time? */
bool machine_has_ended(const struct place *place, int wait_ms);
/* Opens its QEMU for orders. */
int machine_orders(const struct place *place, struct qmp **qmp,
		   struct err *err);
/* A machine that waits for that tip is taken: 1, 0 where there is none. */
int machine_unpark(const struct images *images,
		   const struct machine_start *start, struct place *place,
		   struct machine_report *report, struct err *err);

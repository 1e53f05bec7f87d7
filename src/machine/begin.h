/* SPDX-License-Identifier: Apache-2.0 */
/* The steps that all machines begin with: a folder, a QEMU with its memory,
 * a record. */
#pragma once
#include "machine/half.h"
#include "machine/machine.h"

enum { BEGIN_AGENT_MS = 10000, BEGIN_LINE_MS = 5000 };

struct begin {
	struct machine_report *report;
	uint64_t started_ns;
	struct place place;
	struct half half;
	int line; /* nobody speaks with it before it has begun; -1: let go */
	int *line_to; /* who has that afterwards; NULL: nobody */
	struct qemu qemu;
	struct shape shape;
	struct tip tip; /* without layers: it boots */
	struct memory memory;
	struct hypervisor hypervisor;
	const struct hypervisor_boot *boot;
	struct lent *lent; /* or NULL */
	char *boot_words;
	const char *mode, *forward;
	bool cold, ends_with_us;
};
/* Its folder, and the QEMU that there is. */
int begin_open(struct begin *begin, const char *name, struct err *err);
int begin_hypervisor(struct begin *begin, enum ram_plan_mode mode,
		     struct err *err);
int begin_record(struct begin *begin, const char *mode, bool parked,
		 struct err *err);
/* Gives the folder to who asked, or, after a failure, removes everything.
 * Returns rc. */
int begin_end(struct begin *begin, int rc, struct place *place);
uint64_t begin_ns(const struct begin *begin); /* since it began */
bool begin_has_ended(pid_t pid);

/* Who a clone is to be. */
void begin_identity(const struct place *place, const char *host_name,
		    struct agent_unique *unique);
/* One that waits does no longer, for any other: -EBUSY where another was
 * faster. */
int begin_unpark(const struct place *place, struct machine *machine,
		 struct half *half, struct err *err);
/* And is this starter's from now on. */
int begin_take(struct begin *begin, const struct place *place,
	       struct machine *machine, struct err *err);
void begin_leave(struct begin *begin);

/* SPDX-License-Identifier: Apache-2.0 */
/* One system call of the traced program, put into its set.  Private to
 * witness*.c. */
#pragma once
#include "launch/witness.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

struct sight {
	pid_t pid;
	struct witness *witness;
	bool deep; /* main runs: only what a clone lacks is a reason */
	bool umask_seen;
	uint32_t umask_first, umask_now;
	uint32_t memory_policy;
	bool moved;	  /* has changed its folder, maybe back again */
	char start[4096]; /* the folder that it began in */
	struct rlimit limits[RLIM_NLIMITS]; /* likewise, */
	int nice;			    /* and this */
	/* the call at hand, its result once it is left */
	uint64_t number, arg[6], stack;
	int64_t result;
};

void see_begin(struct sight *sight); /* at the exec */
/* At its entry: calls that may not return.  At its exit: all others. */
void see_entry(struct sight *sight);
void see_exit(struct sight *sight);
void see_end(struct sight *sight);     /* what only the whole run tells */
void see_stop(struct sight *sight);    /* what a launch would set back */
const char *see_name(uint64_t number); /* "call 999" is NULL */

/* Reasons, the first of each way is kept.  The first two are not for deep
 * stops, where they do no harm. */
void see_refuse(struct sight *sight, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void see_refuse_hatch(struct sight *sight, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void see_refuse_always(struct sight *sight, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void see_fact(struct sight *sight, uint32_t kind, uint32_t number,
	      const char *name, uint64_t value);
bool see_is_known(const struct sight *sight, uint32_t kind, const char *name);
void see_machine(struct sight *sight, uint32_t machine);
void see_descriptor(struct sight *sight, int fd);

/* Memory of the program: false where it cannot be read. */
bool see_bytes(const struct sight *sight, uint64_t at, void *to, size_t len);
bool see_string(const struct sight *sight, uint64_t at, char *to, size_t room);

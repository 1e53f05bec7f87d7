/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a domain share. */
#pragma once
#include "domain/domain.h"
#include "domain/space.h"
#include <time.h>

struct domain {
	struct domain_options options;
	struct space space;
	struct cpu *cpu;
	struct wasi *wasi;
	int64_t deadline_ns;
	int64_t ended_ns; /* when the guest was told that it is over, or 0 */
	uint64_t generation;
	timer_t timer;
	bool has_timer;
	bool is_broken; /* it is not run any more */
	char why[200];	/* it is broken */
	struct domain_counts counts;
	/* The page as it was when the last command was done. */
	struct guest_call done;
};

/* domain_image.c: the system's part of a fresh domain */
int domain_make_system(struct space *space, struct err *err);
const struct guest_image *domain_image(uint64_t *bytes);

/* domain_run.c: runs a command to its end.  0; or the domain is broken. */
int domain_command(struct domain *domain, enum guest_command command,
		   struct err *err);
/* Runs until the guest's next DONE. */
int domain_run(struct domain *domain, struct err *err);
int domain_break(struct domain *domain, struct err *err, const char *format,
		 ...) __attribute__((format(printf, 3, 4)));

/* domain_bell.c: what the guest wants; < 0: it broke a rule */
int domain_answer(struct domain *domain, uint32_t bell, struct err *err);
void domain_renew(struct domain *domain); /* random bytes, clock, generation */

/* domain_trap.c: sends the guest to its fault entry */
int domain_take_trap(struct domain *domain, const struct cpu_stop *stop,
		     struct err *err);
int domain_take_kick(struct domain *domain, const struct cpu_stop *stop,
		     struct err *err);
/* 0, or the trap with which the run has to end. */
int domain_ended(void *domain);

/* domain_timer.c */
int domain_timer_set(struct domain *domain, int64_t at_ns, struct err *err);
void domain_timer_close(struct domain *domain);

/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a domain share. */
#pragma once
#include "brood/domain_format.h"
#include "domain/domain.h"
#include "domain/space.h"
#include <time.h>

struct snapshot;
enum { DOMAIN_TIMER_DEADLINE, DOMAIN_TIMER_WRITES, DOMAIN_TIMERS };
struct domain_timer {
	timer_t id;
	pid_t thread; /* whom it interrupts; 0: there is none */
};
enum { DOMAIN_STREAMS = 3 };

struct domain {
	struct domain_options options;
	struct space space;
	struct cpu *cpu;
	struct wasi *wasi;
	domain_serve *serve;
	void *serve_env;
	int64_t deadline_ns;
	enum domain_point point;
	const struct snapshot *origin; /* what it began as, or NULL */
	enum domain_until until;
	/* What was loaded; keys and sums are of who knows them. */
	struct domain_state_code *codes;
	uint32_t code_count;
	/* Of the image of files, where it is known. */
	bool has_files_digest;
	uint8_t files_digest[DOMAIN_STATE_HASH];
	struct domain_timer timers[DOMAIN_TIMERS];
	struct guest_clock clock; /* an earlier look at it */
	/* Writes that the guest may put off, and what came of them. */
	uint32_t ring_done;
	bool holds_writes, has_drained;
	int64_t written_ns;
	uint16_t deferred[DOMAIN_STREAMS];
	uint32_t late;	/* kicks since the deadline, in this run */
	bool is_broken; /* it is not run any more */
	char why[200];	/* it is broken */
	struct domain_counts counts;
	/* The page as it was when the last command was done. */
	struct guest_call done;
};

/* domain_image.c: the system's part of a fresh domain */
int domain_make_system(struct space *space, struct err *err);
/* For a CPU that has to be told; the memory is as it shall be. */
int domain_protect_system(struct cpu *cpu, struct err *err);
const struct guest_image *domain_image(uint64_t *bytes);
void domain_image_hash(uint8_t hash[DOMAIN_STATE_HASH]);

/* domain.c: a domain without a CPU, whose memory is the system's, not made;
 * then its CPU, which sees all parts */
int domain_new(struct domain **domain, const struct domain_options *options,
	       struct err *err);
int domain_open_cpu(struct domain *domain, struct err *err);

/* domain.c: shows an image of files; that the guest knows of already */
int domain_show_files(struct domain *domain, const struct domain_files *files,
		      struct err *err);

/* snapshot.c: registers as they were taken, random bytes and all that makes
 * a domain one of its own */
void snapshot_go(const struct snapshot *snapshot, struct domain *domain);

/* domain_run.c: runs a command to its end.  0, DOMAIN_STOPPED, or the domain
 * is broken. */
int domain_command(struct domain *domain, enum guest_command command,
		   struct err *err);
/* Runs until the guest's next DONE, or where it shall stop. */
int domain_run(struct domain *domain, struct err *err);
int domain_break(struct domain *domain, struct err *err, const char *format,
		 ...) __attribute__((format(printf, 3, 4)));

void domain_clean(char *text); /* of a guest's, to be shown */

/* domain_bell.c: what the guest wants; < 0: it broke a rule */
int domain_answer(struct domain *domain, uint32_t bell, struct err *err);
/* Is its WASI call one for input, of which there is none? */
bool domain_asks_input(struct domain *domain);
void domain_renew(struct domain *domain); /* random bytes, clock, generation */

/* domain_trap.c: sends the guest to its fault entry */
int domain_take_trap(struct domain *domain, const struct cpu_stop *stop,
		     struct err *err);
int domain_take_kick(struct domain *domain, const struct cpu_stop *stop,
		     struct err *err);
/* 0, or the trap with which the run has to end. */
int domain_ended(void *domain);

/* domain_timer.c */
int domain_timer_set(struct domain *domain, int which, int64_t at_ns,
		     struct err *err);
void domain_timers_close(struct domain *domain);

/* domain_local.c: random bytes, the last ones of the pool; the clock */
void domain_put_random(struct domain *domain, uint32_t bytes);
void domain_put_clock(struct domain *domain);
/* Does what the guest has put off.  is_bell: it waits for an answer. */
int domain_drain(struct domain *domain, bool is_bell, struct err *err);
/* What became of writes that were put off: an errno, told once, or 0. */
int domain_deferred(struct domain *domain, uint64_t fd);
void domain_note_write(struct domain *domain);
void domain_note_kick(struct domain *domain);
void domain_hold_no_writes(struct domain *domain);

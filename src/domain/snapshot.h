/* SPDX-License-Identifier: Apache-2.0 */
/* Domains kept and begun again: memory as layers over each other, all else as
 * the state of a tip.					CLAIM 3.10
 *
 *  1. A domain is taken at a bell, when the CPU owes it nothing: its
 *     registers are then all that the CPU has of it.
 *  2. The private pages of its memory, compared with what it began as, are
 *     the next layer.
 *  3. What a state says is checked before any of it is used: a state comes
 *     from a file. */
#pragma once
#include "brood/domain_format.h"
#include "domain/domain.h"
#include "image/tip.h"
#include "image/view.h"

/* A tip that domains begin as: opened once, for any number of them. */
struct snapshot {
	struct tip tip;
	/* The state's file, mapped, and its parts. */
	const struct domain_state *state;
	uint64_t state_bytes;
	void *mapped;
	const struct domain_state_region *regions;
	const struct domain_state_part *parts;
	const struct domain_state_code *codes;
	const uint8_t *wasi;
	struct view view; /* all of its memory; for resets, made when needed */
};
/* Takes the tip over in any case. */
int snapshot_open(struct snapshot *snapshot, struct tip *tip, struct err *err);
void snapshot_close(struct snapshot *snapshot);
/* NULL: the bytes are a state in form; else why not. */
const char *snapshot_check(const void *bytes, uint64_t len);
/* The shape of tips of domains: this guest, this format. */
void snapshot_shape(uint8_t shape[LAYER_ID]);

/* Begins a domain as it was taken; the snapshot stays open as long as it.
 * codes: where the state's codes are, [code_count], each known to be what the
 * state names. */
int snapshot_start(struct domain **domain, const struct domain_options *options,
		   struct snapshot *snapshot, const struct domain_code *codes,
		   struct err *err);
/* A domain that is over, whatever it began as, begins as this: the machine and
 * its CPU are the same ones, which are the half of a start.  When it fails,
 * close it.  -ENOTSUP: where this process is the CPU. */
int snapshot_bind(struct snapshot *snapshot, struct domain *domain,
		  const struct domain_options *options,
		  const struct domain_code *codes, struct err *err);
/* A domain that began as the snapshot is again as it was then, for another
 * tenant: registers, memory, what it had open; random numbers are new.  By
 * what this process has of its own, which "pagemap" tells, opened by the
 * caller (/proc/self/pagemap).  When it fails, or the domain is broken, close
 * it.  Nothing of the domain may be running. */
int snapshot_reset(struct snapshot *snapshot, struct domain *domain,
		   int pagemap, struct err *err);
/* The domain as it is now: *tip, which is what it began as or empty, gets one
 * more layer and a state; it is not published.  wasi: bytes of the state's. */
struct buf;
int snapshot_take(struct domain *domain, const struct images *images,
		  struct tip *tip, const struct buf *wasi, struct err *err);

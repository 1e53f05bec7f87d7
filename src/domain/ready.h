/* SPDX-License-Identifier: Apache-2.0 */
/* A program ready to start domains: what its module is once it is instantiated
 * is kept in the cache, as a difference to the booted guest, so that a start
 * maps it and decodes, links and initialises nothing.
 *
 *	images/base.ID		the guest, booted
 *	images/module.KEY	base and difference: the module's instance
 *
 *  1. The key is of the guest, the module's code, and what the instance was
 *     made with; what does not fit has another name.
 *  2. Kept is only what depends on nothing else: an instantiation that asks
 *     the host for anything but memory is done anew each time.
 *  3. Nothing about the cache is an error: without it domains boot.
 *
 * CLAIM 3.10 3.11 */
#pragma once
#include "domain/program.h"
#include "domain/snapshot.h"

struct ready {
	struct program *program;
	struct domain_options options;
	struct images images; /* folder NULL: none */
	/* What instances are made from, where it is not the module alone: a
	 * snapshot of a process's (vm_snapshot_image). */
	const uint8_t *init;
	uint64_t init_bytes;
	/* What each domain is given: NULL: nothing, or ready_set_files. */
	const struct domain_files *files;
	/* The booted guest: what the first domain began as. */
	struct snapshot base;
	bool has_snapshot;
	struct snapshot snapshot;
	bool was_found; /* in the cache, or by its name */
	void *code;	/* a tip's, mapped */
	uint64_t code_bytes;
	char why[252]; /* nothing is kept */
};
/* The folder for images: malloced; NULL: the cache is off. */
char *ready_folder(const struct cache_options *cache);
/* What is kept there goes again: what was kept longer ago than age_s, all but
 * the youngest "most", and what other builds of the guest have left; "dry":
 * nothing goes.  How many tips, which is 0 where there is no such folder. */
struct ready_sweep {
	int64_t age_s;
	uint64_t most;
	bool dry;
};
extern const struct ready_sweep ready_sweep_usual;
int ready_sweep(const char *folder, const struct ready_sweep *options,
		struct err *err);
/* Both stay as long as this.  folder NULL: nothing is kept, nor found. */
int ready_open(struct ready *ready, const struct domain_options *options,
	       struct program *program, const char *folder, struct err *err);
/* The same of a folder that another has filled, and that is only read. */
int ready_open_given(struct ready *ready, const struct domain_options *options,
		     struct program *program, const char *folder,
		     struct err *err);
/* Of a warm tip (warm.h), which has its program with it: *program is set, and
 * stays; it describes traps by this VM, which has no module yet.  options
 * fuel: only where the tip's program was made for it; memory and stack are the
 * tip's. */
int ready_open_tip(struct ready *ready, const struct domain_options *options,
		   struct program *program, struct vm *vm,
		   const struct images *images, const char *name,
		   struct err *err);
/* From now on each domain has this image of files, which stays; NULL: none.
 * -EINVAL where a tip was made with another one, or without.  Of a tip the
 * digest has to be known. */
int ready_set_files(struct ready *ready, const struct domain_files *files,
		    struct err *err);
void ready_close(struct ready *ready);
/* A domain with an instance of the program, or as the tip has it, which is its
 * module 0 and its instance 0; or how making one has trapped.  The first one is
 * kept, if that can be: its wasi is asked meanwhile. */
int ready_start(struct ready *ready, struct wasi *wasi, int64_t deadline_ns,
		struct domain **domain, struct domain_outcome *outcome,
		struct err *err);
/* Its tenant, of a domain that was started or reset without one. */
int ready_grant(const struct ready *ready, struct domain *domain,
		struct wasi *wasi, int64_t deadline_ns, struct err *err);
/* What the program does from there on, to its end: its _start, or what it was
 * in the middle of.  -ENOENT: it has no _start. */
int ready_run(struct ready *ready, struct domain *domain,
	      struct domain_outcome *outcome, struct err *err);
/* The same in a further instance, made for it beside those that the domain has:
 * nothing is booted, nor reset.  What its tenant leaves in memories goes, but
 * the guest's own stays.			CLAIM 3.9 */
int ready_run_again(struct ready *ready, struct domain *domain,
		    struct domain_outcome *outcome, struct err *err);
/* The same in the machine of a domain that is over, of any program:
 * snapshot_bind.  -ENOTSUP where nothing is kept yet, or there is no KVM. */
int ready_bind(struct ready *ready, struct domain *domain, struct wasi *wasi,
	       int64_t deadline_ns, struct err *err);
/* A domain that ready_start has made is so again, for another tenant; -EPROTO
 * or another failure: close it.  -ENOTSUP where nothing is kept, and of the
 * one that was made so that it could be. */
int ready_reset(struct ready *ready, struct domain *domain, int pagemap,
		struct wasi *wasi, int64_t deadline_ns, struct err *err);

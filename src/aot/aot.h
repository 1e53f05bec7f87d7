/* SPDX-License-Identifier: Apache-2.0 */
/* The optimiser's side without a compiler (docs/optimiser.md): functions of a
 * module are compiled by brood-aotc, a program of its own, some of them in
 * each of its processes, and what it made is read and laid together for who
 * links an image.
 *
 *	aot_choose(module, AOT_HOT, NULL, 30000, &functions, &count, &err);
 *	aot_optimise(&work, &made, &err);
 *	vm_optimise(&vm, module, &made.link, &object, &err);
 *	aot_made_fini(&made);
 *
 * No process is trusted to end, to stay small or to answer right: each has
 * limits, and where one fails its functions are cut in halves and tried
 * again, until what is wrong is one function, which stays as it is. */
#pragma once
#include "aot/object.h"
#include "brood/profile_format.h"

struct buf;

/* ---- which functions ------------------------------------------------------- */

enum aot_which {
	AOT_ALL,
	/* Those that have nearly all of a profile's time, and what they call
	 * that is small; without a profile those with loops, the most promising
	 * of them.  Large ones have to be worth it.  What is chosen can be done
	 * in "cpu_ms", as far as that can be told before. */
	AOT_HOT,
};
/* What runs have told, in any order. */
struct aot_profile {
	const struct profile_row *rows;
	uint32_t count;
};
/* Ascending, malloced; the module is valid.  profile: NULL, there is none. */
int aot_choose(const struct wasm_module *module, enum aot_which which,
	       const struct aot_profile *profile, uint64_t cpu_ms,
	       uint32_t **functions, uint32_t *count, struct err *err);

/* ---- compiling them -------------------------------------------------------- */

struct aot_limits {
	uint32_t chunk_s;      /* CPU time of one process */
	uint32_t total_s;      /* of all; as long as any is left, one begins */
	uint64_t memory_bytes; /* of one process */
	unsigned workers;      /* processes at once; 0: as there are CPUs */
};
extern const struct aot_limits aot_limits_usual;

struct aot_work {
	const struct wasm_module *module;
	const struct jit_options *options;
	const uint32_t *functions; /* ascending */
	uint32_t count;
	const char *program; /* brood-aotc, or what starts it */
	char *const *argv;   /* NULL: its name alone */
	struct aot_limits limits;
	/* Both may be NULL.  How far it is, now and then; and each function
	 * that stays as it is. */
	void (*progress)(void *env, uint32_t done, uint32_t count);
	void (*left)(void *env, uint32_t function, const char *why);
	void *env;
};

struct aot_made {
	struct jit_link link; /* made and constants, nothing else */
	uint32_t left;	      /* functions that were wanted in vain */
	uint32_t processes;
	uint64_t cpu_ms, wall_ms;   /* of all processes; from begin to end */
	uint64_t peak_kib;	    /* of the largest process */
	struct aot_object *objects; /* whose the code is */
	uint32_t object_count;
};
/* Fails only where no process can be started, or there is no memory. */
int aot_optimise(const struct aot_work *work, struct aot_made *made,
		 struct err *err);
void aot_made_fini(struct aot_made *made);

/* The first line that the program tells of its version: it is there, and
 * finds its libraries. */
int aot_version(const char *program, struct buf *text, struct err *err);

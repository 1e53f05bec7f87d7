/* SPDX-License-Identifier: Apache-2.0 */
/* A script that runs, and the ways of running it: in this process, and in a
 * domain.  Modules and instances are what the way says that they are. */
#pragma once
#include "brood/guest_abi.h"
#include "vm/vm.h"
#include "wat/script.h"

enum { SPEC_VALUES = 32 };

/* What "$name" stands for, or the last one where name is NULL. */
struct spec_thing {
	char *name;
	void *thing;
	struct spec_thing *next;
};

struct spec_domain;
struct spec {
	const char *file;
	const struct spec_way *way;
	struct vm_code_options code;
	struct cache_options cache; /* place: NULL, none */
	bool unguarded, stress, strict, verbose, cached, optimised;
	uint64_t seed; /* of the choice of functions; 0: all */
	int made;      /* functions of the last module that are optimised */
	unsigned optimised_functions; /* of all modules */
	struct wasm_host host;
	struct vm vm;
	struct spec_domain *domain;
	struct spec_thing *instances, *definitions;
	unsigned line;
	unsigned asserts, asserts_failed, others, others_failed, words;
	unsigned set_aside;
};

struct spec_results {
	uint32_t count;
	wasm_type types[SPEC_VALUES];
	union wasm_value values[SPEC_VALUES];
	uint32_t matches[SPEC_VALUES]; /* of references: as guest_abi.h says */
};

/* >= 0, or a negative errno and why. */
struct spec_way {
	int (*open)(struct spec *spec, struct err *err);
	void (*close)(struct spec *spec);
	int (*load)(struct spec *spec, const struct buf *bytes, void **module,
		    struct err *err);
	/* 0 and an instance, or a trap; < 0: it does not link. */
	int (*instantiate)(struct spec *spec, void *module, void **instance,
			   enum wasm_trap *trap, struct err *err);
	int (*name)(struct spec *spec, struct wasm_name name, void *instance,
		    struct err *err);
	/* Arguments are [SPEC_VALUES]. */
	int (*act)(struct spec *spec, void *instance,
		   const struct wat_action *action, union wasm_value *arguments,
		   struct spec_results *results, enum wasm_trap *trap,
		   struct err *err);
};

/* Code of the VM's cache for a module that was just loaded; it has to be what
 * was made. */
int spec_check_optimised(struct spec *spec, const struct wasm_module *module,
			 struct err *err);

/* spec_optimised.c.  false: there is no such option here. */
bool spec_optimise_option(struct spec *spec, const char *seed);
int spec_optimise_open(struct spec *spec, struct err *err);
int spec_optimise(struct spec *spec, const struct buf *bytes, struct err *err);
void spec_optimise_close(struct spec *spec);

extern const struct spec_way spec_in_process, spec_in_domain;

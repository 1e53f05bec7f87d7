/* SPDX-License-Identifier: Apache-2.0 */
/* How an entry is started from a payload that is there: program, words and
 * environment.  Each kind has its own way. */
#pragma once
#include "appliance/context.h"
#include "appliance/record.h"

/* root: the folder that the payload is.  Becomes the program; comes back with
 * what was wrong.						CLAIM 4.8 4.12 */
int plan_become(const struct context *context, const struct record *record,
		const struct record_entry *entry, const char *root,
		char *const *argv, struct err *err);

/* The same, told and not done, for who starts it elsewhere: there the payload is
 * "root", and the context's folder, with what it has in it, where "inside"
 * says. */
struct plan_told {
	char **word;	 /* the first is the program; ends with NULL */
	char **variable; /* NAME=VALUE, in the place of others of the name */
};
/* libraries: LD_LIBRARY_PATH there; NULL: it is not set. */
int plan_tell(const struct context *inside, const struct record *record,
	      const struct record_entry *entry, const char *root,
	      const char *libraries, struct plan_told *told, struct err *err);
void plan_told_fini(struct plan_told *told);
#define auto_told __attribute__((cleanup(plan_told_fini)))

/* How each kind is started, for the table of kinds. */
struct plan;
int plan_program(struct plan *plan, struct err *err);
int plan_wasm(struct plan *plan, struct err *err);
int plan_domain(struct plan *plan, struct err *err);
int plan_machine(struct plan *plan, struct err *err);

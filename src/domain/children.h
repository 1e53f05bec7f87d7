/* SPDX-License-Identifier: Apache-2.0 */
/* Domains that a domain asks for: each in a virtual machine of its own, with
 * the parent's standard streams and its own arguments, running beside it.
 *
 * A guest imports, from "brood":
 *
 *	start(name, name_len, arguments, arguments_len) -> child
 *		a program that was granted under this name; arguments are
 *		strings, each with its 0.  A number from 0 on, or the negative
 *		of an errno of WASI: NOENT, NOTCAPABLE (too many live), ..
 *	wait(child, status_at) -> errno
 *		until it has ended; puts its exit code, as "brood run" has it
 *
 * CLAIM 3.13 */
#pragma once
#include "domain/ready.h"

struct children;
/* Opens the program of a name: granted, compiled, its instance kept; called
 * once for each, by the parent's thread.  -ENOENT: there is none. */
typedef int children_find(void *env, const char *name, struct ready **ready,
			  struct err *err);
struct children_options {
	children_find *find;
	void *env;
	int stdio[3];	     /* -1: none */
	int64_t deadline_ns; /* of all; 0: none */
	/* A child that trapped, for people: "trap: ..." and its frames. */
	void (*tell)(void *env, const char *name, const char *text);
};
int children_open(struct children **children,
		  const struct children_options *options, struct err *err);
/* Ends those that still run. */
void children_close(struct children *children);
/* For domain_set_service, with the children as env. */
domain_serve children_serve;

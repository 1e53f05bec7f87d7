/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a template.  It ends up in an image, so it is made of
 * the few variables that a login is described by and of what the spec
 * adds: secrets that the caller happens to have stay out. */
#pragma once
#include "base/err.h"
#include "launch/spec.h"

struct template_environment {
	char **all;   /* what the process gets: plain, then the shim's */
	char **plain; /* without what is there for the shim: for facts */
	int count, plain_count;
};
int template_environment_make(struct template_environment *environment,
			      const struct spec *spec, const char *shim,
			      int control_fd, struct err *err);
void template_environment_fini(struct template_environment *environment);

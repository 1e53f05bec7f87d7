/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime that makes containers: runc, or crun, in PATH; or what
 * BROOD_OCI_RUNTIME names, in PATH or by its path.  What it is started with is
 * what we were: descriptors that engines pass on, streams, environment. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

char *oci_runtime_find(struct err *err); /* malloced */
/* Becomes it; comes back only with an error. */
int oci_runtime_become(const char *runtime, char *const *argv, struct err *err);
/* Runs it to its end: its exit code, 128 + N where a signal ended it.  Signals
 * to us are handed on, and it does not outlive us.  answer: what it writes on
 * its standard output; NULL: that is ours.  quiet: what it says on its standard
 * error is for nobody. */
int oci_runtime_run(const char *runtime, char *const *argv, struct buf *answer,
		    bool quiet, struct err *err);

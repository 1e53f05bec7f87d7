/* SPDX-License-Identifier: Apache-2.0 */
/* Work that may never end, such as touching a server that has gone: done by a
 * process that is left behind when it falls silent.  The caller waits on a
 * pipe alone, so no file that hangs can hang it.
 *
 * The helper is nobody's child that the caller would have to wait for, and
 * holds none of the caller's descriptors.  One that was left behind is killed;
 * if the kernel has it in an uninterruptible sleep, it ends when that does. */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

struct helper; /* seen from inside */
/* The answer goes to the caller, or the error does. */
typedef int helper_work(struct helper *helper, void *context,
			struct buf *answer, struct err *err);
/* Tells the caller that things move; false: nobody listens any more.  What
 * was done last is named when it then falls silent. */
bool helper_tick(struct helper *helper, const char *doing);

struct helper_limits {
	int total_ms;  /* < 0: none */
	int silent_ms; /* between two ticks; < 0: none */
	int keep_fd;   /* stays open inside; 0: none does */
};
/* -ETIME: it was left behind, and err tells what it was doing.  Otherwise
 * what the work returned.  NULL limits: the work is done here. */
int helper_run(const struct helper_limits *limits, helper_work *work,
	       void *context, struct buf *answer, struct err *err);

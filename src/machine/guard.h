/* SPDX-License-Identifier: Apache-2.0 */
/* Who works on machines can be interrupted or killed at any step.  A guard is
 * a process that waits for its end, and then mends at once what it has left
 * half done (half.h): else a QEMU that nobody sees would run on, or a machine
 * stand still, until somebody else comes by. */
#pragma once
#include <sys/types.h>

struct guard {
	pid_t pid; /* 0: there is none */
	int word;  /* closed without one, it is the end */
};
/* Before anything is opened that a guard must not hold too.  Where none can be
 * made, work goes on without. */
void guard_begin(struct guard *guard);
void guard_end(struct guard *guard); /* nothing was left */

/* SPDX-License-Identifier: Apache-2.0 */
/* Is the stopped program one that can be copied, and by which ways?  Seen
 * from outside: /proc/PID/{task,maps,fd,mem,timers,status}. */
#pragma once
#include "base/err.h"
#include "launch/shim_control.h"
#include "launch/witness.h"
#include <stdbool.h>

struct verdict {
	bool clone, hatch;
	char no_clone[160]; /* one line, "" when clone */
	char no_hatch[160];
};
int examine(pid_t pid, const struct control_stopped *stopped,
	    const struct witness *witness, struct verdict *verdict,
	    struct err *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: a plain exec of the program, with the words as they came. */
#include "bare/raw.h"
#include "launch/hatch/starter.h"
#include <errno.h>
#include <string.h>

int exec_floor(struct starter *starter)
{
	long r;

	report_way(starter, "exec", raw_0(getpid), 0);
	r = raw_3(execve, starter->entry.program, starter->argv, starter->envp);
	text_reason(starter, starter->entry.program, " ", entry_words(r));
	text_say(starter, starter->reason);
	return r == -ENOENT ? 127 : 126;
}

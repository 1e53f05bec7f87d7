/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor keeps its process id. */
#include <stdio.h>
#include <unistd.h>

static pid_t started_as;

static void __attribute__((constructor)) before(void)
{
	started_as = getpid();
}

int main(void)
{
	puts(started_as == getpid() ? "the same" : "another process");
	return 0;
}

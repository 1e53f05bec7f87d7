/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor makes a timer, which no fork copies. */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

static void __attribute__((constructor)) before(void)
{
	setitimer(ITIMER_REAL,
		  &(struct itimerval){ .it_value = { .tv_sec = 3600 } }, NULL);
}

int main(void)
{
	puts(alarm(0) ? "a timer" : "no timer");
	return 0;
}

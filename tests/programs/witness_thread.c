/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor starts a thread without asking pthread_create. */
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static char stack[65536] __attribute__((aligned(16)));
static volatile int beats;

static int beat(void *unused)
{
	(void)unused;
	for (;;) {
		beats++;
		syscall(SYS_sched_yield);
	}
	return 0;
}

static void __attribute__((constructor)) before(void)
{
	clone(beat, stack + sizeof stack,
	      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		      CLONE_SYSVSEM,
	      NULL);
}

int main(void)
{
	int before_wait = beats;

	usleep(100000);
	puts(beats != before_wait ? "beats" : "silence");
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* spawn_many N PROGRAM [ARG...]: starts all of them, waits for all, and tells
 * how many microseconds that took.  Input and output are /dev/null.  One that
 * fails is an error: a fast failure is no result. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int start_all(int count, char **argv)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int started = 0;

	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd < 2; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null",
						 fd ? O_WRONLY : O_RDONLY, 0);
	while (started < count && !(errno = posix_spawn(&pid, *argv, &actions,
							NULL, argv, environ)))
		started++;
	posix_spawn_file_actions_destroy(&actions);
	return started;
}

static int wait_all(int count)
{
	int status, failed = 0;

	while (count-- > 0)
		failed += wait(&status) < 0 || status != 0;
	return failed;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0, started, failed;
	double start_us;

	if (count < 1) {
		fprintf(stderr, "usage: spawn_many N PROGRAM [ARG...]\n");
		return 100;
	}
	start_us = now_us();
	started = start_all(count, argv + 2);
	if (started < count)
		fprintf(stderr, "spawn_many: %s: %s\n", argv[2],
			strerror(errno));
	failed = wait_all(started);
	if (failed)
		fprintf(stderr, "spawn_many: %d of %d failed\n", failed, count);
	printf("%.0f\n", now_us() - start_us);
	return failed || started < count ? 111 : 0;
}

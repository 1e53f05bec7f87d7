/* SPDX-License-Identifier: Apache-2.0 */
/* The C API in one screen: keep a program warm, start it three times, tell
 * how each start went.
 *
 *	start PROGRAM [ARG...]		e.g.  start clang --version */
#include "brood/brood.h"
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int start_one(char **argv, enum brood_via via, const char *word)
{
	struct brood_launch launch = {
		.program = argv[0],
		.argv = argv,
		.via = via,
	};
	struct brood_error error;
	double start = now_ms();
	pid_t pid = brood_launch(&launch, &error);
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		fprintf(stderr, "start: %s\n", error.text);
		return -1;
	}
	fprintf(stderr, "%-5s  pid %d  exit %d  %.2f ms\n", word, (int)pid,
		WIFEXITED(status) ? WEXITSTATUS(status)
				  : 128 + WTERMSIG(status),
		now_ms() - start);
	return 0;
}

int main(int argc, char **argv)
{
	struct brood_error error;

	if (argc < 2) {
		fprintf(stderr, "usage: start PROGRAM [ARG...]\n");
		return 100;
	}
	if (brood_serve(argv[1], NULL, &error) < 0)
		fprintf(stderr, "start: it will be cold: %s\n", error.text);
	if (start_one(argv + 1, BROOD_EXEC, "exec") < 0 ||
	    start_one(argv + 1, BROOD_HATCH, "hatch") < 0 ||
	    start_one(argv + 1, BROOD_CLONE, "clone") < 0)
		return 111;
	if (brood_stop(argv[1], &error) < 0)
		fprintf(stderr, "start: %s\n", error.text);
	return 0;
}

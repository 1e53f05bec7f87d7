/* SPDX-License-Identifier: Apache-2.0 */
/* flags: -shared -fPIC */
/* A fork server as fuzzers have it, to measure against: preloaded, it stops
 * the program before its main and forks a child for each byte that comes
 * through one pipe; the child's status goes back through another.  Arguments
 * and environment are those of the server, and so are the child's folder,
 * descriptors, limits, parent and session.
 *
 *	PEER=FOLDER LD_PRELOAD=peer_server PROGRAM ARG...	(FOLDER/ask,
 *	FOLDER/answer: fifos)
 *
 * Without PEER the program just runs, and the microseconds from its main to
 * its end are added to the file PEER_TIMES: what no start can save. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef int main_fn(int, char **, char **);
typedef int start_fn(main_fn *, int, char **, void (*)(void), void (*)(void),
		     void (*)(void), void *);

static main_fn *peer_main;

static int peer_open(const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", getenv("PEER"), name);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int peer_serve(int argc, char **argv, char **envp)
{
	int ask = peer_open("ask"), answer = peer_open("answer");
	char byte;

	if (ask < 0 || answer < 0)
		return 111;
	while (read(ask, &byte, 1) == 1 && byte != 'q') {
		int status = 111 << 8;
		pid_t pid = fork();

		if (pid == 0)
			return peer_main(argc, argv, envp);
		waitpid(pid, &status, 0);
		if (write(answer, &status, sizeof status) != sizeof status)
			break;
	}
	_exit(0);
}

static struct timespec timed_start;

static void timed_end(int status, void *path)
{
	struct timespec now;
	FILE *file;

	(void)status;
	clock_gettime(CLOCK_MONOTONIC, &now);
	file = fopen(path, "ae");
	if (!file)
		return;
	fprintf(file, "%ld\n",
		(now.tv_sec - timed_start.tv_sec) * 1000000 +
			(now.tv_nsec - timed_start.tv_nsec) / 1000);
	fclose(file);
}

static int peer_timed(int argc, char **argv, char **envp)
{
	clock_gettime(CLOCK_MONOTONIC, &timed_start);
	return peer_main(argc, argv, envp);
}

__attribute__((visibility("default"))) int
__libc_start_main(main_fn *, int, char **, void (*)(void), void (*)(void),
		  void (*)(void), void *);

int __libc_start_main(main_fn *program, int argc, char **argv,
		      void (*init)(void), void (*fini)(void),
		      void (*loader_fini)(void), void *stack_end)
{
	start_fn *real = (start_fn *)dlsym(RTLD_NEXT, "__libc_start_main");

	peer_main = program;
	if (getenv("PEER"))
		program = peer_serve;
	else if (getenv("PEER_TIMES") &&
		 on_exit(timed_end, getenv("PEER_TIMES")) == 0)
		program = peer_timed;
	return real(program, argc, argv, init, fini, loader_fini, stack_end);
}

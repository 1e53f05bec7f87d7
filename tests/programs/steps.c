/* SPDX-License-Identifier: Apache-2.0 */
/* flags: -fstack-protector-all -O1 */
/* Prepares much, says that it is ready, opens a file, and then does what the
 * lines of its standard input tell:
 *
 *	steps [FILE]
 *	  tell		argv, environment, folder, umask, descriptors
 *	  add N		adds to a sum that lies in prepared memory
 *	  random	bytes from the kernel
 *	  deep N	calls itself N times, with a guarded array in each frame
 *	  thread	does a sum in a thread
 *	  child		forks, and tells what the child has seen
 *	  pid		its process id, as the kernel has it and as libc has it
 *	  exit N, kill N, wait
 *
 * Each of the points "ready", "open:FILE" and "stdin" lies further inside
 * main than the one before. */
#include "brood/brood.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TABLE = 1 << 17 };

extern char **environ;
static const char *colour;
static long *table;

static void prepare(void)
{
	table = malloc(TABLE * sizeof *table);
	if (!table)
		abort();
	for (int i = 0; i < TABLE; i++)
		table[i] = i % 7;
	colour = getenv("STEPS_COLOUR");
	printf("prepared in %s\n", colour ? colour : "grey");
}

static void read_file(const char *path)
{
	char text[64] = "";
	FILE *file = fopen(path, "r");

	if (!file || !fgets(text, sizeof text, file))
		strcpy(text, "nothing\n");
	if (file)
		fclose(file);
	printf("%s holds %s", path, text);
}

static void tell(int argc, char **argv)
{
	char folder[4096];
	struct stat st;
	mode_t mask = umask(0);

	umask(mask);
	for (int i = 0; i < argc; i++)
		printf("argv %d %s\n", i, argv[i]);
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "BROOD_", 6) != 0 && strncmp(*e, "_=", 2) != 0)
			printf("env %s\n", *e);
	printf("umask %o folder %s\n", mask,
	       getcwd(folder, sizeof folder) ? folder : "gone");
	for (int fd = 0; fd < 64; fd++)
		if (fstat(fd, &st) == 0)
			printf("fd %d type %o\n", fd, st.st_mode & S_IFMT);
}

static void add(long number)
{
	long sum = 0;

	for (int i = 0; i < TABLE; i++)
		sum += table[i] += number;
	printf("sum %ld\n", sum);
}

static void tell_random(void)
{
	unsigned long bytes = 0;

	if (getrandom(&bytes, sizeof bytes, 0) == sizeof bytes)
		printf("random %lx\n", bytes);
}

static int deep(long depth)
{
	volatile char room[64];

	memset((char *)room, (int)depth, sizeof room);
	if (depth > 0 && deep(depth - 1) != (int)((depth - 1) & 127))
		abort();
	return room[depth & 63] & 127;
}

static void *sum_table(void *unused)
{
	long sum = 0;

	for (int i = 0; i < TABLE; i++)
		sum += table[i];
	printf("thread %ld\n", sum);
	return unused;
}

static void in_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, sum_table, NULL) == 0)
		pthread_join(thread, NULL);
}

static void in_child(void)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(deep(100) == 100 ? 42 : 1);
	waitpid(pid, &status, 0);
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void tell_pid(void)
{
	printf("pid %s\n",
	       syscall(SYS_getpid) == getpid() && getpid() == gettid()
		       ? "agrees"
		       : "differs");
}

static void obey(const char *line, int argc, char **argv)
{
	long number = 0;

	if (!strncmp(line, "tell", 4))
		tell(argc, argv);
	else if (sscanf(line, "add %ld", &number) == 1)
		add(number);
	else if (!strncmp(line, "random", 6))
		tell_random();
	else if (sscanf(line, "deep %ld", &number) == 1)
		printf("deep %d\n", deep(number));
	else if (!strncmp(line, "thread", 6))
		in_thread();
	else if (!strncmp(line, "child", 5))
		in_child();
	else if (!strncmp(line, "pid", 3))
		tell_pid();
	else if (sscanf(line, "exit %ld", &number) == 1)
		exit((int)number);
	else if (sscanf(line, "kill %ld", &number) == 1)
		fflush(stdout), kill(getpid(), (int)number);
	else if (!strncmp(line, "wait", 4))
		fflush(stdout), pause();
	else
		printf("what is %s", line);
}

int main(int argc, char **argv)
{
	char line[256];

	prepare();
	if (brood_ready)
		brood_ready();
	read_file(argc > 1 ? argv[1] : "/nowhere");
	while (fgets(line, sizeof line, stdin))
		obey(line, argc, argv);
	printf("over\n");
	return ferror(stdin) ? 3 : 0;
}

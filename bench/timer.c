/* SPDX-License-Identifier: Apache-2.0 */
/* timer COMMANDS RUNS: runs the commands of a file (a line each, words
 * separated by tabs) in turn, RUNS times, stdio on /dev/null, and prints a
 * line of times in microseconds for each command.  From vfork to the reaped
 * exit. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS_MOST = 32, WORDS_MOST = 64 };

extern char **environ;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double run_once(char **argv, posix_spawn_file_actions_t *actions)
{
	double start = now_us();
	pid_t pid;
	int status;
	int failed = posix_spawn(&pid, argv[0], actions, NULL, argv, environ);

	if (failed) {
		fprintf(stderr, "%s: %s\n", argv[0], strerror(failed));
		exit(111);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			exit(111);
	return now_us() - start;
}

static int read_commands(const char *path, char **commands[])
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int count = 0;

	if (!file) {
		perror(path);
		exit(111);
	}
	while (count < COMMANDS_MOST && getline(&line, &room, file) > 0) {
		char **argv = calloc(WORDS_MOST, sizeof *argv);
		char *next = strdup(line);

		next[strcspn(next, "\n")] = 0;
		for (int i = 0; i < WORDS_MOST - 1 && next; i++)
			argv[i] = strsep(&next, "\t");
		commands[count++] = argv;
	}
	free(line);
	fclose(file);
	return count;
}

int main(int argc, char **argv)
{
	char **commands[COMMANDS_MOST];
	posix_spawn_file_actions_t actions;

	if (argc != 3) {
		fprintf(stderr, "usage: timer COMMANDS RUNS\n");
		return 100;
	}
	int count = read_commands(argv[1], commands);
	int runs = atoi(argv[2]);
	double *times = calloc((size_t)count * runs, sizeof *times);

	posix_spawn_file_actions_init(&actions);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null",
						 O_RDWR, 0);
	for (int r = 0; r < runs; r++)
		for (int c = 0; c < count; c++)
			times[c * runs + r] = run_once(commands[c], &actions);
	for (int c = 0; c < count; c++) {
		for (int r = 0; r < runs; r++)
			printf("%.1f ", times[c * runs + r]);
		printf("\n");
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How long does a command take from its spawn to its end?
 *
 *	spawn_time [-n RUNS] [-t] [-e FOLDER] FILE
 *
 * FILE has a command a line: NAME, a tab, and words split at spaces:
 * VARIABLE=VALUE for its environment, a path, arguments.  The commands run in
 * rounds - all once, all again, in another order each time - so that what else
 * the machine does, and what a command leaves behind for the next, falls on
 * all of them alike; two rounds go before the first that counts.  Input and
 * output are /dev/null.  FOLDER is emptied before each run of each command.
 *
 * Told for each: median, 10 and 90 per cent of the runs, and the ratio of
 * the first command's median to this one's.  -t: tab-separated, in
 * microseconds, for scripts.  Then come the most memory that was resident, in
 * kB - not less than this program's own, which each command starts from - and
 * the median of the CPU time that it took, of all its threads.  A
 * run that ends with another status than the first one of the same name is an
 * error: a fast failure is no result. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS_MOST = 64, WORDS_MOST = 64, LINE_MOST = 8192, ROUNDS_WARM = 2 };

struct command {
	char *line; /* owned, behind name and words */
	char *name;
	char *word[WORDS_MOST + 1];
	char **path;	    /* the word where the command begins */
	char **environment; /* owned where it is not everybody's */
	double *us, *cpu_us;
	long peak_kb;
	int status;
};
struct bench {
	struct command command[COMMANDS_MOST];
	int count, runs;
	bool table;
	const char *emptied;
	posix_spawn_file_actions_t actions;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int fail(const char *what)
{
	fprintf(stderr, "spawn_time: %s: %s\n", what, strerror(errno));
	return 111;
}

static bool is_set_by(const char *variable, char *const *words,
		      char *const *words_end)
{
	size_t name_len = strcspn(variable, "=") + 1;

	for (; words < words_end; words++)
		if (!strncmp(variable, *words, name_len))
			return true;
	return false;
}

static bool is_setting(const char *word)
{
	return word && word[strcspn(word, "=/")] == '=';
}

static bool parse_environment(struct command *command)
{
	extern char **environ;
	size_t count = 0, set = 0;

	command->path = command->word;
	command->environment = environ;
	while (is_setting(*command->path))
		command->path++;
	if (command->path == command->word)
		return *command->path;
	while (environ[count])
		count++;
	command->environment = calloc(count + WORDS_MOST, sizeof(char *));
	if (!command->environment)
		return false;
	for (size_t i = 0; i < count; i++)
		if (!is_set_by(environ[i], command->word, command->path))
			command->environment[set++] = environ[i];
	for (char **word = command->word; word < command->path; word++)
		command->environment[set++] = *word;
	return *command->path;
}

static bool parse_line(const char *text, struct command *command)
{
	int count = 0;
	char *save = NULL;

	command->line = strdup(text);
	if (!command->line)
		return false;
	command->name = strtok_r(command->line, "\t\n", &save);
	while (count < WORDS_MOST &&
	       (command->word[count] = strtok_r(NULL, " \n", &save)))
		count++;
	return command->name && parse_environment(command);
}

static int read_commands(const char *path, struct bench *bench)
{
	FILE *file = fopen(path, "re");
	char line[LINE_MOST];

	if (!file)
		return fail(path);
	while (bench->count < COMMANDS_MOST && fgets(line, sizeof(line), file))
		if (line[0] != '\n' && line[0] != '#' &&
		    parse_line(line, &bench->command[bench->count]))
			bench->count++;
	fclose(file);
	return bench->count ? 0 : 100;
}

static int remove_entry(const char *path, const struct stat *st, int kind,
			struct FTW *at)
{
	(void)st;
	(void)kind;
	return at->level > 0 ? remove(path) : 0;
}

static double us_of(const struct timeval *t)
{
	return (double)t->tv_sec * 1e6 + (double)t->tv_usec;
}

static double time_one(const struct bench *bench, struct command *command,
		       double *cpu_us)
{
	double start = now_us();
	struct rusage usage;
	pid_t pid;

	errno = posix_spawn(&pid, *command->path, &bench->actions, NULL,
			    command->path, command->environment);
	if (errno || wait4(pid, &command->status, 0, &usage) < 0)
		return -1;
	if (usage.ru_maxrss > command->peak_kb)
		command->peak_kb = usage.ru_maxrss;
	*cpu_us = us_of(&usage.ru_utime) + us_of(&usage.ru_stime);
	return now_us() - start;
}

static int run_one(const struct bench *bench, struct command *command,
		   int round)
{
	int before = command->status;
	double us, cpu_us;

	if (bench->emptied &&
	    nftw(bench->emptied, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
		return fail(bench->emptied);
	us = time_one(bench, command, &cpu_us);
	if (us < 0)
		return fail(*command->path);
	if (round > -ROUNDS_WARM && command->status != before) {
		fprintf(stderr, "spawn_time: %s: status %x, before %x\n",
			command->name, command->status, before);
		return 111;
	}
	if (round >= 0) {
		command->us[round] = us;
		command->cpu_us[round] = cpu_us;
	}
	return 0;
}

static void shuffle(int *order, int count, unsigned *state)
{
	for (int i = count - 1; i > 0; i--) {
		int other = rand_r(state) % (i + 1), kept = order[i];

		order[i] = order[other];
		order[other] = kept;
	}
}

static int run_all(struct bench *bench)
{
	int order[COMMANDS_MOST], result = 0;
	unsigned state = 1;

	for (int i = 0; i < bench->count; i++)
		order[i] = i;
	for (int round = -ROUNDS_WARM; round < bench->runs; round++) {
		shuffle(order, bench->count, &state);
		for (int i = 0; i < bench->count && !result; i++)
			result = run_one(bench, &bench->command[order[i]],
					 round);
	}
	return result;
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double part(const struct bench *bench, int index, int tenths)
{
	int at = bench->runs * tenths / 10;

	return bench->command[index]
		.us[at < bench->runs ? at : bench->runs - 1];
}

static void tell(const struct bench *bench)
{
	double base = part(bench, 0, 5);

	for (int i = 0; i < bench->count; i++) {
		const char *format =
			bench->table ? "%s\t%.0f\t%.0f\t%.0f\t%.3f\t%ld\t%.0f\n"
				     : "%-28s %9.0f us  (%.0f to %.0f)  "
				       "x%.2f  %ld kB  CPU %.0f us\n";
		double middle = part(bench, i, 5);

		printf(format, bench->command[i].name, middle,
		       part(bench, i, 1), part(bench, i, 9), base / middle,
		       bench->command[i].peak_kb,
		       bench->command[i].cpu_us[bench->runs / 2]);
	}
}

static int prepare(struct bench *bench)
{
	posix_spawn_file_actions_init(&bench->actions);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&bench->actions, fd,
						 "/dev/null",
						 fd ? O_WRONLY : O_RDONLY, 0);
	for (int i = 0; i < bench->count; i++) {
		bench->command[i].us =
			calloc((size_t)bench->runs, sizeof(double));
		bench->command[i].cpu_us =
			calloc((size_t)bench->runs, sizeof(double));
		if (!bench->command[i].us || !bench->command[i].cpu_us)
			return fail("memory");
	}
	return 0;
}

static void done(struct bench *bench)
{
	extern char **environ;

	posix_spawn_file_actions_destroy(&bench->actions);
	for (int i = 0; i < bench->count; i++) {
		if (bench->command[i].environment != environ)
			free(bench->command[i].environment);
		free(bench->command[i].us);
		free(bench->command[i].cpu_us);
		free(bench->command[i].line);
	}
}

static int parse_options(int argc, char **argv, struct bench *bench)
{
	int option;

	bench->runs = 15;
	while ((option = getopt(argc, argv, "n:te:")) > 0) {
		if (option == 'n')
			bench->runs = atoi(optarg);
		else if (option == 't')
			bench->table = true;
		else if (option == 'e')
			bench->emptied = optarg;
		else
			return 100;
	}
	return optind + 1 == argc && bench->runs > 0 && bench->runs < 1000000
		       ? 0
		       : 100;
}

int main(int argc, char **argv)
{
	struct bench bench = { 0 };
	int result = parse_options(argc, argv, &bench);

	if (!result)
		result = read_commands(argv[optind], &bench);
	if (result == 100) {
		fprintf(stderr, "usage: spawn_time [-n RUNS] [-t] "
				"[-e FOLDER] FILE\n");
		return result;
	}
	if (!result)
		result = prepare(&bench);
	if (!result)
		result = run_all(&bench);
	for (int i = 0; !result && i < bench.count; i++) {
		qsort(bench.command[i].us, (size_t)bench.runs, sizeof(double),
		      by_size);
		qsort(bench.command[i].cpu_us, (size_t)bench.runs,
		      sizeof(double), by_size);
	}
	if (!result)
		tell(&bench);
	done(&bench);
	return result;
}

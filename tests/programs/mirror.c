/* SPDX-License-Identifier: Apache-2.0 */
/* Tells what it was started with, does one thing that it is told, ends.
 *
 *	mirror state		argv, environ, cwd, umask, limits, ... as text
 *	mirror exit N | signal N | see FD | cat | sleep | sum | size
 *	mirror listen | job
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void tell_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

	printf("%s %zd ", path, n);
	for (ssize_t i = 0; i < n; i++)
		putchar(text[i] ? text[i] : '|');
	putchar('\n');
	if (fd >= 0)
		close(fd);
}

static void tell_descriptors(void)
{
	struct stat st;

	for (int fd = 0; fd < 1024; fd++) {
		if (fstat(fd, &st) < 0)
			continue;
		printf("fd %d type %o flags %x\n", fd, st.st_mode & S_IFMT,
		       fcntl(fd, F_GETFL) & ~O_LARGEFILE);
	}
}

static void tell_signals(void)
{
	sigset_t blocked;
	struct sigaction action;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int i = 1; i < 65; i++) {
		if (sigismember(&blocked, i) == 1)
			printf("blocked %d\n", i);
		if (sigaction(i, NULL, &action) == 0 &&
		    action.sa_handler != SIG_DFL)
			printf("signal %d %s\n", i,
			       action.sa_handler == SIG_IGN ? "ignored"
							    : "handled");
	}
}

static void tell_state(int argc, char **argv)
{
	struct rlimit limit;
	char cwd[4096];
	mode_t mask = umask(0);

	umask(mask);
	for (int i = 0; i < argc; i++)
		printf("argv %d %s\n", i, argv[i]);
	/* _ is the shell's word for what it executed: the starter */
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "BROOD_", 6) != 0 && strncmp(*e, "_=", 2) != 0)
			printf("env %s\n", *e);
	printf("name %s\n", program_invocation_name);
	printf("cwd %s\n", getcwd(cwd, sizeof cwd) ? cwd : strerror(errno));
	printf("umask %o nice %d\n", mask, getpriority(PRIO_PROCESS, 0));
	for (int i = 0; i < 16; i++)
		if (getrlimit(i, &limit) == 0)
			printf("limit %d %lu %lu\n", i, limit.rlim_cur,
			       limit.rlim_max);
	tell_signals();
	tell_descriptors();
	tell_file("/proc/self/comm");
	tell_file("/proc/self/cmdline");
	tell_file("/proc/self/coredump_filter");
	printf("break %s\n", sbrk(4096) == (void *)-1 ? "fails" : "grows");
}

static int do_cat(void)
{
	static char room[65536];
	ssize_t n;

	while ((n = read(0, room, sizeof room)) > 0)
		if (write(1, room, n) != n)
			return 1;
	return n < 0;
}

static int do_sum(void)
{
	static unsigned char room[65536];
	uint64_t sum = 0, len = 0;
	ssize_t n;

	while ((n = read(0, room, sizeof room)) > 0) {
		len += n;
		for (ssize_t i = 0; i < n; i += 512)
			sum += room[i];
	}
	printf("%lu %lu\n", len, sum);
	return n < 0;
}

static int do_size(int argc, char **argv)
{
	size_t args = 0, env = 0;

	for (int i = 0; i < argc; i++)
		args += strlen(argv[i]) + 1;
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "BROOD_", 6) != 0)
			env += strlen(*e) + 1;
	printf("%zu %zu\n", args, env);
	return 0;
}

static void on_signal(int number)
{
	static const char digits[] = "0123456789";
	char line[] = {
		's', 'i', 'g', ' ', digits[number / 10], digits[number % 10],
		'\n'
	};

	if (write(1, line, sizeof line) < 0)
		_exit(3);
	if (number == SIGTERM)
		_exit(7);
}

static int do_listen(void)
{
	static const int numbers[] = { SIGHUP,	SIGINT,	 SIGUSR1, SIGUSR2,
				       SIGQUIT, SIGALRM, SIGTERM, SIGWINCH };

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		signal(numbers[i], on_signal);
	if (write(1, "listening\n", 10) < 0)
		return 1;
	for (;;)
		pause();
}

static void on_job(int number, siginfo_t *info, void *context)
{
	char line[80];
	int len = snprintf(line, sizeof line, "sig %d code %d value %d\n",
			   number, info->si_code,
			   info->si_code == SI_QUEUE ? info->si_int : 0);

	(void)context;
	if (write(1, line, len) < 0)
		_exit(3);
	if (number == SIGTERM)
		_exit(7);
	if (number == SIGTTIN) {
		usleep(20000);
		raise(SIGSTOP);
	}
}

/* TSTP is handled, TTIN leads to a stop, TTOU is ignored. */
static int do_job(void)
{
	static const int numbers[] = { SIGTERM, SIGUSR1, SIGTSTP, SIGTTIN,
				       SIGCONT, SIGCHLD, SIGALRM, 40 };
	struct sigaction action = { .sa_sigaction = on_job,
				    .sa_flags = SA_SIGINFO };

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaction(numbers[i], &action, NULL);
	signal(SIGTTOU, SIG_IGN);
	if (write(1, "working\n", 8) < 0)
		return 1;
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "state";

	if (!strcmp(what, "state"))
		tell_state(argc, argv);
	else if (!strcmp(what, "exit"))
		return argc > 2 ? atoi(argv[2]) : 0;
	else if (!strcmp(what, "signal"))
		raise(argc > 2 ? atoi(argv[2]) : SIGTERM);
	else if (!strcmp(what, "see"))
		printf("%d\n", argc > 2 ? fcntl(atoi(argv[2]), F_GETFD) : 0);
	else if (!strcmp(what, "cat"))
		return do_cat();
	else if (!strcmp(what, "sum"))
		return do_sum();
	else if (!strcmp(what, "size"))
		return do_size(argc, argv);
	else if (!strcmp(what, "listen"))
		return do_listen();
	else if (!strcmp(what, "job"))
		return do_job();
	else if (!strcmp(what, "sleep"))
		poll(NULL, 0, 60000);
	return 0;
}

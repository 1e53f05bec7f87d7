/* SPDX-License-Identifier: Apache-2.0 */
/* A program whose constructor leaves traces that an instance must have too:
 * a signal handler, an ignored signal, exit handlers, text in the buffer of
 * stdout.  main raises the signal and ends in the way that it is told:
 *
 *	hooks [exit | return | quick | thread | signal N]
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_usr1(int number)
{
	caught = number;
}

static void first_out(void)
{
	puts("exit handler of the constructor");
}

static void last_in(void)
{
	puts("exit handler of main");
}

static void __attribute__((constructor)) begin(void)
{
	struct sigaction action = { .sa_handler = on_usr1 };

	sigaction(SIGUSR1, &action, NULL);
	signal(SIGUSR2, SIG_IGN);
	atexit(first_out);
}

static void __attribute__((destructor)) end(void)
{
	puts("destructor");
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "return";

	atexit(last_in);
	raise(SIGUSR1);
	raise(SIGUSR2);
	printf("caught %d\n", (int)caught);
	if (!strcmp(how, "exit"))
		exit(3);
	fflush(stdout);
	if (!strcmp(how, "quick"))
		_exit(4);
	if (!strcmp(how, "thread"))
		pthread_exit(NULL);
	if (!strcmp(how, "signal"))
		raise(argc > 2 ? atoi(argv[2]) : SIGSEGV);
	return 5;
}

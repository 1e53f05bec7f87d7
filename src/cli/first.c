/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/first.h"
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static void first_end(int number)
{
	_exit(128 + number);
}

void first_take_signals(void)
{
	static const int ends[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
				    SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU };
	struct sigaction action = { .sa_handler = first_end }, old;

	if (getpid() != 1)
		return;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (sigaction(ends[i], NULL, &old) == 0 &&
		    old.sa_handler == SIG_DFL)
			sigaction(ends[i], &action, NULL);
}

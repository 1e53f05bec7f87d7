/* SPDX-License-Identifier: Apache-2.0 */
/* The signal that ends runs.  It comes to the thread that runs, so that KVM
 * returns from the guest; where this process is the CPU, the handler is in
 * the guest's place. */
#include "domain/cpu.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>

static void kick_handle(int number, siginfo_t *info, void *context)
{
	struct cpu *cpu = info->si_value.sival_ptr;
	int error = errno;

	(void)number;
	if (info->si_code == SI_TIMER)
		cpu->kind->kick(cpu);
	cpu_process_interrupted(context);
	errno = error;
}

static void kick_set(void)
{
	struct sigaction action = { .sa_sigaction = kick_handle,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK |
						SA_RESTART };

	sigemptyset(&action.sa_mask);
	sigaction(SIGRTMIN, &action, NULL);
}

void cpu_kick_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, kick_set);
}

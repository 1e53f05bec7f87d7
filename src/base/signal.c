/* SPDX-License-Identifier: Apache-2.0 */
/* All of this is called in handlers, and allocates nothing. */
#include "base/signal.h"
#include <pthread.h>

void signal_take(int number, signal_handler *handler, struct sigaction *earlier)
{
	struct sigaction action = { .sa_sigaction = handler,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&action.sa_mask);
	sigaction(number, NULL, earlier);
	sigaction(number, &action, NULL);
}

/* Sent by someone, it has to be sent again; else the instruction does it. */
static void signal_default(int number, const siginfo_t *info)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(number, &action, NULL);
	if (info->si_code <= 0)
		raise(number);
}

/* As the kernel calls a handler: its mask, its flags, its form. */
static void signal_call(struct sigaction *of, int number, siginfo_t *info,
			void *context)
{
	struct sigaction earlier = *of;
	sigset_t mask = earlier.sa_mask, own;

	if (earlier.sa_flags & SA_RESETHAND)
		of->sa_handler = SIG_DFL;
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (earlier.sa_flags & SA_NODEFER && !sigismember(&mask, number)) {
		sigemptyset(&own);
		sigaddset(&own, number);
		pthread_sigmask(SIG_UNBLOCK, &own, NULL);
	}
	if (earlier.sa_flags & SA_SIGINFO)
		earlier.sa_sigaction(number, info, context);
	else
		earlier.sa_handler(number);
}

void signal_hand_on(struct sigaction *earlier, int number, siginfo_t *info,
		    void *context)
{
	if (earlier->sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	if (earlier->sa_handler == SIG_DFL || earlier->sa_handler == SIG_IGN)
		signal_default(number, info);
	else
		signal_call(earlier, number, info, context);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers that stand in front of others: what is not theirs goes to who had
 * the signal before, as the kernel would have called it. */
#pragma once
#include <signal.h>

typedef void signal_handler(int number, siginfo_t *info, void *context);

/* On the alternate stack where a thread has one.  What was there is known
 * before the handler can be called. */
void signal_take(int number, signal_handler *handler,
		 struct sigaction *earlier);
/* In a handler.  The default action is taken by letting the instruction fault
 * once more, so that a dump shows the place. */
void signal_hand_on(struct sigaction *earlier, int number, siginfo_t *info,
		    void *context);

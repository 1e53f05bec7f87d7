/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that closes used-up domains: a VM's end takes longer than its
 * begin, and who has run something in it has better to do.  CLAIM 3.11 */
#pragma once
#include "domain/domain.h"
#include <pthread.h>

struct reaper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct domain *waiting;
	bool is_started, is_ending;
};
int reaper_open(struct reaper *reaper, struct err *err);
/* Takes the domain, whose last user has nothing more to do with it; where
 * there is one that waits already, the caller closes his himself. */
void reaper_take(struct reaper *reaper, struct domain *domain);
/* Closes what waits. */
void reaper_close(struct reaper *reaper);

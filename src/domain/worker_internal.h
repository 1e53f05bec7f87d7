/* SPDX-License-Identifier: Apache-2.0 */
/* What the threads of a worker share. */
#pragma once
#include "domain/domain_wire.h"
#include "domain/kvm.h"
#include "domain/reaper.h"
#include "domain/worker.h"
#include <pthread.h>

enum runner_state {
	RUNNER_NONE,
	RUNNER_MAKES, /* it is about to wait */
	RUNNER_WAITS,
	RUNNER_RUNS,
	RUNNER_LEAVES,
};

struct hive;
struct runner {
	struct hive *hive;
	uint32_t number;
	pthread_t thread;
	struct domain *domain;
	uint32_t uses;
	struct domain_wire_launch *launch; /* room for any */
	/* Under the hive's lock: */
	enum runner_state state;
	struct domain *running; /* may be told to end */
	uint32_t turn;		/* of its launches */
	bool is_gone;		/* whose caller */
};

/* All that a worker has. */
struct hive {
	const struct worker_plan *plan;
	struct worker_page *page;
	struct reaper reaper;
	struct kvm_sentinel sentinel;
	int channel, epoll, wake, pagemap, rollup;
	uint32_t most;	      /* runners */
	struct domain *alone; /* the one, until its runner has it */
	pthread_mutex_t lock;
	struct runner runners[WORKER_RUNNERS];
	uint32_t waiting, making, running, runner_count;
	bool is_draining, is_full;
	pthread_mutex_t words; /* the VM that describes traps has one user */
};

/* Of an epoll event. */
enum { HIVE_CHANNEL = 1, HIVE_WAKE, HIVE_RUN };
static inline uint64_t hive_event(uint32_t kind, uint32_t number, uint32_t turn)
{
	return kind | (uint64_t)number << 8 | (uint64_t)turn << 32;
}

/* worker_hive.c: in the jailed process; returns when it shall end. */
int hive_open(struct hive *hive, struct err *err);
void hive_loop(struct hive *hive);

/* worker_run.c: a thread's life */
void *runner_main(void *runner);

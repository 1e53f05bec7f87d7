/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: started, waited for, asked about. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What it may have at the most; 0: as we. */
struct process_limits {
	uint64_t memory_bytes; /* of address space */
	uint64_t file_bytes;   /* of each file that it writes */
	uint32_t cpu_s;
	int nice; /* more than ours */
};

struct process_plan {
	const char *path; /* executed as it is, no PATH search */
	char *const *argv;
	char *const *envp; /* NULL: ours */
	const char *cwd;   /* NULL: ours */
	int fds[3];	   /* 0, 1, 2 of the child; -1: /dev/null */
	const int *keep;   /* further descriptors, same numbers, kept */
	int keep_count;
	bool new_session, new_group;
	bool traced;	   /* PTRACE_TRACEME before exec */
	bool dies_with_us; /* killed when the thread that starts it ends */
	const struct process_limits *limits; /* and no core; NULL: ours */
};
/* Starts it; a failed exec is reported here, not by an exit status. */
pid_t process_start(const struct process_plan *plan, struct err *err);
int process_pidfd(pid_t pid, struct err *err);
int process_wait(pid_t pid, int timeout_ms, int *status); /* -ETIME */
/* To the defaults of a fresh program: handlers, mask. */
void process_reset_signals(void);
char *process_exe(pid_t pid); /* malloced, NULL when it cannot be told */
int process_thread_count(pid_t pid);
char *process_find_in_path(const char *name, const char *path); /* malloced */
/* Names in BROOD_WITHOUT=a,b,c are switched off: */
bool process_feature(const char *name);

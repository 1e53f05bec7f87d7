/* SPDX-License-Identifier: Apache-2.0 */
/* What is an accelerator worth?  Some answer to all questions and then run
 * a guest's kernel instruction by instruction, or stop at one that they do
 * not know, so it is tried: a firmware of our own (selftest.S) does what a
 * kernel's start does and then runs plain code in ring 0, with a time limit.
 */
#pragma once
#include "base/err.h"
#include <stdint.h>

struct selftest {
	int begun;	  /* the guest has told something */
	int instructions; /* plain ones, in ring 0 */
	int ms;		  /* of all, QEMU's start and end included */
};

/* 0: all of it ran.  Fails with the reason: -EPROTO when the accelerator is
 * the cause, or with what kept it from being tried, as -ETIME when QEMU had
 * no time to.  The answer is there before limit_ms when it is clear. */
int selftest_run(const char *qemu, const char *accelerator, int limit_ms,
		 struct selftest *result, struct err *err);
uint64_t selftest_hash(void); /* of the firmware */

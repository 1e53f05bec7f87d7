/* SPDX-License-Identifier: Apache-2.0 */
/* One process of brood-aotc: asked for some functions, watched, ended. */
#pragma once
#include "aot/aot.h"
#include "base/buf.h"
#include <sys/types.h>

struct aot_compiler {
	pid_t pid;	   /* 0: none */
	int pidfd;	   /* to be polled; -1: it has to be asked */
	int object, words; /* what it writes */
	uint32_t cpu_s;	   /* it may have */
	uint64_t memory_bytes;
	/* It is looked at, and has to have had some CPU time since then; and
	 * it has to be over. */
	uint64_t look, deadline, cpu_ns;
	int patience_ms;
};
/* How it went. */
struct aot_end {
	bool is_fine;
	char why[200]; /* it is not */
	uint64_t cpu_us, peak_kib;
	struct buf object, words;
};

int aot_compiler_start(struct aot_compiler *compiler,
		       const struct aot_work *work, const uint32_t *functions,
		       uint32_t count, uint32_t cpu_s, struct err *err);
/* How long nobody needs to look at it, unless it ends. */
int aot_compiler_left_ms(const struct aot_compiler *compiler);
/* true: it is over, and its end is to be freed. */
bool aot_compiler_ended(struct aot_compiler *compiler, struct aot_end *end);
void aot_end_fini(struct aot_end *end);
/* Kills it, if it runs. */
void aot_compiler_stop(struct aot_compiler *compiler);

/* SPDX-License-Identifier: Apache-2.0 */
/* A machine that somebody is at work on: its file "half" is there, and
 * locked by who works.  When the file is there and nobody holds it, who
 * worked was killed, and who comes by mends it: a machine that is neither
 * one nor another is ended, one that was only stopped goes on. */
#pragma once
#include "base/err.h"
#include "machine/place.h"
#include <sys/types.h>

enum half_way { HALF_END, HALF_GO_ON };

struct half {
	int fd;
	char *path;
};
#define HALF_NONE ((struct half){ .fd = -1 })

/* pid 0: not known yet.  Waits for others that are at work on it. */
int half_begin(const struct place *place, enum half_way way, pid_t pid,
	       struct half *half, struct err *err);
void half_tell(const struct half *half, enum half_way way, pid_t pid);
void half_end(struct half *half); /* the machine is whole */
/* The file stays, for others to mend. */
void half_drop(struct half *half);
/* Of a machine that lives.  1: it has been ended; else 0. */
int half_mend(const struct place *place);

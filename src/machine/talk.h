/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the line to a machine's agent (brood/agent_wire.h).  What
 * comes from a guest is believed as far as its frames are in form. */
#pragma once
#include "base/err.h"
#include "brood/agent_wire.h"
#include <stdbool.h>
#include <stdint.h>

struct relay;
struct talk;
/* Connects and greets: whatever was going on in the guest for another host is
 * over.  *ready tells who answered; NULL: not wanted. */
int talk_open(struct talk **talk, const char *path, int timeout_ms,
	      struct agent_ready *ready, struct err *err);
/* The same over a connection, which is the talk's if that is made. */
int talk_over(struct talk **talk, int *socket, int timeout_ms,
	      struct agent_ready *ready, struct err *err);
/* The right to the line, a descriptor, is let go with it; or given back. */
void talk_own(struct talk *talk, int *lock);
int talk_disown(struct talk *talk);
void talk_close(struct talk *talk); /* NULL is fine */
void talk_free(struct talk **talk);
#define auto_talk __attribute__((cleanup(talk_free)))

/* What a clone is to be from now on; the random seed and the time are set
 * here.  Returns the bits of what was done (AGENT_SEEDED ..); fails when the
 * generator or the clock was not.		Each clone is another machine. */
int talk_unique(struct talk *talk, struct agent_unique *unique, int timeout_ms,
		struct err *err);

struct talk_exec {
	char *const *argv;
	char *const *environment; /* NULL: none more */
	int in, out, errors;	  /* -1: nothing, nowhere */
	int timeout_ms;		  /* < 0: none */
	struct relay *relay;	  /* others' beside it; NULL: none */
};
/* Runs it to its end: *status as wait() tells it.  -ETIME: it was killed. */
int talk_exec(struct talk *talk, const struct talk_exec *exec, int *status,
	      struct err *err);
/* Nothing of one's own: others' commands, as long as there are any. */
void talk_pass(struct talk *talk, struct relay *relay);
int talk_power(struct talk *talk, bool reboot, struct err *err);
/* For who is to keep no others: its socket, and the right to it. */
void talk_descriptors(const struct talk *talk, int fds[2]);
/* A frame of somebody else's process: whether it is taken is for that one to
 * hear. */
int talk_forward(struct talk *talk, enum agent_kind kind, uint32_t id,
		 const void *payload, uint32_t bytes, struct err *err);

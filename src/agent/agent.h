/* SPDX-License-Identifier: Apache-2.0 */
/* The agent, brood-agent: runs in a guest and does what the host says over a
 * serial line, as agent_wire.h has it.  Static and without a libc, so that
 * it runs in a guest of any distribution, under the oldest of init scripts.
 *
 * One thread, one poll, no allocation: all that it knows is in struct agent,
 * on main's stack.  Invariants:
 *
 * 1. The line is never waited for.  What is for the host stands in the
 *    line's queue; what would not fit is not read from where it comes: the
 *    processes' pipes, or the line itself.
 * 2. A frame of the host is looked at only while there is room for all its
 *    answers (AGENT_ANSWERS), and that room is left by whatever else is sent.
 * 3. A process' slot is free again when its end has been sent. */
#pragma once
#include "agent/frames.h"
#include "bare/raw.h"
#include "bare/words.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	AGENT_PROCESSES = 16,
	AGENT_OUT = 65536,
	AGENT_ANSWERS = 512,
	AGENT_INPUT_SOON = 4096, /* so much input is taken before it is read */
	AGENT_INPUT_ROOM = AGENT_INPUT_SOON + AGENT_WINDOW,
	AGENT_AGAIN_MS = 250, /* until a line that is gone is tried again */
};

struct line {
	int fd;		  /* -1: not open, or gone */
	const char *path; /* NULL: the usual one */
	char found[64];
	int searched; /* how often, before it was the usual one */
	bool is_terminal;
	bool hung;	   /* nobody is at the other end */
	uint64_t again_ns; /* when it is tried again, if hung or not open */
	uint64_t heard_ns; /* when the last bytes came */
	struct frames in;
	uint32_t from, to; /* of out: what is to be sent */
	uint32_t begun;	   /* so many bytes end the frame that is on its way */
	uint8_t out[AGENT_OUT];
};

struct process {
	bool used;
	bool exited; /* status says how */
	bool is_end; /* no more input comes */
	uint32_t id;
	int pid, status;
	int input, output, errors; /* pipes, -1 when closed */
	int report;		   /* why there was no exec, -1: there was */
	uint32_t owed;		   /* inputs that are not yet taken */
	uint32_t from, to;	   /* of bytes */
	uint8_t bytes[AGENT_INPUT_ROOM];
};

struct agent {
	char **envp;
	int signals; /* signalfd */
	struct line line;
	struct process process[AGENT_PROCESSES];
};

/* words.c: text put together on the stack */
void words_error(struct words *words, long error);
void words_say(const char *a, const char *b, const char *c); /* stderr */
uint64_t words_now_ns(void); /* CLOCK_MONOTONIC */

/* port.c: finds, opens and sets up the line's file */
int port_open(struct line *line);

/* line.c */
void line_init(struct line *line, const char *path);
/* Opens it if it is time to; true when it has been opened now. */
bool line_try(struct line *line);
bool line_is_up(const struct line *line);
void line_read(struct line *line);
void line_write(struct line *line);
void line_forget(struct line *line); /* all but the frame that has begun */
uint32_t line_room(const struct line *line);
/* The caller has seen to the room; without it nothing is sent. */
void line_send(struct line *line, enum agent_kind kind, uint32_t id,
	       const void *payload, uint32_t bytes);
/* One frame of what "fd" has: as read(2), -ENOBUFS without room. */
long line_send_from(struct line *line, enum agent_kind kind, uint32_t id,
		    int fd);

/* run.c: the processes */
void run_start(struct agent *agent, uint32_t id, const void *payload,
	       uint32_t bytes);
/* true: the frame has been taken, false: it will be, or never */
bool run_input(struct agent *agent, uint32_t id, const void *payload,
	       uint32_t bytes);
void run_signal(struct agent *agent, uint32_t id, uint32_t number);
void run_kill_all(struct agent *agent);
void run_reap(struct agent *agent);
/* All that can be done now with pipes and ends. */
void run_work(struct agent *agent);

/* child.c: in the new process; what it returns is the error */
struct child {
	const char *words; /* argc + envc, each with its 0 */
	uint32_t argc, envc;
	char **envp; /* the agent's */
	int fds[3];
};
/* NULL, or what is wrong with a payload of AGENT_EXEC. */
const char *child_check(struct child *child, const void *payload,
			uint32_t bytes);
long child_become(const struct child *child);

/* unique.c */
void unique_do(const struct agent_unique *unique, struct agent_done *done);
/* address.c: false with words for why */
bool address_set(const uint8_t mac[][6], uint32_t count, struct words *why);

/* main.c */
int agent_main(uint64_t *stack);

/* SPDX-License-Identifier: Apache-2.0 */
/* Commands beside one's own.  The line to an agent has one end on the host, and
 * who has that listens in the machine's folder: others speak there as they would
 * to the agent (talk.h), each of one command.  What they send goes on under
 * numbers of the line, and answers come back under theirs.
 *
 * 1. AGENT_WINDOW is for all of them: a frame that does not fit waits, and what
 *    is behind it at its sender.
 * 2. The line knows no flow control by process.  So one whose reader is slow is
 *    stopped (SIGSTOP) while much waits for that, and the others go on.
 * 3. Who hangs up has his process killed.
 * 4. Who has no command of his own ends when no others are left (line.c). */
#pragma once
#include "base/err.h"
#include "brood/agent_wire.h"
#include <poll.h>
#include <stdbool.h>

/* With one's own, as many as an agent has. */
enum { RELAY_CLIENTS = 15, RELAY_POLLED = 1 + RELAY_CLIENTS };

struct relay;
struct talk;
int relay_open(struct relay **relay, const char *path, struct err *err);
void relay_close(struct relay *relay); /* NULL is fine */
void relay_free(struct relay **relay);
#define auto_relay __attribute__((cleanup(relay_free)))

/* own: the number of one's own process, which no other gets. */
void relay_begin(struct relay *relay, uint32_t own);
/* What to wait for. */
void relay_watch(const struct relay *relay, struct pollfd fds[RELAY_POLLED]);
/* To be done after each wait, and after each frame of the agent's.
 * owed: bytes of one's own that are on their way. */
void relay_work(struct relay *relay, const struct pollfd fds[RELAY_POLLED],
		struct talk *talk, uint32_t owed);
/* Is anybody there, or is anything to come for who was?  Not for long: what a
 * guest does not answer, it does not. */
bool relay_is_used(struct relay *relay);
int relay_descriptor(const struct relay *relay); /* where it listens */
/* Bytes of all of them that are on their way. */
uint32_t relay_owed(const struct relay *relay);
/* Was this frame of the agent's for one of them? */
bool relay_take(struct relay *relay, const struct agent_frame *head,
		const void *payload, struct talk *talk);
/* Is there room in the window for so many bytes more? */
bool relay_fits(uint32_t owed, uint32_t more);

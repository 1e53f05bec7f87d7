/* SPDX-License-Identifier: Apache-2.0 */
/* One conversation with an agent, and what others say beside it (relay.h).  One
 * frame of one's own is on its way at a time: what goes to the guest is little
 * (a command, and what it reads), and the answer to a frame comes in less time
 * than another frame takes. */
#include "machine/talk.h"
#include "agent/frames.h"
#include "base/clock.h"
#include "base/fd.h"
#include "machine/relay.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	TALK_HELLO_MS = AGENT_QUIET_MS + 100,
	TALK_INPUT = 2048, /* bytes of input in a frame */
	TALK_SLICE_MS = 200,
	TALK_BEGIN_MS = 20000,
};

struct talk {
	int socket;
	int lock;	 /* -1: it needs none */
	uint32_t number; /* of the last frame sent */
	bool waits;	 /* it is not taken yet */
	uint32_t bytes;	 /* of it */
	struct frames frames;
};

void talk_close(struct talk *talk)
{
	if (!talk)
		return;
	fd_close(&talk->socket);
	fd_close(&talk->lock);
	free(talk);
}

void talk_free(struct talk **talk)
{
	talk_close(*talk);
	*talk = NULL;
}

static int talk_ended(struct err *err)
{
	err_set(err, -EPROTO, "the machine has ended");
	return -EPIPE;
}

/* Words of a guest that are to stand in a line of ours. */
static const char *talk_words(const void *data, size_t len, char words[128])
{
	const char *from = data;
	size_t at = 0;

	for (; at < len && at < 127 && from[at]; at++)
		words[at] = from[at] < ' ' || from[at] > '~' ? '?' : from[at];
	words[at] = 0;
	return words;
}

int talk_forward(struct talk *talk, enum agent_kind kind, uint32_t id,
		 const void *payload, uint32_t bytes, struct err *err)
{
	uint8_t frame[FRAMES_MOST];
	struct agent_frame head;
	int rc;

	frames_head(&head, kind, id, payload, bytes);
	memcpy(frame, &head, sizeof(head));
	if (bytes)
		memcpy(frame + sizeof(head), payload, bytes);
	rc = fd_send_all(talk->socket, frame, sizeof(head) + bytes, err);
	if (rc == -EPIPE || rc == -ECONNRESET)
		return talk_ended(err);
	return rc < 0 && err ? err_wrap(err, "speak to the agent") : rc;
}

static int talk_send(struct talk *talk, enum agent_kind kind,
		     const void *payload, uint32_t bytes, struct err *err)
{
	talk->waits = true;
	talk->bytes = (uint32_t)sizeof(struct agent_frame) + bytes;
	return talk_forward(talk, kind, ++talk->number, payload, bytes, err);
}

static void talk_taken(struct talk *talk, uint32_t number)
{
	if (number == talk->number)
		talk->waits = false;
}

static bool talk_next(struct talk *talk, struct agent_frame *head,
		      void **payload)
{
	while (frames_next(&talk->frames, head, payload)) {
		if (head->kind != AGENT_TAKEN)
			return true;
		talk_taken(talk, head->id);
	}
	return false;
}

/* More of the line: 1, 0 where nothing came in time. */
static int talk_read(struct talk *talk, int timeout_ms, struct err *err)
{
	int rc = fd_wait(talk->socket, POLLIN, timeout_ms);
	size_t room;
	void *to = frames_room(&talk->frames, &room);
	ssize_t got;

	if (rc <= 0)
		return rc < 0 ? err_set(err, rc, "hear the agent") : 0;
	got = read(talk->socket, to, room);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return talk_ended(err);
	if (got < 0)
		return err_set(err, -errno, "hear the agent");
	frames_used(&talk->frames, (size_t)got);
	return 1;
}

/* The answer of that kind to the frame sent last: 1, or 0. */
static int talk_await(struct talk *talk, enum agent_kind kind, int timeout_ms,
		      void *answer, uint32_t bytes, struct err *err)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;

	for (;;) {
		struct agent_frame head;
		uint64_t now = clock_ns();
		void *payload;
		int rc;

		while (talk_next(talk, &head, &payload)) {
			if (head.kind != kind || head.id != talk->number ||
			    head.bytes != bytes)
				continue;
			memcpy(answer, payload, bytes);
			return 1;
		}
		if (now >= end)
			return 0;
		rc = talk_read(talk, (int)((end - now) / 1000000) + 1, err);
		if (rc < 0)
			return rc;
	}
}

static int talk_hello(struct talk *talk, int timeout_ms,
		      struct agent_ready *ready, struct err *err)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;
	int rc = 0;

	while (rc == 0 && clock_ns() < end) {
		rc = talk_send(talk, AGENT_HELLO, NULL, 0, err);
		if (rc >= 0)
			rc = talk_await(talk, AGENT_READY, TALK_HELLO_MS, ready,
					sizeof(*ready), err);
	}
	if (rc == 0)
		return err_set(err, -ETIME,
			       "no agent answers in the machine, or it speaks "
			       "with somebody else");
	if (rc > 0 && ready->version != AGENT_VERSION)
		return err_set(err, -EPROTO,
			       "the machine's agent speaks version %u, this "
			       "is %d",
			       ready->version, AGENT_VERSION);
	talk->waits = false;
	return rc < 0 ? rc : 0;
}

int talk_over(struct talk **talk, int *socket, int timeout_ms,
	      struct agent_ready *ready, struct err *err)
{
	struct talk *made = calloc(1, sizeof(*made));
	struct agent_ready unwanted;
	int rc;

	*talk = NULL;
	if (!made)
		return err_set(err, -ENOMEM, "speak to the agent");
	frames_init(&made->frames);
	/* Answers to another host's frames have other numbers. */
	made->number = (uint32_t)clock_ns();
	made->lock = -1;
	made->socket = steal_fd(socket);
	rc = talk_hello(made, timeout_ms, ready ? ready : &unwanted, err);
	if (rc < 0)
		talk_close(made);
	else
		*talk = made;
	return rc;
}

int talk_open(struct talk **talk, const char *path, int timeout_ms,
	      struct agent_ready *ready, struct err *err)
{
	auto_close int fd = fd_connect_stream(path, timeout_ms, err);

	*talk = NULL;
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return talk_ended(err);
	return fd < 0 ? fd : talk_over(talk, &fd, timeout_ms, ready, err);
}

void talk_own(struct talk *talk, int *lock)
{
	talk->lock = steal_fd(lock);
}

int talk_disown(struct talk *talk)
{
	return steal_fd(&talk->lock);
}

void talk_descriptors(const struct talk *talk, int fds[2])
{
	fds[0] = talk->socket;
	fds[1] = talk->lock;
}

int talk_unique(struct talk *talk, struct agent_unique *unique, int timeout_ms,
		struct err *err)
{
	struct agent_done done;
	char words[128];
	int rc;

	if (getrandom(unique->seed, sizeof(unique->seed), 0) !=
	    sizeof(unique->seed))
		return err_set(err, -errno, "random bytes for the machine");
	unique->realtime_ns = clock_wall_ns();
	rc = talk_send(talk, AGENT_UNIQUE, unique, sizeof(*unique), err);
	if (rc >= 0)
		rc = talk_await(talk, AGENT_DONE, timeout_ms, &done,
				sizeof(done), err);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return err_set(err, -ETIME, "the agent makes no answer");
	if ((done.done & (AGENT_SEEDED | AGENT_CLOCKED)) !=
	    (AGENT_SEEDED | AGENT_CLOCKED))
		return err_set(err, -EINVAL,
			       "the machine is not another one than its "
			       "template: %s",
			       talk_words(done.why, sizeof(done.why), words));
	return (int)done.done;
}

/* ---- a process ------------------------------------------------------------- */

static int talk_add_words(struct talk_exec const *exec, uint8_t *payload,
			  uint32_t *bytes)
{
	struct agent_exec head = { 0 };
	uint32_t at = sizeof(head);
	char *const *lists[2] = { exec->argv, exec->environment };
	uint32_t *counts[2] = { &head.argc, &head.envc };

	for (int i = 0; i < 2; i++)
		for (char *const *word = lists[i]; word && *word; word++) {
			size_t len = strlen(*word) + 1;

			if (len > AGENT_MOST - at)
				return -E2BIG;
			memcpy(payload + at, *word, len);
			at += (uint32_t)len;
			++*counts[i];
		}
	memcpy(payload, &head, sizeof(head));
	*bytes = at;
	return 0;
}

struct talk_run {
	struct talk *talk;
	uint32_t id; /* of the process */
	int in, out, errors;
	struct relay *relay; /* or NULL */
	bool begun;	     /* the agent has heard of it */
	bool over;
	uint32_t status;
};

static int talk_write(int fd, const void *data, uint32_t bytes, struct err *err)
{
	/* A reader that has gone is the process's business, as in a pipe. */
	if (fd < 0 || fd_write_all(fd, data, bytes, NULL) >= 0)
		return 0;
	return errno == EPIPE ? 0 : err_set(err, -errno, "write what it says");
}

static int talk_take(struct talk_run *run, const struct agent_frame *head,
		     const void *payload, struct err *err)
{
	char words[128];

	if (run->relay && relay_take(run->relay, head, payload, run->talk))
		return 0;
	if (head->kind == AGENT_TAKEN)
		talk_taken(run->talk, head->id);
	if (head->id != run->id)
		return 0;
	run->begun = true;
	switch (head->kind) {
	case AGENT_OUTPUT:
		return talk_write(run->out, payload, head->bytes, err);
	case AGENT_ERRORS:
		return talk_write(run->errors, payload, head->bytes, err);
	case AGENT_EXIT:
		if (head->bytes != sizeof(run->status))
			return 0;
		memcpy(&run->status, payload, sizeof(run->status));
		run->over = true;
		return 0;
	case AGENT_FAILED:
		err_set(err, -EINVAL, "there: %s",
			talk_words(payload, head->bytes, words));
		return -ENOEXEC;
	}
	return 0;
}

/* The number of a frame of input is the process's: that is what the protocol
 * tells the process by. */
static int talk_send_for(struct talk_run *run, enum agent_kind kind,
			 const void *payload, uint32_t bytes, struct err *err)
{
	run->talk->number = run->id - 1;
	return talk_send(run->talk, kind, payload, bytes, err);
}

static int talk_feed(struct talk_run *run, struct err *err)
{
	uint8_t data[TALK_INPUT];
	ssize_t got = read(run->in, data, sizeof(data));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got <= 0)
		run->in = -1;
	return talk_send_for(run, AGENT_INPUT, data,
			     got > 0 ? (uint32_t)got : 0, err);
}

/* Bytes of one's own that are on their way. */
static uint32_t talk_owed(const struct talk *talk)
{
	return talk->waits ? talk->bytes : 0;
}

static bool talk_may_feed(const struct talk_run *run)
{
	const uint32_t most = sizeof(struct agent_frame) + TALK_INPUT;

	return !run->talk->waits &&
	       (!run->relay || relay_fits(relay_owed(run->relay), most));
}

static int talk_turn(struct talk_run *run, int timeout_ms, struct err *err)
{
	struct talk *talk = run->talk;
	struct pollfd fds[2 + RELAY_POLLED] = {
		{ .fd = talk->socket, .events = POLLIN },
		{ .fd = talk_may_feed(run) ? run->in : -1, .events = POLLIN },
	};
	struct agent_frame head;
	void *payload;
	int rc;

	if (run->relay)
		relay_watch(run->relay, fds + 2);
	rc = poll(fds, run->relay ? 2 + RELAY_POLLED : 2, timeout_ms);
	if (rc < 0)
		return errno == EINTR ? 0 : err_set(err, -errno, "wait for it");
	rc = 0;
	if (fds[1].revents)
		rc = talk_feed(run, err);
	if (rc >= 0 && fds[0].revents)
		rc = talk_read(talk, 0, err);
	while (rc >= 0 && frames_next(&talk->frames, &head, &payload))
		rc = talk_take(run, &head, payload, err);
	if (rc >= 0 && run->relay)
		relay_work(run->relay, fds + 2, talk, talk_owed(talk));
	return rc;
}

int talk_exec(struct talk *talk, const struct talk_exec *exec, int *status,
	      struct err *err)
{
	uint64_t end = clock_ns() + (uint64_t)exec->timeout_ms * 1000000;
	uint64_t begin_by = clock_deadline(TALK_BEGIN_MS);
	struct talk_run run = { .talk = talk,
				.in = exec->in,
				.out = exec->out,
				.errors = exec->errors,
				.relay = exec->relay };
	const uint32_t kill_it = SIGKILL;
	uint8_t payload[AGENT_MOST];
	uint32_t bytes;
	int rc = talk_add_words(exec, payload, &bytes);

	if (rc < 0)
		return err_set(err, rc, "a command of more than %d bytes",
			       AGENT_MOST);
	rc = talk_send(talk, AGENT_EXEC, payload, bytes, err);
	run.id = talk->number;
	if (run.relay)
		relay_begin(run.relay, run.id);
	if (rc >= 0 && run.in < 0) /* an end at once */
		rc = talk_send_for(&run, AGENT_INPUT, NULL, 0, err);
	while (rc >= 0 && !run.over) {
		/* Greeted by who passes on, or by an agent before it hung. */
		if (!run.begun && clock_ns() >= begin_by)
			return err_set(err, -EPROTO,
				       "the command does not begin");
		if (exec->timeout_ms >= 0 && clock_ns() >= end) {
			talk_send_for(&run, AGENT_SIGNAL, &kill_it,
				      sizeof(kill_it), NULL);
			return err_set(err, -ETIME, "the time for it is over");
		}
		rc = talk_turn(&run, TALK_SLICE_MS, err);
	}
	if (rc >= 0)
		*status = (int)run.status;
	return rc;
}

/* The number of its greeting names no process. */
void talk_pass(struct talk *talk, struct relay *relay)
{
	struct talk_run run = { .talk = talk,
				.id = talk->number,
				.in = -1,
				.out = -1,
				.errors = -1,
				.relay = relay };
	int rc;

	relay_begin(relay, run.id);
	do
		rc = talk_turn(&run, TALK_SLICE_MS, NULL);
	while (rc >= 0 && relay_is_used(relay));
}

int talk_power(struct talk *talk, bool reboot, struct err *err)
{
	const uint32_t how = reboot;

	return talk_send(talk, AGENT_POWER, &how, sizeof(how), err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/relay.h"
#include "agent/frames.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "machine/talk.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	RELAY_BACKLOG = 16,
	RELAY_SIGNALS = 2, /* of each, on their way; and SIGKILL */
	RELAY_SIGNAL = sizeof(struct agent_frame) + sizeof(uint32_t),
	/* Of the window, for those, and the owner's one. */
	RELAY_RESERVE =
		(RELAY_CLIENTS * (RELAY_SIGNALS + 1) + 1) * RELAY_SIGNAL,
	RELAY_SOON = 1 << 20, /* so much waits for a slow reader */
	RELAY_MOST = 32 << 20,
	RELAY_AWAIT_MS = 5000,
};

struct relay_client {
	int socket; /* -1: it has hung up, or there is none */
	bool runs, is_stopped, holds;
	uint32_t theirs, ours;	/* the number of its process */
	uint32_t owed, signals; /* not taken yet: bytes, frames */
	struct frames in;
	/* What did not fit into the window. */
	struct agent_frame head;
	uint8_t payload[AGENT_MOST];
	struct buf out;
	size_t sent;
};

struct relay {
	int listener;
	bool rests;	  /* it had no descriptor for who came */
	uint64_t left_ns; /* since when nobody is there; 0: somebody is */
	uint32_t own, last;
	struct relay_client client[RELAY_CLIENTS];
};

int relay_open(struct relay **relay, const char *path, struct err *err)
{
	struct relay *made = calloc(1, sizeof(*made));

	*relay = NULL;
	if (!made)
		return err_set(err, -ENOMEM, "listen at %s", path);
	made->listener = fd_listen_stream(path, RELAY_BACKLOG, err);
	if (made->listener < 0) {
		int rc = made->listener;

		free(made);
		return rc;
	}
	for (int i = 0; i < RELAY_CLIENTS; i++)
		made->client[i].socket = -1;
	*relay = made;
	return 0;
}

void relay_close(struct relay *relay)
{
	if (!relay)
		return;
	fd_close(&relay->listener);
	for (int i = 0; i < RELAY_CLIENTS; i++) {
		fd_close(&relay->client[i].socket);
		buf_fini(&relay->client[i].out);
	}
	free(relay);
}

void relay_free(struct relay **relay)
{
	relay_close(*relay);
	*relay = NULL;
}

void relay_begin(struct relay *relay, uint32_t own)
{
	relay->own = relay->last = own;
}

/* ---- the window -------------------------------------------------------------- */

bool relay_fits(uint32_t owed, uint32_t more)
{
	return owed + more <= AGENT_WINDOW - RELAY_RESERVE;
}

uint32_t relay_owed(const struct relay *relay)
{
	uint32_t owed = 0;

	for (int i = 0; i < RELAY_CLIENTS; i++)
		owed += relay->client[i].owed;
	return owed;
}

/* ---- to a client ------------------------------------------------------------- */

/* Where the line is broken its owner finds out. */
static void client_signal(struct relay_client *client, struct talk *talk,
			  uint32_t number)
{
	client->signals++;
	talk_forward(talk, AGENT_SIGNAL, client->ours, &number, sizeof(number),
		     NULL);
}

/* Its process has not ended, or something that it was sent is not taken. */
static bool client_is_awaited(const struct relay_client *client)
{
	return client->runs || client->owed || client->signals;
}

static bool client_is_free(const struct relay_client *client)
{
	return client->socket < 0 && !client_is_awaited(client);
}

static void client_drop(struct relay_client *client, struct talk *talk)
{
	fd_close(&client->socket);
	buf_fini(&client->out);
	client->sent = 0;
	client->holds = false;
	if (client->runs)
		client_signal(client, talk, SIGKILL);
}

static size_t client_waiting(const struct relay_client *client)
{
	return client->out.len - client->sent;
}

static void client_heed(struct relay_client *client, struct talk *talk)
{
	bool is_much = client_waiting(client) >
		       (client->is_stopped ? RELAY_SOON / 2 : RELAY_SOON);

	if (!client->runs || client->socket < 0 ||
	    is_much == client->is_stopped || client->signals >= RELAY_SIGNALS)
		return;
	client->is_stopped = is_much;
	client_signal(client, talk, is_much ? SIGSTOP : SIGCONT);
}

/* What was sent does not stay until all of it was. */
static void client_forget_sent(struct relay_client *client)
{
	struct buf *out = &client->out;

	if (client->sent < out->len && client->sent < RELAY_SOON)
		return;
	memmove(out->data, out->data + client->sent, out->len - client->sent);
	out->len -= client->sent;
	client->sent = 0;
}

static void client_flush(struct relay_client *client, struct talk *talk)
{
	while (client_waiting(client)) {
		ssize_t n =
			send(client->socket, client->out.data + client->sent,
			     client_waiting(client),
			     MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			client_drop(client, talk);
			return;
		}
		client->sent += (size_t)n;
	}
	if (client->sent)
		client_forget_sent(client);
	client_heed(client, talk);
}

static void client_say(struct relay_client *client, struct talk *talk,
		       enum agent_kind kind, uint32_t id, const void *payload,
		       uint32_t bytes)
{
	struct agent_frame head;

	if (client->socket < 0)
		return;
	frames_head(&head, kind, id, payload, bytes);
	buf_add(&client->out, &head, sizeof(head));
	buf_add(&client->out, payload, bytes);
	if (client->out.failed || client_waiting(client) > RELAY_MOST)
		client_drop(client, talk);
	else
		client_flush(client, talk);
}

static void client_taken(struct relay_client *client, struct talk *talk,
			 uint32_t id)
{
	client_say(client, talk, AGENT_TAKEN, id, NULL, 0);
}

/* ---- from a client ------------------------------------------------------------- */

static void client_greet(struct relay_client *client, struct talk *talk,
			 uint32_t id)
{
	const struct agent_ready ready = { .version = AGENT_VERSION };

	client_taken(client, talk, id);
	client_say(client, talk, AGENT_READY, id, &ready, sizeof(ready));
}

static void client_pass(struct relay_client *client, struct talk *talk,
			const struct agent_frame *head, const void *payload)
{
	client->owed = (uint32_t)sizeof(*head) + head->bytes;
	talk_forward(talk, head->kind, client->ours, payload, head->bytes,
		     NULL);
}

/* False: it has to wait. */
static bool client_exec(struct relay *relay, struct relay_client *client,
			struct talk *talk, uint32_t owed,
			const struct agent_frame *head, const void *payload)
{
	if (client_is_awaited(client) ||
	    !relay_fits(owed + relay_owed(relay),
			(uint32_t)sizeof(*head) + head->bytes))
		return false;
	if (++relay->last == relay->own)
		++relay->last;
	client->ours = relay->last;
	client->theirs = head->id;
	client->runs = true;
	client_pass(client, talk, head, payload);
	return true;
}

static bool client_input(struct relay *relay, struct relay_client *client,
			 struct talk *talk, uint32_t owed,
			 const struct agent_frame *head, const void *payload)
{
	if (!client->runs || head->id != client->theirs) {
		client_taken(client, talk, head->id);
		return true;
	}
	if (client->owed || !relay_fits(owed + relay_owed(relay),
					(uint32_t)sizeof(*head) + head->bytes))
		return false;
	client_pass(client, talk, head, payload);
	return true;
}

static bool client_frame(struct relay *relay, struct relay_client *client,
			 struct talk *talk, uint32_t owed,
			 const struct agent_frame *head, const void *payload)
{
	uint32_t number = 0;

	switch (head->kind) {
	case AGENT_INPUT:
		return client_input(relay, client, talk, owed, head, payload);
	case AGENT_SIGNAL:
		if (head->bytes == sizeof(number))
			memcpy(&number, payload, sizeof(number));
		if (client->runs && head->id == client->theirs &&
		    client->signals < RELAY_SIGNALS)
			client_signal(client, talk, number);
		client_taken(client, talk, head->id);
		return true;
	case AGENT_HELLO:
	case AGENT_EXEC:
		/* One command is all that anybody has here. */
		if (client->runs)
			client_drop(client, talk);
		else if (head->kind == AGENT_HELLO)
			client_greet(client, talk, head->id);
		else
			return client_exec(relay, client, talk, owed, head,
					   payload);
		return true;
	default: client_taken(client, talk, head->id); return true;
	}
}

static void client_frames(struct relay *relay, struct relay_client *client,
			  struct talk *talk, uint32_t owed)
{
	void *payload;

	if (client->holds)
		client->holds = !client_frame(relay, client, talk, owed,
					      &client->head, client->payload);
	while (client->socket >= 0 && !client->holds &&
	       frames_next(&client->in, &client->head, &payload)) {
		memcpy(client->payload, payload, client->head.bytes);
		client->holds = !client_frame(relay, client, talk, owed,
					      &client->head, client->payload);
	}
}

static void client_hear(struct relay_client *client, struct talk *talk)
{
	size_t room;
	void *to = frames_room(&client->in, &room);
	ssize_t n = recv(client->socket, to, room, MSG_DONTWAIT);

	if (n > 0)
		frames_used(&client->in, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		client_drop(client, talk);
}

/* ---- all of them ---------------------------------------------------------------- */

static struct relay_client *relay_free_slot(struct relay *relay)
{
	for (int i = 0; i < RELAY_CLIENTS; i++)
		if (client_is_free(&relay->client[i]))
			return &relay->client[i];
	return NULL;
}

static void relay_accept(struct relay *relay)
{
	struct relay_client *client = relay_free_slot(relay);
	int fd = client ? accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC)
			: -1;

	relay->rests = fd < 0;
	if (fd < 0)
		return;
	*client = (struct relay_client){ .socket = fd };
	frames_init(&client->in);
}

bool relay_is_used(struct relay *relay)
{
	bool is_there = false, is_awaited = false;

	for (int i = 0; i < RELAY_CLIENTS; i++) {
		is_there |= relay->client[i].socket >= 0;
		is_awaited |= client_is_awaited(&relay->client[i]);
	}
	if (is_there)
		relay->left_ns = 0;
	else if (!relay->left_ns)
		relay->left_ns = clock_ns();
	return is_there || (is_awaited && clock_ns() - relay->left_ns <
						  RELAY_AWAIT_MS * 1000000ull);
}

int relay_descriptor(const struct relay *relay)
{
	return relay->listener;
}

void relay_watch(const struct relay *relay, struct pollfd fds[RELAY_POLLED])
{
	bool has_room = false;

	for (int i = 0; i < RELAY_CLIENTS; i++) {
		const struct relay_client *client = &relay->client[i];

		has_room |= client_is_free(client);
		fds[i + 1] = (struct pollfd){
			.fd = client->socket,
			.events =
				(short)((client->holds ? 0 : POLLIN) |
					(client_waiting(client) ? POLLOUT : 0)),
		};
	}
	has_room &= !relay->rests;
	fds[0] = (struct pollfd){ .fd = has_room ? relay->listener : -1,
				  .events = POLLIN };
}

static void client_work(struct relay *relay, struct relay_client *client,
			short events, struct talk *talk, uint32_t owed)
{
	if (events & (POLLHUP | POLLERR | POLLNVAL)) {
		client_drop(client, talk);
		return;
	}
	if (events & POLLOUT)
		client_flush(client, talk);
	if (client->socket >= 0 && (events & POLLIN) && !client->holds)
		client_hear(client, talk);
	if (client->socket >= 0)
		client_frames(relay, client, talk, owed);
}

void relay_work(struct relay *relay, const struct pollfd fds[RELAY_POLLED],
		struct talk *talk, uint32_t owed)
{
	for (int i = 0; i < RELAY_CLIENTS; i++)
		if (relay->client[i].socket >= 0 &&
		    relay->client[i].socket == fds[i + 1].fd)
			client_work(relay, &relay->client[i],
				    fds[i + 1].revents, talk, owed);
	if (fds[0].fd < 0)
		relay->rests = false;
	else if (fds[0].revents)
		relay_accept(relay);
}

static void client_answer(struct relay_client *client,
			  const struct agent_frame *head, const void *payload,
			  struct talk *talk)
{
	bool is_signal = head->kind == AGENT_TAKEN && client->signals;

	if (head->kind == AGENT_EXIT || head->kind == AGENT_FAILED)
		client->runs = client->is_stopped = false;
	if (is_signal)
		client->signals--;
	else if (head->kind == AGENT_TAKEN)
		client->owed = 0;
	if (is_signal)
		client_heed(client, talk);
	else
		client_say(client, talk, head->kind, client->theirs, payload,
			   head->bytes);
}

bool relay_take(struct relay *relay, const struct agent_frame *head,
		const void *payload, struct talk *talk)
{
	for (int i = 0; i < RELAY_CLIENTS; i++) {
		struct relay_client *client = &relay->client[i];

		if (!client_is_awaited(client) || client->ours != head->id)
			continue;
		client_answer(client, head, payload, talk);
		return true;
	}
	return false;
}

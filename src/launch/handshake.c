/* SPDX-License-Identifier: Apache-2.0 */
/* One question over a server copy's own socket: "do you serve?".  This, and
 * not that a process was started or that time has passed, decides that a
 * generation stands.  Whoever listens may hang or lie, so every step has
 * the deadline and the answer is compared with what the kernel says of the
 * other end. */
#include "launch/handshake.h"
#include "bare/wire_check.h"
#include "base/clock.h"
#include "base/fd.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static int handshake_send(int socket, struct err *err)
{
	struct wire_ask question = { .head = {
					     .magic = WIRE_MAGIC,
					     .version = WIRE_VERSION,
					     .type = WIRE_ASK,
					     .size = sizeof(question),
				     } };

	return fd_send(socket, &question, sizeof(question), NULL, 0, err);
}

static int handshake_receive(int socket, uint64_t deadline,
			     struct wire_state *state, struct err *err)
{
	const char *wrong;
	int fd_count = 0;
	ssize_t len;
	int rc = fd_wait(socket, POLLIN, clock_left_ms(deadline));

	if (rc < 0)
		return err_set(err, rc, "wait for an answer");
	if (rc == 0)
		return err_set(err, -ETIME, "no answer");
	len = fd_receive(socket, state, sizeof(*state), NULL, 0, &fd_count,
			 err);
	if (len < 0)
		return (int)len;
	if (len == 0)
		return err_set(err, -EPROTO, "closed without an answer");
	wrong = wire_check(state, (size_t)len, fd_count, WIRE_STATE);
	return wrong ? err_set(err, -EPROTO, "answer: %s", wrong) : 0;
}

/* CLAIM 0.2: the process that made the listener is the one that says that
 * it is the server. */
static int handshake_check_peer(int socket, const struct wire_state *state,
				struct err *err)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return err_set(err, -errno, "who answers");
	if (peer.uid != geteuid())
		return err_set(err, -EPERM, "served by user %u",
			       (unsigned)peer.uid);
	if (state->mode != WIRE_MODE_SERVER)
		return err_set(err, -EPROTO, "mode %u is not that of a server",
			       state->mode);
	if (state->pid <= 0)
		return err_set(err, -EPROTO, "process %d cannot be",
			       (int)state->pid);
	if (peer.pid != state->pid)
		return err_set(err, -EPROTO,
			       "process %d says that it is process %d",
			       (int)peer.pid, (int)state->pid);
	return 0;
}

/* CLAIM 0.12: that a copy serves is found out over its own socket. */
int handshake_ask(const char *socket_path, int timeout_ms,
		  struct wire_state *state, struct err *err)
{
	uint64_t deadline = clock_deadline(timeout_ms);
	auto_close int socket = fd_connect(socket_path, timeout_ms, err);
	int rc;

	if (socket < 0)
		return socket;
	if ((rc = handshake_send(socket, err)) < 0 ||
	    (rc = handshake_receive(socket, deadline, state, err)) < 0 ||
	    (rc = handshake_check_peer(socket, state, err)) < 0)
		return err_wrap(err, "handshake over %s", socket_path);
	return 0;
}

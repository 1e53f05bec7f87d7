/* SPDX-License-Identifier: Apache-2.0 */
/* One client: asked who it is, listened to for one packet, and answered.
 * What comes through to the end is a launch whose every part was checked and
 * of which nothing has been carried out yet.		      CLAIM 0.5 */
#include "bare/identity.h"
#include "bare/wire_check.h"
#include "launch/shim/shim.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

enum {
	RECEIVE_ROOM = sizeof(struct wire_launch) + WIRE_INLINE_MOST,
	RECEIVE_BLOCK = 128 * 1024,  /* packet, then pointers */
	RECEIVE_TOUCHED = 16 * 1024, /* what most launches need of it */
};

/* Memory for a launch: argv and envp will point into it.  Made while nobody
 * waits, its first pages touched. */
void receive_prepare(void)
{
	long at = raw_6(mmap, NULL, RECEIVE_BLOCK, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at < 0 && at > -4096)
		raw_1(exit_group, 0);
	raw_3(madvise, at, RECEIVE_TOUCHED, MADV_POPULATE_WRITE);
	shim.launch.packet = (struct wire_launch *)at;
	shim.launch.block_bytes = RECEIVE_BLOCK;
}

/* Closing a socket with an unread packet is an error to the other side, in
 * place of our answer. */
static void receive_discard(int connection)
{
	char byte;

	raw_6(recvfrom, connection, &byte, 1, MSG_DONTWAIT, 0, 0);
}

void receive_refuse(int connection, const char *reason)
{
	struct wire_refused refused = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_REFUSED,
			  sizeof refused, 0 },
	};

	snprintf(refused.reason, sizeof refused.reason, "%s", reason);
	receive_discard(connection);
	packet_send(connection, &refused, sizeof refused, NULL, 0,
		    MSG_DONTWAIT);
}

/* A copy would act with our rights, so the caller must be who we are; root
 * has its own templates. */
bool receive_is_ours(int connection)
{
	struct ucred peer;
	unsigned len = sizeof peer;

	if (raw_5(getsockopt, connection, SOL_SOCKET, SO_PEERCRED, &peer,
		  &len) == 0 &&
	    peer.uid == shim.serving.seen.uid[1]) {
		shim.launch.peer = peer.pid;
		return true;
	}
	receive_refuse(connection, "the template belongs to another user");
	return false;
}

/* mode = server, and who the template is.		      CLAIM 0.1 */
static void receive_tell_state(int connection)
{
	struct wire_state state = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_STATE, sizeof state,
			  0 },
		.mode = WIRE_MODE_SERVER,
		.pid = shim.serving.pid,
		.generation = shim.serving.generation,
		.main_address = (uint64_t)shim.main,
	};

	packet_send(connection, &state, sizeof state, NULL, 0, MSG_DONTWAIT);
}

/* In the template: WIRE_LAUNCH leaves the packet where it is, for a copy to
 * read; WIRE_ASK has been answered; 0: nothing has come yet; -1: no good. */
int receive_peek(int connection)
{
	union {
		struct wire_head head;
		struct wire_ask ask;
	} packet;
	/* MSG_TRUNC: the length of the whole packet */
	long got = raw_6(recvfrom, connection, &packet, sizeof packet,
			 MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT, 0, 0);

	if (got == -EAGAIN)
		return 0;
	if (got < (long)sizeof packet || packet.head.magic != WIRE_MAGIC)
		return -1;
	if (packet.head.type == WIRE_LAUNCH)
		return WIRE_LAUNCH;
	if (wire_check(&packet, (size_t)got, 0, WIRE_ASK)) {
		receive_refuse(connection, "this is no launch");
		return -1;
	}
	receive_discard(connection);
	receive_tell_state(connection);
	return WIRE_ASK;
}

/* Strings of a memory file are copied before they are looked at: the file
 * stays in the sender's hands. */
static const char *receive_long_strings(struct shim_launch *launch)
{
	uint32_t len = launch->packet->string_bytes;
	struct stat file;
	long at;

	if (raw_2(fstat, launch->fd[1], &file) < 0 || !S_ISREG(file.st_mode) ||
	    (uint64_t)file.st_size < len)
		return "the file of strings is too short";
	at = raw_6(mmap, NULL, len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return "no memory for the strings";
	launch->strings = (char *)at;
	for (uint32_t done = 0; done < len;) {
		long got = raw_4(pread64, launch->fd[1], at + done, len - done,
				 done);

		if (got <= 0)
			return "the file of strings cannot be read";
		done += (uint32_t)got;
	}
	return NULL;
}

/* Takes longer than all else here, but the client is still collecting its
 * launch at that time. */
static void receive_look(struct shim_launch *launch)
{
	if (!launch->looked)
		launch->visible = identity_see(launch->peer, &launch->seen);
	launch->looked = true;
}

static const char *receive_check_identity(const struct shim_launch *launch)
{
	const struct identity_seen *ours = &shim.serving.seen;
	const struct identity_seen *theirs = &launch->seen;
	const char *reason;

	if (!launch->visible)
		return "the caller cannot be looked at";
	if (theirs->seccomp || ours->seccomp)
		return "a seccomp filter is active";
	if (theirs->no_new_privs || ours->no_new_privs)
		return "no_new_privs is set";
	reason = identity_seen_difference(ours, theirs);
	return reason ? reason
		      : identity_said_difference(&shim.serving.said,
						 &launch->packet->identity);
}

/* NULL, or why this is not carried out. */
static const char *receive_check(struct shim_launch *launch, size_t len)
{
	struct wire_launch *packet = launch->packet;
	const char *reason =
		wire_check(packet, len, launch->fd_count, WIRE_LAUNCH);

	if (reason)
		return reason;
	launch->strings = packet->strings;
	if (packet->flags & WIRE_STRINGS_IN_FILE)
		reason = receive_long_strings(launch);
	if (!reason)
		reason = wire_check_strings(launch->strings,
					    packet->string_bytes, packet->argc,
					    packet->envc);
	if (reason)
		return reason;
	receive_look(launch);
	return receive_check_identity(launch);
}

static void receive_forget(struct shim_launch *launch)
{
	while (launch->fd_count > 0)
		raw_1(close, launch->fd[--launch->fd_count]);
	if (launch->strings && launch->strings != launch->packet->strings)
		raw_2(munmap, launch->strings, launch->packet->string_bytes);
	launch->strings = NULL;
}

/* A client asks first, so that nothing of its own lies in the queue of a
 * server that does not answer, and then sends its launch. */
static long receive_packet(struct shim_launch *launch, int connection)
{
	long got;

	for (;;) {
		got = packet_receive(connection, launch->packet, RECEIVE_ROOM,
				     launch->fd, WIRE_FD_MOST + 2,
				     &launch->fd_count, 0);
		if (got <= 0 || wire_check(launch->packet, (size_t)got,
					   launch->fd_count, WIRE_ASK))
			return got;
		receive_tell_state(connection);
		receive_look(launch);
	}
}

/* In a copy.  true: shim.launch is complete. */
bool receive(int connection)
{
	struct shim_launch *launch = &shim.launch;
	struct timeval patience = { SHIM_CLIENT_WAIT_MS / 1000, 0 };
	const char *reason;
	long got;

	launch->looked = false;
	if (!receive_is_ours(connection))
		return false;
	raw_5(setsockopt, connection, SOL_SOCKET, SO_RCVTIMEO, &patience,
	      sizeof patience);
	got = receive_packet(launch, connection);
	if (got <= 0) {
		receive_forget(launch);
		return false;
	}
	reason = receive_check(launch, (size_t)got);
	if (reason) {
		receive_refuse(connection, reason);
		receive_forget(launch);
		return false;
	}
	launch->connection = connection;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The clone: the launch goes to the warm program's own socket, and a copy
 * of it runs.					       CLAIM 0.5 0.7 */
#include "bare/raw.h"
#include "bare/wire_check.h"
#include "brood/pool_hint.h"
#include "launch/hatch/starter.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

enum {
	CLONE_ANSWER_MS = 5000, /* then it is given up */
	CLONE_QUEUE_MS = 1000,	/* the same, for a place in its queue */
	CLONE_AWAKE_NS = 150000,
	CLONE_TRIES = 20, /* while generations change */
	CLONE_CHANGES = 3,
	CLONE_FDS = WIRE_FD_MOST + 2,
};

union clone_control {
	struct cmsghdr head;
	char room[CMSG_SPACE(CLONE_FDS * sizeof(int))];
};

/* The last template's word stays when it ends.  One that had a pool is missed
 * then, whatever it said last: on a busy machine its pool may have been empty
 * for long. */
static bool clone_is_missed(int fd, const struct pool_hint *hint)
{
	struct flock any = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return hint->pool > 0 && raw_3(fcntl, fd, F_OFD_GETLK, &any) == 0 &&
	       any.l_type == F_UNLCK;
}

/* The file lies beside the socket's public name; none was ever here if there
 * is no file.  Where copies are told of, the clone finds out by itself that
 * nobody is there. */
bool clone_waits(struct starter *starter)
{
	char path[sizeof starter->entry.live + 8];
	size_t len = strlen(starter->entry.live);
	struct pool_hint hint = { 0, 0 };
	long fd;

	if (len < 4 || memcmp(starter->entry.live + len - 4, "live", 4) != 0)
		return false;
	memcpy(path, starter->entry.live, len - 4);
	memcpy(path + len - 4, "waiting", 8);
	fd = raw_4(openat, AT_FDCWD, path,
		   O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0) {
		starter->stale = true;
		return false;
	}
	raw_3(read, fd, &hint, sizeof hint);
	if (hint.ready == 0 && clone_is_missed((int)fd, &hint))
		starter->stale = true;
	raw_1(close, fd);
	return hint.ready > 0;
}

static const char *clone_no_server(long error)
{
	switch (-error) {
	case ECONNREFUSED: return "refuses";
	case EAGAIN: return "has a full queue";
	}
	return entry_words(error);
}

/* The queue of a server is full for a moment when very many start at once,
 * and for ever when it is stopped.  connect() waits as long as it may send. */
static long clone_queue(int fd, const struct sockaddr_un *address)
{
	struct timeval limit = { CLONE_QUEUE_MS / 1000,
				 CLONE_QUEUE_MS % 1000 * 1000 };

	raw_5(setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	raw_3(fcntl, fd, F_SETFL, 0);
	return raw_3(connect, fd, address, sizeof *address);
}

/* A generation changes between the name being read and the connect: that
 * passes within microseconds. */
static long clone_connect_to(int fd, const struct sockaddr_un *address)
{
	struct timespec pause = { 0, 200000 };
	long r = 0;

	for (int i = 0; i < CLONE_TRIES; i++) {
		r = raw_3(connect, fd, address, sizeof *address);
		if (r == -EAGAIN)
			r = clone_queue(fd, address);
		if (r != -ECONNREFUSED && r != -EINTR)
			break;
		raw_2(nanosleep, &pause, 0);
	}
	return r;
}

static int clone_connect(struct starter *starter)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	long fd = raw_3(socket, AF_UNIX,
			SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	long r = fd;

	memcpy(address.sun_path, starter->entry.live, sizeof address.sun_path);
	if (fd >= 0)
		r = clone_connect_to(fd, &address);
	if (r == 0)
		return fd;
	if (fd >= 0)
		raw_1(close, fd);
	text_reason(starter, "no server: its socket ", clone_no_server(r), "");
	return r;
}

/* A server that is well answers within some 50 us.  To sleep that long would
 * cost as much again, on both sides, for waking an idle CPU up. */
static long clone_wait(int connection)
{
	struct pollfd one = { connection, POLLIN, 0 };
	uint64_t until = text_now_ns() + CLONE_AWAKE_NS;
	long n;

	while ((n = raw_3(poll, &one, 1, 0)) == 0 && text_now_ns() < until)
		raw_0(sched_yield);
	return n ? n : raw_3(poll, &one, 1, CLONE_ANSWER_MS);
}

/* ---- the packet --------------------------------------------------------- */

static size_t clone_string_bytes(const struct starter *starter,
				 struct wire_launch *launch)
{
	size_t len = 0;

	launch->argc = launch->envc = 0;
	for (char **s = starter->argv; *s; s++, launch->argc++)
		len += strlen(*s) + 1;
	for (char **s = starter->envp; *s; s++, launch->envc++)
		len += strlen(*s) + 1;
	return len;
}

static void clone_copy_strings(const struct starter *starter, char *to)
{
	char **lists[] = { starter->argv, starter->envp };

	for (int i = 0; i < 2; i++)
		for (char **s = lists[i]; *s; s++) {
			size_t len = strlen(*s) + 1;

			memcpy(to, *s, len);
			to += len;
		}
}

/* Long strings travel in a memory file. */
static int clone_strings_file(const struct starter *starter, size_t len)
{
	long fd = raw_2(memfd_create, "launch", MFD_CLOEXEC);
	long at;

	if (fd < 0)
		return -1;
	raw_2(ftruncate, fd, len);
	at = raw_6(mmap, 0, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at < 0 && at > -4096) {
		raw_1(close, fd);
		return -1;
	}
	clone_copy_strings(starter, (char *)at);
	raw_2(munmap, at, len);
	return fd;
}

static long clone_send(int connection, struct wire_launch *launch,
		       const char *strings, const int *fds, int fd_count)
{
	union clone_control control;
	size_t inline_bytes = strings ? launch->string_bytes : 0;
	struct iovec parts[2] = { { launch, sizeof *launch },
				  { (void *)(size_t)strings, inline_bytes } };
	struct msghdr message = { .msg_iov = parts,
				  .msg_iovlen = 1 + (strings != NULL),
				  .msg_control = &control };

	launch->head =
		(struct wire_head){ WIRE_MAGIC, WIRE_VERSION, WIRE_LAUNCH,
				    sizeof *launch + inline_bytes, 0 };
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, fd_count * sizeof(int));
	message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	return raw_3(sendmsg, connection, &message, MSG_NOSIGNAL);
}

/* Asked before anything of the caller's is sent: what lies in the queue of a
 * server that hangs would hold the caller's pipes open.  It answers while we
 * collect the launch. */
static bool clone_ask(int connection)
{
	struct wire_ask ask = { { WIRE_MAGIC, WIRE_VERSION, WIRE_ASK,
				  sizeof ask, 0 } };

	return raw_6(sendto, connection, &ask, sizeof ask, MSG_NOSIGNAL, 0,
		     0) == sizeof ask;
}

static bool clone_is_answered(struct starter *starter, int connection)
{
	struct wire_state state;
	long n = 0;

	if (clone_wait(connection) == 1)
		n = raw_6(recvfrom, connection, &state, sizeof state,
			  MSG_DONTWAIT, 0, 0);
	if (n <= 0 || wire_check(&state, n, 0, WIRE_STATE) ||
	    state.mode != WIRE_MODE_SERVER) {
		text_reason(starter, "the server does not answer", "", "");
		return false;
	}
	/* What was compared are the files of this image's generation. */
	starter->changed = state.generation != starter->image->generation;
	if (starter->changed)
		text_reason(starter, "the generation has changed", "", "");
	return !starter->changed;
}

static bool clone_send_launch(struct starter *starter, int connection)
{
	char room[WIRE_INLINE_MOST];
	struct wire_launch launch;
	uint64_t all = ~0ull;
	int fds[CLONE_FDS], fd_count = 0, file = -1;
	long r = -1;

	if (!clone_ask(connection) || !entry_files_are_same(starter) ||
	    !collect_launch(starter, &launch, fds, &fd_count))
		return false;
	if (!clone_is_answered(starter, connection)) {
		raw_1(close, fds[0]);
		return false;
	}
	/* A signal that comes from now on is for the copy. */
	raw_4(rt_sigprocmask, 2, &all, NULL, 8);
	launch.string_bytes = clone_string_bytes(starter, &launch);
	if (launch.string_bytes <= sizeof room) {
		clone_copy_strings(starter, room);
		r = clone_send(connection, &launch, room, fds, fd_count);
	} else if (launch.string_bytes <= WIRE_STRINGS_MOST &&
		   (file = clone_strings_file(starter, launch.string_bytes)) >=
			   0) {
		launch.flags |= WIRE_STRINGS_IN_FILE;
		memmove(fds + 2, fds + 1, (fd_count - 1) * sizeof *fds);
		fds[1] = file;
		r = clone_send(connection, &launch, NULL, fds, fd_count + 1);
		raw_1(close, file);
	}
	raw_1(close, fds[0]);
	if (r < 0)
		text_reason(starter, "the launch could not be sent", "", "");
	return r >= 0;
}

/* ---- the answer ----------------------------------------------------------- */

struct clone_answer {
	union {
		struct wire_head head;
		struct wire_started started;
		struct wire_refused refused;
		struct wire_exited exited;
	};
	int pidfd;
};

/* Room for one descriptor: where there are more, the kernel closes them. */
static long clone_receive(int connection, struct clone_answer *answer,
			  int flags)
{
	union clone_control control;
	struct iovec part = { &answer->head, sizeof *answer };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = CMSG_LEN(sizeof(int)) };
	long n = raw_3(recvmsg, connection, &message, flags | MSG_CMSG_CLOEXEC);

	answer->pidfd = -1;
	if (n >= 0 && message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.head.cmsg_type == SCM_RIGHTS)
		memcpy(&answer->pidfd, CMSG_DATA(&control.head), sizeof(int));
	return n;
}

/* True when the copy runs.  Once this has returned false nothing will run:
 * the connection is shut, and a copy that cannot deliver STARTED exits. */
static bool clone_wait_started(struct starter *starter, int connection,
			       struct clone_answer *answer)
{
	long n = clone_wait(connection);

	if (n <= 0)
		raw_2(shutdown, connection, SHUT_RDWR);
	n = clone_receive(connection, answer, MSG_DONTWAIT);
	if (n > 0 &&
	    !wire_check(&answer->head, n, answer->pidfd >= 0, WIRE_STARTED))
		return true;
	if (answer->pidfd >= 0)
		raw_1(close, answer->pidfd);
	if (n > 0 && !wire_check(&answer->head, n, 0, WIRE_REFUSED))
		text_reason(starter, answer->refused.reason, "", "");
	else if (n > 0 && !wire_check(&answer->head, n, 0, WIRE_EXITED))
		text_reason(starter, "the copy ended before it started", "",
			    "");
	else if (n > 0)
		text_reason(starter, "the server gave a strange answer", "",
			    "");
	else
		text_reason(starter, "the server did not start a copy", "", "");
	return false;
}

/* Room for the pidfd where the caller's limit leaves none; the launch has
 * the caller's own limit already. */
static void clone_raise_limit(void)
{
	struct rlimit limit;

	if (raw_4(prlimit64, 0, RLIMIT_NOFILE, 0, &limit) == 0 &&
	    limit.rlim_cur < 64 && limit.rlim_max > limit.rlim_cur) {
		limit.rlim_cur = limit.rlim_max < 64 ? limit.rlim_max : 64;
		raw_4(prlimit64, 0, RLIMIT_NOFILE, &limit, 0);
	}
}

static void clone_once(struct starter *starter)
{
	uint64_t mask = 0;
	struct clone_answer answer;
	struct rlimit before;
	int connection = clone_connect(starter);

	if (connection < 0) {
		starter->stale = !entry_is_limit(connection);
		return;
	}
	starter->connected_ns = text_now_ns();
	raw_4(rt_sigprocmask, 0, NULL, &mask, 8);
	if (clone_send_launch(starter, connection)) {
		raw_4(prlimit64, 0, RLIMIT_NOFILE, 0, &before);
		clone_raise_limit();
		if (clone_wait_started(starter, connection, &answer)) {
			report_way(starter, "clone", answer.started.pid,
				   answer.started.generation);
			follow_copy(starter, connection, answer.pidfd,
				    answer.started.pid);
		}
		raw_4(prlimit64, 0, RLIMIT_NOFILE, &before, 0);
	}
	raw_4(rt_sigprocmask, 2, &mask, NULL, 8);
	raw_1(close, connection);
}

void clone_try(struct starter *starter)
{
	for (int i = 0; i < CLONE_CHANGES; i++) {
		starter->changed = false;
		clone_once(starter);
		if (!starter->changed)
			return;
		entry_load_image_again(starter);
		if (!starter->image ||
		    !(starter->image->flags & IMAGE_CAN_CLONE))
			return;
	}
}

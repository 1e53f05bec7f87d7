/* SPDX-License-Identifier: Apache-2.0 */
/* Packets with descriptors over SEQPACKET sockets.  Results are negative
 * errnos; nothing here allocates or touches errno. */
#include "launch/shim/shim.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { PACKET_FDS_MOST = WIRE_FD_MOST + 2 };

union packet_control {
	char room[CMSG_SPACE(sizeof(int) * PACKET_FDS_MOST)];
	struct cmsghdr head;
};

long packet_send(int socket, const void *data, size_t len, const int *fds,
		 int fd_count, int flags)
{
	union packet_control control;
	struct iovec part = { (void *)data, len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd_count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * fd_count);
	}
	return raw_3(sendmsg, socket, &message, flags | MSG_NOSIGNAL);
}

/* Takes the descriptors of one message over, closes what has no room. */
static int packet_take_fds(struct msghdr *message, int *fds, int fd_room)
{
	int count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
	     c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (count < fd_room)
				fds[count++] = fd;
			else
				raw_1(close, fd);
		}
	}
	return count;
}

long packet_receive(int socket, void *data, size_t len, int *fds, int fd_room,
		    int *fd_count, int flags)
{
	union packet_control control;
	struct iovec part = { data, len };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof control };
	long got = raw_3(recvmsg, socket, &message, flags | MSG_CMSG_CLOEXEC);

	*fd_count = 0;
	if (got < 0)
		return got;
	*fd_count = packet_take_fds(&message, fds, fd_room);
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		while (*fd_count > 0)
			raw_1(close, fds[--*fd_count]);
		return -EMSGSIZE;
	}
	return got;
}

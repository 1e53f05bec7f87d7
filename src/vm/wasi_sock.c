/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on sockets.  A guest makes none: it accepts from listening ones that
 * it was handed. */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool wasi_sock_is(const struct wasi_fd *fd)
{
	return fd->type == WASI_SOCKET_STREAM || fd->type == WASI_SOCKET_DGRAM;
}

static int wasi_sock_get(const struct wasi_call *call, uint32_t number,
			 uint64_t rights, struct wasi_fd **fd)
{
	int e = wasi_table_get(call->wasi, number, 0, fd);

	if (!e && !wasi_sock_is(*fd))
		e = WASI_ENOTSOCK;
	return e ? e : wasi_table_get(call->wasi, number, rights, fd);
}

static int wasi_sock_take(const struct wasi_call *call,
			  const struct wasi_fd *listener, int *host)
{
	int e;

	do {
		e = wasi_poll_ready(call, listener, POLLIN);
		if (e)
			return e;
		*host = accept4(listener->host, NULL, NULL,
				SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (*host < 0 && (errno == EINTR || errno == EAGAIN));
	return *host < 0 ? wasi_errno(errno) : 0;
}

int wasi_sock_accept(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *listener, entry = { .host = -1 };
	uint32_t fd;
	int e = wasi_sock_get(call, a[0].i32, WASI_RIGHT_SOCK_ACCEPT,
			      &listener);
	int r;

	if (!e && a[1].i32 & ~WASI_NONBLOCK)
		e = WASI_EINVAL;
	if (!e && !wasi_guest(call, a[2].i32, sizeof fd))
		e = WASI_EFAULT;
	if (!e)
		e = wasi_sock_take(call, listener, &entry.host);
	if (e)
		return e;
	r = wasi_table_describe(&entry);
	if (r < 0) {
		close(entry.host);
		return wasi_errno(-r);
	}
	entry.rights &= listener->inheriting;
	entry.flags = a[1].i32;
	e = wasi_table_add(call->wasi, &entry, 0, &fd);
	return e ? e : wasi_guest_put_u32(call, a[2].i32, fd);
}

/* One try; WAITALL is ours, since the host's would not see a deadline. */
static int wasi_sock_receive(const struct wasi_call *call,
			     const struct wasi_fd *fd, struct msghdr *message,
			     int flags, size_t *len)
{
	ssize_t n;
	int e;

	do {
		e = wasi_poll_ready(call, fd, POLLIN);
		if (e)
			return e;
		n = recvmsg(fd->host, message, flags | MSG_DONTWAIT);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	*len = n < 0 ? 0 : n;
	return n < 0 ? wasi_errno(errno) : 0;
}

static int wasi_sock_recv_into(const struct wasi_call *call,
			       const struct wasi_fd *fd,
			       struct wasi_vectors *vectors, uint32_t flags,
			       size_t *done, uint16_t *out)
{
	bool all = flags == WASI_RECV_WAITALL && fd->type == WASI_SOCKET_STREAM;
	struct msghdr message;
	size_t len = 0;
	int e;

	do {
		message = (struct msghdr){
			.msg_iov = vectors->items + vectors->first,
			.msg_iovlen = vectors->count - vectors->first,
		};
		e = wasi_sock_receive(call, fd, &message,
				      flags & WASI_RECV_PEEK ? MSG_PEEK : 0,
				      &len);
		wasi_io_drop(vectors, len);
		*done += len;
		if (message.msg_flags & MSG_TRUNC)
			*out = WASI_RECV_TRUNCATED;
	} while (!e && all && len && vectors->first < vectors->count);
	return e > 0 && *done ? 0 : e;
}

int wasi_sock_recv(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_vectors vectors;
	struct wasi_fd *fd;
	size_t done = 0;
	uint16_t flags = 0;
	int e = wasi_sock_get(call, a[0].i32, WASI_RIGHT_FD_READ, &fd);

	if (!e && a[3].i32 & ~(WASI_RECV_PEEK | WASI_RECV_WAITALL))
		e = WASI_EINVAL;
	if (!e)
		e = wasi_guest_vectors(call, a[1].i32, a[2].i32, &vectors);
	if (!e && (!wasi_guest(call, a[4].i32, sizeof(uint32_t)) ||
		   !wasi_guest(call, a[5].i32, sizeof flags)))
		e = WASI_EFAULT;
	if (!e)
		e = wasi_sock_recv_into(call, fd, &vectors, a[3].i32, &done,
					&flags);
	if (!e)
		e = wasi_guest_put_u32(call, a[4].i32, done);
	return e ? e : wasi_guest_put(call, a[5].i32, &flags, sizeof flags);
}

int wasi_sock_send(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_sock_get(call, a[0].i32, WASI_RIGHT_FD_WRITE, &fd);

	if (!e && a[3].i32)
		e = WASI_EINVAL;
	return e ? e : wasi_io_write_call(call, a, -1, a[4].i32);
}

int wasi_sock_shutdown(struct wasi_call *call, const union wasm_value *a)
{
	static const uint8_t ways[] = {
		[WASI_SHUT_RD] = SHUT_RD,
		[WASI_SHUT_WR] = SHUT_WR,
		[WASI_SHUT_RD | WASI_SHUT_WR] = SHUT_RDWR,
	};
	struct wasi_fd *fd;
	int e = wasi_sock_get(call, a[0].i32, WASI_RIGHT_SOCK_SHUTDOWN, &fd);

	if (e)
		return e;
	if (a[1].i32 == 0 || a[1].i32 >= sizeof ways)
		return WASI_EINVAL;
	return shutdown(fd->host, ways[a[1].i32]) < 0 ? wasi_errno(errno) : 0;
}

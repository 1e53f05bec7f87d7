/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in and out.  What can be tried at once or not at all (sockets; pipes
 * since Linux 6.18) is waited for when that failed.  Other streams are waited
 * for first; where a wait must end, at the VM's deadline or at once, they are
 * written in pieces that a pipe with any room takes.  Flags of a descriptor
 * are given along with each write.  A read is tried at once or not at all
 * after the wait: another reader may have been faster.  Nobody is killed by SIGPIPE: the guest
 * gets EPIPE. */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

/* ---- a stream's bytes -------------------------------------------------------- */

static bool wasi_io_is_socket(const struct wasi_fd *fd)
{
	return fd->type == WASI_SOCKET_STREAM || fd->type == WASI_SOCKET_DGRAM;
}

static ssize_t wasi_io_send_socket(int host, const struct iovec *items,
				   int count)
{
	struct msghdr message = {
		.msg_iov = (struct iovec *)items,
		.msg_iovlen = count,
	};

	return sendmsg(host, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* writev without a SIGPIPE of its making. */
static ssize_t wasi_io_send_pipe(int host, const struct iovec *items, int count)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t pipe, before;
	ssize_t n;
	int code;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	n = writev(host, items, count);
	code = errno;
	if (n < 0 && code == EPIPE && !sigismember(&before, SIGPIPE))
		while (sigtimedwait(&pipe, NULL, &at_once) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = code;
	return n;
}

/* At once or not at all. */
static ssize_t wasi_io_send_now(const struct wasi_fd *fd,
				const struct iovec *items, int count)
{
	ssize_t n = wasi_io_is_socket(fd)
			    ? wasi_io_send_socket(fd->host, items, count)
			    : pwritev2(fd->host, items, count, -1,
				       RWF_NOWAIT | RWF_NOSIGNAL);

	return n < 0 ? -errno : n;
}

/* When it takes all, or may take the time that it needs. */
static ssize_t wasi_io_send_slowly(const struct wasi_fd *fd,
				   const struct iovec *items, int count)
{
	ssize_t n = fd->type == WASI_UNKNOWN
			    ? wasi_io_send_pipe(fd->host, items, count)
			    : writev(fd->host, items, count);

	return n < 0 ? -errno : n;
}

/* The first bytes that are left, as one piece. */
static size_t wasi_io_gather(const struct wasi_vectors *from, uint8_t *to,
			     size_t room)
{
	size_t len = 0;

	for (uint32_t i = from->first; i < from->count && len < room; i++) {
		const struct iovec *item = &from->items[i];
		size_t n =
			item->iov_len < room - len ? item->iov_len : room - len;

		memcpy(to + len, item->iov_base, n);
		len += n;
	}
	return len;
}

void wasi_io_drop(struct wasi_vectors *vectors, size_t len)
{
	while (vectors->first < vectors->count) {
		struct iovec *item = &vectors->items[vectors->first];

		if (len < item->iov_len) {
			item->iov_base = (uint8_t *)item->iov_base + len;
			item->iov_len -= len;
			return;
		}
		len -= item->iov_len;
		vectors->first++;
	}
}

static ssize_t wasi_io_send_piece(const struct wasi_fd *fd,
				  const struct wasi_vectors *vectors)
{
	uint8_t bytes[PIPE_BUF];
	size_t len = wasi_io_gather(vectors, bytes, sizeof bytes);
	struct iovec item = { bytes, len };

	return wasi_io_send_slowly(fd, &item, 1);
}

static bool wasi_io_can_try(const struct wasi_call *call,
			    const struct wasi_fd *fd)
{
	return wasi_io_is_socket(fd) ||
	       (fd->type == WASI_UNKNOWN && call->wasi->has_nosignal);
}

static ssize_t wasi_io_send(const struct wasi_call *call,
			    const struct wasi_fd *fd,
			    const struct wasi_vectors *vectors)
{
	const struct iovec *items = vectors->items + vectors->first;
	int count = vectors->count - vectors->first;

	if (wasi_io_can_try(call, fd))
		return wasi_io_send_now(fd, items, count);
	if (call->caller->deadline_ns || fd->flags & WASI_NONBLOCK)
		return wasi_io_send_piece(fd, vectors);
	return wasi_io_send_slowly(fd, items, count);
}

static int wasi_io_write_stream(const struct wasi_call *call,
				const struct wasi_fd *fd,
				struct wasi_vectors *vectors, size_t *done)
{
	bool wait = !wasi_io_can_try(call, fd);
	ssize_t n;
	int e;

	wasi_io_drop(vectors, 0); /* empty ones in front */
	while (vectors->first < vectors->count && *done < INT32_MAX) {
		e = wait ? wasi_poll_ready(call, fd, POLLOUT) : 0;
		if (e)
			return e;
		n = wasi_io_send(call, fd, vectors);
		wait = n < 0 || !wasi_io_can_try(call, fd);
		if (n >= 0) {
			wasi_io_drop(vectors, n);
			*done += n;
		} else if (n == -EOPNOTSUPP && wasi_io_can_try(call, fd)) {
			call->wasi->has_nosignal = false;
		} else if (n != -EINTR && n != -EAGAIN) {
			return wasi_errno(-n);
		}
	}
	return 0;
}

/* ---- files ------------------------------------------------------------------- */

static int wasi_io_write_file(const struct wasi_fd *fd,
			      const struct wasi_vectors *vectors,
			      int64_t offset, size_t *done)
{
	int how = (fd->flags & WASI_SYNC ? RWF_SYNC : 0) |
		  (fd->flags & WASI_DSYNC ? RWF_DSYNC : 0) |
		  (fd->flags & WASI_APPEND && offset < 0 ? RWF_APPEND : 0);
	ssize_t n;

	do
		n = pwritev2(fd->host, vectors->items, vectors->count, offset,
			     how);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return wasi_errno(errno);
	*done = n;
	return 0;
}

/* offset -1: where the descriptor stands. */
static int wasi_io_write(const struct wasi_call *call, const struct wasi_fd *fd,
			 struct wasi_vectors *vectors, int64_t offset,
			 size_t *done)
{
	int e = offset < 0 && wasi_table_waits(fd)
			? wasi_io_write_stream(call, fd, vectors, done)
			: wasi_io_write_file(fd, vectors, offset, done);

	/* What was written before it failed, was. */
	return e > 0 && *done ? 0 : e;
}

static ssize_t wasi_io_receive(int host, const struct wasi_vectors *vectors)
{
	struct msghdr message = {
		.msg_iov = (struct iovec *)vectors->items,
		.msg_iovlen = vectors->count,
	};

	return recvmsg(host, &message, MSG_DONTWAIT);
}

/* Where the host's file cannot be read at once or not at all: the same pipe
 * or terminal, opened anew for it. */
static ssize_t wasi_io_read_anew(int host, const struct wasi_vectors *vectors)
{
	char path[32];
	ssize_t n;
	int anew;

	snprintf(path, sizeof path, "/proc/self/fd/%d", host);
	anew = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (anew < 0)
		return readv(host, vectors->items, vectors->count);
	n = readv(anew, vectors->items, vectors->count);
	if (n < 0) {
		n = errno;
		close(anew);
		errno = n;
		return -1;
	}
	close(anew);
	return n;
}

static bool wasi_io_may_lose(const struct wasi_fd *fd)
{
	return fd->type == WASI_UNKNOWN ||
	       (fd->type == WASI_CHARACTER_DEVICE && isatty(fd->host));
}

static ssize_t wasi_io_read_now(const struct wasi_fd *fd,
				const struct wasi_vectors *vectors,
				int64_t offset)
{
	bool now = offset < 0 && wasi_table_waits(fd);
	ssize_t n;

	if (now && wasi_io_is_socket(fd))
		return wasi_io_receive(fd->host, vectors);
	n = preadv2(fd->host, vectors->items, vectors->count, offset,
		    now ? RWF_NOWAIT : 0);

	if (!now || n >= 0 || errno != EOPNOTSUPP)
		return n;
	return wasi_io_may_lose(fd)
		       ? wasi_io_read_anew(fd->host, vectors)
		       : readv(fd->host, vectors->items, vectors->count);
}

static int wasi_io_read(const struct wasi_call *call, const struct wasi_fd *fd,
			struct wasi_vectors *vectors, int64_t offset,
			size_t *done)
{
	ssize_t n;
	int e;

	do {
		e = wasi_poll_ready(call, fd, POLLIN);
		if (e)
			return e;
		n = wasi_io_read_now(fd, vectors, offset);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return wasi_errno(errno);
	*done = n;
	return 0;
}

/* ---- the calls ------------------------------------------------------------- */

typedef int wasi_io_call(const struct wasi_call *call, const struct wasi_fd *fd,
			 struct wasi_vectors *vectors, int64_t offset,
			 size_t *done);

static int wasi_io_do(const struct wasi_call *call, const union wasm_value *a,
		      uint64_t right, wasi_io_call *io, int64_t offset,
		      uint32_t put)
{
	struct wasi_vectors vectors;
	struct wasi_fd *fd;
	size_t done = 0;
	int e = wasi_table_get(call->wasi, a[0].i32, right, &fd);

	if (!e)
		e = wasi_guest_vectors(call, a[1].i32, a[2].i32, &vectors);
	if (!e && !wasi_guest(call, put, sizeof(uint32_t)))
		e = WASI_EFAULT;
	if (!e)
		e = io(call, fd, &vectors, offset, &done);
	return e ? e : wasi_guest_put_u32(call, put, done);
}

static int wasi_io_read_call(const struct wasi_call *call,
			     const union wasm_value *a, int64_t offset,
			     uint32_t put)
{
	uint64_t seek = offset < 0 ? 0 : WASI_RIGHT_FD_SEEK;

	return wasi_io_do(call, a, WASI_RIGHT_FD_READ | seek, wasi_io_read,
			  offset, put);
}

int wasi_io_write_call(const struct wasi_call *call, const union wasm_value *a,
		       int64_t offset, uint32_t put)
{
	uint64_t seek = offset < 0 ? 0 : WASI_RIGHT_FD_SEEK;

	return wasi_io_do(call, a, WASI_RIGHT_FD_WRITE | seek, wasi_io_write,
			  offset, put);
}

int wasi_fd_read(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_io_read_call(call, a, -1, a[3].i32);
}

int wasi_fd_write(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_io_write_call(call, a, -1, a[3].i32);
}

int wasi_fd_pread(struct wasi_call *call, const union wasm_value *a)
{
	return a[3].i64 > INT64_MAX
		       ? WASI_EINVAL
		       : wasi_io_read_call(call, a, a[3].i64, a[4].i32);
}

int wasi_fd_pwrite(struct wasi_call *call, const union wasm_value *a)
{
	return a[3].i64 > INT64_MAX
		       ? WASI_EINVAL
		       : wasi_io_write_call(call, a, a[3].i64, a[4].i32);
}

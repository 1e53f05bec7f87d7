/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors: ownership, whole transfers, packets with descriptors. */
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { FD_PASSED_MOST = 253 }; /* SCM_MAX_FD */

void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void mem_free(void *pointer_to_pointer)
{
	void **pointer = pointer_to_pointer;

	free(*pointer);
	*pointer = NULL;
}

int steal_fd(int *fd)
{
	int kept = *fd;

	*fd = -1;
	return kept;
}

void *steal_ptr(void *pointer_to_pointer)
{
	void **pointer = pointer_to_pointer;
	void *kept = *pointer;

	*pointer = NULL;
	return kept;
}

static int fd_end(struct err *err)
{
	return err_set(err, -ENODATA, "ends too early");
}

int fd_read_all(int fd, void *to, size_t len, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)to + done, len - done);

		if (n == 0)
			return fd_end(err);
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "read");
		done += n > 0 ? n : 0;
	}
	return 0;
}

int fd_write_all(int fd, const void *from, size_t len, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)from + done, len - done);

		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "write");
		done += n > 0 ? n : 0;
	}
	return 0;
}

int fd_send_all(int fd, const void *from, size_t len, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = send(fd, (const char *)from + done, len - done,
				 MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "send");
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int fd_pread_all(int fd, void *to, size_t len, uint64_t at, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)to + done, len - done, at + done);

		if (n == 0)
			return fd_end(err);
		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "read");
		done += n > 0 ? n : 0;
	}
	return 0;
}

int fd_pwrite_all(int fd, const void *from, size_t len, uint64_t at,
		  struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)from + done, len - done,
				   at + done);

		if (n < 0 && errno != EINTR)
			return err_set(err, -errno, "write");
		done += n > 0 ? n : 0;
	}
	return 0;
}

int fd_raise(int *fd, int least)
{
	int high = fcntl(*fd, F_DUPFD_CLOEXEC, least);

	if (high < 0)
		return -errno;
	close(*fd);
	*fd = high;
	return 0;
}

static int fd_compare(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;

	return (left > right) - (left < right);
}

int fd_close_others(const int *keep, size_t count)
{
	auto_free int *sorted = calloc(count + 1, sizeof(*sorted));
	unsigned int from = 0;

	if (!sorted)
		return -ENOMEM;
	if (count)
		memcpy(sorted, keep, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), fd_compare);
	for (size_t i = 0; i < count; i++) {
		if (sorted[i] < 0 || (unsigned int)sorted[i] < from)
			continue;
		if ((unsigned int)sorted[i] > from &&
		    syscall(SYS_close_range, from, sorted[i] - 1, 0) < 0)
			return -errno;
		from = sorted[i] + 1u;
	}
	return syscall(SYS_close_range, from, ~0u, 0) < 0 ? -errno : 0;
}

union fd_control {
	struct cmsghdr head;
	char room[CMSG_SPACE(FD_PASSED_MOST * sizeof(int))];
};

int fd_send(int socket, const void *data, size_t len, const int *fds,
	    int fd_count, struct err *err)
{
	union fd_control control;
	struct iovec part = { (void *)(uintptr_t)data, len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	if (fd_count < 0 || fd_count > FD_PASSED_MOST)
		return err_set(err, -EINVAL, "%d descriptors in one packet",
			       fd_count);
	if (fd_count > 0) {
		memset(&control, 0, sizeof control.head);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, fd_count * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, -errno, "send");
	return (size_t)n == len ? 0 : err_set(err, -EMSGSIZE, "send");
}

static int fd_take_passed(struct msghdr *message, int *fds, int room,
			  int *count)
{
	bool fits = !(message->msg_flags & (MSG_CTRUNC | MSG_TRUNC));

	*count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
	     c = CMSG_NXTHDR(message, c)) {
		int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (int i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
			if (fits && *count < room) {
				fds[(*count)++] = fd;
			} else {
				fits = false;
				close(fd);
			}
		}
	}
	while (!fits && *count > 0)
		close(fds[--*count]);
	return fits ? 0 : -EMSGSIZE;
}

ssize_t fd_receive(int socket, void *data, size_t len, int *fds, int fd_room,
		   int *fd_count, struct err *err)
{
	union fd_control control;
	struct iovec part = { data, len };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof control };
	int count = 0;
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, -errno, "receive");
	if (fd_take_passed(&message, fds, fds ? fd_room : 0, &count) < 0)
		return err_set(err, -EMSGSIZE, "receive");
	if (fd_count)
		*fd_count = count;
	return n;
}

/* sun_path has 108 bytes; a longer path is reached through its folder. */
static int fd_address(const char *path, struct sockaddr_un *address,
		      int *folder, struct err *err)
{
	const char *base = strrchr(path, '/');
	char dir[4096];

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*folder = -1;
	if (strlen(path) < sizeof address->sun_path) {
		memcpy(address->sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (!base || (size_t)(base - path) >= sizeof dir)
		return err_set(err, -ENAMETOOLONG, "socket %s", path);
	memcpy(dir, path, base - path);
	dir[base - path] = 0;
	*folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*folder < 0)
		return err_set(err, -errno, "open %s", dir);
	if (snprintf(address->sun_path, sizeof address->sun_path,
		     "/proc/self/fd/%d%s", *folder,
		     base) >= (int)sizeof address->sun_path) {
		fd_close(folder);
		return err_set(err, -ENAMETOOLONG, "socket %s", path);
	}
	return 0;
}

static int fd_listen_as(int type, const char *path, int backlog,
			struct err *err)
{
	struct sockaddr_un address;
	auto_close int folder = -1;
	auto_close int fd = -1;
	int r = fd_address(path, &address, &folder, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket");
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return err_set(err, -errno, "bind %s", path);
	if (listen(fd, backlog) < 0)
		return err_set(err, -errno, "listen on %s", path);
	return steal_fd(&fd);
}

int fd_listen(const char *path, int backlog, struct err *err)
{
	return fd_listen_as(SOCK_SEQPACKET, path, backlog, err);
}

int fd_listen_stream(const char *path, int backlog, struct err *err)
{
	return fd_listen_as(SOCK_STREAM, path, backlog, err);
}

/* connect() waits for room in the listener's queue as long as it may send. */
static int fd_limit_connect(int socket, int timeout_ms)
{
	int ms = timeout_ms > 0 ? timeout_ms : 1; /* 0 would be no limit */
	struct timeval limit = { ms / 1000, ms % 1000 * 1000 };

	if (timeout_ms < 0)
		return 0;
	return setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit,
			  sizeof limit);
}

static int fd_connect_as(int type, const char *path, int timeout_ms,
			 struct err *err)
{
	struct sockaddr_un address;
	auto_close int folder = -1;
	auto_close int fd = -1;
	int r = fd_address(path, &address, &folder, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket");
	if (fd_limit_connect(fd, timeout_ms) < 0)
		return err_set(err, -errno, "time limit of a socket");
	do
		r = connect(fd, (struct sockaddr *)&address, sizeof address);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, errno == EAGAIN ? -ETIME : -errno,
			       "connect to %s", path);
	return steal_fd(&fd);
}

int fd_connect(const char *path, int timeout_ms, struct err *err)
{
	return fd_connect_as(SOCK_SEQPACKET, path, timeout_ms, err);
}

int fd_connect_stream(const char *path, int timeout_ms, struct err *err)
{
	return fd_connect_as(SOCK_STREAM, path, timeout_ms, err);
}

int fd_wait(int fd, short events, int timeout_ms)
{
	struct pollfd one = { fd, events, 0 };
	int r = poll(&one, 1, timeout_ms);

	return r < 0 ? -errno : r;
}

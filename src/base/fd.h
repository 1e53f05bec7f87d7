/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: owned ones, whole reads and writes, and descriptors
 * sent over AF_UNIX SEQPACKET sockets.  Every descriptor made here is
 * CLOEXEC. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

void fd_close(int *fd); /* closes *fd unless it is < 0; sets it to -1 */
#define auto_close __attribute__((cleanup(fd_close)))
void mem_free(void *pointer_to_pointer);
#define auto_free __attribute__((cleanup(mem_free)))
int steal_fd(int *fd); /* gives *fd away: returns it, leaves -1 */
void *steal_ptr(void *pointer_to_pointer);

int fd_read_all(int fd, void *to, size_t len, struct err *err); /* -ENODATA */
int fd_write_all(int fd, const void *from, size_t len, struct err *err);
/* Over a socket: -EPIPE, and no signal, where nobody hears. */
int fd_send_all(int fd, const void *from, size_t len, struct err *err);
int fd_pread_all(int fd, void *to, size_t len, uint64_t at, struct err *err);
int fd_pwrite_all(int fd, const void *from, size_t len, uint64_t at,
		  struct err *err);
int fd_raise(int *fd, int least); /* moves *fd to a number >= least */
int fd_close_others(const int *keep, size_t count); /* all but those */

/* One packet with up to 253 descriptors.  fd_receive sets *fd_count to the
 * number received (all CLOEXEC); a truncated packet or list is -EMSGSIZE and
 * closes what came.  Returns the bytes received, 0 at the end. */
int fd_send(int socket, const void *data, size_t len, const int *fds,
	    int fd_count, struct err *err);
ssize_t fd_receive(int socket, void *data, size_t len, int *fds, int fd_room,
		   int *fd_count, struct err *err);

/* AF_UNIX SEQPACKET, or STREAM where the name says so.  A path of over 107
 * bytes is reached through /proc/self/fd/DIRFD/NAME; all that fails names
 * the path.  fd_connect waits for a place in the listener's queue, -ETIME
 * where none becomes free; what is sent over its socket has the same limit.
 * timeout_ms < 0: none. */
int fd_listen(const char *path, int backlog, struct err *err);
int fd_listen_stream(const char *path, int backlog, struct err *err);
int fd_connect(const char *path, int timeout_ms, struct err *err);
int fd_connect_stream(const char *path, int timeout_ms, struct err *err);
int fd_wait(int fd, short events, int timeout_ms); /* poll: 1, 0, -errno */

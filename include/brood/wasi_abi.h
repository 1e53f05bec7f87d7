/* SPDX-License-Identifier: Apache-2.0 */
/* WASI preview 1 as it lies in a guest's memory: little-endian structs whose
 * offsets and sizes are asserted here, and the numbers that they hold.
 * Pointers and sizes of a guest have 32 bits.  wasi_unstable ("preview 0")
 * differs in two structs and in the order of enum wasi_whence. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum wasi_errno {
	WASI_SUCCESS,
	WASI_E2BIG,
	WASI_EACCES,
	WASI_EADDRINUSE,
	WASI_EADDRNOTAVAIL,
	WASI_EAFNOSUPPORT,
	WASI_EAGAIN,
	WASI_EALREADY,
	WASI_EBADF,
	WASI_EBADMSG,
	WASI_EBUSY,
	WASI_ECANCELED,
	WASI_ECHILD,
	WASI_ECONNABORTED,
	WASI_ECONNREFUSED,
	WASI_ECONNRESET,
	WASI_EDEADLK,
	WASI_EDESTADDRREQ,
	WASI_EDOM,
	WASI_EDQUOT,
	WASI_EEXIST,
	WASI_EFAULT,
	WASI_EFBIG,
	WASI_EHOSTUNREACH,
	WASI_EIDRM,
	WASI_EILSEQ,
	WASI_EINPROGRESS,
	WASI_EINTR,
	WASI_EINVAL,
	WASI_EIO,
	WASI_EISCONN,
	WASI_EISDIR,
	WASI_ELOOP,
	WASI_EMFILE,
	WASI_EMLINK,
	WASI_EMSGSIZE,
	WASI_EMULTIHOP,
	WASI_ENAMETOOLONG,
	WASI_ENETDOWN,
	WASI_ENETRESET,
	WASI_ENETUNREACH,
	WASI_ENFILE,
	WASI_ENOBUFS,
	WASI_ENODEV,
	WASI_ENOENT,
	WASI_ENOEXEC,
	WASI_ENOLCK,
	WASI_ENOLINK,
	WASI_ENOMEM,
	WASI_ENOMSG,
	WASI_ENOPROTOOPT,
	WASI_ENOSPC,
	WASI_ENOSYS,
	WASI_ENOTCONN,
	WASI_ENOTDIR,
	WASI_ENOTEMPTY,
	WASI_ENOTRECOVERABLE,
	WASI_ENOTSOCK,
	WASI_ENOTSUP,
	WASI_ENOTTY,
	WASI_ENXIO,
	WASI_EOVERFLOW,
	WASI_EOWNERDEAD,
	WASI_EPERM,
	WASI_EPIPE,
	WASI_EPROTO,
	WASI_EPROTONOSUPPORT,
	WASI_EPROTOTYPE,
	WASI_ERANGE,
	WASI_EROFS,
	WASI_ESPIPE,
	WASI_ESRCH,
	WASI_ESTALE,
	WASI_ETIMEDOUT,
	WASI_ETXTBSY,
	WASI_EXDEV,
	WASI_ENOTCAPABLE,
};
_Static_assert(WASI_ENOTCAPABLE == 76, "numbers of preview 1");

enum wasi_right {
	WASI_RIGHT_FD_DATASYNC = 1 << 0,
	WASI_RIGHT_FD_READ = 1 << 1,
	WASI_RIGHT_FD_SEEK = 1 << 2,
	WASI_RIGHT_FD_FDSTAT_SET_FLAGS = 1 << 3,
	WASI_RIGHT_FD_SYNC = 1 << 4,
	WASI_RIGHT_FD_TELL = 1 << 5,
	WASI_RIGHT_FD_WRITE = 1 << 6,
	WASI_RIGHT_FD_ADVISE = 1 << 7,
	WASI_RIGHT_FD_ALLOCATE = 1 << 8,
	WASI_RIGHT_PATH_CREATE_DIRECTORY = 1 << 9,
	WASI_RIGHT_PATH_CREATE_FILE = 1 << 10,
	WASI_RIGHT_PATH_LINK_SOURCE = 1 << 11,
	WASI_RIGHT_PATH_LINK_TARGET = 1 << 12,
	WASI_RIGHT_PATH_OPEN = 1 << 13,
	WASI_RIGHT_FD_READDIR = 1 << 14,
	WASI_RIGHT_PATH_READLINK = 1 << 15,
	WASI_RIGHT_PATH_RENAME_SOURCE = 1 << 16,
	WASI_RIGHT_PATH_RENAME_TARGET = 1 << 17,
	WASI_RIGHT_PATH_FILESTAT_GET = 1 << 18,
	WASI_RIGHT_PATH_FILESTAT_SET_SIZE = 1 << 19,
	WASI_RIGHT_PATH_FILESTAT_SET_TIMES = 1 << 20,
	WASI_RIGHT_FD_FILESTAT_GET = 1 << 21,
	WASI_RIGHT_FD_FILESTAT_SET_SIZE = 1 << 22,
	WASI_RIGHT_FD_FILESTAT_SET_TIMES = 1 << 23,
	WASI_RIGHT_PATH_SYMLINK = 1 << 24,
	WASI_RIGHT_PATH_REMOVE_DIRECTORY = 1 << 25,
	WASI_RIGHT_PATH_UNLINK_FILE = 1 << 26,
	WASI_RIGHT_POLL_FD_READWRITE = 1 << 27,
	WASI_RIGHT_SOCK_SHUTDOWN = 1 << 28,
	WASI_RIGHT_SOCK_ACCEPT = 1 << 29,
};

/* What such things have at the most.  Pipes and terminals: seek and tell are missing, by which a guest tells a
 * terminal from other character devices. */
#define WASI_RIGHTS_STREAM                                     \
	(WASI_RIGHT_FD_READ | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | \
	 WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_FILESTAT_GET |    \
	 WASI_RIGHT_POLL_FD_READWRITE)
#define WASI_RIGHTS_FILE                                                    \
	(WASI_RIGHTS_STREAM | WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_SEEK | \
	 WASI_RIGHT_FD_SYNC | WASI_RIGHT_FD_TELL | WASI_RIGHT_FD_ADVISE |   \
	 WASI_RIGHT_FD_ALLOCATE | WASI_RIGHT_FD_FILESTAT_SET_SIZE |         \
	 WASI_RIGHT_FD_FILESTAT_SET_TIMES)
#define WASI_RIGHTS_SOCKET (WASI_RIGHTS_STREAM | WASI_RIGHT_SOCK_SHUTDOWN)
#define WASI_RIGHTS_FOLDER                                                  \
	(WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC |              \
	 WASI_RIGHT_FD_ADVISE | WASI_RIGHT_PATH_CREATE_DIRECTORY |          \
	 WASI_RIGHT_PATH_CREATE_FILE | WASI_RIGHT_PATH_LINK_SOURCE |        \
	 WASI_RIGHT_PATH_LINK_TARGET | WASI_RIGHT_PATH_OPEN |               \
	 WASI_RIGHT_FD_READDIR | WASI_RIGHT_PATH_READLINK |                 \
	 WASI_RIGHT_PATH_RENAME_SOURCE | WASI_RIGHT_PATH_RENAME_TARGET |    \
	 WASI_RIGHT_PATH_FILESTAT_GET | WASI_RIGHT_PATH_FILESTAT_SET_SIZE | \
	 WASI_RIGHT_PATH_FILESTAT_SET_TIMES | WASI_RIGHT_FD_FILESTAT_GET |  \
	 WASI_RIGHT_FD_FILESTAT_SET_TIMES | WASI_RIGHT_PATH_SYMLINK |       \
	 WASI_RIGHT_PATH_REMOVE_DIRECTORY | WASI_RIGHT_PATH_UNLINK_FILE |   \
	 WASI_RIGHT_POLL_FD_READWRITE)

enum wasi_filetype {
	WASI_UNKNOWN,
	WASI_BLOCK_DEVICE,
	WASI_CHARACTER_DEVICE,
	WASI_DIRECTORY,
	WASI_REGULAR_FILE,
	WASI_SOCKET_DGRAM,
	WASI_SOCKET_STREAM,
	WASI_SYMBOLIC_LINK,
};

enum wasi_fdflag {
	WASI_APPEND = 1,
	WASI_DSYNC = 2,
	WASI_NONBLOCK = 4,
	WASI_RSYNC = 8,
	WASI_SYNC = 16,
	WASI_FDFLAGS = 31,
};

enum wasi_oflag {
	WASI_CREAT = 1,
	WASI_OPEN_DIRECTORY = 2,
	WASI_EXCL = 4,
	WASI_TRUNC = 8,
	WASI_OFLAGS = 15,
};

enum { WASI_SYMLINK_FOLLOW = 1 }; /* of lookupflags */

enum wasi_whence { WASI_SET, WASI_CUR, WASI_END }; /* preview 0: CUR END SET */

enum wasi_fstflag {
	WASI_ATIM = 1,
	WASI_ATIM_NOW = 2,
	WASI_MTIM = 4,
	WASI_MTIM_NOW = 8,
	WASI_FSTFLAGS = 15,
};

enum wasi_clockid {
	WASI_REALTIME,
	WASI_MONOTONIC,
	WASI_PROCESS_CPUTIME,
	WASI_THREAD_CPUTIME,
};

enum wasi_eventtype { WASI_CLOCK, WASI_FD_READ, WASI_FD_WRITE };
enum { WASI_ABSTIME = 1 };	    /* of a subscription to a clock */
enum { WASI_READWRITE_HANGUP = 1 }; /* of an event */

enum wasi_signal { /* to 15 as Linux has them, from 16 on one less */
		   WASI_SIGABRT = 6,
		   WASI_SIGCHLD = 16,
		   WASI_SIGCONT = 17,
		   WASI_SIGSTOP = 18,
		   WASI_SIGTSTP = 19,
		   WASI_SIGTTIN = 20,
		   WASI_SIGTTOU = 21,
		   WASI_SIGURG = 22,
		   WASI_SIGWINCH = 27,
		   WASI_SIGSYS = 30,
};

enum { WASI_RECV_PEEK = 1, WASI_RECV_WAITALL = 2 };
enum { WASI_RECV_TRUNCATED = 1 };
enum { WASI_SHUT_RD = 1, WASI_SHUT_WR = 2 };

struct wasi_iovec {
	uint32_t at, len;
};
_Static_assert(sizeof(struct wasi_iovec) == 8, "iovec");

struct wasi_prestat {
	uint8_t tag; /* 0: a folder */
	uint8_t zero[3];
	uint32_t name_len;
};
_Static_assert(sizeof(struct wasi_prestat) == 8, "prestat");

struct wasi_fdstat {
	uint8_t filetype;
	uint8_t zero;
	uint16_t flags;
	uint32_t zero2;
	uint64_t rights, inheriting;
};
_Static_assert(sizeof(struct wasi_fdstat) == 24, "fdstat");
_Static_assert(offsetof(struct wasi_fdstat, flags) == 2, "fdstat");
_Static_assert(offsetof(struct wasi_fdstat, rights) == 8, "fdstat");

struct wasi_filestat {
	uint64_t dev, ino;
	uint8_t filetype;
	uint8_t zero[7];
	uint64_t nlink, size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct wasi_filestat) == 64, "filestat");
_Static_assert(offsetof(struct wasi_filestat, filetype) == 16, "filestat");
_Static_assert(offsetof(struct wasi_filestat, nlink) == 24, "filestat");

struct wasi_filestat_unstable {
	uint64_t dev, ino;
	uint8_t filetype;
	uint8_t zero[3];
	uint32_t nlink;
	uint64_t size, atim, mtim, ctim;
};
_Static_assert(sizeof(struct wasi_filestat_unstable) == 56, "filestat");
_Static_assert(offsetof(struct wasi_filestat_unstable, nlink) == 20,
	       "filestat");

struct wasi_dirent {
	uint64_t next, ino;
	uint32_t name_len;
	uint8_t type;
	uint8_t zero[3];
};
_Static_assert(sizeof(struct wasi_dirent) == 24, "dirent");
_Static_assert(offsetof(struct wasi_dirent, type) == 20, "dirent");

struct wasi_subscription_clock {
	uint32_t id;
	uint32_t zero;
	uint64_t timeout, precision;
	uint16_t flags;
	uint8_t zero2[6];
};
_Static_assert(sizeof(struct wasi_subscription_clock) == 32, "clock");

struct wasi_subscription {
	uint64_t userdata;
	uint8_t type;
	uint8_t zero[7];
	union {
		struct wasi_subscription_clock clock;
		uint32_t fd;
	};
};
_Static_assert(sizeof(struct wasi_subscription) == 48, "subscription");
_Static_assert(offsetof(struct wasi_subscription, clock) == 16, "subscription");

struct wasi_subscription_unstable {
	uint64_t userdata;
	uint8_t type;
	uint8_t zero[7];
	union {
		struct {
			uint64_t identifier;
			struct wasi_subscription_clock clock;
		};
		uint32_t fd;
	};
};
_Static_assert(sizeof(struct wasi_subscription_unstable) == 56, "subscription");

struct wasi_event {
	uint64_t userdata;
	uint16_t error;
	uint8_t type;
	uint8_t zero[5];
	uint64_t byte_count;
	uint16_t flags;
	uint8_t zero2[6];
};
_Static_assert(sizeof(struct wasi_event) == 32, "event");
_Static_assert(offsetof(struct wasi_event, byte_count) == 16, "event");
_Static_assert(offsetof(struct wasi_event, flags) == 24, "event");

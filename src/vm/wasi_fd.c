/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on a descriptor that move no data: its state, its file's, where it
 * stands, its number. */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An errno of what the host just did. */
static int wasi_fd_result(int r)
{
	return r < 0 ? wasi_errno(errno) : 0;
}

static int wasi_fd_get(const struct wasi_call *call, const union wasm_value *a,
		       uint64_t rights, struct wasi_fd **fd)
{
	return wasi_table_get(call->wasi, a[0].i32, rights, fd);
}

/* ---- hints, size, storage ------------------------------------------------- */

int wasi_fd_advise(struct wasi_call *call, const union wasm_value *a)
{
	static const uint8_t advices[] = {
		POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
		POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,   POSIX_FADV_NOREUSE,
	};
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_ADVISE, &fd);

	if (e)
		return e;
	if (a[3].i32 >= sizeof advices || a[1].i64 > INT64_MAX ||
	    a[2].i64 > INT64_MAX)
		return WASI_EINVAL;
	if (fd->type == WASI_DIRECTORY)
		return WASI_EBADF;
	return wasi_errno(
		posix_fadvise(fd->host, a[1].i64, a[2].i64, advices[a[3].i32]));
}

/* A file in memory takes back what it has, and fails, when a signal comes.
 * Where the kernel sends the ticks of a profile in the middle of a call - later
 * ones do it at its end - they would let none come to its own. */
static int wasi_fd_fallocate(int host, off_t at, off_t len)
{
	sigset_t ticks, before;
	int e;

	sigemptyset(&ticks);
	sigaddset(&ticks, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &ticks, &before);
	e = wasi_fd_result(fallocate(host, 0, at, len));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return e;
}

int wasi_fd_allocate(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_ALLOCATE, &fd);

	if (e)
		return e;
	if (a[1].i64 > INT64_MAX || a[2].i64 > INT64_MAX)
		return WASI_EINVAL;
	return wasi_fd_fallocate(fd->host, (off_t)a[1].i64, (off_t)a[2].i64);
}

int wasi_fd_filestat_set_size(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_FILESTAT_SET_SIZE, &fd);

	if (e)
		return e;
	if (a[1].i64 > INT64_MAX)
		return WASI_EINVAL;
	return wasi_fd_result(ftruncate(fd->host, a[1].i64));
}

int wasi_fd_datasync(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_DATASYNC, &fd);

	return e ? e : wasi_fd_result(fdatasync(fd->host));
}

int wasi_fd_sync(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_SYNC, &fd);

	return e ? e : wasi_fd_result(fsync(fd->host));
}

/* ---- state ------------------------------------------------------------------ */

int wasi_fd_fdstat_get(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, 0, &fd);
	struct wasi_fdstat stat = { 0 };

	if (e)
		return e;
	stat.filetype = fd->type;
	stat.flags = fd->flags;
	stat.rights = fd->rights;
	stat.inheriting = fd->inheriting;
	return wasi_guest_put(call, a[1].i32, &stat, sizeof stat);
}

int wasi_fd_fdstat_set_flags(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_FDSTAT_SET_FLAGS, &fd);

	if (e)
		return e;
	if (a[1].i32 & ~WASI_FDFLAGS)
		return WASI_EINVAL;
	fd->flags = a[1].i32;
	return 0;
}

int wasi_fd_fdstat_set_rights(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, a[1].i64, &fd);

	if (e)
		return e;
	if (a[2].i64 & ~fd->inheriting)
		return WASI_ENOTCAPABLE;
	fd->rights = a[1].i64;
	fd->inheriting = a[2].i64;
	return 0;
}

static uint64_t wasi_fd_ns(const struct timespec *time)
{
	return time->tv_sec < 0 ? 0
				: time->tv_sec * 1000000000ull + time->tv_nsec;
}

static int wasi_fd_put_old_stat(const struct wasi_call *call, uint32_t at,
				const struct wasi_filestat *new)
{
	struct wasi_filestat_unstable old = {
		.dev = new->dev,
		.ino = new->ino,
		.filetype = new->filetype,
		.nlink = new->nlink,
		.size = new->size,
		.atim = new->atim,
		.mtim = new->mtim,
		.ctim = new->ctim,
	};

	return wasi_guest_put(call, at, &old, sizeof old);
}

int wasi_fd_put_stat(const struct wasi_call *call, uint32_t at,
		     const struct stat *stat, int host)
{
	struct wasi_filestat to = {
		.dev = stat->st_dev,
		.ino = stat->st_ino,
		.filetype = wasi_table_type(stat->st_mode, host),
		.nlink = stat->st_nlink,
		.size = stat->st_size,
		.atim = wasi_fd_ns(&stat->st_atim),
		.mtim = wasi_fd_ns(&stat->st_mtim),
		.ctim = wasi_fd_ns(&stat->st_ctim),
	};

	return call->unstable ? wasi_fd_put_old_stat(call, at, &to)
			      : wasi_guest_put(call, at, &to, sizeof to);
}

int wasi_fd_filestat_get(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_FILESTAT_GET, &fd);
	struct stat stat;

	if (!e)
		e = wasi_fd_result(fstat(fd->host, &stat));
	return e ? e : wasi_fd_put_stat(call, a[1].i32, &stat, fd->host);
}

static struct timespec wasi_fd_time(uint64_t ns, bool set, bool now)
{
	struct timespec time = { ns / 1000000000, ns % 1000000000 };

	if (!set)
		time.tv_nsec = now ? UTIME_NOW : UTIME_OMIT;
	return time;
}

int wasi_fd_times(uint64_t atim, uint64_t mtim, uint32_t flags,
		  struct timespec times[2])
{
	uint32_t now = flags & (WASI_ATIM_NOW | WASI_MTIM_NOW);

	if (flags & ~WASI_FSTFLAGS || flags & now >> 1)
		return WASI_EINVAL; /* a time and now */
	times[0] = wasi_fd_time(atim, flags & WASI_ATIM, now & WASI_ATIM_NOW);
	times[1] = wasi_fd_time(mtim, flags & WASI_MTIM, now & WASI_MTIM_NOW);
	return 0;
}

int wasi_fd_filestat_set_times(struct wasi_call *call,
			       const union wasm_value *a)
{
	struct wasi_fd *fd;
	struct timespec times[2];
	int e = wasi_fd_get(call, a, WASI_RIGHT_FD_FILESTAT_SET_TIMES, &fd);

	if (!e)
		e = wasi_fd_times(a[1].i64, a[2].i64, a[3].i32, times);
	return e ? e : wasi_fd_result(futimens(fd->host, times));
}

/* ---- where it stands ------------------------------------------------------ */

static int wasi_fd_move(struct wasi_call *call, uint32_t number,
			uint64_t rights, int64_t by, int whence, uint32_t at)
{
	struct wasi_fd *fd;
	int e = wasi_table_get(call->wasi, number, rights, &fd);
	off_t now;

	if (e)
		return e;
	now = lseek(fd->host, by, whence);
	return now < 0 ? wasi_errno(errno) : wasi_guest_put_u64(call, at, now);
}

int wasi_fd_seek(struct wasi_call *call, const union wasm_value *a)
{
	static const uint8_t ways[2][3] = {
		{ SEEK_SET, SEEK_CUR, SEEK_END },
		{ SEEK_CUR, SEEK_END, SEEK_SET },
	};
	/* To ask is to tell. */
	uint64_t right = WASI_RIGHT_FD_SEEK;
	uint8_t whence = a[2].i32 < 3 ? ways[call->unstable][a[2].i32] : 0;

	if (a[2].i32 >= 3)
		return WASI_EINVAL;
	if (whence == SEEK_CUR && a[1].i64 == 0)
		right = WASI_RIGHT_FD_TELL;
	return wasi_fd_move(call, a[0].i32, right, a[1].i64, whence, a[3].i32);
}

int wasi_fd_tell(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_fd_move(call, a[0].i32, WASI_RIGHT_FD_TELL, 0, SEEK_CUR,
			    a[1].i32);
}

/* ---- numbers ---------------------------------------------------------------- */

int wasi_fd_close(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, 0, &fd);

	if (!e)
		wasi_table_drop(fd);
	return e;
}

int wasi_fd_renumber(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *from, *to;
	int e = wasi_fd_get(call, a, 0, &from);

	if (!e)
		e = wasi_table_get(call->wasi, a[1].i32, 0, &to);
	if (e || from == to)
		return e;
	wasi_table_drop(to);
	*to = *from;
	*from = (struct wasi_fd){ .host = -1 };
	return 0;
}

int wasi_fd_prestat_get(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, 0, &fd);
	struct wasi_prestat stat = { 0 };

	if (!e && !fd->folder)
		e = WASI_EBADF;
	if (e)
		return e;
	stat.name_len = strlen(fd->folder);
	return wasi_guest_put(call, a[1].i32, &stat, sizeof stat);
}

int wasi_fd_prestat_dir_name(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_fd *fd;
	int e = wasi_fd_get(call, a, 0, &fd);
	size_t len;

	if (!e && !fd->folder)
		e = WASI_EBADF;
	if (e)
		return e;
	len = strlen(fd->folder);
	if (a[2].i32 < len)
		return WASI_ENAMETOOLONG;
	return wasi_guest_put(call, a[1].i32, fd->folder, len);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on a descriptor: its state, its bytes, its number. */
#include "wasifs/wasifs_internal.h"
#include <string.h>

enum {
	WASIFS_VECTORS = 1024,	  /* of one call; more are a short count */
	WASIFS_READ = 0x7ffff000, /* bytes of one call, likewise */
	WASIFS_ADVICES = 6,
};

static int fd_get(const struct wasifs_call *call, const union wasm_value *a,
		  uint64_t rights, struct wasifs_fd **fd)
{
	return wasifs_get(call->fs, a[0].i32, rights, fd);
}

int wasifs_fd_advise(const struct wasifs_call *call, const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, WASI_RIGHT_FD_ADVISE, &fd);

	if (e)
		return e;
	if (a[3].i32 >= WASIFS_ADVICES || a[1].i64 > INT64_MAX ||
	    a[2].i64 > INT64_MAX)
		return WASI_EINVAL;
	return fd->type == WASI_DIRECTORY ? WASI_EBADF : 0;
}

int wasifs_fd_sync(const struct wasifs_call *call, const union wasm_value *a)
{
	struct wasifs_fd *fd;

	return fd_get(call, a, WASI_RIGHT_FD_SYNC, &fd);
}

int wasifs_fd_datasync(const struct wasifs_call *call,
		       const union wasm_value *a)
{
	struct wasifs_fd *fd;

	return fd_get(call, a, WASI_RIGHT_FD_DATASYNC, &fd);
}

/* ---- state ------------------------------------------------------------------ */

int wasifs_fd_fdstat_get(const struct wasifs_call *call,
			 const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, 0, &fd);
	struct wasi_fdstat stat = { 0 };

	if (e)
		return e;
	stat.filetype = fd->type;
	stat.flags = fd->flags;
	stat.rights = fd->rights;
	stat.inheriting = fd->inheriting;
	return wasifs_put(call, a[1].i32, &stat, sizeof stat);
}

int wasifs_fd_fdstat_set_flags(const struct wasifs_call *call,
			       const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, WASI_RIGHT_FD_FDSTAT_SET_FLAGS, &fd);

	if (e)
		return e;
	if (a[1].i32 & ~WASI_FDFLAGS)
		return WASI_EINVAL;
	fd->flags = (uint16_t)a[1].i32;
	return 0;
}

int wasifs_fd_fdstat_set_rights(const struct wasifs_call *call,
				const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, a[1].i64, &fd);

	if (e)
		return e;
	if (a[2].i64 & ~fd->inheriting)
		return WASI_ENOTCAPABLE;
	fd->rights = a[1].i64;
	fd->inheriting = a[2].i64;
	return 0;
}

int wasifs_fd_filestat_get(const struct wasifs_call *call,
			   const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, WASI_RIGHT_FD_FILESTAT_GET, &fd);

	return e ? e : wasifs_put_stat(call, a[1].i32, &fd->node);
}

int wasifs_fd_prestat_get(const struct wasifs_call *call,
			  const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, 0, &fd);
	struct wasi_prestat stat = { .name_len = call->fs->name_len };

	if (!e && !fd->is_granted)
		e = WASI_EBADF;
	return e ? e : wasifs_put(call, a[1].i32, &stat, sizeof stat);
}

int wasifs_fd_prestat_dir_name(const struct wasifs_call *call,
			       const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, 0, &fd);

	if (!e && !fd->is_granted)
		e = WASI_EBADF;
	if (e)
		return e;
	if (a[2].i32 < call->fs->name_len)
		return WASI_ENAMETOOLONG;
	return wasifs_put(call, a[1].i32, call->fs->name, call->fs->name_len);
}

int wasifs_fd_close(const struct wasifs_call *call, const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, 0, &fd);

	if (!e)
		fd->is_open = false;
	return e;
}

int wasifs_fd_renumber(const struct wasifs_call *call,
		       const union wasm_value *a)
{
	struct wasifs_fd *from, *to;
	int e = fd_get(call, a, 0, &from);

	if (!e)
		e = wasifs_get(call->fs, a[1].i32, 0, &to);
	if (e || from == to)
		return e;
	*to = *from;
	from->is_open = false;
	return 0;
}

/* ---- where it stands ------------------------------------------------------ */

static int put_u64(const struct wasifs_call *call, uint32_t at, uint64_t value)
{
	return wasifs_put(call, at, &value, sizeof value);
}

static uint64_t seek_from(const struct wasifs_fd *fd, int whence)
{
	return whence == WASI_SET   ? 0
	       : whence == WASI_CUR ? fd->position
				    : fd->node.size;
}

int wasifs_fd_seek(const struct wasifs_call *call, const union wasm_value *a)
{
	static const uint8_t ways[2][3] = {
		{ WASI_SET, WASI_CUR, WASI_END },
		{ WASI_CUR, WASI_END, WASI_SET },
	};
	uint64_t right = WASI_RIGHT_FD_SEEK; /* to ask is to tell */
	struct wasifs_fd *fd;
	int64_t to;
	int whence, e;

	if (a[2].i32 >= 3)
		return WASI_EINVAL;
	whence = ways[call->caller->unstable][a[2].i32];
	if (whence == WASI_CUR && a[1].i64 == 0)
		right = WASI_RIGHT_FD_TELL;
	e = fd_get(call, a, right, &fd);
	if (e)
		return e;
	if (__builtin_add_overflow((int64_t)seek_from(fd, whence),
				   (int64_t)a[1].i64, &to) ||
	    to < 0)
		return WASI_EINVAL;
	fd->position = (uint64_t)to;
	return put_u64(call, a[3].i32, fd->position);
}

int wasifs_fd_tell(const struct wasifs_call *call, const union wasm_value *a)
{
	struct wasifs_fd *fd;
	int e = fd_get(call, a, WASI_RIGHT_FD_TELL, &fd);

	return e ? e : put_u64(call, a[1].i32, fd->position);
}

/* ---- bytes ------------------------------------------------------------------ */

/* Where others share the memory, they may change what says where to: each
 * vector is looked at when it is used. */
static uint8_t *vector_at(const struct wasifs_call *call, uint32_t at,
			  uint32_t index, uint64_t *len)
{
	const void *from =
		wasifs_guest(call, at + index * sizeof(struct wasi_iovec),
			     sizeof(struct wasi_iovec));
	struct wasi_iovec one;

	if (!from)
		return NULL;
	memcpy(&one, from, sizeof one);
	__asm__ volatile("" ::: "memory");
	*len = one.len;
	return wasifs_guest(call, one.at, one.len);
}

static int check_vectors(const struct wasifs_call *call, uint32_t at,
			 uint32_t count)
{
	uint64_t len;

	for (uint32_t i = 0; i < count; i++)
		if (!vector_at(call, at, i, &len))
			return WASI_EFAULT;
	return 0;
}

/* What was read before it failed, was. */
static int read_vectors(const struct wasifs_call *call,
			const struct wasifs_fd *fd, uint64_t offset,
			const union wasm_value *a, uint32_t count,
			uint32_t *done)
{
	for (uint32_t i = 0; i < count && *done < WASIFS_READ; i++) {
		uint64_t len = 0, most = WASIFS_READ - *done;
		uint8_t *to = vector_at(call, a[1].i32, i, &len);
		int64_t n = to ? erofs_read(&call->fs->erofs, &fd->node,
					    offset + *done, to,
					    len < most ? len : most)
			       : 0;

		if (n < 0)
			return *done ? 0 : wasifs_errno((int)n);
		*done += (uint32_t)n;
		if ((uint64_t)n < len)
			break;
	}
	return 0;
}

static int read_at(const struct wasifs_call *call, const union wasm_value *a,
		   struct wasifs_fd *fd, uint64_t offset, uint32_t put,
		   uint32_t *done)
{
	uint32_t count = a[2].i32;
	int e;

	*done = 0;
	if (!wasifs_guest(call, a[1].i32,
			  (uint64_t)count * sizeof(struct wasi_iovec)))
		return WASI_EFAULT;
	if (count > WASIFS_VECTORS)
		count = WASIFS_VECTORS;
	e = check_vectors(call, a[1].i32, count);
	if (!e && !wasifs_guest(call, put, sizeof *done))
		e = WASI_EFAULT;
	if (!e)
		e = read_vectors(call, fd, offset, a, count, done);
	return e ? e : wasifs_put_u32(call, put, *done);
}

int wasifs_fd_read(const struct wasifs_call *call, const union wasm_value *a)
{
	struct wasifs_fd *fd;
	uint32_t done;
	int e = fd_get(call, a, WASI_RIGHT_FD_READ, &fd);

	if (!e)
		e = read_at(call, a, fd, fd->position, a[3].i32, &done);
	if (!e)
		fd->position += done;
	return e;
}

int wasifs_fd_pread(const struct wasifs_call *call, const union wasm_value *a)
{
	struct wasifs_fd *fd;
	uint32_t done;
	int e;

	if (a[3].i64 > INT64_MAX)
		return WASI_EINVAL;
	e = fd_get(call, a, WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK, &fd);
	return e ? e : read_at(call, a, fd, a[3].i64, a[4].i32, &done);
}

/* ---- entries ---------------------------------------------------------------- */

struct reading {
	uint8_t *to;
	uint32_t room, used;
};

static void reading_put(struct reading *reading, const void *from, uint32_t len)
{
	uint32_t left = reading->room - reading->used;

	if (len > left)
		len = left;
	memcpy(reading->to + reading->used, from, len);
	reading->used += len;
}

static uint8_t entry_type(const struct erofs_entry *entry)
{
	switch (entry->kind) {
	case EROFS_KIND_FILE: return WASI_REGULAR_FILE;
	case EROFS_KIND_FOLDER: return WASI_DIRECTORY;
	case EROFS_KIND_LINK: return WASI_SYMBOLIC_LINK;
	}
	return WASI_UNKNOWN;
}

static void reading_entry(struct reading *reading,
			  const struct erofs_entry *entry)
{
	struct wasi_dirent to = {
		.next = entry->next,
		.ino = entry->nid,
		.name_len = (uint32_t)entry->len,
		.type = entry_type(entry),
	};

	reading_put(reading, &to, sizeof to);
	reading_put(reading, entry->name, to.name_len);
}

/* A cookie is the place of an entry.  What does not fit is cut off, which a
 * full buffer tells. */
int wasifs_fd_readdir(const struct wasifs_call *call, const union wasm_value *a)
{
	struct reading reading = { .room = a[2].i32 };
	struct erofs_entry entry = { .next = a[3].i64 };
	struct wasifs_fd *fd;
	int e = fd_get(call, a, WASI_RIGHT_FD_READDIR, &fd);
	int r = 1;

	if (e)
		return e;
	reading.to = wasifs_guest(call, a[1].i32, reading.room);
	if (!reading.to || !wasifs_guest(call, a[4].i32, sizeof(uint32_t)))
		return WASI_EFAULT;
	while (reading.used < reading.room) {
		r = erofs_entry(&call->fs->erofs, &fd->node, entry.next, &entry,
				NULL);
		if (r <= 0)
			break;
		reading_entry(&reading, &entry);
	}
	if (r < 0 && !reading.used)
		return r == EROFS_MISSING ? WASI_EINVAL : wasifs_errno(r);
	return wasifs_put_u32(call, a[4].i32, reading.used);
}

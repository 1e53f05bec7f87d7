/* SPDX-License-Identifier: Apache-2.0 */
/* The table of descriptors, and the way of each call to its function. */
#include "wasifs/wasifs.h"
#include "wasifs/wasifs_internal.h"
#include <string.h>

enum wasifs_number {
#define WASI_CALL(name, signature) WASIFS_##name,
#include "brood/wasi_calls.def"
#undef WASI_CALL
	WASIFS_CALLS
};

/* ---- the guest's memory ----------------------------------------------------- */

void *wasifs_guest(const struct wasifs_call *call, uint32_t at, uint64_t len)
{
	const struct wasifs_caller *caller = call->caller;

	if (at > caller->bytes || len > caller->bytes - at)
		return NULL;
	return caller->base + at;
}

int wasifs_put(const struct wasifs_call *call, uint32_t at, const void *from,
	       uint32_t len)
{
	void *to = wasifs_guest(call, at, len);

	if (!to)
		return WASI_EFAULT;
	memcpy(to, from, len);
	return 0;
}

int wasifs_put_u32(const struct wasifs_call *call, uint32_t at, uint32_t value)
{
	return wasifs_put(call, at, &value, sizeof value);
}

int wasifs_put_stat(const struct wasifs_call *call, uint32_t at,
		    const struct erofs_node *node)
{
	uint64_t time = node->mtime_s * UINT64_C(1000000000) + node->mtime_ns;
	struct wasi_filestat stat = {
		.dev = call->fs->device,
		.ino = node->nid,
		.filetype = wasifs_type(node->mode),
		.nlink = node->links,
		.size = node->size,
		.atim = time,
		.mtim = time,
		.ctim = time,
	};
	struct wasi_filestat_unstable old = {
		.dev = stat.dev,
		.ino = stat.ino,
		.filetype = stat.filetype,
		.nlink = node->links,
		.size = stat.size,
		.atim = time,
		.mtim = time,
		.ctim = time,
	};

	return call->caller->unstable
		       ? wasifs_put(call, at, &old, sizeof old)
		       : wasifs_put(call, at, &stat, sizeof stat);
}

/* ---- the table -------------------------------------------------------------- */

uint8_t wasifs_type(uint32_t mode)
{
	switch (mode & EROFS_S_KIND) {
	case EROFS_S_FOLDER: return WASI_DIRECTORY;
	case EROFS_S_FILE: return WASI_REGULAR_FILE;
	case EROFS_S_LINK: return WASI_SYMBOLIC_LINK;
	}
	return WASI_UNKNOWN;
}

/* What would change something is EROFS whatever the rights are; those of a
 * folder say so all the same, or a C library would not even ask. */
uint64_t wasifs_rights(uint8_t type)
{
	return type == WASI_DIRECTORY
		       ? WASI_RIGHTS_FOLDER
		       : WASI_RIGHTS_FILE &
				 ~(uint64_t)(WASI_RIGHT_FD_WRITE |
					     WASI_RIGHT_FD_ALLOCATE |
					     WASI_RIGHT_FD_FILESTAT_SET_SIZE);
}

int wasifs_errno(int code)
{
	switch (code) {
	case EROFS_MISSING: return WASI_ENOENT;
	case EROFS_KIND: return WASI_ENOTDIR;
	}
	return code < 0 ? WASI_EIO : 0;
}

/* The granted folder is the first, and nothing else is put there. */
static uint32_t slot_of(const struct wasifs *fs, uint32_t fd)
{
	if (fd == fs->granted)
		return 0;
	return fd >= WASIFS_FIRST && fd - WASIFS_FIRST < WASIFS_FDS - 1
		       ? fd - WASIFS_FIRST + 1
		       : WASIFS_FDS;
}

bool wasifs_is_mine(const struct wasifs *fs, uint32_t fd)
{
	return slot_of(fs, fd) < WASIFS_FDS;
}

int wasifs_get(const struct wasifs *fs, uint32_t fd, uint64_t rights,
	       struct wasifs_fd **entry)
{
	uint32_t slot = slot_of(fs, fd);

	if (slot >= WASIFS_FDS || !fs->fds[slot].is_open)
		return WASI_EBADF;
	*entry = (struct wasifs_fd *)&fs->fds[slot];
	return rights & ~(*entry)->rights ? WASI_ENOTCAPABLE : 0;
}

int wasifs_add(struct wasifs *fs, const struct wasifs_fd *entry, uint32_t *fd)
{
	uint32_t slot = 1;

	while (slot < WASIFS_FDS && fs->fds[slot].is_open)
		slot++;
	if (slot == WASIFS_FDS)
		return WASI_EMFILE;
	fs->fds[slot] = *entry;
	fs->fds[slot].is_open = true;
	*fd = WASIFS_FIRST + slot - 1;
	return 0;
}

int wasifs_open(struct wasifs *fs, const struct erofs_source *source,
		uint32_t granted, const char *name, size_t name_len,
		const char **why)
{
	struct wasifs_fd *root = &fs->fds[0];
	int r = erofs_open(source, &fs->erofs, why);

	if (r >= 0)
		r = erofs_node(&fs->erofs, fs->erofs.root_nid, &root->node,
			       why);
	if (r < 0)
		return r;
	if ((root->node.mode & EROFS_S_KIND) != EROFS_S_FOLDER) {
		*why = "its root is no folder";
		return EROFS_BROKEN;
	}
	memcpy(&fs->device, fs->erofs.uuid, sizeof fs->device);
	fs->granted = granted;
	fs->name_len = (uint32_t)name_len;
	memcpy(fs->name, name, name_len);
	root->is_open = root->is_granted = true;
	root->type = WASI_DIRECTORY;
	root->rights = WASI_RIGHTS_FOLDER;
	root->inheriting = WASI_RIGHTS_FOLDER | WASI_RIGHTS_FILE;
	return 0;
}

/* ---- calls ------------------------------------------------------------------ */

/* The first argument is a descriptor of the image's. */
static wasifs_function *const functions[WASIFS_CALLS] = {
	[WASIFS_fd_advise] = wasifs_fd_advise,
	[WASIFS_fd_close] = wasifs_fd_close,
	[WASIFS_fd_datasync] = wasifs_fd_datasync,
	[WASIFS_fd_fdstat_get] = wasifs_fd_fdstat_get,
	[WASIFS_fd_fdstat_set_flags] = wasifs_fd_fdstat_set_flags,
	[WASIFS_fd_fdstat_set_rights] = wasifs_fd_fdstat_set_rights,
	[WASIFS_fd_filestat_get] = wasifs_fd_filestat_get,
	[WASIFS_fd_pread] = wasifs_fd_pread,
	[WASIFS_fd_prestat_get] = wasifs_fd_prestat_get,
	[WASIFS_fd_prestat_dir_name] = wasifs_fd_prestat_dir_name,
	[WASIFS_fd_read] = wasifs_fd_read,
	[WASIFS_fd_readdir] = wasifs_fd_readdir,
	[WASIFS_fd_seek] = wasifs_fd_seek,
	[WASIFS_fd_sync] = wasifs_fd_sync,
	[WASIFS_fd_tell] = wasifs_fd_tell,
	[WASIFS_path_open] = wasifs_path_open,
	[WASIFS_path_filestat_get] = wasifs_path_filestat_get,
	[WASIFS_path_readlink] = wasifs_path_readlink,
};

static int is_open(const struct wasifs *fs, uint32_t fd)
{
	struct wasifs_fd *entry;

	return wasifs_get(fs, fd, 0, &entry);
}

/* What would change something; "second" may be the same. */
static int refuse(const struct wasifs *fs, uint32_t first, uint32_t second)
{
	bool both = wasifs_is_mine(fs, first) && wasifs_is_mine(fs, second);
	uint32_t mine = wasifs_is_mine(fs, first) ? first : second;
	int e;

	if (!wasifs_is_mine(fs, mine))
		return WASIFS_NOT_MINE;
	e = is_open(fs, mine);
	if (!e && both)
		e = is_open(fs, second);
	return e ? e : both ? WASI_EROFS : WASI_EXDEV;
}

static int renumber(const struct wasifs_call *call, const union wasm_value *a)
{
	bool from = wasifs_is_mine(call->fs, a[0].i32);
	bool to = wasifs_is_mine(call->fs, a[1].i32);

	if (from && to)
		return wasifs_fd_renumber(call, a);
	return from || to ? WASI_ENOTSUP : WASIFS_NOT_MINE;
}

int wasifs_call(struct wasifs *fs, const struct wasifs_caller *caller,
		unsigned number, const union wasm_value *a)
{
	const struct wasifs_call call = { fs, caller };
	uint32_t fd;
	int e;

	switch (number) {
	case WASIFS_fd_allocate:
	case WASIFS_fd_filestat_set_size:
	case WASIFS_fd_filestat_set_times:
	case WASIFS_fd_pwrite:
	case WASIFS_fd_write:
	case WASIFS_path_create_directory:
	case WASIFS_path_filestat_set_times:
	case WASIFS_path_remove_directory:
	case WASIFS_path_unlink_file: return refuse(fs, a[0].i32, a[0].i32);
	case WASIFS_path_symlink: return refuse(fs, a[2].i32, a[2].i32);
	case WASIFS_path_link: return refuse(fs, a[0].i32, a[4].i32);
	case WASIFS_path_rename: return refuse(fs, a[0].i32, a[3].i32);
	case WASIFS_fd_renumber: return renumber(&call, a);
	case WASIFS_sock_accept:
	case WASIFS_sock_recv:
	case WASIFS_sock_send:
	case WASIFS_sock_shutdown:
		fd = a[0].i32;
		e = is_open(fs, fd);
		return !wasifs_is_mine(fs, fd) ? WASIFS_NOT_MINE
		       : e		       ? e
					       : WASI_ENOTSOCK;
	}
	if (number >= WASIFS_CALLS || !functions[number] ||
	    !wasifs_is_mine(fs, a[0].i32))
		return WASIFS_NOT_MINE;
	return functions[number](&call, a);
}

int wasifs_poll(const struct wasifs *fs, uint32_t fd, bool writes,
		uint64_t *bytes)
{
	uint64_t rights = (uint64_t)WASI_RIGHT_POLL_FD_READWRITE |
			  (writes ? WASI_RIGHT_FD_WRITE : WASI_RIGHT_FD_READ);
	struct wasifs_fd *entry;
	int e;

	*bytes = 0;
	if (!wasifs_is_mine(fs, fd))
		return WASIFS_NOT_MINE;
	e = wasifs_get(fs, fd, rights, &entry);
	if (!e && entry->position < entry->node.size)
		*bytes = entry->node.size - entry->position;
	return e;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on a path below a folder.  What is looked at is opened first, as a
 * mere place (O_PATH), and then asked; what acts on a name acts in the folder
 * where that name stands. */
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int wasi_path_result(int r)
{
	return r < 0 ? wasi_errno(errno) : 0;
}

/* The folder and the path text of three arguments. */
struct wasi_from {
	const struct wasi *wasi;
	struct wasi_fd *folder;
	char path[PATH_MAX];
};

static int wasi_path_get(const struct wasi_call *call, uint32_t fd,
			 uint64_t rights, uint32_t at, uint32_t len,
			 struct wasi_from *from)
{
	int e = wasi_table_get(call->wasi, fd, rights, &from->folder);

	from->wasi = call->wasi;
	if (!e || e == WASI_ENOTCAPABLE)
		if (from->folder->type != WASI_DIRECTORY)
			e = WASI_ENOTDIR;
	return e ? e : wasi_guest_path(call, at, len, from->path);
}

static int wasi_path_place(struct wasi_from *from, struct wasi_place *place)
{
	return wasi_beneath_place(from->wasi, from->folder->host, from->path,
				  place);
}

static void wasi_path_leave(struct wasi_place *place)
{
	if (place->opened >= 0)
		close(place->opened);
}

/* The thing itself, as a place; a link too, unless it is followed. */
static int wasi_path_look(const struct wasi_from *from, uint32_t lookup,
			  int *host)
{
	int flags = lookup & WASI_SYMLINK_FOLLOW ? O_PATH : O_PATH | O_NOFOLLOW;

	return wasi_beneath_open(from->wasi, from->folder->host, from->path,
				 flags, 0, host);
}

/* ---- open ------------------------------------------------------------------- */

struct wasi_opening {
	uint32_t lookup, oflags, fdflags;
	uint64_t rights, inheriting;
};

/* Asking for what changes things without the right is an error.  Other rights
 * that the folder does not hand on are left out: programs ask for all that
 * they might want. */
static int wasi_path_may_open(const struct wasi_fd *folder,
			      const struct wasi_opening *how)
{
	uint64_t needed = WASI_RIGHT_PATH_OPEN;
	uint64_t lacks = how->rights & ~folder->inheriting;

	if (how->oflags & ~WASI_OFLAGS || how->fdflags & ~WASI_FDFLAGS)
		return WASI_EINVAL;
	if (how->oflags & WASI_OPEN_DIRECTORY &&
	    how->oflags & (WASI_CREAT | WASI_EXCL | WASI_TRUNC))
		return WASI_EINVAL;
	if (how->oflags & WASI_CREAT)
		needed |= WASI_RIGHT_PATH_CREATE_FILE;
	if (how->oflags & WASI_TRUNC)
		needed |= WASI_RIGHT_PATH_FILESTAT_SET_SIZE;
	if (needed & ~folder->rights)
		return WASI_ENOTCAPABLE;
	return lacks & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE)
		       ? WASI_ENOTCAPABLE
		       : 0;
}

/* A pipe's or a device's opening must not wait; its flags are ours. */
static int wasi_path_open_flags(const struct wasi_opening *how, uint64_t rights)
{
	bool reads = rights & (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_READDIR);
	bool writes = rights & (WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE |
				WASI_RIGHT_FD_FILESTAT_SET_SIZE);

	return (!writes ? O_RDONLY
		: reads ? O_RDWR
			: O_WRONLY) |
	       (how->oflags & WASI_CREAT ? O_CREAT : 0) |
	       (how->oflags & WASI_EXCL ? O_EXCL : 0) |
	       (how->oflags & WASI_TRUNC ? O_TRUNC : 0) |
	       (how->oflags & WASI_OPEN_DIRECTORY ? O_DIRECTORY : 0) |
	       (how->lookup & WASI_SYMLINK_FOLLOW ? 0 : O_NOFOLLOW) |
	       O_NONBLOCK | O_NOCTTY;
}

static int wasi_path_add(struct wasi *wasi, const struct wasi_fd *folder,
			 const struct wasi_opening *how, int host, uint32_t *fd)
{
	struct wasi_fd entry = { .host = host };
	uint64_t handed_on = folder->inheriting;
	int r = wasi_table_describe(&entry);

	if (r < 0) {
		close(host);
		return wasi_errno(-r);
	}
	entry.rights &= how->rights & handed_on;
	entry.inheriting &= how->inheriting & handed_on;
	entry.flags = how->fdflags;
	return wasi_table_add(wasi, &entry, 0, fd);
}

static int wasi_path_open_in(struct wasi_call *call,
			     const struct wasi_from *from,
			     const struct wasi_opening *how, uint32_t put)
{
	uint64_t rights = how->rights & from->folder->inheriting;
	uint32_t fd;
	int host;
	int e = wasi_beneath_open(call->wasi, from->folder->host, from->path,
				  wasi_path_open_flags(how, rights), 0666,
				  &host);

	if (!e)
		e = wasi_path_add(call->wasi, from->folder, how, host, &fd);
	return e ? e : wasi_guest_put_u32(call, put, fd);
}

int wasi_path_open(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_opening how = {
		.lookup = a[1].i32,
		.oflags = a[4].i32,
		.rights = a[5].i64,
		.inheriting = a[6].i64,
		.fdflags = a[7].i32,
	};
	struct wasi_from from;
	int e = wasi_path_get(call, a[0].i32, 0, a[2].i32, a[3].i32, &from);

	if (!e)
		e = wasi_path_may_open(from.folder, &how);
	if (!e && !wasi_guest(call, a[8].i32, sizeof(uint32_t)))
		e = WASI_EFAULT;
	return e ? e : wasi_path_open_in(call, &from, &how, a[8].i32);
}

/* ---- what is looked at ------------------------------------------------------ */

int wasi_path_filestat_get(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_from from;
	struct stat stat;
	int host;
	int e = wasi_path_get(call, a[0].i32, WASI_RIGHT_PATH_FILESTAT_GET,
			      a[2].i32, a[3].i32, &from);

	if (!e)
		e = wasi_path_look(&from, a[1].i32, &host);
	if (e)
		return e;
	e = wasi_path_result(fstat(host, &stat));
	close(host);
	return e ? e : wasi_fd_put_stat(call, a[4].i32, &stat, -1);
}

int wasi_path_filestat_set_times(struct wasi_call *call,
				 const union wasm_value *a)
{
	struct wasi_from from;
	struct timespec times[2];
	int host;
	int e = wasi_path_get(call, a[0].i32,
			      WASI_RIGHT_PATH_FILESTAT_SET_TIMES, a[2].i32,
			      a[3].i32, &from);

	if (!e)
		e = wasi_fd_times(a[4].i64, a[5].i64, a[6].i32, times);
	if (!e)
		e = wasi_path_look(&from, a[1].i32, &host);
	if (e)
		return e;
	e = wasi_path_result(utimensat(host, "", times, AT_EMPTY_PATH));
	close(host);
	return e;
}

int wasi_path_readlink(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_from from;
	char text[PATH_MAX];
	uint32_t room = a[4].i32;
	ssize_t len;
	int host;
	int e = wasi_path_get(call, a[0].i32, WASI_RIGHT_PATH_READLINK,
			      a[1].i32, a[2].i32, &from);

	if (!e)
		e = wasi_path_look(&from, 0, &host);
	if (e)
		return e;
	len = readlinkat(host, "", text, sizeof text);
	/* A place that is no link has no text: ENOENT, says the host. */
	e = len < 0 ? wasi_errno(errno == ENOENT ? EINVAL : errno) : 0;
	close(host);
	if (!e)
		e = wasi_guest_put(call, a[3].i32, text,
				   room < len ? room : len);
	return e ? e
		 : wasi_guest_put_u32(call, a[5].i32, room < len ? room : len);
}

/* ---- what acts on a name ------------------------------------------------- */

typedef int wasi_path_action(int folder, const char *name);

static int wasi_path_act(const struct wasi_call *call,
			 const union wasm_value *a, uint64_t right,
			 wasi_path_action *act)
{
	struct wasi_from from;
	struct wasi_place place;
	int e = wasi_path_get(call, a[0].i32, right, a[1].i32, a[2].i32, &from);

	if (!e)
		e = wasi_path_place(&from, &place);
	if (e)
		return e;
	e = wasi_path_result(act(place.folder, place.name));
	wasi_path_leave(&place);
	return e;
}

static int wasi_path_make(int folder, const char *name)
{
	return mkdirat(folder, name, 0777);
}

static int wasi_path_unlink(int folder, const char *name)
{
	return unlinkat(folder, name, 0);
}

static int wasi_path_remove(int folder, const char *name)
{
	return unlinkat(folder, name, AT_REMOVEDIR);
}

int wasi_path_create_directory(struct wasi_call *call,
			       const union wasm_value *a)
{
	return wasi_path_act(call, a, WASI_RIGHT_PATH_CREATE_DIRECTORY,
			     wasi_path_make);
}

int wasi_path_unlink_file(struct wasi_call *call, const union wasm_value *a)
{
	return wasi_path_act(call, a, WASI_RIGHT_PATH_UNLINK_FILE,
			     wasi_path_unlink);
}

int wasi_path_remove_directory(struct wasi_call *call,
			       const union wasm_value *a)
{
	return wasi_path_act(call, a, WASI_RIGHT_PATH_REMOVE_DIRECTORY,
			     wasi_path_remove);
}

int wasi_path_symlink(struct wasi_call *call, const union wasm_value *a)
{
	char text[PATH_MAX];
	struct wasi_from to;
	struct wasi_place place;
	int e = wasi_path_get(call, a[2].i32, WASI_RIGHT_PATH_SYMLINK, a[3].i32,
			      a[4].i32, &to);

	if (!e)
		e = wasi_guest_path(call, a[0].i32, a[1].i32, text);
	/* It would lead whoever else follows it to the host's root. */
	if (!e && text[0] == '/')
		e = WASI_ENOTCAPABLE;
	if (!e)
		e = wasi_path_place(&to, &place);
	if (e)
		return e;
	e = wasi_path_result(symlinkat(text, place.folder, place.name));
	wasi_path_leave(&place);
	return e;
}

int wasi_path_rename(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_from from, to;
	struct wasi_place old, new;
	int e = wasi_path_get(call, a[0].i32, WASI_RIGHT_PATH_RENAME_SOURCE,
			      a[1].i32, a[2].i32, &from);

	if (!e)
		e = wasi_path_get(call, a[3].i32, WASI_RIGHT_PATH_RENAME_TARGET,
				  a[4].i32, a[5].i32, &to);
	if (!e)
		e = wasi_path_place(&from, &old);
	if (e)
		return e;
	e = wasi_path_place(&to, &new);
	if (!e) {
		e = wasi_path_result(
			renameat(old.folder, old.name, new.folder, new.name));
		wasi_path_leave(&new);
	}
	wasi_path_leave(&old);
	return e;
}

/* With a slash behind its name it must be a folder, and has no second one. */
static int wasi_path_link_folder(const struct wasi_from *from)
{
	int host;
	int e = wasi_path_look(from, 0, &host);

	if (e)
		return e;
	close(host);
	return WASI_EPERM;
}

/* A second name for what the last name stands for, be it a link. */
static int wasi_path_link_name(struct wasi_from *from, struct wasi_place *new)
{
	struct wasi_place old;
	int e = wasi_path_place(from, &old);

	if (e)
		return e;
	e = strchr(old.name, '/')
		    ? wasi_path_link_folder(from)
		    : wasi_path_result(linkat(old.folder, old.name, new->folder,
					      new->name, 0));
	wasi_path_leave(&old);
	return e;
}

/* The same for what a link leads to. */
static int wasi_path_link_target(const struct wasi_from *from,
				 const struct wasi_place *new)
{
	char name[64];
	int host;
	int e = wasi_path_look(from, WASI_SYMLINK_FOLLOW, &host);

	if (e)
		return e;
	snprintf(name, sizeof name, "/proc/self/fd/%d", host);
	e = wasi_path_result(linkat(AT_FDCWD, name, new->folder, new->name,
				    AT_SYMLINK_FOLLOW));
	close(host);
	return e;
}

int wasi_path_link(struct wasi_call *call, const union wasm_value *a)
{
	struct wasi_from from, to;
	struct wasi_place new;
	int e = wasi_path_get(call, a[0].i32, WASI_RIGHT_PATH_LINK_SOURCE,
			      a[2].i32, a[3].i32, &from);

	if (!e)
		e = wasi_path_get(call, a[4].i32, WASI_RIGHT_PATH_LINK_TARGET,
				  a[5].i32, a[6].i32, &to);
	if (!e)
		e = wasi_path_place(&to, &new);
	if (e)
		return e;
	e = a[1].i32 & WASI_SYMLINK_FOLLOW ? wasi_path_link_target(&from, &new)
					   : wasi_path_link_name(&from, &new);
	wasi_path_leave(&new);
	return e;
}

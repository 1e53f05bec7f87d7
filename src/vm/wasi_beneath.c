/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that a guest names, below the folder that it names them from.  The
 * kernel keeps them there (openat2); where that cannot be had, wasi_walk.c
 * does.  Calls that act on a name (unlink, rename ...) open the folder in
 * which the name stands; the kernel takes no "." or ".." as such a name, and
 * follows no link there. */
#include "base/process.h"
#include "vm/wasi_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A path with ".." fails with EAGAIN when a folder moves meanwhile. */
enum { WASI_BENEATH_TRIES = 64 };

static int wasi_beneath_once(int folder, const char *path, int flags,
			     mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int host = syscall(SYS_openat2, folder, path, &how, sizeof how);

	return host < 0 ? -errno : host;
}

bool wasi_beneath_probe(void)
{
	int host;

	if (!process_feature("openat2"))
		return false;
	host = wasi_beneath_once(AT_FDCWD, ".", O_PATH | O_CLOEXEC, 0);
	if (host >= 0)
		close(host);
	return host != -ENOSYS && host != -EPERM && host != -EINVAL;
}

static int wasi_beneath_kernel(int folder, const char *path, int flags,
			       mode_t mode)
{
	int host = -EAGAIN;

	for (int i = 0; i < WASI_BENEATH_TRIES; i++) {
		host = wasi_beneath_once(folder, path, flags, mode);
		if (host != -EAGAIN && host != -EINTR)
			break;
	}
	return host;
}

static bool wasi_beneath_is_proc(int host)
{
	struct statfs fs;

	return fstatfs(host, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* /proc/self/mem is this very process: who is granted "/" could write over
 * what holds it in.  Where the folder itself is there, it was granted. */
static int wasi_beneath_judge(int folder, int flags, int *host)
{
	if (*host < 0 || (flags & O_ACCMODE) == O_RDONLY || flags & O_PATH ||
	    !wasi_beneath_is_proc(*host) || wasi_beneath_is_proc(folder))
		return *host;
	close(*host);
	return *host = -EACCES;
}

int wasi_beneath_open(const struct wasi *wasi, int folder, const char *path,
		      int flags, mode_t mode, int *host)
{
	flags |= O_CLOEXEC;
	*host = wasi->has_openat2
			? wasi_beneath_kernel(folder, path, flags, mode)
			: wasi_walk_open(folder, path, flags, mode);
	wasi_beneath_judge(folder, flags, host);
	if (*host == -EXDEV)
		return WASI_ENOTCAPABLE;
	return *host < 0 ? wasi_errno(-*host) : 0;
}

static bool wasi_beneath_is_up(const char *name)
{
	return name[0] == '.' && name[1] == '.' &&
	       (name[2] == 0 || name[2] == '/');
}

/* Does the path exist beneath? */
static int wasi_beneath_check(const struct wasi *wasi, int folder,
			      const char *path)
{
	int host;
	int e = wasi_beneath_open(wasi, folder, path, O_PATH | O_NOFOLLOW, 0,
				  &host);

	if (!e)
		close(host);
	return e;
}

/* The last name's start, slashes at the end being its own. */
static char *wasi_beneath_name(char *path)
{
	char *at = path + strlen(path);

	while (at > path && at[-1] == '/')
		at--;
	while (at > path && at[-1] != '/')
		at--;
	return at;
}

int wasi_beneath_place(const struct wasi *wasi, int folder, char *path,
		       struct wasi_place *place)
{
	char *name = wasi_beneath_name(path);
	int e = 0;

	*place = (struct wasi_place){ folder, -1, name };
	if (path[0] == '/')
		return WASI_ENOTCAPABLE;
	if (wasi_beneath_is_up(name))
		e = wasi_beneath_check(wasi, folder, path);
	if (e || name == path)
		return e;
	name[-1] = 0;
	e = wasi_beneath_open(wasi, folder, path, O_PATH | O_DIRECTORY, 0,
			      &place->opened);
	name[-1] = '/';
	place->folder = place->opened;
	return e;
}

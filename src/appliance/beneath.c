/* SPDX-License-Identifier: Apache-2.0 */
#include "appliance/beneath.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A path with ".." fails with EAGAIN when a folder moves meanwhile. */
enum { BENEATH_TRIES = 64 };

struct beneath_name {
	char text[32];
};

static struct beneath_name beneath_name(int fd)
{
	struct beneath_name name;

	snprintf(name.text, sizeof name.text, "/proc/self/fd/%d", fd);
	return name;
}

int beneath_root(const char *root, struct err *err)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_set(err, -errno, "open %s", root) : fd;
}

/* Found, but not opened: that may do things to what is no file. */
static int beneath_find(int root, const char *path, mode_t kind)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	auto_close int fd = -1;
	struct stat st;

	for (int i = 0; i < BENEATH_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return (st.st_mode & S_IFMT) == kind ? steal_fd(&fd) : -EINVAL;
}

int beneath_open(int root, const char *path, struct err *err)
{
	auto_close int found = beneath_find(root, path, S_IFREG);
	int fd;

	if (found == -EXDEV)
		return err_set(err, -EINVAL, "%s leads out of its payload",
			       path);
	if (found == -EINVAL)
		return err_set(err, -EINVAL, "%s is no file", path);
	if (found < 0)
		return err_set(err, found, "open %s", path);
	fd = open(beneath_name(found).text,
		  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? err_set(err, -errno, "open %s", path) : fd;
}

int beneath_folder(int root, const char *path, char **real)
{
	auto_close int fd = beneath_find(root, path, S_IFDIR);
	char top[PATH_MAX], at[PATH_MAX];
	ssize_t top_len, len;

	*real = NULL;
	if (fd < 0)
		return fd;
	top_len = readlink(beneath_name(root).text, top, sizeof top);
	len = readlink(beneath_name(fd).text, at, sizeof at - 1);
	if (top_len < 0 || len < 0)
		return -errno;
	if (len <= top_len + 1 || len == sizeof at - 1 ||
	    memcmp(at, top, (size_t)top_len) != 0 || at[top_len] != '/')
		return -EXDEV;
	at[len] = 0;
	*real = strdup(at + top_len + 1);
	return *real ? 0 : -ENOMEM;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_inside.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A path with ".." fails with EAGAIN when a folder moves meanwhile. */
enum { INSIDE_TRIES = 64, INSIDE_MOUNTS = 1024 };

static int inside_path(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;

	for (int i = 0; i < INSIDE_TRIES; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : fd;
}

/* Opening for reading may do things to what is no regular file: it is looked
 * at before. */
static int inside_read(int root, const char *path)
{
	auto_close int there = inside_path(root, path);
	char again[64];
	struct stat st;
	int fd;

	if (there < 0)
		return there;
	if (fstat(there, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EACCES;
	snprintf(again, sizeof again, "/proc/self/fd/%d", there);
	fd = open(again, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* ---- bind mounts ------------------------------------------------------------- */

/* How much of the path the mount covers; 0: it does not. */
static size_t inside_covered(const char *path, const char *destination)
{
	size_t len = destination ? strlen(destination) : 0;

	while (len && destination[len - 1] == '/')
		len--;
	if (!len || strncmp(path, destination, len) != 0)
		return 0;
	return !path[len] || path[len] == '/' ? len : 0;
}

/* The source of the last mount over the path, and how much of it that covers:
 * 0, where none does. */
static int inside_mount(const char *json, const char *path, char **source,
			size_t *covered, struct err *err)
{
	const char *list, *at;
	size_t len;
	int rc = 0, i = 0;

	*covered = 0;
	list = json_get_value(json, "mounts", &len);
	at = list ? json_first(list, &len) : NULL;
	for (; rc >= 0 && at && i < INSIDE_MOUNTS;
	     at = json_next(at, &len), i++) {
		auto_free char *destination = NULL;
		size_t now;

		rc = oci_text(at, "destination", &destination, err);
		now = inside_covered(path, destination);
		if (!now)
			continue;
		free(*source);
		*covered = now;
		rc = oci_text(at, "source", source, err);
	}
	return rc;
}

/* -ENXIO: nothing is mounted over it. */
static int inside_mounted(const char *json, const char *path, struct err *err)
{
	auto_free char *source = NULL;
	auto_close int fd = -1;
	size_t covered;
	int rc = inside_mount(json, path, &source, &covered, err);

	if (rc < 0)
		return rc;
	if (!covered)
		return -ENXIO;
	if (!source || source[0] != '/')
		return -ENOENT;
	if (!path[covered])
		return inside_read(AT_FDCWD, source);
	fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : inside_read(fd, path + covered);
}

static int inside_open_path(int root, const char *json, const char *path,
			    struct err *err)
{
	int fd = json ? inside_mounted(json, path, err) : -ENXIO;

	return fd == -ENXIO ? inside_read(root, path) : fd;
}

/* ---- names ------------------------------------------------------------------- */

static int inside_try(int root, const char *json, const char *folder,
		      size_t len, const char *program, char **name,
		      struct err *err)
{
	auto_free char *path = NULL;
	int fd;

	while (len && folder[len - 1] == '/')
		len--;
	while (len && folder[0] == '/') {
		folder++;
		len--;
	}
	path = file_format("%s%.*s/%s", len ? "/" : "", (int)len, folder,
			   program);
	if (!path)
		return -ENOMEM;
	fd = inside_open_path(root, json, path, err);
	if (fd >= 0)
		*name = steal_ptr(&path);
	return fd;
}

/* As execvp would, but that a module needs no right to be executed. */
static int inside_search(int root, const char *json,
			 const struct oci_process *process, char **name,
			 struct err *err)
{
	const char *at = process->search ? process->search : "";
	int fd = -ENOENT;

	while (fd < 0 && *at) {
		size_t len = strcspn(at, ":");

		fd = inside_try(root, json, at, len, process->program, name,
				err);
		at += len + (at[len] == ':');
	}
	return fd < 0 ? inside_try(root, json, process->cwd,
				   strlen(process->cwd), process->program, name,
				   err)
		      : fd;
}

int oci_inside_open(int root, const char *json,
		    const struct oci_process *process, char **name,
		    struct err *err)
{
	const char *program = process->program;
	int fd;

	*name = NULL;
	if (!program || !*program)
		return err_set(err, -ENOENT, "there is nothing to run");
	if (program[0] == '/')
		fd = inside_try(root, json, "", 0,
				program + strspn(program, "/"), name, err);
	else if (strchr(program, '/'))
		fd = inside_try(root, json, process->cwd, strlen(process->cwd),
				program, name, err);
	else
		fd = inside_search(root, json, process, name, err);
	return fd < 0 && (!err || !err->code)
		       ? err_set(err, fd, "%s in the container", program)
		       : fd;
}

/* ---- folders ----------------------------------------------------------------- */

static bool inside_is_folder(int root, const char *path)
{
	auto_close int fd = inside_path(root, path);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

bool oci_inside_is_above_mount(const char *json, const char *path)
{
	const char *list, *at;
	size_t len;

	list = json_get_value(json, "mounts", &len);
	at = list ? json_first(list, &len) : NULL;
	for (; at; at = json_next(at, &len)) {
		auto_free char *to = json_get_text(at, "destination");

		if (to && inside_covered(to, path))
			return true;
	}
	return false;
}

/* What is in a mount that is none of a folder's shows when it is there. */
static bool inside_has_mounted(const char *source, const char *path)
{
	auto_close int fd = -1;

	if (!source || source[0] != '/')
		return true;
	fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && (!*path || inside_is_folder(fd, path));
}

bool oci_inside_has_folder(int root, const char *json,
			   const struct oci_process *process, const char *name)
{
	auto_free char *path =
		name[0] == '/' ? strdup(name) : file_join(process->cwd, name);
	auto_free char *source = NULL;
	size_t covered;

	if (!path || inside_mount(json, path, &source, &covered, NULL) < 0)
		return false;
	if (covered)
		return inside_has_mounted(source, path + covered);
	return inside_is_folder(root, path) ||
	       oci_inside_is_above_mount(json, path);
}

int oci_inside_is_module(int fd)
{
	char magic[4];

	return pread(fd, magic, sizeof magic, 0) == sizeof magic &&
	       memcmp(magic, "\0asm", sizeof magic) == 0;
}

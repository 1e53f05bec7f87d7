/* SPDX-License-Identifier: Apache-2.0 */
/* The path that a stop "open:PATH" waits for is seen here.  In a program
 * that was resumed from its image and whose /proc/self/exe could not be set,
 * questions for that link are answered with the program's path.  In an
 * instance all of these only pass the call on. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#include "launch/shim/shim.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SHIM_EXPORT int __open_2(const char *path, int flags);
SHIM_EXPORT int __open64_2(const char *path, int flags);
SHIM_EXPORT int __openat_2(int folder, const char *path, int flags);
SHIM_EXPORT int __openat64_2(int folder, const char *path, int flags);
SHIM_EXPORT ssize_t __readlink_chk(const char *path, char *to, size_t len,
				   size_t room);
SHIM_EXPORT ssize_t __readlinkat_chk(int folder, const char *path, char *to,
				     size_t len, size_t room);
SHIM_EXPORT char *__realpath_chk(const char *path, char *to, size_t room);

void interpose_resolve(void)
{
#define REAL(result, name, types) \
	shim.real.name = (result(*) types)dlsym(RTLD_NEXT, #name);
#include "launch/shim/real.def"
#undef REAL
}

/* The whole path, or, of a program that opens a relative one, its last
 * components: to ask the kernel for the folder would be a call that the
 * program does not make. */
static bool interpose_matches(const char *path)
{
	size_t wanted = strlen(shim.stop_path), len;

	while (path[0] == '.' && path[1] == '/')
		path += 2;
	len = strlen(path);
	if (len == 0 || len > wanted ||
	    strcmp(shim.stop_path + wanted - len, path) != 0)
		return false;
	return len == wanted ||
	       (path[0] != '/' && shim.stop_path[wanted - len - 1] == '/');
}

bool interpose_is_exe(const char *path)
{
	size_t digits;

	if (!shim.exe[0] || !path || strncmp(path, "/proc/", 6) != 0)
		return false;
	path += 6;
	if (!strcmp(path, "self/exe"))
		return true;
	digits = strspn(path, "0123456789");
	return digits && digits < 10 && !strcmp(path + digits, "/exe") &&
	       atoi(path) == raw_0(getpid);
}

static const char *interpose_opened(const char *path)
{
	if (shim.phase == SHIM_INSIDE && shim.stop == SHIM_AT_OPEN && path &&
	    interpose_matches(path))
		stop_here();
	return interpose_is_exe(path) ? shim.exe : path;
}

#define MODE_OF(flags, mode)                                           \
	if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
		va_list list;                                          \
		va_start(list, flags);                                 \
		mode = va_arg(list, unsigned);                         \
		va_end(list);                                          \
	}

SHIM_EXPORT int open(const char *path, int flags, ...)
{
	unsigned mode = 0;

	MODE_OF(flags, mode)
	return shim_real()->open(interpose_opened(path), flags, mode);
}

SHIM_EXPORT int open64(const char *path, int flags, ...)
{
	unsigned mode = 0;

	MODE_OF(flags, mode)
	return shim_real()->open64(interpose_opened(path), flags, mode);
}

SHIM_EXPORT int openat(int folder, const char *path, int flags, ...)
{
	unsigned mode = 0;

	MODE_OF(flags, mode)
	return shim_real()->openat(folder, interpose_opened(path), flags, mode);
}

SHIM_EXPORT int openat64(int folder, const char *path, int flags, ...)
{
	unsigned mode = 0;

	MODE_OF(flags, mode)
	return shim_real()->openat64(folder, interpose_opened(path), flags,
				     mode);
}

int __open_2(const char *path, int flags)
{
	return shim_real()->__open_2(interpose_opened(path), flags);
}

int __open64_2(const char *path, int flags)
{
	return shim_real()->__open64_2(interpose_opened(path), flags);
}

int __openat_2(int folder, const char *path, int flags)
{
	return shim_real()->__openat_2(folder, interpose_opened(path), flags);
}

int __openat64_2(int folder, const char *path, int flags)
{
	return shim_real()->__openat64_2(folder, interpose_opened(path), flags);
}

SHIM_EXPORT FILE *fopen(const char *path, const char *mode)
{
	return shim_real()->fopen(interpose_opened(path), mode);
}

SHIM_EXPORT FILE *fopen64(const char *path, const char *mode)
{
	return shim_real()->fopen64(interpose_opened(path), mode);
}

static ssize_t interpose_answer(char *to, size_t len)
{
	size_t have = strlen(shim.exe);

	if (len == 0) {
		errno = EINVAL;
		return -1;
	}
	if (have > len)
		have = len;
	memcpy(to, shim.exe, have);
	return (ssize_t)have;
}

SHIM_EXPORT ssize_t readlink(const char *path, char *to, size_t len)
{
	if (interpose_is_exe(path))
		return interpose_answer(to, len);
	return shim_real()->readlink(path, to, len);
}

SHIM_EXPORT ssize_t readlinkat(int folder, const char *path, char *to,
			       size_t len)
{
	if (interpose_is_exe(path))
		return interpose_answer(to, len);
	return shim_real()->readlinkat(folder, path, to, len);
}

ssize_t __readlink_chk(const char *path, char *to, size_t len, size_t room)
{
	if (interpose_is_exe(path) && len <= room)
		return interpose_answer(to, len);
	return shim_real()->__readlink_chk(path, to, len, room);
}

ssize_t __readlinkat_chk(int folder, const char *path, char *to, size_t len,
			 size_t room)
{
	if (interpose_is_exe(path) && len <= room)
		return interpose_answer(to, len);
	return shim_real()->__readlinkat_chk(folder, path, to, len, room);
}

SHIM_EXPORT char *realpath(const char *path, char *to)
{
	return shim_real()->realpath(interpose_is_exe(path) ? shim.exe : path,
				     to);
}

char *__realpath_chk(const char *path, char *to, size_t room)
{
	return shim_real()->__realpath_chk(
		interpose_is_exe(path) ? shim.exe : path, to, room);
}

SHIM_EXPORT char *canonicalize_file_name(const char *path)
{
	return shim_real()->canonicalize_file_name(
		interpose_is_exe(path) ? shim.exe : path);
}

SHIM_EXPORT int execve(const char *path, char *const *argv, char *const *envp)
{
	return shim_real()->execve(interpose_is_exe(path) ? shim.exe : path,
				   argv, envp);
}

/* Namespaces are refused to who shares its memory. */
SHIM_EXPORT int unshare(int flags)
{
	hold_release();
	return shim_real()->unshare(flags);
}

SHIM_EXPORT int setns(int fd, int flags)
{
	hold_release();
	return shim_real()->setns(fd, flags);
}

SHIM_EXPORT int execv(const char *path, char *const *argv)
{
	return shim_real()->execv(interpose_is_exe(path) ? shim.exe : path,
				  argv);
}

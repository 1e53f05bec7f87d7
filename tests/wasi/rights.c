/* SPDX-License-Identifier: Apache-2.0 */
/* Rights: given up, not taken back, needed.
 * node: shows the host's flags */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

static __wasi_rights_t rights_of(int fd, __wasi_rights_t *inheriting)
{
	__wasi_fdstat_t stat;

	if (__wasi_fd_fdstat_get(fd, &stat))
		return 0;
	*inheriting = stat.fs_rights_inheriting;
	return stat.fs_rights_base;
}

static void kinds(int fd)
{
	__wasi_fdstat_t stat;

	printf("fd %d: %s", fd, tell_name(__wasi_fd_fdstat_get(fd, &stat)));
	printf(", type %d, flags %d,%s%s%s%s%s\n", stat.fs_filetype,
	       stat.fs_flags,
	       stat.fs_rights_base & __WASI_RIGHTS_FD_READ ? " read" : "",
	       stat.fs_rights_base & __WASI_RIGHTS_FD_WRITE ? " write" : "",
	       stat.fs_rights_base & __WASI_RIGHTS_FD_SEEK ? " seek" : "",
	       stat.fs_rights_base & __WASI_RIGHTS_FD_READDIR ? " list" : "",
	       stat.fs_rights_base & __WASI_RIGHTS_PATH_OPEN ? " open" : "");
}

int main(void)
{
	__wasi_rights_t base, inheriting;
	char byte;
	int fd, folder;

	make_file("/file", "text");
	fd = open("/file", O_RDWR);
	folder = open("/", O_RDONLY | O_DIRECTORY);
	kinds(fd);
	kinds(folder);
	base = rights_of(fd, &inheriting);
	TELL_WASI(__wasi_fd_fdstat_set_rights(
		fd, base & ~__WASI_RIGHTS_FD_WRITE, inheriting));
	TELL(write(fd, "x", 1));
	TELL(read(fd, &byte, 1));
	TELL_WASI(__wasi_fd_fdstat_set_rights(fd, base, inheriting));
	TELL_WASI(__wasi_fd_fdstat_set_rights(fd, __WASI_RIGHTS_FD_TELL, 0));
	TELL(read(fd, &byte, 1));
	TELL(lseek(fd, 0, SEEK_CUR));
	TELL(lseek(fd, 1, SEEK_SET));
	TELL(close(fd));
	base = rights_of(folder, &inheriting);
	TELL_WASI(__wasi_fd_fdstat_set_rights(
		folder,
		base & ~(__WASI_RIGHTS_PATH_CREATE_FILE |
			 __WASI_RIGHTS_PATH_UNLINK_FILE |
			 __WASI_RIGHTS_PATH_CREATE_DIRECTORY),
		inheriting & ~__WASI_RIGHTS_FD_WRITE));
	TELL(openat(folder, "new", O_CREAT | O_RDONLY, 0644));
	TELL(openat(folder, "file", O_WRONLY));
	TELL(unlinkat(folder, "file", 0));
	TELL(mkdirat(folder, "made", 0755));
	fd = openat(folder, "file", O_RDONLY);
	kinds(fd);
	return 0;
}

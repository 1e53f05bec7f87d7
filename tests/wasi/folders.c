/* SPDX-License-Identifier: Apache-2.0 */
/* Folders made and removed, with and without slashes behind their names. */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	int fd;

	TELL(mkdir("/a", 0755));
	TELL(mkdir("/a", 0755));
	TELL(mkdir("/a/b/", 0755));
	TELL(mkdir("/x/y", 0755));
	TELL(mkdir("/a/./b/../c", 0755));
	TELL(rmdir("/a"));
	TELL(rmdir("/a/b/"));
	TELL(rmdir("/a/b"));
	make_file("/a/file", "");
	TELL(rmdir("/a/file"));
	TELL(rmdir("/a/file/"));
	TELL(unlink("/a/c"));
	TELL(unlink("/a/c/"));
	TELL(unlink("/a/file/"));
	TELL(unlink("/a/file"));
	TELL(mkdir("/a/file/z", 0755));
	fd = open("/a", O_RDONLY | O_DIRECTORY);
	TELL(mkdirat(fd, "d", 0755));
	TELL(unlinkat(fd, "d", 0));
	TELL(unlinkat(fd, "d", AT_REMOVEDIR));
	TELL(openat(fd, "c", O_RDONLY | O_DIRECTORY));
	TELL(openat(fd, "none", O_RDONLY | O_DIRECTORY));
	TELL(close(fd));
	make_file("/plain", "");
	TELL(open("/plain", O_RDONLY | O_DIRECTORY));
	TELL(open("/plain/", O_RDONLY));
	TELL(open("/a/", O_RDONLY));
	TELL(open("/plain/x", O_RDONLY));
	TELL(rmdir("/a/c"));
	TELL(rmdir("/a"));
	return 0;
}

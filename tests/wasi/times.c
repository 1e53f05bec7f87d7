/* SPDX-License-Identifier: Apache-2.0 */
/* Times of files, set and read.
 * node: cuts off below a second */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static void show(const char *path)
{
	struct stat stat;

	lstat(path, &stat);
	printf("%lld.%09ld %lld.%09ld\n", (long long)stat.st_atim.tv_sec,
	       stat.st_atim.tv_nsec, (long long)stat.st_mtim.tv_sec,
	       stat.st_mtim.tv_nsec);
}

static void show_recent(const char *path)
{
	struct stat stat;
	time_t now = time(NULL);

	lstat(path, &stat);
	printf("%s %s\n", now - stat.st_atim.tv_sec < 60 ? "now" : "then",
	       now - stat.st_mtim.tv_sec < 60 ? "now" : "then");
}

int main(void)
{
	struct timespec times[2] = { { 1000000000, 123456789 },
				     { 1100000000, 987654321 } };
	struct timespec some[2] = { { 0, UTIME_OMIT }, { 1200000000, 5 } };
	struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
	int fd;

	make_file("/file", "text");
	symlink("file", "/link");
	TELL(utimensat(AT_FDCWD, "/file", times, 0));
	show("/file");
	TELL(utimensat(AT_FDCWD, "/file", some, 0));
	show("/file");
	fd = open("/file", O_RDWR);
	TELL(futimens(fd, times));
	show("/file");
	TELL(futimens(fd, now));
	show_recent("/file");
	TELL(utimensat(AT_FDCWD, "/link", times, AT_SYMLINK_NOFOLLOW));
	show("/link");
	show_recent("/file");
	TELL(utimensat(AT_FDCWD, "/link", times, 0));
	show("/file");
	TELL(utimensat(AT_FDCWD, "/none", times, 0));
	TELL_WASI(__wasi_fd_filestat_set_times(
		fd, 0, 0, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of files. */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *kind(mode_t mode)
{
	return S_ISDIR(mode)   ? "folder"
	       : S_ISREG(mode) ? "file"
	       : S_ISLNK(mode) ? "link"
	       : S_ISCHR(mode) ? "device"
			       : "other";
}

static void show(const char *path)
{
	struct stat stat_, link;

	if (TELL(stat(path, &stat_)) == 0)
		printf("  %s %s, %llu names\n", path, kind(stat_.st_mode),
		       S_ISDIR(stat_.st_mode)
			       ? 0ull
			       : (unsigned long long)stat_.st_nlink);
	if (TELL(lstat(path, &link)) == 0)
		printf("  %s %s\n", path, kind(link.st_mode));
}

int main(void)
{
	struct stat a, b;
	int fd;

	make_file("/file", "0123456789");
	mkdir("/folder", 0755);
	symlink("file", "/link");
	link("/file", "/second");
	show("/file");
	show("/folder");
	show("/link");
	show("/none");
	show("/file/");
	show("/folder/");
	show("/");
	show("");
	fd = open("/second", O_RDONLY);
	TELL(fstat(fd, &a));
	TELL(stat("/file", &b));
	printf("%s inode, %s device, %lld bytes\n",
	       a.st_ino == b.st_ino ? "same" : "other",
	       a.st_dev == b.st_dev ? "same" : "other", (long long)a.st_size);
	printf("made %s\n", time(NULL) - a.st_mtim.tv_sec < 60 ? "now" : "?");
	TELL(access("/file", R_OK));
	TELL(access("/none", F_OK));
	TELL(fstat(77, &a));
	return 0;
}

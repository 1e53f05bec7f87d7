/* SPDX-License-Identifier: Apache-2.0 */
/* Symbolic links within the folder, and second names.
 * node: follows where it should not */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void read_link(const char *path, size_t room)
{
	char text[64] = { 0 };
	ssize_t len = readlink(path, text, room);

	printf("readlink %s: %zd %s\n", path, len,
	       len < 0 ? tell_name(errno) : text);
}

int main(void)
{
	struct stat stat;

	mkdir("/d", 0755);
	make_file("/d/file", "text");
	TELL(symlink("d/file", "/link"));
	TELL(symlink("d/file", "/link"));
	TELL(symlink("../link", "/d/back"));
	TELL(symlink("nothing", "/dangling"));
	TELL(symlink("loop", "/loop"));
	TELL(symlink("d", "/folder"));
	show_file("/link");
	show_file("/d/back");
	show_file("/folder/back");
	show_file("/dangling");
	show_file("/loop");
	read_link("/link", 63);
	read_link("/link", 3);
	read_link("/d/file", 63);
	read_link("/none", 63);
	read_link("/folder/", 63);
	TELL(open("/link", O_RDONLY | O_NOFOLLOW));
	TELL(open("/folder", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
	TELL(open("/folder/file", O_RDONLY | O_NOFOLLOW));
	TELL(open("/dangling", O_CREAT | O_EXCL | O_WRONLY, 0644));
	TELL(open("/dangling", O_CREAT | O_WRONLY, 0644));
	show_file("/nothing");
	TELL(lstat("/loop", &stat));
	TELL(unlink("/loop"));
	TELL(rmdir("/folder"));
	TELL(link("/d/file", "/second"));
	TELL(link("/d/file", "/second"));
	TELL(link("/d", "/third"));
	TELL(link("/link", "/hard"));
	TELL(lstat("/hard", &stat));
	printf("%s\n", S_ISLNK(stat.st_mode) ? "a link" : "no link");
	TELL(unlink("/d/file"));
	show_file("/second");
	show_file("/link");
	return 0;
}

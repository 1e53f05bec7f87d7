/* SPDX-License-Identifier: Apache-2.0 */
/* Files made, written, read, and where one stands in them. */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void seek(int fd, long by, int whence)
{
	long at = lseek(fd, by, whence);

	printf("seek %ld %d: %ld %s\n", by, whence, at,
	       at < 0 ? tell_name(errno) : "");
}

int main(void)
{
	char text[32] = { 0 };
	int fd = open("/new", O_CREAT | O_EXCL | O_RDWR, 0644);

	TELL(fd);
	TELL(open("/new", O_CREAT | O_EXCL | O_RDWR, 0644));
	TELL(open("/none", O_RDONLY));
	TELL(write(fd, "hello, world", 12));
	seek(fd, 0, SEEK_CUR);
	seek(fd, -5, SEEK_END);
	printf("read %zd %s\n", read(fd, text, sizeof text), text);
	seek(fd, -1, SEEK_SET);
	seek(fd, -100, SEEK_CUR);
	seek(fd, 100, SEEK_SET);
	printf("read %zd\n", read(fd, text, sizeof text));
	TELL(write(fd, "!", 1));
	seek(fd, 0, SEEK_END);
	TELL(close(fd));
	TELL(close(fd));
	TELL(read(fd, text, 1));
	fd = open("/new", O_WRONLY);
	TELL(read(fd, text, 1));
	TELL(close(fd));
	fd = open("/new", O_RDONLY);
	TELL(write(fd, "x", 1));
	TELL(close(fd));
	fd = open("/new", O_WRONLY | O_TRUNC);
	seek(fd, 0, SEEK_END);
	TELL(close(fd));
	TELL(open("/", O_RDWR));
	TELL(unlink("/new"));
	TELL(unlink("/new"));
	return 0;
}

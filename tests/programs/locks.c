/* SPDX-License-Identifier: Apache-2.0 */
/* locks KIND FILE: takes a lock (flock, posix or ofd) without waiting, tells
 * "held" or "busy", and keeps it until standard input ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int take(const char *kind, int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (strcmp(kind, "flock") == 0)
		return flock(fd, LOCK_EX | LOCK_NB);
	return fcntl(fd, strcmp(kind, "ofd") == 0 ? F_OFD_SETLK : F_SETLK,
		     &lock);
}

int main(int argc, char **argv)
{
	int fd = argc == 3 ? open(argv[2], O_RDWR | O_CREAT, 0666) : -1;
	int taken = fd < 0 ? -1 : take(argv[1], fd);
	char byte;

	printf("%s\n", taken == 0	 ? "held"
		       : errno == EAGAIN ? "busy"
					 : strerror(errno));
	fflush(stdout);
	while (taken == 0 && read(0, &byte, 1) > 0)
		;
	return taken != 0;
}

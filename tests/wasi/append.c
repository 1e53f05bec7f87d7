/* SPDX-License-Identifier: Apache-2.0 */
/* Writing at the end, as a descriptor's flags say.
 * node: its flags cannot be set */
#include "tell.h"
#include <fcntl.h>
#include <unistd.h>

static void flags(int fd)
{
	int now = fcntl(fd, F_GETFL);

	printf("append %d, non-blocking %d\n", (now & O_APPEND) != 0,
	       (now & O_NONBLOCK) != 0);
}

int main(void)
{
	int fd;

	make_file("/log", "one ");
	fd = open("/log", O_WRONLY | O_APPEND);
	flags(fd);
	TELL(write(fd, "two ", 4));
	TELL(lseek(fd, 0, SEEK_SET));
	TELL(write(fd, "three ", 6));
	show_file("/log");
	TELL(fcntl(fd, F_SETFL, O_NONBLOCK));
	flags(fd);
	TELL(lseek(fd, 0, SEEK_SET));
	TELL(write(fd, "ONE", 3));
	show_file("/log");
	TELL(fcntl(fd, F_SETFL, O_APPEND));
	TELL(write(fd, "four", 4));
	show_file("/log");
	TELL(close(fd));
	return 0;
}

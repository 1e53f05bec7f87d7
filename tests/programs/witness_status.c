/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor reads what differs in every process. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int started_as;

static void __attribute__((constructor)) before(void)
{
	char text[64] = "";
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
		started_as = atoi(text);
	close(fd);
}

int main(void)
{
	puts(started_as == getpid() ? "the same" : "another process");
	return 0;
}

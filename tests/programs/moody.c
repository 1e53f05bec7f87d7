/* SPDX-License-Identifier: Apache-2.0 */
/* Starts well, or crashes or hangs before main, as a file tells it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void __attribute__((constructor)) moody_start(void)
{
	const char *path = getenv("MOODY_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char mood = 0;

	if (fd < 0)
		return;
	if (read(fd, &mood, 1) != 1)
		mood = 0;
	close(fd);
	if (mood == 'c')
		abort();
	while (mood == 'h')
		pause();
}

int main(int argc, char **argv)
{
	printf("moody %s\n", argc > 1 ? argv[1] : "");
	return 0;
}

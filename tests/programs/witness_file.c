/* SPDX-License-Identifier: Apache-2.0 */
/* Its constructor reads a file, which may be another at a launch. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char word[16] = "none";

static void __attribute__((constructor)) before(void)
{
	const char *path = getenv("WITNESS_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? 0 : read(fd, word, sizeof word - 1);

	if (n > 0)
		word[n] = 0;
	if (fd >= 0)
		close(fd);
}

int main(void)
{
	printf("%s\n", word);
	return 0;
}

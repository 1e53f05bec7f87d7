/* SPDX-License-Identifier: Apache-2.0 */
/* Reads all of a file, tells a sum of it, and waits for standard input to
 * say more; then reads it again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned char bytes[65536];

static void read_all(const char *path)
{
	int fd = open(path, O_RDONLY);
	unsigned sum = 1, total = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof bytes)) > 0) {
		total += (unsigned)n;
		for (ssize_t i = 0; i < n; i += 61)
			sum = sum * 31 + bytes[i];
	}
	printf("%u bytes, %08x, %s\n", total, sum,
	       n < 0 ? strerror(errno) : "ok");
	fflush(stdout);
	close(fd);
}

int main(int argc, char **argv)
{
	char byte;

	if (argc < 2)
		return 1;
	read_all(argv[1]);
	while (read(0, &byte, 1) == 1)
		if (byte == '\n')
			read_all(argv[1]);
	return 0;
}

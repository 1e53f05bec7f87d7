/* SPDX-License-Identifier: Apache-2.0 */
/* In the middle of a file and of a folder when it asks for input. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	int fd = open("/app/hello", O_RDONLY);
	DIR *folder = opendir("/app/sub");
	char bytes[32];
	ssize_t n = read(fd, bytes, 6);
	struct dirent *entry;

	if (!folder || n != 6)
		return 1;
	readdir(folder);
	while (read(0, bytes, sizeof bytes) > 0)
		;
	n = read(fd, bytes, sizeof bytes);
	printf("%.*s", (int)n, bytes);
	while ((entry = readdir(folder)))
		printf("%s\n", entry->d_name);
	return 0;
}

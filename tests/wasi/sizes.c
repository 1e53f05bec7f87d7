/* SPDX-License-Identifier: Apache-2.0 */
/* Files cut, lengthened, given room, hinted at, written out.
 * node: takes no bytes for a size */
#include "tell.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void size(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) == 0)
		printf("%lld bytes\n", (long long)stat.st_size);
}

int main(void)
{
	char text[12] = { 0 };
	int fd;

	make_file("/file", "0123456789");
	fd = open("/file", O_RDWR);
	TELL(ftruncate(fd, 4));
	size(fd);
	TELL(ftruncate(fd, 10));
	size(fd);
	printf("%zd", read(fd, text, sizeof text));
	for (int i = 0; i < 10; i++)
		printf(" %d", text[i]);
	puts("");
	TELL(ftruncate(fd, -1));
	printf("allocate: %s\n", tell_name(posix_fallocate(fd, 0, 5000)));
	size(fd);
	printf("allocate less: %s\n", tell_name(posix_fallocate(fd, 0, 10)));
	size(fd);
	printf("allocate nothing: %s\n", tell_name(posix_fallocate(fd, 0, 0)));
	printf("advise: %s\n",
	       tell_name(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL)));
	printf("advise wrongly: %s\n", tell_name(posix_fadvise(fd, 0, 0, 99)));
	TELL(fsync(fd));
	TELL(fdatasync(fd));
	TELL(close(fd));
	fd = open("/file", O_RDONLY);
	TELL(ftruncate(fd, 0));
	TELL(fsync(99));
	return 0;
}

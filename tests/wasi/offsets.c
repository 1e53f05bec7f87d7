/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing elsewhere than where one stands. */
#include "tell.h"
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
	char a[4] = { 0 }, b[8] = { 0 };
	struct iovec into[] = { { a, 3 }, { NULL, 0 }, { b, 7 } };
	struct iovec from[] = { { "ab", 2 }, { "", 0 }, { "cd", 2 } };
	int fd;

	make_file("/file", "0123456789");
	fd = open("/file", O_RDWR);
	printf("pread %zd %.3s\n", pread(fd, a, 3, 4), a);
	printf("pread at the end %zd\n", pread(fd, a, 3, 10));
	TELL(pread(fd, a, 3, -1));
	printf("preadv %zd %.3s %s\n", preadv(fd, into, 3, 2), a, b);
	TELL(pwrite(fd, "XY", 2, 8));
	printf("pwritev %zd\n", pwritev(fd, from, 3, 0));
	TELL(pwrite(fd, "!", 1, 12));
	printf("at %lld\n", (long long)lseek(fd, 0, SEEK_CUR));
	printf("readv %zd %.3s %s\n", readv(fd, into, 3), a, b);
	printf("at %lld\n", (long long)lseek(fd, 0, SEEK_CUR));
	printf("writev %zd\n", writev(fd, from, 3));
	TELL(close(fd));
	fd = open("/file", O_RDONLY);
	printf("size %lld\n", (long long)lseek(fd, 0, SEEK_END));
	for (int i = 10; i < 14 && pread(fd, a, 1, i) == 1; i++)
		printf("%d: %d\n", i, a[0]);
	TELL(pread(0, a, 1, 0));
	return 0;
}

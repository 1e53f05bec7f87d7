/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors' numbers: the lowest free one, and moved. */
#include "tell.h"
#include <fcntl.h>
#include <unistd.h>
#include <wasi/api.h>

int main(void)
{
	char byte = 0;
	int a, b, c;

	make_file("/a", "A");
	make_file("/b", "B");
	a = open("/a", O_RDONLY);
	b = open("/b", O_RDONLY);
	c = open("/a", O_RDONLY);
	printf("%d %d %d\n", a, b, c);
	close(b);
	b = open("/b", O_RDONLY);
	printf("again %d\n", b);
	TELL_WASI(__wasi_fd_renumber(b, a));
	printf("%zd %c\n", read(a, &byte, 1), byte);
	TELL(read(b, &byte, 1));
	TELL_WASI(__wasi_fd_renumber(c, 99));
	TELL_WASI(__wasi_fd_renumber(99, c));
	TELL_WASI(__wasi_fd_renumber(c, c));
	printf("%zd %c\n", read(c, &byte, 1), byte);
	TELL_WASI(__wasi_fd_close(12345));
	TELL_WASI(__wasi_fd_close(0xffffffff));
	printf("lowest %d\n", open("/a", O_RDONLY));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Much data, in many pieces, there and back. */
#include "tell.h"
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wasi/api.h>

enum { PIECES = 200, PIECE = 40000 };
static uint8_t out[PIECES][PIECE], in[PIECES][PIECE];

int main(void)
{
	struct iovec vectors[PIECES];
	static __wasi_ciovec_t many[3000];
	size_t done;
	int fd = open("/bulk", O_CREAT | O_RDWR, 0644);

	for (int i = 0; i < PIECES; i++) {
		for (int j = 0; j < PIECE; j++)
			out[i][j] = (uint8_t)(i * 31 + j * 7 + j / 256);
		vectors[i] = (struct iovec){ out[i], PIECE };
	}
	printf("%zd\n", writev(fd, vectors, PIECES));
	lseek(fd, 0, SEEK_SET);
	for (int i = 0; i < PIECES; i++)
		vectors[i].iov_base = in[PIECES - 1 - i];
	printf("%zd\n", readv(fd, vectors, PIECES));
	for (int i = 0; i < PIECES; i++)
		if (memcmp(out[i], in[PIECES - 1 - i], PIECE))
			printf("piece %d differs\n", i);
	for (int i = 0; i < 3000; i++)
		many[i] = (__wasi_ciovec_t){ (uint8_t *)out, 1 };
	TELL_WASI(__wasi_fd_pwrite(fd, many, 3000, 0, &done));
	printf("%s of 3000\n", done > 0 && done <= 3000 ? "some" : "none");
	return 0;
}

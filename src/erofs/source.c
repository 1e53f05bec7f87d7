/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of a program that has a C library. */
#include "erofs/source.h"
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int erofs_source_read_file(void *context, uint64_t at, void *to,
				  uint64_t len)
{
	int fd = (int)(intptr_t)context;
	char *into = to;

	while (len) {
		ssize_t n = pread(fd, into, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return EROFS_IO;
		into += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int erofs_source_file(int fd, struct erofs_source *source)
{
	off_t len = lseek(fd, 0, SEEK_END);

	if (len < 0)
		return EROFS_IO;
	*source = (struct erofs_source){
		.read = erofs_source_read_file,
		.context = (void *)(intptr_t)fd,
		.len = (uint64_t)len,
	};
	return 0;
}

static int erofs_source_read_memory(void *context, uint64_t at, void *to,
				    uint64_t len)
{
	memcpy(to, (const char *)context + at, len);
	return 0;
}

struct erofs_source erofs_source_memory(const void *data, uint64_t len)
{
	return (struct erofs_source){
		.read = erofs_source_read_memory,
		.context = (void *)(uintptr_t)data,
		.len = len,
	};
}
